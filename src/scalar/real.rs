//! `f64` as a scalar: the fast path.
//!
//! Contract: all functions but ln, sin and cos, which are few in a net, are this product's own and made of operations that IEEE 754
//! defines to the last bit, so that they give the same bits on every machine. None has a branch or a call: inlined into the loop of
//! [`Scalar::map`] or [`Scalar::zip`] it becomes vector code, in the widest registers that the processor has.

mod error_function;
mod exponential;
mod logarithm;
mod parts;
mod wide;

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

    #[inline(always)]
    fn exp(self) -> Self {
        exponential::exp(self)
    }

    #[inline(always)]
    fn exp_m1(self) -> Self {
        exponential::exp_m1(self)
    }

    fn ln(self) -> Self {
        self.ln()
    }

    #[inline(always)]
    fn ln_1p(self) -> Self {
        logarithm::ln_1p(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        exponential::tanh(self)
    }

    fn sin(self) -> Self {
        self.sin()
    }

    fn cos(self) -> Self {
        self.cos()
    }

    #[inline(always)]
    fn erf(self) -> Self {
        error_function::erf(self)
    }

    #[inline(always)]
    fn erfc(self) -> Self {
        error_function::erfc(self)
    }

    // This and the next three are the trait's with one choice by the sign: of two the compiler would compute both sides.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        exponential::sigmoid(self)
    }

    #[inline(always)]
    fn softplus(self) -> Self {
        logarithm::softplus(self)
    }

    #[inline(always)]
    fn below_zero(self) -> Self {
        -self.abs()
    }

    #[inline(always)]
    fn abs(self) -> Self {
        self.abs()
    }

    fn gemm(product: Product, a: View<'_, Self>, b: View<'_, Self>, c: &mut ViewMut<'_, Self>) {
        gemm::real(product, a.plane(0), b.plane(0), c.plane(0));
    }

    #[inline]
    fn map(x: View<'_, Self>, out: &mut ViewMut<'_, Self>, f: impl Fn(Self) -> Self) {
        let out = out.plane(0);
        let x = &x.plane(0)[..out.len()];
        wide::fill(
            out,
            #[inline(always)]
            |i| f(x[i]),
        );
    }

    #[inline]
    fn zip(
        x: View<'_, Self>,
        y: View<'_, Self>,
        z: View<'_, Self>,
        out: &mut ViewMut<'_, Self>,
        f: impl Fn(Self, Self, Self) -> Self,
    ) {
        let out = out.plane(0);
        let [x, y, z] = [x, y, z].map(|view| &view.plane(0)[..out.len()]);
        wide::fill(
            out,
            #[inline(always)]
            |i| f(x[i], y[i], z[i]),
        );
    }
}
