//! Which initialisation suits a layer: the activation that consumes it, found through the graph, and the range of weight
//! variance under which signal and gradient keep their scale.
//!
//! Not a lint; the lints of the I family share it. Gains follow from quadrature of the activation itself (research: He et al.
//! 2015; Schoenholz et al. 2017), so a new activation needs no table.

use super::uses::Uses;
use crate::graph::{Graph, Handle, Node, NodeRole, Source};
use crate::inits::Init;
use crate::ops::{Category, OpKind, ParamSpec, Response};
pub use crate::signal::account::kernel;
use std::collections::BTreeMap;

/// What becomes of a layer's output before the next weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// An elementwise function receives it, unscaled.
    Activation(Handle<Node>),
    /// A norm rescales it, so the scale of the weights does not matter; the activation behind the norm, if there is one.
    Norm(Option<Handle<Node>>),
    /// It reaches further weights, the loss or the output without a nonlinearity.
    Linear,
}

/// Finds what consumes a value, through pools, layouts, sums, dropout and norms. Of several consumers the first
/// activation decides.
#[must_use]
pub fn consumer(uses: &Uses, node: Handle<Node>) -> Consumer {
    uses.consumers[node.index()]
}

/// What consumes each value, last node first, so that each is looked at once.
#[must_use]
pub fn consumers(graph: &Graph, after: &[Vec<Handle<Node>>]) -> Vec<Consumer> {
    // For each node: what consumes it, and what consumes it if a norm lies before.
    let mut found = vec![[Consumer::Linear; 2]; graph.nodes.len()];
    for handle in graph.nodes.handles().rev() {
        for normed in [false, true] {
            let mut best = Consumer::Linear;
            for &next in &after[handle.index()] {
                let here = match graph.nodes[next].op.category() {
                    Category::Activation if normed => Consumer::Norm(Some(next)),
                    Category::Activation => Consumer::Activation(next),
                    Category::Norm => match found[next.index()][1] {
                        Consumer::Linear => Consumer::Norm(None),
                        further => further,
                    },
                    Category::Pool | Category::Noise | Category::Layout | Category::Combine => {
                        found[next.index()][usize::from(normed)]
                    }
                    Category::Layer
                    | Category::Lookup
                    | Category::Product
                    | Category::Distribution
                    | Category::Loss => Consumer::Linear,
                };
                best = match (best, here) {
                    (Consumer::Activation(_), _) | (_, Consumer::Linear) => best,
                    (_, better) => better,
                };
            }
            found[handle.index()][usize::from(normed)] = best;
        }
    }
    found.into_iter().map(|[plain, _]| plain).collect()
}

/// The range of v = `fan_in` Var(w) under which the scale survives the depth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Below, the signal shrinks in every layer.
    pub lo: f64,
    /// Above, it grows or saturates in every layer.
    pub hi: f64,
    /// Whether the scale is restored by itself (elasticity below 1).
    pub stable: bool,
}

impl Range {
    /// The range for an activation.
    ///
    /// v* = 1/E f^2 keeps the forward scale, 1/E f'^2 the backward one. Where the scale restores itself (tanh, sigmoid, selu,
    /// elu), anything between 1 and the larger of the two trains: tanh at v = 1 is critical at small signals, at 2.5 at unit
    /// ones.
    #[must_use]
    pub fn of(response: Response) -> Self {
        let (forward, backward) = (1.0 / response.square, 1.0 / response.slope_square);
        let stable = response.elasticity < 0.95;
        let lo = if stable { 1f64.min(forward) } else { forward.min(backward) };
        Self { lo, hi: forward.max(backward).max(lo), stable }
    }

    /// How far v lies outside, as a logarithm of the second moment's factor; 0 inside.
    #[must_use]
    pub fn distance(self, v: f64) -> f64 {
        if v < self.lo {
            (v / self.lo).ln()
        } else if v > self.hi {
            (v / self.hi).ln()
        } else {
            0.0
        }
    }
}

/// v of a tensor by the convention of its own scheme: fan Var(w), the fan being that which the scheme divides by. Schemes by
/// fan_out or by the average keep the product over all layers, whatever a single layer's widths are.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
pub fn gain(spec: &ParamSpec) -> f64 {
    let (inward, outward) = (spec.fan_in as f64, spec.fan_out as f64);
    let init = spec.init.as_ref().map_or_else(String::new, |init| init.value.to_string());
    let fan = if init.contains("fan_out") {
        outward
    } else if init.starts_with("xavier") || init.contains("fan_avg") {
        f64::midpoint(inward, outward)
    } else {
        inward
    };
    fan * spec.statistics().1
}

/// The scheme that suits a layer, as the spec writes it, with the standard deviation that it gives.
#[must_use]
pub fn proposal(graph: &Graph, uses: &Uses, node: Handle<Node>, spec: &ParamSpec) -> (String, f64) {
    let uniform = spec.init.as_ref().is_some_and(|init| init.value.name().ends_with("uniform"));
    let suffix = if uniform { "uniform" } else { "normal" };
    let activation = match consumer(uses, node) {
        Consumer::Activation(act) | Consumer::Norm(Some(act)) => Some(&graph.nodes[act].op),
        Consumer::Norm(None) | Consumer::Linear => None,
    };
    let range =
        activation.and_then(OpKind::response).map_or(Range { lo: 1.0, hi: 1.0, stable: true }, Range::of);
    let families: &[&str] = if activation.is_some_and(|op| op.name() == "selu") {
        &["lecun"]
    } else if range.stable {
        &["xavier", "lecun", "he"]
    } else {
        &["he", "lecun", "xavier"]
    };
    let slope = activation.and_then(slope_of).unwrap_or(0.0);
    let candidates = families.iter().filter_map(|family| {
        let text = if *family == "he" && slope >= 0.1 {
            format!("he_{suffix}(a={})", crate::text::number(slope))
        } else {
            format!("{family}_{suffix}")
        };
        let init = parse(&text)?;
        let variance = init.variance(spec.target());
        #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
        let distance = range.distance(spec.fan_in as f64 * variance).abs();
        Some((distance, text, variance.sqrt()))
    });
    let best = candidates.reduce(|best, next| if next.0 < best.0 - 0.05 { next } else { best });
    best.map_or(("lecun_normal".to_owned(), 0.0), |(_, text, std)| (text, std))
}

/// The slope a of a leaky ReLU or what a trained one has in the mean square, from E f'^2 = (1 + a^2)/2.
fn slope_of(op: &OpKind) -> Option<f64> {
    let response = op.response().filter(|_| matches!(op.name(), "leaky_relu" | "prelu"))?;
    Some((2.0 * response.slope_square - 1.0).max(0.0).sqrt())
}

/// The initialiser that a short text names.
fn parse(text: &str) -> Option<Init> {
    use crate::args::{Arg, Call, Value, literal};
    use crate::diag::Diagnostics;
    use crate::source::{Sources, Span, Spanned};
    let span = Span::new(Sources::default().add("", ""), 0..0);
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let arg = rest.trim_end_matches(')').split_once('=').map(|(key, value)| Arg {
        name: Some(Spanned::new(key.to_owned(), span)),
        value: Spanned::new(literal(value), span),
    });
    let call = Call { name: Spanned::new(name.to_owned(), span), args: arg.into_iter().collect(), span };
    let value = Spanned::new(Value::Call(call), span);
    Init::from_value(&value, &[], &mut Diagnostics::default()).map(|init| init.value)
}

/// The nodes that a residual sum bypasses: those on its branch that its other input does not need.
#[must_use]
pub fn bypassed(graph: &Graph) -> Vec<bool> {
    let mut inside = vec![false; graph.nodes.len()];
    for (_, node) in graph.nodes.iter().filter(|(_, node)| node.role == NodeRole::ResidualSum) {
        let [branch, beside] = node.inputs.as_slice() else { continue };
        // Walks back from both inputs, latest node first: when a node is taken, everything behind it has been. It ends where
        // all open nodes are needed beside the branch.
        let mut open: BTreeMap<Handle<Node>, bool> = BTreeMap::new();
        let mut alone = 0usize;
        let mark =
            |open: &mut BTreeMap<Handle<Node>, bool>, alone: &mut usize, source: Source, is_beside: bool| {
                if let Source::Node(node) = source {
                    let before = open.get(&node).copied();
                    *alone += usize::from(before.is_none() && !is_beside);
                    *alone -= usize::from(before == Some(false) && is_beside);
                    open.insert(node, before.unwrap_or(false) || is_beside);
                }
            };
        mark(&mut open, &mut alone, *branch, false);
        mark(&mut open, &mut alone, *beside, true);
        while alone > 0 {
            let Some((node, is_beside)) = open.pop_last() else { break };
            if !is_beside {
                alone -= 1;
                inside[node.index()] = true;
            }
            for source in &graph.nodes[node].inputs {
                mark(&mut open, &mut alone, *source, is_beside);
            }
        }
    }
    inside
}

/// Names of nodes in one line, iterations of a loop together: `h[0..19].fc`.
#[must_use]
pub fn names(paths: &[String]) -> String {
    let mut groups: Vec<(String, String, usize, usize)> = Vec::new();
    let mut plain = Vec::new();
    for path in paths {
        let split = path.rfind('[').and_then(|open| {
            let close = path[open..].find(']')? + open;
            Some((
                path[..open].to_owned(),
                path[close + 1..].to_owned(),
                path[open + 1..close].parse::<usize>().ok()?,
            ))
        });
        match split {
            Some((before, after, i)) => {
                match groups.iter_mut().find(|(b, a, _, last)| *b == before && *a == after && *last + 1 == i)
                {
                    Some(group) => group.3 = i,
                    None => groups.push((before, after, i, i)),
                }
            }
            None => plain.push(path.clone()),
        }
    }
    let ranges = groups.into_iter().map(|(before, after, first, last)| {
        if first == last {
            format!("{before}[{first}]{after}")
        } else {
            format!("{before}[{first}..{last}]{after}")
        }
    });
    let all: Vec<String> = plain.into_iter().chain(ranges).collect();
    if all.len() > 6 {
        format!("{}, ... ({} in all)", all[..6].join(", "), all.len())
    } else {
        all.join(", ")
    }
}
