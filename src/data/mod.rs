//! Data with provenance: splits, columns, transforms, and the statistics that were fitted on them.
//!
//! Contract: a [`Plan`] says which rows belong to which split, which columns form which group, and which transforms every
//! split passes through; a transform is declared once and applies to all splits unless the spec overrides it, visibly.
//! Statistics come from the rows of one named split, are streamed in constant memory, and are used unchanged everywhere
//! else. Reading fails with file, line and column, never with a wrong number.

mod history;
mod load;
pub mod provenance;
mod split;
mod statistics;
mod table;
pub mod time;
pub mod transforms;
pub mod units;

pub use history::Lag;
pub use load::{Loaded, Pipeline, Reading, load, missing_column};
pub use split::{Divider, Rule, Split, SplitSet};
pub use statistics::{Fitted, GroupStatistics, Statistics, compare, fit};
pub use table::{Header, header};
pub use transforms::{Back, Impute, Score, Select, Transform};

use crate::source::{Span, Spanned};
use crate::tensor::Shape;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A CSV file of a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// How messages call it: the path as written, behind the spec's folder.
    pub shown: String,
    /// The argument that names it.
    pub span: Span,
}

/// Where the rows of the splits are.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// A file for each split.
    Files(Vec<(Split, File)>),
    /// One file, whose rows a rule divides.
    One(File, Rule),
}

/// What the columns of a group are.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Numbers.
    Numeric,
    /// Words, encoded by their place in a vocabulary.
    Category(Vocabulary),
    /// Class labels: whole numbers below the count, or the given words in order.
    Class(usize, Option<Vec<String>>),
    /// Numeric targets.
    Target,
}

/// The words of a category.
#[derive(Clone, Debug, PartialEq)]
pub enum Vocabulary {
    /// Listed in the spec.
    Given(Vec<String>),
    /// The words of a split, of training if the spec names none; how many those are, once that is known.
    Fitted(Option<usize>),
}

impl Vocabulary {
    /// The number of words, if it is known.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Given(words) => Some(words.len()),
            Self::Fitted(n) => *n,
        }
    }

    /// The words, if the spec lists them.
    #[must_use]
    pub fn given(&self) -> Option<Vec<String>> {
        match self {
            Self::Given(words) => Some(words.clone()),
            Self::Fitted(_) => None,
        }
    }
}

impl Content {
    /// Whether the group is something to predict.
    #[must_use]
    pub fn is_target(&self) -> bool {
        matches!(self, Self::Class(..) | Self::Target)
    }
}

/// Columns that travel together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The name of the group.
    pub name: Spanned<String>,
    /// What its columns are.
    pub content: Content,
    /// The columns, in the order of the declaration (globs in the order of the file); behind `lag`, those that it makes.
    pub columns: Vec<String>,
    /// How they are taken from earlier rows.
    pub lag: Option<Lag>,
    /// How many words of a category have a row in the tables that look them up; `None` where none does.
    pub rows: Option<usize>,
    /// Where the columns are named.
    pub source: Span,
    /// The shape that `as` gives a row; behind a step that leaves columns out, if there is one.
    pub reshape: Option<Shape>,
    /// The transforms.
    pub chain: Vec<Step>,
    /// Splits that have a chain of their own, and where that is written.
    pub overrides: BTreeMap<Split, (Span, Vec<Step>)>,
}

impl Group {
    /// The columns of the file that it is read from.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        self.lag.as_ref().map_or(&self.columns, |lag| &lag.columns)
    }

    /// The chain that a split passes through.
    #[must_use]
    pub fn chain_on(&self, split: Split) -> &[Step] {
        self.overrides.get(&split).map_or(&self.chain, |(_, chain)| chain)
    }

    /// The shape of one sample behind the chain; `None` while a vocabulary is unknown.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        let width = match &self.content {
            Content::Numeric | Content::Target => width(&self.chain, self.columns.len()),
            Content::Category(_) if !self.one_hot() => self.columns.len(),
            Content::Category(vocabulary) => vocabulary.size()? * self.columns.len(),
            Content::Class(..) => return Some(Shape::new([])),
        };
        match &self.reshape {
            Some(shape) if shape.elements() == width => Some(shape.clone()),
            Some(_) => None,
            None => Some(Shape::new([width])),
        }
    }

    /// The number of words of a category, if it is known.
    #[must_use]
    pub fn words(&self) -> Option<usize> {
        match &self.content {
            Content::Category(vocabulary) => vocabulary.size(),
            Content::Numeric | Content::Class(..) | Content::Target => None,
        }
    }

    /// Whether categories become indicator columns.
    #[must_use]
    pub fn one_hot(&self) -> bool {
        self.chain.iter().any(|step| matches!(step.transform, Transform::OneHot(_)))
    }
}

/// How many numbers a chain makes of a row of numbers.
#[must_use]
pub fn width(chain: &[Step], columns: usize) -> usize {
    chain.iter().fold(columns, |width, step| step.transform.width(width))
}

/// The split whose words are the vocabulary of a category with this chain.
#[must_use]
pub fn vocabulary_fit(chain: &[Step]) -> Split {
    chain.iter().find_map(|step| step.transform.vocabulary()).unwrap_or(Split::Train)
}

/// One transform of a chain and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it does.
    pub transform: Transform,
    /// The whole call.
    pub span: Span,
    /// The split that `fit=` names, where it was written.
    pub fit: Option<Spanned<Split>>,
    /// The split on which another spec has fitted the constants that `stats=` shares.
    pub shared: Option<Split>,
}

/// The data section of a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where the rows are.
    pub rows: Rows,
    /// The groups in the order of declaration.
    pub groups: Vec<Group>,
    /// The rows that are copied behind the split.
    pub oversample: Option<Oversample>,
    /// What the spec says of the rows, whichever way they are divided.
    pub about: About,
    /// The section's keyword.
    pub span: Span,
}

/// Copies of rows, so that every class has as many as the largest.
///
/// A class of n rows beside a largest of m has row i, counted from 0, floor((i + 1) m / n) - floor(i m / n) times: each row at least
/// once, m in all, the copies spread evenly and the same in every run. Statistics are fitted on the rows as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Oversample {
    /// The group that holds the classes.
    pub by: Spanned<String>,
    /// Whether rows of evaluation are copied, too, and where that is written.
    pub always: Spanned<bool>,
    /// The whole call.
    pub span: Span,
}

/// What rows have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The column that says whom or what a row is about: rows of one of them must not be divided.
    pub group: Option<Spanned<String>>,
    /// The column that says when a row was taken.
    pub time: Option<Spanned<String>>,
    /// The call of the split rule that says so.
    pub rule: Option<Span>,
}

impl Plan {
    /// The splits that have rows, in order.
    #[must_use]
    pub fn splits(&self) -> Vec<Split> {
        match &self.rows {
            Rows::Files(files) => {
                let mut splits: Vec<Split> = files.iter().map(|(split, _)| *split).collect();
                splits.sort_unstable();
                splits.dedup();
                splits
            }
            Rows::One(_, rule) => rule.splits(),
        }
    }

    /// The files that hold rows of a split; `all` is every file.
    #[must_use]
    pub fn files(&self, split: Split) -> Vec<&File> {
        match &self.rows {
            Rows::One(file, _) => vec![file],
            Rows::Files(files) => files
                .iter()
                .filter(|(of, _)| split == Split::All || *of == split)
                .map(|(_, file)| file)
                .collect(),
        }
    }

    /// The first file, whose header stands for all.
    #[must_use]
    pub fn first_file(&self) -> Option<&File> {
        match &self.rows {
            Rows::One(file, _) => Some(file),
            Rows::Files(files) => files.first().map(|(_, file)| file),
        }
    }

    /// Where the rows of a split are named: its file, or what the rule that divides a file looks at. `None` for a split that has no
    /// file.
    #[must_use]
    pub fn place(&self, split: Split) -> Option<Span> {
        match &self.rows {
            Rows::Files(files) => files.iter().find(|(of, _)| *of == split).map(|(_, file)| file.span),
            Rows::One(_, rule) => Some(rule.column().span),
        }
    }

    /// Whether a group takes numbers from earlier rows.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        self.groups.iter().any(|group| group.lag.is_some())
    }

    /// Whether the order of time divides the rows.
    #[must_use]
    pub fn by_time(&self) -> bool {
        matches!(self.rows, Rows::One(_, Rule::Time { .. }))
    }

    /// The group of a name, if it is a target of one column.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Group> {
        self.group(name).filter(|group| group.content.is_target() && group.columns.len() == 1)
    }

    /// The group of a name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name.value == name)
    }
}

/// The statistics file of a spec: beside it, named after the whole file name.
#[must_use]
pub fn statistics_path(spec: &Path) -> PathBuf {
    let mut name: OsString = spec.file_name().unwrap_or_default().to_owned();
    name.push(".stats.json");
    spec.with_file_name(name)
}
