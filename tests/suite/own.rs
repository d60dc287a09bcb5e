//! Activations and losses that a spec declares.
//!
//! The evidence: formulas of operators that the program has give those operators' values, slopes, kinks and moments; a derivative that
//! is worked out agrees with differences and with dual numbers by the laws of all operators; a wrong derivative of every kind is found
//! and what went wrong is said; nothing that is written by hand and right is blamed.

#[path = "own/declared.rs"]
mod declared;
#[path = "own/planted.rs"]
mod planted;
#[path = "own/surrogates.rs"]
mod surrogates;

use crate::support::{compiled, lower_text};
use wellposed::diag::Diagnostics;
use wellposed::diag::suppress::Notation;
use wellposed::graph::Graph;
use wellposed::ops::Own;
use wellposed::pipeline::Compiled;

/// A spec whose net is one activation.
fn activation(declaration: &str, call: &str) -> String {
    format!("spec 1\nmodel m\n{declaration}\ninput x: f64[B, 5]\nnet {{\n  it: {call} <- x\n}}\n")
}

/// A spec whose loss is one of its own; a net must have a statement.
fn loss(declaration: &str, call: &str) -> String {
    format!(
        "spec 1\nmodel m\n{declaration}\ninput x: f64[B, 5]\ntarget y: f64[B, 5]\n\
         net {{\n  twice: add <- x, x\n}}\ntrain {{\n  loss {call}\n}}\n"
    )
}

/// The graph of a text that has no mistakes.
fn graph(text: &str) -> Graph {
    let (graph, found, _) = lower_text(text);
    assert!(!found.has_errors(), "{text}\n{:?}", messages(&found));
    graph
}

/// The declared function of the first node that has one.
fn own(graph: &Graph) -> &Own {
    graph.nodes.iter().find_map(|(_, node)| node.op.own()).expect("a declared function")
}

fn messages(found: &Diagnostics) -> Vec<String> {
    found.iter().map(|d| format!("{} {}", d.rule.code, d.message)).collect()
}

fn found(text: &str) -> Compiled {
    compiled(text, Notation::Dsl)
}
