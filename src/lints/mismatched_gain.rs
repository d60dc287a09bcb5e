//! An initialisation whose variance does not suit the activation that it feeds.
//!
//! ## What it checks
//!
//! For every hidden layer with weights, v = fan Var(w) (by the fan that the scheme itself divides by) against the range under
//! which the scale survives the activation that consumes the layer, found through the graph: through norms, sums, pools, reshapes
//! and dropout. Layers that a norm rescales, that a residual sum bypasses, or that feed no activation are left alone. Findings of
//! one kind between the same two norms are one message, with the factors that the static analysis predicts over all of them.
//!
//! The severity follows from the whole stretch between two norms and from the optimiser, never from one harmless layer. With
//! gradient descent it is a warning when the gradient's energy at the first layer is below 10^-5.5 or above 10^4 of that at the
//! last hidden one, an error below 10^-8 or above 10^6; Adam, which divides the gradient by its own scale, is warned below
//! 10^-8 and stopped below 10^-14. Logits that come out with a standard deviation above 8 (Adam: 50), or in nearly every draw above
//! 50 (5000), count likewise.
//! Under Adam, growth between activations like ReLU that only scale with their input stays a warning: one factor for all layers, which its
//! steps undo.
//! Anything milder is information, and a single harmless layer is not mentioned.
//!
//! ## Why it matters
//!
//! With pre-activations h and x = f(h), one layer multiplies the second moment by v E f(z)^2 and the gradient's energy by
//! v E f'(z)^2. ReLU halves both, so v = 2 keeps them (`he_*`); with v = 1 (`xavier_*` at equal fans) twenty layers leave
//! 2^-20 of either. tanh passes small signals unchanged, so v = 1 keeps them; v = 1/3 (`torch_default`) divides them by three in
//! every layer.
//!
//! ## Example
//!
//! ```text
//! h: repeat 20 {
//!   fc: linear(256, init=xavier_normal)
//!       relu
//! }
//! ```
//!
//! ## Instead
//!
//! The scheme that the message proposes. The fix changes training, not the shape of checkpoints.
//!
//! ## References
//!
//! Glorot and Bengio 2010; He et al. 2015, eq. 10 and 14; Schoenholz et al. 2017.

use super::limits::{Limits, at_least};
use super::scheme::{self, Consumer, Range};
use super::uses::Uses;
use super::{Context, lint, offset_weights, saturated_units};
use crate::diag::{Claim, Diagnostic, Diagnostics, Edit, Fix, Level, Quantity, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node, Source};
use crate::inits::Init;
use crate::ops::ParamSpec;
use crate::signal::account::Account;
use crate::source::Spanned;
use crate::text::{number, plural};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub static RULE: Rule = lint!("mismatched_gain.rs" = "I001" "mismatched-gain" Warning from "I03" "I06" "I08");

/// A factor of v outside the range that is not worth a word.
const TOLERATED: f64 = 1.5;
/// A factor of the second moment over all layers of a kind that is not worth a word: half of the scale.
const HARMLESS: f64 = 4.0;

/// One layer that is off.
pub struct Off {
    /// The layer.
    pub node: Handle<Node>,
    /// The activation that it feeds.
    pub activation: Handle<Node>,
    /// ln of the factor by which the layer is off.
    pub distance: f64,
}

/// Layers of one kind in one region.
pub struct Kind {
    /// What its members have in common.
    pub name: String,
    /// The region of the account.
    pub region: usize,
    /// The layers in order.
    pub members: Vec<Off>,
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let uses = Uses::of(context.graph);
    let account = &context.signal.account;
    for group in kinds(context, &uses, account) {
        // What saturates units is told with the share of those that are.
        let saturates = |off: &Off| {
            saturated_units::share(context, &context.graph.nodes[off.activation])
                > Some(saturated_units::MOST)
        };
        if severity(context, account, &group) == Some(Severity::Info) && group.members.iter().any(saturates) {
            continue;
        }
        out.extend(explain(context, &uses, account, &group));
    }
}

/// All layers that are off, by kind and region.
pub fn kinds(context: Context<'_>, uses: &Uses, account: &Account) -> Vec<Kind> {
    let graph: &Graph = context.graph;
    let bypassed = scheme::bypassed(graph);
    let mut groups: Vec<Kind> = Vec::new();
    for (node, layer) in graph.nodes.iter().filter(|(node, _)| !account.head[node.index()]) {
        let Some(spec) = scheme::kernel(graph, layer) else { continue };
        let (Some(init), Consumer::Activation(activation)) = (&spec.init, scheme::consumer(uses, node))
        else {
            continue;
        };
        // Constant weights are no question of gain, and neither are those with a mean: other lints speak of them.
        let drawn = !init.value.is_constant() && !offset_weights::is_offset(context, layer);
        let Some(response) = graph.nodes[activation].op.response().filter(|_| drawn) else {
            continue;
        };
        let distance = Range::of(response).distance(scheme::gain(spec));
        if distance.abs() <= TOLERATED.ln() || (bypassed[node.index()] && distance < 0.0) {
            continue;
        }
        let name = format!("{} {} {}", init.value, graph.nodes[activation].op.name(), distance < 0.0);
        let region = account.region(node);
        let off = Off { node, activation, distance };
        match groups.iter_mut().find(|known| known.name == name && known.region == region) {
            Some(known) => known.members.push(off),
            None => groups.push(Kind { name, region, members: vec![off] }),
        }
    }
    groups
}

/// How bad a kind is; `None` if it is not worth a word.
pub fn severity(context: Context<'_>, account: &Account, group: &Kind) -> Option<Severity> {
    let limits = Limits::within(context.graph, account, group.region);
    let total: f64 = group.members.iter().map(|off| off.distance).sum();
    let graded = |beyond: [bool; 2]| match beyond {
        [_, true] => Severity::Error,
        [true, _] => Severity::Warning,
        _ => Severity::Info,
    };
    let mut worst = Severity::Info;
    if let Some((least, most)) = account.extremes(group.region) {
        let ln = if total < 0.0 { least.ln } else { most.ln };
        // The layers of this kind are to blame if they account for half of it.
        if ln * total > 0.0 && total.abs() >= 0.5 * ln.abs() {
            let decades = ln / std::f64::consts::LN_10;
            worst = worst
                .max(graded(limits.vanishing.map(|limit| decades < limit)))
                .max(graded(limits.exploding.map(|limit| decades > limit)));
        }
    }
    let logits = logits(context, account, group.region);
    if let Some((std, least)) = logits.filter(|(std, _)| total > 0.0 && total >= std.ln()) {
        let [warning, error] = limits.logits;
        worst = worst.max(graded([std > warning, least > error]));
    }
    let mild = group.members.len() > 1 && total.abs() > HARMLESS.ln();
    (worst > Severity::Info || mild).then_some(worst)
}

/// The predicted standard deviation of logits that come out of a region, and what nearly every draw exceeds, where the scale of the
/// inputs is known.
fn logits(context: Context<'_>, account: &Account, region: usize) -> Option<(f64, f64)> {
    let graph: &Graph = context.graph;
    let Source::Node(prediction) = super::uses::logits(graph)? else { return None };
    let known = !context.signal.assumed.iter().any(|assumed| *assumed);
    let inside = account.region(prediction) == region;
    let rms = context.signal.node(prediction)?.rms();
    (known && inside && rms.is_finite()).then(|| (rms, at_least(context.signal, prediction, rms)))
}

fn explain(context: Context<'_>, uses: &Uses, account: &Account, group: &Kind) -> Option<Diagnostic> {
    let graph: &Graph = context.graph;
    let severity = severity(context, account, group)?;
    let members = &group.members;
    let worst = typical(graph, members)?;
    let Off { node, activation, distance } = worst;
    let (layer, act) = (&graph.nodes[*node], &graph.nodes[*activation]);
    let spec = scheme::kernel(graph, layer)?;
    let init = spec.init.as_ref()?;
    let times = if members.len() == 1 { String::new() } else { format!(" in {} layers", members.len()) };
    let (forward, gradient) = factors(context, account, members);
    let claims = claims(context, members);
    let forward = forward.unwrap_or_else(|| members.iter().map(|off| off.distance).sum::<f64>());
    let scale = number((forward / 2.0).exp());
    let fate = match forward < 0.0 {
        true => format!("the signal falls to {scale} of its scale"),
        false if *distance > 0.0 => format!("the signal grows to {scale} times its scale"),
        false => "the gradient falls".to_owned(),
    };
    let message = format!("`{}` feeds `{}`{times}: {fate}", init.value, act.op.name());
    let (text, std) = scheme::proposal(graph, uses, *node, spec);
    let paths: Vec<String> = members.iter().map(|off| graph.nodes[off.node].path.to_string()).collect();
    let per_layer = number((distance / 2.0).exp());
    let drawn = number(spec.statistics().1.sqrt());
    let fans = format!("fan_in {}, fan_out {}", spec.fan_in, spec.fan_out);
    let predicted = format!(
        "{scale} forward, {} gradient energy over {}",
        number(gradient.exp()),
        plural(members.len(), "layer")
    );
    let mut diagnostic = Diagnostic::new(&RULE, init.span, message)
        .severity(severity)
        .remark(format!("std {drawn} ({fans}): x{per_layer} per layer"))
        .label(act.span, passes(graph, *activation, spec))
        .node(scheme::names(&paths))
        .note("predicted", predicted)
        .trail(if members.len() == 1 { &layer.trail } else { &[] })
        .help(format!("init={text} (std {})", number(std)));
    let mut nodes: BTreeSet<Handle<Node>> = members.iter().map(|off| off.node).collect();
    if *distance > 0.0 {
        nodes.extend(heads_alike(graph, account, group.region, &init.value));
    }
    if let Some(edits) = edits(graph, uses, account, &nodes) {
        diagnostic = diagnostic.fix(Fix {
            title: format!("initialise with {text}"),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits,
        });
    }
    Some(claims.into_iter().flatten().fold(diagnostic, Diagnostic::claim))
}

/// What a run can measure of the factors: both from the first layer on, whose own factors are taken from its variance.
fn claims(context: Context<'_>, members: &[Off]) -> Option<[Claim; 2]> {
    let graph: &Graph = context.graph;
    let (first, last) = (&members[0], &members[members.len() - 1]);
    let moments = |source: Source| Some(context.signal.of(source)?.ln_square.middle());
    let own = moments(Source::Node(first.node))? - moments(*graph.nodes[first.node].inputs.first()?)?;
    let gain = ln_gain(scheme::kernel(graph, &graph.nodes[first.node])?);
    let claim = |name, quantity, [of, over]: [Handle<Node>; 2], offset| Claim {
        name,
        quantity,
        of: of.index(),
        over: Some(over.index()),
        offset,
    };
    Some([
        claim("forward", Quantity::Rms, [last.activation, first.node], own),
        claim("gradient energy", Quantity::Energy, [first.node, last.activation], gain),
    ])
}

/// ln of fan_in Var(w).
#[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
fn ln_gain(spec: &ParamSpec) -> f64 {
    (spec.fan_in as f64 * spec.statistics().1).ln()
}

/// The layer that a message shows: of those that are furthest off, the first with the most common fans.
fn typical<'m>(graph: &Graph, members: &'m [Off]) -> Option<&'m Off> {
    let most = members.iter().map(|off| off.distance.abs()).fold(0.0, f64::max);
    let worst = members.iter().filter(|off| off.distance.abs() > most - 1e-9);
    let fans = |off: &Off| {
        scheme::kernel(graph, &graph.nodes[off.node]).map_or((0, 0), |spec| (spec.fan_in, spec.fan_out))
    };
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    worst.clone().for_each(|off| *counts.entry(fans(off)).or_default() += 1);
    worst.min_by_key(|off| Reverse(counts.get(&fans(off)).copied()))
}

/// ln of the predicted factors of second moment and of gradient energy, from before the first layer to behind the last
/// activation.
fn factors(context: Context<'_>, account: &Account, members: &[Off]) -> (Option<f64>, f64) {
    let graph: &Graph = context.graph;
    let (first, last) = (&members[0], &members[members.len() - 1]);
    let ends = graph.nodes[first.node].inputs.first().and_then(|source| context.signal.of(*source));
    let forward = ends
        .zip(context.signal.node(last.activation))
        .map(|(x, y)| y.ln_square.middle() - x.ln_square.middle())
        .filter(|factor| factor.is_finite());
    let gain = scheme::kernel(graph, &graph.nodes[first.node]).map_or(0.0, ln_gain);
    (forward, account.ln(first.node) + gain - account.ln(last.activation))
}

/// The heads behind a region that are drawn like its oversized layers.
fn heads_alike<'g>(
    graph: &'g Graph,
    account: &'g Account,
    region: usize,
    init: &'g Init,
) -> impl Iterator<Item = Handle<Node>> + 'g {
    let heads = graph
        .nodes
        .iter()
        .filter(move |(node, _)| account.head[node.index()] && account.region(*node) == region);
    heads
        .filter(move |(_, head)| kernel_init(graph, head).is_some_and(|own| own.value == *init))
        .map(|(node, _)| node)
}

fn kernel_init<'g>(graph: &'g Graph, node: &'g Node) -> Option<&'g Spanned<Init>> {
    scheme::kernel(graph, node)?.init.as_ref()
}

/// The edits that give every one of these layers its scheme; none if a `default` among them serves layers for which scale
/// matters and this one fits. Heads and layers before a norm take any scheme.
pub fn edits(
    graph: &Graph,
    uses: &Uses,
    account: &Account,
    nodes: &BTreeSet<Handle<Node>>,
) -> Option<Vec<Edit>> {
    let mut edits: Vec<Edit> = Vec::new();
    for node in nodes {
        let spec = scheme::kernel(graph, &graph.nodes[*node])?;
        let span = spec.init.as_ref()?.span;
        if !edits.iter().any(|edit| edit.span == span) {
            edits.push(Edit { span, text: scheme::proposal(graph, uses, *node, spec).0 });
        }
    }
    let others = graph.nodes.iter().filter(|(node, _)| {
        let free = account.head[node.index()] || matches!(scheme::consumer(uses, *node), Consumer::Norm(_));
        !free && !nodes.contains(node)
    });
    let mut spans = others.filter_map(|(_, other)| Some(kernel_init(graph, other)?.span));
    if spans.any(|span| edits.iter().any(|edit| edit.span == span)) {
        return None;
    }
    edits.sort_by_key(|edit| edit.span.start);
    Some(edits)
}

/// What the activation does to the second moment, and the standard deviation that makes up for it.
fn passes(graph: &Graph, activation: Handle<Node>, spec: &ParamSpec) -> String {
    let Some(response) = graph.nodes[activation].op.response() else { return String::new() };
    #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
    let needed = |v: f64| number((v / spec.fan_in as f64).sqrt());
    let range = Range::of(response);
    let share = response.square;
    let what = if (share - 0.5).abs() < 1e-9 {
        "halves the second moment".to_owned()
    } else {
        format!("passes {} of a unit second moment", number(share))
    };
    if range.hi > range.lo * 1.01 {
        format!("{what}: needs a std in {}..{}", needed(range.lo), needed(range.hi))
    } else {
        format!("{what}: rms 1 needs std {}", needed(range.lo))
    }
}
