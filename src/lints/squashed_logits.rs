//! A softmax or sigmoid in front of a loss that takes logits.
//!
//! ## What it checks
//!
//! What `cross_entropy` and `bce_with_logits` take is no softmax or sigmoid, looked up through dropout and reshapes. Both losses
//! have one of their own, computed without overflow.
//!
//! ## Why it matters
//!
//! Squashed values lie in 0..1, so the second softmax never gives a class more than e / (e + C - 1): with 10 classes the loss
//! cannot fall below ln(1 + 9/e) = 1.461, and a perfect classifier has probability 0.23. The gradient passes through the slopes of
//! both, p(1 - p) at most 1/4 each, and is flat where the first one is sure. Training seems to work and stalls.
//!
//! ## Example
//!
//! ```text
//! out:   linear(10, init=lecun_normal)
//! probs: softmax
//! train { loss cross_entropy(probs, y)  adam(lr=1e-3) }
//! ```
//!
//! ## Instead
//!
//! `loss cross_entropy(out, y)`; the softmax may stay as the net's output for use. The fix changes the loss.
//!
//! ## References
//!
//! research: static.md O02; Nikanjam et al. 2021 (NeuraLint rules 15 and 20).

use super::uses::origin;
use super::{Context, class_count_mismatch, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Node, Source};
use crate::text::number;

pub static RULE: Rule = lint!("squashed_logits.rs" = "O002" "squashed-logits" Error from "O02");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    if !matches!(loss.op.name(), "cross_entropy" | "bce_with_logits") {
        return;
    }
    let Some(Source::Node(node)) = loss.inputs.first().map(|source| origin(graph, *source)) else { return };
    let squash = &graph.nodes[node];
    if !matches!(squash.op.name(), "softmax" | "sigmoid") {
        return;
    }
    let (name, squasher) = (loss.op.name(), squash.op.name());
    let message = format!("`{name}` takes logits and gets the output of `{squasher}`");
    let inner = if name == "cross_entropy" { "softmax" } else { "sigmoid" };
    let mut diagnostic = Diagnostic::new(&RULE, squash.span, message)
        .remark("values in 0..1")
        .label(loss.span, format!("has a {inner} of its own"))
        .node(squash.path.to_string())
        .trail(&squash.trail);
    if let Some(floor) = floor(graph, loss) {
        diagnostic = diagnostic.note("floor", floor);
    }
    let Some(&logits) = squash.inputs.first() else { return };
    let target = loss.inputs.get(1).map_or(String::new(), |target| graph.name_of(*target));
    let call = format!("{name}({}, {target})", graph.name_of(logits));
    diagnostic = diagnostic.help(format!("loss {call}; remove the {squasher}, or keep it for use only"));
    // Where the squashed value is the output of the net, the loss can take what is before it and nothing is left unused.
    let direct = loss.inputs.first() == Some(&Source::Node(node)) && graph.output == Some(Source::Node(node));
    let title = format!("compute the loss on `{}`", graph.name_of(logits));
    let fix = if direct { super::loss_fix(context, loss, squash, title, call) } else { None };
    out.push(fix.into_iter().fold(diagnostic, Diagnostic::fix));
}

/// The least loss that values in 0..1 allow.
fn floor(graph: &Graph, loss: &Node) -> Option<String> {
    if loss.op.name() == "bce_with_logits" {
        let negative = number(2f64.ln());
        return Some(format!("the loss of a negative sample cannot fall below ln 2 = {negative}"));
    }
    let classes = class_count_mismatch::logits(graph).filter(|classes| *classes > 1)?;
    #[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
    let floor = ((classes - 1) as f64 / std::f64::consts::E).ln_1p();
    Some(format!(
        "with {classes} classes the loss cannot fall below {}, probability {}",
        number(floor),
        number((-floor).exp())
    ))
}
