//! `(x - mean) / scale` for each column.
//!
//! With `fit=SPLIT` the mean and the biased variance of the split's rows are fitted and used unchanged for every other split:
//! the test set is judged by the training set's mu and sigma. A constant column gets scale 1, by the rule of scikit-learn's
//! `StandardScaler`. With `mean=`, `std=` the constants are given, one for all or one for each channel, and `from=` says whose they
//! are. With `stats="train.nn.stats.json"` the constants are those that another spec has fitted for columns of the same name: a spec for serving
//! shares them, and cannot drift from them.
//!
//! Mean and variance are computed in two passes with compensated sums (Neumaier 1974): the error is a few units in the last
//! place, whatever the number of rows.

use super::{
    FIT, FROM, Fitted, Fitter, Param, Reader, STATS, Shape, Sight, Split, Transformer, read_fit, read_from,
    show, spread,
};
use crate::args::{Kind, absent};
use crate::diag::{Diagnostic, rules};

/// The transform `standardize`.
#[derive(Clone, Debug, PartialEq)]
pub enum Standardize {
    /// Statistics of a split.
    Fitted(Split),
    /// Constants: mean, std, and whose they are.
    Given(Vec<f64>, Vec<f64>, Option<String>),
}

impl Transformer for Standardize {
    const SIGNATURE: &'static [Param] = &[
        FIT,
        absent("mean", Kind::Numbers, "given means, one for all or one for each channel"),
        absent("std", Kind::Numbers, "given standard deviations, likewise"),
        FROM,
        STATS,
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let given = ["mean", "std"].map(|name| args.span_of(name).is_some());
        match (args.span_of("fit").is_some(), given) {
            (true, [false, false]) => read_fit(args)?.map(Self::Fitted),
            (false, [true, true]) => {
                let (mean, std) = (args.numbers("mean"), args.numbers("std"));
                let (mean, std) = (mean?, std?);
                if let Some(zero) = std.iter().find(|s| **s <= 0.0) {
                    let span = args.span_of("std").unwrap_or(args.call_span());
                    let message = format!("a standard deviation of {zero}");
                    args.report(
                        Diagnostic::new(&rules::OUT_OF_RANGE, span, message).remark("must be above 0"),
                    );
                    return None;
                }
                Some(Self::Given(mean, std, read_from(args)))
            }
            _ => {
                let span = args.call_span();
                args.report(
                    Diagnostic::new(
                        &rules::MISSING,
                        span,
                        "`standardize` needs `fit=`, or both `mean=` and `std=`",
                    )
                    .help("write standardize(fit=train) for statistics of the training split"),
                );
                None
            }
        }
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Fitted(split) => vec![format!("fit={split}")],
            Self::Given(mean, std, from) => {
                let mut list = vec![format!("mean={}", show(mean)), format!("std={}", show(std))];
                list.extend(from.as_ref().map(|from| format!("from={from:?}")));
                list
            }
        }
    }

    fn fit(&self) -> Option<Split> {
        match self {
            Self::Fitted(split) => Some(*split),
            Self::Given(..) => None,
        }
    }

    fn fitter(&self, sight: &Sight<'_>) -> Option<Box<dyn Fitter>> {
        self.fit()?;
        Some(Box::new(MeanVariance {
            rows: 0.0,
            mean: None,
            sums: vec![Sum::default(); sight.columns.len()],
        }))
    }

    fn apply(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>) {
        let n = row.len();
        super::rescale(row, |i| self.constants_at(fitted, n, i));
    }

    fn invert(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut [f64]) -> bool {
        let n = row.len();
        super::restore(row, |i| self.constants_at(fitted, n, i));
        true
    }

    fn normalises(&self) -> bool {
        true
    }

    fn constants(&self) -> Option<usize> {
        match self {
            Self::Fitted(_) => None,
            Self::Given(mean, std, _) => Some(mean.len().max(std.len())),
        }
    }
}

impl Standardize {
    /// The given means and standard deviations; `None` if they are fitted.
    #[must_use]
    pub fn given(&self) -> Option<(&[f64], &[f64])> {
        match self {
            Self::Fitted(_) => None,
            Self::Given(mean, std, _) => Some((mean, std)),
        }
    }

    /// Mean and scale of element `i` of a row of `n`; what is fitted comes from `fitted`.
    #[must_use]
    pub fn constants_at(&self, fitted: Option<&Fitted>, n: usize, i: usize) -> (f64, f64) {
        match (self, fitted) {
            (Self::Given(mean, std, _), _) => (spread(mean, n, i), spread(std, n, i)),
            (Self::Fitted(_), Some(Fitted::Standardize { mean, scale, .. })) => (mean[i], scale[i]),
            (Self::Fitted(_), _) => unreachable!("internal: standardize without its statistics"),
        }
    }
}

/// A sum that carries the rounding error of its additions along (Neumaier 1974).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    pub(super) fn add(&mut self, x: f64) {
        let next = self.total + x;
        self.lost +=
            if self.total.abs() >= x.abs() { (self.total - next) + x } else { (x - next) + self.total };
        self.total = next;
    }

    pub(super) fn value(self) -> f64 {
        self.total + self.lost
    }
}

/// First pass: means. Second pass: mean squared deviations.
struct MeanVariance {
    rows: f64,
    mean: Option<Vec<f64>>,
    sums: Vec<Sum>,
}

impl Fitter for MeanVariance {
    fn see(&mut self, row: &[f64]) {
        match &self.mean {
            None => {
                self.rows += 1.0;
                self.sums.iter_mut().zip(row).for_each(|(sum, &x)| sum.add(x));
            }
            Some(mean) => {
                for ((sum, &x), &m) in self.sums.iter_mut().zip(row).zip(mean) {
                    sum.add((x - m) * (x - m));
                }
            }
        }
    }

    fn end_pass(&mut self) -> bool {
        if self.mean.is_some() {
            return false;
        }
        self.mean = Some(self.sums.iter().map(|sum| sum.value() / self.rows).collect());
        self.sums.fill(Sum::default());
        true
    }

    fn conclude(&self) -> Fitted {
        let mean = self.mean.clone().unwrap_or_default();
        let var: Vec<f64> = self.sums.iter().map(|sum| sum.value() / self.rows).collect();
        let scale = mean.iter().zip(&var).map(|(&m, &v)| scale(m, v, self.rows)).collect();
        Fitted::Standardize { mean, var, scale }
    }
}

/// The root of the variance, or 1 for a column whose variance is rounding.
fn scale(mean: f64, variance: f64, rows: f64) -> f64 {
    if is_rounding(mean, variance, rows) { 1.0 } else { variance.sqrt() }
}

/// Whether a variance is rounding: var <= n eps var + (n mean eps)^2, the bound of scikit-learn's `_is_constant_feature`.
pub(super) fn is_rounding(mean: f64, variance: f64, rows: f64) -> bool {
    let eps = f64::EPSILON;
    variance <= rows * eps * variance + (rows * mean * eps).powi(2)
}
