//! Whether a derivative that a spec gives is the derivative of the value that it gives.
//!
//! Contract: the slope is compared with the tangent of the value, from dual numbers, on a fixed set of inputs: dense around 0, out to
//! 10^6 and down to 10^-12 on either side, and close to both sides of every kink, but never on one. A difference counts where it
//! exceeds what rounding and the digits of literals explain (see `bound`, for the slope that is given and for the derived one, which
//! adds up the same terms as the tangent), in double-double arithmetic. Nothing else is tolerated: there is no threshold to
//! choose.

use super::diagnose::{self, Diagnosis};
use super::{Formula, Origin, bound, derive, kinks};
use crate::scalar::{Double, DualOf, Scalar};

/// One rounding of `f64`, with room for functions of other libraries.
const UNIT: f64 = 4.0 * f64::EPSILON;
/// One rounding of a double-double, likewise: its functions have at least 100 correct bits.
const DOUBLE_UNIT: f64 = 64.0 * f64::EPSILON * f64::EPSILON;
/// Operations in double-double arithmetic that a check may cost: all inputs of a formula that anyone writes.
const CONFIRMED: usize = 2_000_000;

/// Slope and tangent at one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The inputs.
    pub at: Vec<f64>,
    /// What the spec says.
    pub given: f64,
    /// The derivative of the value.
    pub right: f64,
    /// They differ by more than rounding and literals explain.
    pub wrong: bool,
}

impl Sample {
    /// How far both are apart, next to their size or 1.
    fn distance(&self) -> f64 {
        let distance = (self.given - self.right).abs() / (1.0 + self.right.abs());
        if distance.is_nan() { f64::INFINITY } else { distance }
    }
}

/// A slope that is not the derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// The input at which they differ most; one of everyday size, if there is one.
    pub worst: Sample,
    /// At how many inputs they differ.
    pub wrong: usize,
    /// How many inputs were compared.
    pub compared: usize,
    /// What was done, if that can be told.
    pub diagnosis: Option<Diagnosis>,
}

/// Compares the slope that a spec gives with the derivative; `None` if they agree, or if nothing is given.
#[must_use]
pub fn slope(formula: &Formula) -> Option<Deviation> {
    if formula.origin == Origin::Derived {
        return None;
    }
    let samples = samples(formula);
    let wrong: Vec<&Sample> = samples.iter().filter(|sample| sample.wrong).collect();
    // Where numbers can be read; the differences near 0 and far out are seldom others.
    let everyday = |sample: &&&Sample| sample.at[0].abs() >= 0.1 && sample.at.iter().all(|x| x.abs() <= 4.0);
    let most = |list: &mut dyn Iterator<Item = &&Sample>| {
        list.max_by(|a, b| a.distance().total_cmp(&b.distance())).map(|sample| (*sample).clone())
    };
    let worst = most(&mut wrong.iter().filter(everyday)).or_else(|| most(&mut wrong.iter()))?;
    let diagnosis = match formula.origin {
        Origin::Given => diagnose::diagnose(formula, &samples),
        Origin::Derived | Origin::Surrogate => None,
    };
    Some(Deviation { worst, wrong: wrong.len(), compared: samples.len(), diagnosis })
}

/// Slope and derivative wherever value and derivative are finite.
fn samples(formula: &Formula) -> Vec<Sample> {
    let derived = derived(formula);
    let mut left = CONFIRMED / derived.room();
    let mut samples = Vec::new();
    for at in inputs(formula) {
        let Some((given, right, bound)) = both::<f64>(formula, &derived, &at, UNIT) else { continue };
        let fine = (given - right).abs() <= bound;
        let mut sample = Sample { at, given, right, wrong: false };
        if !fine && left > 0 {
            left -= 1;
            let Some((given, right, bound)) = both::<Double>(formula, &derived, &sample.at, DOUBLE_UNIT)
            else {
                continue;
            };
            let apart = (given - right).primal().abs();
            // Below the normal numbers double-doubles have lost digits, too.
            sample.wrong = apart > bound.max(f64::MIN_POSITIVE) || apart.is_nan();
            (sample.given, sample.right) = (given.primal(), right.primal());
        }
        samples.push(sample);
    }
    samples
}

/// The same function with its slope derived.
pub(super) fn derived(formula: &Formula) -> Formula {
    let mut derived = formula.clone();
    derived.slope = derive::derivative(&mut derived.operations, formula.value, 0, None);
    derived.origin = Origin::Derived;
    derived
}

/// The slope, the tangent, and what rounding may make of their difference; `None` where value or tangent is not finite.
fn both<T: Scalar>(formula: &Formula, derived: &Formula, at: &[f64], unit: f64) -> Option<(T, T, f64)> {
    let moved: Vec<DualOf<T>> = at
        .iter()
        .enumerate()
        .map(|(i, x)| DualOf { value: T::constant(*x), tangent: T::constant(f64::from(u8::from(i == 0))) })
        .collect();
    let mut room = vec![DualOf::<T>::constant(0.0); formula.room()];
    formula.run(formula.own, &moved, None, room.as_mut_slice());
    let DualOf { value, tangent: right } = room[formula.value];
    if !value.primal().is_finite() || !right.primal().is_finite() {
        return None;
    }
    let plain: Vec<T> = at.iter().map(|x| T::constant(*x)).collect();
    // The derived operations stand behind those of the formula, so that one run gives both slopes.
    let mut room = vec![T::constant(0.0); derived.room()];
    derived.run(derived.room(), &plain, None, room.as_mut_slice());
    let errors = bound::errors(derived, &room, unit);
    let given = room[formula.slope];
    let rounding = errors[formula.slope] + errors[derived.slope];
    let bound = 2.0 * rounding + 16.0 * unit * right.primal().abs();
    // A bound that is no number bounds nothing, but then neither does the slope count as wrong for it, unless it is none itself.
    let bound = if bound.is_nan() && given.primal().is_finite() { f64::INFINITY } else { bound };
    Some((given, right, bound))
}

/// The inputs that are compared.
fn inputs(formula: &Formula) -> Vec<Vec<f64>> {
    let dense = (-480..=480).map(|k| f64::from(k) / 59.0 + 1e-3 / 7.0);
    let tiny = (0..=24).map(|k| 10f64.powf(-12.0 + f64::from(k) / 2.0) * 1.1);
    let large = (0..=20).map(|k| 10f64.powf(1.0 + f64::from(k) / 4.0) * 1.1);
    let sizes: Vec<f64> = tiny.chain(large).collect();
    let mut places: Vec<f64> = dense.chain(sizes.iter().flat_map(|x| [-x, *x])).collect();
    for kink in formula.kinks() {
        let steps = [1e-8, 1e-6, 1e-4, 1e-2].map(|step| step * (1.0 + kink.abs()));
        places.extend(steps.iter().flat_map(|step| [kink - step, kink + step]));
    }
    let targets: &[f64] = if formula.inputs == 2 { &[0.0, 1.0, -0.7, 2.5, 0.3, -30.0] } else { &[0.0] };
    let mut all = Vec::new();
    for (i, &t) in targets.iter().enumerate() {
        // For a loss, every target meets its share of the places, around it and around 0.
        for &x in places.iter().skip(i).step_by(if i == 0 { 1 } else { 3 }) {
            let mut shifted = vec![x + t];
            if t != 0.0 {
                shifted.push(x);
            }
            for p in shifted {
                let at = if formula.inputs == 2 { vec![p, t] } else { vec![p] };
                if !on_a_kink(formula, &at) {
                    all.push(at);
                }
            }
        }
    }
    all
}

/// Whether a decision changes so close to an input that rounding could take it otherwise.
fn on_a_kink(formula: &Formula, at: &[f64]) -> bool {
    let step = 1e-12 * at[0].abs().max(1e-6);
    let moved = |by: f64| {
        let mut at = at.to_vec();
        at[0] += by;
        kinks::decisions(formula, &at)
    };
    let here = kinks::decisions(formula, at);
    here != moved(step) || here != moved(-step)
}
