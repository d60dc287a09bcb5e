//! One operator at one point: values, tangents, gradients and replayed differences, through `exec::Session`; and the bare kernels on
//! buffers of the caller's choice.

use super::table::Case;
use std::cell::{OnceCell, RefCell};
use wellposed::exec::{Gradients, Keep, Objective, Point, Reverse, Session, Settings, Tapes};
use wellposed::graph::{FeedKind, Graph, Handle, Node, Runnable};
use wellposed::inits::standard_normal;
use wellposed::ops::{Backward, Forward};
use wellposed::scalar::{Dual, Scalar};
use wellposed::tensor::{Draws, Mode, Shape, Tape, View, ViewMut, stream};

/// A tensor that has a derivative: an input or a parameter, by its index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slot {
    Feed(usize),
    Param(usize),
}

/// What the kernels read, by the index of the handles.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    pub params: Vec<Vec<f64>>,
    pub states: Vec<Vec<f64>>,
    pub feeds: Vec<Vec<f64>>,
}

impl Values {
    pub fn slot(&mut self, slot: Slot) -> &mut Vec<f64> {
        match slot {
            Slot::Feed(i) => &mut self.feeds[i],
            Slot::Param(i) => &mut self.params[i],
        }
    }

    pub fn point(&self) -> Point<'_> {
        Point {
            params: self.params.iter().map(Vec::as_slice).collect(),
            states: self.states.iter().map(Vec::as_slice).collect(),
            feeds: self.feeds.iter().map(Vec::as_slice).collect(),
        }
    }

    /// Standard normal values (parameters too, so that no factor hides behind ones and zeros), numbers in 0..1 where they are declared
    /// so, labels below `classes`, tokens that have a row, and positive changes of the state, which may hold variances.
    pub fn random(case: &Case, batch: usize, seed: u64) -> Self {
        let graph: &Graph = &case.graph;
        let normal = |name: &str, n: usize| standard_normal(n, Draws { seed, stream: stream(name) });
        let params = graph.params.iter().map(|(_, p)| normal(&p.path, p.spec.elements())).collect();
        let states = graph.states.iter().map(|(_, s)| {
            let noise = normal(&s.path, s.spec.dims.iter().product());
            noise.into_iter().map(|z| s.spec.initial + 0.5 * z.abs()).collect()
        });
        let feeds = graph.feeds.iter().map(|(handle, feed)| {
            let n = batch * feed.shape.as_ref().map_or(0, Shape::elements);
            let uniform = || Draws { seed, stream: stream(&feed.name) }.uniform().take(n);
            match feed.kind {
                #[expect(clippy::cast_precision_loss, reason = "vocabularies are small")]
                FeedKind::Int => {
                    let tokens = graph.vocabulary(handle).map_or(2.0, |tokens| tokens as f64);
                    uniform().map(|u| (u * tokens).floor()).collect()
                }
                #[expect(clippy::cast_precision_loss, reason = "class counts are small")]
                FeedKind::Class(..) => uniform().map(|u| (u * case.classes as f64).floor()).collect(),
                // Away from the ends, where a logarithm has no derivative to compare with.
                FeedKind::Unit => uniform().map(|u| 0.05 + 0.9 * u).collect(),
                _ => normal(&feed.name, n),
            }
        });
        Self { params, states: states.collect(), feeds: feeds.collect() }
    }

    /// One sample alone.
    pub fn sample(&self, batch: usize, sample: usize) -> Self {
        let cut = |feed: &Vec<f64>| {
            let n = feed.len() / batch;
            feed[sample * n..(sample + 1) * n].to_vec()
        };
        Self { feeds: self.feeds.iter().map(cut).collect(), ..self.clone() }
    }
}

/// Hands a rule another derivative of the loss by the node's value. The sessions weigh all samples alike, which would hide a
/// rule that reads the wrong sample's weight.
struct Weighted<'a, R> {
    cotangent: &'a [f64],
    rule: &'a R,
}

impl<R: Reverse> Reverse for Weighted<'_, R> {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        relay(node, io, Some(self.cotangent), self.rule, |_, own, grad| grad.copy(own));
    }
}

/// Runs a rule on buffers of its own and lets `write` hand its results on, once for each input (`true`) and parameter.
pub fn relay<S: Scalar>(
    node: &Node,
    io: Backward<'_, S>,
    cotangent: Option<&[f64]>,
    rule: &impl Reverse,
    write: impl Fn(bool, View<'_, S>, &mut ViewMut<'_, S>),
) {
    type Room = Vec<Option<Vec<f64>>>;
    let Backward { inputs_grad, params_grad, .. } = io;
    let room = |grads: &[Option<ViewMut<'_, S>>]| -> Room {
        grads.iter().map(|grad| grad.as_ref().map(|grad| vec![0.0; S::PLANES * grad.len()])).collect()
    };
    let (mut own_inputs, mut own_params) = (room(inputs_grad), room(params_grad));
    {
        fn views<S: Scalar>(room: &mut [Option<Vec<f64>>]) -> Vec<Option<ViewMut<'_, S>>> {
            room.iter_mut().map(|room| room.as_mut().map(|room| ViewMut::new(room))).collect()
        }
        let (mut inputs, mut params) = (views(&mut own_inputs), views(&mut own_params));
        let io = Backward {
            batch: io.batch,
            mode: io.mode,
            shapes: io.shapes,
            shape: io.shape,
            inputs: io.inputs,
            params: io.params,
            state: io.state,
            output: io.output,
            saved: io.saved,
            scratch: io.scratch,
            draws: io.draws,
            cotangent: cotangent.map_or(io.cotangent, View::new),
            inputs_grad: &mut inputs,
            params_grad: &mut params,
        };
        rule.backward(node, io);
    }
    for (input, grads, own) in [(true, inputs_grad, own_inputs), (false, params_grad, own_params)] {
        for (grad, own) in grads.iter_mut().zip(own) {
            if let (Some(grad), Some(own)) = (grad, own) {
                write(input, View::new(&own), grad);
            }
        }
    }
}

/// An operator at a point.
pub struct Trial<'g> {
    pub case: &'g Case,
    pub graph: Runnable<'g>,
    pub handle: Handle<Node>,
    pub batch: usize,
    pub settings: Settings,
    pub values: Values,
    /// The weights of the outputs.
    pub cotangent: Vec<f64>,
    real: OnceCell<RefCell<Session<'g, f64>>>,
    dual: OnceCell<RefCell<Session<'g, Dual>>>,
}

impl<'g> Trial<'g> {
    pub fn new(case: &'g Case, batch: usize, mode: Mode, seed: u64) -> Self {
        Self::at(case, batch, mode, seed, Values::random(case, batch, seed))
    }

    pub fn at(case: &'g Case, batch: usize, mode: Mode, seed: u64, values: Values) -> Self {
        let graph = Runnable::new(&case.graph).expect("a row without errors runs");
        let outputs = batch * graph.nodes[case.node].shape.as_ref().map_or(0, Shape::elements);
        let cotangent = standard_normal(outputs, Draws { seed, stream: stream("cotangent") });
        Self {
            case,
            graph,
            handle: case.node,
            batch,
            settings: Settings { mode, seed, penalties: false },
            values,
            cotangent,
            real: OnceCell::new(),
            dual: OnceCell::new(),
        }
    }

    pub fn node(&self) -> &'g Node {
        &self.case.graph.nodes[self.handle]
    }

    /// Every tensor with a derivative.
    pub fn slots(&self) -> Vec<Slot> {
        let feeds = self.graph.feeds.iter().filter(|(_, feed)| feed.differentiable());
        let feeds = feeds.map(|(handle, _)| Slot::Feed(handle.index()));
        feeds.chain(self.node().params.iter().map(|param| Slot::Param(param.index()))).collect()
    }

    pub fn slot(&self, slot: Slot) -> &[f64] {
        match slot {
            Slot::Feed(i) => &self.values.feeds[i],
            Slot::Param(i) => &self.values.params[i],
        }
    }

    /// A session is made when it is first needed.
    fn session<'s, S: Scalar>(
        &self,
        cell: &'s OnceCell<RefCell<Session<'g, S>>>,
    ) -> &'s RefCell<Session<'g, S>> {
        cell.get_or_init(|| RefCell::new(Session::new(self.graph, self.batch, Keep::All)))
    }

    /// The node's value at other values than the trial's.
    pub fn value_at(&self, values: &Values, tapes: Tapes) -> Vec<f64> {
        let mut session = self.session(&self.real).borrow_mut();
        session.forward(&values.point(), self.settings, tapes);
        session.value(self.handle).plane(0).to_vec()
    }

    /// The derivative of the node's value along a direction of one tensor, from the forward kernel on dual numbers.
    pub fn tangent(&self, slot: Slot, direction: &[f64]) -> Vec<f64> {
        let mut planes = self.values.clone();
        for tensor in planes.params.iter_mut().chain(&mut planes.feeds) {
            tensor.resize(2 * tensor.len(), 0.0);
        }
        let tensor = planes.slot(slot);
        let n = direction.len();
        tensor[n..].copy_from_slice(direction);
        let mut session = self.session(&self.dual).borrow_mut();
        session.forward(&planes.point(), self.settings, Tapes::Live);
        session.value(self.handle).plane(1).to_vec()
    }

    /// The columns of the Jacobian by one tensor, a component each.
    pub fn columns(&self, slot: Slot) -> Vec<Vec<f64>> {
        let n = self.slot(slot).len();
        let unit = |j: usize| -> Vec<f64> { (0..n).map(|i| f64::from(u8::from(i == j))).collect() };
        (0..n).map(|j| self.tangent(slot, &unit(j))).collect()
    }

    /// What the reverse rule makes of the cotangent.
    pub fn gradients(&self, rule: &impl Reverse) -> Gradients {
        let mut session = self.session(&self.real).borrow_mut();
        let mut gradients = Gradients::zeros::<f64>(&self.graph, self.batch);
        let point = self.values.point();
        let objective =
            if self.graph.loss.is_some() { Objective::Loss } else { Objective::Projection(vec![1.0]) };
        session.forward(&point, self.settings, Tapes::Record);
        let rule = Weighted { cotangent: &self.cotangent, rule };
        session.backward(&objective, &point, self.settings, &rule, &mut gradients);
        gradients
    }

    /// Runs the bare kernels on buffers that are filled with a number.
    pub fn bare(&self, kernels: &impl Kernels, rule: &impl Reverse, fill: f64) -> Bare {
        let node = self.node();
        let graph = self.graph;
        let point = self.values.point();
        let shapes: Vec<&Shape> = node.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
        let inputs: Vec<View<'_, f64>> = node
            .inputs
            .iter()
            .map(|source| match source {
                wellposed::graph::Source::Feed(feed) => View::new(point.feeds[feed.index()]),
                wellposed::graph::Source::Node(_) => panic!("the operator of a row reads inputs"),
            })
            .collect();
        let params: Vec<View<'_, f64>> =
            node.params.iter().map(|p| View::new(point.params[p.index()])).collect();
        let state: Vec<&[f64]> = node.states.iter().map(|s| point.states[s.index()]).collect();
        let shape = node.shape.as_ref().expect("a row without errors has a shape");
        let draws = Draws { seed: self.settings.seed, stream: stream(&node.path.to_string()) };
        let room = |n: usize| vec![fill; n];
        let (mut output, mut saved) = (room(self.cotangent.len()), room(node.saved.of(self.batch)));
        let mut scratch = room(node.scratch.of(self.batch));
        kernels.forward(
            node,
            Forward {
                batch: self.batch,
                mode: self.settings.mode,
                shapes: &shapes,
                shape,
                inputs: &inputs,
                params: &params,
                state: &state,
                output: ViewMut::new(&mut output),
                saved: ViewMut::new(&mut saved),
                scratch: ViewMut::new(&mut scratch),
                tape: Tape::Live,
                draws,
            },
        );
        scratch.fill(fill);
        let targets = node.op.arity() == wellposed::ops::Arity::Loss;
        let wanted: Vec<bool> = (node.inputs.iter())
            .map(|source| match source {
                wellposed::graph::Source::Feed(feed) => graph.feeds[*feed].differentiable(),
                wellposed::graph::Source::Node(_) => true,
            })
            .collect();
        let mut input_room: Vec<Vec<f64>> =
            inputs.iter().zip(&wanted).map(|(x, wanted)| room(if *wanted { x.len() } else { 0 })).collect();
        let mut param_room: Vec<Vec<f64>> = params.iter().map(|x| room(x.len())).collect();
        {
            let mut inputs_grad: Vec<Option<ViewMut<'_, f64>>> = input_room
                .iter_mut()
                .zip(&wanted)
                .map(|(room, wanted)| wanted.then(|| ViewMut::new(room)))
                .collect();
            let mut params_grad: Vec<Option<ViewMut<'_, f64>>> =
                param_room.iter_mut().map(|room| Some(ViewMut::new(room))).collect();
            rule.backward(
                node,
                Backward {
                    batch: self.batch,
                    mode: self.settings.mode,
                    shapes: &shapes,
                    shape,
                    inputs: &inputs,
                    params: &params,
                    state: &state,
                    output: View::new(&output),
                    saved: View::new(&saved),
                    scratch: ViewMut::new(&mut scratch),
                    draws,
                    cotangent: View::new(&self.cotangent),
                    inputs_grad: &mut inputs_grad,
                    params_grad: &mut params_grad,
                },
            );
        }
        if targets {
            input_room.truncate(1);
        }
        Bare { output, inputs: input_room, params: param_room }
    }
}

/// Where forward kernels come from, so that a test can plant a wrong one.
pub trait Kernels {
    fn forward<S: Scalar>(&self, node: &Node, io: Forward<'_, S>) {
        node.op.forward(io);
    }
}

/// The kernels that the operators state.
pub struct Registered;

impl Kernels for Registered {}

/// What the bare kernels gave.
#[derive(Debug)]
pub struct Bare {
    pub output: Vec<f64>,
    pub inputs: Vec<Vec<f64>>,
    pub params: Vec<Vec<f64>>,
}
