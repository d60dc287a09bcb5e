//! A node whose value nothing needs.
//!
//! ## What it checks
//!
//! Every node lies on a path to the loss or to the net's output, the value of its last statement. Of a branch that leads nowhere
//! the last node is reported, with what the branch costs. Weights on the way to the output that the loss does not depend on are
//! reported, too: they are used, and never trained.
//!
//! ## Why it matters
//!
//! The gradient of the loss by the weights of such a branch is zero by construction: dL/dw is a sum over paths from w to L, and
//! there is none. The weights are stored, drawn, loaded and decayed, but never learn. Usually a line above was meant to be followed
//! by `<- name`, or two branches were meant to be joined.
//!
//! ## Example
//!
//! ```text
//! a:   linear(32, init=he_normal) <- x
//! b:   linear(32, init=he_normal) <- x
//! out: linear(10, init=lecun_normal) <- b
//! ```
//!
//! ## Instead
//!
//! Name it where it is needed (`joined: add <- a, b`), or remove it.
//!
//! ## References
//!
//! research: static.md A07; distributed training in PyTorch stops at such parameters.

use super::scheme;
use super::uses::{Uses, needed};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Handle, Node, Source};
use crate::source::Span;
use crate::text::{count, plural};
use std::collections::{BTreeMap, BTreeSet};

pub static RULE: Rule = lint!("unused_node.rs" = "A001" "unused-node" Warning from "A07");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    if graph.partial {
        return;
    }
    out.extend(untrained(graph));
    let roots = graph.output.into_iter().chain(graph.loss.map(Source::Node));
    let used = needed(graph, roots);
    let uses = Uses::of(graph);
    // By statement: a loop repeats one mistake.
    let mut ends: BTreeMap<Span, Vec<Handle<Node>>> = BTreeMap::new();
    for (handle, node) in graph.nodes.iter().filter(|(handle, _)| !used[handle.index()]) {
        if uses.after(Source::Node(handle)).is_empty() {
            ends.entry(node.span).or_default().push(handle);
        }
    }
    for (span, members) in ends {
        let lost: Vec<&Node> =
            branch(graph, &used, &members).iter().map(|node| &graph.nodes[*node]).collect();
        let params = without_gradient(graph, &used, &lost);
        let node = &graph.nodes[members[0]];
        let paths: Vec<String> = members.iter().map(|node| graph.nodes[*node].path.to_string()).collect();
        let name = scheme::names(&paths);
        let goal = if graph.loss.is_some() { "neither the loss nor the output" } else { "no output" };
        let mut diagnostic = Diagnostic::new(&RULE, span, format!("`{name}` reaches {goal}"))
            .remark("nothing takes this value")
            .node(name)
            .trail(&node.trail)
            .help(format!("name it where it is needed: `<- {}`; or remove it", paths[0]));
        if params > 0 {
            let cost =
                format!("{}, {} parameters that never learn", plural(lost.len(), "node"), count(params));
            diagnostic = diagnostic.note("lost", cost);
        }
        out.push(diagnostic);
    }
}

/// The trainable parameters that only unused nodes take.
fn without_gradient(graph: &Graph, used: &[bool], lost: &[&Node]) -> u64 {
    let kept: BTreeSet<_> = graph
        .nodes
        .iter()
        .filter(|(handle, _)| used[handle.index()])
        .flat_map(|(_, node)| node.params.iter().copied())
        .collect();
    let lost: BTreeSet<_> = lost.iter().flat_map(|node| node.params.iter().copied()).collect();
    lost.difference(&kept).map(|param| graph.params[*param].spec.elements() as u64).sum()
}

/// The finding about weights that the output needs and the loss does not.
fn untrained(graph: &Graph) -> Option<Diagnostic> {
    let loss = graph.loss?;
    let trained = needed(graph, [Source::Node(loss)]);
    let used = needed(graph, graph.output);
    // A weight that the loss reaches through another layer learns there.
    let learning: BTreeSet<_> = graph
        .nodes
        .iter()
        .filter(|(handle, _)| trained[handle.index()])
        .flat_map(|(_, node)| node.params.iter().copied())
        .collect();
    let idle = |node: &Node| node.params.iter().any(|param| !learning.contains(param));
    let lost: Vec<&Node> = graph
        .nodes
        .iter()
        .filter(|(handle, node)| used[handle.index()] && !trained[handle.index()] && idle(node))
        .map(|(_, node)| node)
        .collect();
    let first = lost.first()?;
    let paths: Vec<String> = lost.iter().map(|node| node.path.to_string()).collect();
    let prediction = graph.nodes[loss].inputs.first().map_or(String::new(), |source| graph.name_of(*source));
    let message = format!("the output needs `{}`, and the loss does not depend on it", first.path);
    Some(
        Diagnostic::new(&RULE, first.span, message)
            .remark("its weights never get a gradient")
            .label(graph.nodes[loss].span, format!("takes `{prediction}`"))
            .node(scheme::names(&paths))
            .trail(&first.trail)
            .help("compute the loss on the output, or remove what follows its argument"),
    )
}

/// The unused nodes that some nodes depend on, and these themselves.
fn branch(graph: &Graph, used: &[bool], ends: &[Handle<Node>]) -> BTreeSet<Handle<Node>> {
    let mut found = BTreeSet::new();
    let mut open = ends.to_vec();
    while let Some(node) = open.pop() {
        if !used[node.index()] && found.insert(node) {
            open.extend(graph.nodes[node].inputs.iter().filter_map(|source| match source {
                Source::Node(node) => Some(*node),
                Source::Feed(_) => None,
            }));
        }
    }
    found
}
