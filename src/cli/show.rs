//! `wellposed show`: the nodes of a spec in a table.
//!
//! The predicted rms comes from the static analysis of the declared inputs; the measured one is the root of the mean square over
//! random initialisations, on rows of the training split where there is data, else on drawn inputs. With `--signal` the table is
//! that of [`super::signal`].

use super::{Failure, Global, Outcome, disk, print, signal};
use crate::data;
use crate::exec::{Keep, Session, Settings, Tapes, Weights};
use crate::graph::{Graph, Runnable};
use crate::pipeline::{self, Compiled, Options, Stages};
use crate::report::Report;
use crate::report::format::Format;
use crate::tensor::{Mode, Tensor};
use crate::text::{count, number};
use crate::valid::Samples;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A spec.
    path: PathBuf,
    /// Over how many random initialisations the scale is measured; 0 measures nothing.
    #[arg(long, default_value_t = 8)]
    measure: u64,
    /// Rows in the batch.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Show how signal, gradient and the difference of two inputs travel: predicted and measured, with bands.
    #[arg(long)]
    signal: bool,
    /// Write the signal analysis as a chart to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    path: String,
    op: String,
    shape: String,
    params: u64,
    predicted_rms: Option<f64>,
    measured_rms: Option<f64>,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { path, measure, batch, signal, svg } = arguments;
    let compiled = pipeline::compile(path, &disk::Disk)
        .map_err(|finding| Failure(format!("{}: {}", path.display(), finding.message)))?;
    let code = if compiled.found.has_errors() {
        let specs = super::over(std::slice::from_ref(path), Stages::default(), |_| Options::default());
        global.finish(&Report::new(specs))
    } else {
        0
    };
    if *signal || svg.is_some() {
        let feeds = feeds(&compiled, (*batch).max(1));
        let view = signal::view(&compiled.graph, feeds.as_deref(), *measure);
        if let Some(file) = svg {
            std::fs::write(file, view.chart().svg())
                .map_err(|error| Failure(format!("{}: {error}", file.display())))?;
        }
        if global.format() == Format::Json {
            let text = serde_json::to_string_pretty(&view).map_err(|error| error.to_string())?;
            print(&format!("{text}\n"));
        } else {
            print(&view.text());
        }
        return Ok(code);
    }
    let measured = measured(&compiled, *measure, (*batch).max(1));
    let rows = rows(&compiled, measured.as_deref());
    if global.format() == Format::Json {
        let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
        print(&format!("{text}\n"));
    } else {
        print(&table(&compiled.graph, &rows));
    }
    Ok(code)
}

fn rows(compiled: &Compiled, measured: Option<&[f64]>) -> Vec<Row> {
    let Compiled { graph, signal, .. } = compiled;
    graph
        .layers()
        .map(|(handle, node)| Row {
            path: node.path.to_string(),
            op: node.op.name().to_owned(),
            shape: node.shape.as_ref().map_or("[?]".to_owned(), ToString::to_string),
            params: graph.params_of(node),
            predicted_rms: signal.node(handle).map(crate::moments::Moments::rms),
            measured_rms: measured.map(|measured| measured[handle.index()]),
        })
        .collect()
}

/// Rows to run the graph on: those of the training split where there is data; `None` if the graph cannot be run.
fn feeds(compiled: &Compiled, batch: usize) -> Option<Vec<Tensor>> {
    let graph = &compiled.graph;
    Runnable::new(graph)?;
    if crate::valid::gradcheck::memory(graph, batch) > crate::valid::MEMORY_LIMIT {
        return None;
    }
    let loaded = graph.data.as_ref().and_then(|plan| {
        let (statistics, faults) = data::fit(plan, &disk::Disk);
        if faults.has_errors() {
            None
        } else {
            Samples::load(graph, &statistics, batch, &disk::Disk).ok().flatten()
        }
    });
    let samples = loaded.unwrap_or_else(|| Samples::draw(graph, batch, 0));
    Some(samples.batch(0, batch.min(samples.rows().max(1))))
}

/// The rms of every node over random initialisations; `None` if the graph cannot be run.
fn measured(compiled: &Compiled, seeds: u64, batch: usize) -> Option<Vec<f64>> {
    let graph = &compiled.graph;
    let runnable = Runnable::new(graph).filter(|_| seeds > 0)?;
    let feeds = feeds(compiled, batch)?;
    let mut session: Session<'_, f64> =
        Session::new(runnable, feeds.first().map_or(1, |feed| feed.dims[0]), Keep::All);
    let mut squares = vec![0.0; graph.nodes.len()];
    for seed in 0..seeds {
        let weights = Weights::draw(graph, seed);
        let settings = Settings { mode: Mode::Train, seed, penalties: false };
        session.forward(&weights.at(&feeds), settings, Tapes::Live);
        for handle in graph.nodes.handles() {
            let value = session.value(handle);
            #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
            let n = value.len().max(1) as f64;
            squares[handle.index()] += value.iter().map(|x| x * x).sum::<f64>() / n;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "seed counts are far below 2^53")]
    let seeds = seeds as f64;
    Some(squares.into_iter().map(|sum| (sum / seeds).sqrt()).collect())
}

fn table(graph: &Graph, rows: &[Row]) -> String {
    let head = ["node", "op", "shape", "params", "rms predicted", "measured"].map(str::to_owned);
    let shown = |rms: Option<f64>| rms.map_or("-".to_owned(), number);
    let cells = rows.iter().map(|row| {
        let params = if row.params > 0 { count(row.params) } else { String::new() };
        let Row { path, op, shape, .. } = row;
        [path.clone(), op.clone(), shape.clone(), params, shown(row.predicted_rms), shown(row.measured_rms)]
    });
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(cells).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (i, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Words to the left, numbers to the right.
            text.push_str(&if i < 3 { format!("{cell:<width$}  ") } else { format!("{cell:>width$}  ") });
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    let mut declared: Vec<&str> = Vec::new();
    for own in graph.nodes.iter().filter_map(|(_, node)| node.op.own()) {
        if !declared.contains(&own.declaration.as_str()) {
            declared.push(&own.declaration);
            out.push_str(&format!("{}\n", own.declaration));
        }
    }
    let (params, state) = (count(graph.param_count()), count(graph.state_count()));
    out.push_str(&format!("total: {params} parameters, {state} state\n"));
    out
}
