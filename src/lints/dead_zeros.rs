//! Zero weights that never receive a gradient.
//!
//! ## What it checks
//!
//! A map that starts as zero (a layer with weights and biases 0, or a norm with factor and offset 0) whose value reaches the loss
//! only through something that passes no gradient at zero: a second zero map, or a ReLU. Values are followed through norms, pools,
//! reshapes, dropout and every activation with f(0) = 0. One zero map on a path is fine and has good uses: a zero head, the
//! zero last factor of a residual branch, the zero half of an adapter. So is a zero map whose value is added to another before
//! the ReLU.
//!
//! ## Why it matters
//!
//! For y = B f(A x) the gradients are dL/dA = (B^T d * f'(A x)) x^T and dL/dB = d f(A x)^T. With A = 0 and B = 0 both are zero,
//! and they stay zero whatever the optimiser. With A = 0 alone dL/dA is zero, too, if f'(0) = 0, which is so for relu.
//!
//! ## Example
//!
//! ```text
//! fc1: linear(64, init=zeros)
//!      relu
//! fc2: linear(10, init=zeros)
//! ```
//!
//! ## Instead
//!
//! Keep only the last one zero: `fc1: linear(64, init=he_normal)`. The fix changes training.
//!
//! ## References
//!
//! Zhang, Dauphin and Ma 2019 (zero last layers); Hu et al. 2022, LoRA (one factor random, one zero).

use super::scheme;
use super::uses::{Uses, attribute, keeps_zero};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Handle, Node, Source};
use crate::inits::Init;
use crate::ops::{Category, ParamSpec, Role};
use crate::source::Span;
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("dead_zeros.rs" = "I004" "dead-zeros" Error from "I02");

/// What stops the gradient of a zero map.
#[derive(Clone, Copy)]
struct Stop {
    node: Handle<Node>,
    by_slope: bool,
}

/// A zero map that never learns.
pub struct Dead {
    node: Handle<Node>,
    stop: Stop,
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    let dead = dead(graph, &uses);
    let Some(first) = dead.first() else { return };
    // The second zero map of a pair sees zeros, so it does not learn either.
    let partners = dead.iter().filter(|dead| !dead.stop.by_slope).map(|dead| dead.stop.node);
    let asleep: BTreeSet<Handle<Node>> = dead.iter().map(|dead| dead.node).chain(partners).collect();
    let paths: Vec<String> = asleep.iter().map(|node| graph.nodes[*node].path.to_string()).collect();
    let verb = if paths.len() == 1 { "receives" } else { "receive" };
    let message = format!("{} never {verb} a gradient", quoted(&paths));
    let mut diagnostic = Diagnostic::new(&RULE, place(graph, first.node), message)
        .remark("a zero map")
        .node(scheme::names(&paths))
        .trail(&graph.nodes[first.node].trail);
    let mut labelled = vec![place(graph, first.node)];
    for member in &dead {
        let stop = &graph.nodes[member.stop.node];
        let (span, text) = if member.stop.by_slope {
            (stop.span, format!("the slope of `{}` at 0 is 0", stop.op.name()))
        } else {
            (place(graph, member.stop.node), "a second zero map: no gradient passes".to_owned())
        };
        if !labelled.contains(&span) {
            labelled.push(span);
            diagnostic = diagnostic.label(span, text);
        }
    }
    let edits = edits(graph, &uses, &dead);
    let norms = dead.iter().all(|dead| graph.nodes[dead.node].op.category() == Category::Norm);
    let (help, title) = match (norms, edits.as_slice()) {
        (true, _) => {
            ("a factor of 1: only what is added to a shortcut may start at zero".to_owned(), "start at 1")
        }
        (false, [only]) if paths.len() == 1 => {
            (format!("start at random: init={}", only.text), "start at random")
        }
        (false, _) => ("start all but the last of them at random".to_owned(), "start at random"),
    };
    diagnostic = diagnostic.help(help);
    if !edits.is_empty() {
        diagnostic = diagnostic.fix(Fix {
            title: title.to_owned(),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits,
        });
    }
    out.push(diagnostic);
}

/// A few names in back ticks.
fn quoted(paths: &[String]) -> String {
    match paths {
        [one] => format!("`{one}`"),
        [one, two] => format!("`{one}` and `{two}`"),
        [one, rest @ ..] => format!("`{one}` and {} more", rest.len()),
        [] => String::new(),
    }
}

/// The zero maps of a graph that never receive a gradient.
pub fn dead(graph: &Graph, uses: &Uses) -> Vec<Dead> {
    let zero_maps = graph.nodes.iter().filter(|(_, node)| is_zero_map(graph, node));
    zero_maps.filter_map(|(node, _)| Some(Dead { node, stop: stop(graph, uses, node)? })).collect()
}

impl Dead {
    /// The zero map.
    #[must_use]
    pub fn node(&self) -> Handle<Node> {
        self.node
    }
}

fn of<'g>(graph: &'g Graph, node: &'g Node, role: Role) -> Option<&'g ParamSpec> {
    graph.slots(node).map(|(_, spec)| spec).find(|spec| spec.role == role)
}

fn starts_at_zero(spec: &ParamSpec) -> bool {
    spec.init.as_ref().is_some_and(|init| init.value.constant() == Some(0.0))
}

/// Whether a node gives zero whatever it takes.
fn is_zero_map(graph: &Graph, node: &Node) -> bool {
    let zero = |role| of(graph, node, role).map(starts_at_zero);
    let (factor, offset) = match node.op.category() {
        Category::Layer => (zero(Role::Kernel), zero(Role::Bias)),
        // Of the operators that join values, only those that scale have factors.
        Category::Norm | Category::Combine => (zero(Role::Scale), zero(Role::Shift)),
        _ => return false,
    };
    factor == Some(true) && offset.unwrap_or(true)
}

/// What stops the gradient on every path from a zero map to the loss; `None` if it passes on some path.
fn stop(graph: &Graph, uses: &Uses, from: Handle<Node>) -> Option<Stop> {
    let mut first = None;
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        let after = uses.after(Source::Node(at));
        if after.is_empty() || graph.output == Some(Source::Node(at)) {
            return None;
        }
        for &next in after {
            let node = &graph.nodes[next];
            let offset = of(graph, node, Role::Shift);
            let stopped = match node.op.category() {
                Category::Activation if slope_at_zero_is_zero(node) => Some(true),
                Category::Layer | Category::Norm | Category::Combine if is_zero_map(graph, node) => {
                    Some(false)
                }
                Category::Norm if offset.is_none_or(starts_at_zero) => None,
                Category::Activation | Category::Pool | Category::Noise if keeps_zero(graph, node) => None,
                Category::Combine if of(graph, node, Role::Scale).is_some() => None,
                Category::Layout => None,
                _ => return None,
            };
            match stopped {
                Some(by_slope) => {
                    first.get_or_insert(Stop { node: next, by_slope });
                }
                None if seen.insert(next.index()) => open.push(next),
                None => {}
            }
        }
    }
    first
}

/// The subgradient at 0 is 0 for relu, relu6 and a hardtanh that does not hold 0 inside; every other activation of the language has
/// a slope there.
fn slope_at_zero_is_zero(node: &Node) -> bool {
    let bound = |name: &str, default: f64| {
        attribute(node, name).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    match node.op.name() {
        "relu" | "relu6" => true,
        "hardtanh" => bound("lo", -1.0) >= 0.0 || bound("hi", 1.0) <= 0.0,
        _ => false,
    }
}

/// The initialiser that makes a node a zero map.
fn place(graph: &Graph, node: Handle<Node>) -> Span {
    let node = &graph.nodes[node];
    let spec = of(graph, node, Role::Kernel).or_else(|| of(graph, node, Role::Scale));
    spec.and_then(|spec| spec.init.as_ref()).map_or(node.span, |init| init.span)
}

/// The edits that start every dead map at random; norms get their usual factor of 1.
fn edits(graph: &Graph, uses: &Uses, dead: &[Dead]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for Dead { node, .. } in dead {
        let span = place(graph, *node);
        let text = match of(graph, &graph.nodes[*node], Role::Kernel) {
            Some(spec) => scheme::proposal(graph, uses, *node, spec).0,
            None => Init::ones().to_string(),
        };
        if !edits.iter().any(|edit| edit.span == span) {
            edits.push(Edit { span, text });
        }
    }
    edits.sort_by_key(|edit| edit.span.start);
    edits
}
