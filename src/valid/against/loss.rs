//! What a loss that differs looks like: a factor or a penalty, or what acts in training only.
//!
//! Contract: each sentence names the loss that this program gives with the mistake made in it, and is said only where theirs is that number.

use super::Visit;
use crate::exec::{self, Settings, Weights};
use crate::graph::{Handle, Node, Runnable, Source};
use crate::ops::{Category, ModeEffect};
use crate::tensor::Mode;
use crate::valid::diagnose::diagnose_loss;
use crate::valid::gradcheck::kept;

/// A loss of theirs and what it is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    pub theirs: f64,
    /// Ours without penalties.
    pub data: f64,
    /// The penalties.
    pub penalty: f64,
    /// The relative error up to which two losses are the same.
    pub tolerance: f64,
}

/// Names the mistake.
pub(super) fn look(graph: Runnable<'_>, visit: &Visit, losses: Losses) -> Option<String> {
    let Losses { theirs, data, penalty, tolerance } = losses;
    let named = diagnose_loss(theirs, data, penalty, visit.feeds.rows, tolerance);
    named.or_else(|| in_training(graph, visit, losses))
}

/// Theirs is the loss without dropout, without its scale, or that of the other mode.
fn in_training(graph: Runnable<'_>, visit: &Visit, losses: Losses) -> Option<String> {
    let Visit { settings, weights, feeds, .. } = visit;
    let is = |graph: Runnable<'_>, weights: &Weights, mode| {
        let settings = Settings { penalties: false, mode, ..*settings };
        let loss = exec::run(graph, weights, feeds, settings, false).loss;
        loss.is_some_and(|loss| {
            let ours = loss + losses.penalty;
            (losses.theirs - ours).abs() <= losses.tolerance * (losses.theirs.abs() + ours.abs())
        })
    };
    if settings.mode == Mode::Train {
        let bare = kept(&graph);
        if bare.as_ref().and_then(Runnable::new).is_some_and(|bare| is(bare, weights, Mode::Train)) {
            return Some("it is the loss without dropout: the masks are not applied".to_owned());
        }
        let unscaled = graph.nodes.handles().find(|&node| {
            unscaled(graph, node, weights).is_some_and(|weights| is(graph, &weights, Mode::Train))
        });
        if let Some(node) = unscaled {
            let path = &graph.nodes[node].path;
            return Some(format!("it is the loss with a mask of 0 and 1 in `{path}`: 1/keep is missing"));
        }
    }
    let (other, name) = match settings.mode {
        Mode::Train => (Mode::Eval, "evaluation"),
        Mode::Eval => (Mode::Train, "training"),
    };
    let differs = graph.nodes.iter().any(|(_, node)| node.op.effect() != ModeEffect::Same);
    (differs && is(graph, weights, other)).then(|| format!("it is the loss of {name} mode"))
}

/// Weights with which the net gives what it would give without the scale of a dropout: what reads it is a layer, and its kernel is
/// smaller by the keep probability. `None` for anything else.
fn unscaled(graph: Runnable<'_>, dropout: Handle<Node>, weights: &Weights) -> Option<Weights> {
    let node = &graph.nodes[dropout];
    if node.op.name() != "dropout" {
        return None;
    }
    let p: f64 = node.op.attributes().iter().find(|(name, _)| *name == "p")?.1.parse().ok()?;
    let readers = graph.nodes.iter().filter(|(_, reader)| reader.inputs.contains(&Source::Node(dropout)));
    let mut weights = weights.clone();
    let mut read = false;
    for (_, reader) in readers {
        let kernel = reader.params.first().filter(|_| reader.op.category() == Category::Layer)?;
        weights.params[kernel.index()].data.iter_mut().for_each(|w| *w *= 1.0 - p);
        read = true;
    }
    (read && p > 0.0).then_some(weights)
}
