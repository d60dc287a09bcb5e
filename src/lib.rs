//! `wellposed` is a compiler for neural-network model specs that says before training whether the optimisation problem is well posed.
//!
//! ```text
//! text ──front──▶ ast ──lower──▶ Graph ──verify──▶ Verified<Graph> ──┬─signal, lints──▶ findings and fixes
//! (.nn / .nn.yaml)                                                   ├─passes─▶ Graph ─exec─▶ values, gradients
//!                                                                    ├─valid──▶ gradient checks, properties
//!                                                                    └─print──▶ snapshot ─▶ difference
//! ```
//!
//! [`pipeline`] is the whole of it on one screen. Every phase is a function from its input to a product and its findings; nothing stops
//! at the first mistake.
//!
//! # Invariants
//!
//! - Every value that a user wrote carries its [`source::Span`]; every finding says where, why, with which numbers, and what to do.
//! - Only [`graph::verify()`] makes a [`graph::Verified`] graph, and signal, lints and passes take nothing else. Only a complete graph is a
//!   [`graph::Runnable`], and execution takes nothing else. A node whose shape is unknown silences the rules that touch it, no others.
//! - Forward kernels are written once, generic over [`scalar::Scalar`]; reverse rules are written by hand. The tangent of a kernel
//!   comes from its forward code on dual numbers, so that the two cannot share a mistake.
//! - Every discrete decision and every random draw of a run can be replayed ([`tensor::Tape`], [`tensor::Draws`]).
//! - Results depend on the spec, the data and the stated seeds alone: not on the clock, the number of threads, a hash seed or the platform's
//!   maths library where a snapshot is concerned.
//! - A user's mistake is a [`diag::Diagnostic`]; a mistake of this program is a panic that begins with `internal:`.
//! - Below [`cli`] nothing prints, and nothing opens a file except through a [`source::Loader`].
//!
//! # The modules in reading order
//!
//! Dependencies point from later to earlier; a test reads the `use` lines and enforces it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`text`] | numbers as people read them |
//! | [`source`] | files, spans, the loader |
//! | [`diag`] | findings, rules, suppressions, rendering |
//! | [`args`], [`manual`] | arguments and signatures; manual pages and registries |
//! | [`tensor`], [`scalar`] | shapes, views, products, the tape; the numbers that kernels run on |
//! | [`moments`] | what the static analysis knows of a value |
//! | [`formula`] | functions that a spec declares, their derivatives, and whether those that it gives are right |
//! | [`inits`], [`data`] | initialisers; splits, transforms, fitted statistics |
//! | [`ops`] | operators: one file each holds shape rule, kernel, reverse rule, moments and manual |
//! | [`front`] | two notations to one syntax tree |
//! | [`graph`], [`lower`] | the compiled graph, its text and its invariants; tree to graph |
//! | [`signal`], [`lints`] | moments of every value; one rule a file |
//! | [`passes`], [`exec`], [`optim`] | rewrites; forward and reverse runs; a few training steps |
//! | [`valid`] | gradient checks and properties over random initialisations |
//! | [`report`], [`pipeline`], [`cli`] | what a run found; the run; the command line |
//!
//! # Where this departs from the plan it was drawn from
//!
//! `scalar` and `tensor` are one layer: a scalar says how it is stored in planes and multiplied, a tensor view is generic over scalars.
//! Manual pages are the `//!` headers of the member files, cut out at compile time, so that rustdoc, `explain` and the tests read one
//! text. Properties and gradient checks take the rows they run on as a value (`valid::Samples`), so that both see the same batches.

pub mod args;
pub mod cli;
pub mod data;
pub mod diag;
pub mod exec;
pub mod formula;
pub mod front;
pub mod graph;
pub mod inits;
pub mod lints;
pub mod lower;
pub mod manual;
pub mod moments;
pub mod ops;
pub mod optim;
pub mod passes;
pub mod pipeline;
pub mod report;
pub mod scalar;
pub mod signal;
pub mod source;
pub mod tensor;
pub mod text;
pub mod valid;
