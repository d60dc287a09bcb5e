//! Norms: a set of elements minus their mean, over the root of their variance and `eps`.

use super::call::{Call, at, batched, indices, mean, real, sum};
use crate::scalar::{Double, Scalar};
use crate::tensor::Mode;

/// Mean and biased variance.
fn moments(of: &[Double]) -> [Double; 2] {
    let centre = mean(of);
    let squares: Vec<Double> = of.iter().map(|x| (*x - centre) * (*x - centre)).collect();
    [centre, mean(&squares)]
}

/// Every element with mean and variance of the elements that share its group, then times the weight and plus the bias of its place.
fn normalise(
    call: &Call<'_>,
    group: impl Fn(&[usize]) -> Vec<usize>,
    place: impl Fn(&[usize]) -> usize,
) -> Vec<Double> {
    let eps = call.number("eps");
    let all = indices(&batched(call.batch, call.shape));
    let mut groups: std::collections::BTreeMap<Vec<usize>, Vec<Double>> = std::collections::BTreeMap::new();
    for (index, x) in all.iter().zip(call.x()) {
        groups.entry(group(index)).or_default().push(*x);
    }
    let moments: std::collections::BTreeMap<&Vec<usize>, [Double; 2]> =
        groups.iter().map(|(key, of)| (key, moments(of))).collect();
    let one = |(index, x): (&Vec<usize>, &Double)| {
        let [centre, variance] = moments[&group(index)];
        let at = place(index);
        (*x - centre) / (variance + eps).sqrt() * call.params[0][at] + call.params[1][at]
    };
    all.iter().zip(call.x()).map(one).collect()
}

/// Over batch and positions for each channel; in use with the running moments.
pub(super) fn batch_norm(call: &Call<'_>) -> Vec<Double> {
    if call.mode == Mode::Train {
        return normalise(call, |index| vec![index[1]], |index| index[1]);
    }
    let eps = call.number("eps");
    let [running_mean, running_var] = [call.states[0], call.states[1]];
    let all = indices(&batched(call.batch, call.shape));
    let one = |(index, x): (&Vec<usize>, &Double)| {
        let c = index[1];
        let scaled = (*x - real(running_mean[c])) / (real(running_var[c]) + eps).sqrt();
        scaled * call.params[0][c] + call.params[1][c]
    };
    all.iter().zip(call.x()).map(one).collect()
}

/// Over the last axis.
pub(super) fn layer_norm(call: &Call<'_>) -> Vec<Double> {
    let last = |index: &[usize]| index[index.len() - 1];
    normalise(call, |index| index[..index.len() - 1].to_vec(), last)
}

/// Over a run of neighbouring channels and all positions, for each sample.
pub(super) fn group_norm(call: &Call<'_>) -> Vec<Double> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    let own = call.shape[0] / call.number("groups") as usize;
    normalise(call, |index| vec![index[0], index[1] / own], |index| index[1])
}

/// Each element over the root of the mean square of the last axis (Zhang and Sennrich 2019).
pub(super) fn rms_norm(call: &Call<'_>) -> Vec<Double> {
    let eps = call.number("eps");
    let sizes = batched(call.batch, call.shape);
    let features = call.shape[call.shape.len() - 1];
    let one = |index: Vec<usize>| {
        let (last, row) = (index[index.len() - 1], at(&sizes, &index) / features * features);
        let square = sum((0..features).map(|i| call.x()[row + i] * call.x()[row + i]));
        let size = (square / super::call::count(features) + eps).sqrt();
        call.x()[row + last] / size * call.params[0][last]
    };
    indices(&sizes).into_iter().map(one).collect()
}
