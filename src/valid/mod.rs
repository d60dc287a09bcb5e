//! The battery: what is checked by running the model, at random initialisations.
//!
//! Contract: everything is deterministic in the seeds that it is given and states them; a failure names the case that replays it.
//! Gradient checks and property tests look at the same [`Samples`].

pub mod against;
mod alternatives;
pub mod audit;
pub mod chains;
pub mod claims;
pub mod declared;
mod diagnose;
pub mod gradcheck;
pub mod naive;
pub mod power;
pub mod properties;
pub mod regressions;
pub mod rows;
mod samples;
pub mod scale;
pub mod structure;
pub mod student;
mod ties;

pub use samples::Samples;

use crate::graph::Graph;

/// How large a model the battery runs: bytes of weights, values and derivatives together.
pub const MEMORY_LIMIT: usize = 4 << 30;
/// How expensive a model the battery runs: multiplications and additions of one training step on the rows of a check.
pub const STEP_LIMIT: f64 = 2e9;

/// Multiplications and additions of one forward and reverse run: the reverse run costs about two forward ones.
#[must_use]
pub fn step_cost(graph: &Graph, batch: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    graph.nodes.iter().map(|(_, node)| 3.0 * node.flops as f64 * batch as f64).sum()
}

/// The place of an element along each axis.
pub(crate) fn unravel(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for (axis, &length) in dims.iter().enumerate().rev() {
        index[axis] = i % length.max(1);
        i /= length.max(1);
    }
    index
}
