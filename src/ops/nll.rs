//! Negative log-likelihood of class labels: `L = -z[y]` for log-probabilities z, averaged over samples and positions.
//!
//! The second half of `cross_entropy`, for nets that end in log-probabilities. It has no lower bound of its own: z must be normalised, so
//! that a larger number for one class costs the others. Fed with logits it falls without end, and fed with probabilities, without
//! their logarithm, it is `-p[y]`, whose gradient does not grow where the net is sure and wrong. From logits `cross_entropy` does it in one step
//! and loses no digits. The class axis is the one that the target does not have: the last, or axis 1 for maps `[B,C,H,W]`.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `nll` | `[B,10]` `class[B]` | `[B]` |
//! | `nll` | `[B,3,5]` `class[B,3]` | `[B]` |
//! | `nll` | `[B,4,2,3]` `class[B,2,3]` | `[B]` |
//! | `nll` | `[B,3,5]` `class[B]` | error |
//! | `nll` | `[B,3]` `[B]` | error |

use super::classes::{self, Classes};
use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Param, Reader};
use crate::moments::Moments;
use crate::scalar::Scalar;

/// The loss `nll(log_probabilities, target)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Nll;

impl Op for Nll {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Loss;
    const ARITY: Arity = Arity::Loss;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        classes::infer("log-probabilities", inputs[0], inputs[1])
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        classes::mean(io, |_, z, _, hit| -z.at(hit));
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, shapes, inputs, cotangent, inputs_grad, .. } = io;
        let classes = Classes::checked(shapes[0], shapes[1]);
        let y = inputs[1];
        let Some(grad) = &mut inputs_grad[0] else { return };
        grad.fill(S::constant(0.0));
        for sample in 0..batch {
            let weight = cotangent.at(sample) * super::reciprocal(classes.positions);
            for position in 0..classes.positions {
                let class = super::index_at(y, sample * classes.positions + position);
                grad.set(classes.place(classes.base(sample, position), class), -weight);
            }
        }
    }

    /// Labels count as independent of the outputs: E L = -E z, and the mean over n positions scatters by Var z / n.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let (mean, variance) = super::pairwise::plain(&io.inputs[0]);
        let scatter = variance * super::reciprocal(io.shapes[1].elements());
        Moments::new(mean * mean + scatter, -mean, mean * mean)
    }

    fn classes(&self, inputs: &[&Shape]) -> Option<usize> {
        Classes::of(inputs[0], inputs[1]).map(|classes| classes.count)
    }
}
