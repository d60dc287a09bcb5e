//! The static signal analysis: the moments of every value at initialisation, by iterating the operators' maps.
//!
//! Contract: one pass forward and one back over a verified graph, no execution, no data. What the analysis knows of an input is what its declaration
//! says: standard normal behind `standardize`, uniform on [0, 1] for pixels, and the assumption of unit scale where nothing is
//! said, which is marked. Uses of a tensor that several nodes share count as independent, each with the variance that its owner draws (the
//! page `tie` says where that holds). Each operator states its own map in its own file; how the scatter of layers adds up over the graph is in
//! [`scatter`].

pub mod account;
mod border;
pub mod depth;
pub mod scatter;
mod shape;

use crate::data::Transform;
use crate::graph::{Feed, FeedKind, Graph, Handle, Node, Source, Verified};
use crate::moments::{Curve, Energy, Law, Moments, law};
use crate::ops::{Category, Transfer};
use crate::tensor::{Mode, Shape};
use account::Account;
use border::Profile;
use scatter::{Logs, Scatter};
use shape::{Passed, Shapes};

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
    /// By node: how ln of the measured mean square is distributed over initialisations, around `nodes`.
    pub scatter: Vec<Logs>,
    /// Likewise ln of the energy, around `energies`.
    pub gradient_scatter: Vec<Logs>,
    /// By node: what an activation does to the energy, where it takes a value that is not Gaussian.
    pub(crate) passed: Vec<Option<Passed>>,
    /// What the layers between norms do to the gradient, norms apart.
    pub account: Account,
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
    let declared: Vec<(Moments, bool)> = graph.feeds.handles().map(|feed| declared(graph, feed)).collect();
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
    let channels = |feed: &Feed| feed.shape.as_ref().and_then(Shape::channels).unwrap_or(1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
    let feeds: Vec<Moments> = feeds
        .into_iter()
        .zip(graph.feeds.iter())
        .map(|(moments, (_, feed))| Moments { units: channels(feed) as f64, ..moments })
        .collect();
    let n = graph.nodes.len();
    let mut scatter = Scatter::new(graph, &feeds);
    let mut signal = Signal {
        feeds,
        assumed,
        nodes: Vec::with_capacity(n),
        energies: Vec::new(),
        scatter: Vec::new(),
        gradient_scatter: Vec::new(),
        passed: vec![None; n],
        account: Account::default(),
    };
    let mut profiles = Profiles {
        feeds: graph.feeds.iter().map(|(_, feed)| border::uniform(feed.shape.as_ref())).collect(),
        nodes: Vec::with_capacity(n),
    };
    let mut shapes = Shapes::new(graph);
    let mut elasticities = vec![Vec::new(); n];
    for (handle, node) in graph.nodes.iter() {
        let shaped = shapes.taken(graph, handle);
        let found =
            with_transfer(graph, mode, &signal, node, |io| forward(node, io, &profiles.taken(node), shaped));
        let (moments, profile) = match found {
            Some((step, profile)) => {
                scatter.forward(handle, node, &signal, &step);
                elasticities[handle.index()] = step.elasticity;
                (Some(step.moments), profile)
            }
            None => (None, None),
        };
        signal.nodes.push(moments);
        profiles.nodes.push(profile);
        shapes.forward(graph, handle, &signal);
    }
    energies(graph, mode, &mut signal, &mut scatter, &profiles, &mut shapes);
    along_the_value(graph, &mut signal, &elasticities, &mut scatter);
    scatter.finish(&mut signal);
    signal.account = Account::of(graph, &signal);
    signal
}

/// How the second moments of values are distributed over maps.
struct Profiles {
    feeds: Vec<Profile>,
    nodes: Vec<Profile>,
}

impl Profiles {
    /// What a node takes.
    fn taken(&self, node: &Node) -> Vec<&Profile> {
        let of = |source: &Source| match source {
            Source::Feed(feed) => &self.feeds[feed.index()],
            Source::Node(input) => &self.nodes[input.index()],
        };
        node.inputs.iter().map(of).collect()
    }
}

/// With more inputs than this a node is not asked about each of them, which would take the square of their number: each counts by its
/// share of the second moment, and none moves the gradient at another.
const MANY: usize = 64;

/// What a node does to the moments of its inputs and to their scatter.
struct Step {
    moments: Moments,
    /// The variance that the node adds to ln of the second moment.
    injected: f64,
    /// By input: d ln of the second moment of the result / d ln of that of the input.
    elasticity: Vec<f64>,
}

/// Applies a node's map. The rule of an operator tells how it hands scatter on, too: it is asked about inputs with none, and with a
/// unit of it in one input. Operators that act on elements alone add none themselves.
fn forward(
    node: &Node,
    io: Transfer<'_>,
    taken: &[&Profile],
    shaped: Option<(&Curve<'_>, &Law)>,
) -> (Step, Profile) {
    let category = node.op.category();
    let convolved = match category {
        Category::Layer => node.op.taps(io.shapes[0]).and_then(|taps| border::convolved(taken[0], &taps)),
        _ => None,
    };
    let apply = |inputs: &[Moments]| match shaped {
        Some((curve, law)) => law::through(&inputs[0], law, curve),
        None => node.op.transfer(Transfer { inputs, ..io }),
    };
    let with = |unit: Option<usize>| {
        let spread = |i: usize| if Some(i) == unit { 1.0 } else { 0.0 };
        let inputs: Vec<Moments> =
            io.inputs.iter().enumerate().map(|(i, x)| Moments { spread: spread(i), ..*x }).collect();
        match &convolved {
            Some((_, share)) => border::met(*share, &inputs[0], |x| apply(&[x])),
            None => apply(&inputs),
        }
    };
    let elementwise =
        matches!(category, Category::Activation | Category::Pool | Category::Layout | Category::Noise);
    let (moments, injected, elasticity) = if elementwise && io.inputs.len() == 1 {
        let moments = with(Some(0));
        (moments, 0.0, vec![moments.spread.max(0.0).sqrt()])
    } else {
        let moments = with(None);
        let many = io.inputs.len() > MANY;
        let elasticity = |i: usize| {
            if many {
                (io.inputs[i].ln_square.middle() - moments.ln_square.middle()).exp().min(1.0)
            } else {
                (with(Some(i)).spread - moments.spread).max(0.0).sqrt()
            }
        };
        (moments, moments.spread, (0..io.inputs.len()).map(elasticity).collect())
    };
    let mut moments = Moments { spread: 0.0, variety: variety(node, io, &moments), ..moments };
    let profile = match category {
        Category::Layer => convolved.and_then(|(profile, _)| profile),
        Category::Activation => {
            let (profile, factor) = border::raised(taken[0], elasticity[0]);
            moments.ln_square = moments.ln_square.shift(factor.ln());
            profile
        }
        Category::Norm | Category::Noise => taken[0].clone(),
        Category::Pool => node
            .op
            .taps(io.shapes[0])
            .and_then(|taps| border::convolved(taken[0], &taps))
            .and_then(|(profile, _)| profile),
        Category::Combine if node.op.name() != "mul" => {
            let weight = |x: &Moments| (x.ln_square.middle() - moments.ln_square.middle()).exp();
            let parts: Vec<(f64, &Profile)> =
                io.inputs.iter().map(weight).zip(taken.iter().copied()).collect();
            border::mixed(&parts)
        }
        Category::Lookup
        | Category::Combine
        | Category::Product
        | Category::Layout
        | Category::Distribution
        | Category::Loss => None,
    };
    // A convolution over a map without a profile says nothing of the places behind it.
    (Step { moments, injected, elasticity }, profile)
}

/// What two positions of a node's value differ in. What acts on each position does to two of them what it does to two samples, so
/// its rule is asked for the contrast of inputs whose contrast is their variety. Where features become positions they have their mean
/// in common, and so do the places of a map, of which the spec says nothing.
fn variety(node: &Node, io: Transfer<'_>, moments: &Moments) -> f64 {
    let by_position = match node.op.category() {
        Category::Product => return moments.variety,
        // It gives each position something of its own, and all samples the same.
        Category::Combine if node.op.name() == "position_embedding" => return moments.variety,
        Category::Layer
        | Category::Lookup
        | Category::Activation
        | Category::Norm
        | Category::Noise
        | Category::Combine => io.shape.rank() == 3 && !node.op.mixes_batch(io.mode),
        Category::Pool | Category::Layout | Category::Distribution | Category::Loss => false,
    };
    if !by_position {
        return 1.0 - moments.mean_share * moments.mean_share;
    }
    let inputs: Vec<Moments> = io.inputs.iter().map(|x| Moments { contrast: x.variety, ..*x }).collect();
    if inputs.iter().zip(io.inputs).all(|(moved, x)| moved.contrast == x.contrast) {
        return moments.contrast;
    }
    node.op.transfer(Transfer { inputs: &inputs, ..io }).contrast
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
    let params = graph.specs(node);
    Some(f(Transfer { mode, shapes: &shapes, shape, inputs: &inputs, params: &params }))
}

/// By how much ln of a second moment is moved to see how an energy depends on it; the error of the difference is of this order.
const NUDGE: f64 = 1e-4;

/// What a node does to the energy of the gradient at its value.
pub(crate) struct Back {
    /// By input: the energy that arrives, without the scatter of the cotangent.
    arrived: Vec<Energy>,
    /// By input, and by input again: d ln of the energy / d ln of the second moment of that input. Empty where there are [`MANY`].
    coupling: Vec<Vec<f64>>,
}

fn back(node: &Node, io: Transfer<'_>, cotangent: Energy, output: &Moments, passed: Option<Passed>) -> Back {
    if let Some(Passed { square, fourth, coupling }) = passed {
        return Back { arrived: vec![cotangent.slope(square, fourth)], coupling: vec![vec![coupling]] };
    }
    let arrived = node.op.energy(io, cotangent, output);
    let depends = matches!(
        node.op.category(),
        Category::Activation
            | Category::Norm
            | Category::Distribution
            | Category::Combine
            | Category::Product
    );
    let n = io.inputs.len();
    if n > MANY {
        return Back { coupling: vec![Vec::new(); arrived.len()], arrived };
    }
    let mut coupling = vec![vec![0.0; n]; arrived.len()];
    for j in (0..n).filter(|_| depends) {
        let mut inputs = io.inputs.to_vec();
        inputs[j].ln_square = inputs[j].ln_square.shift(NUDGE);
        let moved = node.op.energy(Transfer { inputs: &inputs, ..io }, cotangent, output);
        for (row, (moved, here)) in coupling.iter_mut().zip(moved.iter().zip(&arrived)) {
            let change = (moved.ln.middle() - here.ln.middle()) / NUDGE;
            row[j] = if change.is_finite() { change } else { 0.0 };
        }
    }
    Back { arrived, coupling }
}

/// Follows the gradient from the prediction back to every node; what several nodes consume gets the sum.
fn energies(
    graph: &Graph,
    mode: Mode,
    signal: &mut Signal,
    scatter: &mut Scatter,
    profiles: &Profiles,
    shapes: &mut Shapes<'_>,
) {
    let mut energies = vec![Energy::ZERO; graph.nodes.len()];
    let mut places: Vec<Profile> = vec![None; graph.nodes.len()];
    if let Some(Source::Node(prediction)) = graph.prediction() {
        let units = signal.node(prediction).map_or(1.0, |moments| moments.units);
        places[prediction.index()] = border::uniform(graph.nodes[prediction].shape.as_ref());
        energies[prediction.index()] = Energy::unit(units);
    }
    for (handle, node) in graph.nodes.iter().rev() {
        let (cotangent, Some(output)) = (energies[handle.index()], signal.node(handle).copied()) else {
            continue;
        };
        if cotangent.is_zero() || Some(handle) == graph.loss {
            continue;
        }
        shapes.settle(handle);
        let passed = shapes.passed(graph, handle);
        signal.passed[handle.index()] = passed;
        let Some(found) =
            with_transfer(graph, mode, signal, node, |io| back(node, io, cotangent, &output, passed))
        else {
            continue;
        };
        let taken = profiles.taken(node);
        for (i, source) in node.inputs.iter().enumerate() {
            let (Source::Node(input), Some(energy)) = (source, found.arrived.get(i)) else { continue };
            let (energy, place) = placed(
                node,
                graph.shape(*source),
                cotangent,
                *energy,
                &places[handle.index()],
                taken[i],
                found.coupling[i].get(i).copied().unwrap_or(0.0),
            );
            shapes.back(graph, handle, i, energy, passed, signal);
            let before = energies[input.index()];
            // What the node adds becomes a deviation of its own.
            let own = Energy { spread: 0.0, ..energy };
            let total = before.plus(own);
            let share = |part: Energy| (part.ln.middle() - total.ln.middle()).exp();
            let there = &places[input.index()];
            places[input.index()] = if before.is_zero() {
                place
            } else {
                border::mixed(&[(share(before), there), (share(own), &place)])
            };
            energies[input.index()] = total;
            scatter.back(handle, *input, energy.spread, &found.coupling[i], (before, own));
        }
    }
    signal.energies = energies;
}

/// An energy that comes back to a map: what acts on its elements is alike at the places of a channel, so that the channels alone
/// count as independent.
#[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
fn by_channel(energy: Energy, shape: Option<&Shape>) -> Energy {
    match shape.filter(|shape| shape.rank() > 2).and_then(Shape::channels) {
        Some(channels) if (channels as f64) < energy.units => {
            let units = channels as f64;
            Energy { units, tail: energy.tail * units / energy.units, ..energy }
        }
        _ => energy,
    }
}

/// The energy that arrives at one input of a node, and how it is distributed over the places of a map: `own` at the node's value, `value`
/// the profile of the input itself, `coupling` how the energy depends on its scale.
fn placed(
    node: &Node,
    shape: Option<&Shape>,
    cotangent: Energy,
    arrived: Energy,
    own: &Profile,
    value: &Profile,
    coupling: f64,
) -> (Energy, Profile) {
    let windowed =
        || shape.and_then(|shape| node.op.taps(shape)).and_then(|taps| border::returned(own, &taps));
    match node.op.category() {
        Category::Layer => match windowed() {
            Some((place, share)) => (border::fallen(share, cotangent, arrived), place),
            // A layer that reads all places gives each the same; a convolution without a profile says nothing.
            None if shape.is_some_and(|shape| node.op.taps(shape).is_some()) => (arrived, None),
            None => (arrived, border::uniform(shape)),
        },
        Category::Activation => {
            let (place, factor) = border::coupled(own, value, coupling);
            (Energy { ln: arrived.ln.shift(factor.ln()), ..arrived }, place)
        }
        Category::Norm | Category::Noise => (arrived, own.clone()),
        Category::Combine if node.op.name() != "mul" => (arrived, own.clone()),
        Category::Pool => match windowed() {
            Some((place, _)) => (arrived, place),
            None if own.is_none() && shape.is_some_and(|shape| node.op.taps(shape).is_none()) => {
                (arrived, border::uniform(shape))
            }
            None => (arrived, None),
        },
        // Positions become features or places, of which nothing is known.
        Category::Layout => (by_channel(Energy { variety: 1.0, ..arrived }, shape), border::uniform(shape)),
        Category::Lookup
        | Category::Combine
        | Category::Product
        | Category::Distribution
        | Category::Loss => (arrived, None),
    }
}

/// From which share on the gradient along the value itself counts.
const ALONG: f64 = 0.02;

/// Adds what the gradient gains along the direction of the values themselves, which infinite width does not see. If ln of the second
/// moment of the prediction follows that of a value x with the elasticity S, then along x the Jacobian J has |J x| >= S |y|, so that of
/// a random gradient's energy at n elements at least S^2 q_out / (n q) arrives. Every layer turns 1/n of the energy into this
/// direction, so that the excesses over its even share add up over the layers. Where signals outlast random gradients, as in
/// x + relu(W x) or behind softplus, they take over in the end. It is one direction, so it scatters like the square of one number: the
/// energy becomes an interval from none of it to all, and its logarithm's variance grows by up to twice the squared share.
fn along_the_value(graph: &Graph, signal: &mut Signal, elasticities: &[Vec<f64>], scatter: &mut Scatter) {
    let Some(Source::Node(prediction)) = graph.prediction() else { return };
    let Some(out) = signal.node(prediction).map(|out| out.ln_square.middle()) else { return };
    let mut follows = vec![0.0; graph.nodes.len()];
    follows[prediction.index()] = 1.0;
    let mut excess = vec![0.0f64; graph.nodes.len()];
    for (handle, node) in graph.nodes.iter().rev() {
        let own = follows[handle.index()];
        for (source, elasticity) in node.inputs.iter().zip(&elasticities[handle.index()]) {
            if let Source::Node(input) = source {
                follows[input.index()] += own * elasticity;
            }
        }
        let (Some(x), Some(shape)) = (signal.node(handle).copied(), &node.shape) else { continue };
        #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
        let n = shape.elements().max(1) as f64;
        let energy = &mut signal.energies[handle.index()];
        let along = 2.0 * own.ln() + out - x.ln_square.middle() - energy.ln.middle();
        let here = if energy.is_zero() || along.is_nan() { 0.0 } else { ((along.exp() - 1.0) / n).max(0.0) };
        let sum = excess[handle.index()];
        let all = if node.op.category() == Category::Layer { sum + here } else { sum.max(here) };
        for source in &node.inputs {
            if let Source::Node(input) = source {
                excess[input.index()] = excess[input.index()].max(all);
            }
        }
        let share = all / (1.0 + all);
        if handle != prediction && !energy.is_zero() && share > ALONG && all.is_finite() {
            energy.ln.hi += all.ln_1p();
            scatter.uncertain(handle, 2.0 * share * share);
        }
    }
}

/// The indicators of one word in n, all as likely: E x = E x^2 = 1/n, and two of them agree on a word with probability 1/n.
fn indicators(words: usize) -> Moments {
    #[expect(clippy::cast_precision_loss, reason = "vocabularies are far below 2^53")]
    let share = 1.0 / words.max(1) as f64;
    Moments::new(share, share, share * share)
}

/// What a spec says of an input, and whether its scale is an assumption.
fn declared(graph: &Graph, handle: Handle<Feed>) -> (Moments, bool) {
    let feed = &graph.feeds[handle];
    // Uniform on [0, 1]: E x = 1/2, E x^2 = 1/3, and two independent inputs have E x x' = 1/4.
    let unit = Moments::new(1.0 / 3.0, 0.5, 0.25);
    let group = graph.group(feed);
    let mut moments = match (&feed.kind, group.map(crate::data::Group::one_hot)) {
        (_, Some(true)) => indicators(feed.shape.as_ref().map_or(1, Shape::elements)),
        // What looks tokens up takes the moments of their indicators.
        (FeedKind::Int, _) => graph.vocabulary(handle).map_or(Moments::STANDARD, indicators),
        (FeedKind::Unit, _) => unit,
        (FeedKind::Byte, _) => unit.scaled(255.0),
        (FeedKind::Real | FeedKind::Class(..) | FeedKind::OneHot, _) => Moments::STANDARD,
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
            | Transform::Select(_)
            | Transform::Noise(_)
            | Transform::Back(_) => {}
        }
    }
    (moments, assumed)
}
