//! `wellposed schema`: the JSON Schema of the YAML notation, for editors.

use super::{Outcome, print};
use crate::front::schema;
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {}

pub fn run(arguments: &Arguments) -> Outcome {
    let Arguments {} = arguments;
    print(&schema::text());
    Ok(0)
}
