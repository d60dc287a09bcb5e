//! What `--replay` takes: a case of a law of every spec, or of a property that the spec declares.

use crate::front::properties;
use crate::valid::properties::Replay as OfLaw;
use std::str::FromStr;

/// A declared property and a case: `rms(fc2.tanh):seed=3,batch=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// What the property is about, without its bound.
    pub subject: String,
    /// The seed of the weights and of everything that is drawn while running.
    pub seed: u64,
    /// How many rows the batch has.
    pub rows: usize,
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is no case; write PROPERTY:seed=0,batch=1");
        let (subject, fields) = text.rsplit_once(':').ok_or_else(usage)?;
        // A long command is shown on two lines, which are copied with the break between them.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut replay = Self { subject, seed: 0, rows: 1 };
        for field in fields.split(',') {
            let (name, value) = field.split_once('=').ok_or_else(usage)?;
            match name.trim() {
                "seed" => replay.seed = value.parse().map_err(|_| usage())?,
                // As many as could be drawn, and no more than memory holds.
                "batch" => {
                    replay.rows = value.parse().ok().filter(|n| (1..=1024).contains(n)).ok_or_else(usage)?;
                }
                _ => return Err(usage()),
            }
        }
        Ok(replay)
    }
}

/// A case that is to be tested again.
#[derive(Clone, Debug, PartialEq)]
pub enum Again {
    /// Of a law that every spec is tested for.
    Law(OfLaw),
    /// Of a property that the spec declares.
    Declared(Replay),
}

impl FromStr for Again {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        match properties::find(&word) {
            Some(_) => text.parse().map(Self::Declared),
            None => text.parse().map(Self::Law),
        }
    }
}
