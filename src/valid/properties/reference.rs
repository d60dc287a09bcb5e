//! The compiled graph computes what its operators are defined as.
//!
//! ## What it tests
//!
//! Prediction and loss in training mode against a naive interpreter of the compiled graph: every operator once more as its definition reads,
//! loops over indices in double-double arithmetic (106 bits), with arguments read from the text that the compiled graph prints. Blocked
//! matrix products, vectorised functions and planned buffers have no part in it, nor has anything that forward and reverse rules share, so
//! that it sees what no gradient check can: a kernel and a rule that are wrong in the same way.
//!
//! ## Tolerance
//!
//! The bound on rounding of `explain batch-permutation`: the interpreter has none.

use super::{Case, Lab, Subject, lab::largest};
use crate::exec::Settings;
use crate::scalar::{Double, Scalar};
use crate::tensor::Mode;
use crate::valid::naive;

/// Multiplications and additions of a run that are affordable a hundredfold.
const AFFORDABLE: f64 = 2e7;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    let cost = crate::valid::step_cost(subject.graph, 2);
    (cost > AFFORDABLE).then(|| "double-double arithmetic would take too long".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let case = Case { batch: case.batch.min(2), ..case };
    let Some(output) = lab.output() else { return Ok(()) };
    let (weights, feeds) = lab.draw(case);
    let fast = lab.base(case, Mode::Train);
    let settings = Settings { mode: Mode::Train, seed: case.seed, penalties: false };
    let slow = naive::values(lab.subject.runnable, &weights.at(&feeds), case.batch, settings);
    let a = &fast.values[output.index()];
    let bound = lab.rounding(case, Mode::Train);
    let size = largest(a);
    for (i, (x, y)) in a.iter().zip(&slow[output.index()]).enumerate() {
        if (x - y.primal()).abs() > bound * size {
            let path = &lab.graph().nodes[output].path;
            return Err(format!("element {i} of `{path}` is {x}, and {} by definition", y.primal()));
        }
    }
    let Some(loss) = lab.graph().loss else { return Ok(()) };
    let terms = &slow[loss.index()];
    let exact = terms.iter().fold(Double::constant(0.0), |sum, x| sum + *x).primal() / real(terms.len());
    if (fast.loss - exact).abs() > bound * fast.loss.abs().max(size) {
        return Err(format!("the loss is {}, and {exact} by definition", fast.loss));
    }
    Ok(())
}

/// A count.
#[expect(clippy::cast_precision_loss, reason = "batches are far below 2^53")]
fn real(n: usize) -> f64 {
    n as f64
}
