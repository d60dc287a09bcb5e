//! The gradient check: is the reverse-mode gradient the derivative of the loss, and how small an error would have been seen?
//!
//! At every point three kinds of test run, from cheap to costly:
//!
//! 1. **Purity and ledger.** Every reverse rule is asked by itself: it depends on its arguments alone and is linear, and what it hands back
//!    balances with the tangent of its own kernel. What is at fault is named: the node, the operator and the operand; and what was done there is
//!    said in words, where the rule gives exactly the numbers of a known mistake.
//! 2. **Equalised random directions.** The tangent of the forward kernels along random directions, in which every component weighs as much as rounding
//!    lets it be known, must be the gradient's product with them: one wrong component among 10^8 is seen. The threshold follows from
//!    rounding, so that no tolerance is chosen; each tensor gets an *error bound* (the error of no component exceeds this part of its sensitivity,
//!    up to a probability of 10^-6) and a *smallest detectable error* (an error of this size of a lone component is always rejected), and a
//!    negative control plants such an error and sees that the test rejects it.
//! 3. **Two-sided differences**, the definition of the derivative: every component of every trainable tensor where one sweep costs at most
//!    2 10^10 operations, else a sample of each tensor, else three directions of all tensors at once; the report says which. How the differences
//!    are taken is chosen for each node and reported for each tensor: one method re-runs the graph for every component, another needs a
//!    difference for every output of the layer only and multiplies by exact columns, which are compared with the layer's kernel first.
//!
//! Decisions (the sign of a ReLU, the place of a maximum, a dropout mask) are frozen at the unperturbed point, so that the differenced function
//! is smooth and kinks cannot raise an alarm. The penalties are part of the loss.
//!
//! The points: several random initialisations, by turns in training and in evaluation mode, and one after some training steps in training mode. There
//! all three run. The first two run also where the weights of the first initialisation are multiplied with 10^-3 and with 30, where dropout keeps
//! everything, and after the training steps in evaluation mode, with the running statistics that training has left. The check never runs inside a
//! training step.
//!
//! A verdict is given per tensor. No verdict rests on one oracle: FAIL needs two that contradict the gradient, and where
//! `f64` cannot decide the same is computed in double-double arithmetic, in which rounding cannot matter.

mod anchor;
mod columns;
mod directions;
mod exact;
mod fault;
mod ledger;
mod ng;
mod plain;
mod plan;
mod points;
mod purity;
mod report;
mod sensitivity;
mod slip;
mod spread;
mod stacked;
mod sweep;
mod terms;
mod ties;
mod truth;
mod verdict;
mod visit;

pub use fault::{Fault, FaultKind, Slip};
pub use ng::{Band, Ng, NgTensor};
pub use plan::Method;
pub use points::SCALES;
pub(super) use points::kept;
pub use report::{Anchor, Component, Map, NotFinite, PointReport, Report, TensorReport};
pub(super) use sweep::downstream;
pub use verdict::{PAGE as VERDICTS, RESOLUTION, Verdict};

use crate::exec::{Objective, Reverse, Weights};
use crate::graph::{Graph, Runnable};
use crate::inits;
use crate::tensor::{Draws, Mode, Shape, Tensor, stream};
use crate::valid::Samples;

/// How large a model is checked where nothing else is asked of it: bytes, and operations of one training step on the rows of a check.
pub const MEMORY_LIMIT: usize = 5_000_000_000;
/// See [`MEMORY_LIMIT`].
pub const STEP_LIMIT: f64 = 1e10;
/// The manual page.
pub const PAGE: &str = crate::manual::page!("mod.rs");

/// One sweep over every component may cost this many multiplications and additions.
pub const BUDGET: f64 = 2e10;
/// Components of each tensor that are checked beyond the budget, the largest number first that is affordable.
pub const SAMPLED: [usize; 3] = [200, 50, 10];
/// What a sweep over the largest sample may cost; the smaller ones may take a fifth of it.
pub const PATIENCE: f64 = 1e10;
/// The relative error up to which differences confirm a tensor: the course notes' "great".
pub const GOOD: f64 = 1e-7;
/// The step of the differences: (3 u / M3)^(1/3) for a loss and third derivative of order 1 balances truncation and rounding.
const STEP: f64 = 6e-6;

/// What is checked and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seeds of the random initialisations.
    pub seeds: Vec<u64>,
    /// Training steps before the last points; 0 leaves them out.
    pub steps: usize,
    /// What the weights of the first initialisation are multiplied with at points of their own.
    pub scales: Vec<f64>,
    /// Samples in the batch.
    pub batch: usize,
    /// A method to take wherever it is valid; `None` takes the cheapest.
    pub method: Option<Method>,
    /// Components of each tensor that are differenced at most; `None` takes as many as can be afforded.
    pub components: Option<usize>,
    /// Whether gradient and derivative of failing tensors are kept, for a picture.
    pub maps: bool,
    /// Whether the formula of the course notes is worked out, too.
    pub ng: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seeds: vec![0, 1],
            steps: 20,
            scales: SCALES.to_vec(),
            batch: 8,
            method: None,
            components: None,
            maps: false,
            ng: false,
        }
    }
}

/// Checks the gradient of a graph on rows of `samples` with the given reverse rules.
#[must_use]
pub fn check(graph: Runnable<'_>, samples: &Samples, options: &Options, reverse: &impl Reverse) -> Report {
    let batch = options.batch.min(samples.rows()).max(1);
    let objective = objective(graph, options.seeds.first().copied().unwrap_or(0));
    let (most, mut method) = sweep_of(graph, &objective, batch, options);
    if graph.params.handles().any(|param| visit::before_surrogate(graph, param)) {
        method.push_str("; before a surrogate along random directions");
    }
    let mut report = Report {
        verdict: Verdict::PassZero,
        method: String::new(),
        points: Vec::new(),
        tensors: Vec::new(),
        faults: Vec::new(),
        maps: Vec::new(),
        ng: None,
    };
    let left_out = points::each(graph, samples, options, &objective, |graph, place, weights, feeds| {
        let most = if place.full { most } else { 0 };
        let how = visit::How { most, method: options.method, maps: options.maps };
        let visit::Seen { point, tensors, faults, maps } =
            visit::visit(graph, place, weights, feeds, &objective, how, reverse);
        let full = point.full;
        if options.ng && report.ng.is_none() {
            report.ng = Some(ng::measure(graph, place, weights, feeds, &objective, reverse));
        }
        report.points.push(point);
        for tensor in tensors {
            let wrong = matches!(tensor.verdict, Verdict::Fail | Verdict::KinkBad);
            if full || wrong {
                report.keep(tensor);
            }
        }
        report.faults.extend(faults);
        report.maps.extend(maps);
    });
    if let Some(why) = left_out {
        method.push_str(&format!("; {why}"));
    }
    report.method = method;
    report.maps.retain(|map| {
        report.tensors.iter().any(|tensor| (&tensor.name, &tensor.point) == (&map.name, &map.point))
    });
    report.verdict = report.tensors.iter().map(|tensor| tensor.verdict).max().unwrap_or(Verdict::PassZero);
    if report.faults.iter().any(|fault| fault.kind != FaultKind::Kink) {
        report.verdict = Verdict::Fail;
    } else if !report.faults.is_empty() {
        report.verdict = report.verdict.max(Verdict::KinkBad);
    }
    report
}

/// What ledger and random directions find wrong in training mode at weights that the caller gives; `None` if nothing.
#[must_use]
pub fn wrong_at(
    graph: Runnable<'_>,
    weights: &Weights,
    feeds: &[Tensor],
    seed: u64,
    reverse: &impl Reverse,
) -> Option<String> {
    let place = points::Place { name: String::new(), mode: Mode::Train, seed, full: false };
    let how = visit::How { most: 0, method: None, maps: false };
    let objective = objective(graph, seed);
    let visit::Seen { tensors, faults, .. } =
        visit::visit(graph, &place, weights, feeds, &objective, how, reverse);
    let fault = faults.first().map(|fault| format!("the ledger of `{}` does not balance", fault.node));
    let wrong = |tensor: &&TensorReport| matches!(tensor.verdict, Verdict::Fail | Verdict::KinkBad);
    let tensor = tensors.iter().find(wrong);
    fault.or_else(|| tensor.map(|tensor| format!("the gradient of `{}` is not the derivative", tensor.name)))
}

/// How many components of each tensor are differenced, and how to say it.
fn sweep_of(graph: Runnable<'_>, objective: &Objective, batch: usize, options: &Options) -> (usize, String) {
    let Options { method: asked, components, .. } = *options;
    // The check looks at both modes, which may need different methods.
    let cost = |most: usize| {
        let at = |mode| plan::cost(graph, objective, mode, batch, most, asked);
        at(Mode::Train).max(at(Mode::Eval))
    };
    let all = cost(usize::MAX);
    let directions = anchor::COUNT;
    if let Some(most) = components {
        let text = match most {
            0 => format!("ledger and random directions, {directions} of them by differences"),
            _ => format!("{most} components of each tensor"),
        };
        return (most, text);
    }
    if all <= BUDGET {
        return (usize::MAX, "every component".to_owned());
    }
    let would = crate::text::number(all);
    // A small sample says little, and may take only a part of the time.
    let patience = |most: usize| if most == SAMPLED[0] { PATIENCE } else { PATIENCE / 5.0 };
    match SAMPLED.into_iter().find(|most| cost(*most) <= patience(*most)) {
        Some(most) => {
            let text =
                format!("{most} components of each tensor, as a full sweep would cost {would} operations");
            (most, text)
        }
        None => {
            let text = format!(
                "ledger and random directions, {directions} of them by differences, as a sweep over every component would cost {would} operations"
            );
            (0, text)
        }
    }
}

/// The loss, or for a graph without one the product of its output with fixed random weights.
#[must_use]
pub fn objective(graph: Runnable<'_>, seed: u64) -> Objective {
    if graph.loss.is_some() {
        return Objective::Loss;
    }
    let elements = graph.prediction().and_then(|output| graph.shape(output)).map_or(0, Shape::elements);
    Objective::Projection(inits::standard_normal(elements, Draws { seed, stream: stream("projection") }))
}

/// The number of bytes that a check of a graph needs, roughly: weights, gradients, sensitivities, a direction beside the weights; the values of the
/// base run and their derivatives, and a pair of copies for each of two threads, which hold most values for a short time only.
#[must_use]
pub fn memory(graph: &Graph, batch: usize) -> usize {
    let values = graph.nodes.iter().map(|(_, node)| {
        let held = node.shape.as_ref().map_or(0, Shape::elements).saturating_mul(batch);
        held.saturating_add(node.saved.of(batch)).saturating_add(node.scratch.of(batch))
    });
    let values = values.fold(0usize, usize::saturating_add);
    let params = usize::try_from(graph.param_count()).unwrap_or(usize::MAX);
    let largest = graph.params.iter().map(|(_, param)| param.spec.elements()).max().unwrap_or(0);
    // The rules are asked one by one, with several operands and results of the size of the node's tensors.
    let alone = largest.saturating_mul(6);
    params.saturating_mul(5).saturating_add(alone).saturating_add(values.saturating_mul(4)).saturating_mul(8)
}
