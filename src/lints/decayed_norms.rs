//! A penalty on norms and biases.
//!
//! ## What it checks
//!
//! No `l1` or `l2` penalty with a factor above 0 is written `on all` while the net has biases, offsets, or factors of norms. The decay of
//! `adamw`, which acts on everything, is that of PyTorch's defaults and not reported.
//!
//! ## Why it matters
//!
//! A penalty on a weight limits how strongly an output depends on an input. A bias or offset has no input: pulled towards 0 it only
//! moves the threshold that the data ask for. The factor of a norm starts at 1, and pulled towards 0 it shrinks everything behind it,
//! which the next weights make good. They are few among many weights, so leaving them out loses no regularisation.
//!
//! ## Example
//!
//! ```text
//! train {
//!   loss cross_entropy(out, y)
//!   l2   1e-4 on all
//! }
//! ```
//!
//! ## Instead
//!
//! `on weights`, the default: kernels of layers only.
//!
//! ## References
//!
//! Goodfellow, Bengio and Courville 2016, section 7.1; Goyal et al. 2017, section 5.3 (no decay on batch norm).

use super::{Context, lint};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::Graph;
use crate::ops::Role;
use crate::text::{count, number};

pub static RULE: Rule = lint!("decayed_norms.rs" = "T003" "decayed-norms" Info from "T03");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    let elements = |wanted: &[Role]| -> u64 {
        let params = graph.params.iter().filter(|(_, param)| wanted.contains(&param.spec.role));
        params.map(|(_, param)| param.spec.elements() as u64).sum()
    };
    let (biases, norms) = (elements(&[Role::Bias]), elements(&[Role::Scale, Role::Shift]));
    let what = match (biases, norms) {
        (0, 0) => return,
        (_, 0) => format!("{} elements of biases", count(biases)),
        (0, _) => format!("{} elements of norms", count(norms)),
        _ => format!("{} elements of biases and {} of norms", count(biases), count(norms)),
    };
    for penalty in graph.penalties.iter().filter(|penalty| penalty.all && penalty.factor > 0.0) {
        let place = penalty.on.unwrap_or(penalty.span);
        let message = format!("`l{}` {} pulls {what} towards 0", penalty.order, number(penalty.factor));
        let mut diagnostic = Diagnostic::new(&RULE, place, message)
            .remark("includes biases and norms")
            .note(
                "weights",
                format!("{} of the elements are kernels", count(elements(&[Role::Kernel, Role::Table]))),
            )
            .help("on weights");
        if let Some(span) = penalty.on {
            diagnostic = diagnostic.fix(Fix {
                title: "leave biases and norms out".to_owned(),
                safety: Safety::Unsafe,
                level: Level::Training,
                edits: vec![Edit { span, text: "weights".to_owned() }],
            });
        }
        out.push(diagnostic);
    }
}
