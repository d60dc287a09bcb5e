//! The interpreter of the peers.

use std::process::Command;

/// `PEERS_PYTHON`, or `python3`.
pub fn python() -> String {
    std::env::var("PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// The program that the interpreter runs.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers.py");

/// Whether the interpreter has a module.
pub fn has(module: &str) -> bool {
    let import = format!("import {module}");
    Command::new(python()).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
}
