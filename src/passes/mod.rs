//! Rewrites of the graph that keep its meaning.
//!
//! Contract: a pass takes a graph and returns one that computes the same prediction, loss and gradients in the mode it is run for. Trainable
//! tensors and states keep their handles and names, so that weights fit before and after. The graph is verified again after every
//! pass. To add one: a file, and its line in [`ALL`], which is also the order in which they run.

mod identity;
mod unused;

use crate::graph::{Graph, Handle, Node, Source, Verified, verify};
use crate::manual::page;
use crate::tensor::Mode;

/// One pass.
#[derive(Debug)]
pub struct Pass {
    /// Its name.
    pub name: &'static str,
    /// What it does and why that keeps the meaning.
    pub page: &'static str,
    /// What becomes of each node.
    pub plan: fn(&Verified<Graph>, Mode) -> Vec<Fate>,
}

/// What a pass does with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Stays,
    /// Nobody needs it.
    Goes,
    /// Its value is that of its first input.
    Forwards,
}

/// Every pass, in the order in which they run.
pub static ALL: &[Pass] = &[
    Pass { name: "identity", page: page!("identity.rs"), plan: identity::plan },
    Pass { name: "unused", page: page!("unused.rs"), plan: unused::plan },
];

/// Runs every pass for a mode.
#[must_use]
pub fn run(graph: Verified<Graph>, mode: Mode) -> Verified<Graph> {
    ALL.iter().fold(graph, |graph, pass| apply(pass, graph, mode))
}

/// Runs one pass and verifies its result.
///
/// # Panics
/// If the pass breaks an invariant of graphs: a mistake of this program.
#[must_use]
pub fn apply(pass: &Pass, graph: Verified<Graph>, mode: Mode) -> Verified<Graph> {
    let fates = (pass.plan)(&graph, mode);
    if fates.iter().all(|fate| *fate == Fate::Stays) {
        return graph;
    }
    let rewritten = rewrite(graph.into_inner(), &fates);
    verify(rewritten)
        .unwrap_or_else(|violations| panic!("internal: after the pass `{}`: {violations:?}", pass.name))
}

/// Builds the graph without the nodes that go or forward.
fn rewrite(mut graph: Graph, fates: &[Fate]) -> Graph {
    let old = std::mem::take(&mut graph.nodes);
    let mut places: Vec<Option<Source>> = Vec::with_capacity(old.len());
    let moved = |source: Source, places: &[Option<Source>]| match source {
        Source::Feed(_) => Some(source),
        Source::Node(node) => places[node.index()],
    };
    for ((_, node), fate) in old.iter().zip(fates) {
        let inputs: Option<Vec<Source>> = node.inputs.iter().map(|source| moved(*source, &places)).collect();
        let place = match (fate, inputs) {
            (Fate::Stays, Some(inputs)) => {
                Some(Source::Node(graph.nodes.push(Node { inputs, ..node.clone() })))
            }
            (Fate::Forwards, Some(inputs)) => inputs.first().copied(),
            (Fate::Goes, _) | (_, None) => None,
        };
        places.push(place);
    }
    // They name nodes of the graph as it was written.
    graph.properties.clear();
    graph.output = graph.output.and_then(|output| moved(output, &places));
    graph.loss = graph.loss.and_then(|loss: Handle<Node>| match places[loss.index()] {
        Some(Source::Node(node)) => Some(node),
        _ => None,
    });
    graph
}
