//! wellposed
pub mod args;
pub mod data;
pub mod diag;
pub mod front;
pub mod graph;
pub mod inits;
pub mod lower;
pub mod manual;
pub mod moments;
pub mod ops;
pub mod scalar;
pub mod source;
pub mod tensor;
pub mod text;
