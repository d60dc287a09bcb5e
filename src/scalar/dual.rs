//! Dual numbers: a value and its derivative along one direction (Clifford 1873; forward-mode differentiation).

use super::Scalar;
use crate::tensor::{Product, View, ViewMut, gemm};
use std::f64::consts::FRAC_2_SQRT_PI;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// `value + tangent * epsilon` with `epsilon^2 = 0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    /// The value.
    pub value: f64,
    /// The derivative of the value along the direction.
    pub tangent: f64,
}

impl Dual {
    /// Applies a function with the given value and slope at this point.
    fn chain(self, value: f64, slope: f64) -> Self {
        Self { value, tangent: slope * self.tangent }
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, tangent: self.tangent + other.tangent }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, tangent: self.tangent - other.tangent }
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let tangent = self.tangent * other.value + self.value * other.tangent;
        Self { value: self.value * other.value, tangent }
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self { value, tangent: (self.tangent - value * other.tangent) / other.value }
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, tangent: -self.tangent }
    }
}

impl AddAssign for Dual {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Dual {
    type Output = Self;
    fn mul(self, other: f64) -> Self {
        Self { value: self.value * other, tangent: self.tangent * other }
    }
}

impl Add<f64> for Dual {
    type Output = Self;
    fn add(self, other: f64) -> Self {
        Self { value: self.value + other, ..self }
    }
}

impl Scalar for Dual {
    const PLANES: usize = 2;

    #[inline]
    fn constant(value: f64) -> Self {
        Self { value, tangent: 0.0 }
    }

    #[inline]
    fn primal(self) -> f64 {
        self.value
    }

    #[inline]
    fn load(planes: &[f64], stride: usize, at: usize) -> Self {
        Self { value: planes[at], tangent: planes[stride + at] }
    }

    #[inline]
    fn store(self, planes: &mut [f64], stride: usize, at: usize) {
        planes[at] = self.value;
        planes[stride + at] = self.tangent;
    }

    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e)
    }

    fn exp_m1(self) -> Self {
        self.chain(self.value.exp_m1(), self.value.exp())
    }

    fn ln(self) -> Self {
        self.chain(self.value.ln(), self.value.recip())
    }

    fn ln_1p(self) -> Self {
        self.chain(self.value.ln_1p(), (1.0 + self.value).recip())
    }

    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, 0.5 / root)
    }

    fn tanh(self) -> Self {
        let t = self.value.tanh();
        // 1 - tanh^2 loses every digit once tanh rounds to 1; sech^2 does not.
        let sech = self.value.cosh().recip();
        self.chain(t, sech * sech)
    }

    fn erf(self) -> Self {
        self.chain(libm::erf(self.value), FRAC_2_SQRT_PI * (-self.value * self.value).exp())
    }

    fn erfc(self) -> Self {
        self.chain(libm::erfc(self.value), -FRAC_2_SQRT_PI * (-self.value * self.value).exp())
    }

    fn gemm(product: Product, a: View<'_, Self>, b: View<'_, Self>, c: &mut ViewMut<'_, Self>) {
        gemm::real(product, a.plane(0), b.plane(0), c.plane(0));
        gemm::real(product, a.plane(1), b.plane(0), c.plane(1));
        gemm::real(product.accumulating(), a.plane(0), b.plane(1), c.plane(1));
    }
}
