//! Columns whose rows are all equal, or nearly all.
//!
//! ## What it checks
//!
//! On the training rows: a numeric input column with one value (a warning), a numeric target with one value (an error), and an input
//! column of which at least 99.5 % of at least 400 rows have one value (information).
//!
//! Columns of a family are silent, unless more than half of the family is constant: eight or more columns whose names differ in
//! their numbers only, such as `pixel_0_0`, are positions of one signal, and at the border of an image nothing happens.
//!
//! ## Why it matters
//!
//! `standardize` cannot scale a constant column; it subtracts the mean and divides by 1. Its weights then see 0 in every training row,
//! their gradient is 0, and they keep their random values. Where the column is not constant in other rows, those random
//! weights answer. A rare value p of a two-valued column lies sqrt((1 - p) / p) standard deviations out, 14 for p = 0.005, so that
//! its rows dominate the gradient. A constant target has nothing to be learnt: the mean predicts it.
//!
//! ## Example
//!
//! ```text
//! x  numeric(age, country_code) |> standardize(fit=train)
//! ```
//!
//! with the same country in every row.
//!
//! ## Instead
//!
//! Leave the column out of the group, or look why it is constant: a filter, a join that lost it, a default that stands for all.
//!
//! ## References
//!
//! TFDV and deepchecks, "single value in column"; scikit-learn's `VarianceThreshold`.

use super::{Subject, audit, column, names, percent, place};
use crate::data::{Content, Group, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::text::{number, plural};
use std::collections::BTreeMap;

pub static RULE: Rule = audit!("constant_column.rs" = "D202" "constant-column" Warning);

/// Names that differ in numbers only, from this many on, are positions of one signal.
const FAMILY: usize = 8;
/// A share of one value from which a column is nearly constant, and the rows from which that is no accident.
const NEARLY: f64 = 0.995;
const ROWS: usize = 400;

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    for group in &subject.plan.groups {
        let Some(numbers) = subject.profile.train(group) else { continue };
        let constant: Vec<usize> = (0..numbers.raw.len()).filter(|&i| numbers.raw[i].is_constant()).collect();
        let mut constant = without_families(group, &constant);
        if group.content == Content::Target {
            for i in constant {
                out.push(target(group, i, numbers.raw[i].min));
            }
            continue;
        }
        constant.retain(|&i| numbers.raw[i].count > 1 && numbers.kept.contains(&i));
        out.extend(inputs(subject, group, &constant));
        for (i, value, same) in nearly(&numbers.raw_rows, numbers.raw.len()) {
            if constant.contains(&i)
                || !numbers.kept.contains(&i)
                || numbers.raw[i].is_constant()
                || without_families(group, &[i]).is_empty()
            {
                continue;
            }
            let rows = numbers.raw_rows.len();
            #[expect(clippy::cast_precision_loss, reason = "a sample is small")]
            let rare = 1.0 - same as f64 / rows as f64;
            let name = column(group, i);
            let message = format!(
                "`{name}` is {} in {} of the training rows",
                number(value),
                percent(same as u64, rows as u64)
            );
            out.push(
                Diagnostic::new(&RULE, group.source, message)
                    .severity(Severity::Info)
                    .remark(format!(
                        "another value lies about {} standard deviations out",
                        number(((1.0 - rare) / rare).sqrt())
                    ))
                    .help("leave the column out, or bound it: clip(lo, hi)"),
            );
        }
    }
}

/// The name of a column without its numbers.
fn family(name: &str) -> String {
    name.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#")
}

/// Whether all columns of a group are positions of one signal.
pub(super) fn is_signal(group: &Group) -> bool {
    let mut families = group.columns.iter().map(|name| family(name));
    let first = families.next();
    group.columns.len() >= FAMILY && families.all(|other| Some(other) == first)
}

/// The constant columns that do not belong to a family whose other half varies.
fn without_families(group: &Group, constant: &[usize]) -> Vec<usize> {
    let family = |i: usize| family(column(group, i));
    let mut members: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for i in 0..group.columns.len() {
        members.entry(family(i)).or_default().0 += 1;
    }
    for &i in constant {
        members.entry(family(i)).or_default().1 += 1;
    }
    let alone = |i: usize| members.get(&family(i)).is_none_or(|&(all, of)| all < FAMILY || 2 * of > all);
    constant.iter().copied().filter(|&i| alone(i)).collect()
}

fn target(group: &Group, i: usize, value: f64) -> Diagnostic {
    let message = format!("the target `{}` is {} in every training row", column(group, i), number(value));
    Diagnostic::new(&RULE, group.source, message)
        .severity(Severity::Error)
        .remark("nothing can be learnt from it")
        .help("look where the column comes from: a filter or a default may have replaced it")
}

fn inputs(subject: &Subject<'_>, group: &Group, constant: &[usize]) -> Option<Diagnostic> {
    let first = *constant.first()?;
    let value = subject.profile.train(group)?.raw[first].min;
    let shown: Vec<&str> = constant.iter().map(|&i| column(group, i)).collect();
    let message = match constant.len() {
        1 => format!("`{}` is {} in every training row", shown[0], number(value)),
        n => format!(
            "{} of `{}` are constant on the training rows: {}",
            plural(n, "column"),
            group.name.value,
            names(&shown)
        ),
    };
    let mut diagnostic =
        Diagnostic::new(&RULE, group.source, message).remark("its weights receive no gradient");
    let elsewhere =
        subject.profile.splits.keys().filter(|split| **split != Split::Train).find_map(|&split| {
            let other = subject.profile.numbers(group, split)?;
            let i = constant.iter().copied().find(|&i| {
                let here = subject.profile.train(group).map_or(0.0, |train| train.raw[i].min);
                other.raw[i].count > 0 && (other.raw[i].min != here || other.raw[i].max != here)
            })?;
            Some((split, i, other.raw[i]))
        });
    if let Some((split, i, found)) = elsewhere {
        let text =
            format!("`{}` takes {} .. {} here", column(group, i), number(found.min), number(found.max));
        let at = place(subject.plan, split);
        diagnostic = if at == place(subject.plan, Split::Train) {
            diagnostic.note("in", format!("{split}: {text}"))
        } else {
            diagnostic.label(at, text)
        };
    }
    Some(diagnostic.help("leave what is constant out of the group, or look why it is"))
}

/// Columns with one value in nearly all rows of a sample: the column, the value, and how many rows have it. The candidate is
/// that of Boyer and Moore (1981), who find a majority in one pass.
fn nearly(rows: &[Vec<f64>], width: usize) -> Vec<(usize, f64, usize)> {
    if rows.len() < ROWS {
        return Vec::new();
    }
    let mut out = Vec::new();
    for i in 0..width {
        let (mut candidate, mut lead) = (f64::NAN, 0usize);
        for row in rows {
            if lead == 0 {
                (candidate, lead) = (row[i], 1);
            } else if row[i] == candidate {
                lead += 1;
            } else {
                lead -= 1;
            }
        }
        let same = rows.iter().filter(|row| row[i] == candidate).count();
        #[expect(clippy::cast_precision_loss, reason = "a sample is small")]
        if same as f64 >= NEARLY * rows.len() as f64 {
            out.push((i, candidate, same));
        }
    }
    out
}
