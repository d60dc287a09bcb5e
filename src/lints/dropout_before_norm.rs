//! Dropout directly before a batch norm.
//!
//! ## What it checks
//!
//! A `dropout` whose value reaches a `batch_norm` through activations, pools and reshapes alone, if the variance that the norm sees
//! in training is more than 1.3 times that in use, by the static analysis of the signal.
//!
//! ## Why it matters
//!
//! With inverted dropout E x is the same in both modes but E x^2 in training is E x^2 / (1 - p). The norm's running variance is
//! therefore (s / (1 - p) - k) against s - k in use, with s = E x^2 and k the part that all samples share. Behind a ReLU and with p = 0.5
//! the ratio is 2.5: in use everything behind the norm is too small by a factor of 1.6, which shows as a gap between training
//! and validation that no regularisation closes.
//!
//! ## Example
//!
//! ```text
//! fc: linear(64, init=he_normal)
//!     relu
//!     dropout(0.5)
//!     batch_norm
//! ```
//!
//! ## Instead
//!
//! Norm first: `batch_norm`, `relu`, `dropout`; or dropout once, before the head.
//!
//! ## References
//!
//! Li et al. 2019, "Understanding the disharmony between dropout and batch normalization by variance shift".

use super::heavy_dropout::UNUSUAL;
use super::uses::{Uses, attribute};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::Category;
use crate::text::number;

pub static RULE: Rule = lint!("dropout_before_norm.rs" = "M002" "dropout-before-norm" Warning from "A06");

/// The ratio of variances from which it is worth a word.
const SHIFT: f64 = 1.3;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let mut uses = None;
    for (handle, node) in graph.nodes.iter().filter(|(_, node)| node.op.name() == "dropout") {
        let uses = uses.get_or_insert_with(|| Uses::of(graph));
        let Some((norm, p, ratio)) = shift(context, uses, handle) else { continue };
        let ratio = number(ratio);
        let norm = &graph.nodes[norm];
        let message =
            format!("`batch_norm` sees {ratio} times the variance in training that it meets in use");
        let mut diagnostic = Diagnostic::new(&RULE, node.span, message)
            .remark("adds variance in training only")
            .label(norm.span, "keeps the training variance for use")
            .node(node.path.to_string())
            .trail(&node.trail)
            .help("put the dropout behind the norm and its activation");
        if p > UNUSUAL {
            let kept = number(1.0 - p);
            diagnostic =
                diagnostic.note("p", format!("is the probability of dropping: {kept} of the units stay"));
        }
        out.push(diagnostic);
    }
}

/// The batch norm whose variance a dropout spoils, the probability of dropping, and the ratio of variances.
#[must_use]
pub fn shift(context: Context<'_>, uses: &Uses, dropout: Handle<Node>) -> Option<(Handle<Node>, f64, f64)> {
    let graph: &Graph = context.graph;
    let norm = norm_behind(graph, uses, dropout)?;
    let node = &graph.nodes[dropout];
    let p = attribute(node, "p")?.parse().ok()?;
    let ratio = ratio(context, node, p).filter(|ratio| *ratio > SHIFT)?;
    Some((norm, p, ratio))
}

/// The batch norm that a dropout reaches without weights between.
fn norm_behind(graph: &Graph, uses: &Uses, from: Handle<Node>) -> Option<Handle<Node>> {
    let mut open = vec![from];
    let mut seen = vec![from];
    while let Some(at) = open.pop() {
        for &next in uses.after(Source::Node(at)) {
            match graph.nodes[next].op.category() {
                Category::Norm if graph.nodes[next].op.name() == "batch_norm" => return Some(next),
                Category::Activation | Category::Pool | Category::Layout if !seen.contains(&next) => {
                    seen.push(next);
                    open.push(next);
                }
                _ => {}
            }
        }
    }
    None
}

/// (s / (1 - p) - k) / (s - k), with s - k the share of the second moment in which samples differ.
fn ratio(context: Context<'_>, dropout: &Node, p: f64) -> Option<f64> {
    let x = context.signal.of(*dropout.inputs.first()?)?;
    (x.contrast > 0.0 && p < 1.0).then(|| (1.0 / (1.0 - p) - (1.0 - x.contrast)) / x.contrast)
}
