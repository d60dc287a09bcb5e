//! A head, a loss and labels that do not belong together.
//!
//! ## What it checks
//!
//! The table of what goes together: `cross_entropy` and `bce_with_logits` take the values of a layer, unbounded; `bce` takes those of
//! a sigmoid; `mse`, `mae` and `huber` are for numbers. Found are: logits that an activation bounds (a warning with `cross_entropy`; an
//! error with `bce_with_logits` where one of the two answers becomes impossible); targets of `bce` and `bce_with_logits` that are known
//! to leave 0..1 (an error); `softmax` before `bce`, and `softmax` or `sigmoid` before `mse`, `mae` or `huber` on `one_hot` labels
//! (warnings). A softmax or sigmoid before a loss that has its own is `squashed-logits`; what `bce` cannot take is
//! `improper-probabilities`.
//!
//! ## Why it matters
//!
//! With z in lo..hi, sigmoid(z) of a negative sample is at least sigmoid(lo), so its loss is at least ln(1 + e^lo): behind a ReLU that
//! is ln 2, and no sample is ever classified as negative. With C classes no probability exceeds 1 / (1 + (C - 1) e^(lo - hi)): for tanh
//! and 10 classes 0.45. Cross-entropy with a target outside 0..1 has no minimum: the loss falls for ever as z grows. The squared error
//! on shares has the slope 2 (p - y) p (1 - p), which vanishes where the net is sure and wrong; cross-entropy has p - y. A softmax with
//! `bce` counts each class twice, once for being pushed up and once for the others being pushed down.
//!
//! ## Example
//!
//! ```text
//! out:   linear(10, init=lecun_normal)
//! cut:   relu
//! train { loss cross_entropy(cut, y)  adam(lr=1e-3) }
//! ```
//!
//! ## Instead
//!
//! One class of several: C linear outputs with `cross_entropy`. Yes or no, also several at once: linear outputs with
//! `bce_with_logits`. Numbers: a linear output with `mse`, `mae` or `huber`.
//!
//! ## References
//!
//! research: static.md 1.4; Nikanjam et al. 2021 (NeuraLint rules 8, 12 and 17); Schoop, Huang and Hartmann 2021 (UMLAUT).

use super::head::{Head, head, targets};
use super::{Context, class_count_mismatch, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::graph::{FeedKind, Graph, Node, Source};
use crate::text::number;

pub static RULE: Rule = lint!("mismatched_loss.rs" = "O005" "mismatched-loss" Warning from "O03");

/// A loss that a sample cannot get below is worth a word from here on: a probability of 0.8 at best.
const FLOOR: f64 = 0.223;

/// What is wrong.
struct Fault {
    severity: Severity,
    message: String,
    note: (&'static str, String),
    help: String,
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    let Some(&prediction) = loss.inputs.first() else { return };
    if let Some(diagnostic) = labels(graph, loss) {
        return out.push(diagnostic);
    }
    let Some(head) = head(graph, prediction) else { return };
    let fault = match loss.op.name() {
        "cross_entropy" => classes(graph, head),
        "bce_with_logits" => binary(graph, head),
        "bce" | "mse" | "mae" | "huber" => shares(graph, loss, head),
        _ => None,
    };
    let Some(Fault { severity, message, note: (key, note), help }) = fault else { return };
    let node = &graph.nodes[head.node];
    out.push(
        Diagnostic::new(&RULE, node.span, message)
            .severity(severity)
            .remark(format!("gives {}..{}", number(head.lo), number(head.hi)))
            .label(loss.span, "trained with this loss")
            .node(node.path.to_string())
            .note(key, note)
            .trail(&node.trail)
            .help(help),
    );
}

/// Targets that a cross-entropy of yes and no cannot take.
fn labels(graph: &Graph, loss: &Node) -> Option<Diagnostic> {
    let [_, Source::Feed(target)] = loss.inputs.as_slice() else { return None };
    let feed = &graph.feeds[*target];
    let name = loss.op.name();
    let known = targets(graph, feed).filter(|_| matches!(name, "bce" | "bce_with_logits"))?;
    if known.within(0.0, 1.0) {
        return None;
    }
    let message = format!("`{name}` needs targets in 0..1, and `{}` is {}", feed.name, known.words());
    Some(
        Diagnostic::new(&RULE, feed.span, message)
            .severity(Severity::Error)
            .remark("probabilities, or 0 and 1")
            .label(loss.span, "has no minimum for a target outside")
            .help("mse for numbers; the labels 0 and 1 without a transform for classes"),
    )
}

/// Logits of several classes that are bounded.
fn classes(graph: &Graph, head: Head) -> Option<Fault> {
    let node = &graph.nodes[head.node];
    let name = node.op.name();
    if name == "softmax" || name == "sigmoid" {
        return None;
    }
    let classes = class_count_mismatch::logits(graph)?;
    let help = "compute the loss on what the last layer gives, without an activation".to_owned();
    if head.lo.is_finite() && head.hi.is_finite() {
        #[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
        let floor = ((classes.max(1) - 1) as f64 * (head.lo - head.hi).exp()).ln_1p();
        return (floor > FLOOR).then(|| Fault {
            severity: Severity::Warning,
            message: format!("`cross_entropy` takes logits that `{name}` bounds"),
            note: (
                "floor",
                format!(
                    "with {classes} classes the loss cannot fall below {}, probability {}",
                    number(floor),
                    number((-floor).exp())
                ),
            ),
            help,
        });
    }
    (name == "relu").then(|| Fault {
        severity: Severity::Warning,
        message: "`cross_entropy` takes logits that `relu` cuts off at 0".to_owned(),
        note: ("gradient", "none for a logit at 0: on average half of them at the start".to_owned()),
        help,
    })
}

/// The logit of yes and no that is bounded.
fn binary(graph: &Graph, head: Head) -> Option<Fault> {
    let name = graph.nodes[head.node].op.name();
    if name == "softmax" || name == "sigmoid" {
        return None;
    }
    // Of a positive sample, ln(1 + e^-hi); of a negative one, ln(1 + e^lo).
    let floors = [("positive", (-head.hi).exp().ln_1p()), ("negative", head.lo.exp().ln_1p())];
    let (answer, floor) =
        floors.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, floor)| *floor > FLOOR)?;
    let never = floor >= 2f64.ln();
    let fate = if never { format!(": no sample is ever {answer}") } else { String::new() };
    Some(Fault {
        severity: if never { Severity::Error } else { Severity::Warning },
        message: format!("`bce_with_logits` takes logits that `{name}` bounds{fate}"),
        note: (
            "floor",
            format!(
                "the loss of a {answer} sample cannot fall below {}, probability {}",
                number(floor),
                number((-floor).exp())
            ),
        ),
        help: "compute the loss on what the last layer gives, without an activation".to_owned(),
    })
}

/// Shares of a whole before a loss that is not made for them.
fn shares(graph: &Graph, loss: &Node, head: Head) -> Option<Fault> {
    let [_, Source::Feed(target)] = loss.inputs.as_slice() else { return None };
    let feed = &graph.feeds[*target];
    let (name, squash) = (loss.op.name(), graph.nodes[head.node].op.name());
    let width = graph.nodes[head.node].shape.as_ref().map_or(1, crate::tensor::Shape::elements);
    match (name, squash) {
        ("bce", "softmax") => Some(Fault {
            severity: Severity::Warning,
            message: "`bce` takes yes or no for each output, and `softmax` ties them together".to_owned(),
            note: ("outputs", format!("{width} shares that sum to 1")),
            help: "cross_entropy on the logits for one class of several; a sigmoid for several at once"
                .to_owned(),
        }),
        ("mse" | "mae" | "huber", "softmax" | "sigmoid") if feed.kind == FeedKind::OneHot => Some(Fault {
            severity: Severity::Warning,
            message: format!("`{name}` on class labels behind `{squash}`"),
            note: (
                "slope",
                "of a share p at most p (1 - p) <= 0.25, and 0 where the net is sure and wrong".to_owned(),
            ),
            help: format!("declare class({width}) and use cross_entropy on the logits"),
        }),
        _ => None,
    }
}
