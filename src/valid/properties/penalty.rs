//! The penalties are what the spec says: L(lambda) - L(0) = lambda/2 |w|^2, or lambda |w| for `l1`.
//!
//! ## What it tests
//!
//! The sum of all penalties against a plain sum over the tensors that they name: the kernels of linear layers, convolutions and embeddings
//! for `on weights`, every trainable tensor for `on all`. A missing half, a bias that is taken along, or a mean for a sum differs by its
//! whole size.
//!
//! ## Tolerance
//!
//! Two sums of n terms of one sign: 2 n u relative to the penalty (u = 2^-53).

use super::{Case, Lab, Subject};
use crate::tensor::Mode;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    subject.graph.penalties.is_empty().then(|| "there is no penalty".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let graph = lab.graph();
    let (weights, _) = lab.draw(case);
    let ran = lab.base(case, Mode::Train);
    let (mut wanted, mut terms) = (0.0, 0usize);
    for penalty in &graph.penalties {
        for (handle, _) in graph.params.iter().filter(|(_, param)| penalty.covers(param)) {
            let data = &weights.param(handle).data;
            terms += data.len();
            wanted += match penalty.order {
                1 => penalty.factor * data.iter().map(|w| w.abs()).sum::<f64>(),
                _ => 0.5 * penalty.factor * data.iter().map(|w| w * w).sum::<f64>(),
            };
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
    let bound = 2.0 * terms as f64 * f64::EPSILON * wanted.abs();
    if (ran.penalty - wanted).abs() > bound {
        return Err(format!("the penalties add {} to the loss; {wanted} is what they name", ran.penalty));
    }
    Ok(())
}
