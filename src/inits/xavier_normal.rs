//! A normal distribution with Var(w) = 2 gain^2 / (fan_in + fan_out), for tanh and linear layers.
//!
//! The compromise of Glorot and Bengio 2010 (eq. 12) between keeping the signal (1/fan_in) and keeping the gradient
//! (1/fan_out); std = gain sqrt(2 / (fan_in + fan_out)). Before a ReLU it halves the signal's second moment in every layer: use
//! `he_normal` there.

use super::{Initializer, Target, scaling};
use crate::args::{Kind, Param, Reader, optional};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `xavier_normal`.
#[derive(Clone, Debug, PartialEq)]
pub struct XavierNormal {
    gain: f64,
}

impl Initializer for XavierNormal {
    const SIGNATURE: &'static [Param] =
        &[optional("gain", Kind::Number, "1", "a factor on the standard deviation")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { gain: args.number_where("gain", "above 0", |x| x > 0.0)? })
    }

    fn variance(&self, target: Target<'_>) -> f64 {
        2.0 * self.gain * self.gain / (scaling::fan(target.fan_in) + scaling::fan(target.fan_out))
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        scaling::normal(target.elements(), 0.0, self.variance(target).sqrt(), generator)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { gain } = self;
        if *gain == 1.0 { Vec::new() } else { vec![format!("gain={}", text::number(*gain))] }
    }
}
