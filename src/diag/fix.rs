//! Machine-applicable edits.
//!
//! Contract: the edits of one fix do not overlap, lie in one file and, applied together, leave a spec that
//! parses. A fix is `safe` only if it cannot change what a correct reader of the spec meant; everything that
//! changes training or weights is `unsafe` and says which compatibility level it touches.

use crate::source::Span;
use std::fmt;

/// Whether a fix may be applied without looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// The meaning that the author intended is kept.
    Safe,
    /// The model, its weights or its training change.
    Unsafe,
}

/// What stops working when a spec changes; a level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Inputs, outputs, shapes, classes and their order.
    Interface,
    /// Names and shapes of parameters and state: old weights no longer load.
    Checkpoint,
    /// The same weights give other outputs.
    Numerics,
    /// Split rules, transforms and the provenance of statistics.
    Data,
    /// Initialisation, regularisation, loss, optimiser, seed.
    Training,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interface => "INTERFACE",
            Self::Checkpoint => "CHECKPOINT",
            Self::Numerics => "NUMERICS",
            Self::Data => "DATA",
            Self::Training => "TRAINING",
        })
    }
}

/// Replaces the text under a span; an empty span inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub text: String,
}

/// A set of edits that removes the cause of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What the edits do, as a short imperative.
    pub title: String,
    /// Whether it may be applied without looking.
    pub safety: Safety,
    /// The compatibility level that it touches.
    pub level: Level,
    /// The edits, in the order of the text.
    pub edits: Vec<Edit>,
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let consequence = match self.level {
            Level::Interface => "changes the interface",
            Level::Checkpoint => "old checkpoints no longer load",
            Level::Numerics => "changes outputs; checkpoints still load",
            Level::Data => "changes the statistics",
            Level::Training => "changes training; checkpoints still load",
        };
        match self.safety {
            Safety::Safe => write!(f, "safe, {consequence}"),
            Safety::Unsafe => write!(f, "unsafe, {consequence}"),
        }
    }
}

/// A text with fixes applied, and how many were: of those whose edits meet, the first.
#[must_use]
pub fn apply<'f>(text: &str, fixes: impl IntoIterator<Item = &'f Fix>) -> (String, usize) {
    let mut chosen: Vec<&Edit> = Vec::new();
    let mut applied = 0;
    for fix in fixes {
        let meets = |edit: &&Edit| {
            let own = edit.span.range();
            chosen
                .iter()
                .map(|other| other.span.range())
                .any(|other| own.start == other.start || (own.start < other.end && other.start < own.end))
        };
        // The same edit of two fixes, as that of a default that serves many layers, is one.
        let fresh: Vec<&Edit> = fix.edits.iter().filter(|edit| !chosen.contains(edit)).collect();
        if !fresh.is_empty() && !fresh.iter().any(meets) {
            chosen.extend(fresh);
            applied += 1;
        }
    }
    chosen.sort_by_key(|edit| edit.span.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in chosen {
        let range = edit.span.range();
        out.push_str(&text[at..range.start]);
        out.push_str(&edit.text);
        at = range.end;
    }
    out.push_str(&text[at..]);
    (out, applied)
}
