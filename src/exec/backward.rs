//! Reverse runs.

use super::{Objective, Point, Session, Settings};
use crate::graph::{Graph, Handle, Node, ParamTensor, Penalty, Source};
use crate::ops::Backward;
use crate::scalar::Scalar;
use crate::tensor::{Draws, Shape, View, ViewMut};

/// Where reverse rules come from.
pub trait Reverse: Sync {
    /// Turns the derivative by a node's value into those by its inputs and parameters.
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        node.op.backward(io);
    }

    /// Sees what the rule of a node gave and may change it: how a test plants a fault.
    fn amend<S: Scalar>(
        &self,
        _node: &Node,
        _inputs: &mut [Option<ViewMut<'_, S>>],
        _params: &mut [Option<ViewMut<'_, S>>],
    ) {
    }

    /// Adds the derivative of a penalty by one tensor.
    fn penalty<S: Scalar>(
        &self,
        penalty: &Penalty,
        _: &ParamTensor,
        weights: View<'_, S>,
        grad: &mut ViewMut<'_, S>,
    ) {
        for (i, w) in weights.iter().enumerate() {
            let slope = if penalty.order == 1 { S::constant(sign(w.primal())) } else { w };
            grad.add(i, slope * penalty.factor);
        }
    }
}

/// The sign with 0 at 0: the subgradient of |w| that the forward kernel takes, too.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// The rules that the operators state.
#[derive(Clone, Copy, Debug)]
pub struct Registry;

impl Reverse for Registry {}

/// Derivatives by the index of handles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// By trainable tensors.
    pub params: Vec<Vec<f64>>,
    /// By inputs; empty for targets and whole numbers.
    pub feeds: Vec<Vec<f64>>,
}

impl Gradients {
    /// Zeros for a graph and a batch.
    #[must_use]
    pub fn zeros<S: Scalar>(graph: &Graph, batch: usize) -> Self {
        let params =
            graph.params.iter().map(|(_, param)| vec![0.0; S::PLANES * param.spec.elements()]).collect();
        let feeds = graph
            .feeds
            .iter()
            .map(|(_, feed)| match &feed.shape {
                Some(shape) if feed.differentiable() => vec![0.0; S::PLANES * shape.elements() * batch],
                _ => Vec::new(),
            })
            .collect();
        Self { params, feeds }
    }
}

/// A buffer that a reverse rule writes: the destination itself, or room from which it is added to the destination.
struct Part {
    buffer: Vec<f64>,
    direct: bool,
}

impl<S: Scalar> Session<'_, S> {
    /// Fills the gradients of the objective (and the penalties, where the settings ask for them) at the point of the last forward
    /// run, which must have kept all values. After the first call nothing is allocated but lists of views.
    pub fn backward(
        &mut self,
        objective: &Objective,
        point: &Point<'_>,
        settings: Settings,
        reverse: &impl Reverse,
        gradients: &mut Gradients,
    ) {
        let graph = self.graph;
        for plane in gradients.params.iter_mut().chain(&mut gradients.feeds) {
            plane.fill(0.0);
        }
        let mut started = Started {
            nodes: vec![false; graph.nodes.len()],
            feeds: vec![false; graph.feeds.len()],
            params: vec![false; graph.params.len()],
        };
        self.seed(objective, &mut started, gradients);
        for (handle, node) in graph.nodes.iter().rev() {
            if started.nodes[handle.index()] && self.plan.relevant[handle.index()] {
                self.reverse_node(handle, node, point, settings, reverse, gradients, &mut started);
            }
        }
        if settings.penalties {
            for penalty in &graph.penalties {
                for (handle, param) in graph.params.iter().filter(|(_, param)| penalty.covers(param)) {
                    let weights = View::new(point.params[handle.index()]);
                    let mut grad = ViewMut::new(&mut gradients.params[handle.index()]);
                    reverse.penalty::<S>(penalty, param, weights, &mut grad);
                }
            }
        }
    }

    /// The derivative of the objective by the value of a node, after a reverse run; empty where none arrived.
    #[must_use]
    pub fn cotangent(&self, node: Handle<Node>) -> View<'_, S> {
        View::new(&self.cotangents[node.index()])
    }

    /// Whether reverse runs compute the derivative by a value.
    #[must_use]
    pub fn wants(&self, source: Source) -> bool {
        match source {
            Source::Node(node) => self.plan.differentiable[node.index()],
            Source::Feed(feed) => self.graph.feeds[feed].differentiable(),
        }
    }

    /// The derivative of the objective by the value that it reads.
    fn seed(&mut self, objective: &Objective, started: &mut Started, gradients: &mut Gradients) {
        #[expect(clippy::cast_precision_loss, reason = "batches are far below 2^53")]
        let mean = 1.0 / self.batch as f64;
        let (root, weights): (Source, &[f64]) = match (objective, self.graph.loss, self.graph.prediction()) {
            (Objective::Loss, Some(loss), _) => (Source::Node(loss), &[1.0]),
            (Objective::Projection(weights), _, Some(prediction)) => (prediction, weights),
            (Objective::Loss, None, _) | (Objective::Projection(_), _, None) => return,
        };
        let elements = self.graph.shape(root).map_or(0, Shape::elements) * self.batch;
        let target = match root {
            Source::Node(node) => {
                started.nodes[node.index()] = true;
                &mut self.cotangents[node.index()]
            }
            Source::Feed(feed) => {
                started.feeds[feed.index()] = true;
                &mut gradients.feeds[feed.index()]
            }
        };
        target.resize(S::PLANES * elements, 0.0);
        let mut view = ViewMut::<S>::new(target);
        for (i, weight) in (0..elements).zip(weights.iter().cycle()) {
            view.set(i, S::constant(weight * mean));
        }
    }

    /// Runs the reverse rule of one node and hands its results on.
    fn reverse_node(
        &mut self,
        handle: Handle<Node>,
        node: &Node,
        point: &Point<'_>,
        settings: Settings,
        reverse: &impl Reverse,
        gradients: &mut Gradients,
        started: &mut Started,
    ) {
        let graph = self.graph;
        let i = handle.index();
        let mut inputs: Vec<Option<Part>> = Vec::with_capacity(node.inputs.len());
        for source in &node.inputs {
            let elements = S::PLANES * graph.shape(*source).map_or(0, Shape::elements) * self.batch;
            let part = match source {
                Source::Node(input) if self.plan.differentiable[input.index()] => {
                    let first = !std::mem::replace(&mut started.nodes[input.index()], true);
                    Some(take(&mut self.cotangents[input.index()], &mut self.spare, first, elements))
                }
                Source::Feed(feed) if graph.feeds[*feed].differentiable() => {
                    let first = !std::mem::replace(&mut started.feeds[feed.index()], true);
                    Some(take(&mut gradients.feeds[feed.index()], &mut self.spare, first, elements))
                }
                Source::Node(_) | Source::Feed(_) => None,
            };
            inputs.push(part);
        }
        let mut params: Vec<Part> = Vec::with_capacity(node.params.len());
        for param in &node.params {
            let elements = S::PLANES * graph.params[*param].spec.elements();
            let first = !std::mem::replace(&mut started.params[param.index()], true);
            params.push(take(&mut gradients.params[param.index()], &mut self.spare, first, elements));
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        {
            let shapes: Vec<&Shape> = node.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
            let values: Vec<View<'_, S>> =
                node.inputs.iter().map(|source| self.view(*source, point)).collect();
            let weights: Vec<View<'_, S>> =
                node.params.iter().map(|p| View::new(point.params[p.index()])).collect();
            let state: Vec<&[f64]> = node.states.iter().map(|s| point.states[s.index()]).collect();
            let Some(shape) = node.shape.as_ref() else {
                unreachable!("internal: a runnable node has a shape")
            };
            let mut inputs_grad: Vec<Option<ViewMut<'_, S>>> = inputs
                .iter_mut()
                .map(|part| part.as_mut().map(|part| ViewMut::new(&mut part.buffer)))
                .collect();
            let mut params_grad: Vec<Option<ViewMut<'_, S>>> =
                params.iter_mut().map(|part| Some(ViewMut::new(&mut part.buffer))).collect();
            let need = S::PLANES * node.scratch.of(self.batch);
            let io = Backward {
                batch: self.batch,
                mode: settings.mode,
                shapes: &shapes,
                shape,
                inputs: &values,
                params: &weights,
                state: &state,
                output: self.value(handle),
                saved: View::new(&self.saved[i]),
                scratch: ViewMut::new(&mut scratch[..need]),
                draws: Draws { seed: settings.seed, stream: self.plan.streams[i] },
                cotangent: View::new(&self.cotangents[i]),
                inputs_grad: &mut inputs_grad,
                params_grad: &mut params_grad,
            };
            reverse.backward(node, io);
        }
        let (mut inputs_grad, mut params_grad) = views::<S>(&mut inputs, &mut params);
        reverse.amend(node, &mut inputs_grad, &mut params_grad);
        self.scratch = scratch;
        // Destinations that were taken come back first, so that a second part of the same node finds its destination.
        let mut later = Vec::new();
        for (source, part) in node.inputs.iter().zip(inputs) {
            let Some(part) = part else { continue };
            let destination = match source {
                Source::Node(input) => &mut self.cotangents[input.index()],
                Source::Feed(feed) => &mut gradients.feeds[feed.index()],
            };
            if part.direct { *destination = part.buffer } else { later.push((*source, part.buffer)) }
        }
        for (source, buffer) in later {
            let destination = match source {
                Source::Node(input) => &mut self.cotangents[input.index()],
                Source::Feed(feed) => &mut gradients.feeds[feed.index()],
            };
            ViewMut::<S>::new(destination).accumulate(View::new(&buffer));
            self.spare.push(buffer);
        }
        for (param, part) in node.params.iter().zip(params) {
            let destination = &mut gradients.params[param.index()];
            if part.direct {
                *destination = part.buffer;
            } else {
                ViewMut::<S>::new(destination).accumulate(View::new(&part.buffer));
                self.spare.push(part.buffer);
            }
        }
    }
}

type Views<'a, S> = Vec<Option<ViewMut<'a, S>>>;

/// What a reverse rule writes to.
fn views<'a, S: Scalar>(
    inputs: &'a mut [Option<Part>],
    params: &'a mut [Part],
) -> (Views<'a, S>, Views<'a, S>) {
    let inputs =
        inputs.iter_mut().map(|part| part.as_mut().map(|part| ViewMut::new(&mut part.buffer))).collect();
    (inputs, params.iter_mut().map(|part| Some(ViewMut::new(&mut part.buffer))).collect())
}

/// Which destinations hold a first contribution.
struct Started {
    nodes: Vec<bool>,
    feeds: Vec<bool>,
    params: Vec<bool>,
}

/// The destination itself for the first contribution, spare room for the others.
fn take(destination: &mut Vec<f64>, spare: &mut Vec<Vec<f64>>, first: bool, elements: usize) -> Part {
    let mut buffer = if first { std::mem::take(destination) } else { spare.pop().unwrap_or_default() };
    buffer.resize(elements, 0.0);
    Part { buffer, direct: first }
}
