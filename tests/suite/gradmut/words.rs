//! What was done to a wrong gradient is said in words: for every pattern of the list a mutant and the sentence of its finding.
//!
//! | pattern | mutants |
//! | --- | --- |
//! | a factor: N, N/(N-1), 2, a sign, keep, k^2, 1/sqrt(d), 0 | `loss_missing_1N`, `loss_N_minus_1`, `mse_factor2`, `ce_sign`, `dropout_no_scale`, `avgpool_no_div`, `attn_scale_missing`, `residual_skip_dropped` |
//! | the penalty missing, halved, where there is none | `l2_forgotten`, `l2_half`, `l2_on_bias` |
//! | transposed, flipped, shifted, channels | `dense_gW_transposed`, `dense_gx_no_transpose`, `conv_no_flip`, `group_idx_shift`, `rows_swapped` |
//! | the mean or variance term | `bn_missing_mean_term`, `bn_missing_var_term`, `bn_stats_const`, `ln_missing_mean_term`, `gn_missing_var_term`, `softmax_diag_only` |
//! | a sum that is none: first slice, mean, overwritten | `bias_missing_sum`, `bias_mean`, `bcast_take_first`, `bcast_mean`, `conv_bias_no_spatial`, `embed_overwrite`, `embed_mean`, [`Scattered`] |
//! | border, last row or column, tail, edge of a tile | `conv_pad_off1`, `conv_border_lost`, `block_edge_col`, `tail_row_dropped`, [`Tiled`] |
//! | the decision: wrong branch, place of the branch, mask, index | `leaky_slope`, `leaky_as_relu`, `elu_uses_y`, `relu_mask_shift`, `huber_no_clip`, `dropout_mask_ignored`, [`Unmasked`], `maxpool_spread`, `maxpool_idx_off1` |
//! | single precision | `f32_accum`, and a small constant that looks like it: `bn_eps_dropped` |
//! | an approximate derivative for the exact function | `gelu_tanh_for_erf`, [`Approximate`], and the slope at the output: `tanh_double` |
//! | one component | `one_weight_zero`, `one_weight_1e-6` |

use super::mutants::MUTANTS;
use super::{nets, run};
use crate::support::Memory;
use wellposed::exec::Reverse;
use wellposed::graph::Node;
use wellposed::ops::Backward;
use wellposed::pipeline::compile;
use wellposed::scalar::Scalar;
use wellposed::tensor::ViewMut;

/// All that the findings of a net with wrong rules say that it looks like.
fn said(text: &str, reverse: &impl Reverse) -> Vec<String> {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let report = run(text, 0, 0, reverse).expect("the net compiles");
    let findings = report.findings(&compiled.graph);
    assert!(!findings.is_empty(), "nothing was found");
    let notes = findings.into_iter().flat_map(|finding| finding.notes);
    notes.filter(|(name, _)| *name == "looks like").map(|(_, text)| text).collect()
}

/// A mutant and the start of what is said of it.
const SENTENCES: &[(&str, &str)] = &[
    (
        "loss_missing_1N",
        "input gradient: it is 8 times the derivative: it is not divided by the 8 rows of the batch",
    ),
    (
        "loss_N_minus_1",
        "input gradient: it is 1.143 times the derivative: it is divided by 7 in place of 8 rows",
    ),
    ("ce_sign", "input gradient: it is -1 times the derivative: the sign is wrong"),
    ("mse_factor2", "input gradient: it is 0.5 times the derivative: a factor of 2 is missing"),
    ("dropout_no_scale", "input gradient: it is multiplied with 1 in place of 1.429 = 1/keep"),
    ("avgpool_no_div", "input gradient: it is not divided by the 4 elements of its window"),
    ("attn_scale_missing", "input 1 gradient: the scale 1/sqrt(3) of the scores is missing"),
    ("residual_skip_dropped", "input 2 gradient: it is zero: the way is cut, or never written"),
    ("fanout_overwrite", "input gradient: it is zero: the way is cut, or never written"),
    ("l2_forgotten", "`a.weight`: the penalty term is missing"),
    ("l2_half", "`a.weight`: the penalty term is halved"),
    ("l2_on_bias", "`u.bias`: it is the derivative plus 1e-4 * theta: a penalty where there is none"),
    ("dense_gW_transposed", "`b.weight`: it is transposed"),
    ("dense_gx_no_transpose", "input gradient: its weights are not transposed"),
    ("conv_no_flip", "input gradient: its kernels are flipped the wrong way round"),
    ("group_idx_shift", "`d.weight`: it is shifted by one along axis 0"),
    ("rows_swapped", "`b.weight`: its rows 0 and 1 are exchanged"),
    ("bn_missing_mean_term", "input gradient: the term through the mean is missing or wrong"),
    ("bn_missing_var_term", "input gradient: the term through the variance is missing or wrong"),
    ("bn_stats_const", "input gradient: the terms through the mean and the variance are missing"),
    ("ln_missing_mean_term", "input gradient: the term through the mean is missing or wrong"),
    ("gn_missing_var_term", "input gradient: the term through the variance is missing or wrong"),
    ("softmax_diag_only", "input gradient: the element in its own place alone counts"),
    (
        "bias_missing_sum",
        "`b.bias`: the first row of the batch alone counts: it is not summed over the batch",
    ),
    (
        "bias_mean",
        "`b.bias`: a mean over 8 in place of a sum: it is divided by the 8 rows of the batch twice",
    ),
    ("bcast_take_first", "`a.layer_norm.bias`: the first row of the batch alone counts"),
    ("bcast_mean", "`a.layer_norm.weight`: a mean over 8 in place of a sum"),
    (
        "conv_bias_no_spatial",
        "`a.bias`: of each row the first place alone counts: it is not summed over the places",
    ),
    (
        "conv_pad_off1",
        "input gradient: it is shifted by one along axis 2 and cropped: an offset of the padding",
    ),
    ("conv_border_lost", "input gradient: the first place along axis 2 is lost: it is zero"),
    ("block_edge_col", "`r.s.weight`: the last column is lost: it is zero"),
    ("tail_row_dropped", "`u.weight`: the last row of the batch is left out: the tail of a loop"),
    (
        "deconv_output_pad_lost",
        "`a.weight`: it is wrong at the border of the maps alone: an offset of the padding",
    ),
    ("leaky_slope", "input gradient: where x < 0 its slope is 0.2 in place of 0.1: that of a wrong branch"),
    ("leaky_as_relu", "input gradient: where x < 0 its slope is 0 in place of 0.1: that of a wrong branch"),
    ("elu_uses_y", "input gradient: it is wrong where x < 0: that of a wrong branch"),
    ("relu_mask_shift", "input gradient: it is wrong where x < 0 up to "),
    (
        "huber_no_clip",
        "input gradient: it is wrong where output - target < -0.3, and it is wrong where output - target > 0.3",
    ),
    (
        "dropout_mask_ignored",
        "input gradient: the mask is not that of the forward run: 25 of 64 decisions differ",
    ),
    (
        "maxpool_spread",
        "input gradient: it is spread over the window in place of going to the largest element",
    ),
    ("maxpool_idx_off1", "input gradient: it goes to another element than the largest in 512 of 512 windows"),
    ("f32_accum", "`b.weight`: it is off by "),
    (
        "bn_eps_dropped",
        "input gradient: it is off by 3.447e-7 of its size: a sum in single precision, or a small constant",
    ),
    (
        "gelu_tanh_for_erf",
        "input gradient: it is the derivative of gelu(approx=tanh), and the value that of gelu(approx=none)",
    ),
    ("tanh_double", "input gradient: its slope is taken at the output in place of the input"),
    ("one_weight_zero", "`u.weight`: one component alone is wrong, ["),
    ("one_weight_1e-6", "`b.weight`: one component alone is wrong, [2, 6]: 1e-6 of it too much"),
];

#[test]
fn every_pattern_has_its_sentence() {
    let mut wrong = Vec::new();
    for (name, sentence) in SENTENCES {
        let mutant = MUTANTS
            .iter()
            .find(|mutant| mutant.name == *name && mutant.equivalent.is_none())
            .expect("a mutant of this name");
        let found = said(&nets::net(mutant.net), mutant);
        if !found.first().is_some_and(|first| first.starts_with(sentence)) {
            wrong.push(format!("{name}: `{sentence}` is not the start of {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let precision = MUTANTS.iter().find(|mutant| mutant.name == "f32_accum").expect("a mutant");
    let found = said(&nets::net(precision.net), precision);
    assert!(found[0].ends_with("every component is a number of f32: a sum in single precision"), "{found:?}");
}

/// Mutants that spoil a tensor in no way that has a name are given none.
#[test]
fn what_fits_no_pattern_has_no_sentence() {
    for name in ["stale_activation", "ln_wrong_axis", "gelu_no_pdf"] {
        let mutant = MUTANTS.iter().find(|mutant| mutant.name == name).expect("a mutant of this name");
        let found = said(&nets::net(mutant.net), mutant);
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

const MAPS: &str = "spec 1
model maps()
input x: f64[B, 1, 7, 7]
target y: class(3)
net {
  a: conv2d(2, kernel=1, init=he_normal)
     max_pool(3, stride=2)
     flatten
  z: linear(3, init=lecun_normal)
}
train { loss cross_entropy(z, y) }
";

/// A maximum over overlapping windows whose derivatives overwrite each other where several windows chose the same element.
struct Scattered;

impl Reverse for Scattered {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != "max_pool" {
            return node.op.backward(io);
        }
        let Backward { shapes, shape, saved, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let [map, positions] = [shapes[0], shape].map(|shape| shape.sample()[1] * shape.sample()[2]);
        grad.fill(S::constant(0.0));
        for i in 0..cotangent.len() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place of a map")]
            let won = saved.at(i).primal() as usize;
            grad.set(i / positions * map + won, cotangent.at(i));
        }
    }
}

#[test]
fn an_overwritten_scatter_is_named_by_its_duplicates() {
    let found = said(MAPS, &Scattered);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert!(one.contains("elements are read in several places, and of these the last alone counts"), "{one}");
    assert!(one.ends_with("each overwrites the one before, `=` in place of `+=`"), "{one}");
}

/// The rows of a table that several tokens look up.
#[test]
fn rows_of_a_table_that_are_looked_up_twice_are_named() {
    for (name, sentence) in [
        (
            "embed_overwrite",
            "of these the last alone counts: each overwrites the one before, `=` in place of `+=`",
        ),
        ("embed_mean", "a mean over them in place of a sum"),
    ] {
        let mutant = MUTANTS.iter().find(|mutant| mutant.name == name).expect("a mutant of this name");
        let found = said(&nets::net(mutant.net), mutant);
        let [one] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert!(one.starts_with("`e.weight`: ") && one.ends_with(sentence), "{name}: {one}");
    }
}

/// Of a tensor that several nodes use, the use that is wrong is named, and nothing is said of the tensor that holds for that use alone.
#[test]
fn one_use_of_a_tied_tensor_is_named_as_that() {
    let mutant = MUTANTS.iter().find(|mutant| mutant.name == "tied_weight_once").expect("a mutant");
    let found = said(&nets::net(mutant.net), mutant);
    let use_of_it = "weight gradient: it is zero: the way is cut, or never written";
    assert!(found.iter().any(|one| one == use_of_it), "{found:?}");
    assert!(!found.iter().any(|one| one.starts_with("`r.weight`: it is zero")), "{found:?}");
}

const WIDE: &str = "spec 1
model wide()
input x: f64[B, 5]
target y: class(3)
net {
  a: linear(18, init=lecun_normal, bias_init=normal(0.1))
     softplus
     dropout(0.5)
  z: linear(3, init=lecun_normal, bias_init=normal(0.1))
}
train { loss cross_entropy(z, y) }
";

/// A weight gradient whose rows are wrong at some places of the blocks of a loop.
struct Tiled(fn(usize) -> bool, f64);

impl Reverse for Tiled {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        _: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        if let (true, Some(Some(grad))) = (node.path.to_string() == "a", params.first_mut()) {
            for i in (0..grad.len()).filter(|i| self.0(i / 5)) {
                grad.set(i, grad.at(i) * self.1);
            }
        }
    }
}

#[test]
fn edges_of_tiles_and_tails_of_loops_are_named() {
    let cases: [(Tiled, &str); 5] = [
        (
            Tiled(|row| row % 8 == 7, 0.5),
            "the last of every 8 places along axis 0 is wrong: the edge of a tile",
        ),
        (
            Tiled(|row| row % 4 == 0, 0.0),
            "the first of every 4 places along axis 0 is lost: the edge of a tile",
        ),
        (
            Tiled(|row| row >= 16, 0.0),
            "the last 2 places along axis 0 are lost, those behind the last full block of 16: the tail of a loop",
        ),
        (Tiled(|row| row == 17, 0.0), "the last row is lost: it is zero"),
        (Tiled(|row| row == 6, 1.5), "the row [6] alone is wrong"),
    ];
    for (mutant, sentence) in cases {
        assert_eq!(said(WIDE, &mutant), [format!("`a.weight`: {sentence}")]);
    }
}

/// A slope that is right to three digits.
struct Approximate;

impl Reverse for Approximate {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        inputs: &mut [Option<ViewMut<'_, S>>],
        _: &mut [Option<ViewMut<'_, S>>],
    ) {
        if let ("softplus", Some(Some(grad))) = (node.op.name(), inputs.first_mut()) {
            for i in 0..grad.len() {
                #[expect(clippy::cast_precision_loss, reason = "a small number")]
                let off = 4e-4 * (i as f64).sin();
                grad.set(i, grad.at(i) * (1.0 + off));
            }
        }
    }
}

#[test]
fn a_derivative_that_is_nearly_right_is_called_approximate() {
    let found = said(WIDE, &Approximate);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert!(one.ends_with("nearly everywhere: an approximate derivative for the exact function"), "{one}");
}

/// Dropout whose derivative passes everywhere, scaled or not.
struct Unmasked(f64);

impl Reverse for Unmasked {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != "dropout" {
            return node.op.backward(io);
        }
        let Backward { cotangent, inputs_grad, .. } = io;
        if let Some(grad) = &mut inputs_grad[0] {
            (0..grad.len()).for_each(|i| grad.set(i, cotangent.at(i) * self.0));
        }
    }
}

#[test]
fn a_mask_that_is_not_applied_is_named() {
    let whole = "input gradient: the mask is not applied: every derivative passes";
    assert_eq!(said(WIDE, &Unmasked(2.0)), [whole]);
    let more = format!("{whole}, and it is multiplied with 1 in place of 2 = 1/keep");
    assert_eq!(said(WIDE, &Unmasked(1.0)), [more]);
}
