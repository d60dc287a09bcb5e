//! Biases that the next batch norm subtracts.
//!
//! ## What it checks
//!
//! A layer with a bias whose value goes into norms that subtract the mean of each channel, and nowhere else: `batch_norm`, and
//! `group_norm` with as many groups as channels. A `layer_norm` subtracts one mean over all features, so a bias before it counts.
//!
//! ## Why it matters
//!
//! batch_norm(x + b) = batch_norm(x) in training: b is part of the mean that is taken away. Its gradient is 0 but for rounding,
//! the weights are stored and loaded, and weight decay alone moves them. In use the running mean contains b. The norm's own
//! offset does what the bias was meant to do.
//!
//! ## Example
//!
//! ```text
//! conv: conv2d(16, kernel=3, pad=1, init=he_normal)
//!       batch_norm
//! ```
//!
//! ## Instead
//!
//! `bias=false`. The fix removes the tensor, so old checkpoints no longer load.
//!
//! ## References
//!
//! Ioffe and Szegedy 2015, section 3.2; Nikanjam et al. 2021 (NeuraLint rule 5).

use super::missing_init::insertion;
use super::uses::{Uses, attribute};
use super::{Context, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::{Category, Role};
use crate::source::Span;
use crate::text::{count, plural};
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("bias_before_norm.rs" = "A005" "bias-before-norm" Info from "A05");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    let found: Vec<(Handle<Node>, usize)> = graph
        .nodes
        .iter()
        .filter(|(handle, _)| is_subtracted(graph, &uses, *handle))
        .filter_map(|(handle, node)| Some((handle, bias(graph, node)?)))
        .collect();
    let Some((first, _)) = found.first() else { return };
    let node = &graph.nodes[*first];
    let paths: Vec<String> = found.iter().map(|(node, _)| graph.nodes[*node].path.to_string()).collect();
    let lost: usize = found.iter().map(|(_, elements)| elements).sum();
    let norm = uses.after(Source::Node(*first))[0];
    let layers = plural(found.len(), "layer");
    let message = format!("{} biases of {layers} have no effect: a norm subtracts them", count(lost as u64));
    let mut diagnostic = Diagnostic::new(&RULE, node.span, message)
        .remark("has a bias")
        .label(graph.nodes[norm].span, "subtracts the mean of each channel")
        .node(scheme::names(&paths))
        .trail(&node.trail)
        .help("bias=false");
    // By statement: a loop repeats one edit.
    let mut edits: BTreeMap<Span, Option<Edit>> = BTreeMap::new();
    for (node, _) in &found {
        let node = &graph.nodes[*node];
        edits.entry(node.span).or_insert_with(|| edit(context, node));
    }
    if let Some(edits) = edits.into_values().collect::<Option<Vec<Edit>>>() {
        diagnostic = diagnostic.fix(Fix {
            title: "leave the biases out".to_owned(),
            safety: Safety::Unsafe,
            level: Level::Checkpoint,
            edits,
        });
    }
    out.push(diagnostic);
}

/// The number of elements of a layer's bias.
fn bias(graph: &Graph, node: &Node) -> Option<usize> {
    let specs = graph.slots(node).map(|(_, spec)| spec);
    let is_layer = node.op.category() == Category::Layer;
    specs.into_iter().find(|spec| is_layer && spec.role == Role::Bias).map(crate::ops::ParamSpec::elements)
}

/// Whether everything that takes a value subtracts the mean of each channel.
fn is_subtracted(graph: &Graph, uses: &Uses, handle: Handle<Node>) -> bool {
    let next = uses.after(Source::Node(handle));
    let subtracts = |node: &Node| match node.op.name() {
        "batch_norm" => true,
        "group_norm" => {
            let channels = node.shape.as_ref().and_then(crate::tensor::Shape::channels);
            attribute(node, "groups").and_then(|text| text.parse().ok()) == channels && channels.is_some()
        }
        _ => false,
    };
    // A norm's channels are those of the layer, unless the layer's features are another axis.
    let layer = &graph.nodes[handle];
    let features =
        layer.op.name() != "linear" || layer.shape.as_ref().is_some_and(|shape| shape.sample().len() == 1);
    let leaves = !features || graph.output == Some(Source::Node(handle));
    !leaves && !next.is_empty() && next.iter().all(|next| subtracts(&graph.nodes[*next]))
}

/// The edit that leaves the bias of a statement out.
fn edit(context: Context<'_>, node: &Node) -> Option<Edit> {
    let given = |name: &str| node.arguments.iter().find(|(known, _)| *known == name).map(|(_, span)| *span);
    match (given("bias"), given("bias_init")) {
        (Some(span), None) => Some(Edit { span, text: "false".to_owned() }),
        (None, None) => insertion(context, node).map(|span| Edit { span, text: ", bias=false".to_owned() }),
        (_, Some(_)) => None,
    }
}
