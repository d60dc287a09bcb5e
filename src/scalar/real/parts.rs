//! What the elementary functions of `f64` share: polynomials, powers of two, rounding to whole numbers, bounds.
//!
//! Contract: no branch, no call, no fused multiply-add, and nothing that two-wide vector registers lack (which have neither a rounding
//! instruction nor a conversion between 64-bit integers and `f64`): everything is inlined and becomes vector code.

/// 1.5 2^52: the sum with a number below 2^51 in size has the whole number next to it in its last bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// x rounded to a whole number, for |x| < 2^51.
#[inline(always)]
pub(super) fn whole(x: f64) -> f64 {
    (x + SHIFT) - SHIFT
}

/// 2^k for whole k from -1022 to 1023, and 0 for -1023.
#[inline(always)]
pub(super) fn power_of_two(k: f64) -> f64 {
    // The last 12 bits of the sum are those of the exponent, and the shift drops all others.
    f64::from_bits((k + (SHIFT + 1023.0)).to_bits() << 52)
}

/// x, or the bound that it lies beyond; NaN stays.
#[inline(always)]
pub(super) fn between(x: f64, low: f64, high: f64) -> f64 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// The sum of `coefficients[i] x^i`, of two terms at least. Even and odd powers are summed apart by Horner's rule: the chain of
/// operations that wait for each other is half as long as one for all, which is what bounds the speed of wide registers.
#[inline(always)]
pub(super) fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let square = x * x;
    let mut sums = [coefficients[N - 2 + N % 2], coefficients[N - 1 - N % 2]];
    for i in (0..N - 2).rev() {
        sums[i % 2] = sums[i % 2] * square + coefficients[i];
    }
    sums[0] + x * sums[1]
}
