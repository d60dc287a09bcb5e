//! Shapes, tensors, views over planes, matrix products, modes and the tape.
//!
//! Contract: data is row-major and the batch is axis 0. A [`Tensor`] owns `f64` data; a [`View`] borrows planes of any
//! [`Scalar`](crate::scalar::Scalar). Kernels see views only and never allocate.

pub mod gemm;
mod shape;
mod tape;
mod view;

pub use gemm::Product;
pub use shape::{Shape, product};
pub use tape::{Draws, Tape, stream};
pub use view::{View, ViewMut};

use std::fmt;

/// Whether the model is being trained or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Dropout draws masks; batch norm uses the statistics of the batch.
    Train,
    /// Dropout is the identity; batch norm uses its running statistics.
    Eval,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Eval => "eval",
        })
    }
}

/// An owned array of `f64`, row-major.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tensor {
    /// The length of each axis; empty for a single number.
    pub dims: Vec<usize>,
    /// The elements.
    pub data: Vec<f64>,
}

impl Tensor {
    /// A tensor of the given shape and data.
    ///
    /// # Panics
    /// If the number of elements is not that of the shape.
    #[must_use]
    pub fn new(dims: Vec<usize>, data: Vec<f64>) -> Self {
        assert_eq!(
            dims.iter().product::<usize>(),
            data.len(),
            "internal: {dims:?} does not hold {} elements",
            data.len()
        );
        Self { dims, data }
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(dims: Vec<usize>) -> Self {
        let data = vec![0.0; dims.iter().product()];
        Self { dims, data }
    }

    /// A tensor of one value.
    #[must_use]
    pub fn full(dims: Vec<usize>, value: f64) -> Self {
        let data = vec![value; dims.iter().product()];
        Self { dims, data }
    }
}
