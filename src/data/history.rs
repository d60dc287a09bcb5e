//! The rows before a row: what `lag` looks at.
//!
//! Contract: the rows of one file stand in the order of time, which the walk checks; those of one subject (`group=`) are a series of their own. A row
//! sees what stands before it in its series and nothing else, whatever split that belongs to: it is the past. Of each series the first rows, as
//! many as the largest lag of the plan, have no whole past, and no group of the plan has them. Memory grows with the number of series, not
//! with that of rows.

use super::table::Table;
use super::time::Moment;
use super::{Back, Plan, Transform, missing_column};
use crate::diag::{Diagnostic, rules};
use crate::source::Span;
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

/// How columns are taken from earlier rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Lag {
    /// How many rows earlier, for each number that a column becomes.
    pub rows: Vec<usize>,
    /// The columns of the file.
    pub columns: Vec<String>,
    /// The step that says so.
    pub span: Span,
}

impl Lag {
    /// The step as it is written.
    #[must_use]
    pub fn step(&self) -> Transform {
        let rows = self.rows.iter().map(|rows| i64::try_from(*rows).unwrap_or(i64::MAX));
        Transform::Back(Back { rows: rows.collect() })
    }

    /// The names of the numbers of a row, column by column: `load[-1]`, `load[-24]`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let of =
            |name: &String| self.rows.iter().map(move |rows| format!("{name}[-{rows}]")).collect::<Vec<_>>();
        self.columns.iter().flat_map(of).collect()
    }
}

/// The rows that a series has had, the latest last.
type Past = VecDeque<Vec<f64>>;

/// What a walk keeps of the rows that it has passed.
pub(super) struct History {
    most: usize,
    time: usize,
    key: Option<usize>,
    series: BTreeMap<Vec<u8>, (Moment, Past)>,
}

impl History {
    /// The history of a plan's file; `None` if no group looks back.
    pub(super) fn of(plan: &Plan, table: &Table<'_>, time: usize) -> Result<Option<Self>, Box<Diagnostic>> {
        let most = plan.groups.iter().flat_map(|group| &group.lag).flat_map(|lag| &lag.rows).max();
        let Some(&most) = most.filter(|most| **most > 0) else { return Ok(None) };
        let key = match &plan.about.group {
            None => None,
            Some(name) => Some(table.header.find(&name.value).ok_or_else(|| {
                let file = plan.first_file().map_or("", |file| file.shown.as_str());
                missing_column(name.span, file, &name.value, &table.header.names)
            })?),
        };
        Ok(Some(Self { most, time, key, series: BTreeMap::new() }))
    }

    /// Enters a row with what its columns hold; what they held so many rows earlier, column by column, if the past is whole.
    pub(super) fn enter(
        &mut self,
        table: &Table<'_>,
        moment: Moment,
        now: Vec<f64>,
        rows: &[usize],
    ) -> Result<Option<Vec<f64>>, Box<Diagnostic>> {
        let key = self.key.map_or(Vec::new(), |key| table.field(key).to_vec());
        let (last, past) = self.series.entry(key).or_insert_with(|| (moment.clone(), Past::new()));
        if last.compare(&moment) == Ordering::Greater {
            let message = format!("`{}` stands behind `{}`", moment.shown(), last.shown());
            let fault = table.fault(&rules::UNORDERED_ROWS, self.time, message);
            return Err(Box::new(fault.help("`lag` takes the rows before a row: sort the file by time")));
        }
        *last = moment;
        let at = |column: usize, rows: usize| {
            if rows == 0 { now[column] } else { past[past.len() - rows][column] }
        };
        let of = |column: usize| rows.iter().map(move |&rows| (column, rows));
        let whole = (past.len() == self.most)
            .then(|| (0..now.len()).flat_map(of).map(|(column, rows)| at(column, rows)).collect());
        past.push_back(now);
        if past.len() > self.most {
            past.pop_front();
        }
        Ok(whole)
    }
}
