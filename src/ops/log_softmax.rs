//! Logarithm of the softmax: `y_i = x_i - ln sum_j e^(x_j)` along one axis.
//!
//! Log-probabilities, as `nll` takes them. Nothing overflows and no digit is lost, as would be the case with the logarithm of a softmax. From
//! logits to the loss `cross_entropy` does both steps in one; behind this operator it changes nothing, because the
//! exponentials of the outputs sum to 1 already. At the logits 0 each of n outputs is -ln n.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `log_softmax` | `[B,5]` | `[B,5]` |
//! | `log_softmax(axis=1)` | `[B,3,2,2]` | `[B,3,2,2]` |
//! | `log_softmax(axis=-2)` | `[B,4,3]` | `[B,4,3]` |
//! | `log_softmax(axis=0)` | `[B,5]` | error |
//! | `log_softmax(axis=2)` | `[B,5]` | error |
//! | `log_softmax` | `[B]` | error |

use super::softmax::power_sum;
use super::{Backward, Category, Forward, Inferred, Lines, Misfit, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional};
use crate::moments::{Energy, Gaussian, Interval, Moments};
use crate::scalar::Scalar;

/// The operator `log_softmax`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSoftmax {
    axis: i64,
}

impl Op for LogSoftmax {
    const SIGNATURE: &'static [Param] = &[optional(
        "axis",
        Kind::Axis,
        "-1",
        "the axis along which the exponentials of the outputs sum to 1",
    )];
    const CATEGORY: Category = Category::Distribution;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { axis: args.axis("axis")? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { axis } = self;
        vec![("axis", axis.to_string())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        super::axis_of("log_softmax", inputs[0], self.axis)?;
        Ok(Inferred::shape(inputs[0].clone()))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shape, inputs, mut output, .. } = io;
        let x = inputs[0];
        let lines = Lines::of(shape, self.axis);
        for start in lines.starts(x.len()) {
            let places = lines.places(start);
            let (most, sum) = super::shifted_sum(x, places.clone());
            let ln = sum.ln();
            places.for_each(|i| output.set(i, x.at(i) + -most - ln));
        }
    }

    /// dL/dx = g - e^y sum g.
    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shape, output, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let lines = Lines::of(shape, self.axis);
        for start in lines.starts(output.len()) {
            let places = lines.places(start);
            let mut sum = S::constant(0.0);
            places.for_each(|i| sum += cotangent.at(i));
            for run in lines.runs(start) {
                let (y, g) = (output.part(run.clone()), cotangent.part(run.clone()));
                S::zip(
                    y,
                    g,
                    g,
                    &mut grad.part(run),
                    #[inline(always)]
                    |y, g, _| g - y.exp() * sum,
                );
            }
        }
    }

    /// Inputs count as independent Gaussians of variance v = E x^2 - (E x)^2; their mean cancels. With L = ln sum e^x and its mean
    /// computed exactly, E y = -E L, and Var y = v - 2 v/n + Var L, because Cov(x_i, L) = v E p_i = v/n by Stein's identity.
    /// Var L lies between v/n (Cauchy and Schwarz) and v E sum p^2 (Poincare), of which the middle is taken: they agree for small
    /// v and for n = 1, and are small beside v for many inputs. Deviations of two inputs keep their correlation.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = &io.inputs[0];
        let n = Lines::of(io.shape, self.axis).length;
        let each = super::reciprocal(n);
        let deviation = 1.0 - x.mean_share * x.mean_share;
        let of = |ln_square: f64| {
            let variance = variance(ln_square, deviation);
            let sums = variance * f64::midpoint(each, power_sum(2, n, variance));
            (log_sum(n, variance), (variance * (1.0 - 2.0 * each) + sums).max(0.0))
        };
        let ln_square = |ln_square: f64| {
            let (mean, spread) = of(ln_square);
            (mean * mean + spread).ln()
        };
        let middle = x.ln_square.middle();
        let (mean, spread) = of(middle);
        let square = mean * mean + spread;
        if n == 1 || square <= 0.0 {
            return Moments::ZERO;
        }
        let correlation = if deviation > 0.0 { 1.0 - (x.contrast / deviation).clamp(0.0, 1.0) } else { 1.0 };
        let elasticity = if x.spread > 0.0 {
            let step = 1e-3;
            (ln_square(middle + step) - ln_square(middle - step)) / (2.0 * step)
        } else {
            0.0
        };
        // Near the mean -E L the outputs are Gaussian, as the inputs are.
        let fourth = mean.powi(4) + 6.0 * mean * mean * spread + 3.0 * spread * spread;
        Moments {
            ln_square: if x.ln_square.lo == x.ln_square.hi {
                Interval::point(square.ln())
            } else {
                x.ln_square.map(ln_square)
            },
            spread: elasticity * elasticity * x.spread,
            tail: (fourth / (square * square) - 1.0).max(0.0),
            units: x.units,
            ..Moments::new(square, -mean, mean * mean + correlation * spread)
        }
    }

    /// dx = g - p sum g: for independent gradients E dx^2 sums to 1 - 2/n + E sum p^2 times that of the outputs.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let x = &io.inputs[0];
        let n = Lines::of(io.shape, self.axis).length;
        // A single output is constant.
        if n == 1 {
            return vec![Energy::ZERO];
        }
        let deviation = 1.0 - x.mean_share * x.mean_share;
        let variance = variance(x.ln_square.middle(), deviation);
        let factor = 1.0 - 2.0 * super::reciprocal(n) + power_sum(2, n, variance);
        vec![cotangent.times(Interval::point(factor.ln()))]
    }
}

/// The variance of inputs of which the share `deviation` of the second moment is no mean. Beyond e^10 the largest input stands alone.
fn variance(ln_square: f64, deviation: f64) -> f64 {
    ln_square.clamp(-600.0, 10.0).exp() * deviation
}

/// E ln sum e^x of n independent Gaussians with this variance. With S the sum and z one more such Gaussian, ln S - z is the integral over
/// u of e^(-e^(z+u)) - e^(-S e^u). Its expectation is that of ln S, and factorises over the inputs; the trapezoidal rule
/// converges as it does for `power_sum`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of a few hundred steps"
)]
fn log_sum(n: usize, variance: f64) -> f64 {
    let count = n as f64;
    let width = variance.sqrt();
    let input = Gaussian { mean: 0.0, variance, decorrelation: 1.0 };
    let step = 0.25 * (width / (1.0 + count.ln()).sqrt()).max(1.0);
    let low = -count.ln() - 30.0 - 12.0 * width;
    let high = 6.0 + 12.0 * width;
    let at = |u: f64| {
        // Gaussian::square squares its argument; the exponentials turn over around z + u = 0.
        let turns = [-32.0, -16.0, -6.0, -2.0, 0.0, 2.0, 4.0].map(|turn| turn - u);
        let each = input.square(&|z| (-0.5 * (z + u).exp()).exp(), &turns);
        each - each.powf(count)
    };
    step * (0..=((high - low) / step) as usize).map(|k| at(low + k as f64 * step)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal inputs give ln n, a single one its mean, and two of them E ln(2 cosh(d/2)) for their difference d, which has variance 2v.
    #[test]
    fn logarithms_of_sums_match_closed_forms() {
        for n in [2u32, 10, 1000] {
            assert!((log_sum(n as usize, 0.0) - f64::from(n).ln()).abs() < 1e-9, "n = {n}");
        }
        // The trapezoidal rule over u is exact to rounding for inputs of moderate variance. Beyond, its step grows with their width
        // and the corners of the integrand cost part of it; no net starts with logits of that scale.
        for (variance, tolerance) in [(0.01, 1e-8), (1.0, 1e-8), (30.0, 0.1)] {
            assert!(log_sum(1, variance).abs() < tolerance, "v = {variance}: {}", log_sum(1, variance));
            let difference = Gaussian { mean: 0.0, variance: 2.0 * variance, decorrelation: 1.0 };
            let want = difference.through(&|d: f64| 0.5 * d.abs() + (-d.abs()).exp().ln_1p(), &[0.0]).mean;
            let found = log_sum(2, variance);
            assert!((found - want).abs() < tolerance, "v = {variance}: {found} against {want}");
        }
    }
}
