//! One row alone is predicted what it is predicted in a batch.
//!
//! ## What it tests
//!
//! In evaluation mode, the prediction for each of the first three rows of a batch, run by itself. Statistics of the batch at hand instead of
//! the running ones, or padding that depends on the batch, differ.
//!
//! ## Tolerance
//!
//! The bound on rounding of `explain batch-permutation`: a batch of one may be multiplied in another order.

use super::{Case, Lab, Subject, lab::largest};
use crate::tensor::{Mode, Tensor};

pub fn skip(_: Subject<'_>) -> Option<String> {
    None
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let case = Case { batch: case.batch.max(2), ..case };
    let Some(output) = lab.output() else { return Ok(()) };
    let (weights, feeds) = lab.draw(case);
    let together = lab.base(case, Mode::Eval);
    let a = &together.values[output.index()];
    let (width, bound) = (a.len() / case.batch, lab.rounding(case, Mode::Eval) * largest(a));
    for row in 0..case.batch.min(3) {
        let alone: Vec<Tensor> = feeds
            .iter()
            .map(|feed| {
                let each = feed.data.len() / case.batch;
                let mut dims = feed.dims.clone();
                dims[0] = 1;
                Tensor::new(dims, feed.data[row * each..(row + 1) * each].to_vec())
            })
            .collect();
        let alone = lab.run(&weights, &alone, Mode::Eval, case.seed, false);
        let b = &alone.values[output.index()];
        for (i, (x, y)) in a[row * width..].iter().zip(b).enumerate() {
            if (x - y).abs() > bound {
                let path = &lab.graph().nodes[output].path;
                return Err(format!("row {row}, element {i} of `{path}` is {x} in a batch, and {y} alone"));
            }
        }
    }
    Ok(())
}
