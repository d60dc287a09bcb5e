//! The ledger: what every reverse rule hands back must equal what it was handed (conservation of the adjoint product).
//!
//! What it proves: for a node y = f(x_1, ..., x_n) with parameters among its operands, tangents dx_i, dy = f'(x) dx from the forward
//! kernel on dual numbers, a cotangent g and the contributions c_i of the reverse rule,
//! `sum_i <c_i, dx_i> = <g, dy>`. With random dx a wrong rule breaks this with probability 1 and the node that breaks it is the
//! faulty one, because nothing of another node's rule enters. Each node is asked three times: with the tangents and cotangents
//! of the whole net at the point; with random ones, because those of a net are structured (behind a softmax they add up
//! to 0) and may hide an error along a fixed direction; and, where f is piecewise, with inputs on and around the kinks, where it is a maximum, with tied
//! ones, which a few random samples may not meet. For every value the sum of the contributions must be the cotangent that arrived,
//! where the derivative of the objective itself counts as a contribution to what it reads, and for every tensor that of the penalties.
//!
//! Bound: with u = 2^-53 and gamma_k = k u / (1 - k u), a sum of k products errs by at most gamma_k times the sum of their magnitudes
//! (Higham 2002, section 3.1). The kernels' sums have the length that [`length`] counts; the products here are added up in blocks,
//! 64 + log2 n additions deep. A mismatch within gamma_k of the magnitudes on both sides passes. A rule may also lose digits inside,
//! where large terms cancel (a norm of two values), so that a larger mismatch only asks for the same node in double-double
//! arithmetic, in which cancellation costs nothing that counts: what still exceeds gamma_k there is the rule, unless it fell from `f64` to there
//! as only rounding does ([`exact::vanished`](super::exact::vanished)): equal tokens of size 10^9 cancel more digits in an attention than
//! double-double numbers have. The operand is named by the same test with the tangents of all others zero.
//!
//! Source: the dot-product test of adjoint codes (Claerbout 1992; Griewank and Walther 2008, section 3.3), for every node at once.

use super::exact::vanished;
use super::spread::spread;
use super::sweep::Place;
use super::ties::{Tie, Windows, levels};
use crate::exec::{self, Alone, Gradients, Keep, Reverse, Session, Tapes};
use crate::graph::{Handle, Node, ParamTensor, Source};
use crate::ops::{Arity, Category};
use crate::scalar::{Double, DoubleDual, Dual, Scalar};
use crate::tensor::{Shape, View};

/// Additions before a block of a sum of products is put aside.
const BLOCK: usize = 64;
/// Roundings of an elementary function and its slope, generously.
const ELEMENTARY: usize = 32;

/// What does not balance.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Site {
    /// The rule of a node, in these operands: inputs, then parameters.
    Rule(Handle<Node>, Vec<usize>),
    /// The rule of a node on its kinks alone, in these operands.
    Kink(Handle<Node>, Vec<usize>),
    /// The sum of the contributions to the value of a node.
    Value(Handle<Node>),
    /// The sum of the contributions to a tensor, which penalties do not touch.
    Tensor(Handle<ParamTensor>),
    /// The derivative of the penalties by a tensor.
    Penalty(Handle<ParamTensor>),
}

/// A mismatch beyond rounding, both as parts of the magnitudes that were added up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub site: Site,
    pub error: f64,
    pub bound: f64,
}

/// gamma_k for sums of so many products.
#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
pub(super) fn gamma(k: usize) -> f64 {
    let ku = k as f64 * 0.5 * f64::EPSILON;
    if ku < 0.5 { ku / (1.0 - ku) } else { f64::INFINITY }
}

/// Whether a mismatch is beyond a bound; what is not a number is beyond every bound.
fn exceeds(error: f64, bound: f64) -> bool {
    error > bound || error.is_nan()
}

/// The values of a node's operands at a place: inputs, then parameters.
pub(super) fn operands<'a>(place: &'a Place<'_, '_>, node: &Node) -> Vec<&'a [f64]> {
    let inputs = node.inputs.iter().map(|source| place.base.input(*source, place.point).plane(0));
    let own = node.params.iter().map(|param| &*place.weights.params[param.index()].data);
    inputs.chain(own).collect()
}

/// The running statistics of a node at a place.
pub(super) fn states<'a>(place: &'a Place<'_, '_>, node: &Node) -> Vec<&'a [f64]> {
    node.states.iter().map(|state| &*place.weights.states[state.index()].data).collect()
}

/// Which operands of a node have derivatives.
pub(super) fn wanted(place: &Place<'_, '_>, node: &Node) -> Vec<bool> {
    let inputs = node.inputs.iter().map(|source| place.base.wants(*source));
    inputs.chain(node.params.iter().map(|_| true)).collect()
}

/// How many terms the longest sum of a kernel or its reverse rule has, for a batch.
pub(super) fn length(place: &Place<'_, '_>, node: &Node) -> usize {
    let elements = |shape: Option<&Shape>| shape.map_or(0, Shape::elements);
    let (graph, batch) = (place.graph, place.batch());
    let output = elements(node.shape.as_ref());
    let sums = graph.slots(node).map(|(_, spec)| {
        // The derivative by a component adds up the outputs that it moves: its share of all, of each sample.
        let moved = output.saturating_mul(spec.fan_in.max(1)) / spec.elements().max(1);
        spec.fan_in.max(spec.fan_out).max(batch * moved)
    });
    let within = match node.op.category() {
        Category::Layer => 0,
        // A row adds up all places that hold its token.
        Category::Lookup => {
            batch * node.inputs.iter().map(|source| elements(graph.shape(*source))).sum::<usize>()
        }
        _ => {
            let whole = node.inputs.iter().map(|source| elements(graph.shape(*source))).max().unwrap_or(0);
            let samples = if node.op.mixes_batch(place.settings.mode) { batch } else { 1 };
            whole.max(output) * samples
        }
    };
    ELEMENTARY + BLOCK + sums.max().unwrap_or(0).max(within)
}

/// A sum of products and that of their magnitudes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum<S> {
    pub value: S,
    pub size: f64,
}

impl<S: Scalar> Sum<S> {
    pub(super) fn zero() -> Self {
        Self { value: S::constant(0.0), size: 0.0 }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, size: self.size + other.size }
    }

    /// How far two sums differ.
    fn apart(self, other: Self) -> f64 {
        (self.value - other.value).primal().abs()
    }

    /// How far two sums differ, as a part of their magnitudes.
    pub(super) fn against(self, other: Self) -> f64 {
        let size = self.size + other.size;
        let difference = self.apart(other);
        // Products below the normal numbers have lost digits of their own.
        if difference <= f64::MIN_POSITIVE { 0.0 } else { difference / size }
    }
}

/// `<a, b>`, added up in blocks and then in pairs.
pub(super) fn dot<S: Scalar>(a: View<'_, S>, b: View<'_, S>) -> Sum<S> {
    let n = a.len();
    if n <= BLOCK {
        let mut sum = Sum::zero();
        for (a, b) in a.iter().zip(b.iter()) {
            let product = a * b;
            sum.value += product;
            sum.size += product.primal().abs();
        }
        return sum;
    }
    let middle = n / 2;
    dot(a.part(0..middle), b.part(0..middle)).plus(dot(a.part(middle..n), b.part(middle..n)))
}

/// Operands of one node with their tangents, and a cotangent.
struct Trial<'a> {
    operands: Vec<&'a [f64]>,
    tangents: Vec<Vec<f64>>,
    cotangent: &'a [f64],
}

/// What derivatives below the normal numbers can be off by: they have lost digits in either arithmetic, and large cotangents and tangents
/// make normal numbers of their products. The slope of gelu at -21 is 10^-310.
fn lost(trial: &Trial<'_>) -> f64 {
    let cotangent: f64 = trial.cotangent.iter().map(|c| c.abs()).sum();
    let tangent = trial.tangents.iter().flatten().fold(0.0f64, |most, t| most.max(t.abs()));
    f64::MIN_POSITIVE * cotangent * tangent
}

/// What one trial says of a rule.
enum Found {
    Right,
    /// Right but on a kink, where it gives a subgradient other than that of the forward kernel.
    Convention,
    /// Right but on a kink, where it gives no subgradient.
    Kink(f64, Vec<usize>),
    Wrong(f64, Vec<usize>),
}

impl Found {
    /// This, or what another trial says, whichever is worse.
    fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Wrong(..) => self,
            Self::Right => other(),
            Self::Convention | Self::Kink(..) => match other() {
                Self::Right => self,
                Self::Convention if matches!(self, Self::Kink(..)) => self,
                worse => worse,
            },
        }
    }
}

/// One node of a net at a point.
struct Case<'a, 'g, R> {
    alone: Alone<'g>,
    states: Vec<&'a [f64]>,
    wanted: Vec<bool>,
    bound: f64,
    reverse: &'a R,
}

/// Values and tangents as planes of scalars, each `planes` wide.
fn planes(values: &[f64], tangent: &[f64], planes: usize) -> Vec<f64> {
    let n = values.len();
    let mut joined = vec![0.0; 2 * planes * n];
    joined[..n].copy_from_slice(values);
    joined[planes * n..(planes + 1) * n].copy_from_slice(tangent);
    joined
}

fn slices(owned: &[Vec<f64>]) -> Vec<&[f64]> {
    owned.iter().map(Vec::as_slice).collect()
}

impl<R: Reverse> Case<'_, '_, R> {
    /// The derivative of the value along tangents, from the forward kernel; `D` are dual numbers over `S`.
    fn along<S: Scalar, D: Scalar>(&self, operands: &[&[f64]], tangents: &[Vec<f64>]) -> Vec<f64> {
        let joined: Vec<Vec<f64>> = operands
            .iter()
            .zip(tangents)
            .map(|(values, tangent)| planes(values, tangent, S::PLANES))
            .collect();
        let mut output = self.alone.forward::<D>(&slices(&joined), &self.states).output;
        let tangent = output.len() / 2;
        output.drain(..tangent);
        output
    }

    /// `<c_i, dx_i>` for each operand.
    fn parts<S: Scalar>(&self, contributions: &[Vec<f64>], tangents: &[Vec<f64>]) -> Vec<Option<Sum<S>>> {
        let one = |((c, tangent), wanted): ((&Vec<f64>, &Vec<f64>), &bool)| {
            wanted.then(|| {
                if S::PLANES == 1 {
                    dot(View::<S>::new(c), View::new(tangent))
                } else {
                    let mut wide = tangent.clone();
                    wide.resize(S::PLANES * tangent.len(), 0.0);
                    dot(View::<S>::new(c), View::new(&wide))
                }
            })
        };
        contributions.iter().zip(tangents).zip(&self.wanted).map(one).collect()
    }

    /// Asks the node in double-double arithmetic, as the sums are so far apart in `f64`: the mismatch and the operands, if it is beyond
    /// the bound.
    fn settle(&self, trial: &Trial<'_>, apart: f64) -> Option<(f64, Vec<usize>)> {
        let widen = |values: &[f64]| {
            let mut wide = values.to_vec();
            wide.resize(2 * values.len(), 0.0);
            wide
        };
        let operands: Vec<Vec<f64>> = trial.operands.iter().map(|values| widen(values)).collect();
        let operands = slices(&operands);
        let cotangent = widen(trial.cotangent);
        let ran = self.alone.forward::<Double>(&operands, &self.states);
        let contributions = self.alone.backward::<Double>(
            &operands,
            &self.states,
            [&ran.output, &ran.saved],
            &cotangent,
            &self.wanted,
            self.reverse,
        );
        let parts = self.parts::<Double>(&contributions, &trial.tangents);
        let handed = |tangents: &[Vec<f64>]| {
            let along = self.along::<Double, DoubleDual>(&trial.operands, tangents);
            dot(View::<Double>::new(&cotangent), View::new(&along))
        };
        let whole = parts.iter().flatten().fold(Sum::zero(), |sum, part| sum.plus(*part));
        let arrived = handed(&trial.tangents);
        let error = whole.against(arrived);
        if error <= self.bound || vanished(apart, whole.apart(arrived)) {
            return None;
        }
        let lone = |i: usize| -> Vec<Vec<f64>> {
            let tangents = trial.tangents.iter().enumerate();
            tangents
                .map(|(j, tangent)| if i == j { tangent.clone() } else { vec![0.0; tangent.len()] })
                .collect()
        };
        let wrong =
            |i: &usize| parts[*i].is_some_and(|part| exceeds(part.against(handed(&lone(*i))), self.bound));
        Some((error, (0..parts.len()).filter(wrong).collect()))
    }

    /// The verdict of a trial: what is wrong on kinks alone is told from what is wrong.
    fn weigh(&self, node: &Node, trial: &Trial<'_>, parts: &[Option<Sum<f64>>], along: &[f64]) -> Found {
        match self.judge(trial, parts, along) {
            None => Found::Right,
            Some((error, operands)) => match self.on_kinks(node, trial) {
                None => Found::Wrong(error, operands),
                Some(true) => Found::Convention,
                Some(false) => Found::Kink(error, operands),
            },
        }
    }

    /// Whether a rule that does not balance gives a subgradient: its contributions lie between those that it gives where every input on
    /// a kink is moved off it, down and up, and where it balances. `None` if it is wrong there, too, or nothing lies on a kink.
    fn on_kinks(&self, node: &Node, trial: &Trial<'_>) -> Option<bool> {
        if let Some(windows) = Windows::of(self.alone.graph, node, self.alone.batch) {
            return self.on_ties(trial, &windows);
        }
        let kinks = node.op.kinks();
        let targets = (node.op.arity() == Arity::Loss).then(|| trial.operands[1]);
        let at = |i: usize| targets.and_then(|targets| targets.get(i)).copied().unwrap_or(0.0);
        let first = trial.operands[0];
        if !first.iter().enumerate().any(|(i, x)| kinks.contains(&(x - at(i)))) {
            return None;
        }
        let moved = |side: f64| -> Vec<f64> {
            let off = |(i, x): (usize, &f64)| {
                // A few last places, in which the slopes do not change.
                let step = (4.0 * f64::EPSILON * (x.abs() + at(i).abs())).max(1e-300);
                if kinks.contains(&(x - at(i))) { x + side * step } else { *x }
            };
            first.iter().enumerate().map(off).collect()
        };
        let (down, up) = (self.settled(trial, &moved(-1.0), true)?, self.settled(trial, &moved(1.0), true)?);
        let here = self.settled(trial, first, false)?;
        let between = |((c, down), up): ((&f64, &f64), &f64)| {
            let slack = self.bound * (down.abs() + up.abs()) + f64::MIN_POSITIVE;
            (down.min(*up) - slack..=down.max(*up) + slack).contains(c)
        };
        let operands = here.iter().zip(&down).zip(&up);
        Some(operands.into_iter().all(|((c, down), up)| c.iter().zip(down).zip(up).all(between)))
    }

    /// The same of a maximum whose largest elements are tied.
    fn on_ties(&self, trial: &Trial<'_>, windows: &Windows) -> Option<bool> {
        let first = trial.operands[0];
        let ties = windows.ties(first);
        if ties.is_empty() {
            return None;
        }
        for last in [false, true] {
            self.settled(trial, &windows.broken(first, last), true)?;
        }
        let shares = |group: &Vec<Tie>| {
            let mut cotangent = vec![0.0; trial.cotangent.len()];
            group.iter().for_each(|tie| cotangent[tie.output] = 1.0);
            let asked = Trial {
                operands: trial.operands.clone(),
                tangents: trial.tangents.clone(),
                cotangent: &cotangent,
            };
            let here = self.settled(&asked, first, false)?;
            Some(windows.are_shares(group, &here[0], self.bound))
        };
        Some(windows.groups(ties).iter().all(|group| shares(group) == Some(true)))
    }

    /// What the rule hands back for another first operand; where that is to be `right`, `None` if it does not balance.
    fn settled(&self, trial: &Trial<'_>, first: &[f64], right: bool) -> Option<Vec<Vec<f64>>> {
        let mut operands = trial.operands.clone();
        operands[0] = first;
        let trial = Trial { operands, tangents: trial.tangents.clone(), cotangent: trial.cotangent };
        let ran = self.alone.forward::<f64>(&trial.operands, &self.states);
        let contributions = self.rule(&trial, [&ran.output, &ran.saved]);
        let balances = || {
            let parts = self.parts::<f64>(&contributions, &trial.tangents);
            let along = self.along::<f64, Dual>(&trial.operands, &trial.tangents);
            self.judge(&trial, &parts, &along).is_none()
        };
        (!right || balances()).then_some(contributions)
    }

    /// What the reverse rule hands back.
    fn rule(&self, trial: &Trial<'_>, held: [&[f64]; 2]) -> Vec<Vec<f64>> {
        let Trial { operands, cotangent, .. } = trial;
        self.alone.backward::<f64>(operands, &self.states, held, cotangent, &self.wanted, self.reverse)
    }

    /// The mismatch in `f64` and, if that is beyond the bound, what double-double arithmetic says.
    fn judge(
        &self,
        trial: &Trial<'_>,
        parts: &[Option<Sum<f64>>],
        along: &[f64],
    ) -> Option<(f64, Vec<usize>)> {
        let whole = parts.iter().flatten().fold(Sum::zero(), |sum, part| sum.plus(*part));
        let handed = dot(View::<f64>::new(trial.cotangent), View::new(along));
        let apart = whole.apart(handed);
        // What is not a number is beyond every bound.
        if whole.against(handed) <= self.bound || apart < lost(trial) {
            return None;
        }
        self.settle(trial, apart)
    }
}

/// What the ledger of a point says.
pub(super) struct Audit {
    /// What does not balance.
    pub faults: Vec<Fault>,
    /// Nodes whose rules take another subgradient than the forward kernel on kinks that the net's values lie on.
    pub conventions: Vec<Handle<Node>>,
    /// By node, maxima of several elements that move apart when the net's operands move.
    pub ties: Vec<usize>,
}

/// Checks every node that a reverse run reached, every value and every tensor.
///
/// `place.base` has just run forward and back and gave `gradients`.
pub(super) fn audit(place: &Place<'_, '_>, gradients: &Gradients, reverse: &impl Reverse) -> Audit {
    let Place { graph, settings, base, weights, .. } = place;
    let (graph, batch, seed) = (*graph, place.batch(), settings.seed);
    let params: Vec<Vec<f64>> = graph
        .params
        .iter()
        .zip(&weights.params)
        .map(|((_, param), tensor)| {
            planes(&tensor.data, &spread(tensor.data.len(), seed, &format!("ledger/{}", param.path)), 1)
        })
        .collect();
    let feeds: Vec<Vec<f64>> = graph
        .feeds
        .iter()
        .zip(place.feeds)
        .map(|((_, feed), data)| {
            let n = data.data.len();
            let tangent = if feed.differentiable() {
                spread(n, seed, &format!("ledger/{}", feed.name))
            } else {
                vec![0.0; n]
            };
            planes(&data.data, &tangent, 1)
        })
        .collect();
    let moved = place.point_at(&params, &feeds);
    let mut duals: Session<'_, Dual> = Session::new(graph, batch, Keep::All);
    duals.adopt(base);
    duals.forward(&moved, *settings, Tapes::Replay);

    let (mut faults, mut conventions) = (Vec::new(), Vec::new());
    let mut ties = vec![0; graph.nodes.len()];
    // What arrived at each value and tensor.
    let mut values = vec![Sum::<f64>::zero(); graph.nodes.len()];
    let mut tensors = vec![Sum::<f64>::zero(); graph.params.len()];
    for (handle, node) in graph.nodes.iter().rev() {
        let cotangent = base.cotangent(handle);
        if cotangent.is_empty() {
            continue;
        }
        let cotangent = cotangent.plane(0);
        let along = duals.value(handle).plane(1);
        let case = Case {
            alone: Alone { graph, node: handle, batch, settings: *settings, fill: 0.0 },
            states: states(place, node),
            wanted: wanted(place, node),
            bound: gamma(length(place, node)),
            reverse,
        };
        let tangents = node.inputs.iter().map(|source| duals.input(*source, &moved).plane(1).to_vec());
        let own_tangents =
            node.params.iter().map(|param| View::<Dual>::new(&params[param.index()]).plane(1).to_vec());
        let trial = Trial {
            operands: operands(place, node),
            tangents: tangents.chain(own_tangents).collect(),
            cotangent,
        };
        if let Some(windows) = Windows::of(graph, node, batch) {
            ties[handle.index()] =
                windows.ties(trial.operands[0]).iter().filter(|tie| tie.parts(&trial.tangents[0])).count();
        }
        let held = [base.value(handle).plane(0), base.saved(handle).plane(0)];
        let contributions = case.rule(&trial, held);
        let parts = case.parts::<f64>(&contributions, &trial.tangents);
        for (i, part) in parts.iter().enumerate() {
            let Some(part) = part else { continue };
            match node.inputs.get(i) {
                Some(Source::Node(input)) => values[input.index()] = values[input.index()].plus(*part),
                Some(Source::Feed(_)) => {}
                None => {
                    let tensor = node.params[i - node.inputs.len()].index();
                    tensors[tensor] = tensors[tensor].plus(*part);
                }
            }
        }
        let arrived = dot(View::<f64>::new(cotangent), View::new(along));
        if graph.loss.map_or(graph.prediction(), |loss| Some(Source::Node(loss)))
            == Some(Source::Node(handle))
        {
            // The derivative of the objective along the tangents, by the forward run alone.
            let objective = duals.objective(place.objective, &moved).tangent;
            values[handle.index()] =
                values[handle.index()].plus(Sum { value: objective, size: objective.abs() });
        }
        let error = values[handle.index()].against(arrived);
        let bound = gamma(BLOCK + batch * node.shape.as_ref().map_or(0, Shape::elements));
        if exceeds(error, bound) {
            faults.push(Fault { site: Site::Value(handle), error, bound });
        }
        let found = case
            .weigh(node, &trial, &parts, along)
            .or(|| at_random(&case, node, &trial, held, seed))
            .or(|| at_kinks(&case, node, &trial, seed));
        let bound = case.bound;
        match found {
            Found::Right => {}
            Found::Convention => conventions.push(handle),
            Found::Kink(error, operands) => {
                faults.push(Fault { site: Site::Kink(handle, operands), error, bound });
            }
            Found::Wrong(error, operands) => {
                faults.push(Fault { site: Site::Rule(handle, operands), error, bound });
            }
        }
    }
    for (handle, param) in graph.params.iter() {
        let tangent = View::<Dual>::new(&params[handle.index()]);
        let gradient = dot(View::<f64>::new(&gradients.params[handle.index()]), View::new(tangent.plane(1)));
        let mut expected = tensors[handle.index()];
        let mut penalised = false;
        for penalty in graph.penalties.iter().filter(|penalty| settings.penalties && penalty.covers(param)) {
            let term = exec::penalty(penalty, tangent).tangent;
            expected = expected.plus(Sum { value: term, size: term.abs() });
            penalised = true;
        }
        let error = expected.against(gradient);
        let bound = gamma(BLOCK + ELEMENTARY + param.spec.elements());
        if exceeds(error, bound) {
            let site = if penalised { Site::Penalty(handle) } else { Site::Tensor(handle) };
            faults.push(Fault { site, error, bound });
        }
    }
    Audit { faults, conventions, ties }
}

/// The same with a random cotangent and random tangents.
fn at_random<R: Reverse>(
    case: &Case<'_, '_, R>,
    node: &Node,
    trial: &Trial<'_>,
    held: [&[f64]; 2],
    seed: u64,
) -> Found {
    let path = node.path.to_string();
    let cotangent = spread(trial.cotangent.len(), seed, &format!("cotangent/{path}"));
    let tangents = fresh(case, &trial.operands, seed, &path);
    let trial = Trial { operands: trial.operands.clone(), tangents, cotangent: &cotangent };
    let contributions = case.rule(&trial, held);
    let parts = case.parts::<f64>(&contributions, &trial.tangents);
    let along = case.along::<f64, Dual>(&trial.operands, &trial.tangents);
    case.weigh(node, &trial, &parts, &along)
}

/// Random tangents of the operands that have derivatives.
fn fresh<R>(case: &Case<'_, '_, R>, operands: &[&[f64]], seed: u64, path: &str) -> Vec<Vec<f64>> {
    let one = |(i, (values, wanted)): (usize, (&&[f64], &bool))| {
        let n = values.len();
        if *wanted { spread(n, seed, &format!("tangent/{path}/{i}")) } else { vec![0.0; n] }
    };
    operands.iter().zip(&case.wanted).enumerate().map(one).collect()
}

/// The first operand of a piecewise function on and around its kinks, that of a maximum with many ties; `None` for a smooth one.
pub(super) fn near_kinks(node: &Node, operands: &[&[f64]]) -> Option<Vec<f64>> {
    if node.op.chooses() {
        return Some(levels(operands[0].len()));
    }
    let kinks = node.op.kinks();
    // For a loss the kinks are those of the difference of output and target.
    let targets = (node.op.arity() == Arity::Loss).then(|| operands[1]);
    let near = |i: usize| {
        let step = i32::try_from(i / (2 * kinks.len()) % 13).map_or(0.0, |k| 10f64.powi(-k));
        let kink = kinks[i % kinks.len()];
        let side = if (i / kinks.len()).is_multiple_of(2) { step } else { -step };
        // Every thirteenth pair lies on the kink itself.
        let from = if step == 1.0 { kink } else { kink + side };
        from + targets.and_then(|targets| targets.get(i)).copied().unwrap_or(0.0)
    };
    (!kinks.is_empty()).then(|| (0..operands[0].len()).map(near).collect())
}

/// The same with the first input on and around the kinks of a piecewise function.
fn at_kinks<R: Reverse>(case: &Case<'_, '_, R>, node: &Node, trial: &Trial<'_>, seed: u64) -> Found {
    let Some(first) = near_kinks(node, &trial.operands) else { return Found::Right };
    let mut operands = trial.operands.clone();
    operands[0] = &first;
    let path = node.path.to_string();
    let cotangent = spread(trial.cotangent.len(), seed, &format!("kink/{path}"));
    let tangents = fresh(case, &operands, seed, &path);
    let ran = case.alone.forward::<f64>(&operands, &case.states);
    let trial = Trial { operands, tangents, cotangent: &cotangent };
    let contributions = case.rule(&trial, [&ran.output, &ran.saved]);
    let parts = case.parts::<f64>(&contributions, &trial.tangents);
    let along = case.along::<f64, Dual>(&trial.operands, &trial.tangents);
    case.weigh(node, &trial, &parts, &along)
}
