//! The battery: what is checked by running the model, at random initialisations.
//!
//! Contract: everything is deterministic in the seeds that it is given and states them; a failure names the case that replays it.
//! Gradient checks and property tests look at the same [`Samples`].

pub mod gradcheck;
pub mod properties;
pub mod rows;
mod samples;

pub use samples::Samples;

/// How large a model the battery runs: bytes of weights, values and derivatives together.
pub const MEMORY_LIMIT: usize = 4 << 30;
