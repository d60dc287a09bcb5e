//! `wellposed gradcheck`: the gradients, tensor by tensor.

use super::{Global, Outcome, Specs, over, print};
use crate::pipeline::{Options, Stages};
use crate::report::format::Format;
use crate::report::{Report, SpecReport};
use crate::text::number;
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
    let gradcheck = gradcheck::Options { seeds: seeds.clone(), steps: *steps, batch: (*batch).max(1) };
    let specs = over(&specs, stages, |_| Options { gradcheck: gradcheck.clone(), ..Options::default() });
    if global.format() == Format::Full {
        specs.iter().for_each(|spec| print(&table(spec)));
    }
    Ok(global.finish(&Report { specs }))
}

/// A line for each tensor and each point.
fn table(spec: &SpecReport) -> String {
    let Some(report) = &spec.gradcheck else { return String::new() };
    let width = report.tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
    let mut out = format!("{}: {}\n", spec.path, report.method);
    for tensor in &report.tensors {
        let worst = tensor.worst.as_ref().map_or(String::new(), |worst| {
            let index: Vec<String> = worst.index.iter().map(ToString::to_string).collect();
            format!("  worst [{}] {:.6e} against {:.6e}", index.join(","), worst.gradient, worst.numeric)
        });
        out.push_str(&format!(
            "  {:<width$}  {:<9} error {:<9} {} of {} components{worst}\n",
            tensor.name,
            tensor.verdict.word(),
            number(tensor.error),
            tensor.checked,
            tensor.components,
        ));
    }
    for point in &report.points {
        let ties =
            if point.ties > 0 { format!(", {} inputs exactly on a kink", point.ties) } else { String::new() };
        let (loss, error) = (number(point.loss), number(point.error));
        out.push_str(&format!(
            "  {} ({} mode): loss {loss}, relative error {error}{ties}\n",
            point.name, point.mode
        ));
    }
    out
}
