//! Mean absolute error: `L = |output - target|`, averaged over samples and elements.
//!
//! The gradient has the same size however small the difference is, so a fixed learning rate ends in a jitter of its own size;
//! outliers weigh no more than other rows. The subgradient where output and target are equal is 0, as in PyTorch. The target
//! has the output's shape.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `mae` | `[B,3]` `[B,3]` | `[B]` |
//! | `mae` | `[B]` `[B]` | `[B]` |
//! | `mae` | `[B,2,3]` `[B,2,3]` | `[B]` |
//! | `mae` | `[B,3]` `[B,1]` | error |
//! | `mae` | `[B]` `class[B]` | error |

use super::pairwise::{Pairwise, loss};
use crate::args::Reader;
use crate::scalar::Scalar;

/// The loss `mae(output, target)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mae;

loss!(Mae);

/// The sign of the difference on each piece: below, equal, above.
fn sign(piece: u32) -> f64 {
    f64::from(piece) - 1.0
}

impl Pairwise for Mae {
    const NAME: &'static str = "mae";

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn kinks(&self) -> Vec<f64> {
        vec![0.0]
    }

    fn piece(&self, x: f64, y: f64) -> u32 {
        let difference = x - y;
        1 + u32::from(difference > 0.0) - u32::from(difference < 0.0)
    }

    fn value<S: Scalar>(&self, x: S, y: S, piece: u32) -> S {
        (x - y) * sign(piece)
    }

    fn slope<S: Scalar>(&self, _: S, _: S, piece: u32) -> S {
        S::constant(sign(piece))
    }
}
