//! Swish of straight lines: `y = x min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, MobileNetV3).
//!
//! 0 up to -3, a parabola to 3, the identity from there. It passes 0.332 of a unit second moment, and the map of the second moment is
//! the most unstable of the usual activations (elasticity 1.22): an un-normalised stack shrinks or grows whatever its gain.
//! It needs a norm or a skip beyond a few layers. At -3 and 3 the subgradient is that of the parabola.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `hardswish` | `[B,5]` | `[B,5]` |
//! | `hardswish` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `hardswish(beta=1)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `hardswish`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardswish;

/// Where the parabola begins and ends.
const EDGE: f64 = 3.0;

impl Activation for Hardswish {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn kinks(&self) -> &[f64] {
        &[-EDGE, EDGE]
    }

    fn piece(&self, x: f64) -> u32 {
        1 - u32::from(x < -EDGE) + u32::from(x > EDGE)
    }

    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        match piece {
            0 => S::constant(0.0),
            1 => x * (x + EDGE) * (0.5 / EDGE),
            _ => x,
        }
    }

    fn slope<S: Scalar>(&self, x: S, _: S, piece: u32) -> S {
        match piece {
            0 => S::constant(0.0),
            1 => x * (1.0 / EDGE) + 0.5,
            _ => S::constant(1.0),
        }
    }
}
