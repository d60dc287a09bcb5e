//! Equalised random directions: one wrong component among 10^8 is seen.
//!
//! A direction is `v_i = r_i m_i / S_i`, r_i a random sign, m_i uniform between 1/2 and 3/2, S_i the component's
//! [sensitivity](super::sensitivity). The tangent of the forward kernels along v must be `<g, v>`. In units of S all components weigh the
//! same: an error e_i of a single one moves `<g, v>` by at least |e_i| / (2 S_i).
//!
//! What rounding allows: each of the two numbers is a sum over the places s that derivatives pass through, with an error of about
//! `sqrt(k) u` of what passes there (a sum of k terms of random signs errs by sqrt(k / 2) u of its result). The tangent at s is `sum_i v_i dy_s/dw_i`, so that over
//! the random signs the mean square of all errors is `k u^2 sum_i v_i^2 S_i^2 = k u^2 sum_i m_i^2` on either side. [`SIGMA`] standard
//! deviations of the difference are allowed: `T = SIGMA u sqrt(2 k sum m^2)`, with k the longest sum of any kernel. Where a local derivative is itself
//! ill-conditioned rounding does more; such a tensor is asked again in double-double arithmetic and never failed by this bound alone.
//!
//! What it can see: with z the mismatch, an error of a lone component above `2 (T + z)` of its sensitivity is always rejected. Of any
//! pattern of errors whose largest is rho, a direction accepts with probability at most `(T + z) / rho`, because r m has a density of at most 1/2,
//! whatever the other terms are; [`COUNT`] directions accept with the product of these. The error bound is the rho for which that is
//! [`MISS`].
//!
//! Cost: tensors are asked one by one, eight directions in a pass of [`Lanes`], up to [`BUDGET`] operations; beyond, all of them together by one
//! pass a direction, which says the same of every tensor with the T of all components.

use super::ledger::length;
use super::sensitivity::Sensitivities;
use super::spread::numbers;
use super::sweep::Place;
use crate::exec::{Gradients, Keep, Session, Tapes};
use crate::graph::{Handle, ParamTensor, Runnable};
use crate::scalar::{Dual, Lanes, Scalar, Tangent, WIDTH};

/// Directions of each tensor.
pub(super) const COUNT: usize = 2;
/// Standard deviations of rounding that are allowed.
const SIGMA: f64 = 8.0;
/// The probability that an error as large as the bound is not seen.
pub(super) const MISS: f64 = 1e-6;
/// What the tensors may cost one by one, in multiplications and additions.
const BUDGET: f64 = 1e9;

/// What one direction says of some tensors.
#[derive(Clone, Copy, Debug)]
struct Answer {
    tangent: f64,
    product: f64,
    /// What rounding allows.
    allowed: f64,
    /// The root of the sum of m^2.
    size: f64,
}

impl Answer {
    fn mismatch(&self) -> f64 {
        (self.tangent - self.product).abs()
    }

    /// Whether the direction accepts a gradient with this product. What is not a number is not accepted.
    fn accepts(&self, product: f64) -> bool {
        (self.tangent - product).abs() <= self.allowed
    }
}

/// What the directions say of one tensor. Errors are in units of the components' sensitivities.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// Whether all directions accept the gradient.
    pub agrees: bool,
    /// The largest mismatch of a direction, as a part of the root sum of squares of its terms.
    pub mismatch: f64,
    /// The largest error of any component is below this, up to the probability [`MISS`].
    pub bound: f64,
    /// An error of a lone component of this size is always rejected.
    pub detectable: f64,
    /// Whether it was: the same test on the gradient with such an error planted.
    pub controlled: bool,
    /// Whether any direction moves the objective at all.
    pub moves: bool,
}

/// A direction of one tensor.
pub(super) fn direction(
    place: &Place<'_, '_>,
    of: &Sensitivities,
    param: Handle<ParamTensor>,
    k: usize,
) -> impl Iterator<Item = f64> {
    of.units(param).zip(factors(place, param, k)).map(|(unit, m)| m / unit)
}

/// The numbers r m of a direction.
fn factors(place: &Place<'_, '_>, param: Handle<ParamTensor>, k: usize) -> impl Iterator<Item = f64> + use<> {
    numbers(place.settings.seed, &format!("direction/{k}/{}", place.graph.params[param].path))
}

/// Asks every tensor.
pub(super) fn ask(place: &Place<'_, '_>, gradients: &Gradients, of: &Sensitivities) -> Vec<Evidence> {
    let handles: Vec<Handle<ParamTensor>> = place.graph.params.handles().collect();
    let apart: Vec<Vec<Handle<ParamTensor>>> = handles.iter().map(|handle| vec![*handle]).collect();
    let groups = if one_by_one(place.graph, place.batch()) { apart } else { vec![handles.clone()] };
    let tangents = if groups.len() > 1 { lanes(place, of, &groups) } else { whole(place, of, &groups) };
    let rounding = rounding(place);
    let mut evidence: Vec<Option<Evidence>> = vec![None; handles.len()];
    for (group, tangents) in groups.iter().zip(&tangents) {
        let answers: Vec<Answer> =
            (0..COUNT).map(|k| answer(place, gradients, of, group, k, tangents[k], rounding)).collect();
        for &param in group {
            evidence[param.index()] = Some(conclude(place, gradients, of, param, &answers));
        }
    }
    evidence.into_iter().flatten().collect()
}

/// What rounding does to a component, in units of its sensitivity, generously.
pub(super) fn rounding(place: &Place<'_, '_>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
    let longest = longest(place) as f64;
    SIGMA * 0.5 * f64::EPSILON * longest.sqrt()
}

/// The longest sum of any kernel.
fn longest(place: &Place<'_, '_>) -> usize {
    place.graph.nodes.iter().map(|(_, node)| length(place, node)).max().unwrap_or(1)
}

/// Whether the tensors are asked one by one.
pub(super) fn one_by_one(graph: Runnable<'_>, batch: usize) -> bool {
    let passes = (COUNT * graph.params.len()).div_ceil(WIDTH);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let operations = (passes * (1 + 2 * WIDTH)) as f64;
    operations * crate::valid::step_cost(&graph, batch) / 3.0 <= BUDGET
}

fn answer(
    place: &Place<'_, '_>,
    gradients: &Gradients,
    of: &Sensitivities,
    group: &[Handle<ParamTensor>],
    k: usize,
    tangent: f64,
    rounding: f64,
) -> Answer {
    let (mut product, mut squares) = (Pairwise::default(), 0.0);
    for &param in group {
        let (units, factors) = (of.units(param), factors(place, param, k));
        for ((g, unit), m) in gradients.params[param.index()].iter().zip(units).zip(factors) {
            product.add(g * (m / unit));
            squares += m * m;
        }
    }
    let allowed = rounding * (2.0 * squares).sqrt();
    Answer { tangent, product: product.sum(), allowed, size: squares.sqrt() }
}

/// A sum whose error grows with the logarithm of the number of terms: blocks, and their sums in pairs.
#[derive(Default)]
struct Pairwise {
    block: f64,
    count: usize,
    sums: Vec<(u32, f64)>,
}

impl Pairwise {
    const BLOCK: usize = 64;

    fn add(&mut self, x: f64) {
        self.block += x;
        self.count += 1;
        if self.count == Self::BLOCK {
            let (mut level, mut sum) = (0, std::mem::take(&mut self.block));
            self.count = 0;
            while self.sums.last().is_some_and(|(other, _)| *other == level) {
                sum += self.sums.pop().map_or(0.0, |(_, sum)| sum);
                level += 1;
            }
            self.sums.push((level, sum));
        }
    }

    fn sum(&self) -> f64 {
        self.sums.iter().rev().fold(self.block, |sum, (_, part)| sum + part)
    }
}

/// What the directions say, and the negative control.
fn conclude(
    place: &Place<'_, '_>,
    gradients: &Gradients,
    of: &Sensitivities,
    param: Handle<ParamTensor>,
    answers: &[Answer],
) -> Evidence {
    let reach = |answer: &Answer| answer.allowed + answer.mismatch();
    // A little more, so that rounding of the product does not decide.
    let detectable = 2.0 * (1.0 + 1e-6) * answers.iter().map(reach).fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "a few directions")]
    let bound = (answers.iter().map(reach).product::<f64>() / MISS).powf(1.0 / answers.len() as f64);
    let mismatch = |answer: &Answer| answer.mismatch() / answer.size.max(f64::MIN_POSITIVE);
    Evidence {
        agrees: answers.iter().all(|answer| answer.accepts(answer.product)),
        mismatch: answers.iter().map(mismatch).fold(0.0, f64::max),
        bound: bound.max(detectable),
        detectable,
        controlled: controlled(place, gradients, of, param, answers, detectable),
        moves: answers.iter().any(|answer| answer.tangent != 0.0),
    }
}

/// The negative control: the component that the directions weigh least is moved by the smallest detectable error, up and down, and the test
/// must reject both.
fn controlled(
    place: &Place<'_, '_>,
    gradients: &Gradients,
    of: &Sensitivities,
    param: Handle<ParamTensor>,
    answers: &[Answer],
    detectable: f64,
) -> bool {
    let weights = factors(place, param, 0).zip(factors(place, param, 1));
    let all = gradients.params[param.index()].iter().zip(of.units(param)).zip(weights);
    let weight = |[a, b]: [f64; 2]| a.abs().max(b.abs());
    let least = all.min_by(|(_, a), (_, b)| weight((*a).into()).total_cmp(&weight((*b).into())));
    let Some(((g, unit), factors)) = least else { return false };
    let factors: [f64; COUNT] = factors.into();
    [1.0, -1.0].iter().all(|side| {
        let planted = g + side * detectable * unit;
        let rejects =
            |(answer, m): (&Answer, f64)| !answer.accepts(answer.product + (planted - g) / unit * m);
        answers.iter().zip(factors).any(rejects)
    })
}

/// The tangents of the groups, each alone, along every direction: [`WIDTH`] of them in a pass.
fn lanes(
    place: &Place<'_, '_>,
    of: &Sensitivities,
    groups: &[Vec<Handle<ParamTensor>>],
) -> Vec<[f64; COUNT]> {
    let mut tangents = vec![[0.0; COUNT]; groups.len()];
    let all: Vec<(usize, usize)> =
        (0..groups.len()).flat_map(|at| (0..COUNT).map(move |k| (at, k))).collect();
    let mut session: Session<'_, Lanes> = Session::new(place.graph, place.batch(), Keep::Result);
    session.adopt(place.base);
    let feeds: Vec<Vec<f64>> = place.feeds.iter().map(|feed| widened::<Lanes>(&feed.data)).collect();
    for jobs in all.chunks(WIDTH) {
        let mut params: Vec<Vec<f64>> =
            place.weights.params.iter().map(|tensor| widened::<Lanes>(&tensor.data)).collect();
        for (lane, (group, k)) in jobs.iter().enumerate() {
            for &param in &groups[*group] {
                let planes = &mut params[param.index()];
                let n = planes.len() / Lanes::PLANES;
                write(&mut planes[(1 + lane) * n..(2 + lane) * n], direction(place, of, param, *k));
            }
        }
        let point = place.point_at(&params, &feeds);
        session.forward(&point, place.settings, Tapes::Replay);
        let loss = session.loss(place.objective, &point, place.settings);
        for (lane, (group, k)) in jobs.iter().enumerate() {
            tangents[*group][*k] = loss.tangent.along(lane);
        }
    }
    tangents
}

/// The same with one direction in a pass.
fn whole(
    place: &Place<'_, '_>,
    of: &Sensitivities,
    groups: &[Vec<Handle<ParamTensor>>],
) -> Vec<[f64; COUNT]> {
    let mut session: Session<'_, Dual> = Session::new(place.graph, place.batch(), Keep::Result);
    session.adopt(place.base);
    let feeds: Vec<Vec<f64>> = place.feeds.iter().map(|feed| widened::<Dual>(&feed.data)).collect();
    let mut params: Vec<Vec<f64>> =
        place.weights.params.iter().map(|tensor| widened::<Dual>(&tensor.data)).collect();
    let mut one = |group: &[Handle<ParamTensor>], k: usize| {
        for planes in &mut params {
            let n = planes.len() / Dual::PLANES;
            planes[n..].fill(0.0);
        }
        for &param in group {
            let planes = &mut params[param.index()];
            let n = planes.len() / Dual::PLANES;
            write(&mut planes[n..], direction(place, of, param, k));
        }
        let point = place.point_at(&params, &feeds);
        session.forward(&point, place.settings, Tapes::Replay);
        session.loss(place.objective, &point, place.settings).tangent
    };
    groups.iter().map(|group| std::array::from_fn(|k| one(group, k))).collect()
}

/// Values with room for their tangents, which are zero.
pub(super) fn widened<S: Scalar>(values: &[f64]) -> Vec<f64> {
    let mut planes = Vec::with_capacity(S::PLANES * values.len());
    planes.extend_from_slice(values);
    planes.resize(S::PLANES * values.len(), 0.0);
    planes
}

fn write(to: &mut [f64], from: impl Iterator<Item = f64>) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
}
