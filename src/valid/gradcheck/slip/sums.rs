//! Sums of which not all terms count: rows of the batch, repeated indices, the tail of a loop.

use super::Rule;

/// The derivative by a parameter, of which some rows of the batch or some places of each row do not count.
pub(super) fn rows(rule: &Rule<'_>) -> Option<String> {
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
pub(super) fn repeated(rule: &Rule<'_>) -> Option<String> {
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
