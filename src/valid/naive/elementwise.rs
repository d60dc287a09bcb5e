//! Activations, gates and dropout: one element at a time.

use super::call::{Call, batched, indices, larger, real};
use crate::scalar::{Double, Scalar};
use crate::tensor::Mode;

fn each(call: &Call<'_>, f: impl Fn(Double) -> Double) -> Vec<Double> {
    call.x().iter().map(|x| f(*x)).collect()
}

fn smaller(a: Double, b: Double) -> Double {
    -larger(-a, -b)
}

pub(super) fn relu(call: &Call<'_>) -> Vec<Double> {
    each(call, |x| larger(x, real(0.0)))
}

pub(super) fn relu6(call: &Call<'_>) -> Vec<Double> {
    each(call, |x| smaller(larger(x, real(0.0)), real(6.0)))
}

pub(super) fn leaky_relu(call: &Call<'_>) -> Vec<Double> {
    let slope = call.number("slope");
    each(call, |x| if x.primal() > 0.0 { x } else { x * slope })
}

/// The channel of an element is its index along axis 1.
pub(super) fn prelu(call: &Call<'_>) -> Vec<Double> {
    let slopes = call.params[0];
    let inner: usize = call.shape.iter().skip(1).product();
    let slope = |i: usize| slopes[i / inner % call.shape.first().copied().unwrap_or(1) % slopes.len()];
    call.x().iter().enumerate().map(|(i, x)| if x.primal() > 0.0 { *x } else { *x * slope(i) }).collect()
}

fn exponential(x: Double, scale: f64, alpha: f64) -> Double {
    if x.primal() > 0.0 { x * scale } else { (x.exp() - real(1.0)) * alpha * scale }
}

pub(super) fn elu(call: &Call<'_>) -> Vec<Double> {
    let alpha = call.number("alpha");
    each(call, |x| exponential(x, 1.0, alpha))
}

/// Klambauer et al. 2017.
pub(super) fn selu(call: &Call<'_>) -> Vec<Double> {
    each(call, |x| exponential(x, 1.050_700_987_355_480_5, 1.673_263_242_354_377_2))
}

/// x times the normal distribution function, or its approximation by a tanh (Hendrycks and Gimpel 2016).
pub(super) fn gelu(call: &Call<'_>) -> Vec<Double> {
    let half = |x: Double| x * 0.5;
    if call.is("approx", "tanh") {
        let pi = real(4.0) / (Double::two_over_sqrt_pi() * Double::two_over_sqrt_pi());
        let slope = (real(2.0) / pi).sqrt();
        return each(call, |x| half(x) * (hyperbolic(slope * (x + x * x * x * 0.044_715)) + 1.0));
    }
    each(call, |x| half(x) * (-x / real(2.0).sqrt()).erfc())
}

fn logistic(x: Double) -> Double {
    real(1.0) / ((-x).exp() + 1.0)
}

/// (e^2x - 1)/(e^2x + 1).
fn hyperbolic(x: Double) -> Double {
    // Behind 40 it is 1 up to e^-80.
    let twice = smaller(larger(x, real(-40.0)), real(40.0)) * 2.0;
    twice.exp_m1() / (twice.exp() + 1.0)
}

/// ln(1 + e^x), and x above 20 as in PyTorch.
fn rectifier(x: Double) -> Double {
    if x.primal() > 20.0 { x } else { x.exp().ln_1p() }
}

pub(super) fn sigmoid(call: &Call<'_>) -> Vec<Double> {
    each(call, logistic)
}

pub(super) fn tanh(call: &Call<'_>) -> Vec<Double> {
    each(call, hyperbolic)
}

pub(super) fn softplus(call: &Call<'_>) -> Vec<Double> {
    each(call, rectifier)
}

pub(super) fn silu(call: &Call<'_>) -> Vec<Double> {
    each(call, |x| x * logistic(x))
}

pub(super) fn mish(call: &Call<'_>) -> Vec<Double> {
    each(call, |x| x * hyperbolic(rectifier(x)))
}

/// x relu6(x + 3)/6.
pub(super) fn hardswish(call: &Call<'_>) -> Vec<Double> {
    each(call, |x| x * smaller(larger(x + 3.0, real(0.0)), real(6.0)) / real(6.0))
}

pub(super) fn hardtanh(call: &Call<'_>) -> Vec<Double> {
    let [lo, hi] = ["lo", "hi"].map(|name| real(call.number(name)));
    each(call, |x| smaller(larger(x, lo), hi))
}

pub(super) fn softsign(call: &Call<'_>) -> Vec<Double> {
    each(call, |x| x / (larger(x, -x) + 1.0))
}

fn fold(call: &Call<'_>, f: impl Fn(Double, Double) -> Double) -> Vec<Double> {
    let of = |i: usize| call.inputs[1..].iter().fold(call.x()[i], |all, input| f(all, input[i]));
    (0..call.x().len()).map(of).collect()
}

pub(super) fn add(call: &Call<'_>) -> Vec<Double> {
    fold(call, |a, b| a + b)
}

pub(super) fn mul(call: &Call<'_>) -> Vec<Double> {
    fold(call, |a, b| a * b)
}

/// Every element times the factor of its channel: its index along axis 1 of a map, along the last axis of anything else.
pub(super) fn layer_scale(call: &Call<'_>) -> Vec<Double> {
    let places = indices(&batched(call.batch, call.shape));
    let channel = |index: &[usize]| if call.shape.len() == 3 { index[1] } else { index[index.len() - 1] };
    call.x().iter().zip(&places).map(|(x, index)| *x * call.params[0][channel(index)]).collect()
}

/// In training every element times its factor, 0 or 1/(1 - p).
pub(super) fn dropout(call: &Call<'_>) -> Vec<Double> {
    let p = call.number("p");
    if call.mode == Mode::Eval {
        return call.x().to_vec();
    }
    let kept = |factor: f64| if factor == 0.0 { real(0.0) } else { real(1.0) / (real(1.0) - real(p)) };
    call.x().iter().zip(&call.mask).map(|(x, factor)| *x * kept(*factor)).collect()
}

/// In training a (x m + d (1 - m)) - a p d for the mask m, with d where `selu` saturates and a = ((1 - p)(1 + p d^2))^(-1/2).
pub(super) fn alpha_dropout(call: &Call<'_>) -> Vec<Double> {
    let p = real(call.number("p"));
    if call.mode == Mode::Eval {
        return call.x().to_vec();
    }
    let d = -(real(1.050_700_987_355_480_5) * 1.673_263_242_354_377_2);
    let q = real(1.0) - p;
    let a = real(1.0) / (q * (p * d * d + 1.0)).sqrt();
    let one = |(x, kept): (&Double, &f64)| a * if *kept == 0.0 { d } else { *x } - a * p * d;
    call.x().iter().zip(&call.mask).map(one).collect()
}
