//! An input, column group or target that nothing takes.
//!
//! ## What it checks
//!
//! Every input and every group of feature columns has a consumer in the net; every target has one in the loss, if the spec has a
//! loss, unless predictions are brought back with its chain or columns are chosen by it. A net with one input takes it by itself.
//!
//! ## Why it matters
//!
//! The rows carry it, the reader of the spec counts on it, and the model ignores it: dy/dx = 0 for every weight.
//!
//! ## Example
//!
//! ```text
//! input image: f64[B, 64]
//! input meta:  f64[B, 3]
//! net { out: linear(10, init=lecun_normal) <- image }
//! ```
//!
//! ## Instead
//!
//! `concat <- image, meta`, or remove the declaration.
//!
//! ## References
//!
//! research: static.md A07, G04.

use super::uses::Uses;
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Feed, Graph, Handle, Source};

pub static RULE: Rule = lint!("unused_input.rs" = "A002" "unused-input" Warning from "A07" "G04");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    if graph.partial {
        return;
    }
    let uses = Uses::of(graph);
    for (handle, feed) in graph.feeds.iter() {
        let idle = uses.after(Source::Feed(handle)).is_empty();
        if !idle || feed.target && (graph.loss.is_none() || is_named(graph, handle)) {
            continue;
        }
        let name = &feed.name;
        let (message, help) = match (feed.target, graph.group(feed)) {
            (true, _) => (
                format!("no loss takes the target `{name}`"),
                format!("name it in the loss, or remove `{name}`"),
            ),
            (false, Some(group)) => (
                format!(
                    "no node takes the {} of `{name}`",
                    crate::text::plural(group.columns.len(), "column")
                ),
                format!("join it: concat <- {name}, ...; or remove `{name}`"),
            ),
            (false, None) => (
                format!("no node takes the input `{name}`"),
                format!("join it: concat <- {name}, ...; or remove `{name}`"),
            ),
        };
        out.push(Diagnostic::new(&RULE, feed.span, message).help(help));
    }
}

/// Whether a target has another use than in a loss: its chain is undone on the prediction (whether rightly is another question), or columns are
/// chosen by it.
fn is_named(graph: &Graph, target: Handle<Feed>) -> bool {
    let undone = graph.training.predict.as_ref().and_then(|predict| predict.undone);
    let name = graph.feeds[target].name.as_str();
    let groups = graph.data.iter().flat_map(|plan| &plan.groups);
    let mut steps = groups.flat_map(|group| &group.chain);
    undone.is_some_and(|(of, _)| of == target) || steps.any(|step| step.transform.target() == Some(name))
}
