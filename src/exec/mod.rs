//! Execution.
//!
//! Contract: a [`Session`] runs one [`Runnable`] graph for one batch size on one kind of scalar. Buffers are planned and
//! allocated when it is made; a run allocates no tensors. Nothing here uses threads, so results cannot depend on their number.
//! Decisions are recorded and replayed by name of the node; draws come from a seed and the node's path. The reverse rules come
//! through a [`Reverse`] value, so that a test can plant a wrong one.

mod alone;
mod backward;
pub mod files;
mod forward;
mod plan;
pub mod raw;
mod route;
mod run;
mod stack;
mod weights;

pub use alone::{Alone, Ran};
pub use backward::{Gradients, Registry, Reverse};
pub use forward::{Objective, Tapes, penalty};
pub use plan::{Keep, Plan};
pub use route::Route;
pub use run::{Feeds, Outputs, run};
pub use stack::Stack;
pub use weights::Weights;

use crate::graph::Runnable;
use crate::scalar::Scalar;
use crate::tensor::Mode;
use std::marker::PhantomData;

/// How a run is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Training or use.
    pub mode: Mode,
    /// The seed of everything that is drawn while running.
    pub seed: u64,
    /// Whether the loss includes its penalties.
    pub penalties: bool,
}

/// Where a function is evaluated: planes of scalars for every tensor, by the index of its handle.
#[derive(Clone, Debug)]
pub struct Point<'a> {
    /// Trainable tensors.
    pub params: Vec<&'a [f64]>,
    /// Tensors that batches update; always plain numbers.
    pub states: Vec<&'a [f64]>,
    /// Inputs and targets.
    pub feeds: Vec<&'a [f64]>,
}

/// One graph, one batch size, one kind of scalar.
#[derive(Debug)]
pub struct Session<'g, S: Scalar> {
    graph: Runnable<'g>,
    plan: Plan,
    batch: usize,
    /// Physical buffers of node values.
    values: Vec<Vec<f64>>,
    /// What forward kernels leave, by node.
    saved: Vec<Vec<f64>>,
    scratch: Vec<f64>,
    /// Recorded decisions, by node.
    tapes: Vec<Vec<u32>>,
    /// Derivatives by node values, by node; filled by a reverse run.
    cotangents: Vec<Vec<f64>>,
    /// Room for contributions that are added to others.
    spare: Vec<Vec<f64>>,
    scalar: PhantomData<S>,
}

impl<'g, S: Scalar> Session<'g, S> {
    /// Plans and allocates a session.
    #[must_use]
    pub fn new(graph: Runnable<'g>, batch: usize, keep: Keep) -> Self {
        let plan = Plan::new(graph, keep);
        let room = |elements: usize| vec![0.0; S::PLANES * elements];
        let values = plan.slots.iter().map(|slot| room(slot * batch)).collect();
        let saved = graph.nodes.iter().map(|(_, node)| room(node.saved.of(batch))).collect();
        let scratch = graph.nodes.iter().map(|(_, node)| node.scratch.of(batch)).max().unwrap_or(0);
        Self {
            graph,
            batch,
            values,
            saved,
            scratch: room(scratch),
            tapes: vec![Vec::new(); graph.nodes.len()],
            cotangents: vec![Vec::new(); graph.nodes.len()],
            spare: Vec::new(),
            plan,
            scalar: PhantomData,
        }
    }

    /// The number of samples.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> Runnable<'g> {
        self.graph
    }
}
