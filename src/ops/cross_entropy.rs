//! Softmax cross-entropy of logits with class labels: `L = ln sum exp(z) - z[y]`, averaged over samples and positions.
//!
//! The logits go in without a softmax: taking it twice flattens the gradient (see `explain O002`). The class axis is the
//! one that the target does not have: the last, or axis 1 for maps `[B,C,H,W]`. With logits near 0 the loss at
//! initialisation is ln C.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `cross_entropy` | `[B,10]` `class[B]` | `[B]` |
//! | `cross_entropy` | `[B,3,5]` `class[B,3]` | `[B]` |
//! | `cross_entropy` | `[B,4,2,3]` `class[B,2,3]` | `[B]` |
//! | `cross_entropy` | `[B,3,5]` `class[B]` | error |

use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Param, Reader};
use crate::moments::Moments;
use crate::scalar::Scalar;
use crate::tensor::View;

/// The loss `cross_entropy(logits, target)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy;

/// How the classes lie in a sample: `positions` groups of `classes` logits that are `stride` apart.
struct Layout {
    classes: usize,
    positions: usize,
    stride: usize,
}

impl Layout {
    fn of(logits: &Shape, target: &Shape) -> Option<Self> {
        let (z, y) = (logits.sample(), target.sample());
        let (&last, before) = z.split_last()?;
        let positions = target.elements();
        if before == y {
            Some(Self { classes: last, positions, stride: 1 })
        } else if &z[1..] == y {
            Some(Self { classes: z[0], positions, stride: positions })
        } else {
            None
        }
    }

    /// Where the logits of a position begin in the whole batch.
    fn base(&self, sample: usize, position: usize) -> usize {
        let start = sample * self.classes * self.positions;
        if self.stride == 1 { start + position * self.classes } else { start + position }
    }

    /// The largest logit and the sum of exponentials relative to it.
    fn log_sum_exp<S: Scalar>(&self, z: View<'_, S>, base: usize) -> S {
        let at = |c: usize| z.at(base + c * self.stride);
        // The shift cancels, so it needs no derivative: any constant near the maximum will do.
        let most = (0..self.classes).map(|c| at(c).primal()).fold(f64::NEG_INFINITY, f64::max);
        let mut sum = S::constant(0.0);
        for c in 0..self.classes {
            sum += (at(c) + -most).exp();
        }
        sum.ln() + most
    }
}

impl Op for CrossEntropy {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Loss;
    const ARITY: Arity = Arity::Loss;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        if Layout::of(inputs[0], inputs[1]).is_none() {
            let message = format!("logits {} do not fit class labels {}", inputs[0], inputs[1]);
            return Err(
                Misfit::shape(message).help("the logits need one axis more than the labels: the classes")
            );
        }
        Ok(Inferred::shape(Shape::new([])))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, inputs, mut output, .. } = io;
        let Some(layout) = Layout::of(shapes[0], shapes[1]) else {
            unreachable!("internal: shapes were inferred")
        };
        let (z, y) = (inputs[0], inputs[1]);
        for sample in 0..batch {
            let mut sum = S::constant(0.0);
            for position in 0..layout.positions {
                let base = layout.base(sample, position);
                let class = super::class_at(y, sample * layout.positions + position);
                sum += layout.log_sum_exp(z, base) - z.at(base + class * layout.stride);
            }
            output.set(sample, sum * super::reciprocal(layout.positions));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, shapes, inputs, cotangent, inputs_grad, .. } = io;
        let Some(layout) = Layout::of(shapes[0], shapes[1]) else {
            unreachable!("internal: shapes were inferred")
        };
        let (z, y) = (inputs[0], inputs[1]);
        let Some(grad) = &mut inputs_grad[0] else { return };
        for sample in 0..batch {
            let weight = cotangent.at(sample) * super::reciprocal(layout.positions);
            for position in 0..layout.positions {
                let base = layout.base(sample, position);
                let class = super::class_at(y, sample * layout.positions + position);
                let total = layout.log_sum_exp(z, base);
                for c in 0..layout.classes {
                    let at = base + c * layout.stride;
                    let hit = if c == class { -1.0 } else { 0.0 };
                    grad.set(at, weight * ((z.at(at) - total).exp() + hit));
                }
            }
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        // Near zero logits the loss is ln C plus half their variance.
        let classes = Layout::of(io.shapes[0], io.shapes[1]).map_or(1, |layout| layout.classes);
        #[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
        let loss = (classes as f64).ln() + 0.5 * io.inputs[0].square();
        Moments::new(loss * loss, loss, loss * loss)
    }

    fn classes(&self, inputs: &[&Shape]) -> Option<usize> {
        Layout::of(inputs[0], inputs[1]).map(|layout| layout.classes)
    }
}
