//! Dual numbers: a value and its derivatives along one or several directions (Clifford 1873; forward-mode differentiation).
//!
//! Contract: the derivative of each elementary function stands here once, for every kind of dual number: over `f64` or over
//! double-doubles, with one direction or with many. A slope is computed in a form that does not cancel where the function
//! saturates.

use super::{Double, Scalar};
use crate::tensor::{Product, View, ViewMut};
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// `value + tangent * epsilon` with `epsilon^2 = 0`; the tangent is one number or one for each direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DualOf<T, V = T> {
    /// The value.
    pub value: T,
    /// The derivative of the value along the direction, or along each of them.
    pub tangent: V,
}

/// A value and its derivative along one direction.
pub type Dual = DualOf<f64>;

/// The same in double-double numbers.
pub type DoubleDual = DualOf<Double>;

/// The derivatives along some directions.
pub trait Tangent<T>: Copy + Debug + Send + Sync + 'static {
    /// How many directions there are.
    const DIRECTIONS: usize;

    /// The derivative that `f` gives for each direction.
    fn from_fn(f: impl FnMut(usize) -> T) -> Self;

    /// The derivative along one direction.
    fn along(&self, direction: usize) -> T;
}

impl<T: Scalar> Tangent<T> for T {
    const DIRECTIONS: usize = 1;

    fn from_fn(mut f: impl FnMut(usize) -> T) -> Self {
        f(0)
    }

    fn along(&self, _: usize) -> T {
        *self
    }
}

impl<T: Scalar, V: Tangent<T>> DualOf<T, V> {
    /// The result of a function with the given value and slope at this point.
    fn chain(self, value: T, slope: T) -> Self {
        self.each(value, |tangent| slope * tangent)
    }

    /// A value with a linear function of each derivative.
    fn each(self, value: T, f: impl Fn(T) -> T) -> Self {
        Self { value, tangent: V::from_fn(|i| f(self.tangent.along(i))) }
    }

    /// A value with a linear function of both derivatives along each direction.
    fn both(self, other: Self, value: T, f: impl Fn(T, T) -> T) -> Self {
        let tangent = V::from_fn(|i| f(self.tangent.along(i), other.tangent.along(i)));
        Self { value, tangent }
    }

    /// The planes of the derivatives along a direction begin here.
    const fn first_plane(direction: usize) -> usize {
        (1 + direction) * T::PLANES
    }
}

impl<T: Scalar, V: Tangent<T>> Add for DualOf<T, V> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.both(other, self.value + other.value, |a, b| a + b)
    }
}

impl<T: Scalar, V: Tangent<T>> Sub for DualOf<T, V> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.both(other, self.value - other.value, |a, b| a - b)
    }
}

impl<T: Scalar, V: Tangent<T>> Mul for DualOf<T, V> {
    type Output = Self;
    #[expect(clippy::suspicious_arithmetic_impl, reason = "the product rule adds")]
    fn mul(self, other: Self) -> Self {
        self.both(other, self.value * other.value, |a, b| a * other.value + self.value * b)
    }
}

impl<T: Scalar, V: Tangent<T>> Div for DualOf<T, V> {
    type Output = Self;
    #[expect(clippy::suspicious_arithmetic_impl, reason = "the quotient rule multiplies and subtracts")]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        self.both(other, value, |a, b| (a - value * b) / other.value)
    }
}

impl<T: Scalar, V: Tangent<T>> Neg for DualOf<T, V> {
    type Output = Self;
    fn neg(self) -> Self {
        self.each(-self.value, |a| -a)
    }
}

impl<T: Scalar, V: Tangent<T>> AddAssign for DualOf<T, V> {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<T: Scalar, V: Tangent<T>> Mul<f64> for DualOf<T, V> {
    type Output = Self;
    fn mul(self, other: f64) -> Self {
        self.each(self.value * other, |a| a * other)
    }
}

impl<T: Scalar, V: Tangent<T>> Add<f64> for DualOf<T, V> {
    type Output = Self;
    fn add(self, other: f64) -> Self {
        Self { value: self.value + other, ..self }
    }
}

impl<T: Scalar, V: Tangent<T>> Scalar for DualOf<T, V> {
    const PLANES: usize = T::PLANES * (1 + V::DIRECTIONS);

    #[inline]
    fn constant(value: f64) -> Self {
        Self { value: T::constant(value), tangent: V::from_fn(|_| T::constant(0.0)) }
    }

    fn two_over_sqrt_pi() -> Self {
        Self { value: T::two_over_sqrt_pi(), ..Self::constant(0.0) }
    }

    #[inline]
    fn primal(self) -> f64 {
        self.value.primal()
    }

    #[inline]
    fn load(planes: &[f64], stride: usize, at: usize) -> Self {
        let tangent = V::from_fn(|i| T::load(&planes[Self::first_plane(i) * stride..], stride, at));
        Self { value: T::load(planes, stride, at), tangent }
    }

    #[inline]
    fn store(self, planes: &mut [f64], stride: usize, at: usize) {
        self.value.store(planes, stride, at);
        for i in 0..V::DIRECTIONS {
            self.tangent.along(i).store(&mut planes[Self::first_plane(i) * stride..], stride, at);
        }
    }

    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e)
    }

    fn exp_m1(self) -> Self {
        self.chain(self.value.exp_m1(), self.value.exp())
    }

    fn ln(self) -> Self {
        self.chain(self.value.ln(), T::constant(1.0) / self.value)
    }

    fn ln_1p(self) -> Self {
        self.chain(self.value.ln_1p(), T::constant(1.0) / (self.value + 1.0))
    }

    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, T::constant(0.5) / root)
    }

    fn tanh(self) -> Self {
        // 1 - tanh^2 = 4 e^(-2|x|) / (1 + e^(-2|x|))^2: the left side has lost every digit once tanh rounds to 1.
        let x = self.value;
        let e = (x.below_zero() * 2.0).exp();
        let sum = e + 1.0;
        self.chain(x.tanh(), e * 4.0 / (sum * sum))
    }

    fn sin(self) -> Self {
        self.chain(self.value.sin(), self.value.cos())
    }

    fn cos(self) -> Self {
        self.chain(self.value.cos(), -self.value.sin())
    }

    fn erf(self) -> Self {
        let x = self.value;
        self.chain(x.erf(), T::two_over_sqrt_pi() * (-x * x).exp())
    }

    fn erfc(self) -> Self {
        let x = self.value;
        self.chain(x.erfc(), -(T::two_over_sqrt_pi() * (-x * x).exp()))
    }

    /// The product of the values, and two for each direction.
    fn gemm(product: Product, a: View<'_, Self>, b: View<'_, Self>, c: &mut ViewMut<'_, Self>) {
        let (a_value, b_value) = (a.planes_from::<T>(0), b.planes_from::<T>(0));
        T::gemm(product, a_value, b_value, &mut c.planes_from(0));
        for i in 0..V::DIRECTIONS {
            let first = Self::first_plane(i);
            T::gemm(product, a.planes_from(first), b_value, &mut c.planes_from(first));
            T::gemm(product.accumulating(), a_value, b.planes_from(first), &mut c.planes_from(first));
        }
    }
}
