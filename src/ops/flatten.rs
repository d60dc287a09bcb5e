//! Makes one axis of all axes of a sample, in row-major order: `[B,C,H,W]` becomes `[B,C H W]`.
//!
//! Between convolutions and the first `linear`. The order is PyTorch's: the width runs fastest.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `flatten` | `[B,2,3,4]` | `[B,24]` |
//! | `flatten` | `[B,5]` | `[B,5]` |
//! | `flatten` | `[B]` | error |

use super::{Backward, Block, Category, Forward, Inferred, Misfit, Op, Shape, Spread, Transfer};
use crate::args::{Param, Reader};
use crate::moments::Moments;
use crate::scalar::Scalar;

/// The operator `flatten`.
#[derive(Clone, Debug, PartialEq)]
pub struct Flatten;

impl Op for Flatten {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Layout;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        if inputs[0].sample().is_empty() {
            let message = format!("`flatten` needs an axis behind the batch and gets {}", inputs[0]);
            return Err(Misfit::shape(message).help("reshape([1]) makes one"));
        }
        Ok(Inferred::shape(Shape::new([inputs[0].elements()])))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        super::copy_forward(io);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        super::copy_backward(io);
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        io.inputs[0]
    }

    fn spread(&self, _: &Shape, _: Block) -> Spread {
        Spread::Elementwise
    }
}
