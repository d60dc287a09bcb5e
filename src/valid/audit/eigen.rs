//! Eigenvalues of symmetric matrices by Jacobi's rotations.
//!
//! Contract: cyclic sweeps until every off-diagonal element is below the rounding of the largest element; the eigenvalues are then within
//! n * eps of the largest (Golub and Van Loan, "Matrix computations", section 8.5). Cost about 10 n^3; meant for n up to a few hundred.

/// Eigenvalues in ascending order, each with its vector.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// The eigenvalues.
    pub values: Vec<f64>,
    /// The vectors in the same order.
    pub vectors: Vec<Vec<f64>>,
}

/// Sweeps after which the iteration stops; convergence is quadratic, and 6 to 10 are usual.
const SWEEPS: usize = 60;

/// The spectrum of a symmetric matrix, given by rows.
#[must_use]
pub fn spectrum(mut a: Vec<Vec<f64>>) -> Spectrum {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let largest = a.iter().flatten().fold(0.0f64, |most, x| most.max(x.abs()));
    let negligible = f64::EPSILON * largest / 8.0;
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q].abs() > negligible {
                    rotate(&mut a, &mut vectors, p, q);
                    rotated = true;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[i][i].total_cmp(&a[j][j]));
    let values = order.iter().map(|&i| a[i][i]).collect();
    Spectrum { values, vectors: order.into_iter().map(|i| std::mem::take(&mut vectors[i])).collect() }
}

/// Makes `a[p][q]` zero by the rotation of the smaller angle. `vectors` holds an eigenvector in each row.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let t = if theta == 0.0 { 1.0 } else { t };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    let turn = |x: &mut f64, y: &mut f64| {
        let (old_x, old_y) = (*x, *y);
        *x = c * old_x - s * old_y;
        *y = s * old_x + c * old_y;
    };
    // Rows first, then columns; the matrix stays symmetric up to rounding.
    let (front, back) = a.split_at_mut(q);
    front[p].iter_mut().zip(&mut back[0]).for_each(|(x, y)| turn(x, y));
    for row in a.iter_mut() {
        let (mut x, mut y) = (row[p], row[q]);
        turn(&mut x, &mut y);
        (row[p], row[q]) = (x, y);
    }
    a[p][q] = 0.0;
    a[q][p] = 0.0;
    let (front, back) = vectors.split_at_mut(q);
    front[p].iter_mut().zip(&mut back[0]).for_each(|(x, y)| turn(x, y));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second-difference matrix has the eigenvalues 2 - 2 cos(k pi / (n + 1)).
    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small indices")]
    fn the_spectrum_of_second_differences_is_known() {
        let n = 40;
        let entry = |i: usize, j: usize| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        };
        let matrix: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
        let found = spectrum(matrix.clone());
        for (k, value) in found.values.iter().enumerate() {
            let exact = 2.0 - 2.0 * ((k + 1) as f64 * std::f64::consts::PI / (n + 1) as f64).cos();
            assert!((value - exact).abs() <= 4.0 * n as f64 * f64::EPSILON, "{k}: {value} {exact}");
        }
        for (value, vector) in found.values.iter().zip(&found.vectors) {
            let length: f64 = vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-13, "{length}");
            for (row, x) in matrix.iter().zip(vector) {
                let image: f64 = row.iter().zip(vector).map(|(a, y)| a * y).sum();
                assert!((image - value * x).abs() < 1e-12, "{image} {value} {x}");
            }
        }
    }

    #[test]
    fn a_singular_matrix_has_a_zero() {
        let found = spectrum(vec![vec![1.0, 2.0], vec![2.0, 4.0]]);
        assert!(found.values[0].abs() < 1e-15 && (found.values[1] - 5.0).abs() < 1e-14, "{:?}", found.values);
        assert_eq!(spectrum(Vec::new()).values, [0.0; 0]);
    }
}
