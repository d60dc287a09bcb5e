//! Dense layers that grow wider towards the head of a classifier.
//!
//! ## What it checks
//!
//! Of the `linear` layers of a classifier that lead to its logits one after the other, through activations, norms and dropout and nothing
//! else, none has more outputs than inputs but the first. Gates, adapters and residual branches are not part of that chain. A matter of
//! taste, looked for with `check --style`.
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
    let chain = chain(graph);
    // Between the head and the first layer of the chain. By statement: a loop repeats one mistake.
    let mut found: BTreeMap<Span, Vec<(&Node, &Node)>> = BTreeMap::new();
    for pair in chain.windows(2).skip(1) {
        let [node, before] = [pair[0], pair[1]];
        if widths(graph, node).is_some_and(|[inputs, outputs]| outputs > inputs) {
            found.entry(node.span).or_default().push((node, before));
        }
    }
    for (span, members) in found {
        let (node, before) = members[0];
        let Some([inputs, outputs]) = widths(graph, node) else { continue };
        let paths: Vec<String> = members.iter().map(|(node, _)| node.path.to_string()).collect();
        let message = format!("the width grows from {inputs} to {outputs} before the head");
        let mut diagnostic = Diagnostic::new(&RULE, span, message)
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

/// The dense layers that lead to the logits, the head first.
fn chain(graph: &Graph) -> Vec<&Node> {
    let mut found = Vec::new();
    let mut source = logits(graph);
    while let Some(Source::Node(handle)) = source {
        let node = &graph.nodes[handle];
        match node.op.category() {
            Category::Layer if node.op.name() == "linear" => found.push(node),
            Category::Activation | Category::Norm | Category::Noise => {}
            _ => break,
        }
        source = node.inputs.first().copied().filter(|_| node.inputs.len() == 1);
    }
    found
}
