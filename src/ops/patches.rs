//! Maps as matrices of patches: the step that makes a matrix product of a convolution (im2col), and its transpose.
//!
//! Contract: a tile is a run of map rows at the output, counted through the batch; it may span samples. Its patch matrix has a
//! row for each channel and tap and a column for each position of the tile. Both functions work on one plane of numbers:
//! they only move and add, so that they act on every plane alike.

use super::window::{Axis, Window};
use std::ops::Range;

/// Maps of all samples in one buffer, of which some channels are looked at.
#[derive(Clone, Debug)]
pub(super) struct Maps {
    /// All channels.
    pub channels: usize,
    /// The channels of the patches.
    pub chosen: Range<usize>,
    /// What slides over them.
    pub window: Window,
}

/// The part of a tile that lies in one sample.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// The sample.
    pub sample: usize,
    /// The rows of its output map.
    pub rows: Range<usize>,
    /// The first column of the patch matrix.
    pub column: usize,
}

/// The segments of a tile of output rows.
pub(super) fn segments(tile: Range<usize>, rows: &Axis, width: usize) -> impl Iterator<Item = Segment> {
    let (height, start) = (rows.output, tile.start);
    (tile.start / height..tile.end.div_ceil(height)).map(move |sample| {
        let base = sample * height;
        let rows = tile.start.max(base) - base..tile.end.min(base + height) - base;
        Segment { sample, column: (base + rows.start - start) * width, rows }
    })
}

impl Maps {
    /// The positions of a row for which the tap in this column of the window meets the map, with the first element it meets.
    fn run(&self, tap: usize) -> (Range<usize>, usize) {
        let columns = &self.window.columns;
        let positions = columns.positions(tap);
        let first = if positions.is_empty() { 0 } else { columns.element(positions.start, tap) };
        (positions, first)
    }

    /// Visits every run of a row of the patch matrix: the row, the columns of the run, and the first element of the map row
    /// that it meets, if it meets one.
    fn visit(&self, tile: &Range<usize>, mut each: impl FnMut(usize, Range<usize>, Option<usize>)) {
        let Window { rows, columns } = &self.window;
        let width = columns.output;
        let map = self.window.elements();
        for (c, channel) in self.chosen.clone().enumerate() {
            for i in 0..rows.kernel {
                let inside = rows.positions(i);
                for segment in segments(tile.clone(), rows, width) {
                    let start = (segment.sample * self.channels + channel) * map;
                    for (k, position) in segment.rows.clone().enumerate() {
                        let column = segment.column + k * width;
                        let met = inside
                            .contains(&position)
                            .then(|| start + rows.element(position, i) * columns.input);
                        each(c * rows.kernel + i, column..column + width, met);
                    }
                }
            }
        }
    }

    /// Writes the patches of a tile: `patches[(c, i, j), column] = maps[...]`, 0 where a tap meets padding.
    pub(super) fn gather(&self, maps: &[f64], tile: &Range<usize>, patches: &mut [f64]) {
        let kernel = self.window.columns.kernel;
        let stride = self.window.columns.stride;
        let n = tile.len() * self.window.columns.output;
        for j in 0..kernel {
            let (run, first) = self.run(j);
            self.visit(tile, |row, columns, met| {
                let base = (row * kernel + j) * n;
                let target = &mut patches[base + columns.start..base + columns.end];
                let Some(start) = met.filter(|_| !run.is_empty()) else { return target.fill(0.0) };
                target[..run.start].fill(0.0);
                target[run.end..].fill(0.0);
                let source = &maps[start + first..];
                if stride == 1 {
                    target[run.clone()].copy_from_slice(&source[..run.len()]);
                } else {
                    for (target, source) in target[run.clone()].iter_mut().zip(source.iter().step_by(stride))
                    {
                        *target = *source;
                    }
                }
            });
        }
    }

    /// Adds every element of a tile's patch matrix to the element of the maps that it came from.
    pub(super) fn scatter(&self, patches: &[f64], tile: &Range<usize>, maps: &mut [f64]) {
        let kernel = self.window.columns.kernel;
        let stride = self.window.columns.stride;
        let n = tile.len() * self.window.columns.output;
        for j in 0..kernel {
            let (run, first) = self.run(j);
            self.visit(tile, |row, columns, met| {
                let Some(start) = met.filter(|_| !run.is_empty()) else { return };
                let base = (row * kernel + j) * n + columns.start;
                let source = &patches[base + run.start..base + run.end];
                let target = &mut maps[start + first..];
                if stride == 1 {
                    for (target, source) in target.iter_mut().zip(source) {
                        *target += source;
                    }
                } else {
                    for (target, source) in target.iter_mut().step_by(stride).zip(source) {
                        *target += source;
                    }
                }
            });
        }
    }
}
