//! Dropout between the layers of a self-normalising net.
//!
//! ## What it checks
//!
//! A `dropout` behind a `selu` whose values reach another `selu` through weights and without a norm: the second moment that
//! the static analysis predicts for what the last `selu` takes in training. More than 1.5 is information; more than 2 at
//! eight or more `selu` is a warning. Where the weights do not suit `selu`, `mismatched-gain` says so instead.
//!
//! ## Why it matters
//!
//! `selu` and weights of variance 1/fan_in hold mean 0 and variance 1 through any depth, since a deviation shrinks to 0.78 of
//! itself in every layer. Dropout multiplies the second moment by 1 / (1 - p) each time, in training only: the layers settle
//! where shrinking and growth balance, at twice the variance for p = 0.2, and in use they compute with another scale than
//! they were trained at.
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
//! `alpha_dropout`, which drops to the value that `selu` saturates at and restores mean and variance; or one `dropout` before the
//! head, where no `selu` follows. The fix changes training.
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
use crate::ops::Category;
use crate::source::Span;
use crate::text::{number, plural};
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("dropout_between_selu.rs" = "I008" "dropout-between-selu" Warning from "I09");

/// Second moments from which on it is information and a warning.
const MOMENTS: [f64; 2] = [1.5, 2.0];
/// How many `selu` make a deep net.
const DEEP: usize = 8;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let is_selu = |node: Handle<Node>| graph.nodes[node].op.name() == "selu";
    let Some(last) = graph.nodes.handles().rev().find(|node| is_selu(*node)) else { return };
    let uses = Uses::of(graph);
    let found: Vec<Handle<Node>> = graph
        .nodes
        .iter()
        .filter(|(_, node)| node.op.name() == "dropout")
        .map(|(node, _)| node)
        .filter(|node| {
            let before = matches!(origin(graph, Source::Node(*node)), Source::Node(act) if is_selu(act));
            before && meets_selu(graph, &uses, *node)
        })
        .collect();
    let Some(dropout) = found.first().map(|node| &graph.nodes[*node]) else { return };
    let Some(p) = attribute(dropout, "p").and_then(|text| text.parse::<f64>().ok()) else { return };
    let selus = graph.nodes.handles().filter(|node| is_selu(*node)).count();
    let Some(h) = graph.nodes[last].inputs.first().and_then(|source| context.signal.of(*source)) else {
        return;
    };
    let square = h.square();
    let severity = match square {
        square if square > MOMENTS[1] && selus >= DEEP => Severity::Warning,
        square if square > MOMENTS[0] => Severity::Info,
        _ => return,
    };
    let account = &context.signal.account;
    let mismatched = mismatched_gain::kinds(context, &uses, account);
    if mismatched.iter().any(|kind| kind.region == account.region(last)) {
        return;
    }
    let message = format!(
        "dropout between {selus} `selu` layers: they settle at {} times the variance that they hold",
        number(square)
    );
    let paths: Vec<String> = found.iter().map(|node| graph.nodes[*node].path.to_string()).collect();
    let mut diagnostic = Diagnostic::new(&RULE, dropout.span, message)
        .severity(severity)
        .remark(format!("multiplies the second moment by {} in training", number(1.0 / (1.0 - p))))
        .label(graph.nodes[last].span, "holds a variance of 1 if nothing scales its inputs")
        .node(scheme::names(&paths))
        .trail(&dropout.trail)
        .note("found", format!("{} behind `selu` and before another", plural(found.len(), "dropout")))
        .help(format!("alpha_dropout({}), which keeps mean 0 and variance 1", number(p)));
    if let Some(edits) = edits(context, &uses, &found) {
        diagnostic = diagnostic.fix(Fix {
            title: "drop to where selu saturates".to_owned(),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits,
        });
    }
    out.push(diagnostic);
}

/// The edits that put the other operator in the place of these; none where a statement may name one by its operator, which is so if what
/// takes it is not the next one, and in YAML, where the name of an operator has no span.
fn edits(context: Context<'_>, uses: &Uses, found: &[Handle<Node>]) -> Option<Vec<Edit>> {
    let flows = |node: &Handle<Node>| matches!(uses.after(Source::Node(*node)), [next] if next.index() == node.index() + 1);
    if context.notation != Notation::Dsl || !found.iter().all(flows) {
        return None;
    }
    let spans: BTreeSet<Span> = found.iter().map(|node| context.graph.nodes[*node].span).collect();
    let edit = |span: Span| Edit { span: Span { end: span.start, ..span }, text: "alpha_".to_owned() };
    Some(spans.into_iter().map(edit).collect())
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
