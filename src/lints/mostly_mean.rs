//! Values whose mean outweighs what varies in them.
//!
//! ## What it checks
//!
//! What hidden layers take at initialisation, by the static analysis: which share c = m^2 / s of the second moment s is the
//! square of the mean m. Information where it is more than 0.9 for a layer of a stretch of three or more hidden layers
//! without a norm. Nothing is said where the scale of an input is unknown, or where `unstable-depth`, `constant-bias`,
//! `offset-weights` or `raw-input` names the cause.
//!
//! ## Why it matters
//!
//! With inputs of mean m all derivatives by the weights of one unit tend to have one sign, so that the weights can only
//! move up together or down together. In the loss around a layer of n inputs the curvature along the sum of a unit's
//! weights is n m^2 + v and in all other directions v = s - m^2: their ratio 1 + n c / (1 - c) bounds the step from above
//! by what varies least. For 64 inputs and c = 0.9 it is 577. Sigmoid values around 0.5 and targets or columns far from 0
//! are of this kind, tanh and standardised columns are not.
//!
//! ## Example
//!
//! ```text
//! h: repeat 4 {
//!   fc: linear(64, init=xavier_normal)
//!       sigmoid
//! }
//! ```
//!
//! ## Instead
//!
//! tanh, which is sigmoid moved to mean 0; a norm between the layers; `standardize(fit=train)` for columns.
//!
//! ## References
//!
//! LeCun et al. 1998, "Efficient backprop", section 4.3 and 5; LeCun, Kanter and Solla 1991; research: static.md S09.

use super::uses::Uses;
use super::{Context, constant_bias, lint, offset_weights, raw_input, scheme, unstable_depth};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Handle, Node};
use crate::text::{number, plural};

pub static RULE: Rule = lint!("mostly_mean.rs" = "G012" "mostly-mean" Info from "S09");

/// The share of the second moment from which on the mean is most of it.
const MOST: f64 = 0.9;
/// How many hidden layers without a norm make a stretch.
const DEEP: usize = 3;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let account = &context.signal.account;
    let hidden: Vec<Handle<Node>> = graph
        .nodes
        .iter()
        .filter(|(node, layer)| !account.head[node.index()] && scheme::kernel(graph, layer).is_some())
        .map(|(node, _)| node)
        .collect();
    let deep = |node: Handle<Node>| {
        hidden.iter().filter(|other| account.region(**other) == account.region(node)).count() >= DEEP
    };
    let share = |node: Handle<Node>| {
        let x = context.signal.of(*graph.nodes[node].inputs.first()?)?;
        Some(x.mean_share * x.mean_share).filter(|share| *share > MOST)
    };
    let found: Vec<(Handle<Node>, f64)> =
        hidden.iter().filter(|node| deep(**node)).filter_map(|node| Some((*node, share(*node)?))).collect();
    let Some(&(first, share)) = found.iter().reduce(|a, b| if b.1 > a.1 { b } else { a }) else { return };
    if context.signal.assumed.iter().any(|assumed| *assumed) {
        return;
    }
    let mut caused = Diagnostics::default();
    for other in [unstable_depth::check, offset_weights::check, raw_input::check] {
        other(context, &mut caused);
    }
    if !caused.is_empty() || !constant_bias::shifted(context, &Uses::of(graph)).is_empty() {
        return;
    }
    let layer = &graph.nodes[first];
    let Some(spec) = scheme::kernel(graph, layer) else { return };
    let paths: Vec<String> = found.iter().map(|(node, _)| graph.nodes[*node].path.to_string()).collect();
    let message = format!(
        "{} take values that are mostly mean: {} % of the second moment",
        plural(found.len(), "hidden layer"),
        number(100.0 * share)
    );
    #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
    let ratio = 1.0 + spec.fan_in as f64 * share / (1.0 - share);
    out.push(
        Diagnostic::new(&RULE, layer.span, message)
            .remark(format!("fan_in {}", spec.fan_in))
            .node(scheme::names(&paths))
            .note(
                "curvature",
                format!("along the sum of a unit's weights {} times that along others", number(ratio)),
            )
            .trail(&layer.trail)
            .help("tanh in place of sigmoid, a norm between the layers, or standardised columns"),
    );
}
