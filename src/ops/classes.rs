//! Where the classes lie: what losses on class labels have in common.
//!
//! Contract: the class axis is the one that the labels lack: the last of the output's axes, or axis 1. Where both fit, it is axis 1 of maps
//! `[B,C,H,W]`, as everywhere in PyTorch, and else the last. [`Classes`] says where the numbers of a position begin in the whole batch and how
//! far they are apart.

use super::{Forward, Inferred, Misfit, Shape};
use crate::scalar::Scalar;
use crate::tensor::View;

/// How the classes lie in a sample: `positions` groups of `count` numbers that are `stride` apart.
pub(super) struct Classes {
    /// How many classes there are.
    pub count: usize,
    /// How many labels a sample has.
    pub positions: usize,
    stride: usize,
}

impl Classes {
    /// The classes of an output and labels; `None` if they do not fit.
    pub(super) fn of(output: &Shape, target: &Shape) -> Option<Self> {
        let (z, y) = (output.sample(), target.sample());
        let (&last, before) = z.split_last()?;
        let positions = target.elements();
        let [in_front, behind] = [&z[1..] == y, before == y];
        if behind && !(in_front && z.len() == 3) {
            Some(Self { count: last, positions, stride: 1 })
        } else if in_front {
            Some(Self { count: z[0], positions, stride: positions })
        } else {
            None
        }
    }

    /// The classes of shapes that the shape rule has checked.
    pub(super) fn checked(output: &Shape, target: &Shape) -> Self {
        match Self::of(output, target) {
            Some(classes) => classes,
            None => unreachable!("internal: shapes were inferred"),
        }
    }

    /// Where the numbers of a position begin in the whole batch.
    pub(super) fn base(&self, sample: usize, position: usize) -> usize {
        let start = sample * self.count * self.positions;
        if self.stride == 1 { start + position * self.count } else { start + position }
    }

    /// The place of one class of a position that begins at `base`.
    pub(super) fn place(&self, base: usize, class: usize) -> usize {
        base + class * self.stride
    }
}

/// The shape rule of a loss on `what`, one for each class.
pub(super) fn infer(what: &str, output: &Shape, target: &Shape) -> Result<Inferred, Misfit> {
    if Classes::of(output, target).is_some() {
        return Ok(Inferred::shape(Shape::new([])));
    }
    let message = format!("{what} {output} do not fit class labels {target}");
    Err(Misfit::shape(message).help(format!("the {what} need one axis more than the labels: the classes")))
}

/// The forward rule of a loss on class labels: the mean over the positions of a sample of `of`, which gets the classes, the outputs, where
/// the numbers of the position begin, and the place of the labelled class.
pub(super) fn mean<S: Scalar>(io: Forward<'_, S>, of: impl Fn(&Classes, View<'_, S>, usize, usize) -> S) {
    let Forward { batch, shapes, inputs, mut output, .. } = io;
    let classes = Classes::checked(shapes[0], shapes[1]);
    let (z, y) = (inputs[0], inputs[1]);
    for sample in 0..batch {
        let mut sum = S::constant(0.0);
        for position in 0..classes.positions {
            let base = classes.base(sample, position);
            let class = super::index_at(y, sample * classes.positions + position);
            sum += of(&classes, z, base, classes.place(base, class));
        }
        output.set(sample, sum * super::reciprocal(classes.positions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_axis_is_the_one_that_labels_lack() {
        let of = |z: &[usize], y: &[usize]| {
            Classes::of(&Shape::new(z), &Shape::new(y)).map(|c| (c.count, c.stride))
        };
        assert_eq!(of(&[10], &[]), Some((10, 1)));
        assert_eq!(of(&[3, 5], &[3]), Some((5, 1)));
        assert_eq!(of(&[5, 3], &[3]), Some((5, 3)));
        assert_eq!(of(&[4, 4], &[4]), Some((4, 1)));
        assert_eq!(of(&[4, 2, 3], &[2, 3]), Some((4, 6)));
        assert_eq!(of(&[2, 3, 4], &[2, 3]), Some((4, 1)));
        // A map of as many pixels along each axis as there are classes.
        assert_eq!(of(&[4, 4, 4], &[4, 4]), Some((4, 16)));
        assert_eq!(of(&[3, 5], &[4]), None);
    }
}
