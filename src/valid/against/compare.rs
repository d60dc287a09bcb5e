//! One point: their losses and gradients beside ours.
//!
//! Contract: pure; the only runs are those of our graph. The errors and bounds are those that the manual page of the protocol states.

use super::loss::{self, Losses};
use super::protocol::Directions;
use super::{Answer, Component, PointReport, Precision, TensorReport, Visit};
use crate::exec::{self, Feeds, Keep, Objective, Session, Settings, Tapes};
use crate::graph::Runnable;
use crate::tensor::Tensor;
use crate::valid::alternatives::{self, Alternative, alternatives};
use crate::valid::diagnose::{Case, diagnose};
use crate::valid::gradcheck::{BUDGET, Map, Verdict};
use crate::valid::step_cost;
use crate::valid::unravel;

/// Compares an answer. What is missing in it is left out.
pub(super) fn compare(
    graph: Runnable<'_>,
    visit: &Visit,
    directions: &Directions,
    precision: Precision,
    answer: &Answer,
) -> (Option<PointReport>, Vec<TensorReport>) {
    let Visit { name, settings, weights, feeds } = visit;
    let run = |feeds: &Feeds, penalties| {
        exec::run(graph, weights, feeds, Settings { penalties, ..*settings }, true)
    };
    let (ours, plain) = (run(feeds, true), run(feeds, false));
    let (Some(our_loss), Some(data_loss), Some(loss)) = (ours.loss, plain.loss, answer.loss) else {
        return (None, Vec::new());
    };
    let tolerance = precision.tolerance();
    let agrees = (loss - our_loss).abs() <= precision.loss_tolerance() * (loss.abs() + our_loss.abs());
    let point = PointReport {
        name: name.clone(),
        mode: settings.mode.to_string(),
        loss,
        our_loss,
        agrees,
        diagnosis: if agrees {
            None
        } else {
            let penalty = our_loss - data_loss;
            let tolerance = precision.loss_tolerance();
            loss::look(graph, visit, Losses { theirs: loss, data: data_loss, penalty, tolerance })
        },
    };
    let largest = ours.params.iter().map(|(_, g)| norm(&g.data)).fold(0.0, f64::max);
    let floor = 100.0 * precision.unit() * (our_loss.abs() + largest);
    let given = |losses: &Option<Vec<f64>>| losses.is_some();
    let asked = |all: &[Vec<f64>], losses: &[Option<Vec<f64>>]| -> Vec<Vec<f64>> {
        all.iter().zip(losses).map(|(v, losses)| if given(losses) { v.clone() } else { Vec::new() }).collect()
    };
    let asked = Directions {
        params: asked(&directions.params, &answer.losses),
        inputs: asked(&directions.inputs, &answer.input_losses),
    };
    let curved = residuals(graph, visit, &asked, precision.step(), &ours);
    let by_own_loss =
        |report: &mut TensorReport, theirs: &[f64], losses: &[f64], v: &[f64], curved: &[f64]| {
            let own = own(theirs, losses, v, curved, precision, loss);
            let both = norm(theirs) + own.size;
            report.own_error = Some(relative(own.error, both));
            report.own_bound = Some(relative(own.bound, both));
            let allowed = 3.0 * own.bound + tolerance * both;
            report.wrong_by_own_loss = own.error > allowed.max(floor);
        };
    let place = alternatives::Place {
        graph,
        weights,
        feeds: &feeds.tensors,
        settings: *settings,
        objective: &Objective::Loss,
    };
    let mut mistakes: Option<Vec<Alternative>> = None;
    let mut tensors = Vec::new();
    for (i, ((path, ours), (_, plain))) in ours.params.iter().zip(&plain.params).enumerate() {
        let Some(theirs) = &answer.gradients[i] else { continue };
        let (error, gradient, size) = (distance(theirs, &ours.data), norm(theirs), norm(&ours.data));
        let mut report = TensorReport::new(path, name, relative(error, gradient + size));
        let off_ours = error > floor && report.error > tolerance;
        if let Some(losses) = &answer.losses[i] {
            by_own_loss(&mut report, theirs, losses, &directions.params[i], &curved.params[i]);
        }
        report.worst = worst(theirs, ours);
        report.verdict = if report.wrong_by_own_loss || off_ours {
            Verdict::Fail
        } else if gradient <= floor && size <= floor {
            Verdict::PassZero
        } else {
            Verdict::Pass
        };
        if report.verdict == Verdict::Fail {
            let mistakes = mistakes.get_or_insert_with(|| alternatives(place));
            let mistakes: Vec<(&str, &[f64])> =
                mistakes.iter().map(|other| (&*other.why, &*other.params[i])).collect();
            let penalty: Vec<f64> = ours.data.iter().zip(&plain.data).map(|(all, data)| all - data).collect();
            report.diagnosis = diagnose(&Case {
                given: theirs,
                truth: &ours.data,
                name: "ours",
                penalty: &penalty,
                weights: &weights.params[i].data,
                dims: &ours.dims,
                rows: feeds.rows,
                alternatives: &mistakes,
                tolerance,
            });
        }
        tensors.push(report);
    }
    let inputs = graph.feeds.iter().enumerate().filter(|(_, (_, feed))| feed.differentiable());
    for ((i, _), (path, ours)) in inputs.zip(&ours.inputs) {
        let Some(theirs) = &answer.inputs[i] else { continue };
        let (error, gradient, size) = (distance(theirs, &ours.data), norm(theirs), norm(&ours.data));
        let mut report =
            TensorReport::new(&format!("grad_input/{path}"), name, relative(error, gradient + size));
        report.worst = worst(theirs, ours);
        if let Some(losses) = &answer.input_losses[i] {
            by_own_loss(&mut report, theirs, losses, &directions.inputs[i], &curved.inputs[i]);
        }
        let off_ours = error > floor && report.error > tolerance;
        report.verdict = if report.wrong_by_own_loss || off_ours {
            let mistakes = mistakes.get_or_insert_with(|| alternatives(place));
            let mistakes: Vec<(&str, &[f64])> =
                mistakes.iter().filter_map(|other| Some((&*other.why, &**other.feeds.get(i)?))).collect();
            report.diagnosis = diagnose(&Case {
                given: theirs,
                truth: &ours.data,
                name: "ours",
                penalty: &[],
                weights: &[],
                dims: &ours.dims,
                rows: feeds.rows,
                alternatives: &mistakes,
                tolerance,
            });
            Verdict::Fail
        } else {
            Verdict::Pass
        };
        tensors.push(report);
    }
    (Some(point), tensors)
}

/// Both gradients of the tensors that fail, for a picture.
pub(super) fn maps(
    graph: Runnable<'_>,
    visit: &Visit,
    tensors: &[TensorReport],
    answer: &Answer,
) -> Vec<Map> {
    let failed =
        |name: &str| tensors.iter().any(|tensor| tensor.name == name && tensor.verdict == Verdict::Fail);
    if !graph.params.iter().any(|(_, param)| failed(&param.path)) {
        return Vec::new();
    }
    let ours = exec::run(graph, &visit.weights, &visit.feeds, visit.settings, true).params;
    let both = ours.into_iter().zip(&answer.gradients).filter(|((name, _), _)| failed(name));
    both.filter_map(|((name, ours), theirs)| {
        let given = theirs.clone()?;
        Some(Map { name, point: visit.name.clone(), dims: ours.dims, truth: ours.data, given })
    })
    .collect()
}

/// Root mean squares over the directions.
struct Own {
    error: f64,
    size: f64,
    bound: f64,
}

/// A gradient against differences of the same program's losses.
fn own(
    gradient: &[f64],
    losses: &[f64],
    directions: &[f64],
    curved: &[f64],
    precision: Precision,
    loss: f64,
) -> Own {
    let mut squares = [0.0; 3];
    let count = curved.len().max(1);
    for ((losses, v), curved) in losses.chunks(4).zip(directions.chunks(gradient.len().max(1))).zip(curved) {
        let product = dot(gradient, v);
        let (value, truncation) = difference(losses, precision.step());
        let rounding = 4.0 * precision.unit() * loss.abs() / precision.step();
        for (sum, x) in squares.iter_mut().zip([product - value, value, truncation + curved + rounding]) {
            *sum += x * x;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a few directions")]
    let [error, size, bound] = squares.map(|sum| (sum / count as f64).sqrt());
    Own { error, size, bound }
}

/// The extrapolated difference from the losses at h, -h, 2h and -2h, and how much the two steps differ.
fn difference(losses: &[f64], step: f64) -> (f64, f64) {
    let near = (losses[0] - losses[1]) / (2.0 * step);
    let far = (losses[2] - losses[3]) / (4.0 * step);
    ((4.0 * near - far) / 3.0, (far - near).abs())
}

/// What the same differences of our loss miss of our gradient, for every direction: kinks and curvature. Zero where the runs would
/// cost too much.
fn residuals(
    graph: Runnable<'_>,
    visit: &Visit,
    directions: &Directions,
    step: f64,
    ours: &exec::Outputs,
) -> Directions {
    let Visit { settings, weights, feeds, .. } = visit;
    let widths = |tensors: &[Tensor]| tensors.iter().map(|tensor| tensor.data.len().max(1)).collect();
    let [of_params, of_inputs]: [Vec<usize>; 2] = [widths(&weights.params), widths(&feeds.tensors)];
    let zeros = |directions: &[Vec<f64>], widths: &[usize]| -> Vec<Vec<f64>> {
        directions.iter().zip(widths).map(|(v, width)| vec![0.0; v.len() / width]).collect()
    };
    let mut residuals = Directions {
        params: zeros(&directions.params, &of_params),
        inputs: zeros(&directions.inputs, &of_inputs),
    };
    let count: usize = residuals.params.iter().chain(&residuals.inputs).map(Vec::len).sum();
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let cost = step_cost(&graph, feeds.rows) * 4.0 / 3.0 * count as f64;
    if cost > BUDGET {
        return residuals;
    }
    let mut session: Session<'_, f64> = Session::new(graph, feeds.rows, Keep::Result);
    let (mut moved, mut fed) = (weights.clone(), feeds.tensors.clone());
    let mut loss = |weights: &exec::Weights, feeds: &[Tensor]| {
        let point = weights.at(feeds);
        session.forward(&point, *settings, Tapes::Live);
        session.loss(&Objective::Loss, &point, *settings)
    };
    for (i, (_, gradient)) in ours.params.iter().enumerate() {
        let base = &weights.params[i].data;
        for (residual, v) in residuals.params[i].iter_mut().zip(directions.params[i].chunks(of_params[i])) {
            let losses = SIDES.map(|side| {
                shift(&mut moved.params[i].data, base, v, side * step);
                loss(&moved, &fed)
            });
            *residual = (difference(&losses, step).0 - dot(&gradient.data, v)).abs();
        }
        moved.params[i].data.clone_from(base);
    }
    let inputs = graph.feeds.iter().enumerate().filter(|(_, (_, feed))| feed.differentiable());
    for ((i, _), (_, gradient)) in inputs.zip(&ours.inputs) {
        let base = &feeds.tensors[i].data;
        for (residual, v) in residuals.inputs[i].iter_mut().zip(directions.inputs[i].chunks(of_inputs[i])) {
            let losses = SIDES.map(|side| {
                shift(&mut fed[i].data, base, v, side * step);
                loss(&moved, &fed)
            });
            *residual = (difference(&losses, step).0 - dot(&gradient.data, v)).abs();
        }
        fed[i].data.clone_from(base);
    }
    residuals
}

/// The places of a difference, in steps.
const SIDES: [f64; 4] = [1.0, -1.0, 2.0, -2.0];

/// `x = base + step v`.
fn shift(x: &mut [f64], base: &[f64], v: &[f64], step: f64) {
    x.iter_mut().zip(base).zip(v).for_each(|((x, base), v)| *x = base + step * v);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn relative(error: f64, size: f64) -> f64 {
    if size > 0.0 { error / size } else { 0.0 }
}

/// The component that differs most.
fn worst(theirs: &[f64], ours: &Tensor) -> Option<Component> {
    let off = |i: &usize| (theirs[*i] - ours.data[*i]).abs();
    let i = (0..theirs.len()).max_by(|a, b| off(a).total_cmp(&off(b)))?;
    Some(Component { index: unravel(i, &ours.dims), theirs: theirs[i], ours: ours.data[i] })
}
