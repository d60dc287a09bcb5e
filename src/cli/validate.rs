//! `wellposed validate`: everything that can be said of a spec.

use super::{Global, Outcome, Specs, disk, record, say, together};
use crate::diag::{Diagnostic, Diagnostics, Place, rules};
use crate::pipeline::{Options, Stages};
use crate::report::{Partition, Report, Run, SnapshotStatus, SpecReport};
use crate::source::Sources;
use crate::valid::declared::{self, Again};
use crate::valid::properties::{self, TimeUp};
use crate::valid::regressions;
use clap::Args;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
    /// The seed of the property tests; `random` draws one and says which, so that the run can be repeated with it.
    #[arg(long, default_value = "0", value_name = "N|random")]
    seed: Seed,
    /// Cases for each property; a model that is expensive to run gets fewer, as the report says. Where parameters declare ranges, one
    /// model with other values is drawn for every four cases, at least two.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Begin no further case of a property this many seconds after the start of the whole run.
    ///
    /// Laws and declared properties that do not get their turn are SKIPPED with the reason `time`, never PASS, and counted in the summary.
    /// Everything else still runs: static rules, rows, gradients, committed failing cases, snapshots; models that the ranges of a spec
    /// allow are compiled, and the report says if not all of them were tested. How many cases are tested then depends on the
    /// machine; every case that is tested gives the same result as without a limit.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    time: Option<Duration>,
    /// Work on one share of the specs: `hash:1/4` is the first of four.
    ///
    /// A spec is in the share that the hash of its path gives it, as the path is named on the command line. The shares cover every
    /// spec exactly once; `wellposed report merge` joins their JSON reports.
    #[arg(long, value_name = "hash:K/N")]
    partition: Option<Partition>,
    /// Append the cases that fail to the file beside the spec, for instance `digits.nn.regressions`; never where `CI` is set.
    ///
    /// Commit the file: `validate` runs its cases before any other, each time. It holds a case a line, as a report shows it, and comments
    /// behind `#`.
    #[arg(long, conflicts_with = "replay")]
    record: bool,
    /// Replay one case of one law or declared property, as a report shows it: `finite:seed=3,batch=1,scale=1`, with other values of the
    /// parameters `finite@width=8,depth=21:seed=3,batch=1,scale=1`.
    #[arg(long, value_name = "LAW:CASE")]
    replay: Option<Again>,
}

/// `--seed`.
#[derive(Clone, Copy, Debug)]
enum Seed {
    Fixed(u64),
    Random,
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "random" => Ok(Self::Random),
            _ => text.parse().map(Self::Fixed).map_err(|_| "write a whole number or `random`".to_owned()),
        }
    }
}

impl Seed {
    /// The number; one that is drawn is said on stderr before anything runs, so that a run that is stopped can be repeated, too.
    fn number(self) -> u64 {
        match self {
            Self::Fixed(seed) => seed,
            Self::Random => {
                // The keys of a hasher come from the system's source of randomness. 32 bits are soon typed, and exact in any reader of JSON.
                let seed = RandomState::new().build_hasher().finish() >> 32;
                say(&format!("seed {seed}; `--seed {seed}` repeats the run\n"));
                seed
            }
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "write a number of seconds, 0 or more".to_owned())
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let begun = Instant::now();
    let Arguments { specs, seed, cases, time, partition, record: recording, replay } = arguments;
    if *recording {
        record::permitted()?;
    }
    let stages = match replay {
        Some(_) => Stages { properties: true, data: true, ..Stages::default() },
        None => Stages::ALL,
    };
    let (law, property) = match replay.clone() {
        Some(Again::Law(law)) => (Some(law), None),
        Some(Again::Declared(property)) => (None, Some(property)),
        None => (None, None),
    };
    let seed = seed.number();
    let properties = properties::Options {
        seed,
        cases: *cases,
        replay: law,
        time_up: time.map(|time| TimeUp(Arc::new(move || begun.elapsed() >= time))),
    };
    let time_up = properties.time_up.clone();
    let declared = declared::Options { seed, cases: *cases, replay: property, time_up };
    let mut reports = together(specs, *partition, stages, |path| Options {
        properties: properties.clone(),
        declared: declared.clone(),
        regressions: replay.is_none().then(|| regressions::path(path)),
        snapshot: Some(disk::snapshot_path(path)),
        ..Options::default()
    })?;
    if *recording {
        record::record(&reports)?;
    }
    if replay.is_none() {
        let left = unreferenced(specs).into_iter();
        reports.extend(left.filter(|left| partition.is_none_or(|share| share.holds(Path::new(&left.path)))));
    }
    let run = Run { seed, cases: *cases, time: time.map(|time| time.as_secs_f64()), partition: *partition };
    Ok(global.finish(&Report { specs: reports, run: Some(run) }))
}

/// Snapshots below the named folders that no spec belongs to, in the order of their paths.
pub fn unreferenced(specs: &Specs) -> Vec<SpecReport> {
    let mut all: Vec<_> = specs.folders().flat_map(disk::snapshots_of).collect();
    all.sort();
    all.dedup();
    all.into_iter()
        .filter(|(_, spec)| !spec.is_file())
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
