//! Exponentials, logarithms and the hyperbolic tangent of double-double numbers.
//!
//! Contract: at least 100 correct bits wherever the format holds them; infinities, NaN, zeros and their signs as `f64`.
//! The exponential is a Taylor polynomial behind an argument reduction whose constants are exact products; the others come from
//! it, in forms that do not cancel.

use super::{Double, exponent, pow2};
use std::f64::consts::{LOG2_E, SQRT_2};

/// ln 2 in three parts. The first two have 42 bits, so that their products with an exponent are exact; the sum is good to 2^-139.
const LN_2_PARTS: [f64; 3] = [
    f64::from_bits(0x3fe6_2e42_fefa_3800),
    f64::from_bits(0x3d2e_f357_93c7_6000),
    f64::from_bits(0x3a8c_c01f_97b5_7a08),
];
/// ln 2 rounded to 106 bits.
const LN_2: Double =
    Double { hi: f64::from_bits(0x3fe6_2e42_fefa_39ef), lo: f64::from_bits(0x3c7a_bc9e_3b39_803f) };

/// Halvings of the reduced argument, undone by doublings of e^x - 1: |r| <= ln 2 / 8.
const HALVINGS: i32 = 2;
/// The first term that is left out is below |r|^18 / 19! = 2^-120 of the sum.
const TERMS: usize = 19;

/// 1/n!.
const RECIPROCAL_FACTORIALS: [Double; TERMS] = {
    let mut table = [Double::plain(1.0); TERMS];
    let (mut n, mut real) = (1, 1.0);
    while n < TERMS {
        table[n] = table[n - 1].divided(real);
        n += 1;
        real += 1.0;
    }
    table
};

/// Beyond these e^x is 0 or infinite.
const UNDERFLOW: f64 = -746.0;
const OVERFLOW: f64 = 710.0;

/// e^x - 1 = (1 + s) 2^k - 1 as (s, k), for x that neither over- nor underflows.
fn reduced(x: Double) -> (Double, i32) {
    let k = (x.hi * LOG2_E).round();
    let r = LN_2_PARTS.iter().fold(x, |r, part| r + -(k * part));
    let r = r.scaled(-HALVINGS);
    let mut tail = RECIPROCAL_FACTORIALS[TERMS - 1];
    for coefficient in RECIPROCAL_FACTORIALS[2..TERMS - 1].iter().rev() {
        tail = tail * r + *coefficient;
    }
    let mut s = r + r * r * tail;
    for _ in 0..HALVINGS {
        s = s * (s + 2.0);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 1100")]
    (s, k as i32)
}

pub(super) fn exp(x: Double) -> Double {
    if x.hi.is_nan() || x.hi > OVERFLOW || x.hi < UNDERFLOW {
        return Double::plain(x.hi.exp());
    }
    let (s, k) = reduced(x);
    (s + 1.0).scaled(k)
}

pub(super) fn exp_m1(x: Double) -> Double {
    // Near 0 it is x to all digits, and what follows would lose those of a subnormal x.
    if x.hi.is_nan() || x.hi.abs() < pow2(-110) {
        return x;
    }
    // e^x - 1 is e^x to all digits above, and -1 plus e^x below.
    if x.hi.abs() > 80.0 {
        return exp(x) + -1.0;
    }
    let (s, k) = reduced(x);
    match k {
        0 => s,
        // 2^k - 1 is exact.
        -53..=53 => s.scaled(k) + (2.0f64.powi(k) - 1.0),
        _ => (s + 1.0).scaled(k) + -1.0,
    }
}

/// ln(1 + z) for -0.3 < z < 0.42: that of `f64`, corrected by ln(1 + d) = d - d^2/2 where 1 + d is what it falls short of; d is
/// below 2^-50 |z|, so that the term d^3/3 is below 2^-151 of the result.
fn near_one(z: Double) -> Double {
    let start = z.hi.ln_1p();
    let s = exp_m1(Double::plain(start));
    let d = (z - s) / (s + 1.0);
    d * (d * -0.5 + 1.0) + start
}

pub(super) fn ln(x: Double) -> Double {
    let plain = x.hi.ln();
    if !plain.is_finite() {
        return Double::plain(plain);
    }
    // x = m 2^k with m between sqrt(1/2) and sqrt(2).
    let mut k = exponent(x.hi);
    if x.scaled(-k).hi > SQRT_2 {
        k += 1;
    }
    let rest = near_one(x.scaled(-k) + -1.0);
    if k == 0 { rest } else { LN_2 * f64::from(k) + rest }
}

pub(super) fn ln_1p(x: Double) -> Double {
    if x.hi == 0.0 {
        return x;
    }
    if x.hi > -0.29 && x.hi < 0.41 { near_one(x) } else { ln(x + 1.0) }
}

/// -(e^(-2|x|) - 1) / (e^(-2|x|) + 1) with the sign of x.
pub(super) fn tanh(x: Double) -> Double {
    if x.hi == 0.0 {
        return x;
    }
    let magnitude = if x.hi < 0.0 { -x } else { x };
    let s = exp_m1(magnitude * -2.0);
    let y = -s / (s + 2.0);
    if x.hi < 0.0 { -y } else { y }
}
