//! `f64` as a scalar: the fast path.

use super::Scalar;
use crate::tensor::{Product, View, ViewMut, gemm};

impl Scalar for f64 {
    const PLANES: usize = 1;

    #[inline]
    fn constant(value: f64) -> Self {
        value
    }

    #[inline]
    fn primal(self) -> f64 {
        self
    }

    #[inline]
    fn load(planes: &[f64], _: usize, at: usize) -> Self {
        planes[at]
    }

    #[inline]
    fn store(self, planes: &mut [f64], _: usize, at: usize) {
        planes[at] = self;
    }

    fn exp(self) -> Self {
        self.exp()
    }

    fn exp_m1(self) -> Self {
        self.exp_m1()
    }

    fn ln(self) -> Self {
        self.ln()
    }

    fn ln_1p(self) -> Self {
        self.ln_1p()
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }

    fn tanh(self) -> Self {
        self.tanh()
    }

    fn sin(self) -> Self {
        self.sin()
    }

    fn cos(self) -> Self {
        self.cos()
    }

    fn erf(self) -> Self {
        libm::erf(self)
    }

    fn erfc(self) -> Self {
        libm::erfc(self)
    }

    fn gemm(product: Product, a: View<'_, Self>, b: View<'_, Self>, c: &mut ViewMut<'_, Self>) {
        gemm::real(product, a.plane(0), b.plane(0), c.plane(0));
    }

    fn map(x: View<'_, Self>, out: &mut ViewMut<'_, Self>, f: impl Fn(Self) -> Self) {
        for (out, &x) in out.plane(0).iter_mut().zip(x.plane(0)) {
            *out = f(x);
        }
    }

    fn zip(
        x: View<'_, Self>,
        y: View<'_, Self>,
        out: &mut ViewMut<'_, Self>,
        f: impl Fn(Self, Self) -> Self,
    ) {
        for ((out, &x), &y) in out.plane(0).iter_mut().zip(x.plane(0)).zip(y.plane(0)) {
            *out = f(x, y);
        }
    }
}
