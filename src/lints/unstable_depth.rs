//! A depth over which the signal or its gradient does not survive.
//!
//! ## What it checks
//!
//! Between two norms, the energy of the loss gradient (the sum of its squares over a value) at every hidden layer, relative
//! to the last one, by iterating the maps of the layers; and, in nets without batch norm, how much two independent inputs
//! still differ in the last hidden layer. With gradient descent a ratio below 10^-5.5 or above 10^4 is a warning, below 10^-8
//! or above 10^6 an error; Adam is warned below 10^-8 and stopped below 10^-14. Inputs that differ in less than 10^-3.5 of
//! the second moment (Adam: 10^-7) are a warning, in less than 10^-6 (10^-10) an error. Growth that norms cause, as in deep
//! nets with batch norm, is not counted. Where badly scaled weights explain the finding, `mismatched-gain`, `wrong-fan`,
//! `wrong-slope`, `offset-weights` or `inactive-norm` reports it instead; a ratio that the scatter over random draws explains
//! (two standard deviations of its logarithm) is not reported.
//!
//! ## Why it matters
//!
//! One layer multiplies the energy by fan_in Var(w) E f'(h)^2, a residual sum by 1 + that of its branch. For sigmoid E f'^2
//! is at most 1/16, so twenty layers with v = 1 leave 10^-24: the first layers do not learn in any number of steps. Twenty
//! residual blocks without norm multiply it by 2^20, and a step that suits the last layer throws the first one off. Where
//! inputs merge, the output is the same for every sample, and no optimiser recovers what is gone.
//!
//! ## Example
//!
//! ```text
//! h: repeat 20 {
//!   fc: linear(128, init=xavier_normal)
//!       sigmoid
//! }
//! ```
//!
//! ## Instead
//!
//! An activation that keeps the slope (relu with `he_normal`, tanh with `lecun_normal`), a norm or a residual around every
//! few layers; for residual nets a norm in the branch, or `init=zeros` in its last layer.
//!
//! ## References
//!
//! Glorot and Bengio 2010; Poole et al. 2016; Schoenholz et al. 2017; Zhang, Dauphin and Ma 2019; Hanin and Rolnick 2018.

use super::limits::Limits;
use super::scheme::{self, Consumer};
use super::uses::{Uses, needed};
use super::{Context, inactive_norm, lint, mismatched_gain, offset_weights, wrong_fan, wrong_slope};
use crate::diag::{Claim, Diagnostic, Diagnostics, Quantity, Rule, Severity};
use crate::graph::{Graph, Handle, Node, NodeRole, Source};
use crate::ops::Category;
use crate::signal::account::{Account, Extreme};
use crate::text::{number, plural};
use std::f64::consts::LN_10;

pub static RULE: Rule =
    lint!("unstable_depth.rs" = "G001" "unstable-depth" Warning from "S01" "S02" "S03" "I10");

/// The fall or rise, in nats, at which the depth is named.
const MARK: f64 = 12.0;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let undrawn = |node: &Node| scheme::kernel(graph, node).is_some_and(|spec| spec.init.is_none());
    if graph.partial || graph.nodes.iter().any(|(_, node)| undrawn(node)) {
        return;
    }
    let uses = Uses::of(graph);
    let account = &context.signal.account;
    let mut blamed: Vec<usize> = mismatched_gain::kinds(context, &uses, account)
        .iter()
        .filter(|kind| mismatched_gain::severity(context, account, kind) > Some(Severity::Info))
        .map(|kind| kind.region)
        .collect();
    blamed.extend(wrong_fan::blamed(context, &uses));
    blamed.extend(wrong_slope::blamed(context, &uses));
    blamed.extend(offset_weights::blamed(context, &uses));
    blamed.extend(inactive_norm::blamed(context));
    let mut regions: Vec<usize> = graph.nodes.handles().map(|node| account.region(node)).collect();
    regions.sort_unstable();
    regions.dedup();
    let mut reported = false;
    for region in regions.into_iter().filter(|region| !blamed.contains(region)) {
        let finding = gradient(context, &uses, account, region);
        reported |= finding.is_some();
        out.extend(finding);
    }
    if !reported && blamed.is_empty() {
        out.extend(merging(context, &uses, account));
    }
}

fn graded(limits: [bool; 2]) -> Option<Severity> {
    match limits {
        [_, true] => Some(Severity::Error),
        [true, false] => Some(Severity::Warning),
        [false, false] => None,
    }
}

/// The layers of a region between its ends, first to last.
fn hidden(graph: &Graph, account: &Account, region: usize) -> Vec<Handle<Node>> {
    let inside = |handle: &Handle<Node>| {
        let at = handle.index();
        account.region(*handle) == region && !account.head[at] && account.ln(*handle).is_finite()
    };
    let layers = graph.nodes.iter().filter(|(_, node)| scheme::kernel(graph, node).is_some());
    layers.map(|(handle, _)| handle).filter(inside).collect()
}

/// The finding about the gradient of a region.
fn gradient(context: Context<'_>, uses: &Uses, account: &Account, region: usize) -> Option<Diagnostic> {
    let graph: &Graph = context.graph;
    let limits = Limits::within(graph, account, region);
    let (least, most) = account.extremes(region)?;
    let falls = graded(limits.vanishing.map(|limit| least.ln / LN_10 < limit));
    let grows = graded(limits.exploding.map(|limit| most.ln / LN_10 > limit));
    let (Extreme { layer, ln, scatter }, severity) = match (falls, grows) {
        (Some(falls), grows) if grows <= Some(falls) => (least, falls),
        (_, Some(grows)) => (most, grows),
        _ => return None,
    };
    let layers = hidden(graph, account, region);
    if ln.abs() < 2.0 * scatter {
        return None;
    }
    let node = &graph.nodes[layer];
    let ratio = number(ln.exp());
    let sums = sums(graph, account, region);
    let depth = match sums {
        0 => plural(layers.len(), "hidden layer"),
        _ => format!("{} without norm", plural(sums, "residual block")),
    };
    let message = if ln < 0.0 {
        format!("the gradient vanishes over {depth}: {ratio} of its energy arrives")
    } else {
        format!("the gradient explodes over {depth}: {ratio} times its energy arrives")
    };
    let mut diagnostic = Diagnostic::new(&RULE, node.span, message)
        .severity(severity)
        .remark("arrives here")
        .node(node.path.to_string())
        .trail(&node.trail);
    // What norms add between the two is no part of the prediction, and would be of the measurement.
    let last = layers.last().copied().filter(|last| {
        let normed = |node| account.normed(context.signal, node);
        *last != layer && (normed(layer) - normed(*last)).abs() < 0.1
    });
    if let Some(last) = last {
        diagnostic = diagnostic.claim(Claim {
            name: "of the energy",
            quantity: Quantity::Energy,
            of: layer.index(),
            over: Some(last.index()),
            offset: account.ln(last),
        });
    }
    #[expect(clippy::cast_precision_loss, reason = "node counts are far below 2^53")]
    let (steps, what) = if sums == 0 { (layers.len() as f64, "layer") } else { (sums as f64, "block") };
    let pace = format!("a factor of {} per {what}", number((ln / steps).exp()));
    diagnostic = diagnostic.note("pace", pace);
    let beyond = |layer: &&Handle<Node>| {
        let energy = account.ln(**layer);
        if ln < 0.0 { energy < -MARK } else { energy > MARK }
    };
    if let Some(mark) = layers.iter().rev().find(beyond) {
        let path = &graph.nodes[*mark].path;
        diagnostic = diagnostic
            .note("mark", format!("a factor of e^{MARK} is passed at {path}, seen from the output"));
    }
    if let Consumer::Activation(act) = scheme::consumer(uses, layer) {
        let act = &graph.nodes[act];
        if let (Some(response), true) = (act.op.response(), ln < 0.0) {
            let share = number(response.slope_square);
            diagnostic =
                diagnostic.label(act.span, format!("passes {share} of the gradient's energy at unit scale"));
        }
    }
    Some(diagnostic.help(match (ln < 0.0, sums > 0) {
        (false, true) => "a norm at the start of every branch, or init=zeros in its last layer",
        (false, false) => "weights of the scheme that fits the activation, or a norm between the layers",
        (true, _) => {
            "relu with he_normal or tanh with lecun_normal, or a norm or residual between the layers"
        }
    }))
}

/// The residual sums of a region.
fn sums(graph: &Graph, account: &Account, region: usize) -> usize {
    let sums = graph.nodes.iter().filter(|(_, node)| node.role == NodeRole::ResidualSum);
    sums.filter(|(handle, _)| account.region(*handle) == region).count()
}

/// The finding about inputs that cannot be told apart in front of the head.
fn merging(context: Context<'_>, uses: &Uses, account: &Account) -> Option<Diagnostic> {
    let graph: &Graph = context.graph;
    let limits = Limits::of(graph);
    for (handle, head) in graph.nodes.iter().filter(|(handle, _)| account.head[handle.index()]) {
        let Some(&Source::Node(before)) = head.inputs.first() else { continue };
        let behind = needed(graph, [Source::Node(before)]);
        let judged = graph.nodes.iter().filter(|(node, _)| behind[node.index()]).all(|(_, node)| {
            let constant = scheme::kernel(graph, node)
                .and_then(|spec| spec.init.as_ref())
                .is_some_and(|init| init.value.mean() != 0.0 || init.value.is_constant());
            // Between samples only a batch norm tells apart again what has become alike.
            let restored = node.op.name() == "batch_norm" || node.op.category() == Category::Distribution;
            !constant && !restored
        });
        let Some(x) = context.signal.node(before).filter(|x| judged && x.ln_square.hi.is_finite()) else {
            continue;
        };
        let Some(severity) = graded(limits.merging.map(|limit| x.contrast.log10() < limit)) else { continue };
        let layers =
            graph.nodes.iter().filter(|(node, _)| behind[node.index()] && !account.head[node.index()]);
        let layers = layers.filter(|(_, node)| scheme::kernel(graph, node).is_some()).count();
        let message = format!(
            "all inputs look alike behind {}: two of them differ in {} of the second moment",
            plural(layers, "hidden layer"),
            number(x.contrast)
        );
        let mut diagnostic = Diagnostic::new(&RULE, graph.nodes[before].span, message)
            .severity(severity)
            .remark("nearly the same for every sample")
            .node(graph.nodes[before].path.to_string())
            .claim(Claim {
                name: "of the second moment",
                quantity: Quantity::Contrast,
                of: before.index(),
                over: None,
                offset: 0.0,
            })
            .trail(&graph.nodes[before].trail)
            .help("batch_norm between the layers, or relu with he_normal and zero biases");
        if scheme::consumer(uses, handle) == Consumer::Linear {
            diagnostic = diagnostic.label(head.span, "learns from this");
        }
        return Some(diagnostic);
    }
    None
}
