//! The general scaled initialiser of Keras and JAX: Var(w) = scale / fan.
//!
//! `he` is scale 2 over fan_in, `xavier` scale 1 over fan_avg, `lecun` scale 1 over fan_in. The truncated normal is
//! widened so that the variance that is drawn is the one that is stated, as Keras does.
//!
//! Mean 0, variance scale / fan, with fan_avg = (fan_in + fan_out) / 2.

use super::{Initializer, Target, scaling};
use crate::args::{Kind, Param, Reader, optional, required};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `variance_scaling(scale, mode, distribution)`.
#[derive(Clone, Debug, PartialEq)]
pub struct VarianceScaling {
    scale: f64,
    mode: &'static str,
    distribution: &'static str,
}

impl Initializer for VarianceScaling {
    const SIGNATURE: &'static [Param] = &[
        required("scale", Kind::Number, "the variance times the fan"),
        optional("mode", Kind::Word(&["fan_in", "fan_out", "fan_avg"]), "fan_in", "the fan to divide by"),
        optional(
            "distribution",
            Kind::Word(&["normal", "uniform", "truncated_normal"]),
            "truncated_normal",
            "the shape of the distribution",
        ),
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let scale = args.number_where("scale", "above 0", |x| x > 0.0);
        let (mode, distribution) = (args.word("mode"), args.word("distribution"));
        Some(Self { scale: scale?, mode: mode?, distribution: distribution? })
    }

    fn variance(&self, target: Target<'_>) -> f64 {
        let (fan_in, fan_out) = (scaling::fan(target.fan_in), scaling::fan(target.fan_out));
        let fan = match self.mode {
            "fan_in" => fan_in,
            "fan_out" => fan_out,
            _ => f64::midpoint(fan_in, fan_out),
        };
        self.scale / fan
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        let (n, variance) = (target.elements(), self.variance(target));
        match self.distribution {
            "normal" => scaling::normal(n, 0.0, variance.sqrt(), generator),
            "uniform" => {
                let a = scaling::half_width(variance);
                scaling::uniform(n, -a, a, generator)
            }
            _ => scaling::truncated(n, variance.sqrt() / scaling::TRUNCATED_STD, generator),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let Self { scale, mode, distribution } = self;
        vec![text::number(*scale), (*mode).to_owned(), (*distribution).to_owned()]
    }
}
