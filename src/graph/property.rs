//! What a spec says that every initialisation satisfies.
//!
//! Contract: names are resolved and bounds evaluated; whether a property holds is found by running the model. Handles are those
//! of the graph that lowering made: a rewritten graph has no properties.

use super::{Feed, Handle, Node, ParamTensor, Source};
use crate::source::Span;
use crate::text::number;
use std::fmt;

/// One property.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// What it states.
    pub law: Law,
    /// What it is about, as the model language writes it: `rms(fc2.tanh)`, `invariant flip_horizontal`.
    pub subject: String,
    /// Where it is written.
    pub span: Span,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.law {
            Law::Within(_, bound) => write!(f, "{} {bound}", self.subject),
            Law::Invariant { .. } | Law::Monotone { .. } | Law::Causal(_) => f.write_str(&self.subject),
        }
    }
}

/// What a property states.
#[derive(Clone, Debug, PartialEq)]
pub enum Law {
    /// A quantity lies within a bound.
    Within(Quantity, Bound),
    /// The prediction in use is the same for the transformed input.
    Invariant {
        /// How the input is transformed.
        symmetry: Symmetry,
        /// Which input.
        input: Handle<Feed>,
    },
    /// Raising one element of an input never lowers one unit of a node.
    Monotone {
        /// The node.
        output: Handle<Node>,
        /// The unit.
        unit: usize,
        /// The input.
        input: Handle<Feed>,
        /// The element of one row of it.
        element: usize,
    },
    /// The positions (axis 1) of a node do not depend on later positions of the inputs.
    Causal(Handle<Node>),
}

/// A number that a run of the model gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The root of the mean square.
    Rms(Place),
    /// The mean.
    Mean(Place),
    /// The largest magnitude.
    MaxAbs(Place),
    /// The share of units that are off on every row of the batch.
    Dead(Handle<Node>),
    /// The share of values in the flat part of an activation.
    Saturated(Handle<Node>),
    /// The loss without penalties.
    LossAtInit,
    /// The root of the mean square of the loss's gradient.
    GradRms(Handle<ParamTensor>),
}

impl Quantity {
    /// The least and the largest value that it can have.
    #[must_use]
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Rms(_) | Self::MaxAbs(_) | Self::GradRms(_) => (0.0, f64::INFINITY),
            Self::Dead(_) | Self::Saturated(_) => (0.0, 1.0),
            Self::Mean(_) | Self::LossAtInit => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

/// What a quantity is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The value of a node or an input.
    Value(Source),
    /// A trainable tensor.
    Tensor(Handle<ParamTensor>),
}

/// How an input is transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symmetry {
    /// The columns of a map in reverse order.
    FlipHorizontal,
    /// The rows of a map in reverse order.
    FlipVertical,
    /// Rows and columns of a square map exchanged.
    Transpose,
    /// The columns of a map, or the positions of a sequence, moved on by one, the last becoming the first.
    Roll,
}

impl Symmetry {
    /// The symmetry of a word of the language.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Some(match word {
            "flip_horizontal" => Self::FlipHorizontal,
            "flip_vertical" => Self::FlipVertical,
            "transpose" => Self::Transpose,
            "roll" => Self::Roll,
            _ => return None,
        })
    }
}

/// An interval, each end of which belongs to it or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// The lower end; minus infinity for none.
    pub lo: f64,
    /// The upper end; infinity for none.
    pub hi: f64,
    /// Whether the finite ends belong to it.
    pub closed: bool,
}

impl Bound {
    /// Whether a value lies within; one that is no number does not.
    #[must_use]
    pub fn holds(&self, x: f64) -> bool {
        let Self { lo, hi, closed } = *self;
        if closed { lo <= x && x <= hi && x.is_finite() } else { lo < x && x < hi }
    }

    /// Whether no value of a range can leave it.
    #[must_use]
    pub fn contains(&self, (least, most): (f64, f64)) -> bool {
        let reaches = |end: f64, value: f64| end == value && (self.closed || end.is_infinite());
        (self.lo < least || reaches(self.lo, least)) && (self.hi > most || reaches(self.hi, most))
    }

    /// On which side of which end a value outside of it lies, in words.
    #[must_use]
    pub fn missed(&self, x: f64) -> String {
        let Self { lo, hi, closed } = *self;
        if x < lo || (x == lo && !closed) {
            return format!("{} {}", if closed { "below" } else { "not above" }, number(lo));
        }
        if x > hi || (x == hi && !closed) {
            return format!("{} {}", if closed { "above" } else { "not below" }, number(hi));
        }
        "not a finite number".to_owned()
    }
}

impl fmt::Display for Bound {
    /// As the model language writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lo, hi, closed } = *self;
        match (lo == f64::NEG_INFINITY, hi == f64::INFINITY) {
            (true, _) => write!(f, "{} {}", if closed { "<=" } else { "<" }, number(hi)),
            (_, true) => write!(f, "{} {}", if closed { ">=" } else { ">" }, number(lo)),
            _ => write!(f, "in {}..{}", number(lo), number(hi)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn ends_belong_to_closed_bounds_alone() {
        let within = Bound { lo: 0.5, hi: 2.0, closed: true };
        assert!([0.5, 1.0, 2.0].iter().all(|x| within.holds(*x)));
        assert!([0.49, 2.01, f64::NAN, f64::INFINITY].iter().all(|x| !within.holds(*x)));
        let below = Bound { lo: f64::NEG_INFINITY, hi: 2.0, closed: false };
        assert!(below.holds(-1e300) && !below.holds(2.0) && !below.holds(f64::NAN));
        assert!(!below.holds(f64::NEG_INFINITY), "an overflow satisfies no bound");
    }

    #[test]
    fn a_bound_that_nothing_leaves_is_seen() {
        let at_least = |lo: f64, closed| Bound { lo, hi: f64::INFINITY, closed };
        assert!(at_least(0.0, true).contains((0.0, f64::INFINITY)));
        assert!(at_least(-1.0, false).contains((0.0, f64::INFINITY)));
        assert!(!at_least(0.0, false).contains((0.0, f64::INFINITY)));
        assert!(Bound { lo: f64::NEG_INFINITY, hi: 1.0, closed: true }.contains((0.0, 1.0)));
        assert!(!Bound { lo: f64::NEG_INFINITY, hi: 1.0, closed: false }.contains((0.0, 1.0)));
    }
}
