//! What was done in a reverse rule, in words.
//!
//! Contract: a rule that the ledger blames is asked by itself, with a cotangent of random signs, and what it hands back for an operand is
//! compared with the sum that it is to be, [term by term](super::terms). Each pattern says exactly which numbers a mistake would give, and is named only if
//! the rule gives those numbers. The narrow patterns come first, those of whole tensors ([`diagnose`]) behind them; what fits none has no name.
//! Where the rule is right at the values of the net, it is asked on and around its kinks and ties.

use super::sweep::Place;
use super::terms::{Asked, Where};
use super::ties::Windows;
use crate::exec::Reverse;
use crate::graph::{Handle, Node};
use crate::ops::{Activation, Arity, Category, ModeEffect, OpKind};
use crate::scalar::Dual;
use crate::tensor::Mode;
use crate::text::number;
use crate::valid::diagnose::{Case, diagnose};

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
                return None;
            }
            *budget -= cost;
            Rule::new(place, asked, operand, reverse).filter(|rule| !rule.is(&rule.truth))?.said()
        });
        found.extend(said.map(|why| (operand, why)));
    }
    found
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
        let sum = |terms: &Vec<(usize, f64)>| terms.iter().map(|(o, slope)| asked.cotangent[*o] * slope).sum();
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
        let patterns: [fn(&Rule<'_>) -> Option<String>; 12] = [
            zero, undivided, mask, choice, rows, repeated, branch, approximated, normed, turned, whole, close,
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

fn zero(rule: &Rule<'_>) -> Option<String> {
    rule.given.iter().all(|x| *x == 0.0).then(|| "it is zero: the way is cut, or never written".to_owned())
}

/// A factor that the operator itself has, missing or there twice.
fn undivided(rule: &Rule<'_>) -> Option<String> {
    let times = |c: f64| rule.is(&rule.truth.iter().map(|x| c * x).collect::<Vec<f64>>());
    match rule.category() {
        Category::Pool => {
            let largest = rule.slopes.iter().flatten().map(|(_, slope)| *slope).fold(0.0, f64::max);
            let count = (1.0 / largest).round();
            let of = format!("the {} elements of its window", number(count));
            if times(count) {
                Some(format!("it is not divided by {of}"))
            } else {
                times(1.0 / count).then(|| format!("it is divided by {of} twice"))
            }
        }
        Category::Product => {
            let features = *rule.dims.last()?;
            let widths = (1..=features).filter(|width| features % width == 0 && *width > 1);
            widths.rev().find_map(|width| {
                #[expect(clippy::cast_precision_loss, reason = "the width of a head")]
                let root = (width as f64).sqrt();
                let what = if times(root) {
                    "missing"
                } else if times(1.0 / root) {
                    "there twice"
                } else {
                    return None;
                };
                Some(format!("the scale 1/sqrt({width}) of the scores is {what}"))
            })
        }
        _ => None,
    }
}

/// Dropout: no mask, another mask, no scale.
fn mask(rule: &Rule<'_>) -> Option<String> {
    let Asked { node, alone, .. } = rule.asked;
    if node.op.effect() != ModeEffect::TrainOnly || alone.settings.mode != Mode::Train {
        return None;
    }
    let all = rule.single()?;
    let kept = all.iter().map(|one| one.slope).fold(0.0, f64::max);
    if kept == 0.0 || all.iter().all(|one| one.slope != 0.0) {
        return None;
    }
    let scale = constant(all.iter().map(|one| one.given).filter(|given| *given != 0.0))?;
    let unscaled = !near(scale, kept);
    let scaling = if unscaled {
        format!("it is multiplied with {} in place of {} = 1/keep", number(scale), number(kept))
    } else {
        String::new()
    };
    let moved = all.iter().filter(|one| (one.given == 0.0) != (one.slope == 0.0)).count();
    let other = if all.iter().all(|one| one.given != 0.0) {
        "the mask is not applied: every derivative passes".to_owned()
    } else if moved > 0 {
        format!(
            "the mask is not that of the forward run: {moved} of {} decisions differ, as with another seed or another tensor's mask",
            all.len()
        )
    } else {
        return unscaled.then_some(scaling);
    };
    Some(if unscaled { format!("{other}, and {scaling}") } else { other })
}

/// A maximum: spread over its window, to another element, to all that are tied.
fn choice(rule: &Rule<'_>) -> Option<String> {
    let Asked { node, alone, operands, cotangent, .. } = rule.asked;
    let windows = Windows::of(rule.place.graph, node, alone.batch)?;
    let mut even = vec![0.0; rule.given.len()];
    let mut whole = even.clone();
    let ties = windows.ties(&operands[0]);
    for (output, g) in cotangent.iter().enumerate() {
        let window = windows.at(output);
        #[expect(clippy::cast_precision_loss, reason = "elements of a window")]
        let share = g / window.len() as f64;
        window.iter().for_each(|&i| even[i] += share);
        let tie = ties.iter().find(|tie| tie.output == output);
        match tie {
            Some(tie) => tie.largest.iter().for_each(|&i| whole[i] += g),
            None => window
                .iter()
                .filter(|&&i| rule.slopes[i].iter().any(|(o, _)| *o == output))
                .for_each(|&i| whole[i] += g),
        }
    }
    if rule.is(&even) {
        return Some("it is spread over the window in place of going to the largest element".to_owned());
    }
    if rule.is(&whole) {
        return Some(
            "at a tie each of the largest elements gets all of it: the shares add up to more than 1".to_owned(),
        );
    }
    if !windows.apart() {
        return None;
    }
    let mut moved = 0;
    for (output, g) in cotangent.iter().enumerate() {
        let hit: Vec<usize> = windows.at(output).iter().copied().filter(|&i| rule.given[i] != 0.0).collect();
        let [one] = *hit.as_slice() else { return None };
        if !near(rule.given[one], *g) {
            return None;
        }
        moved += usize::from(rule.slopes[one].is_empty());
    }
    (moved > 0).then(|| {
        let all = windows.len();
        format!("it goes to another element than the largest in {moved} of {all} windows: a wrong index")
    })
}

/// The derivative by a parameter, of which some rows of the batch or some places of each row do not count.
fn rows(rule: &Rule<'_>) -> Option<String> {
    let batch = rule.asked.alone.batch;
    if rule.operand < rule.asked.node.inputs.len() || batch < 2 {
        return None;
    }
    let width = rule.asked.cotangent.len() / batch;
    let of = |counts: &dyn Fn(usize) -> bool| {
        let some = |terms: &[(usize, f64)], g: &[f64]| {
            let counting = terms.iter().filter(|(output, _)| counts(output / width));
            counting.map(|(output, slope)| g[*output] * slope).sum()
        };
        rule.is(&rule.sums(some))
    };
    if of(&|row| row == 0) {
        return Some("the first row of the batch alone counts: it is not summed over the batch".to_owned());
    }
    if of(&|row| row + 1 == batch) {
        return Some("the last row of the batch alone counts: each row overwrites the sum".to_owned());
    }
    let left_out = (1..batch.min(16)).find(|less| of(&|row| row + less < batch)).map(|less| match less {
        1 => "the last row of the batch is left out: the tail of a loop".to_owned(),
        _ => format!("the last {less} rows of the batch are left out: the tail of a loop"),
    });
    left_out.or_else(|| {
        let first_of_each = rule.sums(|terms, g| {
            let first = |row: usize| terms.iter().find(|(output, _)| output / width == row);
            (0..batch).filter_map(first).map(|(output, slope)| g[*output] * slope).sum()
        });
        rule.is(&first_of_each)
            .then(|| "of each row the first place alone counts: it is not summed over the places".to_owned())
    })
}

/// A sum of several terms of which not all count.
fn repeated(rule: &Rule<'_>) -> Option<String> {
    let counts: Vec<usize> = rule.slopes.iter().map(Vec::len).collect();
    let most = counts.iter().copied().max().filter(|most| *most > 1)?;
    let several = counts.iter().filter(|count| **count > 1).count();
    let even = counts.iter().all(|count| *count == most);
    let term = |&(output, slope): &(usize, f64), g: &[f64]| g[output] * slope;
    let only = |which: &str| {
        if even {
            format!("of the {most} terms of its sum the {which} alone counts")
        } else {
            format!(
                "{several} of {} elements are read in several places, and of these the {which} alone counts",
                counts.len()
            )
        }
    };
    if rule.is(&rule.sums(|terms, g| terms.last().map_or(0.0, |last| term(last, g)))) {
        return Some(format!("{}: each overwrites the one before, `=` in place of `+=`", only("last")));
    }
    if rule.is(&rule.sums(|terms, g| terms.first().map_or(0.0, |first| term(first, g)))) {
        return Some(format!("{}: it is not summed", only("first")));
    }
    #[expect(clippy::cast_precision_loss, reason = "terms of a sum")]
    let mean = |terms: &[(usize, f64)], g: &[f64]| {
        terms.iter().map(|one| term(one, g)).sum::<f64>() / terms.len().max(1) as f64
    };
    if rule.is(&rule.sums(mean)) {
        let count = if even { most.to_string() } else { "them".to_owned() };
        let batch = rule.asked.alone.batch;
        let twice = if even && most == batch {
            format!(": it is divided by the {batch} rows of the batch twice")
        } else {
            String::new()
        };
        return Some(format!("a mean over {count} in place of a sum{twice}"));
    }
    let own = rule.slopes.iter().enumerate().map(|(i, terms)| {
        terms.iter().filter(|(output, _)| *output == i).map(|one| term(one, &rule.asked.cotangent)).sum()
    });
    if rule.given.len() == rule.asked.output.len() && rule.is(&own.collect::<Vec<f64>>()) {
        return Some(
            "the element in its own place alone counts: the terms through what all of them share are missing"
                .to_owned(),
        );
    }
    (1..most.min(16)).filter(|_| even).find_map(|less| {
        let cut = rule.sums(|terms, g| terms[..most - less].iter().map(|one| term(one, g)).sum());
        let what = if less == 1 { "the last".to_owned() } else { format!("the last {less}") };
        let what = format!("{what} of the {most} terms of its sum left out: the tail of a loop");
        rule.is(&cut).then_some(what)
    })
}

/// A piecewise function with the slope of a wrong piece, or another border between the pieces.
fn branch(rule: &Rule<'_>) -> Option<String> {
    let Asked { node, operands, .. } = rule.asked;
    let mut kinks = node.op.kinks();
    kinks.sort_by(f64::total_cmp);
    if kinks.is_empty() || rule.operand != 0 {
        return None;
    }
    let loss = node.op.arity() == Arity::Loss;
    let mut all = rule.single()?;
    if loss {
        all.iter_mut().zip(&operands[1]).for_each(|(one, target)| one.x -= target);
    }
    let name = if loss { "output - target" } else { "x" };
    let ends: Vec<f64> = [&[f64::NEG_INFINITY], &*kinks, &[f64::INFINITY]].concat();
    let within = |piece: usize| {
        let (lo, hi) = (ends[piece], ends[piece + 1]);
        all.iter().filter(move |one| lo < one.x && one.x < hi)
    };
    let region = |piece: usize| match (ends[piece], ends[piece + 1]) {
        (f64::NEG_INFINITY, hi) => format!("{name} < {}", number(hi)),
        (lo, f64::INFINITY) => format!("{name} > {}", number(lo)),
        (lo, hi) => format!("{} < {name} < {}", number(lo), number(hi)),
    };
    let wrong: Vec<usize> = (0..=kinks.len()).filter(|piece| within(*piece).any(Single::wrong)).collect();
    let right = (0..=kinks.len()).any(|piece| within(piece).any(|one| !one.wrong()));
    if right && wrong.iter().all(|piece| within(*piece).all(Single::wrong)) {
        let each = wrong.iter().map(|&piece| {
            let given = constant(within(piece).map(|one| one.given));
            match given.zip(constant(within(piece).map(|one| one.slope))) {
                Some((given, slope)) => {
                    let (given, slope) = (number(given), number(slope));
                    format!("where {} its slope is {given} in place of {slope}", region(piece))
                }
                None => format!("it is wrong where {}", region(piece)),
            }
        });
        let each: Vec<String> = each.collect();
        return (!each.is_empty()).then(|| format!("{}: that of a wrong branch", each.join(", and ")));
    }
    let [piece] = *wrong.as_slice() else { return None };
    // Wrong next to one end of the piece, and right from there on.
    let farthest = |kink: f64| {
        let far = within(piece).filter(|one| one.wrong()).map(|one| (one.x - kink).abs()).fold(0.0, f64::max);
        within(piece).all(|one| one.wrong() == ((one.x - kink).abs() <= far)).then_some(far)
    };
    kinks.iter().find_map(|&kink| {
        let far = farthest(kink)?;
        Some(format!(
            "it is wrong where {} up to {} from {} alone: the branch is taken at another place",
            region(piece),
            number(far),
            number(kink)
        ))
    })
}

/// The derivative of another way to compute the same function, or that at the output in place of the input.
fn approximated(rule: &Rule<'_>) -> Option<String> {
    if rule.category() != Category::Activation || rule.operand != 0 {
        return None;
    }
    let Asked { node, operands, output, cotangent, .. } = rule.asked;
    let times = |slopes: Vec<f64>| -> Vec<f64> { slopes.iter().zip(cotangent).map(|(s, g)| s * g).collect() };
    if let OpKind::Gelu(gelu) = &node.op {
        let other = gelu.other();
        let slope = |x: &f64| other.value(Dual { value: *x, tangent: 1.0 }, 0).tangent;
        if rule.is(&times(operands[0].iter().map(slope).collect())) {
            let word = |gelu: &dyn Fn() -> Vec<(&'static str, String)>| {
                gelu().into_iter().map(|(_, word)| word).collect::<String>()
            };
            return Some(format!(
                "it is the derivative of gelu(approx={}), and the value that of gelu(approx={}): an approximate derivative for the exact function, or the reverse",
                word(&|| Activation::attributes(&other)),
                word(&|| Activation::attributes(gelu))
            ));
        }
    }
    rule.is(&times(rule.asked.slopes_at(output)))
        .then(|| "its slope is taken at the output in place of the input: the function is applied twice".to_owned())
}

/// Norms: the terms through the mean and through the variance of what is normalised together.
fn normed(rule: &Rule<'_>) -> Option<String> {
    if rule.category() != Category::Norm || rule.operand != 0 {
        return None;
    }
    let x = &rule.asked.operands[0];
    // What is normalised together moves the same outputs.
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    for (i, terms) in rule.slopes.iter().enumerate() {
        let (first, _) = *terms.first()?;
        match groups.iter_mut().rev().find(|(known, _)| *known == first) {
            Some((_, members)) => members.push(i),
            None => groups.push((first, vec![i])),
        }
    }
    let size = rule.truth.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (mut mean, mut variance) = (0.0f64, 0.0f64);
    for (_, members) in &groups {
        if members.len() < 4 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "elements of a group")]
        let n = members.len() as f64;
        let average = |of: &dyn Fn(usize) -> f64| members.iter().map(|i| of(*i)).sum::<f64>() / n;
        let off = |i: usize| rule.given[i] - rule.truth[i];
        let (centre, level) = (average(&|i| x[i]), average(&off));
        let spread = average(&|i| (x[i] - centre).powi(2));
        let slope = average(&|i| (x[i] - centre) * off(i)) / spread.max(f64::MIN_POSITIVE);
        let left = average(&|i| (off(i) - level - slope * (x[i] - centre)).powi(2)).sqrt();
        // Forward kernels of a normalised value lose some digits where the group is nearly constant.
        if left * n.sqrt() > 1e-9 * size {
            return None;
        }
        mean = mean.max(level.abs() * n.sqrt() / size);
        variance = variance.max(slope.abs() * spread.sqrt() * n.sqrt() / size);
    }
    let what = match (mean > 1e-8, variance > 1e-8) {
        (true, true) => "the terms through the mean and the variance are missing: the statistics are taken as constants",
        (true, false) => "the term through the mean is missing or wrong: it is off by the same number wherever one mean is taken",
        (false, true) => "the term through the variance is missing or wrong: it is off by a multiple of the normalised input",
        (false, false) => return None,
    };
    Some(what.to_owned())
}

/// The derivative by an input with the weights in another order.
fn turned(rule: &Rule<'_>) -> Option<String> {
    let Asked { node, operands, .. } = rule.asked;
    let inputs = node.inputs.len();
    let weight = *node.params.first().filter(|_| rule.operand < inputs)?;
    let (w, dims) = (&operands[inputs], &rule.place.graph.params[weight].spec.dims);
    match **dims {
        [rows, columns] if rows == columns && rows > 1 => {
            let other: Vec<f64> = (0..w.len()).map(|i| w[i % rows * rows + i / rows]).collect();
            rule.is(&rule.asked.with(rule.operand, inputs, &other))
                .then(|| "its weights are not transposed: W g in place of W^T g, or the reverse".to_owned())
        }
        [_, _, ref taps @ ..] if !taps.is_empty() => {
            let size: usize = taps.iter().product();
            let other: Vec<f64> =
                w.chunks(size.max(1)).flat_map(|kernel| kernel.iter().rev().copied()).collect();
            rule.is(&rule.asked.with(rule.operand, inputs, &other))
                .then(|| "its kernels are flipped the wrong way round".to_owned())
        }
        _ => None,
    }
}

/// The patterns of whole tensors.
fn whole(rule: &Rule<'_>) -> Option<String> {
    diagnose(&rule.case())
}

/// Nearly the right slope, everywhere.
fn close(rule: &Rule<'_>) -> Option<String> {
    // Near 0 alone, every smooth function is nearly every other one of the same slope.
    let wide = rule.asked.operands[0].iter().any(|x| x.abs() > 0.5);
    if rule.category() != Category::Activation || !wide {
        return None;
    }
    let all = rule.single()?;
    let largest = all.iter().map(|one| one.slope.abs()).fold(0.0, f64::max);
    let off = |one: &Single| (one.given - one.slope).abs() / largest;
    let most = all.iter().map(off).fold(0.0, f64::max);
    let several = 2 * all.iter().filter(|one| one.wrong()).count() >= all.len();
    (several && (1e-7..2e-2).contains(&most)).then(|| {
        format!(
            "its slope is off by up to {} of the largest nearly everywhere: an approximate derivative for the exact function",
            number(most)
        )
    })
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
