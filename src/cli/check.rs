//! `wellposed check`: the static rules.

use super::{Global, Outcome, Specs, over};
use crate::pipeline::{Options, Stages};
use crate::report::Report;
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    specs: Specs,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let specs = arguments.specs.find()?;
    let specs = over(&specs, Stages::default(), |_| Options::default());
    Ok(global.finish(&Report { specs }))
}
