//! How signal and gradient scatter over random initialisations of finite width.
//!
//! Contract: every layer averages over finitely many units, which adds an independent deviation to ln of the second moment of
//! its result (Hanin and Rolnick 2018); norms add that of the units that they measure. A deviation travels on to first order: with
//! the elasticity of each map forward (V <- J^2 V + c_f / n along a chain), and with its coupling to the energy of the gradient
//! back, where slopes depend on the scale. Values that share layers below share deviations: the sum x + f(x) scatters as the whole
//! of x does, not as two independent halves. Each value therefore keeps one coefficient for every deviation, not a variance.
//! Deviations forward and back of the same units are taken as independent, and the mean of ln of a mean of n independent squares as
//! minus half of its variance.
//!
//! The mean of a logarithm needs the second order, too: ln(1 - w + w e^d) = w d + w (1 - w) d^2 / 2, so that with E e^d = 1 the mean of a
//! sum stays what it is and that of its logarithm falls by w^2 Var(d)/2, not by w Var(d)/2. A value behind a sum keeps these
//! coefficients of d^2/2 as well. Where an energy depends on a scale with the coupling c, the next order is taken to be as large as c; what it
//! adds is left uncertain, c^2 V^2 / 2. Beyond [`ROOM`] coefficients the operators' own recursion for independent inputs serves.

use super::{Signal, Step};
use crate::graph::{Graph, Handle, Node, Source};
use crate::moments::{Energy, Moments};
use crate::ops::Category;
use std::rc::Rc;

/// How many coefficients are kept at most: those of about 700 layers one behind the other. Their number grows with the square of the depth, and
/// four times as many take longer than all the rest of the analysis.
const ROOM: usize = 1 << 20;

/// The distribution of a measured logarithm around the prediction for infinite width.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Logs {
    /// Variance over initialisations.
    pub variance: f64,
    /// The part of the mean's offset that lowers it: half of the variance where every deviation keeps its sign.
    pub below: f64,
    /// The part that raises it, as behind a norm, which divides by what deviates.
    pub above: f64,
}

impl Logs {
    /// The offset of the mean.
    #[must_use]
    pub fn offset(&self) -> f64 {
        self.above - self.below
    }

    /// With one more independent deviation.
    fn with(self, variance: f64) -> Self {
        Self { variance: self.variance + variance, below: self.below + 0.5 * variance, ..self }
    }
}

/// By deviation, a coefficient; behind the end they are zero.
type Terms = Rc<Vec<f64>>;

/// How a logarithm depends on the deviations d of a graph: the sum of first d + second d^2 / 2.
#[derive(Clone, Default)]
struct Series {
    first: Terms,
    /// Empty but behind sums.
    second: Terms,
}

/// The scatter of all values of a graph while it is analysed.
pub(super) struct Scatter {
    /// The variance of each deviation.
    variances: Vec<f64>,
    /// By feed and by node.
    feeds: Vec<Series>,
    nodes: Vec<Series>,
    /// By node: the deviations of what it takes, as it measures them.
    taken: Vec<Vec<Series>>,
    energies: Vec<Series>,
    /// By node: what else makes the gradient's scale uncertain there.
    uncertain: Vec<f64>,
    /// By node: what the next order may add to the variance of ln of the energy.
    unsure: Vec<f64>,
    /// Whether the graph is too large.
    full: bool,
}

fn add(into: &mut Vec<f64>, factor: f64, terms: &[f64]) {
    if factor == 0.0 {
        return;
    }
    if into.len() < terms.len() {
        into.resize(terms.len(), 0.0);
    }
    into.iter_mut().zip(terms).for_each(|(sum, term)| *sum += factor * term);
}

/// The standard deviation that a value has in a full graph.
fn deviation(series: &Series) -> f64 {
    series.first.first().copied().unwrap_or(0.0)
}

/// The sum of several terms with factors.
fn weighted<'a>(parts: impl Iterator<Item = (f64, &'a Terms)>) -> Vec<f64> {
    let mut out = Vec::new();
    parts.for_each(|(factor, terms)| add(&mut out, factor, terms));
    out
}

/// The sum of several logarithms with factors; shared where it is one of them unchanged. In a `full` graph the one coefficient is a
/// standard deviation, and parts are independent.
fn sum(full: bool, parts: &[(f64, &Series)]) -> Series {
    match parts {
        [] => Series::default(),
        [(factor, series)] if (factor - 1.0).abs() < 1e-9 => Series::clone(series),
        _ if full => {
            let squares = parts.iter().map(|(factor, series)| (factor * deviation(series)).powi(2));
            Series { first: Rc::new(vec![squares.sum::<f64>().sqrt()]), second: Rc::default() }
        }
        _ => Series {
            first: Rc::new(weighted(parts.iter().map(|(factor, series)| (*factor, &series.first)))),
            second: Rc::new(weighted(parts.iter().map(|(factor, series)| (*factor, &series.second)))),
        },
    }
}

/// The logarithm of a sum of values, each with its share: ln sum w e^(a d + b d^2 / 2) has the coefficients A = sum w a and
/// sum w (b + a^2) - A^2.
fn mixed(full: bool, parts: &[(f64, &Series)]) -> Series {
    let mut mixed = sum(full, parts);
    if !full && parts.len() > 1 {
        let mut second = Vec::clone(&mixed.second);
        second.resize(mixed.first.len(), 0.0);
        for (share, series) in parts {
            second.iter_mut().zip(series.first.iter()).for_each(|(b, a)| *b += share * a * a);
        }
        second.iter_mut().zip(mixed.first.iter()).for_each(|(b, a)| *b -= a * a);
        mixed.second = Rc::new(second);
    }
    mixed
}

impl Scatter {
    pub(super) fn new(graph: &Graph, feeds: &[Moments]) -> Self {
        let sources = graph.nodes.iter().filter(|(_, node)| !node.params.is_empty()).count();
        let n = graph.nodes.len();
        let mut scatter = Self {
            variances: Vec::new(),
            feeds: Vec::new(),
            nodes: vec![Series::default(); n],
            taken: vec![Vec::new(); n],
            energies: vec![Series::default(); n],
            uncertain: vec![0.0; n],
            unsure: vec![0.0; n],
            full: sources.saturating_mul(n) > ROOM,
        };
        for feed in feeds {
            let series = scatter.deviate(Series::default(), feed.spread);
            scatter.feeds.push(series);
        }
        scatter
    }

    /// The logarithm with a deviation of its own.
    fn deviate(&mut self, series: Series, variance: f64) -> Series {
        if variance <= 0.0 || !variance.is_finite() {
            return series;
        }
        if self.full {
            let first = Rc::new(vec![deviation(&series).hypot(variance.sqrt())]);
            return Series { first, ..series };
        }
        let mut own = Vec::with_capacity(self.variances.len() + 1);
        own.extend_from_slice(&series.first);
        own.resize(self.variances.len(), 0.0);
        own.push(1.0);
        self.variances.push(variance);
        Series { first: Rc::new(own), ..series }
    }

    /// Goes forward over one node.
    pub(super) fn forward(&mut self, handle: Handle<Node>, node: &Node, signal: &Signal, step: &Step) {
        let norm = node.op.category() == Category::Norm && !node.op.mixes_batch(crate::tensor::Mode::Train);
        let taken: Vec<Series> = node
            .inputs
            .iter()
            .map(|source| {
                let series = Series::clone(match source {
                    Source::Feed(feed) => &self.feeds[feed.index()],
                    Source::Node(input) => &self.nodes[input.index()],
                });
                // A norm divides by the mean over the units that are there, not by that over all that could be.
                match signal.of(*source) {
                    Some(x) if norm => self.deviate(series, x.tail / x.units),
                    _ => series,
                }
            })
            .collect();
        let parts: Vec<(f64, &Series)> = step.elasticity.iter().copied().zip(&taken).collect();
        let adds = node.op.category() == Category::Combine && node.op.name() != "mul";
        let handed = if adds { mixed(self.full, &parts) } else { sum(self.full, &parts) };
        self.nodes[handle.index()] = if norm { handed } else { self.deviate(handed, step.injected) };
        self.taken[handle.index()] = taken;
    }

    /// Goes back from a node to one of its inputs. `merged` are the energies there before, and of the one that arrives.
    pub(super) fn back(
        &mut self,
        from: Handle<Node>,
        to: Handle<Node>,
        injected: f64,
        coupling: &[f64],
        (before, own): (Energy, Energy),
    ) {
        if own.is_zero() {
            return;
        }
        let taken = &self.taken[from.index()];
        let coupled = || coupling.iter().copied().zip(taken).filter(|(factor, _)| factor.abs() > 1e-9);
        let mut parts: Vec<(f64, &Series)> = vec![(1.0, &self.energies[from.index()])];
        parts.extend(coupled());
        let arrived = sum(self.full, &parts);
        let next_order = |(c, series): (f64, &Series)| 0.5 * (c * self.logs(series).variance).powi(2);
        let unsure = self.unsure[from.index()] + coupled().map(next_order).sum::<f64>();
        let arrived = self.deviate(arrived, injected);
        let there = &mut self.energies[to.index()];
        *there = if before.is_zero() {
            arrived
        } else {
            let total = before.plus(own).ln.middle();
            let share = |part: Energy| (part.ln.middle() - total).exp();
            mixed(self.full, &[(share(before), there), (share(own), &arrived)])
        };
        let there = &mut self.unsure[to.index()];
        *there = there.max(unsure);
    }

    /// Adds to the variance of ln of a gradient's energy, without moving its mean.
    pub(super) fn uncertain(&mut self, node: Handle<Node>, variance: f64) {
        self.uncertain[node.index()] += variance;
    }

    /// The variance of a logarithm, and the offset of its mean: E d = -Var(d)/2 makes it (second - first) Var(d)/2.
    fn logs(&self, series: &Series) -> Logs {
        if self.full {
            return Logs::default().with(deviation(series).powi(2));
        }
        let mut logs = Logs::default();
        let second = series.second.iter().copied().chain(std::iter::repeat(0.0));
        for ((a, b), variance) in series.first.iter().zip(second).zip(&self.variances) {
            logs.variance += a * a * variance;
            let offset = 0.5 * (b - a) * variance;
            logs.above += offset.max(0.0);
            logs.below -= offset.min(0.0);
        }
        logs
    }

    /// Writes what was found into the analysis.
    pub(super) fn finish(self, signal: &mut Signal) {
        for (i, moments) in signal.nodes.iter_mut().enumerate() {
            let logs = self.logs(&self.nodes[i]);
            let (Some(moments), energy) = (moments, &mut signal.energies[i]) else {
                signal.scatter.push(Logs::default());
                signal.gradient_scatter.push(Logs::default());
                continue;
            };
            moments.spread = logs.variance;
            signal.scatter.push(logs.with(moments.tail / moments.units));
            let logs = self.logs(&self.energies[i]);
            let logs = logs.with(energy.tail / energy.units);
            signal
                .gradient_scatter
                .push(Logs { variance: logs.variance + self.uncertain[i] + self.unsure[i], ..logs });
            energy.spread = logs.variance;
        }
    }
}
