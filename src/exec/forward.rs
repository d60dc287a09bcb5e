//! Forward runs.

use super::{Point, Session, Settings};
use crate::graph::{Handle, Node, Penalty, Source};
use crate::ops::Forward;
use crate::scalar::Scalar;
use crate::tensor::{Draws, Shape, Tape, View, ViewMut};

/// What happens to decisions during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tapes {
    /// They are taken and forgotten.
    Live,
    /// They are taken and kept for a replay.
    Record,
    /// They are those of the last recorded run.
    Replay,
}

/// The number that is differentiated.
#[derive(Clone, Debug)]
pub enum Objective {
    /// The mean of the loss over the batch.
    Loss,
    /// The mean over the batch of the prediction's product with fixed weights, for a graph without a loss.
    Projection(Vec<f64>),
}

/// One term of the penalties for one tensor: `factor * sum |w|` or `factor / 2 * sum w^2`.
#[must_use]
pub fn penalty<S: Scalar>(penalty: &Penalty, weights: View<'_, S>) -> S {
    let mut sum = S::constant(0.0);
    for w in weights.iter() {
        sum += if penalty.order == 1 { w.abs() } else { w * w * 0.5 };
    }
    sum * penalty.factor
}

impl<S: Scalar> Session<'_, S> {
    /// Runs every node.
    pub fn forward(&mut self, point: &Point<'_>, settings: Settings, tapes: Tapes) {
        for node in self.graph.nodes.handles() {
            self.run(node, point, settings, tapes);
        }
    }

    /// Runs some nodes again, in order. The values of all others must still be there.
    pub fn rerun(&mut self, nodes: &[Handle<Node>], point: &Point<'_>, settings: Settings, tapes: Tapes) {
        for &node in nodes {
            self.run(node, point, settings, tapes);
        }
    }

    fn run(&mut self, handle: Handle<Node>, point: &Point<'_>, settings: Settings, tapes: Tapes) {
        let graph = self.graph;
        let node = &graph.nodes[handle];
        let i = handle.index();
        let slot = self.plan.slot_of[i];
        let mut output = std::mem::take(&mut self.values[slot]);
        let mut saved = std::mem::take(&mut self.saved[i]);
        let mut decisions = std::mem::take(&mut self.tapes[i]);
        let mut scratch = std::mem::take(&mut self.scratch);
        {
            let shapes: Vec<&Shape> = node.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
            let inputs: Vec<View<'_, S>> =
                node.inputs.iter().map(|source| self.view(*source, point)).collect();
            let params: Vec<View<'_, S>> =
                node.params.iter().map(|p| View::new(point.params[p.index()])).collect();
            let state: Vec<&[f64]> = node.states.iter().map(|s| point.states[s.index()]).collect();
            let Some(shape) = node.shape.as_ref() else {
                unreachable!("internal: a runnable node has a shape")
            };
            let length = S::PLANES * shape.elements() * self.batch;
            let need = S::PLANES * node.scratch.of(self.batch);
            let tape = match tapes {
                Tapes::Live => Tape::Live,
                Tapes::Record => {
                    decisions.clear();
                    Tape::Record(&mut decisions)
                }
                Tapes::Replay => Tape::Replay(&decisions),
            };
            node.op.forward(Forward {
                batch: self.batch,
                mode: settings.mode,
                shapes: &shapes,
                shape,
                inputs: &inputs,
                params: &params,
                state: &state,
                output: ViewMut::new(&mut output[..length]),
                saved: ViewMut::new(&mut saved),
                scratch: ViewMut::new(&mut scratch[..need]),
                tape,
                draws: Draws { seed: settings.seed, stream: self.plan.streams[i] },
            });
        }
        self.values[slot] = output;
        self.saved[i] = saved;
        self.tapes[i] = decisions;
        self.scratch = scratch;
    }

    /// A value, from the point or from a buffer.
    pub(super) fn view<'v>(&'v self, source: Source, point: &'v Point<'_>) -> View<'v, S> {
        match source {
            Source::Feed(feed) => View::new(point.feeds[feed.index()]),
            Source::Node(node) => self.value(node),
        }
    }

    /// The value that a node takes, after a run.
    #[must_use]
    pub fn input<'v>(&'v self, source: Source, point: &'v Point<'_>) -> View<'v, S> {
        self.view(source, point)
    }

    /// The value of a node after a run.
    #[must_use]
    pub fn value(&self, node: Handle<Node>) -> View<'_, S> {
        let elements = self.graph.nodes[node].shape.as_ref().map_or(0, Shape::elements);
        View::new(&self.values[self.plan.slot_of[node.index()]][..S::PLANES * elements * self.batch])
    }

    /// What the forward kernel of a node left.
    #[must_use]
    pub fn saved(&self, node: Handle<Node>) -> View<'_, S> {
        View::new(&self.saved[node.index()])
    }

    /// Takes over the decisions that a run of the same graph and batch recorded on another kind of scalar, for a replay.
    pub fn adopt<T: Scalar>(&mut self, other: &Session<'_, T>) {
        let fits = self.tapes.len() == other.tapes.len() && self.batch == other.batch;
        assert!(fits, "internal: decisions of another graph or batch");
        self.tapes.clone_from(&other.tapes);
    }

    /// The decisions that were recorded at a node.
    #[must_use]
    pub fn decisions(&self, node: Handle<Node>) -> &[u32] {
        &self.tapes[node.index()]
    }

    /// The number that is differentiated, without penalties, after a run.
    #[must_use]
    pub fn objective(&self, objective: &Objective, point: &Point<'_>) -> S {
        let mut sum = S::constant(0.0);
        match (objective, self.graph.loss, self.graph.prediction()) {
            (Objective::Loss, Some(loss), _) => self.value(loss).iter().for_each(|x| sum += x),
            (Objective::Projection(weights), _, Some(prediction)) => {
                for (x, w) in self.view(prediction, point).iter().zip(weights.iter().cycle()) {
                    sum += x * *w;
                }
            }
            (Objective::Loss, None, _) | (Objective::Projection(_), _, None) => {}
        }
        #[expect(clippy::cast_precision_loss, reason = "batches are far below 2^53")]
        let mean = 1.0 / self.batch as f64;
        sum * mean
    }

    /// The terms that the objective is the mean of, one a sample.
    #[must_use]
    pub fn terms(&self, objective: &Objective, point: &Point<'_>) -> Vec<S> {
        match (objective, self.graph.loss, self.graph.prediction()) {
            (Objective::Loss, Some(loss), _) => self.value(loss).iter().collect(),
            (Objective::Projection(weights), _, Some(prediction)) => {
                let value = self.view(prediction, point);
                let term = |sample: usize| {
                    let mut sum = S::constant(0.0);
                    for (i, w) in weights.iter().enumerate() {
                        sum += value.at(sample * weights.len() + i) * *w;
                    }
                    sum
                };
                (0..self.batch).map(term).collect()
            }
            (Objective::Loss, None, _) | (Objective::Projection(_), _, None) => Vec::new(),
        }
    }

    /// The penalties of the graph at a point: `factor * sum |w|` and `factor / 2 * sum w^2`.
    #[must_use]
    pub fn penalty(&self, point: &Point<'_>) -> S {
        let mut total = S::constant(0.0);
        for penalty in &self.graph.penalties {
            for (handle, _) in self.graph.params.iter().filter(|(_, param)| penalty.covers(param)) {
                total += self::penalty(penalty, View::<S>::new(point.params[handle.index()]));
            }
        }
        total
    }

    /// The objective and, where the settings ask for it, the penalties.
    #[must_use]
    pub fn loss(&self, objective: &Objective, point: &Point<'_>, settings: Settings) -> S {
        let loss = self.objective(objective, point);
        if settings.penalties { loss + self.penalty(point) } else { loss }
    }
}
