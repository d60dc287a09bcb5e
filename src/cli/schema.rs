//! `wellposed schema`: the JSON Schema of the YAML notation, for editors.

use super::print;
use crate::front::schema;
use clap::Args;

#[derive(Debug, Args)]
pub struct Arguments {}

pub fn run(arguments: &Arguments) -> u8 {
    let Arguments {} = arguments;
    print(&schema::text());
    0
}
