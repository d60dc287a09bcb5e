//! What slides over maps `[B, C, H, W]`.

use super::call::{Call, at, batched, indices, larger, real, sum};
use crate::scalar::{Double, Scalar};

/// Output sizes, one loop for each axis.
fn positions(call: &Call<'_>, one: impl Fn(usize, usize, [usize; 2]) -> Double) -> Vec<Double> {
    let sizes = batched(call.batch, call.shape);
    indices(&sizes).into_iter().map(|index| one(index[0], index[1], [index[2], index[3]])).collect()
}

/// The element of a padded axis that a tap meets; `None` in the padding.
fn meets(
    position: usize,
    stride: usize,
    tap: usize,
    dilation: usize,
    pad: usize,
    length: usize,
) -> Option<usize> {
    (position * stride + tap * dilation).checked_sub(pad).filter(|i| *i < length)
}

/// The padding before the first element: what is given, or for `same` half of what keeps the size, rounded down.
fn padding(call: &Call<'_>, kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> [usize; 2] {
    call.pair("pad").unwrap_or_else(|| {
        [0, 1].map(|axis| {
            let (input, output) = (call.shapes[0][1 + axis], call.shape[1 + axis]);
            let covered = (output - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1;
            covered.saturating_sub(input) / 2
        })
    })
}

fn whole(call: &Call<'_>, name: &str) -> [usize; 2] {
    call.pair(name).unwrap_or_else(|| panic!("internal: `{}` has no sizes `{name}`", call.node.op.name()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
fn groups(call: &Call<'_>) -> usize {
    call.number("groups") as usize
}

/// The sum over the channels of a group and the taps, plus the bias: a cross-correlation.
pub(super) fn conv2d(call: &Call<'_>) -> Vec<Double> {
    let [kernel, stride, dilation] = ["kernel", "stride", "dilation"].map(|name| whole(call, name));
    let pad = padding(call, kernel, stride, dilation);
    let input = batched(call.batch, call.shapes[0]);
    let (own, outputs) = (input[1] / groups(call), call.shape[0] / groups(call));
    positions(call, |b, o, p| {
        let mut total = call.params.get(1).map_or(real(0.0), |bias| bias[o]);
        for c in 0..own {
            for i in 0..kernel[0] {
                for j in 0..kernel[1] {
                    let row = meets(p[0], stride[0], i, dilation[0], pad[0], input[2]);
                    let column = meets(p[1], stride[1], j, dilation[1], pad[1], input[3]);
                    let (Some(row), Some(column)) = (row, column) else { continue };
                    let weight = call.params[0][at(&[0, own, kernel[0], kernel[1]], &[o, c, i, j])];
                    total += weight * call.x()[at(&input, &[b, o / outputs * own + c, row, column])];
                }
            }
        }
        total
    })
}

/// Every element is spread over the taps; `pad` cuts off the border.
pub(super) fn conv_transpose2d(call: &Call<'_>) -> Vec<Double> {
    let [kernel, stride, dilation, pad] =
        ["kernel", "stride", "dilation", "pad"].map(|name| whole(call, name));
    let (input, output) = (batched(call.batch, call.shapes[0]), batched(call.batch, call.shape));
    let (own, outputs) = (input[1] / groups(call), output[1] / groups(call));
    let mut value = positions(call, |_, o, _| call.params.get(1).map_or(real(0.0), |bias| bias[o]));
    for (index, x) in indices(&input).iter().zip(call.x()) {
        let [b, c, row, column] = index[..] else { unreachable!("internal: maps have four axes") };
        for o in 0..outputs {
            for i in 0..kernel[0] {
                for j in 0..kernel[1] {
                    let to = |p: usize, tap: usize, axis: usize| {
                        let place = (p * stride[axis] + tap * dilation[axis]).checked_sub(pad[axis])?;
                        (place < output[2 + axis]).then_some(place)
                    };
                    let (Some(row), Some(column)) = (to(row, i, 0), to(column, j, 1)) else { continue };
                    let weight = call.params[0][at(&[0, outputs, kernel[0], kernel[1]], &[c, o, i, j])];
                    value[at(&output, &[b, c / own * outputs + o, row, column])] += weight * *x;
                }
            }
        }
    }
    value
}

/// The elements of the map that a pool's window meets.
fn window(call: &Call<'_>, b: usize, c: usize, p: [usize; 2]) -> Vec<Double> {
    let kernel = whole(call, "kernel");
    let (stride, pad) = (call.pair("stride").unwrap_or(kernel), whole(call, "pad"));
    let input = batched(call.batch, call.shapes[0]);
    let mut met = Vec::new();
    for i in 0..kernel[0] {
        for j in 0..kernel[1] {
            let row = meets(p[0], stride[0], i, 1, pad[0], input[2]);
            let column = meets(p[1], stride[1], j, 1, pad[1], input[3]);
            let (Some(row), Some(column)) = (row, column) else { continue };
            met.push(call.x()[at(&input, &[b, c, row, column])]);
        }
    }
    met
}

/// Padding is never the largest.
pub(super) fn max_pool(call: &Call<'_>) -> Vec<Double> {
    positions(call, |b, c, p| window(call, b, c, p).into_iter().fold(real(f64::NEG_INFINITY), larger))
}

/// Padding counts as zeros, as in PyTorch.
pub(super) fn avg_pool(call: &Call<'_>) -> Vec<Double> {
    let [height, width] = whole(call, "kernel");
    positions(call, |b, c, p| sum(window(call, b, c, p)) / super::call::count(height * width))
}

pub(super) fn global_avg_pool(call: &Call<'_>) -> Vec<Double> {
    let positions: usize = call.shapes[0][1..].iter().product();
    call.x().chunks(positions).map(super::call::mean).collect()
}

/// The nearest element, or between the two nearest centres along each axis.
pub(super) fn upsample(call: &Call<'_>) -> Vec<Double> {
    let scale = whole(call, "scale");
    let input = batched(call.batch, call.shapes[0]);
    if call.is("mode", "nearest") {
        return positions(call, |b, c, p| call.x()[at(&input, &[b, c, p[0] / scale[0], p[1] / scale[1]])]);
    }
    // The elements before and behind (q + 1/2)/scale - 1/2, and the share of the second.
    let between = |q: usize, axis: usize| {
        let (length, scale) = (input[2 + axis], scale[axis]);
        let place = (super::call::count(2 * q + 1) / super::call::count(2 * scale) - real(0.5)).primal();
        let place = place.max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let first = place.floor() as usize;
        let share =
            larger((super::call::count(2 * q + 1) / super::call::count(2 * scale)) - real(0.5), real(0.0));
        [
            (first, real(1.0) - (share - super::call::count(first))),
            ((first + 1).min(length - 1), share - super::call::count(first)),
        ]
    };
    positions(call, |b, c, p| {
        let mut total = real(0.0);
        for (row, by_row) in between(p[0], 0) {
            for (column, by_column) in between(p[1], 1) {
                total += by_row * by_column * call.x()[at(&input, &[b, c, row, column])];
            }
        }
        total
    })
}
