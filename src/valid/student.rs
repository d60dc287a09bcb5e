//! Quantiles of Student's t distribution with a whole number of degrees of freedom.
//!
//! Contract: [`quantile`] gives t with P(T > t) = tail to at least six digits for tails from 1e-12 to 1/2. With theta =
//! atan(t / sqrt(n)), P(T > t) is (1 - A) / 2 with a finite sum A of powers of cos theta (Abramowitz and Stegun 1964, 26.7.3 and
//! 26.7.4). For small tails 1 - A cancels, so the tail itself is computed: the density is proportional to cos^(n-1) theta in theta,
//! and with psi = pi/2 - theta the tail is the integral of sin^(n-1) from 0 to psi over that from 0 to pi, both by Gauss-Legendre's
//! five-point rule on equal pieces. t = sqrt(n) / tan psi follows by bisection in psi, in which the tail increases.

use std::f64::consts::PI;

/// Nodes and weights of Gauss-Legendre's rule with five points on [-1, 1].
const RULE: [(f64, f64); 5] = [
    (0.0, 0.568_888_888_888_888_9),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
    (0.906_179_845_938_664, 0.236_926_885_056_189_1),
];
/// Pieces of an interval; the integrand is smooth, and at n = 1000 its peak is three pieces wide.
const PIECES: u32 = 64;

/// The integral of sin^power from 0 to `end`.
fn area(power: f64, end: f64) -> f64 {
    let half = end / f64::from(2 * PIECES);
    let piece = |i: u32| {
        let middle = f64::from(2 * i + 1) * half;
        RULE.iter().map(|(node, weight)| weight * (middle + half * node).sin().powf(power)).sum::<f64>()
    };
    (0..PIECES).map(piece).sum::<f64>() * half
}

/// The t that is exceeded with probability `tail`, at most 1/2, with `freedom` degrees of freedom.
#[must_use]
pub fn quantile(freedom: usize, tail: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "sample sizes are far below 2^53")]
    let n = freedom.clamp(1, 1000) as f64;
    // By symmetry, twice the integral up to pi/2.
    let whole = 2.0 * area(n - 1.0, 0.5 * PI);
    let (mut low, mut high) = (0.0, 0.5 * PI);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if area(n - 1.0, middle) / whole < tail { low = middle } else { high = middle }
    }
    n.sqrt() / f64::midpoint(low, high).tan()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published tables (Abramowitz and Stegun 1964, table 26.10) and closed forms: one degree is Cauchy's distribution with
    /// P(T > t) = atan(1/t) / pi, two have t = (1 - 2p) sqrt(2 / (4p (1 - p))).
    #[test]
    fn quantiles_agree_with_tables_and_closed_forms() {
        for (freedom, tail, want) in [
            (1, 0.025, 12.706),
            (3, 0.025, 3.182),
            (3, 0.0005, 12.924),
            (5, 0.05, 2.015),
            (10, 0.005, 3.169),
            (15, 0.025, 2.131),
            (23, 0.0005, 3.768),
            (30, 0.025, 2.042),
            (120, 0.005, 2.617),
        ] {
            let found = quantile(freedom, tail);
            assert!((found - want).abs() < 6e-4, "t({freedom}, {tail}) = {found}, not {want}");
        }
        for tail in [1e-3, 1e-6, 1e-9, 1e-12] {
            let cauchy = 1.0 / (PI * tail).tan();
            assert!((quantile(1, tail) / cauchy - 1.0).abs() < 1e-6, "Cauchy at {tail}");
            let two = (1.0 - 2.0 * tail) * (2.0 / (4.0 * tail * (1.0 - tail))).sqrt();
            assert!((quantile(2, tail) / two - 1.0).abs() < 1e-6, "two degrees at {tail}");
        }
        // The normal distribution exceeds 5 with probability 2.866516e-7; t exceeds its quantile by (z^3 + z) / (4 n) to first order.
        let z = 5.0;
        let near = quantile(1000, 2.866_516e-7);
        assert!((near - (z + (z * z * z + z) / 4000.0)).abs() < 2e-3, "{near}");
    }
}
