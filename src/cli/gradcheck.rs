//! `wellposed gradcheck`: the gradients, tensor by tensor; with `--against` those of another program, too.

use super::against::Program;
use super::{Failure, Global, Outcome, Specs, over, print};
use crate::pipeline::{Options, Stages};
use crate::report::Report;
use crate::report::format::{Format, full};
use crate::valid::against::{Against, Precision};
use crate::valid::gradcheck;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    /// A program to check, as a command of the shell: it computes the model's loss and gradients (`wellposed explain against`).
    #[arg(long, value_name = "CMD")]
    against: Option<String>,
    /// Seconds that the program may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds, requires = "against")]
    time_limit: f64,
    /// What the program computes in.
    #[arg(long, value_enum, default_value = "f64", requires = "against")]
    precision: PrecisionName,
    /// Random directions of each tensor in which the program differences its own loss.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..), requires = "against")]
    directions: u8,
    /// A folder for request and answer, which stays.
    #[arg(long, value_name = "FOLDER", requires = "against")]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PrecisionName {
    F64,
    F32,
}

/// A length of time.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.0..=1e6).contains(&seconds) { Ok(seconds) } else { Err("it is not within 0 and 10^6".to_owned()) }
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { specs, seeds, steps, batch, against, time_limit, precision, directions, keep } =
        arguments;
    let specs = specs.find()?;
    let stages = Stages { data: true, gradients: true, against: against.is_some(), ..Stages::default() };
    let program = against
        .as_ref()
        .map(|line| Arc::new(Program::new(line, Duration::from_secs_f64(*time_limit), keep.as_deref())));
    if keep.is_some() && specs.len() > 1 {
        return Err("`--keep` takes one spec: the folder holds one request".into());
    }
    let against = program.clone().map(|program| Against {
        foreign: program,
        precision: match precision {
            PrecisionName::F64 => Precision::F64,
            PrecisionName::F32 => Precision::F32,
        },
        directions: usize::from(*directions),
    });
    let gradcheck = gradcheck::Options {
        seeds: seeds.clone(),
        steps: *steps,
        batch: (*batch).max(1),
        ..gradcheck::Options::default()
    };
    let specs = over(&specs, stages, |_| Options {
        gradcheck: gradcheck.clone(),
        against: against.clone(),
        ..Options::default()
    });
    if let Some(message) = program.and_then(|program| program.failure()) {
        return Err(Failure(message));
    }
    let report = Report::new(specs);
    if global.format() == Format::Full {
        print(&full::gradients(&report, global.look()));
        return Ok(report.exit_code(global.deny_warnings));
    }
    Ok(global.finish(&report))
}
