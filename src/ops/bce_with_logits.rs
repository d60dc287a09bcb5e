//! Binary cross-entropy of logits: `L = ln(1 + e^x) - y x` for a logit x and a target y in 0..1, averaged over samples and
//! elements.
//!
//! The logits go in without a sigmoid: with one, the loss has a second, flat sigmoid inside and its gradient is a quarter or
//! less of what it should be. The target is of the output's shape, or class labels of two classes, which may lack the
//! output's last axis where that has one element: `[B,1]` against `class(2)`. With logits near 0 the loss at initialisation
//! is ln 2.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `bce_with_logits` | `[B,3]` `[B,3]` | `[B]` |
//! | `bce_with_logits` | `[B,1]` `class[B]` | `[B]` |
//! | `bce_with_logits` | `[B]` `class[B]` | `[B]` |
//! | `bce_with_logits` | `[B,2,3]` `class[B,2,3]` | `[B]` |
//! | `bce_with_logits` | `[B,1]` `[B]` | error |
//! | `bce_with_logits` | `[B,3]` `class[B]` | error |

use super::Shape;
use super::pairwise::{Pairwise, loss, plain};
use crate::args::Reader;
use crate::moments::{Gaussian, Moments};
use crate::scalar::Scalar;

/// The loss `bce_with_logits(logits, target)`.
#[derive(Clone, Debug, PartialEq)]
pub struct BceWithLogits;

loss!(BceWithLogits);

impl Pairwise for BceWithLogits {
    const NAME: &'static str = "bce_with_logits";

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn value<S: Scalar>(&self, x: S, y: S, _: u32) -> S {
        // (1 - y) ln(1 + e^x) + y ln(1 + e^-x): ln(1 + e^x) - y x would cancel for a large logit on the right side.
        (-y + 1.0) * x.softplus() + y * (-x).softplus()
    }

    fn slope<S: Scalar>(&self, x: S, y: S, _: u32) -> S {
        // sigmoid(x) - y, without cancellation for the same reason.
        (-y + 1.0) * x.sigmoid() - y * (-x).sigmoid()
    }

    /// Labels have no axis for the one logit of a sample. That numbers may not leave it out is said where the target's kind is
    /// known, in lowering.
    fn fits(output: &Shape, target: &Shape) -> bool {
        output == target || output.sample().split_last() == Some((&1, target.sample()))
    }

    /// Labels count as balanced and independent of the logits: E L = E ln(1 + e^x) - E x / 2.
    fn expected(&self, x: &Moments, _: &Moments) -> (f64, f64) {
        let (mean, variance) = plain(x);
        let logit = Gaussian { mean, variance, decorrelation: 1.0 };
        let of = |label: f64| logit.through(&|x| self.value(x, label, 0), &[]);
        let (no, yes) = (of(0.0), of(1.0));
        (0.5 * (no.mean + yes.mean), 0.5 * (no.square + yes.square))
    }
}
