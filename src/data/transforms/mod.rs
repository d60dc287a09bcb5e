//! Transforms of columns.
//!
//! Contract: a transform either needs no statistics, or is fitted by a [`Fitter`] that sees the rows of one split in one or
//! more passes and holds a constant amount of memory per column. [`apply`](Transformer::apply) works on one row, so that a
//! row gives the same result alone and in any batch.

mod clip;
mod impute;
mod lag;
mod log1p;
mod minmax;
mod noise;
mod one_hot;
mod scale;
mod select;
mod standardize;

use super::statistics::Fitted;
use super::{Split, Step};
use crate::args::{Call, Kind, Param, Reader, Value, absent, number};
use crate::diag::{Diagnostic, Diagnostics, did_you_mean, rules};
use crate::manual::registry;
use crate::source::Spanned;
use crate::tensor::Shape;
use std::fmt;

pub use impute::Impute;
pub use lag::Back;
pub use select::{Score, Select};

registry! {
    /// A transform.
    pub enum Transform: Transformer by transform;
    standardize::Standardize,
    minmax::Minmax,
    scale::Scale,
    log1p::Log1p,
    clip::Clip,
    impute::Impute,
    one_hot::OneHot,
    select::Select,
    noise::Noise,
    lag::Back,
}

/// What a transform must say of itself.
pub trait Transformer: Sized {
    /// The parameters in positional order.
    const SIGNATURE: &'static [Param];
    /// The manual lists it here.
    const GROUP: &'static str = "transform";

    /// Reads the arguments.
    fn read(args: &mut Reader<'_>) -> Option<Self>;

    /// The arguments in canonical form.
    fn arguments(&self) -> Vec<String>;

    /// The split whose rows produce the statistics; `None` if there are none to fit.
    fn fit(&self) -> Option<Split> {
        None
    }

    /// What computes the statistics of rows.
    fn fitter(&self, _sight: &Sight<'_>) -> Option<Box<dyn Fitter>> {
        None
    }

    /// The group whose value the fitter is to see behind each row.
    fn target(&self) -> Option<&str> {
        None
    }

    /// How many numbers it makes of a row of numbers.
    fn width(&self, before: usize) -> usize {
        before
    }

    /// Transforms one row in place. `shape` is the shape of the row, `fitted` what the fitter concluded.
    fn apply(&self, shape: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>);

    /// Undoes [`apply`](Self::apply) on one row, where that is possible.
    fn invert(&self, _shape: &Shape, _fitted: Option<&Fitted>, _row: &mut [f64]) -> bool {
        false
    }

    /// Whether rows of evaluation pass it, too.
    fn applies_to_evaluation(&self) -> bool {
        true
    }

    /// Whether it accepts missing values and fills them.
    fn fills_missing(&self) -> bool {
        false
    }

    /// Whether it brings columns to a common scale.
    fn normalises(&self) -> bool {
        false
    }

    /// How many numbers per channel it was given as constants; they must fit the shape.
    fn constants(&self) -> Option<usize> {
        None
    }
}

/// What a fitter is going to see.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The names of the columns of a row.
    pub columns: &'a [String],
    /// Whether the target behind the row is the label of a class.
    pub labels: bool,
}

/// Computes statistics from rows, pass by pass.
pub trait Fitter {
    /// Sees one row of the current pass, with the value of the target behind it where one was asked for.
    fn see(&mut self, row: &[f64]);

    /// Ends a pass; `true` if another one is needed.
    fn end_pass(&mut self) -> bool;

    /// The statistics.
    fn conclude(&self) -> Fitted;
}

impl Transform {
    /// Reads one step of a chain.
    pub fn step(call: &Call, scope: &[String], out: &mut Diagnostics) -> Option<Step> {
        let Some(entry) = Self::find(&call.name.value) else {
            let names: Vec<&str> = Self::ALL.iter().map(|transform| transform.name).collect();
            let near = did_you_mean(&call.name.value, names.iter().copied());
            let known = format!("the transforms are {}", names.join(", "));
            let message = format!("there is no transform `{}`", call.name.value);
            out.push(
                Diagnostic::new(&rules::UNKNOWN_CALLEE, call.name.span, message)
                    .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
            );
            return None;
        };
        let mut reader = Reader::new(call, None, entry.signature, scope, out);
        let fit_span = reader.span_of_if_known("fit");
        let transform = Self::read(entry.name, &mut reader)?;
        let fit = transform
            .fit()
            .or(transform.vocabulary())
            .map(|split| Spanned::new(split, fit_span.unwrap_or(call.span)));
        Some(Step { transform, span: call.span, fit, shared: None })
    }

    /// The split whose rows produce the statistics.
    #[must_use]
    pub fn fit(&self) -> Option<Split> {
        transform!(self, t => t.fit())
    }

    /// The split whose words it takes for a vocabulary, if it is written.
    #[must_use]
    pub fn vocabulary(&self) -> Option<Split> {
        match self {
            Self::OneHot(encoding) => encoding.fit,
            _ => None,
        }
    }

    /// What computes the statistics.
    #[must_use]
    pub fn fitter(&self, sight: &Sight<'_>) -> Option<Box<dyn Fitter>> {
        transform!(self, t => t.fitter(sight))
    }

    /// The group of targets that its statistics depend on.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        transform!(self, t => t.target())
    }

    /// How many numbers it makes of a row of numbers.
    #[must_use]
    pub fn width(&self, before: usize) -> usize {
        transform!(self, t => t.width(before))
    }

    /// Transforms one row in place.
    pub fn apply(&self, shape: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>) {
        transform!(self, t => t.apply(shape, fitted, row));
    }

    /// Undoes [`apply`](Self::apply) on one row, where that is possible.
    pub fn invert(&self, shape: &Shape, fitted: Option<&Fitted>, row: &mut [f64]) -> bool {
        transform!(self, t => t.invert(shape, fitted, row))
    }

    /// Whether what it makes of a number in its range tells that number.
    #[must_use]
    pub fn can_be_undone(&self) -> bool {
        !matches!(self, Self::Clip(_) | Self::OneHot(_) | Self::Select(_))
    }

    /// Whether it leaves every number that is there as it is.
    #[must_use]
    pub fn keeps_numbers(&self) -> bool {
        matches!(self, Self::Impute(_) | Self::Noise(_))
    }

    /// Whether rows of evaluation pass it, too.
    #[must_use]
    pub fn applies_to_evaluation(&self) -> bool {
        transform!(self, t => t.applies_to_evaluation())
    }

    /// Whether it fills missing values.
    #[must_use]
    pub fn fills_missing(&self) -> bool {
        transform!(self, t => t.fills_missing())
    }

    /// Whether it brings columns to a common scale.
    #[must_use]
    pub fn normalises(&self) -> bool {
        transform!(self, t => t.normalises())
    }

    /// How many constants it was given per channel.
    #[must_use]
    pub fn constants(&self) -> Option<usize> {
        transform!(self, t => t.constants())
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = transform!(self, t => t.arguments());
        f.write_str(self.name())?;
        if arguments.is_empty() { Ok(()) } else { write!(f, "({})", arguments.join(", ")) }
    }
}

/// The parameter `fit=` of a fitted transform.
const FIT: Param = absent(
    "fit",
    Kind::Word(Split::WORDS),
    "the split whose rows produce the statistics; `train`, unless a checker is to see otherwise",
);

/// The parameter `from=` of given constants.
const FROM: Param = absent("from", Kind::Text, "where the given constants come from");

/// The parameter `stats=` of whatever has statistics.
const STATS: Param = absent(
    "stats",
    Kind::Text,
    "the statistics file of the spec that was trained, which gives the constants",
);

/// Reads `from=`.
fn read_from(args: &mut Reader<'_>) -> Option<String> {
    args.span_of("from").and_then(|_| args.text("from"))
}

/// Reads `fit=`.
fn read_fit(args: &mut Reader<'_>) -> Option<Option<Split>> {
    match args.span_of("fit") {
        None => Some(None),
        Some(_) => args.word("fit").map(Split::find),
    }
}

/// (x - offset) / scale with the two numbers of each element.
fn rescale(row: &mut [f64], of: impl Fn(usize) -> (f64, f64)) {
    for (i, x) in row.iter_mut().enumerate() {
        let (offset, scale) = of(i);
        *x = (*x - offset) / scale;
    }
}

/// The inverse of [`rescale`].
fn restore(row: &mut [f64], of: impl Fn(usize) -> (f64, f64)) {
    for (i, x) in row.iter_mut().enumerate() {
        let (offset, scale) = of(i);
        *x = *x * scale + offset;
    }
}

/// Constants given as a number for all or one for each channel or element, spread over a row: element i of a row of `n` belongs
/// to channel i / (n / channels).
#[must_use]
pub fn spread(constants: &[f64], row: usize, i: usize) -> f64 {
    match constants.len() {
        1 => constants[0],
        n => constants[i * n / row.max(1)],
    }
}

/// A list of numbers in canonical form.
fn show(numbers: &[f64]) -> String {
    match numbers {
        [one] => crate::text::number(*one),
        many => format!("[{}]", many.iter().map(|x| crate::text::number(*x)).collect::<Vec<_>>().join(", ")),
    }
}

/// Numbers or a word that a transform accepts in one place.
fn numbers_or_word(
    args: &mut Reader<'_>,
    name: &str,
    words: &'static [&'static str],
) -> Option<Result<Vec<f64>, &'static str>> {
    let given = args.value(name)?;
    if number(&given.value).is_some() || matches!(given.value, Value::List(_)) {
        return args.numbers(name).map(Ok);
    }
    args.with(name, |value, scope, out| {
        let given = crate::args::word(&value.value);
        if let Some(word) = given.and_then(|given| words.iter().find(|word| **word == given)) {
            return Some(Err(*word));
        }
        out.push(crate::args::mistyped(&format!("`{name}`"), Kind::Word(words), value, scope));
        None
    })
}
