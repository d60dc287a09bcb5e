//! Binary floating point of 384 bits and the elementary functions by other roads than the library takes: the measure of the
//! double-double numbers.
//!
//! Results are truncated, so an operation errs by less than 2^-380 of the larger operand. The functions lose at most 100 bits of
//! that where they are used, which leaves far more than the 106 that are measured. The roads: e^x from repeated squaring alone, ln
//! by Halley's iteration on e^x, tanh from Lambert's continued fraction, erf from the series with positive terms, erfc from
//! Laplace's continued fraction, pi from Machin's formula.

use std::cmp::Ordering;
use wellposed::scalar::Double;

const LIMBS: usize = 6;
const BITS: i64 = 384;

/// +-0.d1d2d3... 2^exponent in binary, with d1 = 1, most significant limb first; zero has no digits.
#[derive(Clone, Copy, Debug)]
pub struct Big {
    negative: bool,
    exponent: i64,
    limbs: [u64; LIMBS],
}

pub const ZERO: Big = Big { negative: false, exponent: 0, limbs: [0; LIMBS] };

#[expect(clippy::cast_possible_truncation, reason = "the lower half of a double limb")]
fn low(x: u128) -> u64 {
    x as u64
}

impl Big {
    pub fn int(n: i64) -> Self {
        let mut limbs = [0; LIMBS];
        limbs[0] = n.unsigned_abs();
        Self { negative: n < 0, exponent: 64, limbs }.normal()
    }

    /// A finite `f64`, exactly.
    pub fn real(x: f64) -> Self {
        let bits = x.to_bits();
        let biased = i64::try_from(bits >> 52 & 0x7ff).expect("11 bits");
        let fraction = bits & ((1 << 52) - 1);
        let mantissa = if biased == 0 { fraction } else { fraction | 1 << 52 };
        let mut limbs = [0; LIMBS];
        limbs[0] = mantissa;
        Self { negative: x < 0.0, exponent: biased.max(1) - 1075 + 64, limbs }.normal()
    }

    pub fn double(x: Double) -> Self {
        Self::real(x.hi).plus(Self::real(x.lo))
    }

    fn is_zero(self) -> bool {
        self.limbs[0] == 0
    }

    /// Shifts the first digit to the front.
    fn normal(mut self) -> Self {
        let Some(first) = self.limbs.iter().position(|&limb| limb != 0) else { return ZERO };
        self.limbs.rotate_left(first);
        self.exponent -= 64 * i64::try_from(first).expect("few limbs");
        let shift = self.limbs[0].leading_zeros();
        if shift > 0 {
            let next = self.limbs[1..].iter().map(|limb| limb >> (64 - shift)).chain([0]);
            let shifted: Vec<u64> =
                self.limbs.iter().zip(next).map(|(limb, next)| limb << shift | next).collect();
            self.limbs.copy_from_slice(&shifted);
            self.exponent -= i64::from(shift);
        }
        self
    }

    /// The digits behind `by` zeros.
    fn shifted(self, by: i64) -> [u64; LIMBS] {
        let mut limbs = [0; LIMBS];
        if by >= BITS {
            return limbs;
        }
        let by = usize::try_from(by).expect("a shift to the right");
        let (whole, part) = (by / 64, by % 64);
        for (from, limb) in limbs[whole..].iter_mut().enumerate() {
            *limb = self.limbs[from] >> part;
            if part > 0 && from > 0 {
                *limb |= self.limbs[from - 1] << (64 - part);
            }
        }
        limbs
    }

    pub fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    pub fn abs(self) -> Self {
        Self { negative: false, ..self }
    }

    /// Times 2^k.
    pub fn scaled(self, k: i64) -> Self {
        if self.is_zero() { self } else { Self { exponent: self.exponent + k, ..self } }
    }

    fn size(self, other: Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => (self.exponent, self.limbs).cmp(&(other.exponent, other.limbs)),
        }
    }

    /// Whether |self| < |other|.
    pub fn smaller(self, other: Self) -> bool {
        self.size(other) == Ordering::Less
    }

    pub fn plus(self, other: Self) -> Self {
        let (large, small) = if self.smaller(other) { (other, self) } else { (self, other) };
        if small.is_zero() {
            return large;
        }
        let digits = small.shifted(large.exponent - small.exponent);
        let mut out = large;
        if large.negative == small.negative {
            let mut carry = 0;
            for i in (0..LIMBS).rev() {
                let sum = u128::from(large.limbs[i]) + u128::from(digits[i]) + carry;
                out.limbs[i] = low(sum);
                carry = sum >> 64;
            }
            if carry > 0 {
                out.limbs = out.shifted(1);
                out.limbs[0] |= 1 << 63;
                out.exponent += 1;
            }
            return out;
        }
        let mut borrow = false;
        for i in (0..LIMBS).rev() {
            let (first, a) = large.limbs[i].overflowing_sub(digits[i]);
            let (second, b) = first.overflowing_sub(u64::from(borrow));
            out.limbs[i] = second;
            borrow = a || b;
        }
        out.normal()
    }

    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    pub fn times(self, other: Self) -> Self {
        if self.is_zero() || other.is_zero() {
            return ZERO;
        }
        let mut wide = [0u64; 2 * LIMBS];
        for i in (0..LIMBS).rev() {
            let mut carry = 0u128;
            for j in (0..LIMBS).rev() {
                let at = i + j + 1;
                let sum =
                    u128::from(self.limbs[i]) * u128::from(other.limbs[j]) + u128::from(wide[at]) + carry;
                wide[at] = low(sum);
                carry = sum >> 64;
            }
            wide[i] = low(carry);
        }
        let negative = self.negative != other.negative;
        let mut limbs = [0; LIMBS];
        limbs.copy_from_slice(&wide[..LIMBS]);
        // The first digit of the lower half, where the product begins with a zero.
        let next = wide[LIMBS] >> 63;
        let mut out = Self { negative, exponent: self.exponent + other.exponent, limbs };
        if out.limbs[0] >> 63 == 0 {
            out = out.normal();
            out.limbs[LIMBS - 1] |= next;
        }
        out
    }

    pub fn over_int(self, n: u64) -> Self {
        let mut out = self;
        let mut rest = 0u128;
        for limb in &mut out.limbs {
            let part = rest << 64 | u128::from(*limb);
            *limb = low(part / u128::from(n));
            rest = part % u128::from(n);
        }
        out.normal()
    }

    /// Newton's iteration for the reciprocal: 50, 100, 200, 400 digits.
    pub fn over(self, other: Self) -> Self {
        assert!(!other.is_zero(), "a quotient by zero");
        let unit = Self { exponent: 0, ..other };
        let mut reciprocal = Self::real(1.0 / unit.f64());
        for _ in 0..4 {
            let miss = Self::int(1).minus(unit.times(reciprocal));
            reciprocal = reciprocal.plus(reciprocal.times(miss));
        }
        self.times(reciprocal).scaled(-other.exponent)
    }

    /// Newton's iteration for the root.
    pub fn sqrt(self) -> Self {
        if self.is_zero() {
            return self;
        }
        let half = self.exponent.div_euclid(2);
        let unit = self.scaled(-2 * half);
        let mut root = Self::real(unit.f64().sqrt());
        for _ in 0..4 {
            root = root.plus(unit.over(root)).scaled(-1);
        }
        root.scaled(half)
    }

    /// The value to about 53 digits; its exponent must be moderate.
    #[expect(clippy::cast_precision_loss, reason = "64 digits of which 53 are wanted")]
    pub fn f64(self) -> f64 {
        let exponent = i32::try_from(self.exponent).expect("a moderate exponent");
        let size = self.limbs[0] as f64 / 2f64.powi(64) * 2f64.powi(exponent);
        if self.negative { -size } else { size }
    }

    /// log2 |x|; minus infinity for 0.
    #[expect(clippy::cast_precision_loss, reason = "exponents are small")]
    pub fn log2(self) -> f64 {
        if self.is_zero() {
            return f64::NEG_INFINITY;
        }
        self.exponent as f64 + Self { exponent: 0, negative: false, ..self }.f64().log2()
    }

    pub fn exp(self) -> Self {
        // |y| < 2^-16, so that 30 terms reach 2^-480; squaring loses a digit each time.
        let halvings = (self.exponent + 16).max(0);
        let y = self.scaled(-halvings);
        let mut term = Self::int(1);
        let mut sum = term;
        for n in 1..30 {
            term = term.times(y).over_int(n);
            sum = sum.plus(term);
        }
        (0..halvings).fold(sum, |power, _| power.times(power))
    }

    pub fn exp_m1(self) -> Self {
        if self.is_zero() || self.exponent > -8 {
            return self.exp().minus(Self::int(1));
        }
        let mut term = self;
        let mut sum = term;
        for n in 2..40 {
            term = term.times(self).over_int(n);
            sum = sum.plus(term);
        }
        sum
    }

    /// Halley's iteration on the exponential from any guess that is good to 2^-40.
    fn ln_from(self, guess: f64) -> Self {
        let mut y = Self::real(guess);
        for _ in 0..3 {
            let e = y.exp();
            y = y.plus(self.minus(e).scaled(1).over(self.plus(e)));
        }
        y
    }

    pub fn ln(self) -> Self {
        let mantissa = Self { exponent: 0, ..self }.f64();
        #[expect(clippy::cast_precision_loss, reason = "exponents are small")]
        self.ln_from(mantissa.ln() + self.exponent as f64 * std::f64::consts::LN_2)
    }

    pub fn ln_1p(self) -> Self {
        if self.exponent > -64 {
            return self.plus(Self::int(1)).ln();
        }
        let mut power = self;
        let mut sum = self;
        for n in 2..8 {
            power = power.times(self).negated();
            sum = sum.plus(power.over_int(n));
        }
        sum
    }

    /// x/(1 + x^2/(3 + x^2/(5 + ...))) near 0, (e^x - e^-x)/(e^x + e^-x) elsewhere.
    pub fn tanh(self) -> Self {
        if self.is_zero() {
            return self;
        }
        if self.exponent > 0 {
            let (up, down) = (self.exp(), self.negated().exp());
            return up.minus(down).over(up.plus(down));
        }
        let square = self.times(self);
        let mut tail = Self::int(101);
        for n in (1..=99).rev().step_by(2) {
            tail = Self::int(n).plus(square.over(tail));
        }
        self.over(tail)
    }

    /// x - k pi/2 and k, so that the rest is within pi/4.
    fn quarter(self) -> (Self, i64) {
        thread_local!(static HALF: Big = Big::pi().scaled(-1));
        let half = HALF.with(|half| *half);
        #[expect(clippy::cast_possible_truncation, reason = "arguments are below 2^20")]
        let k = (self.f64() / std::f64::consts::FRAC_PI_2).round() as i64;
        (self.minus(half.times(Self::int(k))), k)
    }

    /// The series from the term r^n / n! on, every second one with the other sign.
    fn alternating(self, first: u64) -> Self {
        let square = self.times(self).negated();
        let mut term = if first == 0 { Self::int(1) } else { self };
        let mut sum = term;
        for n in (first + 1..60).step_by(2) {
            term = term.times(square).over_int(n * (n + 1));
            sum = sum.plus(term);
        }
        sum
    }

    fn turned(self, turns: i64) -> Self {
        let (r, k) = self.quarter();
        let quarter = (k + turns).rem_euclid(4);
        let size = r.alternating(u64::from(quarter % 2 == 0));
        if quarter >= 2 { size.negated() } else { size }
    }

    pub fn sin(self) -> Self {
        if self.is_zero() { self } else { self.turned(0) }
    }

    pub fn cos(self) -> Self {
        self.turned(1)
    }

    /// 16 atan(1/5) - 4 atan(1/239).
    pub fn pi() -> Self {
        let atan = |n: u64| {
            let mut power = Self::int(1).over_int(n);
            let mut sum = power;
            for k in 1..100 {
                power = power.over_int(n * n).negated();
                sum = sum.plus(power.over_int(2 * k + 1));
            }
            sum
        };
        atan(5).scaled(4).minus(atan(239).scaled(2))
    }

    fn over_sqrt_pi(self) -> Self {
        thread_local!(static ROOT: Big = Big::pi().sqrt());
        self.over(ROOT.with(|root| *root))
    }

    /// 2/sqrt(pi) e^(-x^2) sum 2^n x^(2n+1) / (1 3 5 ... (2n+1)).
    pub fn erf_series(self) -> Self {
        let square = self.times(self);
        let mut term = self;
        let mut sum = self;
        for n in 1..300 {
            term = term.times(square).scaled(1).over_int(2 * n + 1);
            sum = sum.plus(term);
            if term.log2() < sum.log2() - 300.0 {
                break;
            }
        }
        sum.times(square.negated().exp()).scaled(1).over_sqrt_pi()
    }

    /// e^(-x^2)/sqrt(pi) / (x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...)))): at x = 3, 300 terms give 2^-200.
    pub fn erfc_fraction(self) -> Self {
        let mut tail = self;
        for n in (1..=300).rev() {
            tail = self.plus(Self::int(n).scaled(-1).over(tail));
        }
        self.times(self).negated().exp().over(tail).over_sqrt_pi()
    }

    pub fn erf(self) -> Self {
        let three = Self::int(3);
        if self.smaller(three) {
            return self.erf_series();
        }
        let size = Self::int(1).minus(self.abs().erfc_fraction());
        if self.negative { size.negated() } else { size }
    }

    pub fn erfc(self) -> Self {
        if self.smaller(Self::int(3)) {
            Self::int(1).minus(self.erf_series())
        } else if self.negative {
            Self::int(2).minus(self.abs().erfc_fraction())
        } else {
            self.erfc_fraction()
        }
    }

    /// A decimal number with a point.
    pub fn decimal(text: &str) -> Self {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = whole.chars().chain(fraction.chars());
        let number = digits.fold(ZERO, |number, digit| {
            let digit = i64::from(digit.to_digit(10).expect("a digit"));
            number.times(Self::int(10)).plus(Self::int(digit))
        });
        (0..fraction.len()).fold(number, |number, _| number.over_int(10))
    }
}
