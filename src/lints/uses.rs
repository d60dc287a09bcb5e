//! Who takes which value: the graph read downwards.
//!
//! Not a lint; the lints share it. Built once for a lint in one pass over the nodes, so that walks are linear in what they visit.

use super::scheme::{self, Consumer};
use crate::graph::{Graph, Handle, Node, Source};
use crate::moments::Moments;
use crate::ops::{Category, Transfer};
use crate::tensor::{Mode, Shape};

/// The consumers of every value.
#[derive(Debug)]
pub struct Uses {
    nodes: Vec<Vec<Handle<Node>>>,
    feeds: Vec<Vec<Handle<Node>>>,
    /// What becomes of each node's value before the next weights.
    pub consumers: Vec<Consumer>,
}

impl Uses {
    /// Reads a graph.
    #[must_use]
    pub fn of(graph: &Graph) -> Self {
        let mut nodes: Vec<Vec<Handle<Node>>> = vec![Vec::new(); graph.nodes.len()];
        let mut feeds: Vec<Vec<Handle<Node>>> = vec![Vec::new(); graph.feeds.len()];
        for (handle, node) in graph.nodes.iter() {
            for source in &node.inputs {
                let list = match source {
                    Source::Feed(feed) => &mut feeds[feed.index()],
                    Source::Node(node) => &mut nodes[node.index()],
                };
                // A node that takes one value twice is one consumer.
                if list.last() != Some(&handle) {
                    list.push(handle);
                }
            }
        }
        let consumers = scheme::consumers(graph, &nodes);
        Self { nodes, feeds, consumers }
    }

    /// The nodes that take a value, in order.
    #[must_use]
    pub fn after(&self, source: Source) -> &[Handle<Node>] {
        match source {
            Source::Feed(feed) => &self.feeds[feed.index()],
            Source::Node(node) => &self.nodes[node.index()],
        }
    }
}

/// Marks the nodes that some value depends on.
#[must_use]
pub fn needed(graph: &Graph, roots: impl IntoIterator<Item = Source>) -> Vec<bool> {
    let mut found = vec![false; graph.nodes.len()];
    let mut open: Vec<Source> = roots.into_iter().collect();
    while let Some(source) = open.pop() {
        let Source::Node(node) = source else { continue };
        if !std::mem::replace(&mut found[node.index()], true) {
            open.extend(&graph.nodes[node].inputs);
        }
    }
    found
}

/// The value that a node receives first, looked up through what only moves or drops elements.
#[must_use]
pub fn origin(graph: &Graph, mut source: Source) -> Source {
    while let Source::Node(node) = source {
        let node = &graph.nodes[node];
        match (node.op.category(), node.inputs.as_slice()) {
            (Category::Layout | Category::Noise, [only]) => source = *only,
            _ => break,
        }
    }
    source
}

/// The logits behind the loss of a classifier: what it takes, or what the sigmoid before `bce` or the log-softmax before `nll` takes.
#[must_use]
pub fn logits(graph: &Graph) -> Option<Source> {
    let loss = &graph.nodes[graph.loss?];
    let prediction = *loss.inputs.first()?;
    let squash = match loss.op.name() {
        "cross_entropy" | "bce_with_logits" => return Some(prediction),
        "bce" => "sigmoid",
        "nll" => "log_softmax",
        _ => return None,
    };
    let Source::Node(node) = origin(graph, prediction) else { return None };
    let node = &graph.nodes[node];
    node.inputs.first().copied().filter(|_| node.op.name() == squash)
}

/// An argument of a node in canonical form; `None` where it has its default.
#[must_use]
pub fn attribute(node: &Node, name: &str) -> Option<String> {
    node.op.attributes().into_iter().find(|(known, _)| *known == name).map(|(_, text)| text)
}

/// Whether what a node makes of zeros is zero: relu and tanh, but not sigmoid.
#[must_use]
pub fn keeps_zero(graph: &Graph, node: &Node) -> bool {
    let Some(shape) = &node.shape else { return false };
    let shapes: Option<Vec<&Shape>> = node.inputs.iter().map(|source| graph.shape(*source)).collect();
    let Some(shapes) = shapes else { return false };
    let inputs = vec![Moments::ZERO; shapes.len()];
    let params = graph.specs(node);
    let y = node.op.transfer(Transfer {
        mode: Mode::Train,
        shapes: &shapes,
        shape,
        inputs: &inputs,
        params: &params,
    });
    // Zeros are drawn with a variance of 1e-260, for which quadrature has numbers.
    y.ln_square.hi < -500.0
}
