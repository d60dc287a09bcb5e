//! A uniform distribution with Var(w) = 2 / ((1 + a^2) fan), for ReLU (a = 0) and leaky ReLU of slope a.
//!
//! A ReLU passes half of the second moment, a leaky ReLU (1 + a^2)/2 of it, so this variance keeps the signal's scale
//! (`fan_in`, the default) or the gradient's (`fan_out`) through any depth (He et al. 2015, eq. 10 and 14). PyTorch calls
//! it `kaiming_uniform_`.

use super::{Initializer, Target, scaling};
use crate::args::{Kind, Param, Reader, optional};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `he_uniform`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeUniform {
    fan_out: bool,
    a: f64,
}

impl Initializer for HeUniform {
    const SIGNATURE: &'static [Param] = &[
        optional(
            "mode",
            Kind::Word(&["fan_in", "fan_out"]),
            "fan_in",
            "the fan that the variance is divided by",
        ),
        optional("a", Kind::Number, "0", "the slope of the leaky ReLU that follows"),
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let mode = args.word("mode");
        let a = args.number("a");
        Some(Self { fan_out: mode? == "fan_out", a: a? })
    }

    fn variance(&self, target: Target<'_>) -> f64 {
        let fan = if self.fan_out { target.fan_out } else { target.fan_in };
        2.0 / ((1.0 + self.a * self.a) * scaling::fan(fan))
    }

    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64> {
        let a = scaling::half_width(self.variance(target));
        scaling::uniform(target.elements(), -a, a, generator)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { fan_out, a } = self;
        let mode = fan_out.then(|| "fan_out".to_owned());
        mode.into_iter().chain((*a != 0.0).then(|| format!("a={}", text::number(*a)))).collect()
    }
}
