//! Numbers that reach the weights as they are in the file.
//!
//! ## What it checks
//!
//! Inputs that no transform brings to a common scale: numeric columns without `standardize`, `minmax`, `scale`, `clip` or `log1p`
//! (their scale is whatever the file has: a warning), and declared `u8` inputs, which lie in 0..255 (an error), also where given
//! constants for values in 0..1 are applied to the bytes. An input whose only
//! consumers are norms is rescaled by them. Declared real inputs are the caller's, who states nothing about them. Categories and
//! tokens are no quantities.
//!
//! ## Why it matters
//!
//! Every scheme for weights assumes inputs of variance 1: E h^2 = fan_in Var(w) E x^2. Pixels in 0..255 have E x^2 = 255^2 / 3, so
//! the first layer's values, and with ReLU the logits, are 147 times too large: the loss starts in the tens instead of at ln C.
//! Columns of different scales make the loss surface a long valley: the largest column alone sets the learning rate, since the
//! curvature along each weight goes with E x^2.
//!
//! ## Example
//!
//! ```text
//! input image: u8[B, 1, 28, 28]
//! ```
//!
//! ## Instead
//!
//! `numeric("*") |> standardize(fit=train)`, or `u8[...] |> scale(1/255)`. The fix changes what the net sees.
//!
//! ## References
//!
//! LeCun et al. 1998, "Efficient backprop", section 4.3; research: static.md P08.

use super::uses::Uses;
use super::{Context, lint};
use crate::data::units::{Clash, Typed, Units, infer, written};
use crate::data::{Content, Group, Transform};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Feed, FeedKind, Graph, Handle, Source};
use crate::ops::Category;
use crate::source::Span;
use crate::text::number;

pub static RULE: Rule = lint!("raw_input.rs" = "D004" "raw-input" Warning from "P08" "P04");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    for (handle, feed) in graph.feeds.iter().filter(|(_, feed)| !feed.target) {
        if !reaches_weights(graph, &uses, handle) {
            continue;
        }
        match graph.group(feed) {
            Some(group)
                if group.content == Content::Numeric && infer(Units::Raw, &group.chain).1.is_raw() =>
            {
                out.push(columns(context, group));
            }
            None if feed.kind == FeedKind::Byte => {
                let (steps, behind) = infer(Units::Bytes, &feed.chain);
                if behind.is_raw() {
                    out.push(bytes(feed));
                }
                out.extend(steps.into_iter().filter_map(|typed| unscaled(feed, typed)));
            }
            _ => {}
        }
    }
}

/// Whether an input meets weights before any norm.
#[must_use]
pub fn meets_weights(graph: &Graph, feed: Handle<Feed>) -> bool {
    reaches_weights(graph, &Uses::of(graph), feed)
}

/// Whether a value meets weights before any norm.
fn reaches_weights(graph: &Graph, uses: &Uses, feed: Handle<Feed>) -> bool {
    let mut open = vec![Source::Feed(feed)];
    let mut seen = vec![false; graph.nodes.len()];
    while let Some(source) = open.pop() {
        for &next in uses.after(source) {
            match graph.nodes[next].op.category() {
                Category::Layer | Category::Loss => return true,
                Category::Norm => {}
                _ if std::mem::replace(&mut seen[next.index()], true) => {}
                _ => open.push(Source::Node(next)),
            }
        }
    }
    false
}

fn columns(context: Context<'_>, group: &Group) -> Diagnostic {
    let name = &group.name.value;
    let message = format!("`{name}` reaches the weights in the units of the file");
    let mut diagnostic = Diagnostic::new(&RULE, group.name.span, message)
        .remark(match group.columns.len() {
            1 => "a column of unknown scale".to_owned(),
            n => format!("{n} columns, each of its own unknown scale"),
        })
        .help("standardize(fit=train)");
    let plan = context.graph.data.as_ref();
    let other = plan.iter().flat_map(|plan| &plan.groups).find_map(|other| {
        other.chain.iter().find(|step| step.transform.normalises()).filter(|_| !other.content.is_target())
    });
    if let Some(step) = other {
        diagnostic = diagnostic.label(step.span, "while this group is normalised");
    }
    match (context.notation, end(group)) {
        (Notation::Dsl, Some(at)) => diagnostic.fix(Fix {
            title: "standardise with the training split's statistics".to_owned(),
            safety: Safety::Unsafe,
            level: Level::Data,
            edits: vec![Edit { span: at, text: " |> standardize(fit=train)".to_owned() }],
        }),
        _ => diagnostic,
    }
}

/// The place behind a group's declaration, where it can be told.
fn end(group: &Group) -> Option<Span> {
    let last = match group.chain.last() {
        Some(step) => step.span,
        None if group.reshape.is_none() => group.source,
        None => return None,
    };
    Some(Span { start: last.end, ..last })
}

fn bytes(feed: &Feed) -> Diagnostic {
    let message = format!("`{}` reaches the weights in 0..255", feed.name);
    Diagnostic::new(&RULE, feed.span, message)
        .severity(Severity::Error)
        .remark("rms 147 for uniform pixels; schemes for weights assume 1")
        .help(format!("input {}: u8[...] |> scale(1/255), or standardize with given constants", feed.name))
}

/// Constants for 0..1 that meet bytes.
fn unscaled(feed: &Feed, Typed { step, before: (units, _) }: Typed<'_>) -> Option<Diagnostic> {
    let Transform::Standardize(by) = &step.transform else { return None };
    let (mean, std) = by.given()?;
    (units.clash(&step.transform) == Some(Clash::Unscaled)).then(|| {
        let call = written(&step.transform);
        let white = (255.0 - mean.first().unwrap_or(&0.0)) / std.first().unwrap_or(&1.0);
        let message = format!("`{}` is in 0..255, and `{call}` is meant for 0..1", feed.name);
        Diagnostic::new(&RULE, step.span, message)
            .severity(Severity::Error)
            .remark(format!("255 becomes {}", number(white)))
            .label(feed.span, "declared as `u8`: in 0..255")
            .help(format!("scale(1/255) |> {call}"))
    })
}
