//! The integration tests: one binary, one module for each subject, everything through the public interface of the library.

mod ops;
mod support;
