//! Checking the gradients of a program of your own: `wellposed gradcheck SPEC --against 'CMD'`.
//!
//! CMD is any program that computes the model of the spec: a PyTorch script, the test of a C++ kernel. It is run once by the shell, with the path of a
//! folder as its last argument and in the environment variable `WELLPOSED_FOLDER`, and answers every question that it finds there. It has
//! `--time-limit` seconds (60); then it and all that it has started are ended.
//!
//! ## The request
//!
//! | file | what it holds |
//! | --- | --- |
//! | `request.json` | `protocol` (1), `model`, `precision` (`f64`, or `f32` with `--precision f32`), `step`, `directions` (the file's name), `penalties`, `parameters`, `points` |
//! | `directions.safetensors` | `direction/fc1.weight`, F64 of shape `[K, ...]`: K random directions of each parameter; `direction_input/x` of shape `[K, rows, ...]` of each input that is no whole number |
//! | `point0.weights.safetensors` | parameters and running statistics under the names and layouts of PyTorch: `fc1.weight` is `[out, in]` |
//! | `point0.rows.safetensors` | inputs and targets under their own names, behind all transforms; labels and tokens are I64, all else F64 |
//! | `point0.masks.safetensors` | in training, `mask/fc1.dropout` for every dropout: what to multiply with, 0 or 1 / (1 - p); for an `alpha_dropout` 1 for what it keeps, else 0 |
//!
//! Each of `points` has `name`, `mode` (`train` or `eval`), the names of its files as `weights`, `rows` and `masks`, and as `answer` the name of the file
//! that the program is to write. Each of `penalties` has `parameter`, `order` and `factor`: `factor / 2 * sum w^2` for order 2, `factor * sum |w|`
//! for order 1, added to the loss. Each of `parameters` has `name` and `shape`.
//!
//! ## The answer
//!
//! One safetensors file a point, of F64 or F32 (a float16 tensor is refused):
//!
//! | tensor | shape | what it is |
//! | --- | --- | --- |
//! | `loss` | `[]` or `[1]` | the mean of the loss over the rows, plus the penalties |
//! | `grad/fc1.weight` | that of the parameter | the gradient, for every parameter |
//! | `losses/fc1.weight` | `[K, 4]` | for each direction v the loss at w + s v, all else unchanged, for s = h, -h, 2h, -2h with h = `step` |
//! | `grad_input/x` | that of the input | may be left out |
//! | `losses_input/x` | `[K, 4]` | the same losses along the directions of the input; may be left out |
//!
//! ## The verdict
//!
//! Each gradient g is compared twice. *Against ours*: |g - r| / (|g| + |r|) in the 2-norm, where r is the gradient of this program, which has
//! itself been checked first; up to 10^-7 passes (2 10^-4 for `f32`). *Against their own loss*: with D(h) = (L(w + hv) - L(w - hv)) / 2h, the number
//! (4 D(h) - D(2h)) / 3 and g . v must agree for every direction. The bound is |D(2h) - D(h)|, plus what the same differences of our loss miss of our
//! own gradient (which is what kinks and curvature do), plus 4 u |L| / h for rounding; three times the bound passes. The relative error that is reported
//! is the root mean square over the directions, which estimates |g - d| / (|g| + |d|).
//!
//! Gradients by inputs are compared with ours, and with differences of their own loss where `losses_input` is there.
//!
//! A loss that differs is K004, a gradient that is wrong K005, and an answer that cannot be used K006. For the simple mistakes the finding says in words
//! what was done: a factor (the number of rows, 2, a sign), zero, a transposed matrix, a kernel that was flipped, a penalty that is missing, halved or
//! doubled, rows that are shifted or exchanged, a component, row or column that is lost, a row of the batch that was left out or that alone counts, a
//! dropout mask that is not applied or not scaled, one of several ways through the net that is missing. Of a loss it says whether it is that without dropout,
//! without its scale, or of the other mode; and what is right in evaluation mode and wrong in training mode is said to be. `--svg FOLDER` draws every gradient that is wrong: ours,
//! yours and the difference side by side.
//!
//! ## Exit codes
//!
//! 0: everything agrees. 1: a finding, a tensor that is missing, of another shape or type or not finite among them. 2: the program could not be
//! compared: it could not be run, ended with a status other than 0, took longer than the limit, or left no file for a point or one that cannot be read; what
//! happened is a finding (K006), too, and `"unanswered": true` in the JSON report.
//!
//! ## Example
//!
//! `examples/against/` holds a spec and the same model in plain numpy. Without a mistake, exit code 0:
//!
//! ```text
//! $ wellposed gradcheck examples/against/model.nn --against 'python3 examples/against/numpy_model.py'
//!   ...
//!   against your program in f64: step 1e-5 along 3 random directions of each tensor
//!   fc1.weight    PASS      ours 1.632e-16  your loss 7.158e-12 bound 2.042e-10
//!   fc1.bias      PASS      ours 2.866e-16  your loss 2.135e-11 bound 4.254e-10
//!   fc2.weight    PASS      ours 1.678e-16  your loss 2.896e-12 bound 2.376e-10
//!   fc2.bias      PASS      ours 9.648e-16  your loss 9.775e-11 bound 1.294e-9
//!   grad_input/x  PASS      ours 1.825e-16  your loss 1.247e-11 bound 2.095e-10
//!   seed 0 (train mode): your loss 1.35 agrees, ours 1.35
//!   seed 1 (eval mode): your loss 1.192 agrees, ours 1.192
//!   seed 0 after 20 steps (train mode): your loss 1.258 agrees, ours 1.258
//! 1 spec: 0 errors, 0 warnings
//! ```
//!
//! `--bug transposed` switches a mistake on (`l2`, `mean`, `mask` and `forward` are others), exit code 1:
//!
//! ```text
//! $ wellposed gradcheck examples/against/model.nn --against 'python3 examples/against/numpy_model.py --bug transposed'
//!   ...
//!   fc1.weight    FAIL      ours 0.6918     your loss 0.6073    bound 2.025e-10  it is transposed: weights are [out, in]
//!   fc1.bias      PASS      ours 2.121e-16  your loss 1.683e-11 bound 4.14e-10
//!   fc2.weight    PASS      ours 1.117e-16  your loss 5.842e-12 bound 2.39e-10
//!   fc2.bias      PASS      ours 8.843e-16  your loss 2.318e-11 bound 1.354e-9
//!   grad_input/x  PASS      ours 1.667e-16
//!   ...
//! error[K005]: your loss agrees, your gradient of `fc1.weight` is wrong: it is transposed: weights are [out, in]
//!    ╭─[examples/against/model.nn:6:3]
//!  6 │   fc1: linear(8, init=he_normal) <- x
//!    ·   ───────────────────────────────────
//!    ╰────
//!    = node  fc1
//!    = ours  relative error 0.6918 against our gradient at seed 1
//!    = yours  relative error 0.6073 against differences of your own loss, bound 2.025e-10, step 1e-5, 3
//!             directions
//!    = worst  [5, 3]: yours 7.916145159235102e-3, ours -3.391813768703436e-1
//!
//! 1 spec: 1 error, 0 warnings
//! ```
//!
//! CMD may end in arguments, as here, and may be a line of several commands; the folder is put behind the last of them.

mod compare;
mod loss;
mod protocol;
mod report;

pub use super::diagnose::{Case, diagnose, diagnose_loss};
pub use protocol::{Answer, Manifest, Precision, Request, answer};
pub use report::{Component, PointReport, Report, TensorReport};

use super::Samples;
use super::gradcheck;
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::exec::{Feeds, Keep, Objective, Session, Settings, Weights};
use crate::graph::{Optimizer, Runnable};
use crate::optim;
use crate::tensor::Mode;
use std::fmt::Debug;
use std::sync::Arc;

/// The manual page of the protocol.
pub const PAGE: &str = crate::manual::page!("mod.rs");

/// A program that answers requests. Who runs it and where files are is not known here.
pub trait Foreign: Debug + Send + Sync {
    /// Runs the program once; gives the bytes of every answer file, in the order of the points, `None` for one that was not written.
    ///
    /// # Errors
    /// If it did not end well.
    fn answer(&self, request: &Request) -> Result<Vec<Option<Vec<u8>>>, Fault>;
}

/// Why a program gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub message: String,
    /// The end of what it wrote to stderr.
    pub stderr: String,
    /// What can be done.
    pub help: Option<String>,
}

/// A program and how it is asked.
#[derive(Clone, Debug)]
pub struct Against {
    /// The program.
    pub foreign: Arc<dyn Foreign>,
    /// What it computes in.
    pub precision: Precision,
    /// Random directions of each tensor.
    pub directions: usize,
}

/// One point of a request with what this program knows of it.
#[derive(Debug)]
pub struct Visit {
    name: String,
    settings: Settings,
    weights: Weights,
    feeds: Feeds,
}

/// What a comparison gave.
#[derive(Debug, Default)]
pub struct Compared {
    /// The comparison; none where the program ended badly.
    pub report: Option<Report>,
    /// The findings.
    pub found: Diagnostics,
    /// The program ended badly or took too long, or an answer could not be read: it was not compared, or not everywhere.
    pub unanswered: bool,
}

/// Asks a program for losses and gradients at the points of a gradient check, and compares.
#[must_use]
pub fn check(
    graph: Runnable<'_>,
    samples: &Samples,
    options: &gradcheck::Options,
    against: &Against,
) -> Compared {
    let mut found = Diagnostics::default();
    if graph.loss.is_none() {
        let message = "the spec has no loss, so no program can be checked against it";
        found.push(
            Diagnostic::new(&rules::FOREIGN_ANSWER, graph.span, message)
                .help("add `train { loss ... }` to the spec"),
        );
        return Compared { found, ..Compared::default() };
    }
    let visits = visits(graph, samples, options);
    let rows = options.batch.min(samples.rows()).max(1);
    let directions = protocol::Directions::new(graph, against.directions, rows);
    let request = protocol::request(graph, &visits, &directions, against.precision);
    let files = match against.foreign.answer(&request) {
        Ok(files) => files,
        Err(Fault { message, stderr, help }) => {
            let mut finding = Diagnostic::new(&rules::FOREIGN_ANSWER, graph.span, message).maybe_help(help);
            if !stderr.is_empty() {
                finding = finding.note("stderr", stderr);
            }
            found.push(finding);
            return Compared { report: None, found, unanswered: true };
        }
    };
    let mut report = Report::new(against.precision, against.directions);
    let mut unanswered = false;
    let mut seen = Vec::new();
    for ((visit, file), name) in visits.iter().zip(files).zip(&request.answers) {
        let answer = answer(graph, &visit.feeds, against.directions, name, file.as_deref(), &mut found);
        unanswered |= !answer.read;
        let (point, tensors) = compare::compare(graph, visit, &directions, against.precision, &answer);
        report.points.extend(point);
        if options.maps {
            report.maps.extend(compare::maps(graph, visit, &tensors, &answer));
        }
        seen.push((visit.settings.mode, tensors));
    }
    report::by_mode(graph, &mut report.points, &mut seen);
    seen.into_iter().flat_map(|(_, tensors)| tensors).for_each(|tensor| report.keep(tensor));
    report.maps.retain(|map| {
        report.tensors.iter().any(|tensor| (&tensor.name, &tensor.point) == (&map.name, &map.point))
    });
    report.conclude(found.has_errors());
    found.extend(report.findings(&graph));
    Compared { report: Some(report), found, unanswered }
}

/// The points: every seed, by turns in training and in use, and the first one after some training.
fn visits(graph: Runnable<'_>, samples: &Samples, options: &gradcheck::Options) -> Vec<Visit> {
    let batch = options.batch.min(samples.rows()).max(1);
    let feeds = |start| Feeds { tensors: samples.batch(start, batch), rows: batch, complete: true };
    let settings = |mode, seed| Settings { mode, seed, penalties: true };
    let mut visits: Vec<Visit> = (options.seeds.iter().enumerate())
        .map(|(i, &seed)| Visit {
            name: format!("seed {seed}"),
            settings: settings(if i % 2 == 0 { Mode::Train } else { Mode::Eval }, seed),
            weights: Weights::draw(&graph, seed),
            feeds: feeds(i * batch),
        })
        .collect();
    if let (Some(&seed), true) = (options.seeds.first(), options.steps > 0) {
        let feeds = feeds(0);
        let mut weights = Weights::draw(&graph, seed);
        let optimizer: &Optimizer =
            graph.training.optimizer.as_ref().map_or(&optim::DEFAULT, |optimizer| &optimizer.value);
        let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
        let steps = options.steps;
        optim::train(&mut session, &Objective::Loss, optimizer, steps, seed, &feeds.tensors, &mut weights);
        if optim::finite(&weights) {
            let name = format!("seed {seed} after {steps} steps");
            visits.push(Visit { name, settings: settings(Mode::Train, seed), weights, feeds });
        }
    }
    visits
}
