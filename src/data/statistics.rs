//! Fitted statistics: how they are computed, stored and compared.
//!
//! Contract: a statistics file says for each group on which split it was fitted, on how many rows, of which columns, and a
//! hash of those columns' text, so that a difference can be told apart: other data, other columns, or edited numbers. Fitting is
//! deterministic; the stored numbers are the shortest decimals that read back to the same bits.

use super::load::{Pipeline, Reading};
use super::transforms::Sight;
use super::{Content, Group, Plan, Split, Step, Transform, Vocabulary};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::source::Loader;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The statistics of one transform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fitted {
    /// Of `standardize`, a number for each column.
    Standardize {
        /// The mean.
        mean: Vec<f64>,
        /// The biased variance.
        var: Vec<f64>,
        /// The root of the variance, 1 for a constant column.
        scale: Vec<f64>,
    },
    /// Of `minmax`.
    Minmax {
        /// The least value.
        min: Vec<f64>,
        /// The greatest value.
        max: Vec<f64>,
    },
    /// Of `impute`.
    Impute {
        /// What stands for a missing value.
        value: Vec<f64>,
    },
    /// Of a category without a given vocabulary.
    Category {
        /// The sorted words.
        vocabulary: Vec<String>,
    },
    /// Of `select`.
    Select {
        /// The names of the columns that are kept, in order.
        columns: Vec<String>,
        /// Their scores.
        scores: Vec<f64>,
    },
}

impl Fitted {
    /// The name of the transform that these belong to; a vocabulary belongs to the category itself.
    #[must_use]
    pub fn of(&self) -> &'static str {
        match self {
            Self::Standardize { .. } => "standardize",
            Self::Minmax { .. } => "minmax",
            Self::Impute { .. } => "impute",
            Self::Category { .. } => "category",
            Self::Select { .. } => "select",
        }
    }

    /// The lists of numbers, one number for each column.
    #[must_use]
    pub fn numbers(&self) -> Vec<(&'static str, &[f64])> {
        match self {
            Self::Standardize { mean, var, scale } => vec![("mean", mean), ("var", var), ("scale", scale)],
            Self::Minmax { min, max } => vec![("min", min), ("max", max)],
            Self::Impute { value } => vec![("value", value)],
            Self::Category { .. } => Vec::new(),
            Self::Select { columns: _, scores } => vec![("score", scores)],
        }
    }

    /// The list of words or names.
    #[must_use]
    pub fn words(&self) -> Option<(&'static str, &[String])> {
        match self {
            Self::Category { vocabulary } => Some(("vocabulary", vocabulary)),
            Self::Select { columns, scores: _ } => Some(("choice", columns)),
            Self::Standardize { .. } | Self::Minmax { .. } | Self::Impute { .. } => None,
        }
    }

    /// Whether these are statistics of a transform on rows of these columns.
    ///
    /// # Errors
    /// What they are instead.
    pub fn check(&self, transform: &Transform, columns: &[String]) -> Result<(), String> {
        let of = self.of();
        if of != transform.name() {
            return Err(format!("are those of `{of}`"));
        }
        let width = transform.width(columns.len());
        if let Self::Select { columns: kept, .. } = self {
            let mut rest = columns.iter();
            if let Some(name) = kept.iter().find(|name| !rest.any(|column| column == *name)) {
                return Err(format!("keep `{name}`, which is not the next of the columns"));
            }
            if kept.len() != width {
                return Err(format!("keep {} columns, not {width}", kept.len()));
            }
        }
        match self.numbers().iter().find(|(_, list)| list.len() != width) {
            Some((name, list)) => Err(format!("have {} numbers in `{name}` for {width} columns", list.len())),
            None => Ok(()),
        }
    }
}

/// The statistics of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupStatistics {
    /// The split whose rows were used.
    pub fit: String,
    /// How many rows that was.
    pub rows: u64,
    /// The columns.
    pub columns: Vec<String>,
    /// SHA-256 of the columns' text in those rows, each row with that of the target if a step looks at one.
    pub sha256: String,
    /// The statistics of the fitted transforms, in the order of the chain.
    pub steps: Vec<Fitted>,
}

impl GroupStatistics {
    /// The columns that step `at` meets.
    #[must_use]
    pub fn before(&self, at: usize) -> &[String] {
        let kept = self.steps.iter().take(at).rev().find_map(|step| match step {
            Fitted::Select { columns, .. } => Some(columns),
            _ => None,
        });
        kept.unwrap_or(&self.columns)
    }

    /// The columns that the numbers of step `at` belong to.
    #[must_use]
    pub fn columns_of(&self, at: usize) -> &[String] {
        match self.steps.get(at) {
            Some(Fitted::Select { .. }) => self.before(at + 1),
            _ => self.before(at),
        }
    }
}

/// All statistics of a spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// The version of this schema, 1.
    pub format: u32,
    /// By the name of the group; a split's own chain is `group on split`.
    pub groups: BTreeMap<String, GroupStatistics>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { format: 1, groups: BTreeMap::new() }
    }
}

impl Statistics {
    /// Reads a statistics file.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if parsed.format == 1 { Ok(parsed) } else { Err(format!("format {} is not 1", parsed.format)) }
    }

    /// The number of rows of the training split, if a group was fitted on it.
    #[must_use]
    pub fn training_rows(&self) -> Option<u64> {
        self.groups.values().find(|group| group.fit == "train").map(|group| group.rows)
    }

    /// The text of a statistics file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The entry for the chain that a split passes through.
    #[must_use]
    pub fn of(&self, group: &Group, split: Split) -> Option<&GroupStatistics> {
        self.groups.get(&key(group, group.overrides.contains_key(&split).then_some(split)))
    }
}

/// The name of a chain's entry.
fn key(group: &Group, own: Option<Split>) -> String {
    match own {
        Some(split) => format!("{} on {split}", group.name.value),
        None => group.name.value.clone(),
    }
}

/// Fits every chain of a plan. Groups whose data is faulty are reported and left out.
pub fn fit(plan: &Plan, loader: &dyn Loader) -> (Statistics, Diagnostics) {
    let mut statistics = Statistics::default();
    let mut out = Diagnostics::default();
    for group in &plan.groups {
        let chains = std::iter::once((None, &group.chain));
        let own = group.overrides.iter().map(|(split, (_, chain))| (Some(*split), chain));
        for (split, chain) in chains.chain(own) {
            match fit_chain(plan, group, chain, loader) {
                Ok(Some(fitted)) => {
                    statistics.groups.insert(key(group, split), fitted);
                }
                Ok(None) => {}
                Err(diagnostic) => out.push(*diagnostic),
            }
        }
    }
    (statistics, out)
}

/// Fits one chain, step by step; `None` if nothing in it is fitted.
fn fit_chain(
    plan: &Plan,
    group: &Group,
    chain: &[Step],
    loader: &dyn Loader,
) -> Result<Option<GroupStatistics>, Box<Diagnostic>> {
    let mut steps = Vec::new();
    let vocabulary = match &group.content {
        Content::Category(Vocabulary::Fitted(_)) => {
            let mut words = BTreeSet::new();
            Reading::new(plan, group, super::vocabulary_fit(chain), loader).words(&mut words)?;
            let vocabulary: Vec<String> = words.into_iter().collect();
            steps.push(Fitted::Category { vocabulary: vocabulary.clone() });
            Some(vocabulary)
        }
        Content::Category(Vocabulary::Given(words)) => Some(words.clone()),
        _ => None,
    };
    let mut split = (!steps.is_empty()).then_some(super::vocabulary_fit(chain));
    let mut pipeline = Pipeline::start(group, chain, vocabulary);
    let mut beside = None;
    for step in chain {
        let mut fitted = None;
        let target = match step.transform.target().map(|name| plan.target(name)) {
            // What it is to look at has been reported where it is named.
            Some(None) => return Ok(None),
            target => target.flatten(),
        };
        let columns = pipeline.columns();
        let labels = target.is_some_and(|group| matches!(group.content, Content::Class(..)));
        if let Some(mut fitter) = step.transform.fitter(&Sight { columns: &columns, labels }) {
            let from = step.transform.fit().unwrap_or(Split::Train);
            loop {
                let reading = Reading::new(plan, group, from, loader).beside(target);
                reading.rows(&pipeline, |row| fitter.see(row))?;
                if !fitter.end_pass() {
                    break;
                }
            }
            let concluded = fitter.conclude();
            if let Fitted::Select { scores, .. } = &concluded
                && scores.iter().all(|score| *score == 0.0)
            {
                return Err(Box::new(blind(plan, group, step, target)));
            }
            steps.push(concluded.clone());
            fitted = Some(concluded);
            beside = beside.or(target);
            // Where steps differ, the one that saw most names the group.
            split = Some(match split {
                Some(before) if before != from => Split::All,
                _ => from,
            });
        }
        pipeline.push(step, fitted);
    }
    let Some(split) = split else { return Ok(None) };
    let (rows, sha256) = fingerprint(Reading::new(plan, group, split, loader).beside(beside))?;
    Ok(Some(GroupStatistics { fit: split.to_string(), rows, columns: group.columns.clone(), sha256, steps }))
}

/// The finding for a choice among columns that all score 0.
fn blind(plan: &Plan, group: &Group, step: &Step, target: Option<&Group>) -> Diagnostic {
    let (name, columns) = (&group.name.value, group.columns.len());
    let message = format!("`{}` of `{name}` finds nothing to choose by: every score is 0", step.transform);
    let diagnostic = Diagnostic::new(&rules::BLIND_SELECTION, step.span, message);
    let diagnostic = match target {
        Some(target) => {
            let text =
                format!("constant there, or all {} of `{name}` are", crate::text::plural(columns, "column"));
            diagnostic.label(target.name.span, text)
        }
        None => diagnostic.remark("all its columns are constant there"),
    };
    let place = step.transform.fit().and_then(|split| plan.place(split));
    match place {
        Some(place) => diagnostic.label(place, "the rows that decide"),
        None => diagnostic,
    }
    .help("look where the columns come from: a filter or a default may have replaced them")
}

/// The number of rows and the hash of their text.
fn fingerprint(reading: Reading<'_>) -> Result<(u64, String), Box<Diagnostic>> {
    let mut rows = 0;
    let mut hash = Sha256::new();
    reading.fields(|fields| {
        rows += 1;
        for field in fields {
            hash.update(field);
            hash.update([0x1f]);
        }
        hash.update([0x1e]);
    })?;
    let mut hex = String::new();
    for byte in hash.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok((rows, hex))
}

/// Compares stored statistics with those of the data and says for each group what differs.
#[must_use]
pub fn compare(plan: &Plan, stored: &Statistics, file: &str, found: &Statistics) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    let span_of = |name: &str| {
        plan.groups.iter().find(|g| name.split(' ').next() == Some(&g.name.value)).map(|g| g.source)
    };
    let mut stale = |name: &str, message: String| {
        let span = span_of(name).unwrap_or(plan.span);
        out.push(
            Diagnostic::new(&rules::STALE_STATISTICS, span, message)
                .note("file", file)
                .help("look why it changed, then write the file again with `wellposed stats fit`"),
        );
    };
    for (name, new) in &found.groups {
        let Some(old) = stored.groups.get(name) else {
            stale(name, format!("the stored statistics have no group `{name}`"));
            continue;
        };
        if old.columns != new.columns {
            let differ = old.columns.iter().zip(&new.columns).find(|(a, b)| a != b);
            let (then, now) = match differ.filter(|_| old.columns.len() == new.columns.len()) {
                Some((then, now)) => (format!("`{then}`"), format!("`{now}`")),
                None => (old.columns.len().to_string(), new.columns.len().to_string()),
            };
            stale(name, format!("`{name}` was fitted on other columns: {then} then, {now} now"));
        } else if old.fit != new.fit {
            stale(name, format!("`{name}` was fitted on `{}`, and the spec says `{}`", old.fit, new.fit));
        } else if old.sha256 != new.sha256 || old.rows != new.rows {
            stale(
                name,
                format!(
                    "the data of `{name}` changed: {} rows then, {} now, and another hash",
                    old.rows, new.rows
                ),
            );
        } else if old.steps != new.steps {
            let what = first_difference(old, new);
            stale(name, format!("the stored statistics of `{name}` are not those of its data{what}"));
        }
    }
    for name in stored.groups.keys().filter(|name| !found.groups.contains_key(*name)) {
        stale(name, format!("the stored statistics have a group `{name}` that the spec does not fit"));
    }
    out
}

/// The first difference in words.
fn first_difference(old: &GroupStatistics, new: &GroupStatistics) -> String {
    for (at, (then, now)) in old.steps.iter().zip(&new.steps).enumerate() {
        if let (Some((what, before)), Some((_, after))) = (then.words(), now.words())
            && let Some((a, b)) = before.iter().zip(after).find(|(a, b)| a != b)
        {
            return format!(": the {what} has `{a}` in the file and `{b}` in the data");
        }
        for ((what, before), (_, after)) in then.numbers().into_iter().zip(now.numbers()) {
            if let Some((i, (a, b))) = before.iter().zip(after).enumerate().find(|(_, (a, b))| a != b) {
                let column = new.columns_of(at).get(i).map_or("?", String::as_str);
                return format!(": {what} of `{column}` is {a} in the file and {b} in the data");
            }
        }
    }
    String::new()
}
