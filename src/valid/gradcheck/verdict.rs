//! What a check concludes of a tensor, and from what.
//!
//! Errors are measured in units of the sensitivity S of their component: the root of the sum of squares of the terms that its gradient adds up. A
//! component that is far below the rest of its tensor is measured by 10^-4 of their root mean square.
//!
//! | verdict | when |
//! | --- | --- |
//! | PASS | the directions agree, and the smallest detectable error is at most 10^-6 |
//! | PASS-ZERO | the same, and every component is zero within rounding of its terms: a bias before a batch norm |
//! | KINK-OK | PASS with values that lie exactly on a kink, or elements of a maximum that are exactly tied; or the reverse rule takes another subgradient there: one between both sides, of a maximum shares of at least 0 that add up to 1 and go to tied elements only |
//! | SURROGATE | PASS of the chain with the surrogates that the spec declares: differences of the loss, which know nothing of them, are not taken |
//! | VACUOUS | nothing was tested: no term reaches the tensor, all its terms are smaller than what rounding of the loss does to a difference, or the negative control was not rejected |
//! | UNRESOLVED | the oracles cannot decide: tangent and gradient differ and double-double arithmetic is not affordable; rounding alone moves the gradient by more than 10^-6; or differences contradict what the tangent confirms |
//! | INVALID | a value or a derivative is not finite |
//! | KINK-BAD | on a kink the reverse rule takes neither side's derivative nor one between, at a tie no such shares |
//! | FAIL | the directions contradict the gradient, and so does a second oracle: double-double arithmetic, or differences where that costs too much; or the ledger has found a wrong rule |
//!
//! Over all points a tensor has the worst of its verdicts; but a point where nothing was tested, or where the gradient is zero, says less than a pass at
//! another one.

use super::directions::Evidence;

/// The manual page.
pub const PAGE: &str = crate::manual::page!("verdict.rs");

/// What a check concludes, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Gradient and derivative are zero within rounding.
    PassZero,
    /// The gradient is right within the stated bound.
    Pass,
    /// The gradient is right at a kink, by some subgradient.
    KinkOk,
    /// The gradient is that of the chain with the surrogates that the spec declares, not the derivative of the loss.
    Surrogate,
    /// Nothing was tested.
    Vacuous,
    /// The oracles cannot decide.
    Unresolved,
    /// A value is not finite.
    Invalid,
    /// The gradient at a kink is no subgradient.
    KinkBad,
    /// Two independent oracles contradict the gradient.
    Fail,
}

crate::text::serialize_words!(Verdict);

impl Verdict {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::PassZero => "PASS-ZERO",
            Self::KinkOk => "KINK-OK",
            Self::Surrogate => "SURROGATE",
            Self::Vacuous => "VACUOUS",
            Self::Unresolved => "UNRESOLVED",
            Self::Invalid => "INVALID",
            Self::KinkBad => "KINK-BAD",
            Self::Fail => "FAIL",
        }
    }

    /// Whether the check found a fault.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::KinkBad | Self::Invalid)
    }

    /// Whether the gradient was tested and is right.
    #[must_use]
    pub const fn is_pass(self) -> bool {
        matches!(self, Self::Pass | Self::PassZero | Self::KinkOk)
    }
}

/// The largest error, in units of the sensitivity, that a pass may leave unseen.
pub const RESOLUTION: f64 = 1e-6;
/// From this relative error on, differences contradict a gradient that the tangent confirms, where rounding does not explain it.
const CONTRADICTED: f64 = 1e-3;

/// What is known of one tensor at one point.
pub(super) struct Known {
    /// What the directions say.
    pub evidence: Evidence,
    /// The largest sensitivity without the share of the penalties.
    pub reached: f64,
    /// The largest gradient, in units of the sensitivity.
    pub gradient: f64,
    /// What rounding does to a component, in the same units.
    pub rounding: f64,
    /// What rounding of the loss does to the difference of one component.
    pub noise: f64,
    /// The relative error of the differences and what rounding allows of it; zeros where none were taken.
    pub differences: [f64; 2],
}

impl Known {
    /// The verdict; FAIL is to be confirmed by a second oracle.
    pub fn verdict(&self) -> Verdict {
        let Self { evidence, reached, gradient, rounding, noise, .. } = self;
        if !evidence.agrees {
            Verdict::Fail
        } else if !evidence.moves || *reached <= *noise || !evidence.controlled {
            Verdict::Vacuous
        } else if evidence.detectable > RESOLUTION || self.contradicted() {
            Verdict::Unresolved
        } else if gradient <= rounding {
            Verdict::PassZero
        } else {
            Verdict::Pass
        }
    }

    /// Whether differences contradict the gradient by themselves.
    pub fn contradicted(&self) -> bool {
        let [error, allowed] = self.differences;
        error > allowed.max(CONTRADICTED)
    }
}
