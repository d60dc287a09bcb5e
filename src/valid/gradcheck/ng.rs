//! The formula of the course notes, exactly as they state it, for who wants to see it.
//!
//! `dtheta_approx[i] = (J(theta[i] + eps) - J(theta[i] - eps)) / (2 eps)` with eps = 10^-7, and the relative error
//! `|dtheta_approx - dtheta| / (|dtheta_approx| + |dtheta|)` in the 2-norm, for each tensor and for all of them together: below 10^-7 great, up to 10^-5
//! worth a closer look, up to 10^-3 worth a look at the components, above a reason to worry. J runs as the model does, so that decisions
//! are taken anew at either side; the dropout mask is that of the seed at both.
//!
//! Why it does not replace the verdicts: rounding of J alone makes about u |J| / eps = 10^-9 of every component, whatever its size, so that a right
//! gradient near zero fails; one wrong weight among many moves the ratio of the norms by less than the bands; and an input within eps of a kink alarms on
//! a right gradient.
//!
//! Source: Andrew Ng, Deep Learning Specialization, course 2, week 1, "Gradient checking".

use super::points::Place;
use super::sweep::downstream;
use super::{BUDGET, PATIENCE};
use crate::exec::{Gradients, Keep, Objective, Reverse, Session, Settings, Tapes, Weights};
use crate::graph::Runnable;
use crate::tensor::Tensor;
use serde::Serialize;

/// The step.
const EPSILON: f64 = 1e-7;

/// Where a relative error lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// Below 10^-7.
    Great,
    /// Up to 10^-5.
    LookCloser,
    /// Up to 10^-3.
    LookAtComponents,
    /// Above.
    Worry,
}

crate::text::serialize_words!(Band);

impl Band {
    /// The band of a relative error. What is no number is a reason to worry.
    #[must_use]
    pub fn of(error: f64) -> Self {
        let bands = [(1e-7, Self::Great), (1e-5, Self::LookCloser), (1e-3, Self::LookAtComponents)];
        bands.into_iter().find(|(most, _)| error <= *most).map_or(Self::Worry, |(_, band)| band)
    }

    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Great => "great",
            Self::LookCloser => "look closer",
            Self::LookAtComponents => "look at the components",
            Self::Worry => "worry",
        }
    }
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NgTensor {
    /// `fc1.weight`.
    pub name: String,
    /// The relative error.
    pub error: f64,
    /// Where it lies.
    pub band: Band,
    /// How many components were differenced; fewer than all only where those would cost too much.
    pub checked: usize,
    /// How many there are.
    pub components: usize,
}

/// The formula at one point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ng {
    /// `seed 0`.
    pub point: String,
    /// The step.
    pub epsilon: f64,
    /// The relative error of all tensors together.
    pub error: f64,
    /// Where it lies.
    pub band: Band,
    /// By tensor.
    pub tensors: Vec<NgTensor>,
}

/// Works it out.
pub(super) fn measure(
    graph: Runnable<'_>,
    place: &Place,
    weights: &Weights,
    feeds: &[Tensor],
    objective: &Objective,
    reverse: &impl Reverse,
) -> Ng {
    let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
    let settings = Settings { mode: place.mode, seed: place.seed, penalties: true };
    let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
    let mut gradients = Gradients::zeros::<f64>(&graph, batch);
    session.forward(&weights.at(feeds), settings, Tapes::Live);
    session.backward(objective, &weights.at(feeds), settings, reverse, &mut gradients);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let one =
        |nodes: &[_]| 2.0 * batch as f64 * nodes.iter().map(|n| graph.nodes[*n].flops as f64).sum::<f64>();
    let ways: Vec<_> = graph.params.handles().map(|param| downstream(graph, param)).collect();
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let all: f64 =
        graph.params.iter().zip(&ways).map(|((_, p), way)| p.spec.elements() as f64 * one(way)).sum();
    // The share of the components that can be afforded, evenly spaced.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a stride")]
    let stride = if all <= BUDGET { 1 } else { (all / PATIENCE).ceil() as usize };
    let mut moved = weights.clone();
    let mut total = [0.0; 3];
    let mut tensors = Vec::new();
    for ((handle, param), way) in graph.params.iter().zip(&ways) {
        let mut squares = [0.0; 3];
        let mut checked = 0;
        // What another tensor moved must stand where it was.
        session.forward(&weights.at(feeds), settings, Tapes::Live);
        for i in (0..param.spec.elements()).step_by(stride) {
            let theta = weights.params[handle.index()].data[i];
            let mut cost = |x: f64| {
                moved.params[handle.index()].data[i] = x;
                let point = moved.at(feeds);
                session.rerun(way, &point, settings, Tapes::Live);
                session.loss(objective, &point, settings)
            };
            let approx = (cost(theta + EPSILON) - cost(theta - EPSILON)) / (2.0 * EPSILON);
            moved.params[handle.index()].data[i] = theta;
            let g = gradients.params[handle.index()][i];
            squares.iter_mut().zip([approx - g, approx, g]).for_each(|(sum, x)| *sum += x * x);
            checked += 1;
        }
        total.iter_mut().zip(squares).for_each(|(sum, x)| *sum += x);
        let (error, components) = (relative(squares), param.spec.elements());
        tensors.push(NgTensor {
            name: param.path.clone(),
            error,
            band: Band::of(error),
            checked,
            components,
        });
    }
    let error = relative(total);
    Ng { point: place.name.clone(), epsilon: EPSILON, error, band: Band::of(error), tensors }
}

/// The relative error from the sums of squares of the difference and of both sides.
fn relative(squares: [f64; 3]) -> f64 {
    let [difference, approx, g] = squares.map(f64::sqrt);
    if approx + g == 0.0 { 0.0 } else { difference / (approx + g) }
}
