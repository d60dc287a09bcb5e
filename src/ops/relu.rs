//! Rectified linear unit: `y = max(x, 0)`.
//!
//! Passes half of the second moment of a centred input, so the layer before it needs Var(w) = 2/fan_in (`he_normal`,
//! `he_uniform`; He et al. 2015). The subgradient at 0 is 0, as in PyTorch.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `relu` | `[B,5]` | `[B,5]` |
//! | `relu` | `[B,2,3,3]` | `[B,2,3,3]` |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `relu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Relu;

impl Activation for Relu {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn kinks(&self) -> &[f64] {
        &[0.0]
    }

    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        if piece == 1 { x } else { S::constant(0.0) }
    }

    fn slope<S: Scalar>(&self, _: S, _: S, piece: u32) -> S {
        S::constant(f64::from(piece))
    }
}
