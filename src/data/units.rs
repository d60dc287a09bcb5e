//! What is known of the scale of values along a chain: a small type inference.
//!
//! Contract: [`Units`] are the types, [`Units::behind`] is the type of a step's result, [`Units::clash`] says why a step does not
//! fit the type that it is applied to. Rules about missing and doubled scaling ask here and know no transform themselves.

use super::{Step, Transform};
use crate::source::Span;
use crate::text::number;

/// A factor below which a scale is meant to normalise large numbers.
pub const SHRINKS: f64 = 1.0 / 50.0;

/// The scale of values, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Whatever the file has.
    Raw,
    /// Whole numbers in 0..255.
    Bytes,
    /// Of unknown scale, which some step has bounded or changed on purpose.
    Tamed,
    /// Of the order of 0..1, because of how they are declared or scaled.
    Unit,
    /// In 0..1 by the extremes of some rows.
    Ranged,
    /// Mean 0 and variance 1.
    Standard,
}

/// Why a step does not fit the values that it is applied to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clash {
    /// It divides what has unit scale already by a large number.
    Shrinks(f64),
    /// Its constants are for values of another scale, which these no longer have.
    Foreign,
    /// Its constants are for 0..1, and the values are bytes.
    Unscaled,
    /// It fits a scale behind a fitted scale, which makes the first one pointless.
    Pointless,
}

impl Units {
    /// The type of a step's result.
    #[must_use]
    pub fn behind(self, transform: &Transform) -> Self {
        match transform {
            Transform::Standardize(_) => Self::Standard,
            Transform::Minmax(_) => Self::Ranged,
            Transform::Scale(by) if by.factor().abs() <= SHRINKS => Self::Unit,
            Transform::Scale(by) if by.factor().abs() >= 1.0 / SHRINKS => Self::Tamed,
            Transform::Log1p(_) => Self::Tamed,
            Transform::Scale(_) | Transform::Clip(_) => match self {
                Self::Raw | Self::Bytes => Self::Tamed,
                known => known,
            },
            Transform::Impute(_)
            | Transform::OneHot(_)
            | Transform::Select(_)
            | Transform::Noise(_)
            | Transform::Back(_) => self,
        }
    }

    /// Why a step cannot be meant for values of this type.
    #[must_use]
    pub fn clash(self, transform: &Transform) -> Option<Clash> {
        let scaled = matches!(self, Self::Unit | Self::Ranged | Self::Standard);
        match transform {
            Transform::Scale(by) if scaled && by.factor().abs() <= SHRINKS => {
                Some(Clash::Shrinks(by.factor().abs()))
            }
            Transform::Standardize(by) => match (self, by.given()) {
                (Self::Standard | Self::Ranged, None) => Some(Clash::Pointless),
                (Self::Standard, Some(_)) => Some(Clash::Foreign),
                (Self::Unit | Self::Ranged, Some((mean, std))) => {
                    (!for_unit(mean, std)).then_some(Clash::Foreign)
                }
                (Self::Bytes, Some((mean, std))) => for_unit(mean, std).then_some(Clash::Unscaled),
                _ => None,
            },
            Transform::Minmax(_) if matches!(self, Self::Standard | Self::Ranged) => Some(Clash::Pointless),
            _ => None,
        }
    }

    /// Whether the scale is still that of the file or of bytes.
    #[must_use]
    pub fn is_raw(self) -> bool {
        matches!(self, Self::Raw | Self::Bytes)
    }
}

/// Whether constants are means and standard deviations of values in 0..1, which both lie there themselves.
fn for_unit(mean: &[f64], std: &[f64]) -> bool {
    mean.iter().all(|m| (0.0..=1.0).contains(m)) && std.iter().all(|s| *s <= 1.0)
}

/// One step with the type of what it is applied to.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    /// The step.
    pub step: &'a Step,
    /// The type before it, and the step that gave it; no step if the declaration did.
    pub before: (Units, Option<&'a Step>),
}

/// The type of every edge of a chain that begins with `start`, and the type behind it.
#[must_use]
pub fn infer(start: Units, chain: &[Step]) -> (Vec<Typed<'_>>, Units) {
    let mut before = (start, None);
    let mut typed = Vec::new();
    for step in chain {
        typed.push(Typed { step, before });
        let behind = before.0.behind(&step.transform);
        if behind != before.0 || resets(step) {
            before = (behind, Some(step));
        }
    }
    (typed, before.0)
}

/// Whether a step gives its result a scale of its own, whatever it is applied to.
fn resets(step: &Step) -> bool {
    step.transform.normalises()
        || matches!(&step.transform, Transform::Scale(by) if by.factor().abs() <= SHRINKS)
}

/// A step as people write it: `scale(1/255)`.
#[must_use]
pub fn written(transform: &Transform) -> String {
    if let Transform::Scale(by) = transform {
        let divisor = 1.0 / by.factor();
        if by.factor().abs() < 1.0 && (divisor - divisor.round()).abs() < 1e-6 {
            return format!("scale(1/{})", number(divisor.round()));
        }
    }
    transform.to_string()
}

/// The place of a whole chain; `None` if it is empty.
#[must_use]
pub fn place(chain: &[Step]) -> Option<Span> {
    let (first, rest) = chain.split_first()?;
    Some(rest.iter().fold(first.span, |place, step| place.to(step.span)))
}
