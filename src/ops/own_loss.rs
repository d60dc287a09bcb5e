//! A loss of your own: `loss smooth(p, t) = log(cosh(p - t))`, declared at the top level of a spec.
//!
//! ```text
//! loss smooth(p, t) = log(cosh(p - t))  grad = tanh(p - t)
//! loss pinball(p, t, q = 0.9) = max(q * (t - p), (q - 1) * (t - p))
//!
//! train { loss pinball(out, y, q=0.5) }
//! ```
//!
//! In YAML: `losses: {smooth: {of: [p, t], value: "log(cosh(p - t))", grad: "tanh(p - t)"}}`.
//!
//! The first parameter is an element of the prediction, the second one of the target, which have equal shapes (there is no
//! broadcasting); the loss is the mean of the formula over all elements, and `grad` its derivative by the prediction, before the
//! mean. The target is numbers. `wellposed explain activation` says what a formula is made of and how `grad` and `surrogate` are
//! checked.

use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Own, Shape, Transfer, pairwise};
use crate::args::{Param, Reader};
use crate::moments::{Gaussian, Moments};
use crate::scalar::Scalar;
use std::sync::Arc;

/// A loss that the spec declares.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnLoss(pub Arc<Own>);

/// Quantiles of a target that stand for all, for a loss that depends on more than the difference.
const QUANTILES: u32 = 16;

impl OwnLoss {
    /// The name that the spec gives it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Mean and second moment for Gaussian prediction and target.
    fn expected(&self, p: (f64, f64), t: (f64, f64)) -> (f64, f64) {
        let loss = self.0.plain_value();
        let of = |mean: f64, variance: f64, f: &dyn Fn(f64) -> f64, kinks: &[f64]| {
            let at = Gaussian { mean, variance, decorrelation: 1.0 }.through(f, kinks);
            (at.mean, at.square)
        };
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (a.abs() + b.abs()) || (a.is_nan() && b.is_nan());
        let places = [-2.3, -0.4, 0.1, 0.9, 3.1];
        let difference = places
            .iter()
            .all(|d| [-1.7, 0.6, 2.9].iter().all(|t| same(loss(&[d + t, *t]), loss(&[*d, 0.0]))));
        if difference {
            return of(p.0 - t.0, p.1 + t.1, &|d| loss(&[d, 0.0]), self.0.formula.kinks());
        }
        // Midpoints of equal shares of a standard normal target, by inverting its distribution.
        let (mut mean, mut square) = (0.0, 0.0);
        for k in 0..QUANTILES {
            let share = (f64::from(k) + 0.5) / f64::from(QUANTILES);
            let target = t.0 + t.1.sqrt() * quantile(share);
            let (first, second) = of(p.0, p.1, &|p| loss(&[p, target]), &[]);
            mean += first / f64::from(QUANTILES);
            square += second / f64::from(QUANTILES);
        }
        (mean, square)
    }
}

/// The quantile of a standard normal, by bisection.
fn quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if 0.5 * Scalar::erfc(-middle / std::f64::consts::SQRT_2) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

impl Op for OwnLoss {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Loss;
    const ARITY: Arity = Arity::Loss;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        None
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let inferred = pairwise::one_a_sample(self.name(), inputs[0] == inputs[1], inputs)?;
        Ok(self.0.with_room(inferred))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, inputs, mut output, mut tape, mut scratch, .. } = io;
        let elements = shapes[0].elements();
        for sample in 0..batch {
            let mut sum = S::constant(0.0);
            for i in sample * elements..(sample + 1) * elements {
                let at = [inputs[0].at(i), inputs[1].at(i)];
                sum += self.0.value(&at, (i, &mut tape), &mut scratch);
            }
            output.set(sample, sum * super::reciprocal(elements));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shapes, inputs, cotangent, inputs_grad, mut scratch, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let elements = shapes[0].elements();
        for i in 0..grad.len() {
            let slope = self.0.formula.slope(&[inputs[0].at(i), inputs[1].at(i)], &mut scratch);
            grad.set(i, slope * (cotangent.at(i / elements) * super::reciprocal(elements)));
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let (mean, square) = self.expected(pairwise::plain(&io.inputs[0]), pairwise::plain(&io.inputs[1]));
        let scatter = (square - mean * mean).max(0.0) * super::reciprocal(io.shapes[0].elements());
        Moments::new(mean * mean + scatter, mean, mean * mean)
    }

    fn kinks(&self) -> Vec<f64> {
        self.0.formula.kinks().to_vec()
    }
}
