//! Norms of a sample's own elements: what layer norm, group norm and RMS norm have in common.
//!
//! Contract: the elements of a sample fall into runs of equal length that lie one behind the other, and each run is normalised by
//! itself: `y = gamma (x - mean) / sqrt(var + eps) + beta` with the biased variance, or without mean and beta by its mean square.
//! Kernels serve the norms that take the mean away; moments and energy serve all.

use super::{Backward, Block, Column, Forward, Inferred, ParamSpec, Role, Room, Shape, Transfer};
use crate::inits::Init;
use crate::moments::{Energy, Interval, Moments, ln_add};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::View;

/// How runs lie in a sample and take their factors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    /// Elements of a run.
    pub length: usize,
    /// Runs of a sample, after which factors repeat.
    pub groups: usize,
    /// Neighbours that share a factor.
    pub positions: usize,
}

impl Runs {
    /// The factor that element `i` of a run takes.
    #[inline]
    fn factor(self, run: usize, i: usize) -> usize {
        run % self.groups * (self.length / self.positions) + i / self.positions
    }
}

/// Mean and 1/sqrt(var + eps) of a run, in two passes so that a large mean costs no digits.
fn statistics<S: Scalar>(run: View<'_, S>, eps: f64) -> (S, S) {
    let share = super::reciprocal(run.len());
    let mut sum = S::constant(0.0);
    run.iter().for_each(|x| sum += x);
    let mean = sum * share;
    let mut squares = S::constant(0.0);
    run.iter().for_each(|x| squares += (x - mean) * (x - mean));
    (mean, S::constant(1.0) / (squares * share + eps).sqrt())
}

/// One factor or offset for each of `count` channels or features: each output element takes one of each.
pub(super) fn spec(name: &'static str, count: usize, role: Role, init: &Spanned<Init>) -> ParamSpec {
    let init = Some(init.clone());
    ParamSpec { name, dims: vec![count], fan_in: 1, fan_out: 1, role, init, drawn: None }
}

/// What the shape rule concludes for a norm of `runs` runs in a sample that saves `saved` numbers of each.
pub(super) fn inferred(shape: &Shape, params: Vec<ParamSpec>, runs: usize, saved: usize) -> Inferred {
    Inferred {
        params,
        saved: Room { fixed: 0, per_sample: runs.saturating_mul(saved) },
        flops: shape.elements().saturating_mul(8),
        ..Inferred::shape(shape.clone())
    }
}

/// The forward kernel; saves mean and scale of each run.
pub(super) fn forward<S: Scalar>(io: Forward<'_, S>, runs: Runs, eps: f64) {
    let Forward { inputs, params, mut output, mut saved, .. } = io;
    let (x, gamma, beta) = (inputs[0], params[0], params[1]);
    let n = runs.length;
    for run in 0..x.len() / n {
        let values = x.part(run * n..(run + 1) * n);
        let (mean, scale) = statistics(values, eps);
        saved.set(2 * run, mean);
        saved.set(2 * run + 1, scale);
        for (i, x) in values.iter().enumerate() {
            let factor = runs.factor(run, i);
            output.set(run * n + i, (x - mean) * scale * gamma.at(factor) + beta.at(factor));
        }
    }
}

/// The reverse rule: what is common to a run, or lies along its values, does not pass.
pub(super) fn backward<S: Scalar>(io: Backward<'_, S>, runs: Runs) {
    let Backward { inputs, params, saved, cotangent, inputs_grad, params_grad, .. } = io;
    let (x, gamma) = (inputs[0], params[0]);
    let n = runs.length;
    let share = super::reciprocal(n);
    for grad in params_grad.iter_mut().flatten() {
        grad.fill(S::constant(0.0));
    }
    for run in 0..x.len() / n {
        let (mean, scale) = (saved.at(2 * run), saved.at(2 * run + 1));
        let hat = |i: usize| (x.at(run * n + i) - mean) * scale;
        let g = |i: usize| cotangent.at(run * n + i);
        if let Some(grad) = &mut params_grad[0] {
            (0..n).for_each(|i| grad.add(runs.factor(run, i), g(i) * hat(i)));
        }
        if let Some(grad) = &mut params_grad[1] {
            (0..n).for_each(|i| grad.add(runs.factor(run, i), g(i)));
        }
        if let Some(grad) = &mut inputs_grad[0] {
            let (mut sum, mut along) = (S::constant(0.0), S::constant(0.0));
            for i in 0..n {
                let h = g(i) * gamma.at(runs.factor(run, i));
                sum += h;
                along += h * hat(i);
            }
            let (sum, along) = (sum * share, along * share);
            for i in 0..n {
                let h = g(i) * gamma.at(runs.factor(run, i));
                grad.set(run * n + i, (h - sum - hat(i) * along) * scale);
            }
        }
    }
}

/// The column of a factor or offset: a factor moves the elements that take it by their normalised values, which `hat` makes of
/// run and value, an offset by 1.
pub(super) fn column(io: Column<'_>, runs: Runs, hat: impl Fn(usize, f64) -> f64) -> Block {
    let Column { batch, shape, inputs, param, index, column, .. } = io;
    let elements = shape.elements();
    let own = runs.length / runs.positions;
    let repeats = elements / (runs.length * runs.groups);
    // Either positions of a channel are neighbours, or features of the last axis are a run apart.
    let block = if runs.positions == 1 && runs.groups == 1 {
        Block::feature(index, own, repeats)
    } else {
        Block::run(index * runs.positions, runs.positions)
    };
    for start in (0..batch).map(|sample| sample * elements) {
        for at in (0..block.count).map(|k| start + block.element(k)) {
            column.push(if param == 0 { hat(at / runs.length, inputs[0].at(at)) } else { 1.0 });
        }
    }
    block
}

/// The share of the second moment that a norm divides by: all of it, or what is left without the mean.
fn deviation(x: &Moments, centred: bool) -> f64 {
    if centred { 1.0 - x.mean_share * x.mean_share } else { 1.0 }
}

/// With v = E x^2 - (E x)^2 over a run, or v = E x^2 where the mean stays, a share r = v/(v + eps) of the normalised value's second
/// moment is left: E y^2 = r E gamma^2 + E beta^2. With the mean taken away E y = E beta, and E y y' = r c E gamma^2 + E beta^2 for two
/// inputs whose deviations have correlation c; where it stays, E y = E gamma E x sqrt(r/v), and c is that of the values. The
/// sum of squares over n elements is n r exactly, so with constant gamma nothing scatters over draws; with gamma drawn
/// normally, E gamma^4 = m^4 + 6 m^2 s^2 + 3 s^4.
pub(super) fn transfer(io: &Transfer<'_>, eps: f64, centred: bool) -> Moments {
    let x = &io.inputs[0];
    let (gamma, gamma_variance) = io.params[0].statistics();
    let (beta, beta_variance) = io.params.get(1).map_or((0.0, 0.0), ParamSpec::statistics);
    let (scale, shift) = (gamma * gamma + gamma_variance, beta * beta + beta_variance);
    let deviation = deviation(x, centred);
    let kept = |ln_square: f64| {
        let variance = ln_square.exp() * deviation;
        if variance > 0.0 { 1.0 / (1.0 + eps / variance) } else { 0.0 }
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
    let mean = if centred { beta } else { gamma * kept_here.sqrt() * x.mean_share + beta };
    Moments {
        ln_square: if x.ln_square.lo == x.ln_square.hi {
            Interval::point(square.ln())
        } else {
            x.ln_square.map(ln_square)
        },
        mean_share: (mean / square.sqrt()).clamp(-1.0, 1.0),
        contrast: (signal * (1.0 - correlation)).clamp(0.0, 2.0),
        variety: x.variety,
        spread: elasticity * elasticity * x.measured_spread(),
        tail: signal * signal * tail,
        units: x.units,
    }
}

/// gamma^2 / (v + eps), in which the directions that the norm removes from a run of this length take no part: the value itself
/// and, where it is taken away, the mean.
pub(super) fn energy(
    io: &Transfer<'_>,
    eps: f64,
    centred: bool,
    length: usize,
    cotangent: Energy,
) -> Vec<Energy> {
    let x = &io.inputs[0];
    let (gamma, variance) = io.params[0].statistics();
    let removed = if centred { 2.0 } else { 1.0 };
    let kept = 1.0 - removed * super::reciprocal(length);
    let scale = (gamma * gamma + variance) * kept;
    if scale <= 0.0 {
        return vec![Energy::ZERO];
    }
    let deviation = deviation(x, centred).ln();
    let factor = |ln_square: f64| scale.ln() - ln_add(ln_square + deviation, eps.ln());
    let ends = Interval { lo: factor(x.ln_square.hi), hi: factor(x.ln_square.lo) };
    vec![cotangent.times(ends)]
}
