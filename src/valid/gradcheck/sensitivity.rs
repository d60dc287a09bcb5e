//! How large the terms are that a gradient adds up: the unit in which its errors are measured.
//!
//! The sensitivity of a component w_i is `S_i = sqrt(sum over values y_s of (dL/dy_s dy_s/dw_i)^2)`, the root of the sum of squares
//! over all places that its derivative passes through. Rounding changes the derivative at each place by a few u of itself, so
//! that u S_i is what rounding does to g_i, also where the terms cancel and g_i itself is zero.
//!
//! How it is found: the reverse run is repeated with everything that a rule hands back multiplied by 1 + d xi, xi random around zero; to
//! first order g_i then moves by d times a sum of independent terms, whose variance is S_i^2. [`RUNS`] repetitions give a mean of squares of three
//! samples, for which E[1/S^2] is finite. d = 10^-6 leaves ten digits above rounding. The share of the penalties is
//! known in closed form, |factor w| for l2 and factor for l1, and is added.
//!
//! Source: Monte Carlo arithmetic (Parker 1997) with perturbations of the derivatives alone.

use super::spread::numbers;
use super::sweep::Place;
use crate::exec::{Gradients, Keep, Reverse, Session, Tapes};
use crate::graph::{Handle, Node, ParamTensor, Penalty};
use crate::ops::Backward;
use crate::scalar::Scalar;
use crate::tensor::{View, ViewMut};

/// Repetitions of the reverse run.
const RUNS: u32 = 3;
/// The size of the perturbations.
const DELTA: f64 = 1e-6;
/// A component is not measured by less than this part of the root mean square of its tensor. A local derivative like p - 1, p the probability
/// of the right class, errs by u and not by u of itself, so that what is far below the rest is lost in any case.
const LEAST: f64 = 1e-4;
/// Nor by less than this part of 1 + |L|: derivatives below the rounding of the loss itself are not told from zero.
const LEAST_OF_LOSS: f64 = f64::EPSILON;
/// A tensor without any term is measured by this.
const NOTHING: f64 = 1.0;

/// The sensitivities of every component of every tensor.
pub(super) struct Sensitivities {
    /// By the index of the tensor; 0 where no term reaches a component.
    of: Vec<Vec<f64>>,
    /// The least unit of any component.
    least: f64,
    /// The largest of each tensor without the share of the penalties.
    pub data: Vec<f64>,
}

impl Sensitivities {
    /// Measures them around the gradients at a point, all of which are finite.
    pub fn new(place: &Place<'_, '_>, gradients: &Gradients, reverse: &impl Reverse) -> Self {
        let (graph, batch) = (place.graph, place.batch());
        let mut of: Vec<Vec<f64>> = gradients.params.iter().map(|g| vec![0.0; g.len()]).collect();
        let mut session = Session::<f64>::new(graph, batch, Keep::All);
        session.forward(place.point, place.settings, Tapes::Live);
        let mut noisy = Gradients::zeros::<f64>(&graph, batch);
        for run in 0..RUNS {
            let reverse = Noisy { reverse, seed: place.settings.seed, run };
            session.backward(place.objective, place.point, place.settings, &reverse, &mut noisy);
            for (squares, (noisy, g)) in of.iter_mut().zip(noisy.params.iter().zip(&gradients.params)) {
                for (square, (noisy, g)) in squares.iter_mut().zip(noisy.iter().zip(g)) {
                    *square += ((noisy - g) / DELTA).powi(2);
                }
            }
        }
        let mut data = vec![0.0f64; of.len()];
        for (handle, param) in graph.params.iter() {
            let i = handle.index();
            let weights = &place.weights.params[i].data;
            for ((s, g), w) in of[i].iter_mut().zip(&gradients.params[i]).zip(weights) {
                *s /= f64::from(RUNS);
                data[i] = data[i].max(s.sqrt());
                let penalties =
                    graph.penalties.iter().filter(|p| place.settings.penalties && p.covers(param));
                for penalty in penalties {
                    let slope = if penalty.order == 1 { 1.0 } else { *w };
                    *s += (penalty.factor * slope).powi(2);
                }
                *s = s.sqrt().max(g.abs());
            }
        }
        let loss = place.terms.iter().sum::<f64>() * place.share();
        Self { of, least: LEAST_OF_LOSS * (1.0 + loss.abs()), data }
    }

    /// Those of one tensor.
    pub fn tensor(&self, param: Handle<ParamTensor>) -> &[f64] {
        &self.of[param.index()]
    }

    /// The largest of one tensor.
    pub fn largest(&self, param: Handle<ParamTensor>) -> f64 {
        self.tensor(param).iter().fold(0.0, |most, s| most.max(*s))
    }

    /// The units of the components of a tensor: their sensitivities, where those are not too small. Where there is none, the unit is the root
    /// mean square of those of the tensor, so that a component whose derivative is lost is still asked.
    pub fn units(&self, param: Handle<ParamTensor>) -> impl Iterator<Item = f64> + '_ {
        let all = self.tensor(param);
        let most = self.largest(param);
        let (mut sum, mut count) = (0.0f64, 0.0f64);
        for s in all.iter().filter(|s| **s > 0.0) {
            // As parts of the largest, whose square may be out of range.
            sum += (s / most).powi(2);
            count += 1.0;
        }
        let mean = if count > 0.0 { most * (sum / count).sqrt() } else { NOTHING };
        let least = self.least.max(LEAST * mean);
        let other = mean.max(least);
        all.iter().map(move |s| if *s > 0.0 { s.max(least) } else { other })
    }
}

/// Reverse rules whose results are perturbed.
struct Noisy<'a, R> {
    reverse: &'a R,
    seed: u64,
    run: u32,
}

impl<R: Reverse> Reverse for Noisy<'_, R> {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        self.reverse.backward(node, io);
    }

    fn amend<S: Scalar>(
        &self,
        node: &Node,
        inputs: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        self.reverse.amend(node, inputs, params);
        let mut numbers = numbers(self.seed, &format!("noise/{}/{}", self.run, node.path));
        let mut disturb = |grads: &mut [Option<ViewMut<'_, S>>]| {
            for grad in grads.iter_mut().flatten() {
                for (i, xi) in (0..grad.len()).zip(&mut numbers) {
                    grad.set(i, grad.at(i) * (1.0 + DELTA * xi));
                }
            }
        };
        disturb(inputs);
        disturb(params);
    }

    fn penalty<S: Scalar>(
        &self,
        penalty: &Penalty,
        param: &ParamTensor,
        weights: View<'_, S>,
        grad: &mut ViewMut<'_, S>,
    ) {
        self.reverse.penalty(penalty, param, weights, grad);
    }
}
