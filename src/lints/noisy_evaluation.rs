//! Random augmentation that evaluation rows pass through, too.
//!
//! ## What it checks
//!
//! `noise(..., only=always)` in the chain of an input or a column group, or in an override for `val` or `test`.
//!
//! ## Why it matters
//!
//! Augmentation makes training rows stand for their neighbours. On rows of evaluation it is an error of measurement: two passes
//! over the same rows give different numbers, and the error that is reported is that on rows x + e, whose variance exceeds by
//! Var(e) that of the rows which the model will meet.
//!
//! ## Example
//!
//! ```text
//! x  numeric("pixel_*") |> standardize(fit=train) |> noise(0.1, only=always)
//! ```
//!
//! ## Instead
//!
//! `only=train`. The fix is safe: it changes no row of training.
//!
//! ## References
//!
//! research: static.md P19, from the questions 46239839, 53654594, 55786384, 59007484 and 60360057 on Stack Overflow.

use super::{Context, lint};
use crate::data::{Split, Step, Transform};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::text::number;

pub static RULE: Rule = lint!("noisy_evaluation.rs" = "D005" "noisy-evaluation" Error from "P19");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    for (_, feed) in context.graph.feeds.iter() {
        chain(context, &feed.name, &feed.chain, out);
    }
    for group in context.graph.data.iter().flat_map(|plan| &plan.groups) {
        let own = group.overrides.iter().filter(|(split, _)| **split != Split::Train);
        for steps in std::iter::once(&group.chain).chain(own.map(|(_, (_, steps))| steps)) {
            chain(context, &group.name.value, steps, out);
        }
    }
}

fn chain(context: Context<'_>, name: &str, steps: &[Step], out: &mut Diagnostics) {
    for step in steps {
        let Transform::Noise(noise) = &step.transform else { continue };
        if !step.transform.applies_to_evaluation() {
            continue;
        }
        let std = number(noise.std());
        let message = format!("noise of std {std} reaches the rows that `{name}` is judged on");
        let mut diagnostic = Diagnostic::new(&RULE, step.span, message)
            .remark("`always`: train, val, test and serving")
            .help(format!("noise({std}, only=train)"));
        // The text is written anew, so every digit must be there.
        if context.notation == Notation::Dsl && std.parse() == Ok(noise.std()) {
            diagnostic = diagnostic.fix(Fix {
                title: "augment training rows only".to_owned(),
                safety: Safety::Safe,
                level: Level::Data,
                edits: vec![Edit { span: step.span, text: format!("noise({std}, only=train)") }],
            });
        }
        out.push(diagnostic);
    }
}
