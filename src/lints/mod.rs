//! Lints: what is wrong with a well-formed model.
//!
//! Contract: one lint a file. Its `//!` header is the product page that `wellposed explain` prints; its `RULE` gives code,
//! name and severity; its `check` looks at a verified graph and its signal and adds findings. Lints never run code and never see
//! text. A lint ships with `specs/lint/<lint>/bad.nn`, which it must find, and `ok.nn`, on which it must be silent; a test goes
//! through [`ALL`] and needs nothing else. To add one: the file, the two specs, and its two lines here.

mod class_count_mismatch;
mod dead_zeros;
mod divided_group;
mod dropout_before_norm;
mod extreme_learning_rate;
mod fitted_beyond_train;
mod improper_probabilities;
mod limits;
mod mismatched_gain;
mod missing_init;
mod noisy_evaluation;
mod normalised_twice;
mod oversized_logits;
mod raw_input;
mod scaled_prediction;
mod scheme;
mod shuffled_time;
mod softmax_over_one;
mod squashed_logits;
mod symmetric_units;
mod tiny_norm_batch;
mod uneven_splits;
mod unmet_fact;
mod unstable_depth;
mod unused_input;
mod unused_node;
mod uses;

pub(crate) use divided_group::RULE as DIVIDED_GROUP;
pub(crate) use raw_input::{RULE as RAW_INPUT, meets_weights};

use crate::diag::suppress::Notation;
use crate::diag::{Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Node, Verified};
use crate::signal::Signal;

/// What a lint looks at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The graph.
    pub graph: &'a Verified<Graph>,
    /// The moments of its values in training mode at initialisation.
    pub signal: &'a Signal,
    /// The notation of the text, for fixes that insert something.
    pub notation: Notation,
}

/// One lint.
#[derive(Debug)]
pub struct Lint {
    /// The file that holds it, without its ending; the folder of its specs.
    pub file: &'static str,
    /// Code, name, severity, manual page.
    pub rule: &'static Rule,
    /// Adds findings.
    pub check: fn(Context<'_>, &mut Diagnostics),
}

macro_rules! lints {
    ($($module:ident),+ $(,)?) => {
        /// Every lint, in the order of the codes.
        pub static ALL: &[Lint] =
            &[$(Lint { file: stringify!($module), rule: &$module::RULE, check: $module::check }),+];
    };
}

/// The rule of a lint whose manual page is the header of the named file beside it.
macro_rules! lint {
    ($file:literal = $code:literal $name:literal $severity:ident $(from $($research:literal)+)?) => {
        $crate::diag::Rule {
            code: $code,
            name: $name,
            severity: $crate::diag::Severity::$severity,
            doc: $crate::manual::page!($file),
            research: &[$($($research),+)?],
        }
    };
}
use lint;

lints! {
    unused_node,
    unused_input,
    fitted_beyond_train,
    uneven_splits,
    normalised_twice,
    raw_input,
    noisy_evaluation,
    divided_group,
    shuffled_time,
    scaled_prediction,
    unstable_depth,
    oversized_logits,
    mismatched_gain,
    symmetric_units,
    missing_init,
    dead_zeros,
    tiny_norm_batch,
    dropout_before_norm,
    class_count_mismatch,
    squashed_logits,
    softmax_over_one,
    improper_probabilities,
    extreme_learning_rate,
    unmet_fact,
}

/// The fix that writes another call of the loss, where the text has one place for it: no argument of the loss would be lost, and the node
/// that is passed over is not made by a block or a loop.
fn loss_fix(context: Context<'_>, loss: &Node, passed: &Node, title: String, call: String) -> Option<Fix> {
    let plain = loss.arguments.is_empty() && passed.trail.is_empty();
    (plain && context.notation == Notation::Dsl).then(|| Fix {
        title,
        safety: Safety::Unsafe,
        level: Level::Training,
        edits: vec![Edit { span: loss.span, text: call }],
    })
}

/// Runs every lint.
#[must_use]
pub fn run(context: Context<'_>) -> Diagnostics {
    let mut out = Diagnostics::default();
    for lint in ALL {
        (lint.check)(context, &mut out);
    }
    out
}
