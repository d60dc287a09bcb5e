//! `wellposed check`: the static rules.

use super::{Global, Outcome, Specs, together};
use crate::pipeline::{Options, Stages};
use crate::report::Report;
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let specs = together(&arguments.specs, Stages::default(), |_| Options::default())?;
    Ok(global.finish(&Report { specs }))
}
