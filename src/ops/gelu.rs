//! Gaussian error linear unit: `y = x P(z <= x)` for standard normal z (Hendrycks and Gimpel 2016).
//!
//! `approx=none` takes the normal distribution function itself, `approx=tanh` the published approximation
//! `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`; they differ by up to 5e-4, and a checkpoint that was trained with one
//! is read with the same one. The second moment's map is unstable (elasticity 1.14 at unit variance): without a norm or a
//! skip no gain keeps the scale through many layers.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `gelu` | `[B,5]` | `[B,5]` |
//! | `gelu(approx=tanh)` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `gelu(approx=sigmoid)` | `[B,5]` | error |

use super::Activation;
use crate::args::{Kind, Param, Reader, optional};
use crate::scalar::Scalar;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// The operator `gelu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gelu {
    approx: &'static str,
}

/// The factor of the cube.
const CUBIC: f64 = 0.044_715;
/// 2 sqrt(2/pi): tanh(u) = 2 sigmoid(2u) - 1, and 1 + tanh(u) would cancel on the negative side.
const TWICE: f64 = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
/// Beyond, the gate of the approximation is 0 or 1 to the last bit (its argument exceeds 1900), while x^3 may overflow.
const SATURATED: f64 = 30.0;

/// x, constant where the gate of the approximation is saturated.
#[inline(always)]
fn bounded<S: Scalar>(x: S) -> S {
    if x.primal().abs() > SATURATED { S::constant(SATURATED.copysign(x.primal())) } else { x }
}

/// The argument of the approximation's gate.
#[inline(always)]
fn gate<S: Scalar>(x: S) -> S {
    let x = bounded(x);
    (x + x * x * x * CUBIC) * TWICE
}

impl Gelu {
    /// The same function computed the other way.
    pub(crate) fn other(&self) -> Self {
        Self { approx: if self.approx == "tanh" { "none" } else { "tanh" } }
    }
}

impl Activation for Gelu {
    const SIGNATURE: &'static [Param] = &[optional(
        "approx",
        Kind::Word(&["none", "tanh"]),
        "none",
        "whether the distribution function is computed or approximated",
    )];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { approx: args.word("approx")? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { approx } = self;
        vec![("approx", (*approx).to_owned())]
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, _: u32) -> S {
        if self.approx == "tanh" { x * gate(x).sigmoid() } else { x * (x * -FRAC_1_SQRT_2).erfc() * 0.5 }
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, _: u32) -> S {
        if self.approx == "tanh" {
            let argument = gate(x);
            let (on, off) = (argument.sigmoid(), (-argument).sigmoid());
            // One of the two is 0 where the gate is saturated.
            let x = bounded(x);
            on + x * on * off * ((x * x * (3.0 * CUBIC) + 1.0) * TWICE)
        } else {
            // Phi(x) + x phi(x), with phi(x) = exp(-x^2/2) / sqrt(2 pi). The exponent is the square of what the kernel takes: 1/sqrt(2) is
            // rounded, which changes phi(-25) by a part of 10^14.
            let z = x * -FRAC_1_SQRT_2;
            let density = (-z * z).exp() * (0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
            z.erfc() * 0.5 + x * density
        }
    }
}
