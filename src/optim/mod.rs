//! The few training steps that the checks need: gradients must be right after training, too, and properties hold there.
//!
//! Contract: plain full steps on one batch with the spec's optimiser, deterministic, in `f64`. This is no trainer.

use crate::exec::{Gradients, Objective, Registry, Session, Settings, Tapes, Weights};
use crate::graph::Optimizer;
use crate::tensor::{Mode, Tensor};

/// What an optimiser remembers between steps.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    steps: i32,
    first: Vec<Vec<f64>>,
    second: Vec<Vec<f64>>,
}

/// The optimiser of a spec that names none.
pub const DEFAULT: Optimizer = Optimizer::Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: None };

/// One update of all weights.
pub fn step(optimizer: &Optimizer, gradients: &Gradients, memory: &mut Memory, weights: &mut Weights) {
    let room = || gradients.params.iter().map(|grad| vec![0.0; grad.len()]).collect();
    if memory.first.is_empty() {
        memory.first = room();
        memory.second = room();
    }
    memory.steps += 1;
    for (i, (tensor, grad)) in weights.params.iter_mut().zip(&gradients.params).enumerate() {
        let (first, second) = (&mut memory.first[i], &mut memory.second[i]);
        match optimizer {
            Optimizer::Sgd { lr, momentum } => {
                for ((w, g), m) in tensor.data.iter_mut().zip(grad).zip(first) {
                    *m = momentum * *m + g;
                    *w -= lr * *m;
                }
            }
            Optimizer::Adam { lr, beta1, beta2, eps, decay } => {
                let correction = |beta: f64| 1.0 - beta.powi(memory.steps);
                let (c1, c2) = (correction(*beta1), correction(*beta2));
                for (((w, g), m), v) in tensor.data.iter_mut().zip(grad).zip(first).zip(second) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    *w -= lr * decay.unwrap_or(0.0) * *w;
                    *w -= lr * (*m / c1) / ((*v / c2).sqrt() + eps);
                }
            }
        }
    }
}

/// Takes some training steps on one batch, with running statistics updated as training does.
pub fn train(
    session: &mut Session<'_, f64>,
    objective: &Objective,
    optimizer: &Optimizer,
    steps: usize,
    seed: u64,
    feeds: &[Tensor],
    weights: &mut Weights,
) {
    let graph = session.graph();
    let mut memory = Memory::default();
    let mut gradients = Gradients::zeros::<f64>(&graph, session.batch());
    for i in 0..steps {
        let settings = Settings { mode: Mode::Train, seed: seed.wrapping_add(i as u64), penalties: true };
        {
            let point = weights.at(feeds);
            session.forward(&point, settings, Tapes::Live);
            session.backward(objective, &point, settings, &Registry, &mut gradients);
        }
        for (handle, node) in graph.nodes.iter().filter(|(_, node)| !node.states.is_empty()) {
            let Some(shape) = node.inputs.first().and_then(|source| graph.shape(*source)) else { continue };
            let mut states: Vec<Tensor> =
                node.states.iter().map(|s| std::mem::take(&mut weights.states[s.index()])).collect();
            node.op.update_state(session.batch(), shape, session.saved(handle), &mut states);
            for (state, tensor) in node.states.iter().zip(states) {
                weights.states[state.index()] = tensor;
            }
        }
        step(optimizer, &gradients, &mut memory, weights);
    }
}

/// Whether every weight is a finite number.
#[must_use]
pub fn finite(weights: &Weights) -> bool {
    weights.params.iter().all(|tensor| tensor.data.iter().all(|w| w.is_finite()))
}
