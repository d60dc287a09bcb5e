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
use crate::data::{Split, Step};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};

pub static RULE: Rule =
    lint!("fitted_beyond_train.rs" = "D001" "fitted-beyond-train" Error from "P01" "P02" "P03" "P20");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(plan) = &context.graph.data else { return };
    for group in &plan.groups {
        let own = group.overrides.values().map(|(_, chain)| chain);
        for step in std::iter::once(&group.chain).chain(own).flatten() {
            let Step { transform, span: _, fit: Some(fit) } = step else { continue };
            let seen = match fit.value {
                Split::Train => continue,
                Split::All => "`all` = train + val + test".to_owned(),
                other => format!("`{other}` rows decide what `{other}` is judged by"),
            };
            let message = format!(
                "`{}` of `{}` is fitted on rows that it is later judged on",
                transform.name(),
                group.name.value
            );
            out.push(
                Diagnostic::new(&RULE, fit.span, message)
                    .remark(seen)
                    .label(group.name.span, "every split passes through this chain")
                    .help(format!("{}(fit=train)", transform.name()))
                    .fix(Fix {
                        title: "fit on the training split".to_owned(),
                        safety: Safety::Safe,
                        level: Level::Data,
                        edits: vec![Edit { span: fit.span, text: "train".to_owned() }],
                    }),
            );
        }
    }
}
