//! A classifier whose number of logits is not the number of classes.
//!
//! ## What it checks
//!
//! `cross_entropy(output, target)` and `nll`: the class axis of the output has the length of the target's class count. Fewer logits than
//! classes are an error, more are a warning.
//!
//! ## Why it matters
//!
//! L = ln sum_j exp(z_j) - z_y needs z_y: a label beyond the last logit has none, and frameworks read past the row or stop at the
//! first batch that holds it. A logit without a class is never right, so its gradient, softmax(z)_j, is always positive: its weights
//! are spent on pushing it down, and L starts at ln of the larger number.
//!
//! ## Example
//!
//! ```text
//! out: linear(9, init=lecun_normal)      # y: class(target, 10)
//! ```
//!
//! ## Instead
//!
//! One logit for each class. The fix changes the head, so old checkpoints no longer load.
//!
//! ## References
//!
//! research: static.md O05.

use super::uses::{logits as behind, origin};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::{FeedKind, Graph, Node, Source};
use crate::text::plural;

pub static RULE: Rule = lint!("class_count_mismatch.rs" = "O001" "class-count-mismatch" Error from "O05");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(logits) = logits(graph) else { return };
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    let [prediction, Source::Feed(target)] = loss.inputs.as_slice() else { return };
    let feed = &graph.feeds[*target];
    let FeedKind::Class(Some(wanted), _) = &feed.kind else { return };
    if logits == *wanted {
        return;
    }
    let severity = if logits < *wanted { Severity::Error } else { Severity::Warning };
    let message =
        format!("{} for the {} of `{}`", plural(logits, "logit"), count_of_classes(*wanted), feed.name);
    let head = match origin(graph, behind(graph).unwrap_or(*prediction)) {
        Source::Node(node) => Some(&graph.nodes[node]),
        Source::Feed(_) => None,
    };
    let place = head.map_or(graph.span(*prediction), |head| head.argument("out"));
    let (from, to) = (logits.min(*wanted), logits.max(*wanted) - 1);
    let remark = match (logits < *wanted, from == to) {
        (true, true) => format!("class {from} has no logit"),
        (true, false) => format!("classes {from}..{to} have no logit"),
        (false, true) => format!("logit {from} has no class"),
        (false, false) => format!("logits {from}..{to} have no class"),
    };
    let mut diagnostic = Diagnostic::new(&RULE, place, message)
        .severity(severity)
        .remark(remark)
        .label(feed.span, format!("{} declared here", count_of_classes(*wanted)))
        .node(graph.name_of(*prediction));
    if let Some(head) = head {
        diagnostic = diagnostic.trail(&head.trail).help(format!("{}({wanted}, ...)", head.op.name()));
        if let Some(edit) = resize(head, logits, *wanted).filter(|_| !graph.is_tied(head)) {
            diagnostic = diagnostic.fix(Fix {
                title: format!("one output for each of the {}", count_of_classes(*wanted)),
                safety: Safety::Unsafe,
                level: Level::Checkpoint,
                edits: vec![edit],
            });
        }
    }
    out.push(diagnostic);
}

fn count_of_classes(n: usize) -> String {
    if n == 1 { "one class".to_owned() } else { format!("{n} classes") }
}

/// The length of the class axis of what a loss on class labels takes.
#[must_use]
pub fn logits(graph: &Graph) -> Option<usize> {
    let loss = &graph.nodes[graph.loss?];
    let [prediction, target] = loss.inputs.as_slice() else { return None };
    let (z, y) = (graph.shape(*prediction)?, graph.shape(*target)?);
    loss.op.classes(&[z, y])
}

/// The edit that gives the head the right width, if its width is an argument of its own.
fn resize(head: &Node, width: usize, wanted: usize) -> Option<Edit> {
    let (_, span) = head.arguments.iter().find(|(name, _)| *name == "out")?;
    let is_width = head.shape.as_ref().is_some_and(|shape| shape.sample().contains(&width));
    is_width.then(|| Edit { span: *span, text: wanted.to_string() })
}
