//! What moves elements and does not change them.

use super::call::{Call, at, batched, indices, place_of};
use crate::scalar::{Double, Scalar};

/// Row-major order knows no axes.
pub(super) fn same(call: &Call<'_>) -> Vec<Double> {
    call.x().to_vec()
}

/// Where every element of the result comes from.
fn from(call: &Call<'_>, place: impl Fn(&[usize]) -> Double) -> Vec<Double> {
    indices(&batched(call.batch, call.shape)).iter().map(|index| place(index)).collect()
}

pub(super) fn concat(call: &Call<'_>) -> Vec<Double> {
    let axis = place_of(call.list("axis")[0], call.shape) + 1;
    from(call, |index| {
        let mut index = index.to_vec();
        for (input, sample) in call.inputs.iter().zip(&call.shapes) {
            let sizes = batched(call.batch, sample);
            if index[axis] < sizes[axis] {
                return input[at(&sizes, &index)];
            }
            index[axis] -= sizes[axis];
        }
        unreachable!("internal: the parts make up the whole")
    })
}

/// The row of the table that a token numbers.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens are small whole numbers")]
pub(super) fn embedding(call: &Call<'_>) -> Vec<Double> {
    let (tokens, sizes) =
        (batched(call.batch, call.shapes[0]), call.list("vocab").into_iter().chain(call.list("dim")));
    let sizes: Vec<usize> = sizes.filter_map(|n| usize::try_from(n).ok()).collect();
    from(call, |index| match index.split_last() {
        Some((feature, place)) => {
            let token = call.x()[at(&tokens, place)].primal() as usize;
            call.params[0][at(&sizes, &[token, *feature])]
        }
        None => unreachable!("internal: a token is a vector"),
    })
}

pub(super) fn class_token(call: &Call<'_>) -> Vec<Double> {
    let sizes = batched(call.batch, call.shapes[0]);
    from(call, |index| match index[1] {
        0 => call.params[0][index[2]],
        t => call.x()[at(&sizes, &[index[0], t - 1, index[2]])],
    })
}

pub(super) fn position_embedding(call: &Call<'_>) -> Vec<Double> {
    let sizes = batched(call.batch, call.shape);
    from(call, |index| call.x()[at(&sizes, index)] + call.params[0][at(call.shape, &index[1..])])
}

pub(super) fn slice(call: &Call<'_>) -> Vec<Double> {
    let axis = place_of(call.list("axis")[0], call.shape) + 1;
    let sizes = batched(call.batch, call.shapes[0]);
    let start = call.list("start")[0];
    let length = i64::try_from(sizes[axis]).unwrap_or(i64::MAX);
    let start = usize::try_from(if start < 0 { start + length } else { start }).unwrap_or(0);
    from(call, |index| {
        let mut index = index.to_vec();
        index[axis] += start;
        call.x()[at(&sizes, &index)]
    })
}

pub(super) fn transpose(call: &Call<'_>) -> Vec<Double> {
    let sizes = batched(call.batch, call.shapes[0]);
    let axes: Vec<usize> = call.list("axes").into_iter().map(|axis| place_of(axis, call.shape) + 1).collect();
    from(call, |index| {
        let mut was = index.to_vec();
        for (to, axis) in axes.iter().enumerate() {
            was[*axis] = index[to + 1];
        }
        call.x()[at(&sizes, &was)]
    })
}
