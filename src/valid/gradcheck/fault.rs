//! A place where the ledger does not balance, or a law that a rule breaks, as a value and as a finding.

use super::ledger;
use super::purity::Impurity;
use super::report::{TensorReport, placed};
use super::verdict::Verdict;
use crate::diag::{Diagnostic, rules};
use crate::graph::{Graph, Handle, Node};
use crate::ops::Arity;
use crate::text::number;
use serde::Serialize;

/// What kind of thing does not balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A reverse rule hands back something else than it was handed.
    Rule,
    /// The contributions to a value or tensor do not add up to its derivative.
    Sum,
    /// The derivative of the penalties is not theirs.
    Penalty,
    /// A reverse rule is right everywhere but on a kink or at a tie, where it gives no subgradient.
    Kink,
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
            Self::Kink => "kink",
            Self::Repeat => "repeat",
            Self::Leftover => "leftover",
            Self::Zero => "zero",
            Self::Nonlinear => "nonlinear",
        }
    }
}

impl FaultKind {
    /// What it makes of a tensor whose own contribution it spoils.
    pub(super) const fn verdict(self) -> Verdict {
        match self {
            Self::Kink => Verdict::KinkBad,
            _ => Verdict::Fail,
        }
    }
}

/// What was done in a rule to the derivative by one operand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slip {
    /// `input`, `input 2`, `weight`.
    pub operand: String,
    /// What was done, in words.
    pub why: String,
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
    /// What was done to them, where it has a name.
    pub slips: Vec<Slip>,
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
    pub(super) fn of(graph: &Graph, fault: &ledger::Fault, slips: Vec<(usize, String)>, point: &str) -> Self {
        let ledger::Fault { site, error, bound } = fault;
        let bare = |kind, node: String| Self {
            kind,
            node,
            op: String::new(),
            operands: Vec::new(),
            slips: Vec::new(),
            tensors: Vec::new(),
            error: *error,
            bound: *bound,
            point: point.to_owned(),
        };
        match site {
            ledger::Site::Rule(handle, operands) | ledger::Site::Kink(handle, operands) => {
                let kind =
                    if matches!(site, ledger::Site::Kink(..)) { FaultKind::Kink } else { FaultKind::Rule };
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
                    slips: slips.into_iter().map(|(i, why)| Slip { operand: word(&i), why }).collect(),
                    tensors: own.map(|slot| graph.params[node.params[slot]].path.clone()).collect(),
                    ..bare(kind, node.path.to_string())
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
            slips: Vec::new(),
            tensors: Vec::new(),
            error: 1.0,
            bound: 0.0,
            point: point.to_owned(),
        }
    }

    /// What was done to a tensor that this node alone uses: what holds for one use of several does not hold for the tensor.
    pub(super) fn slip_of(&self, graph: &Graph, tensor: &str) -> Option<&str> {
        let uses =
            |node: &Node| node.params.iter().filter(|param| graph.params[**param].path == tensor).count();
        let shared = graph.nodes.iter().map(|(_, node)| uses(node)).sum::<usize>() > 1;
        let own = |slip: &&Slip| !shared && tensor == format!("{}.{}", self.node, slip.operand);
        self.slips.iter().find(own).map(|slip| slip.why.as_str())
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
            FaultKind::Kink => format!(
                "on a kink or at a tie the reverse rule of `{node}` ({op}) gives no subgradient: neither side's derivative nor a mixture of them"
            ),
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

    pub(super) fn finding(&self, graph: &Graph, wrong: &[&TensorReport]) -> Diagnostic {
        let owner = graph.nodes.iter().map(|(_, node)| node).find(|node| {
            node.path.to_string() == self.node
                || node.params.iter().any(|param| graph.params[*param].path == self.node)
        });
        let balance =
            matches!(self.kind, FaultKind::Rule | FaultKind::Sum | FaultKind::Penalty | FaultKind::Kink);
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
            let names: Vec<&str> = wrong.iter().map(|tensor| tensor.name.as_str()).collect();
            diagnostic = diagnostic.note("tensors", names.join(", "));
        }
        // The tensors of the rule itself show what was done; what lies behind them is spoiled in any way.
        for tensor in wrong.iter().filter(|tensor| self.tensors.contains(&tensor.name)) {
            if let Some(why) = &tensor.diagnosis {
                diagnostic = diagnostic.note("looks like", format!("`{}`: {why}", tensor.name));
            }
        }
        // What was done to inputs, and to one of several uses of a tensor, no tensor shows.
        for Slip { operand, why } in self.slips.iter().filter(|slip| {
            let tensor = format!("{}.{}", self.node, slip.operand);
            self.slip_of(graph, &tensor).is_none()
        }) {
            diagnostic = diagnostic.note("looks like", format!("{operand} gradient: {why}"));
        }
        placed(diagnostic, owner)
    }
}
