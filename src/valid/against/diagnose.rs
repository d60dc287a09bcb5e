//! What was done to a gradient, in words.
//!
//! Contract: each pattern says exactly which numbers it would give, and is named only if the gradient is those numbers up to the tolerance.
//! The narrow patterns come first; a free factor, which fits more, comes last.

use crate::text::number;

/// A wrong gradient with everything that it can be compared with.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The gradient of the program.
    pub theirs: &'a [f64],
    /// Ours, penalties included.
    pub ours: &'a [f64],
    /// The part of ours that comes from the penalties; empty if there is none.
    pub penalty: &'a [f64],
    /// The tensor itself; empty for an input.
    pub weights: &'a [f64],
    /// The shape.
    pub dims: &'a [usize],
    /// Rows of the batch.
    pub rows: usize,
    /// Ours without the first and without the last row of the batch.
    pub lost: [Option<&'a [f64]>; 2],
    /// The relative error up to which two gradients are the same.
    pub tolerance: f64,
}

/// Names the pattern of a wrong gradient.
#[must_use]
pub fn diagnose(case: &Case<'_>) -> Option<String> {
    let Case { theirs, ours, .. } = case;
    if theirs.iter().all(|&g| g == 0.0) {
        return Some("it is zero: the tensor is detached, or its gradient is never written".to_owned());
    }
    factor(case)
        .or_else(|| penalty(case))
        .or_else(|| rearranged(case))
        .or_else(|| local(case))
        .or_else(|| batch_row(case))
        .or_else(|| added(case))
        .or_else(|| {
            let c = dot(theirs, ours) / dot(ours, ours);
            // One number is a multiple of every other one.
            // A factor that is 1 within the tolerance names nothing: the rest is noise.
            let clear = (c - 1.0).abs() > 10.0 * case.tolerance;
            let fits = clear && theirs.len() > 1 && case.is(&scaled(ours, c));
            fits.then(|| format!("it is {} times ours: a constant factor", number(c)))
        })
}

/// Names the pattern of a loss that differs: `data` and `penalty` add up to ours.
#[must_use]
pub fn diagnose_loss(theirs: f64, data: f64, penalty: f64, rows: usize, tolerance: f64) -> Option<String> {
    let is = |x: f64| (theirs - x).abs() <= tolerance * (theirs.abs() + x.abs());
    if penalty != 0.0 {
        for (c, word) in [(0.0, "missing"), (0.5, "halved"), (2.0, "doubled")] {
            if is(data + c * penalty) {
                return Some(format!("the penalty term, {}, is {word}", number(penalty)));
            }
        }
    }
    factors(rows).into_iter().find_map(|(c, why)| {
        let whole = is(c * (data + penalty));
        let what = if whole { "it" } else { "its data term" };
        (whole || is(c * data + penalty) || is(c * data))
            .then(|| format!("{what} is {} times ours: {why}", number(c)))
    })
}

/// The factors that have a name.
#[expect(clippy::cast_precision_loss, reason = "rows of a batch")]
fn factors(rows: usize) -> Vec<(f64, String)> {
    let n = rows as f64;
    let mut factors = vec![
        (-1.0, "the sign is wrong".to_owned()),
        (2.0, "a factor of 2 too much".to_owned()),
        (0.5, "a factor of 2 is missing".to_owned()),
    ];
    if rows > 2 {
        factors.push((n, format!("it is not divided by the {rows} rows of the batch")));
        factors.push((1.0 / n, format!("it is divided by the {rows} rows of the batch twice")));
        factors.push((n / (n - 1.0), format!("it is divided by {} in place of {rows} rows", rows - 1)));
    }
    factors
}

fn factor(case: &Case<'_>) -> Option<String> {
    let Case { ours, penalty, rows, .. } = *case;
    let data: Vec<f64> = ours.iter().enumerate().map(|(i, g)| g - penalty.get(i).unwrap_or(&0.0)).collect();
    factors(rows).into_iter().find_map(|(c, why)| {
        if case.is(&scaled(ours, c)) {
            return Some(format!("it is {} times ours: {why}", number(c)));
        }
        let part: Vec<f64> =
            data.iter().enumerate().map(|(i, g)| c * g + penalty.get(i).unwrap_or(&0.0)).collect();
        case.is(&part).then(|| format!("its part from the data is {} times ours: {why}", number(c)))
    })
}

fn penalty(case: &Case<'_>) -> Option<String> {
    let Case { ours, penalty, .. } = *case;
    if penalty.iter().all(|&x| x == 0.0) {
        return None;
    }
    [(-1.0, "missing"), (-0.5, "halved"), (1.0, "doubled")].into_iter().find_map(|(c, word)| {
        let with: Vec<f64> = ours.iter().zip(penalty).map(|(g, p)| g + c * p).collect();
        case.is(&with).then(|| format!("the penalty term is {word}: for l2 that is lambda * theta"))
    })
}

/// The same numbers in other places.
fn rearranged(case: &Case<'_>) -> Option<String> {
    let Case { ours, dims, .. } = *case;
    if let [rows, columns] = *dims
        && rows > 1
        && columns > 1
    {
        // Read as [columns, rows] and, where they are the same, as a square matrix.
        let transposed: Vec<f64> =
            (0..ours.len()).map(|at| ours[(at % rows) * columns + at / rows]).collect();
        if case.is(&transposed) {
            return Some("it is transposed: weights are [out, in]".to_owned());
        }
    }
    if dims.len() > 2 {
        let size: usize = dims[2..].iter().product();
        let flipped: Vec<f64> = ours.chunks(size).flat_map(|kernel| kernel.iter().rev().copied()).collect();
        if case.is(&flipped) {
            return Some(
                "its kernels are flipped: the gradient is that of a convolution, the layer is a correlation"
                    .to_owned(),
            );
        }
        let (out, inputs) = (dims[0], dims[1]);
        let swapped: Vec<f64> = (0..ours.len())
            .map(|at| {
                let (kernel, tap) = (at / size, at % size);
                ours[((kernel % out) * inputs + kernel / out) * size + tap]
            })
            .collect();
        if out > 1 && inputs > 1 && case.is(&swapped) {
            return Some("its output and input channels are exchanged".to_owned());
        }
    }
    None
}

/// Wrong in one component, one row or one column alone.
fn local(case: &Case<'_>) -> Option<String> {
    let Case { theirs, ours, dims, tolerance, .. } = *case;
    let size = dot(ours, ours).sqrt();
    let wrong: Vec<usize> =
        (0..ours.len()).filter(|&i| (theirs[i] - ours[i]).abs() > tolerance * size).collect();
    let (first, count) = (*wrong.first()?, ours.len());
    if count < 2 {
        return None;
    }
    let zero = wrong.iter().all(|&i| theirs[i] == 0.0);
    if wrong.len() == 1 {
        let index = super::compare::unravel(first, dims);
        let (is, be) = (number(theirs[first]), number(ours[first]));
        return Some(format!("one component alone is wrong, {index:?}: {is} in place of {be}"));
    }
    let end = if zero { "is lost: it is zero" } else { "alone is wrong" };
    let place = |at: usize, length: usize| match at {
        0 => "first".to_owned(),
        _ if at + 1 == length => "last".to_owned(),
        _ => format!("[{at}]"),
    };
    let said = |place: String, what: &str| match place.strip_prefix('[') {
        Some(_) => format!("the {what} {place} {end}"),
        None => format!("the {place} {what} {end}"),
    };
    let (&rows, &columns) = (dims.first()?, dims.last()?);
    let width = count / rows;
    if rows > 1 && width > 1 && wrong.iter().all(|&i| i / width == first / width) {
        return Some(said(place(first / width, rows), "row"));
    }
    if dims.len() > 1 && columns > 1 && wrong.iter().all(|&i| i % columns == first % columns) {
        return Some(said(place(first % columns, columns), "column"));
    }
    None
}

fn batch_row(case: &Case<'_>) -> Option<String> {
    let ends = case.lost.iter().zip(["first", "last"]);
    let found = ends.filter_map(|(lost, end)| Some(((*lost)?, end))).find(|(lost, _)| case.is(lost));
    found.map(|(_, end)| format!("the {end} row of the batch is left out"))
}

/// A multiple of the tensor itself in place of what belongs there.
fn added(case: &Case<'_>) -> Option<String> {
    let Case { theirs, ours, weights, .. } = *case;
    let size = dot(weights, weights);
    if weights.len() < 2 || size == 0.0 {
        return None;
    }
    let rest: Vec<f64> = theirs.iter().zip(ours).map(|(a, b)| a - b).collect();
    let c = dot(&rest, weights) / size;
    let with: Vec<f64> = ours.iter().zip(weights).map(|(g, w)| g + c * w).collect();
    // The difference itself must be that multiple, not only small beside the gradient.
    let left: f64 = rest.iter().zip(weights).map(|(r, w)| (r - c * w).powi(2)).sum();
    let fits = case.is(&with) && left <= 1e-4 * dot(&rest, &rest);
    fits.then(|| format!("it is ours plus {} * theta: a penalty with another factor", number(c)))
}

impl Case<'_> {
    /// Whether the gradient is these numbers.
    fn is(&self, numbers: &[f64]) -> bool {
        let off: f64 = self.theirs.iter().zip(numbers).map(|(a, b)| (a - b).powi(2)).sum();
        let size = dot(self.theirs, self.theirs).sqrt() + dot(numbers, numbers).sqrt();
        off.sqrt() <= self.tolerance * size
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn scaled(x: &[f64], c: f64) -> Vec<f64> {
    x.iter().map(|x| c * x).collect()
}
