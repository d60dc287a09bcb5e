//! Removes nodes that hand on their input unchanged in the mode that the graph is run for: dropout in use.
//!
//! Dropout scales what it keeps by 1/(1-p) in training, so that in use it is the identity and its gradient the identity, too.

use super::Fate;
use crate::graph::{Graph, Verified};
use crate::ops::ModeEffect;
use crate::tensor::Mode;

pub fn plan(graph: &Verified<Graph>, mode: Mode) -> Vec<Fate> {
    let forwards = |effect| mode == Mode::Eval && effect == ModeEffect::TrainOnly;
    graph
        .nodes
        .iter()
        .map(|(_, node)| if forwards(node.op.effect()) { Fate::Forwards } else { Fate::Stays })
        .collect()
}
