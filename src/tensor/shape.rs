//! The shape of a value that flows through the net: a batch axis and the axes of one sample.

use std::fmt;

/// `[B, ...]`: the batch, then the axes of one sample. Axis 0 is the batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape whose samples have these axes.
    #[must_use]
    pub fn new(sample: impl Into<Vec<usize>>) -> Self {
        Self(sample.into())
    }

    /// The axes of one sample.
    #[must_use]
    pub fn sample(&self) -> &[usize] {
        &self.0
    }

    /// The number of axes, the batch included.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len() + 1
    }

    /// The number of elements of one sample; `usize::MAX` if it has no room there.
    #[must_use]
    pub fn elements(&self) -> usize {
        product(&self.0)
    }

    /// The number of channels or features: axis 1.
    #[must_use]
    pub fn channels(&self) -> Option<usize> {
        self.0.first().copied()
    }

    /// The length of the last axis.
    #[must_use]
    pub fn last(&self) -> Option<usize> {
        self.0.last().copied()
    }

    /// Turns an axis number, which may count from the end, into an index into [`sample`](Self::sample). The batch axis and
    /// numbers outside the shape give `None`.
    #[must_use]
    pub fn sample_axis(&self, axis: i64) -> Option<usize> {
        let rank = i64::try_from(self.rank()).ok()?;
        let axis = if axis < 0 { axis + rank } else { axis };
        (1..rank).contains(&axis).then(|| usize::try_from(axis - 1).ok()).flatten()
    }

    /// The full dimensions for a batch size.
    #[must_use]
    pub fn with_batch(&self, batch: usize) -> Vec<usize> {
        std::iter::once(batch).chain(self.0.iter().copied()).collect()
    }
}

/// The product of lengths; `usize::MAX` if it has no room there. Specs may ask for absurd sizes before a limit refuses them.
#[must_use]
pub fn product(lengths: &[usize]) -> usize {
    if lengths.contains(&0) {
        return 0;
    }
    lengths.iter().fold(1, |total, &n| total.saturating_mul(n))
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[B")?;
        for length in &self.0 {
            write!(f, ",{length}")?;
        }
        f.write_str("]")
    }
}
