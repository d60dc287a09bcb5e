//! Random weights around a number other than zero.
//!
//! ## What it checks
//!
//! A hidden layer whose weights are drawn with a mean, as by `uniform(0, 0.1)` or `normal(0.05, 0.01)`: which share of the
//! second moment of its result is the same in all of its units. More than 80 % is information. What the means of the
//! weights multiply the second moment by, 1 / (1 - share) in each layer, is multiplied over all layers: more than 50 with
//! gradient descent is a warning, more than 2000 with Adam. Layers that a norm rescales, and heads, whose common part a
//! softmax ignores, are left alone; constant weights belong to `symmetric-units`.
//!
//! The cut-offs were set by these runs. Of nets of one to six such layers with means of 0.1 to 4 standard deviations,
//! trained for 600 steps with gradient descent and with Adam, 19 of 19 runs without a finding, 9 of 9 runs with information
//! and 1 of 20 runs with a warning trained. A run trained if it reached nine tenths of the accuracy of the same net with
//! weights around zero.
//!
//! ## Why it matters
//!
//! With w = mu + d the result of unit i is mu sum(x) + d_i x. The first part is one number for all units, and its second
//! moment mu^2 (n (s - m^2) + n^2 m^2) grows with the square of the fan n wherever the inputs have a mean m, as behind every
//! ReLU; the second, n Var(w) s, is all that tells the units apart. Drawn from 0..a, 256 units behind a ReLU have 99.8 % in
//! common: one unit, and a scale that multiplies in every layer.
//!
//! ## Example
//!
//! ```text
//! fc1: linear(64, init=uniform(0, 0.1))
//!      relu
//! fc2: linear(64, init=uniform(0, 0.1))
//!      relu
//! ```
//!
//! ## Instead
//!
//! Weights around zero: `uniform(0.1)` draws from -0.1..0.1, `he_uniform` with the scale that suits the layer. The fix
//! changes training.
//!
//! ## References
//!
//! LeCun et al. 1998, "Efficient backprop", section 4.6; Goodfellow, Bengio and Courville 2016, section 8.4.

use super::limits::is_adam;
use super::scheme::{self, Consumer};
use super::uses::Uses;
use super::{Context, lint, mismatched_gain};
use crate::diag::{Diagnostic, Diagnostics, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node};
use crate::text::{number, plural};
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("offset_weights.rs" = "I009" "offset-weights" Warning from "I03");

/// The common share of the second moment from which on it is worth a word.
const MOST: f64 = 0.8;
/// The share from which on further layers are named as well.
const MUCH: f64 = 0.5;
/// What the means may multiply the second moment by with gradient descent and with Adam.
const GROWTH: [f64; 2] = [50.0, 2000.0];

/// The share of the second moment that the mean of the weights gives to all units alike.
fn common(context: Context<'_>, layer: &Node) -> Option<f64> {
    let spec = scheme::kernel(context.graph, layer)?;
    let init = spec.init.as_ref().filter(|init| !init.value.is_constant() && init.value.mean() != 0.0)?;
    let x = context.signal.of(*layer.inputs.first()?)?;
    #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
    let n = spec.fan_in as f64;
    let (mean, variance) = (init.value.mean(), spec.statistics().1);
    // By shares of E x^2, so that nothing overflows.
    let centre = x.mean_share * x.mean_share;
    let coherent = mean * mean * ((1.0 - centre) + n * centre);
    Some(coherent / (coherent + variance)).filter(|share| share.is_finite())
}

/// Whether the mean of a layer's weights outweighs what is random in them.
#[must_use]
pub fn is_offset(context: Context<'_>, layer: &Node) -> bool {
    common(context, layer) > Some(MUCH)
}

/// The regions in which this rule warns.
pub fn blamed(context: Context<'_>, uses: &Uses) -> Vec<usize> {
    let account = &context.signal.account;
    let found = offset(context, uses);
    let loud = severity(context.graph, &found) > Some(Severity::Info);
    found.into_iter().filter(|_| loud).map(|(node, _)| account.region(node)).collect()
}

/// How bad the common parts of some layers are together; `None` if they are not worth a word.
fn severity(graph: &Graph, found: &[(Handle<Node>, f64)]) -> Option<Severity> {
    let growth: f64 = found.iter().map(|(_, share)| -(1.0 - share).ln()).sum();
    if growth > GROWTH[usize::from(is_adam(graph))].ln() {
        return Some(Severity::Warning);
    }
    found.iter().any(|(_, share)| *share > MOST).then_some(Severity::Info)
}

/// The layers with much in common between their units.
fn offset(context: Context<'_>, uses: &Uses) -> Vec<(Handle<Node>, f64)> {
    let head = &context.signal.account.head;
    let mut found = Vec::new();
    for (node, layer) in context.graph.nodes.iter().filter(|(node, _)| !head[node.index()]) {
        match common(context, layer) {
            Some(share) if share > MUCH && !matches!(scheme::consumer(uses, node), Consumer::Norm(_)) => {
                found.push((node, share));
            }
            _ => {}
        }
    }
    found
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let account = &context.signal.account;
    let uses = Uses::of(graph);
    let found = offset(context, &uses);
    let Some((node, share)) = found.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a }) else {
        return;
    };
    let layer = &graph.nodes[node];
    let Some(severity) = severity(graph, &found) else { return };
    let Some(spec) = scheme::kernel(graph, layer) else { return };
    let Some(init) = &spec.init else { return };
    let times = if found.len() == 1 {
        String::new()
    } else {
        format!(" ({} are like this)", plural(found.len(), "layer"))
    };
    let percent = number(100.0 * share);
    let message = format!(
        "`{}` has a mean: {percent} % of the second moment of `{}` is the same in all of its units{times}",
        init.value, layer.path
    );
    let paths: Vec<String> = found.iter().map(|(node, _)| graph.nodes[*node].path.to_string()).collect();
    let (text, std) = scheme::proposal(graph, &uses, node, spec);
    let mut diagnostic = Diagnostic::new(&RULE, init.span, message)
        .severity(severity)
        .remark(format!(
            "mean {} against a standard deviation of {}, over fan_in {}",
            number(init.value.mean()),
            number(spec.statistics().1.sqrt()),
            spec.fan_in
        ))
        .node(scheme::names(&paths))
        .trail(&layer.trail)
        .help(format!("init={text} (mean 0, std {})", number(std)));
    let nodes: BTreeSet<Handle<Node>> = found.iter().map(|(node, _)| *node).collect();
    if let Some(edits) = mismatched_gain::edits(graph, &uses, account, &nodes) {
        diagnostic = diagnostic.fix(Fix {
            title: format!("initialise with {text}"),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits,
        });
    }
    out.push(diagnostic);
}
