//! The error function of `f64` and its complement.
//!
//! Contract: within 1.5 and 5 units in the last place everywhere, erfc also where it is far below the last digit of 1 and where it is
//! subnormal; NaN, infinities, zeros and their signs.
//!
//! Near 0 erf is x times a polynomial in x^2; elsewhere erfc(x) = e^(-x^2) p(t) / (1 + 2x) with t = (x - K)/(x + K) (Shepherd and
//! Laframboise 1981), in which p stays within 1.12..1.28. Both polynomials come from Remez' algorithm for the relative error of the
//! result, run in 50 digits on erf and erfc of an arbitrary-precision library.

use super::exponential::{reduced, scale};
use super::parts::{between, polynomial};

/// erf(x)/x - 1 in powers of x^2 for |x| <= 1: the error of erf is below 2^-62 of it.
const NEAR: [f64; 13] = [
    0.128_379_167_095_512_6,
    -0.376_126_389_031_837_5,
    0.112_837_916_709_548_58,
    -0.026_866_170_645_072_96,
    0.005_223_977_624_781_37,
    -0.000_854_832_697_876_514_9,
    0.000_120_553_310_375_511_08,
    -1.492_559_351_872_822_6e-5,
    1.646_097_295_415_376_5e-6,
    -1.635_002_619_207_727e-7,
    1.465_788_353_091_965_3e-8,
    -1.136_567_067_182_716e-9,
    5.945_255_584_223_488e-11,
];

/// K: of the simple fractions that with which the polynomial may be shortest.
const MIDDLE: f64 = 2.75;

/// (1 + 2x) e^(x^2) erfc(x) in powers of t for 0.75 <= x <= 28: the error is below 2^-58 of it.
const FAR: [f64; 21] = [
    1.258_803_625_813_946_3,
    -0.130_462_483_722_94,
    -0.071_306_210_008_990_33,
    0.144_906_340_751_874_67,
    -0.114_493_132_285_161_77,
    0.052_319_579_788_270_24,
    -0.010_500_720_723_474_891,
    -0.002_622_280_521_544_883_5,
    0.001_934_481_632_528_714_3,
    4.015_282_678_735_938e-5,
    -0.000_289_053_084_583_790_8,
    8.593_456_841_526_569e-6,
    4.797_811_202_893_311_4e-5,
    3.927_380_193_253_904e-7,
    -8.756_211_793_535_044e-6,
    -1.093_254_088_301_2e-6,
    1.617_229_293_522_372e-6,
    5.049_868_200_549_73e-7,
    -3.049_195_928_508_558_3e-7,
    -1.309_139_797_657_576e-7,
    6.540_849_703_505_776e-8,
];
/// Up to here erfc is 1 - erf, which loses less than two bits.
const SPLIT: f64 = 0.75;
/// Beyond this erfc is below the smallest `f64`.
const UNDERFLOW: f64 = 28.0;

/// erf for |x| <= 1.
#[inline(always)]
fn near(x: f64) -> f64 {
    x + x * polynomial(&NEAR, x * x)
}

/// erfc for x >= 0.75.
#[inline(always)]
fn far(x: f64) -> f64 {
    let x = between(x, 0.0, UNDERFLOW);
    // x^2 = head^2 + (x - head)(x + head), and the square of 26 bits is exact.
    let head = f64::from_bits(x.to_bits() & !((1 << 27) - 1));
    let (k, p) = reduced(-head * head, -(x - head) * (x + head));
    let factor = polynomial(&FAR, (x - MIDDLE) / (x + MIDDLE)) / (1.0 + 2.0 * x);
    let (first, second) = scale(k);
    (factor + factor * p) * first * second
}

#[inline(always)]
pub(super) fn erf(x: f64) -> f64 {
    let size = x.abs();
    if size < 1.0 { near(x) } else { (1.0 - far(size)).copysign(x) }
}

#[inline(always)]
pub(super) fn erfc(x: f64) -> f64 {
    let size = x.abs();
    let tail = far(size);
    let beyond = if x < 0.0 { 2.0 - tail } else { tail };
    if size < SPLIT { 1.0 - near(x) } else { beyond }
}
