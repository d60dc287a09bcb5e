//! The rows of a softmax are distributions, and adding a constant to its input changes nothing.
//!
//! ## What it tests
//!
//! Of every `softmax` and `log_softmax`: all values are probabilities (or their logarithms) and sum to one along the axis. The node is
//! run again alone, on its input plus 8: the result is the same, which a softmax without its shift by the largest
//! logit, or one over the wrong axis, does not give for large logits.
//!
//! ## Tolerance
//!
//! A sum of n terms errs by n u, the exponential and the division by 4 u (u = 2^-53). Adding 8 rounds each logit by u (|x| + 8), which moves
//! a probability by twice as much relative to itself.

use super::{Case, Lab, Subject, lab::largest};
use crate::exec::{Alone, Settings};
use crate::graph::{Handle, Node, Source};
use crate::tensor::Mode;

/// What is added to logits.
const SHIFT: f64 = 8.0;

fn nodes(subject: Subject<'_>) -> impl Iterator<Item = (Handle<Node>, &Node)> {
    subject.graph.nodes.iter().filter(|(_, node)| ["softmax", "log_softmax"].contains(&node.op.name()))
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    nodes(subject).next().is_none().then(|| "there is no softmax".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "axes are short")]
pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let ran = lab.base(case, Mode::Eval);
    for (handle, node) in nodes(lab.subject) {
        let Some(Source::Node(input)) = node.inputs.first() else { continue };
        let (x, y) = (&ran.values[input.index()], &ran.values[handle.index()]);
        if largest(x) > 1e300 || x.iter().chain(y).any(|value| !value.is_finite()) {
            continue;
        }
        let log = node.op.name() == "log_softmax";
        let Some(shape) = &node.shape else { continue };
        #[expect(clippy::cast_possible_truncation, reason = "an axis is a small whole number")]
        let axis = super::lab::argument(node, "axis").map_or(-1, |axis| axis as i64);
        let Some(at) = shape.sample_axis(axis) else { continue };
        let (length, inner) = (shape.sample()[at], shape.sample()[at + 1..].iter().product::<usize>());
        let bound = (length as f64 + 4.0) * f64::EPSILON * (1.0 + if log { largest(y) } else { 0.0 });
        for start in (0..y.len() / length).map(|i| i / inner * inner * length + i % inner) {
            let each = (0..length).map(|k| y[start + k * inner]).map(|p| if log { p.exp() } else { p });
            let (mut sum, mut least, mut most) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
            for p in each {
                (sum, least, most) = (sum + p, f64::min(least, p), f64::max(most, p));
            }
            if (sum - 1.0f64).abs() > bound || least < 0.0 || most > 1.0 + bound {
                return Err(format!(
                    "a row of `{}` sums to {sum} and lies in {least} .. {most}; +- {bound:e} would pass",
                    node.path
                ));
            }
        }
        let settings = Settings { mode: Mode::Eval, seed: case.seed, penalties: false };
        let alone =
            Alone { graph: lab.subject.runnable, node: handle, batch: case.batch, settings, fill: 0.0 };
        let moved: Vec<f64> = x.iter().map(|x| x + SHIFT).collect();
        let again = alone.forward::<f64>(&[&moved], &[]);
        let allowed = 4.0 * f64::EPSILON * (largest(x) + SHIFT) + 2.0 * bound;
        let differs = |(a, b): &(&f64, &f64)| {
            let size = if log { 1.0 } else { a.abs().max(f64::MIN_POSITIVE) };
            (*a - *b).abs() > allowed * size + f64::MIN_POSITIVE
        };
        if let Some((a, b)) = y.iter().zip(&again.output).find(differs) {
            return Err(format!("`{}` gives {a}, and {b} when {SHIFT} is added to its input", node.path));
        }
    }
    Ok(())
}
