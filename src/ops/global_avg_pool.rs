//! Mean of each map: `[B,C,H,W]` becomes `[B,C]`.
//!
//! It makes features of maps of any size, without weights (Lin et al. 2014), and stands before the head of most
//! convolutional nets. Averaging n pixels leaves their mean and between all and 1/n of their variance, depending on how much
//! neighbours have in common. The gradient's energy is divided by n, too, but the gradients of the weights before it add up
//! coherently over the positions: it is no vanishing gradient. In PyTorch: `AdaptiveAvgPool2d(1)` and `Flatten`.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `global_avg_pool` | `[B,3,4,5]` | `[B,3]` |
//! | `global_avg_pool` | `[B,2,1,1]` | `[B,2]` |
//! | `global_avg_pool` | `[B,6]` | error |

use super::{Backward, Block, Category, Forward, Inferred, Misfit, Op, Shape, Spread, Transfer, window};
use crate::args::{Param, Reader};
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;

/// The operator `global_avg_pool`.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalAvgPool;

impl Op for GlobalAvgPool {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Pool;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let [channels, ..] = window::map_of("global_avg_pool", inputs[0])?;
        let flops = inputs[0].elements();
        Ok(Inferred { flops, ..Inferred::shape(Shape::new([channels])) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, mut output, .. } = io;
        let n = inputs[0].len() / output.len();
        for map in 0..output.len() {
            let mut sum = S::constant(0.0);
            inputs[0].part(map * n..(map + 1) * n).iter().for_each(|x| sum += x);
            output.set(map, sum * super::reciprocal(n));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let n = grad.len() / cotangent.len();
        for map in 0..cotangent.len() {
            grad.part(map * n..(map + 1) * n).fill(cotangent.at(map) * super::reciprocal(n));
        }
    }

    fn spread(&self, input: &Shape, block: Block) -> Spread {
        Spread::of_channels(input, block)
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let share = super::reciprocal(io.shapes[0].elements() / io.shape.elements().max(1));
        super::avg_pool::averaged(&io.inputs[0], share, (1.0, 1.0))
    }

    /// Each of n pixels gets 1/n of the gradient.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let share = super::reciprocal(io.shapes[0].elements() / io.shape.elements().max(1));
        vec![cotangent.times(Interval::point(share.ln()))]
    }
}
