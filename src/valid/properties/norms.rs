//! What the laws on norms have in common: which elements a norm normalises together.
//!
//! Contract: a [`Group`] lists the elements of the value that share a mean and a variance, each with the index of its factor, and what
//! the formula `y = gamma (x - mean) / sqrt(var + eps) + beta` needs.

use crate::exec::Weights;
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::Role;

/// Elements that are normalised together.
pub(super) struct Group {
    /// Element and factor.
    pub elements: Vec<(usize, usize)>,
}

/// A norm with its input.
pub(super) struct Norm<'g> {
    pub handle: Handle<Node>,
    pub node: &'g Node,
    pub input: Handle<Node>,
    pub eps: f64,
    /// Whether it takes the mean away.
    pub centred: bool,
}

/// The norms of a graph whose input is a node.
pub(super) fn all(graph: &Graph) -> impl Iterator<Item = Norm<'_>> {
    graph.nodes.iter().filter_map(|(handle, node)| {
        let centred = match node.op.name() {
            "batch_norm" | "layer_norm" | "group_norm" => true,
            "rms_norm" => false,
            _ => return None,
        };
        let Some(Source::Node(input)) = node.inputs.first() else { return None };
        Some(Norm { handle, node, input: *input, eps: super::lab::argument(node, "eps")?, centred })
    })
}

impl Norm<'_> {
    /// The groups of a batch.
    pub fn groups(&self, batch: usize) -> Vec<Group> {
        let Some(shape) = &self.node.shape else { return Vec::new() };
        let width = shape.elements();
        let channels = shape.channels().unwrap_or(1).max(1);
        let places = (width / channels).max(1);
        match self.node.op.name() {
            "batch_norm" => (0..channels)
                .map(|c| {
                    let of = |row: usize| (0..places).map(move |p| ((row * channels + c) * places + p, c));
                    Group { elements: (0..batch).flat_map(of).collect() }
                })
                .collect(),
            "group_norm" => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a small whole number"
                )]
                let count = super::lab::argument(self.node, "groups").map_or(1, |n| n as usize).max(1);
                let own = width / count;
                (0..batch * count)
                    .map(|run| {
                        let of = |i: usize| (run * own + i, (run % count * own + i) / places);
                        Group { elements: (0..own).map(of).collect() }
                    })
                    .collect()
            }
            _ => {
                let last = shape.last().unwrap_or(1).max(1);
                (0..batch * width / last)
                    .map(|run| Group { elements: (0..last).map(|i| (run * last + i, i)).collect() })
                    .collect()
            }
        }
    }

    /// The tensor of a role.
    pub fn tensor<'w>(&self, graph: &Graph, weights: &'w Weights, role: Role) -> Option<&'w [f64]> {
        let param = self.node.params.iter().find(|param| graph.params[**param].spec.role == role)?;
        Some(&weights.param(*param).data)
    }
}

/// Mean and biased variance.
#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
pub(super) fn moments(values: &[f64], group: &Group) -> (f64, f64) {
    let n = group.elements.len().max(1) as f64;
    let mean = group.elements.iter().map(|(i, _)| values[*i]).sum::<f64>() / n;
    let variance = group.elements.iter().map(|(i, _)| (values[*i] - mean).powi(2)).sum::<f64>() / n;
    (mean, variance)
}
