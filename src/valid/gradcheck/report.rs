//! What a gradient check concludes, as a value and as findings.

use super::Method;
use crate::diag::{Diagnostic, rules};
use crate::graph::Graph;
use crate::text::number;
use serde::Serialize;

/// What a check concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Verdict {
    /// Gradient and differences are zero within rounding.
    #[serde(rename = "PASS-ZERO")]
    PassZero,
    /// The gradient is right within the stated error.
    #[serde(rename = "PASS")]
    Pass,
    /// The gradient is right at a kink, by the convention of the forward kernel.
    #[serde(rename = "KINK-OK")]
    KinkOk,
    /// A value is not finite.
    #[serde(rename = "INVALID")]
    Invalid,
    /// Two independent oracles contradict the gradient.
    #[serde(rename = "FAIL")]
    Fail,
}

impl Verdict {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::PassZero => "PASS-ZERO",
            Self::KinkOk => "KINK-OK",
            Self::Invalid => "INVALID",
            Self::Fail => "FAIL",
        }
    }

    /// Whether the check found a fault.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::Invalid)
    }
}

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its place along each axis.
    pub index: Vec<usize>,
    /// The reverse-mode gradient.
    pub gradient: f64,
    /// The two-sided difference.
    pub numeric: f64,
}

/// The worst that was seen of one tensor over all points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorReport {
    /// `fc1.weight`.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// |g - d| / (|g| + |d|) over the checked components.
    pub error: f64,
    /// The same by the tangent along a random direction, where it was asked.
    pub tangent_error: Option<f64>,
    /// How many components were checked, of how many.
    pub checked: usize,
    /// How many there are.
    pub components: usize,
    /// How the differences were taken, where any were.
    pub method: Option<Method>,
    /// The component that differs most.
    pub worst: Option<Component>,
    /// Where it was seen.
    pub point: String,
}

/// One point and the ratio of the course notes over all tensors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PointReport {
    /// `seed 0`, `seed 0 after 20 steps`.
    pub name: String,
    /// Training or use.
    pub mode: String,
    /// The loss there, penalties included.
    pub loss: f64,
    /// |g - d| / (|g| + |d|) over all checked components of all tensors.
    pub error: f64,
    /// Decisions that lie exactly on a kink.
    pub ties: usize,
}

/// The whole check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The worst verdict.
    pub verdict: Verdict,
    /// What was perturbed, in words.
    pub method: String,
    /// The points.
    pub points: Vec<PointReport>,
    /// The tensors.
    pub tensors: Vec<TensorReport>,
}

impl Report {
    /// Keeps the worst that was seen of a tensor.
    pub(super) fn keep(&mut self, fresh: TensorReport) {
        match self.tensors.iter_mut().find(|tensor| tensor.name == fresh.name) {
            // A zero at one point says less than a pass at another.
            Some(known) if known.verdict == Verdict::PassZero && !fresh.verdict.is_bad() => *known = fresh,
            Some(_) if fresh.verdict == Verdict::PassZero => {}
            Some(known) if (fresh.verdict, fresh.error) > (known.verdict, known.error) => *known = fresh,
            Some(_) => {}
            None => self.tensors.push(fresh),
        }
    }

    /// A finding for each tensor whose gradient is wrong or not finite, at the statement of its node.
    #[must_use]
    pub fn findings(&self, graph: &Graph) -> Vec<Diagnostic> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.verdict.is_bad())
            .map(|tensor| tensor.finding(graph))
            .collect()
    }
}

impl TensorReport {
    fn finding(&self, graph: &Graph) -> Diagnostic {
        let owner = graph
            .nodes
            .iter()
            .map(|(_, node)| node)
            .find(|node| node.params.iter().any(|param| graph.params[*param].path == self.name));
        let span = owner.map_or(graph.span, |node| node.span);
        let diagnostic = if self.verdict == Verdict::Invalid {
            let message = format!(
                "the loss or the gradient of `{}` is not a finite number at {}",
                self.name, self.point
            );
            Diagnostic::new(&rules::GRADIENT_NOT_FINITE, span, message)
                .help("look at the signal: an initialisation that explodes overflows here")
        } else {
            let message = format!(
                "the gradient of `{}` is wrong: relative error {} at {}",
                self.name,
                number(self.error),
                self.point
            );
            let tangent = self.tangent_error.map_or(String::new(), |error| {
                format!("; the tangent along a random direction differs by {}", number(error))
            });
            let checked = format!(
                "{} of {} components by two-sided differences{}{tangent}",
                self.checked,
                self.components,
                self.method.map_or(String::new(), |method| format!(" ({})", method.word()))
            );
            let diagnostic = Diagnostic::new(&rules::GRADIENT_MISMATCH, span, message).note("how", checked);
            match &self.worst {
                Some(Component { index, gradient, numeric }) => {
                    let index: Vec<String> = index.iter().map(ToString::to_string).collect();
                    let at = format!("[{}]: gradient {gradient:e}, difference {numeric:e}", index.join(","));
                    diagnostic.note("at", at)
                }
                None => diagnostic,
            }
        };
        match owner {
            Some(node) => diagnostic.node(node.path.to_string()).trail(&node.trail),
            None => diagnostic,
        }
    }
}
