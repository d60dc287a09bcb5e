//! `wellposed stats fit` and `wellposed stats check`: the fitted statistics beside a spec.

use super::{Failure, Global, Outcome, Specs, disk, over, print};
use crate::data::{self, statistics_path};
use crate::pipeline::{self, Options, Stages};
use crate::report::Report;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compute the statistics from the rows and write them beside the spec.
    Fit(Specs),
    /// Compute the statistics from the rows and compare them with the stored ones.
    Check(Specs),
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    match &arguments.action {
        Action::Fit(specs) => fit(specs, global),
        Action::Check(specs) => {
            let stages = Stages { data: true, statistics: true, ..Stages::default() };
            let specs = over(&specs.find()?, stages, |_| Options::default());
            Ok(global.finish(&Report::new(specs)))
        }
    }
}

/// Fits and writes; a spec or data with errors is reported and nothing is written for it.
fn fit(specs: &Specs, global: Global) -> Outcome {
    let mut code = 0;
    for path in specs.find()? {
        let compiled = pipeline::compile(&path, &disk::Disk)
            .map_err(|finding| Failure(format!("{}: {}", path.display(), finding.message)))?;
        let Some(plan) = compiled.graph.data.as_ref().filter(|_| !compiled.graph.partial) else {
            let specs = over(std::slice::from_ref(&path), Stages::default(), |_| Options::default());
            let report = Report::new(specs);
            if report.summary().errors == 0 {
                print(&format!("{} has no data section\n", path.display()));
            }
            code = code.max(global.finish(&report));
            continue;
        };
        let (statistics, faults) = data::fit(plan, &disk::Disk);
        if faults.has_errors() {
            let stages = Stages { data: true, statistics: true, ..Stages::default() };
            let specs = over(std::slice::from_ref(&path), stages, |_| Options::default());
            code = code.max(global.finish(&Report::new(specs)));
            continue;
        }
        let target = statistics_path(&path);
        if statistics.groups.is_empty() {
            print(&format!("{} fits nothing\n", path.display()));
            continue;
        }
        disk::write(&target, statistics.to_text().as_bytes())?;
        let groups: Vec<String> = statistics
            .groups
            .iter()
            .map(|(name, group)| {
                format!("{name}: {} columns, {} rows of {}", group.columns.len(), group.rows, group.fit)
            })
            .collect();
        print(&format!("{}  {}\n", target.display(), groups.join("; ")));
    }
    Ok(code)
}
