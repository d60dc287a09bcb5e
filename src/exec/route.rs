//! How a change of one node's value reaches the objective.
//!
//! Contract: a [`Route`] lists the nodes between a node whose value is changed on one [`Block`] and the objective, in order, with the
//! cheapest way to bring each of them up to date that the operators' [`Spread`] allows. It holds for every block of the same form.
//! A value is kept as the changed block alone while all its consumers can work with that.

use super::Objective;
use crate::graph::{Handle, Node, Runnable, Source};
use crate::ops::{Block, ModeEffect, Spread};
use crate::tensor::{Mode, Shape};

/// What is kept of a value that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The elements of one block; everything else is as it was.
    Block(Block),
    /// Every element.
    Whole,
}

/// How a value is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The kernel runs on the blocks of all copies at once.
    Elementwise,
    /// The kernel runs on one channel; `apart` means once for each copy.
    Channelwise {
        /// What the kernel reads besides the block differs between copies, or the kernel couples samples.
        apart: bool,
    },
    /// The change of the input is advanced.
    Affine,
    /// The kernel runs on everything; `apart` means once for each copy.
    Whole {
        /// The kernel couples or numbers samples, or reads a value that has no copies.
        apart: bool,
    },
}

/// One node on the way.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub node: Handle<Node>,
    pub how: How,
    /// Which inputs change.
    pub changed: Vec<bool>,
    /// The block that the first of them is kept as.
    pub from: Block,
    /// The block that the result changes on, before it is expanded to its form.
    pub block: Block,
    pub form: Form,
}

/// The way from a changed value to the objective.
#[derive(Clone, Debug)]
pub struct Route {
    pub(super) node: Handle<Node>,
    /// The form of the change; its start does not matter.
    pub(super) block: Block,
    pub(super) form: Form,
    pub(super) steps: Vec<Step>,
    /// Whether the objective depends on the node at all.
    pub reaches: bool,
    /// Whether samples do not see each other on the way: then the change of one sample's value reaches that sample's term of the
    /// objective and no other.
    pub independent: bool,
    /// Multiplications and additions for one sample.
    pub cost: f64,
    /// Elements that are kept of one sample.
    pub held: usize,
}

/// The node whose value is the objective, or is projected to it.
pub(super) fn root(graph: Runnable<'_>, objective: &Objective) -> Option<Handle<Node>> {
    match (objective, graph.prediction()) {
        (Objective::Loss, _) => graph.loss,
        (Objective::Projection(_), Some(Source::Node(node))) => Some(node),
        (Objective::Projection(_), _) => None,
    }
}

/// Whether a kernel must see the samples of one copy alone: it couples them, or its draws are numbered through the batch.
fn couples(node: &Node, mode: Mode) -> bool {
    node.op.mixes_batch(mode) || (mode == Mode::Train && node.op.effect() != ModeEffect::Same)
}

#[expect(clippy::cast_precision_loss, reason = "for estimates")]
fn real(n: usize) -> f64 {
    n as f64
}

/// The elements of one sample of a node's value.
pub(super) fn elements(graph: Runnable<'_>, node: Handle<Node>) -> usize {
    graph.nodes[node].shape.as_ref().map_or(0, Shape::elements)
}

/// The shape of the channel of a value.
pub(super) fn channel(shape: &Shape) -> Shape {
    let mut sample = shape.sample().to_vec();
    if let Some(first) = sample.first_mut() {
        *first = 1;
    }
    Shape::new(sample)
}

/// The block of a channel of `shape` that belongs to the channel that is `block` in another value.
pub(super) fn channel_block(shape: &Shape, block: Block) -> Block {
    let count = shape.elements() / shape.channels().unwrap_or(1).max(1);
    Block::run(block.start / block.count * count, count)
}

impl Route {
    /// The route of changes on blocks of this form at a node.
    #[must_use]
    pub fn new(
        graph: Runnable<'_>,
        node: Handle<Node>,
        block: Block,
        objective: &Objective,
        mode: Mode,
    ) -> Self {
        let block = block.at(0);
        let n = graph.nodes.len();
        let mut wanted = vec![false; n];
        let root = root(graph, objective);
        if let Some(root) = root {
            wanted[root.index()] = true;
        }
        for (handle, of) in graph.nodes.iter().rev().filter(|(handle, _)| *handle != node) {
            for source in &of.inputs {
                if let Source::Node(input) = source {
                    wanted[input.index()] |= wanted[handle.index()];
                }
            }
        }
        let mut route = Self {
            node,
            block,
            form: Form::Whole,
            steps: Vec::new(),
            reaches: wanted[node.index()],
            independent: true,
            cost: 0.0,
            held: 0,
        };
        if !route.reaches {
            return route;
        }
        let form_of = |of: Handle<Node>, block: Block| {
            let takes = |consumer: &Node| {
                let shape = graph.shape(Source::Node(of));
                let spread = shape.map_or(Spread::Whole, |shape| consumer.op.spread(shape, block));
                let alone = consumer.inputs.len() == 1;
                alone
                    && match spread {
                        Spread::Whole => false,
                        Spread::Elementwise | Spread::Affine => !couples(consumer, mode),
                        Spread::Channelwise => true,
                    }
            };
            let mut consumers =
                graph.consumers(Source::Node(of)).filter(|(handle, _)| wanted[handle.index()]);
            let keep = Some(of) != root && consumers.all(|(_, consumer)| takes(consumer));
            if keep { Form::Block(block) } else { Form::Whole }
        };
        let mut forms: Vec<Option<Form>> = vec![None; n];
        let keep = |route: &mut Self, of: Handle<Node>, form: Form, cost: f64| {
            let kept = match form {
                Form::Block(block) => block.count,
                Form::Whole => elements(graph, of),
            };
            route.held += kept;
            route.cost += cost + real(kept);
        };
        route.form = form_of(node, block);
        forms[node.index()] = Some(route.form);
        let first = route.form;
        keep(&mut route, node, first, 0.0);
        for (handle, of) in graph.nodes.iter().filter(|(handle, _)| wanted[handle.index()]) {
            let input = |source: &Source| match source {
                Source::Node(input) => forms[input.index()],
                Source::Feed(_) => None,
            };
            let inputs: Vec<Option<Form>> = of.inputs.iter().map(input).collect();
            let changed: Vec<bool> = inputs.iter().map(Option::is_some).collect();
            let Some(shape) = of.shape.as_ref().filter(|_| changed.contains(&true) && handle != node) else {
                continue;
            };
            route.independent &= !of.op.mixes_batch(mode);
            let flops = real(of.flops);
            let whole = Block::run(0, shape.elements());
            let source = of.inputs.first().and_then(|source| graph.shape(*source));
            let (how, from, block, cost) = match (inputs[0], source) {
                (Some(Form::Block(block)), Some(source)) => {
                    let share = real(block.count) / real(source.elements().max(1));
                    let (how, result) = match of.op.spread(source, block) {
                        Spread::Elementwise => (How::Elementwise, block),
                        Spread::Channelwise => {
                            let apart = couples(of, mode) || !of.params.is_empty() || !of.states.is_empty();
                            (How::Channelwise { apart }, channel_block(shape, block))
                        }
                        Spread::Affine => (How::Affine, whole),
                        Spread::Whole => unreachable!("internal: a consumer that needs every element"),
                    };
                    (how, block, result, flops * share)
                }
                _ => {
                    let apart = couples(of, mode) || changed.contains(&false);
                    (How::Whole { apart }, whole, whole, flops)
                }
            };
            let form = match how {
                How::Elementwise | How::Channelwise { .. } => form_of(handle, block),
                How::Affine | How::Whole { .. } => Form::Whole,
            };
            forms[handle.index()] = Some(form);
            route.steps.push(Step { node: handle, how, changed, from, block, form });
            keep(&mut route, handle, form, cost);
        }
        route
    }

    /// How many copies of a batch fit into so many bytes: an even number, at least two.
    #[must_use]
    pub fn copies(&self, rows: usize, bytes: usize) -> usize {
        // Values, and half as much for decisions.
        let one = self.held.max(1).saturating_mul(rows.max(1)).saturating_mul(12);
        (bytes / one / 2 * 2).max(2)
    }
}
