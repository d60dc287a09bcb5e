//! The ledger: what every reverse rule hands back must equal what it was handed (conservation of the adjoint product).
//!
//! What it proves: for a node y = f(x_1, ..., x_n) with parameters among its operands, tangents dx_i, dy = f'(x) dx from the forward
//! kernel on dual numbers, a cotangent g and the contributions c_i of the reverse rule,
//! `sum_i <c_i, dx_i> = <g, dy>`. With random dx a wrong rule breaks this with probability 1 and the node that breaks it is the
//! faulty one, because nothing of another node's rule enters. Each node is asked three times: with the tangents and cotangents
//! of the whole net at the point; with random ones, because those of a net are structured (behind a softmax they add up
//! to 0) and may hide an error along a fixed direction; and, where f is piecewise, with inputs on and around the kinks, which a
//! few random samples may not meet. For every value the sum of the contributions must be the cotangent that arrived,
//! where the derivative of the objective itself counts as a contribution to what it reads, and for every tensor that of the penalties.
//!
//! Bound: with u = 2^-53 and gamma_k = k u / (1 - k u), a sum of k products errs by at most gamma_k times the sum of their magnitudes
//! (Higham 2002, section 3.1). The kernels' sums have the length that [`length`] counts; the products here are added up in blocks,
//! 64 + log2 n additions deep. A mismatch within gamma_k of the magnitudes on both sides passes. A rule may also lose digits inside,
//! where large terms cancel (a norm of two values), so that a larger mismatch only asks for the same node in double-double
//! arithmetic, in which cancellation costs nothing that counts: what still exceeds gamma_k there is the rule. The operand is named by
//! the same test with the tangents of all others zero.
//!
//! Source: the dot-product test of adjoint codes (Claerbout 1992; Griewank and Walther 2008, section 3.3), for every node at once.

use super::sweep::Place;
use crate::exec::{self, Alone, Gradients, Keep, Reverse, Session, Tapes};
use crate::graph::{Handle, Node, ParamTensor, Source};
use crate::ops::{Arity, Category};
use crate::scalar::{Double, DoubleDual, Dual, Scalar};
use crate::tensor::{Shape, View, stream};

/// Additions before a block of a sum of products is put aside.
const BLOCK: usize = 64;
/// Roundings of an elementary function and its slope, generously.
const ELEMENTARY: usize = 32;

/// What does not balance.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Site {
    /// The rule of a node, in these operands: inputs, then parameters.
    Rule(Handle<Node>, Vec<usize>),
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

/// How many terms the longest sum of a kernel or its reverse rule has, for a batch.
pub(super) fn length(place: &Place<'_, '_>, node: &Node) -> usize {
    let elements = |shape: Option<&Shape>| shape.map_or(0, Shape::elements);
    let (graph, batch) = (place.graph, place.batch());
    let output = elements(node.shape.as_ref());
    let sums = node.params.iter().map(|param| {
        let spec = &graph.params[*param].spec;
        // The derivative by a component adds up the outputs that it moves: its share of all, of each sample.
        let moved = output.saturating_mul(spec.fan_in.max(1)) / spec.elements().max(1);
        spec.fan_in.max(spec.fan_out).max(batch * moved)
    });
    let within = match node.op.category() {
        Category::Layer => 0,
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

    /// How far two sums differ, as a part of their magnitudes.
    pub(super) fn against(self, other: Self) -> f64 {
        let size = self.size + other.size;
        let difference = (self.value - other.value).primal().abs();
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

/// `n` numbers of random sign between 1/2 and 3/2, so that none of them hides an error; a counter through a mixing function
/// (Steele, Lea and Flood 2014), as independence beyond that is not needed.
pub(super) fn spread(n: usize, seed: u64, name: &str) -> Vec<f64> {
    let mut state = stream(name) ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    let one = |bits: u64| {
        let size = 0.5 + (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        if bits & 1 == 0 { size } else { -size }
    };
    (0..n).map(|_| one(next())).collect()
}

/// Operands of one node with their tangents, and a cotangent.
struct Trial<'a> {
    operands: Vec<&'a [f64]>,
    tangents: Vec<Vec<f64>>,
    cotangent: &'a [f64],
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

    /// Asks the node in double-double arithmetic: the mismatch and the operands, if it is beyond the bound.
    fn settle(&self, trial: &Trial<'_>) -> Option<(f64, Vec<usize>)> {
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
        let error = whole.against(handed(&trial.tangents));
        if error <= self.bound {
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

    /// The mismatch in `f64` and, if that is beyond the bound, what double-double arithmetic says.
    fn judge(
        &self,
        trial: &Trial<'_>,
        parts: &[Option<Sum<f64>>],
        along: &[f64],
    ) -> Option<(f64, Vec<usize>)> {
        let whole = parts.iter().flatten().fold(Sum::zero(), |sum, part| sum.plus(*part));
        let handed = dot(View::<f64>::new(trial.cotangent), View::new(along));
        // What is not a number is beyond every bound.
        if whole.against(handed) <= self.bound { None } else { self.settle(trial) }
    }
}

/// Checks every node that a reverse run reached, every value and every tensor.
///
/// `place.base` has just run forward and back and gave `gradients`.
pub(super) fn audit(place: &Place<'_, '_>, gradients: &Gradients, reverse: &impl Reverse) -> Vec<Fault> {
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
            let tangent =
                if feed.target { vec![0.0; n] } else { spread(n, seed, &format!("ledger/{}", feed.name)) };
            planes(&data.data, &tangent, 1)
        })
        .collect();
    let moved = place.point_at(&params, &feeds);
    let mut duals: Session<'_, Dual> = Session::new(graph, batch, Keep::All);
    duals.adopt(base);
    duals.forward(&moved, *settings, Tapes::Replay);

    let mut faults = Vec::new();
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
        let wanted =
            node.inputs.iter().map(|source| base.wants(*source)).chain(node.params.iter().map(|_| true));
        let states = node.states.iter().map(|state| &*weights.states[state.index()].data);
        let case = Case {
            alone: Alone { graph, node: handle, batch, settings: *settings, fill: 0.0 },
            states: states.collect(),
            wanted: wanted.collect(),
            bound: gamma(length(place, node)),
            reverse,
        };
        let inputs = node.inputs.iter().map(|source| base.input(*source, place.point).plane(0));
        let own = node.params.iter().map(|param| &*weights.params[param.index()].data);
        let tangents = node.inputs.iter().map(|source| duals.input(*source, &moved).plane(1).to_vec());
        let own_tangents =
            node.params.iter().map(|param| View::<Dual>::new(&params[param.index()]).plane(1).to_vec());
        let trial = Trial {
            operands: inputs.chain(own).collect(),
            tangents: tangents.chain(own_tangents).collect(),
            cotangent,
        };
        let held = [base.value(handle).plane(0), base.saved(handle).plane(0)];
        let contributions =
            case.alone.backward::<f64>(&trial.operands, &case.states, held, cotangent, &case.wanted, reverse);
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
            .judge(&trial, &parts, along)
            .or_else(|| at_random(&case, node, &trial, held, seed))
            .or_else(|| at_kinks(&case, node, &trial, seed));
        if let Some((error, operands)) = found {
            faults.push(Fault { site: Site::Rule(handle, operands), error, bound: case.bound });
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
    faults
}

/// The same with a random cotangent and random tangents.
fn at_random<R: Reverse>(
    case: &Case<'_, '_, R>,
    node: &Node,
    trial: &Trial<'_>,
    held: [&[f64]; 2],
    seed: u64,
) -> Option<(f64, Vec<usize>)> {
    let path = node.path.to_string();
    let cotangent = spread(trial.cotangent.len(), seed, &format!("cotangent/{path}"));
    let tangents = fresh(case, &trial.operands, seed, &path);
    let trial = Trial { operands: trial.operands.clone(), tangents, cotangent: &cotangent };
    let contributions = case.alone.backward::<f64>(
        &trial.operands,
        &case.states,
        held,
        &cotangent,
        &case.wanted,
        case.reverse,
    );
    let parts = case.parts::<f64>(&contributions, &trial.tangents);
    let along = case.along::<f64, Dual>(&trial.operands, &trial.tangents);
    case.judge(&trial, &parts, &along)
}

/// Random tangents of the operands that have derivatives.
fn fresh<R>(case: &Case<'_, '_, R>, operands: &[&[f64]], seed: u64, path: &str) -> Vec<Vec<f64>> {
    let one = |(i, (values, wanted)): (usize, (&&[f64], &bool))| {
        let n = values.len();
        if *wanted { spread(n, seed, &format!("tangent/{path}/{i}")) } else { vec![0.0; n] }
    };
    operands.iter().zip(&case.wanted).enumerate().map(one).collect()
}

/// The same with the first input on and around the kinks of a piecewise function.
fn at_kinks<R: Reverse>(
    case: &Case<'_, '_, R>,
    node: &Node,
    trial: &Trial<'_>,
    seed: u64,
) -> Option<(f64, Vec<usize>)> {
    let kinks = node.op.kinks();
    if kinks.is_empty() {
        return None;
    }
    // For a loss the kinks are those of the difference of output and target.
    let targets = (node.op.arity() == Arity::Loss).then(|| trial.operands[1]);
    let near = |i: usize| {
        let step = i32::try_from(i / (2 * kinks.len()) % 13).map_or(0.0, |k| 10f64.powi(-k));
        let kink = kinks[i % kinks.len()];
        let side = if (i / kinks.len()).is_multiple_of(2) { step } else { -step };
        // Every thirteenth pair lies on the kink itself.
        let from = if step == 1.0 { kink } else { kink + side };
        from + targets.and_then(|targets| targets.get(i)).copied().unwrap_or(0.0)
    };
    let first: Vec<f64> = (0..trial.operands[0].len()).map(near).collect();
    let mut operands = trial.operands.clone();
    operands[0] = &first;
    let path = node.path.to_string();
    let cotangent = spread(trial.cotangent.len(), seed, &format!("kink/{path}"));
    let tangents = fresh(case, &operands, seed, &path);
    let ran = case.alone.forward::<f64>(&operands, &case.states);
    let trial = Trial { operands, tangents, cotangent: &cotangent };
    let contributions = case.alone.backward::<f64>(
        &trial.operands,
        &case.states,
        [&ran.output, &ran.saved],
        &cotangent,
        &case.wanted,
        case.reverse,
    );
    let parts = case.parts::<f64>(&contributions, &trial.tangents);
    let along = case.along::<f64, Dual>(&trial.operands, &trial.tangents);
    case.judge(&trial, &parts, &along)
}
