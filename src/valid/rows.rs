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
                out.push(*fault);
            }
        }
    }
    (statistics, out)
}

/// Compares fitted statistics with those in the file beside the spec, and hands these back if they can be understood.
pub fn compare(
    plan: &Plan,
    spec: &Path,
    fitted: &Statistics,
    loader: &dyn Loader,
    out: &mut Diagnostics,
) -> Option<Statistics> {
    let path = statistics_path(spec);
    let shown = path.display().to_string();
    let stale = |message: String| {
        Diagnostic::new(&rules::STALE_STATISTICS, plan.span, message)
            .note("file", shown.clone())
            .help("write it again with `wellposed stats fit`")
    };
    let bytes = match loader.read(&path, MAX_SPEC_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !fitted.groups.is_empty() {
                let message = "the fitted statistics are not stored beside the spec";
                out.push(
                    Diagnostic::new(&rules::NO_STATISTICS, plan.span, message)
                        .help(format!("`wellposed stats fit {}` writes {shown}", spec.display())),
                );
            }
            return None;
        }
        Err(error) => {
            out.push(stale(format!("the stored statistics cannot be read: {error}")));
            return None;
        }
    };
    match String::from_utf8(bytes)
        .map_err(|error| error.to_string())
        .and_then(|text| Statistics::parse(&text))
    {
        Ok(stored) => {
            out.extend(data::compare(plan, &stored, &shown, fitted));
            Some(stored)
        }
        Err(error) => {
            out.push(stale(format!("the stored statistics cannot be understood: {error}")));
            None
        }
    }
}
