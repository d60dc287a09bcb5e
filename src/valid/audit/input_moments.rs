//! Numbers at the net's input, or targets, that are not of the scale that everything behind them assumes.
//!
//! ## What it checks
//!
//! The training rows behind the chain. Columns that a `standardize(fit=train)` ends have mean 0 and variance 1 up to rounding: with unit
//! roundoff u, n rows, and a column of mean m, scale s and largest standardised magnitude z, |mean| <= (n + 16) u (1 + |m|/s) (1 + z) and |variance
//! - 1| <= 4 (n + 16) u (1 + |m|/s)^2 (1 + z)^2, since each of n additions rounds once and the subtraction of m loses |m|/s; anything else is
//!   an error.
//!
//! A warning: given constants that leave an rms outside 1/4 .. 4 (they belong to other data); any other chain that leaves an rms outside 0.01 ..
//! 10 in front of weights. A numeric target with an rms above 100 is a warning, above 10 information.
//!
//! ## Why it matters
//!
//! Schemes for weights assume E x^2 = 1: signal, logits and the first layer's gradient grow with the rms of the input. A net answers near 0 at first,
//! so that the loss begins at E y^2; Adam moves a weight by at most its learning rate in a step and needs |y| / lr steps to get a bias to
//! the mean of the targets, 10^5 for 100 and 10^-3.
//!
//! ## Example
//!
//! ```text
//! x  numeric("pixel_*") |> standardize(mean=127, std=64)
//! ```
//!
//! on pixels in 0..16.
//!
//! ## Instead
//!
//! `standardize(fit=train)`, for numeric targets, too: predictions are then undone with the same statistics.
//!
//! ## References
//!
//! LeCun et al. 1998, "Efficient backprop", section 4.3; Karpathy, "A recipe for training neural networks"; research: static.md I14, T4, P06.

use super::profile::Numbers;
use super::{Subject, audit, column, pooled};
use crate::data::units::{Units, infer};
use crate::data::{Content, Fitted, Group, Split, Step, Transform};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::lints::meets_weights;
use crate::text::number;

pub static RULE: Rule = audit!("input_moments.rs" = "D205" "unlike-unit-scale" Warning from "I14" "P06");

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    for (handle, feed) in subject.graph.feeds.iter() {
        let Some(group) = subject.graph.group(feed) else { continue };
        let Some(numbers) = subject.profile.train(group) else { continue };
        let chain = group.chain_on(Split::Train);
        let lasting = || chain.iter().filter(|step| step.transform.applies_to_evaluation());
        let units = infer(Units::Raw, chain).1;
        let fits = |step: &Step| match &step.transform {
            Transform::Standardize(by) => by.given().is_none().then_some(step.transform.fit()).flatten(),
            _ => None,
        };
        if let Some(step) = lasting().next_back().filter(|step| fits(step) == Some(Split::Train)) {
            out.extend(exact(subject, group, numbers, step));
            continue;
        }
        let Some(moments) = pooled(&numbers.input) else { continue };
        let rms = (moments.mean * moments.mean + moments.variance).sqrt();
        if group.content == Content::Target {
            out.extend(target(group, chain, rms));
            continue;
        }
        let given = lasting().next_back().is_some_and(
            |step| matches!(&step.transform, Transform::Standardize(by) if by.given().is_some()),
        );
        let (lo, hi) = if given { (0.25, 4.0) } else { (0.01, 10.0) };
        let judged = given || !units.is_raw() && units != Units::Standard;
        if judged && rms > 0.0 && !(lo..=hi).contains(&rms) && meets_weights(subject.graph, handle) {
            let place = crate::data::units::place(chain).unwrap_or(group.source);
            let message =
                format!("`{}` reaches the weights with an rms of {}", group.name.value, number(rms));
            let mean = number(moments.mean);
            out.push(
                Diagnostic::new(&RULE, place, message)
                    .remark(format!(
                        "mean {mean}, variance {} on the training rows",
                        number(moments.variance)
                    ))
                    .help(if given {
                        "these constants belong to other data: standardize(fit=train)"
                    } else {
                        "end the chain with standardize(fit=train)"
                    }),
            );
        }
    }
}

/// Columns that are not as `standardize(fit=train)` leaves them.
fn exact(subject: &Subject<'_>, group: &Group, numbers: &Numbers, step: &Step) -> Option<Diagnostic> {
    let Some(Fitted::Standardize { mean, var, scale }) =
        subject.fitted.of(group, Split::Train).and_then(|stored| stored.steps.last())
    else {
        return None;
    };
    let roundoff = f64::EPSILON / 2.0;
    numbers.input.iter().enumerate().find_map(|(i, found)| {
        // A column whose variance is rounding has scale 1 and stays as it is.
        if scale[i] == 1.0 && var[i] != 1.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
        let rounded = (found.count as f64 + 16.0) * roundoff;
        let lost = (1.0 + mean[i].abs() / scale[i]) * (1.0 + found.magnitude());
        let (off_mean, off_variance) = (found.mean.abs(), (found.variance() - 1.0).abs());
        if off_mean <= rounded * lost && off_variance <= 4.0 * rounded * lost * lost {
            return None;
        }
        let message = format!(
            "`{}` has mean {} and variance {} behind `{}`",
            column(group, numbers.kept[i]),
            number(found.mean),
            found.variance(),
            step.transform
        );
        Some(
            Diagnostic::new(&RULE, step.span, message)
                .severity(Severity::Error)
                .remark("on the rows that it was fitted on, which it brings to 0 and 1"),
        )
    })
}

fn target(group: &Group, chain: &[Step], rms: f64) -> Option<Diagnostic> {
    let severity = match rms {
        _ if chain.iter().any(|step| step.transform.normalises()) => return None,
        r if r > 100.0 => Severity::Warning,
        r if r > 10.0 => Severity::Info,
        _ => return None,
    };
    let message = format!("the target `{}` has an rms of {}", group.name.value, number(rms));
    Some(
        Diagnostic::new(&RULE, group.source, message)
            .severity(severity)
            .remark(format!(
                "the net answers near 0 at first, so a squared loss begins at {}",
                number(rms * rms)
            ))
            .help("standardize(fit=train), and undo it on predictions with the same statistics"),
    )
}
