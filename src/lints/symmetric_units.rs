//! Hidden units that start equal and stay equal.
//!
//! ## What it checks
//!
//! A hidden layer whose weights are one constant, with constant biases, and whose values reach only layers with constant weights:
//! swapping two of its units changes nothing. Constants on one side alone are fine, because the other side tells the units apart:
//! a zero head, a constant layer with random biases or before a random layer, zero factors of a norm. A grouped convolution
//! gives its units different inputs. Random dropout between the two sides breaks the tie slowly, so it makes this a warning.
//!
//! ## Why it matters
//!
//! With h_i = f(w_i x), dL/dw_i = v_i d f'(h_i) x and dL/dv_i = d h_i. If w_i = w_j and v_i = v_j at the start, both gradients
//! are equal, after a step the weights are equal again, and so on for ever: a layer of 128 units computes one.
//!
//! ## Example
//!
//! ```text
//! fc1: linear(128, init=constant(0.1))
//!      tanh
//! fc2: linear(10, init=constant(0.1))
//! ```
//!
//! ## Instead
//!
//! Random weights on one side: `init=xavier_normal`. The fix changes training.
//!
//! ## References
//!
//! Goodfellow, Bengio and Courville 2016, section 8.4; Nikanjam et al. 2021 (NeuraLint rule 4, which also flags harmless cases).

use super::dead_zeros;
use super::scheme;
use super::uses::{Uses, attribute};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::{Category, ParamSpec, Role};
use crate::source::Spanned;
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("symmetric_units.rs" = "I002" "symmetric-units" Error from "I01");

/// A layer whose units are exchangeable.
struct Symmetric {
    node: Handle<Node>,
    /// A layer that takes its values.
    next: Handle<Node>,
    /// Dropout lies between the two.
    noisy: bool,
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    let dead: BTreeSet<Handle<Node>> =
        dead_zeros::dead(graph, &uses).iter().map(dead_zeros::Dead::node).collect();
    let found: Vec<Symmetric> = graph
        .nodes
        .iter()
        .filter(|(node, _)| !dead.contains(node))
        .filter_map(|(node, _)| symmetric(graph, &uses, node))
        .collect();
    let Some(first) = found.first() else { return };
    let (layer, next) = (&graph.nodes[first.node], &graph.nodes[first.next]);
    let Some((spec, init)) = constant(graph, layer) else { return };
    let units = units(layer, spec);
    let more = match found.len() {
        1 => String::new(),
        n => format!(", and so do those of {} more", crate::text::plural(n - 1, "layer")),
    };
    let message = format!("the {units} units of `{}` start equal and stay equal{more}", layer.path);
    let paths: Vec<String> = found.iter().map(|member| graph.nodes[member.node].path.to_string()).collect();
    let severity = if found.iter().all(|member| member.noisy) { Severity::Warning } else { Severity::Error };
    let mut edits: Vec<Edit> = Vec::new();
    for member in &found {
        let Some((spec, init)) = constant(graph, &graph.nodes[member.node]) else { continue };
        if !edits.iter().any(|edit| edit.span == init.span) {
            let text = scheme::proposal(graph, &uses, member.node, spec).0;
            edits.push(Edit { span: init.span, text });
        }
    }
    edits.sort_by_key(|edit| edit.span.start);
    let mut diagnostic = Diagnostic::new(&RULE, init.span, message)
        .severity(severity)
        .remark("all units take their inputs alike")
        .node(scheme::names(&paths))
        .trail(&layer.trail);
    if let Some((_, outgoing)) = constant(graph, next) {
        diagnostic = if outgoing.span == init.span {
            diagnostic.note("out", format!("`{}` takes all units alike, too", next.path))
        } else {
            diagnostic.label(outgoing.span, format!("`{}` takes all units alike", next.path))
        };
    }
    if first.noisy {
        diagnostic = diagnostic.note("dropout", "random masks between the two will part the units, slowly");
    }
    let proposal = edits.first().map_or(String::new(), |edit| edit.text.clone());
    out.push(diagnostic.help(format!("init={proposal}")).fix(Fix {
        title: format!("initialise with {proposal}"),
        safety: Safety::Unsafe,
        level: Level::Training,
        edits,
    }));
}

/// The kernel of a layer with one constant weight.
fn constant<'g>(
    graph: &'g Graph,
    node: &'g Node,
) -> Option<(&'g ParamSpec, &'g Spanned<crate::inits::Init>)> {
    let spec = scheme::kernel(graph, node)?;
    let init = spec.init.as_ref().filter(|init| init.value.is_constant())?;
    attribute(node, "groups").is_none().then_some((spec, init))
}

/// The number of output units of a layer without groups.
fn units(layer: &Node, spec: &ParamSpec) -> usize {
    spec.dims[usize::from(layer.op.name() == "conv_transpose2d")]
}

/// Whether the units of a layer are exchangeable.
fn symmetric(graph: &Graph, uses: &Uses, node: Handle<Node>) -> Option<Symmetric> {
    let layer = &graph.nodes[node];
    constant(graph, layer).filter(|(spec, _)| units(layer, spec) > 1)?;
    let bias = graph.slots(layer).map(|(_, spec)| spec).find(|p| p.role == Role::Bias);
    if bias.and_then(|bias| bias.init.as_ref()).is_some_and(|init| !init.value.is_constant()) {
        return None;
    }
    let (mut next, mut noisy) = (None, false);
    let mut seen = BTreeSet::new();
    let mut open = vec![node];
    while let Some(at) = open.pop() {
        let after = uses.after(Source::Node(at));
        if after.is_empty() || graph.output == Some(Source::Node(at)) {
            return None;
        }
        for &consumer in after {
            let taken = &graph.nodes[consumer];
            match taken.op.category() {
                Category::Layer => {
                    constant(graph, taken)?;
                    next.get_or_insert(consumer);
                    continue;
                }
                Category::Activation | Category::Norm | Category::Pool | Category::Layout => {}
                Category::Distribution => {}
                Category::Noise => noisy = true,
                Category::Combine if taken.op.name() == "concat" => {}
                Category::Combine | Category::Lookup | Category::Product | Category::Loss => return None,
            }
            if seen.insert(consumer.index()) {
                open.push(consumer);
            }
        }
    }
    next.map(|next| Symmetric { node, next, noisy })
}
