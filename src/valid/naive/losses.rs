//! Losses: the mean over the elements of each sample.

use super::call::{Call, at, batched, indices, larger, mean, real};
use super::mixing::log_shares;
use crate::scalar::{Double, Scalar};

/// The mean over the elements of a function of prediction and target.
fn pairs(call: &Call<'_>, f: impl Fn(Double, Double) -> Double) -> Vec<Double> {
    let each: Vec<Double> = call.x().iter().zip(call.inputs[1]).map(|(x, y)| f(*x, *y)).collect();
    each.chunks(each.len() / call.batch).map(mean).collect()
}

pub(super) fn mse(call: &Call<'_>) -> Vec<Double> {
    pairs(call, |x, y| (x - y) * (x - y))
}

fn size(x: Double) -> Double {
    larger(x, -x)
}

pub(super) fn mae(call: &Call<'_>) -> Vec<Double> {
    pairs(call, |x, y| size(x - y))
}

/// d^2/2, and delta (|d| - delta/2) from delta on.
pub(super) fn huber(call: &Call<'_>) -> Vec<Double> {
    let delta = call.number("delta");
    pairs(call, |x, y| {
        let d = size(x - y);
        if d.primal() < delta { d * d * 0.5 } else { (d - real(delta * 0.5)) * delta }
    })
}

/// -y ln p - (1 - y) ln(1 - p), where neither logarithm is below -100.
pub(super) fn bce(call: &Call<'_>) -> Vec<Double> {
    let log = |x: Double| larger(x.ln(), real(-100.0));
    pairs(call, |p, y| -(y * log(p) + (real(1.0) - y) * log(real(1.0) - p)))
}

/// -y ln s(x) - (1 - y) ln s(-x) with the logistic function s, and -ln s(x) = ln(1 + e^-x).
pub(super) fn bce_with_logits(call: &Call<'_>) -> Vec<Double> {
    // Above 700 the 1 does not count, and the power would leave the range.
    let log = |x: Double| if x.primal() < -700.0 { -x } else { (-x).exp().ln_1p() };
    pairs(call, |x, y| y * log(x) + (real(1.0) - y) * log(-x))
}

/// What logarithms of a position are worth at its label, for every position. The class axis is the one that the labels lack: axis 1 of maps, and
/// else the last, if they lack that.
fn labelled(call: &Call<'_>, worth: impl Fn(&[Double], usize) -> Double) -> Vec<Double> {
    let (sample, labels) = (call.shapes[0], call.shapes[1]);
    let (first, last) = (labels == &sample[1..], labels == &sample[..sample.len() - 1]);
    let axis = if first && (sample.len() == 3 || !last) { 1 } else { sample.len() };
    let sizes = batched(call.batch, sample);
    let places = indices(&batched(call.batch, labels));
    let each = places.iter().zip(call.inputs[1]).map(|(place, label)| {
        let line = |class: usize| call.x()[at(&sizes, &[&place[..axis], &[class], &place[axis..]].concat())];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a class label")]
        let label = label.primal() as usize;
        worth(&(0..sizes[axis]).map(line).collect::<Vec<_>>(), label)
    });
    let each: Vec<Double> = each.collect();
    each.chunks(each.len() / call.batch).map(mean).collect()
}

/// -(1 - e) ln p(label) - e mean ln p for the smoothing e.
pub(super) fn cross_entropy(call: &Call<'_>) -> Vec<Double> {
    let smoothing = call.number("label_smoothing");
    labelled(call, |logits, label| {
        let logs = log_shares(logits);
        -(logs[label] * (1.0 - smoothing) + mean(&logs) * smoothing)
    })
}

pub(super) fn nll(call: &Call<'_>) -> Vec<Double> {
    labelled(call, |logs, label| -logs[label])
}
