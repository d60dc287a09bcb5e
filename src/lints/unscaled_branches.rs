//! Many branches on a stream without a norm, none of them made smaller.
//!
//! ## What it checks
//!
//! A chain of more than 48 residual sums, the depth of 24 transformer blocks, whose branches begin with a norm of each sample and
//! end in a layer, while the stream itself passes no norm. It is information where the last layers of the branches are drawn
//! with more than 2/sqrt(n) of the gain fan_in Var(w) of the other layers, in the geometric mean, n being the number of
//! branches. A last layer of zeros counts as made smaller.
//!
//! ## Why it matters
//!
//! Each branch adds the same second moment whatever the stream has, so that n of them make it n times as large as one. The first
//! branches then change much of the stream and the last ones little. With 1/sqrt(n) on the last layer of each, all of them
//! together add what one would. Networks train without it; GPT-2 has it.
//!
//! ## Example
//!
//! ```text
//! block: repeat 49 {
//!   residual {
//!           layer_norm
//!     up:   linear(64, init=normal(0.1))
//!           gelu
//!     down: linear(16, init=normal(0.1))
//!   }
//! }
//! ```
//!
//! ## Instead
//!
//! The standard deviation of the last layers of branches times 1/sqrt(n): `init=normal(0.1 / 49**0.5)`. With an attention and a
//! feed-forward branch in each of N blocks, n is 2 N.
//!
//! ## References
//!
//! Radford et al. 2019, section 2.3.

use super::uses::{Uses, origin};
use super::{Context, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Handle, Node, NodeRole, Source};
use crate::ops::Category;
use crate::tensor::Mode;
use crate::text::number;

pub static RULE: Rule = lint!("unscaled_branches.rs" = "I010" "unscaled-branches" Info from "I11");

/// Up to so many branches nothing is said: two for each of 24 blocks.
const BRANCHES: usize = 48;

/// A residual sum on a stream.
#[derive(Clone, Copy)]
struct Branch {
    sum: Handle<Node>,
    stream: Source,
    /// The layer in which the branch ends.
    end: Handle<Node>,
}

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    let mut chain: Vec<Branch> = Vec::new();
    let sums = graph.nodes.iter().filter(|(_, node)| node.role == NodeRole::ResidualSum);
    for branch in sums.map(|(sum, node)| branch(graph, &uses, sum, node)) {
        let follows = |branch: &Branch| {
            chain.last().is_some_and(|last| origin(graph, branch.stream) == Source::Node(last.sum))
        };
        if !branch.as_ref().is_some_and(follows) {
            out.extend(judge(context, &chain));
            chain.clear();
        }
        chain.extend(branch);
    }
    out.extend(judge(context, &chain));
}

/// A sum whose branch begins with a norm of each sample and ends in a layer.
fn branch(graph: &Graph, uses: &Uses, sum: Handle<Node>, node: &Node) -> Option<Branch> {
    let [branch, stream] = node.inputs[..] else { return None };
    let Source::Node(end) = origin(graph, branch) else { return None };
    scheme::kernel(graph, &graph.nodes[end])?;
    let mut takers = uses.after(stream).iter().filter(|taker| **taker != sum).peekable();
    let normed = takers.peek().is_some()
        && takers.all(|taker| {
            let op = &graph.nodes[*taker].op;
            op.category() == Category::Norm && !op.mixes_batch(Mode::Train)
        });
    normed.then_some(Branch { sum, stream, end })
}

/// The finding for a chain of branches that are not made smaller.
fn judge(context: Context<'_>, chain: &[Branch]) -> Option<Diagnostic> {
    let graph: &Graph = context.graph;
    let (first, last) = (chain.first()?, chain.last()?);
    if chain.len() <= BRANCHES {
        return None;
    }
    let is_end = |node: Handle<Node>| chain.iter().any(|branch| branch.end == node);
    let ln_gain = |node: Handle<Node>| scheme::kernel(graph, &graph.nodes[node]).map(gain).map(f64::ln);
    let ends: Vec<f64> = chain.iter().filter_map(|branch| ln_gain(branch.end)).collect();
    let begin = match first.stream {
        Source::Node(node) => node.index(),
        Source::Feed(_) => 0,
    };
    let inside = |node: &Handle<Node>| (begin..last.sum.index()).contains(&node.index()) && !is_end(*node);
    let others: Vec<f64> = graph.nodes.handles().filter(inside).filter_map(ln_gain).collect();
    let n = count(chain.len());
    let ratio = (mean(&ends) - mean(&others)).exp();
    if others.is_empty() || ratio.is_nan() || ratio <= 2.0 / n.sqrt() {
        return None;
    }
    let (from, to) = (context.signal.of(first.stream)?, context.signal.node(last.sum)?);
    let end = &graph.nodes[first.end];
    let message = format!(
        "{} branches add to a stream without a norm, each at full size: its rms grows from {} to {}",
        chain.len(),
        number(from.rms()),
        number(to.rms())
    );
    let paths: Vec<String> = chain.iter().map(|branch| graph.nodes[branch.end].path.to_string()).collect();
    Some(
        Diagnostic::new(&RULE, end.span, message)
            .remark(format!("{} of the gain of the other layers", number(ratio)))
            .node(scheme::names(&paths))
            .trail(&end.trail)
            .help(format!(
                "1/sqrt({}) = {} of the standard deviation",
                chain.len(),
                number(n.sqrt().recip())
            )),
    )
}

/// `fan_in` Var(w).
fn gain(spec: &crate::ops::ParamSpec) -> f64 {
    count(spec.fan_in) * spec.statistics().1
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / count(of.len())
}

#[expect(clippy::cast_precision_loss, reason = "depths and widths are far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}
