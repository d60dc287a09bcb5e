//! Elementwise sum of two or more values of one shape; there is no broadcasting.
//!
//! `residual { ... }` ends in one of these. In mean field the second moments of independent summands add up, so a stream of N
//! un-normalised residual blocks whose branches keep the scale grows like 2^N.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `add` | `[B,4]` `[B,4]` | `[B,4]` |
//! | `add` | `[B,2,3]` `[B,2,3]` `[B,2,3]` | `[B,2,3]` |
//! | `add` | `[B,4]` `[B,1]` | error |

use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Param, Reader};
use crate::moments::Moments;
use crate::scalar::Scalar;

/// The operator `add`.
#[derive(Clone, Debug, PartialEq)]
pub struct Add;

impl Op for Add {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Combine;
    const ARITY: Arity = Arity::Many;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        super::same_shapes("add", inputs)
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, mut output, .. } = io;
        let Some((first, rest)) = inputs.split_first() else { return };
        output.copy(*first);
        for x in rest {
            output.accumulate(*x);
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { cotangent, inputs_grad, .. } = io;
        for grad in inputs_grad.iter_mut().flatten() {
            grad.copy(cotangent);
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        io.inputs.iter().skip(1).fold(io.inputs[0], |sum, x| sum.plus(*x))
    }
}
