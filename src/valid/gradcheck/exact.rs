//! The last word on a doubtful tensor: gradient and tangent in double-double arithmetic.
//!
//! Differences and tangents in `f64` err by rounding, and where a gradient is a small rest of large terms (a loss close to zero, a
//! saturated softmax) no fixed tolerance tells rounding from a wrong rule. The kernels and the reverse rules are generic over the
//! scalar, so both run again with about 106 bits: rounding is then below 1e-30, and what still differs is the rule.

use super::sweep::Place;
use crate::exec::{Gradients, Keep, Reverse, Session, Tapes};
use crate::graph::{Handle, ParamTensor};
use crate::inits;
use crate::scalar::{Double, DoubleDual, Dual, Scalar};
use crate::tensor::{Draws, View, stream};

/// Gradient and tangent agree, too, if the mismatch in double-double is less than this part of either of them in `f64`: a mismatch of
/// the rule is the same in both arithmetics, one of rounding falls by 2^53. It is what the tangent may differ by.
const VANISHED: f64 = super::TANGENT;
/// Gradient and tangent agree if they differ by less than this part of their size. Cancellation may cost up to 17 of the 31
/// digits; constants of kernels and rules are `f64` and may differ in their last bit.
const AGREED: f64 = 1e-13;

/// The gradient of every tensor in double-double.
pub(super) struct Exact {
    gradients: Gradients,
}

impl Exact {
    /// Runs the reverse rules.
    pub fn new(place: &Place<'_, '_>, reverse: &impl Reverse) -> Self {
        let Place { graph, objective, settings, feeds, weights, .. } = place;
        let widen =
            |data: &[f64]| -> Vec<f64> { data.iter().copied().chain(vec![0.0; data.len()]).collect() };
        let params: Vec<Vec<f64>> = weights.params.iter().map(|tensor| widen(&tensor.data)).collect();
        let feeds: Vec<Vec<f64>> = feeds.iter().map(|feed| widen(&feed.data)).collect();
        let point = place.point_at(&params, &feeds);
        let batch = place.batch();
        let mut session: Session<'_, Double> = Session::new(*graph, batch, Keep::All);
        let mut gradients = Gradients::zeros::<Double>(graph, batch);
        session.forward(&point, *settings, Tapes::Live);
        session.backward(objective, &point, *settings, reverse, &mut gradients);
        Self { gradients }
    }

    /// Whether the gradients of some tensors agree with the tangent along one random direction of all of them.
    pub fn agrees(
        &self,
        place: &Place<'_, '_>,
        rounded: &Gradients,
        tensors: &[Handle<ParamTensor>],
    ) -> bool {
        let Place { graph, settings, feeds, weights, .. } = place;
        let seed = settings.seed;
        let mut product = Double::constant(0.0);
        let (mut size, mut before) = (0.0f64, 0.0f64);
        let mut params: Vec<Vec<f64>> = Vec::with_capacity(weights.params.len());
        for (handle, tensor) in graph.params.handles().zip(&weights.params) {
            let n = tensor.data.len();
            let mut planes = vec![0.0; DoubleDual::PLANES * n];
            planes[..n].copy_from_slice(&tensor.data);
            if tensors.contains(&handle) {
                let name = stream(&format!("exact/{}", graph.params[handle].path));
                let direction = inits::standard_normal(n, Draws { seed, stream: name });
                let gradient = View::<Double>::new(&self.gradients.params[handle.index()]);
                for (g, v) in gradient.iter().zip(&direction) {
                    product += g * *v;
                    size += (g.primal() * v).powi(2);
                }
                for (g, v) in rounded.params[handle.index()].iter().zip(&direction) {
                    before += (g * v).powi(2);
                }
                // The planes of the tangent stand behind those of the value.
                planes[2 * n..3 * n].copy_from_slice(&direction);
            }
            params.push(planes);
        }
        let widen = |data: &[f64]| -> Vec<f64> {
            let mut planes = vec![0.0; DoubleDual::PLANES * data.len()];
            planes[..data.len()].copy_from_slice(data);
            planes
        };
        let feeds: Vec<Vec<f64>> = feeds.iter().map(|feed| widen(&feed.data)).collect();
        let tangent = place.loss_at::<DoubleDual>(&params, &feeds).tangent;
        let scale = size.sqrt().max(tangent.primal().abs());
        let difference = (product - tangent).primal().abs();
        if difference <= AGREED * scale || difference <= VANISHED * before.sqrt() {
            return true;
        }
        // The gradient may be zero to the last bit where the tangent in `f64` is rounding.
        let halves = |planes: &[f64], n: usize| [&planes[..n], &planes[2 * n..3 * n]].concat();
        let plain: Vec<Vec<f64>> = params.iter().map(|planes| halves(planes, planes.len() / 4)).collect();
        let fed: Vec<Vec<f64>> = feeds.iter().map(|planes| halves(planes, planes.len() / 4)).collect();
        let rounded = place.loss_at::<Dual>(&plain, &fed).tangent;
        difference <= VANISHED * rounded.abs()
    }
}
