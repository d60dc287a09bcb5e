//! Single precision: what networks are trained in.
//!
//! Contract: a number of 24 bits that lives in the planes of an `f64`; every operation rounds its result. Matrix products are summed in
//! double precision and rounded once, which is a little kinder than hardware.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};
use wellposed::scalar::Scalar;
use wellposed::tensor::{Product, View, ViewMut};

#[derive(Clone, Copy, Debug)]
pub struct Single(f64);

/// Rounds to single precision.
#[expect(clippy::cast_possible_truncation, reason = "that is the purpose")]
pub fn round(x: f64) -> f64 {
    f64::from(x as f32)
}

fn rounded(x: f64) -> Single {
    Single(round(x))
}

impl Add for Single {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        rounded(self.0 + other.0)
    }
}

impl Sub for Single {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        rounded(self.0 - other.0)
    }
}

impl Mul for Single {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        rounded(self.0 * other.0)
    }
}

impl Div for Single {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        rounded(self.0 / other.0)
    }
}

impl Neg for Single {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Single {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Single {
    type Output = Self;
    fn mul(self, other: f64) -> Self {
        rounded(self.0 * other)
    }
}

impl Add<f64> for Single {
    type Output = Self;
    fn add(self, other: f64) -> Self {
        rounded(self.0 + other)
    }
}

impl Scalar for Single {
    const PLANES: usize = 1;

    fn constant(value: f64) -> Self {
        rounded(value)
    }

    fn primal(self) -> f64 {
        self.0
    }

    fn load(planes: &[f64], _: usize, at: usize) -> Self {
        Self(planes[at])
    }

    fn store(self, planes: &mut [f64], _: usize, at: usize) {
        planes[at] = self.0;
    }

    fn exp(self) -> Self {
        rounded(self.0.exp())
    }

    fn exp_m1(self) -> Self {
        rounded(self.0.exp_m1())
    }

    fn ln(self) -> Self {
        rounded(self.0.ln())
    }

    fn ln_1p(self) -> Self {
        rounded(self.0.ln_1p())
    }

    fn sqrt(self) -> Self {
        rounded(self.0.sqrt())
    }

    fn tanh(self) -> Self {
        rounded(self.0.tanh())
    }

    fn sin(self) -> Self {
        rounded(self.0.sin())
    }

    fn cos(self) -> Self {
        rounded(self.0.cos())
    }

    fn erf(self) -> Self {
        rounded(Scalar::erf(self.0))
    }

    fn erfc(self) -> Self {
        rounded(Scalar::erfc(self.0))
    }

    fn gemm(product: Product, a: View<'_, Self>, b: View<'_, Self>, c: &mut ViewMut<'_, Self>) {
        f64::gemm(product, a.planes_from(0), b.planes_from(0), &mut c.planes_from(0));
        c.plane(0).iter_mut().for_each(|x| *x = round(*x));
    }
}
