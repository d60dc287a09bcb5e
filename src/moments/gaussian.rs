//! Moments of an elementwise function of a Gaussian, by quadrature.
//!
//! Contract: [`Transformed`] holds E f, E f^2, E f^4, the elasticity of E f^2 and the contrast of f for a pair of inputs.
//! Plain Gauss-Hermite fails at kinks (E relu is off by 1e-2 with 16 nodes), so every integral is a Gauss-Legendre rule on
//! segments that are split at the kinks of f and at the scales of f and of the Gaussian; what is left outside of twelve
//! standard deviations is below 4e-33.

use super::{Interval, Moments};
use std::f64::consts::PI;
use std::sync::OnceLock;

/// A Gaussian pair: two inputs' values of one pre-activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    /// Mean of either value.
    pub mean: f64,
    /// Variance of either value.
    pub variance: f64,
    /// Correlation of the two values.
    pub correlation: f64,
}

/// What a function does to a [`Gaussian`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transformed {
    /// E f.
    pub mean: f64,
    /// E f^2.
    pub square: f64,
    /// E f^4.
    pub fourth: f64,
    /// d ln E f^2 / d ln of the second moment of the input: below 1 the scale is restored, above 1 it runs away.
    pub elasticity: f64,
    /// (E f^2 - E f f') / E f^2 over the pair.
    pub contrast: f64,
}

/// Nodes and weights of the n-point Gauss-Legendre rule on [-1, 1], by Newton's iteration on the Legendre recurrence
/// (Golub and Welsch 1969 give the same nodes; the residual here is below 1e-15).
fn legendre(n: usize) -> Vec<(f64, f64)> {
    let mut rule = Vec::with_capacity(n);
    #[expect(clippy::cast_precision_loss, reason = "n is below 100")]
    for i in 0..n {
        let mut x = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut below, mut p) = (1.0, x);
            for k in 2..=n {
                let k = k as f64;
                (below, p) = (p, ((2.0 * k - 1.0) * x * p - (k - 1.0) * below) / k);
            }
            slope = n as f64 * (x * p - below) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        rule.push((x, 2.0 / ((1.0 - x * x) * slope * slope)));
    }
    rule
}

fn fine() -> &'static [(f64, f64)] {
    static RULE: OnceLock<Vec<(f64, f64)>> = OnceLock::new();
    RULE.get_or_init(|| legendre(48))
}

fn coarse() -> &'static [(f64, f64)] {
    static RULE: OnceLock<Vec<(f64, f64)>> = OnceLock::new();
    RULE.get_or_init(|| legendre(16))
}

/// E g(x) for x ~ N(mean, sd^2), with segments split where `breaks` lie.
fn expectation(
    rule: &[(f64, f64)],
    mean: f64,
    sd: f64,
    breaks: &[f64],
    mut g: impl FnMut(f64) -> f64,
) -> f64 {
    if sd <= 0.0 {
        return g(mean);
    }
    let scales = [-6.0, -2.0, 0.0, 2.0, 6.0];
    let inside = breaks.iter().chain(&scales).map(|&x| (x - mean) / sd).filter(|z| z.abs() < 12.0);
    let mut cuts: Vec<f64> = [-12.0, -4.0, 0.0, 4.0, 12.0].into_iter().chain(inside).collect();
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let mut total = 0.0;
    for pair in cuts.windows(2) {
        let (half, middle) = ((pair[1] - pair[0]) * 0.5, f64::midpoint(pair[0], pair[1]));
        let sum: f64 = rule
            .iter()
            .map(|&(node, weight)| {
                let z = half * node + middle;
                weight * (-0.5 * z * z).exp() * g(mean + sd * z)
            })
            .sum();
        total += half * sum;
    }
    total / (2.0 * PI).sqrt()
}

impl Gaussian {
    /// The pair that has the moments `x`.
    #[must_use]
    pub fn of(x: &Moments) -> Self {
        Self::at(x, x.ln_square.middle())
    }

    /// The pair that has the moments `x` but for its second moment.
    fn at(x: &Moments, ln_square: f64) -> Self {
        let square = ln_square.clamp(-600.0, 600.0).exp();
        let mean = x.mean_share * square.sqrt();
        let variance = (square - mean * mean).max(0.0);
        let cross = square * (1.0 - x.contrast) - mean * mean;
        let correlation = if variance > 0.0 { (cross / variance).clamp(0.0, 1.0) } else { 1.0 };
        Self { mean, variance, correlation }
    }

    /// The moments of `f` of this Gaussian; `kinks` are the points where f or a derivative of it jumps.
    #[must_use]
    pub fn through(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> Transformed {
        let Self { mean, variance, .. } = self;
        let sd = variance.max(0.0).sqrt();
        let square_at = |scale: f64| expectation(fine(), mean * scale, sd * scale, kinks, |x| f(x).powi(2));
        let square = square_at(1.0);
        // ln E f^2 at second moments a thousandth above and below; the truncation error is of order 1e-6.
        let step: f64 = 1e-3;
        let elasticity = if square > 0.0 {
            (square_at((1.0 + step).sqrt()).ln() - square_at((1.0 - step).sqrt()).ln())
                / ((1.0 + step).ln() - (1.0 - step).ln())
        } else {
            0.0
        };
        Transformed {
            mean: expectation(fine(), mean, sd, kinks, f),
            square,
            fourth: expectation(fine(), mean, sd, kinks, |x| f(x).powi(4)),
            elasticity,
            contrast: if square > 0.0 { self.difference(f, kinks) / square } else { 0.0 },
        }
    }

    /// E f^2 and E f^4 of either value.
    #[must_use]
    pub fn powers(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> (f64, f64) {
        let sd = self.variance.max(0.0).sqrt();
        let power = |n: i32| expectation(fine(), self.mean, sd, kinks, |x| f(x).powi(n));
        (power(2), power(4))
    }

    /// E f^2 of either value.
    #[must_use]
    pub fn square(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> f64 {
        expectation(fine(), self.mean, self.variance.max(0.0).sqrt(), kinks, |x| f(x).powi(2))
    }

    /// E f^2 - E f(u) f(v) = E Var(f(u) | common part), which keeps its digits when the two inputs are nearly equal.
    fn difference(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> f64 {
        let Self { mean, variance, correlation } = self;
        let common = (variance * correlation.clamp(0.0, 1.0)).sqrt();
        let own = (variance * (1.0 - correlation.clamp(0.0, 1.0))).sqrt();
        if own == 0.0 {
            return 0.0;
        }
        // Near a kink the conditional variance changes on the scale of the private part.
        let near: Vec<f64> = kinks.iter().flat_map(|&k| [k - 3.0 * own, k, k + 3.0 * own]).collect();
        expectation(coarse(), mean, common, &near, |centre| {
            let first = expectation(coarse(), centre, own, kinks, f);
            expectation(coarse(), centre, own, kinks, |x| (f(x) - first).powi(2))
        })
    }
}

/// The moments of `f(x)` for a value with moments `x`, taken as Gaussian.
#[must_use]
pub fn through(x: &Moments, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> Moments {
    let at = Gaussian::of(x).through(f, kinks);
    if at.square <= 0.0 {
        return Moments::ZERO;
    }
    let ln_square_at = |ln_square: f64| {
        let Gaussian { mean, variance, .. } = Gaussian::at(x, ln_square);
        expectation(fine(), mean, variance.sqrt(), kinks, |v| f(v).powi(2)).ln()
    };
    let ln_square = if x.ln_square.lo == x.ln_square.hi {
        Interval::point(at.square.ln())
    } else {
        x.ln_square.map(ln_square_at)
    };
    Moments {
        ln_square,
        mean_share: (at.mean / at.square.sqrt()).clamp(-1.0, 1.0),
        contrast: at.contrast.clamp(0.0, 2.0),
        spread: at.elasticity * at.elasticity * x.spread,
        tail: (at.fourth / (at.square * at.square) - 1.0).max(0.0),
        units: x.units,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standard(correlation: f64) -> Gaussian {
        Gaussian { mean: 0.0, variance: 1.0, correlation }
    }

    /// Closed forms: E relu = 1/sqrt(2 pi), E relu^2 = 1/2, E relu^4 = 3/2, elasticity 1.
    #[test]
    fn relu_moments_are_exact() {
        let t = standard(0.3).through(&|x: f64| x.max(0.0), &[0.0]);
        assert!((t.mean - 1.0 / (2.0 * PI).sqrt()).abs() < 1e-14);
        assert!((t.square - 0.5).abs() < 1e-14);
        assert!((t.fourth - 1.5).abs() < 1e-13);
        assert!((t.elasticity - 1.0).abs() < 1e-9);
    }

    /// The arc-cosine kernel of order 1 (Cho and Saul 2009) gives the pair's cross-moment in closed form.
    #[test]
    fn relu_contrast_follows_the_arc_cosine_kernel() {
        for c in [0.0f64, 0.3, 0.9, 0.999, 0.999_999] {
            let kernel = ((1.0 - c * c).sqrt() + c * (PI - c.acos())) / (2.0 * PI);
            let t = standard(c).through(&|x: f64| x.max(0.0), &[0.0]);
            let want = (0.5 - kernel) / 0.5;
            assert!((t.contrast - want).abs() < 1e-6 * want, "c = {c}: {} against {want}", t.contrast);
        }
    }

    /// E tanh^2 = 0.394294 and E silu^2 = 0.355775 at unit variance; silu's elasticity is 1.173, above 1.
    #[test]
    fn smooth_activations_match_published_gains() {
        let tanh = standard(0.0).through(&|x: f64| x.tanh(), &[]);
        assert!((tanh.square - 0.394_294).abs() < 1e-6);
        assert!(
            (tanh.contrast - 1.0).abs() < 1e-12,
            "independent inputs of an odd function have nothing in common"
        );
        let silu = standard(0.0).through(&|x: f64| x / (1.0 + (-x).exp()), &[]);
        assert!((silu.square - 0.355_775).abs() < 1e-6);
        assert!((silu.elasticity - 1.173).abs() < 1e-3);
    }

    #[test]
    fn legendre_weights_sum_to_two_and_integrate_polynomials() {
        for n in [16, 48] {
            let rule = legendre(n);
            let total: f64 = rule.iter().map(|&(_, w)| w).sum();
            let tenth: f64 = rule.iter().map(|&(x, w)| w * x.powi(10)).sum();
            assert!((total - 2.0).abs() < 1e-14 && (tenth - 2.0 / 11.0).abs() < 1e-14);
        }
    }
}
