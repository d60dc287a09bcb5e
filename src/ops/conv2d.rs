//! Convolution of maps `[B,C,H,W]` with kernels: `y[o,p] = b[o] + sum over c, i, j of w[o,c,i,j] x[c, p stride + (i,j) dilation - pad]`.
//!
//! As in PyTorch it is a cross-correlation (the kernel is not flipped), padding is zeros, and `weight` is
//! `[out, in/groups, height, width]`: with groups, output channels of group g see the input channels of group g alone, and
//! `groups` equal to the channels is the depthwise convolution. `kernel`, `stride`, `pad` and `dilation` take one number or
//! `[height, width]`. `pad=same` keeps the size of the map: `(kernel - 1) dilation` zeros in all, of which the odd one stands behind
//! (below, right) where the kernel is even; it needs stride 1.
//!
//! fan_in is in/groups times the kernel's size, fan_out is out times the kernel's size: PyTorch reads both off the weight's
//! shape, so its fan_out ignores the groups. (A depthwise kernel under `he_normal(fan_out)` therefore gets a variance that
//! is `groups` times too small; with `fan_in` it is right.) Away from the borders E y^2 = fan_in Var(w) E x^2 + Var(b), also for
//! correlated pixels (He et al. 2015); at the borders some taps meet zeros, so that the moments become an interval whose lower
//! end counts the taps inside.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `conv2d(3, kernel=3, init=he_normal)` | `[B,2,5,6]` | `[B,3,3,4]` |
//! | `conv2d(2, kernel=3, stride=2, pad=1, bias=false, init=he_normal)` | `[B,1,5,4]` | `[B,2,3,2]` |
//! | `conv2d(2, kernel=[2, 3], pad=[0, 2], dilation=[2, 1], init=xavier_normal, bias_init=normal(0.1))` | `[B,2,4,3]` | `[B,2,2,5]` |
//! | `conv2d(4, kernel=1, groups=2, init=lecun_normal)` | `[B,2,3,3]` | `[B,4,3,3]` |
//! | `conv2d(1, kernel=2, pad=same, init=he_normal)` | `[B,2,3,4]` | `[B,1,3,4]` |
//! | `conv2d(3, kernel=3, pad=1, groups=3, init=he_normal)` | `[B,3,3,3]` | `[B,3,3,3]` |
//! | `conv2d(3, kernel=3, init=he_normal)` | `[B,12]` | error |
//! | `conv2d(3, kernel=5, init=he_normal)` | `[B,2,4,4]` | error |
//! | `conv2d(3, kernel=3, stride=2, pad=same, init=he_normal)` | `[B,2,4,4]` | error |
//! | `conv2d(4, kernel=3, groups=2, init=he_normal)` | `[B,3,4,4]` | error |
//! | `conv2d(3, kernel=3, groups=2, init=he_normal)` | `[B,4,4,4]` | error |

use super::patches::{Maps, Segment, segments};
use super::window::{self, Pads, Window};
use super::{Backward, Category, Forward, Inferred, Misfit, Op, ParamSpec, Role, Room, Shape, Transfer};
use crate::args::{Kind, Param, Reader, absent, optional, required, word};
use crate::diag::rules;
use crate::inits::Init;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::{Product, View, ViewMut, product};
use std::ops::Range;

/// A tile has about this many positions: enough columns for a fast product, few enough that the patch matrix stays small.
const TILE: usize = 512;

/// The operator `conv2d`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    out: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: Padding,
    dilation: [usize; 2],
    groups: usize,
    bias: bool,
    init: Option<Spanned<Init>>,
    bias_init: Spanned<Init>,
}

/// The zeros around a map.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Padding {
    /// As many above as below, and left as right.
    Even([usize; 2]),
    /// As many as keep the size of the map.
    Same,
}

/// What the kernels iterate over.
struct Plan {
    window: Window,
    /// Input channels, in all and of one group.
    channels: [usize; 2],
    /// Output channels, in all and of one group.
    outputs: [usize; 2],
    /// Output rows of a tile.
    rows: usize,
}

impl Plan {
    /// The length of the sums of one output.
    fn depth(&self) -> usize {
        self.channels[1].saturating_mul(self.window.taps())
    }

    /// Whether every patch is an element of the map itself, so that the maps are the patch matrix.
    fn is_pointwise(&self) -> bool {
        let plain = |axis: &window::Axis| axis.kernel == 1 && axis.stride == 1 && axis.input == axis.output;
        plain(&self.window.rows) && plain(&self.window.columns)
    }

    /// Columns of a full tile.
    fn columns(&self) -> usize {
        self.rows.saturating_mul(self.window.columns.output)
    }

    /// Room for the patches and the result of a full tile.
    fn scratch(&self) -> usize {
        if self.is_pointwise() {
            0
        } else {
            product(&[self.depth().saturating_add(self.outputs[1]), self.columns()])
        }
    }

    /// The tiles of a batch.
    fn tiles(&self, batch: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (total, rows) = (batch * self.window.rows.output, self.rows);
        (0..total).step_by(rows).map(move |start| start..(start + rows).min(total))
    }

    /// The input channels of a group.
    fn maps(&self, group: usize) -> Maps {
        let [channels, own] = self.channels;
        Maps { channels, chosen: group * own..(group + 1) * own, window: self.window }
    }

    /// The weights of a group in the whole kernel.
    fn kernel(&self, group: usize) -> Range<usize> {
        let size = self.outputs[1] * self.depth();
        group * size..(group + 1) * size
    }

    /// Calls `each` with the place in the value and the place in the tile of every run of one output channel's elements.
    fn runs(&self, group: usize, tile: &Range<usize>, mut each: impl FnMut(Range<usize>, Range<usize>)) {
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
}

impl Conv2d {
    fn pads(&self) -> Pads {
        match self.pad {
            Padding::Even(pads) => pads.map(|pad| (pad, pad)),
            Padding::Same => [0, 1].map(|i| {
                let total = window::span(self.kernel[i], self.dilation[i]) - 1;
                (total / 2, total - total / 2)
            }),
        }
    }

    fn plan(&self, input: &Shape) -> Result<Plan, Misfit> {
        let [channels, height, width] = window::map_of("conv2d", input)?;
        for (count, what) in [(channels, "input"), (self.out, "output")] {
            if count % self.groups != 0 {
                let message =
                    format!("{} groups of `conv2d` do not divide {count} {what} channels", self.groups);
                let help = "each group takes an equal share of the channels, and gives one";
                return Err(Misfit::argument(&rules::NOT_DIVISIBLE, "groups", message).help(help));
            }
        }
        if self.pad == Padding::Same && self.stride != [1, 1] {
            let message = format!("`conv2d` pads to the same size at stride {}", window::pair(self.stride));
            let half = window::pair([0, 1].map(|i| self.pads()[i].0));
            let help =
                format!("`same` needs stride 1, as in PyTorch; write the padding as a number: pad={half}");
            return Err(Misfit::argument(&rules::OUT_OF_RANGE, "stride", message).help(help));
        }
        let window =
            Window::new("conv2d", [height, width], self.kernel, self.stride, self.dilation, self.pads())?;
        Ok(Plan {
            window,
            channels: [channels, channels / self.groups],
            outputs: [self.out, self.out / self.groups],
            rows: (TILE / window.columns.output).max(1),
        })
    }

    fn planned(&self, input: &Shape) -> Plan {
        match self.plan(input) {
            Ok(plan) => plan,
            Err(misfit) => unreachable!("internal: shapes were inferred: {}", misfit.message),
        }
    }
}

impl Op for Conv2d {
    const SIGNATURE: &'static [Param] = &[
        required("out", Kind::Size, "the number of output channels"),
        required("kernel", Kind::SizePair, "the size of the kernel"),
        optional("stride", Kind::SizePair, "1", "the distance of two positions"),
        optional("pad", Kind::Padding, "0", "zeros on each side; `same` keeps the size of the map"),
        optional("dilation", Kind::SizePair, "1", "the distance of two taps of the kernel"),
        optional("groups", Kind::Size, "1", "channels are divided into groups that do not see each other"),
        optional("bias", Kind::Flag, "true", "whether a bias is added"),
        absent("init", Kind::Init, "how the weights are drawn; a lint proposes the scheme that fits"),
        optional("bias_init", Kind::Init, "zeros", "how the biases are drawn"),
    ];
    const CATEGORY: Category = Category::Layer;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (out, kernel, stride) = (args.size("out"), args.size_pair("kernel"), args.size_pair("stride"));
        let pad = args.value("pad").and_then(|value| match word(&value.value) {
            Some("same") => Some(Padding::Same),
            _ => args.pair("pad", &value, 0).map(Padding::Even),
        });
        let (dilation, groups, bias) = (args.size_pair("dilation"), args.size("groups"), args.flag("bias"));
        let init = args.span_of("init").map(|_| args.with("init", Init::from_value));
        let bias_init = args.with("bias_init", Init::from_value);
        Some(Self {
            out: out?,
            kernel: kernel?,
            stride: stride?,
            pad: pad?,
            dilation: dilation?,
            groups: groups?,
            bias: bias?,
            init: match init {
                Some(read) => Some(read?),
                None => None,
            },
            bias_init: bias_init?,
        })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { out, kernel, stride, pad, dilation, groups, bias, init: _, bias_init: _ } = self;
        let pad = match pad {
            Padding::Even(pads) => window::pair(*pads),
            Padding::Same => "same".to_owned(),
        };
        vec![
            ("out", out.to_string()),
            ("kernel", window::pair(*kernel)),
            ("stride", window::pair(*stride)),
            ("pad", pad),
            ("dilation", window::pair(*dilation)),
            ("groups", groups.to_string()),
            ("bias", bias.to_string()),
        ]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let plan = self.plan(inputs[0])?;
        let [height, width] = self.kernel;
        let fan_out = product(&[self.out, height, width]);
        let spec =
            |name, dims, role, init| ParamSpec { name, dims, fan_in: plan.depth(), fan_out, role, init };
        let dims = vec![self.out, plan.channels[1], height, width];
        let mut params = vec![spec("weight", dims, Role::Kernel, self.init.clone())];
        if self.bias {
            params.push(spec("bias", vec![self.out], Role::Bias, Some(self.bias_init.clone())));
        }
        let Window { rows, columns } = plan.window;
        Ok(Inferred {
            output: Shape::new([self.out, rows.output, columns.output]),
            params,
            scratch: Room { fixed: plan.scratch(), per_sample: 0 },
            flops: product(&[2, self.out, rows.output, columns.output, plan.depth()]),
            ..Inferred::default()
        })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, inputs, params, mut output, mut scratch, .. } = io;
        let plan = self.planned(shapes[0]);
        let (x, weight, bias) = (inputs[0], params[0], params.get(1));
        let (depth, own) = (plan.depth(), plan.outputs[1]);
        let finish = |shape: Product| if bias.is_some() { shape.accumulating() } else { shape };
        if plan.is_pointwise() {
            let n = plan.window.positions();
            for sample in 0..batch {
                for group in 0..self.groups {
                    let (input, result) = pointwise(&plan, sample, group);
                    let mut result = output.part(result);
                    spread(&mut result, bias, group * own, n);
                    let shape = finish(Product::new(own, depth, n));
                    S::gemm(shape, weight.part(plan.kernel(group)), x.part(input), &mut result);
                }
            }
            return;
        }
        for tile in plan.tiles(batch) {
            let n = tile.len() * plan.window.columns.output;
            for group in 0..self.groups {
                let maps = plan.maps(group);
                let (mut patches, mut result) = scratch.divide(depth * n, own * n);
                for plane in 0..S::PLANES {
                    maps.gather(x.plane(plane), &tile, patches.plane(plane));
                }
                spread(&mut result, bias, group * own, n);
                let shape = finish(Product::new(own, depth, n));
                S::gemm(shape, weight.part(plan.kernel(group)), patches.view(), &mut result);
                for plane in 0..S::PLANES {
                    let (target, source) = (output.plane(plane), result.plane(plane));
                    plan.runs(group, &tile, |value, place| target[value].copy_from_slice(&source[place]));
                }
            }
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward {
            batch, shapes, inputs, params, mut scratch, cotangent, inputs_grad, params_grad, ..
        } = io;
        let plan = self.planned(shapes[0]);
        let (x, weight) = (inputs[0], params[0]);
        let (depth, own) = (plan.depth(), plan.outputs[1]);
        for grad in inputs_grad.iter_mut().chain(params_grad.iter_mut()).flatten() {
            for plane in 0..S::PLANES {
                grad.plane(plane).fill(0.0);
            }
        }
        if let Some(Some(grad)) = params_grad.get_mut(1) {
            let n = plan.window.positions();
            for plane in 0..S::PLANES {
                for (row, values) in cotangent.plane(plane).chunks_exact(n).enumerate() {
                    grad.plane(plane)[row % self.out] += values.iter().sum::<f64>();
                }
            }
        }
        let by_weights = |n: usize| Product::new(own, n, depth).b_transposed().accumulating();
        let by_maps = |n: usize| Product::new(depth, own, n).a_transposed();
        if plan.is_pointwise() {
            let n = plan.window.positions();
            for sample in 0..batch {
                for group in 0..self.groups {
                    let (input, result) = pointwise(&plan, sample, group);
                    let (kernel, slope) = (plan.kernel(group), cotangent.part(result));
                    if let Some(grad) = &mut params_grad[0] {
                        S::gemm(by_weights(n), slope, x.part(input.clone()), &mut grad.part(kernel.clone()));
                    }
                    if let Some(grad) = &mut inputs_grad[0] {
                        S::gemm(by_maps(n), weight.part(kernel), slope, &mut grad.part(input));
                    }
                }
            }
            return;
        }
        for tile in plan.tiles(batch) {
            let n = tile.len() * plan.window.columns.output;
            for group in 0..self.groups {
                let maps = plan.maps(group);
                let (mut patches, mut slope) = scratch.divide(depth * n, own * n);
                for plane in 0..S::PLANES {
                    let (target, source) = (slope.plane(plane), cotangent.plane(plane));
                    plan.runs(group, &tile, |value, place| target[place].copy_from_slice(&source[value]));
                }
                if let Some(grad) = &mut params_grad[0] {
                    for plane in 0..S::PLANES {
                        maps.gather(x.plane(plane), &tile, patches.plane(plane));
                    }
                    S::gemm(by_weights(n), slope.view(), patches.view(), &mut grad.part(plan.kernel(group)));
                }
                if let Some(grad) = &mut inputs_grad[0] {
                    S::gemm(by_maps(n), weight.part(plan.kernel(group)), slope.view(), &mut patches);
                    for plane in 0..S::PLANES {
                        maps.scatter(patches.plane(plane), &tile, grad.plane(plane));
                    }
                }
            }
        }
    }

    fn taps(&self, input: &Shape) -> Option<[window::Taps; 2]> {
        let Window { rows, columns } = self.planned(input).window;
        Some([rows.into(), columns.into()])
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let (reach, _) = self.planned(io.shapes[0]).window.reach();
        super::affine_moments(&io, reach)
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let (reach, _) = self.planned(io.shapes[0]).window.reach();
        super::affine_energy(&io, reach, cotangent)
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
fn spread<S: Scalar>(rows: &mut ViewMut<'_, S>, bias: Option<&View<'_, S>>, first: usize, n: usize) {
    let Some(bias) = bias else { return };
    for plane in 0..S::PLANES {
        for (row, value) in rows.plane(plane).chunks_exact_mut(n).zip(&bias.plane(plane)[first..]) {
            row.fill(*value);
        }
    }
}
