//! Where uses of one tensor meet, so that a prediction that takes them for independent says nothing.
//!
//! Contract: in wide nets a matrix that is applied again behaves like a fresh one (Yang 2019, 2020), with two exceptions. Its
//! transpose is not independent of it: of W^T W x the mean square is (m + n + 1)/n of what two matrices give. And two values that have
//! passed it by different uses are correlated where they are joined: (I + W)^2 x = x + 2 W x + W^2 x has the term 4 |W x|^2 where
//! independent matrices give 2. Both are found by the last use (towards the inputs) and the next use (towards the prediction) of
//! each shared tensor on every way; what lies behind such a place, or before it for the gradient, is marked.

use crate::graph::{Graph, Handle, Node, ParamTensor, Source};
use std::collections::BTreeMap;

/// By shared tensor: the nearest node that uses it.
type Nearest = BTreeMap<Handle<ParamTensor>, Handle<Node>>;

/// By node: whether uses of one tensor meet.
#[derive(Clone, Debug)]
pub struct Meetings {
    /// In the value.
    pub value: Vec<bool>,
    /// In the gradient there.
    pub gradient: Vec<bool>,
}

impl Meetings {
    /// Those of a graph.
    #[must_use]
    pub fn of(graph: &Graph) -> Self {
        let n = graph.nodes.len();
        let mut found = Self { value: vec![false; n], gradient: vec![false; n] };
        let shared: Vec<bool> = graph.uses().iter().map(|uses| uses.len() > 1).collect();
        if !shared.contains(&true) {
            return found;
        }
        let own = |node: &Node| -> Vec<Handle<ParamTensor>> {
            node.params.iter().copied().filter(|param| shared[param.index()]).collect()
        };
        let mut above: Vec<Nearest> = vec![Nearest::new(); n];
        let mut here = vec![false; n];
        for (handle, node) in graph.nodes.iter() {
            let i = handle.index();
            let mut last = Nearest::new();
            for input in before(node) {
                here[i] |= !join(&mut last, &above[input.index()]);
                found.value[i] |= found.value[input.index()];
            }
            for param in own(node) {
                let other = last.insert(param, handle);
                here[i] |= other.is_some_and(|other| graph.nodes[other].op.name() != node.op.name());
            }
            found.value[i] |= here[i];
            above[i] = last;
        }
        let mut below: Vec<Nearest> = vec![Nearest::new(); n];
        for (handle, node) in graph.nodes.iter().rev() {
            let i = handle.index();
            let mut next = std::mem::take(&mut below[i]);
            next.extend(own(node).into_iter().map(|param| (param, handle)));
            for input in before(node) {
                let j = input.index();
                let apart = !join(&mut below[j], &next);
                found.gradient[j] |= apart || found.gradient[i] || here[i];
            }
        }
        found
    }
}

/// The nodes that a node takes.
fn before(node: &Node) -> impl Iterator<Item = Handle<Node>> {
    node.inputs.iter().filter_map(|source| match source {
        Source::Node(input) => Some(*input),
        Source::Feed(_) => None,
    })
}

/// Adds what another way has met; whether both have met each tensor in the same place, if at all.
fn join(into: &mut Nearest, other: &Nearest) -> bool {
    let mut same = true;
    for (param, node) in other {
        same &= into.insert(*param, *node).is_none_or(|known| known == *node);
    }
    same
}
