//! A softmax over an axis of length 1.
//!
//! ## What it checks
//!
//! The axis of every `softmax` and `log_softmax`, and the class axis of `cross_entropy`, is longer than 1.
//!
//! ## Why it matters
//!
//! e^z / e^z = 1 for every z: the output is constant, the loss is ln 1 = 0, and so is every gradient. Binary classifiers with one
//! unit are the usual case: they need a sigmoid.
//!
//! ## Example
//!
//! ```text
//! out: linear(1, init=lecun_normal)
//!      softmax
//! ```
//!
//! ## Instead
//!
//! One unit with `bce_with_logits`, or two units with `cross_entropy`.
//!
//! ## References
//!
//! research: static.md O01 (Keras warns; more than ten questions on one site).

use super::{Context, class_count_mismatch, lint, uses::attribute};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{FeedKind, Graph, Node, Source};

pub static RULE: Rule = lint!("softmax_over_one.rs" = "O003" "softmax-over-one" Error from "O01");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let of_shares = |node: &Node| matches!(node.op.name(), "softmax" | "log_softmax");
    for (_, node) in graph.nodes.iter().filter(|(_, node)| of_shares(node)) {
        let axis = attribute(node, "axis").map_or(Some(-1), |text| text.parse().ok());
        let length = axis.zip(node.shape.as_ref()).and_then(|(axis, shape)| {
            let at = shape.sample_axis(axis)?;
            shape.sample().get(at).copied()
        });
        let Some((1, shape)) = length.zip(node.shape.as_ref()) else { continue };
        let message = match node.op.name() {
            "softmax" => "a softmax over one value is always 1",
            _ => "the logarithm of a softmax over one value is always 0",
        };
        let mut diagnostic = Diagnostic::new(&RULE, node.argument("axis"), message)
            .remark(format!("its axis of {shape} has length 1"))
            .node(node.path.to_string())
            .trail(&node.trail)
            .help("a sigmoid for one unit, or another axis");
        if let Some(source) = node.inputs.first().filter(|source| graph.span(**source) != node.span) {
            diagnostic = diagnostic.label(graph.span(*source), "one value comes from here");
        }
        out.push(diagnostic);
    }
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    let [prediction, Source::Feed(target)] = loss.inputs.as_slice() else { return };
    // A wrong number of logits is the business of `class-count-mismatch`.
    let of_one = matches!(graph.feeds[*target].kind, FeedKind::Class(None | Some(1), _));
    let entropy = loss.op.name() == "cross_entropy";
    if entropy && class_count_mismatch::logits(graph) == Some(1) && of_one {
        out.push(
            Diagnostic::new(&RULE, loss.span, "a cross-entropy over one class is always 0")
                .label(graph.span(*prediction), "one logit comes from here")
                .node(graph.name_of(*prediction))
                .help("bce_with_logits for one unit, or one unit for each class"),
        );
    }
}
