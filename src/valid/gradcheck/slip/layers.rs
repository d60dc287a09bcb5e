//! Factors, terms and weights that an operator has of its own: pools and products, norms, kernels in another order.

use super::Rule;
use crate::ops::Category;
use crate::text::number;
use crate::valid::gradcheck::terms::Asked;

/// A factor that the operator itself has, missing or there twice.
pub(super) fn undivided(rule: &Rule<'_>) -> Option<String> {
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

/// Norms: the terms through the mean and through the variance of what is normalised together.
pub(super) fn normed(rule: &Rule<'_>) -> Option<String> {
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
        (true, true) => {
            "the terms through the mean and the variance are missing: the statistics are taken as constants"
        }
        (true, false) => {
            "the term through the mean is missing or wrong: it is off by the same number wherever one mean is taken"
        }
        (false, true) => {
            "the term through the variance is missing or wrong: it is off by a multiple of the normalised input"
        }
        (false, false) => return None,
    };
    Some(what.to_owned())
}

/// The derivative by an input with the weights in another order.
pub(super) fn turned(rule: &Rule<'_>) -> Option<String> {
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
