//! Mish: `y = x tanh(ln(1 + e^x))` (Misra 2019).
//!
//! Smooth, unbounded above and bounded below, close to silu. It passes 0.452 of a unit second moment, and the second moment's map is
//! unstable (elasticity 1.08 at unit variance): an un-normalised stack shrinks or grows whatever its gain, slower than with
//! gelu or silu. It needs a norm or a skip beyond a few layers.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `mish` | `[B,5]` | `[B,5]` |
//! | `mish` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `mish(beta=1)` | `[B,5]` | error |

use super::Activation;
use crate::args::Reader;
use crate::scalar::Scalar;

/// The operator `mish`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mish;

// With w = (1 + e^x)^2, tanh(ln(1 + e^x)) = (w - 1)/(w + 1). Below 0 it is n/(n + 2) with n = e^x (e^x + 2); above, with e = e^-x,
// it is 1 - 2 e^2/v with v = 1 + 2 e + 2 e^2. Neither overflows, and neither loses digits to a difference.

/// e^-|x| and tanh(ln(1 + e^x)).
#[inline(always)]
fn gate<S: Scalar>(x: S) -> (S, S) {
    let e = x.below_zero().exp();
    let (n, v) = (small(e), large(e));
    (e, if x.primal() > 0.0 { -(e * e * 2.0 / v) + 1.0 } else { n / (n + 2.0) })
}

/// n of e^x.
#[inline(always)]
fn small<S: Scalar>(e: S) -> S {
    e * (e + 2.0)
}

/// v of e^-x.
#[inline(always)]
fn large<S: Scalar>(e: S) -> S {
    (e * (e + 1.0)) * 2.0 + 1.0
}

impl Activation for Mish {
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn value<S: Scalar>(&self, x: S, _: u32) -> S {
        x * gate(x).1
    }

    #[inline(always)]
    fn slope<S: Scalar>(&self, x: S, _: S, _: u32) -> S {
        // tanh' = 1 - tanh^2 = 4 w/(w + 1)^2, and the inner derivative is sigmoid(x).
        let (e, gate) = gate(x);
        let steep = if x.primal() > 0.0 {
            let ratio = e * (e + 1.0) / large(e);
            ratio * ratio * 4.0
        } else {
            let n = small(e);
            let below = S::constant(1.0) / (n + 2.0);
            (n + 1.0) * below * below * 4.0
        };
        gate + x * steep * x.sigmoid()
    }
}
