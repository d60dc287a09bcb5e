//! What one run found, as one value.
//!
//! Contract: a [`Report`] holds everything that any output format shows, and nothing that depends on the clock, the machine or the
//! number of threads, unless the user gave the laws a time. Each format is one file under `format/`; none of them prints.

pub mod format;
pub mod heat;
pub mod merge;
mod partition;
pub mod svg;
mod verdicts;

pub use partition::Partition;

use crate::diag::{Diagnostics, Severity};
use crate::source::Sources;
use crate::valid::{against, audit, declared, gradcheck, properties, structure};
use serde::{Deserialize, Serialize};

/// One run over one or more specs.
#[derive(Debug, Default)]
pub struct Report {
    /// The specs in the order of their paths.
    pub specs: Vec<SpecReport>,
    /// How properties were tested, if they were.
    pub run: Option<Run>,
}

/// How properties were tested: what another run needs to give the same report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The seed of the cases.
    pub seed: u64,
    /// Cases for each law.
    pub cases: u32,
    /// Seconds after which no further case was begun; with them, how much was tested depends on the machine.
    pub time: Option<f64>,
    /// The share of the specs that was tested; `None` is all of them.
    pub partition: Option<Partition>,
}

/// The committed failing cases of a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Regressions {
    /// How many were run.
    pub cases: usize,
    /// How many of them fail.
    pub failed: usize,
    /// How many were not run: the law cannot fail on this graph, or the spec no longer allows the values.
    pub left_out: usize,
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
    /// The other program gave no answer that could be read.
    pub unanswered: bool,
    /// The property tests, if they ran.
    pub properties: Vec<properties::Report>,
    /// The tests of the properties that the spec declares, if they ran.
    pub declared: Vec<declared::Report>,
    /// The models that the ranges of the spec allow and that were tested, too, if it declares any.
    pub structures: Option<structure::Report>,
    /// The failing cases that are committed beside the spec, if there are any and they ran.
    pub regressions: Option<Regressions>,
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
            unanswered: false,
            properties: Vec::new(),
            declared: Vec::new(),
            structures: None,
            regressions: None,
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
    /// Specs whose other program gave no answer that could be read.
    pub unanswered: usize,
    /// Laws and properties that were not tested because the time was up.
    pub out_of_time: usize,
}

impl Summary {
    /// The exit code: 2 if a spec could not be opened or another program gave no answer, 1 if something was found, else 0.
    #[must_use]
    pub fn exit_code(&self, deny_warnings: bool) -> u8 {
        if self.unopened > 0 || self.unanswered > 0 {
            return 2;
        }
        u8::from(self.errors > 0 || (deny_warnings && self.warnings > 0))
    }
}

impl Report {
    /// A report of specs whose properties were not tested.
    #[must_use]
    pub fn new(specs: Vec<SpecReport>) -> Self {
        Self { specs, run: None }
    }

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
            summary.unanswered += usize::from(spec.unanswered);
            summary.out_of_time += spec.properties.iter().filter(|law| law.out_of_time()).count();
            summary.out_of_time += spec.declared.iter().filter(|property| property.out_of_time()).count();
        }
        summary
    }

    /// The exit code: see [`Summary::exit_code`].
    #[must_use]
    pub fn exit_code(&self, deny_warnings: bool) -> u8 {
        self.summary().exit_code(deny_warnings)
    }
}
