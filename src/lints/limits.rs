//! From which values on what the static analysis finds is worth a word.
//!
//! Not a lint; the lints of the I and G families judge the account of [`crate::signal::account`] by these.

use crate::graph::{Graph, Handle, Node, Optimizer};
use crate::ops::Category;
use crate::signal::Signal;
use crate::signal::account::Account;

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

    /// The limits for a region of the account.
    ///
    /// Adam's steps do not depend on the scale of the gradient. If all activations of a region are positively homogeneous, f(c x) = c f(x),
    /// and nothing is added up in it, the gradients of all its weights are too large by the same factor, and so are the logits: the
    /// fault is one number, which equal relative steps of all layers undo (research: static.md 3.2). Then it is only a warning, up to
    /// the range of single precision, in which a second moment ends at 10^36.
    #[must_use]
    pub fn within(graph: &Graph, account: &Account, region: usize) -> Self {
        let limits = Self::of(graph);
        let homogeneous = graph.nodes.iter().filter(|(node, _)| account.region(*node) == region).all(
            |(_, node)| match node.op.category() {
                Category::Activation => {
                    node.op.response().is_some_and(|f| (f.elasticity - 1.0).abs() < HOMOGENEOUS)
                }
                Category::Combine => node.op.name() == "concat",
                Category::Distribution | Category::Product => false,
                _ => true,
            },
        );
        if is_adam(graph) && homogeneous {
            Self { exploding: [limits.exploding[0], 36.0], logits: [limits.logits[0], 1e18], ..limits }
        } else {
            limits
        }
    }
}

/// Whether training divides the gradient by its own scale.
#[must_use]
pub fn is_adam(graph: &Graph) -> bool {
    matches!(graph.training.optimizer.as_ref().map(|own| &own.value), Some(Optimizer::Adam { .. }))
}

/// The standard deviation of logits that nearly every draw exceeds: by two standard deviations of its logarithm over random draws. A warning
/// speaks of the typical draw; an error stops all of them.
#[must_use]
pub fn at_least(signal: &Signal, logits: Handle<Node>, std: f64) -> f64 {
    // The variance is that of the logarithm of the square.
    std * (-signal.scatter[logits.index()].variance.sqrt()).exp()
}

/// How far the elasticity of a homogeneous function may lie from 1, which quadrature finds it to be.
const HOMOGENEOUS: f64 = 1e-9;
