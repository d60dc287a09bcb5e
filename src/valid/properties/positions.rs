//! Which values of a graph have positions that are treated alike: what the laws on attention have in common.
//!
//! Contract: positions are axis 1 of `[B,T]` tokens and `[B,T,D]` features. A value is *aligned* if position t of it comes from position t of
//! aligned values or inputs, by an operator that does the same at every position and looks at no other; a law names the operators besides that it
//! can follow.

use super::lab::argument;
use crate::graph::{Graph, Node, Source};
use crate::ops::Category;
use crate::tensor::{Shape, Tensor};

/// The number of positions of a value.
pub(super) fn length(shape: Option<&Shape>) -> Option<usize> {
    match *shape?.sample() {
        [positions] | [positions, _] if positions > 1 => Some(positions),
        _ => None,
    }
}

/// By node: whether it is aligned, where `follows` says which operators count although they look at other positions.
pub(super) fn aligned(graph: &Graph, follows: impl Fn(&Node) -> bool) -> Vec<bool> {
    let mut found: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for (_, node) in graph.nodes.iter() {
        let inputs = node.inputs.iter().all(|source| match source {
            Source::Feed(feed) => !graph.feeds[*feed].target,
            Source::Node(input) => found[input.index()],
        });
        let here = length(node.shape.as_ref());
        let kept = here.is_some() && node.inputs.iter().all(|source| length(graph.shape(*source)) == here);
        found.push(inputs && here.is_some() && (follows(node) || (kept && by_position(graph, node))));
    }
    found
}

/// Whether an operator does the same at every position, given that the number of positions stays.
fn by_position(graph: &Graph, node: &Node) -> bool {
    let features = |source: &Source| graph.shape(*source).is_some_and(|shape| shape.sample().len() == 2);
    let wide = node.inputs.iter().all(features);
    match node.op.category() {
        // A slope for each channel is one for each position.
        Category::Activation => node.params.iter().all(|param| graph.params[*param].spec.elements() == 1),
        Category::Noise => true,
        Category::Layer => wide && node.op.name() == "linear" || node.op.name() == "embedding",
        Category::Norm => wide && ["layer_norm", "rms_norm"].contains(&node.op.name()),
        Category::Distribution => wide && argument(node, "axis").is_some_and(|axis| axis == -1.0),
        Category::Combine => wide && ["add", "mul", "concat"].contains(&node.op.name()),
        _ => false,
    }
}

/// The values of a batch with position t in the place of `from(t)`; `length` positions.
pub(super) fn rearranged(feed: &Tensor, length: usize, from: impl Fn(usize) -> usize) -> Tensor {
    let width = (feed.data.len() / (feed.dims[0] * length).max(1)).max(1);
    let mut data = feed.data.clone();
    for (row, out) in feed.data.chunks(width * length).zip(data.chunks_mut(width * length)) {
        for (t, out) in out.chunks_mut(width).enumerate() {
            out.copy_from_slice(&row[from(t) * width..(from(t) + 1) * width]);
        }
    }
    Tensor::new(feed.dims.clone(), data)
}
