//! A norm over values that its epsilon swamps.
//!
//! ## What it checks
//!
//! The predicted variance of what a norm takes at initialisation against the epsilon that it adds: a tenth of it or less is a
//! warning. For `batch_norm` the variance is that between samples, for the others that of a sample's own values. Nothing is
//! said where the scale of an input is unknown, behind zero weights, or where `normalised-twice` names the cause.
//!
//! ## Why it matters
//!
//! A norm gives (x - mean) / sqrt(var + eps). With var = eps / 10 what comes out has a second moment of 1/11 instead of 1,
//! and with less it is x / sqrt(eps): a fixed factor of 316 for eps = 1e-5, and no norm. The differences of
//! scale that it was to remove, between channels and between layers, pass on.
//!
//! ## Example
//!
//! ```text
//! fc: linear(64, init=normal(1e-5))
//!     batch_norm
//!     relu
//! ```
//!
//! ## Instead
//!
//! Weights of a usual scheme, inputs of unit scale, or a smaller `eps`. The fix changes training.
//!
//! ## References
//!
//! Ioffe and Szegedy 2015; research: static.md S05.

use super::scheme;
use super::uses::{Uses, attribute};
use super::{Context, lint, mismatched_gain, normalised_twice, raw_input};
use crate::diag::{Diagnostic, Diagnostics, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::Category;
use crate::text::number;
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("inactive_norm.rs" = "G005" "inactive-norm" Warning from "S05");

/// The share of epsilon below which the variance counts for nothing.
const SWAMPED: f64 = 0.1;

/// The norms whose epsilon swamps what they take, each with the variance and the epsilon.
fn inactive(context: Context<'_>) -> Vec<(Handle<Node>, f64, f64)> {
    let graph: &Graph = context.graph;
    let mut found = Vec::new();
    for (handle, node) in graph.nodes.iter().filter(|(_, node)| node.op.category() == Category::Norm) {
        let Some((variance, eps)) = variance(context, node) else { continue };
        if variance > 0.0 && variance < SWAMPED * eps {
            found.push((handle, variance, eps));
        }
    }
    let mut caused = Diagnostics::default();
    if !found.is_empty() {
        normalised_twice::check(context, &mut caused);
        raw_input::check(context, &mut caused);
    }
    if !caused.is_empty() || context.signal.assumed.iter().any(|assumed| *assumed) {
        found.clear();
    }
    found
}

/// The regions whose weights swamp a norm.
pub fn blamed(context: Context<'_>) -> Vec<usize> {
    let graph: &Graph = context.graph;
    let layers = inactive(context).into_iter().filter_map(|(norm, ..)| faint(graph, &graph.nodes[norm]));
    layers.map(|layer| context.signal.account.region(layer)).collect()
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let found = inactive(context);
    let Some(&(handle, variance, eps)) = found.first() else { return };
    let node = &graph.nodes[handle];
    let kept = number((variance / (variance + eps)).sqrt());
    let message = format!(
        "`{}` takes a variance of {} and adds an epsilon of {}: {kept} of the scale that it should give",
        node.op.name(),
        number(variance),
        number(eps)
    );
    let paths: Vec<String> = found.iter().map(|(node, ..)| graph.nodes[*node].path.to_string()).collect();
    let mut diagnostic = Diagnostic::new(&RULE, node.span, message)
        .remark("acts as a fixed factor, not as a norm")
        .node(scheme::names(&paths))
        .trail(&node.trail);
    let uses = Uses::of(graph);
    let cause = faint(graph, node).and_then(|layer| {
        let spec = scheme::kernel(graph, &graph.nodes[layer])?;
        Some((layer, spec, spec.init.as_ref()?))
    });
    let Some((layer, spec, init)) = cause else {
        out.push(diagnostic.help("inputs of unit scale, or a smaller eps"));
        return;
    };
    let (text, std) = scheme::proposal(graph, &uses, layer, spec);
    diagnostic = diagnostic
        .label(init.span, format!("std {} over fan_in {}", number(spec.statistics().1.sqrt()), spec.fan_in))
        .help(format!("init={text} (std {}), or a smaller eps", number(std)));
    if let Some(edits) =
        mismatched_gain::edits(graph, &uses, &context.signal.account, &BTreeSet::from([layer]))
    {
        diagnostic = diagnostic.fix(Fix {
            title: format!("initialise with {text}"),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits,
        });
    }
    out.push(diagnostic);
}

/// The variance that a norm divides by, at the upper end of what is known, and its epsilon.
fn variance(context: Context<'_>, node: &Node) -> Option<(f64, f64)> {
    let x = context.signal.of(*node.inputs.first()?)?;
    let square = x.ln_square.hi.exp();
    let (variance, usual) = match node.op.name() {
        "batch_norm" => (square * x.contrast, 1e-5),
        "rms_norm" => (square, 1e-6),
        _ => (square * (1.0 - x.mean_share * x.mean_share), 1e-5),
    };
    let eps = attribute(node, "eps").map_or(Some(usual), |text| text.parse().ok())?;
    Some((variance, eps))
}

/// The layer before a norm if its weights are far too small.
fn faint(graph: &Graph, norm: &Node) -> Option<Handle<Node>> {
    let layer = layer_before(graph, norm)?;
    let spec = scheme::kernel(graph, &graph.nodes[layer])?;
    (spec.init.is_some() && scheme::gain(spec) < 0.1).then_some(layer)
}

/// The layer whose values a norm takes, through what keeps their scale.
fn layer_before(graph: &Graph, norm: &Node) -> Option<Handle<Node>> {
    let mut source = *norm.inputs.first()?;
    while let Source::Node(at) = source {
        let node = &graph.nodes[at];
        match node.op.category() {
            Category::Layer => return Some(at),
            Category::Activation | Category::Pool | Category::Noise | Category::Layout => {
                source = *node.inputs.first()?;
            }
            _ => return None,
        }
    }
    None
}
