//! Convolutions as matrix products: what a convolution and a transposed one have in common.
//!
//! Contract: a [`Plan`] describes a convolution of maps with a kernel `[outputs, channels/groups, height, width]`. It works on tiles of
//! output rows, whose patches it gathers into a matrix. [`apply`](Plan::apply) is the convolution, [`reverse`](Plan::reverse) its two transposes:
//! each is the reverse rule of the other, so that an operator's forward kernel and reverse rule never run the same code on
//! the same operands.

use super::patches::{Maps, Segment, segments};
use super::window::{self, Window};
use crate::scalar::Scalar;
use crate::tensor::{Product, View, ViewMut, product};
use std::ops::Range;

/// A tile has about this many positions: enough columns for a fast product, few enough that the patch matrix stays small.
const TILE: usize = 512;

/// What the kernels iterate over.
pub(super) struct Plan {
    /// What slides over the maps.
    pub window: Window,
    /// Input channels, in all and of one group.
    pub channels: [usize; 2],
    /// Output channels, in all and of one group.
    pub outputs: [usize; 2],
    /// Output rows of a tile.
    rows: usize,
    groups: usize,
}

impl Plan {
    /// A plan for a number of input and output channels that the number of groups divides.
    pub(super) fn new(window: Window, channels: usize, outputs: usize, groups: usize) -> Self {
        Self {
            window,
            channels: [channels, channels / groups],
            outputs: [outputs, outputs / groups],
            rows: (TILE / window.columns.output).max(1),
            groups,
        }
    }

    /// The length of the sums of one output.
    pub(super) fn depth(&self) -> usize {
        self.channels[1].saturating_mul(self.window.taps())
    }

    /// Whether every patch is an element of the map itself, so that the maps are the patch matrix.
    fn is_pointwise(&self) -> bool {
        let plain = |axis: &window::Axis| axis.kernel == 1 && axis.stride == 1 && axis.input == axis.output;
        plain(&self.window.rows) && plain(&self.window.columns)
    }

    /// Columns of a full tile.
    pub(super) fn columns(&self) -> usize {
        self.rows.saturating_mul(self.window.columns.output)
    }

    /// Room for the patches and the result of a full tile.
    pub(super) fn scratch(&self) -> usize {
        if self.is_pointwise() {
            0
        } else {
            product(&[self.depth().saturating_add(self.outputs[1]), self.columns()])
        }
    }

    /// The tiles of a batch.
    pub(super) fn tiles(&self, batch: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (total, rows) = (batch * self.window.rows.output, self.rows);
        (0..total).step_by(rows).map(move |start| start..(start + rows).min(total))
    }

    /// The input channels of a group.
    fn maps(&self, group: usize) -> Maps {
        let [channels, own] = self.channels;
        Maps { channels, chosen: group * own..(group + 1) * own, window: self.window }
    }

    /// The weights of a group in the whole kernel.
    pub(super) fn kernel(&self, group: usize) -> Range<usize> {
        let size = self.outputs[1] * self.depth();
        group * size..(group + 1) * size
    }

    /// Calls `each` with the place in the value and the place in the tile of every run of one output channel's elements.
    pub(super) fn runs(
        &self,
        group: usize,
        tile: &Range<usize>,
        mut each: impl FnMut(Range<usize>, Range<usize>),
    ) {
        let (width, positions) = (self.window.columns.output, self.window.positions());
        let [outputs, own] = self.outputs;
        let columns = tile.len() * width;
        for o in 0..own {
            for Segment { sample, rows, column } in segments(tile.clone(), &self.window.rows, width) {
                let value = (sample * outputs + group * own + o) * positions + rows.start * width;
                let (place, length) = (o * columns + column, rows.len() * width);
                each(value..value + length, place..place + length);
            }
        }
    }

    /// The convolution: the output is overwritten, with the bias of its channel added.
    pub(super) fn apply<S: Scalar>(
        &self,
        batch: usize,
        x: View<'_, S>,
        weight: View<'_, S>,
        bias: Option<View<'_, S>>,
        output: &mut ViewMut<'_, S>,
        scratch: &mut ViewMut<'_, S>,
    ) {
        let (depth, own) = (self.depth(), self.outputs[1]);
        let finish = |shape: Product| if bias.is_some() { shape.accumulating() } else { shape };
        if self.is_pointwise() {
            let n = self.window.positions();
            for sample in 0..batch {
                for group in 0..self.groups {
                    let (input, result) = pointwise(self, sample, group);
                    let mut result = output.part(result);
                    spread(&mut result, bias, group * own, n);
                    let shape = finish(Product::new(own, depth, n));
                    S::gemm(shape, weight.part(self.kernel(group)), x.part(input), &mut result);
                }
            }
            return;
        }
        for tile in self.tiles(batch) {
            let n = tile.len() * self.window.columns.output;
            for group in 0..self.groups {
                let maps = self.maps(group);
                let [mut patches, mut result] = scratch.divide([depth * n, own * n]);
                for plane in 0..S::PLANES {
                    maps.gather(x.plane(plane), &tile, patches.plane(plane));
                }
                spread(&mut result, bias, group * own, n);
                let shape = finish(Product::new(own, depth, n));
                S::gemm(shape, weight.part(self.kernel(group)), patches.view(), &mut result);
                for plane in 0..S::PLANES {
                    let (target, source) = (output.plane(plane), result.plane(plane));
                    self.runs(group, &tile, |value, place| target[value].copy_from_slice(&source[place]));
                }
            }
        }
    }

    /// The transposed convolution of `slope`, which has the shape of an output, and its product with the patches of `x`: the derivatives
    /// by the map and by the kernel where `slope` is that by the output. Both are overwritten.
    pub(super) fn reverse<S: Scalar>(
        &self,
        batch: usize,
        x: View<'_, S>,
        weight: View<'_, S>,
        slope: View<'_, S>,
        by_map: &mut Option<ViewMut<'_, S>>,
        by_kernel: &mut Option<ViewMut<'_, S>>,
        scratch: &mut ViewMut<'_, S>,
    ) {
        let (depth, own) = (self.depth(), self.outputs[1]);
        if let Some(grad) = by_map {
            clear(grad);
        }
        if let Some(grad) = by_kernel {
            clear(grad);
        }
        let by_weights = |n: usize| Product::new(own, n, depth).b_transposed().accumulating();
        let by_maps = |n: usize| Product::new(depth, own, n).a_transposed();
        if self.is_pointwise() {
            let n = self.window.positions();
            for sample in 0..batch {
                for group in 0..self.groups {
                    let (input, result) = pointwise(self, sample, group);
                    let (kernel, slope) = (self.kernel(group), slope.part(result));
                    if let Some(grad) = by_kernel {
                        S::gemm(by_weights(n), slope, x.part(input.clone()), &mut grad.part(kernel.clone()));
                    }
                    if let Some(grad) = by_map {
                        S::gemm(by_maps(n), weight.part(kernel), slope, &mut grad.part(input));
                    }
                }
            }
            return;
        }
        for tile in self.tiles(batch) {
            let n = tile.len() * self.window.columns.output;
            for group in 0..self.groups {
                let maps = self.maps(group);
                let [mut patches, mut own_slope] = scratch.divide([depth * n, own * n]);
                for plane in 0..S::PLANES {
                    let (target, source) = (own_slope.plane(plane), slope.plane(plane));
                    self.runs(group, &tile, |value, place| target[place].copy_from_slice(&source[value]));
                }
                if let Some(grad) = by_kernel {
                    for plane in 0..S::PLANES {
                        maps.gather(x.plane(plane), &tile, patches.plane(plane));
                    }
                    let mut grad = grad.part(self.kernel(group));
                    S::gemm(by_weights(n), own_slope.view(), patches.view(), &mut grad);
                }
                if let Some(grad) = by_map {
                    S::gemm(by_maps(n), weight.part(self.kernel(group)), own_slope.view(), &mut patches);
                    for plane in 0..S::PLANES {
                        maps.scatter(patches.plane(plane), &tile, grad.plane(plane));
                    }
                }
            }
        }
    }
}

/// The elements of a group's channels in one sample, at the input and at the output, which are of one size.
fn pointwise(plan: &Plan, sample: usize, group: usize) -> (Range<usize>, Range<usize>) {
    let n = plan.window.positions();
    let range = |[all, own]: [usize; 2]| {
        let start = (sample * all + group * own) * n;
        start..start + own * n
    };
    (range(plan.channels), range(plan.outputs))
}

/// Fills rows of `n` columns with the biases from `first` on; without biases, nothing.
fn spread<S: Scalar>(rows: &mut ViewMut<'_, S>, bias: Option<View<'_, S>>, first: usize, n: usize) {
    let Some(bias) = bias else { return };
    for plane in 0..S::PLANES {
        for (row, value) in rows.plane(plane).chunks_exact_mut(n).zip(&bias.plane(plane)[first..]) {
            row.fill(*value);
        }
    }
}

/// Sets every element to zero.
fn clear<S: Scalar>(grad: &mut ViewMut<'_, S>) {
    for plane in 0..S::PLANES {
        grad.plane(plane).fill(0.0);
    }
}

/// The derivatives by the biases: the sums over the `n` positions of every channel, which are overwritten.
pub(super) fn sums<S: Scalar>(cotangent: View<'_, S>, n: usize, grad: &mut ViewMut<'_, S>) {
    let channels = grad.len();
    for plane in 0..S::PLANES {
        let grad = grad.plane(plane);
        grad.fill(0.0);
        for (row, values) in cotangent.plane(plane).chunks_exact(n).enumerate() {
            grad[row % channels] += values.iter().sum::<f64>();
        }
    }
}
