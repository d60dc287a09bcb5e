//! Double-double numbers: an unevaluated sum of two `f64`, about 106 bits (Dekker 1971; Hida, Li and Bailey 2001).
//!
//! Contract: `hi` is the sum rounded to `f64`, so `|lo|` is at most half a unit in the last place of `hi`. Sums, products and
//! quotients are within a few 2^-106 of the exact result of their operands (the algorithms and their bounds: Joldes, Muller
//! and Popescu 2017), and what is not finite or overflows is what `f64` gives, with `lo` 0. The format has the exponents of
//! `f64`: below 2^-969 `lo` itself underflows, and a result is exact to 2^-1074 only.
//!
//! Exact products come from Dekker's splitting, because a fused multiply-add is a call into a library on targets that do
//! not guarantee the instruction.

mod circular;
mod elementary;
mod error_function;

use super::Scalar;
use crate::tensor::{Product, View, ViewMut, gemm};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// `hi + lo`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Double {
    /// The number rounded to `f64`.
    pub hi: f64,
    /// What is missing.
    pub lo: f64,
}

/// Beyond this size a factor or a product is scaled down before it is split: 2^27 times it must not overflow.
const LARGE: f64 = pow2(990);
/// Operands with exponents within these bounds are divided and rooted as they are; nothing on the way over- or underflows.
const MODERATE: i32 = 400;

impl Double {
    /// The sum of any two numbers.
    #[must_use]
    pub const fn new(hi: f64, lo: f64) -> Self {
        let (sum, error) = two_sum(hi, lo);
        if sum.is_finite() { Self { hi: sum, lo: error } } else { Self::plain(sum) }
    }

    /// A number that `f64` holds.
    #[must_use]
    pub const fn plain(hi: f64) -> Self {
        Self { hi, lo: 0.0 }
    }

    /// The sum of two numbers of which the first is the larger; `whole` stands for it if it is 0 or not finite.
    const fn joined(whole: f64, hi: f64, lo: f64) -> Self {
        let (hi, lo) = quick_two_sum(hi, lo);
        if hi == 0.0 || !hi.is_finite() { Self::plain(whole) } else { Self { hi, lo } }
    }

    /// `self / n`, in constants; neither is extreme.
    const fn divided(self, n: f64) -> Self {
        let quotient = self.hi / n;
        let (product, error) = two_product(quotient, n);
        let rest = ((self.hi - product) - error) + self.lo;
        Self::joined(quotient, quotient, rest / n)
    }

    /// `self * 2^k`, exact unless it leaves the range.
    #[must_use]
    fn scaled(self, k: i32) -> Self {
        // At most the last factor leads out of the normal numbers, so that there is one rounding.
        let (mut x, mut k) = (self, k);
        while k > 1023 {
            x = x.times(pow2(1023));
            k -= 1023;
        }
        while k < -1022 {
            let part = (k + 1022).max(-1022);
            x = x.times(pow2(part));
            k -= part;
        }
        let x = x.times(pow2(k));
        Self::joined(x.hi, x.hi, x.lo)
    }

    fn times(self, power: f64) -> Self {
        Self { hi: self.hi * power, lo: self.lo * power }
    }

    /// The square root of a number with a moderate exponent, by one step of Newton's method from that of `hi`: the remainder is
    /// exact and its quotient need not be.
    fn root(self) -> Self {
        let root = self.hi.sqrt();
        let (square, error) = two_product(root, root);
        let rest = ((self.hi - square) - error) + self.lo;
        Self::joined(root, root, rest / (2.0 * root))
    }

    /// The quotient of numbers with moderate exponents: three digits of a long division in base 2^53.
    fn quotient(self, other: Self) -> Self {
        let first = self.hi / other.hi;
        let rest = self - other * first;
        let second = rest.hi / other.hi;
        let rest = rest - other * second;
        let third = rest.hi / other.hi;
        let (hi, lo) = quick_two_sum(first, second);
        Self::joined(first, hi, lo + third)
    }
}

/// 2^k for an exponent of normal numbers.
const fn pow2(k: i32) -> f64 {
    debug_assert!(k >= -1022 && k <= 1023, "internal: an exponent outside f64");
    #[expect(clippy::cast_sign_loss, reason = "the biased exponent is positive")]
    f64::from_bits(((k + 1023) as u64) << 52)
}

/// The k with 2^k <= |x| < 2^(k+1); x is finite and not 0.
fn exponent(x: f64) -> i32 {
    let biased = |x: f64| (x.to_bits() >> 52) as i32 & 0x7ff;
    match biased(x) {
        0 => biased(x * pow2(64)) - 1023 - 64,
        normal => normal - 1023,
    }
}

/// The rounded sum and its error, exactly (Knuth).
const fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// The same for |a| >= |b| or a = 0 (Dekker).
const fn quick_two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}

/// The rounded product and its error: exact where the error is not below 2^-1074, whatever the size of the factors.
const fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    if product.abs() > LARGE || a.abs() > LARGE || b.abs() > LARGE {
        // The larger factor is scaled, so that the smaller one does not underflow.
        let (small, large) = if a.abs() < b.abs() { (a, b) } else { (b, a) };
        let large = large * pow2(-100);
        let scaled = small * large;
        return (product, split_error(small, large, scaled) * pow2(100));
    }
    (product, split_error(a, b, product))
}

/// a b - product, from halves of 26 bits whose products are exact.
const fn split_error(a: f64, b: f64, product: f64) -> f64 {
    let (a_hi, a_lo) = split(a);
    let (b_hi, b_lo) = split(b);
    ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo
}

const fn split(a: f64) -> (f64, f64) {
    let shifted = 134_217_729.0 * a;
    let hi = shifted - (shifted - a);
    (hi, a - hi)
}

impl Add for Double {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (hi, error) = two_sum(self.hi, other.hi);
        if !hi.is_finite() {
            return Self::plain(hi);
        }
        let (lo, rest) = two_sum(self.lo, other.lo);
        let (top, middle) = quick_two_sum(hi, error + lo);
        // Without a `lo` the sign of a zero is that of `f64`.
        Self::joined(if hi == 0.0 { hi } else { top }, top, rest + middle)
    }
}

impl Sub for Double {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Double {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let (hi, error) = two_product(self.hi, other.hi);
        if hi == 0.0 || !hi.is_finite() {
            return Self::plain(hi);
        }
        let cross = self.hi * other.lo + (self.lo * other.hi + self.lo * other.lo);
        Self::joined(hi, hi, error + cross)
    }
}

impl Div for Double {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let plain = self.hi / other.hi;
        if plain == 0.0 || !plain.is_finite() {
            return Self::plain(plain);
        }
        let (a, b) = (exponent(self.hi), exponent(other.hi));
        if a.abs() < MODERATE && b.abs() < MODERATE {
            return self.quotient(other);
        }
        self.scaled(-a).quotient(other.scaled(-b)).scaled(a - b)
    }
}

impl Neg for Double {
    type Output = Self;
    fn neg(self) -> Self {
        Self { hi: -self.hi, lo: -self.lo }
    }
}

impl AddAssign for Double {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Double {
    type Output = Self;
    fn mul(self, other: f64) -> Self {
        let (hi, error) = two_product(self.hi, other);
        if hi == 0.0 || !hi.is_finite() {
            return Self::plain(hi);
        }
        Self::joined(hi, hi, error + self.lo * other)
    }
}

impl Add<f64> for Double {
    type Output = Self;
    fn add(self, other: f64) -> Self {
        self + Self::plain(other)
    }
}

impl Scalar for Double {
    const PLANES: usize = 2;

    fn constant(value: f64) -> Self {
        Self::plain(value)
    }

    fn two_over_sqrt_pi() -> Self {
        error_function::TWO_OVER_SQRT_PI
    }

    fn primal(self) -> f64 {
        self.hi
    }

    fn load(planes: &[f64], stride: usize, at: usize) -> Self {
        Self { hi: planes[at], lo: planes[stride + at] }
    }

    fn store(self, planes: &mut [f64], stride: usize, at: usize) {
        planes[at] = self.hi;
        planes[stride + at] = self.lo;
    }

    fn exp(self) -> Self {
        elementary::exp(self)
    }

    fn exp_m1(self) -> Self {
        elementary::exp_m1(self)
    }

    fn ln(self) -> Self {
        elementary::ln(self)
    }

    fn ln_1p(self) -> Self {
        elementary::ln_1p(self)
    }

    fn sqrt(self) -> Self {
        let plain = self.hi.sqrt();
        if plain == 0.0 || !plain.is_finite() {
            return Self::plain(plain);
        }
        let k = exponent(self.hi);
        if k.abs() < MODERATE {
            return self.root();
        }
        let half = k.div_euclid(2);
        self.scaled(-2 * half).root().scaled(half)
    }

    fn tanh(self) -> Self {
        elementary::tanh(self)
    }

    fn sin(self) -> Self {
        circular::sin(self)
    }

    fn cos(self) -> Self {
        circular::cos(self)
    }

    fn erf(self) -> Self {
        error_function::erf(self)
    }

    fn erfc(self) -> Self {
        error_function::erfc(self)
    }

    fn gemm(product: Product, a: View<'_, Self>, b: View<'_, Self>, c: &mut ViewMut<'_, Self>) {
        gemm::plain(product, a, b, c);
    }
}
