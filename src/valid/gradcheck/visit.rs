//! One point: every test runs, and every tensor gets its verdict.

use super::directions::{self, Evidence};
use super::points::Place;
use super::report::{Component, Map, NotFinite, PointReport, TensorReport};
use super::sensitivity::Sensitivities;
use super::verdict::{Known, RESOLUTION, Verdict};
use super::{Fault, Method, anchor, exact, ledger, plain, purity, slip, sweep, truth};
use crate::exec::{Gradients, Keep, Objective, Point, Reverse, Session, Settings, Tapes, Weights};
use crate::graph::{Handle, Node, ParamTensor, Runnable};
use crate::ops::Own;
use crate::scalar::Scalar;
use crate::tensor::{Draws, Tensor, stream};
use crate::valid::{step_cost, unravel};

/// What double-double arithmetic may cost, in operations of `f64`; beyond, differences are the second oracle.
const EXACT: f64 = 1e11;

/// How a point is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Components of each tensor that are differenced at most; 0 takes directions in their place at full points.
    pub most: usize,
    /// A method to take wherever it is valid.
    pub method: Option<Method>,
    /// Whether gradient and derivative of failing tensors are kept.
    pub maps: bool,
}

/// What was found.
pub(super) struct Seen {
    pub point: PointReport,
    pub tensors: Vec<TensorReport>,
    pub faults: Vec<Fault>,
    pub maps: Vec<Map>,
}

/// The oracles at a point where everything is finite.
struct Sound {
    faults: Vec<ledger::Fault>,
    conventions: Vec<Handle<Node>>,
    impure: Vec<(Handle<Node>, purity::Impurity)>,
    of: Sensitivities,
    evidence: Vec<Evidence>,
}

/// Checks every tensor at one point.
pub(super) fn visit(
    graph: Runnable<'_>,
    place: &Place,
    weights: &Weights,
    feeds: &[Tensor],
    objective: &Objective,
    how: How,
    reverse: &impl Reverse,
) -> Seen {
    let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
    let settings = Settings { mode: place.mode, seed: place.seed, penalties: true };
    let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
    let mut gradients = Gradients::zeros::<f64>(&graph, batch);
    let point = weights.at(feeds);
    session.forward(&point, settings, Tapes::Record);
    session.backward(objective, &point, settings, reverse, &mut gradients);
    let loss = session.loss(objective, &point, settings);
    let mut tied = tied(graph, &session, &point);
    let finite = |param: Handle<ParamTensor>| {
        loss.is_finite() && gradients.params[param.index()].iter().all(|g| g.is_finite())
    };
    let terms = session.terms(objective, &point);
    let at =
        sweep::Place { graph, objective, settings, feeds, weights, point: &point, base: &session, terms };
    let sound = graph.nodes.handles().all(|node| session.value(node).iter().all(f64::is_finite))
        && graph.params.handles().all(finite);
    let sound = sound.then(|| {
        let ledger::Audit { faults, conventions, ties } = ledger::audit(&at, &gradients, reverse);
        let impure = purity::audit(&at, &gradients, reverse);
        let of = Sensitivities::new(&at, &gradients, reverse);
        let evidence = directions::ask(&at, &gradients, &of);
        tied.iter_mut().zip(ties).for_each(|(count, ties)| *count += ties);
        Sound { faults, conventions, impure, of, evidence }
    });
    let chosen: Vec<Vec<usize>> = graph
        .params
        .iter()
        .map(|(handle, param)| {
            // Differences of the loss know nothing of a surrogate.
            if finite(handle) && !before_surrogate(graph, handle) {
                components(&gradients.params[handle.index()], how.most, place.seed, &param.path)
            } else {
                Vec::new()
            }
        })
        .collect();
    let numeric = sweep::differences(&at, chosen, how.method);
    let mut total = [0.0; 3];
    let mut tensors = Vec::new();
    let mut known = Vec::new();
    for (handle, param) in graph.params.iter() {
        let (gradient, numeric) = (&gradients.params[handle.index()], &numeric[handle.index()]);
        let mut tensor = TensorReport::new(&param.path, param.spec.elements(), &place.name);
        tensor.checked = numeric.chosen.len();
        tensor.method = (!numeric.chosen.is_empty()).then_some(numeric.method);
        let squares = compare(gradient, numeric, &param.spec.dims, &mut tensor);
        total.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        if let Some(Sound { of, evidence, .. }) = &sound {
            let evidence = evidence[handle.index()];
            let of_gradient = gradient.iter().zip(of.units(handle)).map(|(g, unit)| (g / unit).abs());
            let [_, g, d] = squares.map(f64::sqrt);
            let known_of = Known {
                evidence,
                reached: of.data[handle.index()],
                gradient: of_gradient.fold(0.0, f64::max),
                rounding: directions::rounding(&at),
                noise: plain::noise(loss),
                differences: [ratio(squares), 10.0 * numeric.noise / (g + d).max(f64::MIN_POSITIVE)],
            };
            tensor.verdict = known_of.verdict();
            tensor.tangent_error = Some(evidence.mismatch);
            tensor.bound = Some(evidence.bound);
            tensor.detectable = Some(evidence.detectable);
            tensor.sensitivity = Some(of.largest(handle));
            tensor.error = if tensor.checked == 0 { evidence.mismatch } else { ratio(squares) };
            known.push(known_of);
        } else if finite(handle) {
            tensor.error = ratio(squares);
        }
        tensors.push(tensor);
    }
    let differenced = tensors.iter().any(|tensor| tensor.checked > 0);
    let surrogate = graph.params.handles().any(|param| before_surrogate(graph, param));
    let anchor = (sound.is_some() && place.full && !differenced && !surrogate)
        .then(|| anchor::measure(&at, &gradients));
    let mut faults = Vec::new();
    let mut maps = Vec::new();
    if let Some(sound) = &sound {
        let contradicted = anchor.is_some_and(|anchor| anchor.error > anchor.bound);
        confirm(&at, &gradients, &sound.of, reverse, &mut known, contradicted, &mut tensors);
        faults = blame(&at, sound, reverse, &mut tensors, &tied);
        maps = truth::look(&at, &gradients, &numeric, how.maps, &mut tensors);
    }
    for (handle, tensor) in graph.params.handles().zip(&mut tensors) {
        if tensor.verdict.is_pass() && before_surrogate(graph, handle) {
            tensor.verdict = Verdict::Surrogate;
        }
    }
    // Where no component was perturbed, the tangents speak.
    let tangents =
        tensors.iter().filter(|tensor| tensor.checked == 0).filter_map(|tensor| tensor.tangent_error);
    let error = tangents.fold(ratio(total), f64::max);
    let not_finite = graph.nodes.iter().find_map(|(handle, node)| {
        let value = session.value(handle).iter().find(|x| !x.is_finite())?;
        Some(NotFinite { node: node.path.to_string(), value: value.to_string() })
    });
    let point = PointReport {
        name: place.name.clone(),
        mode: place.mode.to_string(),
        loss,
        error,
        full: place.full,
        anchor,
        ties: tied.iter().sum(),
        not_finite,
    };
    Seen { point, tensors, faults, maps }
}

/// Turns what ledger and purity have found into faults, and lets them count for the tensors.
fn blame(
    at: &sweep::Place<'_, '_>,
    sound: &Sound,
    reverse: &impl Reverse,
    tensors: &mut [TensorReport],
    tied: &[usize],
) -> Vec<Fault> {
    let Sound { faults, conventions, impure, .. } = sound;
    let (graph, name) = (at.graph, tensors.first().map_or(String::new(), |tensor| tensor.point.clone()));
    let kinked: Vec<Handle<Node>> = faults
        .iter()
        .filter_map(|fault| match &fault.site {
            ledger::Site::Kink(node, _) => Some(*node),
            _ => None,
        })
        .collect();
    let only_kinks = kinked.len() == faults.len();
    for (handle, tensor) in graph.params.handles().zip(&mut *tensors) {
        let behind = sweep::downstream(graph, handle);
        let any = |nodes: &[Handle<Node>]| behind.iter().any(|node| nodes.contains(node));
        tensor.verdict = match tensor.verdict {
            Verdict::Pass if behind.iter().any(|node| tied[node.index()] > 0) => Verdict::KinkOk,
            // Nothing but the choice of the subgradient is different.
            Verdict::Fail | Verdict::Unresolved if only_kinks && any(&kinked) => Verdict::KinkBad,
            Verdict::Fail | Verdict::Unresolved if faults.is_empty() && any(conventions) => Verdict::KinkOk,
            verdict => verdict,
        };
    }
    // A rule that the ledger blames breaks other laws as well.
    let blamed = |node: Handle<Node>| {
        faults.iter().any(|fault| {
            matches!(&fault.site, ledger::Site::Rule(wrong, _) | ledger::Site::Kink(wrong, _) if *wrong == node)
        })
    };
    let impure = impure
        .iter()
        .filter(|(node, _)| !blamed(*node))
        .map(|(node, law)| Fault::impure(&graph, *node, *law, &name));
    let mut budget = slip::BUDGET;
    let named = faults.iter().map(|fault| {
        let slips = match &fault.site {
            ledger::Site::Rule(node, operands) | ledger::Site::Kink(node, operands) => {
                slip::look(at, *node, operands, reverse, &mut budget)
            }
            _ => Vec::new(),
        };
        Fault::of(&graph, fault, slips, &name)
    });
    let faults: Vec<Fault> = named.chain(impure).collect();
    // A tensor whose own contribution is wrong fails, however small the error is next to its gradient.
    for tensor in tensors {
        for fault in faults.iter().filter(|fault| fault.tensors.contains(&tensor.name)) {
            tensor.verdict = tensor.verdict.max(fault.kind.verdict());
            if let Some(why) = fault.slip_of(&graph, &tensor.name) {
                tensor.diagnosis = Some(why.to_owned());
            }
        }
    }
    faults
}

/// Lets a second oracle decide about the tensors that fail: double-double arithmetic, for all of them at once and one by one if that does not
/// clear them; where that costs too much, the differences, which `contradicted` the gradient or did not.
fn confirm(
    at: &sweep::Place<'_, '_>,
    gradients: &Gradients,
    of: &Sensitivities,
    reverse: &impl Reverse,
    known: &mut [Known],
    contradicted: bool,
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
    if exact::cost(step_cost(&at.graph, at.batch()) / 3.0) > EXACT {
        for handle in doubtful {
            let tensor = &mut tensors[handle.index()];
            // Differences see the larger errors.
            let seen = tensor.checked > 0 && known[handle.index()].contradicted();
            if !seen && !contradicted {
                tensor.verdict = Verdict::Unresolved;
            }
        }
        return;
    }
    let exact = exact::Exact::new(at, reverse);
    let all = exact.agrees(at, gradients, of, &doubtful);
    let elements = |handle: &Handle<ParamTensor>| at.graph.params[*handle].spec.elements();
    for &handle in &doubtful {
        let n = if all {
            doubtful.iter().map(elements).sum()
        } else if exact.agrees(at, gradients, of, &[handle]) {
            elements(&handle)
        } else {
            continue;
        };
        let (known, tensor) = (&mut known[handle.index()], &mut tensors[handle.index()]);
        let rounding = exact.rounding(gradients, of, handle);
        let detectable = exact::Exact::detectable(n);
        let pattern = detectable / 2.0 / directions::MISS.sqrt();
        known.evidence = Evidence {
            agrees: true,
            bound: rounding + pattern.max(detectable),
            detectable: rounding + detectable,
            controlled: true,
            ..known.evidence
        };
        tensor.bound = Some(known.evidence.bound);
        tensor.detectable = Some(known.evidence.detectable);
        tensor.verdict = if rounding > RESOLUTION { Verdict::Unresolved } else { known.verdict() };
    }
}

/// |g - d| / (|g| + |d|) from the sums of squares of g - d, g and d.
fn ratio(squares: [f64; 3]) -> f64 {
    let [difference, gradient, numeric] = squares.map(f64::sqrt);
    if gradient + numeric > 0.0 { difference / (gradient + numeric) } else { 0.0 }
}

/// Fills in the worst component; returns the sums of squares of g - d, g and d.
fn compare(
    gradient: &[f64],
    numeric: &sweep::Numeric,
    dims: &[usize],
    tensor: &mut TensorReport,
) -> [f64; 3] {
    let mut squares = [0.0; 3];
    let mut most = -1.0;
    for (&i, &d) in numeric.chosen.iter().zip(&numeric.quotients) {
        let (g, error) = (gradient[i], (gradient[i] - d).abs());
        for (sum, x) in squares.iter_mut().zip([error, g, d]) {
            *sum += x * x;
        }
        if error > most {
            most = error;
            tensor.worst = Some(Component { index: unravel(i, dims), gradient: g, numeric: d });
        }
    }
    squares
}

/// The components to perturb: all, or the first, the last, the largest and the smallest gradients and random ones, every other of which
/// has a gradient: of a table most rows have none, as few tokens occur in a batch.
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
    let alive: Vec<usize> = (0..gradient.len()).filter(|i| gradient[*i] != 0.0).collect();
    let draws = Draws { seed, stream: stream(&format!("components/{path}")) };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    for u in draws.uniform() {
        let below = |n: usize| (u * n as f64) as usize;
        let any = chosen.len().is_multiple_of(2) || alive.is_empty();
        chosen.push(if any { below(gradient.len()) } else { alive[below(alive.len())] });
        if chosen.len() >= 2 * most {
            break;
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// Whether the gradient of a tensor passes a function that trains on a surrogate in place of its derivative.
pub(super) fn before_surrogate(graph: Runnable<'_>, param: Handle<ParamTensor>) -> bool {
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

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn components_with_a_gradient_are_among_those_that_are_perturbed() {
        let mut gradient = vec![0.0; 100_000];
        (40_000..40_020).for_each(|i| gradient[i] = 1.0);
        let chosen = components(&gradient, 100, 0, "e.weight");
        let alive = chosen.iter().filter(|i| gradient[**i] != 0.0).count();
        // 98 draws out of 20 miss one with the probability (19/20)^98 = 0.7 %; 98 others are drawn from all.
        assert!(alive >= 18 && chosen.len() >= 90 + alive, "{alive} of {}", chosen.len());
        let dense: Vec<f64> = (1..=1000u32).map(f64::from).collect();
        assert!(components(&dense, 100, 0, "w").len() > 150);
        assert_eq!(components(&dense, 1000, 0, "w").len(), 1000);
    }
}
