//! Logits that start far from zero.
//!
//! ## What it checks
//!
//! The predicted standard deviation of what `cross_entropy` and `bce_with_logits` take, or the sigmoid before `bce`, at
//! initialisation. With gradient descent above 8 is a warning, above 50 in nearly every draw an error; Adam bears 50 and 5000, and
//! behind activations that only scale with their input, like ReLU, it is never more than a warning there. Nothing is said where the scale of
//! an input is unknown, or where `mismatched-gain`, `offset-weights` or `raw-input` names the cause.
//!
//! ## Why it matters
//!
//! At small logits z the loss starts at ln C + Var(z) / 2, ln C being that of a uniform guess. Large logits are confident
//! guesses at random: the softmax is one-hot, the gradient p - y has entries of 0 and 1 instead of 1/C, and the first part of
//! training unlearns the initialisation. Above 88 exp overflows in single precision unless the maximum is subtracted.
//!
//! ## Example
//!
//! ```text
//! out: linear(10, init=normal(1))     # behind 512 units of unit scale: a standard deviation of 23
//! ```
//!
//! ## Instead
//!
//! `init=lecun_normal` for unit logits, or `init=zeros`, a loss of exactly ln C.
//!
//! ## References
//!
//! Karpathy 2019, "A recipe for training neural networks"; research: static.md I13.

use super::limits::{Limits, at_least};
use super::uses::{Uses, logits, origin};
use super::{
    Context, class_count_mismatch, is_loud, lint, mismatched_gain, offset_weights, raw_input, scheme,
};
use crate::diag::{Claim, Diagnostic, Diagnostics, Edit, Fix, Level, Quantity, Rule, Safety, Severity};
use crate::graph::{Graph, Source};
use crate::ops::ParamSpec;
use crate::source::Span;
use crate::text::number;

pub static RULE: Rule = lint!("oversized_logits.rs" = "G002" "oversized-logits" Warning from "I13");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(logits) = logits(graph) else { return };
    let Source::Node(head) = origin(graph, logits) else { return };
    let layer = &graph.nodes[head];
    let Some(spec) = scheme::kernel(graph, layer) else { return };
    let Some(init) = &spec.init else { return };
    let (Some(z), Some(x)) = (context.signal.node(head), layer.inputs.first()) else { return };
    let std = z.rms();
    let account = &context.signal.account;
    let [warning, error] = Limits::within(graph, account, account.region(head)).logits;
    let severity = match [std > warning, at_least(context.signal, head, std) > error] {
        [_, true] => Severity::Error,
        [true, false] => Severity::Warning,
        [false, false] => return,
    };
    let mut caused = Diagnostics::default();
    raw_input::check(context, &mut caused);
    offset_weights::check(context, &mut caused);
    let uses = Uses::of(graph);
    let blamed = mismatched_gain::kinds(context, &uses, account)
        .iter()
        .any(|kind| mismatched_gain::severity(context, account, kind) > Some(Severity::Info));
    if blamed || is_loud(&caused) || context.signal.assumed.iter().any(|assumed| *assumed) {
        return;
    }
    let message = format!("the logits start with a standard deviation of {}", number(std));
    let input = context.signal.of(*x).map_or(0.0, crate::moments::Moments::rms);
    let mut diagnostic = Diagnostic::new(&RULE, init.span, message)
        .severity(severity)
        .remark(drawn(spec, input))
        .node(layer.path.to_string())
        .claim(Claim { name: "rms", quantity: Quantity::Rms, of: head.index(), over: None, offset: 0.0 })
        .trail(&layer.trail);
    if let Some(classes) = class_count_mismatch::logits(graph) {
        #[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
        let uniform = (classes as f64).ln();
        diagnostic = diagnostic
            .note("loss", format!("far above that of a uniform guess, ln {classes} = {}", number(uniform)));
    }
    let proposal = scheme::proposal(graph, &uses, head, spec);
    out.push(mended(diagnostic, init.span, input, proposal));
}

/// How the weights of a head are drawn, and what they take.
pub fn drawn(spec: &ParamSpec, input: f64) -> String {
    let std = number(spec.statistics().1.sqrt());
    format!("std {std} over fan_in {}, inputs of rms {}", spec.fan_in, number(input))
}

/// What to do about a head that is too large. With inputs of unit scale its own weights are to blame; otherwise the growth before it is.
pub fn mended(diagnostic: Diagnostic, span: Span, input: f64, (text, std): (String, f64)) -> Diagnostic {
    if input >= 3.0 {
        return diagnostic.help("a norm before the head, or init=zeros");
    }
    diagnostic.help(format!("init={text} (std {})", number(std))).fix(Fix {
        title: format!("initialise with {text}"),
        safety: Safety::Unsafe,
        level: Level::Training,
        edits: vec![Edit { span, text }],
    })
}
