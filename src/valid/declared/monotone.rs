//! `monotone`: raising one input never lowers one prediction.
//!
//! ## What it tests
//!
//! `monotone(out[1], tenure)`: on up to 12 rows in use (evaluation mode), the named column of the data, as the net sees it behind its
//! transforms, runs through nine values from a quarter of its spread below the smallest of all rows to as much above the largest, everything
//! else held fixed; unit 1 of the node must not fall from one value to the next. An element of an input is `x[3]`, counted from 0 through the
//! row; a node with one unit needs no index.
//!
//! ## Tolerance
//!
//! A fall counts from 100 n k u times the largest magnitude of the unit on: two evaluations err by 2 n k u each in n nodes with sums
//! of at most k terms (u = 2^-53; Higham 2002, eq. 4.4). A unit that never moves with the input is SKIPPED: it could not have fallen.
//!
//! ## Example
//!
//! ```text
//! fc:  linear(16, init=uniform(0, 0.5))     # no weight is negative
//!      relu
//! out: linear(1, init=uniform(0, 0.5))
//! property { monotone(out, tenure) }
//! ```
//!
//! Weights of both signs are monotone in nothing: the property is for nets whose weights, or whose structure, make it true.
//!
//! ## References
//!
//! Sill 1998, "Monotonic networks".

use super::{Outcome, batch, in_use, rounding};
use crate::exec::Weights;
use crate::graph::{Feed, FeedKind, Handle, Node};
use crate::tensor::Tensor;
use crate::text::number;
use crate::valid::properties::Subject;

/// Values that the input runs through.
pub const GRID: usize = 9;

/// Why the law says nothing of a graph.
pub fn skip(subject: Subject<'_>, input: Handle<Feed>) -> Option<String> {
    let feed = &subject.graph.feeds[input];
    let ordered = matches!(feed.kind, FeedKind::Real | FeedKind::Unit | FeedKind::Byte);
    (!ordered).then(|| format!("`{}` holds tokens or classes, which have no order", feed.name))
}

/// Raises the input on every row of one initialisation.
pub fn test(
    subject: Subject<'_>,
    (output, unit): (Handle<Node>, usize),
    (input, element): (Handle<Feed>, usize),
    seed: u64,
    rows: usize,
) -> Result<Outcome, String> {
    let grid = grid(subject, input, element);
    let weights = Weights::draw(&subject.runnable, seed);
    // Row r at the value g of the grid is row r * GRID + g of one large batch.
    let mut feeds: Vec<Tensor> = batch(subject, seed, rows)
        .iter()
        .map(|feed| {
            let width = feed.data.len() / rows.max(1);
            let repeated = |row: usize| feed.data[row * width..(row + 1) * width].repeat(GRID);
            let mut dims = feed.dims.clone();
            dims[0] = rows * GRID;
            Tensor::new(dims, (0..rows).flat_map(repeated).collect())
        })
        .collect();
    let raised = &mut feeds[input.index()].data;
    let width = raised.len() / (rows * GRID).max(1);
    for (at, x) in raised.iter_mut().skip(element).step_by(width).enumerate() {
        *x = grid[at % GRID];
    }
    let session = in_use(subject, &weights, &feeds, seed);
    let value = session.value(output).plane(0);
    let width = value.len() / (rows * GRID).max(1);
    let answers: Vec<f64> = value.iter().skip(unit).step_by(width).copied().collect();
    let most = answers.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    if answers.iter().any(|x| !x.is_finite()) {
        return Ok(Outcome::Unsure("the prediction is not finite".to_owned()));
    }
    let allowed = 2.0 * rounding(subject.graph) * most;
    let (mut deepest, mut highest, mut place) = (0.0f64, 0.0f64, (0, 0));
    for (row, curve) in answers.chunks(GRID).enumerate() {
        for (at, pair) in curve.windows(2).enumerate() {
            if pair[0] - pair[1] > deepest {
                (deepest, place) = (pair[0] - pair[1], (row, at));
            }
            highest = highest.max(pair[1] - pair[0]);
        }
    }
    if deepest > allowed {
        let (row, at) = place;
        let (before, behind) = (answers[row * GRID + at], answers[row * GRID + at + 1]);
        return Err(format!(
            "row {row} falls from {} to {} as the input rises from {} to {}; rounding explains {}",
            number(before),
            number(behind),
            number(grid[at]),
            number(grid[at + 1]),
            number(allowed)
        ));
    }
    if highest <= allowed {
        return Ok(Outcome::Moot("it never moves with that input, so that it could not fall"));
    }
    Ok(Outcome::Held(deepest))
}

/// The values of the input: over all rows, and a quarter of their spread beyond on either side.
fn grid(subject: Subject<'_>, input: Handle<Feed>, element: usize) -> [f64; GRID] {
    let all = &subject.samples.batch(0, subject.samples.rows())[input.index()];
    let width = (all.data.len() / subject.samples.rows().max(1)).max(1);
    let column = || all.data.iter().skip(element).step_by(width).copied();
    let (lo, hi) = (column().fold(f64::INFINITY, f64::min), column().fold(f64::NEG_INFINITY, f64::max));
    let margin = if hi > lo { (hi - lo) / 4.0 } else { 1.0 };
    let (from, to) = (lo - margin, hi + margin);
    #[expect(clippy::cast_precision_loss, reason = "nine values")]
    std::array::from_fn(|i| from + (to - from) * i as f64 / (GRID - 1) as f64)
}
