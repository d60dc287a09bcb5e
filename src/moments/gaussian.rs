//! Moments of an elementwise function of a Gaussian, by quadrature.
//!
//! Contract: [`Transformed`] holds E f, E f^2, E f^4, the elasticity of E f^2 and the contrast of f for a pair of inputs.
//! Plain Gauss-Hermite fails at kinks (E relu is off by 1e-2 with 16 nodes), so every integral is a Gauss-Legendre rule on
//! segments that are split at the kinks of f and at the scales of f and of the Gaussian; what is left outside of twelve
//! standard deviations is below 4e-33.

use super::{Interval, Moments};
use crate::scalar::Scalar;
use std::f64::consts::PI;
use std::sync::OnceLock;

/// A Gaussian pair: two inputs' values of one pre-activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaussian {
    /// Mean of either value.
    pub mean: f64,
    /// Variance of either value.
    pub variance: f64,
    /// 1 - correlation of the two values, which keeps its digits when they nearly agree.
    pub decorrelation: f64,
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

/// An elementwise function with its slope.
pub struct Curve<'a> {
    /// f.
    pub value: Box<dyn Fn(f64) -> f64 + 'a>,
    /// f'.
    pub slope: Box<dyn Fn(f64) -> f64 + 'a>,
    /// Where f or a derivative of it jumps.
    pub kinks: Vec<f64>,
}

/// Where the piece of a function that holds almost everything has begun.
const FAR: f64 = 1e3;

impl Curve<'_> {
    /// Where to split an integral over x / `rms`: at the kinks.
    #[must_use]
    pub fn breaks(&self, rms: f64) -> Vec<f64> {
        self.kinks.iter().map(|kink| kink / rms).collect()
    }

    /// The slope below which a value counts as flat, a fiftieth of the largest between -10 and 10; `None` for a function that is not
    /// flat on both sides.
    #[must_use]
    pub fn flat(&self) -> Option<f64> {
        let size = |x: f64| (self.slope)(x).abs();
        let flat = (-100..=100).map(|i| size(f64::from(i) / 10.0)).fold(0.0, f64::max) / 50.0;
        (size(-FAR) < flat && size(FAR) < flat).then_some(flat)
    }

    /// Whether it is 0 below a kink, as a relu is.
    #[must_use]
    pub fn is_off_below(&self) -> bool {
        !self.kinks.is_empty() && (self.value)(-FAR) == 0.0 && (self.slope)(-FAR) == 0.0
    }
}

/// Nodes and weights of the n-point Gauss-Legendre rule on [-1, 1], by Newton's iteration on the Legendre recurrence
/// (Golub and Welsch 1969 give the same nodes; the residual here is below 1e-15).
pub(super) fn legendre(n: usize) -> Vec<(f64, f64)> {
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

/// Places z and weights for integrals over a standard normal z, with segments split where `breaks` of x = mean + sd z lie.
fn nodes(rule: &[(f64, f64)], mean: f64, sd: f64, breaks: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let scales = [-6.0, -2.0, 0.0, 2.0, 6.0];
    let inside = breaks.iter().chain(&scales).map(|&x| (x - mean) / sd).filter(|z| z.abs() < 12.0);
    let mut cuts: Vec<f64> = [-12.0, -4.0, 0.0, 4.0, 12.0].into_iter().chain(inside).collect();
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let normal = (2.0 * PI).sqrt().recip();
    let segments: Vec<(f64, f64)> =
        cuts.windows(2).map(|pair| ((pair[1] - pair[0]) * 0.5, f64::midpoint(pair[0], pair[1]))).collect();
    segments.into_iter().flat_map(move |(half, middle)| {
        rule.iter().map(move |&(node, weight)| {
            let z = half * node + middle;
            (z, half * weight * normal * (-0.5 * z * z).exp())
        })
    })
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
    nodes(rule, mean, sd, breaks).map(|(z, weight)| weight * g(mean + sd * z)).sum()
}

/// How many Hermite coefficients are computed at most.
const HERMITE: usize = 64;

impl Gaussian {
    /// The pair that has the moments `x`.
    #[must_use]
    pub fn of(x: &Moments) -> Self {
        Self::at(x, x.ln_square.middle())
    }

    /// The pair that has the moments `x` but for its second moment.
    fn at(x: &Moments, ln_square: f64) -> Self {
        // Only a zero is taken as one.
        let square = if ln_square == f64::NEG_INFINITY { 0.0 } else { ln_square.clamp(-600.0, 600.0).exp() };
        let mean = x.mean_share * square.sqrt();
        let variance = (square - mean * mean).max(0.0);
        let decorrelation =
            if variance > 0.0 { (square * x.contrast / variance).clamp(0.0, 1.0) } else { 0.0 };
        Self { mean, variance, decorrelation }
    }

    /// P(x < t) of either value.
    #[must_use]
    pub fn below(self, t: f64) -> f64 {
        let sd = self.variance.max(0.0).sqrt();
        if sd == 0.0 {
            return if self.mean < t { 1.0 } else { 0.0 };
        }
        0.5 * Scalar::erfc((self.mean - t) / (sd * std::f64::consts::SQRT_2))
    }

    /// The moments of `f` of this Gaussian; `kinks` are the points where f or a derivative of it jumps.
    #[must_use]
    pub fn through(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> Transformed {
        let Self { mean, variance, .. } = self;
        let sd = variance.max(0.0).sqrt();
        if sd == 0.0 {
            let value = f(mean);
            // ln f(x)^2 at second moments a thousandth above and below; the truncation error is of order 1e-6.
            let at = |square: f64| f(mean * square.sqrt()).powi(2).ln();
            let elasticity = if value == 0.0 || mean == 0.0 {
                0.0
            } else {
                (at(1.001) - at(0.999)) / (1.001f64.ln() - 0.999f64.ln())
            };
            let (square, fourth) = (value.powi(2), value.powi(4));
            return Transformed { mean: value, square, fourth, elasticity, contrast: 0.0 };
        }
        let (mut first, mut square, mut fourth, mut moved) = (0.0, 0.0, 0.0, 0.0);
        let mut values = Vec::with_capacity(16 * fine().len());
        for (z, weight) in nodes(fine(), mean, sd, kinks) {
            let x = mean + sd * z;
            let value = f(x);
            let (once, twice) = (weight * value, weight * value * value);
            first += once;
            square += twice;
            fourth += twice * value * value;
            moved += twice * z * x;
            values.push((z, once));
        }
        if square <= 0.0 {
            return Transformed { mean: first, square, fourth, elasticity: 0.0, contrast: 0.0 };
        }
        // d/d ln s of E g(x) with g = f^2 is E[x g'(x)] / 2 = (E[z x g] / sd - E g) / 2 by Stein's identity.
        let elasticity = 0.5 * (moved / (sd * square) - 1.0);
        let difference = self
            .homogeneous(f, kinks)
            .or_else(|| self.expanded(square, &values))
            .unwrap_or_else(|| self.difference(f, kinks));
        Transformed { mean: first, square, fourth, elasticity, contrast: difference / square }
    }

    /// E f^2 - E f(u) f(v) for a centred pair and a function with f(a x) = a f(x) for a > 0: with the slopes p and q on either side,
    /// f(x) = q x + (p - q) relu(x), and the arc-cosine kernel gives the rest (Cho and Saul 2009). `None` for other functions.
    fn homogeneous(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> Option<f64> {
        let (p, q) = (f(1.0), -f(-1.0));
        let scales = [0.5, 2.0, 1e3].iter().all(|&a| f(a) == a * p && f(-a) == -a * q);
        if self.mean != 0.0 || kinks != [0.0] || f(0.0) != 0.0 || !scales {
            return None;
        }
        let d = self.decorrelation.clamp(0.0, 1.0);
        let theta = 2.0 * (0.5 * d).sqrt().asin();
        // sin t - t cos t, by its series where the difference would lose digits.
        let lune = if theta < 0.5 {
            let square = theta * theta;
            let mut term = theta * square / 3.0;
            let mut sum = term;
            for k in 2..12 {
                let k = f64::from(k);
                term *= -square * k / ((k - 1.0) * 2.0 * k * (2.0 * k + 1.0));
                sum += term;
            }
            sum
        } else {
            theta.sin() - theta * theta.cos()
        };
        let kernel = (PI * d - lune) / (2.0 * PI);
        Some(self.variance * (p * q * d + (p - q).powi(2) * kernel))
    }

    /// E f^2 - E f(u) f(v) = sum a_n^2 (1 - c^n) from the Hermite coefficients a_n of f (Mehler's formula), as many as its twelfth
    /// digit needs. `values` holds places z with f times the weight there. `None` where too many are needed, as at a kink when u
    /// and v nearly agree.
    fn expanded(self, square: f64, values: &[(f64, f64)]) -> Option<f64> {
        // 1 - c^n without cancellation at c near 1.
        let ln = (-self.decorrelation.clamp(0.0, 1.0)).ln_1p();
        // Normalised polynomials at all places: h_0 = 1, h_1 = z, E h_m h_n = [m = n].
        let mut below = vec![0.0; values.len()];
        let mut here = vec![1.0; values.len()];
        let (mut difference, mut power, mut rest, mut n) = (0.0, 0.0, square, 0.0f64);
        for _ in 0..HERMITE {
            let a: f64 = values.iter().zip(&here).map(|((_, value), h)| value * h).sum();
            difference -= a * a * f64::exp_m1(power);
            rest = (rest - a * a).max(f64::EPSILON * square);
            power += ln;
            n += 1.0;
            // 1 - c^m of what is left out lies between that of the next coefficient and 1.
            let left = rest * -power.exp_m1();
            if rest * power.exp() <= 1e-12 * (difference + left) {
                return Some(difference + left);
            }
            let (back, scale) = ((n - 1.0).sqrt(), n.sqrt().recip());
            for ((z, _), (below, here)) in values.iter().zip(below.iter_mut().zip(&mut here)) {
                let next = (z * *here - back * *below) * scale;
                (*below, *here) = (*here, next);
            }
        }
        None
    }

    /// E f^2 and E f^4 of either value.
    #[must_use]
    pub fn powers(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> (f64, f64) {
        let Self { mean, variance, .. } = self;
        if variance <= 0.0 {
            let square = f(mean).powi(2);
            return (square, square * square);
        }
        let sd = variance.sqrt();
        nodes(fine(), mean, sd, kinks).fold((0.0, 0.0), |(second, fourth), (z, weight)| {
            let square = f(mean + sd * z).powi(2);
            (second + weight * square, fourth + weight * square * square)
        })
    }

    /// E f^2 of either value.
    #[must_use]
    pub fn square(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> f64 {
        expectation(fine(), self.mean, self.variance.max(0.0).sqrt(), kinks, |x| f(x).powi(2))
    }

    /// E f^2 - E f(u) f(v) = E Var(f(u) | common part), which keeps its digits when the two inputs are nearly equal.
    fn difference(self, f: &dyn Fn(f64) -> f64, kinks: &[f64]) -> f64 {
        let Self { mean, variance, decorrelation } = self;
        let common = (variance * (1.0 - decorrelation.clamp(0.0, 1.0))).sqrt();
        let own = (variance * decorrelation.clamp(0.0, 1.0)).sqrt();
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
        variety: x.variety,
        spread: at.elasticity * at.elasticity * x.spread,
        // A mean of n Gaussian squares scatters by 2/n. Where the input's is held, by a norm or orthogonal weights, the part of
        // the scatter of f^2 that follows it is missing.
        tail: (at.fourth / (at.square * at.square)
            - 1.0
            - at.elasticity * at.elasticity * (2.0 - x.tail).max(0.0))
        .max(0.0),
        units: x.units,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standard(correlation: f64) -> Gaussian {
        Gaussian { mean: 0.0, variance: 1.0, decorrelation: 1.0 - correlation }
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

    /// The arc-cosine kernel of order 1 (Cho and Saul 2009) in closed form, where its terms do not cancel; near c = 1 the difference
    /// is d/2 - (2 d)^(3/2) / (6 pi) to first orders in d = 1 - c.
    #[test]
    fn relu_contrast_follows_the_arc_cosine_kernel() {
        let relu = |x: f64| x.max(0.0);
        for c in [0.0f64, 0.3, 0.9, 0.99] {
            let kernel = ((1.0 - c * c).sqrt() + c * (PI - c.acos())) / (2.0 * PI);
            let found = standard(c).through(&relu, &[0.0]).contrast;
            assert!((found - (1.0 - 2.0 * kernel)).abs() < 1e-13, "c = {c}: {found}");
        }
        for d in [1e-6f64, 1e-12, 1e-18] {
            let pair = Gaussian { mean: 0.0, variance: 1.0, decorrelation: d };
            let want = d - (2.0 * d).powf(1.5) / (3.0 * PI);
            let found = pair.through(&relu, &[0.0]).contrast;
            assert!((found / want - 1.0).abs() < 3.0 * d.max(1e-15), "d = {d}: {found} against {want}");
        }
    }

    /// The three ways to the difference agree where two of them apply.
    #[test]
    fn expansion_kernel_and_nested_quadrature_agree() {
        let leaky = |x: f64| if x > 0.0 { x } else { 0.2 * x };
        let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
        for (f, kinks) in [(&leaky as &dyn Fn(f64) -> f64, &[0.0][..]), (&elu, &[0.0]), (&f64::tanh, &[])] {
            for (mean, d) in [(0.0, 0.9), (0.0, 0.5), (0.7, 0.6), (-0.3, 0.99)] {
                let pair = Gaussian { mean, variance: 1.7, decorrelation: d };
                let whole = pair.through(f, kinks);
                let nested = pair.difference(f, kinks) / whole.square;
                assert!(
                    (whole.contrast / nested - 1.0).abs() < 1e-8,
                    "d = {d}: {} and {nested}",
                    whole.contrast
                );
            }
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
