//! A batch norm takes away what a bias adds and how large the weights before it are; the gradient says so.
//!
//! ## What it tests
//!
//! For a layer whose only consumer is a batch norm, in training mode and without penalties:
//!
//! - the gradient of its bias is 0, because the mean over the batch is taken away;
//! - for each channel c, <W_c, dL/dW_c> = eps/(v_c + eps) gamma_c dL/dgamma_c, with the variance v_c of the channel. The
//!   output depends on the scale a of W_c only through eps: BN(a h) = gamma (h - m)/sqrt(v + eps/a^2) + beta, and the derivative by a
//!   at 1 is <W_c, dL/dW_c>, with the bias, whose part is 0.
//!
//! The second holds where W is used nowhere else: the gradient of a tied weight has the parts of its other uses as well.
//!
//! For a layer whose only consumer is a layer norm over its outputs, the gradient of its bias sums to 0 over the units.
//!
//! ## Tolerance
//!
//! The gradient behind the norm is a difference of terms of the size |dL/dy| |gamma|/sqrt(v + eps) (1 + u^2), u the normalised value; sums
//! over n rows and places and over fan_in products err by (n + fan_in + 16) u_0 relative to their sum of magnitudes, u_0 = 2^-53, times
//! four for the norm's own sums.

use super::norms::{self, Group, Norm};
use super::{Case, Lab, Subject, lab::largest};
use crate::graph::{Graph, Handle, Node, ParamTensor, Source};
use crate::ops::{Category, Role};
use crate::tensor::Mode;

/// The layers before norms, with nothing between.
fn pairs(graph: &Graph) -> impl Iterator<Item = (Norm<'_>, &Node)> {
    norms::all(graph).filter_map(|norm| {
        let layer = &graph.nodes[norm.input];
        let only = graph.consumers(Source::Node(norm.input)).count() == 1;
        let known = ["batch_norm", "layer_norm"].contains(&norm.node.op.name());
        (known && only && layer.op.category() == Category::Layer).then_some((norm, layer))
    })
}

fn param(graph: &Graph, node: &Node, role: Role) -> Option<Handle<ParamTensor>> {
    node.params.iter().copied().find(|param| graph.params[*param].spec.role == role)
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    pairs(subject.graph).next().is_none().then(|| "no layer stands before a batch or layer norm".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let case = Case { batch: case.batch.max(2), ..case };
    let graph = lab.graph();
    let ran = lab.base(case, Mode::Train);
    let (weights, _) = lab.draw(case);
    let uses = graph.uses();
    for (norm, layer) in pairs(graph) {
        let (h, delta) = (&ran.values[norm.input.index()], &ran.cotangents[norm.handle.index()]);
        if delta.is_empty() || h.iter().chain(delta).any(|x| !x.is_finite()) {
            continue;
        }
        let gamma = norm.tensor(graph, &weights, Role::Scale);
        let groups = norm.groups(case.batch);
        let fan_in = param(graph, layer, Role::Kernel).map_or(1, |kernel| graph.params[kernel].spec.fan_in);
        // What the terms of the gradient at the layer's value add up to, in magnitude, and that times the values.
        let size = |group: &Group| {
            let (mean, v) = norms::moments(h, group);
            let scale = 1.0 / (v + norm.eps).sqrt();
            let unit = group.elements.iter().map(|(i, _)| ((h[*i] - mean) * scale).abs()).fold(0.0, f64::max);
            let sum: f64 = group
                .elements
                .iter()
                .map(|(i, f)| (delta[*i] * gamma.map_or(1.0, |gamma| gamma[*f])).abs())
                .sum();
            let n = group.elements.len() as f64;
            let rounding = 4.0 * (n + fan_in as f64 + 16.0) * f64::EPSILON;
            (rounding * sum * scale * (1.0 + unit * unit) * (1.0 + mean.abs() * scale), v)
        };
        let bias = param(graph, layer, Role::Bias).map(|bias| &ran.gradients[bias.index()]);
        if norm.node.op.name() == "layer_norm" {
            let Some(bias) = bias else { continue };
            let (sum, bound) =
                (bias.iter().sum::<f64>(), groups.iter().map(|group| size(group).0).sum::<f64>());
            if sum.abs() > bound {
                return Err(format!(
                    "the gradient of `{}`'s bias sums to {sum:e} before the layer norm `{}`; 0 +- {bound:e} is expected",
                    layer.path, norm.node.path
                ));
            }
            continue;
        }
        for (c, group) in groups.iter().enumerate() {
            let (bound, v) = size(group);
            if let Some(g) = bias.and_then(|bias| bias.get(c)).filter(|g| g.abs() > bound) {
                return Err(format!(
                    "the bias {c} of `{}` has the gradient {g:e} before the batch norm `{}`; 0 +- {bound:e} is expected",
                    layer.path, norm.node.path
                ));
            }
            let (Some(kernel), Some(scale)) =
                (param(graph, layer, Role::Kernel), param(graph, norm.node, Role::Scale))
            else {
                continue;
            };
            let spec = &graph.params[kernel].spec;
            if uses[kernel.index()].len() > 1 {
                continue;
            }
            if layer.op.name() == "conv_transpose2d" || spec.dims.first() != Some(&groups.len()) {
                continue;
            }
            let width = spec.elements() / groups.len();
            let row = c * width..(c + 1) * width;
            let (w, dw) = (&weights.param(kernel).data[row.clone()], &ran.gradients[kernel.index()][row]);
            let along: f64 = w.iter().zip(dw).map(|(w, g)| w * g).sum();
            // The bias counts among the weights, and adds nothing.
            let shift = param(graph, layer, Role::Bias).map_or(0.0, |b| {
                weights.param(b).data.get(c).copied().unwrap_or(0.0)
                    * ran.gradients[b.index()].get(c).copied().unwrap_or(0.0)
            });
            let wanted = norm.eps / (v + norm.eps)
                * gamma.map_or(1.0, |gamma| gamma[c])
                * ran.gradients[scale.index()].get(c).copied().unwrap_or(0.0);
            let reach = group.elements.iter().map(|(i, _)| h[*i].abs()).fold(0.0, f64::max);
            let inputs = layer.inputs.first().map_or(0.0, |source| match source {
                Source::Node(input) => largest(&ran.values[input.index()]),
                Source::Feed(_) => reach,
            });
            let terms = w.iter().map(|w| w.abs()).sum::<f64>() * inputs;
            let allowed = bound * reach.max(terms) + 8.0 * width as f64 * f64::EPSILON * wanted.abs();
            if (along + shift - wanted).abs() > allowed {
                return Err(format!(
                    "<W, dL/dW> of unit {c} of `{}` is {along:e} before the batch norm `{}`; {wanted:e} +- {allowed:e} is expected",
                    layer.path, norm.node.path
                ));
            }
        }
    }
    Ok(())
}
