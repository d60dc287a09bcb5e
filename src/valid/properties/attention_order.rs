//! Attention without a mask does not know the order of its positions.
//!
//! ## What it tests
//!
//! Masks are switched off. Where attention comes from inputs `[B,T]` or `[B,T,D]` by operators that treat all positions alike, every
//! input is brought into another order, and with it the rows of tables of positions: every value up to and behind attention must come in that order,
//! in evaluation mode. Queries and keys of other lengths have orders of their own. Scores that are scaled by position, a softmax over queries in place
//! of keys, or a layout that mixes positions and features break it.
//!
//! Behind a class token, a slice or another layout nothing is compared.
//!
//! ## Tolerance
//!
//! The bound on rounding of `explain batch-permutation`, for each value with what the net makes of a difference up to there: the sums over keys run
//! in another order.

use super::{Case, Lab, Subject, lab::largest, positions, variant};
use crate::graph::{Graph, Node, Source};
use crate::ops::Role;
use crate::tensor::{Mode, Tensor};

/// By node: whether its positions follow those of the inputs.
fn follows(graph: &Graph) -> Vec<bool> {
    // Queries give their positions to the result of attention; keys and values may have others.
    positions::aligned(graph, |node: &Node| ["position_embedding", "attention"].contains(&node.op.name()))
}

/// By node: whether attention lies before it or is it, among those that follow.
fn behind(graph: &Graph) -> Vec<bool> {
    let follows = follows(graph);
    let mut found: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for (handle, node) in graph.nodes.iter() {
        let before = node.inputs.iter().any(|source| match source {
            Source::Node(input) => found[input.index()],
            Source::Feed(_) => false,
        });
        found.push(follows[handle.index()] && (before || node.op.name() == "attention"));
    }
    found
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    if subject.graph.nodes.iter().all(|(_, node)| node.op.name() != "attention") {
        return Some("there is no attention".to_owned());
    }
    let none = behind(subject.graph).iter().all(|behind| !behind);
    none.then(|| "the positions of no attention are those of an input".to_owned())
}

/// Where position t of a sequence comes from: backwards, from a start that changes with the seed. Nothing stays as it is.
#[expect(clippy::cast_possible_truncation, reason = "the rest of a division by a length")]
fn order(seed: u64, length: usize) -> impl Fn(usize) -> usize {
    let start = length - 1 + (seed % (length as u64 - 1).max(1)) as usize;
    move |t| (start - t) % length
}

/// A tensor of inputs in the other order.
fn reordered(feed: &Tensor, seed: u64) -> Tensor {
    match feed.dims[..] {
        [_, length] | [_, length, _] if length > 1 => {
            positions::rearranged(feed, length, order(seed, length))
        }
        _ => feed.clone(),
    }
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let open = variant::unmasked(lab.graph());
    let without = open.as_ref().and_then(|graph| lab.of(graph));
    let lab = without.as_ref().unwrap_or(lab);
    let graph = lab.graph();
    let (mut weights, mut feeds) = lab.draw(case);
    let before = lab.base(case, Mode::Eval);
    let bounds = lab.roundings(case, Mode::Eval);
    for (feed, (_, declared)) in feeds.iter_mut().zip(graph.feeds.iter()) {
        if !declared.target {
            *feed = reordered(feed, case.seed);
        }
    }
    for (_, node) in graph.nodes.iter().filter(|(_, node)| node.op.name() == "position_embedding") {
        for param in node.params.iter().filter(|param| graph.params[**param].spec.role == Role::Given) {
            let table = &mut weights.params[param.index()];
            let [length, _] = table.dims[..] else { continue };
            if length > 1 {
                let one = Tensor::new([&[1], &table.dims[..]].concat(), std::mem::take(&mut table.data));
                table.data = positions::rearranged(&one, length, order(case.seed, length)).data;
            }
        }
    }
    let after = lab.run(&weights, &feeds, Mode::Eval, case.seed, false);
    let behind = behind(graph);
    for (handle, node) in graph.nodes.iter().filter(|(handle, _)| behind[handle.index()]) {
        let Some(length) = positions::length(node.shape.as_ref()) else { continue };
        let (a, b) = (&before.values[handle.index()], &after.values[handle.index()]);
        let (width, bound) = (a.len() / (case.batch * length), bounds[handle.index()] * largest(a));
        let from = order(case.seed, length);
        for (i, y) in b.iter().enumerate() {
            let (row, t, unit) = (i / (width * length), i / width % length, i % width);
            let x = a[(row * length + from(t)) * width + unit];
            if (x - y).abs() > bound {
                return Err(format!(
                    "element {unit} of position {} of `{}` is {x}, and {y} where that position comes as number {t}; +- {bound:e} would \
                     pass",
                    from(t),
                    node.path
                ));
            }
        }
    }
    Ok(())
}
