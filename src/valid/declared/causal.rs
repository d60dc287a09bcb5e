//! `causal`: no position of a node depends on later positions of the inputs.
//!
//! ## What it tests
//!
//! Positions are axis 1, as in `[B,T]` tokens and `[B,T,D]` features. On up to 12 rows in use (evaluation mode), for positions t spread over the
//! sequence: every input with a position axis of the node's length takes the values of another row from t + 1 on, and the node must
//! be the same up to t, bit for bit: the same kernels meet the same numbers there, and what is masked has the weight 0.
//!
//! Skipped where the node has no position axis, where there is one position or one row, and where nothing of the node
//! changes at all, so that it could not have failed.
//!
//! ## Example
//!
//! ```text
//! property { causal(dec) }
//! ```
//!
//! A decoder that sees the future has a low loss in training and writes nonsense when it has to go on by itself.

use super::{Outcome, batch, distance, in_use};
use crate::exec::Weights;
use crate::graph::{Handle, Node};
use crate::text::number;
use crate::valid::properties::Subject;

/// So many positions are looked at, the first and the last but one among them.
const CUTS: usize = 8;

/// The number of positions of a node.
fn positions(subject: Subject<'_>, node: Handle<Node>) -> Option<usize> {
    let sample = subject.graph.nodes[node].shape.as_ref()?.sample();
    (sample.len() <= 2).then(|| sample.first().copied())?
}

/// Why the law says nothing of a graph.
pub fn skip(subject: Subject<'_>, node: Handle<Node>) -> Option<String> {
    let graph = subject.graph;
    let path = &graph.nodes[node].path;
    let Some(length) = positions(subject, node) else {
        return Some(format!("`{path}` has no position axis: it is neither [B,T] nor [B,T,D]"));
    };
    if length < 2 {
        return Some(format!("`{path}` has one position"));
    }
    if subject.samples.rows() < 2 {
        return Some("there is one row only".to_owned());
    }
    let with = graph.feeds.iter().filter(|(_, feed)| {
        let sample = feed.shape.as_ref().map_or(&[][..], |shape| shape.sample());
        !feed.target && matches!(sample, [first] | [first, _] if *first == length)
    });
    (with.count() == 0).then(|| format!("no input has the {length} positions of `{path}`"))
}

/// Changes the future of every row of one initialisation.
pub fn test(subject: Subject<'_>, node: Handle<Node>, seed: u64, rows: usize) -> Result<Outcome, String> {
    let Some(length) = positions(subject, node) else {
        return Ok(Outcome::Moot("it has no position axis"));
    };
    let weights = Weights::draw(&subject.runnable, seed);
    let feeds = batch(subject, seed, rows);
    // The row behind in the samples, so that one row has another, too.
    let others = batch(subject, seed.wrapping_add(1), rows);
    let plain = in_use(subject, &weights, &feeds, seed);
    let value = plain.value(node).plane(0);
    let width = value.len() / rows.max(1);
    let mut changes = false;
    for cut in cuts(length) {
        let mut changed = feeds.clone();
        for (i, (_, declared)) in subject.graph.feeds.iter().enumerate() {
            let feed = &mut changed[i];
            if declared.target || feed.dims.len() > 3 || feed.dims.get(1) != Some(&length) {
                continue;
            }
            let (whole, one) = (feed.data.len() / rows.max(1), feed.data.len() / (rows * length).max(1));
            for row in 0..rows {
                let future = row * whole + (cut + 1) * one..(row + 1) * whole;
                feed.data[future.clone()].copy_from_slice(&others[i].data[future]);
            }
        }
        let session = in_use(subject, &weights, &changed, seed);
        let other = session.value(node).plane(0);
        let past = width / length * (cut + 1);
        for row in 0..rows {
            let (from, to) = (row * width, row * width + past);
            // A comparison of bits: NaN equals itself.
            let differs = |(x, y): (&f64, &f64)| x.to_bits() != y.to_bits();
            if let Some(at) = value[from..to].iter().zip(&other[from..to]).position(differs) {
                let far = distance(&value[from..to], &other[from..to]).1;
                return Err(format!(
                    "position {} of row {row} moves from {} to {} with the inputs behind position {cut} (by up to {})",
                    at / (width / length).max(1),
                    number(value[from + at]),
                    number(other[from + at]),
                    number(far)
                ));
            }
        }
        changes |= value != other;
    }
    if changes { Ok(Outcome::Held(0.0)) } else { Ok(Outcome::Moot("it does not depend on the inputs")) }
}

/// Positions before the last, spread evenly, each once.
fn cuts(length: usize) -> Vec<usize> {
    let last = length.saturating_sub(2);
    let mut cuts: Vec<usize> = (0..CUTS).map(|i| i * last / (CUTS - 1)).collect();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::cuts;

    #[test]
    fn cuts_are_positions_with_a_future() {
        assert_eq!(cuts(2), [0]);
        assert_eq!(cuts(4), [0, 1, 2]);
        assert_eq!((cuts(100).first(), cuts(100).last(), cuts(100).len()), (Some(&0), Some(&98), 8));
    }
}
