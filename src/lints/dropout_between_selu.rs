//! Dropout between the layers of a self-normalising net.
//!
//! ## What it checks
//!
//! Every `dropout` and `alpha_dropout` behind a `selu` whose values reach another `selu` through weights and without a
//! norm. Two passes of one row, with masks of their own, share 1 - p of the second moment behind a `dropout`, and less
//! behind an `alpha_dropout` (0.82 for p = 0.05, 0.69 for 0.1). A warning: the product of these shares is below 1/6.
//! Information: the static analysis predicts a second moment of more than 1.5 for what the last `selu` takes in training.
//! Where the weights do not suit `selu`, `mismatched-gain` says so instead.
//!
//! The cut-off was set by these runs. Of nets of 2 to 16 layers with p = 0.05 to 0.5, trained for 600 steps with gradient
//! descent and with Adam and judged in use, 20 of 20 runs without a finding, 10 of 10 runs with information and 3 of 20
//! runs with a warning trained. A run trained if it reached nine tenths of the accuracy of the same net without masks
//! between the layers.
//!
//! ## Why it matters
//!
//! `selu` and weights of variance 1/fan_in hold mean 0 and variance 1 through any depth, since a deviation shrinks to 0.78 of
//! itself in every layer. Dropout multiplies the second moment by 1 / (1 - p) each time, in training only: the layers settle
//! where shrinking and growth balance, at twice the variance for p = 0.2, and in use they compute with another scale than
//! they were trained at. And what two passes of one row do not share is noise: behind many masks the last layers
//! see little else.
//!
//! ## Example
//!
//! ```text
//! h: repeat 10 {
//!   fc: linear(64, init=lecun_normal)
//!       selu
//!       dropout(0.2)
//! }
//! ```
//!
//! ## Instead
//!
//! One `dropout` before the head, where no `selu` follows; or `alpha_dropout`, which drops to the value that `selu`
//! saturates at and restores mean and variance. At the same p that is more noise, not less: its authors use 0.05 and 0.1,
//! and the fix, which is offered where less than 5/6 of what two passes have in common is lost, takes 0.05. It changes
//! training.
//!
//! ## References
//!
//! Klambauer et al. 2017, "Self-normalizing neural networks", section "New dropout technique".

use super::scheme::{self, Consumer};
use super::uses::{Uses, attribute, origin};
use super::{Context, lint, mismatched_gain};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::{AlphaDropout, Category};
use crate::source::Span;
use crate::text::{number, plural};
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("dropout_between_selu.rs" = "I008" "dropout-between-selu" Warning from "I09");

/// The second moment from which on it is information.
const MOMENT: f64 = 1.5;
/// The share of what two passes have in common below which it is a warning.
const COMMON: f64 = 1.0 / 6.0;
/// What the fix drops.
const GENTLE: f64 = 0.05;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let is_selu = |node: Handle<Node>| graph.nodes[node].op.name() == "selu";
    let Some(last) = graph.nodes.handles().rev().find(|node| is_selu(*node)) else { return };
    let uses = Uses::of(graph);
    let found: Vec<Handle<Node>> = graph
        .nodes
        .iter()
        .filter(|(_, node)| matches!(node.op.name(), "dropout" | "alpha_dropout"))
        .map(|(node, _)| node)
        .filter(|node| {
            let before = matches!(origin(graph, Source::Node(*node)), Source::Node(act) if is_selu(act));
            before && meets_selu(graph, &uses, *node)
        })
        .collect();
    let Some(dropout) = found.first().map(|node| &graph.nodes[*node]) else { return };
    let rate = |node: &Node| attribute(node, "p").and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let share = |node: &Node| match node.op.name() {
        "dropout" => 1.0 - rate(node),
        _ => AlphaDropout::common(rate(node)),
    };
    let common: f64 = found.iter().map(|node| share(&graph.nodes[*node])).product();
    let selus = graph.nodes.handles().filter(|node| is_selu(*node)).count();
    let Some(h) = graph.nodes[last].inputs.first().and_then(|source| context.signal.of(*source)) else {
        return;
    };
    let square = h.square();
    let severity = match (common < COMMON, square > MOMENT) {
        (true, _) => Severity::Warning,
        (false, true) => Severity::Info,
        (false, false) => return,
    };
    let account = &context.signal.account;
    let mismatched = mismatched_gain::kinds(context, &uses, account);
    if mismatched.iter().any(|kind| kind.region == account.region(last)) {
        return;
    }
    let settled = format!("they settle at {} times the variance that they hold", number(square));
    let shared = format!("two passes of one row share {} of the second moment", number(common));
    let (told, noted) = if severity == Severity::Warning { (shared, settled) } else { (settled, shared) };
    let message = format!("dropout between {selus} `selu` layers: {told}");
    let instead = if mendable(graph, &found) {
        format!("one dropout before the head alone, or alpha_dropout({GENTLE})")
    } else {
        "one dropout before the head alone".to_owned()
    };
    let paths: Vec<String> = found.iter().map(|node| graph.nodes[*node].path.to_string()).collect();
    let mut diagnostic = Diagnostic::new(&RULE, dropout.span, message)
        .severity(severity)
        .remark(format!("two passes share {} behind it", number(share(dropout))))
        .label(graph.nodes[last].span, "holds a variance of 1 if nothing scales its inputs")
        .node(scheme::names(&paths))
        .trail(&dropout.trail)
        .note("found", format!("{} behind `selu` and before another", plural(found.len(), "dropout")))
        .note("also", noted)
        .help(instead);
    if let Some(edits) = edits(context, &uses, &found) {
        diagnostic = diagnostic.fix(Fix {
            title: format!("alpha_dropout({GENTLE}) between the layers"),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits,
        });
    }
    out.push(diagnostic);
}

/// Whether a little of `alpha_dropout` in the place of these would leave enough.
fn mendable(graph: &Graph, found: &[Handle<Node>]) -> bool {
    let kept: f64 = found.iter().map(|_| AlphaDropout::common(GENTLE)).product();
    kept >= COMMON && found.iter().all(|node| graph.nodes[*node].op.name() == "dropout")
}

/// The edits that put `alpha_dropout` in the place of these. There are none where that would not help, where a node has a name of its own, where a statement may name one by its operator, which is so if what takes it is not the next one, and in YAML, where the
/// name of an operator has no span.
fn edits(context: Context<'_>, uses: &Uses, found: &[Handle<Node>]) -> Option<Vec<Edit>> {
    let graph: &Graph = context.graph;
    let flows = |node: &Handle<Node>| {
        let unnamed = graph.nodes[*node].path.0.last().is_some_and(|last| last.name == "dropout");
        unnamed && matches!(uses.after(Source::Node(*node)), [next] if next.index() == node.index() + 1)
    };
    if !mendable(graph, found) || context.notation != Notation::Dsl || !found.iter().all(flows) {
        return None;
    }
    // By statement: a loop repeats one edit.
    let mut spans: BTreeSet<[Span; 2]> = BTreeSet::new();
    for node in found.iter().map(|node| &graph.nodes[*node]) {
        let p = node.arguments.iter().find(|(name, _)| *name == "p")?.1;
        spans.insert([Span { end: node.span.start, ..node.span }, p]);
    }
    let edits = |[start, p]: [Span; 2]| {
        [Edit { span: start, text: "alpha_".to_owned() }, Edit { span: p, text: GENTLE.to_string() }]
    };
    Some(spans.into_iter().flat_map(edits).collect())
}

/// Whether a value reaches a `selu` through weights.
fn meets_selu(graph: &Graph, uses: &Uses, from: Handle<Node>) -> bool {
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for &next in uses.after(Source::Node(at)) {
            match graph.nodes[next].op.category() {
                Category::Layer => {
                    let consumer = scheme::consumer(uses, next);
                    if matches!(consumer, Consumer::Activation(act) if graph.nodes[act].op.name() == "selu") {
                        return true;
                    }
                }
                Category::Noise | Category::Layout | Category::Pool => open.push(next),
                _ => {}
            }
        }
    }
    false
}
