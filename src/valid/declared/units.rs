//! `dead`, `saturated`: the share of units that say nothing at initialisation.
//!
//! ## What it tests
//!
//! `dead(fc1.relu)` is the share of the units of a `relu`, `relu6` or `hardswish` (any activation that is 0 below a kink) that are 0 on
//! every one of the 32 rows of the batch. A unit is a feature, and of a map a channel with all of its places. `saturated(fc1.tanh)` is the
//! share of single values that lie where the slope of the activation is below a fiftieth of the largest (tanh beyond 2.65,
//! sigmoid beyond 4.6, softsign beyond 6), for activations that are flat on both sides.
//!
//! A unit of a centred layer is off on one row with probability 1/2 and on 32 independent rows with 2^-32; rows that are alike, a
//! negative bias or weights with a mean make it likely.
//!
//! ## Example
//!
//! ```text
//! property { dead(fc1.relu) < 0.5 }
//! property { saturated(fc1.tanh) <= 0.1 }
//! ```
//!
//! ## What to do
//!
//! A dead unit has no gradient on any row and does not come back. Start biases at 0 or slightly above, centre the inputs, keep the
//! variance of the weights at 2/fan_in.
//!
//! ## References
//!
//! Glorot, Bordes and Bengio 2011, "Deep sparse rectifier neural networks"; Lu et al. 2019, "Dying ReLU and initialization".

use crate::exec::{Point, Session};
use crate::graph::{Graph, Handle, Node};

/// The share of units that are 0 on every row; 0 where there are none.
pub fn dead(graph: &Graph, node: Handle<Node>, value: &[f64], rows: usize) -> f64 {
    let sample = graph.nodes[node].shape.as_ref().map_or(&[][..], |shape| shape.sample());
    // Of a map the channels come first, of a row or a sequence the features last.
    let (units, places) = match sample {
        [channels, maps @ ..] if maps.len() > 1 => (*channels, maps.iter().product()),
        [.., features] => (*features, 1),
        [] => (1, 1),
    };
    let mut alive = vec![false; units];
    for (i, x) in value.iter().enumerate() {
        alive[(i / places) % units.max(1)] |= *x != 0.0;
    }
    debug_assert_eq!(value.len() % (rows * units * places).max(1), 0, "internal: rows of another shape");
    share(alive.iter().filter(|alive| !**alive).count(), units)
}

/// The share of values in the flat part; 0 for what has none.
pub fn saturated(session: &Session<'_, f64>, point: &Point<'_>, node: Handle<Node>) -> f64 {
    let graph = session.graph();
    let node = &graph.nodes[node];
    let specs = graph.specs(node);
    let curve = node.op.curve(&specs);
    let (Some(curve), Some(source)) = (curve, node.inputs.first()) else { return 0.0 };
    let Some(flat) = curve.flat() else { return 0.0 };
    let taken = session.input(*source, point).plane(0);
    // What is not finite is beyond every slope.
    let beyond = |x: &&f64| !x.is_finite() || (curve.slope)(**x).abs() < flat;
    share(taken.iter().filter(beyond).count(), taken.len())
}

#[expect(clippy::cast_precision_loss, reason = "counts of units are far below 2^53")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
