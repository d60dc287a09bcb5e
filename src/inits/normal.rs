//! A normal distribution with a stated standard deviation: `normal(std)` or `normal(mean, std)`.
//!
//! The scale does not follow the width: `normal(0.02)` has Var(w) = 2/n at n = 5000 and nowhere else. Inside normalised
//! residual blocks that is harmless, in a plain stack it is not.
//!
//! Mean `mean`, variance `std^2`.

use super::{Initializer, Target, scaling};
use crate::args::{Kind, Param, Reader, optional, required};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `normal`.
#[derive(Clone, Debug, PartialEq)]
pub struct Normal {
    mean: f64,
    std: f64,
}

impl Initializer for Normal {
    const SIGNATURE: &'static [Param] = &[
        required("std", Kind::Number, "the standard deviation"),
        optional("mean", Kind::Number, "0", "the mean; of two positional numbers the first"),
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let std = args.number_where("std", "at least 0", |x| x >= 0.0);
        let mean = args.number("mean");
        Some(Self { std: std?, mean: mean? })
    }

    fn positional(n: usize) -> Option<&'static [&'static str]> {
        (n == 2).then_some(&["mean", "std"])
    }

    fn mean(&self) -> f64 {
        self.mean
    }

    fn variance(&self, _: Target<'_>) -> f64 {
        self.std * self.std
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        scaling::normal(target.elements(), self.mean, self.std, generator)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { mean, std } = self;
        let mean = (*mean != 0.0).then_some(mean);
        mean.into_iter().chain([std]).map(|x| text::number(*x)).collect()
    }
}
