//! Lints: what is wrong with a well-formed model.
//!
//! Contract: one lint a file. Its `//!` header is the product page that `wellposed explain` prints; its `RULE` gives code,
//! name and severity; its `check` looks at a verified graph and its signal and adds findings. Lints never run code and never see
//! text. A lint ships with `specs/lint/<lint>/bad.nn`, which it must find, and `ok.nn`, on which it must be silent; a test goes
//! through [`ALL`] and needs nothing else. To add one: the file, the two specs, and its two lines here.

mod bias_before_norm;
mod class_count_mismatch;
mod constant_bias;
mod dead_zeros;
mod decayed_norms;
mod divided_group;
mod dropout_before_norm;
mod dropout_before_pool;
mod dropout_between_selu;
mod equalised_selection;
mod even_kernel;
mod extreme_epsilon;
mod extreme_learning_rate;
mod fitted_beyond_train;
mod growing_widths;
mod half_precision_range;
mod head;
mod heavy_dropout;
mod improper_probabilities;
mod inactive_norm;
mod limits;
mod linear_pair;
mod mismatched_gain;
mod mismatched_loss;
mod missing_init;
mod mostly_mean;
mod narrow_relu;
mod noisy_evaluation;
mod normalised_twice;
mod offset_weights;
mod oversampled_evaluation;
mod oversized_logits;
mod oversized_prediction;
mod plain_norm_stack;
mod raw_input;
mod saturated_attention;
mod saturated_units;
mod scaled_prediction;
mod scheme;
mod seed_lottery;
mod shuffled_time;
mod softmax_over_one;
mod spare_rows;
mod squashed_logits;
mod stacked_activations;
mod symmetric_units;
mod tiny_norm_batch;
mod unconverged_statistics;
mod uneven_splits;
mod unmet_fact;
mod unreachable_target;
mod unscaled_branches;
mod unstable_depth;
mod unused_input;
mod unused_node;
mod uses;
mod wrong_fan;
mod wrong_slope;

pub(crate) use divided_group::RULE as DIVIDED_GROUP;
pub(crate) use raw_input::{RULE as RAW_INPUT, meets_weights};

use crate::diag::suppress::Notation;
use crate::diag::{Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
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
    /// How many rows the training split has, where that is known.
    pub rows: Option<u64>,
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
///
/// The severity of a matter of taste is written `style`; its findings are information, and it is off unless it is asked for.
macro_rules! lint {
    ($file:literal = $code:literal $name:literal style $(from $($research:literal)+)?) => {
        $crate::diag::Rule {
            style: true,
            ..$crate::lints::lint!($file = $code $name Info $(from $($research)+)?)
        }
    };
    ($file:literal = $code:literal $name:literal $severity:ident $(from $($research:literal)+)?) => {
        $crate::diag::Rule {
            code: $code,
            name: $name,
            severity: $crate::diag::Severity::$severity,
            style: false,
            doc: $crate::manual::page!($file),
            research: &[$($($research),+)?],
        }
    };
}
use lint;

lints! {
    unused_node,
    unused_input,
    linear_pair,
    stacked_activations,
    bias_before_norm,
    heavy_dropout,
    even_kernel,
    dropout_before_pool,
    spare_rows,
    growing_widths,
    fitted_beyond_train,
    uneven_splits,
    normalised_twice,
    raw_input,
    noisy_evaluation,
    divided_group,
    shuffled_time,
    scaled_prediction,
    oversampled_evaluation,
    equalised_selection,
    unstable_depth,
    oversized_logits,
    plain_norm_stack,
    inactive_norm,
    saturated_units,
    seed_lottery,
    narrow_relu,
    oversized_prediction,
    half_precision_range,
    saturated_attention,
    mostly_mean,
    mismatched_gain,
    symmetric_units,
    missing_init,
    dead_zeros,
    constant_bias,
    wrong_fan,
    wrong_slope,
    dropout_between_selu,
    offset_weights,
    unscaled_branches,
    tiny_norm_batch,
    dropout_before_norm,
    unconverged_statistics,
    class_count_mismatch,
    squashed_logits,
    softmax_over_one,
    improper_probabilities,
    mismatched_loss,
    unreachable_target,
    extreme_learning_rate,
    extreme_epsilon,
    decayed_norms,
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

/// Whether something was found that is more than information, and so a cause worth naming alone.
fn is_loud(found: &Diagnostics) -> bool {
    found.iter().any(|diagnostic| diagnostic.severity > Severity::Info)
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

/// Whether a lint needs the number of rows, and is silent while it is unknown.
#[must_use]
pub fn counts_rows(rule: &Rule) -> bool {
    *rule == unconverged_statistics::RULE
}

/// Whether such a lint has something to say of a graph: otherwise the number is not looked up.
#[must_use]
pub fn wants_rows(graph: &Graph) -> bool {
    graph.training.batch.is_some() && graph.training.epochs.is_some() && !graph.states.is_empty()
}

/// Runs the lints that need the number of rows.
#[must_use]
pub fn run_on_rows(context: Context<'_>) -> Diagnostics {
    let mut out = Diagnostics::default();
    for lint in ALL.iter().filter(|lint| counts_rows(lint.rule)) {
        (lint.check)(context, &mut out);
    }
    out
}
