//! Properties of every random initialisation, tested with proptest as a library.
//!
//! Contract: a spec is a family of functions, one for each draw of its weights; a law is a statement about every member of that
//! family. One law a file: its `//!` header is the page that `wellposed explain` prints and states the tolerance with its reason,
//! `skip` says why the law could not fail on a graph, `test` decides one [`Case`]. A failing case is shrunk towards seed 0, one
//! sample and plain inputs, and is reported with the text that replays it. Everything is deterministic in the base seed.
//!
//! A law on every case is exact or holds within derived rounding, so that a sound model never fails it. One on the distribution can: `dropout`,
//! `loss-at-init` and `predicted-scale` fail a sound model once in 10^6 runs each, `live-units` at most once in 10^5, all together less often than
//! once in 70,000. What they would have seen with probability 0.99 is computed for the model at hand ([`power`](crate::valid::power)) and said in their
//! report; where that is too little, they are INCONCLUSIVE.

mod attention_order;
mod batch_permutation;
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

pub use lab::{Fault, Lab, Ran, Run};

use super::Samples;
use crate::diag::{Diagnostic, rules};
use crate::graph::{Graph, Runnable, Verified};
use crate::manual::page;
use crate::source::Span;
use crate::tensor::Tensor;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};
use serde::Serialize;
use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
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

/// One member of the family and one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// The seed of the weights and of everything that is drawn while running.
    pub seed: u64,
    /// How many rows the batch has.
    pub batch: usize,
    /// A factor on every real-valued input.
    pub scale: f64,
    /// What stands in real-valued inputs.
    pub rows: Rows,
}

/// What stands in real-valued inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Rows of the data set, or drawn as declared.
    #[default]
    Given,
    /// The first of these rows, again and again.
    Repeated,
    /// Ones.
    Constant,
    /// Zeros, but for a one that moves on from row to row.
    OneHot,
    /// Zeros.
    Zeros,
}

impl Rows {
    const ALL: [(&'static str, Self); 5] = [
        ("given", Self::Given),
        ("repeated", Self::Repeated),
        ("constant", Self::Constant),
        ("one-hot", Self::OneHot),
        ("zeros", Self::Zeros),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, rows)| *rows == self).map_or("given", |(word, _)| *word)
    }

    /// Puts it into an input.
    fn shape(self, feed: &mut Tensor) {
        let width = (feed.data.len() / feed.dims[0].max(1)).max(1);
        match self {
            Self::Given => {}
            Self::Repeated => {
                let first = feed.data[..width.min(feed.data.len())].to_vec();
                feed.data.chunks_mut(width).for_each(|row| row.copy_from_slice(&first));
            }
            Self::Constant => feed.data.fill(1.0),
            Self::Zeros => feed.data.fill(0.0),
            Self::OneHot => {
                feed.data.fill(0.0);
                feed.data.chunks_mut(width).enumerate().for_each(|(i, row)| row[i % width] = 1.0);
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, batch, scale, rows } = self;
        write!(f, "seed={seed},batch={batch},scale={scale:e}")?;
        if *rows == Rows::Given { Ok(()) } else { write!(f, ",rows={}", rows.word()) }
    }
}

/// A law and a case, as `--replay` takes them: `finite:seed=3,batch=1,scale=1e0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The law's name.
    pub law: String,
    /// The case.
    pub case: Case,
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is no case; write LAW:seed=0,batch=1,scale=1");
        let (law, fields) = text.split_once(':').ok_or_else(usage)?;
        if !ALL.iter().any(|known| known.name == law) {
            let names: Vec<&str> = ALL.iter().map(|law| law.name).collect();
            return Err(format!("there is no law `{law}`; the laws are {}", names.join(", ")));
        }
        let mut case = Case { seed: 0, batch: 1, scale: 1.0, rows: Rows::Given };
        for field in fields.split(',') {
            let (name, value) = field.split_once('=').ok_or_else(usage)?;
            match name.trim() {
                "seed" => case.seed = value.parse().map_err(|_| usage())?,
                "batch" => {
                    case.batch = value.parse().ok().filter(|n| *n > 0).ok_or_else(usage)?;
                    if case.batch > MAX_BATCH {
                        return Err(format!("a case has at most {MAX_BATCH} rows, and not {}", case.batch));
                    }
                }
                "scale" => {
                    case.scale = value.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(usage)?;
                }
                "rows" => {
                    let known = Rows::ALL.iter().find(|(word, _)| *word == value.trim());
                    case.rows = known.ok_or_else(usage)?.1;
                }
                _ => return Err(usage()),
            }
        }
        Ok(Self { law: law.to_owned(), case })
    }
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
        let replay = self.replay.as_ref()?;
        let message = format!("the property `{}` fails: {}", self.name, self.detail);
        Some(
            Diagnostic::new(&rules::PROPERTY_FAILED, span, message)
                .note("case", format!("{replay}, the smallest that was found"))
                .note(
                    "keep",
                    format!("that line in {spec}.regressions, which `validate --record {spec}` writes"),
                )
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

impl Options {
    fn late(&self) -> bool {
        self.time_up.as_ref().is_some_and(|TimeUp(asked)| asked())
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

/// The largest batch of a case.
const MAX_BATCH: usize = 12;
/// The largest batch of a case of a model that is expensive to run.
const FEW_ROWS: usize = 3;

/// Cases that shrink towards seed 0, one row and plain inputs.
fn cases(most: usize) -> impl Strategy<Value = Case> {
    let scales = proptest::sample::select(vec![1.0, 1e-3, 1e3]);
    let rows = proptest::sample::select(Rows::ALL.map(|(_, rows)| rows).to_vec());
    let batches = proptest::prop_oneof![1 => Just(1), 1 => Just(2), 4 => 1..=most];
    (
        0u64..1 << 20,
        batches,
        proptest::prop_oneof![3 => Just(1.0), 1 => scales],
        proptest::prop_oneof![3 => Just(Rows::Given), 1 => rows],
    )
        .prop_map(|(seed, batch, scale, rows)| Case { seed, batch, scale, rows })
}

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
            .map(|law| again(law, &lab, fault, replay.case))
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
    // A law that was begun has at least one case; those behind the time are drawn and not tested.
    let tested = Cell::new(0);
    let outcome = TestRunner::new(config).run(&cases(most), |case| {
        if tested.get() > 0 && options.late() {
            return Ok(());
        }
        tested.set(tested.get() + 1);
        every(lab, case).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {
            let cases = tested.get();
            let cut = (cases < count).then(|| format!("the time was up after {cases} of {count} cases"));
            let detail = cut.unwrap_or_default();
            Report { name: law.name, verdict: Verdict::Pass, cases, detail, replay: None }
        }
        Err(TestError::Fail(_, case)) => {
            // The message of the smallest case, which proptest does not keep.
            let detail = every(lab, case).err().unwrap_or_else(|| "the failure does not repeat".to_owned());
            failed(law, count, detail, case)
        }
        Err(TestError::Abort(reason)) => {
            let detail = format!("no cases could be drawn: {reason}");
            Report { name: law.name, verdict: Verdict::Inconclusive, cases: 0, detail, replay: None }
        }
    }
}

fn failed(law: &Law, cases: usize, detail: String, case: Case) -> Report {
    let replay = Some(format!("{}:{case}", law.name));
    Report { name: law.name, verdict: Verdict::Fail, cases, detail, replay }
}

fn overall(law: &Law, found: Overall, seed: u64) -> Report {
    let Overall { verdict, cases, detail } = found;
    let case = Case { seed, batch: 1, scale: 1.0, rows: Rows::Given };
    let replay = (verdict == Verdict::Fail).then(|| format!("{}:{case}", law.name));
    Report { name: law.name, verdict, cases, detail, replay }
}
