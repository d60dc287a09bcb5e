//! An activation directly on an activation.
//!
//! ## What it checks
//!
//! No activation or softmax takes the value of another one, looked up through dropout and reshapes. Without effect or nearly so, as
//! in `relu` on `relu`, it is information. Where it takes something away, it is a warning: `sigmoid` on what is never negative,
//! `softmax` on what is bounded above or cut off below, and anything on a `softmax`. A `softmax` whose shares go into a further
//! layer with a bias is a warning, too. Gates (what goes into `mul`), and a layer without a bias behind a softmax, which is a
//! table of values for attention, are left out.
//!
//! ## Why it matters
//!
//! relu(relu(x)) = relu(x). The sigmoid of x >= 0 lies in 0.5..1, so that a classifier never says no. A softmax in the middle
//! of a net makes the elements sum to 1: with n units each has about 1/n, its slope is p(1 - p), also about 1/n, and signal and
//! gradient lose a factor of n each; log_softmax(softmax(z)) cannot tell one of C classes from the others with more than e to 1.
//!
//! ## Example
//!
//! ```text
//! fc:  linear(32, init=he_normal)
//!      relu
//! p:   sigmoid
//! ```
//!
//! ## Instead
//!
//! The one that was meant. A softmax belongs behind the last layer, a sigmoid behind a linear one.
//!
//! ## References
//!
//! research: static.md A04; Nikanjam et al. 2021 (NeuraLint rule 3).

use super::uses::{Uses, attribute, origin};
use super::{Context, head, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::{Category, Role};
use crate::source::Span;
use crate::text::number;
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("stacked_activations.rs" = "A004" "stacked-activations" Info from "A04");

/// An activation and what stands on it.
type Pair = (Handle<Node>, Handle<Node>);

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    // By statement: a loop repeats one mistake.
    let mut found: BTreeMap<Span, Vec<Pair>> = BTreeMap::new();
    for (handle, node) in graph.layers() {
        let Some(&source) = node.inputs.first() else { continue };
        let Source::Node(below) = origin(graph, source) else { continue };
        let gate =
            || uses.after(Source::Node(handle)).iter().any(|next| graph.nodes[*next].op.name() == "mul");
        if is_squash(&graph.nodes[below]) && is_stacked(graph, node, &graph.nodes[below]) && !gate() {
            found.entry(node.span).or_default().push((below, handle));
        }
    }
    for (span, members) in found {
        let (below, handle) = members[0];
        let (severity, message, remark) = judge(graph, below, &graph.nodes[handle]);
        let (below, node) = (&graph.nodes[below], &graph.nodes[handle]);
        let paths: Vec<String> =
            members.iter().map(|(_, node)| graph.nodes[*node].path.to_string()).collect();
        let mut diagnostic = Diagnostic::new(&RULE, span, message)
            .severity(severity)
            .remark(remark)
            .node(scheme::names(&paths))
            .trail(&node.trail)
            .help(format!("remove `{}` or `{}`", below.path, node.path));
        if node.op.category() == Category::Layer {
            diagnostic = diagnostic.help(format!("an activation in place of `{}`", below.path));
        }
        if below.span != span {
            diagnostic = diagnostic.label(below.span, "this one comes before");
        }
        out.push(diagnostic);
    }
}

fn is_squash(node: &Node) -> bool {
    matches!(node.op.category(), Category::Activation | Category::Distribution)
}

/// Whether a node belongs behind weights, and not on what an activation gives.
fn is_stacked(graph: &Graph, node: &Node, below: &Node) -> bool {
    let biased = graph.slots(node).any(|(_, spec)| spec.role == Role::Bias);
    match node.op.category() {
        Category::Activation | Category::Distribution => true,
        Category::Layer => below.op.name() == "softmax" && biased,
        _ => false,
    }
}

/// How bad it is, what happens, and the numbers.
fn judge(graph: &Graph, below: Handle<Node>, node: &Node) -> (Severity, String, String) {
    let (lo, hi) = head::head(graph, Source::Node(below))
        .map_or((f64::NEG_INFINITY, f64::INFINITY), |head| (head.lo, head.hi));
    let below = &graph.nodes[below];
    let (inner, outer) = (below.op.name(), node.op.name());
    let message = format!("`{outer}` on the output of `{inner}`");
    let range = format!("gets {}..{}", number(lo), number(hi));
    let shares = matches!(outer, "softmax" | "log_softmax");
    match (inner, outer) {
        ("softmax", _) => {
            let axis = attribute(below, "axis").map_or(Some(-1), |text| text.parse().ok());
            let length = axis.zip(below.shape.as_ref()).and_then(|(axis, shape)| {
                let at = shape.sample_axis(axis)?;
                shape.sample().get(at).copied()
            });
            let units = length.unwrap_or(1);
            #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
            let share = number(1.0 / units.max(1) as f64);
            (
                Severity::Warning,
                format!("a softmax inside the net: `{outer}` takes its shares"),
                format!("gets {units} shares that sum to 1, about {share} each"),
            )
        }
        (_, "sigmoid") if lo >= 0.0 => {
            let least = number(1.0 / (1.0 + (-lo).exp()));
            (Severity::Warning, format!("{message} is never below {least}"), range)
        }
        _ if shares && hi.is_finite() && lo.is_finite() => {
            let ratio = number((hi - lo).exp());
            (Severity::Warning, format!("{message} gives no class more than {ratio} times another"), range)
        }
        ("relu", _) if shares => (
            Severity::Warning,
            format!("{message} cannot rule a class out, and passes no gradient at 0"),
            range,
        ),
        (_, "relu") if lo >= 0.0 => (Severity::Info, format!("{message} changes nothing"), range),
        _ if inner == outer => (Severity::Info, message, "the same function twice".to_owned()),
        _ => (Severity::Info, message, "no weights lie between".to_owned()),
    }
}
