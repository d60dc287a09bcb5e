//! The scales of signal and gradient as they are measured over random initialisations, and where the theory puts them.
//!
//! Contract: [`measure`] runs a graph forward and back once per seed and keeps, for every node, ln q and ln of the gradient's
//! energy relative to that at the prediction. The gradient is that of the prediction's product with fresh standard normal weights,
//! so that no loss is involved. Both are logarithms of one row, averaged over the rows of the batch: the theory speaks of one
//! input, and ln of a mean over rows would lie higher by an unknown share of V/2. Rows in which every unit is off are left out (of n
//! ReLUs one in 2^n). Where samples mix, as under batch norm, a row has no scale of its own, and the logarithm is that of the
//! mean over the batch. [`Expected`] states where the mean over many seeds must lie.

use crate::exec::{Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use crate::graph::{Graph, Handle, Node, Runnable, Source};
use crate::inits::standard_normal;
use crate::moments::Interval;
use crate::signal::Signal;
use crate::signal::account::kernel;
use crate::signal::scatter::Logs;
use crate::tensor::{Draws, Mode, Shape, Tensor, View, stream};
use crate::valid::ties::Meetings;

/// Scales by node and seed.
#[derive(Clone, Debug)]
pub struct Scales {
    /// ln of the mean square of a value.
    pub forward: Vec<Vec<f64>>,
    /// ln of the energy of the gradient, relative to the prediction; empty where none arrives.
    pub energy: Vec<Vec<f64>>,
    /// 1 - the mean cosine of two different rows; empty for a single row.
    pub contrast: Vec<Vec<f64>>,
}

/// Whether the scatter that the theory predicts is that of the measurement itself rather than a bound of it: a value has one
/// place per unit, and a row its own scale. Places of a map and rows of a batch share weights, so that their mean scatters less.
#[must_use]
pub fn is_exact(graph: &Graph, mode: Mode) -> bool {
    let flat = |shape: Option<&Shape>| shape.is_none_or(|shape| shape.rank() <= 2);
    !mixes(graph, mode)
        && graph.layers().all(|(_, node)| flat(node.shape.as_ref()))
        && graph.feeds.iter().all(|(_, feed)| feed.target || flat(feed.shape.as_ref()))
}

/// By node: how far a mean may lie off because batch norms work on few rows of finitely many units; infinite where nothing can be said,
/// as behind places where uses of one tensor [meet](Meetings).
#[derive(Clone, Debug)]
pub struct Slack {
    /// For ln q of the value.
    pub forward: Vec<f64>,
    /// For ln of the energy of the gradient there.
    pub energy: Vec<f64>,
}

impl Slack {
    /// The slack over batches of `rows` rows.
    ///
    /// Each channel divides by its own variance v over the batch, and E 1/v is larger than 1/E v by about 2 (1/n + 1/B); in deep stacks,
    /// values also lose their Gaussian shape at the same rate. Measured over plain stacks of relu, tanh, gelu and sigmoid with
    /// n = B = 128 and with n = 384, B = 1024: at most 6 (1/n + 1/B) a layer.
    ///
    /// v has the relative variance t/B over B values with the tail t. Above 1/4 a channel may be constant over the batch, so that the norm
    /// multiplies its gradient by 1/sqrt(eps): of values that are 0 with probability 3/4, as behind a ReLU and dropout(0.5)
    /// (t = 11), all 32 are 0 once in 10^4, and behind dropout(0.9) once in 5.
    #[must_use]
    pub fn of(graph: &Graph, signal: &Signal, rows: usize) -> Self {
        let inputs = |node: &Node| -> Vec<usize> {
            let of =
                |source: &Source| if let Source::Node(input) = source { Some(input.index()) } else { None };
            node.inputs.iter().filter_map(of).collect()
        };
        let own: Vec<f64> =
            graph.nodes.iter().map(|(handle, node)| Self::at(signal, rows, handle, node)).collect();
        let meetings = Meetings::of(graph);
        let mut forward = vec![0.0f64; own.len()];
        for (handle, node) in graph.nodes.iter() {
            let i = handle.index();
            forward[i] = inputs(node).into_iter().map(|input| forward[input]).fold(0.0, f64::max);
            let moving = in_step(graph, signal, node);
            if own[i].is_infinite() || moving > IN_STEP || meetings.value[i] {
                forward[i] = f64::INFINITY;
            } else {
                forward[i] += 2.0 * moving;
            }
        }
        let mut energy = vec![0.0f64; own.len()];
        for (handle, node) in graph.nodes.iter().rev() {
            let i = handle.index();
            if meetings.gradient[i] {
                energy[i] = f64::INFINITY;
            }
            let at = energy[i] + own[i];
            inputs(node).into_iter().for_each(|input| energy[input] = energy[input].max(at));
        }
        Self { forward, energy }
    }

    fn at(signal: &Signal, rows: usize, handle: Handle<Node>, node: &Node) -> f64 {
        if !node.op.mixes_batch(Mode::Train) {
            return 0.0;
        }
        let places = |shape: &Shape| shape.elements() / shape.channels().unwrap_or(1).max(1);
        let per_value = log_ratio(1, rows * node.shape.as_ref().map_or(1, places).max(1)).exp();
        let tail = node.inputs.first().and_then(|source| signal.of(*source)).map_or(0.0, |x| x.tail);
        let units = signal.node(handle).map_or(1.0, |moments| moments.units);
        if tail * per_value > 0.25 { f64::INFINITY } else { 6.0 * (1.0 / units + per_value) }
    }
}

/// The share of a layer's second moment beyond which [`in_step`] leaves nothing to compare.
const IN_STEP: f64 = 0.1;

/// The share of a layer's second moment that is one number for all units and changes from input to input, as behind weights with a mean. Over
/// inputs, ln q then scatters like that of one unit, of which the theory of wide layers says nothing: a small share r of q = (m + e)^2 with
/// E e^2 = r m^2 has the variance 4 r of ln q, so that its mean lies 2 r below.
fn in_step(graph: &Graph, signal: &Signal, node: &Node) -> f64 {
    let Some(spec) = kernel(graph, node) else { return 0.0 };
    let (mean, variance) = spec.statistics();
    let Some(x) = node.inputs.first().and_then(|source| signal.of(*source)).filter(|_| mean != 0.0) else {
        return 0.0;
    };
    let (square, centre) = (x.square(), x.mean());
    #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
    let fan_in = spec.fan_in as f64;
    let moving = mean * mean * fan_in * (square - centre * centre).max(0.0);
    let rest = fan_in * variance * square + mean * mean * (fan_in * centre).powi(2);
    if moving > 0.0 { moving / (moving + rest) } else { 0.0 }
}

fn mixes(graph: &Graph, mode: Mode) -> bool {
    graph.layers().any(|(_, node)| node.op.mixes_batch(mode))
}

/// Measures every node over the seeds, with the weights that `draw` gives for each.
#[must_use]
pub fn measure(
    graph: Runnable<'_>,
    feeds: &[Tensor],
    mode: Mode,
    seeds: impl IntoIterator<Item = u64>,
    mut draw: impl FnMut(u64) -> Weights,
) -> Scales {
    let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
    let rows = if mixes(&graph, mode) { 1 } else { batch };
    let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
    let mut gradients = Gradients::zeros::<f64>(&graph, batch);
    let n = graph.nodes.len();
    let mut scales =
        Scales { forward: vec![Vec::new(); n], energy: vec![Vec::new(); n], contrast: vec![Vec::new(); n] };
    let prediction = graph.prediction();
    let elements = prediction.and_then(|source| graph.shape(source)).map_or(0, Shape::elements) * batch;
    for seed in seeds {
        let weights = draw(seed);
        let point = weights.at(feeds);
        let settings = Settings { mode, seed, penalties: false };
        session.forward(&point, settings, Tapes::Live);
        for (handle, _) in graph.layers() {
            let value = session.value(handle);
            scales.forward[handle.index()].push(mean_ln(&ln_squares(value, rows)));
            if batch > 1 {
                scales.contrast[handle.index()].push(contrast(value, batch));
            }
        }
        let Some(Source::Node(end)) = prediction else { continue };
        let direction = standard_normal(elements, Draws { seed, stream: stream("direction") });
        let objective = Objective::Projection(direction);
        session.backward(&objective, &point, settings, &Registry, &mut gradients);
        let at_end = ln_squares(session.cotangent(end), rows);
        for (handle, _) in graph.layers() {
            let cotangent = session.cotangent(handle);
            if !cotangent.is_empty() {
                let mut ln = ln_squares(cotangent, rows);
                // Sums, not means: the lengths of the two values differ.
                let sizes = log_ratio(cotangent.len(), session.cotangent(end).len());
                ln.iter_mut().zip(&at_end).for_each(|(ln, end)| *ln += sizes - end);
                scales.energy[handle.index()].push(mean_ln(&ln));
            }
        }
    }
    scales
}

#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
fn log_ratio(a: usize, b: usize) -> f64 {
    (a as f64 / b.max(1) as f64).ln()
}

/// ln of the mean of the squares of each of `rows` equal parts.
fn ln_squares(value: View<'_, f64>, rows: usize) -> Vec<f64> {
    let data = value.plane(0);
    let width = (data.len() / rows.max(1)).max(1);
    let one = |row: &[f64]| {
        // Relative to the largest element, so that a net that explodes does not overflow here.
        let most = row.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        if most == 0.0 || !most.is_finite() {
            return most.ln();
        }
        let squares: f64 = row.iter().map(|x| (x / most).powi(2)).sum();
        squares.ln() - log_ratio(row.len(), 1) + 2.0 * most.ln()
    };
    data.chunks(width).map(one).collect()
}

/// The mean, without rows that are zero; minus infinity if all of them are.
fn mean_ln(ln: &[f64]) -> f64 {
    let alive = || ln.iter().filter(|ln| **ln > f64::NEG_INFINITY);
    #[expect(clippy::cast_precision_loss, reason = "batches are far below 2^53")]
    let count = alive().count() as f64;
    if count == 0.0 { f64::NEG_INFINITY } else { alive().sum::<f64>() / count }
}

/// 1 - the mean cosine over all pairs of different rows; rows of zeros agree with each other.
#[expect(clippy::cast_precision_loss, reason = "batches are far below 2^53")]
fn contrast(value: View<'_, f64>, rows: usize) -> f64 {
    let data = value.plane(0);
    let width = (data.len() / rows).max(1);
    let lengths: Vec<f64> = data
        .chunks(width)
        .map(|row| {
            let most = row.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            if most > 0.0 { most * row.iter().map(|x| (x / most).powi(2)).sum::<f64>().sqrt() } else { 1.0 }
        })
        .collect();
    // Of unit vectors u, the mean of u u' over pairs is m^2 - v/(n-1) with the mean m and the variance v over rows, so that
    // 1 - that is v n/(n-1), which keeps its digits where rows nearly agree.
    let n = rows as f64;
    let variance: f64 = (0..width)
        .map(|i| {
            let column = || data[i..].iter().step_by(width).zip(&lengths).map(|(x, length)| x / length);
            let mean = column().sum::<f64>() / n;
            column().map(|x| (x - mean).powi(2)).sum::<f64>() / n
        })
        .sum();
    variance * n / (n - 1.0)
}

/// Where the expectation of a measured logarithm lies, and how much it scatters from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Between these.
    pub mean: Interval,
    /// Variance over seeds, or a bound of it.
    pub variance: f64,
    /// Over how many units the square is averaged.
    pub units: f64,
}

impl Expected {
    /// Of ln q at a node. `exact` says whether the predicted scatter is that of the measurement.
    #[must_use]
    pub fn forward(signal: &Signal, node: Handle<Node>, exact: bool) -> Option<Self> {
        let moments = signal.node(node)?;
        Some(Self::new(moments.ln_square, signal.scatter[node.index()], moments.units, exact))
    }

    /// Of ln of the gradient's energy at a node.
    #[must_use]
    pub fn energy(signal: &Signal, node: Handle<Node>, exact: bool) -> Self {
        let energy = &signal.energies[node.index()];
        Self::new(energy.ln, signal.gradient_scatter[node.index()], energy.units, exact)
    }

    /// The mean of a logarithm lies beside the logarithm of the mean by an offset; where the scatter is a bound, by something
    /// between 0 and that.
    fn new(ln: Interval, logs: Logs, units: f64, exact: bool) -> Self {
        let Logs { variance, below, above } = logs;
        let mean =
            if exact { ln.shift(above - below) } else { Interval { lo: ln.lo - below, hi: ln.hi + above } };
        Self { mean, variance, units }
    }

    /// With room for what else the theory leaves out.
    #[must_use]
    pub fn widened(self, by: f64) -> Self {
        let Interval { lo, hi } = self.mean;
        Self { mean: Interval { lo: lo - by, hi: hi + by }, ..self }
    }

    /// Whether any mean would do.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.mean.lo == f64::NEG_INFINITY && self.mean.hi == f64::INFINITY
    }

    /// How far a mean lies outside.
    #[must_use]
    pub fn distance(&self, mean: f64) -> f64 {
        (self.mean.lo - mean).max(mean - self.mean.hi).max(0.0)
    }
}

/// Mean and variance of a sample.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sample sizes are far below 2^53")]
pub fn mean_and_variance(sample: &[f64]) -> (f64, f64) {
    let n = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / n;
    let squares: f64 = sample.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, if n > 1.0 { squares / (n - 1.0) } else { 0.0 })
}
