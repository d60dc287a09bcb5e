//! Sine and cosine of double-double numbers.
//!
//! Contract: at least 100 correct bits for arguments up to 2^20, away from a multiple of pi/2 by more than `f64` can tell; beyond, the
//! error of the argument's reduction grows with the argument, and beyond 2^50 the result is that of `f64`. The reduction subtracts
//! multiples of pi/2 in three parts, exact products each, and a Taylor polynomial on |r| <= pi/4 does the rest.

use super::{Double, pow2};
use std::f64::consts::FRAC_2_PI;

/// pi/2 in three parts, good to 2^-160.
const HALF_PI_PARTS: [f64; 3] =
    [std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17, -1.497_384_904_859_169_8e-33];

/// The first term that is left out is below (pi/4)^30 / 30! = 2^-117.
const TERMS: usize = 30;

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

/// Every second term of the series from `first` on with alternating signs, in powers of r^2.
fn series(first: usize, square: Double) -> Double {
    let last = TERMS - 2 + first;
    let mut sum = Double::plain(0.0);
    for n in (first..=last).rev().filter(|n| (n - first).is_multiple_of(2)) {
        sum = RECIPROCAL_FACTORIALS[n] - square * sum;
    }
    sum
}

/// The sine of x plus a quarter turn for each of `turns`.
fn turned(x: Double, turns: u8) -> Double {
    let k = (x.hi * FRAC_2_PI).round();
    let r = HALF_PI_PARTS.iter().fold(x, |r, part| r - Double::plain(*part) * k);
    let square = r * r;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0, 1, 2 or 3")]
    let quarter = (k.rem_euclid(4.0) as u8 + turns) % 4;
    let size = if quarter.is_multiple_of(2) { r * series(1, square) } else { series(0, square) };
    if quarter >= 2 { -size } else { size }
}

pub(super) fn sin(x: Double) -> Double {
    if !x.hi.is_finite() || x.hi.abs() > pow2(50) {
        return Double::plain(x.hi.sin());
    }
    // To all digits.
    if x.hi.abs() < pow2(-110) {
        return x;
    }
    turned(x, 0)
}

pub(super) fn cos(x: Double) -> Double {
    if !x.hi.is_finite() || x.hi.abs() > pow2(50) {
        return Double::plain(x.hi.cos());
    }
    turned(x, 1)
}
