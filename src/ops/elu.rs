//! Exponential linear unit: `y = x` above 0, `y = alpha (e^x - 1)` elsewhere.
//!
//! The negative side saturates at -alpha, which pulls the mean of the output towards 0 (Clevert et al. 2016). The map of
//! the second moment restores its scale (elasticity 0.89 at unit variance), so any gain fan_in Var(w) between 1 and 1.55
//! keeps deep stacks alive. The function is smooth only for alpha = 1; the subgradient at 0 is alpha, as in PyTorch.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `elu` | `[B,5]` | `[B,5]` |
//! | `elu(0.5)` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `elu(beta=1)` | `[B,5]` | error |

use super::Activation;
use crate::args::{Kind, Param, Reader, optional};
use crate::scalar::Scalar;

/// The operator `elu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Elu {
    alpha: f64,
}

impl Activation for Elu {
    const SIGNATURE: &'static [Param] =
        &[optional("alpha", Kind::Number, "1", "the negative side saturates at -alpha")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { alpha: args.number("alpha")? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { alpha } = self;
        vec![("alpha", super::exact(*alpha))]
    }

    fn kinks(&self) -> &[f64] {
        &[0.0]
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        if piece == 1 { x } else { x.exp_m1() * self.alpha }
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, piece: u32) -> S {
        // y + alpha would cancel where the unit saturates.
        if piece == 1 { S::constant(1.0) } else { x.exp() * self.alpha }
    }
}
