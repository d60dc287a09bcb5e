//! Removes nodes that neither the output nor the loss depends on.
//!
//! Their value reaches nothing, so prediction and loss do not change; their weights have gradient zero, unless another node shares
//! them, and keep their place in the list of tensors.

use super::Fate;
use crate::graph::{Graph, Source, Verified};
use crate::tensor::Mode;

pub fn plan(graph: &Verified<Graph>, _: Mode) -> Vec<Fate> {
    let mut needed = vec![false; graph.nodes.len()];
    let roots = graph.loss.map(Source::Node).into_iter().chain(graph.output).chain(graph.prediction());
    for root in roots {
        if let Source::Node(node) = root {
            needed[node.index()] = true;
        }
    }
    for (handle, node) in graph.nodes.iter().rev() {
        if needed[handle.index()] {
            for source in &node.inputs {
                if let Source::Node(input) = source {
                    needed[input.index()] = true;
                }
            }
        }
    }
    needed.into_iter().map(|needed| if needed { Fate::Stays } else { Fate::Goes }).collect()
}
