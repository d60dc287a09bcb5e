//! Faults that the laws must see.

use super::trial::{Kernels, relay};
use wellposed::exec::{Registry, Reverse};
use wellposed::graph::Node;
use wellposed::ops::{Backward, Forward};
use wellposed::scalar::Scalar;
use wellposed::tensor::ViewMut;

/// A reverse rule with a mistake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WrongRule {
    /// The sign is flipped.
    Sign,
    /// A factor 1/N is missing.
    Mean,
    /// Matrices are transposed; everything else is read from its end.
    Transposed,
    /// The largest component is one in a thousand too large.
    OneComponent,
    /// Parameters get nothing.
    NoParameters,
    /// Results are added to what the buffer held.
    Accumulates,
    /// Small derivatives were added to 1 and 1 was taken away again.
    Absorbed,
    /// The derivative is larger where an input is exactly at this kink.
    AtKink(f64),
}

impl Reverse for WrongRule {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        #[expect(clippy::cast_precision_loss, reason = "batches are small")]
        let batch = io.batch as f64;
        let x = io.inputs[0];
        let widths = io.shapes[0].last().zip(io.shape.last());
        relay(node, io, None, &Registry, |input, own, grad| {
            let n = own.len();
            let largest = (0..n)
                .max_by(|&a, &b| own.at(a).primal().abs().total_cmp(&own.at(b).primal().abs()))
                .unwrap_or(0);
            for i in 0..n {
                let right = own.at(i);
                let wrong = match *self {
                    Self::Sign => -right,
                    Self::Mean => right * batch,
                    Self::Transposed => match widths.filter(|(k, m)| !input && k * m == n) {
                        Some((k, m)) => own.at((i % m) * k + i / m),
                        None => own.at(n - 1 - i),
                    },
                    Self::OneComponent if i == largest => right * 1.001,
                    Self::NoParameters if !input => right * 0.0,
                    Self::Absorbed => (right + 1.0) + -1.0,
                    Self::Accumulates => grad.at(i) + right,
                    Self::AtKink(kink) if input && x.at(i).primal() == kink => right + 0.1,
                    Self::OneComponent | Self::NoParameters | Self::AtKink(_) => right,
                };
                grad.set(i, wrong);
            }
        });
    }
}

/// A forward kernel with a mistake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WrongKernel {
    /// Results are added to what the buffer held.
    Accumulates,
    /// The first output sees the last one, of another sample.
    Mixes,
    /// A random number is added in use, too.
    Draws,
}

impl Kernels for WrongKernel {
    fn forward<S: Scalar>(&self, node: &Node, io: Forward<'_, S>) {
        let Forward { mut output, .. } = io;
        let mut own = vec![0.0; S::PLANES * output.len()];
        node.op.forward(Forward {
            batch: io.batch,
            mode: io.mode,
            shapes: io.shapes,
            shape: io.shape,
            inputs: io.inputs,
            params: io.params,
            state: io.state,
            output: ViewMut::new(&mut own),
            saved: io.saved,
            scratch: io.scratch,
            tape: io.tape,
            draws: io.draws,
        });
        let own = ViewMut::<S>::new(&mut own);
        for i in 0..own.len() {
            let wrong = match self {
                Self::Accumulates => output.at(i) + own.at(i),
                Self::Mixes if i == 0 => own.at(0) + own.at(own.len() - 1),
                Self::Draws if i == 0 => own.at(0) + io.draws.uniform().next().unwrap_or(0.5),
                Self::Mixes | Self::Draws => own.at(i),
            };
            output.set(i, wrong);
        }
    }
}
