//! The graph of a spec with other arguments in some of its operators.
//!
//! Contract: inputs, tensors, shapes and the order of nodes stay, so that weights and handles fit before and after; only what the operators do
//! changes. `None` where there is nothing to change.

use crate::graph::{Graph, Verified, verify};
use crate::ops::OpKind;

/// The graph in which attention takes every key.
pub(super) fn unmasked(graph: &Graph) -> Option<Verified<Graph>> {
    changed(graph, |op| match op {
        OpKind::Attention(attention) => attention.unmasked().map(OpKind::Attention),
        _ => None,
    })
}

/// The graph in which dropout keeps every element.
pub(super) fn keeping_all(graph: &Graph) -> Option<Verified<Graph>> {
    changed(graph, |op| match op {
        OpKind::Dropout(dropout) => Some(OpKind::Dropout(dropout.keeping_all())),
        OpKind::AlphaDropout(dropout) => Some(OpKind::AlphaDropout(dropout.keeping_all())),
        _ => None,
    })
}

fn changed(graph: &Graph, with: impl Fn(&OpKind) -> Option<OpKind>) -> Option<Verified<Graph>> {
    let mut other = graph.clone();
    let mut any = false;
    for handle in graph.nodes.handles() {
        if let Some(op) = with(&graph.nodes[handle].op) {
            other.nodes[handle].op = op;
            any = true;
        }
    }
    if any { verify(other).ok() } else { None }
}
