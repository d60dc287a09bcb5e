//! Moments of the shares that a softmax deals to many Gaussian inputs: how few of them it takes.
//!
//! Contract: of n inputs z ~ N(0, v), independent, the shares are a_i = e^(z_i) / sum_j e^(z_j). The participation ratio
//! E sum a^2 is 1/n where all are alike (v = 0), about e^v / n for moderate v, and 1 where one takes all. With
//! S = sum e^z, 1/S^p = int t^(p-1) e^(-tS) dt / (p-1)!, under which expectations factorise over the inputs; with t = e^u,
//! phi(u) = E e^(-e^(z+u)) and psi_p(u) = E e^(p(z+u)) e^(-e^(z+u)),
//!
//! ```text
//! E sum a^p           = n / (p-1)!  int psi_p phi^(n-1) du
//! E sum_i/=j a_i^2 a_j^2 = n (n-1) / 3!  int psi_2^2 phi^(n-2) du
//! ```
//!
//! Both integrals are trapezoidal sums, whose error is the Fourier transform of the integrand at 2 pi / step: for powers up to 4 at most
//! 2 |Gamma(4 + 2 pi i / step)| / 3!, which is 6e-8 at a step of 3/8; a step of 3/4 of a standard deviation under the Gaussian leaves
//! e^(-2 pi^2 16/9) = 6e-16. phi and psi do not depend on n, so the average over n = 1, 2, ..., N, which rows of causal attention have, costs no more than one n. From a standard deviation of
//! [`WIDEST`] on, the lead of the largest input grows like that deviation, and what the others have falls like its inverse.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::f64::consts::PI;

/// Over how many inputs each softmax runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// So many.
    Of(usize),
    /// 1, 2, 3, ... up to so many, one row each: what is said is the average over the rows.
    UpTo(usize),
}

/// Expected sums of powers of the shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// E sum a^2, the participation ratio.
    pub square: f64,
    /// E sum a^3.
    pub cube: f64,
    /// E (sum a^2)^2.
    pub square_square: f64,
}

/// The standard deviation behind which the asymptotic law takes over.
const WIDEST: f64 = 20.0;
/// The step in u, and the largest one in z.
const STEP: f64 = 0.375;

impl Shares {
    /// The shares of Gaussian inputs with this variance.
    #[must_use]
    pub fn of(rows: Rows, variance: f64) -> Self {
        thread_local! {
            /// The last few answers: the layers of a net ask for few, and each of them again and again.
            static KNOWN: RefCell<VecDeque<(Rows, u64, Shares)>> = const { RefCell::new(VecDeque::new()) };
        }
        let variance = if variance.is_finite() { variance.max(0.0) } else { f64::MAX };
        KNOWN.with_borrow_mut(|known| {
            let same = |(r, v, _): &&(Rows, u64, Self)| *r == rows && *v == variance.to_bits();
            if let Some((.., shares)) = known.iter().find(same) {
                return *shares;
            }
            let shares = Self::compute(rows, variance);
            known.truncate(31);
            known.push_front((rows, variance.to_bits(), shares));
            shares
        })
    }

    fn compute(rows: Rows, variance: f64) -> Self {
        let width = variance.sqrt();
        if width > WIDEST {
            let edge = Self::compute(rows, WIDEST * WIDEST);
            let ahead = |x: f64| 1.0 - (1.0 - x) * WIDEST / width;
            return Self {
                square: ahead(edge.square),
                cube: ahead(edge.cube),
                square_square: ahead(edge.square_square),
            };
        }
        let n = match rows {
            Rows::Of(n) | Rows::UpTo(n) => count(n),
        };
        let inputs = nodes(width);
        let (low, high) = (-8.0 * width - n.ln() - 12.0, 8.0 * width + 4.0);
        let mut sums = [0.0; 4];
        let mut u = low;
        while u < high {
            let mut phi = 0.0;
            let mut psi = [0.0; 3];
            for (z, weight) in &inputs {
                let e = (z + u).exp();
                let gone = weight * (-e).exp();
                phi += gone;
                let mut power = gone * e;
                for psi in &mut psi {
                    power *= e;
                    *psi += power;
                }
            }
            let [one, two] = match rows {
                Rows::Of(_) => [n * phi.powf(n - 1.0), n * (n - 1.0) * phi.powf((n - 2.0).max(0.0))],
                Rows::UpTo(most) => [first(phi, most) / n, second(phi, most) / n],
            };
            for (sum, psi) in sums.iter_mut().zip(psi) {
                *sum += psi * one;
            }
            sums[3] += psi[0] * psi[0] * two;
            u += STEP;
        }
        let [square, cube, fourth, pairs] = sums.map(|sum| sum * STEP);
        // The least that n shares, or their average over rows, can have.
        let least = match rows {
            Rows::Of(_) => 1.0 / n,
            Rows::UpTo(most) => harmonic(most) / n,
        };
        let square = square.clamp(least, 1.0);
        Self {
            square,
            cube: (cube / 2.0).clamp(0.0, square),
            square_square: ((fourth + pairs) / 6.0).clamp(square * square, square),
        }
    }

    /// E sum_i a_i^2 (w_i - sum_j a_j w_j)^2 for independent w of unit variance: how much of a gradient by the shares passes back to
    /// the inputs of the softmax.
    #[must_use]
    pub fn slope(&self) -> f64 {
        // E sum a^2 - 2 a^3 + (sum a^2) a^2, which one share that has all makes 0 up to rounding.
        (self.square - 2.0 * self.cube + self.square_square).max(f64::EPSILON)
    }

    /// The relative variance of [`slope`](Self::slope) between rows. Where one share has nearly all, only rows whose two largest inputs
    /// nearly agree have a slope; it is 2 a^2 (1 - a)^2, at most 1/8, so that its mean square is at most 1/8 of its mean. Where
    /// many share, it hardly varies: the square of the participation ratio leads from one to the other.
    #[must_use]
    pub fn slope_scatter(&self) -> f64 {
        self.square * self.square / (8.0 * self.slope())
    }

    /// (1 - E sum a^2)^2: by Stein's identity E sum a z = v (1 - E sum a^2), and likewise what shares make of other Gaussians.
    #[must_use]
    pub fn rest(&self) -> f64 {
        (1.0 - self.square).powi(2)
    }
}

/// Places and weights under N(0, width^2).
fn nodes(width: f64) -> Vec<(f64, f64)> {
    if width < 1e-9 {
        return vec![(0.0, 1.0)];
    }
    let step = (0.75 * width).min(STEP);
    let mut out = Vec::new();
    let mut z = -8.0 * width;
    while z <= 8.0 * width {
        out.push((z, step * (-0.5 * (z / width).powi(2)).exp() / (width * (2.0 * PI).sqrt())));
        z += step;
    }
    out
}

/// sum over m < n of x^m, m x^m and m^2 x^m, by doubling: every term is positive, so no digits cancel.
fn powers(x: f64, n: usize) -> [f64; 3] {
    let [mut a, mut b, mut c] = [0.0; 3];
    let (mut done, mut power) = (0usize, 1.0f64);
    for bit in (0..usize::BITS - n.leading_zeros()).rev() {
        let m = count(done);
        c += power * (c + 2.0 * m * b + m * m * a);
        b += power * (b + m * a);
        a += power * a;
        power *= power;
        done *= 2;
        if n >> bit & 1 == 1 {
            let m = count(done);
            a += power;
            b += m * power;
            c += m * m * power;
            power *= x;
            done += 1;
        }
    }
    [a, b, c]
}

/// sum over k = 1..=n of k x^(k-1).
fn first(x: f64, n: usize) -> f64 {
    let [a, b, _] = powers(x, n);
    a + b
}

/// sum over k = 2..=n of k (k-1) x^(k-2).
fn second(x: f64, n: usize) -> f64 {
    let [a, b, c] = powers(x, n.saturating_sub(1));
    c + 3.0 * b + 2.0 * a
}

/// 1 + 1/2 + ... + 1/n, by the Euler-Maclaurin formula for large n, whose error is below 1/(120 n^4).
#[must_use]
pub fn harmonic(n: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    if n <= 100 {
        return (1..=n).map(|k| 1.0 / count(k)).sum();
    }
    let n = count(n);
    n.ln() + EULER + 0.5 / n - 1.0 / (12.0 * n * n)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::Gaussian;

    /// Equal inputs share equally; one input takes all; two inputs have E sum a^2 = E (1 + tanh^2(d/2))/2 for their difference
    /// d, which has variance 2v.
    #[test]
    fn closed_forms() {
        for n in [1usize, 2, 10, 1000] {
            let even = Shares::of(Rows::Of(n), 0.0);
            let n = count(n);
            for (found, want) in
                [(even.square, 1.0 / n), (even.cube, 1.0 / (n * n)), (even.square_square, 1.0 / (n * n))]
            {
                assert!((found / want - 1.0).abs() < 1e-7, "n = {n}: {found} against {want}");
            }
        }
        for variance in [1e-4, 0.01, 0.3, 1.0, 7.0, 30.0, 300.0] {
            assert!((Shares::of(Rows::Of(1), variance).square - 1.0).abs() < 1e-7);
            let difference = Gaussian { mean: 0.0, variance: 2.0 * variance, decorrelation: 1.0 };
            let want = 0.5 + 0.5 * difference.square(&|d| (0.5 * d).tanh(), &[-32.0, -16.0, 16.0, 32.0]);
            let found = Shares::of(Rows::Of(2), variance).square;
            assert!((found / want - 1.0).abs() < 1e-7, "v = {variance}: {found} against {want}");
        }
    }

    /// The average over rows is the average of the rows.
    #[test]
    fn growing_rows_are_averaged() {
        for variance in [0.0, 0.5, 3.0, 50.0, 1000.0] {
            let n = 37;
            let of = |part: fn(&Shares) -> f64| {
                let mean = (1..=n).map(|k| part(&Shares::of(Rows::Of(k), variance))).sum::<f64>() / count(n);
                let found = part(&Shares::of(Rows::UpTo(n), variance));
                assert!((found / mean - 1.0).abs() < 1e-6, "v = {variance}: {found} against {mean}");
            };
            of(|shares| shares.square);
            of(|shares| shares.cube);
            of(|shares| shares.square_square);
        }
    }

    /// Behind the widest spread, what the others have falls like 1/sqrt(v): the law holds on this side of it, too.
    #[test]
    fn the_lead_of_the_largest_grows_like_the_spread() {
        let rest = |variance: f64| 1.0 - Shares::of(Rows::Of(64), variance).square;
        let inside = rest(400.0) / rest(200.0) * 2f64.sqrt();
        assert!((inside - 1.0).abs() < 0.05, "{inside}");
        let across = rest(1600.0) / rest(400.0) * 2.0;
        assert!((across - 1.0).abs() < 1e-9, "{across}");
    }

    #[test]
    fn harmonic_numbers_meet_where_the_formula_changes() {
        let sum: f64 = (1..=101).map(|k| 1.0 / count(k)).sum();
        assert!((harmonic(101) - sum).abs() < 1e-10);
    }
}
