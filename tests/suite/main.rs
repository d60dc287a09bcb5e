//! The integration tests: one binary, a module for each boundary.

mod architecture;
mod cli;
mod gradcheck;
mod passes;
mod print;
mod properties;
mod support;
mod twins;
