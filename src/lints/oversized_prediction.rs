//! A regression that starts far from its target.
//!
//! ## What it checks
//!
//! The predicted rms of what `mse`, `mae` and `huber` take at initialisation, against that of a target which the spec
//! standardises or brings to 0..1. With gradient descent more than 8 times is a warning, more than 50 times an error; Adam
//! bears 50 and 5000. Nothing is said where the scale of an input is unknown, or where `mismatched-gain`, `unstable-depth`,
//! `offset-weights` or `raw-input` names the cause.
//!
//! ## Why it matters
//!
//! A prediction of zero has the loss Var(y). One that starts at random with k times the target's scale has k^2 + 1 times
//! that, and the gradient of every layer grows with k: the first part of training does nothing but take the initialisation
//! back, in steps that a learning rate for unit errors does not suit.
//!
//! ## Example
//!
//! ```text
//! out: linear(1, init=normal(1))     # behind 256 units of unit scale: an rms of 16
//! ```
//!
//! ## Instead
//!
//! `init=lecun_normal` for predictions of unit scale, or `init=zeros`, which starts at the mean of a standardised target.
//!
//! ## References
//!
//! Karpathy 2019, "A recipe for training neural networks"; research: static.md I13 and I14.

use super::limits::Limits;
use super::uses::{Uses, origin};
use super::{
    Context, is_loud, lint, mismatched_gain, offset_weights, oversized_logits, raw_input, scheme,
    unstable_depth,
};
use crate::data::Transform;
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::graph::{Graph, Source};
use crate::moments::Moments;
use crate::text::number;

pub static RULE: Rule =
    lint!("oversized_prediction.rs" = "G009" "oversized-prediction" Warning from "I13" "I14");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    let [prediction, Source::Feed(target)] = *loss.inputs.as_slice() else { return };
    if !matches!(loss.op.name(), "mse" | "mae" | "huber")
        || context.signal.assumed.iter().any(|assumed| *assumed)
    {
        return;
    }
    let feed = &graph.feeds[target];
    let chain = graph.group(feed).map_or(&feed.chain, |group| &group.chain);
    let scaled =
        chain.iter().any(|step| matches!(step.transform, Transform::Standardize(_) | Transform::Minmax(_)));
    let Source::Node(head) = origin(graph, prediction) else { return };
    let layer = &graph.nodes[head];
    let (Some(spec), Some(y), true) = (scheme::kernel(graph, layer), context.signal.of(prediction), scaled)
    else {
        return;
    };
    let Some(init) = &spec.init else { return };
    let (rms, aim) = (y.rms(), context.signal.feeds[target.index()].rms());
    let times = rms / aim;
    let severity = match Limits::of(graph).logits.map(|limit| times > limit) {
        [_, true] => Severity::Error,
        [true, false] => Severity::Warning,
        [false, false] => return,
    };
    let mut caused = Diagnostics::default();
    for other in [raw_input::check, unstable_depth::check, offset_weights::check] {
        other(context, &mut caused);
    }
    let uses = Uses::of(graph);
    let account = &context.signal.account;
    let blamed = mismatched_gain::kinds(context, &uses, account)
        .iter()
        .any(|kind| mismatched_gain::severity(context, account, kind) > Some(Severity::Info));
    if blamed || is_loud(&caused) {
        return;
    }
    let message = format!("the predictions start at {} times the scale of their target", number(times));
    let input = layer.inputs.first().and_then(|x| context.signal.of(*x)).map_or(0.0, Moments::rms);
    let diagnostic = Diagnostic::new(&RULE, init.span, message)
        .severity(severity)
        .remark(oversized_logits::drawn(spec, input))
        .node(layer.path.to_string())
        .trail(&layer.trail)
        .note("predicted", format!("an rms of {} against {} of `{}`", number(rms), number(aim), feed.name));
    let proposal = scheme::proposal(graph, &uses, head, spec);
    out.push(oversized_logits::mended(diagnostic, init.span, input, proposal));
}
