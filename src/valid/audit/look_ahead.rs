//! Training rows that are later than rows of evaluation.
//!
//! ## What it checks
//!
//! Where a rule names a column of time (`time=COLUMN` with `by column` or `by file`): the rows of `train` that are later than the first row of
//! `val` or `test`, and those of `val` that are later than the first row of `test`. One is an error. Rows of the same time do not
//! count. `split by time(COLUMN)` cannot look ahead and is not read; `by hash` always does, which `shuffled-time` reports without the rows.
//!
//! ## Why it matters
//!
//! The model and the fitted statistics have seen the future of the rows that they are judged on: prices after the crash, codes that were introduced
//! later. In use there is no future to look at, and the error is larger than the test said (`shuffled-time` has an example in numbers).
//!
//! ## Example
//!
//! ```text
//! train csv("sample_a.csv")
//! test  csv("sample_b.csv")
//! split by file(time=day)
//! ```
//!
//! ## Instead
//!
//! `split by time(day) train 80 val 10 test 10` on one file, or files that were cut at a date. If the order has no meaning, leave `time=` out.
//!
//! ## References
//!
//! Bergmeir and Benitez 2012, "On the use of cross-validation for time series predictor evaluation"; research: static.md P23.

use super::{Subject, audit, fields, percent, place};
use crate::data::time::{Moment, number};
use crate::data::{Rows, Rule as SplitRule, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, rules};
use crate::source::Spanned;
use crate::text::count;
use std::cmp::Ordering;
use std::collections::BTreeMap;

pub static RULE: Rule = audit!("look_ahead.rs" = "D210" "look-ahead" Error from "P23");

/// The distinct times of a split with their number of rows.
type Times = BTreeMap<String, u64>;

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    let Some(time) = &subject.plan.about.time else { return };
    if matches!(&subject.plan.rows, Rows::One(_, SplitRule::Time { .. } | SplitRule::Hash { .. })) {
        return;
    }
    let mut all: BTreeMap<Split, Times> = BTreeMap::new();
    for &split in subject.profile.splits.keys() {
        let times = all.entry(split).or_default();
        let read = fields(subject, &time.value, split, |field| {
            *times.entry(String::from_utf8_lossy(field).into_owned()).or_insert(0) += 1;
        });
        if let Err(fault) = read {
            out.push(*fault);
            return;
        }
    }
    let numbers = all.values().flat_map(BTreeMap::keys).all(|text| number(text).is_some());
    if let Some(text) =
        all.values().flat_map(BTreeMap::keys).find(|text| Moment::read(text, numbers).is_none())
    {
        let message = format!(
            "`{text}` of `{}` is neither a number nor a date whose text has the order of time",
            time.value
        );
        out.push(
            Diagnostic::new(&rules::NOT_A_NUMBER, time.span, message)
                .help("write dates as 2024-03-31, times as 2024-03-31T12:00:00Z, or numbers"),
        );
        return;
    }
    for (earlier, later) in
        [(Split::Train, Split::Val), (Split::Train, Split::Test), (Split::Val, Split::Test)]
    {
        if let (Some(first), Some(second)) = (all.get(&earlier), all.get(&later)) {
            out.extend(compare(subject, time, numbers, (earlier, first), (later, second)));
        }
    }
}

fn compare(
    subject: &Subject<'_>,
    time: &Spanned<String>,
    numbers: bool,
    (earlier, first): (Split, &Times),
    (later, second): (Split, &Times),
) -> Option<Diagnostic> {
    let moments = |times: &Times| -> Vec<(Moment, u64)> {
        times.iter().filter_map(|(text, rows)| Some((Moment::read(text, numbers)?, *rows))).collect()
    };
    let order = |a: &(Moment, u64), b: &(Moment, u64)| a.0.compare(&b.0);
    let (past, judged) = (moments(first), moments(second));
    let begin = judged.into_iter().min_by(order)?.0;
    let rows: u64 = past.iter().map(|(_, rows)| rows).sum();
    let ahead = past.iter().filter(|(moment, _)| moment.compare(&begin) == Ordering::Greater);
    let ahead: u64 = ahead.map(|(_, rows)| rows).sum();
    let last = past.into_iter().max_by(order)?.0;
    (ahead > 0).then(|| {
        let message = format!(
            "{} of the {} rows of `{earlier}` are later than the first row of `{later}`",
            count(ahead),
            count(rows)
        );
        let (ends, begins) = (
            format!("`{earlier}` ends at {}", last.shown()),
            format!("`{later}` begins at {}", begin.shown()),
        );
        let diagnostic = Diagnostic::new(&RULE, time.span, message);
        let (own, other) = (place(subject.plan, earlier), place(subject.plan, later));
        let diagnostic = if own == other {
            diagnostic.remark(format!("{}: {ends}, {begins}", percent(ahead, rows)))
        } else {
            diagnostic.remark(percent(ahead, rows)).label(own, ends).label(other, begins)
        };
        diagnostic.help(format!(
            "split by time({}) on one file, or cut the files at a date",
            crate::front::names::argument(&time.value)
        ))
    })
}
