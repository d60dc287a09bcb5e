//! How much gradient arrives at a value: the backward side of the static analysis.
//!
//! Contract: the energy of a value x is the sum over its elements of E (dL/dx)^2, relative to the energy at the model's prediction.
//! The sum, not the mean: width, stride and pooling then drop out, and a plain chain multiplies it by fan_in Var(w) E f'^2 a layer
//! (Schoenholz et al. 2017, chi). Logarithms throughout; intervals where windows overlap.

use super::{Interval, ln_add};

/// The gradient's energy at one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Energy {
    /// ln of the energy, relative to the prediction's.
    pub ln: Interval,
    /// Variance over random initialisations of that logarithm for infinitely wide layers on the way.
    pub spread: f64,
    /// What one unit adds to the relative variance of a sum over units: E g^4 / (E g^2)^2 - 1 of one element, less where the
    /// sum is kept, as by orthogonal weights.
    pub tail: f64,
    /// Over how many independent units the sum runs.
    pub units: f64,
    /// 1 - E g g' / E g^2 of one unit at two positions of one sample: 1 if their gradients have nothing in common. Attention hands
    /// many positions the sum of the same gradients.
    pub variety: f64,
}

impl Energy {
    /// Nothing arrives.
    pub const ZERO: Self =
        Self { ln: Interval::point(f64::NEG_INFINITY), spread: 0.0, tail: 0.0, units: 1.0, variety: 1.0 };

    /// The energy at the place it is measured from, with Gaussian elements. Energies are relative to that of the same draw, which
    /// therefore does not scatter itself.
    #[must_use]
    pub const fn unit(units: f64) -> Self {
        Self { ln: Interval::point(0.0), spread: 0.0, tail: 0.0, units, variety: 1.0 }
    }

    /// Variance over random initialisations of ln of the measured energy.
    #[must_use]
    pub fn measured_spread(&self) -> f64 {
        self.spread + self.tail / self.units
    }

    /// Whether nothing arrives.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.ln.hi == f64::NEG_INFINITY
    }

    /// The same elements, multiplied by numbers with the mean square e^`factor`.
    #[must_use]
    pub fn times(self, factor: Interval) -> Self {
        Self { ln: self.ln.plus(factor), ..self }
    }

    /// Through the transpose of independent zero-mean weights: e_in = fan_in Var(w) e_out, whatever the gradient
    /// (He et al. 2015, eq. 13); each of the `units` inputs sums over many outputs and is Gaussian.
    #[must_use]
    pub fn linear(self, factor: Interval, units: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
        let units = units.max(1) as f64;
        Self { ln: self.ln.plus(factor), spread: self.measured_spread(), tail: 2.0, units, ..self }
    }

    /// E g^4 / (E g^2)^2 of one element: that of a Gaussian where the sum is kept.
    #[must_use]
    pub fn kurtosis(&self) -> f64 {
        (1.0 + self.tail).max(3.0)
    }

    /// Multiplied element by element with independent numbers whose squares have the second moment `fourth` over the squared
    /// first: the tail of the result. A sum of squares that is kept, of n Gaussian elements, takes 2 off: the ratio of
    /// A = sum g^2 f'^2 to B = sum g^2 has the relative variance Var A + Var B - 2 Cov = (3 F - 1) + 2 - 2 (3 - 1), over n.
    #[must_use]
    pub fn tail_times(&self, fourth: f64) -> f64 {
        (self.kurtosis() * fourth - 1.0 - (2.0 - self.tail).max(0.0)).max(0.0)
    }

    /// Through an elementwise function: multiplied by f', with E f'^2 = `square` and E f'^4 = `fourth`.
    #[must_use]
    pub fn slope(self, square: f64, fourth: f64) -> Self {
        if square <= 0.0 {
            return Self::ZERO;
        }
        let tail = self.tail_times(fourth / (square * square));
        Self { ln: self.ln.shift(square.ln()), tail, ..self }
    }

    /// Multiplied element by element with numbers that have this variety.
    #[must_use]
    pub fn parted(self, variety: f64) -> Self {
        Self { variety: 1.0 - (1.0 - self.variety) * (1.0 - variety), ..self }
    }

    /// The sum of two contributions to one value, independent of each other.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        let (a, b) = (self.ln, other.ln);
        let ln = Interval { lo: ln_add(a.lo, b.lo), hi: ln_add(a.hi, b.hi) };
        let share = |part: Interval| (part.middle() - ln.middle()).exp();
        Self {
            ln,
            spread: share(a).powi(2) * self.spread + share(b).powi(2) * other.spread,
            tail: super::tail_of_sum((share(a), self.tail, self.units), (share(b), other.tail, other.units)),
            units: self.units.min(other.units),
            variety: share(a) * self.variety + share(b) * other.variety,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_he_layer_before_relu_keeps_the_energy() {
        // fan_in Var(w) = 2 and E relu'^2 = 1/2.
        let below = Energy::unit(100.0).slope(0.5, 0.5).linear(Interval::point(2f64.ln()), 100);
        assert!(below.ln.lo.abs() < 1e-15);
        // (3 E f'^4 / (E f'^2)^2 - 3) / n = (3 * 2 - 3) / 100 at the prediction itself, and 3 * 2 - 1 behind a layer.
        assert!((below.spread - 0.03).abs() < 1e-15);
        let next = below.slope(0.5, 0.5).linear(Interval::point(2f64.ln()), 100);
        assert!((next.spread - 0.08).abs() < 1e-15);
    }

    #[test]
    fn contributions_add_up_without_overflow() {
        let far = Energy { ln: Interval::point(2000.0), ..Energy::unit(10.0) };
        let sum = far.plus(far);
        assert!((sum.ln.lo - 2000.0 - 2f64.ln()).abs() < 1e-12);
        assert_eq!(Energy::ZERO.plus(far), far);
    }
}
