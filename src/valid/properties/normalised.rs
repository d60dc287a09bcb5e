//! Every fitted step brings its columns to what it is for, and targets come back from their chain.
//!
//! ## What it tests
//!
//! On all rows of the split that a step was fitted on, column by column: behind `standardize` the mean is 0 and the biased variance 1; behind `minmax`
//! the least value is 0 and the greatest 1. Every step of a chain that is fitted is looked at, not the last one only. A column of one value is shifted
//! to 0. The chain of a numeric target, where every step can be undone (`predict unscale` does so), and its inverse give every training
//! row back.
//!
//! That one row alone is what it is in a batch is `row-alone`; that serving sees what training saw is the audit `skewed-serving`.
//!
//! ## Tolerance
//!
//! Of n rows that a mean m and a scale s were taken from, with the largest result z and u = 2^-53: |mean| <= (n + 16) u (1 + |m|/s)(1 + z) and
//! |variance - 1| <= 4 (n + 16) u (1 + |m|/s)^2 (1 + z)^2, since each of n additions rounds once and the subtraction of m loses |m|/s digits
//! (Higham 2002, sections 1.9 and 4.2). `minmax` is exact: (min - min) / d = 0 and (max - min) / d = 1 for d = max - min, each with one rounding of equal
//! numbers. What comes back differs by at most 10^-12 of the largest number: each step and its inverse round a few times by u relative
//! to what passes them, and a logarithm of x times ln x.

use super::{Fault, Overall, Subject, Verdict};
use crate::text::plural;
use crate::valid::chains::{Back, Behind, Chain, Column, Scaling};

/// What a number that came back may differ by, relative to the largest.
const BACK: f64 = 1e-12;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    if !subject.samples.real {
        return Some("no rows of a data set are at hand".to_owned());
    }
    subject
        .samples
        .chains
        .is_empty()
        .then(|| "no step is fitted to a scale, and no target is transformed".to_owned())
}

pub fn test(subject: Subject<'_>, _: u64, _: Fault<'_>) -> Overall {
    let chains = &subject.samples.chains;
    let mut steps = chains.iter().flat_map(|chain| chain.steps.iter().map(move |step| (chain, step)));
    let columns: usize = steps.clone().map(|(_, step)| step.columns.len()).sum();
    let back = chains.iter().filter(|chain| chain.back.is_some()).count();
    let broken =
        steps.find_map(|(chain, step)| outside(chain, step)).or_else(|| chains.iter().find_map(astray));
    match broken {
        Some(detail) => Overall { verdict: Verdict::Fail, cases: columns, detail },
        None => {
            let mut detail = format!("{} behind fitted steps", plural(columns, "column"));
            if back > 0 {
                detail.push_str(&format!(", {} there and back", plural(back, "target")));
            }
            Overall { verdict: Verdict::Pass, cases: columns, detail }
        }
    }
}

/// The column that a step does not bring to its scale.
fn outside(chain: &Chain, step: &Behind) -> Option<String> {
    let Behind { step: written, scaling, columns } = step;
    columns.iter().filter(|column| column.count > 0).find_map(|column| {
        let missed = match scaling {
            Scaling::Moments => off_moments(column),
            Scaling::Range => off_range(column),
        };
        missed.map(|what| format!("`{}` of `{}` has {what} behind `{written}`", column.name, chain.group))
    })
}

fn off_moments(column: &Column) -> Option<String> {
    let Column { count, mean, square, least, most, offset, constant, .. } = column;
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
    let rounded = (*count as f64 + 16.0) * (f64::EPSILON / 2.0);
    let lost = (1.0 + offset) * (1.0 + most.abs().max(least.abs()));
    let variance = square - mean * mean;
    if *constant {
        // Its values differ by rounding alone, if at all.
        return (mean.abs() > rounded * lost).then(|| format!("mean {mean:e}"));
    }
    let sound = mean.abs() <= rounded * lost && (variance - 1.0).abs() <= 4.0 * rounded * lost * lost;
    (!sound).then(|| format!("mean {mean:e} and variance {variance}"))
}

#[expect(clippy::float_cmp, reason = "the ends are exact")]
fn off_range(column: &Column) -> Option<String> {
    let Column { least, most, constant, .. } = column;
    let sound = *least == 0.0 && *most == if *constant { 0.0 } else { 1.0 };
    (!sound).then(|| format!("the range {least} .. {most}"))
}

/// A target that does not come back.
fn astray(chain: &Chain) -> Option<String> {
    let Back { error, most } = chain.back.as_ref()?;
    let sound = *error <= BACK * most.max(f64::MIN_POSITIVE);
    (!sound).then(|| {
        format!(
            "`{}` comes back from its chain with an error of {error:e}; the largest is {most}",
            chain.group
        )
    })
}
