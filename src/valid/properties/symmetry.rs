//! After a step of training, no two units of a layer are the same.
//!
//! ## What it tests
//!
//! One step of the spec's optimiser on one batch; then the rows of every kernel, each with its bias, are compared. Units that start
//! equal, on both sides, get equal gradients and stay equal for ever: the layer has one unit. The units of the last layer have targets of their own and
//! do not count: the logits of two classes that are missing in a batch get equal gradients. Neither do rows of zeros, which a unit
//! that is off keeps behind weights that start at zero, nor do rows that overflow (`explain finite`).
//!
//! The heads of every `attention` whose queries, keys and values come from linear layers are compared likewise: two heads whose rows of all three
//! are equal stay one.
//!
//! ## Tolerance
//!
//! None: equal units have equal bits, because their sums run in the same order.

use super::{Case, Lab, Subject};
use crate::exec::{Keep, Session, Weights};
use crate::graph::{Graph, Node, Source};
use crate::ops::{OpKind, Role};
use crate::optim;
use crate::signal::account::heads;
use crate::tensor::Tensor;
use crate::valid::gradcheck::objective;
use std::collections::BTreeMap;
use std::ops::Range;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    let wide = |role: Role, dims: &[usize]| role == Role::Kernel && dims.first().is_some_and(|n| *n > 1);
    let any = subject.graph.params.iter().any(|(_, param)| wide(param.spec.role, &param.spec.dims));
    (!any).then(|| "no layer has two units".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let graph = lab.subject.runnable;
    let (mut weights, feeds) = lab.draw(case);
    let mut session: Session<'_, f64> = Session::new(graph, case.batch, Keep::All);
    let optimizer = graph.training.optimizer.as_ref().map_or(optim::DEFAULT, |given| given.value.clone());
    optim::train(&mut session, &objective(graph, case.seed), &optimizer, 1, case.seed, &feeds, &mut weights);
    if let Some(detail) = equal_heads(&graph, &weights) {
        return Err(detail);
    }
    let head = heads(&graph);
    for (_, node) in graph.nodes.iter().filter(|(handle, _)| !head[handle.index()]) {
        let Some(kernel) = tensor(&graph, node, &weights, Role::Kernel) else { continue };
        let units = kernel.dims[0];
        let width = kernel.data.len() / units.max(1);
        let rows = (0..units).filter_map(|unit| Some((unit, rows(&graph, node, &weights, unit..unit + 1)?)));
        if let Some((one, other)) = twins(rows.filter(|_| units > 1)) {
            return Err(format!(
                "units {one} and {other} of `{}` have the same {width} weights after a step",
                node.path
            ));
        }
    }
    Ok(())
}

/// The tensor of a node in a role.
fn tensor<'w>(graph: &Graph, node: &Node, weights: &'w Weights, role: Role) -> Option<&'w Tensor> {
    let param = node.params.iter().find(|param| graph.params[**param].spec.role == role)?;
    Some(weights.param(*param))
}

/// The bits of the rows of a kernel with their biases; `None` where they are zeros or overflow.
fn rows(graph: &Graph, node: &Node, weights: &Weights, units: Range<usize>) -> Option<Vec<u64>> {
    let kernel = tensor(graph, node, weights, Role::Kernel)?;
    let all = kernel.dims[0];
    let width = kernel.data.len() / all.max(1);
    let rows = &kernel.data[units.start * width..units.end * width];
    let bias = tensor(graph, node, weights, Role::Bias).filter(|bias| bias.data.len() == all);
    let own = bias.map_or(&[][..], |bias| &bias.data[units]);
    let live = rows.iter().any(|w| *w != 0.0 && w.is_finite());
    live.then(|| rows.iter().chain(own).map(|w| w.to_bits()).collect())
}

/// The first two numbers with equal bits.
fn twins(all: impl Iterator<Item = (usize, Vec<u64>)>) -> Option<(usize, usize)> {
    let mut seen: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
    all.into_iter().find_map(|(at, bits)| seen.insert(bits, at).map(|other| (other, at)))
}

/// Two heads of attention with equal queries, keys and values.
fn equal_heads(graph: &Graph, weights: &Weights) -> Option<String> {
    graph.nodes.iter().find_map(|(_, node)| {
        let OpKind::Attention(attention) = &node.op else { return None };
        let projections: Option<Vec<&Node>> = node
            .inputs
            .iter()
            .map(|source| match source {
                Source::Node(input) => Some(&graph.nodes[*input]).filter(|node| node.op.name() == "linear"),
                Source::Feed(_) => None,
            })
            .collect();
        let (projections, heads) = (projections?, attention.heads());
        let own = node.shape.as_ref()?.last()? / heads;
        let head = |head: usize| {
            let units = head * own..(head + 1) * own;
            let bits: Option<Vec<Vec<u64>>> =
                projections.iter().map(|layer| rows(graph, layer, weights, units.clone())).collect();
            Some((head, bits?.concat()))
        };
        let (one, other) = twins((0..heads).filter_map(head))?;
        Some(format!("heads {one} and {other} of `{}` have the same weights after a step", node.path))
    })
}
