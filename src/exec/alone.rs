//! One node by itself: its kernel and its reverse rule on operands that the caller gives.
//!
//! Contract: both run exactly as in a session, on buffers of their own that hold `fill` before, so that what a kernel reads
//! before it writes shows. Operands are planes of scalars, inputs before parameters.

use super::{Reverse, Settings};
use crate::graph::{Handle, Node, Runnable};
use crate::ops::{Backward, Forward};
use crate::scalar::Scalar;
use crate::tensor::{Draws, Shape, Tape, View, ViewMut, stream};

/// A node and how it is run.
#[derive(Clone, Copy, Debug)]
pub struct Alone<'g> {
    /// The graph.
    pub graph: Runnable<'g>,
    /// The node.
    pub node: Handle<Node>,
    /// The number of samples.
    pub batch: usize,
    /// Mode and seed.
    pub settings: Settings,
    /// What buffers hold before.
    pub fill: f64,
}

/// What a forward kernel gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// The value.
    pub output: Vec<f64>,
    /// What it left for the reverse rule.
    pub saved: Vec<f64>,
}

impl Alone<'_> {
    fn draws(&self) -> Draws {
        let path = self.graph.nodes[self.node].path.to_string();
        Draws { seed: self.settings.seed, stream: stream(&path) }
    }

    fn parts(&self) -> (&Node, Vec<&Shape>, &Shape) {
        let node = &self.graph.nodes[self.node];
        let shapes = node.inputs.iter().filter_map(|source| self.graph.shape(*source)).collect();
        let Some(shape) = node.shape.as_ref() else { unreachable!("internal: a runnable node has a shape") };
        (node, shapes, shape)
    }

    fn room<S: Scalar>(&self, elements: usize) -> Vec<f64> {
        vec![self.fill; S::PLANES * elements]
    }

    /// Runs the forward kernel; decisions are taken anew.
    #[must_use]
    pub fn forward<S: Scalar>(&self, operands: &[&[f64]], states: &[&[f64]]) -> Ran {
        let (node, shapes, shape) = self.parts();
        let views: Vec<View<'_, S>> = operands.iter().map(|planes| View::new(planes)).collect();
        let (inputs, params) = views.split_at(node.inputs.len());
        let mut ran = Ran {
            output: self.room::<S>(shape.elements() * self.batch),
            saved: self.room::<S>(node.saved.of(self.batch)),
        };
        let mut scratch = self.room::<S>(node.scratch.of(self.batch));
        node.op.forward(Forward {
            batch: self.batch,
            mode: self.settings.mode,
            shapes: &shapes,
            shape,
            inputs,
            params,
            state: states,
            output: ViewMut::new(&mut ran.output),
            saved: ViewMut::new(&mut ran.saved),
            scratch: ViewMut::new(&mut scratch),
            tape: Tape::Live,
            draws: self.draws(),
        });
        ran
    }

    /// Runs the reverse rule for those operands that are wanted; the others stay empty.
    #[must_use]
    pub fn backward<S: Scalar>(
        &self,
        operands: &[&[f64]],
        states: &[&[f64]],
        [output, saved]: [&[f64]; 2],
        cotangent: &[f64],
        wanted: &[bool],
        reverse: &impl Reverse,
    ) -> Vec<Vec<f64>> {
        let (node, shapes, shape) = self.parts();
        let views: Vec<View<'_, S>> = operands.iter().map(|planes| View::new(planes)).collect();
        let (inputs, params) = views.split_at(node.inputs.len());
        let mut grads: Vec<Vec<f64>> = views
            .iter()
            .zip(wanted)
            .map(|(operand, wanted)| if *wanted { self.room::<S>(operand.len()) } else { Vec::new() })
            .collect();
        let mut scratch = self.room::<S>(node.scratch.of(self.batch));
        let mut rooms = targets::<S>(&mut grads, wanted);
        let (inputs_grad, params_grad) = rooms.split_at_mut(node.inputs.len());
        let io = Backward {
            batch: self.batch,
            mode: self.settings.mode,
            shapes: &shapes,
            shape,
            inputs,
            params,
            state: states,
            output: View::new(output),
            saved: View::new(saved),
            scratch: ViewMut::new(&mut scratch),
            draws: self.draws(),
            cotangent: View::new(cotangent),
            inputs_grad,
            params_grad,
        };
        reverse.backward(node, io);
        let mut rooms = targets::<S>(&mut grads, wanted);
        let (inputs_grad, params_grad) = rooms.split_at_mut(node.inputs.len());
        reverse.amend(node, inputs_grad, params_grad);
        grads
    }
}

/// What a reverse rule writes to.
fn targets<'a, S: Scalar>(grads: &'a mut [Vec<f64>], wanted: &[bool]) -> Vec<Option<ViewMut<'a, S>>> {
    grads.iter_mut().zip(wanted).map(|(grad, wanted)| wanted.then(|| ViewMut::new(grad))).collect()
}
