//! `wellposed run`: one forward run, and with `--grads` one reverse run, on stored weights and inputs.
//!
//! Names are those of the nodes with PyTorch's suffixes and layouts; F64 and F32 are read, F64 is written. Running statistics are never
//! changed.

use super::{Failure, Global, Outcome, disk, print, refuse, runnable};
use crate::data::{Statistics, statistics_path};
use crate::exec::{Feeds, Settings, Weights, raw};
use crate::graph::Runnable;
use crate::source::{Loader, MAX_SPEC_BYTES};
use crate::tensor::Mode;
use crate::text::{number, plural};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A spec.
    path: PathBuf,
    /// The weights: `fc1.weight`, `bn1.running_mean`, ...
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The rows: one tensor for each input or column group and for each target.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The file to write: `loss`, `output`, `prediction`, `grad/...`, `grad_input/...`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Compute the gradients of the loss.
    #[arg(long)]
    grads: bool,
    /// Whether dropout and batch norm act as in training.
    #[arg(long, value_enum, default_value = "eval")]
    mode: ModeName,
    /// The seed of dropout masks.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Leave the l1 and l2 terms out of the loss.
    #[arg(long)]
    no_reg: bool,
    /// The rows are raw: apply the stored statistics first, and undo those of the target if the spec says `predict unscale(...)`.
    #[arg(long)]
    raw: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    Train,
    Eval,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { path, weights, input, out, grads, mode, seed, no_reg, raw: is_raw } = arguments;
    let compiled = match runnable(path, global)? {
        Ok(compiled) => compiled,
        Err(code) => return Ok(code),
    };
    let Some(graph) = Runnable::new(&compiled.graph) else { return Ok(1) };
    if *grads && graph.loss.is_none() {
        return Err(Failure(format!("{} has no loss, so there are no gradients", path.display())));
    }
    let (weights_name, input_name) = (weights.display().to_string(), input.display().to_string());
    let weights = match Weights::from_safetensors(&compiled.graph, &weights_name, &file(weights)?) {
        Ok(weights) => weights,
        Err(found) => return Ok(refuse(path, found, global)),
    };
    let mut rows = file(input)?;
    let stored = if *is_raw { statistics(path)? } else { Statistics::default() };
    if *is_raw {
        rows = match raw::transform(&compiled.graph, &stored, &input_name, &rows) {
            Ok(rows) => rows,
            Err(found) => return Ok(refuse(path, found, global)),
        };
    }
    let feeds = match Feeds::from_safetensors(graph, &input_name, &rows, *grads) {
        Ok(feeds) => feeds,
        Err(found) => return Ok(refuse(path, found, global)),
    };
    let mode = match mode {
        ModeName::Train => Mode::Train,
        ModeName::Eval => Mode::Eval,
    };
    let settings = Settings { mode, seed: *seed, penalties: !no_reg };
    let mut outputs = crate::exec::run(graph, &weights, &feeds, settings, *grads);
    if *is_raw {
        outputs.prediction = match raw::prediction(&compiled.graph, &stored, &outputs.output) {
            Ok(prediction) => prediction,
            Err(found) => return Ok(refuse(path, found, global)),
        };
    }
    disk::write(out, &outputs.to_safetensors())?;
    let loss = outputs.loss.map_or(String::new(), |loss| format!(", loss {}", number(loss)));
    let gradients =
        if *grads { format!(", {}", plural(outputs.params.len(), "gradient")) } else { String::new() };
    print(&format!("{}  {} in {mode} mode{loss}{gradients}\n", out.display(), plural(feeds.rows, "row")));
    Ok(0)
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure(format!("{} cannot be read: {error}", path.display())))
}

/// The stored statistics of a spec; none if the spec fits nothing.
fn statistics(spec: &Path) -> Result<Statistics, Failure> {
    let path = statistics_path(spec);
    if !path.exists() {
        return Ok(Statistics::default());
    }
    let bytes = disk::Disk
        .read(&path, MAX_SPEC_BYTES)
        .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    let text = String::from_utf8(bytes).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
    Statistics::parse(&text).map_err(|error| Failure(format!("{}: {error}", path.display())))
}
