//! Every row twice: the mean loss and its gradient stay.
//!
//! ## What it tests
//!
//! A batch and the same batch behind itself, in training mode, or in evaluation mode where masks are drawn by position. The loss is a
//! mean over rows and so is its gradient; batch norms see the same statistics. A gradient that forgets 1/N, or a loss that is a sum,
//! doubles.
//!
//! ## Tolerance
//!
//! Only the order and the number of summations change: the bound on rounding of `explain batch-permutation`, relative to the loss and to
//! the largest component of all gradients; ten times that for gradients, which pass the net twice. Small gradients are rests of larger
//! terms, such as that of a bias before a batch norm, and are compared with the largest.

use super::{Case, Lab, Subject, lab::largest};
use crate::tensor::{Mode, Tensor};

pub fn skip(subject: Subject<'_>) -> Option<String> {
    subject.graph.loss.is_none().then(|| "there is no loss".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let mode = if lab.masked() { Mode::Eval } else { Mode::Train };
    let (weights, feeds) = lab.draw(case);
    let twice: Vec<Tensor> = feeds
        .iter()
        .map(|feed| {
            let mut dims = feed.dims.clone();
            dims[0] *= 2;
            Tensor::new(dims, [&*feed.data, &*feed.data].concat())
        })
        .collect();
    let once = lab.base(case, mode);
    let twice = lab.run(&weights, &twice, mode, case.seed, true);
    let bound = lab.rounding(case, mode);
    let most = lab.output().map_or(0.0, |output| largest(&once.values[output.index()]));
    if (once.loss - twice.loss).abs() > bound * once.loss.abs().max(most) {
        return Err(format!(
            "the loss is {}, and {} with every row twice ({mode} mode)",
            once.loss, twice.loss
        ));
    }
    let overall = once.gradients.iter().map(|gradient| largest(gradient)).fold(0.0f64, f64::max);
    for (handle, param) in lab.graph().params.iter() {
        let (a, b) = (&once.gradients[handle.index()], &twice.gradients[handle.index()]);
        if let Some((i, (x, y))) =
            a.iter().zip(b).enumerate().find(|(_, (x, y))| (*x - *y).abs() > 10.0 * bound * overall)
        {
            return Err(format!(
                "component {i} of the gradient of `{}` is {x}, and {y} with every row twice ({mode} mode)",
                param.path
            ));
        }
    }
    Ok(())
}
