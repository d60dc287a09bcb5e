//! Windows that slide over maps `[B,C,H,W]`: what convolutions and pools have in common.
//!
//! Contract: a [`Window`] says for each axis which input element a tap of the window meets at an output position, and
//! which positions meet one at all: behind the edge there is padding. The number of positions is
//! `floor((input + padding - span) / stride) + 1` with `span = (kernel - 1) dilation + 1`, as in PyTorch
//! (`ceil_mode=False`).

use super::{Misfit, Shape};
use crate::args::{Reader, word};
use crate::diag::{Diagnostic, rules};
use std::ops::Range;

/// One axis of a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// The length of the map.
    pub input: usize,
    /// The number of positions.
    pub output: usize,
    /// The number of taps.
    pub kernel: usize,
    /// The distance of two positions.
    pub stride: usize,
    /// The distance of two taps.
    pub dilation: usize,
    /// The padding before the first element.
    pub before: usize,
}

/// How far the taps of a window reach.
pub(super) fn span(kernel: usize, dilation: usize) -> usize {
    (kernel - 1).saturating_mul(dilation).saturating_add(1)
}

impl Axis {
    /// An axis with padding before and behind the map; `None` if the window does not fit.
    fn new(
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        (before, after): (usize, usize),
    ) -> Option<Self> {
        let padded = input.saturating_add(before).saturating_add(after);
        let output = padded.checked_sub(span(kernel, dilation))? / stride + 1;
        Some(Self { input, output, kernel, stride, dilation, before })
    }

    /// The axis along which every element of an input is spread over the taps of a window: the input has the positions, and the
    /// map is what they cover without `pad` elements at each end, with `extra` ones behind. `None` if nothing is left.
    fn spread(
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        (pad, extra): (usize, usize),
    ) -> Option<Self> {
        let covered = (input - 1).saturating_mul(stride).saturating_add(span(kernel, dilation));
        let map = covered.saturating_add(extra).checked_sub(pad.saturating_mul(2)).filter(|map| *map > 0)?;
        Some(Self { input: map, output: input, kernel, stride, dilation, before: pad })
    }

    /// How many elements of a spread input an element of the map sums over: between the borders, on average over the phases of
    /// the stride, and on average over the whole map.
    #[expect(clippy::cast_precision_loss, reason = "lengths of maps are far below 2^53")]
    fn depth(&self) -> (f64, f64) {
        let (kernel, input) = (self.kernel as f64, self.output as f64);
        let inside = (kernel / self.stride as f64).min(input);
        (inside, input * kernel * self.reach().0 / self.input as f64)
    }

    /// The positions at which a tap meets the map.
    #[inline]
    pub(super) fn positions(&self, tap: usize) -> Range<usize> {
        let offset = tap * self.dilation;
        let first = self.before.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(offset).div_ceil(self.stride).min(self.output);
        first.min(end)..end
    }

    /// The taps that meet the map at a position.
    #[inline]
    pub(super) fn taps(&self, position: usize) -> Range<usize> {
        let start = position * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.input + self.before).saturating_sub(start).div_ceil(self.dilation).min(self.kernel);
        first.min(end)..end
    }

    /// The element that a tap meets at a position, which must be one of [`positions`](Self::positions).
    #[inline]
    pub(super) fn element(&self, position: usize, tap: usize) -> usize {
        position * self.stride + tap * self.dilation - self.before
    }

    /// Mean and mean square over the positions of the share of the taps that meet the map; of more than 1000 positions, over
    /// an even selection.
    #[expect(clippy::cast_precision_loss, reason = "lengths of maps are far below 2^53")]
    fn reach(&self) -> (f64, f64) {
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for position in (0..self.output).step_by(self.output.div_ceil(1000)) {
            let share = self.taps(position).len() as f64 / self.kernel as f64;
            count += 1.0;
            sum += share;
            squares += share * share;
        }
        (sum / count, squares / count)
    }
}

/// What a window meets along one axis of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taps {
    /// The length of the map.
    pub input: usize,
    /// The number of taps, inside the map or not.
    pub kernel: usize,
    /// By position: the elements that taps meet.
    pub met: Vec<Vec<usize>>,
}

impl From<Axis> for Taps {
    fn from(axis: Axis) -> Self {
        let met = |position| axis.taps(position).map(|tap| axis.element(position, tap)).collect();
        Self { input: axis.input, kernel: axis.kernel, met: (0..axis.output).map(met).collect() }
    }
}

/// A window that slides over the two axes of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// From top to bottom.
    pub rows: Axis,
    /// From left to right.
    pub columns: Axis,
}

/// Padding before and behind each axis.
pub(super) type Pads = [(usize, usize); 2];

impl Window {
    /// A window over a map of `[height, width]`; the reason if it does not fit, by the operator's name.
    pub(super) fn new(
        name: &str,
        map: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        pads: Pads,
    ) -> Result<Self, Misfit> {
        let axis = |i: usize| Axis::new(map[i], kernel[i], stride[i], dilation[i], pads[i]);
        if let (Some(rows), Some(columns)) = (axis(0), axis(1)) {
            return Ok(Self { rows, columns });
        }
        let spans = [0, 1].map(|i| span(kernel[i], dilation[i]));
        let padded = [0, 1].map(|i| map[i].saturating_add(pads[i].0).saturating_add(pads[i].1));
        let how = if dilation == [1, 1] {
            String::new()
        } else {
            format!(" (kernel {}, dilation {})", by(kernel), by(dilation))
        };
        let grown = if padded == map { String::new() } else { format!(", {} with its padding", by(padded)) };
        let message =
            format!("the window of `{name}` spans {}{how} on a map of {}{grown}", by(spans), by(map));
        let help = "use a smaller kernel, more padding, or fewer strides and pools before it";
        Err(Misfit::argument(&rules::WINDOW_TOO_LARGE, "kernel", message).help(help))
    }

    /// A window that spreads the elements of a map of `[height, width]`, as [`Axis::spread`] says; the reason if nothing is left.
    pub(super) fn spread(
        name: &str,
        map: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        [pad, extra]: [[usize; 2]; 2],
    ) -> Result<Self, Misfit> {
        let axis = |i: usize| Axis::spread(map[i], kernel[i], stride[i], dilation[i], (pad[i], extra[i]));
        if let (Some(rows), Some(columns)) = (axis(0), axis(1)) {
            return Ok(Self { rows, columns });
        }
        let covered = [0, 1].map(|i| {
            let whole = (map[i] - 1).saturating_mul(stride[i]).saturating_add(span(kernel[i], dilation[i]));
            whole.saturating_add(extra[i])
        });
        let message = format!(
            "`{name}` makes {} of a map of {}, and a padding of {} takes all of it away",
            by(covered),
            by(map),
            pair(pad)
        );
        let help = "the padding of a transposed convolution is cut off at each side: use less of it";
        Err(Misfit::argument(&rules::WINDOW_TOO_LARGE, "pad", message).help(help))
    }

    /// How many elements of a spread input an element of the map sums over: between the borders, and on average.
    pub(super) fn depth(&self) -> (f64, f64) {
        let (rows, columns) = (self.rows.depth(), self.columns.depth());
        (rows.0 * columns.0, rows.1 * columns.1)
    }

    /// The number of positions.
    pub(super) fn positions(&self) -> usize {
        self.rows.output.saturating_mul(self.columns.output)
    }

    /// The number of taps.
    pub(super) fn taps(&self) -> usize {
        self.rows.kernel.saturating_mul(self.columns.kernel)
    }

    /// The number of elements of the map.
    pub(super) fn elements(&self) -> usize {
        self.rows.input.saturating_mul(self.columns.input)
    }

    /// In how many windows an element lies at most.
    #[expect(clippy::cast_precision_loss, reason = "kernels are far below 2^53")]
    pub(super) fn overlap(&self) -> f64 {
        let most = |axis: &Axis| axis.kernel.div_ceil(axis.stride) as f64;
        most(&self.rows) * most(&self.columns)
    }

    /// The rows and columns of the map that an undilated window meets at a position, counted row by row.
    #[inline]
    pub(super) fn met(&self, position: usize) -> [Range<usize>; 2] {
        let met = |axis: &Axis, position: usize| {
            let taps = axis.taps(position);
            let first = axis.element(position, taps.start);
            first..first + taps.len()
        };
        [met(&self.rows, position / self.columns.output), met(&self.columns, position % self.columns.output)]
    }

    /// Mean and mean square over the positions of the share of the taps that meet the map.
    pub(super) fn reach(&self) -> (f64, f64) {
        let (rows, columns) = (self.rows.reach(), self.columns.reach());
        (rows.0 * columns.0, rows.1 * columns.1)
    }
}

/// Channels, height and width of a value that must be a map.
pub(super) fn map_of(name: &str, shape: &Shape) -> Result<[usize; 3], Misfit> {
    match *shape.sample() {
        [channels, height, width] => Ok([channels, height, width]),
        _ => {
            let message = format!("`{name}` needs maps [B,C,H,W] and gets {shape}");
            let help =
                "reshape([1, 8, 8]) makes one channel of 8 x 8; `as [1, 8, 8]` does so for data columns";
            Err(Misfit::shape(message).help(help))
        }
    }
}

/// Two lengths as people write them.
fn by([height, width]: [usize; 2]) -> String {
    format!("{height} x {width}")
}

/// Two lengths as a spec writes them: one number where they are equal.
pub(super) fn pair([height, width]: [usize; 2]) -> String {
    if height == width { height.to_string() } else { format!("[{height}, {width}]") }
}

/// Reads a margin of at least 0 for each axis, where `same` is no answer.
pub(super) fn margin(name: &str, param: &str, args: &mut Reader<'_>) -> Option<[usize; 2]> {
    let pad = args.value(param)?;
    if word(&pad.value) != Some("same") {
        return args.pair(param, &pad, 0);
    }
    let message = format!("`{param}` of `{name}` is `same`");
    args.report(
        Diagnostic::new(&rules::WRONG_TYPE, pad.span, message)
            .remark("must be an integer of at least 0, or two of them as [height, width]")
            .help("pad=1 keeps the size of a map under a kernel of 3 with stride 1"),
    );
    None
}

/// Kernel, stride and padding of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pool {
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 2],
}

impl Pool {
    /// Reads `kernel`, `stride` (the kernel where it is not given) and `pad`, which must be at most half of the kernel, as
    /// in PyTorch: every position then meets the map.
    pub(super) fn read(name: &str, args: &mut Reader<'_>) -> Option<Self> {
        let kernel = args.size_pair("kernel");
        let stride = args.span_of("stride").map(|_| args.size_pair("stride"));
        let pads = margin(name, "pad", args);
        let (kernel, pads) = (kernel?, pads?);
        let stride = match stride {
            Some(read) => read?,
            None => kernel,
        };
        if (0..2).any(|i| pads[i] > kernel[i] / 2) {
            let message = format!("`pad` of `{name}` is {} with a kernel of {}", pair(pads), pair(kernel));
            let span = args.span_of("pad").unwrap_or(args.call_span());
            args.report(
                Diagnostic::new(&rules::OUT_OF_RANGE, span, message)
                    .remark(format!("must be at most half of the kernel: {}", pair(kernel.map(|k| k / 2))))
                    .help("a wider margin would make windows that meet nothing but padding"),
            );
            return None;
        }
        Some(Self { kernel, stride, pad: pads })
    }

    /// The arguments in canonical form.
    pub(super) fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { kernel, stride, pad } = self;
        let mut list = vec![("kernel", pair(*kernel))];
        if stride != kernel {
            list.push(("stride", pair(*stride)));
        }
        list.push(("pad", pair(*pad)));
        list
    }

    /// The window over the maps of a value, and the shape of the result.
    pub(super) fn over(&self, name: &str, shape: &Shape) -> Result<(Window, Shape), Misfit> {
        let [channels, height, width] = map_of(name, shape)?;
        let pads = self.pad.map(|pad| (pad, pad));
        let window = Window::new(name, [height, width], self.kernel, self.stride, [1, 1], pads)?;
        Ok((window, Shape::new([channels, window.rows.output, window.columns.output])))
    }

    /// The window over maps that the shape rule has checked.
    pub(super) fn window(&self, shape: &Shape) -> Window {
        match self.over("pool", shape) {
            Ok((window, _)) => window,
            Err(misfit) => unreachable!("internal: shapes were inferred: {}", misfit.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `positions`, `taps` and `element` against the definition, tap by tap.
    #[test]
    fn an_axis_meets_the_map_where_the_definition_says() {
        let mut tried = 0;
        for input in 1..8usize {
            for (kernel, stride, dilation, before, after) in [
                (1, 1, 1, 0, 0),
                (3, 1, 1, 1, 1),
                (2, 1, 1, 0, 1),
                (3, 2, 2, 2, 2),
                (4, 3, 1, 1, 2),
                (2, 1, 5, 5, 5),
            ] {
                let padded = input + before + after;
                let reach = (kernel - 1) * dilation + 1;
                let axis = Axis::new(input, kernel, stride, dilation, (before, after));
                let Some(axis) = axis else {
                    assert!(reach > padded);
                    continue;
                };
                assert_eq!(axis.output, (padded - reach) / stride + 1);
                for position in 0..axis.output {
                    for tap in 0..kernel {
                        let place = position * stride + tap * dilation;
                        let inside = place >= before && place - before < input;
                        assert_eq!(axis.positions(tap).contains(&position), inside);
                        assert_eq!(axis.taps(position).contains(&tap), inside);
                        if inside {
                            assert_eq!(axis.element(position, tap), place - before);
                        }
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried > 300, "{tried}");
    }

    /// A spread axis against the definition: element p meets map element p stride + tap dilation - pad.
    #[test]
    fn a_spread_axis_covers_what_the_definition_says() {
        for (input, kernel, stride, dilation, pad, extra) in [
            (1, 4, 1, 1, 0, 0),
            (5, 4, 2, 1, 1, 0),
            (5, 3, 2, 1, 1, 1),
            (4, 3, 1, 3, 2, 2),
            (3, 1, 2, 1, 0, 1),
        ] {
            let axis = Axis::spread(input, kernel, stride, dilation, (pad, extra)).expect("it fits");
            assert_eq!(axis.input, (input - 1) * stride + dilation * (kernel - 1) + extra + 1 - 2 * pad);
            let mut pairs = 0;
            for position in 0..input {
                for tap in 0..kernel {
                    let place = position * stride + tap * dilation;
                    let inside = place >= pad && place - pad < axis.input;
                    assert_eq!(axis.positions(tap).contains(&position), inside);
                    assert_eq!(axis.taps(position).contains(&tap), inside);
                    pairs += usize::from(inside);
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let average = pairs as f64 / axis.input as f64;
            assert!((axis.depth().1 - average).abs() < 1e-12);
        }
        assert_eq!(Axis::spread(1, 2, 1, 1, (1, 0)), None);
        let window = Window::spread("w", [1, 1], [4, 4], [1, 1], [1, 1], [[0, 0]; 2]).expect("it fits");
        assert_eq!(window.depth(), (1.0, 1.0), "one element makes the whole map");
    }

    /// A 3 x 3 window with padding 1 on 8 x 8: 22 of 24 taps in each direction.
    #[test]
    fn reach_counts_the_taps_inside() {
        let window = Window::new("w", [8, 8], [3, 3], [1, 1], [1, 1], [(1, 1); 2]).expect("it fits");
        let (mean, square) = window.reach();
        assert!((mean - (22.0f64 / 24.0).powi(2)).abs() < 1e-15);
        assert!((square - ((6.0 + 8.0 / 9.0) / 8.0f64).powi(2)).abs() < 1e-15);
    }
}
