//! The error function and its complement in double-double numbers.
//!
//! Contract: at least 100 correct bits wherever the format holds them, of erf near 0 and of erfc far out, where the other has
//! rounded to 1. Near 0 the Maclaurin series is summed; elsewhere the integral
//! erfc(x) = (2 x e^(-x^2) / pi) int_0^inf e^(-t^2) / (t^2 + x^2) dt by the trapezoidal rule with the residue of the pole at
//! t = i x (Goodwin 1949; Chiarella and Reichel 1968), whose error is e^(-pi^2/h^2) relative to the result.

use super::elementary::{exp, exp_m1};
use super::{Double, two_product};

/// 2 / sqrt(pi).
pub(super) const TWO_OVER_SQRT_PI: Double =
    Double { hi: f64::from_bits(0x3ff2_0dd7_5042_9b6d), lo: f64::from_bits(0x3c71_ae3a_914f_ed80) };

/// Below this size the series is summed: there erf is below 0.72, so that 1 - erf loses less than two bits.
const SERIES: f64 = 0.75;
/// The first term that is left out, x^52 / (26! 53) at x = 0.75, is 2^-115.
const TERMS: usize = 26;

/// (-1)^n / (n! (2n + 1)).
const COEFFICIENTS: [Double; TERMS] = {
    let mut table = [Double::plain(1.0); TERMS];
    let mut factor = Double::plain(1.0);
    let (mut n, mut real) = (1, 1.0);
    while n < TERMS {
        factor = factor.divided(-real);
        table[n] = factor.divided(2.0 * real + 1.0);
        n += 1;
        real += 1.0;
    }
    table
};

/// The step of the trapezoidal rule: e^(-pi^2/h^2) = 2^-120.
const STEP: f64 = 11.0 / 32.0;
/// The first point that is left out has the weight e^(-(27 h)^2) = 2^-124.
const POINTS: u32 = 26;
/// e^(-h^2), 2h/pi and 2 pi/h.
const WEIGHT: Double =
    Double { hi: f64::from_bits(0x3fec_6f00_f5fd_3d7f), lo: f64::from_bits(0xbc8c_a4c2_9db2_b71c) };
const TWO_STEPS_OVER_PI: Double =
    Double { hi: f64::from_bits(0x3fcc_02e2_96f5_73b4), lo: f64::from_bits(0xbc67_322a_4f39_fa77) };
const TWO_PI_OVER_STEP: Double =
    Double { hi: f64::from_bits(0x4032_4742_6bd4_7de3), lo: f64::from_bits(0x3cbc_11e3_7d52_8014) };
/// pi/h: beyond it the pole lies outside the strip in which the rule converges.
const POLE: f64 = 9.139;
/// Beyond this erfc is below the smallest `f64`.
const UNDERFLOW: f64 = 28.0;

pub(super) fn erf(x: Double) -> Double {
    if x.hi.is_nan() || x.hi == 0.0 {
        x
    } else if x.hi.abs() < SERIES {
        series(x)
    } else if x.hi > 0.0 {
        -complement(x) + 1.0
    } else {
        complement(-x) + -1.0
    }
}

pub(super) fn erfc(x: Double) -> Double {
    if x.hi.is_nan() {
        x
    } else if x.hi.abs() < SERIES {
        -series(x) + 1.0
    } else if x.hi > 0.0 {
        complement(x)
    } else {
        -complement(-x) + 2.0
    }
}

/// 2/sqrt(pi) x sum (-x^2)^n / (n! (2n + 1)).
fn series(x: Double) -> Double {
    let square = x * x;
    let mut sum = COEFFICIENTS[TERMS - 1];
    for coefficient in COEFFICIENTS[..TERMS - 1].iter().rev() {
        sum = sum * square + *coefficient;
    }
    x * (sum * TWO_OVER_SQRT_PI)
}

/// e^(-x^2) with a relative error that does not grow with x: the square of `hi` is exact in two parts, of which the exponential
/// takes the first, and the rest t, below 2^-42, goes into 1 + t + t^2/2.
fn exp_of_minus_square(x: Double) -> Double {
    let (square, error) = two_product(x.hi, x.hi);
    let cross = Double::plain(2.0 * x.hi) * x.lo + x.lo * x.lo;
    let t = -(cross + error);
    exp(Double::plain(-square)) * (t * t * 0.5 + t + 1.0)
}

/// erfc(x) for x above [`SERIES`].
fn complement(x: Double) -> Double {
    if x.hi > UNDERFLOW {
        return Double::plain(0.0);
    }
    let square = x * x;
    let mut sum = Double::plain(0.5) / square;
    // e^(-k^2 h^2) from the one before by a factor that gains e^(-2 h^2) each time.
    let twice = WEIGHT * WEIGHT;
    let (mut weight, mut factor) = (Double::plain(1.0), WEIGHT);
    for k in 1..=POINTS {
        weight = weight * factor;
        factor = factor * twice;
        let t = STEP * f64::from(k);
        sum += weight / (square + t * t);
    }
    let integral = exp_of_minus_square(x) * (x * TWO_STEPS_OVER_PI * sum);
    if x.hi < POLE { integral - Double::plain(2.0) / exp_m1(x * TWO_PI_OVER_STEP) } else { integral }
}
