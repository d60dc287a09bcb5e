//! A normal distribution cut off at two standard deviations.
//!
//! `std` is that of the normal before the cut, as in TensorFlow and Flax: the weights that are drawn have 0.8796 of it.
//! (PyTorch's `trunc_normal_` cuts at absolute bounds and gives the same only for std = 1.)
//!
//! Mean 0, variance 0.7737 std^2.

use super::{Initializer, Target, scaling};
use crate::args::{Kind, Param, Reader, required};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `truncated_normal(std)`.
#[derive(Clone, Debug, PartialEq)]
pub struct TruncatedNormal {
    std: f64,
}

impl Initializer for TruncatedNormal {
    const SIGNATURE: &'static [Param] =
        &[required("std", Kind::Number, "the standard deviation before the cut at two of it")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { std: args.number_where("std", "at least 0", |x| x >= 0.0)? })
    }

    fn variance(&self, _: Target<'_>) -> f64 {
        (self.std * scaling::TRUNCATED_STD).powi(2)
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        scaling::truncated(target.elements(), self.std, generator)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { std } = self;
        vec![text::number(*std)]
    }
}
