//! What a gradient check concludes, as a value and as findings.

use super::purity::Impurity;
use super::{Method, ledger};
use crate::diag::{Diagnostic, rules};
use crate::graph::{Graph, Handle, Node};
use crate::ops::Arity;
use crate::text::{number, plural};
use serde::Serialize;

/// What a check concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Gradient and differences are zero within rounding.
    PassZero,
    /// The gradient is right within the stated error.
    Pass,
    /// The gradient is right at a kink, by the convention of the forward kernel.
    KinkOk,
    /// The gradient is that of the chain with the surrogates that the spec declares, not the derivative of the loss.
    Surrogate,
    /// A value is not finite.
    Invalid,
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

/// What kind of thing does not balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A reverse rule hands back something else than it was handed.
    Rule,
    /// The contributions to a value or tensor do not add up to its derivative.
    Sum,
    /// The derivative of the penalties is not theirs.
    Penalty,
    /// Two runs of a kernel or rule on the same arguments differ.
    Repeat,
    /// A reverse rule reads what its buffers held before.
    Leftover,
    /// A reverse rule makes something of a cotangent of zeros.
    Zero,
    /// A reverse rule is not linear in its cotangent.
    Nonlinear,
}

crate::text::serialize_words!(FaultKind);

impl FaultKind {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Sum => "sum",
            Self::Penalty => "penalty",
            Self::Repeat => "repeat",
            Self::Leftover => "leftover",
            Self::Zero => "zero",
            Self::Nonlinear => "nonlinear",
        }
    }
}

/// Where the ledger does not balance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The path of the node, or of the tensor where no node is at fault.
    pub node: String,
    /// The operator; empty where none is at fault.
    pub op: String,
    /// In which of its operands: `input`, `input 2`, `weight`.
    pub operands: Vec<String>,
    /// The tensors whose own contribution is wrong.
    pub tensors: Vec<String>,
    /// The mismatch as a part of the magnitudes that were added up; 1 for a law that holds or does not.
    pub error: f64,
    /// What rounding allows.
    pub bound: f64,
    /// Where it was seen.
    pub point: String,
}

impl Fault {
    pub(super) fn of(graph: &Graph, fault: &ledger::Fault, point: &str) -> Self {
        let ledger::Fault { site, error, bound } = fault;
        let bare = |kind, node: String| Self {
            kind,
            node,
            op: String::new(),
            operands: Vec::new(),
            tensors: Vec::new(),
            error: *error,
            bound: *bound,
            point: point.to_owned(),
        };
        match site {
            ledger::Site::Rule(handle, operands) => {
                let node = &graph.nodes[*handle];
                let inputs = node.inputs.len();
                let word = |&i: &usize| match i.checked_sub(inputs) {
                    Some(slot) => graph.params[node.params[slot]].spec.name.to_owned(),
                    None if inputs == 1 || node.op.arity() == Arity::Loss => "input".to_owned(),
                    None => format!("input {}", i + 1),
                };
                let own = operands.iter().filter_map(|i| i.checked_sub(inputs));
                Self {
                    op: node.op.name().to_owned(),
                    operands: operands.iter().map(word).collect(),
                    tensors: own.map(|slot| graph.params[node.params[slot]].path.clone()).collect(),
                    ..bare(FaultKind::Rule, node.path.to_string())
                }
            }
            ledger::Site::Value(handle) => Self {
                op: graph.nodes[*handle].op.name().to_owned(),
                ..bare(FaultKind::Sum, graph.nodes[*handle].path.to_string())
            },
            ledger::Site::Tensor(param) | ledger::Site::Penalty(param) => {
                let path = &graph.params[*param].path;
                let kind =
                    if matches!(site, ledger::Site::Tensor(_)) { FaultKind::Sum } else { FaultKind::Penalty };
                Self { tensors: vec![path.clone()], ..bare(kind, path.clone()) }
            }
        }
    }

    pub(super) fn impure(graph: &Graph, node: Handle<Node>, law: Impurity, point: &str) -> Self {
        let node = &graph.nodes[node];
        Self {
            kind: match law {
                Impurity::Repeat => FaultKind::Repeat,
                Impurity::Leftover => FaultKind::Leftover,
                Impurity::Zero => FaultKind::Zero,
                Impurity::Nonlinear => FaultKind::Nonlinear,
            },
            node: node.path.to_string(),
            op: node.op.name().to_owned(),
            operands: Vec::new(),
            tensors: Vec::new(),
            error: 1.0,
            bound: 0.0,
            point: point.to_owned(),
        }
    }

    /// What is wrong, without the numbers.
    fn said(&self) -> String {
        let Self { kind, node, op, operands, .. } = self;
        match kind {
            FaultKind::Rule if operands.is_empty() => format!("the reverse rule of `{node}` ({op}) is wrong"),
            FaultKind::Rule => {
                let plural = if operands.len() == 1 { "gradient" } else { "gradients" };
                format!(
                    "the reverse rule of `{node}` ({op}) is wrong in its {} {plural}",
                    operands.join(" and ")
                )
            }
            FaultKind::Sum => format!("the contributions to the gradient of `{node}` do not add up"),
            FaultKind::Penalty => format!("the gradient of the penalty on `{node}` is wrong"),
            FaultKind::Repeat => format!("two runs of `{node}` ({op}) on the same arguments differ"),
            FaultKind::Leftover => {
                format!("the reverse rule of `{node}` ({op}) reads what its buffers held before")
            }
            FaultKind::Zero => {
                format!("the reverse rule of `{node}` ({op}) makes something of a cotangent of zeros")
            }
            FaultKind::Nonlinear => {
                format!("the reverse rule of `{node}` ({op}) is not linear in its cotangent")
            }
        }
    }

    fn finding(&self, graph: &Graph, wrong: &[&str]) -> Diagnostic {
        let owner = graph.nodes.iter().map(|(_, node)| node).find(|node| {
            node.path.to_string() == self.node
                || node.params.iter().any(|param| graph.params[*param].path == self.node)
        });
        let balance = matches!(self.kind, FaultKind::Rule | FaultKind::Sum | FaultKind::Penalty);
        let (said, error, point) = (self.said(), number(self.error), &self.point);
        let (message, how) = if balance {
            let allowed = number(self.bound);
            (
                format!("{said}: it is off by {error} of the magnitudes at {point}"),
                format!(
                    "the contributions times random tangents against the tangent of the forward kernel; rounding allows {allowed}"
                ),
            )
        } else {
            (
                format!("{said} at {point}"),
                "runs of the rule by itself, compared bit for bit or within rounding".to_owned(),
            )
        };
        let mut diagnostic =
            Diagnostic::new(&rules::GRADIENT_MISMATCH, owner.map_or(graph.span, |node| node.span), message)
                .note("how", how);
        if !wrong.is_empty() {
            diagnostic = diagnostic.note("tensors", wrong.join(", "));
        }
        placed(diagnostic, owner)
    }
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

    /// The largest fault of each place over all points, in the order in which they were seen.
    fn largest(&self) -> Vec<&Fault> {
        let mut kept: Vec<&Fault> = Vec::new();
        for fault in &self.faults {
            match kept.iter_mut().find(|known| (known.kind, &known.node) == (fault.kind, &fault.node)) {
                Some(known) if fault.error > known.error => *known = fault,
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
        let wrong: Vec<&str> = of(Verdict::Fail).map(|tensor| tensor.name.as_str()).collect();
        let mut findings: Vec<Diagnostic> = if self.faults.is_empty() {
            of(Verdict::Fail).map(|tensor| tensor.finding(graph)).collect()
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
fn placed(diagnostic: Diagnostic, owner: Option<&Node>) -> Diagnostic {
    match owner {
        Some(node) => diagnostic.node(node.path.to_string()).trail(&node.trail),
        None => diagnostic,
    }
}

impl TensorReport {
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
            let at = format!("[{}]: gradient {gradient:e}, difference {numeric:e}", index.join(","));
            diagnostic = diagnostic.note("at", at);
        }
        placed(diagnostic, owner)
    }
}
