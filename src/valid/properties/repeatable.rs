//! The same run twice gives the same bits, on one thread and on several.
//!
//! ## What it tests
//!
//! Runs in training mode with the same weights, rows and seed: one by itself, and one to three others at the same time, each on a thread of
//! its own. Every value, the loss and every gradient have the same bits. One run is the work of one thread, so that what could depend on their
//! number is what threads share: a cache, a buffer, a counter that draws come from.
//!
//! ## Tolerance
//!
//! None: the same operations in the same order give the same bits. A buffer that is read before it is written, or a draw that does not
//! come from the seed, differs in whole digits.

use super::{Case, Lab, Ran, Subject};
use crate::tensor::Mode;

/// The largest number of runs at the same time.
const MOST: u64 = 3;

pub fn skip(_: Subject<'_>) -> Option<String> {
    None
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let first = lab.base(case, Mode::Train);
    let (weights, feeds) = lab.draw(case);
    let threads = 1 + usize::try_from(case.seed % MOST).unwrap_or(0);
    lab.at_once(threads, &weights, &feeds, Mode::Train, case.seed)
        .iter()
        .try_for_each(|second| same(lab, &first, second, threads))
}

/// Whether two runs have the same bits.
fn same(lab: &Lab<'_>, first: &Ran, second: &Ran, threads: usize) -> Result<(), String> {
    let on = if threads > 1 { format!(" on {threads} threads at once") } else { String::new() };
    let differ = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).find(|(a, b)| a.to_bits() != b.to_bits()).map(|(a, b)| format!("{a} and then {b}"))
    };
    for (handle, node) in lab.graph().nodes.iter() {
        let i = handle.index();
        if let Some(what) = differ(&first.values[i], &second.values[i]) {
            return Err(format!("`{}` gives {what} for the same seed{on}", node.path));
        }
    }
    for (handle, param) in lab.graph().params.iter() {
        let i = handle.index();
        if let Some(what) = differ(&first.gradients[i], &second.gradients[i]) {
            return Err(format!("the gradient of `{}` holds {what} for the same seed{on}", param.path));
        }
    }
    match differ(&[first.loss], &[second.loss]) {
        Some(what) => Err(format!("the loss is {what} for the same seed{on}")),
        None => Ok(()),
    }
}
