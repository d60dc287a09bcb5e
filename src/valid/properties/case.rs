//! What a law is tested on: the draws of the weights and of a run, a batch, and what stands in it.
//!
//! Contract: a case is written in one line, as a report shows it, and reads back to the same case.

use super::ALL;
use crate::inits::standard_normal;
use crate::tensor::{Draws, Tensor, stream};
use crate::valid::structure::Structure;
use proptest::strategy::{BoxedStrategy, Just, Strategy, Union};
use std::fmt;
use std::str::FromStr;

/// The largest batch of a case that is drawn at random.
pub const MAX_BATCH: usize = 12;
/// The largest batch of a case: as many rows as a declared batch may have here, and no more than memory holds.
pub const MOST_ROWS: usize = 1024;

/// One member of the family and one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// The seed of the weights and of everything that is drawn while running.
    pub seed: u64,
    /// How many rows the batch has.
    pub batch: usize,
    /// A factor on every real-valued input.
    pub scale: f64,
    /// What stands in real-valued inputs.
    pub rows: Rows,
}

/// What stands in real-valued inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Rows of the data set, or drawn as declared.
    #[default]
    Given,
    /// Standard normal numbers.
    Normal,
    /// The first of the rows of the data set, again and again.
    Repeated,
    /// Ones.
    Constant,
    /// Zeros, but for a one that moves on from row to row.
    OneHot,
    /// Zeros.
    Zeros,
}

impl Rows {
    const ALL: [(&'static str, Self); 6] = [
        ("given", Self::Given),
        ("normal", Self::Normal),
        ("repeated", Self::Repeated),
        ("constant", Self::Constant),
        ("one-hot", Self::OneHot),
        ("zeros", Self::Zeros),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, rows)| *rows == self).map_or("given", |(word, _)| *word)
    }

    /// Puts it into the input of a name; the seed is that of the case.
    pub(super) fn shape(self, feed: &mut Tensor, name: &str, seed: u64) {
        let width = (feed.data.len() / feed.dims[0].max(1)).max(1);
        match self {
            Self::Given => {}
            Self::Normal => {
                let draws = Draws { seed, stream: stream(&format!("normal/{name}")) };
                feed.data = standard_normal(feed.data.len(), draws);
            }
            Self::Repeated => {
                let first = feed.data[..width.min(feed.data.len())].to_vec();
                feed.data.chunks_mut(width).for_each(|row| row.copy_from_slice(&first));
            }
            Self::Constant => feed.data.fill(1.0),
            Self::Zeros => feed.data.fill(0.0),
            Self::OneHot => {
                feed.data.fill(0.0);
                feed.data.chunks_mut(width).enumerate().for_each(|(i, row)| row[i % width] = 1.0);
            }
        }
    }
}

impl Case {
    /// The plainest case of a seed.
    #[must_use]
    pub const fn plain(seed: u64) -> Self {
        Self { seed, batch: 1, scale: 1.0, rows: Rows::Given }
    }

    /// Cases that are plainer in one respect, the plainest first.
    pub(super) fn plainer(self) -> impl Iterator<Item = Self> {
        let seeds = (0..4).filter(move |seed| *seed < self.seed).map(move |seed| Self { seed, ..self });
        let batches = (1..self.batch.min(4)).map(move |batch| Self { batch, ..self });
        let scale = (self.scale.to_bits() != 1f64.to_bits()).then_some(Self { scale: 1.0, ..self });
        let rows = (self.rows != Rows::Given).then_some(Self { rows: Rows::Given, ..self });
        batches.chain(scale).chain(rows).chain(seeds)
    }
}

/// Cases that shrink towards seed 0, one row and plain inputs. The batch is one of at most `most` rows, or that of training where it is
/// given.
pub(super) fn cases(most: usize, training: Option<usize>) -> BoxedStrategy<Case> {
    let scales = proptest::sample::select(vec![1.0, 1e-3, 1e3]);
    let rows = proptest::sample::select(Rows::ALL.map(|(_, rows)| rows).to_vec());
    let mut batches = vec![(1, Just(1).boxed()), (1, Just(2).boxed()), (4, (1..=most).boxed())];
    // What stands last shrinks to what stands before it; the others are there for that alone.
    batches.extend(training.map(|batch| (1 << 20, Just(batch).boxed())));
    (
        0u64..1 << 20,
        Union::new_weighted(batches),
        proptest::prop_oneof![3 => Just(1.0), 1 => scales],
        proptest::prop_oneof![3 => Just(Rows::Given), 1 => rows],
    )
        .prop_map(|(seed, batch, scale, rows)| Case { seed, batch, scale, rows })
        .boxed()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, batch, scale, rows } = self;
        write!(f, "seed={seed},batch={batch},scale={scale:e}")?;
        if *rows == Rows::Given { Ok(()) } else { write!(f, ",rows={}", rows.word()) }
    }
}

/// A law and a case, as `--replay` takes them: `finite:seed=3,batch=1,scale=1e0`, or `finite@width=8,depth=21:seed=3,batch=1,scale=1e0` of a
/// model with other values of its parameters than the declared ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The law's name.
    pub law: String,
    /// The model.
    pub structure: Structure,
    /// The case.
    pub case: Case,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { law, structure, case } = self;
        write!(f, "{law}{}:{case}", structure.suffix())
    }
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is no case; write LAW:seed=0,batch=1,scale=1");
        let (head, fields) = text.split_once(':').ok_or_else(usage)?;
        let (law, values) = head.split_once('@').map_or((head, None), |(law, values)| (law, Some(values)));
        if !ALL.iter().any(|known| known.name == law) {
            let names: Vec<&str> = ALL.iter().map(|law| law.name).collect();
            return Err(format!("there is no law `{law}`; the laws are {}", names.join(", ")));
        }
        let structure = values.map_or(Ok(Structure::default()), str::parse)?;
        let mut case = Case::plain(0);
        for field in fields.split(',') {
            let (name, value) = field.split_once('=').ok_or_else(usage)?;
            match name.trim() {
                "seed" => case.seed = value.parse().map_err(|_| usage())?,
                "batch" => {
                    case.batch = value.parse().ok().filter(|n| *n > 0).ok_or_else(usage)?;
                    if case.batch > MOST_ROWS {
                        return Err(format!("a case has at most {MOST_ROWS} rows, and not {}", case.batch));
                    }
                }
                "scale" => {
                    case.scale = value.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(usage)?;
                }
                "rows" => {
                    let known = Rows::ALL.iter().find(|(word, _)| *word == value.trim());
                    case.rows = known.ok_or_else(usage)?.1;
                }
                _ => return Err(usage()),
            }
        }
        Ok(Self { law: law.to_owned(), structure, case })
    }
}
