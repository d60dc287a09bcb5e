//! Rows of one group that a split rule divides.
//!
//! ## What it checks
//!
//! `group=COLUMN` in a split rule says that rows with the same value there belong together: visits of a patient, photographs of an object.
//! `hash(KEY)` keeps together what shares KEY, so that KEY must be that column. Another key is a warning, since it may be a coarser one (a
//! hospital for its patients). Where the rows can be read, `shared-key` counts the groups that were divided, and the finding becomes an error.
//!
//! ## Why it matters
//!
//! Rows of one patient resemble each other more than those of two. A model that recognises the patient answers the test from the training
//! rows: with a share r of test rows from known groups the measured error is r e_known + (1 - r) e_new, while every future row
//! has e_new. A random division of n rows of a group with training share s leaves it whole with probability s^n + (1 - s)^n at most:
//! 0.33 for five rows and s = 0.8.
//!
//! ## Example
//!
//! ```text
//! all  csv("visits.csv")
//! split by hash(visit, group=patient) train 80 val 10 test 10
//! ```
//!
//! ## Instead
//!
//! `split by hash(patient)`. The fix moves rows between the splits: statistics must be written again, and errors change.
//!
//! ## References
//!
//! Kaufman et al. 2012, "Leakage in data mining"; scikit-learn's `GroupKFold`; research: static.md P24.

use super::{Context, lint};
use crate::data::{Rows, Rule as SplitRule};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::front::names::argument;

pub static RULE: Rule = lint!("divided_group.rs" = "D007" "divided-group" Warning from "P24");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(plan) = &context.graph.data else { return };
    let (Rows::One(_, SplitRule::Hash { key, .. }), Some(group)) = (&plan.rows, &plan.about.group) else {
        return;
    };
    if key.value == group.value {
        return;
    }
    let (name, wanted) = (&key.value, &group.value);
    let mut diagnostic =
        Diagnostic::new(&RULE, key.span, format!("rows of one `{wanted}` are divided by their `{name}`"))
            .remark(format!("keeps together what shares `{name}`"))
            .label(group.span, format!("rows of one `{wanted}` belong together"))
            .help(format!("split by hash({})", argument(wanted)));
    if context.notation == Notation::Dsl {
        diagnostic = diagnostic.fix(Fix {
            title: format!("divide by `{wanted}`"),
            safety: Safety::Unsafe,
            level: Level::Data,
            edits: vec![Edit { span: key.span, text: argument(wanted) }],
        });
    }
    out.push(diagnostic);
}
