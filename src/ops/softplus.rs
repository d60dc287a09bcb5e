//! Smooth rectifier: `y = ln(1 + e^x)`, and `y = x` above 20.
//!
//! Positive everywhere, for outputs that must be positive (a rate, a standard deviation). Its mean of 0.81 at unit variance
//! makes inputs alike, so it is a poor hidden activation in deep stacks. The switch at 20 is PyTorch's: the function drops by
//! 2.1e-9 there, which a double sees; the switch is therefore a decision on the tape.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `softplus` | `[B,5]` | `[B,5]` |
//! | `softplus` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `softplus(1)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `softplus`.
#[derive(Clone, Debug, PartialEq)]
pub struct Softplus;

/// PyTorch's `threshold`: above it the function is the identity.
const THRESHOLD: f64 = 20.0;

impl Activation for Softplus {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn kinks(&self) -> &[f64] {
        &[THRESHOLD]
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        if piece == 1 { x } else { x.softplus() }
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, piece: u32) -> S {
        if piece == 1 { S::constant(1.0) } else { x.sigmoid() }
    }
}
