//! Two layers with no nonlinearity between them.
//!
//! ## What it checks
//!
//! A `linear` whose value reaches one other `linear`, or a `conv2d` one other `conv2d`, through dropout and batch norm at most, and
//! nothing else. Pairs that are meant are left out: a narrow middle, which limits the rank, and the linear bottleneck of convolutions,
//! no wider than what comes before and expanded behind; grouped and depthwise convolutions and kernels of one row beside one column,
//! which save weights; a layer that starts at zero, as in adapters; a middle value that other nodes take, too, or that is
//! the output; and a layer with less than a hundredth of the weights of the other.
//!
//! ## Why it matters
//!
//! W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2): the pair is one linear map. Batch norm in use is a factor and an offset for each
//! channel, so it changes nothing about that, and dropout in use is the identity. With b units in the middle the rank is at most
//! b; if b is not below the narrower end, the pair can be no other map than one layer from end to end, for a b + b c weights
//! instead of a c. Depth buys nothing, and usually an activation was forgotten.
//!
//! ## Example
//!
//! ```text
//! fc1: linear(64, init=he_normal)
//! fc2: linear(32, init=he_normal)
//!      relu
//! ```
//!
//! ## Instead
//!
//! An activation behind the first layer; or one layer; or a middle narrower than both ends, where a low rank is the aim.
//!
//! ## References
//!
//! Baldi and Hornik 1989 (linear networks); Sandler et al. 2018 (linear bottlenecks); Nikanjam et al. 2021 (NeuraLint rule 9); Schoop, Huang and Hartmann 2021 (UMLAUT).

use super::uses::{Uses, attribute};
use super::{Context, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::ParamSpec;
use crate::source::Span;
use crate::text::count;
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("linear_pair.rs" = "A003" "linear-pair" Warning from "A03");

/// A layer with so small a share of the weights of its neighbour costs nothing.
const SHARE: usize = 100;

/// Two layers and the widths at the ends and in the middle.
struct Pair {
    first: Handle<Node>,
    second: Handle<Node>,
    widths: [usize; 3],
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    if graph.partial {
        return;
    }
    let uses = Uses::of(graph);
    // By statements: a loop repeats one mistake.
    let mut found: BTreeMap<(Span, Span), Vec<Pair>> = BTreeMap::new();
    for first in graph.nodes.handles() {
        if let Some(pair) = pair(graph, &uses, first) {
            let spans = (graph.nodes[pair.first].span, graph.nodes[pair.second].span);
            found.entry(spans).or_default().push(pair);
        }
    }
    for ((span, next), pairs) in found {
        let Pair { first, second, widths: [from, middle, to] } = pairs[0];
        let (a, b) = (&graph.nodes[first], &graph.nodes[second]);
        let ends = pairs.iter().flat_map(|pair| [pair.first, pair.second]);
        let paths: Vec<String> = ends.map(|node| graph.nodes[node].path.to_string()).collect();
        let weights = |node| scheme::kernel(graph, node).map_or(0, ParamSpec::elements) as u64;
        let message = format!("`{}` and `{}` are one linear map: no activation between them", a.path, b.path);
        let mut diagnostic = Diagnostic::new(&RULE, span, message)
            .remark(format!("its {middle} outputs go into `{}` as they are", b.path))
            .node(scheme::names(&paths))
            .note("widths", format!("{from} -> {middle} -> {to}: the middle is no bottleneck"))
            .note("weights", format!("{} and {}, for one map", count(weights(a)), count(weights(b))))
            .trail(&a.trail)
            .help("an activation between them, or one layer in their place");
        if next != span {
            diagnostic = diagnostic.label(next, "takes them");
        }
        out.push(diagnostic);
    }
}

/// The pair that a layer forms with the next one.
fn pair(graph: &Graph, uses: &Uses, first: Handle<Node>) -> Option<Pair> {
    let before = layer(graph, first)?;
    let mut at = first;
    let second = loop {
        let [next] = uses.after(Source::Node(at)) else { return None };
        // What leaves the net is of use by itself.
        if graph.output == Some(Source::Node(at)) {
            return None;
        }
        match graph.nodes[*next].op.name() {
            "dropout" | "alpha_dropout" | "batch_norm" => at = *next,
            name if name == graph.nodes[first].op.name() => break *next,
            _ => return None,
        }
    };
    let after = layer(graph, second)?;
    let (from, middle, to) = (*before.dims.get(1)?, *after.dims.get(1)?, *after.dims.first()?);
    // A kernel of one row and one of one column stand for a square.
    let flat = |spec: &ParamSpec| matches!(spec.dims[..], [_, _, h, w] if h != w);
    let sizes = [before.elements(), after.elements()];
    let slight = sizes[0].saturating_mul(SHARE) < sizes[1] || sizes[1].saturating_mul(SHARE) < sizes[0];
    let bottleneck = middle < from.min(to) || (before.dims.len() > 2 && middle <= from && middle < to);
    let meant = bottleneck || flat(before) || flat(after) || slight;
    (!meant).then_some(Pair { first, second, widths: [from, middle, to] })
}

/// The kernel of a layer that takes part: dense, and not zero.
fn layer(graph: &Graph, node: Handle<Node>) -> Option<&ParamSpec> {
    let node = &graph.nodes[node];
    let dense = match node.op.name() {
        "linear" => true,
        "conv2d" => attribute(node, "groups").is_none(),
        _ => false,
    };
    let kernel = scheme::kernel(graph, node).filter(|_| dense)?;
    (kernel.statistics() != (0.0, 0.0)).then_some(kernel)
}
