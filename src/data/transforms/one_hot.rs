//! An indicator for each word of a category's vocabulary.
//!
//! The vocabulary is the given list, or the sorted words of the split that `fit=` names, `train` if it is not written. A word that it does not hold is reported with
//! its row: it has no encoding that the model has seen. With `stats="train.nn.stats.json"` the vocabulary is that of another spec for columns of the
//! same name.

use super::{FIT, Fitted, Param, Reader, STATS, Shape, Split, Transformer, read_fit};

/// The transform `one_hot`.
#[derive(Clone, Debug, PartialEq)]
pub struct OneHot {
    /// The split whose words are the vocabulary, if it is written.
    pub fit: Option<Split>,
    /// The words that `stats=` shares; they are those of the category.
    pub shared: Option<Vec<String>>,
}

impl Transformer for OneHot {
    const SIGNATURE: &'static [Param] = &[FIT, STATS];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { fit: read_fit(args)?, shared: None })
    }

    fn arguments(&self) -> Vec<String> {
        self.fit.iter().map(|split| format!("fit={split}")).collect()
    }

    fn apply(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>) {
        let Some(Fitted::Category { vocabulary }) = fitted else {
            unreachable!("internal: one_hot without its vocabulary")
        };
        let codes = std::mem::take(row);
        for code in codes {
            // Codes are places in the vocabulary; the reader has checked them.
            row.extend((0u32..).take(vocabulary.len()).map(|i| if f64::from(i) == code { 1.0 } else { 0.0 }));
        }
    }

    fn normalises(&self) -> bool {
        true
    }
}
