//! `file:line:column: severity[CODE] message`, a line for each finding.

use crate::diag::render;
use crate::report::Report;

/// The findings of all specs.
#[must_use]
pub fn render(report: &Report) -> String {
    report.specs.iter().map(|spec| render::concise(&spec.found, &spec.sources)).collect()
}
