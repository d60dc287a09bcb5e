//! Borrowed planes of scalars.
//!
//! A buffer of n scalars is `PLANES` consecutive runs of n `f64`. A view may cover a part of a buffer: the same range
//! of every plane.

use crate::scalar::Scalar;
use std::marker::PhantomData;
use std::ops::Range;

/// Read access to scalars.
#[derive(Debug)]
pub struct View<'a, S> {
    planes: &'a [f64],
    stride: usize,
    offset: usize,
    len: usize,
    scalar: PhantomData<S>,
}

impl<S> Clone for View<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for View<'_, S> {}

impl<'a, S: Scalar> View<'a, S> {
    /// A view of a whole buffer.
    #[must_use]
    pub fn new(planes: &'a [f64]) -> Self {
        let len = planes.len() / S::PLANES;
        Self { planes, stride: len, offset: 0, len, scalar: PhantomData }
    }

    /// The number of scalars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Element `i`.
    #[must_use]
    pub fn at(&self, i: usize) -> S {
        S::load(self.planes, self.stride, self.offset + i)
    }

    /// The elements of a range.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        debug_assert!(range.end <= self.len, "internal: a part outside its view");
        Self { offset: self.offset + range.start, len: range.len(), ..*self }
    }

    /// One plane as a slice.
    #[must_use]
    pub fn plane(&self, index: usize) -> &'a [f64] {
        let start = index * self.stride + self.offset;
        &self.planes[start..start + self.len]
    }

    /// The planes from `first` on as scalars of another kind: the values of duals, or their derivatives along a direction.
    #[must_use]
    pub fn planes_from<T: Scalar>(&self, first: usize) -> View<'a, T> {
        debug_assert!(first + T::PLANES <= S::PLANES, "internal: planes outside the scalar");
        let Self { planes, stride, offset, len, .. } = *self;
        View { planes: &planes[first * stride..], stride, offset, len, scalar: PhantomData }
    }

    /// The elements in order.
    pub fn iter(self) -> impl Iterator<Item = S> + 'a {
        (0..self.len).map(move |i| self.at(i))
    }
}

/// Write access to scalars.
#[derive(Debug)]
pub struct ViewMut<'a, S> {
    planes: &'a mut [f64],
    stride: usize,
    offset: usize,
    len: usize,
    scalar: PhantomData<S>,
}

impl<'a, S: Scalar> ViewMut<'a, S> {
    /// A view of a whole buffer.
    #[must_use]
    pub fn new(planes: &'a mut [f64]) -> Self {
        let len = planes.len() / S::PLANES;
        Self { planes, stride: len, offset: 0, len, scalar: PhantomData }
    }

    /// The number of scalars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Element `i`.
    #[must_use]
    pub fn at(&self, i: usize) -> S {
        S::load(self.planes, self.stride, self.offset + i)
    }

    /// Replaces element `i`.
    pub fn set(&mut self, i: usize, value: S) {
        value.store(self.planes, self.stride, self.offset + i);
    }

    /// Adds to element `i`.
    pub fn add(&mut self, i: usize, value: S) {
        self.set(i, self.at(i) + value);
    }

    /// The elements of a range.
    #[must_use]
    pub fn part(&mut self, range: Range<usize>) -> ViewMut<'_, S> {
        debug_assert!(range.end <= self.len, "internal: a part outside its view");
        let (stride, offset, len) = (self.stride, self.offset + range.start, range.len());
        ViewMut { planes: self.planes, stride, offset, len, scalar: PhantomData }
    }

    /// One plane as a slice.
    #[must_use]
    pub fn plane(&mut self, index: usize) -> &mut [f64] {
        let start = index * self.stride + self.offset;
        &mut self.planes[start..start + self.len]
    }

    /// The planes from `first` on as scalars of another kind.
    #[must_use]
    pub fn planes_from<T: Scalar>(&mut self, first: usize) -> ViewMut<'_, T> {
        debug_assert!(first + T::PLANES <= S::PLANES, "internal: planes outside the scalar");
        let (stride, offset, len) = (self.stride, self.offset, self.len);
        ViewMut { planes: &mut self.planes[first * stride..], stride, offset, len, scalar: PhantomData }
    }

    /// The same elements, read only.
    #[must_use]
    pub fn view(&self) -> View<'_, S> {
        View {
            planes: self.planes,
            stride: self.stride,
            offset: self.offset,
            len: self.len,
            scalar: PhantomData,
        }
    }

    /// Buffers of these lengths in the room of this one, which must be a whole buffer; what it held is lost.
    #[must_use]
    pub fn divide<const N: usize>(&mut self, lengths: [usize; N]) -> [ViewMut<'_, S>; N] {
        assert!(
            self.offset == 0
                && self.planes.len() == S::PLANES * self.len
                && lengths.iter().sum::<usize>() <= self.len,
            "internal: {lengths:?} elements do not fit into a buffer of {}",
            self.len
        );
        let mut rest = &mut self.planes[..];
        lengths.map(|length| {
            let (own, behind) = std::mem::take(&mut rest).split_at_mut(S::PLANES * length);
            rest = behind;
            ViewMut::new(own)
        })
    }

    /// Sets every element.
    pub fn fill(&mut self, value: S) {
        for i in 0..self.len {
            self.set(i, value);
        }
    }

    /// Copies as many elements from another view.
    pub fn copy(&mut self, from: View<'_, S>) {
        for plane in 0..S::PLANES {
            self.plane(plane).copy_from_slice(from.plane(plane));
        }
    }

    /// Adds another view elementwise.
    pub fn accumulate(&mut self, from: View<'_, S>) {
        for i in 0..self.len {
            self.add(i, from.at(i));
        }
    }
}
