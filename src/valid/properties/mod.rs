//! Properties of every random initialisation, tested with proptest as a library.
//!
//! Contract: a spec is a family of functions, one for each draw of its weights; a law is a statement about every member of that
//! family. One law a file: its `//!` header is the page that `wellposed explain` prints and states the tolerance with its reason,
//! `skip` says why the law could not fail on a graph, `test` decides one [`Case`]. A failing case is shrunk towards seed 0, one
//! sample and plain inputs, and is reported with the text that replays it; where parameters declare ranges, each law is tested on
//! models with other values, too, and a failure shrinks to the smallest of them (`over`). Everything is deterministic in the base seed.
//!
//! A law on every case is exact or holds within derived rounding, so that a sound model never fails it. One on the distribution can: `dropout`,
//! `loss-at-init` and `predicted-scale` fail a sound model once in 10^6 runs each, `live-units` at most once in 10^5, all together less often than
//! once in 70,000. What they would have seen with probability 0.99 is computed for the model at hand ([`power`](crate::valid::power)) and said in their
//! report; where that is too little, they are INCONCLUSIVE.

mod attention_order;
mod batch_permutation;
mod case;
mod causality;
mod dropout;
mod duplicated_batch;
mod eval_determinism;
mod finite;
mod homogeneity;
mod keep_all;
mod lab;
mod learns;
mod live_units;
mod loss_at_init;
mod norm_invariance;
mod norm_moments;
mod normalised;
mod norms;
mod over;
mod passes;
mod penalty;
mod positions;
pub mod predicted_scale;
mod reference;
mod repeatable;
mod row_alone;
mod sample_independence;
mod softmax_rows;
mod symmetry;
mod translation;
mod variant;
mod weights_file;
mod zero_branch;

pub use case::{Case, MOST_ROWS, Replay, Rows};
pub use lab::{Fault, Lab, Ran, Run};
pub use over::{CASES, run_over};

use super::Samples;
use crate::diag::{Diagnostic, rules};
use crate::graph::{Graph, Runnable, Verified};
use crate::manual::page;
use crate::source::Span;
use case::MAX_BATCH;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};
use serde::Serialize;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// What the laws look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The graph.
    pub graph: &'a Verified<Graph>,
    /// The same graph, known to be complete.
    pub runnable: Runnable<'a>,
    /// Rows to run it on.
    pub samples: &'a Samples,
}

/// One law.
#[derive(Debug)]
pub struct Law {
    /// Its name.
    pub name: &'static str,
    /// Its manual page.
    pub page: &'static str,
    /// Why it could not fail on this graph, so that testing it would say nothing.
    pub skip: fn(Subject<'_>) -> Option<String>,
    /// How it is tested.
    pub test: Test,
}

/// How a law is tested.
#[derive(Debug)]
pub enum Test {
    /// It holds for every case; `Err` says which quantity broke which bound.
    Every(fn(&Lab<'_>, Case) -> Result<(), String>),
    /// It is a statement about the distribution over many initialisations.
    Overall(fn(Subject<'_>, u64, Fault<'_>) -> Overall),
}

/// What a statistical law concludes.
#[derive(Clone, Debug, PartialEq)]
pub struct Overall {
    /// PASS, FAIL or INCONCLUSIVE.
    pub verdict: Verdict,
    /// How many initialisations were drawn.
    pub cases: usize,
    /// What was compared, or what broke which bound.
    pub detail: String,
}

macro_rules! laws {
    ($($module:ident $name:literal $kind:ident),+ $(,)?) => {
        /// Every law, in the order in which they are tested.
        pub static ALL: &[Law] = &[$(Law {
            name: $name,
            page: page!(concat!(stringify!($module), ".rs")),
            skip: $module::skip,
            test: Test::$kind($module::test),
        }),+];
    };
}

laws! {
    finite "finite" Every,
    repeatable "repeatable" Every,
    eval_determinism "eval-determinism" Every,
    batch_permutation "batch-permutation" Every,
    sample_independence "sample-independence" Every,
    duplicated_batch "duplicated-batch" Every,
    row_alone "row-alone" Every,
    reference "reference" Every,
    passes "passes" Every,
    weights_file "weights-file" Every,
    penalty "penalty" Every,
    homogeneity "homogeneity" Every,
    zero_branch "zero-branch" Every,
    norm_moments "norm-moments" Every,
    norm_invariance "norm-invariance" Every,
    softmax_rows "softmax-rows" Every,
    symmetry "symmetry" Every,
    translation "translation" Every,
    attention_order "attention-order" Every,
    causality "causality" Every,
    keep_all "keep-all" Every,
    normalised "normalised" Overall,
    dropout "dropout" Overall,
    live_units "live-units" Overall,
    loss_at_init "loss-at-init" Overall,
    predicted_scale "predicted-scale" Overall,
    learns "learns" Overall,
}

/// What testing a law concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No case broke it.
    Pass,
    /// The law could not fail here, or was not tested.
    Skipped,
    /// The test has not enough power on this graph.
    Inconclusive,
    /// A case breaks it.
    Fail,
}

crate::text::serialize_words!(Verdict);

impl Verdict {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Skipped => "SKIPPED",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Fail => "FAIL",
        }
    }
}

/// What is reported of one law.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The law's name.
    pub name: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// How many cases were tested.
    pub cases: usize,
    /// What was compared, why it was skipped, or which quantity broke which bound.
    pub detail: String,
    /// The smallest failing case that was found, as `--replay` takes it.
    pub replay: Option<String>,
}

impl Report {
    /// A law that did not get its turn.
    fn late(law: &Law) -> Self {
        let detail = OUT_OF_TIME.to_owned();
        Self { name: law.name, verdict: Verdict::Skipped, cases: 0, detail, replay: None }
    }

    /// Whether the law was not tested because the time was up.
    #[must_use]
    pub fn out_of_time(&self) -> bool {
        self.verdict == Verdict::Skipped && self.detail == OUT_OF_TIME
    }

    /// The finding of a law that fails, at the head of the spec.
    #[must_use]
    pub fn finding(&self, span: Span, spec: &str) -> Option<Diagnostic> {
        let of = |replay: &str| format!("{replay}, the smallest that was found");
        let keep = format!("that line in {spec}.regressions, which `validate --record {spec}` writes");
        Some(self.failure("fails", of, span, spec)?.note("keep", keep))
    }

    /// The finding of a law that fails, or fails again.
    pub(super) fn failure(
        &self,
        fails: &str,
        of: impl Fn(&str) -> String,
        span: Span,
        spec: &str,
    ) -> Option<Diagnostic> {
        let replay = self.replay.as_ref()?;
        let with = self.failing().map_or(String::new(), |replay| replay.structure.with());
        let message = format!("the property `{}` {fails}{with}: {}", self.name, self.detail);
        Some(
            Diagnostic::new(&rules::PROPERTY_FAILED, span, message)
                .note("case", of(replay))
                .help(format!("replay it with `wellposed validate {spec} --replay {replay}`")),
        )
    }
}

/// How much is tested.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of the cases.
    pub seed: u64,
    /// Cases for each law.
    pub cases: u32,
    /// One case of one law instead.
    pub replay: Option<Replay>,
    /// Asked before each case: from when on no further one is begun. How many cases are tested then depends on the machine.
    pub time_up: Option<TimeUp>,
}

/// Says whether the time is up. The clock behind it is the caller's.
#[derive(Clone)]
pub struct TimeUp(pub Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for TimeUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeUp")
    }
}

impl TimeUp {
    /// Whether it is.
    #[must_use]
    pub fn late(&self) -> bool {
        let Self(asked) = self;
        asked()
    }
}

impl Options {
    /// Whether the time is up.
    #[must_use]
    pub fn late(&self) -> bool {
        self.time_up.as_ref().is_some_and(TimeUp::late)
    }
}

/// The reason why a law that could fail was not tested.
pub const OUT_OF_TIME: &str = "time";

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, cases: 16, replay: None, time_up: None }
    }
}

/// What the runs behind a comparison with predictions may cost, in multiplications and additions; an expensive model gets fewer of
/// them, never fewer than [`FEWEST`].
const BUDGET: f64 = 2e9;
/// The least number of cases.
const FEWEST: u32 = 4;

/// How many runs of a graph on a batch the budget allows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of runs, saturating")]
fn affordable(subject: Subject<'_>, batch: usize) -> u32 {
    ((BUDGET / super::step_cost(subject.graph, batch).max(1.0)) as u32).max(FEWEST)
}

/// How many runs on a batch the budget of one law allows, at least two.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of runs, saturating")]
fn runs(subject: Subject<'_>, batch: usize) -> u32 {
    ((LAW_BUDGET / super::step_cost(subject.graph, batch).max(1.0)) as u32).max(2)
}

/// The largest batch of a case of a model that is expensive to run.
const FEW_ROWS: usize = 3;
/// What a run on the batch of training may cost, in multiplications and additions: else no case has it.
const WHOLE_BATCH: f64 = 2e7;

/// Tests every law, or replays one case.
#[must_use]
pub fn run(subject: Subject<'_>, options: &Options) -> Vec<Report> {
    run_with(subject, options, Fault::default())
}

/// Tests every law on a model that goes wrong.
#[must_use]
pub fn run_with<'a>(subject: Subject<'a>, options: &Options, fault: Fault<'a>) -> Vec<Report> {
    let lab = Lab::new(subject, fault);
    match &options.replay {
        Some(replay) => ALL
            .iter()
            .filter(|law| law.name == replay.law)
            .map(|law| again(law, &lab, fault, replay.case).with(&replay.structure))
            .collect(),
        None => ALL.iter().map(|law| test(law, &lab, fault, options)).collect(),
    }
}

/// Tests one law on a model that goes wrong; `None` if there is no such law.
#[must_use]
pub fn run_one<'a>(name: &str, subject: Subject<'a>, options: &Options, fault: Fault<'a>) -> Option<Report> {
    let law = ALL.iter().find(|law| law.name == name)?;
    Some(test(law, &Lab::new(subject, fault), fault, options))
}

fn again(law: &Law, lab: &Lab<'_>, fault: Fault<'_>, case: Case) -> Report {
    match law.test {
        Test::Every(test) => match test(lab, case) {
            Ok(()) => Report {
                name: law.name,
                verdict: Verdict::Pass,
                cases: 1,
                detail: case.to_string(),
                replay: None,
            },
            Err(detail) => failed(law, 1, detail, case),
        },
        Test::Overall(test) => overall(law, test(lab.subject, case.seed, fault), case.seed),
    }
}

/// Multiplications and additions that the cases of one law may cost; at least one case is tested.
const LAW_BUDGET: f64 = 2e8;

fn test(law: &Law, lab: &Lab<'_>, fault: Fault<'_>, options: &Options) -> Report {
    let subject = lab.subject;
    if let Some(detail) = (law.skip)(subject) {
        return Report { name: law.name, verdict: Verdict::Skipped, cases: 0, detail, replay: None };
    }
    if options.late() {
        return Report::late(law);
    }
    let every = match law.test {
        Test::Every(test) => test,
        Test::Overall(test) => return overall(law, test(subject, options.seed, fault), options.seed),
    };
    let most = if super::step_cost(subject.graph, MAX_BATCH) > LAW_BUDGET { FEW_ROWS } else { MAX_BATCH };
    let cost = super::step_cost(subject.graph, most).max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating")]
    let cases_here = options.cases.min(((LAW_BUDGET / cost) as u32).max(1));
    // Every field that the environment could set is given, so that a run depends on its options alone. All laws draw the same cases.
    let config = Config {
        cases: cases_here,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(options.seed),
        failure_persistence: None,
        max_shrink_iters: 256,
        max_global_rejects: 1,
        max_local_rejects: 1,
        verbose: 0,
        ..Config::default()
    };
    let count = usize::try_from(cases_here).unwrap_or(usize::MAX);
    let (small, training) =
        (case::cases(most, None), training_batch(subject).map(|n| case::cases(most, Some(n))));
    let mut runner = TestRunner::new(config);
    // A law that was begun has at least one case.
    let mut tested = 0;
    while tested < count && !(tested > 0 && options.late()) {
        // The second case has the batch of training: the first is the cheapest.
        let strategy = training.as_ref().filter(|_| tested == 1).unwrap_or(&small);
        // What fails is made smaller as long as there is time.
        let first = Cell::new(true);
        let test = |case| {
            let begun = first.replace(false) || !options.late();
            if begun { every(lab, case).map_err(TestCaseError::fail) } else { Ok(()) }
        };
        let drawn = strategy.new_tree(&mut runner).map_err(TestError::Abort);
        let outcome = drawn.and_then(|drawn| runner.run_one(drawn, test));
        tested += 1;
        match outcome {
            Ok(_) => {}
            Err(TestError::Fail(_, case)) => {
                // The message of the smallest case, which proptest does not keep.
                let detail =
                    every(lab, case).err().unwrap_or_else(|| "the failure does not repeat".to_owned());
                return failed(law, count, detail, case);
            }
            Err(TestError::Abort(reason)) => {
                let detail = format!("no cases could be drawn: {reason}");
                return Report {
                    name: law.name,
                    verdict: Verdict::Inconclusive,
                    cases: 0,
                    detail,
                    replay: None,
                };
            }
        }
    }
    let cut = (tested < count).then(|| format!("the time was up after {tested} of {count} cases"));
    let detail = cut.unwrap_or_default();
    Report { name: law.name, verdict: Verdict::Pass, cases: tested, detail, replay: None }
}

/// The batch of training, where it is declared, cheap enough and not among those that are drawn anyway.
fn training_batch(subject: Subject<'_>) -> Option<usize> {
    let batch = subject.graph.training.batch?;
    let cheap = super::step_cost(subject.graph, batch) <= WHOLE_BATCH;
    (cheap && (MAX_BATCH + 1..=MOST_ROWS).contains(&batch)).then_some(batch)
}

fn failed(law: &Law, cases: usize, detail: String, case: Case) -> Report {
    let replay = Some(format!("{}:{case}", law.name));
    Report { name: law.name, verdict: Verdict::Fail, cases, detail, replay }
}

fn overall(law: &Law, found: Overall, seed: u64) -> Report {
    let Overall { verdict, cases, detail } = found;
    let case = Case::plain(seed);
    let replay = (verdict == Verdict::Fail).then(|| format!("{}:{case}", law.name));
    Report { name: law.name, verdict, cases, detail, replay }
}
