//! An even kernel with `pad=same`.
//!
//! ## What it checks
//!
//! `pad=same` of a `conv2d` adds as many zeros before the map as behind it, along both axes.
//!
//! ## Why it matters
//!
//! The size is kept by (kernel - 1) dilation zeros. If that number is odd, the one left over stands behind: the output at a position is
//! computed around a point half a pixel further, and n such layers shift the map by n/2 pixels. Residual sums and
//! masks are then compared at places that do not belong together, and flipping the image is no longer harmless.
//!
//! ## Example
//!
//! ```text
//! conv: conv2d(16, kernel=4, pad=same, init=he_normal)
//! ```
//!
//! ## Instead
//!
//! An odd kernel. The fix takes the next one, which changes the weights' shape.
//!
//! ## References
//!
//! Wu et al. 2019, "Convolution with even-sized kernels and symmetric padding".

use super::uses::attribute;
use super::{Context, lint, scheme};
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Node};
use crate::source::Span;
use crate::text::{number, plural};
use std::collections::BTreeMap;

pub static RULE: Rule = lint!("even_kernel.rs" = "A007" "even-kernel" Info from "A09");

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    // By statement: a loop repeats one mistake.
    let mut found: BTreeMap<Span, Vec<&Node>> = BTreeMap::new();
    for (_, node) in graph.nodes.iter() {
        if attribute(node, "pad").as_deref() == Some("same") && odd_padding(graph, node).is_some() {
            found.entry(node.span).or_default().push(node);
        }
    }
    for (_, members) in found {
        let node = members[0];
        let Some(zeros) = odd_padding(graph, node) else { continue };
        let (before, behind) = (zeros / 2, zeros - zeros / 2);
        let paths: Vec<String> = members.iter().map(|node| node.path.to_string()).collect();
        let message = format!("`same` puts {} before the map and {behind} behind it", plural(before, "zero"));
        #[expect(clippy::cast_precision_loss, reason = "kernels are far below 2^53")]
        let shift = number((behind - before) as f64 / 2.0 * members.len() as f64);
        let mut diagnostic = Diagnostic::new(&RULE, node.argument("kernel"), message)
            .remark("an even kernel has no middle")
            .node(scheme::names(&paths))
            .note("shift", format!("{shift} pixels, all layers of this line together"))
            .trail(&node.trail);
        if let Some(edit) = next(graph, node).filter(|_| !graph.is_tied(node)) {
            diagnostic = diagnostic.help(format!("kernel={}", edit.text)).fix(Fix {
                title: format!("a kernel of {}", edit.text),
                safety: Safety::Unsafe,
                level: Level::Checkpoint,
                edits: vec![edit],
            });
        } else {
            diagnostic = diagnostic.help("an odd kernel");
        }
        out.push(diagnostic);
    }
}

/// The size of a convolution's kernel.
fn size(graph: &Graph, node: &Node) -> Vec<usize> {
    scheme::kernel(graph, node).map_or(Vec::new(), |spec| spec.dims.iter().skip(2).copied().collect())
}

/// How many zeros keep the size of the map along the first axis where that number is odd.
fn odd_padding(graph: &Graph, node: &Node) -> Option<usize> {
    let text = attribute(node, "dilation").unwrap_or_else(|| "1".to_owned());
    let dilations: Vec<usize> =
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let dilation = |axis: usize| dilations.get(axis).or(dilations.first()).copied().unwrap_or(1);
    let sizes = size(graph, node).into_iter().enumerate();
    sizes.map(|(axis, kernel)| (kernel - 1) * dilation(axis)).find(|zeros| zeros % 2 == 1)
}

/// The edit that makes a square kernel odd.
fn next(graph: &Graph, node: &Node) -> Option<Edit> {
    let (_, span) = node.arguments.iter().find(|(name, _)| *name == "kernel")?;
    match size(graph, node)[..] {
        [h, w] if h == w => Some(Edit { span: *span, text: (h + 1).to_string() }),
        _ => None,
    }
}
