//! Statistics fitted on rows that the model is later judged on.
//!
//! ## What it checks
//!
//! `fit=` of every fitted transform names `train`. With `test`, `val` or `all` the mean and variance have seen rows of
//! evaluation.
//!
//! ## Why it matters
//!
//! The test error is to estimate the error on rows that nobody has seen. Use the training set's mu and sigma for the test set:
//! a test row then meets exactly the transform that a future row will meet. Refitting on the test rows also hides a shift
//! between the two, because it moves the test rows back to mean 0.
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
use crate::data::{Group, Split, Step};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};

pub static RULE: Rule =
    lint!("fitted_beyond_train.rs" = "D001" "fitted-beyond-train" Error from "P01" "P02" "P03" "P20");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(plan) = &context.graph.data else { return };
    for group in &plan.groups {
        chain(group, None, &group.chain, out);
        for (split, (_, own)) in &group.overrides {
            chain(group, Some(*split), own, out);
        }
    }
}

/// The findings in one chain; `split` names the split that an override is for.
fn chain(group: &Group, split: Option<Split>, steps: &[Step], out: &mut Diagnostics) {
    for step in steps {
        let Step { transform, span: _, fit: Some(fit) } = step else { continue };
        let seen = match fit.value {
            Split::Train => continue,
            Split::All => "`all` = train + val + test".to_owned(),
            other => format!("`{other}` rows decide what `{other}` is judged by"),
        };
        let (name, method) = (&group.name.value, transform.name());
        let message = format!("`{method}` of `{name}` is fitted on rows that it is later judged on");
        let diagnostic = Diagnostic::new(&RULE, fit.span, message).remark(seen);
        let usual = group.chain.iter().find(|usual| usual.transform.name() == method);
        let diagnostic = match (split, usual) {
            (None, _) => diagnostic.label(group.name.span, "every split passes through this chain"),
            (Some(split), Some(usual)) => diagnostic
                .label(usual.span, format!("the other splits pass through this, `{split}` does not")),
            (Some(_), None) => diagnostic,
        };
        let written = transform.to_string().replace(&format!("fit={}", fit.value), "fit=train");
        out.push(diagnostic.help(written).fix(Fix {
            title: "fit on the training split".to_owned(),
            safety: Safety::Safe,
            level: Level::Data,
            edits: vec![Edit { span: fit.span, text: "train".to_owned() }],
        }));
    }
}
