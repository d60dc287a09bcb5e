//! The static signal analysis: the moments of every value at initialisation, by iterating the operators' maps.
//!
//! Contract: one pass over a verified graph, no execution, no data. What the analysis knows of an input is what its declaration
//! says: standard normal behind `standardize`, uniform on [0, 1] for pixels, and the assumption of unit scale where nothing is
//! said, which is marked. Each operator states its own map in its own file.

use crate::data::Transform;
use crate::graph::{Feed, FeedKind, Graph, Handle, Node, Source, Verified};
use crate::moments::{Energy, Moments};
use crate::ops::{ParamSpec, Transfer};
use crate::tensor::{Mode, Shape};

/// The moments of all values.
#[derive(Clone, Debug)]
pub struct Signal {
    /// By feed.
    pub feeds: Vec<Moments>,
    /// Whether the scale of a feed is an assumption.
    pub assumed: Vec<bool>,
    /// By node; `None` where the shape is unknown.
    pub nodes: Vec<Option<Moments>>,
    /// The energy of the gradient at each node's value, relative to that at the prediction; zero where none arrives.
    pub energies: Vec<Energy>,
}

impl Signal {
    /// The moments of a value.
    #[must_use]
    pub fn of(&self, source: Source) -> Option<&Moments> {
        match source {
            Source::Feed(feed) => self.feeds.get(feed.index()),
            Source::Node(node) => self.node(node),
        }
    }

    /// The moments of a node's value.
    #[must_use]
    pub fn node(&self, node: Handle<Node>) -> Option<&Moments> {
        self.nodes.get(node.index()).and_then(Option::as_ref)
    }
}

/// Analyses a graph with what the spec declares of its inputs.
#[must_use]
pub fn analyse(graph: &Verified<Graph>, mode: Mode) -> Signal {
    let declared: Vec<(Moments, bool)> = graph.feeds.iter().map(|(_, feed)| declared(graph, feed)).collect();
    let feeds = declared.iter().map(|(moments, _)| *moments).collect();
    let assumed = declared.iter().map(|(_, assumed)| *assumed).collect();
    propagate(graph, mode, feeds, assumed)
}

/// Analyses a graph with the moments that its inputs were measured to have.
#[must_use]
pub fn analyse_measured(graph: &Verified<Graph>, mode: Mode, feeds: Vec<Moments>) -> Signal {
    let assumed = vec![false; feeds.len()];
    propagate(graph, mode, feeds, assumed)
}

fn propagate(graph: &Verified<Graph>, mode: Mode, feeds: Vec<Moments>, assumed: Vec<bool>) -> Signal {
    let mut signal =
        Signal { feeds, assumed, nodes: Vec::with_capacity(graph.nodes.len()), energies: Vec::new() };
    for (_, node) in graph.nodes.iter() {
        let moments = with_transfer(graph, mode, &signal, node, |io| node.op.transfer(io));
        signal.nodes.push(moments);
    }
    signal.energies = energies(graph, mode, &signal);
    signal
}

/// Calls `f` with what a node's rules take, if all of it is known.
pub(crate) fn with_transfer<T>(
    graph: &Graph,
    mode: Mode,
    signal: &Signal,
    node: &Node,
    f: impl FnOnce(Transfer<'_>) -> T,
) -> Option<T> {
    let shape = node.shape.as_ref()?;
    let inputs: Vec<Moments> =
        node.inputs.iter().map(|source| signal.of(*source).copied()).collect::<Option<_>>()?;
    let shapes: Vec<&Shape> = node.inputs.iter().map(|source| graph.shape(*source)).collect::<Option<_>>()?;
    let params: Vec<ParamSpec> = node.params.iter().map(|p| graph.params[*p].spec.clone()).collect();
    Some(f(Transfer { mode, shapes: &shapes, shape, inputs: &inputs, params: &params }))
}

/// Follows the gradient from the prediction back to every node; what several nodes consume gets the sum.
fn energies(graph: &Graph, mode: Mode, signal: &Signal) -> Vec<Energy> {
    let mut energies = vec![Energy::ZERO; graph.nodes.len()];
    if let Some(Source::Node(prediction)) = graph.prediction() {
        let units = signal.node(prediction).map_or(1.0, |moments| moments.units);
        energies[prediction.index()] = Energy::unit(units);
    }
    for (handle, node) in graph.nodes.iter().rev() {
        let (cotangent, Some(output)) = (energies[handle.index()], signal.node(handle)) else { continue };
        if cotangent.is_zero() || Some(handle) == graph.loss {
            continue;
        }
        let arrived = with_transfer(graph, mode, signal, node, |io| node.op.energy(io, cotangent, output));
        for (source, energy) in node.inputs.iter().zip(arrived.into_iter().flatten()) {
            if let Source::Node(input) = source {
                energies[input.index()] = energies[input.index()].plus(energy);
            }
        }
    }
    energies
}

/// What a spec says of an input, and whether its scale is an assumption.
fn declared(graph: &Graph, feed: &Feed) -> (Moments, bool) {
    // Uniform on [0, 1]: E x = 1/2, E x^2 = 1/3, and two independent inputs have E x x' = 1/4.
    let unit = Moments::new(1.0 / 3.0, 0.5, 0.25);
    let group = graph.group(feed);
    let mut moments = match (&feed.kind, group.map(crate::data::Group::one_hot)) {
        // An indicator of one word in n: E x = E x^2 = 1/n, and two inputs agree on a word with probability 1/n.
        (_, Some(true)) => {
            let words = feed.shape.as_ref().map_or(1, Shape::elements);
            #[expect(clippy::cast_precision_loss, reason = "vocabularies are far below 2^53")]
            let share = 1.0 / words.max(1) as f64;
            Moments::new(share, share, share * share)
        }
        (FeedKind::Unit, _) => unit,
        (FeedKind::Byte, _) => unit.scaled(255.0),
        (FeedKind::Real | FeedKind::Int | FeedKind::Class(..), _) => Moments::STANDARD,
    };
    let mut assumed = matches!(feed.kind, FeedKind::Real) && group.is_some();
    let chain = group.map_or(&feed.chain, |group| &group.chain);
    for step in chain {
        match &step.transform {
            Transform::Standardize(_) => (moments, assumed) = (Moments::STANDARD, false),
            Transform::Minmax(_) => (moments, assumed) = (unit, false),
            Transform::Scale(scale) => moments = moments.scaled(scale.factor()),
            Transform::Log1p(_)
            | Transform::Clip(_)
            | Transform::Impute(_)
            | Transform::OneHot(_)
            | Transform::Noise(_) => {}
        }
    }
    (moments, assumed)
}
