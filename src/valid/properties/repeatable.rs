//! The same run twice gives the same bits.
//!
//! ## What it tests
//!
//! Two runs in training mode with the same weights, rows and seed: every value, the loss and every gradient have the same bits. Nothing
//! that runs here uses threads, so that their number cannot matter.
//!
//! ## Tolerance
//!
//! None: the same operations in the same order give the same bits. A buffer that is read before it is written, or a draw that does not
//! come from the seed, differs in whole digits.

use super::{Case, Lab, Subject};
use crate::tensor::Mode;

pub fn skip(_: Subject<'_>) -> Option<String> {
    None
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let first = lab.base(case, Mode::Train);
    let (weights, feeds) = lab.draw(case);
    let second = lab.run(&weights, &feeds, Mode::Train, case.seed, true);
    let differ = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).find(|(a, b)| a.to_bits() != b.to_bits()).map(|(a, b)| format!("{a} and then {b}"))
    };
    for (handle, node) in lab.graph().nodes.iter() {
        let i = handle.index();
        if let Some(what) = differ(&first.values[i], &second.values[i]) {
            return Err(format!("`{}` gives {what} for the same seed", node.path));
        }
    }
    for (handle, param) in lab.graph().params.iter() {
        let i = handle.index();
        if let Some(what) = differ(&first.gradients[i], &second.gradients[i]) {
            return Err(format!("the gradient of `{}` holds {what} for the same seed", param.path));
        }
    }
    match differ(&[first.loss], &[second.loss]) {
        Some(what) => Err(format!("the loss is {what} for the same seed")),
        None => Ok(()),
    }
}
