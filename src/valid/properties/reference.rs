//! The fast kernels compute what the plain ones do in twice the digits.
//!
//! ## What it tests
//!
//! Prediction and loss in training mode against a second run of the graph in double-double arithmetic (106 bits), in which blocked matrix
//! products, vectorised functions and buffers of `f64` have no part.
//!
//! ## Tolerance
//!
//! The bound on rounding of `explain batch-permutation`: the second run has none.

use super::{Case, Lab, Subject, lab::largest};
use crate::exec::{Keep, Point, Session, Settings, Tapes};
use crate::scalar::{Double, Scalar};
use crate::tensor::Mode;
use crate::valid::gradcheck::objective;

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
    let widen = |data: &[f64]| -> Vec<f64> { data.iter().copied().chain(vec![0.0; data.len()]).collect() };
    let params: Vec<Vec<f64>> = weights.params.iter().map(|tensor| widen(&tensor.data)).collect();
    let wide: Vec<Vec<f64>> = feeds.iter().map(|feed| widen(&feed.data)).collect();
    let point = Point {
        params: params.iter().map(|planes| &**planes).collect(),
        states: weights.states.iter().map(|tensor| &*tensor.data).collect(),
        feeds: wide.iter().map(|planes| &**planes).collect(),
    };
    let settings = Settings { mode: Mode::Train, seed: case.seed, penalties: false };
    let mut session: Session<'_, Double> = Session::new(lab.subject.runnable, case.batch, Keep::All);
    session.forward(&point, settings, Tapes::Live);
    let slow = session.value(output);
    let a = &fast.values[output.index()];
    let bound = lab.rounding(case, Mode::Train);
    let size = largest(a);
    for (i, x) in a.iter().enumerate() {
        let y = slow.at(i).primal();
        if (x - y).abs() > bound * size {
            let path = &lab.graph().nodes[output].path;
            return Err(format!("element {i} of `{path}` is {x}, and {y} in double-double arithmetic"));
        }
    }
    let exact = session.loss(&objective(lab.subject.runnable, case.seed), &point, settings).primal();
    if (fast.loss - exact).abs() > bound * fast.loss.abs().max(size) {
        return Err(format!("the loss is {}, and {exact} in double-double arithmetic", fast.loss));
    }
    Ok(())
}
