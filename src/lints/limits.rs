//! From which values on what the static analysis finds is worth a word.
//!
//! Not a lint; the lints of the I and G families judge the account of [`crate::signal::account`] by these.

use crate::graph::{Graph, Optimizer};

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
