//! The identity between two bounds: `y = min(max(x, lo), hi)`.
//!
//! With the default bounds a cheap tanh, and with `lo=0` a map to probabilities that reaches 0 and 1. It passes 0.516 of a unit second
//! moment and 0.683 of the gradient's energy; the scale restores itself (elasticity 0.385), so any gain fan_in Var(w)
//! between 1 and 1.94 keeps deep stacks alive. Outside of the bounds there is no gradient: a unit that starts there stays there.
//! The subgradient is 0 at both bounds, as in PyTorch (`min_val`, `max_val`).
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `hardtanh` | `[B,5]` | `[B,5]` |
//! | `hardtanh(lo=0)` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `hardtanh(-0.5, 2)` | `[B,3,2]` | `[B,3,2]` |
//! | `hardtanh(lo=1)` | `[B,5]` | error |
//! | `hardtanh(hi=-2)` | `[B,5]` | error |

use super::Activation;
use crate::args::{Kind, Param, Reader, optional};
use crate::diag::{Diagnostic, rules};
use crate::scalar::Scalar;

/// The operator `hardtanh`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardtanh {
    /// The lower and the upper bound.
    bounds: [f64; 2],
}

impl Activation for Hardtanh {
    const SIGNATURE: &'static [Param] = &[
        optional("lo", Kind::Number, "-1", "the lower bound"),
        optional("hi", Kind::Number, "1", "the upper bound, above the lower one"),
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (lo, hi) = (args.number("lo"), args.number("hi"));
        let (lo, hi) = (lo?, hi?);
        if lo < hi {
            return Some(Self { bounds: [lo, hi] });
        }
        let span = args.span_of("hi").or(args.span_of("lo")).unwrap_or(args.call_span());
        let (lo, hi) = (super::exact(lo), super::exact(hi));
        let message = format!("`hardtanh` has the bounds {lo} and {hi}");
        args.report(Diagnostic::new(&rules::OUT_OF_RANGE, span, message).remark("`hi` must be above `lo`"));
        None
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { bounds: [lo, hi] } = self;
        vec![("lo", super::exact(*lo)), ("hi", super::exact(*hi))]
    }

    fn kinks(&self) -> &[f64] {
        &self.bounds
    }

    /// NaN lies on the middle piece, so that it stays visible.
    fn piece(&self, x: f64) -> u32 {
        1 - u32::from(x <= self.bounds[0]) + u32::from(x >= self.bounds[1])
    }

    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        match piece {
            0 => S::constant(self.bounds[0]),
            1 => x,
            _ => S::constant(self.bounds[1]),
        }
    }

    fn slope<S: Scalar>(&self, _: S, _: S, piece: u32) -> S {
        S::constant(f64::from(u8::from(piece == 1)))
    }
}
