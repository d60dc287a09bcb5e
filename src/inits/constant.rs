//! One value for every element.
//!
//! Right for biases with a meaning (the log-odds of a rare class, a forget gate). As the weight of a hidden layer it makes
//! every unit compute the same function for ever (see `explain I002`).
//!
//! Mean c, variance 0.

use super::{Initializer, Target};
use crate::args::{Kind, Param, Reader, required};
use crate::text;
use rand_chacha::ChaCha8Rng;

/// The initialiser `constant(c)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    value: f64,
}

impl Initializer for Constant {
    const SIGNATURE: &'static [Param] = &[required("value", Kind::Number, "the value of every element")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { value: args.number("value")? })
    }

    fn mean(&self) -> f64 {
        self.value
    }

    fn variance(&self, _: Target<'_>) -> f64 {
        0.0
    }

    fn sample(&self, target: Target<'_>, _: &mut ChaCha8Rng) -> Vec<f64> {
        vec![self.value; target.elements()]
    }

    fn arguments(&self) -> Vec<String> {
        let Self { value } = self;
        vec![text::number(*value)]
    }
}
