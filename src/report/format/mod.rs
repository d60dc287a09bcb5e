//! Output formats: one file each, a function from the report to text.

pub mod concise;
pub mod full;
pub mod json;

use super::Report;
use crate::diag::render::Look;

/// The formats of `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: each finding with its source, each verdict, a summary.
    Full,
    /// A line for each finding.
    Concise,
    /// One JSON value.
    Json,
}

/// The report as text.
#[must_use]
pub fn render(report: &Report, format: Format, look: Look) -> String {
    match format {
        Format::Full => full::render(report, look),
        Format::Concise => concise::render(report),
        Format::Json => json::render(report),
    }
}
