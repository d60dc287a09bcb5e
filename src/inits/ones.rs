//! All ones.
//!
//! The usual start of a norm's scale. As the weight of a hidden layer it makes every unit compute the same function for
//! ever (see `explain I002`).
//!
//! Mean 1, variance 0.

use super::{Initializer, Target};
use crate::args::{Param, Reader};
use rand_chacha::ChaCha8Rng;

/// The initialiser `ones`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ones;

impl Initializer for Ones {
    const SIGNATURE: &'static [Param] = &[];

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn mean(&self) -> f64 {
        1.0
    }

    fn variance(&self, _: Target<'_>) -> f64 {
        0.0
    }

    fn sample(&self, target: Target<'_>, _: &mut ChaCha8Rng) -> Vec<f64> {
        vec![1.0; target.elements()]
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}
