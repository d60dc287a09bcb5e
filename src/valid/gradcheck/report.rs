//! What a gradient check concludes, as a value and as findings.

use super::fault::Fault;
use super::verdict::Verdict;
use super::{Method, Ng};
use crate::diag::{Diagnostic, rules};
use crate::graph::{Graph, Node};
use crate::text::{number, plural};
use serde::Serialize;

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its place along each axis.
    pub index: Vec<usize>,
    /// The reverse-mode gradient.
    pub gradient: f64,
    /// The two-sided difference or, where none was taken, the tangent.
    pub numeric: f64,
}

/// The worst that was seen of one tensor over all points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorReport {
    /// `fc1.weight`.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// |g - d| / (|g| + |d|) over the checked components; where none was differenced, `tangent_error`.
    pub error: f64,
    /// The mismatch of tangent and gradient along equalised directions: the root mean square of the errors of the components, each as a
    /// part of its sensitivity. None where a value is not finite.
    pub tangent_error: Option<f64>,
    /// The error of no component exceeds this part of its sensitivity, up to a probability of 10^-6.
    pub bound: Option<f64>,
    /// The smallest error of a lone component that is always rejected, as a part of its sensitivity; the negative control has planted it.
    pub detectable: Option<f64>,
    /// The largest sensitivity of a component: the size of the terms that its gradient adds up.
    pub sensitivity: Option<f64>,
    /// What was done to a wrong gradient, in words.
    pub diagnosis: Option<String>,
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
    /// |g - d| / (|g| + |d|) over all checked components of all tensors; where none was differenced, the largest mismatch along an
    /// equalised direction.
    pub error: f64,
    /// Whether components were to be differenced here, and verdicts of all kinds count: not where the weights are scaled, or dropout is switched
    /// off, where only what is wrong is reported.
    pub full: bool,
    /// Differences along random directions of all tensors, where no component was differenced.
    pub anchor: Option<Anchor>,
    /// Decisions that lie exactly on a kink.
    pub ties: usize,
    /// The first node that gives a NaN or an infinity.
    pub not_finite: Option<NotFinite>,
}

/// Where the forward run stops giving numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotFinite {
    /// The path of the node.
    pub node: String,
    /// `NaN`, `inf`, `-inf`.
    pub value: String,
}

/// Two-sided differences along random directions of all tensors at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Anchor {
    /// The largest |D - <g, v>|, as a part of the root sum of squares of its terms.
    pub error: f64,
    /// What truncation and rounding allow of it.
    pub bound: f64,
    /// How many directions.
    pub directions: usize,
}

/// The gradient of a failing tensor beside the true one.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// `fc1.weight`.
    pub name: String,
    /// Where it was seen.
    pub point: String,
    /// The shape.
    pub dims: Vec<usize>,
    /// The derivative by the tangents of the forward kernels.
    pub truth: Vec<f64>,
    /// What the reverse rules gave.
    pub given: Vec<f64>,
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
    /// The reverse rules and sums that are at fault, at each point.
    pub faults: Vec<Fault>,
    /// The gradients of failing tensors, where they were asked for.
    #[serde(skip)]
    pub maps: Vec<Map>,
    /// The formula of the course notes, where it was asked for.
    pub ng: Option<Ng>,
}

impl Report {
    /// Keeps the worst that was seen of a tensor.
    pub(super) fn keep(&mut self, fresh: TensorReport) {
        // What was not tested at one point, or is zero there, says less than a pass at another.
        let rank = |tensor: &TensorReport| match tensor.verdict {
            Verdict::Vacuous => 0,
            Verdict::PassZero => 1,
            verdict => 2 + verdict as usize,
        };
        let weight = |tensor: &TensorReport| (rank(tensor), tensor.diagnosis.is_some(), tensor.error);
        match self.tensors.iter_mut().find(|tensor| tensor.name == fresh.name) {
            Some(known) if weight(&fresh) > weight(known) => *known = fresh,
            Some(_) => {}
            None => self.tensors.push(fresh),
        }
    }

    /// The largest fault of each place over all points, one with a name before one without, in the order in which they were seen.
    fn largest(&self) -> Vec<&Fault> {
        let mut kept: Vec<&Fault> = Vec::new();
        let weight = |fault: &Fault| (!fault.slips.is_empty(), fault.error);
        for fault in &self.faults {
            match kept.iter_mut().find(|known| (known.kind, &known.node) == (fault.kind, &fault.node)) {
                Some(known) if weight(fault) > weight(known) => *known = fault,
                Some(_) => {}
                None => kept.push(fault),
            }
        }
        kept
    }

    /// A finding for each rule at fault or, where none is found, for each tensor whose gradient is wrong, at the statement of its
    /// node, and one for all that are not finite.
    #[must_use]
    pub fn findings(&self, graph: &Graph) -> Vec<Diagnostic> {
        let of = |verdict| self.tensors.iter().filter(move |tensor| tensor.verdict == verdict);
        let failed = || of(Verdict::Fail).chain(of(Verdict::KinkBad));
        let wrong: Vec<&TensorReport> = failed().collect();
        let mut findings: Vec<Diagnostic> = if self.faults.is_empty() {
            failed().map(|tensor| tensor.finding(graph)).collect()
        } else {
            self.largest().into_iter().map(|fault| fault.finding(graph, &wrong)).collect()
        };
        let invalid: Vec<&TensorReport> = of(Verdict::Invalid).collect();
        // The last one is the first that the reverse run reaches.
        if let Some(tensor) = invalid.last() {
            findings.push(self.not_finite(graph, tensor, invalid.len()));
        }
        findings
    }

    /// A finding for `count` tensors without a finite gradient, of which the reverse run reaches `tensor` first.
    fn not_finite(&self, graph: &Graph, tensor: &TensorReport, count: usize) -> Diagnostic {
        let forward =
            self.points.iter().find(|at| at.name == tensor.point).and_then(|at| at.not_finite.as_ref());
        let owner = match forward {
            Some(found) => {
                graph.nodes.iter().map(|(_, node)| node).find(|node| node.path.to_string() == found.node)
            }
            None => tensor.owner(graph),
        };
        let (what, help) = match forward {
            Some(NotFinite { node, value }) => (
                format!("`{node}` gives {value}"),
                match value.as_str() {
                    "NaN" => {
                        "NaN is a logarithm or root outside its domain, or the difference of two overflows: look at what flows in"
                    }
                    _ => "an overflow: look at the scale of what flows in with `show --signal`",
                },
            ),
            None => (
                format!("the loss or the gradient of `{}` is not a finite number", tensor.name),
                "the values are finite and their derivative is not: an overflow on the way back, or a slope without bound",
            ),
        };
        let own =
            owner.and_then(|node| node.op.own()).and_then(|own| own.formula.hazard().map(|at| (own, at)));
        let help = own.map_or(help.to_owned(), |(own, (x, why))| {
            format!(
                "the formula of `{}` is not defined everywhere: at {} it meets {why}",
                own.name,
                number(x)
            )
        });
        let message = format!("{what} at {}", tensor.point);
        let diagnostic =
            Diagnostic::new(&rules::GRADIENT_NOT_FINITE, owner.map_or(graph.span, |node| node.span), message)
                .note(
                    "gradients",
                    format!("{} cannot be compared with a derivative", plural(count, "tensor")),
                )
                .help(help);
        placed(diagnostic, owner)
    }
}

/// A finding with the place of its node.
pub(super) fn placed(diagnostic: Diagnostic, owner: Option<&Node>) -> Diagnostic {
    match owner {
        Some(node) => diagnostic.node(node.path.to_string()).trail(&node.trail),
        None => diagnostic,
    }
}

impl TensorReport {
    /// A tensor of which nothing is known yet.
    pub(super) fn new(name: &str, components: usize, point: &str) -> Self {
        Self {
            name: name.to_owned(),
            verdict: Verdict::Invalid,
            error: f64::NAN,
            tangent_error: None,
            bound: None,
            detectable: None,
            sensitivity: None,
            diagnosis: None,
            checked: 0,
            components,
            method: None,
            worst: None,
            point: point.to_owned(),
        }
    }

    fn owner<'g>(&self, graph: &'g Graph) -> Option<&'g Node> {
        graph
            .nodes
            .iter()
            .map(|(_, node)| node)
            .find(|node| node.params.iter().any(|param| graph.params[*param].path == self.name))
    }

    fn finding(&self, graph: &Graph) -> Diagnostic {
        let owner = self.owner(graph);
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
        let span = owner.map_or(graph.span, |node| node.span);
        let mut diagnostic = Diagnostic::new(&rules::GRADIENT_MISMATCH, span, message).note("how", checked);
        if let Some(Component { index, gradient, numeric }) = &self.worst {
            let index: Vec<String> = index.iter().map(ToString::to_string).collect();
            let at = format!("[{}]: gradient {gradient:e}, derivative {numeric:e}", index.join(","));
            diagnostic = diagnostic.note("at", at);
        }
        if let Some(why) = &self.diagnosis {
            diagnostic = diagnostic.note("looks like", why.clone());
        }
        placed(diagnostic, owner)
    }
}
