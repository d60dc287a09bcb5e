//! The integration tests: one binary, a module for each boundary.

mod architecture;
mod cli;
mod gradcheck;
mod lints;
mod passes;
mod properties;
