//! What a wrong derivative got wrong, in words.
//!
//! Contract: a hypothesis is a function of the input: the derivative with its sign changed, times a constant, or with one rule applied
//! wrongly at one operation (a [`Slip`]). The first one that gives what the spec gives at every sample of everyday size is named; if
//! none does, what the samples share is said.

use super::check::{Sample, derived};
use super::derive::{Slip, derivative};
use super::{Formula, Id};
use crate::text::number;

/// What was done, and at which operation of the value, if at one.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// A sentence without its full stop.
    pub words: String,
    /// The operation.
    pub at: Option<Id>,
}

impl Diagnosis {
    fn whole(words: impl Into<String>) -> Self {
        Self { words: words.into(), at: None }
    }
}

/// Samples that a hypothesis is held against.
const COMPARED: usize = 48;
/// Hypotheses about one operation are tried for values of at most so many.
const MOST: usize = 120;

fn close(a: f64, b: f64) -> bool {
    a.is_finite() && (a - b).abs() <= 1e-9 * (a.abs() + b.abs()) + 1e-13
}

/// The first hypothesis that explains the samples.
pub(super) fn diagnose(formula: &Formula, samples: &[Sample]) -> Option<Diagnosis> {
    let usual = |sample: &&Sample| {
        sample.given.is_finite() && sample.at.iter().all(|x| (1e-3..=4.0).contains(&x.abs()) || *x == 0.0)
    };
    let usual: Vec<&Sample> = samples.iter().filter(usual).collect();
    if !usual.iter().any(|sample| sample.wrong) {
        return not_everyday(samples);
    }
    let step = usual.len().div_ceil(COMPARED).max(1);
    let wrong = usual.iter().filter(|sample| sample.wrong).step_by(step);
    let chosen: Vec<&Sample> = usual.iter().step_by(step).chain(wrong).copied().collect();
    let all = |hypothesis: &dyn Fn(&Sample) -> f64| {
        chosen.iter().all(|sample| close(hypothesis(sample), sample.given))
    };
    if all(&|sample| -sample.right) {
        return Some(Diagnosis::whole("the sign is wrong: it is the negative of the derivative"));
    }
    if all(&|sample| formula.value_at(&sample.at)) {
        return Some(Diagnosis::whole("this is the value itself, not its derivative"));
    }
    let mirrored = |sample: &Sample| {
        let at: Vec<f64> = sample.at.iter().map(|x| -x).collect();
        derived(formula).slope_at(&at)
    };
    if let Some(slip) = slipped(formula, &chosen) {
        return Some(slip);
    }
    let ratio =
        chosen.iter().find(|sample| sample.right.abs() > 1e-3).map(|sample| sample.given / sample.right);
    if let Some(ratio) = ratio.filter(|ratio| all(&|sample| ratio * sample.right)) {
        return if ratio == 0.0 {
            Some(Diagnosis::whole("it is 0 everywhere"))
        } else {
            Some(Diagnosis::whole(format!("it is {} times the derivative: a constant factor", number(ratio))))
        };
    }
    let mut operations = formula.operations.clone();
    let first = derivative(&mut operations, formula.value, 0, None);
    let second = derivative(&mut operations, first, 0, None);
    let at = |id: Id| {
        let changed = Formula { operations: operations.clone(), slope: id, ..formula.clone() };
        move |sample: &Sample| changed.slope_at(&sample.at)
    };
    if all(&at(second)) {
        return Some(Diagnosis::whole("this is the second derivative"));
    }
    if formula.inputs == 2 {
        let by_target = derivative(&mut operations, formula.value, 1, None);
        let changed = Formula { operations, slope: by_target, ..formula.clone() };
        if all(&|sample| changed.slope_at(&sample.at)) {
            return Some(Diagnosis::whole("this is the derivative by the target, not by the prediction"));
        }
    }
    if all(&mirrored) {
        return Some(Diagnosis::whole(
            "the sign of the input is wrong: this is the derivative at its negative",
        ));
    }
    let offset = chosen[0].given - chosen[0].right;
    if all(&|sample| sample.right + offset) {
        return Some(Diagnosis::whole(format!(
            "it is the derivative plus {}: a term too many or too few",
            number(offset)
        )));
    }
    one_sided(formula, &usual)
}

/// One rule that is applied wrongly at one operation.
fn slipped(formula: &Formula, chosen: &[&Sample]) -> Option<Diagnosis> {
    if formula.own > MOST {
        return None;
    }
    for slip in Slip::ALL {
        for id in 0..formula.own {
            let mut operations = formula.operations.clone();
            let slope = derivative(&mut operations, formula.value, 0, Some((id, slip)));
            let changed = Formula { operations, slope, ..formula.clone() };
            if chosen.iter().all(|sample| close(changed.slope_at(&sample.at), sample.given)) {
                return Some(Diagnosis { words: slip.words().to_owned(), at: Some(id) });
            }
        }
    }
    None
}

/// Only some pieces are wrong.
fn one_sided(formula: &Formula, samples: &[&Sample]) -> Option<Diagnosis> {
    let kinks: Vec<f64> = if formula.kinks.is_empty() { vec![0.0] } else { formula.kinks.clone() };
    for kink in kinks {
        let above = |sample: &Sample| sample.at[0] - sample.at.get(1).copied().unwrap_or(0.0) > kink;
        for (side, other, want) in [("above", "below", true), ("below", "above", false)] {
            let all = |wrong: bool| {
                let mut those = samples.iter().filter(|sample| sample.wrong == wrong);
                those.all(|sample| above(sample) == (wrong == want))
            };
            if all(true) && all(false) && samples.iter().any(|sample| !sample.wrong) {
                let (of, kink) = (if formula.inputs == 2 { "differences" } else { "inputs" }, number(kink));
                return Some(Diagnosis::whole(format!(
                    "it is right for {of} {other} {kink} and wrong {side}"
                )));
            }
        }
    }
    None
}

/// Everyday inputs are fine.
fn not_everyday(samples: &[Sample]) -> Option<Diagnosis> {
    let wrong = || samples.iter().filter(|sample| sample.wrong);
    let least = wrong().map(|sample| sample.at[0].abs()).fold(f64::INFINITY, f64::min);
    if wrong().all(|sample| sample.given.is_nan() || sample.given.is_infinite()) {
        return Some(Diagnosis::whole(format!(
            "it over- or underflows on the way, from inputs of size {} on: write it in a form that does not, with `sigmoid` or `tanh`",
            number(least)
        )));
    }
    if least > 4.0 {
        return Some(Diagnosis::whole(format!("only inputs of size {} and more are wrong", number(least))));
    }
    None
}
