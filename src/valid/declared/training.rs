//! `loss_at_init`, `grad_rms`: what the first step of training sees.
//!
//! ## What it tests
//!
//! `loss_at_init` is the mean loss over the 32 rows of the batch in training mode; `grad_rms(fc1.weight)` is the root of the mean square of
//! its gradient by a trainable tensor. Penalties are left out of both: they say nothing of the data.
//!
//! A classifier of C classes that knows nothing has the cross-entropy ln C (2.303 for ten classes): a loss far above says that the
//! model starts sure of wrong answers, one below that it has seen the labels. A gradient of 0 says that nothing reaches the tensor.
//!
//! ## Example
//!
//! ```text
//! property { loss_at_init in 2.0..2.6 }
//! property { grad_rms(fc1.weight) > 1e-6 }
//! ```
//!
//! ## What to do
//!
//! A large loss usually has logits of a large scale: `rms(out)` bounds it, and a smaller `init` of the last layer mends it.

use super::scale;
use crate::exec::{Gradients, Objective, Point, Session};
use crate::graph::{Handle, ParamTensor};

/// The loss without penalties.
pub fn loss(session: &Session<'_, f64>, point: &Point<'_>) -> f64 {
    session.objective(&Objective::Loss, point)
}

/// The size of the gradient by a tensor.
pub fn grad_rms(gradients: &Gradients, tensor: Handle<ParamTensor>) -> f64 {
    scale::rms(&gradients.params[tensor.index()])
}
