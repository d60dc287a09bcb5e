//! The order of the rows in a batch does not matter.
//!
//! ## What it tests
//!
//! The rows of a batch in reverse order give the predictions in reverse order and the same loss: in evaluation mode, and, unless
//! the model draws masks by position, in training mode. A reshape that mixes rows, or a transposition too many, breaks it.
//!
//! ## Tolerance
//!
//! Reversing the rows changes at most the order of summation. A sum of k terms errs by at most k u relative to the sum of
//! magnitudes (u = 2^-53; Higham 2002, eq. 4.4); over n nodes with sums of at most k terms, and the batch for statistics over rows, the
//! predictions differ by at most 2 n (k + B) u times their largest magnitude, times what the net makes of a difference: that is
//! measured, with inputs that differ by a part in 10^12, and a factor of 100 is allowed besides for what arises behind the input. Deep
//! stacks of batch norms amplify rounding by 10^8; a row that is mixed with another differs by its whole size.

use super::{Case, Lab, Subject, lab::largest};
use crate::tensor::Mode;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    (subject.samples.rows() < 2).then(|| "there is one row only".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let case = Case { batch: case.batch.max(2), ..case };
    let (weights, feeds) = lab.draw(case);
    let mut reversed = feeds.clone();
    for feed in &mut reversed {
        let width = feed.data.len() / feed.dims[0].max(1);
        let rows: Vec<f64> = feed.data.chunks(width.max(1)).rev().flatten().copied().collect();
        feed.data = rows;
    }
    let Some(output) = lab.output() else { return Ok(()) };
    let path = &lab.graph().nodes[output].path;
    for mode in [Mode::Eval, Mode::Train] {
        if mode == Mode::Train && lab.masked() {
            continue;
        }
        let plain = lab.base(case, mode);
        let other = lab.run(&weights, &reversed, mode, case.seed, false);
        let (a, b) = (&plain.values[output.index()], &other.values[output.index()]);
        let width = a.len() / case.batch;
        let (bound, most) = (lab.rounding(case, mode), largest(a));
        for row in 0..case.batch {
            for i in 0..width {
                let (x, y) = (a[row * width + i], b[(case.batch - 1 - row) * width + i]);
                if (x - y).abs() > bound * most {
                    let at = format!("row {row}, element {i} of `{path}`");
                    return Err(format!("{at} is {x}, and {y} with the rows reversed ({mode} mode)"));
                }
            }
        }
        if (plain.loss - other.loss).abs() > bound * plain.loss.abs().max(most) {
            return Err(format!(
                "the loss is {}, and {} with the rows reversed ({mode} mode)",
                plain.loss, other.loss
            ));
        }
    }
    Ok(())
}
