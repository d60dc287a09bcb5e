//! The integration tests: one binary, a module for each boundary, everything through the public interface of the library.

mod architecture;
mod cli;
mod gradcheck;
mod lints;
mod ops;
mod passes;
mod print;
mod properties;
mod support;
mod twins;
