//! Rows of a split as tensors.
//!
//! A [`Reading`] walks the rows of one group on one split; a [`Pipeline`] is a chain with its statistics. Both are used for
//! fitting, loading and serving, so that there is one way in which a row becomes numbers.

use super::history::History;
use super::statistics::Fitted;
use super::table::Table;
use super::{Content, Divider, Group, Plan, Rows, Select, Split, Statistics, Step, Transform, Vocabulary};
use crate::diag::{Diagnostic, Diagnostics, did_you_mean, rules};
use crate::source::Loader;
use crate::tensor::{Draws, Shape, Tensor, stream};
use rand_distr::{Distribution, StandardNormal};
use std::collections::{BTreeMap, BTreeSet};

/// A chain of transforms with their statistics.
#[derive(Clone, Debug)]
pub struct Pipeline {
    content: Content,
    vocabulary: Vec<String>,
    /// The columns of a raw row.
    columns: Vec<String>,
    /// The places in a raw row of what the steps so far have kept.
    kept: Vec<usize>,
    shape: Shape,
    steps: Vec<(Transform, Option<Fitted>)>,
    fills_missing: bool,
}

impl Pipeline {
    /// The raw columns of a group, before the steps of a chain. Missing values are read if the first step will fill them.
    #[must_use]
    pub fn start(group: &Group, chain: &[Step], vocabulary: Option<Vec<String>>) -> Self {
        let shape = group.reshape.clone().unwrap_or_else(|| Shape::new([group.columns.len()]));
        let content = group.content.clone();
        Self {
            content,
            vocabulary: vocabulary.unwrap_or_default(),
            columns: group.columns.clone(),
            kept: (0..group.columns.len()).collect(),
            shape,
            steps: Vec::new(),
            fills_missing: chain.first().is_some_and(|step| step.transform.fills_missing()),
        }
    }

    /// Appends a step. A fitted choice of columns becomes a given one.
    pub fn push(&mut self, step: &Step, fitted: Option<Fitted>) {
        let step = match (&step.transform, fitted) {
            (Transform::OneHot(_), _) => {
                (step.transform.clone(), Some(Fitted::Category { vocabulary: self.vocabulary.clone() }))
            }
            (Transform::Select(_), Some(Fitted::Select { columns: names, .. })) => {
                let chosen = |at: &usize| names.contains(&self.columns[self.kept[*at]]);
                let columns = (0..self.kept.len()).filter(chosen).collect();
                (Transform::Select(Select::Given { columns, of: None, from: None }), None)
            }
            (transform, fitted) => (transform.clone(), fitted),
        };
        if let Transform::Select(Select::Given { columns, .. }) = &step.0 {
            self.kept = columns.iter().filter_map(|&at| self.kept.get(at).copied()).collect();
        }
        self.steps.push(step);
    }

    /// The names of the columns that are left.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        self.kept.iter().map(|&at| self.columns[at].clone()).collect()
    }

    /// The places in a raw row of the columns that are left, in order.
    #[must_use]
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// The chain of a group on a split with stored statistics.
    ///
    /// # Errors
    /// The name of the statistics that are missing.
    pub fn stored(group: &Group, split: Split, statistics: &Statistics) -> Result<Self, String> {
        let chain = group.chain_on(split);
        let mut fitted = statistics.of(group, split).map_or(&[][..], |g| &g.steps).iter().cloned();
        let vocabulary = match &group.content {
            Content::Category(Vocabulary::Fitted(_)) => match fitted.next() {
                Some(Fitted::Category { vocabulary }) => Some(vocabulary),
                _ => return Err(format!("there is no vocabulary for `{}`", group.name.value)),
            },
            Content::Category(Vocabulary::Given(words)) => Some(words.clone()),
            _ => None,
        };
        let mut pipeline = Self::start(group, chain, vocabulary);
        for step in chain {
            let statistics = if step.transform.fit().is_some() {
                let name = &group.name.value;
                let Some(found) = fitted.next() else {
                    return Err(format!("there are no statistics for `{}` of `{name}`", step.transform));
                };
                found.check(&step.transform, &pipeline.columns()).map_err(|fault| {
                    format!("the statistics for `{}` of `{name}` {fault}", step.transform)
                })?;
                Some(found)
            } else {
                None
            };
            pipeline.push(step, statistics);
        }
        Ok(pipeline)
    }

    /// How many numbers a row has behind the chain so far.
    #[must_use]
    pub fn width(&self) -> usize {
        let one_hot = self.steps.iter().any(|(transform, _)| matches!(transform, Transform::OneHot(_)));
        let columns = self.kept.len();
        if one_hot { columns * self.vocabulary.len() } else { columns }
    }

    /// Transforms one raw row in place.
    pub fn apply(&self, row: &mut Vec<f64>) {
        for (transform, fitted) in &self.steps {
            transform.apply(&self.shape, fitted.as_ref(), row);
        }
    }

    /// Undoes the chain on one row; `false` if a step cannot be undone.
    #[must_use]
    pub fn invert(&self, row: &mut [f64]) -> bool {
        self.steps.iter().rev().all(|(transform, fitted)| transform.invert(&self.shape, fitted.as_ref(), row))
    }

    /// The standard deviation of the noise that training rows get.
    fn noise(&self) -> f64 {
        let squares = self.steps.iter().map(|(transform, _)| match transform {
            Transform::Noise(noise) => noise.std().powi(2),
            _ => 0.0,
        });
        squares.sum::<f64>().sqrt()
    }
}

/// A walk over the rows of one group on one split.
pub struct Reading<'a> {
    plan: &'a Plan,
    group: &'a Group,
    split: Split,
    /// A group of one column whose value is read behind each row.
    beside: Option<&'a Group>,
    loader: &'a dyn Loader,
}

type Checked<T> = Result<T, Box<Diagnostic>>;

impl<'a> Reading<'a> {
    /// A walk that begins at the first row.
    pub fn new(plan: &'a Plan, group: &'a Group, split: Split, loader: &'a dyn Loader) -> Self {
        Self { plan, group, split, beside: None, loader }
    }

    /// The same walk with the column of another group behind each row.
    #[must_use]
    pub fn beside(self, beside: Option<&'a Group>) -> Self {
        Self { beside, ..self }
    }

    /// Calls `see` for each row of the split until it returns `false`: with the table, the places of the columns, and what they held in earlier
    /// rows if the group looks back.
    fn walk(&self, mut see: impl FnMut(&Table<'_>, &[usize], &[f64]) -> Checked<bool>) -> Checked<()> {
        let lags = self.group.lag.as_ref().map_or(&[][..], |lag| &lag.rows);
        let raw = Pipeline::start(self.group, self.group.chain_on(self.split), None);
        let mut rows = 0u64;
        for file in self.plan.files(self.split) {
            let mut table = Table::open(self.loader, file)?;
            let mut columns = Vec::new();
            for name in self.group.sources().iter().chain(self.beside.iter().flat_map(|group| &group.columns))
            {
                columns.push(
                    table
                        .header
                        .find(name)
                        .ok_or_else(|| missing_column(file.span, &file.shown, name, &table.header.names))?,
                );
            }
            let rule = match &self.plan.rows {
                Rows::One(_, rule) if self.split != Split::All || self.plan.looks_back() => {
                    let name = &rule.column().value;
                    let at = table.header.find(name).ok_or_else(|| {
                        missing_column(rule.column().span, &file.shown, name, &table.header.names)
                    })?;
                    Some((rule.divider(file, self.loader)?, at))
                }
                _ => None,
            };
            let mut history = match &rule {
                Some((Divider::Cut(_), time)) => History::of(self.plan, &table, *time)?,
                _ => None,
            };
            while table.advance()? {
                let mut past = Vec::new();
                if let Some((rule, at)) = &rule {
                    let at = *at;
                    let text = String::from_utf8_lossy(table.field(at));
                    if let (Some(history), Divider::Cut(cuts)) = (&mut history, rule)
                        && let Some(moment) = cuts.moment(&text)
                    {
                        let own =
                            if lags.is_empty() { &[][..] } else { &columns[..self.group.sources().len()] };
                        let now = own.iter().map(|&column| self.value(self.group, &table, column, &raw));
                        let now = now.collect::<Checked<Vec<f64>>>()?;
                        let Some(earlier) = history.enter(&table, moment, now, lags)? else { continue };
                        past = earlier;
                    }
                    match rule.split_of(&text) {
                        Some(split) if split == self.split || self.split == Split::All => {}
                        Some(_) => continue,
                        None => {
                            let message = format!("`{text}` names no split");
                            let fault = table.fault(&rules::UNKNOWN_CATEGORY, at, message);
                            return Err(Box::new(fault.help("the splits are train, val and test")));
                        }
                    }
                }
                rows += 1;
                if !see(&table, &columns, &past)? {
                    return Ok(());
                }
            }
        }
        if rows == 0 {
            let message = format!("the split `{}` has no rows", self.split);
            return Err(Box::new(Diagnostic::new(&rules::EMPTY_SPLIT, self.group.source, message)));
        }
        Ok(())
    }

    /// The raw text of the group's fields, and of the one beside them.
    pub fn fields(&self, mut see: impl FnMut(&[&[u8]])) -> Checked<()> {
        self.walk(|table, columns, _| {
            let fields: Vec<&[u8]> = columns.iter().map(|&column| table.field(column)).collect();
            see(&fields);
            Ok(true)
        })
    }

    /// The distinct words of the group's fields.
    pub fn words(&self, words: &mut BTreeSet<String>) -> Checked<()> {
        self.walk(|table, columns, _| {
            for &column in columns {
                let word = std::str::from_utf8(table.field(column)).map_err(|_| {
                    let shown = String::from_utf8_lossy(table.field(column)).into_owned();
                    table.fault(&rules::UNREADABLE_DATA, column, format!("`{shown}` is not UTF-8"))
                })?;
                if !words.contains(word) {
                    words.insert(word.to_owned());
                }
            }
            Ok(true)
        })
    }

    /// The rows behind a pipeline, each with the value beside it.
    pub fn rows(&self, pipeline: &Pipeline, mut see: impl FnMut(&[f64])) -> Checked<()> {
        let mut row = Vec::new();
        // What stands beside the rows is taken as it is; it may be missing where its own chain fills it.
        let start = |group: &'a Group| (group, Pipeline::start(group, group.chain_on(self.split), None));
        let beside = self.beside.map(start);
        self.walk(|table, columns, past| {
            let (own, other) = columns.split_at(self.group.sources().len());
            self.row(table, (own, past), pipeline, &mut row)?;
            if let (Some((group, pipeline)), [column]) = (&beside, other) {
                row.push(self.value(group, table, *column, pipeline)?);
            }
            see(&row);
            Ok(true)
        })
    }

    /// The first `most` rows behind a pipeline, one after the other, and how many there are. Row i is taken `copies[i]` times, rows
    /// beyond the list once.
    pub fn first(&self, pipeline: &Pipeline, most: usize, copies: &[usize]) -> Checked<(Vec<f64>, usize)> {
        let (mut data, mut rows, mut row) = (Vec::new(), 0, Vec::new());
        let mut copies = copies.iter().copied();
        self.walk(|table, columns, past| {
            self.row(table, (columns, past), pipeline, &mut row)?;
            for _ in 0..copies.next().unwrap_or(1).min(most - rows) {
                data.extend_from_slice(&row);
                rows += 1;
            }
            Ok(rows < most)
        })?;
        Ok((data, rows))
    }

    /// How often each row is taken, so that every class has as many as the largest, up to `most` rows in all.
    fn copies(&self, most: usize) -> Checked<Vec<usize>> {
        let pipeline = Pipeline::start(self.group, &[], None);
        // Labels are small whole numbers.
        let label = |row: &[f64]| row.first().map_or(0, |x| x.to_bits());
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        self.rows(&pipeline, |row| *counts.entry(label(row)).or_default() += 1)?;
        let largest = counts.values().copied().max().unwrap_or(0);
        let (mut copies, mut total) = (Vec::new(), 0);
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        self.rows(&pipeline, |row| {
            if total < most {
                let before = seen.entry(label(row)).or_default();
                let n = counts[&label(row)];
                let times = (*before + 1) * largest / n - *before * largest / n;
                *before += 1;
                total += times;
                copies.push(times);
            }
        })?;
        Ok(copies)
    }

    fn row(
        &self,
        table: &Table<'_>,
        (columns, past): (&[usize], &[f64]),
        pipeline: &Pipeline,
        row: &mut Vec<f64>,
    ) -> Checked<()> {
        row.clear();
        if let Some(lag) = &self.group.lag {
            row.extend_from_slice(past);
            // Without a largest lag above 0 there is no history, and every number is that of the row itself.
            if past.is_empty() {
                for &column in columns {
                    let now = self.value(self.group, table, column, pipeline)?;
                    row.extend(lag.rows.iter().map(|_| now));
                }
            }
        } else {
            for &column in columns {
                row.push(self.value(self.group, table, column, pipeline)?);
            }
        }
        if pipeline.steps.is_empty() && pipeline.fills_missing {
            // The step that fills missing values is being fitted.
            return Ok(());
        }
        pipeline.apply(row);
        if let Some(i) = row.iter().position(|x| !x.is_finite()) {
            let each = self.group.lag.as_ref().map_or(1, |lag| lag.rows.len().max(1));
            let column = pipeline.kept.get(i).and_then(|&at| columns.get(at / each)).or(columns.first());
            let column = column.copied().unwrap_or(0);
            let text = String::from_utf8_lossy(table.field(column)).into_owned();
            let message =
                format!("the transforms of `{}` turn `{text}` into {}", self.group.name.value, row[i]);
            return Err(Box::new(table.fault(&rules::MISSING_VALUE, column, message)));
        }
        Ok(())
    }

    /// One field as a number: itself, its place in the vocabulary, or its class.
    fn value(&self, group: &Group, table: &Table<'_>, column: usize, pipeline: &Pipeline) -> Checked<f64> {
        let bytes = table.field(column);
        let text = || String::from_utf8_lossy(bytes).into_owned();
        let number = || std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<f64>().ok());
        match &pipeline.content {
            Content::Numeric | Content::Target => match number() {
                Some(x) if x.is_finite() => Ok(x),
                Some(x) if x.is_infinite() => Err(Box::new(table.fault(
                    &rules::MISSING_VALUE,
                    column,
                    format!("`{}` is infinite", text()),
                ))),
                None if !bytes.is_empty() && !bytes.eq_ignore_ascii_case(b"na") => Err(Box::new(
                    table.fault(&rules::NOT_A_NUMBER, column, format!("`{}` is not a number", text())),
                )),
                _ if pipeline.fills_missing => Ok(f64::NAN),
                _ => {
                    let what =
                        if bytes.is_empty() { "an empty field".to_owned() } else { format!("`{}`", text()) };
                    let fault =
                        table.fault(&rules::MISSING_VALUE, column, format!("{what} in a numeric column"));
                    let filled = group.chain_on(self.split).iter().any(|step| step.transform.fills_missing());
                    let help = if filled {
                        "put `impute` first: the transforms before it cannot do without a value".to_owned()
                    } else {
                        let name = &group.name.value;
                        format!("declare `{name} ... |> impute(median, fit=train)` if values may be missing")
                    };
                    Err(Box::new(fault.help(help)))
                }
            },
            Content::Category(_) => {
                let found = pipeline.vocabulary.iter().position(|word| word.as_bytes() == bytes);
                if let Some((place, rows)) = found.zip(group.rows).filter(|(place, rows)| place >= rows) {
                    let message = format!(
                        "`{}` is word {place}, counted from 0, and the table has {rows} rows",
                        text()
                    );
                    return Err(Box::new(table.fault(&rules::WORD_WITHOUT_ROW, column, message)));
                }
                found.map(index).ok_or_else(|| {
                    let message = format!(
                        "`{}` is not in the vocabulary of {} words",
                        text(),
                        pipeline.vocabulary.len()
                    );
                    let near = did_you_mean(&text(), pipeline.vocabulary.iter().map(String::as_str))
                        .map(str::to_owned);
                    let fault = table.fault(&rules::UNKNOWN_CATEGORY, column, message);
                    Box::new(fault.maybe_help(near.map(|near| format!("did you mean `{near}`?"))))
                })
            }
            Content::Class(classes, None) => {
                #[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
                let inside = |x: &f64| x.fract() == 0.0 && *x >= 0.0 && *x < *classes as f64;
                match number() {
                    Some(x) if inside(&x) => Ok(x),
                    _ => {
                        let message =
                            format!("the label `{}` is not one of 0..{}", text(), classes.saturating_sub(1));
                        Err(Box::new(table.fault(&rules::LABEL_OUT_OF_RANGE, column, message)))
                    }
                }
            }
            Content::Class(_, Some(labels)) => {
                let found = labels.iter().position(|label| label.as_bytes() == bytes);
                found.map(index).ok_or_else(|| {
                    let message = format!("the label `{}` is not one of {}", text(), labels.join(", "));
                    Box::new(table.fault(&rules::LABEL_OUT_OF_RANGE, column, message))
                })
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "vocabularies are far below 2^53")]
fn index(i: usize) -> f64 {
    i as f64
}

/// The finding for a column that a file does not have.
#[must_use]
pub fn missing_column(span: crate::source::Span, file: &str, name: &str, columns: &[String]) -> Diagnostic {
    let near = did_you_mean(name, columns.iter().map(String::as_str));
    let shown: Vec<&str> = columns.iter().take(8).map(String::as_str).collect();
    let more = if columns.len() > 8 { ", ..." } else { "" };
    let known = format!("its {} columns are {}{more}", columns.len(), shown.join(", "));
    Diagnostic::new(&rules::MISSING_COLUMN, span, format!("`{file}` has no column `{name}`"))
        .help(near.map_or(known, |near| format!("did you mean `{near}`?")))
}

/// Rows of a split as tensors, by the name of the group.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// How many rows there are.
    pub rows: usize,
    /// `[rows, ...]` for each group.
    pub groups: BTreeMap<String, Tensor>,
}

/// Loads the first `most` rows of a split behind the stored chains, copied where the plan says so. Training rows get their noise from
/// `seed`.
///
/// # Errors
/// The first fault of each group.
pub fn load(
    plan: &Plan,
    split: Split,
    statistics: &Statistics,
    most: usize,
    seed: u64,
    loader: &dyn Loader,
) -> Result<Loaded, Diagnostics> {
    let mut loaded = Loaded::default();
    let mut out = Diagnostics::default();
    let copied = plan.oversample.as_ref().filter(|copied| split == Split::Train || copied.always.value);
    let copies = match copied.and_then(|copied| plan.group(&copied.by.value)) {
        Some(classes) => match Reading::new(plan, classes, split, loader).copies(most) {
            Ok(copies) => copies,
            Err(diagnostic) => {
                out.push(*diagnostic);
                return Err(out);
            }
        },
        None => Vec::new(),
    };
    for group in &plan.groups {
        let name = &group.name.value;
        let pipeline = match Pipeline::stored(group, split, statistics) {
            Ok(pipeline) => pipeline,
            Err(message) => {
                out.push(Diagnostic::new(&rules::STALE_STATISTICS, group.source, message));
                continue;
            }
        };
        match Reading::new(plan, group, split, loader).first(&pipeline, most, &copies) {
            Ok((mut data, rows)) => {
                let std = pipeline.noise();
                if split == Split::Train && std > 0.0 {
                    let mut generator = Draws { seed, stream: stream(&format!("noise/{name}")) }.generator();
                    data.iter_mut().for_each(|x| {
                        let z: f64 = StandardNormal.sample(&mut generator);
                        *x += std * z;
                    });
                }
                let shape = match &group.content {
                    Content::Class(..) => Shape::new([]),
                    _ => group.reshape.clone().unwrap_or_else(|| Shape::new([data.len() / rows.max(1)])),
                };
                loaded.rows = rows;
                loaded.groups.insert(name.clone(), Tensor::new(shape.with_batch(rows), data));
            }
            Err(diagnostic) => out.push(*diagnostic),
        }
    }
    if out.is_empty() { Ok(loaded) } else { Err(out) }
}
