//! A uniform distribution with Var(w) = 2 gain^2 / (fan_in + fan_out), for tanh and linear layers.
//!
//! The compromise of Glorot and Bengio 2010 (eq. 12) between keeping the signal (1/fan_in) and keeping the gradient
//! (1/fan_out); the interval is [-a, a) with a = gain sqrt(6 / (fan_in + fan_out)). Before a ReLU it halves the signal's second moment in every layer: use
//! `he_uniform` there.

use super::{Initializer, Target, scaling};
use crate::args::{Kind, Param, Reader, optional};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `xavier_uniform`.
#[derive(Clone, Debug, PartialEq)]
pub struct XavierUniform {
    gain: f64,
}

impl Initializer for XavierUniform {
    const SIGNATURE: &'static [Param] =
        &[optional("gain", Kind::Number, "1", "a factor on the standard deviation")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { gain: args.number_where("gain", "above 0", |x| x > 0.0)? })
    }

    fn variance(&self, target: Target<'_>) -> f64 {
        2.0 * self.gain * self.gain / (scaling::fan(target.fan_in) + scaling::fan(target.fan_out))
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        let a = scaling::half_width(self.variance(target));
        scaling::uniform(target.elements(), -a, a, generator)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { gain } = self;
        if *gain == 1.0 { Vec::new() } else { vec![format!("gain={}", text::number(*gain))] }
    }
}
