//! A fact that the spec states about itself does not hold.
//!
//! ## What it checks
//!
//! `expect { params 11_689_512  state 9_600  output [B, 1000] }` pins the number of trainable parameters, of elements of
//! running statistics, and the shape of the output. The message shows both numbers and the nodes with most parameters.
//!
//! ## Why it matters
//!
//! A reviewer who changes a width sees what it changed; a model that is to equal a published one cannot drift from it.
//!
//! ## Example
//!
//! ```text
//! expect { params 650 }     # of a linear layer from 64 to 10, which has 650 with its bias and 640 without
//! ```
//!
//! ## Instead
//!
//! Change the model back, or state the new number, after asking what else it changes: checkpoints, memory, the paper.
//!
//! ## References
//!
//! None: the number of parameters is a fact, and the spec is where it is stated.

use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{FactKind, Graph};
use crate::text::count;

pub static RULE: Rule = lint!("unmet_fact.rs" = "X001" "unmet-fact" Error);

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph = context.graph;
    if graph.partial || graph.nodes.iter().any(|(_, node)| node.shape.is_none()) {
        return;
    }
    for fact in &graph.facts {
        let found = match &fact.kind {
            FactKind::Params(n) if *n != graph.param_count() => {
                Some((format!("{} parameters", count(*n)), count(graph.param_count())))
            }
            FactKind::State(n) if *n != graph.state_count() => {
                Some((format!("{} elements of state", count(*n)), count(graph.state_count())))
            }
            FactKind::Output(shape) => {
                let output = graph.output.and_then(|output| graph.shape(output));
                output
                    .filter(|output| *output != shape)
                    .map(|output| (format!("an output of shape {shape}"), output.to_string()))
            }
            FactKind::Params(_) | FactKind::State(_) => None,
        };
        let Some((expected, found)) = found else { continue };
        let mut diagnostic =
            Diagnostic::new(&RULE, fact.span, format!("the spec expects {expected}; the graph has {found}"));
        if matches!(fact.kind, FactKind::Params(_)) {
            diagnostic = diagnostic.note("most", largest(graph));
        }
        out.push(diagnostic);
    }
}

/// The three nodes with most parameters.
fn largest(graph: &Graph) -> String {
    let mut nodes: Vec<(u64, String)> = graph
        .nodes
        .iter()
        .map(|(_, node)| (graph.params_of(node), node.path.to_string()))
        .filter(|(params, _)| *params > 0)
        .collect();
    nodes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let shown: Vec<String> =
        nodes.iter().take(3).map(|(params, path)| format!("{path} {}", count(*params))).collect();
    shown.join(", ")
}
