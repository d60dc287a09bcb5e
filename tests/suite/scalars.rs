//! The numbers that kernels run on: every elementary function, every slope, every kind of scalar, every matrix product.
//!
//! The chain of evidence: 384-bit arithmetic against printed constants, double-double numbers against it, `f64` functions against
//! double-doubles, slopes against differences of double-doubles, many lanes against one, and operators on each scalar against
//! each other. Every bound is stated where it is used, with where it comes from.

#[path = "scalars/big.rs"]
mod big;
#[path = "scalars/functions.rs"]
mod functions;
#[path = "scalars/operators.rs"]
mod operators;
#[path = "scalars/points.rs"]
mod points;
#[path = "scalars/precision.rs"]
mod precision;
#[path = "scalars/products.rs"]
mod products;
#[path = "scalars/slopes.rs"]
mod slopes;
