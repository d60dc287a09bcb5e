//! The integration tests: one binary, a module for each boundary.

mod architecture;
mod cli;
mod data;
mod diagnostics;
mod gradcheck;
mod hostile;
mod passes;
mod properties;
mod support;
mod twins;
