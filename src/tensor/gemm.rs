//! Real matrix products.
//!
//! Contract: row-major matrices, each operand optionally transposed; the result does not depend on the number of
//! threads, because none are used here: the program splits work over specs and perturbations instead.

use super::{View, ViewMut};
use crate::scalar::Scalar;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, linalg::general_mat_mul};

/// The shape of `c[m,n] = op(a)[m,k] op(b)[k,n]`.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// `a` is stored as `[k, m]`.
    pub a_transposed: bool,
    /// `b` is stored as `[n, k]`.
    pub b_transposed: bool,
    /// The product is added to what `c` holds.
    pub accumulate: bool,
}

impl Product {
    /// A plain product that overwrites `c`.
    #[must_use]
    pub const fn new(m: usize, k: usize, n: usize) -> Self {
        Self { m, n, k, a_transposed: false, b_transposed: false, accumulate: false }
    }

    /// With `a` stored as `[k, m]`.
    #[must_use]
    pub const fn a_transposed(self) -> Self {
        Self { a_transposed: true, ..self }
    }

    /// With `b` stored as `[n, k]`.
    #[must_use]
    pub const fn b_transposed(self) -> Self {
        Self { b_transposed: true, ..self }
    }

    /// Adding to `c`.
    #[must_use]
    pub const fn accumulating(self) -> Self {
        Self { accumulate: true, ..self }
    }
}

/// Up to this many multiplications loops beat packing.
const SMALL: usize = 512;
/// Up to this many rows, each of them a contiguous slice, loops beat packing: half of a tile would stay empty.
const FEW: usize = 2;

/// `c = op(a) op(b)`, or `c += op(a) op(b)`.
///
/// # Panics
/// If a slice does not have the length that `product` says.
pub fn real(product: Product, a: &[f64], b: &[f64], c: &mut [f64]) {
    let Product { m, n, k, a_transposed, b_transposed, accumulate } = product;
    assert!(
        a.len() == m * k && b.len() == k * n && c.len() == m * n,
        "internal: a product of {m}x{k} and {k}x{n} got {}, {} and {} elements",
        a.len(),
        b.len(),
        c.len()
    );
    if n == 1 && m > 1 {
        // A column of results lies as a row does: c^T = b^T a^T, where b^T is a vector in either layout.
        let turned = Product { m: 1, n: m, a_transposed: false, b_transposed: !a_transposed, ..product };
        return loops(turned, b, a, c);
    }
    if m * n * k <= SMALL || (m <= FEW && !a_transposed) || m == 1 {
        return loops(product, a, b, c);
    }
    let view = |data, rows: usize, columns: usize, transposed: bool| {
        let strides = if transposed { (1, rows) } else { (columns, 1) };
        ArrayView2::from_shape((rows, columns).strides(strides), data)
    };
    let target = ArrayViewMut2::from_shape((m, n), c);
    match (view(a, m, k, a_transposed), view(b, k, n, b_transposed), target) {
        (Ok(a), Ok(b), Ok(mut c)) => general_mat_mul(1.0, &a, &b, if accumulate { 1.0 } else { 0.0 }, &mut c),
        _ => unreachable!("internal: lengths were checked above"),
    }
}

/// Loops over rows of the result: sums of products where `b` is transposed, sums of rows of `b` where it is not.
fn loops(product: Product, a: &[f64], b: &[f64], c: &mut [f64]) {
    let Product { m, n, k, a_transposed, b_transposed, accumulate } = product;
    if !accumulate {
        c.fill(0.0);
    }
    let a_at = |i: usize, p: usize| if a_transposed { a[p * m + i] } else { a[i * k + p] };
    let contiguous = !a_transposed || m == 1;
    for (i, row) in c.chunks_exact_mut(n.max(1)).enumerate() {
        match (b_transposed, contiguous) {
            (true, true) => {
                let left = &a[i * k..(i + 1) * k];
                let whole = n / 4 * 4;
                for j in (0..whole).step_by(4) {
                    let sums = dots(left, [0, 1, 2, 3].map(|q| &b[(j + q) * k..(j + q + 1) * k]));
                    row[j..j + 4].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                }
                for j in whole..n {
                    let [sum] = dots(left, [&b[j * k..(j + 1) * k]]);
                    row[j] += sum;
                }
            }
            (true, false) => {
                for (j, out) in row.iter_mut().enumerate() {
                    let column = &b[j * k..(j + 1) * k];
                    *out += column.iter().enumerate().map(|(p, &b)| a_at(i, p) * b).sum::<f64>();
                }
            }
            (false, _) => add_rows(k, n, |p| a_at(i, p), b, row),
        }
    }
}

/// The sums of products of `x` with some vectors, each by four partial sums that do not wait for each other. A sum is the same
/// number whatever the other vectors are.
fn dots<const N: usize>(x: &[f64], ys: [&[f64]; N]) -> [f64; N] {
    const LANES: usize = 4;
    let (whole, rest) = x.as_chunks::<LANES>();
    // Slices of one length, so that the loop checks no bounds.
    let ys = ys.map(|y| y.as_chunks::<LANES>()).map(|(y, rest)| (&y[..whole.len()], rest));
    let mut sums = [[0.0; LANES]; N];
    for (at, left) in whole.iter().enumerate() {
        for (sums, (y, _)) in sums.iter_mut().zip(&ys) {
            let right = &y[at];
            for lane in 0..LANES {
                sums[lane] += left[lane] * right[lane];
            }
        }
    }
    std::array::from_fn(|i| {
        let rest: f64 = rest.iter().zip(ys[i].1).map(|(x, y)| x * y).sum();
        let [a, b, c, d] = sums[i];
        (a + c) + (b + d) + rest
    })
}

/// Adds to `out` the k rows of `b`, each times its factor: four at a time, so that `out` is read and written a quarter as often.
fn add_rows(k: usize, n: usize, factor: impl Fn(usize) -> f64, b: &[f64], out: &mut [f64]) {
    let row = |p: usize| &b[p * n..(p + 1) * n];
    let whole = k / 4 * 4;
    for p in (0..whole).step_by(4) {
        let [s, t, u, v] = [factor(p), factor(p + 1), factor(p + 2), factor(p + 3)];
        let rows = row(p).iter().zip(row(p + 1)).zip(row(p + 2)).zip(row(p + 3));
        for (out, (((a, b), c), d)) in out.iter_mut().zip(rows) {
            *out += (s * a + t * b) + (u * c + v * d);
        }
    }
    for p in whole..k {
        let s = factor(p);
        for (out, a) in out.iter_mut().zip(row(p)) {
            *out += s * a;
        }
    }
}

/// The same for scalars of any kind, term by term as the definition says; the measure of the fast kernels.
pub fn plain<S: Scalar>(product: Product, a: View<'_, S>, b: View<'_, S>, c: &mut ViewMut<'_, S>) {
    let Product { m, n, k, a_transposed, b_transposed, accumulate } = product;
    for i in 0..m {
        for j in 0..n {
            let mut sum = if accumulate { c.at(i * n + j) } else { S::constant(0.0) };
            for p in 0..k {
                let left = a.at(if a_transposed { p * m + i } else { i * k + p });
                let right = b.at(if b_transposed { j * k + p } else { p * n + j });
                sum += left * right;
            }
            c.set(i * n + j, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every layout and every size around the switch between the two kernels against the definition. The sums have at
    /// most 40 terms of magnitude below 1, so each result is within 40 * 2^-53 * 40 < 2e-13 of the exact one.
    #[test]
    fn both_kernels_agree_with_the_definition() {
        for (m, k, n) in
            [(1, 1, 1), (3, 7, 5), (4, 40, 9), (5, 40, 9), (17, 8, 33), (1, 40, 3), (8, 8, 8), (9, 8, 8)]
        {
            for (at, bt, accumulate) in
                [(false, false, false), (true, false, true), (false, true, false), (true, true, true)]
            {
                #[expect(clippy::cast_precision_loss, reason = "the numbers are below 101")]
                let value = |i: usize| ((i * 37 % 101) as f64 / 101.0) - 0.5;
                let a: Vec<f64> = (0..m * k).map(value).collect();
                let b: Vec<f64> = (0..k * n).map(|i| value(i + 13)).collect();
                let mut c: Vec<f64> = (0..m * n).map(|i| value(i + 7)).collect();
                let before = c.clone();
                let product = Product { m, n, k, a_transposed: at, b_transposed: bt, accumulate };
                real(product, &a, &b, &mut c);
                for i in 0..m {
                    for j in 0..n {
                        let sum: f64 = (0..k)
                            .map(|p| {
                                let a = if at { a[p * m + i] } else { a[i * k + p] };
                                let b = if bt { b[j * k + p] } else { b[p * n + j] };
                                a * b
                            })
                            .sum();
                        let want = sum + if accumulate { before[i * n + j] } else { 0.0 };
                        assert!((c[i * n + j] - want).abs() < 2e-13, "{product:?}");
                    }
                }
            }
        }
    }
}
