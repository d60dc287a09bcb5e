//! A split that passes through other transforms than the rest.
//!
//! ## What it checks
//!
//! An override (`on test { x |> ... }`) replaces the whole chain of a column group on one split. Apart from augmentation that only
//! training rows meet, both chains must be equal, with the same statistics: `fit=val` on test rows of a net that was trained with `fit=train`
//! gives other constants. A fit that has seen the rows which it is judged on is left to `fitted-beyond-train`.
//!
//! ## Why it matters
//!
//! The net learns a function of the transformed rows. With x' = (x - mu) / sigma in training and raw x in the test, its first layer
//! sees W x + b at mean mu and scale sigma instead of 0 and 1: the test measures a different input, not the model. Scikit-learn's
//! guide shows a mean squared error of 62.8 instead of 0.90 for exactly this.
//!
//! ## Example
//!
//! ```text
//! x   numeric("pixel_*") |> standardize(fit=train)
//! on test { x |> minmax(fit=train) }
//! ```
//!
//! ## Instead
//!
//! Declare the chain once and remove the override; augmentation for training alone is `noise(0.1, only=train)` in the chain.
//!
//! ## References
//!
//! scikit-learn, "Common pitfalls and recommended practices", inconsistent preprocessing.

use super::{Context, lint};
use crate::data::provenance::{artefacts, spoils};
use crate::data::{Group, Plan, Split, Step, units};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::source::Span;

pub static RULE: Rule = lint!("uneven_splits.rs" = "D002" "uneven-splits" Error from "P04" "P05" "P10" "P11");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(plan) = &context.graph.data else { return };
    for group in &plan.groups {
        for (split, (place, chain)) in &group.overrides {
            let judged = fitted_beyond(plan, group);
            let (usual, own) = (lasting(&group.chain, &judged), lasting(chain, &judged));
            if usual == own {
                continue;
            }
            let name = &group.name.value;
            let missing = usual.iter().find(|step| !own.contains(step));
            let added = own.iter().find(|step| !usual.contains(step));
            let how = match (missing, added) {
                (Some(missing), Some(added)) => format!("`{added}` instead of `{missing}`"),
                (Some(missing), None) => format!("without `{missing}`"),
                (None, Some(added)) => format!("with `{added}` on top"),
                (None, None) => "in another order".to_owned(),
            };
            let others: Vec<Split> = plan
                .splits()
                .into_iter()
                .filter(|other| other != split && !group.overrides.contains_key(other))
                .collect();
            let rest = crate::data::SplitSet(&others).to_string();
            let main = units::place(&group.chain).unwrap_or(group.name.span);
            out.push(
                Diagnostic::new(&RULE, *place, format!("`{split}` sees `{name}` {how}"))
                    .remark(format!("on `{split}`: {}", show(&own)))
                    .label(main, format!("on {rest}: {}", show(&usual)))
                    .help(format!(
                        "remove the override, so that `{split}` passes through the declared chain"
                    )),
            );
        }
    }
}

/// The `fit=` that another rule reports; what they should be is `train`.
fn fitted_beyond(plan: &Plan, group: &Group) -> Vec<Span> {
    let own = group.overrides.keys().map(|split| Some(*split));
    let all = std::iter::once(None).chain(own).flat_map(|chain| artefacts(plan, group, chain));
    let spoiling = all.filter(|artefact| !spoils(plan, artefact).is_empty());
    spoiling.filter_map(|artefact| Some(artefact.step?.span)).collect()
}

/// What rows of evaluation meet of a chain.
fn lasting(chain: &[Step], judged: &[Span]) -> Vec<String> {
    let steps = chain.iter().filter(|step| step.transform.applies_to_evaluation());
    steps
        .map(|step| {
            let text = units::written(&step.transform);
            match step.transform.fit().filter(|_| judged.contains(&step.span)) {
                Some(split) => text.replace(&format!("fit={split}"), "fit=train"),
                None => text,
            }
        })
        .collect()
}

fn show(steps: &[String]) -> String {
    if steps.is_empty() { "as in the file".to_owned() } else { steps.join(" |> ") }
}
