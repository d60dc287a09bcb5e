//! In use, the model is a function: the same input gives the same bits, whatever is drawn elsewhere.
//!
//! ## What it tests
//!
//! Two forward runs in evaluation mode with two seeds for whatever is drawn while running (dropout masks). Every value of both
//! runs has the same bits.
//!
//! ## Tolerance
//!
//! None: the same operations in the same order give the same bits, and nothing in evaluation may be drawn.

use super::{Case, Lab, Subject};
use crate::tensor::Mode;

pub fn skip(_: Subject<'_>) -> Option<String> {
    None
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let (weights, feeds) = lab.draw(case);
    let first = lab.base(case, Mode::Eval);
    let second = lab.run(&weights, &feeds, Mode::Eval, case.seed.wrapping_add(1), false);
    for (handle, node) in lab.graph().nodes.iter() {
        let mut pairs = first.values[handle.index()].iter().zip(&second.values[handle.index()]);
        if let Some((a, b)) = pairs.find(|(a, b)| a.to_bits() != b.to_bits()) {
            return Err(format!(
                "`{}` gives {a} and then {b} for the same input in evaluation mode",
                node.path
            ));
        }
    }
    Ok(())
}
