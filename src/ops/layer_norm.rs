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

use super::{
    Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, ParamSpec, Role, Room, Shape, Transfer,
};
use crate::args::{Kind, Param, Reader, optional};
use crate::inits::Init;
use crate::moments::{Energy, Interval, Moments, ln_add};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::{View, product};

/// The operator `layer_norm`.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    eps: f64,
    gamma: Spanned<Init>,
    beta: Spanned<Init>,
}

/// Mean and 1/sqrt(var + eps) of a row, in two passes so that a large mean costs no digits.
fn statistics<S: Scalar>(row: View<'_, S>, eps: f64) -> (S, S) {
    let share = super::reciprocal(row.len());
    let mut sum = S::constant(0.0);
    row.iter().for_each(|x| sum += x);
    let mean = sum * share;
    let mut squares = S::constant(0.0);
    row.iter().for_each(|x| squares += (x - mean) * (x - mean));
    (mean, S::constant(1.0) / (squares * share + eps).sqrt())
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
        // Each output element takes one factor and one offset.
        let spec = |name, role, init: &Spanned<Init>| ParamSpec {
            name,
            dims: vec![features],
            fan_in: 1,
            fan_out: 1,
            role,
            init: Some(init.clone()),
        };
        Ok(Inferred {
            output: inputs[0].clone(),
            params: vec![spec("weight", Role::Scale, &self.gamma), spec("bias", Role::Shift, &self.beta)],
            saved: Room { fixed: 0, per_sample: product(outer).saturating_mul(2) },
            flops: inputs[0].elements().saturating_mul(8),
            ..Inferred::default()
        })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, params, mut output, mut saved, .. } = io;
        let (x, gamma, beta) = (inputs[0], params[0], params[1]);
        let n = gamma.len();
        for row in 0..x.len() / n {
            let values = x.part(row * n..(row + 1) * n);
            let (mean, scale) = statistics(values, self.eps);
            saved.set(2 * row, mean);
            saved.set(2 * row + 1, scale);
            for (i, x) in values.iter().enumerate() {
                output.set(row * n + i, (x - mean) * scale * gamma.at(i) + beta.at(i));
            }
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { inputs, params, saved, cotangent, inputs_grad, params_grad, .. } = io;
        let (x, gamma) = (inputs[0], params[0]);
        let n = gamma.len();
        let share = super::reciprocal(n);
        for grad in params_grad.iter_mut().flatten() {
            grad.fill(S::constant(0.0));
        }
        for row in 0..x.len() / n {
            let (mean, scale) = (saved.at(2 * row), saved.at(2 * row + 1));
            let hat = |i: usize| (x.at(row * n + i) - mean) * scale;
            let g = |i: usize| cotangent.at(row * n + i);
            if let Some(grad) = &mut params_grad[0] {
                (0..n).for_each(|i| grad.add(i, g(i) * hat(i)));
            }
            if let Some(grad) = &mut params_grad[1] {
                (0..n).for_each(|i| grad.add(i, g(i)));
            }
            if let Some(grad) = &mut inputs_grad[0] {
                let (mut sum, mut along) = (S::constant(0.0), S::constant(0.0));
                for i in 0..n {
                    let h = g(i) * gamma.at(i);
                    sum += h;
                    along += h * hat(i);
                }
                let (sum, along) = (sum * share, along * share);
                for i in 0..n {
                    grad.set(row * n + i, (g(i) * gamma.at(i) - sum - hat(i) * along) * scale);
                }
            }
        }
    }

    /// With v = E x^2 - (E x)^2 over the features, a share r = v/(v + eps) of the normalised value's second moment is left:
    /// E y^2 = r E gamma^2 + E beta^2, E y = E beta, and E y y' = r c E gamma^2 + E beta^2 for two inputs whose deviations
    /// have correlation c. The sum of squares over the features is n r exactly, so with constant gamma nothing scatters
    /// over draws; with gamma drawn normally, E gamma^4 = m^4 + 6 m^2 s^2 + 3 s^4.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = &io.inputs[0];
        let ((gamma, gamma_variance), (beta, beta_variance)) =
            (io.params[0].statistics(), io.params[1].statistics());
        let (scale, shift) = (gamma * gamma + gamma_variance, beta * beta + beta_variance);
        let deviation = 1.0 - x.mean_share * x.mean_share;
        let kept = |ln_square: f64| {
            let variance = ln_square.exp() * deviation;
            if variance > 0.0 { 1.0 / (1.0 + self.eps / variance) } else { 0.0 }
        };
        let ln_square = |s: f64| ln_add(kept(s).ln() + scale.ln(), shift.ln());
        let kept_here = kept(x.ln_square.middle());
        let square = ln_square(x.ln_square.middle()).exp();
        if square <= 0.0 {
            return Moments::ZERO;
        }
        let signal = kept_here * scale / square;
        let correlation = if deviation > 0.0 { 1.0 - (x.contrast / deviation).clamp(0.0, 2.0) } else { 1.0 };
        let fourth = gamma.powi(4) + 6.0 * gamma * gamma * gamma_variance + 3.0 * gamma_variance.powi(2);
        let kurtosis = x.tail + 1.0;
        let tail = if gamma_variance > 0.0 { kurtosis * (fourth / (scale * scale) - 1.0) } else { 0.0 };
        // d ln r / d ln v = eps/(v + eps) = 1 - r: what is left of the scatter of the input.
        let elasticity = signal * (1.0 - kept_here);
        Moments {
            ln_square: if x.ln_square.lo == x.ln_square.hi {
                Interval::point(square.ln())
            } else {
                x.ln_square.map(ln_square)
            },
            mean_share: (beta / square.sqrt()).clamp(-1.0, 1.0),
            contrast: (signal * (1.0 - correlation)).clamp(0.0, 2.0),
            spread: elasticity * elasticity * x.measured_spread(),
            tail: signal * signal * tail,
            units: x.units,
        }
    }

    /// gamma^2 / (v + eps), of which the two directions that the norm removes take no part: the mean and the value itself.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let x = &io.inputs[0];
        let (gamma, variance) = io.params[0].statistics();
        let kept = 1.0 - 2.0 * super::reciprocal(io.params[0].elements());
        let scale = (gamma * gamma + variance) * kept;
        if scale <= 0.0 {
            return vec![Energy::ZERO];
        }
        let deviation = (1.0 - x.mean_share * x.mean_share).ln();
        let factor = |ln_square: f64| scale.ln() - ln_add(ln_square + deviation, self.eps.ln());
        let ends = Interval { lo: factor(x.ln_square.hi), hi: factor(x.ln_square.lo) };
        vec![cotangent.times(ends)]
    }

    /// Gamma moves its feature by the normalised values, beta by 1.
    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, shapes, inputs, saved, param, index, column, .. } = io;
        let n = shapes[0].last()?;
        let rows = inputs[0].len() / n;
        let hat = |row: usize| (inputs[0].at(row * n + index) - saved.at(2 * row)) * saved.at(2 * row + 1);
        column.extend((0..rows).map(|row| if param == 0 { hat(row) } else { 1.0 }));
        Some(Block::feature(index, n, rows / batch.max(1)))
    }
}
