//! A table with more rows than the column that it looks up has words.
//!
//! ## What it checks
//!
//! `embedding(vocab, dim)` of a category column whose vocabulary is known: `vocab` is larger than the number of words. What is looked up by
//! declared tokens (`input ids: int[B, T]`) has no vocabulary to compare with.
//!
//! ## Why it matters
//!
//! The derivative by a row is the sum over the places that hold its word, dL/dw_v = sum over x_i = v of dL/dy_i, and a sum over nothing is 0. A
//! row without a word stays as it was drawn, but for weight decay, and answers with noise where serving numbers its words
//! otherwise. It counts as a parameter, and optimisers keep its moments.
//!
//! ## Example
//!
//! ```text
//! who:   category(patient)                       # 48 patients
//! table: embedding(64, 4, init=normal(0.1)) <- who
//! ```
//!
//! ## Instead
//!
//! One row for each word. Rows that wait for words to come are a reason for `allow`; words that the vocabulary lacks are refused, not looked up.
//! The fix changes the shape of the table, so old checkpoints no longer load.
//!
//! ## References
//!
//! Goodfellow, Bengio and Courville 2016, "Deep Learning", section 12.4.

use super::{Context, lint};
use crate::data::Group;
use crate::diag::{Diagnostic, Diagnostics, Edit, Fix, Level, Rule, Safety};
use crate::graph::{Graph, Source};
use crate::text::plural;

pub static RULE: Rule = lint!("spare_rows.rs" = "A012" "spare-rows" Info);

pub fn check(context: Context<'_>, out: &mut Diagnostics) {
    let graph: &Graph = context.graph;
    for (_, node) in graph.nodes.iter() {
        let [Source::Feed(feed)] = node.inputs.as_slice() else { continue };
        let feed = &graph.feeds[*feed];
        let words = graph.group(feed).and_then(Group::words);
        let Some((rows, words)) = node.op.vocabulary().zip(words).filter(|(rows, words)| rows > words) else {
            continue;
        };
        let spare = rows - words;
        let message = format!("{} of `{}` have no word", plural(spare, "row"), node.path);
        let place = node.argument("vocab");
        let mut finding = Diagnostic::new(&RULE, place, message)
            .remark(format!("{} for {}", plural(rows, "row"), plural(words, "word")))
            .label(feed.span, format!("{} here", plural(words, "word")))
            .node(node.path.to_string())
            .trail(&node.trail)
            .help(format!("vocab={words}"));
        if let Some((_, span)) = node.arguments.iter().find(|(name, _)| *name == "vocab") {
            finding = finding.fix(Fix {
                title: format!("one row for each of the {}", plural(words, "word")),
                safety: Safety::Unsafe,
                level: Level::Checkpoint,
                edits: vec![Edit { span: *span, text: words.to_string() }],
            });
        }
        out.push(finding);
    }
}
