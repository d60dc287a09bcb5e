//! The rows of the data: every one of them is read; the stored statistics are compared with those of the data.
//!
//! Contract: a fault has file, line and column; statistics are computed again from the rows in every run, so that an edited or
//! outdated statistics file is seen. Nothing is written.

use crate::data::{self, Pipeline, Plan, Reading, Statistics, statistics_path};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::source::{Loader, MAX_SPEC_BYTES};
use std::io;
use std::path::Path;

/// Fits the statistics of a plan and reads the rows of every split.
pub fn check(plan: &Plan, loader: &dyn Loader) -> (Statistics, Diagnostics) {
    let (statistics, mut out) = data::fit(plan, loader);
    for group in &plan.groups {
        for split in plan.splits() {
            let Ok(pipeline) = Pipeline::stored(group, split, &statistics) else { continue };
            if let Err(fault) = Reading::new(plan, group, split, loader).rows(&pipeline, |_| ()) {
                // A vocabulary that is known to be larger than a table has been reported with its first row.
                let known = group.rows.zip(group.words()).is_some_and(|(rows, words)| words > rows);
                if !known || fault.rule.code != rules::WORD_WITHOUT_ROW.code {
                    out.push(*fault);
                }
            }
        }
    }
    (statistics, out)
}

/// The statistics in the file beside a spec, if it is there and can be understood.
#[must_use]
pub fn stored(spec: &Path, loader: &dyn Loader) -> Option<Statistics> {
    let bytes = loader.read(&statistics_path(spec), MAX_SPEC_BYTES).ok()?;
    Statistics::parse(&String::from_utf8(bytes).ok()?).ok()
}

/// What stands beside a spec.
#[derive(Clone, Debug)]
pub enum Beside {
    /// No statistics file.
    Nothing,
    /// A file, which holds these statistics if it can be understood, and differs in what the findings say.
    Stored(Option<Statistics>, Diagnostics),
}

/// Compares fitted statistics with those in the file beside the spec.
pub fn compare(plan: &Plan, spec: &Path, fitted: &Statistics, loader: &dyn Loader) -> Beside {
    let path = statistics_path(spec);
    let shown = path.display().to_string();
    let stale = |message: String| {
        let finding = Diagnostic::new(&rules::STALE_STATISTICS, plan.span, message)
            .note("file", shown.clone())
            .help("write it again with `wellposed stats fit`");
        Beside::Stored(None, Diagnostics::from_iter([finding]))
    };
    let bytes = match loader.read(&path, MAX_SPEC_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Beside::Nothing,
        Err(error) => return stale(format!("the stored statistics cannot be read: {error}")),
    };
    match String::from_utf8(bytes)
        .map_err(|error| error.to_string())
        .and_then(|text| Statistics::parse(&text))
    {
        Ok(stored) => {
            let differences = data::compare(plan, &stored, &shown, fitted).into_iter().collect();
            Beside::Stored(Some(stored), differences)
        }
        Err(error) => stale(format!("the stored statistics cannot be understood: {error}")),
    }
}

/// The finding that a spec's statistics are not stored.
#[must_use]
pub fn not_stored(plan: &Plan, spec: &Path) -> Diagnostic {
    let message = "the fitted statistics are not stored beside the spec";
    let target = statistics_path(spec);
    Diagnostic::new(&rules::NO_STATISTICS, plan.span, message).help(format!(
        "`wellposed stats fit {}` writes {}",
        spec.display(),
        target.display()
    ))
}
