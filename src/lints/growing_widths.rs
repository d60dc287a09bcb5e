//! Dense layers that grow wider towards the head of a classifier.
//!
//! ## What it checks
//!
//! In a classifier, no `linear` layer that feeds another one through activations, norms and dropout has more outputs than inputs, except
//! the first of the chain. Layers inside residual branches are left out: their widths return. A matter of taste, looked for with
//! `check --style`.
//!
//! ## Why it matters
//!
//! A classifier throws information away until the class is left, and by habit its dense layers narrow towards the head: the first
//! layer spreads the input, the others condense. A layer that widens again spends in x out weights on features of features
//! that the layer before has already condensed. Decoders, autoencoders and blocks that expand and project do so on purpose.
//!
//! ## Example
//!
//! ```text
//! fc1: linear(32, init=he_normal)
//!      relu
//! fc2: linear(128, init=he_normal)
//!      relu
//! out: linear(10, init=lecun_normal)
//! train { loss cross_entropy(out, y) }
//! ```
//!
//! ## Instead
//!
//! Widths that stay or fall: 128, 32, 10.
//!
//! ## References
//!
//! Nikanjam et al. 2021 (NeuraLint rule 19).

use super::uses::logits;
use super::{Context, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Node, Source};
use crate::ops::Category;
use crate::source::Span;
use crate::text::count;
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("growing_widths.rs" = "A102" "growing-widths" style from "A10");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(head) = logits(graph) else { return };
    let bypassed = scheme::bypassed(graph);
    // By statement: a loop repeats one mistake.
    let mut found: BTreeMap<Span, Vec<(&Node, &Node)>> = BTreeMap::new();
    for (handle, node) in graph.nodes.iter().filter(|(_, node)| node.op.name() == "linear") {
        let Some(before) = node.inputs.first().and_then(|source| layer_before(graph, *source)) else {
            continue;
        };
        let plain = !bypassed[handle.index()] && head != Source::Node(handle);
        if plain && widths(graph, node).is_some_and(|[inputs, outputs]| outputs > inputs) {
            found.entry(node.span).or_default().push((node, before));
        }
    }
    for (span, members) in found {
        let (node, before) = members[0];
        let Some([inputs, outputs]) = widths(graph, node) else { continue };
        let paths: Vec<String> = members.iter().map(|(node, _)| node.path.to_string()).collect();
        let mut diagnostic = Diagnostic::new(
            &RULE,
            span,
            format!("the width grows from {inputs} to {outputs} before the head"),
        )
        .remark(format!("{} weights", count((inputs * outputs) as u64)))
        .node(scheme::names(&paths))
        .trail(&node.trail)
        .help("widths that stay or fall towards the head");
        if before.span != span {
            diagnostic = diagnostic.label(before.span, format!("condensed to {inputs} here"));
        }
        out.push(diagnostic);
    }
}

/// Inputs and outputs of a layer.
fn widths(graph: &Graph, node: &Node) -> Option<[usize; 2]> {
    let kernel = scheme::kernel(graph, node)?;
    Some([*kernel.dims.get(1)?, *kernel.dims.first()?])
}

/// The dense layer whose value arrives here through functions of one input.
fn layer_before(graph: &Graph, mut source: Source) -> Option<&Node> {
    while let Source::Node(handle) = source {
        let node = &graph.nodes[handle];
        match (node.op.category(), node.inputs.as_slice()) {
            (Category::Layer, _) => return Some(node).filter(|node| node.op.name() == "linear"),
            (Category::Activation | Category::Norm | Category::Noise, [only]) => source = *only,
            _ => return None,
        }
    }
    None
}
