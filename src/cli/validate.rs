//! `wellposed validate`: everything that can be said of a spec.

use super::{Global, Outcome, Specs, disk, together};
use crate::diag::{Diagnostic, Diagnostics, Place, rules};
use crate::pipeline::{Options, Stages};
use crate::report::{Report, SnapshotStatus, SpecReport};
use crate::source::Sources;
use crate::valid::declared::{self, Again};
use crate::valid::properties;
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
    /// The seed of the property tests.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Cases for each property.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Replay one case of one property, as a report shows it.
    #[arg(long, value_name = "LAW:CASE")]
    replay: Option<Again>,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { specs, seed, cases, replay } = arguments;
    let stages = match replay {
        Some(_) => Stages { properties: true, data: true, ..Stages::default() },
        None => Stages::ALL,
    };
    let (law, property) = match replay.clone() {
        Some(Again::Law(law)) => (Some(law), None),
        Some(Again::Declared(property)) => (None, Some(property)),
        None => (None, None),
    };
    let mut reports = together(specs, stages, |path| Options {
        properties: properties::Options { seed: *seed, cases: *cases, replay: law.clone() },
        declared: declared::Options { seed: *seed, cases: *cases, replay: property.clone() },
        snapshot: Some(disk::snapshot_path(path)),
        ..Options::default()
    })?;
    if replay.is_none() {
        reports.extend(unreferenced(specs));
    }
    Ok(global.finish(&Report { specs: reports }))
}

/// Snapshots below the named folders that no spec belongs to.
pub fn unreferenced(specs: &Specs) -> Vec<SpecReport> {
    let all = specs.folders().flat_map(disk::snapshots_of);
    all.filter(|(_, spec)| !spec.is_file())
        .map(|(snapshot, spec)| {
            let shown = snapshot.display().to_string();
            let message = format!("a snapshot without its spec, {}", spec.display());
            let mut found = Diagnostics::default();
            found.push(
                Diagnostic::at(&rules::SNAPSHOT_UNREFERENCED, Place::File(shown.clone()), message)
                    .help("remove it, or rename it with its spec"),
            );
            let snapshot = Some(SnapshotStatus::Unreferenced);
            SpecReport { snapshot, ..SpecReport::new(shown, Sources::default(), found) }
        })
        .collect()
}
