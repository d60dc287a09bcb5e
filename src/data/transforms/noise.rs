//! Random augmentation: adds N(0, std^2) to every element of the training rows.
//!
//! `noise(0.1, only=train)`: augmentation that reached validation or test rows would be judged instead of the model, so `only`
//! must be written.

use super::{Fitted, Param, Reader, Shape, Transformer};
use crate::args::{Kind, required};
use crate::text;

/// The transform `noise(std, only=train)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    std: f64,
    only: &'static str,
}

impl Noise {
    /// The standard deviation of what is added.
    #[must_use]
    pub fn std(&self) -> f64 {
        self.std
    }
}

impl Transformer for Noise {
    const SIGNATURE: &'static [Param] = &[
        required("std", Kind::Number, "the standard deviation of what is added"),
        required("only", Kind::Word(&["train", "always"]), "the rows that it applies to"),
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let std = args.number_where("std", "at least 0", |x| x >= 0.0);
        let only = args.word("only");
        Some(Self { std: std?, only: only? })
    }

    fn arguments(&self) -> Vec<String> {
        let Self { std, only } = self;
        vec![text::number(*std), format!("only={only}")]
    }

    fn apply(&self, _: &Shape, _: Option<&Fitted>, _: &mut Vec<f64>) {
        // What is added is drawn by the loader, which knows the row and the seed.
    }

    fn invert(&self, _: &Shape, _: Option<&Fitted>, _: &mut [f64]) -> bool {
        // What is added to training rows has mean 0.
        true
    }

    fn applies_to_evaluation(&self) -> bool {
        self.only == "always"
    }
}
