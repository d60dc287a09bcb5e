//! An `eps` of Adam that no longer stabilises the step, or rules it.
//!
//! ## What it checks
//!
//! `eps` of `adam` and `adamw` is at least 1e-38, and at least 1e-7 where `train` declares `precision f16`. Above the largest gradient that the static analysis predicts for a weight, it is
//! reported where the step that is left, lr / eps times the gradient, is small: lr / eps below 0.01. Gradients are predicted for
//! `cross_entropy` and `bce_with_logits`, whose size at the start is known.
//!
//! ## Why it matters
//!
//! A step is lr m / (sqrt(v) + eps). A weight whose gradient has always been 0 (behind a ReLU that never fires, or of an unused input) has
//! m = v = 0: with an `eps` that its numbers round to 0, its step is 0/0, and one NaN spoils the net. Half precision rounds all
//! below 3e-8 to 0, the default of 1e-8 among them. If `eps` is far
//! above sqrt(v), the step is (lr / eps) m: gradient descent with the rate lr / eps, and nothing adapts to the scale of a layer.
//! That can be meant, with an lr of the size of eps; with the lr of Adam it hardly moves.
//!
//! ## Example
//!
//! ```text
//! train { loss cross_entropy(out, y)  adam(lr=1e-3, eps=1) }
//! ```
//!
//! ## Instead
//!
//! 1e-8, the default; 1e-7 or more in half precision, or `precision bf16`; up to 1e-3 where gradients are noisy and small.
//!
//! ## References
//!
//! Kingma and Ba 2015, section 2; Choi et al. 2019 ("On empirical comparisons of optimizers", on tuning eps); research: static.md T02.

use super::{Context, class_count_mismatch, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Optimizer, Precision};
use crate::text::number;

pub static RULE: Rule = lint!("extreme_epsilon.rs" = "T002" "extreme-epsilon" Warning from "T02");

/// What single precision holds with all its digits.
const LEAST: f64 = 1e-38;
/// Half precision has two digits of this: its smallest number is 6e-8.
const LEAST_IN_HALF: f64 = 1e-7;
/// Gradient descent with a smaller rate hardly moves.
const SLOW: f64 = 0.01;

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let Some(optimizer) = &context.graph.training.optimizer else { return };
    let Optimizer::Adam { lr, eps, .. } = &optimizer.value else { return };
    if *eps < LEAST {
        let message = format!("an `eps` of {} is 0 in single precision", number(*eps));
        out.push(
            Diagnostic::new(&RULE, optimizer.span, message)
                .remark("a weight without a gradient steps by 0/0")
                .help("eps=1e-8"),
        );
        return;
    }
    let declared = context.graph.training.precision.as_ref();
    if let Some(half) = declared.filter(|half| half.value == Precision::F16 && *eps < LEAST_IN_HALF) {
        let message = format!("an `eps` of {} is beyond half precision", number(*eps));
        out.push(
            Diagnostic::new(&RULE, optimizer.span, message)
                .remark("a weight without a gradient steps by 0/0 where eps rounds to 0")
                .label(half.span, "the smallest number of f16 is 6e-8")
                .help("eps=1e-6, or precision bf16"),
        );
        return;
    }
    let rate = lr / eps;
    let Some((node, rms)) = largest_gradient(context).filter(|(_, rms)| rms < eps && rate < SLOW) else {
        return;
    };
    let message = format!(
        "`eps` {} is {} times the largest gradient: steps like gradient descent with the rate {}",
        number(*eps),
        number(eps / rms),
        number(rate)
    );
    out.push(
        Diagnostic::new(&RULE, optimizer.span, message)
            .remark(format!("lr / eps = {} / {}", number(*lr), number(*eps)))
            .node(node)
            .note("gradient", format!("of a weight there, predicted rms {} for one sample", number(rms)))
            .help("eps=1e-8, or an lr of the size of eps"),
    );
}

/// The layer whose weights have the largest predicted gradient, and its rms for one sample. The gradient of a weight is the product of
/// what arrives at its output and what it takes: E g^2 = E delta^2 E x^2, summed over positions.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn largest_gradient(context: Context<'_>) -> Option<(String, f64)> {
    let graph: &Graph = context.graph;
    let start = at_prediction(graph)?;
    let layers = graph.layers().filter_map(|(handle, node)| {
        let outputs = *scheme::kernel(graph, node)?.dims.first()? as f64;
        let x = context.signal.of(*node.inputs.first()?)?.rms();
        let arrived = context.signal.energies.get(handle.index())?.ln.hi.exp();
        Some((node.path.to_string(), (start * arrived / outputs).sqrt() * x))
    });
    layers.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, rms)| *rms > 0.0 && rms.is_finite())
}

/// The energy of the gradient at the prediction, summed over the elements of one sample.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
pub fn at_prediction(graph: &Graph) -> Option<f64> {
    let loss = &graph.nodes[graph.loss?];
    let shape = graph.shape(*loss.inputs.first()?)?;
    // What arrives at logits near 0. Of C classes: (1 - 1/C)^2 + (C - 1)/C^2 = 1 - 1/C, averaged over positions. Of yes or no: 1/4.
    let (energy, averaged) = match loss.op.name() {
        "cross_entropy" => {
            let classes = class_count_mismatch::logits(graph)? as f64;
            (1.0 - 1.0 / classes, shape.elements() as f64 / classes)
        }
        "bce_with_logits" => (0.25, shape.elements() as f64),
        _ => return None,
    };
    Some(energy / averaged)
}
