//! Statistics fitted on rows that the model is later judged on.
//!
//! ## What it checks
//!
//! Every fitted step carries the set of splits whose rows it has seen: those of its `fit=`, and those of the steps before it, so that
//! statistics fitted on `train` behind statistics fitted on `all` have seen `all`. Weights have seen what the chain of `train` has. A split of
//! evaluation must be in neither: `fit=train` is right everywhere; `fit=val` leaves `test` unseen and spoils `val`; `fit=all` spoils both. Where a
//! spec trains on statistics that it shares with `stats=`, they have seen the split on which the other spec has fitted them.
//!
//! ## Why it matters
//!
//! The test error is to estimate the error on rows that nobody has seen. Use the training set's mu and sigma for the test set:
//! a test row then meets exactly the transform that a future row will meet. Refitting on the test rows also hides a shift
//! between the two, because it moves the test rows back to mean 0. Worst is a step that looks at the target, like
//! `select(by=correlation(y))`: fitted on all rows it finds columns that fit the test labels, too. With random labels, where 0.5 is all there is
//! to find, scikit-learn's guide measures an accuracy of 0.76.
//!
//! ## Example
//!
//! ```text
//! x numeric("pixel_*") |> standardize(fit=all)
//! ```
//!
//! ## Instead
//!
//! `fit=train`. The fix is safe for the model's text; statistics must be written again.
//!
//! ## References
//!
//! Kaufman et al. 2012, "Leakage in data mining"; scikit-learn's guide, "Common pitfalls".

use super::{Context, lint};
use crate::data::provenance::{Artefact, artefacts, spoils};
use crate::data::{Plan, Split, SplitSet};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::source::Spanned;

pub static RULE: Rule =
    lint!("fitted_beyond_train.rs" = "D001" "fitted-beyond-train" Error from "P01" "P02" "P03" "P20");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(plan) = &context.graph.data else { return };
    for group in &plan.groups {
        let own = group.overrides.keys().map(|split| Some(*split));
        for chain in std::iter::once(None).chain(own) {
            let fitted = artefacts(plan, group, chain);
            for (i, artefact) in fitted.iter().enumerate() {
                let spoilt = spoils(plan, artefact);
                if !spoilt.is_empty() {
                    out.extend(finding(plan, artefact, &spoilt, &fitted[i + 1..]));
                }
            }
        }
    }
}

/// The finding about one step; `behind` are the fitted steps that work on what it made.
fn finding(
    plan: &Plan,
    artefact: &Artefact<'_>,
    spoilt: &[Split],
    behind: &[Artefact<'_>],
) -> Option<Diagnostic> {
    let Artefact { group, own, step: Some(step), fit: label, seen: _ } = artefact else { return None };
    let shared = step.shared.map(|split| Spanned::new(split, step.span));
    let fit = step.fit.as_ref().or(shared.as_ref())?;
    let seen = match fit.value {
        Split::All => {
            let words: Vec<&str> = label.splits().iter().map(|split| split.word()).collect();
            format!("`all` = {}", words.join(" + "))
        }
        other => format!("`{other}` rows decide what `{other}` is judged by"),
    };
    let (name, method) = (&group.name.value, step.transform.name());
    let message = format!("`{method}` of `{name}` is fitted on rows that it is later judged on");
    let diagnostic = Diagnostic::new(&RULE, fit.span, message).remark(seen);
    let usual = group.chain.iter().find(|usual| usual.transform.name() == method);
    let mut diagnostic = match (own, usual) {
        (None, _) => diagnostic.label(group.name.span, "every split passes through this chain"),
        (Some(split), Some(usual)) => {
            diagnostic.label(usual.span, format!("the other splits pass through this, `{split}` does not"))
        }
        (Some(_), None) => diagnostic,
    };
    // Statistics of the rows alone move them a little; a choice by the answers fits the answers that judge it.
    let target = step.transform.target().and_then(|name| plan.target(name));
    if let Some(target) = target {
        diagnostic = diagnostic.label(target.name.span, "these answers of the same rows have a say in it");
    }
    if let Some(place) = spoilt.iter().find_map(|split| plan.place(*split)) {
        diagnostic = diagnostic.label(place, format!("judged on {}", SplitSet(spoilt)));
    }
    for next in behind.iter().filter_map(|next| next.step.filter(|_| next.fit.is_below(*label))) {
        diagnostic = diagnostic.label(next.span, "fitted behind it, so that it has seen the same rows");
    }
    if shared.is_some() {
        let file = "the spec whose statistics it shares must fit on `train`, too";
        return Some(diagnostic.note("of", "statistics of another spec: `stats=`").help(file));
    }
    let written = step.transform.to_string().replace(&format!("fit={}", fit.value), "fit=train");
    Some(diagnostic.help(written).fix(Fix {
        title: "fit on the training split".to_owned(),
        safety: Safety::Safe,
        level: Level::Data,
        edits: vec![Edit { span: fit.span, text: "train".to_owned() }],
    }))
}
