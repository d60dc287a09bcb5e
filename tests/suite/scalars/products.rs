//! The fast matrix product against the plain loops, around every size at which its kernels change.

use wellposed::scalar::Double;
use wellposed::tensor::gemm::{plain, real};
use wellposed::tensor::{Draws, Product, View, ViewMut, stream};

/// All small sizes, and each power of two up to 128 with its neighbours: the kernels' tiles have 4, 8 or 16 rows or columns, and the
/// switches between kernels lie among these.
fn sizes() -> Vec<usize> {
    (1..=17).chain([31, 32, 33, 63, 64, 65, 127, 128, 129]).collect()
}

struct Matrices {
    a: Vec<f64>,
    b: Vec<f64>,
    c: Vec<f64>,
}

/// Room for the largest product, in -1..1.
fn matrices(most: usize) -> Matrices {
    let draw = |name: &str| {
        let draws = Draws { seed: 1, stream: stream(name) }.uniform();
        draws.take(most).map(|u| 2.0 * u - 1.0).collect()
    };
    Matrices { a: draw("a"), b: draw("b"), c: draw("c") }
}

fn combination(m: usize, k: usize, n: usize, bits: usize) -> Product {
    let on = |bit: usize| bits >> bit & 1 == 1;
    Product { m, n, k, a_transposed: on(0), b_transposed: on(1), accumulate: on(2) }
}

/// An element is a sum of k products (and what stood there), so either way of summing errs by at most k + 1 half units of 2^-52 of
/// the sum of magnitudes (Higham 2002, section 3.1, for any order), and the two differ by at most twice that. A result that is not
/// to be added to starts as NaN, which must not survive.
fn check(product: Product, Matrices { a, b, c }: &Matrices) {
    let Product { m, n, k, accumulate, .. } = product;
    let (a, b) = (&a[..m * k], &b[..k * n]);
    let start: Vec<f64> = c[..m * n].iter().map(|x| if accumulate { *x } else { f64::NAN }).collect();
    let mut fast = start.clone();
    real(product, a, b, &mut fast);
    let reference = |a: &[f64], b: &[f64], mut c: Vec<f64>| {
        plain::<f64>(product, View::new(a), View::new(b), &mut ViewMut::new(&mut c));
        c
    };
    let size = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<f64>>();
    let want = reference(a, b, start.clone());
    let magnitude = reference(&size(a), &size(b), size(&start));
    #[expect(clippy::cast_precision_loss, reason = "a length")]
    let slack = (k as f64 + 1.0) * f64::EPSILON;
    for i in 0..m * n {
        let within = (fast[i] - want[i]).abs() <= slack * magnitude[i];
        assert!(within, "{product:?}, element {i}: {:e} against {:e}", fast[i], want[i]);
    }
}

/// Every layout of the small sizes; of the large ones one in eight, in turn along each of the three dimensions.
#[test]
fn fast_products_are_the_plain_ones_around_every_tile() {
    let matrices = matrices(129 * 129);
    let sizes = sizes();
    for (x, &m) in sizes.iter().enumerate() {
        for (y, &k) in sizes.iter().enumerate() {
            for (z, &n) in sizes.iter().enumerate() {
                if m.max(n).max(k) <= 17 {
                    (0..8).for_each(|bits| check(combination(m, k, n, bits), &matrices));
                } else {
                    // Odd factors reach every remainder.
                    check(combination(m, k, n, (7 * x + 3 * y + z) % 8), &matrices);
                }
            }
        }
    }
}

/// Longer than the blocks into which the kernels cut sums, rows and columns.
#[test]
fn fast_products_are_the_plain_ones_beyond_every_block() {
    let matrices = matrices(1100 * 130);
    for (m, k, n) in
        [(1, 1100, 130), (3, 1025, 5), (130, 513, 4), (9, 1100, 9), (520, 9, 5), (5, 9, 1100), (70, 300, 33)]
    {
        (0..8).for_each(|bits| check(combination(m, k, n, bits), &matrices));
    }
}

/// No rows, no columns, or sums of nothing, which are 0.
#[test]
fn empty_products_are_zero() {
    for bits in 0..8 {
        for (m, k, n) in [(0, 3, 2), (2, 3, 0), (3, 0, 2), (40, 0, 40)] {
            let product = combination(m, k, n, bits);
            let mut c = vec![7.0; m * n];
            real(product, &vec![1.0; m * k], &vec![1.0; k * n], &mut c);
            assert!(c.iter().all(|&x| x == if product.accumulate { 7.0 } else { 0.0 }), "{product:?}");
        }
    }
}

/// A sum that `f64` loses: 1e16 + 1 - 1e16 along k, and the plain loops on double-doubles keep it.
#[test]
fn double_double_products_keep_what_cancels() {
    let lift = |x: &[f64]| [x, &vec![0.0; x.len()]].concat();
    let (a, b) = (lift(&[1e16, 1.0, -1e16]), lift(&[1.0, 1.0, 1.0]));
    let mut c = vec![0.0; 2];
    plain::<Double>(Product::new(1, 3, 1), View::new(&a), View::new(&b), &mut ViewMut::new(&mut c));
    assert_eq!(c, [1.0, 0.0]);
    let mut lost = vec![0.0; 1];
    plain::<f64>(Product::new(1, 3, 1), View::new(&a[..3]), View::new(&b[..3]), &mut ViewMut::new(&mut lost));
    assert_eq!(lost, [0.0]);
}
