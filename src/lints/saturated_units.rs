//! Units that start in the flat part of their activation.
//!
//! ## What it checks
//!
//! By the predicted mean and variance of what `tanh`, `sigmoid`, `hardtanh` and `softsign` take at initialisation, the share
//! of it that lies where the slope is below a fiftieth of the largest (tanh beyond 2.65, sigmoid beyond 4.6, softsign beyond
//! 6) or zero. More than half is a warning. Nothing is said where the scale of an input is unknown, or where
//! `mismatched-gain`, `unstable-depth`, `constant-bias`, `offset-weights` or `raw-input` names the cause, nor about the
//! sigmoid before a `bce`, whose input is a logit.
//!
//! ## Why it matters
//!
//! A saturated unit says only on which side it is, and passes no gradient: E f'(h)^2 of a tanh is 0.46 at a standard
//! deviation of 1, and 0.1 at 5. Its weights move only once the layers behind them have changed, or never. h has the variance
//! fan_in Var(w) E x^2, so that N(0, 1) weights over 256 inputs of unit scale give 256.
//!
//! ## Example
//!
//! ```text
//! fc:  linear(64, init=normal(1))
//!      tanh
//! out: linear(10, init=lecun_normal)
//! ```
//!
//! ## Instead
//!
//! `init=xavier_normal`, or a norm before the activation. The fix changes training.
//!
//! ## References
//!
//! Glorot and Bengio 2010, section 3; LeCun et al. 1998, "Efficient backprop", section 4.4.

use super::scheme::{self, Consumer};
use super::uses::{Uses, attribute, logits};
use super::{
    Context, constant_bias, is_loud, lint, mismatched_gain, offset_weights, raw_input, unstable_depth,
};
use crate::diag::{Diagnostic, Diagnostics, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node};
use crate::moments::{Gaussian, Interval, Moments};
use crate::text::{number, plural};
use std::collections::BTreeSet;

pub static RULE: Rule = lint!("saturated_units.rs" = "G006" "saturated-units" Warning from "S06");

/// The share of saturated units from which on it is worth a word.
pub const MOST: f64 = 0.5;

/// The share of an activation's inputs that lie in its flat part; `None` for what has none on both sides.
#[must_use]
pub fn share(context: Context<'_>, node: &Node) -> Option<f64> {
    let bound =
        |name: &str, usual: f64| attribute(node, name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (lo, hi) = match node.op.name() {
        "tanh" => (-2.65, 2.65),
        "sigmoid" => (-4.6, 4.6),
        "softsign" => (-6.0, 6.0),
        "hardtanh" => (bound("lo", -1.0), bound("hi", 1.0)),
        _ => return None,
    };
    let h = context.signal.of(*node.inputs.first()?)?;
    // Where only an interval is known, its lower end.
    let h = Gaussian::of(&Moments { ln_square: Interval::point(h.ln_square.lo), ..*h });
    Some(1.0 - (h.below(hi) - h.below(lo)))
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let logits = logits(graph);
    let mut found: Vec<(Handle<Node>, f64)> = Vec::new();
    for (handle, node) in graph.nodes.iter() {
        match share(context, node) {
            Some(share) if share > MOST && node.inputs.first().copied() != logits => {
                found.push((handle, share));
            }
            _ => {}
        }
    }
    if found.is_empty() || context.signal.assumed.iter().any(|assumed| *assumed) {
        return;
    }
    let mut caused = Diagnostics::default();
    for other in [raw_input::check, unstable_depth::check, offset_weights::check] {
        other(context, &mut caused);
    }
    let uses = Uses::of(graph);
    let account = &context.signal.account;
    let blamed: BTreeSet<usize> = mismatched_gain::kinds(context, &uses, account)
        .iter()
        .filter(|kind| mismatched_gain::severity(context, account, kind) > Some(Severity::Info))
        .map(|kind| kind.region)
        .collect();
    let shifted = constant_bias::shifted(context, &uses);
    found.retain(|(handle, _)| {
        !blamed.contains(&account.region(*handle)) && shifted.iter().all(|other| other.activation != *handle)
    });
    let worst = found.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
    let (Some((handle, share)), true) = (worst, !is_loud(&caused)) else { return };
    let node = &graph.nodes[handle];
    let times =
        if found.len() == 1 { String::new() } else { format!(" in {}", plural(found.len(), "place")) };
    let name = node.op.name();
    let message = format!("{} % of the units of `{name}` start saturated{times}", number(100.0 * share));
    let rms = node.inputs.first().and_then(|source| context.signal.of(*source)).map_or(0.0, Moments::rms);
    let paths: Vec<String> = found.iter().map(|(node, _)| graph.nodes[*node].path.to_string()).collect();
    let mut diagnostic = Diagnostic::new(&RULE, node.span, message)
        .remark(format!("takes values of rms {}", number(rms)))
        .node(scheme::names(&paths))
        .trail(&node.trail);
    // The layers that feed these activations and nothing else.
    let layers: BTreeSet<Handle<Node>> = graph
        .nodes
        .iter()
        .filter(|(_, layer)| scheme::kernel(graph, layer).is_some())
        .map(|(layer, _)| layer)
        .filter(|layer| {
            found.iter().any(|(act, _)| scheme::consumer(&uses, *layer) == Consumer::Activation(*act))
        })
        .collect();
    let first = layers.iter().find(|layer| scheme::consumer(&uses, **layer) == Consumer::Activation(handle));
    let too_large = |layer: &&Handle<Node>| {
        scheme::kernel(graph, &graph.nodes[**layer]).is_some_and(|spec| scheme::gain(spec) > 4.0)
    };
    if let Some((layer, spec)) =
        first.filter(too_large).and_then(|layer| Some((*layer, scheme::kernel(graph, &graph.nodes[*layer])?)))
    {
        let (text, std) = scheme::proposal(graph, &uses, layer, spec);
        if let Some(init) = &spec.init {
            let drawn = number(spec.statistics().1.sqrt());
            diagnostic = diagnostic.label(init.span, format!("std {drawn} over fan_in {}", spec.fan_in));
        }
        diagnostic = diagnostic.help(format!("init={text} (std {})", number(std)));
        if let Some(edits) = mismatched_gain::edits(graph, &uses, account, &layers) {
            diagnostic = diagnostic.fix(Fix {
                title: format!("initialise with {text}"),
                safety: Safety::Unsafe,
                level: Level::Training,
                edits,
            });
        }
    } else {
        diagnostic = diagnostic.help(format!("a norm before `{name}`"));
    }
    out.push(diagnostic);
}
