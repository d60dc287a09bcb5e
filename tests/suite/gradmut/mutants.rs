//! Wrong reverse rules: the known mistakes of hand-written gradients, each at one node.
//!
//! A mutant runs the right rule on operands that it may have changed, or changes what the right rule gave, or computes the wrong
//! formula outright.

use wellposed::exec::{Registry, Reverse};
use wellposed::graph::{Node, ParamTensor, Penalty};
use wellposed::ops::Backward;
use wellposed::scalar::Scalar;
use wellposed::tensor::{Draws, Mode, Shape, View, ViewMut};

/// A mutant: its number in the list of known mistakes, its name, the operator, the net and the operands in which it is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    pub number: usize,
    pub name: &'static str,
    pub op: &'static str,
    pub net: &'static str,
    /// The path of the node.
    pub node: &'static str,
    /// `input`, `weight`, `bias`, or several of them.
    pub operands: &'static [&'static str],
    /// Why nothing is wrong, for one that computes the right derivative.
    pub equivalent: Option<&'static str>,
}

const fn mutant(
    number: usize,
    name: &'static str,
    op: &'static str,
    net: &'static str,
    node: &'static str,
    operands: &'static [&'static str],
) -> Mutant {
    Mutant { number, name, op, net, node, operands, equivalent: None }
}

const fn same(mutant: Mutant, net: &'static str, why: &'static str) -> Mutant {
    Mutant { net, equivalent: Some(why), ..mutant }
}

const INPUT: &[&str] = &["input"];
const WEIGHT: &[&str] = &["weight"];
const BIAS: &[&str] = &["bias"];
const ALL_THREE: &[&str] = &["input 1", "input 2", "input 3"];

const BIASED: Mutant = mutant(9, "l2_on_bias", "linear", "mlp", "u", BIAS);
const TRANSPOSED: Mutant = mutant(10, "dense_gx_no_transpose", "linear", "mlp", "b", INPUT);
const UNSCALED: Mutant = mutant(50, "dropout_no_scale", "dropout", "mlp", "b.dropout", INPUT);
const REMASKED: Mutant = mutant(51, "dropout_mask_ignored", "dropout", "mlp", "b.dropout", INPUT);

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    mutant(1, "loss_missing_1N", "cross_entropy", "mlp", "loss", INPUT),
    mutant(2, "loss_N_minus_1", "cross_entropy", "mlp", "loss", INPUT),
    mutant(3, "ce_sign", "cross_entropy", "cnn", "loss", INPUT),
    mutant(4, "ce_smooth_forgotten", "cross_entropy", "mlp, labels smoothed", "loss", INPUT),
    mutant(5, "mse_factor2", "mse", "reg", "loss", INPUT),
    mutant(6, "huber_no_clip", "huber", "reg, huber", "loss", INPUT),
    mutant(7, "l2_forgotten", "penalty", "mlp", "", &[]),
    mutant(8, "l2_half", "penalty", "mlp", "", &[]),
    BIASED,
    same(BIASED, "mlp, biases zero", "the biases are 0 at the start, and so is their decay"),
    TRANSPOSED,
    same(TRANSPOSED, "mlp, weights zero", "a matrix of zeros is its own transpose"),
    mutant(11, "dense_gW_transposed", "linear", "mlp", "b", WEIGHT),
    mutant(12, "bias_missing_sum", "linear", "reg", "b", BIAS),
    mutant(13, "bias_mean", "linear", "reg", "b", BIAS),
    mutant(14, "tail_row_dropped", "linear", "mlp", "u", WEIGHT),
    mutant(15, "one_weight_zero", "linear", "mlp", "u", WEIGHT),
    mutant(16, "block_edge_col", "linear", "mlp", "r.s", WEIGHT),
    mutant(17, "f32_accum", "linear", "mlp", "b", WEIGHT),
    mutant(18, "bcast_take_first", "layer_norm", "mlp", "a.layer_norm", BIAS),
    mutant(19, "bcast_mean", "layer_norm", "mlp", "a.layer_norm", WEIGHT),
    mutant(20, "residual_skip_dropped", "add", "mlp", "r.add", &["input 2"]),
    mutant(21, "fanout_overwrite", "linear", "mlp", "r.s", INPUT),
    mutant(22, "conv_no_flip", "conv2d", "cnn", "g", INPUT),
    mutant(23, "conv_pad_off1", "conv2d", "cnn", "d", INPUT),
    mutant(24, "conv_border_lost", "conv2d", "cnn", "e", INPUT),
    mutant(25, "conv_stride_ignored", "conv2d", "cnn", "g", WEIGHT),
    mutant(26, "conv_bias_no_spatial", "conv2d", "cnn", "a", BIAS),
    mutant(27, "conv_corner_tap", "conv2d", "cnn", "a", WEIGHT),
    mutant(28, "group_idx_shift", "conv2d", "cnn", "d", WEIGHT),
    mutant(29, "bn_missing_mean_term", "batch_norm", "cnn", "a.batch_norm", INPUT),
    mutant(30, "bn_missing_var_term", "batch_norm", "cnn", "a.batch_norm", INPUT),
    mutant(31, "bn_stats_const", "batch_norm", "cnn", "a.batch_norm", INPUT),
    mutant(32, "bn_unbiased_var", "batch_norm", "cnn", "a.batch_norm", INPUT),
    mutant(33, "bn_eps_dropped", "batch_norm", "cnn", "a.batch_norm", INPUT),
    mutant(34, "bn_gamma_uses_x", "batch_norm", "cnn", "a.batch_norm", WEIGHT),
    mutant(35, "ln_missing_mean_term", "layer_norm", "mlp", "a.layer_norm", INPUT),
    mutant(36, "ln_wrong_axis", "layer_norm", "mlp", "a.layer_norm", INPUT),
    mutant(37, "leaky_slope", "leaky_relu", "cnn", "a.leaky_relu", INPUT),
    mutant(38, "leaky_as_relu", "leaky_relu", "cnn", "a.leaky_relu", INPUT),
    mutant(39, "relu_mask_shift", "relu", "mlp", "u.relu", INPUT),
    mutant(40, "elu_uses_y", "elu", "cnn", "d.elu", INPUT),
    mutant(41, "tanh_double", "tanh", "reg", "a.tanh", INPUT),
    mutant(42, "sigmoid_uses_x", "sigmoid", "mlp", "r.t.sigmoid", INPUT),
    mutant(43, "swish_partial", "silu", "mlp", "r.s.silu", INPUT),
    mutant(44, "gelu_tanh_for_erf", "gelu", "mlp", "a.gelu", INPUT),
    mutant(45, "gelu_no_pdf", "gelu", "mlp", "a.gelu", INPUT),
    mutant(46, "gelu_cubic_coef", "gelu", "mlp", "b.gelu", INPUT),
    mutant(47, "maxpool_spread", "max_pool", "cnn", "a.max_pool", INPUT),
    mutant(48, "maxpool_idx_off1", "max_pool", "cnn", "a.max_pool", INPUT),
    mutant(49, "avgpool_no_div", "avg_pool", "cnn", "g.avg_pool", INPUT),
    UNSCALED,
    same(UNSCALED, "mlp, nothing dropped", "the factor 1/keep is 1"),
    REMASKED,
    same(REMASKED, "mlp, nothing dropped", "every mask keeps all"),
    mutant(52, "embed_overwrite", "embedding", "words", "e", WEIGHT),
    mutant(52, "embed_overwrite", "embedding", "words, many rows", "e", WEIGHT),
    mutant(53, "softmax_diag_only", "softmax", "reg", "b.softmax", INPUT),
    mutant(54, "softmax_wrong_axis", "softmax", "reg", "b.softmax", INPUT),
    mutant(55, "attn_scale_missing", "attention", "tfm", "a", &["input 1", "input 2"]),
    mutant(56, "attn_gK_no_transpose", "attention", "tfm", "a", &["input 2"]),
    mutant(57, "one_weight_1e-2", "linear", "mlp", "b", WEIGHT),
    mutant(57, "one_weight_1e-4", "linear", "mlp", "b", WEIGHT),
    mutant(57, "one_weight_1e-6", "linear", "mlp", "b", WEIGHT),
    mutant(57, "one_weight_1e-9", "linear", "mlp", "b", WEIGHT),
    mutant(58, "rows_swapped", "linear", "mlp", "b", WEIGHT),
    mutant(59, "zero_sum_pair", "linear", "mlp", "b", WEIGHT),
    mutant(60, "stale_activation", "linear", "mlp", "v", WEIGHT),
    mutant(63, "tied_weight_once", "linear", "tied", "t", WEIGHT),
    mutant(64, "deconv_output_pad_lost", "conv_transpose2d", "up", "a", &["input", "weight"]),
    mutant(65, "dilation_ignored", "conv2d", "cnn", "e", WEIGHT),
    mutant(66, "gn_missing_var_term", "group_norm", "cnn", "e.group_norm", INPUT),
    mutant(67, "mul_operands_swapped", "mul", "cnn", "m", &["input 1", "input 2"]),
    mutant(68, "attn_mask_ignored", "attention", "tfm", "c", ALL_THREE),
    mutant(69, "attn_heads_mixed", "attention", "tfm", "a", ALL_THREE),
    mutant(70, "attn_gV_no_transpose", "attention", "tfm", "c", &["input 3"]),
    mutant(71, "attn_row_sum_lost", "attention", "tfm", "a", &["input 1", "input 2"]),
    mutant(72, "matmul_gA_no_transpose", "matmul", "tfm", "m", &["input 1"]),
    mutant(73, "matmul_gB_transposed_a", "matmul", "tfm", "m", &["input 2"]),
    mutant(74, "matmul_swapped", "matmul", "tfm", "m", &["input 1", "input 2"]),
    mutant(75, "embed_row_off1", "embedding", "words", "e", WEIGHT),
    mutant(76, "embed_mean", "embedding", "words", "e", WEIGHT),
    mutant(77, "scale_no_spatial", "layer_scale", "branch", "r.c", &["gamma"]),
    mutant(78, "scale_gx_unscaled", "layer_scale", "branch", "s.t", INPUT),
    mutant(79, "scale_gamma_uses_y", "layer_scale", "branch", "s.t", &["gamma"]),
];

/// What the list has and the language has not.
pub const ABSENT: &[(usize, &str, &str)] =
    &[(61, "lstm_forget_sign", "no recurrent layer"), (62, "bptt_truncated", "no recurrent layer")];

/// What a rule reads.
#[derive(Clone)]
struct Context<'a, S: Scalar> {
    batch: usize,
    mode: Mode,
    shapes: &'a [&'a Shape],
    shape: &'a Shape,
    inputs: Vec<View<'a, S>>,
    params: Vec<View<'a, S>>,
    state: &'a [&'a [f64]],
    output: View<'a, S>,
    saved: View<'a, S>,
    draws: Draws,
    cotangent: View<'a, S>,
    scratch: usize,
}

/// Planes of the results of a rule: by inputs, by parameters.
type Results = [Vec<Option<Vec<f64>>>; 2];

impl<S: Scalar> Context<'_, S> {
    /// Runs the right rule for what `like` has.
    fn run(&self, node: &Node, like: &Results) -> Results {
        let mut results = like.clone();
        let mut scratch = vec![0.0; S::PLANES * self.scratch];
        let [inputs, params] = &mut results;
        let mut inputs: Vec<Option<ViewMut<'_, S>>> = inputs.iter_mut().map(views).collect();
        let mut params: Vec<Option<ViewMut<'_, S>>> = params.iter_mut().map(views).collect();
        node.op.backward(Backward {
            batch: self.batch,
            mode: self.mode,
            shapes: self.shapes,
            shape: self.shape,
            inputs: &self.inputs,
            params: &self.params,
            state: self.state,
            output: self.output,
            saved: self.saved,
            scratch: ViewMut::new(&mut scratch),
            draws: self.draws,
            cotangent: self.cotangent,
            inputs_grad: &mut inputs,
            params_grad: &mut params,
        });
        results
    }
}

fn views<S: Scalar>(room: &mut Option<Vec<f64>>) -> Option<ViewMut<'_, S>> {
    room.as_mut().map(|room| ViewMut::new(room))
}

/// Planes of scalars.
fn stored<S: Scalar>(values: impl Iterator<Item = S>, n: usize) -> Vec<f64> {
    let mut planes = vec![0.0; S::PLANES * n];
    values.enumerate().for_each(|(i, x)| x.store(&mut planes, n, i));
    planes
}

impl Reverse for Mutant {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != self.op || (self.node != "loss" && node.path.to_string() != self.node) {
            return node.op.backward(io);
        }
        let Backward { batch, mode, shapes, shape, inputs, params, state, output, saved, scratch, .. } = io;
        let Backward { draws, cotangent, inputs_grad, params_grad, .. } = io;
        let scratch = scratch.len();
        let (inputs, params) = (inputs.to_vec(), params.to_vec());
        let context = Context {
            batch,
            mode,
            shapes,
            shape,
            inputs,
            params,
            state,
            output,
            saved,
            draws,
            cotangent,
            scratch,
        };
        let room =
            |grad: &Option<ViewMut<'_, S>>| grad.as_ref().map(|grad| vec![0.0; S::PLANES * grad.len()]);
        let like = [inputs_grad.iter().map(room).collect(), params_grad.iter().map(room).collect()];
        let wrong = self.wrong(node, &context, like);
        for (grads, results) in [inputs_grad, params_grad].into_iter().zip(wrong) {
            for (grad, result) in grads.iter_mut().zip(results) {
                if let (Some(grad), Some(result)) = (grad, result) {
                    grad.copy(View::new(&result));
                }
            }
        }
    }

    fn penalty<S: Scalar>(
        &self,
        penalty: &Penalty,
        tensor: &ParamTensor,
        weights: View<'_, S>,
        grad: &mut ViewMut<'_, S>,
    ) {
        let factor = match self.name {
            "l2_forgotten" => 0.0,
            "l2_half" => 0.5,
            _ => return Registry.penalty(penalty, tensor, weights, grad),
        };
        Registry.penalty(
            &Penalty { factor: penalty.factor * factor, ..penalty.clone() },
            tensor,
            weights,
            grad,
        );
    }
}

/// The mean of some scalars.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn mean<S: Scalar>(values: impl Iterator<Item = S>, n: usize) -> S {
    let mut sum = S::constant(0.0);
    values.for_each(|x| sum += x);
    sum * (1.0 / n as f64)
}

impl Mutant {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small numbers"
    )]
    fn wrong<S: Scalar>(&self, node: &Node, io: &Context<'_, S>, like: Results) -> Results {
        let mut own = io.run(node, &like);
        let batch = io.batch as f64;
        let (x, y, g) = (io.inputs[0], io.output, io.cotangent);
        let elements = x.len();
        // Every element of a result, given its place.
        let each = |result: &mut Option<Vec<f64>>, f: &dyn Fn(usize, S) -> S| {
            let Some(planes) = result else { return };
            let mut view = ViewMut::<S>::new(planes);
            (0..view.len()).for_each(|i| view.set(i, f(i, view.at(i))));
        };
        // The right result at another place.
        let moved = |result: &mut Option<Vec<f64>>, from: &dyn Fn(usize) -> Option<usize>| {
            let Some(planes) = result else { return };
            let before = planes.clone();
            let (before, mut view) = (View::<S>::new(&before), ViewMut::<S>::new(planes));
            (0..view.len()).for_each(|i| view.set(i, from(i).map_or(S::constant(0.0), |i| before.at(i))));
        };
        // A slope times the cotangent.
        let slope = |result: &mut Option<Vec<f64>>, f: &dyn Fn(S, S) -> S| {
            each(result, &|i, _| f(x.at(i), y.at(i)) * g.at(i));
        };
        let largest = |result: &Option<Vec<f64>>| {
            let view = View::<S>::new(result.as_deref().unwrap_or_default());
            let size = |i: &usize| view.at(*i).primal().abs();
            (0..view.len()).max_by(|a, b| size(a).total_cmp(&size(b))).map_or((0, 0.0), |i| (i, size(&i)))
        };
        let one = || S::constant(1.0);
        let dims = |shape: &Shape| -> [usize; 3] {
            let sample = shape.sample();
            if sample.len() == 3 { [sample[0], sample[1], sample[2]] } else { [shape.elements(), 1, 1] }
        };
        let [_, height, width] = dims(io.shapes[0]);
        match self.name {
            "loss_missing_1N" => each(&mut own[0][0], &|_, d| d * batch),
            "loss_N_minus_1" => each(&mut own[0][0], &|_, d| d * (batch / (batch - 1.0))),
            "ce_sign" => each(&mut own[0][0], &|_, d| -d),
            "ce_smooth_forgotten" => {
                let classes = elements / io.batch;
                each(&mut own[0][0], &|i, d| {
                    let hit = io.inputs[1].at(i / classes).primal() as usize == i % classes;
                    let moved = 0.1 / classes as f64 - if hit { 0.1 } else { 0.0 };
                    d + g.at(i / classes) * moved
                });
            }
            "mse_factor2" => each(&mut own[0][0], &|_, d| d * 0.5),
            "huber_no_clip" => {
                let of = elements / io.batch;
                let share = 1.0 / of as f64;
                each(&mut own[0][0], &|i, _| (x.at(i) - io.inputs[1].at(i)) * g.at(i / of) * share);
            }
            "l2_on_bias" => each(&mut own[1][1], &|i, d| d + io.params[1].at(i) * 1e-4),
            "dense_gx_no_transpose" => {
                let n = io.params[0].len().isqrt();
                let weight = io.params[0];
                each(&mut own[0][0], &|i, _| {
                    mean((0..n).map(|j| g.at(i / n * n + j) * weight.at(i % n * n + j)), 1)
                });
            }
            "dense_gW_transposed" => {
                let n = io.params[0].len().isqrt();
                moved(&mut own[1][0], &|i| Some(i % n * n + i / n));
            }
            "bias_missing_sum" => each(&mut own[1][1], &|i, _| g.at(i)),
            "bias_mean" => each(&mut own[1][1], &|_, d| d * (1.0 / batch)),
            "tail_row_dropped" => {
                let mut cut = stored(g.iter(), g.len());
                let mut view = ViewMut::<S>::new(&mut cut);
                let row = view.len() / io.batch;
                (view.len() - row..view.len()).for_each(|i| view.set(i, S::constant(0.0)));
                let less = Context { cotangent: View::new(&cut), ..io.clone() }.run(node, &like);
                own[1][0].clone_from(&less[1][0]);
            }
            "one_weight_zero" => {
                let (at, _) = largest(&own[1][0]);
                each(&mut own[1][0], &|i, d| if i == at { S::constant(0.0) } else { d });
            }
            "block_edge_col" => {
                let n = io.shapes[0].last().unwrap_or(1);
                each(&mut own[1][0], &|i, d| if i % n == n - 1 { S::constant(0.0) } else { d });
            }
            "f32_accum" => {
                let (k, n) = (io.shapes[0].last().unwrap_or(1), io.shape.last().unwrap_or(1));
                each(&mut own[1][0], &|i, _| {
                    let product =
                        |row: usize| (g.at(row * n + i / k) * x.at(row * k + i % k)).primal() as f32;
                    S::constant(f64::from((0..elements / k).map(product).sum::<f32>()))
                });
            }
            "bcast_take_first" => each(&mut own[1][1], &|i, _| g.at(i)),
            "bcast_mean" => each(&mut own[1][0], &|_, d| d * (1.0 / batch)),
            "residual_skip_dropped" => each(&mut own[0][1], &|_, d| d * 0.0),
            "fanout_overwrite" => each(&mut own[0][0], &|_, d| d * 0.0),
            "scale_no_spatial" => {
                let [channels, rows, columns] = dims(io.shape);
                let first = |i: usize, sample: usize| (sample * channels + i) * rows * columns;
                let product = |at: usize| g.at(at) * x.at(at);
                each(&mut own[1][0], &|i, _| mean((0..io.batch).map(|sample| product(first(i, sample))), 1));
            }
            "scale_gx_unscaled" => each(&mut own[0][0], &|i, _| g.at(i)),
            "scale_gamma_uses_y" => {
                let n = io.params[0].len();
                each(&mut own[1][0], &|i, _| {
                    mean((0..elements / n).map(|row| g.at(row * n + i) * y.at(row * n + i)), 1)
                });
            }
            "tied_weight_once" => each(&mut own[1][0], &|_, d| d * 0.0),
            "conv_no_flip" => {
                let taps = 9;
                let weight = io.params[0];
                let flipped = stored(
                    (0..weight.len()).map(|i| weight.at(i / taps * taps + taps - 1 - i % taps)),
                    weight.len(),
                );
                let mut turned = io.clone();
                turned.params[0] = View::new(&flipped);
                own[0].clone_from(&turned.run(node, &like)[0]);
            }
            "conv_pad_off1" => {
                moved(&mut own[0][0], &|i| (i / width % height + 1 < height).then_some(i + width));
            }
            "conv_border_lost" => {
                each(&mut own[0][0], &|i, d| if i / width % height == 0 { S::constant(0.0) } else { d });
            }
            "conv_stride_ignored" => self.taps(&mut own[1][0], io, 1, 1, 1),
            "dilation_ignored" => self.taps(&mut own[1][0], io, 1, 2, 1),
            "conv_bias_no_spatial" => {
                let [channels, rows, columns] = dims(io.shape);
                let first = |i: usize, sample: usize| g.at((sample * channels + i) * rows * columns);
                each(&mut own[1][1], &|i, _| mean((0..io.batch).map(|sample| first(i, sample)), 1));
            }
            "conv_corner_tap" => moved(&mut own[1][0], &|i| Some(if i % 9 == 0 { i + 1 } else { i })),
            "group_idx_shift" => {
                let n = io.params[0].len();
                moved(&mut own[1][0], &|i| Some((i + 9) % n));
            }
            "bn_missing_mean_term"
            | "bn_missing_var_term"
            | "bn_stats_const"
            | "bn_unbiased_var"
            | "bn_eps_dropped"
            | "bn_gamma_uses_x" => self.batch_norm(&mut own, io),
            "ln_missing_mean_term" | "ln_wrong_axis" => {
                let n = io.shapes[0].last().unwrap_or(1);
                let gamma = io.params[0];
                let (means, scales) =
                    (|row: usize| io.saved.at(2 * row), |row: usize| io.saved.at(2 * row + 1));
                let hat = |i: usize| (x.at(i) - means(i / n)) * scales(i / n);
                let h = |i: usize| g.at(i) * gamma.at(i % n);
                let along = |row: usize| mean((row * n..(row + 1) * n).map(|i| h(i) * hat(i)), n);
                let sum = |i: usize| {
                    if self.name == "ln_wrong_axis" {
                        mean((0..elements / n).map(|row| h(row * n + i % n)), elements / n)
                    } else {
                        S::constant(0.0)
                    }
                };
                each(&mut own[0][0], &|i, _| (h(i) - sum(i) - hat(i) * along(i / n)) * scales(i / n));
            }
            "gn_missing_var_term" => {
                let [channels, rows, columns] = dims(io.shape);
                let n = channels / 2 * rows * columns;
                let h = |i: usize| g.at(i) * io.params[0].at(i / (rows * columns) % channels);
                let sum = |run: usize| mean((run * n..(run + 1) * n).map(h), n);
                each(&mut own[0][0], &|i, _| (h(i) - sum(i / n)) * io.saved.at(i / n * 2 + 1));
            }
            "leaky_slope" => {
                slope(&mut own[0][0], &|x, _| if x.primal() > 0.0 { one() } else { one() * 0.2 });
            }
            "leaky_as_relu" => {
                slope(&mut own[0][0], &|x, _| if x.primal() > 0.0 { one() } else { one() * 0.0 });
            }
            "relu_mask_shift" => {
                slope(&mut own[0][0], &|x, _| if x.primal() > -1e-3 { one() } else { one() * 0.0 });
            }
            "elu_uses_y" => slope(&mut own[0][0], &|x, y| if x.primal() > 0.0 { one() } else { y }),
            "tanh_double" => slope(&mut own[0][0], &|_, y| one() - y.tanh() * y.tanh()),
            "sigmoid_uses_x" => slope(&mut own[0][0], &|x, _| x * (one() - x)),
            "swish_partial" => slope(&mut own[0][0], &|x, _| x.sigmoid()),
            "gelu_tanh_for_erf" | "gelu_cubic_coef" => {
                let coefficient = 0.044_715 * if self.name == "gelu_cubic_coef" { 1.0 } else { 3.0 };
                let root = (2.0 / std::f64::consts::PI).sqrt();
                slope(&mut own[0][0], &|x, _| {
                    let t = ((x + x * x * x * 0.044_715) * root).tanh();
                    (t + 1.0) * 0.5 + x * (one() - t * t) * ((x * x * coefficient + 1.0) * (0.5 * root))
                });
            }
            "gelu_no_pdf" => {
                slope(&mut own[0][0], &|x, _| ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5);
            }
            "maxpool_spread" => {
                let (half, all) = (width / 2, height * width);
                let above = |i: usize| i / all * (all / 4) + i % all / width / 2 * half + i % width / 2;
                each(&mut own[0][0], &|i, _| g.at(above(i)) * 0.25);
            }
            "maxpool_idx_off1" => {
                let beside = |i: usize| if (i % width).is_multiple_of(2) { i + 1 } else { i - 1 };
                moved(&mut own[0][0], &|i| Some(beside(i)));
            }
            "avgpool_no_div" => each(&mut own[0][0], &|_, d| d * 4.0),
            "dropout_no_scale" => {
                each(&mut own[0][0], &|_, d| d * if self.equivalent.is_some() { 1.0 } else { 0.7 });
            }
            "dropout_mask_ignored" => {
                let draws = Draws { seed: io.draws.seed + 1000, ..io.draws };
                own = Context { draws, ..io.clone() }.run(node, &like);
            }
            "softmax_diag_only" => slope(&mut own[0][0], &|_, y| y * (one() - y)),
            "softmax_wrong_axis" => {
                let n = io.shape.last().unwrap_or(1);
                let sum = |i: usize| {
                    let rows = (0..elements / n).map(|row| row * n + i % n);
                    mean(rows.map(|i| g.at(i) * y.at(i)), 1)
                };
                each(&mut own[0][0], &|i, _| y.at(i) * (g.at(i) - sum(i)));
            }
            "one_weight_1e-2" | "one_weight_1e-4" | "one_weight_1e-6" | "one_weight_1e-9" => {
                let rho: f64 = self.name["one_weight_".len()..].parse().expect("a number");
                let (at, _) = largest(&own[1][0]);
                each(&mut own[1][0], &|i, d| if i == at { d * (1.0 + rho) } else { d });
            }
            "rows_swapped" => {
                let n = io.shapes[0].last().unwrap_or(1);
                moved(&mut own[1][0], &|i| {
                    Some(if i < n {
                        i + n
                    } else if i < 2 * n {
                        i - n
                    } else {
                        i
                    })
                });
            }
            "zero_sum_pair" => {
                let (at, size) = largest(&own[1][0]);
                let other = if at == 0 { 1 } else { at - 1 };
                let change = |i: usize| {
                    if i == at {
                        1e-3
                    } else if i == other {
                        -1e-3
                    } else {
                        0.0
                    }
                };
                each(&mut own[1][0], &|i, d| d + change(i) * size);
            }
            "stale_activation" => {
                let stale = stored(x.iter().map(|x| x * 0.5 + x.tanh() * 0.25), elements);
                let mut older = io.clone();
                older.inputs[0] = View::new(&stale);
                own[1].clone_from(&older.run(node, &like)[1]);
            }
            "deconv_output_pad_lost" => {
                let [_, rows, columns] = dims(io.shape);
                let last = |i: usize| i % columns == columns - 1 || i / columns % rows == rows - 1;
                let cut =
                    stored(g.iter().enumerate().map(|(i, g)| if last(i) { g * 0.0 } else { g }), g.len());
                let less = Context { cotangent: View::new(&cut), ..io.clone() }.run(node, &like);
                own[0].clone_from(&less[0]);
                own[1][0].clone_from(&less[1][0]);
            }
            "mul_operands_swapped" | "matmul_swapped" => own[0].swap(0, 1),
            // The last place of a token overwrites the others, or their mean stands for their sum, or each goes to the next row.
            name if name.starts_with("embed_") => {
                let n = io.shape.last().unwrap_or(1);
                let rows = io.params[0].len() / n;
                let token = |at: usize| x.at(at).primal() as usize;
                each(&mut own[1][0], &|i, d| {
                    let places = || (0..elements).filter(|at| token(*at) == i / n);
                    match name {
                        "embed_overwrite" => places().next_back().map_or(d, |at| g.at(at * n + i % n)),
                        "embed_mean" => d * (1.0 / places().count().max(1) as f64),
                        _ => {
                            let before = (i / n + rows - 1) % rows;
                            let moved = (0..elements).filter(|at| token(*at) == before);
                            mean(moved.map(|at| g.at(at * n + i % n)), 1)
                        }
                    }
                });
            }
            name if name.starts_with("attn_") => self.attention(&mut own, io, node, &like),
            // Of C = A^T B with square matrices: dA = B G^T and dB = A G.
            "matmul_gA_no_transpose" | "matmul_gB_transposed_a" => {
                let n = io.shape.last().unwrap_or(1);
                let entry = |of: View<'_, S>, matrix: usize, row: usize, column: usize| {
                    of.at((matrix * n + row) * n + column)
                };
                let first = self.name == "matmul_gA_no_transpose";
                each(&mut own[0][usize::from(!first)], &|i, _| {
                    let (matrix, row, column) = (i / n / n, i / n % n, i % n);
                    let term = |j: usize| {
                        let left = if first {
                            entry(io.inputs[1], matrix, row, j)
                        } else {
                            entry(x, matrix, j, row)
                        };
                        left * entry(g, matrix, j, column)
                    };
                    mean((0..n).map(term), 1)
                });
            }
            _ => panic!("no rule is called {}", self.name),
        }
        own
    }

    /// Attention of as many queries as keys; the shares of a head are what the kernel saved.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn attention<S: Scalar>(&self, own: &mut Results, io: &Context<'_, S>, node: &Node, like: &Results) {
        let [n, features] = [0, 1].map(|axis| io.shape.sample()[axis]);
        let heads = io.saved.len() / (io.batch * n * n);
        let width = features / heads;
        let [q, k, v] = [0, 1, 2].map(|i| io.inputs[i]);
        let g = io.cotangent;
        // A row of one head, and the product of two of them.
        let at = |of: View<'_, S>, place: usize, row: usize, i: usize| {
            of.at((place / heads * n + row) * features + place % heads * width + i)
        };
        let dot = |a: View<'_, S>, i: usize, b: View<'_, S>, j: usize, place: usize| {
            mean((0..width).map(|f| at(a, place, i, f) * at(b, place, j, f)), 1)
        };
        let share = |place: usize, i: usize, j: usize| io.saved.at((place * n + i) * n + j);
        let scale = 1.0 / (width as f64).sqrt();
        let with_shares = |shares: &dyn Fn(usize, usize, usize) -> S| {
            let other = |at: usize| shares(at / n / n, at / n % n, at % n);
            let saved = stored((0..io.saved.len()).map(other), io.saved.len());
            Context { saved: View::new(&saved), ..io.clone() }.run(node, like)
        };
        // The derivative by a score, with and without the sum over its row.
        let slope = |place: usize, i: usize, j: usize, whole: bool| {
            let along = mean((0..n).map(|l| share(place, i, l) * dot(g, i, v, l, place)), 1);
            let centre = if whole { along } else { S::constant(0.0) };
            share(place, i, j) * (dot(g, i, v, j, place) - centre) * scale
        };
        let sums =
            |result: &mut Option<Vec<f64>>, of: View<'_, S>, slope: &dyn Fn(usize, usize, usize) -> S| {
                let Some(planes) = result else { return };
                let mut view = ViewMut::<S>::new(planes);
                for i in 0..view.len() {
                    let (row, head, f) = (i / features, i % features / width, i % width);
                    let place = row / n * heads + head;
                    view.set(i, mean((0..n).map(|l| slope(place, row % n, l) * at(of, place, l, f)), 1));
                }
            };
        match self.name {
            "attn_scale_missing" => {
                for planes in own[0][..2].iter_mut().flatten() {
                    let mut view = ViewMut::<S>::new(planes);
                    (0..view.len()).for_each(|i| view.set(i, view.at(i) * (1.0 / scale)));
                }
            }
            "attn_gK_no_transpose" => sums(&mut own[0][1], q, &|place, j, l| slope(place, j, l, true)),
            "attn_mask_ignored" => {
                *own = with_shares(&|place, i, j| {
                    let score = |l: usize| dot(q, i, k, l, place) * scale;
                    score(j).exp() / mean((0..n).map(|l| score(l).exp()), 1)
                });
            }
            "attn_heads_mixed" => {
                let beside = |place: usize| place / heads * heads + (place + 1) % heads;
                *own = with_shares(&|place, i, j| share(beside(place), i, j));
            }
            "attn_gV_no_transpose" => {
                let turned = with_shares(&|place, i, j| share(place, j, i));
                own[0][2].clone_from(&turned[0][2]);
            }
            "attn_row_sum_lost" => {
                sums(&mut own[0][0], k, &|place, i, l| slope(place, i, l, false));
                sums(&mut own[0][1], q, &|place, j, l| slope(place, l, j, false));
            }
            _ => panic!("no rule of attention is called {}", self.name),
        }
    }

    /// The derivative by the taps of an ungrouped kernel of 3 x 3 with the given stride, padding and dilation.
    #[expect(clippy::unused_self, reason = "next to the others")]
    fn taps<S: Scalar>(
        &self,
        result: &mut Option<Vec<f64>>,
        io: &Context<'_, S>,
        stride: usize,
        pad: usize,
        dilation: usize,
    ) {
        let Some(planes) = result else { return };
        let [channels, height, width] = [0, 1, 2].map(|axis| io.shapes[0].sample()[axis]);
        let [outputs, rows, columns] = [0, 1, 2].map(|axis| io.shape.sample()[axis]);
        let mut view = ViewMut::<S>::new(planes);
        for tap in 0..view.len() {
            let (o, c, i, j) = (tap / 9 / channels, tap / 9 % channels, tap / 3 % 3, tap % 3);
            let mut sum = S::constant(0.0);
            for at in 0..io.batch * rows * columns {
                let (sample, p, q) = (at / (rows * columns), at / columns % rows, at % columns);
                let (row, column) = (p * stride + i * dilation, q * stride + j * dilation);
                if (pad..pad + height).contains(&row) && (pad..pad + width).contains(&column) {
                    let from = ((sample * channels + c) * height + row - pad) * width + column - pad;
                    sum += io.inputs[0].at(from)
                        * io.cotangent.at(((sample * outputs + o) * rows + p) * columns + q);
                }
            }
            view.set(tap, sum);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn batch_norm<S: Scalar>(&self, own: &mut Results, io: &Context<'_, S>) {
        let (x, g) = (io.inputs[0], io.cotangent);
        let channels = io.params[0].len();
        let positions = io.shape.elements() / channels;
        let places = |c: usize| {
            (0..io.batch * positions).map(move |k| (k / positions * channels + c) * positions + k % positions)
        };
        let n = io.batch * positions;
        for c in 0..channels {
            let [center, mut scale, variance] = [0, 1, 2].map(|what| io.saved.at(3 * c + what));
            match self.name {
                "bn_unbiased_var" => {
                    scale = S::constant(1.0) / (variance * (n as f64 / (n as f64 - 1.0)) + 1e-3).sqrt();
                }
                "bn_eps_dropped" => scale = S::constant(1.0) / variance.sqrt(),
                _ => {}
            }
            let hat = |i: usize| (x.at(i) - center) * scale;
            let mut sum = mean(places(c).map(|i| g.at(i)), n);
            let mut along = mean(places(c).map(|i| g.at(i) * hat(i)), n);
            if self.name == "bn_gamma_uses_x" {
                let wrong = mean(places(c).map(|i| g.at(i) * x.at(i)), 1);
                if let Some(planes) = &mut own[1][0] {
                    ViewMut::<S>::new(planes).set(c, wrong);
                }
                continue;
            }
            if matches!(self.name, "bn_missing_mean_term" | "bn_stats_const") {
                sum = S::constant(0.0);
            }
            if matches!(self.name, "bn_missing_var_term" | "bn_stats_const") {
                along = S::constant(0.0);
            }
            let factor = io.params[0].at(c) * scale;
            if let Some(planes) = &mut own[0][0] {
                let mut view = ViewMut::<S>::new(planes);
                places(c).for_each(|i| view.set(i, (g.at(i) - sum - hat(i) * along) * factor));
            }
        }
    }
}
