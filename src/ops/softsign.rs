//! A sigmoid with long tails: `y = x / (1 + |x|)`.
//!
//! It approaches -1 and 1 like 1/|x| where tanh does exponentially, so that saturated units keep a small gradient (Bergstra et al.
//! 2009; Glorot and Bengio 2010). It passes 0.183 of a unit second moment and 0.228 of the gradient's energy; the scale restores
//! itself (elasticity 0.48). The slope, 1/(1 + |x|)^2, is continuous; the second derivative jumps at 0.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `softsign` | `[B,5]` | `[B,5]` |
//! | `softsign` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `softsign(2)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `softsign`.
#[derive(Clone, Debug, PartialEq)]
pub struct Softsign;

/// 1 + |x| on a piece.
fn above<S: Scalar>(x: S, piece: u32) -> S {
    if piece == 1 { x + 1.0 } else { -x + 1.0 }
}

impl Activation for Softsign {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn kinks(&self) -> &[f64] {
        &[0.0]
    }

    /// Two ways to write one function: the second has the digits of the derivative where the first is 1 to the last bit, and the first
    /// has those of the value near 0.
    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        let above = above(x, piece);
        if x.primal().abs() <= 1.0 {
            return x / above;
        }
        let rest = S::constant(1.0) / above;
        if piece == 1 { -rest + 1.0 } else { rest + -1.0 }
    }

    fn slope<S: Scalar>(&self, x: S, _: S, piece: u32) -> S {
        let rest = S::constant(1.0) / above(x, piece);
        rest * rest
    }
}
