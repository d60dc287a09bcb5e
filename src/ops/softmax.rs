//! Softmax: `y_i = e^(x_i) / sum_j e^(x_j)` along one axis.
//!
//! The outputs are positive and sum to 1, so each of n has mean 1/n: the scale of a signal does not survive it. It belongs at the
//! output, and there in use only: `cross_entropy` takes logits and has a softmax of its own, and a second one flattens the
//! gradient. The largest input is subtracted first, so that no exponential overflows.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `softmax` | `[B,5]` | `[B,5]` |
//! | `softmax(axis=1)` | `[B,3,2,2]` | `[B,3,2,2]` |
//! | `softmax(axis=-2)` | `[B,4,3]` | `[B,4,3]` |
//! | `softmax(axis=0)` | `[B,5]` | error |
//! | `softmax(axis=2)` | `[B,5]` | error |
//! | `softmax` | `[B]` | error |

use super::{Backward, Category, Forward, Inferred, Lines, Misfit, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional};
use crate::moments::{Energy, Gaussian, Interval, Moments};
use crate::scalar::Scalar;

/// The operator `softmax`.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    axis: i64,
}

impl Op for Softmax {
    const SIGNATURE: &'static [Param] =
        &[optional("axis", Kind::Axis, "-1", "the axis along which the outputs sum to 1")];
    const CATEGORY: Category = Category::Distribution;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { axis: args.axis("axis")? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { axis } = self;
        vec![("axis", axis.to_string())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        super::axis_of("softmax", inputs[0], self.axis)?;
        Ok(Inferred::shape(inputs[0].clone()))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shape, inputs, mut output, .. } = io;
        let x = inputs[0];
        let lines = Lines::of(shape, self.axis);
        for start in lines.starts(x.len()) {
            let places = lines.places(start);
            let most = super::maximum(x, places.clone());
            for run in lines.runs(start) {
                S::map(
                    x.part(run.clone()),
                    &mut output.part(run),
                    #[inline(always)]
                    |x| (x + -most).exp(),
                );
            }
            let mut sum = S::constant(0.0);
            places.clone().for_each(|i| sum += output.at(i));
            places.for_each(|i| output.set(i, output.at(i) / sum));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shape, output, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let lines = Lines::of(shape, self.axis);
        for start in lines.starts(output.len()) {
            let places = lines.places(start);
            let mut sum = S::constant(0.0);
            for i in places.clone() {
                sum += cotangent.at(i) * output.at(i);
            }
            for i in places {
                grad.set(i, output.at(i) * (cotangent.at(i) - sum));
            }
        }
    }

    /// Inputs count as independent Gaussians with variance v = E x^2 - (E x)^2; their mean cancels. Of n outputs
    /// E y = 1/n and E y^2 = P/n with the participation ratio P = E sum y_i^2, which [`power_sum`] computes exactly. Two
    /// inputs whose deviations have correlation c give E y y' = (n P)^c / n^2: exact for c = 0, for c = 1, and for many
    /// inputs of moderate variance, where n P = e^v.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = &io.inputs[0];
        let n = Lines::of(io.shape, self.axis).length;
        let each = super::reciprocal(n);
        let deviation = 1.0 - x.mean_share * x.mean_share;
        // Beyond e^10 one output has all the mass, and its share no longer grows.
        let variance = |ln_square: f64| ln_square.clamp(-600.0, 10.0).exp() * deviation;
        let ln_square = |ln_square: f64| (each * power_sum(2, n, variance(ln_square))).ln();
        let middle = x.ln_square.middle();
        let square = ln_square(middle).exp();
        let correlation = if deviation > 0.0 { 1.0 - (x.contrast / deviation).clamp(0.0, 1.0) } else { 1.0 };
        let cross = each * each * (square / (each * each)).powf(correlation);
        let elasticity = if x.spread > 0.0 {
            let step = 1e-3;
            (ln_square(middle + step) - ln_square(middle - step)) / (2.0 * step)
        } else {
            0.0
        };
        let fourth = each * power_sum(4, n, variance(middle));
        Moments {
            ln_square: if x.ln_square.lo == x.ln_square.hi {
                Interval::point(square.ln())
            } else {
                x.ln_square.map(ln_square)
            },
            spread: elasticity * elasticity * x.spread,
            tail: (fourth / (square * square) - 1.0).max(0.0),
            units: x.units,
            ..Moments::new(square, each, cross)
        }
    }

    /// dx = y (g - sum y g): for independent gradients E dx^2 sums to E (P2 - 2 P3 + P2^2) times that of one output, with
    /// Pk = sum y^k and P2^2 = P4 + the sum of y_i^2 y_j^2 over pairs of two outputs.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let x = &io.inputs[0];
        let n = Lines::of(io.shape, self.axis).length;
        let deviation = 1.0 - x.mean_share * x.mean_share;
        let factor = |ln_square: f64| {
            let variance = ln_square.clamp(-600.0, 10.0).exp() * deviation;
            let squares = power_sum(4, n, variance) + distinct_sum(&[2, 2], n, variance);
            let sum = power_sum(2, n, variance) - 2.0 * power_sum(3, n, variance) + squares;
            // A single output is constant, and one that has all nearly is: what is left of the differences is rounding.
            if n > 1 { (super::reciprocal(n) * sum.max(f64::EPSILON)).ln() } else { f64::NEG_INFINITY }
        };
        let middle = factor(x.ln_square.middle());
        if middle == f64::NEG_INFINITY {
            return vec![Energy::ZERO];
        }
        vec![cotangent.times(Interval::point(middle))]
    }
}

/// E sum y_i^p of the softmax of n independent Gaussians with this variance.
pub(super) fn power_sum(p: u32, n: usize, variance: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
    let least = (n as f64).powf(1.0 - f64::from(p));
    distinct_sum(&[p], n, variance).clamp(least, 1.0)
}

/// E of the sum of y_i^p y_j^q ... over all choices of different outputs i, j, ... of the softmax of n independent Gaussians with
/// this variance, for `powers` p, q, ... With P their sum and S = sum e^x, 1/S^P = int t^(P-1) e^(-tS) dt / (P-1)!, under which the
/// expectation factorises over the inputs; with t = e^u it is the number of choices over (P-1)! times the integral over u of
/// the product of E e^(p(z+u) - e^(z+u)) and of E e^(-e^(z+u)) for each of the others. The integrand is analytic and falls off
/// like e^(Pu) on the left and doubly exponentially on the right, so the trapezoidal rule converges geometrically: at a step of
/// a quarter (of the width of the largest of the n inputs, where that exceeds 1) the tests find an error below 1e-9.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a few hundred steps")]
#[expect(clippy::cast_sign_loss, reason = "the number of steps is positive")]
fn distinct_sum(powers: &[u32], n: usize, variance: f64) -> f64 {
    if powers.len() > n {
        return 0.0;
    }
    let width = variance.sqrt();
    let input = Gaussian { mean: 0.0, variance, decorrelation: 1.0 };
    let step = 0.25 * (width / (1.0 + (n as f64).ln()).sqrt()).max(1.0);
    let low = -(n as f64).ln() - 20.0 - 12.0 * width;
    let high = 6.0 + 12.0 * width;
    let others = (n - powers.len()) as f64;
    let mut total = 0.0;
    for k in 0..=((high - low) / step) as usize {
        let u = low + k as f64 * step;
        // Gaussian::square squares its argument; the exponentials turn over around z + u = 0 and fall off like e^(z+u).
        let turns = [-32.0, -16.0, -6.0, -2.0, 0.0, 2.0, 4.0].map(|turn| turn - u);
        let of = |p: u32| {
            let half = |w: f64| 0.5 * f64::from(p) * w - 0.5 * w.exp();
            input.square(&|z| half(z + u).exp(), &turns)
        };
        total += powers.iter().map(|&p| of(p)).product::<f64>() * of(0).powf(others);
    }
    let choices: f64 = (0..powers.len()).map(|taken| (n - taken) as f64).product();
    let factorial: f64 = (1..powers.iter().sum()).map(f64::from).product();
    total * step * choices / factorial
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal inputs share equally; one input takes all; two inputs have E sum y^2 = E (1 + tanh^2(d/2))/2 for their
    /// difference d, which has variance 2v.
    #[test]
    fn power_sums_match_closed_forms() {
        for n in [1usize, 2, 10, 1000] {
            let n_real = f64::from(u32::try_from(n).expect("small"));
            assert!((power_sum(2, n, 0.0) * n_real - 1.0).abs() < 1e-10, "n = {n}");
        }
        for variance in [0.01, 1.0, 30.0, 1000.0] {
            assert!((power_sum(4, 1, variance) - 1.0).abs() < 1e-10, "v = {variance}");
            let difference = Gaussian { mean: 0.0, variance: 2.0 * variance, decorrelation: 1.0 };
            let want = 0.5 + 0.5 * difference.square(&|d| (0.5 * d).tanh(), &[-32.0, -16.0, 16.0, 32.0]);
            let found = power_sum(2, 2, variance);
            assert!((found - want).abs() < 1e-9, "v = {variance}: {found} against {want}");
        }
    }

    /// (sum y_i)^2 = 1 splits into squares and pairs, whatever the inputs are.
    #[test]
    fn squares_and_pairs_make_the_whole() {
        for n in [2usize, 3, 100] {
            for variance in [0.0, 1.0, 30.0, 1000.0] {
                let whole = power_sum(2, n, variance) + distinct_sum(&[1, 1], n, variance);
                assert!((whole - 1.0).abs() < 1e-9, "n = {n}, v = {variance}: {whole}");
            }
        }
    }
}
