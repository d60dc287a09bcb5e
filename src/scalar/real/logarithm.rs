//! ln(1 + x) and ln(1 + e^x) of `f64`.
//!
//! Contract: within 1 and 3 units in the last place everywhere; NaN, infinities, zeros and their signs as IEEE 754 recommends.
//!
//! As in Sun's fdlibm: 1 + x = 2^k (1 + f) with sqrt(1/2) < 1 + f < sqrt(2), and with s = f / (2 + f) the series of
//! ln(1 + f) = ln(1 + s) - ln(1 - s) has odd powers of s alone. What 1 + x loses to rounding goes into f, which for k = 0 is x itself.

use super::exponential::{LN_2_HIGH, LN_2_LOW, exp};
use super::parts::{polynomial, power_of_two};

/// (ln(1 + f) / s - 2) / s^2 with fdlibm's coefficients; the error is below 2^-58.
const SERIES: [f64; 7] = [
    0.666_666_666_666_673_5,
    0.399_999_999_994_094_2,
    0.285_714_287_436_623_9,
    0.222_221_984_321_497_84,
    0.181_835_721_616_180_5,
    0.153_138_376_992_093_73,
    0.147_981_986_051_165_86,
];

/// The first bits of sqrt(1/2): what is added to a number so that its exponent steps there and not at 1.
const ROOT: u64 = 0x3fe6_a09e_0000_0000;
const ONE: u64 = 0x3ff0_0000_0000_0000;
const FRACTION: u64 = (1 << 52) - 1;
/// 2^52, whose last bits are a whole number.
const WHOLE: f64 = 4_503_599_627_370_496.0;

#[inline(always)]
pub(super) fn ln_1p(x: f64) -> f64 {
    // Knuth's exact sum of 1 and x.
    let sum = 1.0 + x;
    let of_x = sum - 1.0;
    let lost = (x - of_x) + (1.0 - (sum - of_x));
    let bits = sum.to_bits().wrapping_add(ONE - ROOT);
    let k = f64::from_bits(WHOLE.to_bits() | bits >> 52) - (WHOLE + 1023.0);
    let mantissa = f64::from_bits((bits & FRACTION) + ROOT);
    // 2^-k in two steps, as k may be 1024.
    let (ones, part) = (mantissa - 1.0, lost * power_of_two(1.0 - k) * 0.5);
    let f = ones + part;
    let f_low = (ones - f) + part;
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let tail = s * (half_square + z * polynomial(&SERIES, z));
    let y = k * LN_2_HIGH - ((half_square - (tail + (k * LN_2_LOW + f_low))) - f);
    let y = if x < f64::INFINITY { y } else { x };
    let outside = if x == -1.0 { f64::NEG_INFINITY } else { f64::NAN };
    (if x > -1.0 { y } else { outside }).copysign(x)
}

/// max(x, 0) + ln(1 + e^-|x|).
#[inline(always)]
pub(super) fn softplus(x: f64) -> f64 {
    let rest = ln_1p(exp(-x.abs()));
    if x > 0.0 { x + rest } else { rest }
}
