//! Mean squared error: `L = (output - target)^2`, averaged over samples and elements.
//!
//! The gradient is proportional to the difference, so targets of scale 1000 need a learning rate a million times smaller than
//! standardised ones, and one outlier outweighs a batch; standardise the target, or use `huber`. With an output near 0
//! the loss at initialisation is the second moment of the target. The target has the output's shape.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `mse` | `[B,3]` `[B,3]` | `[B]` |
//! | `mse` | `[B]` `[B]` | `[B]` |
//! | `mse` | `[B,2,3]` `[B,2,3]` | `[B]` |
//! | `mse` | `[B,1]` `[B]` | error |
//! | `mse` | `[B,3]` `class[B]` | error |

use super::pairwise::{Pairwise, loss};
use crate::args::Reader;
use crate::scalar::Scalar;

/// The loss `mse(output, target)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mse;

loss!(Mse);

impl Pairwise for Mse {
    const NAME: &'static str = "mse";

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn value<S: Scalar>(&self, x: S, y: S, _: u32) -> S {
        let difference = x - y;
        difference * difference
    }

    fn slope<S: Scalar>(&self, x: S, y: S, _: u32) -> S {
        (x - y) * 2.0
    }
}
