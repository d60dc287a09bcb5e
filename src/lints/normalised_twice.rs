//! Values that are brought to a common scale twice.
//!
//! ## What it checks
//!
//! Along a chain of transforms, what is known of the scale: 0..255 for `u8`, 0..1 for `unit` and behind `minmax` or
//! `scale(1/255)`, mean 0 and variance 1 behind `standardize`. An error: to divide by 50 or more what has unit scale already (1/255
//! twice, a `unit` input scaled by 1/255), or to apply given constants to standardised values. A warning: a fitted
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
use crate::data::{Step, Transform};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::FeedKind;
use crate::source::Span;
use crate::text::number;

pub static RULE: Rule = lint!("normalised_twice.rs" = "D003" "normalised-twice" Error from "P07");

/// A factor below which a scale is meant to normalise large numbers.
const SHRINKS: f64 = 1.0 / 50.0;

/// What is known of the scale of the values, and where it was given.
#[derive(Clone, Copy)]
enum Scale {
    Unknown,
    /// In 0..1, by this step or declaration.
    Unit(Span, &'static str, bool),
    /// Mean 0, variance 1.
    Standard(Span),
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph = context.graph;
    for (_, feed) in graph.feeds.iter().filter(|(_, feed)| !feed.chain.is_empty()) {
        let start = match feed.kind {
            FeedKind::Unit => Scale::Unit(feed.span, "declared as `unit`: in 0..1", false),
            _ => Scale::Unknown,
        };
        walk(context, &feed.name, start, &feed.chain, out);
    }
    for group in graph.data.iter().flat_map(|plan| &plan.groups) {
        let own = group.overrides.values().map(|(_, chain)| chain);
        for chain in std::iter::once(&group.chain).chain(own) {
            walk(context, &group.name.value, Scale::Unknown, chain, out);
        }
    }
}

fn walk(context: Context<'_>, name: &str, mut scale: Scale, chain: &[Step], out: &mut Diagnostics) {
    for (i, step) in chain.iter().enumerate() {
        let call = show(&step.transform);
        let before = match scale {
            Scale::Unknown => None,
            Scale::Unit(span, text, _) => Some((span, text)),
            Scale::Standard(span) => Some((span, "brings mean 0 and variance 1")),
        };
        let fitted = step.transform.fit().is_some();
        let finding = match (&step.transform, scale) {
            (Transform::Scale(by), Scale::Unit(..) | Scale::Standard(_)) if by.factor().abs() <= SHRINKS => {
                let left = format!("leaves values of the order of {}", number(by.factor().abs()));
                Some((Severity::Error, left))
            }
            (Transform::Standardize(_), Scale::Standard(_)) if !fitted => {
                Some((Severity::Error, "these constants are for values of another scale".to_owned()))
            }
            (
                Transform::Standardize(_) | Transform::Minmax(_),
                Scale::Standard(_) | Scale::Unit(_, _, true),
            ) if fitted => Some((Severity::Warning, "makes the first one pointless".to_owned())),
            _ => None,
        };
        if let (Some((severity, remark)), Some((first, text))) = (finding, before) {
            let mut diagnostic =
                Diagnostic::new(&RULE, step.span, format!("`{call}` scales `{name}` a second time"))
                    .severity(severity)
                    .remark(remark)
                    .label(first, text)
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
        scale = match &step.transform {
            Transform::Standardize(_) => Scale::Standard(step.span),
            Transform::Minmax(_) => Scale::Unit(step.span, "brings the values to 0..1", true),
            Transform::Scale(by) if by.factor().abs() <= SHRINKS => {
                Scale::Unit(step.span, "the first one: brings the values to unit scale", false)
            }
            Transform::Scale(by) if by.factor().abs() >= 1.0 / SHRINKS => Scale::Unknown,
            Transform::Log1p(_) => Scale::Unknown,
            Transform::Scale(_)
            | Transform::Clip(_)
            | Transform::Impute(_)
            | Transform::OneHot(_)
            | Transform::Noise(_) => scale,
        };
    }
}

/// A step as people write it: `scale(1/255)`.
#[must_use]
pub fn show(transform: &Transform) -> String {
    if let Transform::Scale(by) = transform {
        let divisor = 1.0 / by.factor();
        if by.factor().abs() < 1.0 && (divisor - divisor.round()).abs() < 1e-6 {
            return format!("scale(1/{})", number(divisor.round()));
        }
    }
    transform.to_string()
}
