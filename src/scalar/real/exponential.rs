//! e^x, e^x - 1 and the hyperbolic tangent of `f64`.
//!
//! Contract: within 1.5, 2 and 2 units in the last place everywhere, subnormal results included; NaN, infinities, zeros and their
//! signs as IEEE 754 recommends.
//!
//! The reduction is Cody and Waite's (1980): x = k ln 2 + r with whole k and |r| <= ln 2 / 2, where ln 2 comes in two parts, the first
//! so short that its product with k is exact. What 2^k multiplies is p = e^r - 1, which unlike e^r keeps the digits of a small r.

use super::parts::{between, polynomial, power_of_two, whole};
use std::f64::consts::LOG2_E;

/// ln 2 in two parts, of which the first has 32 bits.
pub(super) const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
pub(super) const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2 by Remez' algorithm in 50 digits: the error of e^r - 1 is below 2^-61 of it.
const SECOND_ORDER: [f64; 11] = [
    0.5,
    0.166_666_666_666_666_77,
    0.041_666_666_666_666_51,
    0.008_333_333_333_321_691,
    0.001_388_888_888_896_235_3,
    0.000_198_412_698_859_670_52,
    2.480_158_717_255_335_2e-5,
    2.755_724_437_304_241_7e-6,
    2.755_740_263_942_093e-7,
    2.510_897_928_671_270_5e-8,
    2.087_532_950_781_25e-9,
];

/// Beyond these e^x is 0 or infinite.
const UNDERFLOW: f64 = -746.0;
const OVERFLOW: f64 = 710.0;
/// Beyond this e^x - 1 is -1, and beyond half of it tanh x is 1 to the last bit.
const SATURATED: f64 = 44.0;

/// k and p with e^(x + rest) = 2^k (1 + p), for |x| < 2^20 and a rest that is small beside 1.
#[inline(always)]
pub(super) fn reduced(x: f64, rest: f64) -> (f64, f64) {
    let k = whole(x * LOG2_E);
    let (high, low) = (x - k * LN_2_HIGH, k * LN_2_LOW - rest);
    let r = high - low;
    let lost = (high - r) - low;
    (k, r + (r * r * polynomial(&SECOND_ORDER, r) + lost))
}

/// 2^k as two factors, neither of which over- or underflows where their product does: for |k| <= 2000.
#[inline(always)]
pub(super) fn scale(k: f64) -> (f64, f64) {
    let half = whole(0.5 * k);
    (power_of_two(half), power_of_two(k - half))
}

#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    let (k, p) = reduced(between(x, UNDERFLOW, OVERFLOW), 0.0);
    let (first, second) = scale(k);
    (1.0 + p) * first * second
}

/// 2^k p + (2^k - 1), in which the difference is exact until 1 or 2^k no longer counts. 2^k may overflow where the result does not, so
/// that all is divided by one of its factors until the end.
#[inline(always)]
pub(super) fn exp_m1(x: f64) -> f64 {
    let (k, p) = reduced(between(x, -SATURATED, OVERFLOW), 0.0);
    let half = whole(0.5 * k);
    let (first, second, inverse) = (power_of_two(half), power_of_two(k - half), power_of_two(half - k));
    (((first - inverse) + first * p) * second).copysign(x)
}

/// t / (2 - t) with t = 1 - e^(-2|x|). The roundings of t and of the denominator would add a unit; both are known exactly (Dekker 1971,
/// as the larger operand comes first) and corrected to first order, for which the line 1.457 - d/2 is near enough to 1/d on 1..2.
#[inline(always)]
pub(super) fn tanh(x: f64) -> f64 {
    let (k, p) = reduced(-2.0 * between(x.abs(), 0.0, 0.5 * SATURATED), 0.0);
    let (ones, part) = (1.0 - power_of_two(k), power_of_two(k) * p);
    let t = ones - part;
    let t_low = (ones - t) - part;
    let d = 2.0 - t;
    let d_low = ((2.0 - d) - t) - t_low;
    let quotient = t / d;
    (quotient + (t_low - quotient * d_low) * (1.457 - 0.5 * d)).copysign(x)
}

/// 1 / (1 + e^-x) = e^x / (1 + e^x), of which that one is taken whose exponential is below 1.
#[inline(always)]
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = exp(-x.abs());
    (if x >= 0.0 { 1.0 } else { e }) / (e + 1.0)
}
