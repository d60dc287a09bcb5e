//! Inputs whose covariance is ill-conditioned: a long valley for gradient descent.
//!
//! ## What it checks
//!
//! The covariance matrix of all numeric inputs together on up to 4,096 training rows, up to 256 columns that vary: raw, and behind the declared
//! chains. kappa is its largest eigenvalue over its smallest, those below rounding left out. A warning: kappa above 1,000 behind the chains, of
//! which `standardize` would remove all but a hundredth; information, where all columns are positions of one signal (`constant-column`), which have
//! one unit and differ because little happens at some of them. Information: kappa above 10^6 although every column has unit scale; columns of which one
//! is an exact linear combination of the others. Raw and resulting kappa stand in the report of every run.
//!
//! ## Why it matters
//!
//! For a linear model with squared loss the Hessian is that covariance. A step size above 2 / lambda_max diverges; below it, the error along
//! the direction of lambda_min shrinks by 1 - 2 / kappa in a step at best, so that gradient descent needs about kappa / 2 steps for each
//! factor e. The first layer of a net sees the same matrix. `standardize` removes what differing scales contribute, not what correlation does.
//! Along a combination that never varies the gradient is 0: the weights keep their random values there.
//!
//! ## Example
//!
//! ```text
//! x  numeric(rooms, income, population) |> scale(1/1000)
//! ```
//!
//! ## Instead
//!
//! `standardize(fit=train)`; leave out columns that others determine.
//!
//! ## References
//!
//! LeCun, Kanter and Solla 1991, "Eigenvalues of covariance matrices"; LeCun et al. 1998, "Efficient backprop", section 5; Nesterov 2004, theorem
//! 2.1.15.

use super::constant_column::is_signal;
use super::eigen::{Spectrum, spectrum};
use super::{Subject, audit, names};
use crate::data::Content;
use crate::data::units::place;
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::lints::RAW_INPUT;
use crate::source::Span;
use crate::text::number;
use serde::Serialize;

pub static RULE: Rule = audit!("ill_conditioned.rs" = "D207" "ill-conditioned-input" Warning from "P08");

/// The most columns whose covariance is decomposed.
const COLUMNS: usize = 256;

/// The condition of the inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// Columns that vary.
    pub columns: usize,
    /// Rows of the sample.
    pub rows: usize,
    /// kappa of the raw columns; unknown where values are missing.
    pub raw: Option<f64>,
    /// kappa of what the net sees.
    pub input: f64,
    /// kappa of what the net would see if every column had variance 1.
    pub standardised: f64,
    /// The largest eigenvalue of what the net sees.
    pub largest: f64,
    /// How many combinations of the columns do not vary.
    pub null: usize,
    /// The columns of one of them.
    #[serde(skip)]
    combination: Vec<String>,
}

/// Decomposes the covariance of the numeric inputs; `None` if there are too many, too few rows, or nothing varies.
#[must_use]
pub fn condition(subject: &Subject<'_>) -> Option<Condition> {
    let groups: Vec<_> =
        subject.plan.groups.iter().filter(|group| group.content == Content::Numeric).collect();
    let rows =
        groups.iter().map(|group| subject.profile.train(group).map_or(0, |n| n.raw_rows.len())).min()?;
    let (mut raw, mut input, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for group in &groups {
        let numbers = subject.profile.train(group)?;
        for i in (0..numbers.input.len()).filter(|&i| !numbers.input[i].is_constant()) {
            let at = numbers.kept[i];
            raw.push(numbers.raw_rows.iter().take(rows).map(|row| row[at]).collect::<Vec<f64>>());
            input.push(numbers.input_rows.iter().take(rows).map(|row| row[i]).collect::<Vec<f64>>());
            labels.push(super::column(group, at).to_owned());
        }
    }
    // Fewer rows than columns span no more directions than rows: that is no property of the columns.
    if input.is_empty() || input.len() > COLUMNS || rows <= input.len() {
        return None;
    }
    let seen = kappa(&covariance(&input), rows)?;
    let combination = match seen.null {
        0 => Vec::new(),
        _ => {
            let vector = &seen.spectrum.vectors[0];
            let largest = vector.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            let takes_part = |i: &usize| vector[*i].abs() > 1e-6 * largest;
            (0..labels.len()).filter(takes_part).map(|i| labels[i].clone()).collect()
        }
    };
    Some(Condition {
        columns: input.len(),
        rows,
        raw: raw
            .iter()
            .flatten()
            .all(|x| x.is_finite())
            .then(|| kappa(&covariance(&raw), rows))
            .flatten()
            .map(|k| k.kappa),
        input: seen.kappa,
        standardised: kappa(&correlation(covariance(&input)), rows)?.kappa,
        largest: *seen.spectrum.values.last()?,
        null: seen.null,
        combination,
    })
}

/// The biased covariance of some columns.
#[expect(clippy::cast_precision_loss, reason = "a sample is small")]
fn covariance(columns: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let centred: Vec<Vec<f64>> = columns
        .iter()
        .map(|column| {
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            column.iter().map(|x| x - mean).collect()
        })
        .collect();
    let mut matrix = vec![vec![0.0; columns.len()]; columns.len()];
    for i in 0..columns.len() {
        for j in 0..=i {
            let product: f64 = centred[i].iter().zip(&centred[j]).map(|(x, y)| x * y).sum();
            matrix[i][j] = product / columns[i].len() as f64;
            matrix[j][i] = matrix[i][j];
        }
    }
    matrix
}

/// A covariance with every column brought to variance 1.
fn correlation(mut covariance: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let scale: Vec<f64> = (0..covariance.len())
        .map(|i| covariance[i][i].sqrt())
        .map(|s| if s > 0.0 { s } else { 1.0 })
        .collect();
    for (row, a) in covariance.iter_mut().zip(&scale) {
        row.iter_mut().zip(&scale).for_each(|(x, b)| *x /= a * b);
    }
    covariance
}

struct Decomposed {
    kappa: f64,
    null: usize,
    spectrum: Spectrum,
}

/// Largest over smallest eigenvalue, without those below the rounding of sums of `rows` products.
#[expect(clippy::cast_precision_loss, reason = "a sample is small")]
fn kappa(matrix: &[Vec<f64>], rows: usize) -> Option<Decomposed> {
    let spectrum = spectrum(matrix.to_vec());
    let largest = *spectrum.values.last()?;
    let rounding = largest * f64::EPSILON * (rows + matrix.len()) as f64;
    let null = spectrum.values.iter().filter(|value| **value <= rounding).count();
    let smallest = *spectrum.values.get(null)?;
    Some(Decomposed { kappa: largest / smallest, null, spectrum })
}

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    let Some(found) = condition(subject) else { return };
    let Condition { input, standardised, largest, null, .. } = found;
    let numeric = || subject.plan.groups.iter().filter(|group| group.content == Content::Numeric);
    let Some(span) = numeric().find_map(|group| place(&group.chain).or(Some(group.source))) else { return };
    let words = format!(
        "gradient descent on a linear model needs about {} steps for each factor e, with a step size below 2 / {} = {}",
        number(input / 2.0),
        number(largest),
        number(2.0 / largest)
    );
    let by_scale = input > 1e3 && input > 100.0 * standardised;
    if by_scale {
        let text = format!(
            "kappa {}, and {} if every column had variance 1; {words}",
            number(input),
            number(standardised)
        );
        // One cause, one finding: that columns have no common scale may be known already.
        match out.iter_mut().find(|d| d.rule == &RAW_INPUT && d.span().is_some()) {
            Some(known) => known.notes.push(("kappa", text)),
            None => {
                let signals = numeric().all(is_signal);
                let severity = if signals { Severity::Info } else { Severity::Warning };
                out.push(scales(span, input, standardised, words).severity(severity));
            }
        }
    } else if input > 1e6 {
        let message = format!("the inputs are nearly collinear: kappa {}", number(input));
        out.push(
            Diagnostic::new(&RULE, span, message)
                .severity(Severity::Info)
                .remark("every column has unit scale, and some combination of them hardly varies")
                .note("steps", words),
        );
    }
    if null > 0 {
        out.push(combination(span, &found));
    }
}

fn scales(span: Span, input: f64, standardised: f64, words: String) -> Diagnostic {
    let message = format!("the columns reach the weights in different scales: kappa {}", number(input));
    Diagnostic::new(&RULE, span, message)
        .remark(format!("standardised it would be {}", number(standardised)))
        .note("steps", words)
        .help("end the chain with standardize(fit=train)")
}

fn combination(span: Span, found: &Condition) -> Diagnostic {
    let shown: Vec<&str> = found.combination.iter().map(String::as_str).collect();
    let message = match found.null {
        1 => format!("a combination of {} never varies", names(&shown)),
        n => format!("{n} combinations of the columns never vary, one of {}", names(&shown)),
    };
    Diagnostic::new(&RULE, span, message)
        .severity(Severity::Info)
        .remark("the weights receive no gradient along it")
        .help("leave one of these columns out: the others determine it")
}
