//! Rows that are not in the range for which a step of the chain stands.
//!
//! ## What it checks
//!
//! The first step of a numeric group says in which units the file is meant to be. An error: a `scale` of 1/50 or less on training rows that lie
//! within -1..1 already. An error: rows of `val` or `test` whose rms is 50 times larger or smaller than that of the training rows. A
//! warning: `scale(1/255)` or `scale(1/256)` on values outside 0..255; a `clip` that replaces more than half of the values.
//!
//! ## Why it matters
//!
//! `scale(1/255)` says: these are bytes. Applied to what is in 0..1 already, it leaves 0.0039 and a variance near 1e-6, less than the epsilon of
//! a batch norm; the static rule `normalised-twice` sees only steps that are written down, not those that were applied before the file was
//! written. Rows in other units than those of training are another distribution: the weights answer with 50 times the signal.
//!
//! ## Example
//!
//! ```text
//! x  numeric("pixel_*") |> scale(1/255)
//! ```
//!
//! on a file with values between 0 and 1.
//!
//! ## Instead
//!
//! Remove the step, or write the file in the units that it stands for, the same in all splits.
//!
//! ## References
//!
//! research: static.md P07, P08, P09 (nested-unet#62, SO 48594888).

use super::{Moments, Subject, audit, column, percent, place, pooled};
use crate::data::units::{SHRINKS, written};
use crate::data::{Content, Group, Split, Transform};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::text::number;

pub static RULE: Rule = audit!("declared_range.rs" = "D203" "unlike-its-range" Error from "P07" "P08" "P09");

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    for group in subject.plan.groups.iter().filter(|group| group.content == Content::Numeric) {
        let before = out.iter().count();
        match group.chain.first().map(|step| (&step.transform, step.span)) {
            Some((Transform::Scale(by), span)) => {
                out.extend(scaled(subject, group, by.factor(), span));
            }
            Some((Transform::Clip(clip), span)) => out.extend(clipped(subject, group, clip.bounds(), span)),
            _ => {}
        }
        if out.iter().count() == before {
            out.extend(other_units(subject, group));
        }
    }
}

fn scaled(
    subject: &Subject<'_>,
    group: &Group,
    factor: f64,
    span: crate::source::Span,
) -> Option<Diagnostic> {
    let train = subject.profile.train(group)?;
    let call = written(&group.chain.first()?.transform);
    let largest = train.raw.iter().map(super::Column::magnitude).fold(0.0, f64::max);
    if factor.abs() <= SHRINKS && largest > 0.0 && largest <= 1.0 {
        let message = format!("`{call}` meets values of `{}` that lie in -1..1 already", group.name.value);
        return Some(
            Diagnostic::new(&RULE, span, message)
                .remark(format!("leaves at most {}", number(largest * factor.abs())))
                .label(place(subject.plan, Split::Train), format!("at most {} in magnitude", number(largest)))
                .help(format!("remove `{call}`, or write the file in the units that it stands for")),
        );
    }
    if ![1.0 / 255.0, 1.0 / 256.0].iter().any(|byte| (factor / byte - 1.0).abs() < 1e-9) {
        return None;
    }
    let (split, i, column_) = subject.profile.splits.keys().find_map(|&split| {
        let numbers = subject.profile.numbers(group, split)?;
        let i = numbers.raw.iter().position(|c| c.count > 0 && (c.min < 0.0 || c.max > 255.0))?;
        Some((split, i, numbers.raw[i]))
    })?;
    let message = format!(
        "`{call}` is meant for 0..255, and `{}` takes {} .. {}",
        column(group, i),
        number(column_.min),
        number(column_.max)
    );
    Some(
        Diagnostic::new(&RULE, span, message)
            .severity(Severity::Warning)
            .remark(format!("leaves {} .. {}", number(column_.min * factor), number(column_.max * factor)))
            .label(place(subject.plan, split), format!("on `{split}`"))
            .help("standardize(fit=train) does not depend on the units"),
    )
}

fn clipped(
    subject: &Subject<'_>,
    group: &Group,
    (lo, hi): (f64, f64),
    span: crate::source::Span,
) -> Option<Diagnostic> {
    let rows = &subject.profile.train(group)?.raw_rows;
    let all: u64 = rows.iter().map(|row| row.len() as u64).sum();
    let outside = |x: &&f64| **x < lo || **x > hi;
    let replaced = rows.iter().map(|row| row.iter().filter(outside).count() as u64).sum::<u64>();
    (2 * replaced > all).then(|| {
        let call = &group.chain[0].transform;
        let message =
            format!("`{call}` replaces {} of the values of `{}`", percent(replaced, all), group.name.value);
        Diagnostic::new(&RULE, span, message)
            .severity(Severity::Warning)
            .remark("most rows become one of two numbers")
            .help("clip what is rare, behind the step that brings the values to a common scale")
    })
}

/// Rows of evaluation whose rms differs by a factor of 50 from that of the training rows.
fn other_units(subject: &Subject<'_>, group: &Group) -> Option<Diagnostic> {
    let rms = |split: Split| {
        let Moments { mean, variance } = pooled(&subject.profile.numbers(group, split)?.raw)?;
        Some((mean * mean + variance).sqrt()).filter(|rms| *rms > 0.0)
    };
    let train = rms(Split::Train)?;
    let (split, other) = [Split::Val, Split::Test]
        .into_iter()
        .filter_map(|split| Some((split, rms(split)?)))
        .find(|(_, other)| other / train >= 1.0 / SHRINKS || train / other >= 1.0 / SHRINKS)?;
    let (factor, how) = if other > train { (other / train, "larger") } else { (train / other, "smaller") };
    let message = format!(
        "the rows of `{split}` are {} times {how} in `{}` than those of `train`",
        number(factor),
        group.name.value
    );
    let mut diagnostic = Diagnostic::new(&RULE, group.source, message).remark(format!(
        "rms {} on `train`, {} on `{split}`",
        number(train),
        number(other)
    ));
    if place(subject.plan, split) != place(subject.plan, Split::Train) {
        diagnostic = diagnostic.label(place(subject.plan, split), "these rows are in other units");
    }
    Some(diagnostic.help("write all splits in the same units"))
}
