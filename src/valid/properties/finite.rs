//! Every value and every gradient of every initialisation is a finite number.
//!
//! ## What it tests
//!
//! One forward and one reverse run in training mode for each case: random weights, 1 to 12 rows, inputs as they are, a thousand
//! times smaller and a thousand times larger. The first node or tensor with a NaN or an infinity is named.
//!
//! ## Tolerance
//!
//! None: a finite number is finite.
//!
//! ## What to do
//!
//! An overflow at plain scale is an initialisation that explodes (`explain I001`); one at scale 1e3 only, an operator that is not
//! protected, such as an exponential.

use super::{Case, Subject, draw, pass};
use crate::tensor::Mode;

pub fn skip(_: Subject<'_>) -> Option<String> {
    None
}

pub fn test(subject: Subject<'_>, case: Case) -> Result<(), String> {
    let (weights, feeds) = draw(subject, case);
    let run = pass(subject, &weights, &feeds, Mode::Train, case.seed);
    let graph = subject.runnable;
    for (handle, node) in graph.nodes.iter() {
        if let Some(x) = run.session.value(handle).iter().find(|x| !x.is_finite()) {
            return Err(format!("`{}` gives {x}", node.path));
        }
    }
    if !run.loss.is_finite() {
        return Err(format!("the loss is {}", run.loss));
    }
    for (handle, param) in graph.params.iter() {
        if let Some(x) = run.gradients.params[handle.index()].iter().find(|x| !x.is_finite()) {
            return Err(format!("the gradient of `{}` holds {x}", param.path));
        }
    }
    Ok(())
}
