//! Verdicts in one line each, for people.

use super::SpecReport;
use crate::text::{number, plural};
use crate::valid::properties::Verdict;
use crate::valid::{audit, gradcheck, structure};

/// The heading of a spec's verdicts: path, model, size.
#[must_use]
pub fn heading(spec: &SpecReport) -> String {
    if spec.model.is_empty() {
        return spec.path.clone();
    }
    format!("{}  {}, {} parameters", spec.path, spec.model, crate::text::count(spec.params))
}

/// What the audits of the rows measured: rows of each split, moments at the input, condition.
#[must_use]
pub fn data(report: &audit::Report) -> String {
    // Splits in the order of the language, not of the alphabet.
    let known = ["train", "val", "test"];
    let rows = known
        .iter()
        .filter_map(|split| Some(format!("{split} {}", crate::text::count(*report.rows.get(split)?))));
    let mut line = format!("rows {}", rows.collect::<Vec<_>>().join(", "));
    for (group, moments) in &report.moments {
        let of = known.iter().filter_map(|split| moments.get(split)).map(|found| {
            // What rounding leaves of a mean of 0 is shown as 0.
            let mean = if found.mean.abs() < 1e-9 { 0.0 } else { found.mean };
            format!("{} ± {}", rounded(mean), rounded(found.variance.sqrt()))
        });
        line.push_str(&format!("; {group} {}", of.collect::<Vec<_>>().join(", ")));
    }
    if let Some(condition) = &report.condition {
        let raw = condition.raw.map_or("raw unknown".to_owned(), |raw| format!("raw {}", rounded(raw)));
        line.push_str(&format!("; kappa {raw}, at the input {}", rounded(condition.input)));
    }
    line
}

/// Two significant digits, enough to compare by eye.
fn rounded(x: f64) -> String {
    format!("{x:.1e}").parse().map_or(x.to_string(), number)
}

/// What the gradient check concludes: the tensors, the method, the error bound, the worst component.
#[must_use]
pub fn gradients(report: &gradcheck::Report) -> String {
    let tensors = plural(report.tensors.len(), "tensor");
    let points = plural(report.points.len(), "point");
    let error = report.points.iter().map(|point| point.error).fold(0.0, f64::max);
    let mut line = format!("{tensors}, {}, {points}; relative error {}", report.method, number(error));
    let bounds = report.tensors.iter().filter_map(|tensor| tensor.bound);
    if let Some(bound) = bounds.reduce(f64::max) {
        line.push_str(&format!(", bound {bound:.1e}"));
    }
    let worst = report.tensors.iter().max_by(|a, b| {
        (a.verdict, a.error).partial_cmp(&(b.verdict, b.error)).unwrap_or(std::cmp::Ordering::Equal)
    });
    if let Some(worst) = worst.filter(|worst| worst.error > 0.0) {
        line.push_str(&format!(", worst {} {}", worst.name, number(worst.error)));
    }
    line
}

/// Which models were tested besides the declared one, the first few by their values.
#[must_use]
pub fn structures(report: &structure::Report) -> String {
    let structure::Report { verdict: _, ranges, drawn, compiled, cut, faults: _, late } = report;
    let few = |all: &[String]| {
        let mut shown = all.iter().take(FEW).cloned().collect::<Vec<_>>();
        shown.extend((all.len() > FEW).then(|| format!("{} more", all.len() - FEW)));
        shown.join("; ")
    };
    let tested = if *late { "tested as far as the time went with" } else { "tested with" };
    let mut line = format!("{}: {tested} {}", ranges.join(", "), few(drawn));
    if *compiled > 0 {
        line.push_str(&format!("; compiled with {compiled} more"));
    }
    if !cut.is_empty() {
        line.push_str(&format!("; compiled and too expensive to be run: {}", few(cut)));
    }
    line
}

/// Models that are named.
const FEW: usize = 6;

/// What the property tests conclude: the laws that hold by the number of their cases, the names of those that were skipped (the JSON
/// report says why), and each of the others with its reason; a line for each declared one.
#[must_use]
pub fn properties(spec: &SpecReport) -> Vec<(Verdict, String)> {
    let laws = |verdict: Verdict| spec.properties.iter().filter(move |law| law.verdict == verdict);
    let mut passed: Vec<(usize, Vec<&str>)> = Vec::new();
    for law in laws(Verdict::Pass) {
        match passed.iter_mut().find(|(cases, _)| *cases == law.cases) {
            Some((_, names)) => names.push(law.name),
            None => passed.push((law.cases, vec![law.name])),
        }
    }
    let mut lines = Vec::new();
    if !passed.is_empty() {
        let group = |(cases, names): &(usize, Vec<&str>)| {
            format!("{}, {} each", names.join(", "), plural(*cases, "case"))
        };
        lines.push((Verdict::Pass, passed.iter().map(group).collect::<Vec<_>>().join("; ")));
    }
    let skipped: Vec<&str> = laws(Verdict::Skipped).map(|law| law.name).collect();
    if !skipped.is_empty() {
        lines.push((Verdict::Skipped, skipped.join(", ")));
    }
    for verdict in [Verdict::Inconclusive, Verdict::Fail] {
        lines.extend(laws(verdict).map(|law| (verdict, format!("{}: {}", law.name, law.detail))));
    }
    lines.extend(spec.declared.iter().map(|law| (law.verdict, format!("{}: {}", law.name, law.detail))));
    lines
}
