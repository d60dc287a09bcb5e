//! A loss on probabilities that gets something else.
//!
//! ## What it checks
//!
//! What `bce` takes lies in 0..1: it comes out of a `sigmoid`, a `softmax` or a `hardtanh` between 0 and 1, looked up through products,
//! pools, concatenations, upsampling and whatever only moves elements. What `nll` takes comes out of a `log_softmax`: no output of a layer,
//! norm or activation, and not the probabilities themselves. Inputs of the net are the caller's.
//!
//! ## Why it matters
//!
//! `bce` takes logarithms of p and 1 - p. For a logit of -0.3 there is none, and the loss is NaN from the first batch on. Dropout scales
//! what it keeps, so that a probability of 0.7 becomes 1.4. `nll` is `-z[y]` and has no logarithm of its own: with logits the net makes
//! `z[y]` larger without end, the loss falls below any bound, and nothing is learnt about the other classes; with probabilities
//! the loss is `-p[y]`, whose gradient vanishes where the net is sure and wrong.
//!
//! ## Example
//!
//! ```text
//! out: linear(1, init=lecun_normal)
//! train { loss bce(out, y)  adam(lr=1e-3) }
//! ```
//!
//! ## Instead
//!
//! `loss bce_with_logits(out, y)` and `loss cross_entropy(out, y)` take the logits as they are and lose no digits; or a `sigmoid` before
//! `bce` and a `log_softmax` before `nll`. The fix changes the loss.
//!
//! ## References
//!
//! research: static.md O02; Nikanjam et al. 2021 (NeuraLint rules 15 and 20).

use super::uses::{attribute, origin};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::Category;

pub static RULE: Rule = lint!("improper_probabilities.rs" = "O004" "improper-probabilities" Error from "O02");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    let Some(&prediction) = loss.inputs.first() else { return };
    let culprit = match loss.op.name() {
        "bce" => beyond_unit(graph, prediction),
        "nll" => match origin(graph, prediction) {
            Source::Node(node) if graph.nodes[node].op.name() != "log_softmax" => Some(node),
            Source::Node(_) | Source::Feed(_) => None,
        },
        _ => return,
    };
    let Some(culprit) = culprit.map(|culprit| &graph.nodes[culprit]) else { return };
    let (name, source) = (loss.op.name(), culprit.op.name());
    let (wanted, instead) = if name == "bce" {
        ("probabilities", "bce_with_logits")
    } else {
        ("log-probabilities", "cross_entropy")
    };
    let squash = matches!(source, "softmax" | "sigmoid");
    let what = match (culprit.op.category(), squash) {
        (_, true) => "probabilities, without their logarithm",
        (Category::Noise, _) => "probabilities that dropout has scaled",
        _ => "any number",
    };
    let message = format!("`{name}` takes {wanted} and gets the output of `{source}`");
    let mut diagnostic = Diagnostic::new(&RULE, culprit.span, message)
        .remark(what)
        .label(loss.span, format!("needs {wanted}"))
        .node(culprit.path.to_string())
        .trail(&culprit.trail);
    let logits = if squash { culprit.inputs.first().copied() } else { Some(prediction) };
    let target = loss.inputs.get(1).map_or(String::new(), |target| graph.name_of(*target));
    let Some(logits) = logits.filter(|_| squash || culprit.op.category() != Category::Noise) else {
        return out.push(diagnostic.help("the dropout belongs before the last layer"));
    };
    let call = format!("{instead}({}, {target})", graph.name_of(logits));
    diagnostic = diagnostic.help(match name {
        "bce" => format!("loss {call}, or a sigmoid before `bce`"),
        _ => format!("loss {call}, or a log_softmax before `nll`"),
    });
    // A squash that nothing reads would be left over, except where it is the output of the net.
    let direct = prediction == logits || graph.output == Some(prediction);
    let title = format!("compute the loss on `{}` with {instead}", graph.name_of(logits));
    let fix = if direct { super::loss_fix(context, loss, culprit, title, call) } else { None };
    out.push(fix.into_iter().fold(diagnostic, Diagnostic::fix));
}

/// The node that may take a value out of 0..1; `None` if it lies there, or if nothing is known of an input.
fn beyond_unit(graph: &Graph, source: Source) -> Option<Handle<Node>> {
    let mut open = vec![source];
    let mut seen = vec![false; graph.nodes.len()];
    while let Some(source) = open.pop() {
        let Source::Node(handle) = source else { continue };
        if std::mem::replace(&mut seen[handle.index()], true) {
            continue;
        }
        let node = &graph.nodes[handle];
        let bounded = match node.op.name() {
            "sigmoid" | "softmax" => true,
            "hardtanh" => {
                let bound = |name: &str, default: f64| {
                    attribute(node, name).and_then(|text| text.parse().ok()).unwrap_or(default)
                };
                bound("lo", -1.0) >= 0.0 && bound("hi", 1.0) <= 1.0
            }
            // Means, maxima, products and what is only moved stay where their inputs lie.
            "mul" | "concat" => {
                open.extend(&node.inputs);
                continue;
            }
            _ if matches!(node.op.category(), Category::Pool | Category::Layout) => {
                open.extend(&node.inputs);
                continue;
            }
            _ => false,
        };
        if !bounded {
            return Some(handle);
        }
    }
    None
}
