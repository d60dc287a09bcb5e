//! Batch norm: `y = gamma (x - mean) / sqrt(var + eps) + beta` for each feature of `[B,F]` or channel of `[B,C,H,W]`.
//!
//! In training mean and variance are those of the batch (over samples and positions, the biased variance), so that samples
//! depend on each other and small batches are noisy. In use they are the running ones (Ioffe and Szegedy 2015). After
//! a training step `running = (1 - momentum) running + momentum batch`, where the batch's variance is the unbiased one: all
//! as in PyTorch. `weight` (gamma), `bias` (beta), `running_mean` (at first 0) and `running_var` (at first 1) have one element for
//! each channel.
//!
//! Two departures from PyTorch. A training batch with one value for each channel is an error there; here the variance is 0,
//! the result is beta and the gradient 0, so that a batch of 1 shows what it does. `eps` must be above 0, because
//! a channel that is constant within a batch would otherwise be divided by 0.
//!
//! Whatever scale comes in, gamma's goes out: the weights before a batch norm need no particular variance, unless it falls
//! towards eps. The gradient is multiplied by gamma/sqrt(var + eps); with a ReLU behind it, its energy grows by 1.467 in each layer
//! towards the input at initialisation (Yang et al. 2019), which residual connections bypass. A bias before a batch norm does
//! nothing.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `batch_norm` | `[B,5]` | `[B,5]` |
//! | `batch_norm(eps=1e-3, momentum=0.01, gamma=normal(1, 0.1), beta=normal(0.1))` | `[B,2,3,4]` | `[B,2,3,4]` |
//! | `batch_norm(gamma=zeros)` | `[B,3,2,2]` | `[B,3,2,2]` |
//! | `batch_norm(eps=0)` | `[B,5]` | error |
//! | `batch_norm(momentum=2)` | `[B,5]` | error |
//! | `batch_norm` | `[B,4,5]` | error |
//! | `batch_norm` | `[B]` | error |

use super::{
    Backward, Block, Category, Column, Forward, Inferred, Misfit, ModeEffect, Op, ParamSpec, Role, Room,
    Shape, Spread, StateSpec, Transfer,
};
use crate::args::{Kind, Param, Reader, optional};
use crate::inits::Init;
use crate::moments::{Energy, Interval, Moments, ln_add};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::{Mode, Tensor, View};

/// The operator `batch_norm`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    eps: f64,
    momentum: f64,
    gamma: Spanned<Init>,
    beta: Spanned<Init>,
}

/// What the forward kernel saves of each channel.
const SAVED: usize = 3;
/// The mean that is subtracted.
const MEAN: usize = 0;
/// 1/sqrt(var + eps).
const SCALE: usize = 1;
/// The variance.
const VARIANCE: usize = 2;

/// Where the elements of a channel lie.
#[derive(Clone, Copy)]
struct Channels {
    batch: usize,
    count: usize,
    positions: usize,
}

impl Channels {
    fn of(batch: usize, shape: &Shape) -> Self {
        let count = shape.channels().unwrap_or(1);
        Self { batch, count, positions: shape.elements() / count.max(1) }
    }

    /// The number of elements of one channel.
    fn size(self) -> usize {
        self.batch * self.positions
    }

    /// Visits the elements of a channel in order.
    fn visit(self, channel: usize, mut each: impl FnMut(usize)) {
        for sample in 0..self.batch {
            let start = (sample * self.count + channel) * self.positions;
            (start..start + self.positions).for_each(&mut each);
        }
    }
}

impl Op for BatchNorm {
    const SIGNATURE: &'static [Param] = &[
        optional("eps", Kind::Number, "1e-5", "what is added to the variance"),
        optional("momentum", Kind::Number, "0.1", "the share of a batch in the running statistics"),
        optional("gamma", Kind::Init, "ones", "how the factors are drawn"),
        optional("beta", Kind::Init, "zeros", "how the offsets are drawn"),
    ];
    const CATEGORY: Category = Category::Norm;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let eps = args.number_where("eps", "above 0", |x| x > 0.0);
        let momentum = args.number_where("momentum", "from 0 to 1", |x| (0.0..=1.0).contains(&x));
        let gamma = args.with("gamma", Init::from_value);
        let beta = args.with("beta", Init::from_value);
        Some(Self { eps: eps?, momentum: momentum?, gamma: gamma?, beta: beta? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { eps, momentum, gamma: _, beta: _ } = self;
        vec![("eps", super::exact(*eps)), ("momentum", super::exact(*momentum))]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let shape = inputs[0];
        let (1 | 3, Some(&channels)) = (shape.sample().len(), shape.sample().first()) else {
            let message = format!("`batch_norm` needs [B,F] or [B,C,H,W] and gets {shape}");
            return Err(Misfit::shape(message).help("layer_norm normalises the last axis of any shape"));
        };
        // Each output element takes one factor and one offset.
        let spec = |name, role, init: &Spanned<Init>| ParamSpec {
            name,
            dims: vec![channels],
            fan_in: 1,
            fan_out: 1,
            role,
            init: Some(init.clone()),
            drawn: None,
        };
        let state = |name, initial| StateSpec { name, dims: vec![channels], initial };
        Ok(Inferred {
            output: shape.clone(),
            params: vec![spec("weight", Role::Scale, &self.gamma), spec("bias", Role::Shift, &self.beta)],
            state: vec![state("running_mean", 0.0), state("running_var", 1.0)],
            saved: Room { fixed: SAVED.saturating_mul(channels), per_sample: 0 },
            flops: shape.elements().saturating_mul(8),
            ..Inferred::default()
        })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, mode, shape, inputs, params, state, mut output, mut saved, .. } = io;
        let (x, gamma, beta) = (inputs[0], params[0], params[1]);
        let channels = Channels::of(batch, shape);
        let running = |which: usize, c: usize| S::constant(state[which][c]);
        for c in 0..channels.count {
            let (mean, variance) = match mode {
                Mode::Train => {
                    // Two passes, so that a large mean costs no digits.
                    let share = super::reciprocal(channels.size());
                    let mut sum = S::constant(0.0);
                    channels.visit(c, |i| sum += x.at(i));
                    let mean = sum * share;
                    let mut squares = S::constant(0.0);
                    channels.visit(c, |i| {
                        let deviation = x.at(i) - mean;
                        squares += deviation * deviation;
                    });
                    (mean, squares * share)
                }
                Mode::Eval => (running(0, c), running(1, c)),
            };
            let scale = S::constant(1.0) / (variance + self.eps).sqrt();
            saved.set(SAVED * c + MEAN, mean);
            saved.set(SAVED * c + SCALE, scale);
            saved.set(SAVED * c + VARIANCE, variance);
            let (gamma, beta) = (gamma.at(c), beta.at(c));
            channels.visit(c, |i| output.set(i, (x.at(i) - mean) * scale * gamma + beta));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward {
            batch, mode, shape, inputs, params, saved, cotangent, inputs_grad, params_grad, ..
        } = io;
        let (x, gamma) = (inputs[0], params[0]);
        let channels = Channels::of(batch, shape);
        for c in 0..channels.count {
            let (mean, scale) = (saved.at(SAVED * c + MEAN), saved.at(SAVED * c + SCALE));
            let hat = |i: usize| (x.at(i) - mean) * scale;
            let (mut sum, mut along) = (S::constant(0.0), S::constant(0.0));
            channels.visit(c, |i| {
                sum += cotangent.at(i);
                along += cotangent.at(i) * hat(i);
            });
            if let Some(grad) = &mut params_grad[0] {
                grad.set(c, along);
            }
            if let Some(grad) = &mut params_grad[1] {
                grad.set(c, sum);
            }
            let Some(grad) = &mut inputs_grad[0] else { continue };
            let factor = gamma.at(c) * scale;
            match mode {
                // Mean and variance move with the batch: what is common to it, or lies along x, does not pass.
                Mode::Train => {
                    let share = super::reciprocal(channels.size());
                    let (sum, along) = (sum * share, along * share);
                    channels.visit(c, |i| grad.set(i, (cotangent.at(i) - sum - hat(i) * along) * factor));
                }
                Mode::Eval => channels.visit(c, |i| grad.set(i, cotangent.at(i) * factor)),
            }
        }
    }

    /// Gamma moves its channel by the normalised values, beta by 1.
    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, shape, inputs, saved, param, index, column, .. } = io;
        let channels = Channels::of(batch, shape);
        let (mean, scale) = (saved.at(SAVED * index + MEAN), saved.at(SAVED * index + SCALE));
        channels
            .visit(index, |i| column.push(if param == 0 { (inputs[0].at(i) - mean) * scale } else { 1.0 }));
        Some(Block::run(index * channels.positions, channels.positions))
    }

    fn spread(&self, input: &Shape, block: Block) -> Spread {
        Spread::of_channels(input, block)
    }

    /// In training the variance of the batch is what two inputs do not share, v = E x^2 - E x x', and a share
    /// r = v/(v + eps) of the normalised value's second moment is left: E y^2 = r E gamma^2 + E beta^2, E y = E beta and
    /// E y y' = E beta^2. The mean square over a batch is r exactly, so with constant gamma nothing scatters over draws. In use, at
    /// the initial statistics, it is the affine map y = gamma x / sqrt(1 + eps) + beta.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = &io.inputs[0];
        let ((gamma, gamma_variance), (beta, beta_variance)) =
            (io.params[0].statistics(), io.params[1].statistics());
        let (factor, shift) = (gamma * gamma + gamma_variance, beta * beta + beta_variance);
        let fourth = gamma.powi(4) + 6.0 * gamma * gamma * gamma_variance + 3.0 * gamma_variance.powi(2);
        match io.mode {
            Mode::Train => {
                let kept = |ln_square: f64| {
                    let variance = ln_square.exp() * x.contrast;
                    if variance > 0.0 { 1.0 / (1.0 + self.eps / variance) } else { 0.0 }
                };
                let ln_square = |s: f64| ln_add(kept(s).ln() + factor.ln(), shift.ln());
                let middle = x.ln_square.middle();
                let square = ln_square(middle).exp();
                if square <= 0.0 {
                    return Moments::ZERO;
                }
                let signal = kept(middle) * factor / square;
                let drawn = if gamma_variance > 0.0 {
                    (x.tail + 1.0) * (fourth / (factor * factor) - 1.0)
                } else {
                    0.0
                };
                // d ln r / d ln v = eps/(v + eps) = 1 - r: what is left of the scatter of the input.
                let elasticity = signal * (1.0 - kept(middle));
                Moments {
                    ln_square: if x.ln_square.lo == x.ln_square.hi {
                        Interval::point(square.ln())
                    } else {
                        x.ln_square.map(ln_square)
                    },
                    mean_share: (beta / square.sqrt()).clamp(-1.0, 1.0),
                    contrast: signal.clamp(0.0, 2.0),
                    variety: x.variety,
                    spread: elasticity * elasticity * x.measured_spread(),
                    tail: signal * signal * drawn,
                    units: x.units,
                }
            }
            Mode::Eval => {
                let root = factor.sqrt();
                if root == 0.0 {
                    return Moments::new(shift, beta, shift);
                }
                let scaled = x.scaled(root / (1.0 + self.eps).sqrt());
                // Only E gamma, not its root mean square, carries the mean on.
                let scaled = Moments {
                    mean_share: scaled.mean_share * gamma / root,
                    tail: (x.tail + 1.0) * fourth / (factor * factor) - 1.0,
                    ..scaled
                };
                let offset = Moments { units: x.units, ..Moments::new(shift, beta, shift) };
                if shift > 0.0 { scaled.plus(offset) } else { scaled }
            }
        }
    }

    /// gamma^2 / (v + eps) with the variance of the batch in training, of the running statistics in use. The two directions that the
    /// statistics of a large batch take away do not count.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let x = &io.inputs[0];
        let (gamma, variance) = io.params[0].statistics();
        let scale = gamma * gamma + variance;
        if scale <= 0.0 {
            return vec![Energy::ZERO];
        }
        let factor = |ln_square: f64| match io.mode {
            Mode::Train => scale.ln() - ln_add(ln_square + x.contrast.ln(), self.eps.ln()),
            Mode::Eval => scale.ln() - self.eps.ln_1p(),
        };
        let ends = Interval { lo: factor(x.ln_square.hi), hi: factor(x.ln_square.lo) };
        vec![cotangent.times(ends)]
    }

    fn effect(&self) -> ModeEffect {
        ModeEffect::Differs
    }

    fn mixes_batch(&self, mode: Mode) -> bool {
        mode == Mode::Train
    }

    /// `running = (1 - momentum) running + momentum batch` with the unbiased variance; the variance of a single value is 0.
    fn update_state(&self, batch: usize, shape: &Shape, saved: View<'_, f64>, state: &mut [Tensor]) {
        let channels = Channels::of(batch, shape);
        let n = channels.size();
        #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
        let unbiased = n as f64 / n.saturating_sub(1).max(1) as f64;
        let [mean, variance] = state else { unreachable!("internal: batch norm has two running tensors") };
        let blend = |old: f64, new: f64| (1.0 - self.momentum) * old + self.momentum * new;
        for c in 0..channels.count {
            mean.data[c] = blend(mean.data[c], saved.at(SAVED * c + MEAN));
            variance.data[c] = blend(variance.data[c], saved.at(SAVED * c + VARIANCE) * unbiased);
        }
    }
}
