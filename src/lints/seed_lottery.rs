//! A scale that the seed decides.
//!
//! ## What it checks
//!
//! The variance V over random initialisations of ln q, q being the second moment of a hidden layer's values, by the static
//! analysis, which adds up what finite widths contribute over the layers. A warning where two standard deviations are a
//! factor of more than 100: 2 sqrt(V) > ln 100; with Adam, which divides the gradient by its scale, information, and a
//! warning from 400 on. Where an activation has an elasticity above 1, whose growth the analysis of small deviations
//! overstates, it is a warning from 10^6 on. Nothing is said where another rule of the families I and G reports a cause:
//! `mismatched-gain`, `wrong-fan`, `wrong-slope`, `offset-weights`, `unstable-depth` or `narrow-relu`.
//!
//! The cut-offs were set by these runs. Of nets of 4 to 48 layers of 12 to 24 units, trained from six draws each for 600
//! steps with gradient descent and with Adam, 59 of 60 runs without a finding, 33 of 36 runs with information and 4 of 36
//! runs with a warning trained. A run trained if it told ten classes apart in nine of ten rows.
//!
//! ## Why it matters
//!
//! Each un-normalised layer of n units draws its scale with a relative variance of c / n, with c = 5 for ReLU, 2 for a linear
//! layer and 0.6 for tanh, which restores its scale. Over L layers V = 5 L / n: narrow and deep nets of one spec start at
//! scales that differ by orders of magnitude, and only some of them train. Where the activation has an elasticity J > 1 (gelu
//! 1.14, silu 1.17 at unit scale) deviations grow by J^2 in every layer, and no weights hold the scale: it runs away to 0 or
//! up.
//!
//! ## Example
//!
//! ```text
//! h: repeat 40 {
//!   fc: linear(24, init=he_normal)
//!       relu
//! }
//! ```
//!
//! ## Instead
//!
//! Wider layers, a norm or a residual around every few of them, `init=orthogonal`, which does not scatter in linear layers of
//! equal width, or tanh.
//!
//! ## References
//!
//! Hanin and Rolnick 2018, "How to start training: the effect of initialization and architecture"; research: static.md 2.4.

use super::limits::is_adam;
use super::scheme::{self, Consumer};
use super::uses::Uses;
use super::{
    Context, lint, mismatched_gain, narrow_relu, offset_weights, unstable_depth, wrong_fan, wrong_slope,
};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::graph::{Graph, Handle, Node};
use crate::tensor::Shape;
use crate::text::{number, plural};

pub static RULE: Rule = lint!("seed_lottery.rs" = "G007" "seed-lottery" Warning from "I15" "S10");

/// The factor between two draws, two standard deviations apart, from which on it is worth a word, and from which on
/// Adam minds.
const APART: [f64; 2] = [100.0, 400.0];
/// Likewise with either optimiser where deviations grow from layer to layer.
const APART_UNSTABLE: f64 = 1e6;
/// An elasticity above which deviations grow from layer to layer.
const RUNS_AWAY: f64 = 1.02;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let account = &context.signal.account;
    let variance = |node: Handle<Node>| context.signal.scatter[node.index()].variance;
    let hidden = graph.nodes.iter().filter(|(node, layer)| {
        let drawn = scheme::kernel(graph, layer).is_some_and(|spec| spec.init.is_some());
        drawn && !account.head[node.index()]
    });
    let hidden: Vec<Handle<Node>> =
        hidden.map(|(node, _)| node).filter(|node| variance(*node).is_finite()).collect();
    let Some(&last) = hidden.iter().reduce(|a, b| if variance(*b) > variance(*a) { b } else { a }) else {
        return;
    };
    let spread = variance(last).sqrt();
    if graph.partial || 2.0 * spread <= APART[0].ln() {
        return;
    }
    let mut caused = Diagnostics::default();
    for other in [
        narrow_relu::check,
        unstable_depth::check,
        mismatched_gain::check,
        offset_weights::check,
        wrong_fan::check,
    ] {
        other(context, &mut caused);
    }
    let uses = Uses::of(graph);
    if !caused.is_empty() || !wrong_slope::blamed(context, &uses).is_empty() {
        return;
    }
    let inside: Vec<Handle<Node>> =
        hidden.iter().copied().filter(|node| account.region(*node) == account.region(last)).collect();
    let elasticity = |node: &Handle<Node>| match scheme::consumer(&uses, *node) {
        Consumer::Activation(act) => {
            graph.nodes[act].op.response().map(|response| (act, response.elasticity))
        }
        _ => None,
    };
    let unstable = inside.iter().filter_map(elasticity).find(|(_, elasticity)| *elasticity > RUNS_AWAY);
    let limit = match unstable {
        Some(_) => APART_UNSTABLE,
        None => APART[usize::from(is_adam(graph))],
    };
    let severity = if 2.0 * spread <= limit.ln() { Severity::Info } else { Severity::Warning };
    let width = |node: &&Handle<Node>| graph.nodes[**node].shape.as_ref().and_then(Shape::channels);
    let narrowest = inside.iter().min_by_key(width).and_then(|node| Some((*node, width(&node)?)));
    let layer = &graph.nodes[last];
    let message = format!(
        "the seed decides the scale: over {} it differs by a factor of {} between draws",
        plural(inside.len(), "hidden layer"),
        number(spread.exp())
    );
    let mut diagnostic = Diagnostic::new(&RULE, layer.span, message)
        .severity(severity)
        .remark(format!("ln of the second moment scatters by {} here", number(spread)))
        .node(layer.path.to_string())
        .trail(&layer.trail);
    if let Some((act, elasticity)) = unstable {
        let text = format!("deviations of the scale grow by {} in every layer", number(elasticity));
        diagnostic = diagnostic
            .label(graph.nodes[act].span, text)
            .help("a norm or a residual around every few layers");
    } else {
        diagnostic = diagnostic.help("wider layers, or a norm or residual around every few of them");
    }
    if let Some((node, width)) = narrowest {
        diagnostic =
            diagnostic.note("width", format!("{} at {}", plural(width, "unit"), graph.nodes[node].path));
    }
    out.push(diagnostic);
}
