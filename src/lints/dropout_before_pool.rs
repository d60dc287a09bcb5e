//! Dropout directly before a pool.
//!
//! ## What it checks
//!
//! No `dropout` feeds a `max_pool`, `avg_pool` or `global_avg_pool`, looked up through activations and reshapes. A matter of taste, looked for
//! with `check --style`.
//!
//! ## Why it matters
//!
//! A pool over k values takes much of the noise back. The mean of k kept-or-dropped values has the relative variance p / (1 - p) / k, a
//! ninth for a window of 3 by 3. The maximum over a window is dropped with probability p^k only where neighbours are alike, and is
//! otherwise replaced by a smaller neighbour, so that training sees smaller values than use does. Behind the pool the same p acts in full.
//!
//! ## Example
//!
//! ```text
//! conv: conv2d(16, kernel=3, pad=1, init=he_normal)
//!       relu
//!       dropout(0.2)
//!       max_pool(2)
//! ```
//!
//! ## Instead
//!
//! The pool first, then the dropout.
//!
//! ## References
//!
//! Nikanjam et al. 2021 (NeuraLint rule 18); Wu and Gu 2015, "Towards dropout training for convolutional neural networks".

use super::uses::{Uses, attribute};
use super::{Context, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::Category;
use crate::source::Span;
use crate::text::number;
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("dropout_before_pool.rs" = "A101" "dropout-before-pool" style from "A10");

/// A dropout and the pool behind it.
type Pair = (Handle<Node>, Handle<Node>);

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    // By statement: a loop repeats one mistake.
    let mut found: BTreeMap<Span, Vec<Pair>> = BTreeMap::new();
    for (handle, node) in graph.nodes.iter().filter(|(_, node)| node.op.name() == "dropout") {
        if let Some(pool) = pool_behind(graph, &uses, handle) {
            found.entry(node.span).or_default().push((handle, pool));
        }
    }
    for (span, members) in found {
        let (dropout, pool) = (&graph.nodes[members[0].0], &graph.nodes[members[0].1]);
        let paths: Vec<String> =
            members.iter().map(|(node, _)| graph.nodes[*node].path.to_string()).collect();
        let p = attribute(dropout, "p").unwrap_or_else(|| "p".to_owned());
        let sizes = [pool.inputs.first().and_then(|source| graph.shape(*source)), pool.shape.as_ref()];
        let [Some(before), Some(behind)] = sizes.map(|shape| shape.map(crate::tensor::Shape::elements))
        else {
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
        let ratio = number(before as f64 / behind.max(1) as f64);
        out.push(
            Diagnostic::new(&RULE, span, format!("a dropout of {p} before `{}`", pool.op.name()))
                .remark("the pool takes much of the noise back")
                .label(pool.span, format!("{ratio} values for one"))
                .node(scheme::names(&paths))
                .trail(&dropout.trail)
                .help("the pool first, then the dropout"),
        );
    }
}

/// The pool that a dropout reaches without weights between.
fn pool_behind(graph: &Graph, uses: &Uses, from: Handle<Node>) -> Option<Handle<Node>> {
    let mut at = from;
    loop {
        let [next] = uses.after(Source::Node(at)) else { return None };
        match graph.nodes[*next].op.category() {
            Category::Pool => return Some(*next),
            Category::Activation | Category::Layout => at = *next,
            _ => return None,
        }
    }
}
