//! What the chains of transforms make of the rows, step by step: what the law `normalised` judges.
//!
//! Contract: for every chain with a fitted step, and every target whose chain can be undone, the raw rows of the split that a step was fitted on
//! are read once and pass the chain up to that step with the given statistics. Columns are kept apart. A group of more than [`MOST`] numbers is
//! left out. Nothing is judged here.

use crate::data::{Content, Fitted, Group, Pipeline, Plan, Reading, Split, Statistics, Step, Transform};
use crate::diag::Diagnostics;
use crate::source::Loader;

/// The most numbers of one group that are read for this.
const MOST: u64 = 4_000_000;

/// What came out for one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Its name.
    pub group: String,
    /// What is known behind each fitted step, in the order of the chain.
    pub steps: Vec<Behind>,
    /// How far a row of a target comes back from the chain and its inverse, where there is one.
    pub back: Option<Back>,
}

/// The rows behind a fitted step.
#[derive(Clone, Debug, PartialEq)]
pub struct Behind {
    /// The step as it is written.
    pub step: String,
    /// What it was fitted to do.
    pub scaling: Scaling,
    /// The columns.
    pub columns: Vec<Column>,
}

/// What a fitted step brings columns to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Mean 0 and variance 1.
    Moments,
    /// The range 0 to 1.
    Range,
}

/// One column behind a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How many numbers.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Their mean square.
    pub square: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
    /// |offset| / scale of the step: how many times larger than what is left the numbers were that it took away.
    pub offset: f64,
    /// Whether the step found one value only, and shifts the column without scaling it.
    pub constant: bool,
}

/// The way back.
#[derive(Clone, Debug, PartialEq)]
pub struct Back {
    /// The largest difference between a number and what came back.
    pub error: f64,
    /// The largest magnitude of a number.
    pub most: f64,
}

/// Follows every chain.
///
/// # Errors
/// What is wrong with the rows.
pub fn follow(plan: &Plan, statistics: &Statistics, loader: &dyn Loader) -> Result<Vec<Chain>, Diagnostics> {
    let mut found = Vec::new();
    let numeric = |group: &&Group| matches!(group.content, Content::Numeric | Content::Target);
    for group in plan.groups.iter().filter(numeric) {
        let split = if plan.splits().contains(&Split::Train) { Split::Train } else { Split::All };
        let chain = group.chain_on(split);
        let rows = statistics.of(group, split).map_or(0, |of| of.rows);
        if chain.is_empty() || rows.saturating_mul(group.columns.len() as u64) > MOST {
            continue;
        }
        let Ok(steps) = prefixes(group, split, statistics) else { continue };
        let undone = (group.content == Content::Target)
            .then(|| Pipeline::stored(group, split, statistics).ok())
            .flatten()
            .filter(|_| chain.iter().all(|step| step.transform.can_be_undone()));
        let mut followed = Followed { steps, undone, back: Back { error: 0.0, most: 0.0 } };
        if followed.steps.is_empty() && followed.undone.is_none() {
            continue;
        }
        let mut splits: Vec<Split> = followed.steps.iter().map(|prefix| prefix.fit).collect();
        splits.push(split);
        splits.sort_unstable();
        splits.dedup();
        for on in splits {
            let raw = Pipeline::start(group, chain, None);
            let reading = Reading::new(plan, group, on, loader);
            reading
                .rows(&raw, |row| followed.see(row, on, on == split))
                .map_err(|fault| Diagnostics::from_iter([*fault]))?;
        }
        found.push(followed.conclude(&group.name.value));
    }
    Ok(found)
}

/// A chain up to a fitted step.
struct Prefix {
    behind: Behind,
    fit: Split,
    pipeline: Pipeline,
}

struct Followed {
    steps: Vec<Prefix>,
    undone: Option<Pipeline>,
    back: Back,
}

impl Followed {
    fn see(&mut self, raw: &[f64], on: Split, own: bool) {
        for prefix in self.steps.iter_mut().filter(|prefix| prefix.fit == on) {
            let mut row = raw.to_vec();
            prefix.pipeline.apply(&mut row);
            for (column, x) in prefix.behind.columns.iter_mut().zip(row) {
                column.see(x);
            }
        }
        let Some(pipeline) = self.undone.as_ref().filter(|_| own) else { return };
        let mut row = raw.to_vec();
        pipeline.apply(&mut row);
        if pipeline.invert(&mut row) {
            for (x, y) in raw.iter().zip(&row).filter(|(x, _)| !x.is_nan()) {
                self.back.most = self.back.most.max(x.abs());
                self.back.error = self.back.error.max((x - y).abs());
            }
        }
    }

    fn conclude(self, group: &str) -> Chain {
        let Self { steps, undone, back } = self;
        let mut steps: Vec<Behind> = steps.into_iter().map(|prefix| prefix.behind).collect();
        for column in steps.iter_mut().flat_map(|behind| &mut behind.columns) {
            #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
            let n = column.count.max(1) as f64;
            column.mean /= n;
            column.square /= n;
        }
        Chain { group: group.to_owned(), steps, back: undone.map(|_| back) }
    }
}

impl Column {
    fn new(name: String, (offset, scale): (f64, f64), constant: bool) -> Self {
        let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
        let offset = offset.abs() / scale;
        Self { name, count: 0, mean: 0.0, square: 0.0, least, most, offset, constant }
    }

    /// Sums, until they are divided at the end.
    fn see(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        self.count += 1;
        self.mean += x;
        self.square += x * x;
        self.least = self.least.min(x);
        self.most = self.most.max(x);
    }
}

/// The chain up to each step that is fitted to a scale, with its statistics.
fn prefixes(group: &Group, split: Split, statistics: &Statistics) -> Result<Vec<Prefix>, String> {
    let chain = group.chain_on(split);
    let mut fitted = statistics.of(group, split).map_or(&[][..], |of| &of.steps).iter();
    let mut pipeline = Pipeline::start(group, chain, None);
    let mut found = Vec::new();
    for step in chain {
        let of = step.transform.fit().and_then(|_| fitted.next()).cloned();
        if let (Some(of), Some(_)) = (&of, step.transform.fit()) {
            of.check(&step.transform, &pipeline.columns())?;
        }
        pipeline.push(step, of.clone());
        if let (Some(of), Some(fit)) = (of, step.transform.fit())
            && let Some(behind) = behind(step, &of, &pipeline.columns())
        {
            found.push(Prefix { behind, fit, pipeline: pipeline.clone() });
        }
    }
    Ok(found)
}

/// What is measured behind a step.
fn behind(step: &Step, fitted: &Fitted, names: &[String]) -> Option<Behind> {
    let names = || names.iter().cloned();
    let (scaling, columns) = match (&step.transform, fitted) {
        (Transform::Standardize(_), Fitted::Standardize { mean, var, scale }) => {
            let of = |((name, m), (v, s)): ((String, &f64), (&f64, &f64))| {
                // The scale of a column of one value is 1 by rule, and not by its variance.
                #[expect(clippy::float_cmp, reason = "it is set to 1")]
                let constant = *s == 1.0 && *v != 1.0;
                Column::new(name, (*m, *s), constant)
            };
            (Scaling::Moments, names().zip(mean).zip(var.iter().zip(scale)).map(of).collect())
        }
        (Transform::Minmax(_), Fitted::Minmax { min, max }) => {
            let of = |((name, lo), hi): ((String, &f64), &f64)| Column::new(name, (*lo, hi - lo), lo >= hi);
            (Scaling::Range, names().zip(min).zip(max).map(of).collect())
        }
        _ => return None,
    };
    Some(Behind { step: step.transform.to_string(), scaling, columns })
}
