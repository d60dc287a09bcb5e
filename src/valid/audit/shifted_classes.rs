//! Classes or words that are more frequent in one split than in another.
//!
//! ## What it checks
//!
//! For the labels of every class column and the words of every category, Pearson's test of homogeneity between the rows of training and those of `val` and
//! `test`, on all rows: X^2 = sum (observed - expected)^2 / expected over both splits, with k - 1 degrees of freedom for k classes. Classes of
//! which either split should have fewer than five rows are counted as one, as the approximation asks. All tests together raise a false
//! alarm with probability at most 0.001 (Bonferroni): a column is reported below 0.001 / number of tests.
//!
//! A warning if at least a tenth of the rows would have to change class (the total variation distance of the two distributions), information below
//! that, and where `split by time` divides the rows. A class that a split does not have at all is left to `absent-class`.
//!
//! ## Why it matters
//!
//! A classifier learns the frequencies of its training rows: its logits hold ln P(class). With other frequencies q in the test they are off by ln q -
//! ln p, and the measured accuracy is that of another mixture of easy and hard classes.
//!
//! ## Example
//!
//! ```text
//! y  class(species, 3)
//! ```
//!
//! on a file that is sorted by species and cut in two.
//!
//! ## Instead
//!
//! Divide the rows at random: `split by hash(key)`; or by time, if the future is what the test is about.
//!
//! ## References
//!
//! Pearson 1900; Cochran 1954, "Some methods for strengthening the common chi-square tests" (five rows); Lipton et al. 2018, "Detecting and
//! correcting for label shift with black box predictors"; research: static.md P27.

use super::{Subject, audit, column, percent, place};
use crate::data::{Content, Group, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::scalar::Scalar;
use crate::text::number;
use std::collections::BTreeMap;

pub static RULE: Rule = audit!("shifted_classes.rs" = "D211" "shifted-classes" Warning from "P27");

/// The probability of a false alarm in one run.
const TOTAL: f64 = 1e-3;
/// The share of rows from which a shift is more than a detail.
const LARGE: f64 = 0.1;
/// The least number of rows that a class must be expected to have.
const FEW: f64 = 5.0;

/// How many rows of training and of another split have each class.
type Table = BTreeMap<String, (u64, u64)>;

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    let mut tests: Vec<(&Group, usize, Split, Table)> = Vec::new();
    for group in &subject.plan.groups {
        for i in 0..group.columns.len() {
            for split in [Split::Val, Split::Test] {
                tests.extend(table(subject, group, i, split).map(|table| (group, i, split, table)));
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "column counts are far below 2^53")]
    let level = TOTAL / tests.len().max(1) as f64;
    for (group, i, split, table) in &tests {
        let (statistic, freedom) = homogeneity(table.values().copied());
        let p = significance(statistic, freedom);
        if p < level {
            out.push(finding(subject, (group, *i, *split), table, (p, level)));
        }
    }
}

/// The frequencies of one column; `None` for numbers, and for splits without rows.
fn table(subject: &Subject<'_>, group: &Group, i: usize, split: Split) -> Option<Table> {
    let of = |split: Split| -> Option<BTreeMap<String, u64>> {
        let rows = subject.profile.splits.get(&split)?;
        match &group.content {
            Content::Class(_, labels) => {
                let label = |class: usize| match labels {
                    Some(labels) => labels.get(class).cloned().unwrap_or_default(),
                    None => class.to_string(),
                };
                let counts = rows.classes.get(&group.name.value)?;
                Some(counts.iter().enumerate().map(|(class, rows)| (label(class), *rows)).collect())
            }
            Content::Category(_) => rows.words.get(&group.name.value)?.get(i).cloned(),
            Content::Numeric | Content::Target => None,
        }
    };
    let (train, other) = (of(Split::Train)?, of(split)?);
    // A class that a split does not have is another finding; a word has no other.
    let is_class = matches!(group.content, Content::Class(..));
    let mut table = Table::new();
    for (word, rows) in train {
        table.entry(word).or_default().0 = rows;
    }
    for (word, rows) in other {
        table.entry(word).or_default().1 = rows;
    }
    table.retain(|_, (train, other)| !is_class || *train > 0 && *other > 0);
    Some(table)
}

/// Pearson's statistic of two samples and its degrees of freedom; rare classes are counted as one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
pub fn homogeneity(table: impl Iterator<Item = (u64, u64)> + Clone) -> (f64, usize) {
    let sum = |(a, b): (u64, u64), (c, d): (u64, u64)| (a + c, b + d);
    let (first, second) = table.clone().fold((0, 0), sum);
    let all = (first + second) as f64;
    if first == 0 || second == 0 {
        return (0.0, 0);
    }
    let expected = |(a, b): (u64, u64)| {
        let both = (a + b) as f64 / all;
        (first as f64 * both, second as f64 * both)
    };
    let rare = |cell: &(u64, u64)| {
        let (a, b) = expected(*cell);
        a.min(b) < FEW
    };
    let together = table.clone().filter(rare).fold((0, 0), sum);
    let cells = table.filter(|cell| !rare(cell)).chain(std::iter::once(together).filter(|cell| !rare(cell)));
    let (mut statistic, mut classes) = (0.0, 0usize);
    for cell in cells {
        let (a, b) = expected(cell);
        statistic += (cell.0 as f64 - a).powi(2) / a + (cell.1 as f64 - b).powi(2) / b;
        classes += 1;
    }
    (statistic, classes.saturating_sub(1))
}

/// P(X^2 > x) for whole degrees of freedom: the finite sums of Abramowitz and Stegun 1964, 26.4.4 and 26.4.5, with terms in logarithms, because
/// their powers overflow where the exponential vanishes.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
pub fn significance(x: f64, freedom: usize) -> f64 {
    if freedom == 0 || x <= 0.0 {
        return 1.0;
    }
    let mut p = 0.0;
    if freedom.is_multiple_of(2) {
        let mut term = -x / 2.0;
        for j in 1..=freedom / 2 {
            p += term.exp();
            term += (x / 2.0).ln() - (j as f64).ln();
        }
    } else {
        p = Scalar::erfc((x / 2.0).sqrt());
        let mut term = 0.5 * (2.0 * x / std::f64::consts::PI).ln() - x / 2.0;
        for r in 1..=freedom / 2 {
            p += term.exp();
            term += x.ln() - ((2 * r + 1) as f64).ln();
        }
    }
    p.min(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
fn finding(
    subject: &Subject<'_>,
    (group, i, split): (&Group, usize, Split),
    table: &Table,
    (p, level): (f64, f64),
) -> Diagnostic {
    let (first, second) = table.values().fold((0, 0), |(a, b), cell| (a + cell.0, b + cell.1));
    let shares = |cell: &(u64, u64)| (cell.0 as f64 / first as f64, cell.1 as f64 / second as f64);
    let moved = |cell: &(u64, u64)| {
        let (a, b) = shares(cell);
        (a - b).abs()
    };
    let variation: f64 = table.values().map(moved).sum::<f64>() / 2.0;
    let by_time = subject.plan.by_time();
    let (word, worst) = table
        .iter()
        .max_by(|a, b| moved(a.1).total_cmp(&moved(b.1)))
        .map_or(("?", (0, 0)), |(word, cell)| (word.as_str(), *cell));
    let name = column(group, i);
    let message = format!("`{name}` has other frequencies on `{split}` than on `train`");
    let mut diagnostic = Diagnostic::new(&RULE, group.source, message)
        .severity(if variation >= LARGE && !by_time { Severity::Warning } else { Severity::Info })
        .remark(format!(
            "`{word}`: {} of `train`, {} of `{split}`",
            percent(worst.0, first),
            percent(worst.1, second)
        ))
        .note("p", format!("{}, below {} for each column, 0.001 for all together", number(p), number(level)));
    if place(subject.plan, split) != place(subject.plan, Split::Train) {
        diagnostic = diagnostic.label(place(subject.plan, split), "these rows");
    }
    diagnostic.help(if by_time {
        "the rows are divided by time: the model will meet this shift, too"
    } else {
        "divide the rows at random: split by hash(key)"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Percentage points of the chi-square distribution (Abramowitz and Stegun 1964, table 26.8).
    #[test]
    fn significance_is_that_of_the_tables() {
        for (freedom, p, x) in [
            (1, 0.05, 3.84146),
            (2, 0.01, 9.21034),
            (5, 0.001, 20.515),
            (10, 0.05, 18.307),
            (30, 0.01, 50.8922),
        ] {
            let found = significance(x, freedom);
            assert!((found / p - 1.0).abs() < 1e-4, "{freedom} {x}: {found}");
        }
        assert_eq!(significance(0.0, 3), 1.0);
        assert!(significance(5000.0, 2001) > 0.0 && significance(5000.0, 2001) < 1e-100);
    }

    #[test]
    fn rare_classes_are_counted_together() {
        // Ten classes with two rows in either split make one with twenty.
        let table = [(20, 20), (20, 20)].into_iter().chain([(2, 2); 10]);
        assert_eq!(homogeneity(table), (0.0, 2));
        // (30 - 25)^2 / 25 four times.
        assert_eq!(homogeneity([(30, 20), (20, 30)].into_iter()), (4.0, 1));
        assert_eq!(homogeneity([(30, 0), (0, 0)].into_iter()), (0.0, 0));
    }
}
