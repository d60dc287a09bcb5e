//! The three shapes of distribution that the scaled initialisers share.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};

/// The standard deviation of a standard normal that is cut off at two standard deviations:
/// sqrt(1 - 2 * 2 phi(2) / (2 Phi(2) - 1)).
pub const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;

/// `n` draws from N(mean, std^2).
pub fn normal(n: usize, mean: f64, std: f64, generator: &mut ChaCha8Rng) -> Vec<f64> {
    StandardNormal.sample_iter(generator).take(n).map(|z: f64| mean + std * z).collect()
}

/// `n` draws from the uniform distribution on [lo, hi), with 53 random bits.
pub fn uniform(n: usize, lo: f64, hi: f64, generator: &mut ChaCha8Rng) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    let mut unit = || (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    (0..n).map(|_| lo + (hi - lo) * unit()).collect()
}

/// `n` draws from N(0, std^2) with everything beyond two `std` drawn again.
pub fn truncated(n: usize, std: f64, generator: &mut ChaCha8Rng) -> Vec<f64> {
    let inside = StandardNormal.sample_iter(generator).filter(|z: &f64| z.abs() <= 2.0);
    inside.take(n).map(|z| std * z).collect()
}

/// The half-width of the zero-mean uniform distribution with this variance.
pub fn half_width(variance: f64) -> f64 {
    (3.0 * variance).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
pub fn fan(n: usize) -> f64 {
    n as f64
}
