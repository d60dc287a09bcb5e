//! Real matrix products.
//!
//! Contract: row-major matrices, each operand optionally transposed; the result does not depend on the number of
//! threads, because none are used here: the program splits work over specs and perturbations instead.

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

/// Below this many multiplications a plain loop beats packing.
const SMALL: usize = 512;

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
    if m * n * k <= SMALL || (m <= 4 && !a_transposed) {
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

/// Row loops for products with few rows, where packing costs more than it saves.
fn loops(product: Product, a: &[f64], b: &[f64], c: &mut [f64]) {
    let Product { m, n, k, a_transposed, b_transposed, accumulate } = product;
    if !accumulate {
        c.fill(0.0);
    }
    let a_at = |i: usize, p: usize| if a_transposed { a[p * m + i] } else { a[i * k + p] };
    for (i, row) in c.chunks_exact_mut(n.max(1)).enumerate() {
        if b_transposed {
            for (j, out) in row.iter_mut().enumerate() {
                let column = &b[j * k..(j + 1) * k];
                *out += column.iter().enumerate().map(|(p, &b)| a_at(i, p) * b).sum::<f64>();
            }
        } else {
            for p in 0..k {
                let factor = a_at(i, p);
                for (out, &b) in row.iter_mut().zip(&b[p * n..(p + 1) * n]) {
                    *out += factor * b;
                }
            }
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
