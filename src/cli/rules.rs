//! `wellposed rules`: every rule there is.

use super::{Global, Outcome, explain, print};
use crate::pipeline::catalogue;
use crate::report::format::Format;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
pub struct Arguments {}

#[derive(Serialize)]
struct Entry {
    code: &'static str,
    name: &'static str,
    severity: String,
    style: bool,
    summary: String,
    research: &'static [&'static str],
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments {} = arguments;
    if global.format() != Format::Json {
        print(&explain::rules());
        return Ok(0);
    }
    let entries: Vec<Entry> = catalogue()
        .into_iter()
        .map(|rule| Entry {
            code: rule.code,
            name: rule.name,
            severity: rule.severity.to_string(),
            style: rule.style,
            summary: rule.summary(),
            research: rule.research,
        })
        .collect();
    let text = serde_json::to_string_pretty(&entries).map_err(|error| error.to_string())?;
    print(&format!("{text}\n"));
    Ok(0)
}
