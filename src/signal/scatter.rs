//! How signal and gradient scatter over random initialisations of finite width.
//!
//! Contract: every layer averages over finitely many units, which adds an independent deviation to ln of the second moment of
//! its result (Hanin and Rolnick 2018); norms add that of the units that they measure. A deviation travels on to first order: with
//! the elasticity of each map forward (V <- J^2 V + c_f / n along a chain), and with its coupling to the energy of the gradient
//! back, where slopes depend on the scale. Values that share layers below share deviations: the sum x + f(x) scatters as the whole
//! of x does, not as two independent halves. Each value therefore keeps one coefficient for every deviation, not a variance.
//! Deviations forward and back of the same units are taken as independent, and the mean of ln of a mean of n independent squares as
//! minus half of its variance. Beyond [`ROOM`] coefficients the operators' own recursion for independent inputs serves.

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

/// By deviation, its coefficient; behind the end they are zero.
type Terms = Rc<Vec<f64>>;

/// The scatter of all values of a graph while it is analysed.
pub(super) struct Scatter {
    /// The variance of each deviation.
    variances: Vec<f64>,
    /// By feed and by node.
    feeds: Vec<Terms>,
    nodes: Vec<Terms>,
    /// By node: the deviations of what it takes, as it measures them.
    taken: Vec<Vec<Terms>>,
    energies: Vec<Terms>,
    /// By node: what else makes the gradient's scale uncertain.
    uncertain: Vec<f64>,
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
fn deviation(terms: &Terms) -> f64 {
    terms.first().copied().unwrap_or(0.0)
}

/// The sum of several terms with factors; shared where it is one of them unchanged. In a `full` graph the one coefficient is a
/// standard deviation, and parts are independent.
fn sum(full: bool, parts: &[(f64, &Terms)]) -> Terms {
    match parts {
        [] => Rc::default(),
        [(factor, terms)] if (factor - 1.0).abs() < 1e-9 => Rc::clone(terms),
        _ if full => {
            let squares = parts.iter().map(|(factor, terms)| (factor * deviation(terms)).powi(2));
            Rc::new(vec![squares.sum::<f64>().sqrt()])
        }
        _ => {
            let mut out = Vec::new();
            parts.iter().for_each(|(factor, terms)| add(&mut out, *factor, terms));
            Rc::new(out)
        }
    }
}

impl Scatter {
    pub(super) fn new(graph: &Graph, feeds: &[Moments]) -> Self {
        let sources = graph.nodes.iter().filter(|(_, node)| !node.params.is_empty()).count();
        let n = graph.nodes.len();
        let mut scatter = Self {
            variances: Vec::new(),
            feeds: Vec::new(),
            nodes: vec![Rc::default(); n],
            taken: vec![Vec::new(); n],
            energies: vec![Rc::default(); n],
            uncertain: vec![0.0; n],
            full: sources.saturating_mul(n) > ROOM,
        };
        for feed in feeds {
            let terms = scatter.deviate(Rc::default(), feed.spread);
            scatter.feeds.push(terms);
        }
        scatter
    }

    /// The terms with a deviation of their own.
    fn deviate(&mut self, terms: Terms, variance: f64) -> Terms {
        if variance <= 0.0 || !variance.is_finite() {
            return terms;
        }
        if self.full {
            return Rc::new(vec![deviation(&terms).hypot(variance.sqrt())]);
        }
        let mut own = Vec::with_capacity(self.variances.len() + 1);
        own.extend_from_slice(&terms);
        own.resize(self.variances.len(), 0.0);
        own.push(1.0);
        self.variances.push(variance);
        Rc::new(own)
    }

    /// Goes forward over one node.
    pub(super) fn forward(&mut self, handle: Handle<Node>, node: &Node, signal: &Signal, step: &Step) {
        let norm = node.op.category() == Category::Norm && !node.op.mixes_batch(crate::tensor::Mode::Train);
        let taken: Vec<Terms> = node
            .inputs
            .iter()
            .map(|source| {
                let terms = Rc::clone(match source {
                    Source::Feed(feed) => &self.feeds[feed.index()],
                    Source::Node(input) => &self.nodes[input.index()],
                });
                // A norm divides by the mean over the units that are there, not by that over all that could be.
                match signal.of(*source) {
                    Some(x) if norm => self.deviate(terms, x.tail / x.units),
                    _ => terms,
                }
            })
            .collect();
        let parts: Vec<(f64, &Terms)> = step.elasticity.iter().copied().zip(&taken).collect();
        let handed = sum(self.full, &parts);
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
        let mut parts: Vec<(f64, &Terms)> = vec![(1.0, &self.energies[from.index()])];
        parts.extend(coupling.iter().copied().zip(taken).filter(|(factor, _)| factor.abs() > 1e-9));
        let arrived = sum(self.full, &parts);
        let arrived = self.deviate(arrived, injected);
        let there = &mut self.energies[to.index()];
        *there = if before.is_zero() {
            arrived
        } else {
            let total = before.plus(own).ln.middle();
            let share = |part: Energy| (part.ln.middle() - total).exp();
            sum(self.full, &[(share(before), there), (share(own), &arrived)])
        };
    }

    /// Adds to the variance of ln of a gradient's energy, without moving its mean.
    pub(super) fn uncertain(&mut self, node: Handle<Node>, variance: f64) {
        self.uncertain[node.index()] += variance;
    }

    fn logs(&self, terms: &Terms) -> Logs {
        if self.full {
            return Logs::default().with(deviation(terms).powi(2));
        }
        let mut logs = Logs::default();
        for (a, variance) in terms.iter().zip(&self.variances) {
            logs.variance += a * a * variance;
            if *a > 0.0 {
                logs.below += 0.5 * a * variance;
            } else {
                logs.above -= 0.5 * a * variance;
            }
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
            signal.gradient_scatter.push(Logs { variance: logs.variance + self.uncertain[i], ..logs });
            energy.spread = logs.variance;
        }
    }
}
