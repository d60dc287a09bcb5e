//! Whether the columns that an operator states are those of its kernel, at the point where they are used.
//!
//! Contract: the result is affine in each tensor, so for weights w and a random direction v of one tensor the kernel must give
//! f(w + v) - f(w) = sum of v_i D_i. A wrong column of a single component, a column at the wrong place and a kernel that is not affine
//! all break this with probability 1, by more than rounding unless they are themselves of that size.

use super::plan::Task;
use super::sweep::Place;
use crate::exec::Stack;
use crate::inits;
use crate::tensor::{Draws, stream};

/// Whether columns and kernel agree for the chosen components of every tensor of a task.
///
/// The kernel adds up n products, n counting the components of all tensors that one element depends on, so that each of its two
/// results errs by less than n u times the sum of the products' magnitudes, whichever tensor is moved; the sum over the
/// columns errs by less, and the difference of the results by u times them. 16 stands for the orders of summation.
pub(super) fn agree(
    place: &Place<'_, '_>,
    task: &Task,
    chosen: &[Vec<usize>],
    stack: &mut Stack<'_, '_>,
) -> bool {
    let before = place.base.value(task.node).plane(0);
    let mut magnitude = vec![0.0; before.len()];
    let mut n = 8.0;
    let mut moves = Vec::new();
    for (slot, param) in &task.params {
        let chosen = &chosen[param.index()];
        let Some(moved) = Move::new(place, task, *slot, chosen, &mut magnitude, stack) else { return false };
        n += terms(moved.weights.len() * task.block.count, before.len() / place.batch());
        moves.push(moved);
    }
    moves.iter().all(|moved| {
        let mut after = vec![0.0; before.len()];
        stack.with_params(task.node, &place.params(task.node, moved.slot, &moved.weights), &mut after);
        (0..before.len()).all(|i| {
            let results = before[i].abs() + after[i].abs();
            let bound = 16.0 * f64::EPSILON * (n * magnitude[i] + results) + f64::MIN_POSITIVE;
            (after[i] - before[i] - moved.sum[i]).abs() <= bound
        })
    })
}

/// How many components one element depends on, if every component moves some of the elements.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn terms(moved: usize, elements: usize) -> f64 {
    moved as f64 / elements.max(1) as f64
}

/// One tensor that is moved along a random direction of its chosen components.
struct Move {
    slot: usize,
    weights: Vec<f64>,
    /// What the columns make of it.
    sum: Vec<f64>,
}

impl Move {
    /// Moves a tensor and adds the magnitudes of its products, there and before.
    fn new(
        place: &Place<'_, '_>,
        task: &Task,
        slot: usize,
        chosen: &[usize],
        magnitude: &mut [f64],
        stack: &mut Stack<'_, '_>,
    ) -> Option<Self> {
        let param = place.graph.nodes[task.node].params[slot];
        let before = &place.weights.params[param.index()].data;
        let elements = magnitude.len() / place.batch();
        let path = &place.graph.params[param].path;
        let draws = Draws { seed: place.settings.seed, stream: stream(&format!("columns/{path}")) };
        let mut weights = before.clone();
        let mut sum = vec![0.0; magnitude.len()];
        let (mut column, mut largest) = (Vec::new(), 0.0f64);
        for (&i, v) in chosen.iter().zip(inits::standard_normal(chosen.len(), draws)) {
            weights[i] += v;
            // The step that was really taken.
            let v = weights[i] - before[i];
            let size = v.abs() + before[i].abs();
            let block = stack.column(task.node, slot, i, &mut column)?;
            for (sample, values) in column.chunks_exact(block.count).enumerate() {
                for (k, d) in values.iter().enumerate() {
                    let to = sample * elements + block.element(k);
                    sum[to] += v * d;
                    magnitude[to] += size * d.abs();
                    largest = largest.max(d.abs());
                }
            }
        }
        if chosen.len() < before.len() {
            // The products of the other components are not larger than the largest seen, about.
            let n = terms(before.len() * task.block.count, elements);
            let most = before.iter().fold(0.0f64, |most, w| most.max(w.abs()));
            magnitude.iter_mut().for_each(|sum| *sum += n * most * largest);
        }
        Some(Self { slot, weights, sum })
    }
}
