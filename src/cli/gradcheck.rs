//! `wellposed gradcheck`: the gradients, tensor by tensor.

use super::{Global, Outcome, Specs, over, print};
use crate::pipeline::{Options, Stages};
use crate::report::Report;
use crate::report::format::{Format, full};
use crate::valid::gradcheck;
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
    /// The seeds of the random initialisations; even ones are checked in training mode, odd ones in evaluation mode.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1])]
    seeds: Vec<u64>,
    /// Training steps before the last check; 0 leaves it out.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Rows in the batch.
    #[arg(long, default_value_t = 8)]
    batch: usize,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { specs, seeds, steps, batch } = arguments;
    let specs = specs.find()?;
    let stages = Stages { data: true, gradients: true, ..Stages::default() };
    let gradcheck = gradcheck::Options {
        seeds: seeds.clone(),
        steps: *steps,
        batch: (*batch).max(1),
        ..gradcheck::Options::default()
    };
    let specs = over(&specs, stages, |_| Options { gradcheck: gradcheck.clone(), ..Options::default() });
    let report = Report { specs };
    if global.format() == Format::Full {
        print(&full::gradients(&report, global.look()));
        return Ok(report.exit_code(global.deny_warnings));
    }
    Ok(global.finish(&report))
}
