//! `wellposed gradcheck`: the gradients, tensor by tensor; with `--against` those of another program, too.

use super::against::Program;
use super::{Failure, Global, Outcome, Specs, over, print};
use crate::pipeline::{Options, Stages};
use crate::report::format::{Format, full};
use crate::report::{Report, heat};
use crate::valid::against::{Against, Precision};
use crate::valid::gradcheck::{self, Map};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
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
    /// Work out another formula, too; its verdict does not replace ours.
    #[arg(long, value_enum)]
    method: Option<MethodName>,
    /// Draw every tensor that fails into this folder: its gradient, the derivative and the error side by side.
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// Components of each tensor that are differenced at most; 0 leaves the differences to random directions.
    #[arg(long, value_name = "N")]
    components: Option<usize>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodName {
    /// The two-sided difference of the course notes with its step of 1e-7 and its bands.
    Ng,
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
    let Arguments {
        specs,
        seeds,
        steps,
        method,
        svg,
        components,
        batch,
        against,
        time_limit,
        precision,
        directions,
        keep,
    } = arguments;
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
        components: *components,
        maps: svg.is_some(),
        ng: *method == Some(MethodName::Ng),
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
    if let Some(folder) = svg {
        draw(&report, folder)?;
    }
    if global.format() == Format::Full {
        print(&full::gradients(&report, global.look()));
        return Ok(report.exit_code(global.deny_warnings));
    }
    Ok(global.finish(&report))
}

/// Writes a picture of every failing tensor, `<model>.<tensor>.svg`.
fn draw(report: &Report, folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure(format!("{}: {error}", path.display()));
    for spec in &report.specs {
        let ours = spec.gradcheck.iter().flat_map(|check| {
            let why =
                |map: &Map| check.tensors.iter().find(|tensor| tensor.name == map.name)?.diagnosis.as_deref();
            check.maps.iter().map(move |map| (map, why(map), ["derivative (true)", "gradient (given)"]))
        });
        let theirs = spec.against.iter().flat_map(|check| {
            let why =
                |map: &Map| check.tensors.iter().find(|tensor| tensor.name == map.name)?.diagnosis.as_deref();
            check.maps.iter().map(move |map| (map, why(map), ["ours (true)", "yours (given)"]))
        });
        for (map, why, sides) in ours.chain(theirs) {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
            let safe = |c: char| if c.is_alphanumeric() || "._-[]".contains(c) { c } else { '_' };
            let name: String = format!("{}.{}.svg", spec.model, map.name).chars().map(safe).collect();
            let file = folder.join(name);
            std::fs::write(&file, heat::svg(map, why, sides)).map_err(|error| failed(&file, error))?;
        }
    }
    Ok(())
}
