//! Affine map of the last axis: `y = x W^T + b`.
//!
//! `weight` is `[out, in]` as in PyTorch; every axis but the last is carried along. fan_in is `in`, fan_out is `out`.
//! At initialisation E y^2 = in Var(w) E x^2 + Var(b), so the variance of the weights must suit the activation that
//! consumes the result: 2/in before a ReLU, 1/in or 2/(in + out) before tanh.
//!
//! `tie=fc1` takes the weight of an earlier layer in place of one of its own: `wellposed explain tie` has the rules.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `linear(3, init=he_normal)` | `[B,4]` | `[B,3]` |
//! | `linear(2, bias=false, init=lecun_normal)` | `[B,3,5]` | `[B,3,2]` |
//! | `linear(1, init=xavier_uniform, bias_init=normal(0.1))` | `[B,7]` | `[B,1]` |
//! | `linear(3, init=zeros)` | `[B]` | error |

use super::{
    Advance, Backward, Block, Category, Column, Forward, Inferred, LayerInits, Misfit, Op, ParamSpec, Role,
    Shape, Spread, TIE, Transfer,
};
use crate::args::{Kind, Param, Reader, absent, optional, required};
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::tensor::{Product, gemm, product};

/// The operator `linear`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    out: usize,
    bias: bool,
    inits: LayerInits,
}

impl Op for Linear {
    const SIGNATURE: &'static [Param] = &[
        required("out", Kind::Size, "the number of outputs"),
        optional("bias", Kind::Flag, "true", "whether a bias is added"),
        absent("init", Kind::Init, "how the weights are drawn; a lint proposes the scheme that fits"),
        optional("bias_init", Kind::Init, "zeros", "how the biases are drawn"),
        TIE,
    ];
    const CATEGORY: Category = Category::Layer;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (out, bias) = (args.size("out"), args.flag("bias"));
        let inits = LayerInits::read(args);
        Some(Self { out: out?, bias: bias?, inits: inits? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { out, bias, inits: _ } = self;
        vec![("out", out.to_string()), ("bias", bias.to_string())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let Some((&fan_in, outer)) = inputs[0].sample().split_last() else {
            return Err(Misfit::shape(format!("`linear` needs a feature axis and gets {}", inputs[0])));
        };
        let mut sample = outer.to_vec();
        sample.push(self.out);
        let fan_out = self.out;
        let spec =
            |name, dims, role, init| ParamSpec { name, dims, fan_in, fan_out, role, init, drawn: None };
        let mut params =
            vec![spec("weight", vec![self.out, fan_in], Role::Kernel, self.inits.weight.clone())];
        if self.bias {
            params.push(spec("bias", vec![self.out], Role::Bias, Some(self.inits.bias.clone())));
        }
        let flops = product(&[2, product(outer), fan_in, self.out]);
        Ok(Inferred { output: Shape::new(sample), params, flops, ..Inferred::default() })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, params, mut output, .. } = io;
        let n = self.out;
        let k = params[0].len() / n;
        let m = inputs[0].len() / k;
        if let Some(bias) = params.get(1) {
            for row in 0..m {
                output.part(row * n..(row + 1) * n).copy(*bias);
            }
        }
        let product = Product::new(m, k, n).b_transposed();
        let product = if self.bias { product.accumulating() } else { product };
        S::gemm(product, inputs[0], params[0], &mut output);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { inputs, params, cotangent, inputs_grad, params_grad, .. } = io;
        let n = self.out;
        let k = params[0].len() / n;
        let m = inputs[0].len() / k;
        if let Some(grad) = &mut inputs_grad[0] {
            S::gemm(Product::new(m, n, k), cotangent, params[0], grad);
        }
        if let Some(grad) = &mut params_grad[0] {
            S::gemm(Product::new(n, m, k).a_transposed(), cotangent, inputs[0], grad);
        }
        if let Some(Some(grad)) = params_grad.get_mut(1) {
            grad.fill(S::constant(0.0));
            for row in 0..m {
                grad.accumulate(cotangent.part(row * n..(row + 1) * n));
            }
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        super::affine_moments(&io, fan(&io), 1.0, self.out)
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        super::affine_energy(&io, fan(&io), 1.0, cotangent)
    }

    /// `weight[o, i]` moves output o by input i, `bias[o]` by 1.
    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, inputs, shapes, param, index, column, .. } = io;
        let k = shapes[0].last()?;
        let rows = inputs[0].len() / k;
        let output = if param == 0 {
            column.extend(inputs[0].plane(0)[index % k..].iter().step_by(k));
            index / k
        } else {
            column.resize(rows, 1.0);
            index
        };
        Some(Block::feature(output, self.out, rows / batch.max(1)))
    }

    fn spread(&self, _: &Shape, _: Block) -> Spread {
        Spread::Affine
    }

    /// Adds the changes of the features that the block holds, times their columns of the weights.
    fn advance(&self, io: Advance<'_>) {
        let Advance { batch, input, params, block, change, output, scratch, .. } = io;
        let (n, weight) = (self.out, params[0].plane(0));
        let k = weight.len() / n;
        scratch.clear();
        for feature in (0..block.count).map(|at| block.element(at) % k) {
            scratch.extend(weight[feature..].iter().step_by(k));
        }
        let places = input.elements() / k;
        if places == 1 && block.count > 1 {
            return gemm::real(Product::new(batch, block.count, n).accumulating(), change, scratch, output);
        }
        for (changes, output) in change.chunks_exact(block.count).zip(output.chunks_exact_mut(places * n)) {
            for (at, (change, column)) in changes.iter().zip(scratch.chunks_exact(n)).enumerate() {
                let place = block.element(at) / k;
                let row = &mut output[place * n..(place + 1) * n];
                row.iter_mut().zip(column).for_each(|(y, w)| *y += change * w);
            }
        }
    }
}

/// The length of the sums of one output.
#[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
fn fan(io: &Transfer<'_>) -> f64 {
    io.params[0].fan_in as f64
}
