//! `(x - min) / (max - min)` for each column.
//!
//! With `fit=SPLIT` the extremes of the split's rows are fitted and used unchanged for every other split. Rows of other splits may leave
//! [0, 1]; they are not clipped. A constant column is only shifted, as by scikit-learn's `MinMaxScaler`. With `min=`, `max=` the extremes are
//! given, one for all or one for each channel, and `from=` says whose they are. With `stats="train.nn.stats.json"` they are those that another spec has
//! fitted for columns of the same name.

use super::{
    FIT, FROM, Fitted, Fitter, Param, Reader, STATS, Shape, Sight, Split, Transformer, read_fit, read_from,
    show, spread,
};
use crate::args::{Kind, absent};
use crate::diag::{Diagnostic, rules};

/// The transform `minmax`.
#[derive(Clone, Debug, PartialEq)]
pub enum Minmax {
    /// Extremes of a split.
    Fitted(Split),
    /// Constants: min, max, and whose they are.
    Given(Vec<f64>, Vec<f64>, Option<String>),
}

impl Transformer for Minmax {
    const SIGNATURE: &'static [Param] = &[
        FIT,
        absent("min", Kind::Numbers, "given least values, one for all or one for each channel"),
        absent("max", Kind::Numbers, "given greatest values, likewise"),
        FROM,
        STATS,
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let given = ["min", "max"].map(|name| args.span_of(name).is_some());
        match (args.span_of("fit").is_some(), given) {
            (true, [false, false]) => read_fit(args)?.map(Self::Fitted),
            (false, [true, true]) => {
                let (min, max) = (args.numbers("min"), args.numbers("max"));
                let (min, max) = (min?, max?);
                let n = min.len().max(max.len());
                let pairs = (0..n).map(|i| (spread(&min, n, i), spread(&max, n, i)));
                if let Some((lo, hi)) = pairs.into_iter().find(|(lo, hi)| lo > hi) {
                    let span = args.span_of("max").unwrap_or(args.call_span());
                    let message = format!("a greatest value of {hi} below the least value {lo}");
                    args.report(Diagnostic::new(&rules::OUT_OF_RANGE, span, message));
                    return None;
                }
                Some(Self::Given(min, max, read_from(args)))
            }
            _ => {
                let span = args.call_span();
                args.report(
                    Diagnostic::new(
                        &rules::MISSING,
                        span,
                        "`minmax` needs `fit=`, or both `min=` and `max=`",
                    )
                    .help("write minmax(fit=train) for the extremes of the training split"),
                );
                None
            }
        }
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Fitted(split) => vec![format!("fit={split}")],
            Self::Given(min, max, from) => {
                let mut list = vec![format!("min={}", show(min)), format!("max={}", show(max))];
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
        let width = sight.columns.len();
        Some(Box::new(Extremes { min: vec![f64::INFINITY; width], max: vec![f64::NEG_INFINITY; width] }))
    }

    fn apply(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>) {
        let n = row.len();
        super::rescale(row, |i| range(self.extremes_at(fitted, n, i)));
    }

    fn invert(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut [f64]) -> bool {
        let n = row.len();
        super::restore(row, |i| range(self.extremes_at(fitted, n, i)));
        true
    }

    fn normalises(&self) -> bool {
        true
    }

    fn constants(&self) -> Option<usize> {
        match self {
            Self::Fitted(_) => None,
            Self::Given(min, max, _) => Some(min.len().max(max.len())),
        }
    }
}

impl Minmax {
    /// The extremes of element `i` of a row of `n`; what is fitted comes from `fitted`.
    #[must_use]
    pub fn extremes_at(&self, fitted: Option<&Fitted>, n: usize, i: usize) -> (f64, f64) {
        match (self, fitted) {
            (Self::Given(min, max, _), _) => (spread(min, n, i), spread(max, n, i)),
            (Self::Fitted(_), Some(Fitted::Minmax { min, max })) => (min[i], max[i]),
            (Self::Fitted(_), _) => unreachable!("internal: minmax without its statistics"),
        }
    }
}

/// The minimum of a column and the range that divides it.
fn range((min, max): (f64, f64)) -> (f64, f64) {
    (min, if max > min { max - min } else { 1.0 })
}

struct Extremes {
    min: Vec<f64>,
    max: Vec<f64>,
}

impl Fitter for Extremes {
    fn see(&mut self, row: &[f64]) {
        for (i, &x) in row.iter().enumerate() {
            self.min[i] = self.min[i].min(x);
            self.max[i] = self.max[i].max(x);
        }
    }

    fn end_pass(&mut self) -> bool {
        false
    }

    fn conclude(&self) -> Fitted {
        Fitted::Minmax { min: self.min.clone(), max: self.max.clone() }
    }
}
