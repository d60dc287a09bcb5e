//! How far rounding can move the result of a formula: a running error bound.
//!
//! Contract: beside each result stands a bound of its error to first order, carried through every operation: errors of operands
//! times the operation's slopes, plus `unit` times the result (Higham 2002, section 3.3). A literal of seven or more digits counts
//! as rounded in its last one, as `0.7978845608` is that of sqrt(2/pi): it may be off by half of a unit there.

use super::{Formula, Operation};
use crate::scalar::{DualOf, Scalar};

/// Literals with so many significant digits count as rounded.
const ROUNDED_DIGITS: usize = 7;
/// Roundings of an elementary function, generously.
const ELEMENTARY: f64 = 16.0;

/// What a literal may be off by.
fn literal(x: f64) -> f64 {
    let text = format!("{:e}", x.abs());
    let Some((digits, exponent)) = text.split_once('e') else { return 0.0 };
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let last = exponent + 1 - i32::try_from(count).unwrap_or(0);
    if count < ROUNDED_DIGITS { 0.0 } else { 0.5 * 10f64.powi(last) }
}

/// The bound of the error of every operation, given their results; `unit` is the relative error of one rounding of the scalar.
pub(super) fn errors<T: Scalar>(formula: &Formula, results: &[T], unit: f64) -> Vec<f64> {
    let mut errors: Vec<f64> = Vec::with_capacity(results.len());
    for (id, operation) in formula.operations.0.iter().enumerate() {
        let size = |id: usize| results[id].primal().abs();
        let own = size(id);
        let error = match *operation {
            Operation::Input(_) | Operation::Setting(_) => 0.0,
            Operation::Constant(x) => literal(x),
            Operation::TwoOverSqrtPi => unit * own,
            Operation::Add(a, b) | Operation::Sub(a, b) => errors[a] + errors[b] + unit * own,
            Operation::Mul(a, b) => size(a) * errors[b] + size(b) * errors[a] + unit * own,
            Operation::Div(a, b) => (errors[a] + own * errors[b]) / size(b) + unit * own,
            Operation::Neg(a) | Operation::Abs(a) => errors[a],
            Operation::Power(a, exponent) => {
                let slope = exponent.abs() * size(a).powf(exponent - 1.0);
                slope * errors[a] + ELEMENTARY * (1.0 + exponent.abs()) * unit * own
            }
            Operation::Apply(function, a) => {
                let moved = DualOf { value: results[a], tangent: T::constant(1.0) };
                function.of(moved).tangent.primal().abs() * errors[a] + ELEMENTARY * unit * own
            }
            Operation::Sign(_) | Operation::Compare(..) => 0.0,
            Operation::Max(a, b) | Operation::Min(a, b) => errors[a].max(errors[b]),
            Operation::Select(_, a, b) => {
                let chosen = results[id].primal();
                match (results[a].primal() == chosen, results[b].primal() == chosen) {
                    (true, false) => errors[a],
                    (false, true) => errors[b],
                    _ => errors[a].max(errors[b]),
                }
            }
        };
        errors.push(error);
    }
    errors
}
