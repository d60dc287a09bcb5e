//! The gradient check: two-sided differences of the loss against the reverse-mode gradient.
//!
//! Contract: every component of every trainable tensor is perturbed where one sweep costs at most [`BUDGET`] operations, else
//! at least [`SAMPLED`] of each tensor, and where even that is beyond [`PATIENCE`], each tensor is checked along a random direction by
//! the second oracle alone; the report says which. Decisions (the sign of a ReLU, the place of a maximum, a dropout
//! mask) are frozen at the unperturbed point, so that the differenced function is smooth and kinks cannot raise an alarm. The
//! penalties are part of the loss. The check runs at several random initialisations and again after some training steps, never
//! inside one.
//!
//! A component is checked against a number that comes from two-sided differences of the compiled forward function and from nothing of
//! the reverse rules. How the differences are taken is chosen for each node and reported for each tensor: one [`Method`] re-runs
//! the graph for every component, another needs a difference for every output of the layer only and multiplies by exact
//! columns, which are compared with the layer's kernel first. [`Method`] says what is numerical and what is algebra in each.
//!
//! Before that, every reverse rule is asked by itself: the ledger compares what it hands back with the tangent of its own kernel and
//! names the node, the operator and the operand that are wrong, and the purity laws see that it depends on its arguments alone and is
//! linear. A rule or sum that is at fault fails the check, also where its error is too small for differences.
//!
//! The verdict is per tensor. With e = |g - d|, s = |g| + |d| in the 2-norm, the ratio e/s of the course notes passes up to
//! [`GOOD`]; above, the differences may be too coarse: their rounding error is about u |L| / h a component. A tensor that misses
//! the ratio is therefore checked by a second oracle, the tangent of the forward kernels along a random direction, which is
//! exact to rounding; and one that misses that, too, by a third, the same in double-double arithmetic, where rounding cannot
//! matter. FAIL needs all of them to contradict the gradient.

mod columns;
mod exact;
mod ledger;
mod plain;
mod plan;
mod purity;
mod report;
mod stacked;
mod sweep;

pub use plan::Method;
pub use report::{Component, Fault, FaultKind, NotFinite, PointReport, Report, TensorReport, Verdict};

use crate::exec::{Gradients, Keep, Objective, Point, Reverse, Session, Settings, Tapes, Weights};
use crate::graph::{Graph, Handle, Node, Optimizer, ParamTensor, Runnable};
use crate::inits;
use crate::ops::Own;
use crate::optim;
use crate::scalar::{Dual, Scalar};
use crate::tensor::{Draws, Mode, Shape, Tensor, stream};
use crate::valid::Samples;

/// One sweep over every component may cost this many multiplications and additions.
pub const BUDGET: f64 = 2e10;
/// Components of each tensor that are checked beyond the budget.
pub const SAMPLED: usize = 200;
/// What a sweep over the sampled components may cost.
pub const PATIENCE: f64 = 1e10;
/// The relative error up to which differences alone pass a tensor: the course notes' "great".
pub const GOOD: f64 = 1e-7;
/// The relative error up to which the tangent passes a tensor. Tangent and gradient are exact up to rounding: a few u times
/// the condition of the sum, which random directions keep below 1e6.
const TANGENT: f64 = 1e-9;
/// The step of the differences: (3 u / M3)^(1/3) for a loss and third derivative of order 1 balances truncation and rounding.
const STEP: f64 = 6e-6;

/// What is checked and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seeds of the random initialisations.
    pub seeds: Vec<u64>,
    /// Training steps before the last point; 0 leaves it out.
    pub steps: usize,
    /// Samples in the batch.
    pub batch: usize,
    /// A method to take wherever it is valid; `None` takes the cheapest.
    pub method: Option<Method>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seeds: vec![0, 1], steps: 20, batch: 8, method: None }
    }
}

/// Checks the gradient of a graph on rows of `samples` with the given reverse rules.
#[must_use]
pub fn check(graph: Runnable<'_>, samples: &Samples, options: &Options, reverse: &impl Reverse) -> Report {
    let batch = options.batch.min(samples.rows()).max(1);
    let objective = objective(graph, options.seeds.first().copied().unwrap_or(0));
    // The check looks at both modes, which may need different methods.
    let cost = |most: usize| {
        let at = |mode| plan::cost(graph, &objective, mode, batch, most, options.method);
        at(Mode::Train).max(at(Mode::Eval))
    };
    let (all, sampled) = (cost(usize::MAX), cost(SAMPLED));
    let (most, method) = if all <= BUDGET {
        (usize::MAX, "every component".to_owned())
    } else if sampled <= PATIENCE {
        let cost = crate::text::number(all);
        (
            SAMPLED,
            format!("{SAMPLED} components of each tensor, as a full sweep would cost {cost} operations"),
        )
    } else {
        let cost = crate::text::number(sampled);
        (
            0,
            format!(
                "a random direction of each tensor, as {SAMPLED} components of each would cost {cost} operations"
            ),
        )
    };
    let method = if graph.params.handles().any(|param| before_surrogate(graph, param)) {
        format!("{method}; before a surrogate along a random direction")
    } else {
        method
    };
    let mut report = Report {
        verdict: Verdict::PassZero,
        method,
        points: Vec::new(),
        tensors: Vec::new(),
        faults: Vec::new(),
    };
    let mut visit = |place: Place, weights: &Weights, feeds: &[Tensor]| {
        let (point, tensors, faults) =
            visit(graph, &place, weights, feeds, &objective, most, options.method, reverse);
        report.points.push(point);
        tensors.into_iter().for_each(|tensor| report.keep(tensor));
        report.faults.extend(faults);
    };
    for (i, seed) in options.seeds.iter().enumerate() {
        let feeds = samples.batch(i * batch, batch);
        let mode = if i % 2 == 0 { Mode::Train } else { Mode::Eval };
        visit(
            Place { name: format!("seed {seed}"), mode, seed: *seed, first: i == 0 },
            &Weights::draw(&graph, *seed),
            &feeds,
        );
    }
    if let (Some(seed), true) = (options.seeds.first(), options.steps > 0) {
        let feeds = samples.batch(0, batch);
        let mut weights = Weights::draw(&graph, *seed);
        let optimizer: &Optimizer =
            graph.training.optimizer.as_ref().map_or(&optim::DEFAULT, |optimizer| &optimizer.value);
        let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
        optim::train(&mut session, &objective, optimizer, options.steps, *seed, &feeds, &mut weights);
        // Training that diverges is reported by the rules of training, not as a wrong gradient.
        if optim::finite(&weights) {
            let name = format!("seed {seed} after {} steps", options.steps);
            visit(Place { name, mode: Mode::Train, seed: *seed, first: false }, &weights, &feeds);
        }
    }
    report.verdict = report.tensors.iter().map(|tensor| tensor.verdict).max().unwrap_or(Verdict::PassZero);
    if !report.faults.is_empty() {
        report.verdict = Verdict::Fail;
    }
    report
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

struct Place {
    name: String,
    mode: Mode,
    seed: u64,
    /// Whether it is the first of a check.
    first: bool,
}

/// Checks every tensor at one point.
fn visit(
    graph: Runnable<'_>,
    place: &Place,
    weights: &Weights,
    feeds: &[Tensor],
    objective: &Objective,
    most: usize,
    asked: Option<Method>,
    reverse: &impl Reverse,
) -> (PointReport, Vec<TensorReport>, Vec<Fault>) {
    let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
    let settings = Settings { mode: place.mode, seed: place.seed, penalties: true };
    let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
    let mut gradients = Gradients::zeros::<f64>(&graph, batch);
    let point = weights.at(feeds);
    session.forward(&point, settings, Tapes::Record);
    session.backward(objective, &point, settings, reverse, &mut gradients);
    let loss = session.loss(objective, &point, settings);
    let tied = tied(graph, &session, &point);
    let finite = |param: Handle<ParamTensor>| {
        loss.is_finite() && gradients.params[param.index()].iter().all(|g| g.is_finite())
    };
    let chosen: Vec<Vec<usize>> = graph
        .params
        .iter()
        .map(|(handle, param)| {
            // Differences of the loss know nothing of a surrogate.
            if finite(handle) && !before_surrogate(graph, handle) {
                components(&gradients.params[handle.index()], most, place.seed, &param.path)
            } else {
                Vec::new()
            }
        })
        .collect();
    let terms = session.terms(objective, &point);
    let at =
        sweep::Place { graph, objective, settings, feeds, weights, point: &point, base: &session, terms };
    let sound = graph.nodes.handles().all(|node| session.value(node).iter().all(f64::is_finite))
        && graph.params.handles().all(finite);
    let faults = if sound { ledger::audit(&at, &gradients, reverse) } else { Vec::new() };
    let impure = if sound && place.first { purity::audit(&at, &gradients, reverse) } else { Vec::new() };
    let numeric = sweep::differences(&at, &chosen, asked);
    let mut total = [0.0; 3];
    let mut tensors = Vec::new();
    for (handle, param) in graph.params.iter() {
        let (gradient, chosen, numeric) =
            (&gradients.params[handle.index()], &chosen[handle.index()], &numeric[handle.index()]);
        let mut tensor = TensorReport {
            name: param.path.clone(),
            verdict: Verdict::Invalid,
            error: f64::NAN,
            tangent_error: None,
            checked: chosen.len(),
            components: param.spec.elements(),
            method: (!chosen.is_empty()).then_some(numeric.method),
            worst: None,
            point: place.name.clone(),
        };
        if finite(handle) {
            let squares = compare(gradient, chosen, &numeric.quotients, &param.spec.dims, &mut tensor);
            total.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
            let tangent = || tangent(&at, handle, gradient);
            judge(squares, numeric.noise, tangent, &mut tensor);
            let kinked = sweep::downstream(graph, handle).iter().any(|node| tied[node.index()] > 0);
            if kinked && tensor.verdict == Verdict::Pass {
                tensor.verdict = Verdict::KinkOk;
            }
            if before_surrogate(graph, handle) && !tensor.verdict.is_bad() {
                tensor.verdict = Verdict::Surrogate;
            }
        }
        tensors.push(tensor);
    }
    confirm(&at, &gradients, reverse, &mut tensors);
    // A rule that the ledger blames breaks other laws as well.
    let blamed = |node: Handle<Node>| {
        faults.iter().any(|fault| matches!(&fault.site, ledger::Site::Rule(wrong, _) if *wrong == node))
    };
    let impure: Vec<Fault> = impure
        .into_iter()
        .filter(|(node, _)| !blamed(*node))
        .map(|(node, law)| Fault::impure(&graph, node, law, &place.name))
        .collect();
    let faults: Vec<Fault> =
        faults.iter().map(|fault| Fault::of(&graph, fault, &place.name)).chain(impure).collect();
    // A tensor whose own contribution is wrong fails, however small the error is next to its gradient.
    for tensor in &mut tensors {
        if faults.iter().any(|fault| fault.tensors.contains(&tensor.name)) {
            tensor.verdict = Verdict::Fail;
        }
    }
    let name = place.name.clone();
    let mode = place.mode.to_string();
    // Where no component was perturbed, the tangents speak.
    let tangents =
        tensors.iter().filter(|tensor| tensor.checked == 0).filter_map(|tensor| tensor.tangent_error);
    let error = tangents.fold(ratio(total), f64::max);
    let not_finite = graph.nodes.iter().find_map(|(handle, node)| {
        let value = session.value(handle).iter().find(|x| !x.is_finite())?;
        Some(NotFinite { node: node.path.to_string(), value: value.to_string() })
    });
    (PointReport { name, mode, loss, error, ties: tied.iter().sum(), not_finite }, tensors, faults)
}

/// Lets double-double arithmetic decide about the tensors that fail: all of them at once, and one by one if that does not clear them.
fn confirm(
    at: &sweep::Place<'_, '_>,
    gradients: &Gradients,
    reverse: &impl Reverse,
    tensors: &mut [TensorReport],
) {
    let doubtful: Vec<Handle<ParamTensor>> = at
        .graph
        .params
        .handles()
        .zip(&*tensors)
        .filter(|(_, tensor)| tensor.verdict == Verdict::Fail)
        .map(|(handle, _)| handle)
        .collect();
    if doubtful.is_empty() {
        return;
    }
    let exact = exact::Exact::new(at, reverse);
    let all = exact.agrees(at, gradients, &doubtful);
    for handle in doubtful {
        if all || exact.agrees(at, gradients, &[handle]) {
            tensors[handle.index()].verdict = Verdict::Pass;
        }
    }
}

/// |g - d| / (|g| + |d|) from the sums of squares of g - d, g and d.
fn ratio(squares: [f64; 3]) -> f64 {
    let [difference, gradient, numeric] = squares.map(f64::sqrt);
    if gradient + numeric > 0.0 { difference / (gradient + numeric) } else { 0.0 }
}

/// Fills in the relative error and the worst component; returns the sums of squares of g - d, g and d.
fn compare(
    gradient: &[f64],
    chosen: &[usize],
    numeric: &[f64],
    dims: &[usize],
    tensor: &mut TensorReport,
) -> [f64; 3] {
    let mut squares = [0.0; 3];
    let mut most = -1.0;
    for (&i, &d) in chosen.iter().zip(numeric) {
        let (g, error) = (gradient[i], (gradient[i] - d).abs());
        for (sum, x) in squares.iter_mut().zip([error, g, d]) {
            *sum += x * x;
        }
        if error > most {
            most = error;
            tensor.worst = Some(Component { index: unravel(i, dims), gradient: g, numeric: d });
        }
    }
    tensor.error = ratio(squares);
    squares
}

/// The verdict from the differences, given what rounding does to them, and, where they are not enough, from the tangent.
fn judge(squares: [f64; 3], noise: f64, tangent: impl FnOnce() -> f64, tensor: &mut TensorReport) {
    let [_, g, d] = squares.map(f64::sqrt);
    tensor.verdict = if !tensor.error.is_finite() {
        Verdict::Invalid
    } else if tensor.checked == 0 {
        let error = tangent();
        (tensor.error, tensor.tangent_error) = (error, Some(error));
        if error <= TANGENT { Verdict::Pass } else { Verdict::Fail }
    } else if g <= noise * 1e-6 && d <= noise {
        Verdict::PassZero
    } else if tensor.error <= GOOD {
        Verdict::Pass
    } else {
        let error = tangent();
        tensor.tangent_error = Some(error);
        if error <= TANGENT {
            Verdict::Pass
        } else if g <= noise && d <= noise {
            // Both sides vanish next to what differences can resolve: a gradient that is zero up to rounding.
            Verdict::PassZero
        } else {
            Verdict::Fail
        }
    };
}

/// The second oracle: the derivative along a random direction of one tensor from dual numbers, relative to the sum of the
/// magnitudes that the gradient's product with the direction adds up.
fn tangent(at: &sweep::Place<'_, '_>, param: Handle<ParamTensor>, gradient: &[f64]) -> f64 {
    let sweep::Place { settings, feeds, weights, .. } = at;
    let seed = settings.seed;
    let direction = inits::standard_normal(gradient.len(), Draws { seed, stream: stream("direction") });
    let dual = |data: &[f64], tangent: Option<&[f64]>| -> Vec<f64> {
        let zeros = vec![0.0; data.len()];
        data.iter().chain(tangent.unwrap_or(&zeros)).copied().collect()
    };
    let params: Vec<Vec<f64>> = weights
        .params
        .iter()
        .enumerate()
        .map(|(i, tensor)| dual(&tensor.data, (i == param.index()).then_some(direction.as_slice())))
        .collect();
    let feeds: Vec<Vec<f64>> = feeds.iter().map(|feed| dual(&feed.data, None)).collect();
    let tangent = at.loss_at::<Dual>(&params, &feeds).tangent;
    let product: f64 = gradient.iter().zip(&direction).map(|(g, v)| g * v).sum();
    let size: f64 = gradient.iter().zip(&direction).map(|(g, v)| (g * v).powi(2)).sum::<f64>().sqrt();
    (product - tangent).abs() / size.max(tangent.abs()).max(f64::MIN_POSITIVE)
}

/// The components to perturb: all, or the first, the last, the largest and the smallest gradients and random ones.
fn components(gradient: &[f64], most: usize, seed: u64, path: &str) -> Vec<usize> {
    if gradient.len() <= most {
        return (0..gradient.len()).collect();
    }
    if most == 0 {
        return Vec::new();
    }
    let size = |i: &usize| gradient[*i].abs();
    let largest = (0..gradient.len()).max_by(|a, b| size(a).total_cmp(&size(b)));
    let smallest = (0..gradient.len()).min_by(|a, b| size(a).total_cmp(&size(b)));
    let mut chosen: Vec<usize> =
        [Some(0), Some(gradient.len() - 1), largest, smallest].into_iter().flatten().collect();
    let draws = Draws { seed, stream: stream(&format!("components/{path}")) };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    for u in draws.uniform() {
        chosen.push((u * gradient.len() as f64) as usize);
        if chosen.len() >= 2 * most {
            break;
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn unravel(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for (axis, &length) in dims.iter().enumerate().rev() {
        index[axis] = i % length.max(1);
        i /= length.max(1);
    }
    index
}

/// Whether the gradient of a tensor passes a function that trains on a surrogate in place of its derivative.
fn before_surrogate(graph: Runnable<'_>, param: Handle<ParamTensor>) -> bool {
    let surrogate = |node: &Handle<Node>| graph.nodes[*node].op.own().is_some_and(Own::is_surrogate);
    graph.nodes.handles().any(|node| surrogate(&node))
        && sweep::downstream(graph, param).iter().any(surrogate)
}

/// By node, how many inputs of piecewise functions lie exactly on a kink.
fn tied(graph: Runnable<'_>, session: &Session<'_, f64>, point: &Point<'_>) -> Vec<usize> {
    let count = |node: &Node| {
        let kinks = node.op.kinks();
        let Some(source) = node.inputs.first().filter(|_| !kinks.is_empty()) else { return 0 };
        session.input(*source, point).iter().filter(|x| kinks.contains(&x.primal())).count()
    };
    graph.nodes.iter().map(|(_, node)| count(node)).collect()
}

/// The number of bytes that a check of a graph needs, roughly: weights and gradients, the values of the base run and their
/// derivatives, and a pair of copies for each of two threads, which hold most values for a short time only.
#[must_use]
pub fn memory(graph: &Graph, batch: usize) -> usize {
    let values = graph.nodes.iter().map(|(_, node)| {
        let held = node.shape.as_ref().map_or(0, Shape::elements).saturating_mul(batch);
        held.saturating_add(node.saved.of(batch)).saturating_add(node.scratch.of(batch))
    });
    let values = values.fold(0usize, usize::saturating_add);
    let params = usize::try_from(graph.param_count()).unwrap_or(usize::MAX);
    params.saturating_mul(4).saturating_add(values.saturating_mul(4)).saturating_mul(8)
}
