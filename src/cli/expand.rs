//! `wellposed expand`: a spec with every default argument written out, in its own notation.

use super::{Global, Outcome, convert, print};
use crate::front;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A spec.
    path: PathBuf,
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { path } = arguments;
    let (mut spec, sources) = match convert::read(path)? {
        Ok(read) => read,
        Err(report) => return Ok(global.finish(&report)),
    };
    front::expand::expand(&mut spec);
    print(&convert::text(&spec, &sources, spec.notation));
    Ok(0)
}
