//! Limits every element to an interval: `clip(lo, hi)`.

use super::{Fitted, Param, Reader, Shape, Transformer};
use crate::args::{Kind, required};
use crate::diag::{Diagnostic, rules};
use crate::text;

/// The transform `clip(lo, hi)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    lo: f64,
    hi: f64,
}

impl Clip {
    /// The least and the greatest value.
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        (self.lo, self.hi)
    }
}

impl Transformer for Clip {
    const SIGNATURE: &'static [Param] = &[
        required("lo", Kind::Number, "the least value"),
        required("hi", Kind::Number, "the greatest value"),
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (lo, hi) = (args.number("lo"), args.number("hi"));
        let (lo, hi) = (lo?, hi?);
        if lo >= hi {
            let message =
                format!("`clip` from {} to {} leaves one value", text::number(lo), text::number(hi));
            let span = args.call_span();
            args.report(
                Diagnostic::new(&rules::OUT_OF_RANGE, span, message).remark("the lower end comes first"),
            );
            return None;
        }
        Some(Self { lo, hi })
    }

    fn arguments(&self) -> Vec<String> {
        let Self { lo, hi } = self;
        vec![text::number(*lo), text::number(*hi)]
    }

    fn apply(&self, _: &Shape, _: Option<&Fitted>, row: &mut Vec<f64>) {
        row.iter_mut().for_each(|x| *x = x.clamp(self.lo, self.hi));
    }
}
