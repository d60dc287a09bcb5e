//! The numbers that kernels run on.
//!
//! Contract: forward kernels and reverse rules are written once, generic over [`Scalar`]. `f64` computes values,
//! [`Dual`] a value and its derivative along one direction, [`Lanes`] along eight, so that the tangent of a kernel follows
//! from its forward code alone and cannot share a mistake with the hand-written reverse rule. [`Double`] has twice the
//! digits, which tells rounding from a mistake, and [`DoubleDual`] is the dual number over it. A scalar is stored as
//! [`PLANES`](Scalar::PLANES) separate planes of `f64`, so that a matrix product of duals is three real ones.
//! Every elementary function here is smooth; kernels take discrete decisions on [`primal`](Scalar::primal) values and
//! put them on the tape.

mod double_double;
mod dual;
mod lanes;
mod real;

pub use double_double::Double;
pub use dual::{DoubleDual, Dual, DualOf, Tangent};
pub use lanes::{Lanes, WIDTH};

use crate::tensor::{Product, View, ViewMut};
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A real number, or one that carries more than its value.
pub trait Scalar:
    Copy
    + Debug
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + Mul<f64, Output = Self>
    + Add<f64, Output = Self>
{
    /// How many `f64` make one scalar.
    const PLANES: usize;

    /// A constant.
    fn constant(value: f64) -> Self;

    /// 2/sqrt(pi), the slope of the error function at 0, to all digits of the scalar.
    #[must_use]
    fn two_over_sqrt_pi() -> Self {
        Self::constant(std::f64::consts::FRAC_2_SQRT_PI)
    }

    /// The plain value, on which decisions are taken.
    fn primal(self) -> f64;

    /// Reads element `at` of planes that are `stride` apart.
    fn load(planes: &[f64], stride: usize, at: usize) -> Self;

    /// Writes element `at` of planes that are `stride` apart.
    fn store(self, planes: &mut [f64], stride: usize, at: usize);

    /// e^x.
    fn exp(self) -> Self;
    /// e^x - 1, exact near 0.
    fn exp_m1(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x), exact near 0.
    fn ln_1p(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The sine.
    fn sin(self) -> Self;
    /// The cosine.
    fn cos(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// 1 - erf(x), with all its digits where erf rounds to 1.
    fn erfc(self) -> Self;

    /// -|x|, on which exponentials do not overflow, with the derivative of x at 0.
    #[must_use]
    fn below_zero(self) -> Self {
        if self.primal() > 0.0 { -self } else { self }
    }

    /// The logistic function 1 / (1 + e^-x), without overflow on either side.
    #[must_use]
    fn sigmoid(self) -> Self {
        if self.primal() >= 0.0 {
            Self::constant(1.0) / ((-self).exp() + 1.0)
        } else {
            let e = self.exp();
            e / (e + 1.0)
        }
    }

    /// ln(1 + e^x), without overflow on either side.
    #[must_use]
    fn softplus(self) -> Self {
        if self.primal() > 0.0 { self + (-self).exp().ln_1p() } else { self.exp().ln_1p() }
    }

    /// |x|; the derivative at 0 is 0.
    #[must_use]
    fn abs(self) -> Self {
        if self.primal() > 0.0 {
            self
        } else if self.primal() < 0.0 {
            -self
        } else {
            self * 0.0
        }
    }

    /// `c = a b`, or `c += a b`.
    fn gemm(product: Product, a: View<'_, Self>, b: View<'_, Self>, c: &mut ViewMut<'_, Self>);

    /// `out[i] = f(x[i])`; all lengths are equal. Closures say `#[inline(always)]`, without which the loop would not become vector code.
    fn map(x: View<'_, Self>, out: &mut ViewMut<'_, Self>, f: impl Fn(Self) -> Self) {
        for i in 0..x.len() {
            out.set(i, f(x.at(i)));
        }
    }

    /// `out[i] = f(x[i], y[i], z[i])`; all lengths are equal.
    fn zip(
        x: View<'_, Self>,
        y: View<'_, Self>,
        z: View<'_, Self>,
        out: &mut ViewMut<'_, Self>,
        f: impl Fn(Self, Self, Self) -> Self,
    ) {
        for i in 0..x.len() {
            out.set(i, f(x.at(i), y.at(i), z.at(i)));
        }
    }
}
