//! Many norms in a row without a shortcut.
//!
//! ## What it checks
//!
//! Chains of layers with norms, along which nothing branches off or joins: what the norms do to the energy of the loss
//! gradient (the sum of its squares, times the second moment of the value, so that the scale of weights does not count), from
//! the last layer of the chain to the first, by the static analysis. More than 10^6 is a warning, more than 10^8 an error.
//! More than 32 batch norms in such a chain are a warning whatever the activation. Sums, concatenations and products end a
//! chain, and so does a value that two nodes take.
//!
//! ## Why it matters
//!
//! A batch norm divides by the standard deviation of what an activation lets through, so that each layer multiplies the
//! gradient's energy by E f'^2 / Var f, which is at least 1 for every function: 1.47 for ReLU, 1.24 for a leaky one, 1.18 for
//! tanh. No choice of weights changes that, since the norm undoes it. Over 36 layers ReLU gives 10^6: a step that suits the
//! last layer throws the first one off. A shortcut hands most of the gradient past the norms.
//!
//! ## Example
//!
//! ```text
//! h: repeat 40 {
//!   fc: linear(64, init=he_normal)
//!       batch_norm
//!       relu
//! }
//! ```
//!
//! ## Instead
//!
//! A residual around every two layers, or `layer_norm`, which multiplies by 1 with ReLU.
//!
//! ## References
//!
//! Yang et al. 2019, "A mean field theory of batch normalization"; He et al. 2016.

use super::scheme;
use super::uses::Uses;
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::Category;
use crate::text::{number, plural};
use std::f64::consts::LN_10;

pub static RULE: Rule = lint!("plain_norm_stack.rs" = "G004" "plain-norm-stack" Warning from "S04");

/// Decimal logarithm of the growth from which on it is a warning and an error (research: static.md 3.1).
const GROWTH: [f64; 2] = [6.0, 8.0];
/// The number of batch norms that is a warning; MobileNet has 27.
const DEEP: usize = 32;

/// A chain up to some node.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// The latest layer.
    layer: Handle<Node>,
    /// The first and the last layer with a norm behind it.
    ends: Option<(Handle<Node>, Handle<Node>)>,
    norms: usize,
    batch_norms: usize,
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let norms = graph.nodes.iter().filter(|(_, node)| node.op.category() == Category::Norm).count();
    if graph.partial || norms < 2 {
        return;
    }
    let mut worst: Option<(f64, Severity, Chain)> = None;
    for chain in chains(graph) {
        let Some((first, last)) = chain.ends else { continue };
        let (Some(start), Some(end)) = (leverage(context, first), leverage(context, last)) else { continue };
        let growth = (start - end) / LN_10;
        let severity = match growth {
            growth if growth > GROWTH[1] => Severity::Error,
            growth if growth > GROWTH[0] || chain.batch_norms > DEEP => Severity::Warning,
            _ => continue,
        };
        if growth.is_finite() && worst.is_none_or(|(most, ..)| growth > most) {
            worst = Some((growth, severity, chain));
        }
    }
    let Some((growth, severity, chain)) = worst else { return };
    let Some((first, last)) = chain.ends else { return };
    let (first, last) = (&graph.nodes[first], &graph.nodes[last]);
    let message = format!(
        "{} in a row without a shortcut: the gradient's energy grows to {} times itself",
        plural(chain.norms, "norm"),
        number(10f64.powf(growth))
    );
    #[expect(clippy::cast_precision_loss, reason = "node counts are far below 2^53")]
    let pace = 10f64.powf(growth / chain.norms.saturating_sub(1).max(1) as f64);
    let mut diagnostic = Diagnostic::new(&RULE, first.span, message)
        .severity(severity)
        .remark("arrives here")
        .node(first.path.to_string())
        .note("pace", format!("a factor of {} per norm, whatever the weights are", number(pace)))
        .trail(&first.trail)
        .help("a residual around every two layers, or layer_norm");
    diagnostic = if last.span == first.span {
        diagnostic.note("seen", format!("from {}", last.path))
    } else {
        diagnostic.label(last.span, "seen from here")
    };
    out.push(diagnostic);
}

/// ln of the gradient's energy at a layer times the second moment there: what the scale of the weights before a
/// norm does to either, it
/// does to the other in reverse.
fn leverage(context: Context<'_>, layer: Handle<Node>) -> Option<f64> {
    let square = context.signal.node(layer)?.ln_square.middle();
    Some(context.signal.energies[layer.index()].ln.middle() + square).filter(|ln| ln.is_finite())
}

/// The chains of a graph, each as far as it goes.
fn chains(graph: &Graph) -> Vec<Chain> {
    let uses = Uses::of(graph);
    let mut open: Vec<Option<Chain>> = vec![None; graph.nodes.len()];
    let mut ended = Vec::new();
    for (handle, node) in graph.nodes.iter() {
        let before = match node.inputs.as_slice() {
            [Source::Node(input)] if uses.after(Source::Node(*input)).len() == 1 => {
                open[input.index()].take()
            }
            _ => None,
        };
        let category = node.op.category();
        open[handle.index()] = match (before, scheme::kernel(graph, node)) {
            (Some(chain), Some(_)) => Some(Chain { layer: handle, ..chain }),
            (None, Some(_)) => Some(Chain { layer: handle, ends: None, norms: 0, batch_norms: 0 }),
            (Some(chain), None) if category == Category::Norm => Some(Chain {
                layer: chain.layer,
                ends: Some((chain.ends.map_or(chain.layer, |(first, _)| first), chain.layer)),
                norms: chain.norms + 1,
                batch_norms: chain.batch_norms + usize::from(node.op.name() == "batch_norm"),
            }),
            (chain, None) => chain,
        };
        // What goes no further, or to several.
        if uses.after(Source::Node(handle)).len() != 1 {
            ended.extend(open[handle.index()]);
        }
    }
    // What ends before a node that takes several values.
    ended.extend(open.into_iter().flatten());
    ended
}
