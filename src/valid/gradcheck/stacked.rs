//! Differences of many components, or of many outputs of a node, at once; and what they make together.

use super::plain::noise;
use super::plan::{Method, Task};
use super::sweep::{Place, step};
use crate::exec::Stack;
use crate::graph::Handle;
use crate::graph::ParamTensor;
use std::ops::Range;

/// Bytes of values and decisions that one stack may hold, where one pair of copies does not need more: about what a core's own
/// cache holds.
const BYTES: usize = 2 << 20;
/// Pairs of copies in one stack at most, so that small nets still give work to several threads.
const PAIRS: usize = 256;

/// How many components, or outputs, are perturbed at once.
pub(super) fn pairs(task: &Task, rows: usize) -> usize {
    (task.route.copies(rows, BYTES) / 2).min(PAIRS)
}

/// What the copies of a stack hold, a pair of copies after another.
#[derive(Default)]
struct Copies {
    starts: Vec<usize>,
    changed: Vec<f64>,
}

/// Runs pairs of copies and gives, for every pair, the differences of the terms of the samples.
fn terms(
    place: &Place<'_, '_>,
    task: &Task,
    copies: &Copies,
    stack: &mut Stack<'_, '_>,
    mut each: impl FnMut(usize, &[f64]),
) {
    let mut above = vec![0.0; place.batch()];
    stack.run(&task.route, place.objective, &copies.starts, &copies.changed, |i, terms| {
        if i.is_multiple_of(2) {
            above.copy_from_slice(terms);
        } else {
            above.iter_mut().zip(terms).for_each(|(above, below)| *above -= below);
            each(i / 2, &above);
        }
    });
}

/// The quotients of the objective by components of one tensor of a task, without penalties.
pub(super) fn components(
    place: &Place<'_, '_>,
    task: &Task,
    slot: usize,
    chosen: &[usize],
    stack: &mut Stack<'_, '_>,
) -> Vec<f64> {
    if !task.route.reaches {
        return vec![0.0; chosen.len()];
    }
    let rows = place.batch();
    let node = &place.graph.nodes[task.node];
    let base = place.base.value(task.node).plane(0);
    let elements = base.len() / rows;
    let weights = &place.weights.params[node.params[slot].index()].data;
    let mut copies = Copies::default();
    let mut moved = if task.method == Method::Stacked { weights.clone() } else { Vec::new() };
    let mut column = Vec::new();
    for &i in chosen {
        let w = weights[i];
        let end = copies.changed.len();
        if task.method == Method::Stacked {
            for x in step(w) {
                moved[i] = x;
                let end = copies.changed.len();
                copies.changed.resize(end + base.len(), 0.0);
                let params = place.params(task.node, slot, &moved);
                stack.with_params(task.node, &params, &mut copies.changed[end..]);
                copies.starts.push(0);
            }
            moved[i] = w;
        } else {
            let Some(block) = stack.column(task.node, slot, i, &mut column) else {
                unreachable!("internal: an operator with columns states none")
            };
            let size = column.len();
            copies.changed.resize(end + 2 * size, 0.0);
            for (x, values) in step(w).into_iter().zip(copies.changed[end..].chunks_exact_mut(size)) {
                block.gather(base, elements, values);
                values.iter_mut().zip(&column).for_each(|(y, d)| *y += (x - w) * d);
                copies.starts.push(block.start);
            }
        }
    }
    let mut quotients = vec![0.0; chosen.len()];
    terms(place, task, &copies, stack, |pair, differences| {
        let [above, below] = step(weights[chosen[pair]]);
        quotients[pair] = differences.iter().sum::<f64>() * place.share() / (above - below);
    });
    quotients
}

/// The derivatives of the objective by some outputs of a node, for every output those by all samples.
pub(super) fn outputs(
    place: &Place<'_, '_>,
    task: &Task,
    units: Range<usize>,
    stack: &mut Stack<'_, '_>,
) -> Vec<f64> {
    let rows = place.batch();
    let mut slopes = vec![0.0; units.len() * rows];
    if !task.route.reaches {
        return slopes;
    }
    let base = place.base.value(task.node).plane(0);
    let elements = base.len() / rows;
    let mut copies = Copies::default();
    let count = task.block.count;
    for unit in units.clone() {
        let (block, at) = task.block.holding(unit);
        let end = copies.changed.len();
        copies.changed.resize(end + 2 * rows * count, 0.0);
        for (side, values) in copies.changed[end..].chunks_exact_mut(rows * count).enumerate() {
            block.gather(base, elements, values);
            values.iter_mut().skip(at).step_by(count).for_each(|y| *y = step(*y)[side]);
            copies.starts.push(block.start);
        }
    }
    terms(place, task, &copies, stack, |pair, differences| {
        for (sample, difference) in differences.iter().enumerate() {
            let [above, below] = step(base[sample * elements + units.start + pair]);
            slopes[pair * rows + sample] = difference * place.share() / (above - below);
        }
    });
    slopes
}

/// The derivatives by components from those by outputs, and what rounding does to each at most.
pub(super) fn products(
    place: &Place<'_, '_>,
    task: &Task,
    slot: usize,
    chosen: &[usize],
    slopes: &[f64],
    stack: &mut Stack<'_, '_>,
) -> Vec<[f64; 2]> {
    let rows = place.batch();
    let noises: Vec<f64> = place.terms.iter().map(|term| noise(*term) * place.share()).collect();
    let mut column = Vec::new();
    let one = |i: &usize| {
        let Some(block) = stack.column(task.node, slot, *i, &mut column) else {
            unreachable!("internal: an operator with columns states none")
        };
        let (mut sum, mut most) = (0.0, 0.0);
        for (k, unit) in (0..block.count).map(|k| (k, block.element(k))) {
            let values = column[k..].iter().step_by(block.count);
            for ((d, slope), noise) in values.zip(&slopes[unit * rows..]).zip(&noises) {
                sum += d * slope;
                most += d.abs() * noise;
            }
        }
        [sum, most]
    };
    chosen.iter().map(one).collect()
}

/// The quotient of the penalties by one component.
pub(super) fn penalty(place: &Place<'_, '_>, param: Handle<ParamTensor>, i: usize) -> f64 {
    if !place.settings.penalties {
        return 0.0;
    }
    let graph = place.graph;
    let w = place.weights.params[param.index()].data[i];
    let [above, below] = step(w);
    let change = |order: u8| {
        if order == 1 { above.abs() - below.abs() } else { 0.5 * (above - below) * (above + below) }
    };
    let covering = graph.penalties.iter().filter(|penalty| penalty.covers(&graph.params[param]));
    covering.map(|penalty| penalty.factor * change(penalty.order)).sum::<f64>() / (above - below)
}
