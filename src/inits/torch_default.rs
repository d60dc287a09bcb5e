//! What PyTorch does for linear and convolution layers when nothing is said: uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)).
//!
//! `kaiming_uniform_(a=sqrt(5))` in its source: Var(w) = 1 / (3 fan_in), six times below He's. Three layers bear it; in a
//! deep plain net the input-dependent part of the signal dies at a factor of 6 per ReLU layer, while the biases hide it.
//! Write `bias_init=torch_default` to draw the biases from the same interval, as PyTorch does. The fan is the one that PyTorch reads off
//! the weight's shape, all axes but the first, which for a transposed convolution is not how many inputs an output has.

use super::{Initializer, Target, scaling};
use crate::args::{Param, Reader};
use rand_chacha::ChaCha8Rng;

/// The initialiser `torch_default`.
#[derive(Clone, Debug, PartialEq)]
pub struct TorchDefault;

impl Initializer for TorchDefault {
    const SIGNATURE: &'static [Param] = &[];

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn variance(&self, target: Target<'_>) -> f64 {
        let fan_in = match target.dims {
            [_, rest @ ..] if !rest.is_empty() => rest.iter().product(),
            _ => target.fan_in,
        };
        (3.0 * scaling::fan(fan_in)).recip()
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        let a = scaling::half_width(self.variance(target));
        scaling::uniform(target.elements(), -a, a, generator)
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
}
