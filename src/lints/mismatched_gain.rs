//! An initialisation whose variance does not suit the activation that it feeds.
//!
//! ## What it checks
//!
//! For every layer with weights, v = fan_in Var(w) against the range under which the scale survives the activation that
//! consumes the layer, found through the graph: through norms, sums, pools, reshapes and dropout. Layers that a norm
//! rescales, that a residual sum bypasses, or that feed no activation are left alone. Findings of one kind are folded into one
//! message with the factor over all of them. The severity follows from that product: a warning from a factor of 100 in the
//! second moment, information below; never from one harmless layer.
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

use super::scheme::{self, Consumer, Range};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety, Severity};
use crate::graph::{Graph, Handle, Node};
use crate::ops::ParamSpec;
use crate::text::number;

pub static RULE: Rule = lint!("mismatched_gain.rs" = "I001" "mismatched-gain" Warning from "I03" "I06" "I08");

/// A factor of v outside the range that is not worth a word.
const TOLERATED: f64 = 1.5;
/// The factor of the second moment over the whole net from which a finding is a warning.
const GRAVE: f64 = 100.0;

/// One layer that is off.
struct Off {
    node: Handle<Node>,
    activation: Handle<Node>,
    /// ln of the factor by which the layer is off.
    distance: f64,
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let bypassed = scheme::bypassed(graph);
    let mut groups: Vec<(String, Vec<Off>)> = Vec::new();
    for (handle, node) in graph.nodes.iter() {
        let Some(spec) = scheme::kernel(graph, node) else { continue };
        let (Some(init), Consumer::Activation(activation)) = (&spec.init, scheme::consumer(graph, handle))
        else {
            continue;
        };
        // Constant weights are no question of gain: the symmetry lint speaks of them.
        let Some(response) = graph.nodes[activation].op.response().filter(|_| !init.value.is_constant())
        else {
            continue;
        };
        let distance = Range::of(response).distance(scheme::gain(spec));
        if distance.abs() <= TOLERATED.ln() || (bypassed[handle.index()] && distance < 0.0) {
            continue;
        }
        let kind = format!("{} {} {}", init.value, graph.nodes[activation].op.name(), distance < 0.0);
        let off = Off { node: handle, activation, distance };
        match groups.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, members)) => members.push(off),
            None => groups.push((kind, vec![off])),
        }
    }
    for (_, members) in groups {
        out.push(explain(graph, &members));
    }
}

fn explain(graph: &Graph, members: &[Off]) -> Diagnostic {
    let Off { node, activation, distance } = &members[0];
    let (layer, act) = (&graph.nodes[*node], &graph.nodes[*activation]);
    let Some((spec, init)) = scheme::kernel(graph, layer).and_then(|spec| Some((spec, spec.init.as_ref()?)))
    else {
        unreachable!("internal: a member has an initialiser")
    };
    let total: f64 = members.iter().map(|off| off.distance).sum();
    let factor = number((total / 2.0).exp());
    let fate = if total < 0.0 {
        format!("falls to {factor} of its scale")
    } else {
        format!("grows to {factor} times its scale")
    };
    let times = if members.len() == 1 { String::new() } else { format!(" in {} layers", members.len()) };
    let message = format!("`{}` feeds `{}`{times}: the signal {fate}", init.value, act.op.name());
    let (text, std) = scheme::proposal(graph, *node, spec);
    let severity = if total.abs() > GRAVE.ln() { Severity::Warning } else { Severity::Info };
    let paths: Vec<String> = members.iter().map(|off| graph.nodes[off.node].path.to_string()).collect();
    let per_layer = number((distance / 2.0).exp());
    let drawn = number(spec.statistics().1.sqrt());
    let fans = format!("fan_in {}, fan_out {}", spec.fan_in, spec.fan_out);
    Diagnostic::new(&RULE, init.span, message)
        .severity(severity)
        .remark(format!("std {drawn} ({fans}): x{per_layer} per layer"))
        .label(act.span, passes(graph, *activation, spec))
        .node(scheme::names(&paths))
        .note(
            "off",
            format!(
                "by {factor} in rms, {} in the second moment, over {}",
                number(total.exp()),
                layers(members.len())
            ),
        )
        .trail(&layer.trail)
        .help(format!("init={text} (std {})", number(std)))
        .fix(Fix {
            title: format!("initialise with {text}"),
            safety: Safety::Unsafe,
            level: Level::Training,
            edits: vec![Edit { span: init.span, text }],
        })
}

fn layers(n: usize) -> String {
    crate::text::plural(n, "layer")
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
        format!("passes {} of the second moment", number(share))
    };
    if range.hi > range.lo * 1.01 {
        format!("{what}: needs a std in {}..{}", needed(range.lo), needed(range.hi))
    } else {
        format!("{what}: rms 1 needs std {}", needed(range.lo))
    }
}
