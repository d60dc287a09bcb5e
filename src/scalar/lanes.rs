//! Eight directional derivatives at once.
//!
//! Contract: [`Lanes`] computes what eight [`Dual`](super::Dual) numbers with the same value compute, bit for bit, and the value
//! only once. The rules are those of [`DualOf`]; only the number of directions stands here.

use super::Scalar;
use super::dual::{DualOf, Tangent};

/// How many directions [`Lanes`] carries: what a register of the widest vector units holds.
pub const WIDTH: usize = 8;

/// A value and its derivatives along [`WIDTH`] directions.
pub type Lanes = DualOf<f64, [f64; WIDTH]>;

impl<T: Scalar, const N: usize> Tangent<T> for [T; N] {
    const DIRECTIONS: usize = N;

    fn from_fn(f: impl FnMut(usize) -> T) -> Self {
        std::array::from_fn(f)
    }

    fn along(&self, direction: usize) -> T {
        self[direction]
    }
}
