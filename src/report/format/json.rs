//! The report as one JSON value, version 1.
//!
//! ```text
//! {"version": 1,
//!  "run": {"seed", "cases", "time", "partition"},
//!  "specs": [{"path", "model", "params",
//!    "diagnostics": [{"code", "name", "severity", "message", "file", "line", "column", "end_line", "end_column",
//!                     "node", "notes", "help", "fix", "expected"}],
//!    "data": {"verdict", "rows", "moments": {group: {split: {"mean", "variance"}}}, "condition": {"raw", "input", ...}},
//!    "gradcheck": {"verdict", "method", "points": [...], "faults": [{"node", "op", "operands", "slips": [{"operand", "why"}], ...}], "ng": {"error", "band", "tensors": [...]},
//!                  "tensors": [{"name", "verdict", "error", "bound", "detectable", "sensitivity", "diagnosis", "worst", ...}]},
//!    "against": {"verdict", "precision", "step", "directions", "points": [{"name", "loss", "our_loss", "agrees", ...}],
//!                "tensors": [{"name", "verdict", "error", "own_error", "own_bound", "diagnosis", "worst", ...}]},
//!    "unanswered",
//!    "properties": [{"name", "verdict", "cases", "detail", "replay"}],
//!    "structures": {"verdict", "ranges", "drawn", "compiled", "cut", "faults", "late"},
//!    "regressions": {"cases", "failed", "left_out"},
//!    "statistics": {"status"},
//!    "snapshot": {"status"},
//!    "unopened"}],
//!  "summary": {"specs", "errors", "warnings", "infos", "expected", "unopened", "unanswered", "out_of_time"}}
//! ```
//!
//! Lines and columns count from 1, columns in characters; an end is exclusive. What did not run or is not known is `null`.
//! Fields may be added within version 1; none goes or changes its meaning.

use crate::diag::{Diagnostic, Fix, Safety};
use crate::report::{Regressions, Report, Run, SnapshotStatus, SpecReport, StatisticsStatus, Summary};
use crate::source::Sources;
use crate::valid::{against, audit, declared, gradcheck, properties, structure};
use serde::Serialize;

/// The version of the format.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Json<'a, S> {
    version: u32,
    run: Option<&'a Run>,
    specs: Vec<S>,
    summary: Summary,
}

#[derive(Serialize)]
struct Spec<'a> {
    path: &'a str,
    model: &'a str,
    params: u64,
    diagnostics: Vec<Finding<'a>>,
    data: &'a Option<audit::Report>,
    gradcheck: &'a Option<gradcheck::Report>,
    against: &'a Option<against::Report>,
    unanswered: bool,
    properties: Vec<Property<'a>>,
    structures: &'a Option<structure::Report>,
    regressions: Option<Regressions>,
    statistics: Option<Status<StatisticsStatus>>,
    snapshot: Option<Status<SnapshotStatus>>,
    unopened: bool,
}

/// Laws of every spec first, then what the spec declares.
#[derive(Serialize)]
#[serde(untagged)]
enum Property<'a> {
    Law(&'a properties::Report),
    Declared(&'a declared::Report),
}

#[derive(Serialize)]
struct Status<T> {
    status: T,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'static str,
    name: &'static str,
    severity: String,
    message: &'a str,
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    node: Option<&'a str>,
    notes: Vec<[&'a str; 2]>,
    help: Option<&'a str>,
    fix: Option<FixJson<'a>>,
    expected: bool,
}

#[derive(Serialize)]
struct FixJson<'a> {
    title: &'a str,
    safe: bool,
    level: String,
    edits: Vec<EditJson<'a>>,
}

#[derive(Serialize)]
struct EditJson<'a> {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    text: &'a str,
}

/// The report as indented JSON with a line end.
#[must_use]
pub fn render(report: &Report) -> String {
    write(report.run.as_ref(), report.specs.iter().map(spec).collect(), report.summary())
}

/// The same of specs in any form that is written as JSON.
#[must_use]
pub fn write<S: Serialize>(run: Option<&Run>, specs: Vec<S>, summary: Summary) -> String {
    let json = Json { version: VERSION, run, specs, summary };
    let mut text = serde_json::to_string_pretty(&json).unwrap_or_else(|error| panic!("internal: {error}"));
    text.push('\n');
    text
}

fn spec(spec: &SpecReport) -> Spec<'_> {
    let SpecReport {
        path,
        model,
        params,
        sources,
        found,
        data,
        gradcheck,
        against,
        unanswered,
        properties,
        declared,
        structures,
        regressions,
        statistics,
        snapshot,
        unopened,
    } = spec;
    Spec {
        path,
        model,
        params: *params,
        diagnostics: found.iter().map(|diagnostic| finding(diagnostic, sources)).collect(),
        data,
        gradcheck,
        against,
        unanswered: *unanswered,
        properties: properties
            .iter()
            .map(Property::Law)
            .chain(declared.iter().map(Property::Declared))
            .collect(),
        structures,
        regressions: *regressions,
        statistics: statistics.map(|status| Status { status }),
        snapshot: snapshot.map(|status| Status { status }),
        unopened: *unopened,
    }
}

fn finding<'a>(diagnostic: &'a Diagnostic, sources: &Sources) -> Finding<'a> {
    let (file, start, end) = diagnostic.location(sources);
    Finding {
        code: diagnostic.rule.code,
        name: diagnostic.rule.name,
        severity: diagnostic.severity.to_string(),
        message: &diagnostic.message,
        file,
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        node: diagnostic.node.as_deref(),
        notes: diagnostic.notes.iter().map(|(key, text)| [*key, text.as_str()]).collect(),
        help: diagnostic.help.as_deref(),
        fix: diagnostic.fix.as_ref().map(|fix| fix_json(fix, sources)),
        expected: diagnostic.expected,
    }
}

fn fix_json<'a>(fix: &'a Fix, sources: &Sources) -> FixJson<'a> {
    let Fix { title, safety, level, edits } = fix;
    let edits = edits
        .iter()
        .map(|edit| {
            let (start, end) = sources.positions(edit.span);
            EditJson {
                line: start.line,
                column: start.column,
                end_line: end.line,
                end_column: end.column,
                text: &edit.text,
            }
        })
        .collect();
    FixJson { title, safe: *safety == Safety::Safe, level: level.to_string(), edits }
}
