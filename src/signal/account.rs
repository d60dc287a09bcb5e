//! The un-normalised account: what the layers between two norms do to the energy of the gradient.
//!
//! Contract: drawn up from an analysed graph, without a judgement; the lints of the I and G families judge it. The energy of a gradient is the sum of its squares over all elements of
//! a value, so that widths, strides and pools drop out. A layer with independent weights multiplies it by fan_in Var(w), an
//! activation by E f'(h)^2 at the scale that h has there, a copy adds up (Poole et al. 2016; Schoenholz et al. 2017; research:
//! static.md 2.1). A norm ends a region of the account: what lies before it is rescaled, so its scale is free. So does what the
//! account cannot judge: weights with a mean, softmax, the loss; and the learned factors at the end of a branch, which are small on
//! purpose and grow where the branch is wanted (Touvron et al. 2021). The last layer of a path, the head, is left out: it decides how
//! fast all layers learn, not how they compare.

use super::Signal;
use crate::graph::{Graph, Handle, Node, Source};
use crate::moments::{Energy, Interval};
use crate::ops::{Category, ParamSpec, Role};
use crate::tensor::Mode;

/// The kernel of a layer.
#[must_use]
pub fn kernel<'g>(graph: &'g Graph, node: &'g Node) -> Option<&'g ParamSpec> {
    graph.slots(node).map(|(_, spec)| spec).find(|spec| spec.role == Role::Kernel)
}

/// The account of a graph.
#[derive(Clone, Debug, Default)]
pub struct Account {
    energy: Vec<Energy>,
    /// The layers behind which there is no other.
    pub head: Vec<bool>,
    /// The region of each node.
    region: Vec<usize>,
    /// By region: the hidden layers with the least and the most gradient.
    extremes: Vec<Option<(Extreme, Extreme)>>,
}

/// A region from where a kernel of it was met.
#[derive(Clone, Copy, Debug)]
pub struct Extreme {
    /// The layer whose output has the least or the most gradient.
    pub layer: Handle<Node>,
    /// ln of its energy relative to the end of the region.
    pub ln: f64,
    /// Standard deviation of that logarithm over random draws.
    pub scatter: f64,
}

impl Account {
    /// Draws up the account of a graph.
    #[must_use]
    pub fn of(graph: &Graph, signal: &Signal) -> Self {
        let n = graph.nodes.len();
        let head = heads(graph);
        let mut region: Vec<usize> = (0..n).collect();
        let mut energy: Vec<Option<Energy>> = vec![None; n];
        for (handle, node) in graph.nodes.iter().rev() {
            let at = handle.index();
            let units = signal.node(handle).map_or(1.0, |moments| moments.units);
            let own = *energy[at].get_or_insert(Energy::unit(units));
            let arrived = if head[at] { None } else { hand_back(graph, signal, handle, own) };
            for (position, source) in node.inputs.iter().enumerate() {
                let Source::Node(input) = source else { continue };
                if let Some(share) = arrived.as_ref().and_then(|arrived| arrived.get(position)) {
                    let sum = energy[input.index()].map_or(*share, |sum| sum.plus(*share));
                    energy[input.index()] = Some(sum);
                }
                if node.op.category() != Category::Norm {
                    join(&mut region, at, input.index());
                }
            }
        }
        let energy = energy.into_iter().map(|energy| energy.unwrap_or(Energy::ZERO)).collect();
        let region = (0..n).map(|i| root(&mut region, i)).collect();
        let mut account = Self { energy, head, region, extremes: vec![None; n] };
        account.find_extremes(graph);
        account
    }

    fn find_extremes(&mut self, graph: &Graph) {
        for (layer, node) in graph.nodes.iter() {
            let at = layer.index();
            let judged = !self.head[at] && self.ln(layer).is_finite();
            if !judged || kernel(graph, node).is_none() {
                continue;
            }
            let scatter = self.energy[at].measured_spread().sqrt();
            let here = Extreme { layer, ln: self.ln(layer), scatter };
            let (least, most) = self.extremes[self.region[at]].get_or_insert((here, here));
            if here.ln < least.ln {
                *least = here;
            }
            if here.ln > most.ln {
                *most = here;
            }
        }
    }

    /// ln of the gradient's energy at a node's value, relative to the end of its region; -inf behind zero weights.
    #[must_use]
    pub fn ln(&self, node: Handle<Node>) -> f64 {
        self.energy[node.index()].ln.middle()
    }

    /// ln of the part of the gradient's energy at a node that arises behind the end of its region: what norms, and the layers
    /// that they rescale, do to it. Batch norm multiplies it by E f'^2 / Var f >= 1 in every layer (Yang et al. 2019), which
    /// trained networks bear.
    #[must_use]
    pub fn normed(&self, signal: &Signal, node: Handle<Node>) -> f64 {
        signal.energies[node.index()].ln.middle() - self.ln(node)
    }

    /// Which region a node belongs to.
    #[must_use]
    pub fn region(&self, node: Handle<Node>) -> usize {
        self.region[node.index()]
    }

    /// The hidden layers of a region with the least and with the most gradient. Layers behind zero weights have no say: they
    /// begin to learn after a step.
    #[must_use]
    pub fn extremes(&self, region: usize) -> Option<(Extreme, Extreme)> {
        self.extremes[region]
    }
}

/// What a node hands back to its inputs; `None` where the account ends.
fn hand_back(graph: &Graph, signal: &Signal, handle: Handle<Node>, energy: Energy) -> Option<Vec<Energy>> {
    let node = &graph.nodes[handle];
    let through = || {
        let output = signal.node(handle)?;
        super::with_transfer(graph, Mode::Train, signal, node, |io| node.op.energy(io, energy, output))
    };
    match node.op.category() {
        Category::Layer => {
            // Weights with a mean add their inputs up coherently, and the account is one of independent terms.
            let spec = kernel(graph, node)?;
            let (mean, variance) = spec.statistics();
            #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
            let gain = spec.fan_in as f64 * variance;
            // Padding at the borders is left out: it makes the account larger, never an alarm.
            let units = graph.shape(*node.inputs.first()?)?.channels().unwrap_or(1);
            let arrived = match variance {
                0.0 => Energy::ZERO,
                _ => energy.linear(Interval::point(gain.ln()), units),
            };
            (mean == 0.0).then(|| vec![arrived; node.inputs.len()])
        }
        Category::Combine if graph.slots(node).any(|(_, spec)| spec.role == Role::Scale) => None,
        Category::Activation | Category::Combine => match signal.passed[handle.index()] {
            Some(passed) => Some(vec![energy.slope(passed.square, passed.fourth)]),
            None => through(),
        },
        Category::Product => through(),
        // The average of a map divides the energy by its size, but weights below sum it up again over as many places.
        Category::Pool | Category::Noise | Category::Layout => Some(vec![energy; node.inputs.len()]),
        Category::Norm | Category::Lookup | Category::Distribution | Category::Loss => None,
    }
}

/// The layers behind which there is no other layer.
#[must_use]
pub fn heads(graph: &Graph) -> Vec<bool> {
    let is_layer = |handle: Handle<Node>| graph.nodes[handle].op.category() == Category::Layer;
    let mut before_layer = vec![false; graph.nodes.len()];
    for (handle, node) in graph.nodes.iter().rev() {
        let seen = is_layer(handle) || before_layer[handle.index()];
        for source in &node.inputs {
            if let Source::Node(input) = source {
                before_layer[input.index()] |= seen;
            }
        }
    }
    graph.nodes.handles().map(|handle| is_layer(handle) && !before_layer[handle.index()]).collect()
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}
