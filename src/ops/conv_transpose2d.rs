//! Transposed convolution of maps `[B,C,H,W]`: `y[o, p stride + (i,j) dilation - pad] += w[c,o,i,j] x[c,p]` over all c, p, i, j, plus `b[o]`.
//!
//! It spreads every element over the taps of a kernel, the reverse rule of `conv2d`, and makes maps larger: the side becomes
//! `(input - 1) stride - 2 pad + (kernel - 1) dilation + output_pad + 1`. As in PyTorch `weight` is `[in, out/groups, height, width]`,
//! `pad` cuts off the border, and `output_pad` adds rows and columns below and right, which must be fewer than the stride or the
//! dilation. `kernel`, `stride`, `pad`, `output_pad` and `dilation` take one number or `[height, width]`.
//!
//! An output sums over in/groups kernel/stride inputs along each axis on average, so fan_in is in/groups times the kernel's
//! size over the stride's, rounded: with it `he_normal` keeps the scale, E y^2 = fan_in Var(w) E x^2 + Var(b). PyTorch reads
//! out/groups times the kernel's size off the weight's shape, which is the number of outputs that an input feeds: that is fan_out
//! here, so `he_normal(fan_out)` draws what `kaiming_normal_` with its usual mode does, and `torch_default` follows PyTorch. Along an axis
//! that has fewer elements than kernel/stride, an output meets all of them and no more: a kernel of 4 on a map of 1 x 1 has the
//! fan of a linear layer.
//!
//! `tie=conv1` on a `conv2d` makes it the transpose of that convolution with the same weight, as in a tied autoencoder.
//!
//! Where the stride does not divide the kernel, neighbouring outputs sum over different numbers of inputs: a pattern like a
//! checkerboard from the start (Odena et al. 2016). At the borders outputs meet fewer inputs, so that the moments are an
//! interval between the average over the map and the value inside of it.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `conv_transpose2d(3, kernel=3, init=he_normal)` | `[B,2,3,4]` | `[B,3,5,6]` |
//! | `conv_transpose2d(2, kernel=4, stride=2, pad=1, bias=false, init=he_normal)` | `[B,3,3,2]` | `[B,2,6,4]` |
//! | `conv_transpose2d(2, kernel=3, stride=2, pad=1, output_pad=1, init=lecun_normal, bias_init=normal(0.1))` | `[B,4,2,3]` | `[B,2,4,6]` |
//! | `conv_transpose2d(4, kernel=[2, 3], stride=[1, 2], dilation=[2, 1], groups=2, init=xavier_normal)` | `[B,4,2,3]` | `[B,4,4,7]` |
//! | `conv_transpose2d(3, kernel=1, init=normal(0.5))` | `[B,2,3,3]` | `[B,3,3,3]` |
//! | `conv_transpose2d(2, kernel=4, bias=false, init=normal(0.3))` | `[B,3,1,1]` | `[B,2,4,4]` |
//! | `conv_transpose2d(3, kernel=3, init=he_normal)` | `[B,12]` | error |
//! | `conv_transpose2d(3, kernel=2, pad=1, init=he_normal)` | `[B,2,1,1]` | error |
//! | `conv_transpose2d(3, kernel=3, pad=same, init=he_normal)` | `[B,2,4,4]` | error |
//! | `conv_transpose2d(3, kernel=3, stride=2, output_pad=2, init=he_normal)` | `[B,2,4,4]` | error |
//! | `conv_transpose2d(4, kernel=3, groups=2, init=he_normal)` | `[B,3,4,4]` | error |
//! | `conv_transpose2d(3, kernel=3, groups=2, init=he_normal)` | `[B,4,4,4]` | error |

use super::convolution::{self, Plan};
use super::window::{self, Window};
use super::{
    Backward, Block, Category, Column, Forward, Inferred, LayerInits, Misfit, Op, ParamSpec, Role, Room,
    Shape, TIE, Transfer,
};
use crate::args::{Kind, Param, Reader, absent, optional, required};
use crate::diag::rules;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::tensor::product;

/// The operator `conv_transpose2d`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose2d {
    out: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    output_pad: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
    bias: bool,
    inits: LayerInits,
}

impl ConvTranspose2d {
    /// The convolution of which this is the transpose: its maps are the outputs here, its outputs the inputs.
    fn plan(&self, input: &Shape) -> Result<Plan, Misfit> {
        let name = "conv_transpose2d";
        let [channels, height, width] = window::map_of(name, input)?;
        for (count, what) in [(channels, "input"), (self.out, "output")] {
            if count % self.groups != 0 {
                let message =
                    format!("{} groups of `{name}` do not divide {count} {what} channels", self.groups);
                let help = "each group takes an equal share of the channels, and gives one";
                return Err(Misfit::argument(&rules::NOT_DIVISIBLE, "groups", message).help(help));
            }
        }
        if (0..2).any(|i| self.output_pad[i] >= self.stride[i].max(self.dilation[i])) {
            let message = format!(
                "`output_pad` of `{name}` is {} at stride {} and dilation {}",
                window::pair(self.output_pad),
                window::pair(self.stride),
                window::pair(self.dilation)
            );
            let help =
                "it completes what the stride leaves out, so it must be below the stride or the dilation";
            return Err(Misfit::argument(&rules::OUT_OF_RANGE, "output_pad", message).help(help));
        }
        let pads = [self.pad, self.output_pad];
        let window = Window::spread(name, [height, width], self.kernel, self.stride, self.dilation, pads)?;
        Ok(Plan::new(window, self.out, channels, self.groups))
    }

    fn planned(&self, input: &Shape) -> Plan {
        match self.plan(input) {
            Ok(plan) => plan,
            Err(misfit) => unreachable!("internal: shapes were inferred: {}", misfit.message),
        }
    }
}

/// How many inputs an output sums over: inside of the map, and what share of that it is on average, borders included.
#[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
fn fan(plan: &Plan) -> (f64, f64) {
    let (inside, average) = plan.window.depth();
    (plan.outputs[1] as f64 * inside, average / inside)
}

impl Op for ConvTranspose2d {
    const SIGNATURE: &'static [Param] = &[
        required("out", Kind::Size, "the number of output channels"),
        required("kernel", Kind::SizePair, "the size of the kernel"),
        optional("stride", Kind::SizePair, "1", "the distance of two kernels at the output"),
        optional("pad", Kind::Padding, "0", "how much of each border is cut off"),
        optional("output_pad", Kind::Padding, "0", "rows and columns below and right that few taps reach"),
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
        let pad = window::margin("conv_transpose2d", "pad", args);
        let output_pad = window::margin("conv_transpose2d", "output_pad", args);
        let (dilation, groups, bias) = (args.size_pair("dilation"), args.size("groups"), args.flag("bias"));
        let inits = LayerInits::read(args);
        Some(Self {
            out: out?,
            kernel: kernel?,
            stride: stride?,
            pad: pad?,
            output_pad: output_pad?,
            dilation: dilation?,
            groups: groups?,
            bias: bias?,
            inits: inits?,
        })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { out, kernel, stride, pad, output_pad, dilation, groups, bias, inits: _ } = self;
        vec![
            ("out", out.to_string()),
            ("kernel", window::pair(*kernel)),
            ("stride", window::pair(*stride)),
            ("pad", window::pair(*pad)),
            ("output_pad", window::pair(*output_pad)),
            ("dilation", window::pair(*dilation)),
            ("groups", groups.to_string()),
            ("bias", bias.to_string()),
        ]
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fan is a positive number")]
    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let plan = self.plan(inputs[0])?;
        let [height, width] = self.kernel;
        let [channels, own] = plan.outputs;
        let (fan_in, _) = fan(&plan);
        let (fan_in, fan_out) = ((fan_in.round() as usize).max(1), plan.depth());
        let dims = vec![channels, plan.channels[1], height, width];
        let role = Role::Kernel;
        let mut params = vec![ParamSpec {
            name: "weight",
            dims,
            fan_in,
            fan_out,
            role,
            init: self.inits.weight.clone(),
            drawn: None,
        }];
        if self.bias {
            params.push(ParamSpec {
                name: "bias",
                dims: vec![self.out],
                // What PyTorch scales biases by: the fan that it reads off the weight's shape.
                fan_in: plan.depth(),
                fan_out,
                role: Role::Bias,
                init: Some(self.inits.bias.clone()),
                drawn: None,
            });
        }
        let Window { rows, columns } = plan.window;
        Ok(Inferred {
            output: Shape::new([self.out, rows.input, columns.input]),
            params,
            scratch: Room { fixed: plan.scratch(), per_sample: 0 },
            flops: product(&[2, self.groups, own, rows.output, columns.output, plan.depth()]),
            ..Inferred::default()
        })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, inputs, params, output, mut scratch, .. } = io;
        let plan = self.planned(shapes[0]);
        let (x, weight) = (inputs[0], params[0]);
        let mut output = Some(output);
        plan.reverse(batch, x, weight, x, &mut output, &mut None, &mut scratch);
        let (Some(bias), Some(output)) = (params.get(1), &mut output) else { return };
        let n = plan.window.elements();
        for plane in 0..S::PLANES {
            let bias = bias.plane(plane);
            for (row, values) in output.plane(plane).chunks_exact_mut(n).enumerate() {
                values.iter_mut().for_each(|y| *y += bias[row % self.out]);
            }
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward {
            batch, shapes, inputs, params, mut scratch, cotangent, inputs_grad, params_grad, ..
        } = io;
        let plan = self.planned(shapes[0]);
        let (x, weight) = (inputs[0], params[0]);
        if let Some(Some(grad)) = params_grad.get_mut(1) {
            convolution::sums(cotangent, plan.window.elements(), grad);
        }
        if let Some(grad) = &mut inputs_grad[0] {
            plan.apply(batch, cotangent, weight, None, grad, &mut scratch);
        }
        if params_grad[0].is_some() {
            plan.reverse(batch, cotangent, weight, x, &mut None, &mut params_grad[0], &mut scratch);
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let (inside, share) = fan(&self.planned(io.shapes[0]));
        ordered(inside, share, |fan_in, reach| super::affine_moments(&io, fan_in, reach, self.out))
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let (inside, share) = fan(&self.planned(io.shapes[0]));
        ordered(inside, share, |fan_in, reach| super::affine_energy(&io, fan_in, reach, cotangent))
    }

    /// A tap moves its output channel at every element that an input of its channel is spread to, a bias by 1.
    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, shapes, inputs, param, index, column, .. } = io;
        let plan = self.planned(shapes[0]);
        let (size, positions) = (plan.window.elements(), plan.window.positions());
        if param == 1 {
            column.resize(batch * size, 1.0);
            return Some(Block::run(index * size, size));
        }
        let Window { rows, columns } = plan.window;
        let (channel, tap) = (index / plan.depth(), index % plan.depth());
        let (output, tap) = (tap / plan.window.taps(), tap % plan.window.taps());
        let output = channel / plan.outputs[1] * plan.channels[1] + output;
        let (i, j) = (tap / columns.kernel, tap % columns.kernel);
        column.resize(batch * size, 0.0);
        for (sample, column) in column.chunks_exact_mut(size).enumerate() {
            let map = (sample * plan.outputs[0] + channel) * positions;
            for row in rows.positions(i) {
                for place in columns.positions(j) {
                    let to = rows.element(row, i) * columns.input + columns.element(place, j);
                    column[to] = inputs[0].at(map + row * columns.output + place);
                }
            }
        }
        Some(Block::run(output * size, size))
    }
}

/// Calls `rule` with the larger of the number of inputs inside and on average, and the share that the smaller one is of it: strides
/// above the kernel leave gaps, of which a small map has fewer.
fn ordered<T>(inside: f64, share: f64, rule: impl FnOnce(f64, f64) -> T) -> T {
    if share <= 1.0 { rule(inside, share) } else { rule(inside * share, 1.0 / share) }
}
