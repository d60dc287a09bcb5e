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

use super::convolution::{self, Plan};
use super::patches::Maps;
use super::window::{self, Pads, Window};
use super::{
    Advance, Backward, Block, Category, Column, Forward, Inferred, LayerInits, Misfit, Op, ParamSpec, Role,
    Room, Shape, Spread, TIE, Transfer,
};
use crate::args::{Kind, Param, Reader, absent, optional, required, word};
use crate::diag::rules;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::tensor::{Product, gemm, product};

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
    inits: LayerInits,
}

/// The zeros around a map.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Padding {
    /// As many above as below, and left as right.
    Even([usize; 2]),
    /// As many as keep the size of the map.
    Same,
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
        Ok(Plan::new(window, channels, self.out, self.groups))
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
        TIE,
    ];
    const CATEGORY: Category = Category::Layer;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (out, kernel, stride) = (args.size("out"), args.size_pair("kernel"), args.size_pair("stride"));
        let pad = args.value("pad").and_then(|value| match word(&value.value) {
            Some("same") => Some(Padding::Same),
            _ => args.pair("pad", &value, 0).map(Padding::Even),
        });
        let (dilation, groups, bias) = (args.size_pair("dilation"), args.size("groups"), args.flag("bias"));
        let inits = LayerInits::read(args);
        Some(Self {
            out: out?,
            kernel: kernel?,
            stride: stride?,
            pad: pad?,
            dilation: dilation?,
            groups: groups?,
            bias: bias?,
            inits: inits?,
        })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { out, kernel, stride, pad, dilation, groups, bias, inits: _ } = self;
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
        let fan_in = plan.depth();
        let spec =
            |name, dims, role, init| ParamSpec { name, dims, fan_in, fan_out, role, init, drawn: None };
        let dims = vec![self.out, plan.channels[1], height, width];
        let mut params = vec![spec("weight", dims, Role::Kernel, self.inits.weight.clone())];
        if self.bias {
            params.push(spec("bias", vec![self.out], Role::Bias, Some(self.inits.bias.clone())));
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
        plan.apply(batch, inputs[0], params[0], params.get(1).copied(), &mut output, &mut scratch);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward {
            batch, shapes, inputs, params, mut scratch, cotangent, inputs_grad, params_grad, ..
        } = io;
        let plan = self.planned(shapes[0]);
        let [by_map] = inputs_grad else { unreachable!("internal: a convolution has one input") };
        let Some((by_kernel, by_bias)) = params_grad.split_first_mut() else { return };
        if let Some(Some(grad)) = by_bias.first_mut() {
            convolution::sums(cotangent, plan.window.positions(), grad);
        }
        plan.reverse(batch, inputs[0], params[0], cotangent, by_map, by_kernel, &mut scratch);
    }

    fn taps(&self, input: &Shape) -> Option<[window::Taps; 2]> {
        let Window { rows, columns } = self.planned(input).window;
        Some([rows.into(), columns.into()])
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let plan = self.planned(io.shapes[0]);
        super::affine_moments(&io, fan(&plan), plan.window.reach().0, self.out)
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let plan = self.planned(io.shapes[0]);
        super::affine_energy(&io, fan(&plan), plan.window.reach().0, cotangent)
    }

    /// A tap moves its output channel by what it meets at every position, a bias by 1.
    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, shapes, inputs, param, index, column, .. } = io;
        let plan = self.planned(shapes[0]);
        let positions = plan.window.positions();
        if param == 1 {
            column.resize(batch * positions, 1.0);
            return Some(Block::run(index * positions, positions));
        }
        let (output, tap) = (index / plan.depth(), index % plan.depth());
        let (channel, tap) = (tap / plan.window.taps(), tap % plan.window.taps());
        let channel = output / plan.outputs[1] * plan.channels[1] + channel;
        let Window { rows, columns } = plan.window;
        let (i, j) = (tap / columns.kernel, tap % columns.kernel);
        column.resize(batch * positions, 0.0);
        let (met, size) = (columns.positions(j), plan.window.elements());
        for (sample, column) in column.chunks_exact_mut(positions).enumerate() {
            let map = (sample * plan.channels[0] + channel) * size;
            for row in rows.positions(i).filter(|_| !met.is_empty()) {
                let first = map + rows.element(row, i) * columns.input + columns.element(met.start, j);
                let target = &mut column[row * columns.output..][met.clone()];
                let source = inputs[0].plane(0)[first..].iter().step_by(columns.stride);
                target.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
            }
        }
        Some(Block::run(output * positions, positions))
    }

    fn spread(&self, input: &Shape, block: Block) -> Spread {
        Spread::affine_in_channels(input, block)
    }

    /// Adds the convolution of the channel's change with the taps that look at it.
    fn advance(&self, io: Advance<'_>) {
        let Advance { batch, input, params, block, change, output, scratch, .. } = io;
        let plan = self.planned(input);
        let (taps, depth, own) = (plan.window.taps(), plan.depth(), plan.outputs[1]);
        let channel = block.start / block.count;
        let (group, place) = (channel / plan.channels[1], channel % plan.channels[1]);
        let most = plan.columns().min(batch * plan.window.positions());
        scratch.resize(own * taps + (taps + own) * most, 0.0);
        let (kernel, room) = scratch.split_at_mut(own * taps);
        let weights = params[0].plane(0)[plan.kernel(group)].chunks_exact(depth);
        for (to, from) in kernel.chunks_exact_mut(taps).zip(weights) {
            to.copy_from_slice(&from[place * taps..(place + 1) * taps]);
        }
        let maps = Maps { channels: 1, chosen: 0..1, window: plan.window };
        for tile in plan.tiles(batch) {
            let n = tile.len() * plan.window.columns.output;
            let (patches, rest) = room.split_at_mut(taps * n);
            maps.gather(change, &tile, patches);
            let result = &mut rest[..own * n];
            gemm::real(Product::new(own, taps, n), kernel, patches, result);
            plan.runs(group, &tile, |value, place| {
                output[value].iter_mut().zip(&result[place]).for_each(|(y, change)| *y += change);
            });
        }
    }
}

/// The length of the sums of one output.
#[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
fn fan(plan: &Plan) -> f64 {
    plan.depth() as f64
}
