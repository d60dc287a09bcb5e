//! Sums over features and positions: products, softmax, attention.

use super::call::{Call, at, batched, count, indices, larger, place_of, real, sum};
use crate::scalar::{Double, Scalar};

/// `y[o] = sum_i w[o, i] x[i] + b[o]` over the last axis.
pub(super) fn linear(call: &Call<'_>) -> Vec<Double> {
    let (features, outputs) = (last(call.shapes[0]), last(call.shape));
    let of = |row: &[Double], o: usize| {
        let bias = call.params.get(1).map_or(real(0.0), |bias| bias[o]);
        sum((0..features).map(|i| call.params[0][o * features + i] * row[i])) + bias
    };
    call.x().chunks(features).flat_map(|row| (0..outputs).map(move |o| of(row, o))).collect()
}

/// The length of the last axis.
fn last(sizes: &[usize]) -> usize {
    sizes[sizes.len() - 1]
}

/// The shares of some numbers in the sum of their exponentials, relative to the largest.
fn shares(of: &[Double]) -> Vec<Double> {
    let top = of.iter().copied().fold(real(f64::NEG_INFINITY), larger);
    let powers: Vec<Double> = of.iter().map(|x| (*x - top).exp()).collect();
    let total = sum(powers.iter().copied());
    powers.iter().map(|x| *x / total).collect()
}

/// x - ln sum e^x.
pub(super) fn log_shares(of: &[Double]) -> Vec<Double> {
    let top = of.iter().copied().fold(real(f64::NEG_INFINITY), larger);
    let total = sum(of.iter().map(|x| (*x - top).exp())).ln();
    of.iter().map(|x| *x - top - total).collect()
}

/// A function of the elements along an axis.
fn along(call: &Call<'_>, f: impl Fn(&[Double]) -> Vec<Double>) -> Vec<Double> {
    let axis = place_of(call.list("axis")[0], call.shape) + 1;
    let sizes = batched(call.batch, call.shape);
    let one = |index: Vec<usize>| {
        let line = |i: usize| {
            let mut index = index.clone();
            index[axis] = i;
            call.x()[at(&sizes, &index)]
        };
        f(&(0..sizes[axis]).map(line).collect::<Vec<_>>())[index[axis]]
    };
    indices(&sizes).into_iter().map(one).collect()
}

pub(super) fn softmax(call: &Call<'_>) -> Vec<Double> {
    along(call, shares)
}

pub(super) fn log_softmax(call: &Call<'_>) -> Vec<Double> {
    along(call, log_shares)
}

/// `c[m, n] = sum_k a[m, k] b[k, n]`, for every index of the axes before.
pub(super) fn matmul(call: &Call<'_>) -> Vec<Double> {
    let [turned_a, turned_b] = ["transpose_a", "transpose_b"].map(|name| call.is(name, "true"));
    let [of_a, of_b] = [0, 1].map(|i| batched(call.batch, call.shapes[i]));
    let sizes = batched(call.batch, call.shape);
    let rank = sizes.len();
    let terms = if turned_a { of_a[rank - 2] } else { of_a[rank - 1] };
    let one = |index: Vec<usize>| {
        let (outer, m, n) = (&index[..rank - 2], index[rank - 2], index[rank - 1]);
        let element = |of: usize, sizes: &[usize], turned: bool, i: usize, j: usize| {
            let place = if turned { [j, i] } else { [i, j] };
            call.inputs[of][at(sizes, &[outer, &place].concat())]
        };
        sum((0..terms).map(|k| element(0, &of_a, turned_a, m, k) * element(1, &of_b, turned_b, k, n)))
    };
    indices(&sizes).into_iter().map(one).collect()
}

/// For each query of each head the mean of the values, weighed with the shares of its scaled products with the keys (Vaswani et al. 2017).
pub(super) fn attention(call: &Call<'_>) -> Vec<Double> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    let heads = call.number("heads") as usize;
    let features = call.shape[1];
    let own = features / heads;
    let scale = call.given("scale").map_or_else(|| real(1.0) / count(own).sqrt(), real);
    let [of_q, of_k] = [0, 1].map(|i| batched(call.batch, call.shapes[i]));
    let mut value = vec![real(0.0); call.x().len()];
    for b in 0..call.batch {
        for head in 0..heads {
            let features = head * own..(head + 1) * own;
            for query in 0..of_q[1] {
                let seen = if call.is("causal", "true") { query + 1 } else { of_k[1] };
                let score = |key: usize| {
                    let products = features.clone().map(|f| {
                        call.inputs[0][at(&of_q, &[b, query, f])] * call.inputs[1][at(&of_k, &[b, key, f])]
                    });
                    sum(products) * scale
                };
                let shares = shares(&(0..seen).map(score).collect::<Vec<_>>());
                for f in features.clone() {
                    let parts = shares.iter().enumerate();
                    value[at(&of_q, &[b, query, f])] =
                        sum(parts.map(|(key, share)| *share * call.inputs[2][at(&of_k, &[b, key, f])]));
                }
            }
        }
    }
    value
}
