//! What was done in a reverse rule, in words.
//!
//! Contract: a rule that the ledger blames is asked by itself, with a cotangent of random signs, and what it hands back for an operand is
//! compared with the sum that it is to be, [term by term](super::terms). Each pattern says exactly which numbers a mistake would give, and is named only if
//! the rule gives those numbers. The narrow patterns come first, those of whole tensors ([`diagnose`]) behind them; what fits none has no name.
//! Where the rule is right at the values of the net, it is asked on and around its kinks and ties.

mod decisions;
mod layers;
mod sums;

use super::sweep::Place;
use super::terms::{Asked, Where};
use crate::exec::Reverse;
use crate::graph::{Handle, Node};
use crate::ops::Category;
use crate::text::number;
use crate::valid::diagnose::{Case, diagnose};
use crate::valid::unravel;
use decisions::{approximated, branch, choice, close, mask};
use layers::{normed, turned, undivided};
use sums::{repeated, rows};

/// What all rules at one point may cost together, in multiplications and additions.
pub(super) const BUDGET: f64 = 4e8;
/// The relative error up to which two numbers are the same: rounding of a sum of a million terms is far below.
const TOLERANCE: f64 = 1e-10;

/// The operands of a rule whose mistake has a name.
pub(super) fn look(
    place: &Place<'_, '_>,
    node: Handle<Node>,
    operands: &[usize],
    reverse: &impl Reverse,
    budget: &mut f64,
) -> Vec<(usize, String)> {
    let asked: Vec<Asked<'_, '_>> =
        [Where::Net, Where::Kinks].into_iter().filter_map(|at| Asked::new(place, node, at)).collect();
    let mut found = Vec::new();
    for &operand in operands {
        let said = asked.iter().find_map(|asked| {
            let cost = asked.cost(operand);
            if cost > *budget {
                return alone(asked, operand, reverse);
            }
            *budget -= cost;
            Rule::new(place, asked, operand, reverse).filter(|rule| !rule.is(&rule.truth))?.said()
        });
        found.extend(said.map(|why| (operand, why)));
    }
    found
}

/// One wrong component of an operand that is too large to be asked term by term.
fn alone(asked: &Asked<'_, '_>, operand: usize, reverse: &impl Reverse) -> Option<String> {
    let given = asked.given(operand, None, reverse);
    let (at, truth) = asked.lone(operand, &given)?;
    let param = operand.checked_sub(asked.node.inputs.len()).map(|slot| asked.node.params[slot]);
    let index = match param {
        Some(param) => unravel(at, &asked.alone.graph.params[param].spec.dims),
        None => {
            unravel(at, &asked.alone.graph.shape(asked.node.inputs[operand])?.with_batch(asked.alone.batch))
        }
    };
    Some(one(&index, given[at], truth))
}

/// What is wrong with a component that alone is; the numbers themselves are those of a random cotangent and mean nothing to anyone.
fn one(index: &[usize], given: f64, truth: f64) -> String {
    let what = if given == 0.0 {
        "it is zero".to_owned()
    } else if truth == 0.0 {
        "it is not zero, as it is to be".to_owned()
    } else if (given / truth - 1.0).abs() < 1e-2 {
        format!("{} of it too much", number(given / truth - 1.0))
    } else {
        format!("it is {} times what it is to be", number(given / truth))
    };
    format!("one component alone is wrong, {index:?}: {what}")
}

/// What a rule gave for one operand, and all that it can be compared with.
struct Rule<'a> {
    place: &'a Place<'a, 'a>,
    asked: &'a Asked<'a, 'a>,
    operand: usize,
    /// By component: the outputs that it moves, and how fast.
    slopes: Vec<Vec<(usize, f64)>>,
    given: Vec<f64>,
    truth: Vec<f64>,
    dims: Vec<usize>,
}

impl<'a> Rule<'a> {
    fn new(
        place: &'a Place<'a, 'a>,
        asked: &'a Asked<'a, 'a>,
        operand: usize,
        reverse: &impl Reverse,
    ) -> Option<Self> {
        let slopes = asked.slopes(operand)?;
        let sum =
            |terms: &Vec<(usize, f64)>| terms.iter().map(|(o, slope)| asked.cotangent[*o] * slope).sum();
        let truth = slopes.iter().map(sum).collect();
        let given = asked.given(operand, None, reverse);
        let graph = place.graph;
        let dims = match asked.node.inputs.get(operand) {
            Some(source) => graph.shape(*source)?.with_batch(asked.alone.batch),
            None => graph.params[asked.node.params[operand - asked.node.inputs.len()]].spec.dims.clone(),
        };
        Some(Self { place, asked, operand, slopes, given, truth, dims })
    }

    fn said(&self) -> Option<String> {
        let patterns: [fn(&Rule<'_>) -> Option<String>; 13] = [
            zero,
            undivided,
            mask,
            choice,
            rows,
            repeated,
            branch,
            approximated,
            normed,
            turned,
            component,
            whole,
            close,
        ];
        patterns.into_iter().find_map(|pattern| pattern(self))
    }

    /// Whether what was given are these numbers.
    fn is(&self, numbers: &[f64]) -> bool {
        same(&self.given, numbers, TOLERANCE)
    }

    /// The sum over the terms of each component, by a rule of its own.
    fn sums(&self, sum: impl Fn(&[(usize, f64)], &[f64]) -> f64) -> Vec<f64> {
        self.slopes.iter().map(|terms| sum(terms, &self.asked.cotangent)).collect()
    }

    /// Where a component moves one output at most: input, cotangent, slope and the slope that was given. Components that move nothing have the
    /// cotangent of the output in the same place.
    fn single(&self) -> Option<Vec<Single>> {
        let g = &self.asked.cotangent;
        let one = |(i, terms): (usize, &Vec<(usize, f64)>)| {
            let (output, slope) = match terms.as_slice() {
                [] => (i, 0.0),
                [(output, slope)] => (*output, *slope),
                _ => return None,
            };
            let given = self.given[i] / g.get(output).filter(|g| **g != 0.0)?;
            Some(Single { x: self.asked.operands[self.operand][i], slope, given })
        };
        self.slopes.iter().enumerate().map(one).collect()
    }

    fn category(&self) -> Category {
        self.asked.node.op.category()
    }
}

/// One component of an elementwise function.
#[derive(Clone, Copy, Debug)]
struct Single {
    x: f64,
    slope: f64,
    given: f64,
}

impl Single {
    fn wrong(&self) -> bool {
        !near(self.given, self.slope)
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * (a.abs() + b.abs())
}

/// Whether two lists are the same in the 2-norm.
fn same(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let off = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
    off <= tolerance * (norm(&mut a.iter().copied()) + norm(&mut b.iter().copied()))
}

/// The number that all of these are.
fn constant(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut numbers = numbers.into_iter();
    let first = numbers.next()?;
    numbers.all(|x| near(x, first)).then_some(first)
}

fn component(rule: &Rule<'_>) -> Option<String> {
    let size = rule.truth.iter().map(|x| x * x).sum::<f64>().sqrt();
    let off = |i: &usize| (rule.given[*i] - rule.truth[*i]).abs() > TOLERANCE * size;
    let wrong: Vec<usize> = (0..rule.given.len()).filter(off).collect();
    let [at] = *wrong.as_slice() else { return None };
    (rule.given.len() > 1).then(|| one(&unravel(at, &rule.dims), rule.given[at], rule.truth[at]))
}

fn zero(rule: &Rule<'_>) -> Option<String> {
    rule.given.iter().all(|x| *x == 0.0).then(|| "it is zero: the way is cut, or never written".to_owned())
}

/// The patterns of whole tensors.
fn whole(rule: &Rule<'_>) -> Option<String> {
    diagnose(&rule.case())
}

impl Rule<'_> {
    fn case(&self) -> Case<'_> {
        Case {
            given: &self.given,
            truth: &self.truth,
            name: "the derivative",
            penalty: &[],
            weights: if self.operand < self.asked.node.inputs.len() {
                &[]
            } else {
                &self.asked.operands[self.operand]
            },
            dims: &self.dims,
            rows: self.asked.alone.batch,
            alternatives: &[],
            tolerance: TOLERANCE,
        }
    }
}
