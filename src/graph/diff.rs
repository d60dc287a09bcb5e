//! The difference of two snapshots, line by line.

use similar::{ChangeTag, TextDiff};
use std::fmt::Write;

/// The changed lines with one line around them, `-` the reviewed and `+` the compiled graph.
#[must_use]
pub fn difference(reviewed: &str, compiled: &str) -> String {
    let diff = TextDiff::from_lines(reviewed, compiled);
    let mut out = String::new();
    for (i, group) in diff.grouped_ops(1).iter().enumerate() {
        if i > 0 {
            out.push_str("...\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let _ = writeln!(out, "{sign} {}", change.value().trim_end());
        }
    }
    out.truncate(out.trim_end().len());
    out
}
