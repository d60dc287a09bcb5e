//! Layer norm: `y = gamma (x - mean) / sqrt(var + eps) + beta`, mean and variance over the last axis of each sample.
//!
//! The variance is the biased one, as in PyTorch (Ba et al. 2016). Each sample is normalised by itself, so training and use
//! agree and the batch may be small. Whatever scale comes in, the scale that goes out is gamma's, unless the variance
//! falls towards eps: then the norm no longer acts and its output shrinks. `weight` (gamma) and `bias` (beta) have one element
//! for each feature.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `layer_norm` | `[B,5]` | `[B,5]` |
//! | `layer_norm(eps=1e-3, gamma=normal(1, 0.1), beta=normal(0.1))` | `[B,3,4]` | `[B,3,4]` |
//! | `layer_norm` | `[B,2,3,4]` | `[B,2,3,4]` |
//! | `layer_norm(eps=-1)` | `[B,5]` | error |
//! | `layer_norm` | `[B]` | error |

use super::normed::{self, Runs};
use super::{Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, Role, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional};
use crate::inits::Init;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::product;

/// The operator `layer_norm`.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    eps: f64,
    gamma: Spanned<Init>,
    beta: Spanned<Init>,
}

/// Rows of features, each of which has a factor of its own.
fn rows(features: usize) -> Runs {
    Runs { length: features, groups: 1, positions: 1 }
}

impl Op for LayerNorm {
    const SIGNATURE: &'static [Param] = &[
        optional("eps", Kind::Number, "1e-5", "what is added to the variance"),
        optional("gamma", Kind::Init, "ones", "how the factors are drawn"),
        optional("beta", Kind::Init, "zeros", "how the offsets are drawn"),
    ];
    const CATEGORY: Category = Category::Norm;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let eps = args.number_where("eps", "at least 0", |x| x >= 0.0);
        let gamma = args.with("gamma", Init::from_value);
        let beta = args.with("beta", Init::from_value);
        Some(Self { eps: eps?, gamma: gamma?, beta: beta? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { eps, gamma: _, beta: _ } = self;
        vec![("eps", super::exact(*eps))]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let Some((&features, outer)) = inputs[0].sample().split_last() else {
            let message = format!("`layer_norm` needs a feature axis and gets {}", inputs[0]);
            return Err(Misfit::shape(message).help("the axes of a sample stand behind the batch: [B, 64]"));
        };
        let params = vec![
            normed::spec("weight", features, Role::Scale, &self.gamma),
            normed::spec("bias", features, Role::Shift, &self.beta),
        ];
        Ok(normed::inferred(inputs[0], params, product(outer), 2))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let runs = rows(io.params[0].len());
        normed::forward(io, runs, self.eps);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let runs = rows(io.params[0].len());
        normed::backward(io, runs);
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        normed::transfer(&io, self.eps, true)
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        normed::energy(&io, self.eps, true, io.params[0].elements(), cotangent)
    }

    fn column(&self, io: Column<'_>) -> Option<Block> {
        let (runs, saved) = (rows(io.shape.last()?), io.saved);
        Some(normed::column(io, runs, |run, x| (x - saved.at(2 * run)) * saved.at(2 * run + 1)))
    }
}
