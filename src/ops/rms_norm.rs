//! RMS norm: `y = gamma x / sqrt(E x^2 + eps)`, the mean square taken over the last axis of each sample (Zhang and Sennrich 2019).
//!
//! A layer norm that leaves the mean where it is and has no offset: `weight` (gamma) has one element for each feature. Each sample is
//! normalised by itself, so training and use agree. Whatever scale comes in, gamma's goes out, and a mean stays in its
//! proportion.
//!
//! `eps` is 1e-6, as in LLaMA. In PyTorch `nn.RMSNorm` takes the machine epsilon of the numbers it runs on unless told otherwise, 1.2e-7 in
//! single precision; a spec has one meaning, so pass `eps` when a checkpoint was trained with another one. It must be above
//! 0, because a row of zeros would otherwise be divided by 0.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `rms_norm` | `[B,5]` | `[B,5]` |
//! | `rms_norm(eps=1e-3, gamma=normal(1, 0.1))` | `[B,3,4]` | `[B,3,4]` |
//! | `rms_norm` | `[B,2,3,4]` | `[B,2,3,4]` |
//! | `rms_norm(eps=0)` | `[B,5]` | error |
//! | `rms_norm(beta=zeros)` | `[B,5]` | error |
//! | `rms_norm` | `[B]` | error |

use super::{
    Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, Role, Shape, Transfer, normed,
};
use crate::args::{Kind, Param, Reader, optional};
use crate::inits::Init;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::product;

/// The operator `rms_norm`.
#[derive(Clone, Debug, PartialEq)]
pub struct RmsNorm {
    eps: f64,
    gamma: Spanned<Init>,
}

impl Op for RmsNorm {
    const SIGNATURE: &'static [Param] = &[
        optional("eps", Kind::Number, "1e-6", "what is added to the mean square"),
        optional("gamma", Kind::Init, "ones", "how the factors are drawn"),
    ];
    const CATEGORY: Category = Category::Norm;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let eps = args.number_where("eps", "above 0", |x| x > 0.0);
        let gamma = args.with("gamma", Init::from_value);
        Some(Self { eps: eps?, gamma: gamma? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { eps, gamma: _ } = self;
        vec![("eps", super::exact(*eps))]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let Some((&features, outer)) = inputs[0].sample().split_last() else {
            let message = format!("`rms_norm` needs a feature axis and gets {}", inputs[0]);
            return Err(Misfit::shape(message).help("the axes of a sample stand behind the batch: [B, 64]"));
        };
        let params = vec![normed::spec("weight", features, Role::Scale, &self.gamma)];
        Ok(normed::inferred(inputs[0], params, product(outer), 1))
    }

    /// Saves 1/sqrt(E x^2 + eps) of each row.
    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, params, mut output, mut saved, .. } = io;
        let (x, gamma) = (inputs[0], params[0]);
        let n = gamma.len();
        for row in 0..x.len() / n {
            let values = x.part(row * n..(row + 1) * n);
            let mut squares = S::constant(0.0);
            values.iter().for_each(|x| squares += x * x);
            let scale = S::constant(1.0) / (squares * super::reciprocal(n) + self.eps).sqrt();
            saved.set(row, scale);
            for (i, x) in values.iter().enumerate() {
                output.set(row * n + i, x * scale * gamma.at(i));
            }
        }
    }

    /// With z = x scale, dL/dx = scale (g gamma - z mean(g gamma z)): what lies along the row does not pass.
    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { inputs, params, saved, cotangent, inputs_grad, params_grad, .. } = io;
        let (x, gamma) = (inputs[0], params[0]);
        let n = gamma.len();
        if let Some(grad) = &mut params_grad[0] {
            grad.fill(S::constant(0.0));
        }
        for row in 0..x.len() / n {
            let scale = saved.at(row);
            let z = |i: usize| x.at(row * n + i) * scale;
            let g = |i: usize| cotangent.at(row * n + i);
            if let Some(grad) = &mut params_grad[0] {
                (0..n).for_each(|i| grad.add(i, g(i) * z(i)));
            }
            if let Some(grad) = &mut inputs_grad[0] {
                let mut along = S::constant(0.0);
                (0..n).for_each(|i| along += g(i) * gamma.at(i) * z(i));
                let along = along * super::reciprocal(n);
                (0..n).for_each(|i| grad.set(row * n + i, (g(i) * gamma.at(i) - z(i) * along) * scale));
            }
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        normed::transfer(&io, self.eps, false)
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        normed::energy(&io, self.eps, false, io.params[0].elements(), cotangent)
    }

    fn column(&self, io: Column<'_>) -> Option<Block> {
        let (features, saved) = (io.shape.last()?, io.saved);
        let runs = normed::Runs { length: features, groups: 1, positions: 1 };
        Some(normed::column(io, runs, |run, x| x * saved.at(run)))
    }
}
