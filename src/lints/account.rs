//! The un-normalised account: what the layers between two norms do to the energy of the gradient.
//!
//! Not a lint; the lints of the I and G families share it. The energy of a gradient is the sum of its squares over all elements of
//! a value, so that widths, strides and pools drop out. A layer with independent weights multiplies it by fan_in Var(w), an
//! activation by E f'(h)^2 at the scale that h has there, a copy adds up (Poole et al. 2016; Schoenholz et al. 2017; research:
//! static.md 2.1). A norm ends a region of the account: what lies before it is rescaled, so its scale is free. So does what the
//! account cannot judge: weights with a mean, softmax, the loss. The last layer of a path, the head, is left out: it decides how
//! fast all layers learn, not how they compare.
//!
//! E f'^2 needs no rule of its own: two inputs that differ by an infinitesimal amount differ behind f by f' times as much, so the
//! contrast that the operator's moment map gives for nearly equal inputs is E f'^2.

use super::Context;
use super::scheme;
use super::uses::Uses;
use crate::graph::{Graph, Handle, Node, Optimizer, Source};
use crate::moments::{Interval, Moments};
use crate::ops::{Category, Transfer};
use crate::tensor::Mode;

/// The account of a graph.
#[derive(Debug)]
pub struct Account {
    /// ln of the gradient's energy at each node's value, relative to the end of its region; -inf behind zero weights.
    pub energy: Vec<f64>,
    /// The layers behind which there is no other.
    pub head: Vec<bool>,
    /// The region of each node.
    region: Vec<usize>,
}

/// A region from where a kernel of it was met.
#[derive(Clone, Copy, Debug)]
pub struct Extreme {
    /// The layer whose output has the least or the most gradient.
    pub layer: Handle<Node>,
    /// ln of its energy relative to the end of the region.
    pub ln: f64,
}

impl Account {
    /// Draws up the account of a graph.
    #[must_use]
    pub fn of(context: Context<'_>, uses: &Uses) -> Self {
        let graph: &Graph = context.graph;
        let n = graph.nodes.len();
        let head = heads(graph, uses);
        let mut region: Vec<usize> = (0..n).collect();
        let mut energy = vec![f64::NEG_INFINITY; n];
        let mut received = vec![false; n];
        for (handle, node) in graph.nodes.iter().rev() {
            let at = handle.index();
            if !received[at] {
                energy[at] = 0.0;
            }
            for (position, source) in node.inputs.iter().enumerate() {
                let Source::Node(input) = source else { continue };
                if node.op.category() != Category::Loss && !head[at] {
                    if let Some(factor) = factor(context, node, position) {
                        let (input, share) = (input.index(), energy[at] + factor);
                        energy[input] = if received[input] {
                            crate::moments::ln_add(energy[input], share)
                        } else {
                            share
                        };
                        received[input] = true;
                    }
                }
                if node.op.category() != Category::Norm {
                    join(&mut region, at, input.index());
                }
            }
        }
        let region = (0..n).map(|i| root(&mut region, i)).collect();
        Self { energy, head, region }
    }

    /// Which region a node belongs to.
    #[must_use]
    pub fn region(&self, node: Handle<Node>) -> usize {
        self.region[node.index()]
    }

    /// The hidden layers of a region with the least and with the most gradient. Layers behind zero weights have no say: they
    /// begin to learn after a step.
    #[must_use]
    pub fn extremes(&self, graph: &Graph, region: usize) -> Option<(Extreme, Extreme)> {
        let mut found: Option<(Extreme, Extreme)> = None;
        for (layer, node) in graph.nodes.iter() {
            let at = layer.index();
            let hidden = self.region[at] == region && !self.head[at] && self.energy[at].is_finite();
            if !hidden || scheme::kernel(graph, node).is_none() {
                continue;
            }
            let here = Extreme { layer, ln: self.energy[at] };
            let (least, most) = found.get_or_insert((here, here));
            if here.ln < least.ln {
                *least = here;
            }
            if here.ln > most.ln {
                *most = here;
            }
        }
        found
    }
}

/// ln of what an edge does to the energy on its way back; `None` where the account ends.
fn factor(context: Context<'_>, node: &Node, position: usize) -> Option<f64> {
    let graph: &Graph = context.graph;
    match node.op.category() {
        Category::Layer => {
            let spec = scheme::kernel(graph, node)?;
            let (mean, variance) = spec.statistics();
            #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
            let gain = spec.fan_in as f64 * variance;
            (mean == 0.0).then(|| gain.ln())
        }
        Category::Activation => slope(context, node),
        Category::Pool | Category::Noise | Category::Layout => Some(0.0),
        Category::Combine if node.op.name() == "mul" => {
            let others = node.inputs.iter().enumerate().filter(|(i, _)| *i != position);
            others.map(|(_, source)| Some(context.signal.of(*source)?.ln_square.middle())).sum()
        }
        Category::Combine => Some(0.0),
        Category::Norm | Category::Distribution | Category::Loss => None,
    }
}

/// How much two nearly equal inputs differ: 1 - correlation. The error of the quotient is of the order of its root, 1e-4.
const NEAR: f64 = 1e-8;
/// What stands for a second moment of zero, so that f'(0)^2 has a quotient: 1e-52, far below every signal.
const TINY: f64 = -120.0;

/// ln E f'(h)^2 of an activation at the scale of its input.
fn slope(context: Context<'_>, node: &Node) -> Option<f64> {
    let source = *node.inputs.first()?;
    let x = context.signal.of(source)?;
    let (input, shape) = (context.graph.shape(source)?, node.shape.as_ref()?);
    let scale = x.ln_square.middle().max(TINY);
    let near = Moments { ln_square: Interval::point(scale), contrast: NEAR, spread: 0.0, ..*x };
    let y = node.op.transfer(Transfer {
        mode: Mode::Train,
        shapes: &[input],
        shape,
        inputs: &[near],
        params: &[],
    });
    Some(y.ln_square.middle() + y.contrast.ln() - scale - NEAR.ln())
}

/// The layers behind which there is no other layer.
fn heads(graph: &Graph, uses: &Uses) -> Vec<bool> {
    let is_layer = |handle: Handle<Node>| graph.nodes[handle].op.category() == Category::Layer;
    let mut before_layer = vec![false; graph.nodes.len()];
    for (handle, _) in graph.nodes.iter().rev() {
        let after = uses.after(Source::Node(handle));
        before_layer[handle.index()] = after.iter().any(|next| is_layer(*next) || before_layer[next.index()]);
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

/// From which values on a quantity is a warning and an error.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Decimal logarithm of the gradient's energy, first to last hidden layer, below which the first layers do not learn.
    pub vanishing: [f64; 2],
    /// Likewise, above which training diverges or is chaotic.
    pub exploding: [f64; 2],
    /// 1 - correlation of two independent inputs' values at the last hidden layer, as a decimal logarithm.
    pub merging: [f64; 2],
    /// Standard deviation of the logits.
    pub logits: [f64; 2],
}

impl Limits {
    /// The limits for an optimiser (research: static.md 3.1, from a grid of 103 networks, two optimisers each). Adam divides the
    /// gradient by its own scale, so it takes far more to stop it. Without an optimiser the gradient counts as it is.
    #[must_use]
    pub fn of(graph: &Graph) -> Self {
        let optimizer = graph.training.optimizer.as_ref().map(|optimizer| &optimizer.value);
        match optimizer {
            Some(Optimizer::Adam { .. }) => Self {
                vanishing: [-8.0, -14.0],
                exploding: [4.0, 6.0],
                merging: [-7.0, -10.0],
                logits: [50.0, 5000.0],
            },
            Some(Optimizer::Sgd { .. }) | None => Self {
                vanishing: [-5.5, -8.0],
                exploding: [4.0, 6.0],
                merging: [-3.5, -6.0],
                logits: [8.0, 50.0],
            },
        }
    }
}
