//! A uniform distribution with Var(w) = 1 / fan_in, for SELU, tanh and linear layers.
//!
//! The variance that keeps the second moment of a linear layer (LeCun et al. 1998, "Efficient BackProp"), and the one for
//! which SELU has its fixed point at mean 0 and variance 1 (Klambauer et al. 2017).

use super::{Initializer, Target, scaling};
use crate::args::{Param, Reader};
use rand_chacha::ChaCha8Rng;

/// The initialiser `lecun_uniform`.
#[derive(Clone, Debug, PartialEq)]
pub struct LecunUniform;

impl Initializer for LecunUniform {
    const SIGNATURE: &'static [Param] = &[];

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn variance(&self, target: Target<'_>) -> f64 {
        scaling::fan(target.fan_in).recip()
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        let a = scaling::half_width(self.variance(target));
        scaling::uniform(target.elements(), -a, a, generator)
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}
