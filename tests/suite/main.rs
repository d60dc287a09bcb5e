//! The integration tests: one binary, a module for each boundary.

mod architecture;
mod cli;
mod gradcheck;
mod kernels;
mod passes;
mod properties;
mod reference;
