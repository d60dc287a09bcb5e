//! He's scheme with the slope of another activation.
//!
//! ## What it checks
//!
//! The argument `a` of `he_normal` and `he_uniform`, the slope of the leaky ReLU that follows, against the slope below 0 of
//! the `relu`, `leaky_relu` or `prelu` that consumes the layer without a norm between. A given `a` that moves the second
//! moment by more than 2 % is information; so is one that is not given (0) where all layers between two norms together move
//! it by more than a factor of 4. Where the stretch as a whole breaks the limits of `mismatched-gain`, the severity is that
//! of its limits, and layers that are off by more than 1.5 are left to it.
//!
//! Of nets of 4 to 32 layers with a = 0.3 to 0.7 before ReLU, trained for 600 steps with gradient descent and with Adam, 19
//! of 21 runs with information and 0 of 1 runs with a warning trained. A run trained if it reached nine tenths of the
//! accuracy of the same net with `he_normal`.
//!
//! ## Why it matters
//!
//! A leaky ReLU of slope a passes (1 + a^2)/2 of the second moment, so He's variance is 2 / ((1 + a^2) fan). With the slope b
//! behind it each layer multiplies the second moment by (1 + b^2)/(1 + a^2): 0.8 for a = 0.5 before a ReLU, and 1 % after
//! twenty layers.
//!
//! ## Example
//!
//! ```text
//! h: repeat 12 {
//!   fc: linear(64, init=he_normal(a=0.5))
//!       relu
//! }
//! ```
//!
//! ## Instead
//!
//! The slope of the activation: `he_normal` before `relu`, `he_normal(a=0.2)` before `leaky_relu(0.2)`. The fix changes
//! training.
//!
//! ## References
//!
//! He et al. 2015, eq. 15.

use super::mismatched_gain::{self, Kind, Off};
use super::scheme::{self, Consumer};
use super::uses::{Uses, attribute};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node};
use crate::ops::Role;
use crate::text::{number, plural};
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("wrong_slope.rs" = "I007" "wrong-slope" Info from "I08");

/// Factors of the variance between which a difference of slopes matters and is this rule's.
const FACTOR: [f64; 2] = [1.02, 1.5];

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let uses = Uses::of(context.graph);
    for (kind, severity) in found(context, &uses) {
        out.extend(explain(context, &uses, &kind, severity));
    }
}

/// The regions in which wrong slopes are more than information.
pub fn blamed(context: Context<'_>, uses: &Uses) -> Vec<usize> {
    let found = found(context, uses).into_iter();
    found.filter(|(_, severity)| *severity > Severity::Info).map(|(kind, _)| kind.region).collect()
}

fn found(context: Context<'_>, uses: &Uses) -> Vec<(Kind, Severity)> {
    let graph: &Graph = context.graph;
    let account = &context.signal.account;
    let mut kinds: Vec<(Kind, bool)> = Vec::new();
    for (node, layer) in graph.nodes.iter().filter(|(node, _)| !account.head[node.index()]) {
        let Some(init) = scheme::kernel(graph, layer).and_then(|spec| spec.init.as_ref()) else { continue };
        let (Some(a), Consumer::Activation(activation)) =
            (slope_told(&init.value.to_string()), scheme::consumer(uses, node))
        else {
            continue;
        };
        let Some(slope) = slope_of(graph, &graph.nodes[activation]) else { continue };
        let distance = ((1.0 + slope * slope) / (1.0 + a * a)).ln();
        if distance.abs() < FACTOR[0].ln() || distance.abs() > FACTOR[1].ln() {
            continue;
        }
        let name = format!("{} {}", init.value, number(slope));
        let region = account.region(node);
        let off = Off { node, activation, distance };
        match kinds.iter_mut().find(|(kind, _)| kind.region == region && kind.name == name) {
            Some((kind, _)) => kind.members.push(off),
            None => kinds.push((Kind { name, region, members: vec![off] }, a != 0.0)),
        }
    }
    let judged = kinds.into_iter().filter_map(|(kind, told)| {
        let severity = mismatched_gain::severity(context, account, &kind);
        Some((kind, severity.or(told.then_some(Severity::Info))?))
    });
    judged.collect()
}

/// The slope that a scheme is told; `None` for schemes that ask for none.
fn slope_told(scheme: &str) -> Option<f64> {
    if !scheme.starts_with("he_") {
        return None;
    }
    match scheme.split_once("a=") {
        Some((_, rest)) => rest.trim_end_matches(')').parse().ok(),
        None => Some(0.0),
    }
}

/// The slope below 0 that an activation starts with.
fn slope_of(graph: &Graph, act: &Node) -> Option<f64> {
    match act.op.name() {
        "relu" => Some(0.0),
        "leaky_relu" => attribute(act, "slope").map_or(Some(0.01), |text| text.parse().ok()),
        "prelu" => {
            let mut specs = graph.slots(act).map(|(_, spec)| spec);
            specs.find(|spec| spec.role == Role::Slope)?.init.as_ref()?.value.constant()
        }
        _ => None,
    }
}

fn explain(context: Context<'_>, uses: &Uses, kind: &Kind, severity: Severity) -> Option<Diagnostic> {
    let graph: &Graph = context.graph;
    let Off { node, activation, distance } = kind.members.first()?;
    let (layer, act) = (&graph.nodes[*node], &graph.nodes[*activation]);
    let init = scheme::kernel(graph, layer)?.init.as_ref()?;
    let (slope, scheme) = (slope_of(graph, act)?, init.value.to_string());
    let total: f64 = kind.members.iter().map(|off| off.distance).sum();
    let message = format!(
        "`{scheme}` feeds `{}`: x{} of the second moment per layer, x{} over {}",
        act.op.name(),
        number(distance.exp()),
        number(total.exp()),
        plural(kind.members.len(), "layer")
    );
    let mode = scheme.contains("fan_out").then(|| "fan_out".to_owned());
    let told = (slope >= 0.1).then(|| format!("a={}", number(slope)));
    let arguments: Vec<String> = mode.into_iter().chain(told).collect();
    let name = init.value.name();
    let text =
        if arguments.is_empty() { name.to_owned() } else { format!("{name}({})", arguments.join(", ")) };
    let paths: Vec<String> = kind.members.iter().map(|off| graph.nodes[off.node].path.to_string()).collect();
    let mut diagnostic = Diagnostic::new(&RULE, init.span, message)
        .severity(severity)
        .remark(format!("made for a slope of {}", number(slope_told(&scheme)?)))
        .label(act.span, format!("has a slope of {} below 0", number(slope)))
        .node(scheme::names(&paths))
        .trail(&layer.trail)
        .help(format!("init={text}"));
    let nodes: BTreeSet<Handle<Node>> = kind.members.iter().map(|off| off.node).collect();
    if let Some(places) = mismatched_gain::edits(graph, uses, &context.signal.account, &nodes) {
        let edits = places.into_iter().map(|edit| Edit { text: text.clone(), ..edit }).collect();
        diagnostic = diagnostic.fix(Fix {
            title: format!("initialise with {text}"),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits,
        });
    }
    Some(diagnostic)
}
