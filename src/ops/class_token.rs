//! A learned position in front of a sequence: `[B,T,d]` becomes `[B,T+1,d]`.
//!
//! The token is the same for every sample. Behind layers that mix positions it gathers what the classifier reads with
//! `slice(1, 0, 1)` (Devlin et al. 2019; Dosovitskiy et al. 2021). It may start at zero: the positions that it is added to or
//! attends to make it different from them. `l2 on weights` leaves it alone.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `class_token` | `[B,4,3]` | `[B,5,3]` |
//! | `class_token(init=normal(0.5))` | `[B,2,6]` | `[B,3,6]` |
//! | `class_token` | `[B,4]` | error |
//! | `class_token` | `[B,2,3,4]` | error |

use super::{
    Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, ParamSpec, Role, Shape, Transfer,
};
use crate::args::{Kind, Param, Reader, optional};
use crate::inits::Init;
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;

/// The operator `class_token`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassToken {
    init: Spanned<Init>,
}

/// Positions and features of a sequence.
pub(super) fn sequence(name: &str, shape: &Shape) -> Result<[usize; 2], Misfit> {
    <[usize; 2]>::try_from(shape.sample()).map_err(|_| {
        let message = format!("`{name}` needs positions and features, [B,T,d], and gets {shape}");
        Misfit::shape(message).help("reshape and transpose make a sequence of a map: [B,C,H,W] to [B,H*W,C]")
    })
}

/// A learned value that every sample is given alike, as it enters sums: its mean square, and no difference between samples.
pub(super) fn given(spec: &ParamSpec) -> Moments {
    let (mean, variance) = spec.statistics();
    let square = mean * mean + variance;
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
    let units = spec.elements().max(1) as f64;
    // E x^4 = m^4 + 6 m^2 v + 3 v^2 for N(m, v).
    let tail = if variance > 0.0 {
        (4.0 * mean * mean * variance + 2.0 * variance * variance) / (square * square)
    } else {
        0.0
    };
    Moments { tail, units, ..Moments::new(square, mean, square) }
}

impl Op for ClassToken {
    const SIGNATURE: &'static [Param] = &[optional("init", Kind::Init, "zeros", "how the token is drawn")];
    const CATEGORY: Category = Category::Combine;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { init: args.with("init", Init::from_value)? })
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let [positions, features] = sequence("class_token", inputs[0])?;
        let token = ParamSpec {
            name: "weight",
            dims: vec![features],
            fan_in: 1,
            fan_out: 1,
            role: Role::Given,
            init: Some(self.init.clone()),
            drawn: None,
        };
        let shape = Shape::new([positions + 1, features]);
        Ok(Inferred { params: vec![token], ..Inferred::shape(shape) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, inputs, params, mut output, .. } = io;
        let (own, features) = (shapes[0].elements(), params[0].len());
        for sample in 0..batch {
            let start = sample * (own + features);
            output.part(start..start + features).copy(params[0]);
            output
                .part(start + features..start + features + own)
                .copy(inputs[0].part(sample * own..(sample + 1) * own));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, shapes, params, cotangent, inputs_grad, params_grad, .. } = io;
        let (own, features) = (shapes[0].elements(), params[0].len());
        if let Some(grad) = &mut params_grad[0] {
            grad.fill(S::constant(0.0));
            for sample in 0..batch {
                let start = sample * (own + features);
                grad.accumulate(cotangent.part(start..start + features));
            }
        }
        if let Some(grad) = &mut inputs_grad[0] {
            for sample in 0..batch {
                let start = sample * (own + features) + features;
                grad.part(sample * own..(sample + 1) * own).copy(cotangent.part(start..start + own));
            }
        }
    }

    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, index, column, .. } = io;
        column.extend(std::iter::repeat_n(1.0, batch));
        Some(Block::run(index, 1))
    }

    /// The token is one of the positions.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        #[expect(clippy::cast_precision_loss, reason = "sequences are short")]
        let share = 1.0 / io.shape.sample()[0] as f64;
        Moments::mixture(&[(1.0 - share, io.inputs[0]), (share, given(&io.params[0]))])
    }

    /// What arrives at the token does not arrive at the sequence.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        #[expect(clippy::cast_precision_loss, reason = "sequences are short")]
        let positions = io.shape.sample()[0] as f64;
        vec![cotangent.times(Interval::point(((positions - 1.0) / positions).ln()))]
    }
}
