//! Softmax cross-entropy of logits with class labels: `L = ln sum exp(z) - z[y]`, averaged over samples and positions.
//!
//! The logits go in without a softmax: taking it twice flattens the gradient (see `explain O002`). The class axis is the
//! one that the target does not have: the last, or axis 1 for maps `[B,C,H,W]`. With logits near 0 the loss at
//! initialisation is ln C.
//!
//! `label_smoothing` e moves the share e of every label evenly to all C classes, so that no logit is pushed to infinity:
//! `L = ln sum exp(z) - (1 - e) z[y] - e mean(z)` (Szegedy et al. 2016; PyTorch's argument). The loss then has a floor above 0, the
//! entropy of the smoothed label: 0.5 at e = 0.1 and 10 classes.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `cross_entropy` | `[B,10]` `class[B]` | `[B]` |
//! | `cross_entropy` | `[B,3,5]` `class[B,3]` | `[B]` |
//! | `cross_entropy` | `[B,4,2,3]` `class[B,2,3]` | `[B]` |
//! | `cross_entropy(label_smoothing=0.1)` | `[B,10]` `class[B]` | `[B]` |
//! | `cross_entropy(label_smoothing=0.3)` | `[B,4,2,3]` `class[B,2,3]` | `[B]` |
//! | `cross_entropy` | `[B,3,5]` `class[B]` | error |
//! | `cross_entropy(label_smoothing=1)` | `[B,10]` `class[B]` | error |

use super::classes::{self, Classes};
use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional};
use crate::moments::Moments;
use crate::scalar::Scalar;
use crate::tensor::View;

/// The loss `cross_entropy(logits, target, label_smoothing)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    label_smoothing: f64,
}

/// ln sum exp of the logits of a position that begins at `base`.
fn log_sum_exp<S: Scalar>(classes: &Classes, z: View<'_, S>, base: usize) -> S {
    let (most, sum) = super::shifted_sum(z, (0..classes.count).map(|c| classes.place(base, c)));
    sum.ln() + most
}

impl Op for CrossEntropy {
    const SIGNATURE: &'static [Param] =
        &[optional("label_smoothing", Kind::Number, "0", "the share of a label that all classes get evenly")];
    const CATEGORY: Category = Category::Loss;
    const ARITY: Arity = Arity::Loss;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let within = |x: f64| (0.0..1.0).contains(&x);
        Some(Self {
            label_smoothing: args.number_where("label_smoothing", "at least 0 and below 1", within)?,
        })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { label_smoothing } = self;
        vec![("label_smoothing", super::exact(*label_smoothing))]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        classes::infer("logits", inputs[0], inputs[1])
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let e = self.label_smoothing;
        classes::mean(io, |classes, z, base, hit| {
            let total = log_sum_exp(classes, z, base);
            if e == 0.0 {
                return total - z.at(hit);
            }
            // Relative to the total, so that large logits do not cancel.
            let share = e * super::reciprocal(classes.count);
            let others = (0..classes.count).map(|c| total - z.at(classes.place(base, c)));
            (total - z.at(hit)) * (1.0 - e) + others.fold(S::constant(0.0), |sum, x| sum + x) * share
        });
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, shapes, inputs, cotangent, inputs_grad, .. } = io;
        let classes = Classes::checked(shapes[0], shapes[1]);
        let (z, y) = (inputs[0], inputs[1]);
        let Some(grad) = &mut inputs_grad[0] else { return };
        for sample in 0..batch {
            let weight = cotangent.at(sample) * super::reciprocal(classes.positions);
            for position in 0..classes.positions {
                let base = classes.base(sample, position);
                let class = super::index_at(y, sample * classes.positions + position);
                let total = log_sum_exp(&classes, z, base);
                let share = self.label_smoothing * super::reciprocal(classes.count);
                for c in 0..classes.count {
                    let at = classes.place(base, c);
                    let label = share + if c == class { 1.0 - self.label_smoothing } else { 0.0 };
                    grad.set(at, weight * ((z.at(at) - total).exp() + -label));
                }
            }
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        // Near zero logits the loss is ln C plus half their variance.
        let classes = Classes::of(io.shapes[0], io.shapes[1]).map_or(1, |classes| classes.count);
        #[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
        let loss = (classes as f64).ln() + 0.5 * io.inputs[0].square();
        Moments::new(loss * loss, loss, loss * loss)
    }

    fn classes(&self, inputs: &[&Shape]) -> Option<usize> {
        Classes::of(inputs[0], inputs[1]).map(|classes| classes.count)
    }
}
