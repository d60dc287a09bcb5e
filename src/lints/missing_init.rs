//! A layer that does not say how its weights are drawn.
//!
//! ## What it checks
//!
//! Every linear layer and convolution has `init=`, or its op has a `default` that gives one. There is no other default: what
//! frameworks fill in silently (`torch_default` is uniform with variance 1/(3 fan_in)) suits no activation beyond a few layers.
//!
//! ## Why it matters
//!
//! The variance of the weights decides whether signal and gradient survive the depth. With h = sum w x over fan_in inputs,
//! E h^2 = fan_in Var(w) E x^2, so a stack of L layers multiplies the second moment by the L-th power of fan_in Var(w) E f^2.
//! The right number depends on the activation, which only the author of the spec chooses.
//!
//! ## Example
//!
//! ```text
//! fc: linear(64)
//!     relu
//! ```
//!
//! ## Instead
//!
//! `linear(64, init=he_normal)`: 2/fan_in before relu and its kin; `xavier_normal` or `lecun_normal` before tanh and sigmoid;
//! `lecun_normal` before selu and for a head. The message names the scheme that fits the activation that was found. The fix is
//! unsafe, although the spec has no meaning without it: it makes a choice that trains, and the author may want another one.
//! In YAML the place cannot be told without the text, so there is no fix; write `init: he_normal` beside `out`.
//!
//! ## References
//!
//! He et al. 2015; Glorot and Bengio 2010; Nikanjam et al. 2021 (NeuraLint rule 10).

use super::scheme::{self, Consumer};
use super::uses::Uses;
use super::{Context, lint};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Handle, Node};
use crate::ops::ParamSpec;
use crate::source::Span;
use crate::text::number;
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("missing_init.rs" = "I003" "missing-init" Error from "I04");

/// A layer and its kernel.
type Layer<'g> = (Handle<Node>, &'g ParamSpec);

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let mut uses = None;
    // By statement: a loop repeats one mistake.
    let mut statements: BTreeMap<Span, Vec<Layer<'_>>> = BTreeMap::new();
    for (handle, node) in graph.nodes.iter() {
        let own = node.tie.is_none();
        if let Some(spec) = scheme::kernel(graph, node).filter(|spec| own && spec.init.is_none()) {
            statements.entry(node.span).or_default().push((handle, spec));
        }
    }
    for (span, members) in statements {
        let uses = uses.get_or_insert_with(|| Uses::of(graph));
        let (handle, spec) = members[0];
        let node = &graph.nodes[handle];
        let (text, std) = scheme::proposal(graph, uses, handle, spec);
        let paths: Vec<String> =
            members.iter().map(|(node, _)| graph.nodes[*node].path.to_string()).collect();
        let name = scheme::names(&paths);
        let times = match members.len() {
            1 => String::new(),
            n => format!(" in {n} layers"),
        };
        let message = format!("`{}` does not say how its weights are drawn{times}", node.op.name());
        let mut diagnostic = Diagnostic::new(&RULE, span, message)
            .remark(format!("fan_in {}, fan_out {}", spec.fan_in, spec.fan_out))
            .node(name)
            .trail(&node.trail)
            .help(format!("init={text} (std {})", number(std)));
        diagnostic = match scheme::consumer(uses, handle) {
            Consumer::Activation(act) => {
                let act = &graph.nodes[act];
                diagnostic.label(act.span, format!("its values go into `{}`", act.op.name()))
            }
            Consumer::Norm(_) => diagnostic.note("scale", "a norm follows, so any scale trains"),
            Consumer::Linear => diagnostic,
        };
        out.push(match insertion(context, node) {
            Some(at) => diagnostic.fix(Fix {
                title: format!("initialise with {text}"),
                safety: Safety::Unsafe,
                level: Level::Training,
                edits: vec![Edit { span: at, text: format!(", init={text}") }],
            }),
            None => diagnostic,
        });
    }
}

/// The place behind the last argument of the statement. In YAML it depends on the style of the mapping, which only the text shows.
pub fn insertion(context: Context<'_>, node: &Node) -> Option<Span> {
    let inside = |span: &Span| {
        span.file == node.span.file && span.start >= node.span.start && span.end <= node.span.end
    };
    let last = node.arguments.iter().map(|(_, span)| *span).filter(inside).max_by_key(|span| span.end)?;
    (context.notation == Notation::Dsl).then_some(Span { start: last.end, ..last })
}
