//! Rows with a time that are divided at random.
//!
//! ## What it checks
//!
//! `time=COLUMN` in a split rule says that rows have an order in time. `hash(KEY)` ignores it: training rows are then later than test rows.
//! An error; a warning if KEY is the column of `group=`, because new groups in a known period can be what the test is about. Rules that a column or
//! files state are checked on the rows (`look-ahead`); `split by time(COLUMN)` cannot look ahead, and neither can statistics with `fit=train`
//! behind it.
//!
//! ## Why it matters
//!
//! In use the model meets rows that are later than all it was trained on. Between two training rows at times t - 1 and t + 1 a test row at t is an
//! interpolation: for a series with correlation c between neighbours the error variance of the mean of both is (1 - c)(3 - c) / 2 for an
//! autoregression of order 1, and 1 - c^2 from the past alone, 0.105 and 0.19 for c = 0.9. The test reports the first, use has the second.
//!
//! ## Example
//!
//! ```text
//! all  csv("visits.csv")
//! split by hash(patient, time=day) train 80 val 10 test 10
//! ```
//!
//! ## Instead
//!
//! `split by time(day) train 80 val 10 test 10`: the earliest rows train. The fix moves rows between the splits.
//!
//! ## References
//!
//! Bergmeir and Benitez 2012, "On the use of cross-validation for time series predictor evaluation"; research: static.md P23.

use super::{Context, lint};
use crate::data::{Rows, Rule as SplitRule};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::front::names::argument;

pub static RULE: Rule = lint!("shuffled_time.rs" = "D008" "shuffled-time" Error from "P23");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(plan) = &context.graph.data else { return };
    let (Rows::One(_, SplitRule::Hash { key, .. }), Some(time)) = (&plan.rows, &plan.about.time) else {
        return;
    };
    let group = plan.about.group.as_ref();
    let new_groups = group.is_some_and(|group| group.value == key.value);
    let (name, when) = (&key.value, argument(&time.value));
    let message = format!("rows are divided by a hash of `{name}`, whatever their `{}`", time.value);
    let by = match group {
        Some(group) => format!("time({when}, group={})", argument(&group.value)),
        None => format!("time({when})"),
    };
    let mut diagnostic = Diagnostic::new(&RULE, key.span, message)
        .severity(if new_groups { Severity::Warning } else { Severity::Error })
        .remark("training rows are later than test rows")
        .label(time.span, "rows have this order in time")
        .help(format!("split by {by}"));
    if let (Notation::Dsl, Some(span)) = (context.notation, plan.about.rule) {
        diagnostic = diagnostic.fix(Fix {
            title: "divide by time".to_owned(),
            safety: Safety::Unsafe,
            level: Level::Data,
            edits: vec![Edit { span, text: by }],
        });
    }
    out.push(diagnostic);
}
