//! `wellposed weights`: one draw of the weights of a model.
//!
//! Each tensor is drawn from its own stream, so that the draw of one layer does not move another's.

use super::{Global, Outcome, disk, print, runnable};
use crate::exec::Weights;
use crate::text::{count, plural};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A spec.
    path: PathBuf,
    /// The seed of the draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The safetensors file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { path, seed, out } = arguments;
    let compiled = match runnable(path, global)? {
        Ok(compiled) => compiled,
        Err(code) => return Ok(code),
    };
    let graph = &compiled.graph;
    disk::write(out, &Weights::draw(graph, *seed).to_safetensors(graph))?;
    let tensors = plural(graph.params.len() + graph.states.len(), "tensor");
    print(&format!("{}  {tensors}, {} parameters, seed {seed}\n", out.display(), count(graph.param_count())));
    Ok(0)
}
