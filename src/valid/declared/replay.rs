//! What `--replay` takes: a case of a law of every spec, or of a property that the spec declares.

use crate::front::properties;
use crate::valid::properties::{MOST_ROWS, Replay as OfLaw};
use crate::valid::structure::Structure;
use std::fmt;
use std::str::FromStr;

/// A declared property and a case: `rms(fc2.tanh):seed=3,batch=1`, or `rms(out)@depth=21:seed=3,batch=1` of a model with other values
/// of its parameters than the declared ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// What the property is about, without its bound.
    pub subject: String,
    /// The model.
    pub structure: Structure,
    /// The seed of the weights and of everything that is drawn while running.
    pub seed: u64,
    /// How many rows the batch has.
    pub rows: usize,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, structure, seed, rows } = self;
        write!(f, "{subject}{}:seed={seed},batch={rows}", structure.suffix())
    }
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is no case; write PROPERTY:seed=0,batch=1");
        let (head, fields) = text.rsplit_once(':').ok_or_else(usage)?;
        // A name in quotation marks may hold any character, and then ends in one that no value has.
        let of_model = |(subject, values): (_, &str)| Some((subject, values.parse::<Structure>().ok()?));
        let (subject, structure) =
            head.rsplit_once('@').and_then(of_model).unwrap_or((head, Structure::default()));
        // A long command is shown on two lines, which are copied with the break between them.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut replay = Self { subject, structure, seed: 0, rows: 1 };
        for field in fields.split(',') {
            let (name, value) = field.split_once('=').ok_or_else(usage)?;
            match name.trim() {
                "seed" => replay.seed = value.parse().map_err(|_| usage())?,
                "batch" => {
                    let rows = value.parse().ok().filter(|n| (1..=MOST_ROWS).contains(n));
                    replay.rows = rows.ok_or_else(usage)?;
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

impl Again {
    /// The model that it is a case of.
    #[must_use]
    pub fn structure(&self) -> &Structure {
        match self {
            Self::Law(replay) => &replay.structure,
            Self::Declared(replay) => &replay.structure,
        }
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Law(replay) => replay.fmt(f),
            Self::Declared(replay) => replay.fmt(f),
        }
    }
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
