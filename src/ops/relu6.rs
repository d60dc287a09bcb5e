//! Rectified linear unit that is cut off at 6: `y = min(max(x, 0), 6)`.
//!
//! The bound keeps values within what few bits represent (Krizhevsky 2010; Howard et al. 2017, MobileNet). At initialisation it is
//! a ReLU: of unit signals 1e-9 lie above 6, so half of the second moment passes and the layer before it needs
//! Var(w) = 2/fan_in (`he_normal`). Where signals grow it saturates, and a unit that stays above 6 has no gradient. The subgradient
//! is 0 at 0 and at 6, as in PyTorch.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `relu6` | `[B,5]` | `[B,5]` |
//! | `relu6` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `relu6(8)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `relu6`.
#[derive(Clone, Debug, PartialEq)]
pub struct Relu6;

/// Where it is cut off.
const MOST: f64 = 6.0;

impl Activation for Relu6 {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn kinks(&self) -> &[f64] {
        &[0.0, MOST]
    }

    /// NaN lies on the middle piece, so that it stays visible.
    fn piece(&self, x: f64) -> u32 {
        1 - u32::from(x <= 0.0) + u32::from(x >= MOST)
    }

    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        match piece {
            0 => S::constant(0.0),
            1 => x,
            _ => S::constant(MOST),
        }
    }

    fn slope<S: Scalar>(&self, _: S, _: S, piece: u32) -> S {
        S::constant(f64::from(u8::from(piece == 1)))
    }
}
