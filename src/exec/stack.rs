//! Many perturbed copies of a batch at once.
//!
//! Contract: a [`Stack`] takes the values of one node for several copies of the batch, each of them changed on one block, and
//! gives the terms of the objective for every sample of every copy. What no change reaches is read from the base run. Decisions are
//! those that the base run recorded, draws are those of the base run in every copy, and a kernel that couples samples sees
//! one copy at a time: each copy is what a re-run of the changed node's successors would have made of it, up to the rounding
//! of matrix products and of [`advance`](crate::ops::Op::advance).

use super::route::{Form, How, Route, Step, channel, channel_block, elements};
use super::{Keep, Objective, Plan, Point, Session, Settings};
use crate::graph::{Graph, Handle, Node, Runnable, Source};
use crate::ops::{Advance, Block, Column, Forward};
use crate::tensor::{Draws, Shape, Tape, View, ViewMut};

/// Values of perturbed copies, beside the base run that they were copied from.
#[derive(Debug)]
pub struct Stack<'s, 'g> {
    base: &'s Session<'g, f64>,
    point: &'s Point<'s>,
    settings: Settings,
    plan: Plan,
    /// Buffers of values, by the slots of the plan.
    values: Vec<Vec<f64>>,
    /// Where the block of each copy starts, by node.
    starts: Vec<Vec<usize>>,
    /// The recorded decisions, once for each copy, by node.
    tapes: Vec<Vec<u32>>,
    room: Room,
}

/// Buffers that one step uses.
#[derive(Debug, Default)]
struct Room {
    decisions: Vec<u32>,
    block: Vec<f64>,
    change: Vec<f64>,
    saved: Vec<f64>,
    scratch: Vec<f64>,
}

/// What differs between the runs of one kernel.
struct Call<'a> {
    batch: usize,
    shapes: &'a [&'a Shape],
    shape: &'a Shape,
    inputs: &'a [View<'a, f64>],
    params: &'a [View<'a, f64>],
    state: &'a [&'a [f64]],
    decisions: &'a [u32],
    output: &'a mut [f64],
}

impl<'s, 'g> Stack<'s, 'g> {
    /// A stack beside a run that recorded its decisions and kept all values.
    #[must_use]
    pub fn new(base: &'s Session<'g, f64>, point: &'s Point<'s>, settings: Settings) -> Self {
        let graph = base.graph();
        let plan = Plan::new(graph, Keep::Result);
        Self {
            base,
            point,
            settings,
            values: vec![Vec::new(); plan.slots.len()],
            starts: vec![Vec::new(); graph.nodes.len()],
            tapes: vec![Vec::new(); graph.nodes.len()],
            plan,
            room: Room::default(),
        }
    }

    fn graph(&self) -> Runnable<'g> {
        self.base.graph()
    }

    /// The column of one component of a parameter of a node: its derivative, and where it is.
    pub fn column(
        &self,
        node: Handle<Node>,
        param: usize,
        index: usize,
        column: &mut Vec<f64>,
    ) -> Option<Block> {
        let graph = self.graph();
        let of = &graph.nodes[node];
        let shapes: Vec<&Shape> = of.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
        let inputs: Vec<View<'_, f64>> =
            of.inputs.iter().map(|source| self.base.view(*source, self.point)).collect();
        let shape = of.shape.as_ref()?;
        column.clear();
        let saved = self.base.saved(node);
        let batch = self.base.batch();
        of.op.column(Column { batch, shapes: &shapes, shape, inputs: &inputs, saved, param, index, column })
    }

    /// The value of a node at the inputs of the base run, with other parameters.
    pub fn with_params(&mut self, node: Handle<Node>, params: &[&[f64]], output: &mut [f64]) {
        let graph = self.graph();
        let of = &graph.nodes[node];
        let shapes: Vec<&Shape> = of.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
        let inputs: Vec<View<'_, f64>> =
            of.inputs.iter().map(|source| self.base.view(*source, self.point)).collect();
        let params: Vec<View<'_, f64>> = params.iter().map(|data| View::new(data)).collect();
        let state: Vec<&[f64]> = of.states.iter().map(|s| self.point.states[s.index()]).collect();
        let call = Call {
            batch: self.base.batch(),
            shapes: &shapes,
            shape: shape_of(&graph, node),
            inputs: &inputs,
            params: &params,
            state: &state,
            decisions: self.base.decisions(node),
            output,
        };
        let mut room = std::mem::take(&mut self.room);
        self.kernel(node, call, &mut room.saved, &mut room.scratch);
        self.room = room;
    }

    /// Runs the route for copies whose value at the route's node is `changed` on the block that starts at `starts`, and hands the
    /// terms of the objective to `each`: for every copy, one number a sample.
    pub fn run(
        &mut self,
        route: &Route,
        objective: &Objective,
        starts: &[usize],
        changed: &[f64],
        mut each: impl FnMut(usize, &[f64]),
    ) {
        assert!(route.reaches, "internal: the objective does not depend on the node");
        let copies = starts.len();
        let (mut output, len) = self.take(route.node, route.form, copies);
        match route.form {
            Form::Block(_) => output[..len].copy_from_slice(changed),
            Form::Whole => self.expand(route.node, route.block, starts, changed, &mut output[..len]),
        }
        self.put(route.node, output);
        self.starts[route.node.index()].clear();
        self.starts[route.node.index()].extend(starts);
        for step in &route.steps {
            self.step(step, copies);
        }
        let rows = self.base.batch();
        let Some(root) = super::route::root(self.graph(), objective) else { return };
        let value = &self.values[self.plan.slot_of[root.index()]];
        match objective {
            Objective::Loss => {
                value.chunks_exact(rows).take(copies).enumerate().for_each(|(i, terms)| each(i, terms));
            }
            Objective::Projection(weights) => {
                let mut terms = vec![0.0; rows];
                for (i, copy) in value.chunks_exact(rows * weights.len()).take(copies).enumerate() {
                    for (term, sample) in terms.iter_mut().zip(copy.chunks_exact(weights.len())) {
                        *term = sample.iter().zip(weights).map(|(x, w)| x * w).sum();
                    }
                    each(i, &terms);
                }
            }
        }
    }

    /// The buffer of a value, and the length that its form needs of it.
    fn take(&mut self, node: Handle<Node>, form: Form, copies: usize) -> (Vec<f64>, usize) {
        let one = match form {
            Form::Block(block) => block.count,
            Form::Whole => elements(self.graph(), node),
        };
        let len = copies * self.base.batch() * one;
        let mut buffer = std::mem::take(&mut self.values[self.plan.slot_of[node.index()]]);
        grow(&mut buffer, len);
        (buffer, len)
    }

    fn put(&mut self, node: Handle<Node>, value: Vec<f64>) {
        self.values[self.plan.slot_of[node.index()]] = value;
    }

    /// The base value in every copy, with the changed blocks in their places.
    fn expand(
        &self,
        node: Handle<Node>,
        block: Block,
        starts: &[usize],
        changed: &[f64],
        output: &mut [f64],
    ) {
        let base = self.base.value(node).plane(0);
        let elements = elements(self.graph(), node);
        let size = self.base.batch() * block.count;
        let copies = output.chunks_exact_mut(base.len()).zip(changed.chunks_exact(size));
        for ((output, changed), start) in copies.zip(starts) {
            output.copy_from_slice(base);
            block.at(*start).scatter(changed, elements, output);
        }
    }

    fn step(&mut self, step: &Step, copies: usize) {
        let mut room = std::mem::take(&mut self.room);
        let (mut output, len) = self.take(step.node, step.form, copies);
        match step.how {
            How::Elementwise => self.partly(step, copies, false, &mut output[..len], &mut room),
            How::Channelwise { apart } => self.partly(step, copies, apart, &mut output[..len], &mut room),
            How::Affine => self.advance(step, copies, &mut output[..len], &mut room),
            How::Whole { apart } => self.whole(step, copies, apart, &mut output[..len], &mut room),
        }
        self.put(step.node, output);
        self.room = room;
    }

    /// The node that the only input of a node comes from.
    fn producer(&self, node: Handle<Node>) -> Handle<Node> {
        match self.graph().nodes[node].inputs.first() {
            Some(Source::Node(input)) => *input,
            _ => unreachable!("internal: a changed value comes from a node"),
        }
    }

    /// Runs the kernel on blocks alone.
    fn partly(&mut self, step: &Step, copies: usize, apart: bool, output: &mut [f64], room: &mut Room) {
        let graph = self.graph();
        let (node, i) = (&graph.nodes[step.node], step.node.index());
        let producer = self.producer(step.node);
        let (from, to) = (shape_of(&graph, producer), shape_of(&graph, step.node));
        let channels = from.channels().unwrap_or(1).max(1);
        let mut starts = std::mem::take(&mut self.starts[i]);
        starts.clear();
        let origins = &self.starts[producer.index()];
        let (shape_in, shape_out) = if step.how == How::Elementwise {
            starts.extend(origins);
            (Shape::new([step.from.count]), Shape::new([step.block.count]))
        } else {
            starts.extend(origins.iter().map(|start| channel_block(to, step.from.at(*start)).start));
            (channel(from), channel(to))
        };
        let rows = self.base.batch();
        let (width, size) = (rows * step.from.count, rows * step.block.count);
        let tape = self.base.decisions(step.node);
        room.decisions.clear();
        if !tape.is_empty() {
            room.decisions.resize(copies * size, 0);
            for (start, decisions) in starts.iter().zip(room.decisions.chunks_exact_mut(size)) {
                step.block.at(*start).gather(tape, to.elements(), decisions);
            }
        }
        let whole = step.form == Form::Whole;
        grow(&mut room.block, if whole { copies * size } else { 0 });
        let result = if whole { &mut room.block[..copies * size] } else { &mut output[..] };
        let input = &self.values[self.plan.slot_of[producer.index()]];
        let group = if apart { 1 } else { copies };
        for first in (0..copies).step_by(group) {
            let channel = origins[first] / step.from.count;
            let share = |data: &'s [f64]| {
                let n = data.len() / channels;
                &data[channel * n..(channel + 1) * n]
            };
            let params: Vec<View<'_, f64>> =
                node.params.iter().map(|p| View::new(share(self.point.params[p.index()]))).collect();
            let state: Vec<&[f64]> =
                node.states.iter().map(|s| share(self.point.states[s.index()])).collect();
            let range = first * size..(first + group) * size;
            let call = Call {
                batch: group * rows,
                shapes: &[&shape_in],
                shape: &shape_out,
                inputs: &[View::new(&input[first * width..(first + group) * width])],
                params: &params,
                state: &state,
                decisions: if tape.is_empty() { tape } else { &room.decisions[range.clone()] },
                output: &mut result[range],
            };
            self.kernel(step.node, call, &mut room.saved, &mut room.scratch);
        }
        if whole {
            self.expand(step.node, step.block, &starts, &room.block[..copies * size], output);
        }
        self.starts[i] = starts;
    }

    /// Moves the base value by what the change of the input's blocks makes.
    fn advance(&self, step: &Step, copies: usize, output: &mut [f64], room: &mut Room) {
        let graph = self.graph();
        let node = &graph.nodes[step.node];
        let producer = self.producer(step.node);
        let (input, shape) = (shape_of(&graph, producer), shape_of(&graph, step.node));
        let rows = self.base.batch();
        let starts = &self.starts[producer.index()];
        let size = rows * step.from.count;
        let value = &self.values[self.plan.slot_of[producer.index()]][..copies * size];
        let base = self.base.value(producer).plane(0);
        grow(&mut room.change, value.len());
        let changes = room.change.chunks_exact_mut(size).zip(value.chunks_exact(size));
        for ((change, value), start) in changes.zip(starts) {
            step.from.at(*start).gather(base, input.elements(), change);
            change.iter_mut().zip(value).for_each(|(change, x)| *change = x - *change);
        }
        let before = self.base.value(step.node).plane(0);
        output.chunks_exact_mut(before.len()).for_each(|copy| copy.copy_from_slice(before));
        let params: Vec<View<'_, f64>> =
            node.params.iter().map(|p| View::new(self.point.params[p.index()])).collect();
        let mut first = 0;
        // Neighbours with the same block, such as the two sides of a difference, go together.
        for group in starts.chunk_by(|a, b| a == b) {
            let end = first + group.len();
            node.op.advance(Advance {
                batch: group.len() * rows,
                input,
                shape,
                params: &params,
                block: step.from.at(group[0]),
                change: &room.change[first * size..end * size],
                output: &mut output[first * before.len()..end * before.len()],
                scratch: &mut room.scratch,
            });
            first = end;
        }
    }

    /// Runs the kernel on whole values.
    fn whole(&mut self, step: &Step, copies: usize, apart: bool, output: &mut [f64], room: &mut Room) {
        let graph = self.graph();
        let (node, i) = (&graph.nodes[step.node], step.node.index());
        let rows = self.base.batch();
        let tape = self.base.decisions(step.node);
        if !apart && self.tapes[i].len() < copies * tape.len() {
            self.tapes[i] = tape.repeat(copies);
        }
        let shapes: Vec<&Shape> = node.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
        let shape = shape_of(&graph, step.node);
        let params: Vec<View<'_, f64>> =
            node.params.iter().map(|p| View::new(self.point.params[p.index()])).collect();
        let state: Vec<&[f64]> = node.states.iter().map(|s| self.point.states[s.index()]).collect();
        let size = rows * shape.elements();
        let group = if apart { 1 } else { copies };
        for first in (0..copies).step_by(group) {
            let input = |(source, changed): (&Source, &bool)| match source {
                Source::Node(input) if *changed => {
                    let n = rows * elements(graph, *input);
                    let value = &self.values[self.plan.slot_of[input.index()]];
                    View::new(&value[first * n..(first + group) * n])
                }
                _ => self.base.view(*source, self.point),
            };
            let inputs: Vec<View<'_, f64>> = node.inputs.iter().zip(&step.changed).map(input).collect();
            let call = Call {
                batch: group * rows,
                shapes: &shapes,
                shape,
                inputs: &inputs,
                params: &params,
                state: &state,
                decisions: if apart { tape } else { &self.tapes[i][..copies * tape.len()] },
                output: &mut output[first * size..(first + group) * size],
            };
            self.kernel(step.node, call, &mut room.saved, &mut room.scratch);
        }
    }

    /// Runs one kernel with recorded decisions.
    fn kernel(&self, node: Handle<Node>, call: Call<'_>, saved: &mut Vec<f64>, scratch: &mut Vec<f64>) {
        let Call { batch, shapes, shape, inputs, params, state, decisions, output } = call;
        let of = &self.graph().nodes[node];
        let (leaves, needs) = (of.saved.of(batch), of.scratch.of(batch));
        grow(saved, leaves);
        grow(scratch, needs);
        of.op.forward(Forward {
            batch,
            mode: self.settings.mode,
            shapes,
            shape,
            inputs,
            params,
            state,
            output: ViewMut::new(output),
            saved: ViewMut::new(&mut saved[..leaves]),
            scratch: ViewMut::new(&mut scratch[..needs]),
            tape: Tape::Replay(decisions),
            draws: Draws { seed: self.settings.seed, stream: self.plan.streams[node.index()] },
        });
    }
}

/// Makes a buffer at least this long. What it held does not matter.
fn grow(buffer: &mut Vec<f64>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

fn shape_of(graph: &Graph, node: Handle<Node>) -> &Shape {
    match graph.nodes[node].shape.as_ref() {
        Some(shape) => shape,
        None => unreachable!("internal: a runnable node has a shape"),
    }
}
