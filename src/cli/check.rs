//! `wellposed check`: the static rules.

use super::{Global, Outcome, Specs, over};
use crate::pipeline::{Options, Stages};
use crate::report::Report;
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
    /// Look for matters of taste, too: the rules that `rules` lists as style.
    #[arg(long)]
    style: bool,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let specs = arguments.specs.find()?;
    let specs = over(&specs, Stages { style: arguments.style, ..Stages::default() }, |_| Options::default());
    Ok(global.finish(&Report { specs }))
}
