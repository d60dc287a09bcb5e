//! How far signal, gradient and the difference of two inputs reach: their depth scales, in numbers and in words.
//!
//! Contract: along the longest chain of layers from an input to the prediction, the head left out, where a layer stands for the sum that
//! its value is added to, if there is one before the next layer, a quantity that changes by e^B
//! over L steps has the depth scale xi = L / |B|: the number of layers over which it changes by a factor of e (Schoenholz et al. 2017).
//! The forward signal is the second moment's root, the gradient its energy, read from the last hidden layer to the first, and the
//! difference 1 - correlation of two independent inputs. Where ln of a scale varies by more than 2 between initialisations the
//! scale of one network says nothing about that of the next, and [`Depth::words`] says so.

use super::{Signal, account};
use crate::graph::{Graph, Handle, Node, Source};
use crate::text::{number, plural};

/// A variance of ln q above which the scale is that of the seed.
pub const UNSURE: f64 = 2.0;

/// What happens to one quantity over the depth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// ln of the quantity at the far end over that at the near end, in the direction in which it travels.
    pub total: f64,
    /// Over how many layers.
    pub steps: usize,
}

impl Course {
    /// Over how many layers the quantity changes by a factor of e; infinite where it keeps its size.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "depths are far below 2^53")]
    pub fn scale(self) -> f64 {
        self.steps as f64 / self.total.abs()
    }

    fn words(self, what: &str, kept: &str) -> String {
        let (factor, steps) = (self.total.exp(), plural(self.steps, "layer"));
        // Less than half an e-fold over the whole net is no change worth a scale.
        if self.total == f64::NEG_INFINITY {
            return format!("{what} is gone after {steps}");
        }
        if self.total.abs() < 0.5 {
            return format!("{what} {kept} over {steps} (x{})", number(factor));
        }
        let verb = if self.total < 0.0 { "falls" } else { "grows" };
        let each = match self.scale() {
            xi if xi >= 2.0 => format!("by e every {} layers", number((xi * 10.0).round() / 10.0)),
            xi => format!("by e^{} every layer", number((10.0 / xi).round() / 10.0)),
        };
        format!("{what} {verb} {each}; over {steps} that is x{}", number(factor))
    }
}

/// The depth scales of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    /// The layers of the longest chain in the order of the signal, without the head; of those that end a branch, the sum behind them.
    pub chain: Vec<Handle<Node>>,
    /// The last layer.
    pub head: Handle<Node>,
    /// The root of the second moment.
    pub forward: Course,
    /// The energy of the gradient, from the last layer of the chain to the first.
    pub gradient: Course,
    /// The share of the gradient's change that arises behind norms.
    pub normed: f64,
    /// 1 - correlation of two inputs.
    pub difference: Course,
    /// The first layer, and the standard deviation of ln q at the last, where the scale depends on the seed.
    pub unsure: Option<(usize, f64)>,
    /// Likewise the last layer from which on, seen from the output, the gradient's does.
    pub unsure_gradient: Option<(usize, f64)>,
}

impl Depth {
    /// Reads the depth scales off an analysis; `None` if the longest chain has fewer than two hidden layers.
    #[must_use]
    pub fn of(graph: &Graph, signal: &Signal) -> Option<Self> {
        let mut chain = chain(graph);
        let head = chain.pop()?;
        let (first, last) = (*chain.first()?, *chain.last()?);
        let steps = chain.len() - 1;
        if steps == 0 {
            return None;
        }
        let ends = (signal.node(first)?, signal.node(last)?);
        let energy = |node: Handle<Node>| signal.energies[node.index()].ln.middle();
        // Zero over zero: there was nothing to begin with.
        let course =
            |total: f64| Course { total: if total.is_nan() { f64::NEG_INFINITY } else { total }, steps };
        let gradient = course(energy(first) - energy(last));
        let normed = signal.account.normed(signal, first) - signal.account.normed(signal, last);
        let mut unsure = chain.iter().map(|node| signal.scatter[node.index()].variance);
        let mut back = chain.iter().rev().map(|node| signal.gradient_scatter[node.index()].variance);
        let sd = |node: Handle<Node>, logs: &[super::scatter::Logs]| logs[node.index()].variance.sqrt();
        Some(Self {
            forward: course(0.5 * (ends.1.ln_square.middle() - ends.0.ln_square.middle())),
            gradient,
            normed: if normed.is_finite() { normed } else { 0.0 },
            difference: course(ends.1.contrast.ln() - ends.0.contrast.ln()),
            unsure: unsure.position(|v| v > UNSURE).map(|at| (at + 1, sd(last, &signal.scatter))),
            unsure_gradient: back
                .position(|v| v > UNSURE)
                .map(|at| (chain.len() - at, sd(first, &signal.gradient_scatter))),
            chain,
            head,
        })
    }

    /// A line for each quantity.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let Self { chain, head: _, forward, gradient, normed, difference, unsure, unsure_gradient } = self;
        let mut out = vec![
            forward.words("the signal", "keeps its scale"),
            gradient.words("the gradient's energy, going back,", "keeps its scale"),
            difference.words("the difference of two inputs", "survives"),
        ];
        if normed.abs() >= 0.5 {
            let share = number(normed.exp());
            out.push(format!(
                "of the gradient's change x{share} arises behind norms and does not harm by itself"
            ));
        }
        let layers = chain.len();
        for (what, found) in [("signal", unsure), ("gradient", unsure_gradient)] {
            let Some((at, sd)) = found else { continue };
            let (side, factor) = (if what == "signal" { "from" } else { "up to" }, number(sd.exp()));
            out.push(format!(
                "{side} layer {at} of {layers} the scale of the {what} depends on the seed: x{factor} between \
                 initialisations (one standard deviation)"
            ));
        }
        out
    }
}

/// The layers on the longest path to the prediction, or the sums behind them.
fn chain(graph: &Graph) -> Vec<Handle<Node>> {
    let Some(Source::Node(end)) = graph.prediction() else { return Vec::new() };
    let mut length = vec![0usize; graph.nodes.len()];
    let mut before: Vec<Option<Handle<Node>>> = vec![None; graph.nodes.len()];
    for (handle, node) in graph.nodes.iter() {
        let inputs = node.inputs.iter().filter_map(|source| match source {
            Source::Node(input) => Some(*input),
            Source::Feed(_) => None,
        });
        // Of equally long paths the one that was written first.
        let best =
            inputs.reduce(|best, next| if length[next.index()] > length[best.index()] { next } else { best });
        let own = usize::from(account::kernel(graph, node).is_some());
        length[handle.index()] = own + best.map_or(0, |best| length[best.index()]);
        before[handle.index()] = best;
    }
    let path = std::iter::successors(Some(end), |node| before[node.index()]);
    // Backwards: the last sum before a layer stands for the layer whose value it takes.
    let mut layers: Vec<Handle<Node>> = Vec::new();
    let mut sum = None;
    for handle in path {
        let node = &graph.nodes[handle];
        if account::kernel(graph, node).is_some() {
            layers.push(sum.take().unwrap_or(handle));
        } else if node.op.name() == "add" && sum.is_none() {
            sum = Some(handle);
        }
    }
    layers.reverse();
    layers
}
