//! Leaky rectified linear unit: `y = x` above 0, `y = slope x` elsewhere.
//!
//! Passes (1 + slope^2)/2 of the second moment of a centred input, so the layer before it needs
//! Var(w) = 2/((1 + slope^2) fan_in), which is `he_normal(a=slope)` (He et al. 2015, eq. 15). No unit can die, because the
//! gradient is nowhere zero. The subgradient at 0 is `slope`, as in PyTorch.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `leaky_relu` | `[B,5]` | `[B,5]` |
//! | `leaky_relu(0.2)` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `leaky_relu(slope=true)` | `[B,5]` | error |

use super::Activation;
use crate::args::{Kind, Param, Reader, optional};
use crate::scalar::Scalar;

/// The operator `leaky_relu`.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakyRelu {
    slope: f64,
}

impl Activation for LeakyRelu {
    const SIGNATURE: &'static [Param] =
        &[optional("slope", Kind::Number, "0.01", "the slope below 0; PyTorch calls it negative_slope")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { slope: args.number("slope")? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { slope } = self;
        vec![("slope", super::exact(*slope))]
    }

    fn kinks(&self) -> &[f64] {
        &[0.0]
    }

    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        if piece == 1 { x } else { x * self.slope }
    }

    fn slope<S: Scalar>(&self, _: S, _: S, piece: u32) -> S {
        S::constant(if piece == 1 { 1.0 } else { self.slope })
    }
}
