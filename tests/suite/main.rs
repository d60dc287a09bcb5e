//! The integration tests: one binary, a module for each boundary, everything through the public interface of the library.

mod against;
mod architecture;
mod audit;
mod cli;
mod data;
mod declared;
mod diagnostics;
mod gradcheck;
mod gradmut;
mod hostile;
mod kernels;
mod lints;
mod mutants;
mod ops;
mod passes;
mod perturb;
mod print;
mod properties;
mod reference;
mod scalars;
mod signal;
mod splits;
mod support;
mod together;
mod twins;
