//! The laws of kernels and reverse rules, each a function that says what is wrong.
//!
//! Tolerances. With u = 2^-52, an output is computed from terms whose magnitudes are bounded by
//! A_i = 1 + |y_i| + sum_j |J_ij| |w_j| over all inputs and parameters w; one elementary function costs a few u, and exp(-x^2/2) at
//! |x| <= 8 costs x^2/2 = 32 u; a sum of n terms costs n u. So every bound has the factor K = (64 + n) u, n being the number of
//! components, times the magnitudes of the terms.

use super::trial::{Kernels, Slot, Trial, Values};
use wellposed::exec::{Gradients, Reverse, Tapes};
use wellposed::inits::standard_normal;
use wellposed::ops::Role;
use wellposed::tensor::{Draws, stream};

pub type Verdict = Result<(), String>;

#[expect(clippy::cast_precision_loss, reason = "component counts are small")]
fn slack(n: usize) -> f64 {
    (64.0 + n as f64) * f64::EPSILON
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn magnitude(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum()
}

fn gradient(gradients: &Gradients, slot: Slot) -> &[f64] {
    match slot {
        Slot::Feed(i) => &gradients.feeds[i],
        Slot::Param(i) => &gradients.params[i],
    }
}

/// Passes only if the difference is a number within the bound.
fn within(what: impl Fn() -> String, found: f64, want: f64, bound: f64) -> Verdict {
    if (found - want).abs() <= bound {
        return Ok(());
    }
    Err(format!("{}: {found:e} against {want:e}, bound {bound:e}", what()))
}

/// The magnitudes A_i of the outputs.
fn magnitudes(trial: &Trial<'_>, jacobian: &[(Slot, Vec<Vec<f64>>)]) -> Vec<f64> {
    let mut all: Vec<f64> =
        trial.value_at(&trial.values, Tapes::Live).iter().map(|y| 1.0 + y.abs()).collect();
    for (slot, columns) in jacobian {
        for (column, w) in columns.iter().zip(trial.slot(*slot)) {
            for (a, j) in all.iter_mut().zip(column) {
                *a += (j * w).abs();
            }
        }
    }
    all
}

fn jacobian(trial: &Trial<'_>) -> Vec<(Slot, Vec<Vec<f64>>)> {
    trial.slots().into_iter().map(|slot| (slot, trial.columns(slot))).collect()
}

/// <c, J v> from the forward kernel on dual numbers is <J^T c, v> from the reverse rule, tensor by tensor.
pub fn tangent_agrees(trial: &Trial<'_>, rule: &impl Reverse) -> Verdict {
    let gradients = trial.gradients(rule);
    for slot in trial.slots() {
        let n = trial.slot(slot).len();
        let direction = standard_normal(n, Draws { seed: trial.settings.seed, stream: stream("direction") });
        let forward = trial.tangent(slot, &direction);
        let reverse = gradient(&gradients, slot);
        let columns = trial.columns(slot);
        let terms: f64 =
            columns.iter().zip(&direction).map(|(j, v)| magnitude(j, &trial.cotangent) * v.abs()).sum();
        let bound = slack(n) * (terms + magnitude(reverse, &direction));
        let what = || format!("{slot:?}: the tangent and the reverse rule");
        within(what, dot(&forward, &trial.cotangent), dot(reverse, &direction), bound)?;
    }
    Ok(())
}

/// Two-sided differences with all decisions replayed are the reverse rule's derivative, component by component.
///
/// The step h = u^(1/3) balances both errors. Doubling it changes the difference by three times the truncation error to leading
/// order, so that change bounds the truncation; rounding is K times the magnitudes over h, once for each of the two differences.
pub fn differences_agree(trial: &Trial<'_>, rule: &impl Reverse) -> Verdict {
    let gradients = trial.gradients(rule);
    let jacobian = jacobian(trial);
    let magnitudes = magnitudes(trial, &jacobian);
    let mut values: Values = trial.values.clone();
    for (slot, columns) in &jacobian {
        let n = trial.slot(*slot).len();
        for (j, column) in columns.iter().enumerate() {
            let w = trial.slot(*slot)[j];
            let h = f64::EPSILON.cbrt() * w.abs().max(1.0);
            let mut difference = |h: f64| {
                let (above, below) = (w + h, w - h);
                values.slot(*slot)[j] = above;
                let high = trial.value_at(&values, Tapes::Replay);
                values.slot(*slot)[j] = below;
                let low = trial.value_at(&values, Tapes::Replay);
                values.slot(*slot)[j] = w;
                let changes = high.iter().zip(&low).map(|(high, low)| high - low);
                changes.zip(&trial.cotangent).map(|(change, c)| change * c).sum::<f64>() / (above - below)
            };
            let (fine, coarse) = (difference(h), difference(2.0 * h));
            let touched = magnitudes.iter().zip(column).zip(&trial.cotangent);
            let rounding: f64 = touched.filter(|((_, j), _)| **j != 0.0).map(|((a, _), c)| a * c.abs()).sum();
            let bound = (fine - coarse).abs() + 2.0 * slack(n) * rounding / h;
            let what = || format!("{slot:?} component {j}: the reverse rule and differences");
            within(what, gradient(&gradients, *slot)[j], fine, bound)?;
        }
    }
    Ok(())
}

fn same_bits(what: &str, a: &[f64], b: &[f64]) -> Verdict {
    match a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits()) {
        None if a.len() == b.len() => Ok(()),
        at => Err(format!("{what}: the bits differ at {at:?}")),
    }
}

/// The same bits twice, for another seed of the draws, and through a session.
pub fn is_determined(
    trial: &Trial<'_>,
    other_seed: &Trial<'_>,
    kernels: &impl Kernels,
    rule: &impl Reverse,
) -> Verdict {
    let (first, second) = (trial.bare(kernels, rule, 0.0), trial.bare(kernels, rule, 0.0));
    let other = other_seed.bare(kernels, rule, 0.0);
    same_bits("twice", &first.output, &second.output)?;
    same_bits("with another seed of the draws", &first.output, &other.output)?;
    same_bits("through a session", &first.output, &trial.value_at(&trial.values, Tapes::Record))
}

/// Results do not depend on what the buffers held before.
pub fn overwrites(trial: &Trial<'_>, kernels: &impl Kernels, rule: &impl Reverse) -> Verdict {
    let (clean, dirty) = (trial.bare(kernels, rule, 0.0), trial.bare(kernels, rule, f64::NAN));
    same_bits("the result", &clean.output, &dirty.output)?;
    let grads = |bare: &super::trial::Bare| [bare.inputs.concat(), bare.params.concat()];
    for (name, (clean, dirty)) in
        ["inputs", "parameters"].iter().zip(grads(&clean).iter().zip(&grads(&dirty)))
    {
        same_bits(&format!("the derivatives by {name}"), clean, dirty)?;
    }
    Ok(())
}

/// A sample alone gives what it gives within a batch: the same bits, or for matrix products, whose kernel depends on the number of
/// rows, the same up to the order of the sums.
pub fn is_independent(trial: &Trial<'_>, kernels: &impl Kernels, rule: &impl Reverse) -> Verdict {
    let node = trial.node();
    let exact = node.params.iter().all(|param| trial.graph.params[*param].spec.role != Role::Kernel);
    let whole = trial.bare(kernels, rule, 0.0);
    let jacobian = jacobian(trial);
    let sizes = magnitudes(trial, &jacobian);
    let outputs = trial.cotangent.len() / trial.batch;
    for sample in 0..trial.batch {
        let values = trial.values.sample(trial.batch, sample);
        let mut alone = Trial::at(trial.case, 1, trial.settings.mode, trial.settings.seed, values);
        let range = sample * outputs..(sample + 1) * outputs;
        alone.cotangent = trial.cotangent[range.clone()].to_vec();
        let own = alone.bare(kernels, rule, 0.0);
        for (i, at) in range.enumerate() {
            let bound = if exact { 0.0 } else { 2.0 * slack(outputs) * sizes[at] };
            let what = || format!("output {i} of sample {sample}, alone and in a batch");
            within(what, own.output[i], whole.output[at], bound)?;
        }
        let grads = own.inputs.iter().zip(&whole.inputs).enumerate();
        // Whole numbers have no derivative.
        for (feed, (own, whole)) in grads.filter(|(_, (own, _))| !own.is_empty()) {
            let columns = &jacobian.iter().find(|(slot, _)| *slot == Slot::Feed(feed)).expect("an input").1;
            for (i, own) in own.iter().enumerate() {
                let at = sample * (whole.len() / trial.batch) + i;
                let size = magnitude(&columns[at], &trial.cotangent);
                let bound = if exact { 0.0 } else { 2.0 * slack(outputs) * size };
                let what =
                    || format!("derivative {i} by input {feed} of sample {sample}, alone and in a batch");
                within(what, *own, whole[at], bound)?;
            }
        }
    }
    Ok(())
}
