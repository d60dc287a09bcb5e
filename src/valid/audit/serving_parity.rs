//! A raw row that becomes other numbers in serving than in training.
//!
//! ## What it checks
//!
//! The first training row passes twice: through the chain of training with the statistics of the rows (without augmentation), and through the chain
//! that serving uses, which is that of `test` with the statistics in the file beside the spec. Every element must agree to 1e-12 relative to
//! 1 + its magnitude; both are the same few operations, each of which rounds by 1.1e-16.
//!
//! Where `predict unscale(out, y)` is written, every sampled training row of the target must come back from its chain to 1e-12 of the largest
//! value.
//!
//! Where another rule has said why they differ (an override on `test`, a statistics file that is not that of the rows), the row is added to
//! that finding and none of its own is made.
//!
//! ## Why it matters
//!
//! The weights answer to the numbers that training showed them. A row that is standardised with other constants is another row: nothing fails,
//! the answers are wrong.
//!
//! ## Example
//!
//! ```text
//! x  numeric("pixel_*") |> standardize(fit=train)
//! on test { x |> minmax(fit=train) }
//! ```
//!
//! ## Instead
//!
//! One chain for all splits, and statistics written by `wellposed stats fit` from the rows of training.
//!
//! ## References
//!
//! Breck et al. 2017, "The ML test score", training/serving skew; research: static.md T2, P10, P26 (timm#1324).

use super::{Subject, audit};
use crate::data::{Content, Group, Pipeline, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, rules};
use crate::text::number;

pub static RULE: Rule = audit!("serving_parity.rs" = "D206" "skewed-serving" Error from "P10" "P11" "P26");

/// Each of the two results is a handful of operations that round by 1.1e-16 each; 1e-12 leaves room for hundreds and for
/// cancellation against a mean of a thousand deviations.
const TOLERANCE: f64 = 1e-12;

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    out.extend(round_trip(subject));
    let groups = subject.plan.groups.iter();
    for group in groups.filter(|group| matches!(group.content, Content::Numeric | Content::Target)) {
        let Some(difference) = difference(subject, group) else { continue };
        let overridden = group.overrides.get(&Split::Test).map(|(place, _)| *place);
        let explains = |d: &Diagnostic| match (d.span(), overridden) {
            (Some(span), _) if d.rule == &rules::STALE_STATISTICS => span == group.source,
            (Some(span), Some(place)) => {
                span.file == place.file && place.start <= span.start && span.end <= place.end
            }
            _ => false,
        };
        match out.iter_mut().find(|d| explains(d)) {
            Some(known) => known.notes.push(("row", difference)),
            None => out.push(
                Diagnostic::new(
                    &RULE,
                    group.source,
                    format!("serving sees other numbers than training: {difference}"),
                )
                .help("use one chain and one set of statistics for both"),
            ),
        }
    }
}

/// A target that does not come back from its chain, where predictions are unscaled.
fn round_trip(subject: &Subject<'_>) -> Option<Diagnostic> {
    let (target, span) = subject.graph.training.predict.as_ref()?.undone?;
    let group = subject.graph.group(&subject.graph.feeds[target])?;
    let pipeline = Pipeline::stored(group, Split::Train, subject.stored.unwrap_or(subject.fitted)).ok()?;
    let numbers = subject.profile.train(group)?;
    numbers.raw_rows.iter().find_map(|raw| {
        let mut row = raw.clone();
        pipeline.apply(&mut row);
        // A step that cannot be undone is reported without the rows.
        let undone = pipeline.invert(&mut row);
        let i = raw.iter().zip(&row).position(|(a, b)| {
            let close = (a - b).abs() <= TOLERANCE * (1.0 + numbers.raw.iter().map(super::Column::magnitude).fold(a.abs(), f64::max));
            !close && !a.is_nan()
        })?;
        undone.then(|| {
            let (name, a, b) = (super::column(group, i), number(raw[i]), number(row[i]));
            Diagnostic::new(&RULE, span, format!("`{name}` = {a} of a training row comes back as {b}"))
                .label(group.source, "through this chain and back")
                .help("use constants that the arithmetic of 53 bits can undo: a std that is not tiny beside the mean")
        })
    })
}

/// What becomes of the first training row, if that differs.
fn difference(subject: &Subject<'_>, group: &Group) -> Option<String> {
    let training = Pipeline::stored(group, Split::Train, subject.fitted).ok()?;
    let serving = Pipeline::stored(group, Split::Test, subject.stored.unwrap_or(subject.fitted)).ok()?;
    let raw = subject.profile.train(group)?.raw_rows.first()?;
    let (mut one, mut other) = (raw.clone(), raw.clone());
    training.apply(&mut one);
    serving.apply(&mut other);
    // Statistics that were edited to nonsense give NaN, which is close to nothing.
    let apart = |(a, b): (&f64, &f64)| {
        let close = (a - b).abs() <= TOLERANCE * (1.0 + a.abs().max(b.abs()));
        !close
    };
    let i = one.iter().zip(&other).position(apart).or((one.len() != other.len()).then_some(0))?;
    let at = *training.kept().get(i)?;
    Some(format!(
        "`{}` = {} of the first training row is {} in training and {} in serving",
        super::column(group, at),
        number(*raw.get(at)?),
        number(*one.get(i)?),
        number(*other.get(i)?)
    ))
}
