//! Running statistics that training is too short for.
//!
//! ## What it checks
//!
//! The number of training steps, epochs times the batches of an epoch, times the momentum of each `batch_norm` is at least 5. The number
//! of rows is that of the stored statistics, or of the rows that a validation reads. Nothing is said where rows are copied, since each
//! epoch then has more of them.
//!
//! ## Why it matters
//!
//! running = (1 - m) running + m batch, from mean 0 and variance 1. After n steps (1 - m)^n of that start is left, about e^(-n m):
//! 0.7 percent for n m = 5, but 37 percent for n m = 1. In training the batch's own statistics are used, so the loss looks well;
//! in use the net then sees other means and variances than it was trained on. Small data sets with large batches, a small
//! momentum and a single epoch are the usual causes. (The momentum of Keras is 1 - m.)
//!
//! ## Example
//!
//! ```text
//! fc: linear(64, init=he_normal)
//!     batch_norm(momentum=0.01)
//!     relu
//! train { loss cross_entropy(out, y)  adam(lr=1e-3)  batch 512  epochs 5 }
//! ```
//!
//! ## Instead
//!
//! A larger momentum, smaller batches, more epochs, or `layer_norm`, which keeps nothing.
//!
//! ## References
//!
//! Ioffe and Szegedy 2015, section 3.1; research: static.md N03.

use super::uses::attribute;
use super::{Context, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Node};
use crate::text::{count, number, plural};

pub static RULE: Rule =
    lint!("unconverged_statistics.rs" = "M003" "unconverged-statistics" Warning from "N03");

/// So many time constants 1/m leave 0.7 percent of the start.
const ENOUGH: f64 = 5.0;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let training = &graph.training;
    if graph.data.as_ref().is_some_and(|plan| plan.oversample.is_some()) {
        return;
    }
    let (Some(rows), Some(batch), Some(epochs)) = (context.rows, training.batch, training.epochs) else {
        return;
    };
    let steps = (epochs as u64).saturating_mul(rows.div_ceil(batch.max(1) as u64));
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^53")]
    let n = steps as f64;
    let momentum = |node: &Node| {
        attribute(node, "momentum").map_or(Some(0.1), |text| text.parse::<f64>().ok()).filter(|m| *m > 0.0)
    };
    let short: Vec<(&Node, f64)> = graph
        .nodes
        .iter()
        .filter(|(_, node)| node.op.name() == "batch_norm")
        .filter_map(|(_, node)| Some((node, momentum(node).filter(|m| n * m < ENOUGH)?)))
        .collect();
    let Some(&(node, m)) = short.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
    let left = number((n * (-m).ln_1p()).exp());
    let paths: Vec<String> = short.iter().map(|(node, _)| node.path.to_string()).collect();
    let steps_of = usize::try_from(steps).unwrap_or(usize::MAX);
    let message =
        format!("after {} the running statistics still hold {left} of their start", plural(steps_of, "step"));
    let enough = ENOUGH / n;
    let mut diagnostic = Diagnostic::new(&RULE, node.argument("momentum"), message)
        .remark(format!("momentum {}: (1 - {})^{steps} = {left}", number(m), number(m)))
        .node(scheme::names(&paths))
        .note("steps", format!("{} rows in batches of {batch}, {}", count(rows), plural(epochs, "epoch")))
        .trail(&node.trail);
    if enough < 1.0 {
        let text = number((enough * 100.0).ceil() / 100.0);
        diagnostic = diagnostic.help(format!("momentum={text}, smaller batches or more epochs"));
        if let ([_], Some((_, span))) =
            (short.as_slice(), node.arguments.iter().find(|(name, _)| *name == "momentum"))
        {
            diagnostic = diagnostic.fix(Fix {
                title: format!("a momentum of {text}"),
                safety: Safety::Unsafe,
                level: Level::Numerics,
                edits: vec![Edit { span: *span, text }],
            });
        }
    } else {
        diagnostic = diagnostic.help("smaller batches, more epochs, or layer_norm");
    }
    out.push(diagnostic);
}
