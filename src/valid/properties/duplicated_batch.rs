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
//! Only the order and the number of summations change: the bound on rounding of `explain batch-permutation`, relative to the loss and, ten times
//! that, for gradients, which pass the net twice, to the largest component of all gradients or to what the components of a tensor add up, whichever is larger. Small
//! gradients are rests of larger terms: that of a bias before a batch norm, and every one where the rows pull in opposite directions, as one row
//! of each class does where all inputs are zero. A component of a layer adds up terms of no more than the sum of the magnitudes of the derivatives behind the layer times the
//! largest value before or behind it, or 1 for a bias.

use super::{Case, Lab, Ran, Subject, lab::largest};
use crate::graph::Source;
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
    let terms = terms(lab, &once, &feeds);
    for (handle, param) in lab.graph().params.iter() {
        let (a, b) = (&once.gradients[handle.index()], &twice.gradients[handle.index()]);
        let allowed = 10.0 * bound * overall.max(terms[handle.index()]);
        if let Some((i, (x, y))) = a.iter().zip(b).enumerate().find(|(_, (x, y))| (*x - *y).abs() > allowed) {
            return Err(format!(
                "component {i} of the gradient of `{}` is {x}, and {y} with every row twice ({mode} mode)",
                param.path
            ));
        }
    }
    Ok(())
}

/// By trainable tensor: a bound of the magnitudes that a component of its gradient adds up.
fn terms(lab: &Lab<'_>, ran: &Ran, feeds: &[Tensor]) -> Vec<f64> {
    let graph = lab.graph();
    let mut found = vec![0.0f64; graph.params.len()];
    for (handle, node) in graph.nodes.iter().filter(|(_, node)| !node.params.is_empty()) {
        let behind: f64 = ran.cotangents[handle.index()].iter().map(|g| g.abs()).sum();
        let before = node.inputs.iter().map(|source| match source {
            Source::Node(input) => largest(&ran.values[input.index()]),
            Source::Feed(feed) => largest(&feeds[feed.index()].data),
        });
        let value = before.fold(largest(&ran.values[handle.index()]).max(1.0), f64::max);
        for param in &node.params {
            found[param.index()] += behind * value;
        }
    }
    found
}
