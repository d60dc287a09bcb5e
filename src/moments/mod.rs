//! What the static analysis knows of a value at initialisation, before any data is seen.
//!
//! Contract: [`Moments`] describes one element of a value, averaged over units and over random weights: its second
//! moment (as an interval, because pooling and padding depend on spatial correlation that the spec does not state), its
//! mean, and how much two different inputs differ in it. Magnitudes are logarithms, so that fifty layers of N(0,1)
//! weights do not overflow. Maps are iterated, never multiplied as constant gains: tanh at Var(w) = 1/n has
//! E tanh(z)^2 = 0.394 at unit variance, yet fifty layers keep 1 % of the signal and not 0.394^50
//! (Poole et al. 2016; Schoenholz et al. 2017).

mod energy;
mod gaussian;
pub mod law;
mod shares;

pub use energy::Energy;
pub use gaussian::{Curve, Gaussian, Transformed, through};
pub use law::Law;
pub use shares::{Rows, Shares, harmonic};

/// A closed interval of logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

impl Interval {
    /// The interval that holds one number.
    #[must_use]
    pub const fn point(x: f64) -> Self {
        Self { lo: x, hi: x }
    }

    /// The middle.
    #[must_use]
    pub fn middle(self) -> f64 {
        if self.lo == self.hi { self.lo } else { f64::midpoint(self.lo, self.hi) }
    }

    /// The interval moved by a number.
    #[must_use]
    pub fn shift(self, by: f64) -> Self {
        Self { lo: self.lo + by, hi: self.hi + by }
    }

    /// The interval widened by another, end by end.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { lo: self.lo + other.lo, hi: self.hi + other.hi }
    }

    /// Applies an increasing function to both ends.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self { lo: f(self.lo), hi: f(self.hi) }
    }
}

/// ln(e^a + e^b) without overflow.
#[must_use]
pub fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The state that the analysis carries along an edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// ln E[x^2], averaged over units and random weights.
    pub ln_square: Interval,
    /// `E[x]` / sqrt(E[x^2]), in -1..1.
    pub mean_share: f64,
    /// 1 - E[x x'] / E[x^2] for two independent inputs: 1 if they have nothing in common, 0 if the value ignores the input.
    pub contrast: f64,
    /// 1 - E[x x'] / E[x^2] for one unit at two positions of one sample: 1 if positions have nothing in common, 0 if all hold the
    /// same. Positions are all axes but the last. The analysis asks the rule of an operator for it by way of the contrast, as
    /// what acts on each position does the same to two of them as to two samples; only products of values and tables of positions state it.
    pub variety: f64,
    /// Variance over random initialisations of ln E[x^2], where the expectation is over the units of an infinitely wide
    /// layer on top of the drawn weights below (Hanin and Rolnick 2018).
    pub spread: f64,
    /// What one unit adds to the relative variance of a mean of x^2 over units: E[x^4] / E[x^2]^2 - 1, less where the mean is
    /// held, as by a norm or by orthogonal weights.
    pub tail: f64,
    /// How many independent units a mean of x^2 is taken over.
    pub units: f64,
}

impl Moments {
    /// Independent standard normal elements.
    pub const STANDARD: Self = Self {
        ln_square: Interval::point(0.0),
        mean_share: 0.0,
        contrast: 1.0,
        variety: 1.0,
        spread: 0.0,
        tail: 0.0,
        units: 1.0,
    };

    /// A value that is zero.
    pub const ZERO: Self = Self {
        ln_square: Interval::point(f64::NEG_INFINITY),
        mean_share: 0.0,
        contrast: 0.0,
        variety: 0.0,
        spread: 0.0,
        tail: 0.0,
        units: 1.0,
    };

    /// From plain moments: E[x^2], `E[x]` and E[x x']; positions have their mean in common.
    #[must_use]
    pub fn new(square: f64, mean: f64, cross: f64) -> Self {
        if square <= 0.0 {
            return Self::ZERO;
        }
        let mean_share = (mean / square.sqrt()).clamp(-1.0, 1.0);
        Self {
            ln_square: Interval::point(square.ln()),
            mean_share,
            contrast: (1.0 - cross / square).clamp(0.0, 2.0),
            variety: 1.0 - mean_share * mean_share,
            ..Self::STANDARD
        }
    }

    /// E[x^2] at the middle of the interval.
    #[must_use]
    pub fn square(&self) -> f64 {
        self.ln_square.middle().exp()
    }

    /// sqrt(E[x^2]).
    #[must_use]
    pub fn rms(&self) -> f64 {
        (0.5 * self.ln_square.middle()).exp()
    }

    /// `E[x]`.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean_share * self.rms()
    }

    /// Variance over random initialisations of ln of the mean of x^2 that is measured over the units of this value.
    #[must_use]
    pub fn measured_spread(&self) -> f64 {
        self.spread + self.tail / self.units
    }

    /// The value multiplied by a constant.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        if factor == 0.0 {
            return Self::ZERO;
        }
        let ln_square = self.ln_square.shift(2.0 * factor.abs().ln());
        Self { ln_square, mean_share: self.mean_share * factor.signum(), ..self }
    }

    /// The output of a linear map with independent zero-mean weights: `E h^2 = fan_in var E x^2 + bias_variance`.
    ///
    /// `gain` is fan_in times the weight variance, `reach` the share of the taps that lie inside the map (1 without
    /// padding; with it, the lower end of an interval), `units` the number of independent output units. The statement is
    /// exact in expectation over the weights, whatever the input (He et al. 2015, eq. 6).
    #[must_use]
    pub fn linear(self, gain: f64, reach: f64, bias_variance: f64, units: usize) -> Self {
        let ln_gain = gain.ln();
        let signal = self.ln_square.plus(Interval { lo: ln_gain + reach.ln(), hi: ln_gain });
        let ln_square = signal.map(|s| ln_add(s, bias_variance.ln()));
        if ln_square.hi == f64::NEG_INFINITY {
            return Self::ZERO;
        }
        let share = (signal.middle() - ln_square.middle()).exp();
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
        let units = units.max(1) as f64;
        Self {
            ln_square,
            mean_share: 0.0,
            contrast: self.contrast * share,
            variety: self.variety * share,
            spread: share * share * self.measured_spread(),
            // h is Gaussian for wide layers: E h^4 = 3 (E h^2)^2.
            tail: 2.0,
            units,
        }
    }

    /// Values that lie side by side, each with its share of the elements.
    #[must_use]
    pub fn mixture(parts: &[(f64, Self)]) -> Self {
        let end =
            |of: fn(&Self) -> f64| parts.iter().map(|(w, x)| of(x) + w.ln()).fold(f64::NEG_INFINITY, ln_add);
        let ln_square = Interval { lo: end(|x| x.ln_square.lo), hi: end(|x| x.ln_square.hi) };
        if ln_square.hi == f64::NEG_INFINITY {
            return Self::ZERO;
        }
        let middle = end(|x| x.ln_square.middle());
        let sum = |f: &dyn Fn(&Self, f64, f64) -> f64| -> f64 {
            parts.iter().map(|(w, x)| f(x, *w, (x.ln_square.middle() - middle).exp())).sum()
        };
        Self {
            ln_square,
            mean_share: sum(&|x, w, ratio| w * ratio.sqrt() * x.mean_share).clamp(-1.0, 1.0),
            contrast: sum(&|x, w, ratio| w * ratio * x.contrast).clamp(0.0, 2.0),
            variety: sum(&|x, w, ratio| w * ratio * x.variety).clamp(0.0, 2.0),
            spread: sum(&|x, w, ratio| (w * ratio).powi(2) * x.spread),
            tail: (sum(&|x, w, ratio| w * ratio * ratio * (1.0 + x.tail)) - 1.0).max(0.0),
            units: parts.iter().map(|(_, x)| x.units).fold(f64::INFINITY, f64::min),
        }
    }

    /// The sum of two independent values, at least one of which has mean zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = (self.ln_square, other.ln_square);
        let plain = Interval { lo: ln_add(a.lo, b.lo), hi: ln_add(a.hi, b.hi) };
        if plain.hi == f64::NEG_INFINITY {
            return Self::ZERO;
        }
        // 2 E[x] E[y] relative to E[x^2] + E[y^2], computed from the shares so that nothing overflows.
        let half = |part: Interval| (0.5 * (part.middle() - plain.middle())).exp();
        let cross = 2.0 * self.mean_share * other.mean_share * half(a) * half(b);
        let total = (1.0 + cross).max(f64::MIN_POSITIVE);
        let (wa, wb) = (half(a).powi(2) / total, half(b).powi(2) / total);
        let mean = self.mean_share * half(a) + other.mean_share * half(b);
        // d ln of the sum / d ln of a part: the cross term grows with the root of either.
        let (ja, jb) = (wa + 0.5 * cross / total, wb + 0.5 * cross / total);
        Self {
            ln_square: plain.shift(total.ln()),
            mean_share: (mean / total.sqrt()).clamp(-1.0, 1.0),
            contrast: (wa * self.contrast + wb * other.contrast).clamp(0.0, 2.0),
            variety: (wa * self.variety + wb * other.variety).clamp(0.0, 2.0),
            spread: ja * ja * self.spread + jb * jb * other.spread,
            tail: tail_of_sum((wa, self.tail, self.units), (wb, other.tail, other.units)),
            units: self.units.min(other.units),
        }
    }
}

/// The tail of a sum of independent parts, each given by its share of the second moment, tail and units, over the smaller number of
/// units: E (x + y)^4 = E x^4 + 6 E x^2 E y^2 + E y^4 where one part is symmetric, and a part with more units scatters less.
fn tail_of_sum((wa, ta, na): (f64, f64, f64), (wb, tb, nb): (f64, f64, f64)) -> f64 {
    let units = na.min(nb);
    (wa * wa * ta * units / na + wb * wb * tb * units / nb + 4.0 * wa * wb).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_layer_multiplies_the_second_moment_by_its_gain() {
        let x = Moments::new(4.0, 1.0, 1.0);
        let h = x.linear(0.5, 1.0, 1.0, 100);
        assert!((h.square() - 3.0).abs() < 1e-12);
        assert_eq!(h.mean_share, 0.0);
        // Signal 2 of total 3; the inputs differ in 3/4 of the signal.
        assert!((h.contrast - 0.75 * 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn sums_add_second_moments_and_cross_terms() {
        let sum = Moments::new(1.0, 0.5, 0.25).plus(Moments::new(2.0, 1.0, 1.0));
        assert!((sum.square() - 4.0).abs() < 1e-12);
        assert!((sum.mean() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn a_sum_of_gaussians_has_the_tail_of_a_gaussian() {
        let x = Moments { tail: 2.0, units: 64.0, ..Moments::STANDARD };
        let sum = x.plus(x.scaled(3.0));
        assert!((sum.tail - 2.0).abs() < 1e-12 && sum.units == 64.0);
        // An input of known length does not scatter by itself; its product with the other part does.
        let known = Moments { units: 64.0, ..Moments::STANDARD };
        assert!((known.plus(x).tail - (0.25 * 2.0 + 4.0 * 0.25)).abs() < 1e-12);
    }

    #[test]
    fn fifty_layers_of_standard_normal_weights_do_not_overflow() {
        let mut x = Moments::STANDARD;
        for _ in 0..2000 {
            x = x.linear(4096.0, 1.0, 0.0, 4096);
        }
        assert!(x.ln_square.lo.is_finite() && x.contrast == 1.0);
    }
}
