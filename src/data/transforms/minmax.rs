//! `(x - min) / (max - min)` for each column, with the extremes of one split.
//!
//! Rows of other splits may leave [0, 1]; they are not clipped. A constant column is only shifted, as by scikit-learn's
//! `MinMaxScaler`.

use super::{FIT, Fitted, Fitter, Param, Reader, Shape, Split, Transformer, read_fit};
use crate::diag::{Diagnostic, rules};

/// The transform `minmax`.
#[derive(Clone, Debug, PartialEq)]
pub struct Minmax {
    fit: Split,
}

impl Transformer for Minmax {
    const SIGNATURE: &'static [Param] = &[FIT];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let Some(fit) = read_fit(args)? else {
            let span = args.call_span();
            args.report(
                Diagnostic::new(&rules::MISSING, span, "`minmax` needs `fit=`")
                    .help("write minmax(fit=train)"),
            );
            return None;
        };
        Some(Self { fit })
    }

    fn arguments(&self) -> Vec<String> {
        let Self { fit } = self;
        vec![format!("fit={fit}")]
    }

    fn fit(&self) -> Option<Split> {
        Some(self.fit)
    }

    fn fitter(&self, width: usize) -> Option<Box<dyn Fitter>> {
        Some(Box::new(Extremes { min: vec![f64::INFINITY; width], max: vec![f64::NEG_INFINITY; width] }))
    }

    fn apply(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>) {
        for (i, x) in row.iter_mut().enumerate() {
            let (min, range) = extremes(fitted, i);
            *x = (*x - min) / range;
        }
    }

    fn invert(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut [f64]) -> bool {
        for (i, x) in row.iter_mut().enumerate() {
            let (min, range) = extremes(fitted, i);
            *x = *x * range + min;
        }
        true
    }

    fn normalises(&self) -> bool {
        true
    }
}

/// The minimum of a column and the range that divides it.
fn extremes(fitted: Option<&Fitted>, i: usize) -> (f64, f64) {
    match fitted {
        Some(Fitted::Minmax { min, max }) if max[i] > min[i] => (min[i], max[i] - min[i]),
        Some(Fitted::Minmax { min, .. }) => (min[i], 1.0),
        _ => unreachable!("internal: minmax without its statistics"),
    }
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
