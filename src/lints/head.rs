//! What the head of a net can give, and what its targets are: ranges, as far as the ops and the declarations bound them.
//!
//! Not a lint; the lints on losses share it. A range is closed: a sigmoid never reaches 1, and a target of 1 is what it tends to.

use super::uses::attribute;
use crate::data::{Step, Transform};
use crate::graph::{Feed, FeedKind, Graph, Handle, Node, Source};
use crate::ops::Category;
use crate::text::number;

/// The op that bounds the prediction.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The node.
    pub node: Handle<Node>,
    /// The least value that it gives.
    pub lo: f64,
    /// The largest.
    pub hi: f64,
}

/// The last op before a value that does more than move or average elements, with what bounds it.
#[must_use]
pub fn head(graph: &Graph, mut source: Source) -> Option<Head> {
    loop {
        let Source::Node(handle) = source else { return None };
        let node = &graph.nodes[handle];
        match (node.op.category(), node.inputs.as_slice()) {
            (Category::Layout | Category::Pool, [only]) => source = *only,
            _ => {
                let (lo, hi) = range(node);
                return Some(Head { node: handle, lo, hi });
            }
        }
    }
}

/// The range of an op's value whatever it takes; the minima of gelu, silu, mish and hardswish are those of their curves.
fn range(node: &Node) -> (f64, f64) {
    let argument = |name: &str, default: f64| {
        attribute(node, name).map_or(default, |text| text.parse().unwrap_or(f64::INFINITY))
    };
    match node.op.name() {
        "relu" | "softplus" => (0.0, f64::INFINITY),
        "relu6" => (0.0, 6.0),
        "sigmoid" | "softmax" => (0.0, 1.0),
        "tanh" | "softsign" => (-1.0, 1.0),
        "hardtanh" => (argument("lo", -1.0), argument("hi", 1.0)),
        "elu" => (-argument("alpha", 1.0), f64::INFINITY),
        "selu" => (-1.758_099_340_847_377, f64::INFINITY),
        "gelu" => (-0.17, f64::INFINITY),
        "silu" => (-0.278_5, f64::INFINITY),
        "mish" => (-0.308_9, f64::INFINITY),
        "hardswish" => (-0.375, f64::INFINITY),
        "log_softmax" => (f64::NEG_INFINITY, 0.0),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// What is known of the values of a target: they reach both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    /// The least value.
    pub lo: f64,
    /// The largest.
    pub hi: f64,
    /// They have mean 0 and variance 1, so they lie on both sides of 0 and, but for a fair coin, beyond -1 and 1.
    pub standardised: bool,
}

/// What the declaration of a target, or the chain of its column group, says of its values.
#[must_use]
pub fn targets(graph: &Graph, feed: &Feed) -> Option<Targets> {
    let plain = |lo, hi| Targets { lo, hi, standardised: false };
    let mut known = match &feed.kind {
        FeedKind::Unit | FeedKind::OneHot => Some(plain(0.0, 1.0)),
        FeedKind::Real => feed.range.map(|(lo, hi)| plain(lo, hi)),
        FeedKind::Byte | FeedKind::Int | FeedKind::Class(..) => None,
    };
    let chain = graph.group(feed).map_or(&feed.chain, |group| &group.chain);
    for Step { transform, .. } in chain {
        known = match transform {
            Transform::Standardize(_) if transform.fit().is_some() => {
                Some(Targets { lo: -1.0, hi: 1.0, standardised: true })
            }
            Transform::Minmax(_) => Some(plain(0.0, 1.0)),
            Transform::Scale(scale) => known.map(|known| {
                let ends = [known.lo, known.hi].map(|end| end * scale.factor());
                Targets { lo: ends[0].min(ends[1]), hi: ends[0].max(ends[1]), ..known }
            }),
            Transform::Log1p(_) => known.map(|known| plain(known.lo.ln_1p(), known.hi.ln_1p())),
            // Constants may differ between channels, and what is clipped no longer reaches its ends.
            Transform::Standardize(_)
            | Transform::Clip(_)
            | Transform::OneHot(_)
            | Transform::Select(_)
            | Transform::Noise(_)
            | Transform::Back(_) => None,
            Transform::Impute(_) => known,
        };
    }
    known.filter(|known| known.lo.is_finite() && known.hi.is_finite())
}

impl Targets {
    /// Whether a range holds them all.
    #[must_use]
    pub fn within(&self, lo: f64, hi: f64) -> bool {
        if self.standardised { lo < self.lo && self.hi < hi } else { lo <= self.lo && self.hi <= hi }
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        if self.standardised {
            format!("standardised: mean 0, beyond {}..{}", number(self.lo), number(self.hi))
        } else {
            format!("in {}..{}", number(self.lo), number(self.hi))
        }
    }
}
