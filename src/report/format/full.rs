//! For people: verdicts of each spec, its findings with their source, and one line of summary at the end.

use crate::diag::render::{self, Look, paint};
use crate::report::{Report, SnapshotStatus, SpecReport, Summary, verdicts};
use crate::text::plural;
use crate::valid::properties::Verdict;

const GREEN: &str = "32";
const RED: &str = "1;31";
const YELLOW: &str = "33";
const BOLD: &str = "1";
const DIM: &str = "2";

/// The whole report.
#[must_use]
pub fn render(report: &Report, look: Look) -> String {
    let mut out = String::new();
    for spec in &report.specs {
        one(spec, look, &mut out);
    }
    out.push_str(&summary(report, look));
    out
}

fn one(spec: &SpecReport, look: Look, out: &mut String) {
    let verdicts = verdict_lines(spec, look);
    if verdicts.is_empty() && spec.found.is_empty() {
        return;
    }
    if !verdicts.is_empty() {
        out.push_str(&paint(look, BOLD, &verdicts::heading(spec)));
        out.push('\n');
        for line in verdicts {
            out.push_str(&format!("  {line}\n"));
        }
    }
    if !spec.found.is_empty() {
        out.push_str(&render::full(&spec.found, &spec.sources, look));
    }
}

/// `gradients   PASS  ...`, one line for each stage that ran.
fn verdict_lines(spec: &SpecReport, look: Look) -> Vec<String> {
    let line = |stage: &str, style: &str, word: &str, text: &str| {
        let word = paint(look, style, &format!("{word:<5}"));
        format!("{stage:<11} {word} {text}").trim_end().to_owned()
    };
    let mut lines = Vec::new();
    if let Some(check) = &spec.gradcheck {
        let style = if check.verdict.is_bad() { RED } else { GREEN };
        lines.push(line("gradients", style, check.verdict.word(), &verdicts::gradients(check)));
    }
    for (verdict, text) in verdicts::properties(spec) {
        let style = match verdict {
            Verdict::Pass => GREEN,
            Verdict::Fail => RED,
            Verdict::Skipped | Verdict::Inconclusive => DIM,
        };
        lines.push(line("properties", style, verdict.word(), &text));
    }
    if let Some(status) = spec.snapshot {
        let style = match status {
            SnapshotStatus::Same => GREEN,
            SnapshotStatus::Changed => RED,
            SnapshotStatus::Missing | SnapshotStatus::Unreferenced => YELLOW,
        };
        lines.push(line("snapshot", style, status.word(), ""));
    }
    lines
}

fn summary(report: &Report, look: Look) -> String {
    let Summary { specs, errors, warnings, infos: _, expected, unopened } = report.summary();
    let mut parts = vec![plural(errors, "error"), plural(warnings, "warning")];
    if expected > 0 {
        parts.push(format!("{} as expected", plural(expected, "finding")));
    }
    for status in
        [SnapshotStatus::Same, SnapshotStatus::Changed, SnapshotStatus::Missing, SnapshotStatus::Unreferenced]
    {
        let n = report.specs.iter().filter(|spec| spec.snapshot == Some(status)).count();
        if n > 0 {
            parts.push(format!("{} {}", plural(n, "snapshot"), status.word()));
        }
    }
    if unopened > 0 {
        parts.push(format!("{unopened} could not be opened"));
    }
    let style = if errors > 0 || unopened > 0 {
        RED
    } else if warnings > 0 {
        YELLOW
    } else {
        GREEN
    };
    format!("{}\n", paint(look, style, &format!("{}: {}", plural(specs, "spec"), parts.join(", "))))
}
