//! The order of the rows in a batch does not matter.
//!
//! ## What it tests
//!
//! The rows of a batch in reverse order give the predictions in reverse order and the same loss: in evaluation mode, and, unless
//! the model draws masks by position, in training mode. A reshape that mixes rows, or a transposition too many, breaks it.
//!
//! ## Tolerance
//!
//! Reversing the rows changes at most the order of summation. A sum of k terms errs by at most k u relative to the sum of
//! magnitudes (u = 2^-53; Higham 2002, eq. 4.4); over n nodes with sums of at most k terms, and the batch for statistics over rows, the
//! predictions differ by at most 2 n (k + B) u times their largest magnitude, times what the net makes of a difference: that is
//! measured, with inputs that differ by a part in 10^9, and a factor of 100 is allowed besides for what arises behind the input. Deep
//! stacks of batch norms amplify rounding by 10^8; a row that is mixed with another differs by its whole size.

use super::{Case, Subject, draw, pass};
use crate::graph::Source;
use crate::inits::standard_normal;
use crate::ops::ModeEffect;
use crate::tensor::{Draws, Mode, stream};

/// How much inputs are moved, relative to their size, to see what the net makes of it.
const NUDGE: f64 = 1e-9;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    (subject.samples.rows() < 2).then(|| "there is one row only".to_owned())
}

pub fn test(subject: Subject<'_>, case: Case) -> Result<(), String> {
    let graph = subject.runnable;
    let case = Case { batch: case.batch.max(2), ..case };
    let masked = graph.nodes.iter().any(|(_, node)| node.op.effect() == ModeEffect::TrainOnly);
    let (weights, feeds) = draw(subject, case);
    let mut reversed = feeds.clone();
    for feed in &mut reversed {
        let width = feed.data.len() / feed.dims[0].max(1);
        let rows: Vec<f64> = feed.data.chunks(width.max(1)).rev().flatten().copied().collect();
        feed.data = rows;
    }
    let Some(Source::Node(output)) = graph.prediction() else { return Ok(()) };
    let longest = graph.params.iter().map(|(_, param)| param.spec.fan_in).max().unwrap_or(1) + case.batch;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let rounding = 100.0 * (graph.nodes.len() * longest) as f64 * f64::EPSILON;
    let mut nudged = feeds.clone();
    for (feed, (_, declared)) in nudged.iter_mut().zip(graph.feeds.iter()).filter(|(_, (_, d))| !d.target) {
        let draws = Draws { seed: case.seed, stream: stream(&declared.name) };
        let steps = standard_normal(feed.data.len(), draws);
        feed.data.iter_mut().zip(steps).for_each(|(x, step)| *x *= 1.0 + NUDGE * step);
    }
    for mode in [Mode::Eval, Mode::Train] {
        if mode == Mode::Train && masked {
            continue;
        }
        let plain = pass(subject, &weights, &feeds, mode, case.seed);
        let other = pass(subject, &weights, &reversed, mode, case.seed);
        let (a, b) = (plain.session.value(output), other.session.value(output));
        let width = a.len() / case.batch;
        let most = a.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let moved = pass(subject, &weights, &nudged, mode, case.seed);
        let far = a.iter().zip(moved.session.value(output).iter());
        let far = far.map(|(x, y)| (x - y).abs()).fold(0.0f64, f64::max);
        let bound = rounding * (far / (NUDGE * most.max(f64::MIN_POSITIVE))).max(1.0);
        for row in 0..case.batch {
            for i in 0..width {
                let (x, y) = (a.at(row * width + i), b.at((case.batch - 1 - row) * width + i));
                if (x - y).abs() > bound * most {
                    let at = format!("row {row}, element {i} of `{}`", graph.nodes[output].path);
                    return Err(format!("{at} is {x}, and {y} with the rows reversed ({mode} mode)"));
                }
            }
        }
        if (plain.loss - other.loss).abs() > bound * plain.loss.abs().max(most) {
            return Err(format!(
                "the loss is {}, and {} with the rows reversed ({mode} mode)",
                plain.loss, other.loss
            ));
        }
    }
    Ok(())
}
