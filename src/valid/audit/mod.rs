//! Audits: what is wrong with readable rows.
//!
//! Contract: one audit a file. Its `//!` header is the page that `wellposed explain` prints; its `RULE` gives code, name and
//! severity; its `check` looks at the profile of the rows (and, where it must, at the rows again) and adds findings. Audits run when every
//! row could be read, never change anything, and need memory that does not grow with the number of rows. To add one: the file and its
//! two lines here.
//!
//! Severity follows from the consequence: an error where the training or its judgement means nothing, a warning where it is likely a
//! mistake, information where a sound data set can look so.

mod class_balance;
mod constant_column;
mod declared_range;
mod eigen;
mod ignored_prior;
mod ill_conditioned;
mod input_moments;
mod look_ahead;
mod profile;
mod repeated_rows;
mod serving_parity;
mod shared_key;
mod shifted_classes;
mod shifted_column;

pub use eigen::{Spectrum, spectrum};
pub use ill_conditioned::{Condition, condition};
pub use profile::{Column, Numbers, Profile};
pub use shifted_column::{distance, significance};

use crate::data::{Group, Plan, Reading, Split, Statistics};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::graph::Graph;
use crate::source::{Loader, Span};
use serde::Serialize;
use std::collections::BTreeMap;

/// What an audit looks at.
pub struct Subject<'a> {
    /// The compiled model.
    pub graph: &'a Graph,
    /// The data section.
    pub plan: &'a Plan,
    /// The statistics of the rows.
    pub fitted: &'a Statistics,
    /// The statistics in the file beside the spec, if there are any: what serving uses.
    pub stored: Option<&'a Statistics>,
    /// What is known of the rows.
    pub profile: &'a Profile,
    /// Where rows come from.
    pub loader: &'a dyn Loader,
}

/// One audit.
#[derive(Debug)]
pub struct Audit {
    /// The file that holds it, without its ending.
    pub file: &'static str,
    /// Code, name, severity, manual page.
    pub rule: &'static Rule,
    /// Adds findings; those of the phases before are there already.
    pub check: fn(&Subject<'_>, &mut Diagnostics),
}

macro_rules! audits {
    ($($module:ident),+ $(,)?) => {
        /// Every audit, in the order of the codes.
        pub static ALL: &[Audit] =
            &[$(Audit { file: stringify!($module), rule: &$module::RULE, check: $module::check }),+];
    };
}

/// The rule of an audit whose manual page is the header of the named file beside it.
macro_rules! audit {
    ($file:literal = $code:literal $name:literal $severity:ident $(from $($research:literal)+)?) => {
        $crate::diag::Rule {
            code: $code,
            name: $name,
            severity: $crate::diag::Severity::$severity,
            doc: $crate::manual::page!($file),
            style: false,
            research: &[$($($research),+)?],
        }
    };
}
use audit;

audits! {
    repeated_rows,
    constant_column,
    declared_range,
    class_balance,
    input_moments,
    serving_parity,
    ill_conditioned,
    shifted_column,
    shared_key,
    look_ahead,
    shifted_classes,
    ignored_prior,
}

/// What the audits measured, whether or not anything was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// No audit found an error.
    pub verdict: &'static str,
    /// Rows of each split.
    pub rows: BTreeMap<&'static str, u64>,
    /// The moments of each group behind its chain, by group and split.
    pub moments: BTreeMap<String, BTreeMap<&'static str, Moments>>,
    /// The condition of the inputs on the training rows, where it was computed.
    pub condition: Option<Condition>,
}

/// Mean and variance over all elements of a group behind its chain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moments {
    /// E x.
    pub mean: f64,
    /// E (x - E x)^2.
    pub variance: f64,
}

/// Runs every audit on rows that were all readable.
///
/// # Errors
/// If a row cannot be read after all.
pub fn run(
    graph: &Graph,
    plan: &Plan,
    (fitted, stored): (&Statistics, Option<&Statistics>),
    loader: &dyn Loader,
    found: &mut Diagnostics,
) -> Result<Report, Box<Diagnostic>> {
    let profile = Profile::of(plan, fitted, loader)?;
    let subject = Subject { graph, plan, fitted, stored, profile: &profile, loader };
    for audit in ALL {
        (audit.check)(&subject, found);
    }
    let failed =
        found.iter().any(|d| ALL.iter().any(|audit| audit.rule == d.rule) && d.counts(Severity::Error));
    Ok(Report {
        verdict: if failed { "FAIL" } else { "PASS" },
        rows: profile.splits.iter().map(|(split, rows)| (split.word(), rows.count)).collect(),
        moments: moments(plan, &profile),
        condition: condition(&subject),
    })
}

fn moments(plan: &Plan, profile: &Profile) -> BTreeMap<String, BTreeMap<&'static str, Moments>> {
    let mut out = BTreeMap::new();
    for group in &plan.groups {
        let of = profile.splits.keys().filter_map(|&split| {
            let numbers = profile.numbers(group, split)?;
            Some((split.word(), pooled(&numbers.input)?))
        });
        let of: BTreeMap<_, _> = of.collect();
        if !of.is_empty() {
            out.insert(group.name.value.clone(), of);
        }
    }
    out
}

/// The moments of all elements of some columns; `None` if there are none.
fn pooled(columns: &[Column]) -> Option<Moments> {
    let counts: u64 = columns.iter().map(|column| column.count).sum();
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let share = |column: &Column| column.count as f64 / counts as f64;
    if counts == 0 {
        return None;
    }
    let mean: f64 = columns.iter().map(|column| share(column) * column.mean).sum();
    let square: f64 = columns.iter().map(|column| share(column) * column.square()).sum();
    Some(Moments { mean, variance: (square - mean * mean).max(0.0) })
}

/// Where the rows of a split are named: its file, or the rule that divides the file.
fn place(plan: &Plan, split: Split) -> Span {
    plan.place(split).unwrap_or(plan.span)
}

/// The name of a column of a group.
fn column(group: &Group, i: usize) -> &str {
    group.columns.get(i).map_or("?", String::as_str)
}

/// A walk over one column of the files, whatever the groups hold.
fn fields(
    subject: &Subject<'_>,
    name: &str,
    split: Split,
    mut see: impl FnMut(&[u8]),
) -> Result<(), Box<Diagnostic>> {
    let Some(mut group) = subject.plan.groups.first().cloned() else { return Ok(()) };
    group.columns = vec![name.to_owned()];
    group.lag = None;
    Reading::new(subject.plan, &group, split, subject.loader)
        .fields(|fields| fields.iter().for_each(|field| see(field)))
}

/// A few names in words: `` `a`, `b`, `c` and 5 more ``.
fn names(list: &[&str]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = list.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match list.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A share in per cent.
fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let share = 100.0 * part as f64 / whole.max(1) as f64;
    format!("{} %", crate::text::number(share))
}
