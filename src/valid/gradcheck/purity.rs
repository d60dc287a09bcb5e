//! Purity: kernels and reverse rules depend on their arguments alone, and a reverse rule is linear in its cotangent.
//!
//! What it proves, at every point: a second forward run and a second reverse run give the same bits, so that nothing is
//! drawn afresh, remembered or left over; every rule gives the same bits on buffers that
//! hold NaN before, so that nothing is added to what a buffer held; a cotangent of zeros gives zeros; and
//! `VJP(2a + b) = 2 VJP(a) + VJP(b)` for random cotangents a and b of every node.
//!
//! Bound: the first three are exact. A rule adds up k products a component, each of which may err by gamma_k of the magnitudes on either
//! side; where terms cancel these exceed the result, so that linearity is measured against the largest component of the
//! operand's gradients and not against each, times the condition 2^16 that a norm of nearly equal values may have: a rule that squares or
//! clips its cotangent is off by a part of order 1. What is beyond that is asked again in double-double arithmetic.
//!
//! Source: the reproducibility checks of automatic differentiation tools (PyTorch's gradcheck runs the reverse rule twice).

use super::directions::widened;
use super::ledger::{gamma, length};
use super::spread::spread;
use super::sweep::Place;
use crate::exec::{Alone, Gradients, Keep, Reverse, Session, Tapes};
use crate::graph::{Handle, Node, Source};
use crate::scalar::{Double, Scalar};
use crate::tensor::View;

/// What the terms inside a rule may exceed its result by.
const CONDITION: f64 = 65536.0;

/// What is not pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impurity {
    /// Two runs differ.
    Repeat,
    /// The rule reads what its buffers held.
    Leftover,
    /// A cotangent of zeros gives something else.
    Zero,
    /// The rule is not linear.
    Nonlinear,
}

/// The first law that each node breaks.
pub(super) fn audit(
    place: &Place<'_, '_>,
    gradients: &Gradients,
    reverse: &impl Reverse,
) -> Vec<(Handle<Node>, Impurity)> {
    let Place { graph, settings, base, weights, point, objective, .. } = place;
    let batch = place.batch();
    let mut again = Session::<f64>::new(*graph, batch, Keep::All);
    let mut second = Gradients::zeros::<f64>(graph, batch);
    again.forward(point, *settings, Tapes::Record);
    again.backward(objective, point, *settings, reverse, &mut second);
    let mut found = Vec::new();
    let moved = |handle| !same(again.value(handle).plane(0), base.value(handle).plane(0));
    let turned = |handle| !same(again.cotangent(handle).plane(0), base.cotangent(handle).plane(0));
    for (handle, node) in graph.nodes.iter() {
        let before = || {
            node.inputs.iter().filter_map(|source| match source {
                Source::Node(input) => Some(*input),
                Source::Feed(_) => None,
            })
        };
        // What differs already where it comes from is the fault of another node.
        if moved(handle) {
            if !before().any(moved) {
                found.push((handle, Impurity::Repeat));
            }
            continue;
        }
        let cotangent = base.cotangent(handle);
        if cotangent.is_empty() || turned(handle) {
            continue;
        }
        let own = node
            .params
            .iter()
            .any(|param| !same(&second.params[param.index()], &gradients.params[param.index()]));
        if own || before().any(turned) {
            found.push((handle, Impurity::Repeat));
            continue;
        }
        let inputs = node.inputs.iter().map(|source| base.input(*source, point).plane(0));
        let params = node.params.iter().map(|param| &*weights.params[param.index()].data);
        let operands: Vec<&[f64]> = inputs.chain(params).collect();
        let states: Vec<&[f64]> =
            node.states.iter().map(|state| &*weights.states[state.index()].data).collect();
        let wanted: Vec<bool> = node
            .inputs
            .iter()
            .map(|source| base.wants(*source))
            .chain(node.params.iter().map(|_| true))
            .collect();
        let held = [base.value(handle).plane(0), base.saved(handle).plane(0)];
        let rule = |cotangent: &[f64], fill: f64| {
            let alone = Alone { graph: *graph, node: handle, batch, settings: *settings, fill };
            alone.backward::<f64>(&operands, &states, held, cotangent, &wanted, reverse)
        };
        let path = node.path.to_string();
        let n = cotangent.len();
        let a = spread(n, settings.seed, &format!("first/{path}"));
        let b = spread(n, settings.seed, &format!("second/{path}"));
        let both: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 2.0 * a + b).collect();
        let (by_a, by_b, by_both) = (rule(&a, 0.0), rule(&b, 0.0), rule(&both, 0.0));
        let bound = gamma(length(place, node)) * CONDITION;
        if by_a.iter().zip(&rule(&a, f64::NAN)).any(|(clean, dirty)| !same(clean, dirty)) {
            found.push((handle, Impurity::Leftover));
        } else if rule(&vec![0.0; n], 0.0).iter().flatten().any(|x| *x != 0.0) {
            found.push((handle, Impurity::Zero));
        } else if !linear::<f64>(&by_a, &by_b, &by_both, bound) {
            // What terms that cancel do to the digits is gone in double-double arithmetic; what a rule does is not.
            let wide: Vec<Vec<f64>> = operands.iter().map(|values| widened::<Double>(values)).collect();
            let wide: Vec<&[f64]> = wide.iter().map(Vec::as_slice).collect();
            let alone = Alone { graph: *graph, node: handle, batch, settings: *settings, fill: 0.0 };
            let ran = alone.forward::<Double>(&wide, &states);
            let [by_a, by_b, by_both] = [&a, &b, &both].map(|cotangent| {
                let (held, cotangent) = ([&*ran.output, &*ran.saved], widened::<Double>(cotangent));
                alone.backward::<Double>(&wide, &states, held, &cotangent, &wanted, reverse)
            });
            if !linear::<Double>(&by_a, &by_b, &by_both, bound) {
                found.push((handle, Impurity::Nonlinear));
            }
        }
    }
    found
}

/// Whether two runs gave the same bits.
fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Whether `both` is `2 a + b` in every operand.
fn linear<S: Scalar>(a: &[Vec<f64>], b: &[Vec<f64>], both: &[Vec<f64>], bound: f64) -> bool {
    let most = |x: View<'_, S>| x.iter().fold(0.0f64, |most, x| most.max(x.primal().abs()));
    a.iter().zip(b).zip(both).all(|((a, b), both)| {
        let (a, b, both) = (View::<S>::new(a), View::<S>::new(b), View::<S>::new(both));
        let allowed = bound * (2.0 * most(a) + most(b) + most(both)) + f64::MIN_POSITIVE;
        let off = a.iter().zip(b.iter()).zip(both.iter()).map(|((a, b), both)| a * 2.0 + b - both);
        // What is not a number is not linear.
        off.into_iter().all(|off| off.primal().abs() <= allowed)
    })
}
