//! Scaled exponential linear unit: `y = scale x` above 0, `y = scale alpha (e^x - 1)` elsewhere.
//!
//! `scale` 1.0507 and `alpha` 1.6733 are the constants for which mean 0 and variance 1 are a stable fixed point behind
//! weights with Var(w) = 1/fan_in (`lecun_normal`; Klambauer et al. 2017). He or Xavier weights and plain dropout leave
//! that fixed point. The subgradient at 0 is `scale alpha`, as in PyTorch.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `selu` | `[B,5]` | `[B,5]` |
//! | `selu` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `selu(1)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The constants of Klambauer et al. 2017 with the digits that PyTorch has.
const ALPHA: f64 = 1.673_263_242_354_377_2;
const SCALE: f64 = 1.050_700_987_355_480_5;

/// What it tends to for very negative inputs.
pub(super) const SATURATION: f64 = -SCALE * ALPHA;

/// The operator `selu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selu;

impl Activation for Selu {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn kinks(&self) -> &[f64] {
        &[0.0]
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, piece: u32) -> S {
        if piece == 1 { x * SCALE } else { x.exp_m1() * (ALPHA * SCALE) }
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, piece: u32) -> S {
        if piece == 1 { S::constant(SCALE) } else { x.exp() * (ALPHA * SCALE) }
    }
}
