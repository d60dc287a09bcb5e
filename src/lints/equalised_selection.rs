//! A choice by variance among columns whose variances have just been made equal.
//!
//! ## What it checks
//!
//! `select(by=variance)` behind `standardize`, with nothing in between that gives the columns a scale of their own. Both places are underlined.
//!
//! ## Why it matters
//!
//! Behind (x - mu) / sigma every column has variance 1 up to rounding: what is kept is decided by the last bits and by the order of the columns. The
//! choice says nothing about the columns, another machine or one more row may make another one, and nothing fails.
//!
//! ## Example
//!
//! ```text
//! x numeric("pixel_*") |> standardize(fit=train) |> select(top=32, by=variance, fit=train)
//! ```
//!
//! ## Instead
//!
//! Choose first, then standardise; or choose by `correlation(y)`, which does not depend on the scale. Behind `minmax` variances can be compared.
//!
//! ## References
//!
//! scikit-learn's guide, "Removing features with low variance"; research: static.md P10, P20.

use super::{Context, lint};
use crate::data::units::{Units, infer, written};
use crate::data::{Score, Select, Transform};
use crate::diag::{Diagnostic, Diagnostics, Rule};

pub static RULE: Rule =
    lint!("equalised_selection.rs" = "D020" "equalised-selection" Warning from "P10" "P20");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    for group in context.graph.data.iter().flat_map(|plan| &plan.groups) {
        let own = group.overrides.values().map(|(_, chain)| chain);
        for typed in std::iter::once(&group.chain).chain(own).flat_map(|chain| infer(Units::Raw, chain).0) {
            let by_variance = matches!(
                &typed.step.transform,
                Transform::Select(Select::Fitted { by: Score::Variance, .. })
            );
            let (Units::Standard, Some(by)) = typed.before else { continue };
            if by_variance {
                let message = format!(
                    "`{}` chooses among columns of `{}` that all have variance 1",
                    written(&typed.step.transform),
                    group.name.value
                );
                out.push(
                    Diagnostic::new(&RULE, typed.step.span, message)
                        .remark("decided by rounding and by the order of the columns")
                        .label(by.span, "makes every variance 1")
                        .help("choose in front of it, or by=correlation(...) with the target"),
                );
            }
        }
    }
}
