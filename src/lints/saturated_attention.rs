//! Attention that starts with all its weight on a few keys.
//!
//! ## What it checks
//!
//! The predicted variance lv of the scores of a query over its T keys at initialisation: in `attention`, and before a `softmax`
//! that takes what `matmul` gives. More than 2 ln T is a warning. So is more than ln T where `attention` is given a `scale`
//! of twice 1/sqrt(d/heads) or more: then lv grows with the width of the heads. Nothing is said where the scale of an input is
//! unknown, or where `unstable-depth` or `raw-input` names the cause.
//!
//! ## Why it matters
//!
//! A score is a sum of d/heads products of queries and keys, so that lv = scale^2 d/heads E q^2 E k^2. Up to lv = 2 ln T a query
//! takes a mean over many keys; beyond, the largest few have all the weight, as in the random energy model below its
//! transition. A softmax that has decided passes next to no gradient to its scores: what queries and keys were drawn as is what
//! they stay. Without a scale, heads of 64 features have lv = 64 where 2 ln T is 8.3 for 64 keys and 13.9 for 1024.
//!
//! ## Example
//!
//! ```text
//! q: linear(256, init=lecun_normal)      <- norm
//! k: linear(256, init=lecun_normal)      <- norm
//! v: linear(256, init=lecun_normal)      <- norm
//! a: attention(heads=4, scale=1)         <- q, k, v
//! ```
//!
//! ## Instead
//!
//! Leave `scale` out: it is 1/sqrt(d/heads) then. Otherwise smaller weights of queries and keys, whose gains
//! fan_in Var(w) multiply in lv. The fix changes training.
//!
//! ## References
//!
//! Vaswani et al. 2017, section 3.2.1; Derrida 1981, "Random-energy model".

use super::uses::origin;
use super::{Context, lint, raw_input, scheme, unstable_depth};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Handle, Node, Source};
use crate::moments::{Rows, Shares};
use crate::ops::Dealt;
use crate::signal::with_transfer;
use crate::tensor::Mode;
use crate::text::{number, plural};

pub static RULE: Rule = lint!("saturated_attention.rs" = "G011" "saturated-attention" Warning from "S08");

/// How many times 1/sqrt(terms) a scale is from which on it is no scale for the width of the heads.
const UNSCALED: f64 = 2.0;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let found: Vec<(Handle<Node>, Dealt)> = graph
        .nodes
        .iter()
        .filter_map(|(handle, node)| Some((handle, dealt(context, node).filter(is_saturated)?)))
        .collect();
    if found.is_empty() || context.signal.assumed.iter().any(|assumed| *assumed) {
        return;
    }
    let mut caused = Diagnostics::default();
    for other in [raw_input::check, unstable_depth::check] {
        other(context, &mut caused);
    }
    if !caused.is_empty() {
        return;
    }
    // A statement is named once, with its worst place.
    let mut statements: Vec<Vec<(Handle<Node>, Dealt)>> = Vec::new();
    for (handle, dealt) in found {
        let same =
            |of: &&mut Vec<(Handle<Node>, Dealt)>| graph.nodes[of[0].0].span == graph.nodes[handle].span;
        match statements.iter_mut().find(same) {
            Some(statement) => statement.push((handle, dealt)),
            None => statements.push(vec![(handle, dealt)]),
        }
    }
    out.extend(statements.iter().filter_map(|places| explain(graph, places)));
}

/// Whether few keys take all, or would if the heads were wider.
fn is_saturated(dealt: &Dealt) -> bool {
    let keys = f64::ln(count(dealt.keys));
    dealt.variance > 2.0 * keys || (is_unscaled(dealt) && dealt.variance > keys)
}

fn is_unscaled(dealt: &Dealt) -> bool {
    dealt.terms > 1 && dealt.scale * count(dealt.terms).sqrt() >= UNSCALED
}

/// What a node's softmax deals to products of two values; `None` for a node without such a softmax.
fn dealt(context: Context<'_>, node: &Node) -> Option<Dealt> {
    let graph: &Graph = context.graph;
    let stated = with_transfer(graph, Mode::Train, context.signal, node, |io| node.op.dealt(io)).flatten();
    if stated.is_some() || node.op.name() != "softmax" {
        return stated.filter(|dealt| dealt.keys > 1);
    }
    let source = *node.inputs.first()?;
    let Source::Node(product) = origin(graph, source) else { return None };
    let product = &graph.nodes[product];
    let keys = graph.shape(source)?.last()?;
    let scores = context.signal.of(source)?;
    if product.op.name() != "matmul" || keys < 2 || !node.op.attributes().is_empty() {
        return None;
    }
    let variance = scores.square() * (1.0 - scores.mean_share * scores.mean_share);
    let participation = Shares::of(Rows::Of(keys), variance).square;
    // What made the factors small or large is in their moments; a product has no scale of its own.
    Some(Dealt { variance, keys, participation, terms: 1, scale: 1.0 })
}

fn explain(graph: &Graph, places: &[(Handle<Node>, Dealt)]) -> Option<Diagnostic> {
    let worst = places.iter().copied().reduce(|a, b| if b.1.variance > a.1.variance { b } else { a })?;
    let (node, dealt) = (&graph.nodes[worst.0], worst.1);
    let Dealt { variance, keys, participation, terms, scale } = dealt;
    let name = node.op.name();
    let message = format!(
        "the scores of `{name}` have variance {} over {}, against 2 ln T = {}: {} of them share the weight",
        number(variance),
        plural(keys, "key"),
        number(2.0 * count(keys).ln()),
        number(1.0 / participation)
    );
    let paths: Vec<String> = places.iter().map(|(node, _)| graph.nodes[*node].path.to_string()).collect();
    let at = |span| Diagnostic::new(&RULE, span, message).node(scheme::names(&paths)).trail(&node.trail);
    let given = node.arguments.iter().find(|(name, _)| *name == "scale").map(|(_, span)| *span);
    let usual = count(terms).sqrt().recip();
    let Some(span) = given.filter(|_| is_unscaled(&dealt)) else {
        let factor = variance.sqrt();
        return Some(at(node.span).help(format!(
            "weights of queries and keys with a variance {} times smaller each: their scores have variance 1",
            number(factor)
        )));
    };
    let diagnostic = at(span)
        .remark(format!("{} times 1/sqrt({terms}), whatever the width of the heads", number(scale / usual)))
        .help(format!("leave `scale` out: it is 1/sqrt({terms}) = {} then", number(usual)));
    Some(diagnostic.fix(Fix {
        title: format!("scale by 1/sqrt({terms})"),
        safety: Safety::Unsafe,
        level: Level::Training,
        edits: vec![Edit { span, text: number(usual) }],
    }))
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}
