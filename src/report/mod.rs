//! What one run found, as one value.
//!
//! Contract: a [`Report`] holds everything that any output format shows, and nothing that depends on the clock, the machine or the
//! number of threads. Each format is one file under `format/`; none of them prints.

pub mod format;
pub mod svg;
mod verdicts;

use crate::diag::{Diagnostics, Severity};
use crate::source::Sources;
use crate::valid::{against, audit, declared, gradcheck, properties};
use serde::Serialize;

/// One run over one or more specs.
#[derive(Debug, Default)]
pub struct Report {
    /// The specs in the order of their paths.
    pub specs: Vec<SpecReport>,
}

/// What was found of one spec.
#[derive(Debug)]
pub struct SpecReport {
    /// The path as the user named it.
    pub path: String,
    /// The model's name; empty if the spec has none.
    pub model: String,
    /// The number of trainable parameters.
    pub params: u64,
    /// The text that the findings point into.
    pub sources: Sources,
    /// The findings, in order, after suppressions.
    pub found: Diagnostics,
    /// What the audits of the rows measured, if they ran.
    pub data: Option<audit::Report>,
    /// The gradient check, if it ran.
    pub gradcheck: Option<gradcheck::Report>,
    /// The comparison with another program, if it was made.
    pub against: Option<against::Report>,
    /// The property tests, if they ran.
    pub properties: Vec<properties::Report>,
    /// The tests of the properties that the spec declares, if they ran.
    pub declared: Vec<declared::Report>,
    /// The comparison with the stored statistics, if it was made and the spec fits any.
    pub statistics: Option<StatisticsStatus>,
    /// The comparison with the snapshot, if it was made.
    pub snapshot: Option<SnapshotStatus>,
    /// The spec could not even be opened.
    pub unopened: bool,
}

impl SpecReport {
    /// A report of findings alone.
    #[must_use]
    pub fn new(path: String, sources: Sources, found: Diagnostics) -> Self {
        Self {
            path,
            model: String::new(),
            params: 0,
            sources,
            found,
            data: None,
            gradcheck: None,
            against: None,
            properties: Vec::new(),
            declared: Vec::new(),
            statistics: None,
            snapshot: None,
            unopened: false,
        }
    }
}

/// How the compiled graph compares with the reviewed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStatus {
    /// They are equal.
    Same,
    /// They differ.
    Changed,
    /// There is no snapshot.
    Missing,
    /// There is a snapshot and no spec.
    Unreferenced,
}

crate::text::serialize_words!(SnapshotStatus, StatisticsStatus);

impl SnapshotStatus {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Unreferenced => "unreferenced",
        }
    }
}

/// How the statistics of the data compare with those beside the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatisticsStatus {
    /// They are equal.
    Same,
    /// They differ; a finding says how.
    Changed,
    /// None are stored.
    Missing,
}

impl StatisticsStatus {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Missing => "missing",
        }
    }
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Specs.
    pub specs: usize,
    /// Errors that were not expected.
    pub errors: usize,
    /// Warnings that were not expected.
    pub warnings: usize,
    /// Remarks.
    pub infos: usize,
    /// Findings that the specs announce.
    pub expected: usize,
    /// Specs that could not be opened.
    pub unopened: usize,
}

impl Report {
    /// Counts the findings.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { specs: self.specs.len(), ..Summary::default() };
        for spec in &self.specs {
            summary.errors += spec.found.count(Severity::Error);
            summary.warnings += spec.found.count(Severity::Warning);
            summary.infos += spec.found.count(Severity::Info);
            summary.expected += spec.found.iter().filter(|finding| finding.expected).count();
            summary.unopened += usize::from(spec.unopened);
        }
        summary
    }

    /// The exit code: 2 if a spec could not be opened, 1 if something was found, else 0.
    #[must_use]
    pub fn exit_code(&self, deny_warnings: bool) -> u8 {
        let summary = self.summary();
        if summary.unopened > 0 {
            return 2;
        }
        u8::from(summary.errors > 0 || (deny_warnings && summary.warnings > 0))
    }
}
