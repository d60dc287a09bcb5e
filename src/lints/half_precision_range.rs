//! Values or gradients outside the range of the numbers that training runs in.
//!
//! ## What it checks
//!
//! The predicted scale of every value and every layer's gradient at initialisation, against the `precision` of `train`. In f16: six
//! times the rms of a value above 65504 is an error; a gradient of rms below 6e-8 is a warning, times `loss_scale` if there is one. In
//! bf16, f32, and where nothing is declared: a mean square above 1e36 or one of gradients below 1e-37 is an error. Gradients are
//! predicted for `cross_entropy` and `bce_with_logits`, of the mean over the batch. Nothing is said where the scale of an input is
//! unknown, or where an error about the scale names the cause.
//!
//! ## Why it matters
//!
//! Half precision has 5 bits of exponent: from 6e-8 to 65504. Of normal values one in 10^9 exceeds 6 rms, which a layer of some size
//! meets in every few steps; a value beyond the range is infinite, and the next difference of two is NaN. Gradients below the
//! range are 0, and their layers stand still. A norm behind the layer does not help: it comes after the overflow. bf16 has the range
//! of f32 and fewer digits.
//!
//! ## Example
//!
//! ```text
//!   fc: linear(4096, init=normal(2000), bias=false)
//!       batch_norm
//! train { loss cross_entropy(out, y)  sgd(lr=0.1)  precision f16 }
//! ```
//!
//! ## Instead
//!
//! `precision bf16`, a smaller init or a norm before the layer; `loss_scale 1024` for gradients.
//!
//! ## References
//!
//! Micikevicius et al. 2018, "Mixed precision training"; research: static.md S07, 3.

use super::extreme_epsilon::at_prediction;
use super::{
    Context, lint, mismatched_gain, offset_weights, oversized_logits, oversized_prediction, raw_input,
    scheme, unstable_depth,
};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node, Precision, Source};
use crate::ops::Category;
use crate::text::{number, plural};

pub static RULE: Rule = lint!("half_precision_range.rs" = "G010" "half-precision-range" Error from "S07");

/// The largest number of half precision.
const LARGEST: f64 = 65504.0;
/// One normal number in 10^9 is further from 0 than so many standard deviations.
const DEVIATIONS: f64 = 6.0;
/// The smallest number of half precision.
const SMALLEST: f64 = 6e-8;
/// Mean squares from which on sums of them leave single precision, which ends at 3.4e38.
const LARGEST_SQUARE: f64 = 1e36;
/// Mean squares below which single precision loses their digits.
const SMALLEST_SQUARE: f64 = 1e-37;
/// What a proposed scale of the loss leaves for gradients that are smaller than the typical one.
const RESERVE: f64 = 1024.0;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    if context.signal.assumed.iter().any(|assumed| *assumed) {
        return;
    }
    let half = graph.training.precision.as_ref().is_some_and(|p| p.value == Precision::F16);
    let found = match overflow(context, half) {
        Some(found) => Some(found),
        None => underflow(context, half),
    };
    if let Some(found) = found.filter(|_| !has_cause(context)) {
        out.push(found);
    }
}

/// The first value beyond the range.
fn overflow(context: Context<'_>, half: bool) -> Option<Diagnostic> {
    let graph: &Graph = context.graph;
    let most = if half { LARGEST / DEVIATIONS } else { LARGEST_SQUARE.sqrt() };
    let beyond: Vec<(Handle<Node>, f64)> = graph
        .layers()
        .filter(|(_, node)| node.op.category() != Category::Loss)
        .filter_map(|(handle, _)| Some((handle, context.signal.node(handle)?.rms())))
        .filter(|(_, rms)| *rms > most)
        .collect();
    let (first, rms) = *beyond.first()?;
    let (message, remark) = if half {
        let peak = number(DEVIATIONS * rms);
        (
            format!("values reach {peak}, beyond the 65504 where half precision ends"),
            format!("predicted rms {}, 6 times which is {peak}", number(rms)),
        )
    } else {
        let square = number(rms * rms);
        (
            format!("values have a mean square of {square}, beyond the 1e36 that single precision can sum"),
            format!("predicted rms {}, squared {square}", number(rms)),
        )
    };
    let node = &graph.nodes[first];
    let mut found = Diagnostic::new(&RULE, node.span, message)
        .remark(remark)
        .node(node.path.to_string())
        .trail(&node.trail);
    if beyond.len() > 1 {
        let peak = beyond.iter().map(|(_, rms)| *rms).fold(0.0, f64::max);
        let values = plural(beyond.len(), "value");
        found = found.note("range", format!("{values} exceed it, up to an rms of {}", number(peak)));
    }
    Some(declared(context, found, "a smaller init, or a norm before the layer", half))
}

/// The layer with the smallest gradient, if that is beyond the range.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn underflow(context: Context<'_>, half: bool) -> Option<Diagnostic> {
    let graph: &Graph = context.graph;
    let batch = graph.training.batch.unwrap_or(1) as f64;
    let start = at_prediction(graph)?;
    let rms = |handle: Handle<Node>, node: &Node| {
        scheme::kernel(graph, node)?;
        let elements = graph.shape(Source::Node(handle))?.elements().max(1) as f64;
        let arrived = context.signal.energies.get(handle.index())?.ln.hi.exp();
        Some((start * arrived / elements).sqrt() / batch).filter(|rms| *rms > 0.0 && rms.is_finite())
    };
    let layers = graph.layers().filter_map(|(handle, node)| Some((node, rms(handle, node)?)));
    let (node, rms) = layers.min_by(|a, b| a.1.total_cmp(&b.1))?;
    let scale = graph.training.loss_scale.unwrap_or(1.0);
    let scaled = rms * scale;
    let small = if half { scaled < SMALLEST } else { scaled.powi(2) < SMALLEST_SQUARE };
    if !small {
        return None;
    }
    let times = match graph.training.loss_scale {
        Some(scale) => format!(", {} with the loss scale {}", number(scaled), number(scale)),
        None => String::new(),
    };
    let (message, severity, help) = if half {
        let needed = (SMALLEST * RESERVE / rms).log2().ceil().exp2();
        (
            format!("gradients of {} vanish below the 6e-8 where half precision ends", number(scaled)),
            Severity::Warning,
            format!("loss_scale {needed}"),
        )
    } else {
        (
            format!(
                "gradients have a mean square of {}, below the 1e-37 of single precision",
                number(scaled.powi(2))
            ),
            Severity::Error,
            "an init that keeps the gradient, or norms between the layers".to_owned(),
        )
    };
    let found = Diagnostic::new(&RULE, node.span, message)
        .severity(severity)
        .remark(format!(
            "predicted rms {} for the mean over a batch of {}{times}",
            number(rms),
            number(batch)
        ))
        .node(node.path.to_string())
        .trail(&node.trail);
    Some(declared(context, found, &help, half))
}

/// Adds where the precision is declared, and what would have the range.
fn declared(context: Context<'_>, found: Diagnostic, help: &str, half: bool) -> Diagnostic {
    match &context.graph.training.precision {
        Some(precision) if half => {
            found.label(precision.span, "6e-8 to 65504").help(format!("precision bf16, or {help}")).fix(Fix {
                title: "train in bf16, which has the range of f32".to_owned(),
                safety: Safety::Unsafe,
                level: Level::Training,
                edits: vec![Edit { span: precision.span, text: "bf16".to_owned() }],
            })
        }
        Some(precision) => {
            let word = precision.value.word();
            found.label(precision.span, format!("the range of {word} is that of f32")).help(help)
        }
        None => found.help(help),
    }
}

/// Whether an error about the scale has been reported, of which this would be a consequence.
fn has_cause(context: Context<'_>) -> bool {
    let checks = [
        raw_input::check,
        offset_weights::check,
        unstable_depth::check,
        mismatched_gain::check,
        oversized_logits::check,
        oversized_prediction::check,
    ];
    let mut causes = Diagnostics::default();
    checks.iter().for_each(|check| check(context, &mut causes));
    causes.has_errors()
}
