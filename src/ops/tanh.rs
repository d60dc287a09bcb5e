//! Hyperbolic tangent: `y = tanh(x)`.
//!
//! Odd, so a centred input stays centred, and the map of the second moment restores its scale. A gain fan_in Var(w) of 1
//! (`lecun_normal`, or `xavier_normal` at equal fans) is critical for small signals; beyond 2.5 units saturate, and a
//! saturated unit has no gradient (Glorot and Bengio 2010; Schoenholz et al. 2017).
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `tanh` | `[B,5]` | `[B,5]` |
//! | `tanh` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `tanh(1)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `tanh`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tanh;

impl Activation for Tanh {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, _: u32) -> S {
        x.tanh()
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, _: u32) -> S {
        // sech^2(x) = 4 e^(-2|x|) / (1 + e^(-2|x|))^2; 1 - y^2 has no digits left once y rounds to 1.
        let e = (x.abs() * -2.0).exp();
        let sum = e + 1.0;
        e * 4.0 / (sum * sum)
    }
}
