//! Weights that are written to a file and read again are the same.
//!
//! ## What it tests
//!
//! Every trainable tensor and every running statistic through the safetensors file that `wellposed weights` writes: names, shapes and bits. A
//! flipped bit, two bytes in each other's place and another byte order are seen, since every bit of the data counts.
//!
//! ## Tolerance
//!
//! None.

use super::{Case, Lab, Ran, Run, Subject};
use crate::exec::Weights;
use crate::graph::Graph;
use crate::tensor::Mode;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    (subject.graph.params.is_empty() && subject.graph.states.is_empty())
        .then(|| "the model has no weights".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let (weights, _) = lab.draw(case);
    let file = weights.to_safetensors(lab.graph());
    let run = Run { mode: Mode::Eval, seed: case.seed, batch: case.batch };
    let written = lab.spoilt(run, Ran { file, ..Ran::clone(&lab.base(case, Mode::Eval)) });
    let read = Weights::from_safetensors(lab.graph(), "the file", &written.file).map_err(|found| {
        let first = found.iter().next().map_or(String::new(), |found| found.message.clone());
        format!("the file that was written cannot be read: {first}")
    })?;
    same(lab.graph(), &weights, &read)
}

/// Whether two sets of weights have the same shapes and bits.
fn same(graph: &Graph, weights: &Weights, read: &Weights) -> Result<(), String> {
    for ((_, param), (a, b)) in graph.params.iter().zip(weights.params.iter().zip(&read.params)) {
        if a.dims != b.dims || a.data.iter().zip(&b.data).any(|(a, b)| a.to_bits() != b.to_bits()) {
            return Err(format!("`{}` comes back changed", param.path));
        }
    }
    let states = weights.states.iter().zip(&read.states).all(|(a, b)| a == b);
    if states { Ok(()) } else { Err("running statistics come back changed".to_owned()) }
}
