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

use super::{Case, Lab, Subject};
use crate::tensor::Mode;

pub fn skip(_: Subject<'_>) -> Option<String> {
    None
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let ran = lab.base(case, Mode::Train);
    for (handle, node) in lab.graph().nodes.iter() {
        if let Some(x) = ran.values[handle.index()].iter().find(|x| !x.is_finite()) {
            return Err(format!("`{}` gives {x}", node.path));
        }
    }
    let loss = ran.loss + ran.penalty;
    if !loss.is_finite() {
        return Err(format!("the loss is {loss}"));
    }
    for (handle, param) in lab.graph().params.iter() {
        if let Some(x) = ran.gradients[handle.index()].iter().find(|x| !x.is_finite()) {
            return Err(format!("the gradient of `{}` holds {x}", param.path));
        }
    }
    Ok(())
}
