//! `rms`, `mean`, `max_abs`: the size of a value at initialisation.
//!
//! ## What it tests
//!
//! Of a node, an input or a trainable tensor (`fc1.weight`), over all of its elements and all rows of the batch together: the root of the
//! mean square, the mean, the largest magnitude. 32 rows (of the training split, or drawn) in training mode, so that a norm uses
//! the statistics of the batch and dropout drops.
//!
//! ## Example
//!
//! ```text
//! property { rms(fc2.tanh) in 0.3..1.2 }
//! property { max_abs(out) < 20 }
//! ```
//!
//! ## What to do
//!
//! The scale of a value behind layers of fan-in n and weights of variance s^2 is sqrt(n s^2) times that of what they take (Glorot and Bengio
//! 2010; He et al. 2015): `wellposed show` prints the predicted scale of every node.
//!
//! `mean` and `max_abs` scatter more from seed to seed than `rms` does: by the root of what the batch has of independent rows, and
//! by the tail of the distribution.

use crate::exec::{Point, Session};
use crate::graph::Place;

/// The elements of a value or tensor after a run.
pub fn data<'v>(session: &'v Session<'_, f64>, point: &'v Point<'_>, place: Place) -> &'v [f64] {
    match place {
        Place::Value(source) => session.input(source, point).plane(0),
        Place::Tensor(tensor) => point.params[tensor.index()],
    }
}

/// The root of the mean square; NaN if an element is not finite.
pub fn rms(data: &[f64]) -> f64 {
    // Relative to the largest element, so that squares do not overflow.
    let most = max_abs(data);
    if most == 0.0 || !most.is_finite() {
        return most;
    }
    most * mean_of(data.iter().map(|x| (x / most).powi(2)), data.len()).sqrt()
}

/// The mean; NaN if an element is not finite.
pub fn mean(data: &[f64]) -> f64 {
    let most = max_abs(data);
    if most.is_finite() { mean_of(data.iter().copied(), data.len()) } else { most }
}

/// The largest magnitude; NaN if an element is not finite.
pub fn max_abs(data: &[f64]) -> f64 {
    if data.iter().any(|x| !x.is_finite()) {
        return f64::NAN;
    }
    data.iter().fold(0.0f64, |most, x| most.max(x.abs()))
}

#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
fn mean_of(terms: impl Iterator<Item = f64>, n: usize) -> f64 {
    terms.sum::<f64>() / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::{max_abs, mean, rms};

    #[test]
    fn sizes_are_those_of_the_definition() {
        let data = [3.0, -4.0, 0.0, 0.0];
        // sqrt((9 + 16) / 4), (3 - 4) / 4; exact but for the division by the largest.
        assert!((rms(&data) - 2.5).abs() < 1e-15);
        assert_eq!((mean(&data), max_abs(&data)), (-0.25, 4.0));
        assert!((rms(&[1e200, 1e200]) - 1e200).abs() < 1e185, "squares overflow, the result does not");
        assert!(rms(&[1.0, f64::NAN]).is_nan() && mean(&[f64::INFINITY]).is_nan());
    }
}
