//! A dropout that drops most units.
//!
//! ## What it checks
//!
//! `p` of every `dropout` is at most 0.7. Where the dropout stands before a batch norm whose variance it spoils, that is
//! said by `dropout-before-norm`.
//!
//! ## Why it matters
//!
//! `p` is the probability of dropping. What stays is divided by 1 - p, so each value gets the relative variance p / (1 -
//! p): 1 for 0.5, 4 for 0.8, 9 for 0.9. Only larger batches or more steps average this noise away, and with few units left
//! the net underfits. In TensorFlow 1 the argument was the probability of keeping, and numbers above 0.7 often come from
//! there.
//!
//! ## Example
//!
//! ```text
//! fc: linear(256, init=he_normal)
//!     relu
//!     dropout(0.8)
//! ```
//!
//! ## Instead
//!
//! 0.1 to 0.5; `1 - p` where the probability of keeping was meant.
//!
//! ## References
//!
//! Srivastava et al. 2014, section 7.3 and appendix A.4; Schoop, Huang and Hartmann 2021 (UMLAUT).

use super::uses::{Uses, attribute};
use super::{Context, dropout_before_norm, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Node};
use crate::source::Span;
use crate::text::number;
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("heavy_dropout.rs" = "A006" "heavy-dropout" Info from "A08");

/// Above, the author may have meant the probability of keeping.
pub const UNUSUAL: f64 = 0.7;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let uses = Uses::of(graph);
    // By statement: a loop repeats one mistake.
    let mut found: BTreeMap<Span, (f64, Vec<&Node>)> = BTreeMap::new();
    for (handle, node) in graph.nodes.iter().filter(|(_, node)| node.op.name() == "dropout") {
        let Some(p) = attribute(node, "p").and_then(|text| text.parse::<f64>().ok()) else { continue };
        if p > UNUSUAL && dropout_before_norm::shift(context, &uses, handle).is_none() {
            found.entry(node.span).or_insert((p, Vec::new())).1.push(node);
        }
    }
    for (_, (p, members)) in found {
        let node = members[0];
        let paths: Vec<String> = members.iter().map(|node| node.path.to_string()).collect();
        let kept = number(1.0 - p);
        let message = format!("a dropout of {} keeps {kept} of the units", number(p));
        out.push(
            Diagnostic::new(&RULE, node.argument("p"), message)
                .remark("the probability of dropping")
                .node(scheme::names(&paths))
                .note("noise", format!("a relative variance of {} in every value", number(p / (1.0 - p))))
                .trail(&node.trail)
                .help(format!("0.1 to 0.5; {kept} if the probability of keeping was meant")),
        );
    }
}
