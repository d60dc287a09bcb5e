//! Multiplies every element by a constant: `scale(1/255)` takes pixels from 0..255 to 0..1.

use super::{Fitted, Param, Reader, Shape, Transformer};
use crate::args::{Kind, required};
use crate::text;

/// The transform `scale(factor)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    factor: f64,
}

impl Scale {
    /// The factor.
    #[must_use]
    pub fn factor(&self) -> f64 {
        self.factor
    }
}

impl Transformer for Scale {
    const SIGNATURE: &'static [Param] = &[required("factor", Kind::Number, "the factor")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { factor: args.number_where("factor", "other than 0", |x| x != 0.0)? })
    }

    fn arguments(&self) -> Vec<String> {
        let Self { factor } = self;
        vec![text::number(*factor)]
    }

    fn apply(&self, _: &Shape, _: Option<&Fitted>, row: &mut Vec<f64>) {
        row.iter_mut().for_each(|x| *x *= self.factor);
    }

    fn invert(&self, _: &Shape, _: Option<&Fitted>, row: &mut [f64]) -> bool {
        row.iter_mut().for_each(|x| *x /= self.factor);
        true
    }
}
