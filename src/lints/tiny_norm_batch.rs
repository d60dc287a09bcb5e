//! Batch norm over too few values.
//!
//! ## What it checks
//!
//! The number of values that a `batch_norm` averages over in training: the batch times the positions of a map. One value is an
//! error; a batch of 1 over a map, or fewer than four values, is a warning.
//!
//! ## Why it matters
//!
//! With n values (x - mean) / sqrt(var + eps) has n - 1 degrees of freedom. For n = 1 it is 0 whatever x is: the layer's output is
//! beta, and no gradient passes. For n = 2 it is +1 or -1: only an order remains. In use the running statistics take over, and the
//! net computes something that it was not trained on. A batch of 1 over a map normalises each sample by itself.
//!
//! ## Example
//!
//! ```text
//! fc: linear(64, init=he_normal)
//!     batch_norm
//!     relu
//! train { loss cross_entropy(out, y)  adam(lr=1e-3)  batch 1 }
//! ```
//!
//! ## Instead
//!
//! A batch of 16 or more, or `layer_norm`, which does not look across the batch.
//!
//! ## References
//!
//! Ioffe and Szegedy 2015; Wu and He 2018 (error against batch size).

use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::graph::{Graph, Source};
use crate::text::plural;

pub static RULE: Rule = lint!("tiny_norm_batch.rs" = "M001" "tiny-norm-batch" Warning from "N01");

/// Fewer values than this make a variance that is mostly noise: its relative error is sqrt(2 / (n - 1)).
const FEW: usize = 4;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(batch) = graph.training.batch else { return };
    let mut found = Vec::new();
    for (_, node) in graph.nodes.iter().filter(|(_, node)| node.op.name() == "batch_norm") {
        let Some(shape) = node.inputs.first().and_then(|source| graph.shape(*source)) else { continue };
        let positions: usize = shape.sample().iter().skip(1).product();
        let values = batch.saturating_mul(positions);
        if batch == 1 || values < FEW {
            found.push((values, node));
        }
    }
    let Some((values, node)) = found.iter().min_by_key(|(values, _)| *values) else { return };
    let (severity, fate) = match values {
        1 => (Severity::Error, "its output is constant and passes no gradient"),
        2..FEW => (Severity::Warning, "its variance is mostly noise"),
        _ => (Severity::Warning, "every sample is normalised by itself"),
    };
    let of = if *values == 1 { "one value".to_owned() } else { plural(*values, "value") };
    let message = format!("with batch {batch}, `batch_norm` averages over {of}: {fate}");
    let paths: Vec<String> = found.iter().map(|(_, node)| node.path.to_string()).collect();
    let mut diagnostic = Diagnostic::new(&RULE, node.span, message)
        .severity(severity)
        .remark(
            node.inputs
                .first()
                .and_then(|source| graph.shape(*source))
                .map_or(String::new(), |shape| format!("takes {shape}")),
        )
        .node(super::scheme::names(&paths))
        .trail(&node.trail)
        .help("a batch of 16 or more, or layer_norm");
    if let Some(Source::Node(loss)) = graph.loss.map(Source::Node) {
        diagnostic = diagnostic.label(graph.nodes[loss].span, format!("trained with batch {batch}"));
    }
    out.push(diagnostic);
}
