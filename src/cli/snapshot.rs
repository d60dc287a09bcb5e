//! `wellposed snapshot`: the reviewed graphs.
//!
//! A snapshot is written only here, only with `--accept`, and never where the variable `CI` is set.

use super::validate::unreferenced;
use super::{Failure, Global, Outcome, Specs, disk, over, print};
use crate::diag::render::paint;
use crate::graph;
use crate::pipeline::{self, Options, Stages};
use crate::report::{Report, SnapshotStatus};
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
    /// Make the compiled graphs the reviewed ones.
    #[arg(long)]
    accept: bool,
    /// Print the compiled graph instead of comparing it.
    #[arg(long, conflicts_with = "accept")]
    print: bool,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { specs, accept, print: show } = arguments;
    let found = specs.find()?;
    if *show {
        return Ok(print_graphs(&found, global));
    }
    if *accept && std::env::var_os("CI").is_some() {
        return Err(Failure(
            "in CI snapshots are compared, never written (the variable CI is set)".to_owned(),
        ));
    }
    let stages = Stages { snapshot: true, ..Stages::default() };
    let options =
        |path: &std::path::Path| Options { snapshot: Some(disk::snapshot_path(path)), ..Options::default() };
    let mut reports = over(&found, stages, options);
    if !accept {
        reports.extend(unreferenced(specs));
        return Ok(global.finish(&Report::new(reports)));
    }
    let mut written = 0;
    for (path, report) in found.iter().zip(&mut reports) {
        if report.unopened || report.snapshot == Some(SnapshotStatus::Same) {
            continue;
        }
        let compiled = pipeline::compile(path, &disk::Disk).map_err(|error| Failure(error.message))?;
        if compiled.graph.partial {
            print(&format!("{}: not accepted, it has errors\n", path.display()));
            continue;
        }
        let target = disk::snapshot_path(path);
        disk::write(&target, graph::print(&compiled.graph).as_bytes())?;
        let word = if report.snapshot == Some(SnapshotStatus::Changed) { "changed" } else { "new" };
        print(&format!("{} {}\n", paint(global.look(), "32", word), target.display()));
        written += 1;
        report.snapshot = Some(SnapshotStatus::Same);
        report.found.retain(|finding| finding.rule != &crate::diag::rules::SNAPSHOT_CHANGED);
    }
    print(&format!("{} accepted\n", crate::text::plural(written, "snapshot")));
    Ok(global.finish(&Report::new(reports)))
}

fn print_graphs(found: &[std::path::PathBuf], global: Global) -> u8 {
    let mut code = 0;
    for path in found {
        match pipeline::compile(path, &disk::Disk) {
            Ok(compiled) if !compiled.found.has_errors() => print(&graph::print(&compiled.graph)),
            _ => {
                let specs = over(std::slice::from_ref(path), Stages::default(), |_| Options::default());
                code = code.max(global.finish(&Report::new(specs)));
            }
        }
    }
    code
}
