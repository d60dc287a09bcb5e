//! For people: verdicts of each spec, its findings with their source, and one line of summary at the end.

use crate::diag::render::{self, Look, paint};
use crate::report::{
    Regressions, Report, Run, SnapshotStatus, SpecReport, StatisticsStatus, Summary, verdicts,
};
use crate::text::{count, number, plural};
use crate::valid::properties::Verdict;
use crate::valid::{against, gradcheck};

const GREEN: &str = "32";
const RED: &str = "1;31";
const YELLOW: &str = "33";
const BOLD: &str = "1";
const DIM: &str = "2";

/// The whole report: for each spec its verdicts in a line each.
#[must_use]
pub fn render(report: &Report, look: Look) -> String {
    with(report, look, |spec| verdict_lines(spec, look))
}

/// The whole report with the gradient check of each spec tensor by tensor.
#[must_use]
pub fn gradients(report: &Report, look: Look) -> String {
    with(report, look, |spec| {
        let mut lines = spec.gradcheck.as_ref().map_or(Vec::new(), |check| tensor_lines(check, look));
        if let Some(against) = &spec.against {
            lines.push(String::new());
            lines.extend(against_lines(against, look));
        }
        lines
    })
}

fn with(report: &Report, look: Look, lines: impl Fn(&SpecReport) -> Vec<String>) -> String {
    let mut out = String::new();
    for spec in &report.specs {
        let lines = lines(spec);
        if !lines.is_empty() {
            out.push_str(&paint(look, BOLD, &verdicts::heading(spec)));
            out.push('\n');
            lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
        }
        if !spec.found.is_empty() {
            out.push_str(&render::full(&spec.found, &spec.sources, look));
        }
    }
    out.push_str(&summary(report, look));
    out
}

/// The method, what the columns mean, a line for each tensor with its bounds and its worst component, and one for each point.
fn tensor_lines(check: &gradcheck::Report, look: Look) -> Vec<String> {
    let width = check.tensors.iter().map(|tensor| tensor.name.chars().count()).max().unwrap_or(0);
    let mut lines = vec![
        check.method.clone(),
        "bound: the error of no component exceeds this part of its terms, but for one chance in 10^6; smallest: an error of this size in".to_owned(),
        "a single component is always rejected, and was when it was planted; error: |g - d| / (|g| + |d|) against differences".to_owned(),
    ];
    for tensor in &check.tensors {
        let worst = tensor.worst.as_ref().map_or(String::new(), |worst| {
            let index: Vec<String> = worst.index.iter().map(ToString::to_string).collect();
            format!("  worst [{}]: {:.6e} against {:.6e}", index.join(","), worst.gradient, worst.numeric)
        });
        let word = paint(look, style(tensor.verdict), &format!("{:<10}", tensor.verdict.word()));
        let shown = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.1e}"));
        let (bound, smallest) = (shown(tensor.bound), shown(tensor.detectable));
        let (name, error) = (&tensor.name, number(tensor.error));
        let (checked, all) = (count(tensor.checked as u64), count(tensor.components as u64));
        let method = tensor.method.map_or(String::new(), |method| format!(" {}", method.word()));
        lines.push(format!(
            "{name:<width$}  {word} bound {bound:<8} smallest {smallest:<8} error {error:<9} {checked} of {all} components{method}{worst}"
        ));
        if let Some(why) = &tensor.diagnosis {
            lines.push(format!("{:<width$}  {why}", ""));
        }
        if let (gradcheck::Verdict::PassZero | gradcheck::Verdict::Vacuous, Some(terms)) =
            (tensor.verdict, tensor.sensitivity)
        {
            lines.push(format!("{:<width$}  its terms are at most {}", "", number(terms)));
        }
    }
    for point in &check.points {
        let ties =
            if point.ties > 0 { format!(", {} inputs exactly on a kink", point.ties) } else { String::new() };
        let (loss, error) = (number(point.loss), number(point.error));
        lines
            .push(format!("{} ({} mode): loss {loss}, relative error {error}{ties}", point.name, point.mode));
        if let Some(gradcheck::Anchor { error, bound, directions }) = point.anchor {
            let (error, bound) = (number(error), number(bound));
            lines.push(format!(
                "  differences along {directions} random directions: error {error}, bound {bound}"
            ));
        }
    }
    if let Some(ng) = &check.ng {
        lines.push(String::new());
        lines.extend(ng_lines(ng));
    }
    lines
}

/// The colour of a verdict.
fn style(verdict: gradcheck::Verdict) -> &'static str {
    if verdict.is_bad() {
        RED
    } else if verdict.is_pass() {
        GREEN
    } else {
        YELLOW
    }
}

/// The colour of a law's verdict.
fn law_style(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => GREEN,
        Verdict::Fail => RED,
        Verdict::Skipped | Verdict::Inconclusive => DIM,
    }
}

/// The formula of the course notes.
fn ng_lines(ng: &gradcheck::Ng) -> Vec<String> {
    let gradcheck::Ng { point, epsilon, error, band: whole, tensors } = ng;
    let width = tensors.iter().map(|tensor| tensor.name.chars().count()).max().unwrap_or(0).max(5);
    let mut lines = vec![
        format!("the course's formula at {point}, for who wants to see it; its bands do not replace the verdicts above:"),
        format!("dtheta_approx[i] = (J(theta[i] + {epsilon:e}) - J(theta[i] - {epsilon:e})) / (2 * {epsilon:e})"),
        "|dtheta_approx - dtheta| / (|dtheta_approx| + |dtheta|): below 1e-7 great, to 1e-5 look closer, above 1e-3 worry".to_owned(),
    ];
    for gradcheck::NgTensor { name, error, band, checked, components } in tensors {
        let (checked, all) = (count(*checked as u64), count(*components as u64));
        lines
            .push(format!("{name:<width$}  {error:<9.3e} {:<12} {checked} of {all} components", band.word()));
    }
    lines.push(format!("{:<width$}  {error:<9.3e} {}", "whole", whole.word()));
    lines
}

/// The same of another program: each tensor against ours and against its own loss, each point with both losses.
fn against_lines(against: &against::Report, look: Look) -> Vec<String> {
    let against::Report { verdict: _, precision, step, directions, points, tensors, maps: _ } = against;
    let (step, directions) = (number(*step), plural(*directions, "random direction"));
    let mut lines = vec![format!(
        "against your program in {}: step {step} along {directions} of each tensor",
        precision.word()
    )];
    let width = tensors.iter().map(|tensor| tensor.name.chars().count()).max().unwrap_or(0);
    for tensor in tensors {
        let style = if tensor.verdict.is_bad() { RED } else { GREEN };
        let word = paint(look, style, &format!("{:<9}", tensor.verdict.word()));
        let own = tensor.own_error.zip(tensor.own_bound).map_or(String::new(), |(error, bound)| {
            format!("  your loss {:<9} bound {:<9}", number(error), number(bound))
        });
        let why = tensor.diagnosis.as_ref().map_or(String::new(), |why| format!("  {why}"));
        let (name, error) = (&tensor.name, number(tensor.error));
        lines.push(format!("{name:<width$}  {word} ours {error:<9}{own}{why}").trim_end().to_owned());
    }
    for point in points {
        let (yours, ours) = (number(point.loss), number(point.our_loss));
        let word = if point.agrees { "agrees" } else { "differs" };
        lines.push(format!("{} ({} mode): your loss {yours} {word}, ours {ours}", point.name, point.mode));
    }
    lines
}

/// `gradients   PASS  ...`, one line for each stage that ran.
fn verdict_lines(spec: &SpecReport, look: Look) -> Vec<String> {
    let line = |stage: &str, style: &str, word: &str, text: &str| {
        let word = paint(look, style, &format!("{word:<5}"));
        format!("{stage:<11} {word} {text}").trim_end().to_owned()
    };
    let mut lines = Vec::new();
    if let Some(data) = &spec.data {
        let style = if data.verdict == "PASS" { GREEN } else { RED };
        lines.push(line("data", style, data.verdict, &verdicts::data(data)));
    }
    if let Some(check) = &spec.gradcheck {
        lines.push(line(
            "gradients",
            style(check.verdict),
            check.verdict.word(),
            &verdicts::gradients(check),
        ));
    }
    for (verdict, text) in verdicts::properties(spec) {
        lines.push(line("properties", law_style(verdict), verdict.word(), &text));
    }
    if let Some(structures) = &spec.structures {
        lines.push(line(
            "structures",
            law_style(structures.verdict),
            structures.verdict.word(),
            &verdicts::structures(structures),
        ));
    }
    if let Some(Regressions { cases, failed, left_out }) = spec.regressions {
        let (style, word) = if failed > 0 { (RED, "FAIL") } else { (GREEN, "PASS") };
        let broken = if failed > 0 { format!(", {failed} of them broken") } else { String::new() };
        let left = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
        let text = format!("{}{broken}{left}", plural(cases, "committed case"));
        lines.push(line("regressions", style, word, &text));
    }
    if let Some(status) = spec.statistics {
        let style = match status {
            StatisticsStatus::Same => GREEN,
            StatisticsStatus::Changed => RED,
            StatisticsStatus::Missing => YELLOW,
        };
        lines.push(line("statistics", style, status.word(), ""));
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

/// The last line: findings, snapshots, and what another run needs to be the same where that is not the default.
fn summary(report: &Report, look: Look) -> String {
    let mut more = Vec::new();
    for status in
        [SnapshotStatus::Same, SnapshotStatus::Changed, SnapshotStatus::Missing, SnapshotStatus::Unreferenced]
    {
        let n = report.specs.iter().filter(|spec| spec.snapshot == Some(status)).count();
        if n > 0 {
            more.push(format!("{} {}", plural(n, "snapshot"), status.word()));
        }
    }
    if let Some(Run { seed, cases: _, time: _, partition }) = &report.run {
        more.extend((*seed != 0).then(|| format!("seed {seed}")));
        more.extend(partition.map(|share| format!("share {share}")));
    }
    totals(report.summary(), more, look)
}

/// Numbers of findings in one line, and more that is worth a word.
#[must_use]
pub fn totals(summary: Summary, more: Vec<String>, look: Look) -> String {
    let Summary { specs, errors, warnings, infos: _, expected, unopened, unanswered, out_of_time } = summary;
    let mut parts = vec![plural(errors, "error"), plural(warnings, "warning")];
    if expected > 0 {
        parts.push(format!("{} as expected", plural(expected, "finding")));
    }
    parts.extend(more);
    if unopened > 0 {
        parts.push(format!("{unopened} could not be opened"));
    }
    if unanswered > 0 {
        parts.push(format!("no answer to {}", plural(unanswered, "request")));
    }
    if out_of_time > 0 {
        parts.push(format!("{} not tested for lack of time", plural(out_of_time, "law")));
    }
    let style = if errors > 0 || unopened > 0 || unanswered > 0 {
        RED
    } else if warnings > 0 || out_of_time > 0 {
        YELLOW
    } else {
        GREEN
    };
    format!("{}\n", paint(look, style, &format!("{}: {}", plural(specs, "spec"), parts.join(", "))))
}
