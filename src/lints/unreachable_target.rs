//! Targets that the last activation cannot give.
//!
//! ## What it checks
//!
//! With `mse`, `mae` and `huber`: the range of the target lies inside that of the head. The range of a target is what it declares
//! (`in lo..hi`, `unit`, `one_hot`), what `minmax` makes of a column group (0..1), or what `standardize` does (both sides of 0, beyond
//! -1..1). The range of the head is that of its last activation; layers and norms are unbounded. Ends count as inside: a
//! sigmoid tends to 0 and 1, and an autoencoder of pixels may have one.
//!
//! ## Why it matters
//!
//! For a target y above the largest value h the squared error is at least (y - h)^2, and the optimum of every such sample is the
//! saturated end, where the slope of the activation is 0: the samples that are most wrong teach nothing. A ReLU before
//! standardised targets predicts 0 for all that lie below the mean, and its unit dies when those pull it down.
//!
//! ## Example
//!
//! ```text
//! spec 1
//! model prices
//! input  x: f64[B, 8]
//! target y: f64[B, 1] in 0..500
//! net {
//!   fc:  linear(32, init=he_normal)
//!        relu
//!   out: linear(1, init=xavier_normal)
//!        sigmoid
//! }
//! train { loss mse(out.sigmoid, y)  adam(lr=1e-3) }
//! ```
//!
//! ## Instead
//!
//! A linear head, or a target that is scaled into the range of the head: `|> scale(1/500)`, `|> minmax(fit=train)`.
//!
//! ## References
//!
//! research: static.md O04; Wardat et al. 2022 (DeepDiagnosis, "out of range"); LeCun et al. 1998, section 4.5.

use super::head::{head, targets};
use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Rule};
use crate::graph::{Graph, Source};
use crate::text::number;

pub static RULE: Rule = lint!("unreachable_target.rs" = "O006" "unreachable-target" Error from "O04");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let Some(loss) = graph.loss.map(|loss| &graph.nodes[loss]) else { return };
    let [prediction, Source::Feed(target)] = loss.inputs.as_slice() else { return };
    let feed = &graph.feeds[*target];
    if !matches!(loss.op.name(), "mse" | "mae" | "huber") {
        return;
    }
    let (Some(head), Some(known)) = (head(graph, *prediction), targets(graph, feed)) else { return };
    if known.within(head.lo, head.hi) {
        return;
    }
    let node = &graph.nodes[head.node];
    let name = node.op.name();
    let message = format!(
        "`{}` is {}, and `{name}` gives {}..{}",
        feed.name,
        known.words(),
        number(head.lo),
        number(head.hi)
    );
    let side = match (known.within(f64::NEG_INFINITY, head.hi), known.within(head.lo, f64::INFINITY)) {
        (true, _) => format!("nothing below {}", number(head.lo)),
        (_, true) => format!("nothing above {}", number(head.hi)),
        _ => format!("nothing outside {}..{}", number(head.lo), number(head.hi)),
    };
    let mut diagnostic = Diagnostic::new(&RULE, node.span, message)
        .remark(side)
        .label(feed.span, known.words())
        .node(node.path.to_string())
        .trail(&node.trail)
        .help(format!("compute the loss on what `{name}` takes, or scale the target"));
    if !known.standardised {
        // The distance that no weights remove.
        let beyond = (head.lo - known.lo).max(known.hi - head.hi);
        diagnostic = diagnostic.note("error", format!("at the far end at least {}", number(beyond)));
    }
    out.push(diagnostic);
}
