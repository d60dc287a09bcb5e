//! The derivative of a failing tensor, component by component, and what was done to its gradient in words.
//!
//! The tangents of the forward kernels along the unit vectors, eight in a pass, are the derivative exactly; where that costs too much, the
//! differences stand in if every component was differenced.

use super::directions::widened;
use super::report::{Component, Map, TensorReport};
use super::sweep::{Numeric, Place};
use crate::exec::{Gradients, Keep, Registry, Reverse, Session, Tapes};
use crate::graph::{Handle, ParamTensor, Penalty};
use crate::scalar::{Lanes, Scalar, Tangent, WIDTH};
use crate::tensor::{View, ViewMut};
use crate::valid::alternatives::{self, alternatives};
use crate::valid::diagnose::{Case, diagnose};
use crate::valid::{step_cost, unravel};

/// What the derivatives of all failing tensors at one point may cost, in multiplications and additions.
const BUDGET: f64 = 2e9;

/// The relative error up to which two gradients are the same, where the derivative comes from tangents, and where from differences.
const TANGENTS: f64 = 1e-10;
const DIFFERENCES: f64 = 1e-6;

/// Looks at every tensor that fails: its worst component and what was done; the numbers themselves where they are to be `kept`.
pub(super) fn look(
    place: &Place<'_, '_>,
    gradients: &Gradients,
    numeric: &[Numeric],
    kept: bool,
    tensors: &mut [TensorReport],
) -> Vec<Map> {
    let mut maps = Vec::new();
    let mut spent = 0.0;
    let mut mistakes = None;
    for (handle, param) in place.graph.params.iter() {
        let tensor = &mut tensors[handle.index()];
        if !tensor.verdict.is_bad() {
            continue;
        }
        let given = &gradients.params[handle.index()];
        let cost = cost(place, given.len());
        let (truth, exact) = if spent + cost <= BUDGET {
            spent += cost;
            (tangents(place, handle), true)
        } else if numeric[handle.index()].chosen.len() == given.len() {
            (numeric[handle.index()].quotients.clone(), false)
        } else {
            continue;
        };
        if tensor.worst.is_none() {
            let off = |i: &usize| (given[*i] - truth[*i]).abs();
            let worst = (0..given.len()).max_by(|a, b| off(a).total_cmp(&off(b)));
            tensor.worst = worst.map(|i| Component {
                index: unravel(i, &param.spec.dims),
                gradient: given[i],
                numeric: truth[i],
            });
        }
        let place_of = alternatives::Place {
            graph: place.graph,
            weights: place.weights,
            feeds: place.feeds,
            settings: place.settings,
            objective: place.objective,
        };
        let mistakes = mistakes.get_or_insert_with(|| alternatives(place_of));
        let mistakes: Vec<(&str, &[f64])> =
            mistakes.iter().map(|other| (&*other.why, &*other.params[handle.index()])).collect();
        let whole = || {
            diagnose(&Case {
                given,
                truth: &truth,
                name: "the derivative",
                penalty: &penalty(place, handle),
                weights: &place.weights.params[handle.index()].data,
                dims: &param.spec.dims,
                rows: place.batch(),
                alternatives: &mistakes,
                tolerance: if exact { TANGENTS } else { DIFFERENCES },
            })
        };
        // What was said of the rule by itself says more.
        tensor.diagnosis = tensor.diagnosis.take().or_else(whole);
        if kept {
            let (name, point, dims) = (param.path.clone(), tensor.point.clone(), param.spec.dims.clone());
            maps.push(Map { name, point, dims, truth, given: given.clone() });
        }
    }
    maps
}

/// The derivative of the penalties by a tensor; empty if there are none.
fn penalty(place: &Place<'_, '_>, handle: Handle<ParamTensor>) -> Vec<f64> {
    let graph = place.graph;
    let covering: Vec<&Penalty> = graph
        .penalties
        .iter()
        .filter(|penalty| place.settings.penalties && penalty.covers(&graph.params[handle]))
        .collect();
    if covering.is_empty() {
        return Vec::new();
    }
    let mut grad = vec![0.0; place.weights.params[handle.index()].data.len()];
    let weights = View::<f64>::new(&place.weights.params[handle.index()].data);
    for penalty in covering {
        Registry.penalty(penalty, &graph.params[handle], weights, &mut ViewMut::new(&mut grad));
    }
    grad
}

/// Operations for the derivative by so many components.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn cost(place: &Place<'_, '_>, components: usize) -> f64 {
    let forward = step_cost(&place.graph, place.batch()) / 3.0;
    (components.div_ceil(WIDTH) * (1 + 2 * WIDTH)) as f64 * forward
}

/// The derivative by every component of a tensor.
fn tangents(place: &Place<'_, '_>, param: Handle<ParamTensor>) -> Vec<f64> {
    let mut session: Session<'_, Lanes> = Session::new(place.graph, place.batch(), Keep::Result);
    session.adopt(place.base);
    let feeds: Vec<Vec<f64>> = place.feeds.iter().map(|feed| widened::<Lanes>(&feed.data)).collect();
    let mut params: Vec<Vec<f64>> =
        place.weights.params.iter().map(|tensor| widened::<Lanes>(&tensor.data)).collect();
    let n = params[param.index()].len() / Lanes::PLANES;
    let mut truth = Vec::with_capacity(n);
    for start in (0..n).step_by(WIDTH) {
        let lanes = start..(start + WIDTH).min(n);
        for (lane, i) in lanes.clone().enumerate() {
            params[param.index()][(1 + lane) * n + i] = 1.0;
        }
        let point = place.point_at(&params, &feeds);
        session.forward(&point, place.settings, Tapes::Replay);
        let loss = session.loss(place.objective, &point, place.settings);
        truth.extend((0..lanes.len()).map(|lane| loss.tangent.along(lane)));
        for (lane, i) in lanes.enumerate() {
            params[param.index()][(1 + lane) * n + i] = 0.0;
        }
    }
    truth
}
