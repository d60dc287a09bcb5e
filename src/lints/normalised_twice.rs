//! Values that are brought to a common scale twice.
//!
//! ## What it checks
//!
//! Along a chain of transforms, what is known of the scale: 0..255 for `u8`, 0..1 for `unit` and behind `minmax` or
//! `scale(1/255)`, mean 0 and variance 1 behind `standardize`. An error: to divide by 50 or more what has unit scale already (1/255
//! twice, a `unit` input scaled by 1/255), or to apply given constants to standardised
//! values, or constants for 0..255 (a mean or deviation above 1) to values in 0..1. A warning: a fitted
//! `standardize` or `minmax` behind another one, which makes the first one pointless. Constants for 0..1 behind `minmax` are right.
//!
//! ## Why it matters
//!
//! Divided by 255 twice, pixels have a standard deviation near 0.3 / 255 = 1e-3, and a variance of 1e-6 that an epsilon of 1e-5 in
//! the first batch norm swamps: var / (var + eps) = 0.1. Without a norm the first layer's gradient, which is proportional to its
//! input, is 255 times too small, and weights of any scheme are scaled for inputs of variance 1.
//!
//! ## Example
//!
//! ```text
//! input image: unit[B, 1, 28, 28] |> scale(1/255)
//! ```
//!
//! ## Instead
//!
//! Keep one of the two. The fix removes the later one; it changes what the net sees.
//!
//! ## References
//!
//! LeCun et al. 1998, "Efficient backprop", section 4.3; research: static.md P07.

use super::{Context, lint};
use crate::data::Step;
use crate::data::units::{Clash, Typed, Units, infer, written};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::FeedKind;
use crate::source::Span;
use crate::text::number;

pub static RULE: Rule = lint!("normalised_twice.rs" = "D003" "normalised-twice" Error from "P07");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph = context.graph;
    for (_, feed) in graph.feeds.iter().filter(|(_, feed)| !feed.chain.is_empty()) {
        let start = match feed.kind {
            FeedKind::Unit => Units::Unit,
            FeedKind::Byte => Units::Bytes,
            _ => Units::Raw,
        };
        walk(context, (&feed.name, feed.span), start, &feed.chain, out);
    }
    for group in graph.data.iter().flat_map(|plan| &plan.groups) {
        let own = group.overrides.values().map(|(_, chain)| chain);
        for chain in std::iter::once(&group.chain).chain(own) {
            walk(context, (&group.name.value, group.name.span), Units::Raw, chain, out);
        }
    }
}

fn walk(
    context: Context<'_>,
    (name, declared): (&str, Span),
    start: Units,
    chain: &[Step],
    out: &mut Diagnostics,
) {
    for (i, Typed { step, before: (units, by) }) in infer(start, chain).0.into_iter().enumerate() {
        let (severity, remark) = match units.clash(&step.transform) {
            Some(Clash::Shrinks(factor)) => {
                (Severity::Error, format!("leaves values of the order of {}", number(factor)))
            }
            Some(Clash::Foreign) => {
                (Severity::Error, "these constants are for values of another scale".to_owned())
            }
            Some(Clash::Pointless) => (Severity::Warning, "makes the first one pointless".to_owned()),
            Some(Clash::Unscaled) | None => continue,
        };
        let text = match (units, by) {
            (_, None) => "declared as `unit`: in 0..1",
            (Units::Standard, _) => "brings mean 0 and variance 1",
            (Units::Ranged, _) => "brings the values to 0..1",
            _ => "the first one: brings the values to unit scale",
        };
        let call = written(&step.transform);
        let mut diagnostic =
            Diagnostic::new(&RULE, step.span, format!("`{call}` scales `{name}` a second time"))
                .severity(severity)
                .remark(remark)
                .label(by.map_or(declared, |by| by.span), text)
                .help("keep one of the two");
        // A step is cut out together with the arrow before it.
        if let (Some(previous), Notation::Dsl) =
            (i.checked_sub(1).map(|before| &chain[before]), context.notation)
        {
            let span = Span { start: previous.span.end, ..step.span };
            diagnostic = diagnostic.fix(Fix {
                title: format!("remove `{call}`"),
                safety: Safety::Unsafe,
                level: Level::Data,
                edits: vec![Edit { span, text: String::new() }],
            });
        }
        out.push(diagnostic);
    }
}
