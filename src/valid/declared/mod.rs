//! What a spec declares of every random initialisation, tested by running the model.
//!
//! ## What it tests
//!
//! ```text
//! property {
//!   rms(fc2.tanh) in 0.3..1.2      # ends included; also < 2, <= 2, > 0.5, >= 0.5
//!   max_abs(out) < 20
//!   dead(fc1.relu) < 0.5
//!   loss_at_init in 2.0..2.6
//!   grad_rms(fc1.weight) > 1e-6
//!   invariant flip_horizontal      # of the only input, else: invariant flip_horizontal(image)
//!   monotone(out[1], tenure)
//!   causal(dec)
//! }
//! ```
//!
//! ```text
//! properties:
//!   - {rms: fc2.tanh, in: [0.3, 1.2]}
//!   - {max_abs: out, below: 20}    # also at_most, above, at_least
//!   - {loss_at_init: {}, in: [2.0, 2.6]}
//!   - {invariant: flip_horizontal}
//!   - {monotone: ["out[1]", tenure]}
//! ```
//!
//! Names are the paths of nodes (`stage[1].block[0].conv2`), of trainable tensors (`fc1.weight`) and of inputs; `wellposed show` lists
//! them. Each kind has a page: `rms`, `mean`, `max_abs`; `dead`, `saturated`; `loss_at_init`, `grad_rms`; `invariant`;
//! `monotone`; `causal`.
//!
//! A property is tested on several initialisations (`--cases`, from `--seed` on; fewer of an expensive model, never fewer than 4; no
//! further one behind `--time`), and on a few of each model that the ranges of the parameters allow and `explain structure` draws. It
//! fails if one of them breaks it. The first seed that does is reported, with the smallest number of rows that still
//! shows it and the command that replays it; `validate --record` keeps the case beside the spec, where it is run before any other. A pass says how often and how tightly: between which values all initialisations lie. It
//! is no proof: what happens once in a hundred initialisations is missed by 16 of them with probability 0.85.
//!
//! ## Verdicts
//!
//! PASS, FAIL (the finding P002, on the line of the property), INCONCLUSIVE where rounding is as large as what is looked for, and
//! SKIPPED where the property could not have failed or is not defined on this graph.

mod causal;
mod invariant;
mod monotone;
mod over;
mod replay;
mod scale;
mod training;
mod units;

pub use over::run_over;
pub use replay::{Again, Replay};

use super::properties::{OUT_OF_TIME, Subject, TimeUp, Verdict};
use super::structure::Structure;
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::exec::{Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use crate::graph::{Bound, Graph, Law, Property, Quantity};
use crate::manual::page;
use crate::source::Span;
use crate::tensor::{Mode, Tensor};
use crate::text::{number, plural};
use serde::Serialize;
use std::ops::Range;

/// The manual page of the section.
pub const PAGE: &str = page!("mod.rs");

/// The kinds of properties, each with its manual page.
pub static PAGES: [(&str, &str); 10] = [
    ("rms", page!("scale.rs")),
    ("mean", page!("scale.rs")),
    ("max_abs", page!("scale.rs")),
    ("dead", page!("units.rs")),
    ("saturated", page!("units.rs")),
    ("loss_at_init", page!("training.rs")),
    ("grad_rms", page!("training.rs")),
    ("invariant", page!("invariant.rs")),
    ("monotone", page!("monotone.rs")),
    ("causal", page!("causal.rs")),
];

/// Rows of a batch on which quantities are measured.
const ROWS: usize = 32;
/// Rows on which laws are tested.
const LAW_ROWS: usize = 12;
/// What the cases of one property may cost, in multiplications and additions.
const BUDGET: f64 = 4e9;
/// The least number of cases.
const FEWEST: u32 = 4;

/// How much is tested.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// Initialisations for each property.
    pub cases: u32,
    /// One case of one property instead.
    pub replay: Option<Replay>,
    /// Asked before each initialisation: from when on no further one is begun.
    pub time_up: Option<TimeUp>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, cases: 16, replay: None, time_up: None }
    }
}

impl Options {
    /// Whether the time is up; a case that is replayed always has its turn.
    fn late(&self) -> bool {
        self.replay.is_none() && self.time_up.as_ref().is_some_and(TimeUp::late)
    }
}

/// What is reported of one property.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The property, as the model language writes it.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// How many initialisations were tested.
    pub cases: usize,
    /// Between which values they lie, why it was skipped, or which value broke which bound.
    pub detail: String,
    /// The smallest failing case that was found, as `--replay` takes it.
    pub replay: Option<String>,
    /// Where the property is written.
    #[serde(skip)]
    pub span: Span,
}

impl Report {
    /// Whether the property was not tested because the time was up.
    #[must_use]
    pub fn out_of_time(&self) -> bool {
        self.verdict == Verdict::Skipped && self.detail == OUT_OF_TIME
    }

    /// The finding of a property that fails, on its own line.
    #[must_use]
    pub fn finding(&self, spec: &str) -> Option<Diagnostic> {
        let keep = format!("that case in {spec}.regressions, which `validate --record {spec}` writes");
        Some(self.failure("fails", spec)?.note("keep", keep))
    }

    /// The finding of a property that fails, or fails again.
    pub(super) fn failure(&self, fails: &str, spec: &str) -> Option<Diagnostic> {
        let replay = self.failing()?;
        let message = format!("`{}` {fails}{}: {}", self.name, replay.structure.with(), self.detail);
        Some(
            Diagnostic::new(&rules::DECLARED_PROPERTY, self.span, message)
                .note("replay", format!("wellposed validate {spec} --replay \"{replay}\"")),
        )
    }
}

/// What a law says of one initialisation.
enum Outcome {
    /// It held; the largest deviation from it that rounding may explain.
    Held(f64),
    /// It could not have failed.
    Moot(&'static str),
    /// Rounding hides what is looked for.
    Unsure(String),
}

/// Tests every property of a graph, or replays one case.
///
/// # Errors
/// If the case that is to be replayed belongs to no property of the spec.
pub fn run(subject: Subject<'_>, options: &Options) -> Result<Vec<Report>, Box<Diagnostic>> {
    let all = &subject.graph.properties;
    let wanted = |property: &&Property| {
        options.replay.as_ref().is_none_or(|replay| replay.subject == property.subject)
    };
    let chosen: Vec<&Property> = all.iter().filter(wanted).collect();
    if let (Some(replay), []) = (&options.replay, chosen.as_slice()) {
        let near = did_you_mean(&replay.subject, all.iter().map(|property| property.subject.as_str()));
        let message = format!("the spec declares no property `{}`", replay.subject);
        let unknown = Diagnostic::new(&rules::UNKNOWN_NAME, subject.graph.span, message);
        return Err(Box::new(unknown.maybe_help(near.map(|near| format!("did you mean `{near}`?")))));
    }
    let reports = quantities(subject, options, &chosen);
    let report = |(property, measured): (&&Property, Option<Report>)| {
        measured.unwrap_or_else(|| law(subject, options, property))
    };
    Ok(chosen.iter().zip(reports).map(report).collect())
}

/// The seeds and the number of rows of the cases.
fn cases(subject: Subject<'_>, options: &Options, most: usize, runs: usize) -> (Range<u64>, usize) {
    if let Some(Replay { seed, rows, subject: _, structure: _ }) = &options.replay {
        return (*seed..seed.saturating_add(1), *rows);
    }
    let rows = most.min(subject.samples.rows()).max(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of runs, saturating"
    )]
    let affordable = (BUDGET / super::step_cost(subject.graph, rows * runs).max(1.0)) as u32;
    let count = options.cases.min(affordable.max(FEWEST));
    (options.seed..options.seed.saturating_add(u64::from(count)), rows)
}

fn report(property: &Property, verdict: Verdict, cases: usize, detail: String) -> Report {
    Report { name: property.to_string(), verdict, cases, detail, replay: None, span: property.span }
}

fn failed(
    property: &Property,
    cases: usize,
    detail: String,
    (options, seed, rows): (&Options, u64, usize),
) -> Report {
    let structure = options.replay.as_ref().map_or(Structure::default(), |replay| replay.structure.clone());
    let replay = Replay { subject: property.subject.clone(), structure, seed, rows };
    Report { replay: Some(replay.to_string()), ..report(property, Verdict::Fail, cases, detail) }
}

/// A property that did not get its turn.
fn untested(property: &Property) -> Report {
    report(property, Verdict::Skipped, 0, OUT_OF_TIME.to_owned())
}

/// What is said where the time was up before all initialisations were drawn.
fn cut(tested: usize, count: usize) -> String {
    if tested < count { format!(", the time was up after {tested} of {count}") } else { String::new() }
}

/// Numbers of rows below a given one, for a smaller case: powers of two from `least` on.
fn fewer(least: usize, rows: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(least), |n| Some(n * 2)).take_while(move |n| *n < rows)
}

// ---- quantities ---------------------------------------------------------------------------------------------------------------

/// The reports of those properties that bound a quantity; they are all measured in the same runs.
fn quantities(subject: Subject<'_>, options: &Options, properties: &[&Property]) -> Vec<Option<Report>> {
    let (seeds, rows) = cases(subject, options, ROWS, 1);
    let count = usize::try_from(seeds.end - seeds.start).unwrap_or(usize::MAX);
    let mut reports: Vec<Option<Report>> = vec![None; properties.len()];
    let mut open: Vec<(usize, Quantity, Bound)> = Vec::new();
    for (i, property) in properties.iter().enumerate() {
        let Law::Within(quantity, bound) = property.law else { continue };
        match skipped(subject.graph, quantity, bound) {
            Some(reason) => reports[i] = Some(report(property, Verdict::Skipped, 0, reason)),
            None => open.push((i, quantity, bound)),
        }
    }
    if open.is_empty() {
        return reports;
    }
    if options.late() {
        open.iter().for_each(|(i, ..)| reports[*i] = Some(untested(properties[*i])));
        return reports;
    }
    let wanted: Vec<Quantity> = open.iter().map(|(_, quantity, _)| *quantity).collect();
    // Properties that were begun have at least one initialisation.
    let in_time = |seed: &u64| *seed == seeds.start || !options.late();
    let measured: Vec<Vec<f64>> =
        seeds.clone().take_while(in_time).map(|seed| measure(subject, &wanted, seed, rows)).collect();
    let cut = cut(measured.len(), count);
    let count = measured.len();
    for (at, (i, quantity, bound)) in open.into_iter().enumerate() {
        let values: Vec<f64> = measured.iter().map(|values| values[at]).collect();
        let property = properties[i];
        let outside = |(seed, x): (u64, &f64)| (!bound.holds(*x)).then_some((seed, *x));
        let broken: Vec<(u64, f64)> = seeds.clone().zip(&values).filter_map(outside).collect();
        let spread = spread(&values);
        reports[i] = Some(match broken.first() {
            None => {
                let inits = plural(count, "initialisation");
                report(property, Verdict::Pass, count, format!("{inits}, {spread}, bound {bound}{cut}"))
            }
            Some(&(seed, x)) => {
                let (few, value) = shrunk(subject, quantity, bound, (seed, x), rows);
                let (of, missed) = (plural(few, "row"), bound.missed(value));
                let mut detail = format!("{} at seed {seed} on {of}, {missed}", number(value));
                if count > 1 {
                    let (inits, rows) = (plural(count, "initialisation"), plural(rows, "row"));
                    let broken = broken.len();
                    detail.push_str(&format!("; {broken} of {inits} fail it, with {spread} on {rows}"));
                }
                failed(property, count, detail, (options, seed, few))
            }
        });
    }
    reports
}

/// Why a quantity is not measured.
fn skipped(graph: &Graph, quantity: Quantity, bound: Bound) -> Option<String> {
    if matches!(quantity, Quantity::LossAtInit | Quantity::GradRms(_)) && graph.loss.is_none() {
        return Some("the spec has no loss".to_owned());
    }
    let always = bound.contains(quantity.range());
    always.then(|| format!("no value can break `{bound}`, so that testing it would say nothing"))
}

/// The smallest and the largest value.
fn spread(values: &[f64]) -> String {
    let finite = || values.iter().copied().filter(|x| x.is_finite());
    match (finite().reduce(f64::min), finite().reduce(f64::max)) {
        (Some(least), Some(most)) => format!("{} .. {}", number(least), number(most)),
        _ => "no finite value".to_owned(),
    }
}

/// The smallest number of rows on which a seed breaks a bound on the same side, and the value there.
fn shrunk(
    subject: Subject<'_>,
    quantity: Quantity,
    bound: Bound,
    (seed, value): (u64, f64),
    rows: usize,
) -> (usize, f64) {
    // Over fewer rows more units are off: that is another question.
    if matches!(quantity, Quantity::Dead(_)) {
        return (rows, value);
    }
    let mixes = subject.graph.nodes.iter().any(|(_, node)| node.op.mixes_batch(Mode::Train));
    let smaller = fewer(if mixes { 2 } else { 1 }, rows).find_map(|few| {
        let x = measure(subject, &[quantity], seed, few)[0];
        (!bound.holds(x) && bound.missed(x) == bound.missed(value)).then_some((few, x))
    });
    smaller.unwrap_or((rows, value))
}

/// One run in training mode, and what was asked of it.
fn measure(subject: Subject<'_>, quantities: &[Quantity], seed: u64, rows: usize) -> Vec<f64> {
    let graph = subject.runnable;
    let weights = Weights::draw(&graph, seed);
    let feeds = batch(subject, seed, rows);
    let point = weights.at(&feeds);
    let settings = Settings { mode: Mode::Train, seed, penalties: false };
    let mut session: Session<'_, f64> = Session::new(graph, rows, Keep::All);
    session.forward(&point, settings, Tapes::Live);
    let mut gradients = Gradients::default();
    if quantities.iter().any(|quantity| matches!(quantity, Quantity::GradRms(_))) {
        gradients = Gradients::zeros::<f64>(&graph, rows);
        session.backward(&Objective::Loss, &point, settings, &Registry, &mut gradients);
    }
    let value = |quantity: &Quantity| match *quantity {
        Quantity::Rms(place) => scale::rms(scale::data(&session, &point, place)),
        Quantity::Mean(place) => scale::mean(scale::data(&session, &point, place)),
        Quantity::MaxAbs(place) => scale::max_abs(scale::data(&session, &point, place)),
        Quantity::Dead(node) => units::dead(&graph, node, session.value(node).plane(0), rows),
        Quantity::Saturated(node) => units::saturated(&session, &point, node),
        Quantity::LossAtInit => training::loss(&session, &point),
        Quantity::GradRms(tensor) => training::grad_rms(&gradients, tensor),
    };
    quantities.iter().map(value).collect()
}

/// Rows of the samples, other ones for other seeds.
fn batch(subject: Subject<'_>, seed: u64, rows: usize) -> Vec<Tensor> {
    let start = usize::try_from(seed).unwrap_or(0) % subject.samples.rows().max(1);
    subject.samples.batch(start, rows)
}

// ---- laws ---------------------------------------------------------------------------------------------------------------------

/// Tests one law on every seed.
fn law(subject: Subject<'_>, options: &Options, property: &Property) -> Report {
    let skipped = match &property.law {
        Law::Invariant { symmetry, input } => invariant::skip(subject, *symmetry, *input),
        Law::Monotone { input, .. } => monotone::skip(subject, *input),
        Law::Causal(node) => causal::skip(subject, *node),
        Law::Within(..) => None,
    };
    if let Some(reason) = skipped {
        return report(property, Verdict::Skipped, 0, reason);
    }
    let test = |seed: u64, rows: usize| match &property.law {
        Law::Invariant { symmetry, input } => invariant::test(subject, (*symmetry, *input), seed, rows),
        Law::Monotone { output, unit, input, element } => {
            monotone::test(subject, (*output, *unit), (*input, *element), seed, rows)
        }
        Law::Causal(node) => causal::test(subject, *node, seed, rows),
        Law::Within(..) => Ok(Outcome::Moot("it bounds a quantity")),
    };
    let runs = if matches!(property.law, Law::Monotone { .. }) { monotone::GRID } else { 3 };
    let (seeds, rows) = cases(subject, options, LAW_ROWS, runs);
    let count = usize::try_from(seeds.end - seeds.start).unwrap_or(usize::MAX);
    if options.late() {
        return untested(property);
    }
    let (mut deviation, mut held, mut moot, mut unsure) = (0.0f64, 0, None, None);
    let mut tested = 0;
    for seed in seeds {
        if tested > 0 && options.late() {
            break;
        }
        tested += 1;
        match test(seed, rows) {
            Ok(Outcome::Held(far)) => (deviation, held) = (deviation.max(far), held + 1),
            Ok(Outcome::Moot(reason)) => moot = Some(reason),
            Ok(Outcome::Unsure(reason)) => unsure = Some(reason),
            Err(detail) => {
                let smaller = fewer(1, rows).find_map(|few| Some((few, test(seed, few).err()?)));
                let (few, detail) = smaller.unwrap_or((rows, detail));
                let detail = format!("at seed {seed} on {}, {detail}", plural(few, "row"));
                return failed(property, count, detail, (options, seed, few));
            }
        }
    }
    match (held, unsure, moot) {
        (0, Some(reason), _) => report(property, Verdict::Inconclusive, count, reason),
        (0, None, Some(reason)) => report(property, Verdict::Skipped, 0, reason.to_owned()),
        (held, ..) => {
            let (inits, rows) = (plural(held, "initialisation"), plural(rows, "row"));
            let (deviation, cut) = (number(deviation), cut(tested, count));
            let detail = format!("{inits} on {rows} each, largest deviation {deviation}{cut}");
            report(property, Verdict::Pass, held, detail)
        }
    }
}

/// The value of a node in use.
fn in_use<'g>(subject: Subject<'g>, weights: &Weights, feeds: &[Tensor], seed: u64) -> Session<'g, f64> {
    let rows = feeds.first().map_or(1, |feed| feed.dims[0]);
    let mut session: Session<'_, f64> = Session::new(subject.runnable, rows, Keep::All);
    let settings = Settings { mode: Mode::Eval, seed, penalties: false };
    session.forward(&weights.at(feeds), settings, Tapes::Live);
    session
}

/// How far rounding may move a value relative to the largest of its kind: n nodes with sums of at most k terms err by 2 n k u (Higham
/// 2002, eq. 4.4), and a factor of 50 for what later nodes make of it.
fn rounding(graph: &Graph) -> f64 {
    let longest = graph.params.iter().map(|(_, param)| param.spec.fan_in).max().unwrap_or(1);
    let places =
        graph.nodes.iter().filter_map(|(_, node)| node.shape.as_ref()).map(crate::tensor::Shape::elements);
    let terms = longest.max(places.max().unwrap_or(1));
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let steps = (graph.nodes.len() * terms) as f64;
    50.0 * steps * f64::EPSILON
}

/// The largest magnitude, and the largest difference of two values.
fn distance(a: &[f64], b: &[f64]) -> (f64, f64) {
    let most = a.iter().chain(b).fold(0.0f64, |most, x| most.max(x.abs()));
    (most, a.iter().zip(b).fold(0.0f64, |far, (x, y)| far.max((x - y).abs())))
}
