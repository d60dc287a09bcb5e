//! Splits, and the rules that divide the rows of one file.

use super::File;
use super::time::Cuts;
use crate::diag::Diagnostic;
use crate::source::{Loader, Spanned};
use crate::tensor::stream;
use std::fmt;

/// A set of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// The rows that the weights are fitted on.
    Train,
    /// The rows that choices are made on.
    Val,
    /// The rows that the result is judged on.
    Test,
    /// Every row.
    All,
}

impl Split {
    /// The words of the language, in order.
    pub const WORDS: &'static [&'static str] = &["train", "val", "test", "all"];

    /// The split of a word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Some(match word {
            "train" => Self::Train,
            "val" => Self::Val,
            "test" => Self::Test,
            "all" => Self::All,
            _ => return None,
        })
    }

    /// The word of the language.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Splits in words: `train, val, test`.
pub struct SplitSet<'a>(pub &'a [Split]);

impl fmt::Display for SplitSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|split| split.word()).collect();
        f.write_str(&words.join(", "))
    }
}

/// How the rows of one file are divided. A rule never depends on a row's place in the file; `hash` and `column` depend on the row alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// By a hash of a column, with a share for each split.
    Hash {
        /// The column that identifies what must not be divided: a customer, a patient.
        key: Spanned<String>,
        /// The shares, in any unit.
        shares: Vec<(Split, u64)>,
    },
    /// By a column that holds the words `train`, `val` and `test`.
    Column(Spanned<String>),
    /// By the order of time.
    Time {
        /// The column that says when.
        column: Spanned<String>,
        /// The shares, in any unit; the earliest rows train.
        shares: Vec<(Split, u64)>,
    },
}

/// A rule with what it must know of the rows.
#[derive(Clone, Debug)]
pub enum Divider<'a> {
    /// Nothing.
    Alone(&'a Rule),
    /// Where in time each split begins.
    Cut(Cuts),
}

impl Divider<'_> {
    /// The split of a row, by the text of the rule's column; `None` if the text names no split.
    #[must_use]
    pub fn split_of(&self, text: &str) -> Option<Split> {
        match self {
            Self::Alone(rule) => rule.split_of(text),
            Self::Cut(cuts) => cuts.split_of(text),
        }
    }
}

impl Rule {
    /// The column that the rule looks at.
    #[must_use]
    pub fn column(&self) -> &Spanned<String> {
        match self {
            Self::Hash { key, .. } => key,
            Self::Column(column) | Self::Time { column, .. } => column,
        }
    }

    /// The splits that the rule fills.
    #[must_use]
    pub fn splits(&self) -> Vec<Split> {
        match self {
            Self::Hash { shares, .. } | Self::Time { shares, .. } => {
                let mut splits: Vec<Split> = shares.iter().map(|(split, _)| *split).collect();
                splits.sort_unstable();
                splits
            }
            Self::Column(_) => vec![Split::Train, Split::Val, Split::Test],
        }
    }

    /// The rule with what it must know of the rows of the file that it divides.
    ///
    /// # Errors
    /// The first field that is no time.
    pub fn divider(&self, file: &File, loader: &dyn Loader) -> Result<Divider<'_>, Box<Diagnostic>> {
        Ok(match self {
            Self::Time { column, shares } => Divider::Cut(Cuts::of(file, column, shares, loader)?),
            Self::Hash { .. } | Self::Column(_) => Divider::Alone(self),
        })
    }

    /// The split of a row, by the text of its column; `None` if the text names no split, and for a rule that must know other rows.
    ///
    /// A key belongs to the split into whose share falls the first 64 bits of its SHA-256 modulo the sum of the shares, so
    /// that adding rows moves no other row.
    #[must_use]
    pub fn split_of(&self, text: &str) -> Option<Split> {
        match self {
            Self::Time { .. } => None,
            Self::Column(_) => Split::find(text.trim()).filter(|split| *split != Split::All),
            Self::Hash { shares, .. } => {
                let total: u64 = shares.iter().map(|(_, share)| share).sum();
                let mut place = stream(text.trim()) % total.max(1);
                for (split, share) in shares {
                    if place < *share {
                        return Some(*split);
                    }
                    place -= share;
                }
                None
            }
        }
    }
}
