//! What was done to a gradient, in words.
//!
//! Contract: each pattern says exactly which numbers it would give, and is named only if the gradient is those numbers up to the tolerance.
//! The narrow patterns come first; a free factor, which fits more, comes last.

mod places;

use crate::text::number;
use places::{lost, rearranged};

/// A wrong gradient with everything that it can be compared with.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The wrong gradient.
    pub given: &'a [f64],
    /// The right one, penalties included.
    pub truth: &'a [f64],
    /// What the right one is called: `ours`, `the derivative`.
    pub name: &'static str,
    /// The part of the right one that comes from the penalties; empty if there is none.
    pub penalty: &'a [f64],
    /// The tensor itself; empty for an input.
    pub weights: &'a [f64],
    /// The shape.
    pub dims: &'a [usize],
    /// Rows of the batch.
    pub rows: usize,
    /// What known mistakes elsewhere in the net would make of it, with their names.
    pub alternatives: &'a [(&'a str, &'a [f64])],
    /// The relative error up to which two gradients are the same.
    pub tolerance: f64,
}

/// Names the pattern of a wrong gradient.
#[must_use]
pub fn diagnose(case: &Case<'_>) -> Option<String> {
    if case.given.iter().all(|&g| g == 0.0) {
        return Some("it is zero: the tensor is detached, or its gradient is never written".to_owned());
    }
    named(case).or_else(|| {
        // What was done to the part from the data alone, before the penalties were added.
        let data = |x: &[f64]| -> Vec<f64> { x.iter().zip(case.penalty).map(|(x, p)| x - p).collect() };
        let (given, truth) = (data(case.given), data(case.truth));
        let bare = Case { given: &given, truth: &truth, penalty: &[], alternatives: &[], ..*case };
        let why = if case.penalty.iter().all(|&p| p == 0.0) { None } else { named(&bare) };
        why.map(|why| format!("its part from the data: {why}"))
    })
}

/// The first pattern that fits.
fn named(case: &Case<'_>) -> Option<String> {
    let patterns = [factor, penalty, rearranged, lost, elsewhere, added, offset, multiple, rounded];
    patterns.into_iter().find_map(|pattern| pattern(case))
}

/// Names the pattern of a loss that differs: `data` and `penalty` add up to ours.
#[must_use]
pub fn diagnose_loss(theirs: f64, data: f64, penalty: f64, rows: usize, tolerance: f64) -> Option<String> {
    let is = |x: f64| (theirs - x).abs() <= tolerance * (theirs.abs() + x.abs());
    if penalty != 0.0 {
        for (c, word) in [(0.0, "missing"), (0.5, "halved"), (2.0, "doubled")] {
            if is(data + c * penalty) {
                return Some(format!("the penalty term, {}, is {word}", number(penalty)));
            }
        }
    }
    factors(rows).into_iter().find_map(|(c, why)| {
        let whole = is(c * (data + penalty));
        let what = if whole { "it" } else { "its data term" };
        (whole || is(c * data + penalty) || is(c * data))
            .then(|| format!("{what} is {} times ours: {why}", number(c)))
    })
}

/// The factors that have a name.
#[expect(clippy::cast_precision_loss, reason = "rows of a batch")]
fn factors(rows: usize) -> Vec<(f64, String)> {
    let n = rows as f64;
    let mut factors = vec![
        (-1.0, "the sign is wrong".to_owned()),
        (2.0, "a factor of 2 too much".to_owned()),
        (0.5, "a factor of 2 is missing".to_owned()),
    ];
    if rows > 2 {
        factors.push((n, format!("it is not divided by the {rows} rows of the batch")));
        factors.push((1.0 / n, format!("it is divided by the {rows} rows of the batch twice")));
        factors.push((n / (n - 1.0), format!("it is divided by {} in place of {rows} rows", rows - 1)));
    }
    factors
}

fn factor(case: &Case<'_>) -> Option<String> {
    let Case { truth, name, penalty, rows, .. } = *case;
    let data: Vec<f64> = truth.iter().enumerate().map(|(i, g)| g - penalty.get(i).unwrap_or(&0.0)).collect();
    factors(rows).into_iter().find_map(|(c, why)| {
        if case.is(&scaled(truth, c)) {
            return Some(format!("it is {} times {name}: {why}", number(c)));
        }
        let part: Vec<f64> =
            data.iter().enumerate().map(|(i, g)| c * g + penalty.get(i).unwrap_or(&0.0)).collect();
        case.is(&part).then(|| format!("its part from the data is {} times {name}: {why}", number(c)))
    })
}

fn penalty(case: &Case<'_>) -> Option<String> {
    let Case { truth, penalty, .. } = *case;
    if penalty.iter().all(|&x| x == 0.0) {
        return None;
    }
    [(-1.0, "missing"), (-0.5, "halved"), (1.0, "doubled")].into_iter().find_map(|(c, word)| {
        let with: Vec<f64> = truth.iter().zip(penalty).map(|(g, p)| g + c * p).collect();
        case.is(&with).then(|| format!("the penalty term is {word}: for l2 that is lambda * theta"))
    })
}

/// What a mistake elsewhere in the net makes of it.
fn elsewhere(case: &Case<'_>) -> Option<String> {
    case.alternatives.iter().find(|(_, other)| case.is(other)).map(|(why, _)| (*why).to_owned())
}

/// A multiple of the tensor itself in place of what belongs there.
fn added(case: &Case<'_>) -> Option<String> {
    let Case { given, truth, weights, .. } = *case;
    let size = dot(weights, weights);
    if weights.len() < 2 || size == 0.0 {
        return None;
    }
    let rest: Vec<f64> = given.iter().zip(truth).map(|(a, b)| a - b).collect();
    let c = dot(&rest, weights) / size;
    let with: Vec<f64> = truth.iter().zip(weights).map(|(g, w)| g + c * w).collect();
    // The difference itself must be that multiple, not only small beside the gradient.
    let left: f64 = rest.iter().zip(weights).map(|(r, w)| (r - c * w).powi(2)).sum();
    let fits = case.is(&with) && left <= 1e-4 * dot(&rest, &rest);
    let name = case.name;
    fits.then(|| {
        let why = if case.penalty.iter().any(|&x| x != 0.0) {
            "a penalty with another factor"
        } else {
            "a penalty where there is none"
        };
        format!("it is {name} plus {} * theta: {why}", number(c))
    })
}

/// The same error along a whole axis.
fn offset(case: &Case<'_>) -> Option<String> {
    let Case { given, truth, name, dims, .. } = *case;
    let rest: Vec<f64> = given.iter().zip(truth).map(|(a, b)| a - b).collect();
    let size = dot(&rest, &rest).sqrt();
    if size <= 10.0 * case.tolerance * dot(truth, truth).sqrt() {
        return None;
    }
    let mut inner = 1;
    for (axis, &length) in dims.iter().enumerate().rev() {
        let first = |i: usize| rest[i - i / inner % length * inner];
        let off: f64 = rest.iter().enumerate().map(|(i, x)| (x - first(i)).powi(2)).sum();
        if length > 1 && off.sqrt() <= 1e-4 * size {
            return Some(format!(
                "it differs from {name} by the same number along the whole axis {axis}: a mean or a sum over it is missing"
            ));
        }
        inner *= length;
    }
    None
}

/// A free factor.
fn multiple(case: &Case<'_>) -> Option<String> {
    let Case { given, truth, name, .. } = *case;
    let c = dot(given, truth) / dot(truth, truth);
    // One number is a multiple of every other one; a factor that is 1 within the tolerance names nothing: the rest is noise.
    let clear = (c - 1.0).abs() > 10.0 * case.tolerance;
    if !clear || given.len() < 2 || !case.is(&scaled(truth, c)) {
        return None;
    }
    // The names are those of the next integer, where the factor is one within the tolerance.
    let near = |x: f64| (x - x.round()).abs() <= 10.0 * case.tolerance * x && x.round() > 1.0;
    let why = if near(c) {
        format!("a sum over {} in place of a mean", number(c.round()))
    } else if near(1.0 / c) {
        format!("a mean over {} in place of a sum", number((1.0 / c).round()))
    } else if c > 0.0 && (near(c * c) || near(1.0 / (c * c))) {
        format!(
            "the root of {}: a scale such as 1/sqrt(d) is missing or there twice",
            number((c * c).max(1.0 / (c * c)).round())
        )
    } else {
        "a constant factor".to_owned()
    };
    Some(format!("it is {} times {name}: {why}", number(c)))
}

/// An error of the size of single precision in a gradient that is known better.
fn rounded(case: &Case<'_>) -> Option<String> {
    let Case { given, truth, tolerance, penalty, .. } = *case;
    let off: f64 = given.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum();
    // Beside the part from the data: a penalty has no part in a sum over samples.
    let data: Vec<f64> = truth.iter().enumerate().map(|(i, g)| g - penalty.get(i).unwrap_or(&0.0)).collect();
    let relative = (off / dot(&data, &data)).sqrt();
    // 2^-24 is 6e-8; sums of single precision lose a digit or two more.
    if tolerance >= 1e-8 || given.len() < 2 || !(3e-9..3e-6).contains(&relative) {
        return None;
    }
    let relative = number(relative);
    #[expect(clippy::cast_possible_truncation, reason = "whether nothing is lost by it")]
    let single = |(i, &g): (usize, &f64)| {
        let data = g - penalty.get(i).unwrap_or(&0.0);
        (f64::from(data as f32) - data).abs() <= 4.0 * f64::EPSILON * g.abs()
    };
    Some(if given.iter().enumerate().all(single) {
        format!(
            "it is off by {relative} of its size, and every component is a number of f32: a sum in single precision"
        )
    } else {
        format!(
            "it is off by {relative} of its size: a sum in single precision, or a small constant (an epsilon, n for n - 1) that differs"
        )
    })
}

impl Case<'_> {
    /// Whether the gradient is these numbers.
    fn is(&self, numbers: &[f64]) -> bool {
        let off: f64 = self.given.iter().zip(numbers).map(|(a, b)| (a - b).powi(2)).sum();
        let size = dot(self.given, self.given).sqrt() + dot(numbers, numbers).sqrt();
        off.sqrt() <= self.tolerance * size
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn scaled(x: &[f64], c: f64) -> Vec<f64> {
    x.iter().map(|x| c * x).collect()
}
