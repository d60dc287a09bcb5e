//! Adds a learned vector to each position of a sequence: `y[t] = x[t] + p[t]`.
//!
//! Layers that treat all positions alike, as attention does, cannot tell them apart without it. The table has one row for each of
//! the T positions and is the same for every sample. ViT and BERT draw it from N(0, 0.02^2), truncated or not. `l2 on weights` leaves
//! it alone.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `position_embedding` | `[B,4,3]` | `[B,4,3]` |
//! | `position_embedding(init=zeros)` | `[B,2,6]` | `[B,2,6]` |
//! | `position_embedding` | `[B,4]` | error |

use super::class_token::{given, sequence};
use super::{
    Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, ParamSpec, Role, Shape, Transfer,
};
use crate::args::{Kind, Param, Reader, optional};
use crate::inits::Init;
use crate::moments::Moments;
use crate::scalar::Scalar;
use crate::source::Spanned;

/// The operator `position_embedding`.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionEmbedding {
    init: Spanned<Init>,
}

impl Op for PositionEmbedding {
    const SIGNATURE: &'static [Param] =
        &[optional("init", Kind::Init, "normal(0.02)", "how the table is drawn")];
    const CATEGORY: Category = Category::Combine;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { init: args.with("init", Init::from_value)? })
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let [positions, features] = sequence("position_embedding", inputs[0])?;
        let table = ParamSpec {
            name: "weight",
            dims: vec![positions, features],
            fan_in: 1,
            fan_out: 1,
            role: Role::Given,
            init: Some(self.init.clone()),
            drawn: None,
        };
        Ok(Inferred { params: vec![table], ..Inferred::shape(inputs[0].clone()) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, inputs, params, mut output, .. } = io;
        let n = params[0].len();
        output.copy(inputs[0]);
        for sample in 0..batch {
            output.part(sample * n..(sample + 1) * n).accumulate(params[0]);
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, params, cotangent, inputs_grad, params_grad, .. } = io;
        let n = params[0].len();
        if let Some(grad) = &mut params_grad[0] {
            grad.fill(S::constant(0.0));
            for sample in 0..batch {
                grad.accumulate(cotangent.part(sample * n..(sample + 1) * n));
            }
        }
        if let Some(grad) = &mut inputs_grad[0] {
            grad.copy(cotangent);
        }
    }

    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, index, column, .. } = io;
        column.extend(std::iter::repeat_n(1.0, batch));
        Some(Block::run(index, 1))
    }

    /// The sum of the value and of one that all samples have in common.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let table = given(&io.params[0]);
        if table.square() == 0.0 {
            return io.inputs[0];
        }
        Moments { units: io.inputs[0].units, ..io.inputs[0].plus(table) }
    }
}
