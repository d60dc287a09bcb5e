//! Group norm: `y = gamma (x - mean) / sqrt(var + eps) + beta`, mean and variance over groups of channels in each sample.
//!
//! The channels, axis 1 of `[B,C,...]`, fall into `groups` of C/groups neighbours, and each group is normalised over its channels and all
//! positions (Wu and He 2018). The variance is the biased one; `weight` (gamma) and `bias` (beta) have one element for each channel, all
//! as in PyTorch. One group is a layer norm over the whole sample with factors for each channel, and as many groups as channels are
//! an instance norm. Each sample is normalised by itself, so training and use agree and the batch may be small: it takes the
//! place of `batch_norm` where batches have few samples. Whatever scale comes in, gamma's goes out.
//!
//! A group of one element has variance 0, so that its result is beta and its gradient 0, and one of two elements is left with an
//! order and no gradient. `eps` must be above 0, because a group that is constant would otherwise be divided by 0.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `group_norm(2)` | `[B,6]` | `[B,6]` |
//! | `group_norm(2, eps=1e-3, gamma=normal(1, 0.1), beta=normal(0.1))` | `[B,4,2,3]` | `[B,4,2,3]` |
//! | `group_norm(groups=1)` | `[B,3,4]` | `[B,3,4]` |
//! | `group_norm(3)` | `[B,3,2,2]` | `[B,3,2,2]` |
//! | `group_norm` | `[B,6]` | error |
//! | `group_norm(4)` | `[B,6]` | error |
//! | `group_norm(0)` | `[B,6]` | error |
//! | `group_norm(2, eps=0)` | `[B,6]` | error |
//! | `group_norm(1)` | `[B]` | error |

use super::normed::{self, Runs};
use super::{Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, Role, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional, required};
use crate::diag::rules;
use crate::inits::Init;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::product;

/// The operator `group_norm`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupNorm {
    groups: usize,
    eps: f64,
    gamma: Spanned<Init>,
    beta: Spanned<Init>,
}

impl GroupNorm {
    /// The groups of a value that the shape rule has checked.
    fn runs(&self, shape: &Shape) -> Runs {
        let (channels, positions) =
            shape.sample().split_first().map_or((1, 1), |(channels, rest)| (*channels, product(rest)));
        Runs { length: channels / self.groups * positions, groups: self.groups, positions }
    }
}

impl Op for GroupNorm {
    const SIGNATURE: &'static [Param] = &[
        required("groups", Kind::Size, "into how many groups the channels fall"),
        optional("eps", Kind::Number, "1e-5", "what is added to the variance"),
        optional("gamma", Kind::Init, "ones", "how the factors are drawn"),
        optional("beta", Kind::Init, "zeros", "how the offsets are drawn"),
    ];
    const CATEGORY: Category = Category::Norm;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let groups = args.size("groups");
        let eps = args.number_where("eps", "above 0", |x| x > 0.0);
        let gamma = args.with("gamma", Init::from_value);
        let beta = args.with("beta", Init::from_value);
        Some(Self { groups: groups?, eps: eps?, gamma: gamma?, beta: beta? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { groups, eps, gamma: _, beta: _ } = self;
        vec![("groups", groups.to_string()), ("eps", super::exact(*eps))]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let Some(channels) = inputs[0].channels() else {
            let message = format!("`group_norm` needs channels and gets {}", inputs[0]);
            return Err(Misfit::shape(message).help("the channels are axis 1: [B, 64] or [B, 64, 8, 8]"));
        };
        if !channels.is_multiple_of(self.groups) {
            let message = format!("{} groups of `group_norm` do not divide {channels} channels", self.groups);
            let help = "each group takes an equal share of the channels";
            return Err(Misfit::argument(&rules::NOT_DIVISIBLE, "groups", message).help(help));
        }
        let params = vec![
            normed::spec("weight", channels, Role::Scale, &self.gamma),
            normed::spec("bias", channels, Role::Shift, &self.beta),
        ];
        Ok(normed::inferred(inputs[0], params, self.groups, 2))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let runs = self.runs(io.shape);
        normed::forward(io, runs, self.eps);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let runs = self.runs(io.shape);
        normed::backward(io, runs);
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        normed::transfer(&io, self.eps, true)
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        normed::energy(&io, self.eps, true, self.runs(io.shape).length, cotangent)
    }

    fn column(&self, io: Column<'_>) -> Option<Block> {
        let (runs, saved) = (self.runs(io.shape), io.saved);
        Some(normed::column(io, runs, |run, x| (x - saved.at(2 * run)) * saved.at(2 * run + 1)))
    }
}
