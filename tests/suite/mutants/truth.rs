//! What a mutant does to signal and gradient, measured: 16 random initialisations of the compiled graph in training mode.
//!
//! Contract: nothing here reads the signal analysis. The energy of a gradient is the sum of its squares over the elements of a value. In
//! the un-normalised account (research: static.md 3.1), norms and heads hand nothing back, and what ends in front of one starts with
//! a random cotangent of unit energy. Every hidden layer is then compared with the last one of its region, the values that are joined by
//! anything but norms and heads; of several last ones, with the one that gets most. Per layer the median over the seeds counts, over
//! layers the extreme. Layers that get no gradient at all, as behind zero weights, have no say.

use super::operators::layers_behind;
use std::collections::BTreeMap;
use wellposed::exec::{Gradients, Keep, Objective, Registry, Reverse, Session, Settings, Tapes, Weights};
use wellposed::graph::{Graph, Handle, Node, Optimizer, Runnable, Source, Verified};
use wellposed::inits::standard_normal;
use wellposed::ops::Category;
use wellposed::scalar::Scalar;
use wellposed::tensor::{Draws, Mode, View, ViewMut, stream};
use wellposed::valid::Samples;

/// Random initialisations.
const SEEDS: u64 = 16;

/// Medians over the seeds as decimal logarithms; `None` where a quantity does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Truth {
    /// The energy at the hidden layer with the least of it, relative to the last hidden layer of its region.
    pub least: Option<f64>,
    /// Likewise the most.
    pub most: Option<f64>,
    /// 1 - the cosine of two independent inputs in front of the head.
    pub contrast: Option<f64>,
    /// The standard deviation of the logits.
    pub logits: Option<f64>,
    /// The energy at the first hidden layer relative to the last, norms included, in a plain stack with batch norm.
    pub stack: Option<f64>,
}

/// What a measurement says of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// Some quantity lies past its error threshold by half a decade or more.
    Untrainable,
    /// Some quantity lies within half a decade of its error threshold: counted apart.
    Apart,
    /// Neither.
    Within,
}

impl Truth {
    /// The five quantities, in the order of the table of labels.
    pub fn quantities(&self) -> [Option<f64>; 5] {
        [self.least, self.most, self.contrast, self.logits, self.stack]
    }

    /// How many decades the quantity that is furthest past its error threshold lies past it (research: static.md 3.1).
    pub fn margin(&self, adam: bool) -> f64 {
        let (least, contrast, logits) =
            if adam { (-14.0, -10.0, 5000f64.log10()) } else { (-8.0, -6.0, 50f64.log10()) };
        let past = [
            self.least.map(|x| least - x),
            self.most.map(|x| x - 6.0),
            self.contrast.map(|x| contrast - x),
            self.logits.map(|x| x - logits),
            self.stack.map(|x| x - 8.0),
        ];
        past.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max)
    }

    /// What that means.
    pub fn label(&self, adam: bool) -> Label {
        match self.margin(adam) {
            margin if margin > 0.5 => Label::Untrainable,
            margin if margin >= -0.5 => Label::Apart,
            _ => Label::Within,
        }
    }
}

/// Whether a graph is trained with an optimiser that divides the gradient by its own scale.
pub fn is_adam(graph: &Graph) -> bool {
    matches!(graph.training.optimizer.as_ref().map(|o| &o.value), Some(Optimizer::Adam { .. }))
}

/// The rows of a measurement: batch norm needs enough of them.
fn rows(graph: &Graph) -> usize {
    if graph.layers().any(|(_, node)| node.op.mixes_batch(Mode::Train)) { 16 } else { 6 }
}

/// Multiplications of a measurement, roughly.
pub fn cost(graph: &Graph) -> usize {
    let once: usize = graph.layers().map(|(_, node)| node.flops).sum();
    once.saturating_mul(3 * rows(graph)).saturating_mul(16)
}

/// Measures a graph.
pub fn measure(graph: &Verified<Graph>) -> Truth {
    let runnable = Runnable::new(graph).expect("a complete graph");
    let batch = rows(graph);
    let feeds = Samples::draw(graph, batch, 7).batch(0, batch);
    let layers = Layers::of(graph);
    let mut session: Session<'_, f64> = Session::new(runnable, batch, Keep::All);
    let mut gradients = Gradients::zeros::<f64>(graph, batch);
    let mut energies: Vec<Vec<f64>> = vec![Vec::new(); layers.hidden.len()];
    let (mut contrasts, mut logits, mut stack) = (Vec::new(), Vec::new(), Vec::new());
    let Some(Source::Node(end)) = graph.prediction() else { return Truth::default() };
    let elements = session.value(end).len();
    for seed in 0..SEEDS {
        let weights = Weights::draw(graph, seed);
        let point = weights.at(&feeds);
        let settings = Settings { mode: Mode::Train, seed, penalties: false };
        session.forward(&point, settings, Tapes::Live);
        contrasts.extend(layers.before_heads.iter().map(|node| contrast(session.value(*node), batch)));
        logits.extend(layers.logits.map(|node| 0.5 * ln_mean_square(session.value(node))));
        let direction = standard_normal(elements, Draws { seed, stream: stream("direction") });
        let objective = Objective::Projection(direction);
        let energy = |session: &Session<'_, f64>, node: Handle<Node>| {
            let cotangent = session.cotangent(node);
            ln_mean_square(cotangent) + size(cotangent.len()).ln()
        };
        if layers.plain_stack {
            session.backward(&objective, &point, settings, &Registry, &mut gradients);
            let ends = [layers.hidden.first(), layers.hidden.last()].map(Option::<&_>::copied);
            if let [Some(first), Some(last)] = ends {
                stack.push(energy(&session, first) - energy(&session, last));
            }
        }
        let cut = Cut { ends: &layers.ends, seed };
        session.backward(&objective, &point, settings, &cut, &mut gradients);
        for (node, found) in layers.hidden.iter().zip(&mut energies) {
            let last = layers.last[&layers.region[node.index()]].iter();
            let most = last.map(|last| energy(&session, *last)).fold(f64::NEG_INFINITY, f64::max);
            found.push(energy(&session, *node) - most);
        }
    }
    let per_layer: Vec<f64> = energies.iter_mut().filter_map(|found| decades(found)).collect();
    let alive = || per_layer.iter().copied().filter(|x| *x > f64::NEG_INFINITY);
    Truth {
        least: alive().reduce(f64::min),
        most: alive().reduce(f64::max),
        contrast: decades(&mut contrasts),
        logits: decades(&mut logits),
        stack: decades(&mut stack),
    }
}

/// The median of natural logarithms as a decimal one; `None` of nothing.
fn decades(ln: &mut [f64]) -> Option<f64> {
    ln.sort_by(f64::total_cmp);
    let middle = |i: usize| ln.get(i).copied();
    let (low, high) = (middle(ln.len().saturating_sub(1) / 2)?, middle(ln.len() / 2)?);
    let median = if low == high { low } else { f64::midpoint(low, high) };
    Some(median / std::f64::consts::LN_10)
}

/// Which layers are looked at, and where.
struct Layers {
    /// Layers with a layer behind them, in order.
    hidden: Vec<Handle<Node>>,
    /// By region: those of them behind which there is no other layer in it.
    last: BTreeMap<usize, Vec<Handle<Node>>>,
    /// By node: the least node that it is joined with.
    region: Vec<usize>,
    /// What the heads take.
    before_heads: Vec<Handle<Node>>,
    /// What a loss of classes takes.
    logits: Option<Handle<Node>>,
    /// Batch norm, and nothing that bypasses it.
    plain_stack: bool,
    /// By the path of a norm or a head: for each of its inputs, whether a cotangent starts there.
    ends: BTreeMap<String, Vec<bool>>,
}

impl Layers {
    fn of(graph: &Graph) -> Self {
        let behind = layers_behind(graph);
        let is_layer = |node: &Node| node.op.category() == Category::Layer;
        let is_head = |handle: Handle<Node>| is_layer(&graph.nodes[handle]) && !behind[handle.index()];
        let is_cut =
            |handle: Handle<Node>| graph.nodes[handle].op.category() == Category::Norm || is_head(handle);
        let hidden: Vec<Handle<Node>> = graph
            .nodes
            .iter()
            .filter(|(handle, node)| is_layer(node) && behind[handle.index()])
            .map(|(handle, _)| handle)
            .collect();
        let mut region: Vec<usize> = (0..graph.nodes.len()).collect();
        let mut ends = BTreeMap::new();
        let mut started = vec![false; graph.nodes.len()];
        for (handle, node) in graph.nodes.iter() {
            let mut starts = Vec::new();
            for source in &node.inputs {
                let Source::Node(input) = source else {
                    starts.push(false);
                    continue;
                };
                let only_cut = graph.consumers(*source).all(|(taker, _)| is_cut(taker));
                starts.push(only_cut && !std::mem::replace(&mut started[input.index()], true));
                let (a, b) = (region[input.index()], region[handle.index()]);
                if !is_cut(handle) && a != b {
                    region.iter_mut().filter(|r| **r == b).for_each(|r| *r = a);
                }
            }
            if is_cut(handle) {
                ends.insert(node.path.to_string(), starts);
            }
        }
        // Whether a layer of the same region is behind a node.
        let mut followed = vec![false; graph.nodes.len()];
        for (handle, node) in graph.nodes.iter().rev().filter(|(handle, _)| !is_cut(*handle)) {
            let here = followed[handle.index()] || is_layer(node);
            for source in &node.inputs {
                if let Source::Node(input) = source {
                    followed[input.index()] |= here;
                }
            }
        }
        let mut last: BTreeMap<usize, Vec<Handle<Node>>> = BTreeMap::new();
        for node in hidden.iter().filter(|node| !followed[node.index()]) {
            last.entry(region[node.index()]).or_default().push(*node);
        }
        let taken = |node: &Node| match node.inputs.first() {
            Some(Source::Node(input)) => Some(*input),
            _ => None,
        };
        let heads = || graph.nodes.iter().filter(|(handle, _)| is_head(*handle));
        let uses = |name: &str| graph.layers().any(|(_, node)| node.op.name() == name);
        let logits = graph.loss.and_then(|loss| {
            let prediction = taken(&graph.nodes[loss])?;
            match graph.nodes[loss].op.name() {
                "cross_entropy" | "bce_with_logits" => Some(prediction),
                "bce" => taken(&graph.nodes[prediction]),
                _ => None,
            }
        });
        Self {
            last,
            region,
            hidden,
            before_heads: heads().filter_map(|(_, node)| taken(node)).collect(),
            logits,
            plain_stack: uses("batch_norm") && !["add", "concat", "mul"].into_iter().any(uses),
            ends,
        }
    }
}

/// The reverse rules, but norms and heads hand back nothing, or a random cotangent where a region ends.
struct Cut<'a> {
    ends: &'a BTreeMap<String, Vec<bool>>,
    seed: u64,
}

impl Reverse for Cut<'_> {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        inputs: &mut [Option<ViewMut<'_, S>>],
        _: &mut [Option<ViewMut<'_, S>>],
    ) {
        let path = node.path.to_string();
        let Some(starts) = self.ends.get(&path) else { return };
        for (i, (grad, starts)) in inputs.iter_mut().zip(starts).enumerate() {
            let Some(grad) = grad else { continue };
            grad.fill(S::constant(0.0));
            if *starts {
                let draws = Draws { seed: self.seed, stream: stream(&format!("cut/{path}/{i}")) };
                let random = standard_normal(grad.len(), draws);
                let scale = size(grad.len()).sqrt().recip();
                random.into_iter().enumerate().for_each(|(i, x)| grad.set(i, S::constant(scale * x)));
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
fn size(n: usize) -> f64 {
    n as f64
}

/// ln of the mean of squares, relative to the largest element so that nothing overflows.
fn ln_mean_square(value: View<'_, f64>) -> f64 {
    let data = value.plane(0);
    let most = data.iter().fold(0.0f64, |most, x| if x.is_nan() { f64::INFINITY } else { most.max(x.abs()) });
    if most == 0.0 || most.is_infinite() {
        return most.ln();
    }
    let squares: f64 = data.iter().map(|x| (x / most).powi(2)).sum();
    (squares / size(data.len())).ln() + 2.0 * most.ln()
}

/// ln of 1 - the mean cosine over all pairs of rows: of unit vectors with the mean m and the variance v over n rows, the mean product of
/// a pair is m^2 - v / (n - 1), and 1 less that is v n / (n - 1), which keeps its digits where rows nearly agree.
fn contrast(value: View<'_, f64>, rows: usize) -> f64 {
    let data = value.plane(0);
    let width = data.len() / rows;
    let lengths: Vec<f64> = data
        .chunks(width)
        .map(|row| {
            let most = row.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            let squares: f64 = row.iter().map(|x| (x / most).powi(2)).sum();
            if most > 0.0 { most * squares.sqrt() } else { 1.0 }
        })
        .collect();
    let n = size(rows);
    let variance: f64 = (0..width)
        .map(|i| {
            let column = || data[i..].iter().step_by(width).zip(&lengths).map(|(x, length)| x / length);
            let mean = column().sum::<f64>() / n;
            column().map(|x| (x - mean).powi(2)).sum::<f64>() / n
        })
        .sum();
    (variance * n / (n - 1.0)).ln()
}
