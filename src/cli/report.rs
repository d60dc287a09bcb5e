//! `wellposed report merge`: JSON reports of the shares of a run as one.

use super::{Failure, Global, Outcome, disk, print};
use crate::report::format::full;
use crate::report::merge;
use crate::source::Loader;
use clap::{Args, Subcommand};
use std::io;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Join the JSON reports of the shares of a run (`validate --partition hash:1/4 --format json`) into that of the whole run.
    ///
    /// The exit code is that of the whole run. Reports of other versions, seeds or numbers of cases, a missing share, and a spec of
    /// which two reports say different things are refused with exit code 2.
    Merge {
        /// Reports that `--format json` printed.
        #[arg(required = true, value_name = "REPORT")]
        reports: Vec<PathBuf>,
        /// Write the whole report here and print its summary; without it, the report goes to stdout.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Action::Merge { reports, out } = &arguments.action;
    let read = |path: &PathBuf| {
        let shown = path.display().to_string();
        let text = disk::Disk.open(path).and_then(io::read_to_string);
        text.map(|text| (shown.clone(), text))
            .map_err(|error| Failure(format!("{shown} cannot be read: {error}")))
    };
    let texts: Vec<(String, String)> = reports.iter().map(read).collect::<Result<_, _>>()?;
    let merged = merge::merge(&texts)?;
    match out {
        Some(path) => {
            disk::write(path, merged.text.as_bytes())?;
            print(&full::totals(merged.summary, Vec::new(), global.look()));
        }
        None => print(&merged.text),
    }
    Ok(merged.summary.exit_code(global.deny_warnings))
}
