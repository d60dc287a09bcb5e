//! Columns whose rows of evaluation come from another distribution than those of training.
//!
//! ## What it checks
//!
//! For every numeric column of inputs and targets the two-sample test of Kolmogorov and Smirnov between the rows of training and those of `val` and
//! `test`, on up to 4,096 rows of each: D is the largest distance between the two empirical distribution functions. Its p-value is
//! Q(l) = 2 sum_j (-1)^(j-1) exp(-2 j^2 l^2) at l = (sqrt(m) + 0.12 + 0.11 / sqrt(m)) D, m = n1 n2 / (n1 + n2). All tests together raise a false
//! alarm with probability at most 0.001 (Bonferroni): a column is reported below 0.001 / number of tests. Ties make the test more careful,
//! never less.
//!
//! A warning from D = 0.1 on, information below it; information, too, where `split by time` declares that the order of time divides the rows,
//! since the future differs.
//!
//! ## Why it matters
//!
//! The error on `test` estimates the error on rows like those of training only if both are drawn alike. A shifted column says that the split was not
//! random (the file was sorted, the test rows come from another source) or that it was not prepared alike.
//!
//! ## Example
//!
//! ```text
//! train csv("2023.csv")
//! test  csv("2024.csv")
//! ```
//!
//! ## Instead
//!
//! If the shift is meant, say so: `split by time(day)`. Otherwise divide at random: `split by hash(key)`.
//!
//! ## References
//!
//! Kolmogorov 1933; Smirnov 1948; Stephens 1970, "Use of the Kolmogorov-Smirnov statistics without extensive tables" (the correction of l for
//! small samples); Rabanser et al. 2019, "Failing loudly"; research: static.md P27.

use super::{Subject, audit, column, place};
use crate::data::{self, Content, Group, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::text::{number, plural};

pub static RULE: Rule = audit!("shifted_column.rs" = "D208" "shifted-column" Warning from "P27");

/// The probability of a false alarm in one run.
const TOTAL: f64 = 1e-3;
/// The distance from which a shift is more than a detail.
const LARGE: f64 = 0.1;

/// One test that fails.
struct Shift<'a> {
    group: &'a Group,
    split: Split,
    i: usize,
    distance: f64,
    p: f64,
}

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    let groups = || {
        let numeric = |group: &&Group| matches!(group.content, Content::Numeric | Content::Target);
        subject.plan.groups.iter().filter(numeric)
    };
    let splits = [Split::Val, Split::Test].map(|split| (split, subject.profile.splits.contains_key(&split)));
    let splits: Vec<Split> = splits.into_iter().filter(|(_, there)| *there).map(|(split, _)| split).collect();
    let tests =
        splits.len() * groups().map(|group| data::width(&group.chain, group.columns.len())).sum::<usize>();
    #[expect(clippy::cast_precision_loss, reason = "column counts are far below 2^53")]
    let level = TOTAL / tests.max(1) as f64;
    for group in groups() {
        // Rows in other units have been reported as such.
        if out.iter().any(|d| d.rule == &super::declared_range::RULE && d.span() == Some(group.source)) {
            continue;
        }
        let Some(train) = subject.profile.train(group) else { continue };
        for &split in &splits {
            let Some(other) = subject.profile.numbers(group, split) else { continue };
            // A column without any spread in training is reported as that.
            let mut shifts: Vec<Shift<'_>> = (0..group.columns.len())
                .filter(|&i| !train.raw[i].is_constant() && train.kept.contains(&i))
                .filter_map(|i| {
                    let sorted = |rows: &[Vec<f64>]| {
                        let mut values: Vec<f64> =
                            rows.iter().map(|row| row[i]).filter(|x| !x.is_nan()).collect();
                        values.sort_by(f64::total_cmp);
                        values
                    };
                    let (a, b) = (sorted(&train.raw_rows), sorted(&other.raw_rows));
                    let distance = distance(&a, &b);
                    let p = significance(distance, a.len(), b.len());
                    (p < level).then_some(Shift { group, split, i, distance, p })
                })
                .collect();
            shifts.sort_by(|a, b| b.distance.total_cmp(&a.distance));
            out.extend(finding(subject, &shifts, level));
        }
    }
}

fn finding(subject: &Subject<'_>, shifts: &[Shift<'_>], level: f64) -> Option<Diagnostic> {
    let worst = shifts.first()?;
    let (group, split, name) = (worst.group, worst.split, column(worst.group, worst.i));
    let by_time = subject.plan.by_time();
    let message = match shifts.len() {
        1 => format!("`{name}` has another distribution on `{split}` than on `train`"),
        n => format!(
            "{} of `{}` have another distribution on `{split}` than on `train`",
            plural(n, "column"),
            group.name.value
        ),
    };
    let severity = if worst.distance >= LARGE && !by_time { Severity::Warning } else { Severity::Info };
    let moments = |split: Split| {
        let found = subject.profile.numbers(group, split)?.raw[worst.i];
        Some(format!("{split}: mean {}, std {}", number(found.mean), number(found.variance().sqrt())))
    };
    let mut diagnostic = Diagnostic::new(&RULE, group.source, message)
        .severity(severity)
        .remark(format!("`{name}`: D = {}, p = {}", number(worst.distance), number(worst.p)))
        .note("level", format!("p below {} for each column, 0.001 for all together", number(level)));
    for of in [Split::Train, split].into_iter().filter_map(moments) {
        diagnostic = diagnostic.note("is", of);
    }
    if place(subject.plan, split) != place(subject.plan, Split::Train) {
        diagnostic = diagnostic.label(place(subject.plan, split), "these rows");
    }
    Some(diagnostic.help(if by_time {
        "the rows are divided by time: the model will meet this shift, too"
    } else {
        "divide the rows at random, or declare what divides them: split by time(column)"
    }))
}

/// The largest distance between the distribution functions of two sorted samples; 0 if one is empty.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a sample is small")]
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (mut i, mut j, mut most) = (0, 0, 0.0f64);
    while i < a.len() && j < b.len() {
        // Equal values are passed in both samples before the distance is taken.
        let x = a[i].min(b[j]);
        while i < a.len() && a[i] <= x {
            i += 1;
        }
        while j < b.len() && b[j] <= x {
            j += 1;
        }
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

/// The p-value of a distance: Kolmogorov's distribution with Stephens' correction for small samples.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a sample is small")]
pub fn significance(distance: f64, n1: usize, n2: usize) -> f64 {
    if n1 == 0 || n2 == 0 {
        return 1.0;
    }
    let (n1, n2) = (n1 as f64, n2 as f64);
    let root = (n1 * n2 / (n1 + n2)).sqrt();
    let l = (root + 0.12 + 0.11 / root) * distance;
    // The alternating series converges slowly where its sum is 1 to fifteen digits anyway.
    if l < 0.2 {
        return 1.0;
    }
    let term = |j: f64| (-2.0 * j * j * l * l).exp();
    let sum: f64 = (1..=100).map(|j| if j % 2 == 1 { term(f64::from(j)) } else { -term(f64::from(j)) }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_exact() {
        assert_eq!(distance(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]), 0.0);
        assert_eq!(distance(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(distance(&[1.0, 2.0, 3.0, 4.0], &[2.5, 2.5]), 0.5);
        assert_eq!(distance(&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 1.0]), 0.5);
        assert_eq!(distance(&[], &[1.0]), 0.0);
    }

    /// Percentage points of Kolmogorov's distribution (Smirnov 1948, table 1): Q(1.36) = 0.0494, Q(1.63) = 0.00986, Q(0.83) = 0.4961.
    #[test]
    fn significance_is_that_of_the_tables() {
        let n = 2_000_000_000;
        let root = 1e9f64.sqrt();
        for (l, q) in [(1.36, 0.0494), (1.63, 0.00986), (0.83, 0.4963)] {
            let p = significance(l / root, n, n);
            assert!((p - q).abs() < 3e-4, "Q({l}) = {p}, table {q}");
        }
        assert_eq!(significance(0.0, 10, 10), 1.0);
    }
}
