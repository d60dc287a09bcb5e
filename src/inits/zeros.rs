//! All zeros.
//!
//! Right for biases, for the last weight layer of a head or of a residual branch, and for the scale of the last norm of a
//! residual branch. In two consecutive layers, or before a ReLU, no gradient ever arrives (see `explain I002`).
//!
//! Mean 0, variance 0.

use super::{Initializer, Target};
use crate::args::{Param, Reader};
use rand_chacha::ChaCha8Rng;

/// The initialiser `zeros`.
#[derive(Clone, Debug, PartialEq)]
pub struct Zeros;

impl Initializer for Zeros {
    const SIGNATURE: &'static [Param] = &[];

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn variance(&self, _: Target<'_>) -> f64 {
        0.0
    }

    fn sample(&self, target: Target<'_>, _: &mut ChaCha8Rng) -> Vec<f64> {
        vec![0.0; target.elements()]
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}
