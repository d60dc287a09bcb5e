//! Logistic function: `y = 1 / (1 + e^-x)`.
//!
//! Its outputs have mean 1/2 and its slope is at most 1/4: behind weights that keep the forward scale each layer keeps 15 %
//! of the gradient's energy, and two inputs become alike. It belongs at the output or in a gate; between hidden layers no
//! initialisation makes more than about three of them trainable. In front of a loss on logits (`bce_with_logits`) it is
//! applied twice.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `sigmoid` | `[B,5]` | `[B,5]` |
//! | `sigmoid` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `sigmoid(1)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `sigmoid`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sigmoid;

impl Activation for Sigmoid {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, _: u32) -> S {
        x.sigmoid()
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, _: u32) -> S {
        // y (1 - y) has no digits left once y rounds to 1; 1 - y is sigmoid(-x).
        x.sigmoid() * (-x).sigmoid()
    }
}
