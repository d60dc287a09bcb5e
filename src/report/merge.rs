//! Several JSON reports as one: those of the shares of a run give the report of the whole run.
//!
//! Contract: what was found of a spec is taken over as it stands, text for text; specs are in the order of their paths, snapshots without a
//! spec behind them, and the summary is counted anew, so that the whole is byte for byte what one run without shares prints. Reports
//! of one version, one seed, one number of cases and one time go together; if they are shares of a run, every share must be there.

use super::format::json::{self, VERSION};
use super::{Partition, Run, Summary};
use crate::valid::properties::{OUT_OF_TIME, Verdict};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

/// The report of a whole run.
#[derive(Debug)]
pub struct Merged {
    /// The report as JSON.
    pub text: String,
    /// Its numbers.
    pub summary: Summary,
}

/// What any version of a report has.
#[derive(Debug, Deserialize)]
struct Versioned {
    version: u32,
}

/// A report: its specs are kept as text.
#[derive(Debug, Deserialize)]
struct Whole {
    run: Option<Run>,
    specs: Vec<Box<RawValue>>,
}

/// What of a spec the order and the summary depend on.
#[derive(Debug, Deserialize)]
struct Spec {
    path: String,
    diagnostics: Vec<Finding>,
    #[serde(default)]
    properties: Vec<Law>,
    snapshot: Option<Status>,
    #[serde(default)]
    unopened: bool,
    #[serde(default)]
    unanswered: bool,
}

#[derive(Debug, Deserialize)]
struct Finding {
    severity: String,
    expected: bool,
}

#[derive(Debug, Deserialize)]
struct Law {
    verdict: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    status: String,
}

/// Joins reports; each has the name of its file and its text.
///
/// # Errors
/// If one of them is no report, they are not of one run, a share is missing, or a spec is in two of them with different contents. The
/// message names the files.
pub fn merge(reports: &[(String, String)]) -> Result<Merged, String> {
    let mut wholes = Vec::new();
    for (name, text) in reports {
        let strange = |error: serde_json::Error| format!("{name} is no report: {error}");
        let Versioned { version } = serde_json::from_str(text).map_err(strange)?;
        if version != VERSION {
            return Err(format!(
                "{name} is a report of version {version}; this program reads version {VERSION}"
            ));
        }
        let whole: Whole = serde_json::from_str(text).map_err(strange)?;
        wholes.push((name.as_str(), whole));
    }
    let run = one_run(&wholes)?;
    let mut specs: BTreeMap<(bool, PathBuf), (&str, &RawValue, Spec)> = BTreeMap::new();
    for (name, raw) in wholes.iter().flat_map(|(name, whole)| whole.specs.iter().map(move |raw| (*name, raw)))
    {
        let spec: Spec =
            serde_json::from_str(raw.get()).map_err(|error| format!("{name} is no report: {error}"))?;
        let unreferenced = spec.snapshot.as_ref().is_some_and(|snapshot| snapshot.status == "unreferenced");
        match specs.entry((unreferenced, PathBuf::from(&spec.path))) {
            Entry::Vacant(place) => {
                place.insert((name, raw, spec));
            }
            Entry::Occupied(known) if same(known.get().1, raw) => {}
            Entry::Occupied(known) => {
                return Err(format!("{} and {name} say different things about {}", known.get().0, spec.path));
            }
        }
    }
    let summary = summary(specs.values().map(|(_, _, spec)| spec));
    let specs = specs.into_values().map(|(_, raw, _)| raw).collect();
    Ok(Merged { text: json::write(run.as_ref(), specs, summary), summary })
}

/// The run that all reports are of, whole again.
fn one_run(reports: &[(&str, Whole)]) -> Result<Option<Run>, String> {
    let Some(((first, whole), rest)) = reports.split_first() else { return Ok(None) };
    let of_all = |whole: &Whole| whole.run.clone().map(|run| Run { partition: None, ..run });
    let run = of_all(whole);
    if let Some((name, other)) = rest.iter().find(|(_, other)| of_all(other) != run) {
        return Err(format!("{first} {}, {name} {}", words(run.as_ref()), words(other.run.as_ref())));
    }
    let shares =
        reports.iter().map(|(name, whole)| (*name, whole.run.as_ref().and_then(|run| run.partition)));
    let shares: Vec<(&str, Option<Partition>)> = shares.collect();
    let of = |share: Option<Partition>| share.map(Partition::of);
    if let Some((other, share)) = shares.iter().find(|(_, share)| of(*share) != of(shares[0].1)) {
        let word = |share: Option<Partition>| match share {
            Some(share) => format!("the share {share}"),
            None => "a whole run".to_owned(),
        };
        return Err(format!("{first} is {}, {other} {}", word(shares[0].1), word(*share)));
    }
    let there = |wanted: &Partition| shares.iter().any(|(_, share)| share.as_ref() == Some(wanted));
    if let Some(missing) = shares[0].1.and_then(|share| share.all().find(|wanted| !there(wanted))) {
        return Err(format!("the share {missing} is missing"));
    }
    Ok(run)
}

/// How a run tested properties.
fn words(run: Option<&Run>) -> String {
    let Some(Run { seed, cases, time, partition: _ }) = run else { return "tested no properties".to_owned() };
    let time = time.map_or(String::new(), |time| format!(" within {time} s"));
    format!("tested properties with seed {seed} and {cases} cases{time}")
}

/// Whether two texts are the same value.
fn same(one: &RawValue, other: &RawValue) -> bool {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    one.get() == other.get() || value(one) == value(other)
}

/// Counts as [`super::Report::summary`] does.
fn summary<'a>(specs: impl Iterator<Item = &'a Spec>) -> Summary {
    let mut summary = Summary::default();
    for Spec { path: _, diagnostics, properties, snapshot: _, unopened, unanswered } in specs {
        summary.specs += 1;
        for Finding { severity, expected } in diagnostics {
            match (expected, severity.as_str()) {
                (true, _) => summary.expected += 1,
                (false, "error") => summary.errors += 1,
                (false, "warning") => summary.warnings += 1,
                (false, _) => summary.infos += 1,
            }
        }
        let late = |law: &&Law| law.verdict == Verdict::Skipped.word() && law.detail == OUT_OF_TIME;
        summary.out_of_time += properties.iter().filter(late).count();
        summary.unopened += usize::from(*unopened);
        summary.unanswered += usize::from(*unanswered);
    }
    summary
}
