//! A normal distribution with Var(w) = 1 / fan_in, for SELU, tanh and linear layers.
//!
//! The variance that keeps the second moment of a linear layer (LeCun et al. 1998, "Efficient BackProp"), and the one for
//! which SELU has its fixed point at mean 0 and variance 1 (Klambauer et al. 2017).

use super::{Initializer, Target, scaling};
use crate::args::{Param, Reader};
use rand_chacha::ChaCha8Rng;

/// The initialiser `lecun_normal`.
#[derive(Clone, Debug, PartialEq)]
pub struct LecunNormal;

impl Initializer for LecunNormal {
    const SIGNATURE: &'static [Param] = &[];

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn variance(&self, target: Target<'_>) -> f64 {
        scaling::fan(target.fan_in).recip()
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        scaling::normal(target.elements(), 0.0, self.variance(target).sqrt(), generator)
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}
