//! What every graph satisfies before anything looks at it.
//!
//! 1. A node's inputs are feeds or nodes before it.
//! 2. Paths of nodes, names of feeds and paths of tensors are unique.
//! 3. The number of inputs is that of the operator; the second input of a loss is a target, and no other input is.
//! 4. A node's shape, tensors and room are what the operator's shape rule says for the shapes of its inputs, and unknown
//!    only if an input is unknown, the rule rejects the inputs or the result exceeds the limits (which the builder has reported).
//! 5. The loss is the last node, nothing consumes it, and the output is a node or an input.
//! 6. Penalty factors are finite and not negative.
//! 7. A trainable tensor belongs to one node at most; every other that takes it says so, and takes it in its shape.

use super::builder::too_large;
use super::{FeedKind, Graph, Node, Source};
use crate::ops::Arity;
use std::collections::BTreeSet;
use std::ops::Deref;

/// A graph that satisfies the invariants of this module. There is no other way to make one than [`verify`].
#[derive(Clone, Debug)]
pub struct Verified<G>(G);

impl<G> Deref for Verified<G> {
    type Target = G;
    fn deref(&self) -> &G {
        &self.0
    }
}

impl<G> Verified<G> {
    /// Gives the graph up for rewriting.
    pub fn into_inner(self) -> G {
        self.0
    }
}

/// A broken invariant: a mistake of this program, not of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// Checks every invariant.
///
/// # Errors
/// All violations.
pub fn verify(graph: Graph) -> Result<Verified<Graph>, Vec<Violation>> {
    let mut found = Vec::new();
    names(&graph, &mut found);
    let mut owned = vec![false; graph.params.len()];
    for (handle, node) in graph.nodes.iter() {
        let mut say = |what: String| found.push(Violation(format!("node {}: {what}", node.path)));
        for source in &node.inputs {
            let before = match source {
                Source::Feed(feed) => feed.index() < graph.feeds.len(),
                Source::Node(other) => other < &handle,
            };
            if !before {
                say(format!("input {source:?} does not stand before it"));
            }
        }
        arity(&graph, node, &mut say);
        for (slot, param) in node.params.iter().enumerate() {
            let tied = node.tie.as_ref().is_some_and(|tie| tie.slot == slot);
            if !tied && std::mem::replace(&mut owned[param.index()], true) {
                say(format!("takes {} without a tie", graph.params[*param].path));
            }
        }
        if let Some(tie) = node.tie.as_ref().filter(|tie| tie.slot >= node.params.len()) {
            say(format!("ties tensor {} of {}", tie.slot, node.params.len()));
        }
        if node.inputs.iter().all(|source| matches!(source, Source::Feed(_)) || in_range(&graph, *source)) {
            shapes(&graph, node, &mut say);
        }
    }
    if let Some(loss) = graph.loss {
        if loss.index() + 1 != graph.nodes.len() {
            found.push(Violation("the loss is not the last node".to_owned()));
        }
        if graph.output == Some(Source::Node(loss)) {
            found.push(Violation("the loss is the output".to_owned()));
        }
    }
    for penalty in &graph.penalties {
        if !penalty.factor.is_finite() || penalty.factor < 0.0 {
            found.push(Violation(format!("a penalty of {}", penalty.factor)));
        }
    }
    if found.is_empty() { Ok(Verified(graph)) } else { Err(found) }
}

fn in_range(graph: &Graph, source: Source) -> bool {
    match source {
        Source::Feed(feed) => feed.index() < graph.feeds.len(),
        Source::Node(node) => node.index() < graph.nodes.len(),
    }
}

fn names(graph: &Graph, found: &mut Vec<Violation>) {
    let groups: [(&str, Vec<String>); 4] = [
        ("feed", graph.feeds.iter().map(|(_, feed)| feed.name.clone()).collect()),
        ("node", graph.nodes.iter().map(|(_, node)| node.path.to_string()).collect()),
        ("parameter", graph.params.iter().map(|(_, param)| param.path.clone()).collect()),
        ("state", graph.states.iter().map(|(_, state)| state.path.clone()).collect()),
    ];
    for (what, names) in groups {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name.clone()) {
                found.push(Violation(format!("two {what}s are called {name}")));
            }
        }
    }
}

fn arity(graph: &Graph, node: &Node, say: &mut impl FnMut(String)) {
    let n = node.inputs.len();
    let fits = match node.op.arity() {
        Arity::One => n == 1,
        Arity::Many => n >= 1,
        Arity::Exactly(wanted) => n == wanted,
        Arity::Loss => n == 2,
    };
    if !fits {
        say(format!("`{}` has {n} inputs", node.op.name()));
    }
    for (i, source) in node.inputs.iter().enumerate() {
        let target = matches!(source, Source::Feed(feed) if graph.feeds[*feed].target);
        let wanted = node.op.arity() == Arity::Loss && i == 1;
        if target != wanted {
            say(format!("input {i} is {}a target", if target { "" } else { "not " }));
        }
    }
}

fn shapes(graph: &Graph, node: &Node, say: &mut impl FnMut(String)) {
    let inferred = graph.infer(&node.op, &node.inputs).and_then(Result::ok);
    let inferred = inferred.filter(|inferred| too_large(inferred).is_none());
    match (&node.shape, inferred) {
        (None, None) => {}
        (Some(shape), None) => say(format!("has shape {shape}, which no rule gives")),
        (None, Some(inferred)) => say(format!("has no shape; the rule gives {}", inferred.output)),
        (Some(shape), Some(inferred)) => {
            if *shape != inferred.output {
                say(format!("has shape {shape}; the rule gives {}", inferred.output));
            }
            if node.saved != inferred.saved || node.scratch != inferred.scratch {
                say("has other room than the rule gives".to_owned());
            }
            let dims = |handles: &[super::Handle<super::ParamTensor>]| -> Vec<Vec<usize>> {
                handles.iter().map(|handle| graph.params[*handle].spec.dims.clone()).collect()
            };
            let wanted: Vec<Vec<usize>> = inferred.params.iter().map(|param| param.dims.clone()).collect();
            if dims(&node.params) != wanted {
                say(format!("has parameters {:?}; the rule gives {wanted:?}", dims(&node.params)));
            }
        }
    }
}

/// A verified graph in which every shape is known, every parameter has an initialiser, every class a logit and every word
/// a row: one that can be executed.
#[derive(Clone, Copy, Debug)]
pub struct Runnable<'g>(&'g Graph);

impl<'g> Runnable<'g> {
    /// The graph, if nothing in it is unknown.
    #[must_use]
    pub fn new(graph: &'g Verified<Graph>) -> Option<Self> {
        let shapes = graph.nodes.iter().all(|(_, node)| node.shape.is_some())
            && graph.feeds.iter().all(|(_, feed)| feed.shape.is_some());
        let inits = graph.params.iter().all(|(_, param)| param.spec.init.is_some());
        (shapes && inits && graph.prediction().is_some() && labels_fit(graph) && words_fit(graph))
            .then_some(Self(graph))
    }
}

/// Whether the loss has a logit for every class of its target.
fn labels_fit(graph: &Graph) -> bool {
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return true };
    let shapes: Option<Vec<_>> = loss.inputs.iter().map(|source| graph.shape(*source)).collect();
    let known = shapes.and_then(|shapes| loss.op.classes(&shapes));
    match (known, loss.inputs.get(1)) {
        (Some(known), Some(Source::Feed(target))) => match graph.feeds[*target].kind {
            FeedKind::Class(Some(declared), _) => declared <= known,
            _ => true,
        },
        _ => true,
    }
}

/// Whether the tables have a row for every word of the categories that they look up.
fn words_fit(graph: &Graph) -> bool {
    graph.feeds.iter().all(|(handle, feed)| {
        let words = graph.group(feed).and_then(crate::data::Group::words);
        let fits = |words: usize| graph.vocabulary(handle).is_none_or(|rows| words <= rows);
        words.is_none_or(fits)
    })
}

impl Deref for Runnable<'_> {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        self.0
    }
}
