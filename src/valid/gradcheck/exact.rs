//! The last word on a doubtful tensor: gradient and tangent in double-double arithmetic.
//!
//! Differences and tangents in `f64` err by rounding, and where a local derivative is ill-conditioned (a saturated softmax, a norm of nearly
//! equal values) no bound on the sums tells rounding from a wrong rule. The kernels and the reverse rules are generic over the
//! scalar, so both run again with about 106 bits: rounding is then below 1e-30, and what still differs is the rule. A mismatch of the rule is
//! the same in both arithmetics, one of rounding falls by 2^53.

use super::directions::{COUNT, direction, widened};
use super::sensitivity::Sensitivities;
use super::sweep::Place;
use crate::exec::{Gradients, Keep, Reverse, Session, Tapes};
use crate::graph::{Handle, ParamTensor};
use crate::scalar::{Double, DoubleDual, Dual, Scalar};
use crate::tensor::View;

/// Gradient and tangent agree if they differ by less than this part of the root sum of squares of their terms. Cancellation may cost up to 17
/// of the 31 digits; constants of kernels and rules are `f64` and may differ in their last bit.
const AGREED: f64 = 1e-13;
/// See [`vanished`]. Rounding falls by 2^53, and a mismatch of it in `f64` may by chance be 10^7 times smaller than its terms allow.
const VANISHED: f64 = 1e-9;
/// What double-double arithmetic costs: operations of `f64` in one of its own, and runs that a decision takes.
const COST: f64 = 25.0 * 11.0;

/// Whether a mismatch fell from `f64` to double-double arithmetic as only rounding does, however large a part of its terms is left where
/// conditions cost more digits than either has.
pub(super) fn vanished(before: f64, after: f64) -> bool {
    before.is_finite() && after <= VANISHED * before
}

/// Operations of one decision, where a forward run takes so many.
pub(super) fn cost(forward: f64) -> f64 {
    COST * forward
}

/// The gradient of every tensor in double-double.
pub(super) struct Exact {
    gradients: Gradients,
}

impl Exact {
    /// Runs the reverse rules.
    pub fn new(place: &Place<'_, '_>, reverse: &impl Reverse) -> Self {
        let Place { graph, objective, settings, feeds, weights, .. } = place;
        let params: Vec<Vec<f64>> =
            weights.params.iter().map(|tensor| widened::<Double>(&tensor.data)).collect();
        let feeds: Vec<Vec<f64>> = feeds.iter().map(|feed| widened::<Double>(&feed.data)).collect();
        let point = place.point_at(&params, &feeds);
        let batch = place.batch();
        let mut session: Session<'_, Double> = Session::new(*graph, batch, Keep::All);
        let mut gradients = Gradients::zeros::<Double>(graph, batch);
        session.forward(&point, *settings, Tapes::Live);
        session.backward(objective, &point, *settings, reverse, &mut gradients);
        Self { gradients }
    }

    /// Whether the gradients of some tensors agree with the tangents along the equalised directions, each of all of them.
    pub fn agrees(
        &self,
        place: &Place<'_, '_>,
        rounded: &Gradients,
        of: &Sensitivities,
        tensors: &[Handle<ParamTensor>],
    ) -> bool {
        (0..COUNT).all(|k| self.agrees_along(k, place, rounded, of, tensors))
    }

    fn agrees_along(
        &self,
        k: usize,
        place: &Place<'_, '_>,
        rounded: &Gradients,
        of: &Sensitivities,
        tensors: &[Handle<ParamTensor>],
    ) -> bool {
        let Place { graph, feeds, weights, .. } = place;
        let mut product = Double::constant(0.0);
        let (mut before, mut squares) = (0.0, 0.0);
        let [mut exact, mut plain] = [Vec::new(), Vec::new()];
        for (handle, tensor) in graph.params.handles().zip(&weights.params) {
            let n = tensor.data.len();
            let mut wide = widened::<DoubleDual>(&tensor.data);
            let mut narrow = widened::<Dual>(&tensor.data);
            if tensors.contains(&handle) {
                let direction: Vec<f64> = direction(place, of, handle, k).collect();
                let gradient = View::<Double>::new(&self.gradients.params[handle.index()]);
                let units = of.units(handle).zip(&rounded.params[handle.index()]);
                for ((g, v), (unit, rounded)) in gradient.iter().zip(&direction).zip(units) {
                    product += g * *v;
                    before += rounded * v;
                    squares += (v * unit).powi(2);
                }
                // The planes of the tangent stand behind those of the value.
                wide[2 * n..3 * n].copy_from_slice(&direction);
                narrow[n..].copy_from_slice(&direction);
            }
            exact.push(wide);
            plain.push(narrow);
        }
        let fed: Vec<Vec<f64>> = feeds.iter().map(|feed| widened::<DoubleDual>(&feed.data)).collect();
        let tangent = place.loss_at::<DoubleDual>(&exact, &fed).tangent;
        let difference = (product - tangent).primal().abs();
        if difference <= AGREED * squares.sqrt() {
            return true;
        }
        let fed: Vec<Vec<f64>> = feeds.iter().map(|feed| widened::<Dual>(&feed.data)).collect();
        vanished((before - place.loss_at::<Dual>(&plain, &fed).tangent).abs(), difference)
    }

    /// The largest error of a gradient in `f64`, in units of the components' sensitivities.
    pub fn rounding(&self, rounded: &Gradients, of: &Sensitivities, tensor: Handle<ParamTensor>) -> f64 {
        let exact = View::<Double>::new(&self.gradients.params[tensor.index()]).iter();
        let all = exact.zip(&rounded.params[tensor.index()]).zip(of.units(tensor));
        all.map(|((exact, g), unit)| ((exact - Double::constant(*g)).primal() / unit).abs())
            .fold(0.0, f64::max)
    }

    /// The smallest error that [`agrees`](Self::agrees) rejects in a lone component of `n`.
    pub fn detectable(n: usize) -> f64 {
        // m is at least 1/2 and at most 3/2.
        #[expect(clippy::cast_precision_loss, reason = "component counts are far below 2^53")]
        let size = 1.5 * (n as f64).sqrt();
        2.0 * AGREED * size
    }
}
