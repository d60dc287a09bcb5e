//! The gradient check: two-sided differences of the loss against the reverse-mode gradient.
//!
//! Contract: every component of every trainable tensor is perturbed where one sweep costs at most [`BUDGET`] operations, else
//! at least [`SAMPLED`] of each tensor, which the report says. Decisions (the sign of a ReLU, the place of a maximum, a dropout
//! mask) are frozen at the unperturbed point, so that the differenced function is smooth and kinks cannot raise an alarm. The
//! penalties are part of the loss. The check runs at several random initialisations and again after some training steps, never
//! inside one.
//!
//! The verdict is per tensor. With e = |g - d|, s = |g| + |d| in the 2-norm, the ratio e/s of the course notes passes up to
//! [`GOOD`]; above, the differences may be too coarse: their rounding error is about u |L| / h a component. A tensor that misses
//! the ratio is therefore checked by a second oracle, the tangent of the forward kernels along a random direction, which is
//! exact to rounding. FAIL needs both to disagree with the gradient.

use crate::diag::{Diagnostic, rules};
use crate::exec::{Gradients, Keep, Objective, Reverse, Session, Settings, Tapes, Weights};
use crate::graph::{Graph, Handle, Node, Optimizer, ParamTensor, Runnable, Source};
use crate::inits;
use crate::optim;
use crate::scalar::{Dual, Scalar};
use crate::tensor::{Draws, Mode, Tensor, stream};
use crate::text::number;
use crate::valid::Samples;
use serde::Serialize;

/// One sweep over every component may cost this many multiplications and additions.
pub const BUDGET: f64 = 2e10;
/// Components of each tensor that are checked beyond the budget.
pub const SAMPLED: usize = 200;
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
}

impl Default for Options {
    fn default() -> Self {
        Self { seeds: vec![0, 1], steps: 20, batch: 8 }
    }
}

/// What a check concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Verdict {
    /// The gradient is right within the stated error.
    #[serde(rename = "PASS")]
    Pass,
    /// Gradient and differences are zero within rounding.
    #[serde(rename = "PASS-ZERO")]
    PassZero,
    /// The gradient is right at a kink, by the convention of the forward kernel.
    #[serde(rename = "KINK-OK")]
    KinkOk,
    /// Not checked; the reason is stated.
    #[serde(rename = "SKIPPED")]
    Skipped,
    /// A value is not finite.
    #[serde(rename = "INVALID")]
    Invalid,
    /// Two independent oracles contradict the gradient.
    #[serde(rename = "FAIL")]
    Fail,
}

impl Verdict {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::PassZero => "PASS-ZERO",
            Self::KinkOk => "KINK-OK",
            Self::Skipped => "SKIPPED",
            Self::Invalid => "INVALID",
            Self::Fail => "FAIL",
        }
    }

    /// Whether the check found a fault.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::Invalid)
    }
}

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its place along each axis.
    pub index: Vec<usize>,
    /// The reverse-mode gradient.
    pub gradient: f64,
    /// The two-sided difference.
    pub numeric: f64,
}

/// The worst that was seen of one tensor over all points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorReport {
    /// `fc1.weight`.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// |g - d| / (|g| + |d|) over the checked components.
    pub error: f64,
    /// The same by the tangent along a random direction, where it was asked.
    pub tangent_error: Option<f64>,
    /// How many components were checked, of how many.
    pub checked: usize,
    /// How many there are.
    pub components: usize,
    /// The component that differs most.
    pub worst: Option<Component>,
    /// Where it was seen.
    pub point: String,
}

/// One point and the ratio of the course notes over all tensors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PointReport {
    /// `seed 0`, `seed 0 after 20 steps`.
    pub name: String,
    /// Training or use.
    pub mode: String,
    /// The loss there, penalties included.
    pub loss: f64,
    /// |g - d| / (|g| + |d|) over all checked components of all tensors.
    pub error: f64,
    /// Decisions that lie exactly on a kink.
    pub ties: usize,
}

/// The whole check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The worst verdict.
    pub verdict: Verdict,
    /// What was perturbed, in words.
    pub method: String,
    /// The points.
    pub points: Vec<PointReport>,
    /// The tensors.
    pub tensors: Vec<TensorReport>,
}

impl Report {
    /// A finding for each tensor whose gradient is wrong or not finite, at the statement of its node.
    #[must_use]
    pub fn findings(&self, graph: &Graph) -> Vec<Diagnostic> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.verdict.is_bad())
            .map(|tensor| tensor.finding(graph))
            .collect()
    }
}

impl TensorReport {
    fn finding(&self, graph: &Graph) -> Diagnostic {
        let owner = graph
            .nodes
            .iter()
            .map(|(_, node)| node)
            .find(|node| node.params.iter().any(|param| graph.params[*param].path == self.name));
        let span = owner.map_or(graph.span, |node| node.span);
        let diagnostic = if self.verdict == Verdict::Invalid {
            let message = format!(
                "the loss or the gradient of `{}` is not a finite number at {}",
                self.name, self.point
            );
            Diagnostic::new(&rules::GRADIENT_NOT_FINITE, span, message)
                .help("look at the signal: an initialisation that explodes overflows here")
        } else {
            let message = format!(
                "the gradient of `{}` is wrong: relative error {} at {}",
                self.name,
                number(self.error),
                self.point
            );
            let tangent = self.tangent_error.map_or(String::new(), |error| {
                format!("; the tangent along a random direction differs by {}", number(error))
            });
            let checked = format!(
                "{} of {} components by two-sided differences{tangent}",
                self.checked, self.components
            );
            let diagnostic = Diagnostic::new(&rules::GRADIENT_MISMATCH, span, message).note("how", checked);
            match &self.worst {
                Some(Component { index, gradient, numeric }) => {
                    let index: Vec<String> = index.iter().map(ToString::to_string).collect();
                    let at = format!("[{}]: gradient {gradient:e}, difference {numeric:e}", index.join(","));
                    diagnostic.note("at", at)
                }
                None => diagnostic,
            }
        };
        match owner {
            Some(node) => diagnostic.node(node.path.to_string()).trail(&node.trail),
            None => diagnostic,
        }
    }
}

/// What one point says of one tensor.
struct Seen {
    verdict: Verdict,
    error: f64,
    tangent_error: Option<f64>,
    checked: usize,
    worst: Option<Component>,
    squares: [f64; 3],
}

/// Checks the gradient of a graph on rows of `samples` with the given reverse rules.
#[must_use]
pub fn check(graph: Runnable<'_>, samples: &Samples, options: &Options, reverse: &impl Reverse) -> Report {
    let batch = options.batch.min(samples.rows()).max(1);
    let objective = objective(graph, options.seeds.first().copied().unwrap_or(0));
    let cost = sweep_cost(graph, batch);
    let every = cost <= BUDGET;
    let method = if every {
        "every component".to_owned()
    } else {
        let cost = crate::text::number(cost);
        format!("{SAMPLED} components of each tensor: a full sweep would cost {cost} operations")
    };
    let mut report = Report { verdict: Verdict::PassZero, method, points: Vec::new(), tensors: Vec::new() };
    for (i, seed) in options.seeds.iter().enumerate() {
        let feeds = samples.batch(i * batch, batch);
        let mode = if i % 2 == 0 { Mode::Train } else { Mode::Eval };
        let weights = Weights::draw(&graph, *seed);
        let place = Place { name: format!("seed {seed}"), mode, seed: *seed };
        visit(graph, &place, weights, &feeds, &objective, every, reverse, &mut report);
    }
    if let (Some(seed), true) = (options.seeds.first(), options.steps > 0) {
        let feeds = samples.batch(0, batch);
        let mut weights = Weights::draw(&graph, *seed);
        let optimizer: &Optimizer =
            graph.training.optimizer.as_ref().map_or(&optim::DEFAULT, |optimizer| &optimizer.value);
        let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
        optim::train(&mut session, &objective, optimizer, options.steps, *seed, &feeds, &mut weights);
        let name = format!("seed {seed} after {} steps", options.steps);
        let place = Place { name, mode: Mode::Train, seed: *seed };
        if optim::finite(&weights) {
            visit(graph, &place, weights, &feeds, &objective, every, reverse, &mut report);
        }
    }
    report.verdict = report.tensors.iter().map(|tensor| tensor.verdict).max().unwrap_or(Verdict::Skipped);
    report
}

/// The loss, or for a graph without one the product of its output with fixed random weights.
#[must_use]
pub fn objective(graph: Runnable<'_>, seed: u64) -> Objective {
    if graph.loss.is_some() {
        return Objective::Loss;
    }
    let elements =
        graph.prediction().and_then(|output| graph.shape(output)).map_or(0, crate::tensor::Shape::elements);
    Objective::Projection(inits::standard_normal(elements, Draws { seed, stream: stream("projection") }))
}

struct Place {
    name: String,
    mode: Mode,
    seed: u64,
}

/// Checks every tensor at one point and keeps the worst of what was seen.
#[expect(clippy::too_many_arguments, reason = "one point of a check, spelled out")]
fn visit(
    graph: Runnable<'_>,
    place: &Place,
    mut weights: Weights,
    feeds: &[Tensor],
    objective: &Objective,
    every: bool,
    reverse: &impl Reverse,
    report: &mut Report,
) {
    let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
    let settings = Settings { mode: place.mode, seed: place.seed, penalties: true };
    let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
    let mut gradients = Gradients::zeros::<f64>(&graph, batch);
    let loss = {
        let point = weights.at(feeds);
        session.forward(&point, settings, Tapes::Record);
        session.backward(objective, &point, settings, reverse, &mut gradients);
        session.loss(objective, &point, settings)
    };
    let mut total = [0.0; 3];
    for (handle, param) in graph.params.iter() {
        let seen = if loss.is_finite() && gradients.params[handle.index()].iter().all(|g| g.is_finite()) {
            let chosen = components(&gradients.params[handle.index()], every, place.seed, &param.path);
            let mut sweep = Sweep { graph, session: &mut session, feeds, objective, settings, loss };
            sweep.tensor(handle, &chosen, &gradients, &mut weights)
        } else {
            Seen {
                verdict: Verdict::Invalid,
                error: f64::NAN,
                tangent_error: None,
                checked: 0,
                worst: None,
                squares: [0.0; 3],
            }
        };
        for (sum, square) in total.iter_mut().zip(seen.squares) {
            *sum += square;
        }
        keep_worst(report, param, seen, &place.name);
    }
    let [difference, gradient, numeric] = total.map(f64::sqrt);
    let sum = gradient + numeric;
    report.points.push(PointReport {
        name: place.name.clone(),
        mode: place.mode.to_string(),
        loss,
        error: if sum > 0.0 { difference / sum } else { 0.0 },
        ties: ties(graph, &session, feeds, &weights),
    });
}

fn keep_worst(report: &mut Report, param: &ParamTensor, seen: Seen, point: &str) {
    let Seen { verdict, error, tangent_error, checked, worst, squares: _ } = seen;
    let components = param.spec.elements();
    let name = param.path.clone();
    let fresh = TensorReport {
        name,
        verdict,
        error,
        tangent_error,
        checked,
        components,
        worst,
        point: point.to_owned(),
    };
    match report.tensors.iter_mut().find(|tensor| tensor.name == fresh.name) {
        // A zero at one point says less than a pass at another.
        Some(known) if known.verdict == Verdict::PassZero && !fresh.verdict.is_bad() => *known = fresh,
        Some(_) if fresh.verdict == Verdict::PassZero => {}
        Some(known) if (fresh.verdict, fresh.error) > (known.verdict, known.error) => *known = fresh,
        Some(_) => {}
        None => report.tensors.push(fresh),
    }
}

/// Perturbs components at one point.
struct Sweep<'s, 'g> {
    graph: Runnable<'g>,
    session: &'s mut Session<'g, f64>,
    feeds: &'s [Tensor],
    objective: &'s Objective,
    settings: Settings,
    loss: f64,
}

impl Sweep<'_, '_> {
    fn tensor(
        &mut self,
        param: Handle<ParamTensor>,
        chosen: &[usize],
        gradients: &Gradients,
        weights: &mut Weights,
    ) -> Seen {
        let gradient = &gradients.params[param.index()];
        let nodes = downstream(self.graph, param);
        let base_penalty = self.penalty(weights);
        let mut squares = [0.0; 3];
        let mut worst: Option<(f64, usize, f64)> = None;
        for &i in chosen {
            let w = weights.params[param.index()].data[i];
            let h = STEP * w.abs().max(1.0);
            let mut value_at = |this: &mut Self, x: f64| {
                weights.params[param.index()].data[i] = x;
                let point = weights.at(this.feeds);
                this.session.rerun(&nodes, &point, this.settings, Tapes::Replay);
                this.session.objective(this.objective, &point)
                    + base_penalty
                    + this.penalty_change(param, w, x)
            };
            let (above, below) = (w + h, w - h);
            let (high, low) = (value_at(self, above), value_at(self, below));
            weights.params[param.index()].data[i] = w;
            // The step that was really taken, so that the rounding of w + h does not enter.
            let numeric = (high - low) / (above - below);
            let error = (gradient[i] - numeric).abs();
            squares[0] += error * error;
            squares[1] += gradient[i] * gradient[i];
            squares[2] += numeric * numeric;
            if worst.is_none_or(|(most, ..)| error > most) {
                worst = Some((error, i, numeric));
            }
        }
        let point = weights.at(self.feeds);
        self.session.rerun(&nodes, &point, self.settings, Tapes::Replay);
        let dims = &self.graph.params[param].spec.dims;
        let worst = worst.map(|(_, i, numeric)| Component {
            index: unravel(i, dims),
            gradient: gradient[i],
            numeric,
        });
        let [difference, g, d] = squares.map(f64::sqrt);
        let error = if g + d > 0.0 { difference / (g + d) } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "component counts are far below 2^53")]
        let noise = (chosen.len() as f64).sqrt() * 8.0 * f64::EPSILON * (1.0 + self.loss.abs()) / STEP;
        let seen = |verdict, tangent_error| Seen {
            verdict,
            error,
            tangent_error,
            checked: chosen.len(),
            worst: worst.clone(),
            squares,
        };
        if !error.is_finite() {
            return seen(Verdict::Invalid, None);
        }
        if g <= noise * 1e-6 && d <= noise {
            return seen(Verdict::PassZero, None);
        }
        if error <= GOOD {
            return seen(Verdict::Pass, None);
        }
        let tangent_error = self.tangent(param, gradient, weights);
        match tangent_error {
            e if e <= TANGENT => seen(Verdict::Pass, Some(e)),
            // Both sides vanish next to what differences can resolve: a gradient that is zero up to rounding.
            e if g <= noise && d <= noise => seen(Verdict::PassZero, Some(e)),
            e => seen(Verdict::Fail, Some(e)),
        }
    }

    fn penalty(&self, weights: &Weights) -> f64 {
        if self.settings.penalties { self.session.penalty(&weights.at(self.feeds)) } else { 0.0 }
    }

    /// What moving one component from `from` to `to` changes in the penalties.
    fn penalty_change(&self, param: Handle<ParamTensor>, from: f64, to: f64) -> f64 {
        let covering =
            self.graph.penalties.iter().filter(|penalty| penalty.covers(&self.graph.params[param]));
        let change =
            |order: u8| if order == 1 { to.abs() - from.abs() } else { 0.5 * (to - from) * (to + from) };
        if self.settings.penalties {
            covering.map(|penalty| penalty.factor * change(penalty.order)).sum()
        } else {
            0.0
        }
    }

    /// The second oracle: the derivative along a random direction of this tensor from dual numbers, relative to the sum of the
    /// magnitudes that the gradient's product with the direction adds up.
    fn tangent(&self, param: Handle<ParamTensor>, gradient: &[f64], weights: &Weights) -> f64 {
        let seed = self.settings.seed;
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
        let feeds: Vec<Vec<f64>> = self.feeds.iter().map(|feed| dual(&feed.data, None)).collect();
        let point = crate::exec::Point {
            params: params.iter().map(Vec::as_slice).collect(),
            states: weights.states.iter().map(|state| &*state.data).collect(),
            feeds: feeds.iter().map(Vec::as_slice).collect(),
        };
        let mut session: Session<'_, Dual> = Session::new(self.graph, self.session.batch(), Keep::Result);
        session.forward(&point, self.settings, Tapes::Live);
        let tangent = session.loss(self.objective, &point, self.settings).tangent;
        let product: f64 = gradient.iter().zip(&direction).map(|(g, v)| g * v).sum();
        let size: f64 = gradient.iter().zip(&direction).map(|(g, v)| (g * v).powi(2)).sum::<f64>().sqrt();
        (product - tangent).abs() / size.max(tangent.abs()).max(f64::MIN_POSITIVE)
    }
}

/// The relevant nodes whose values depend on a tensor, in order.
fn downstream(graph: Runnable<'_>, param: Handle<ParamTensor>) -> Vec<Handle<Node>> {
    let mut reached = vec![false; graph.nodes.len()];
    for (handle, node) in graph.nodes.iter() {
        let upstream =
            node.inputs.iter().any(|source| matches!(source, Source::Node(input) if reached[input.index()]));
        reached[handle.index()] = upstream || node.params.contains(&param);
    }
    graph.nodes.handles().filter(|handle| reached[handle.index()]).collect()
}

/// Multiplications and additions of two forward runs for every component, with what lies before it reused.
fn sweep_cost(graph: Runnable<'_>, batch: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    graph
        .params
        .iter()
        .map(|(handle, param)| {
            let flops: f64 =
                downstream(graph, handle).iter().map(|node| graph.nodes[*node].flops as f64).sum();
            2.0 * param.spec.elements() as f64 * flops * batch as f64
        })
        .sum()
}

/// The components to perturb: all, or the first, the last, the largest and the smallest gradients and random ones.
fn components(gradient: &[f64], every: bool, seed: u64, path: &str) -> Vec<usize> {
    if every || gradient.len() <= SAMPLED {
        return (0..gradient.len()).collect();
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
        if chosen.len() >= 2 * SAMPLED {
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

/// Inputs of piecewise functions that lie exactly on a kink.
fn ties(graph: Runnable<'_>, session: &Session<'_, f64>, feeds: &[Tensor], weights: &Weights) -> usize {
    let point = weights.at(feeds);
    let count = |node: &Node| {
        let kinks = node.op.kinks();
        let Some(source) = node.inputs.first().filter(|_| !kinks.is_empty()) else { return 0 };
        session.input(*source, &point).iter().filter(|x| kinks.contains(&x.primal())).count()
    };
    graph.nodes.iter().map(|(_, node)| count(node)).sum()
}

/// The number of bytes that a check of a graph needs, roughly: weights, gradients and values.
#[must_use]
pub fn memory(graph: &Graph, batch: usize) -> usize {
    let values = graph.nodes.iter().map(|(_, node)| {
        let held = node.shape.as_ref().map_or(0, crate::tensor::Shape::elements).saturating_mul(batch);
        held.saturating_add(node.saved.of(batch)).saturating_add(node.scratch.of(batch))
    });
    let values = values.fold(0usize, usize::saturating_add);
    let params = usize::try_from(graph.param_count()).unwrap_or(usize::MAX);
    params.saturating_mul(4).saturating_add(values.saturating_mul(2)).saturating_mul(8)
}
