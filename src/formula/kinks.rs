//! Where a formula changes its piece, found from its decisions.
//!
//! Contract: the decisions of value and slope are compared along a grid that is fine near 0 and reaches 10^6 on either side; between
//! two neighbours that differ, bisection closes in on each change to the last digits. Two changes between neighbours that undo each
//! other are not seen, unless 0 or a multiple of 1/16 lies between them.

use super::{Comparison, Formula, Operation, compare, larger, sign};

/// A formula has at most this many kinks that anybody looks at.
const MOST: usize = 64;

/// The kinks of an activation, or of a loss that depends on the difference of its inputs alone.
pub(super) fn of(formula: &Formula) -> Vec<f64> {
    if formula.operations.decisions() == 0 {
        return Vec::new();
    }
    let along = |t: f64| along(formula, t);
    let found = along(0.0);
    if formula.inputs == 1 {
        return found;
    }
    // What is a kink of the difference moves with the target.
    let moves = |t: f64| {
        let there = along(t);
        there.len() == found.len()
            && there.iter().zip(&found).all(|(k, at)| (k - t - at).abs() <= 1e-9 * (1.0 + at.abs()))
    };
    if [0.75, -1.25].into_iter().all(moves) { found } else { Vec::new() }
}

/// The places to look at, in order.
fn grid() -> Vec<f64> {
    let fine = (1..=256).map(|k| f64::from(k) / 16.0);
    let far = (1..=50).map(|k| 16.0 * 1.25f64.powi(k));
    let near = (1..=80).map(|k| 10f64.powf(-1.25 - f64::from(k) / 8.0));
    let positive: Vec<f64> = fine.chain(far).chain(near).collect();
    let mut all: Vec<f64> =
        positive.iter().map(|x| -x).chain([0.0]).chain(positive.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    all
}

fn along(formula: &Formula, t: f64) -> Vec<f64> {
    let decide = |x: f64| decisions(formula, &[x, t]);
    let mut found = Vec::new();
    // A kink of a difference is as far from the target as from 0.
    let grid: Vec<f64> = grid().into_iter().map(|x| x + t).collect();
    for pair in grid.windows(2) {
        close_in(&decide, pair[0], pair[1], &mut found);
    }
    found.dedup();
    found
}

/// Adds the changes in an interval, lowest first.
fn close_in(decide: &dyn Fn(f64) -> Vec<u32>, from: f64, to: f64, found: &mut Vec<f64>) {
    let end = decide(to);
    let mut from = from;
    let mut start = decide(from);
    while start != end && found.len() < MOST {
        let (mut low, mut high) = (from, to);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if decide(middle) == start { low = middle } else { high = middle }
        }
        let kink = simplest(low, high);
        // A decision that differs on the kink alone changes twice there.
        if found.last().is_none_or(|last| (last - kink).abs() > 1e-12 * (1.0 + kink.abs())) {
            found.push(kink);
        }
        (from, start) = (high, decide(high));
    }
}

/// The shortest number between two neighbours, or close to them.
fn simplest(low: f64, high: f64) -> f64 {
    let near = 4.0 * f64::EPSILON * low.abs().max(high.abs());
    let inside = |x: &f64| *x >= low - near - 1e-300 && *x <= high + near + 1e-300;
    let rounded = [1e3, 1e6, 1e9].map(|scale: f64| (high * scale).round() / scale);
    std::iter::once(0.0).chain(rounded).find(inside).unwrap_or(high)
}

/// Every decision of value and slope.
pub(super) fn decisions(formula: &Formula, at: &[f64]) -> Vec<u32> {
    let mut room = vec![0.0; formula.room()];
    formula.run(formula.room(), at, None, room.as_mut_slice());
    let of = |operation: &Operation| match *operation {
        Operation::Abs(a) | Operation::Sign(a) => Some(sign(room[a])),
        Operation::Max(a, b) => Some(larger(room[a], room[b])),
        Operation::Min(a, b) => Some(larger(-room[a], -room[b])),
        Operation::Compare(how, a, b) => {
            let strict = compare(how, room[a], room[b]);
            // Equality holds on its kink alone.
            let side = u32::from(how == Comparison::Eq && room[a] < room[b]);
            Some(strict + 4 * side)
        }
        _ => None,
    };
    formula.operations.0.iter().filter_map(of).collect()
}
