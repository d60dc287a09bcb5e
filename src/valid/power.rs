//! What a statistical test sees: the power of a comparison of a mean with what it should be.
//!
//! Contract: a mean over S seeds with the standard error e fails where it lies further than `slack + t e` outside of what is expected. With a shift d,
//! (mean - expected) / e follows the noncentral t distribution with the noncentrality d / e. Its tail is approximated by
//! P(T' <= t) = Phi((t (1 - 1/(4 n)) - d/e) / sqrt(1 + t^2/(2 n))) with n degrees of freedom (Abramowitz and Stegun 1964, 26.7.10).

use super::student;

/// The probability with which a test is said to see what it sees.
pub const SURE: f64 = 0.99;

/// The z that a normal variable exceeds with probability 0.01, and t by as much as a part in a thousand more.
fn sure() -> f64 {
    student::quantile(1000, 1.0 - SURE)
}

/// A test of a mean: it fails beyond `slack + t error`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// The factor of the standard error.
    pub t: f64,
    /// Degrees of freedom of that error; infinite if it is known.
    pub freedom: f64,
    /// The standard error of the mean.
    pub error: f64,
    /// What is allowed besides.
    pub slack: f64,
}

impl Bound {
    /// The smallest shift of the mean that is seen with probability [`SURE`].
    #[must_use]
    pub fn seen(self) -> f64 {
        let Self { t, freedom, error, slack } = self;
        let scatter = (1.0 + t * t / (2.0 * freedom)).sqrt();
        slack + error * (t * (1.0 - 1.0 / (4.0 * freedom)) + sure() * scatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inits::standard_normal;
    use crate::tensor::Draws;
    use crate::valid::scale::mean_and_variance;

    /// Student's test on samples of 16 with the shift that is said to be seen with probability 0.99: of 2000 tests 1980 +- 4.4 see it. The
    /// approximation is worth a per cent; 40 misses in place of 20 would be four and a half standard deviations away.
    #[test]
    fn the_stated_shift_is_seen_with_the_stated_probability() {
        const TESTS: usize = 2000;
        const EACH: usize = 16;
        let t = student::quantile(EACH - 1, 0.5e-6);
        let seen = Bound { t, freedom: 15.0, error: 0.25, slack: 0.1 }.seen();
        let draws = standard_normal(TESTS * EACH, Draws { seed: 3, stream: 9 });
        let fails = |shift: f64| {
            draws
                .chunks(EACH)
                .filter(|sample| {
                    let (mean, variance) = mean_and_variance(sample);
                    (mean + shift).abs() > 0.1 + t * (variance / 16.0).sqrt()
                })
                .count()
        };
        assert!((TESTS - 40..=TESTS - 4).contains(&fails(seen)), "{} of {TESTS}", fails(seen));
        assert_eq!(fails(0.0), 0);
        assert!(fails(0.5 * seen) < TESTS / 2, "half of it is rarely seen");
    }
}
