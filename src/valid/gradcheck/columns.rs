//! Whether the columns that an operator states are those of its kernel, at the point where they are used.
//!
//! Contract: the result is affine in each tensor, so for weights w and a random direction v the kernel must give
//! f(w + v) - f(w) = sum of v_i D_i. A wrong column of a single component, a column at the wrong place and a kernel that is not affine
//! all break this with probability 1, by more than rounding unless they are themselves of that size.

use super::plan::Task;
use super::sweep::Place;
use crate::exec::Stack;
use crate::inits;
use crate::tensor::{Draws, stream};

/// Whether columns and kernel agree for the chosen components of every tensor of a task.
pub(super) fn agree(
    place: &Place<'_, '_>,
    task: &Task,
    chosen: &[Vec<usize>],
    stack: &mut Stack<'_, '_>,
) -> bool {
    task.params.iter().all(|(slot, param)| {
        let chosen = &chosen[param.index()];
        chosen.is_empty() || one_agrees(place, task, *slot, chosen, stack)
    })
}

fn one_agrees(
    place: &Place<'_, '_>,
    task: &Task,
    slot: usize,
    chosen: &[usize],
    stack: &mut Stack<'_, '_>,
) -> bool {
    let node = &place.graph.nodes[task.node];
    let before = place.base.value(task.node).plane(0);
    let elements = before.len() / place.batch();
    let weights = &place.weights.params[node.params[slot].index()].data;
    let path = &place.graph.params[node.params[slot]].path;
    let draws = Draws { seed: place.settings.seed, stream: stream(&format!("columns/{path}")) };
    let direction = inits::standard_normal(chosen.len(), draws);
    let mut moved = weights.clone();
    let (mut sum, mut size) = (vec![0.0; before.len()], vec![0.0; before.len()]);
    let (mut column, mut largest) = (Vec::new(), 0.0f64);
    for (&i, v) in chosen.iter().zip(&direction) {
        moved[i] += v;
        // The step that was really taken.
        let v = moved[i] - weights[i];
        let Some(block) = stack.column(task.node, slot, i, &mut column) else { return false };
        let weight = v.abs() + 2.0 * weights[i].abs();
        let samples = column.chunks_exact(block.count);
        for (at, values) in samples.enumerate() {
            for (k, d) in values.iter().enumerate() {
                let to = at * elements + block.element(k);
                sum[to] += v * d;
                size[to] += weight * d.abs();
                largest = largest.max(d.abs());
            }
        }
    }
    let params: Vec<&[f64]> = node
        .params
        .iter()
        .enumerate()
        .map(
            |(at, param)| {
                if at == slot { &moved[..] } else { &place.weights.params[param.index()].data[..] }
            },
        )
        .collect();
    let mut after = vec![0.0; before.len()];
    stack.with_params(task.node, &params, &mut after);
    // The kernel and the sum add up n products each, so that both err by less than n u times the sum of the magnitudes; the offset that
    // a kernel adds, and the difference of the two results, err by u times the results. Of components that are not chosen only
    // the largest products are known: 4 stands for what was not seen of them.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let n = (weights.len() * task.block.count) as f64 / elements.max(1) as f64;
    let unseen = if chosen.len() < weights.len() {
        4.0 * n * largest * weights.iter().fold(0.0f64, |most, w| most.max(w.abs()))
    } else {
        0.0
    };
    (0..before.len()).all(|i| {
        let bound =
            f64::EPSILON * ((n + 8.0) * (size[i] + unseen) + 4.0 * (before[i].abs() + after[i].abs()));
        (after[i] - before[i] - sum[i]).abs() <= bound + f64::MIN_POSITIVE
    })
}
