//! A uniform distribution with stated ends: `uniform(a)` on [-a, a) or `uniform(lo, hi)`.
//!
//! The scale does not follow the width (see `normal`). `uniform(0, 1)`, what a bare random generator returns, has mean
//! 1/2 and makes every unit of a layer add up its inputs with the same sign.
//!
//! Mean (lo + hi) / 2, variance (hi - lo)^2 / 12.

use super::{Initializer, Target, scaling};
use crate::args::{Kind, Param, Reader, absent};
use crate::diag::{Diagnostic, rules};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `uniform`.
#[derive(Clone, Debug, PartialEq)]
pub struct Uniform {
    lo: f64,
    hi: f64,
}

impl Initializer for Uniform {
    const SIGNATURE: &'static [Param] = &[
        absent("a", Kind::Number, "half the width of the interval [-a, a)"),
        absent("lo", Kind::Number, "the lower end; of two positional numbers the first"),
        absent("hi", Kind::Number, "the upper end"),
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let given = ["a", "lo", "hi"].map(|name| args.span_of(name).is_some());
        let span = args.call_span();
        let (lo, hi) = match given {
            [true, false, false] => {
                let a = args.number_where("a", "at least 0", |x| x >= 0.0)?;
                (-a, a)
            }
            [false, true, true] => {
                let (lo, hi) = (args.number("lo"), args.number("hi"));
                (lo?, hi?)
            }
            _ => {
                args.report(
                    Diagnostic::new(&rules::MISSING, span, "`uniform` needs its ends")
                        .help("write `uniform(a)` for [-a, a), or `uniform(lo, hi)`"),
                );
                return None;
            }
        };
        if lo > hi {
            let message = format!("`uniform` from {} to {} is empty", text::number(lo), text::number(hi));
            args.report(
                Diagnostic::new(&rules::OUT_OF_RANGE, span, message).remark("the lower end comes first"),
            );
            return None;
        }
        Some(Self { lo, hi })
    }

    fn positional(n: usize) -> Option<&'static [&'static str]> {
        (n == 2).then_some(&["lo", "hi"])
    }

    fn mean(&self) -> f64 {
        f64::midpoint(self.lo, self.hi)
    }

    fn variance(&self, _: Target<'_>) -> f64 {
        (self.hi - self.lo).powi(2) / 12.0
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        scaling::uniform(target.elements(), self.lo, self.hi, generator)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { lo, hi } = self;
        if *lo == -*hi { vec![text::number(*hi)] } else { vec![text::number(*lo), text::number(*hi)] }
    }
}
