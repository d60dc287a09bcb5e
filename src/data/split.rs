//! Splits, and the rules that divide the rows of one file.

use crate::source::Spanned;
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

/// How the rows of one file are divided. Both rules depend on a row alone, never on its place in the file.
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
}

impl Rule {
    /// The column that the rule looks at.
    #[must_use]
    pub fn column(&self) -> &Spanned<String> {
        match self {
            Self::Hash { key, .. } => key,
            Self::Column(column) => column,
        }
    }

    /// The splits that the rule fills.
    #[must_use]
    pub fn splits(&self) -> Vec<Split> {
        match self {
            Self::Hash { shares, .. } => {
                let mut splits: Vec<Split> = shares.iter().map(|(split, _)| *split).collect();
                splits.sort_unstable();
                splits
            }
            Self::Column(_) => vec![Split::Train, Split::Val, Split::Test],
        }
    }

    /// The split of a row, by the text of its column; `None` if the text names no split.
    ///
    /// A key belongs to the split into whose share falls the first 64 bits of its SHA-256 modulo the sum of the shares, so
    /// that adding rows moves no other row.
    #[must_use]
    pub fn split_of(&self, text: &str) -> Option<Split> {
        match self {
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
