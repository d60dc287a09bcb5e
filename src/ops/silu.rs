//! Sigmoid linear unit, also called swish: `y = x / (1 + e^-x)` (Elfwing et al. 2018).
//!
//! The second moment's map is unstable (elasticity 1.17 at unit variance): small signals are halved and large ones pass
//! whole, so that an un-normalised stack shrinks or grows whatever its gain. It needs a norm or a skip beyond a few layers.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `silu` | `[B,5]` | `[B,5]` |
//! | `silu` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `silu(beta=1)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `silu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Silu;

impl Activation for Silu {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, _: u32) -> S {
        x * x.sigmoid()
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, _: u32) -> S {
        // 1 - sigmoid(x) is sigmoid(-x), without cancellation.
        x.sigmoid() * (x * (-x).sigmoid() + 1.0)
    }
}
