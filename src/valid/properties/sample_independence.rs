//! What one row is predicted does not depend on the other rows.
//!
//! ## What it tests
//!
//! The first row of a batch is replaced by another one: no other row's prediction changes by a bit, so that its derivative by the
//! first row is exactly 0. In evaluation mode always; in training mode unless a batch norm couples the rows on purpose. A reshape
//! that breaks the batch axis, or a sum over it, is found.
//!
//! ## Tolerance
//!
//! None: the operations on a row are the same, so are its bits.

use super::{Case, Lab, Subject};
use crate::tensor::Mode;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    (subject.samples.rows() < 3).then(|| "there are not three rows".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let case = Case { batch: case.batch.max(2), ..case };
    let Some(output) = lab.output() else { return Ok(()) };
    let (weights, feeds) = lab.draw(case);
    let others = lab.rows(Case { seed: case.seed.wrapping_add(case.batch as u64), batch: 1, ..case });
    let mut replaced = feeds.clone();
    for (feed, other) in replaced.iter_mut().zip(&others) {
        feed.data[..other.data.len()].copy_from_slice(&other.data);
    }
    for mode in [Mode::Eval, Mode::Train] {
        if mode == Mode::Train && lab.graph().nodes.iter().any(|(_, node)| node.op.mixes_batch(mode)) {
            continue;
        }
        let before = lab.base(case, mode);
        let after = lab.run(&weights, &replaced, mode, case.seed, false);
        let (a, b) = (&before.values[output.index()], &after.values[output.index()]);
        let width = a.len() / case.batch;
        let moved = (width..a.len()).find(|&i| a[i].to_bits() != b[i].to_bits());
        if let Some(i) = moved {
            return Err(format!(
                "row {}, element {} of `{}` is {}, and {} when row 0 is another one ({mode} mode)",
                i / width,
                i % width,
                lab.graph().nodes[output].path,
                a[i],
                b[i]
            ));
        }
    }
    Ok(())
}
