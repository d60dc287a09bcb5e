//! How a small change spreads: from a component of a parameter to the result, and from some elements of an input to the result.
//!
//! Contract: every trainable tensor enters its operator affinely, so that moving a component by h moves the result by h times a
//! [`Column`], which does not depend on h; it is zero outside a [`Block`] of elements that is the same in every sample. An
//! operator that states no columns is run again instead. [`Spread`] says what a change of one block of the input does. Both are
//! statements about the forward kernel and nothing but a faster way to what it computes: the tests compare them with the
//! kernel of every registered operator, and the gradient check compares columns with the kernel at the point where it uses them.

use crate::tensor::{Shape, View};

/// Elements of a sample: `count` of them, `stride` apart.
///
/// Invariant: either the stride is 1 and the start is a multiple of the count, or the start is below the stride. The blocks of one
/// count and stride therefore divide the elements of a sample among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first element.
    pub start: usize,
    /// The distance of two elements.
    pub stride: usize,
    /// The number of elements.
    pub count: usize,
}

impl Block {
    /// A run of elements.
    #[must_use]
    pub fn run(start: usize, count: usize) -> Self {
        debug_assert!(
            start.is_multiple_of(count),
            "internal: a run that does not start at a multiple of its length"
        );
        Self { start, stride: 1, count }
    }

    /// One feature of the last axis at every place of the axes before it.
    #[must_use]
    pub fn feature(feature: usize, features: usize, places: usize) -> Self {
        if places == 1 {
            Self::run(feature, 1)
        } else {
            Self { start: feature, stride: features, count: places }
        }
    }

    /// Element `k` of the block in its sample.
    #[must_use]
    pub fn element(self, k: usize) -> usize {
        self.start + self.stride * k
    }

    /// The block of the same form from another start.
    #[must_use]
    pub fn at(self, start: usize) -> Self {
        Self { start, ..self }
    }

    /// The block of the same form that holds an element, and its place there.
    #[must_use]
    pub fn holding(self, element: usize) -> (Self, usize) {
        if self.stride == 1 {
            let start = element / self.count * self.count;
            (self.at(start), element - start)
        } else {
            (self.at(element % self.stride), element / self.stride)
        }
    }

    /// Copies the block out of samples of `elements` each.
    pub fn gather<T: Copy>(self, samples: &[T], elements: usize, block: &mut [T]) {
        let Self { start, stride, count } = self;
        for (sample, block) in samples.chunks_exact(elements).zip(block.chunks_exact_mut(count)) {
            if stride == 1 {
                block.copy_from_slice(&sample[start..start + count]);
            } else {
                block
                    .iter_mut()
                    .zip(sample[start..].iter().step_by(stride))
                    .for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// Copies the block into samples of `elements` each.
    pub fn scatter(self, block: &[f64], elements: usize, samples: &mut [f64]) {
        let Self { start, stride, count } = self;
        for (sample, block) in samples.chunks_exact_mut(elements).zip(block.chunks_exact(count)) {
            if stride == 1 {
                sample[start..start + count].copy_from_slice(block);
            } else {
                sample[start..].iter_mut().step_by(stride).zip(block).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// What a change of one block of the only input does to the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// It may change every element.
    Whole,
    /// It changes the same elements of the sample, each by itself, and the kernel does not look at the shape: it may be run on the
    /// block alone.
    Elementwise,
    /// The block is a channel, and the channel of the result is what the kernel makes of it alone, with its share of parameters
    /// and state.
    Channelwise,
    /// The result moves by [`Op::advance`](super::Op::advance), linearly.
    Affine,
}

impl Spread {
    /// [`Channelwise`](Self::Channelwise) where the block is a channel of the input.
    #[must_use]
    pub fn of_channels(input: &Shape, block: Block) -> Self {
        if is_channel(input, block) { Self::Channelwise } else { Self::Whole }
    }

    /// [`Affine`](Self::Affine) where the block is a channel of the input.
    #[must_use]
    pub fn affine_in_channels(input: &Shape, block: Block) -> Self {
        if is_channel(input, block) { Self::Affine } else { Self::Whole }
    }
}

fn is_channel(input: &Shape, block: Block) -> bool {
    let channels = input.channels().unwrap_or(1).max(1);
    block.stride == 1 && block.count * channels == input.elements()
}

/// What an operator gets that is asked for the derivative of its result by one component of a parameter.
#[derive(Debug)]
pub struct Column<'a> {
    /// The number of samples.
    pub batch: usize,
    /// The shapes of the inputs.
    pub shapes: &'a [&'a Shape],
    /// The shape of the result.
    pub shape: &'a Shape,
    /// The inputs.
    pub inputs: &'a [View<'a, f64>],
    /// What the forward kernel left.
    pub saved: View<'a, f64>,
    /// Which of the operator's parameters.
    pub param: usize,
    /// Which of its components.
    pub index: usize,
    /// The derivative of the block's elements, sample by sample; empty at first, its room is used again.
    pub column: &'a mut Vec<f64>,
}

/// What an operator gets that is asked to move its result.
#[derive(Debug)]
pub struct Advance<'a> {
    /// The number of samples.
    pub batch: usize,
    /// The shape of the input.
    pub input: &'a Shape,
    /// The shape of the result.
    pub shape: &'a Shape,
    /// The trainable tensors.
    pub params: &'a [View<'a, f64>],
    /// The block of the input that changes.
    pub block: Block,
    /// By how much, sample by sample.
    pub change: &'a [f64],
    /// The result, to which its change is added.
    pub output: &'a mut [f64],
    /// Free room; its allocation is used again.
    pub scratch: &'a mut Vec<f64>,
}
