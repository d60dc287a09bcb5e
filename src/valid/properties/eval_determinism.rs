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

use super::{Case, Subject, draw, pass};
use crate::tensor::Mode;

pub fn skip(_: Subject<'_>) -> Option<String> {
    None
}

pub fn test(subject: Subject<'_>, case: Case) -> Result<(), String> {
    let (weights, feeds) = draw(subject, case);
    let first = pass(subject, &weights, &feeds, Mode::Eval, case.seed);
    let second = pass(subject, &weights, &feeds, Mode::Eval, case.seed.wrapping_add(1));
    for (handle, node) in subject.runnable.nodes.iter() {
        let pairs = first.session.value(handle).iter().zip(second.session.value(handle).iter());
        if let Some((a, b)) = pairs.into_iter().find(|(a, b)| a.to_bits() != b.to_bits()) {
            return Err(format!(
                "`{}` gives {a} and then {b} for the same input in evaluation mode",
                node.path
            ));
        }
    }
    Ok(())
}
