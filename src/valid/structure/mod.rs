//! The models that a spec stands for: one for each choice of the parameters that declare a range.
//!
//! ## What it tests
//!
//! ```text
//! model mlp(width = 64 in 8..256, depth = 10 in 1..60, p = 0.2)
//! ```
//!
//! A range, both ends included, promises that every value in it works, and every combination with the values of other ranges. `validate`
//! draws such models and tests them besides the declared one: all parameters at their lower ends, all at their upper ends, values between,
//! and mixtures of values between and ends, one for every four of `--cases`, at least two. On each
//!
//! - the spec is compiled, and the static rules look at it: an error that it does not have with its declared values is the
//!   finding P003, on the range. So are the neighbours of the ends, one parameter at a time, and twice as many values between;
//! - every law and every declared property is tested on up to four cases: one that fails is P001 or P002, as for the declared model.
//!   Facts in `expect` speak of the declared values alone, and a property of a node that only deeper models have is
//!   left out of the others.
//!
//! A parameter whose default is a whole number takes whole numbers if the ends of its range are whole; any other takes 65 values from end to
//! end, evenly spaced, or by equal factors if the upper end is more than 100 times a positive lower one.
//!
//! ## What is shown
//!
//! A model that fails is made smaller towards the lower ends, one parameter after the other, as long as it still fails: the values next to the
//! lower end are tried one by one, those above by halves. Then the case is made plainer. The finding has the values, the
//! smallest case, a command that replays it (`--replay finite@width=8,depth=21:seed=0,batch=1,scale=1e0`) and the model as a spec that can be pasted
//! into a file beside the original. Where the declared model fails, too, the finding says how. `validate --record` keeps the case in the
//! `.regressions` file beside the spec; a case is left out once its values lie outside of the ranges.
//!
//! ## What it costs
//!
//! A drawn model that is expensive to run is moved towards the lower ends by halves until it is not; what was drawn is compiled
//! all the same, and the report says what was too expensive. The limit grows with `--cases`.

mod family;
mod report;
mod shrink;

pub use family::{Drawn, Family, Member, Model};
pub use report::{Fault, Report, faults, faults_of, replay};
pub use shrink::{TRIALS, shrink};

use crate::front::ast::{Expr, Unary};
use crate::manual::page;
use crate::source::{Span, Spanned};
use proptest::strategy::{BoxedStrategy, Just, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};
use std::fmt;
use std::str::FromStr;

/// The manual page.
pub const PAGE: &str = page!("mod.rs");

/// The value of a parameter with a range.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Number {
    /// A whole number.
    Whole(i64),
    /// Any other.
    Real(f64),
}

impl Number {
    /// As a real number.
    #[must_use]
    pub fn real(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "ends of ranges are below 2^53")]
            Self::Whole(i) => i as f64,
            Self::Real(x) => x,
        }
    }

    /// As the syntax tree has it.
    fn expr(self, span: Span) -> Expr {
        let (negative, positive) = match self {
            Self::Whole(i) => (i < 0, Expr::Int(i.saturating_abs())),
            Self::Real(x) => (x < 0.0, Expr::Float(x.abs())),
        };
        if negative { Expr::Unary(Unary::Neg, Box::new(Spanned::new(positive, span))) } else { positive }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(i) => write!(f, "{i}"),
            Self::Real(x) => write!(f, "{x:?}"),
        }
    }
}

impl FromStr for Number {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(whole) = text.parse() {
            return Ok(Self::Whole(whole));
        }
        text.parse().ok().filter(|x: &f64| x.is_finite()).map(Self::Real).ok_or(())
    }
}

/// Values of parameters, in the order of their declaration; those that are not named have their declared values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Structure(pub Vec<(String, Number)>);

impl Structure {
    /// Whether it is the declared one.
    #[must_use]
    pub fn is_declared(&self) -> bool {
        self.0.is_empty()
    }

    /// What stands behind the name of a law or property in a case of it: `@width=8,depth=21`.
    #[must_use]
    pub fn suffix(&self) -> String {
        if self.is_declared() { String::new() } else { format!("@{self}") }
    }

    /// What stands behind a verb: ` with width = 8, depth = 21`, and nothing for the declared model.
    #[must_use]
    pub fn with(&self) -> String {
        if self.is_declared() { String::new() } else { format!(" with {}", self.words()) }
    }

    /// For sentences: `width = 8, depth = 21`.
    #[must_use]
    pub fn words(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        f.write_str(&values.join(","))
    }
}

impl FromStr for Structure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`@{text}` names no values; write @width=8,depth=21");
        let value = |field: &str| {
            let (name, value) = field.split_once('=').ok_or_else(usage)?;
            let name = name.trim();
            let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
            let value = value.trim().parse().map_err(|()| usage())?;
            if plain { Ok((name.to_owned(), value)) } else { Err(usage()) }
        };
        let values: Vec<(String, Number)> = text.split(',').map(value).collect::<Result<_, String>>()?;
        let twice =
            values.iter().enumerate().any(|(i, (name, _))| values[..i].iter().any(|(n, _)| n == name));
        if twice { Err(usage()) } else { Ok(Self(values)) }
    }
}

/// A parameter with a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranged {
    /// Its name.
    pub name: String,
    /// Its declared value.
    pub declared: Number,
    /// The lower end.
    pub low: Number,
    /// The upper end.
    pub high: Number,
    /// Where the range is written.
    pub span: Span,
}

/// Steps of a parameter that is no whole number, from end to end.
const STEPS: u64 = 64;
/// From this ratio of the ends on, steps are equal factors.
const WIDE: f64 = 100.0;

impl Ranged {
    /// How many steps there are from the lower end to the upper one.
    #[must_use]
    pub fn steps(&self) -> u64 {
        match (self.low, self.high) {
            (Number::Whole(low), Number::Whole(high)) => high.abs_diff(low),
            _ => STEPS,
        }
    }

    /// The value after some steps.
    #[must_use]
    pub fn value(&self, step: u64) -> Number {
        if let (Number::Whole(low), Number::Whole(_)) = (self.low, self.high) {
            return Number::Whole(low.saturating_add_unsigned(step));
        }
        let (low, high) = (self.low.real(), self.high.real());
        #[expect(clippy::cast_precision_loss, reason = "a few steps")]
        let part = step.min(STEPS) as f64 / STEPS as f64;
        let between = if low > 0.0 && high / low > WIDE {
            low * (high / low).powf(part)
        } else {
            low + (high - low) * part
        };
        Number::Real(match step {
            0 => low,
            STEPS.. => high,
            // Three digits are easily read, and lie between the ends as the exact value does.
            _ => rounded(between).clamp(low, high),
        })
    }

    /// How many steps have a value below this one.
    #[must_use]
    pub fn below(&self, value: Number) -> u64 {
        match (self.low, value) {
            (Number::Whole(low), Number::Whole(value)) => {
                u64::try_from(value.saturating_sub(low)).unwrap_or(0)
            }
            _ => (0..=STEPS).take_while(|step| self.value(*step).real() < value.real()).count() as u64,
        }
    }

    /// Whether a value is in the range.
    #[must_use]
    pub fn holds(&self, value: Number) -> bool {
        (self.low.real()..=self.high.real()).contains(&value.real())
            && (matches!(value, Number::Whole(_)) || matches!(self.low, Number::Real(_)))
    }
}

impl fmt::Display for Ranged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}..{}", self.name, self.low, self.high)
    }
}

/// With three significant digits.
fn rounded(x: f64) -> f64 {
    format!("{x:.2e}").parse().unwrap_or(x)
}

/// What is drawn of a family; none is the declared structure, and each is there once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draws {
    /// Those that are run: the lower ends, the upper ends, then values between and mixtures of them with ends in turn.
    pub run: Vec<Structure>,
    /// Those that are compiled besides: the neighbours of the ends, one parameter at a time, and values between.
    pub compiled: Vec<Structure>,
}

/// Draws structures from a seed, `count` of them to run.
#[must_use]
pub fn draw(ranged: &[Ranged], seed: u64, count: usize) -> Draws {
    let at = |steps: &[u64]| {
        let value = |(one, step): (&Ranged, &u64)| (one.name.clone(), one.value(*step));
        Structure(ranged.iter().zip(steps).map(value).collect())
    };
    let declared = Structure(ranged.iter().map(|one| (one.name.clone(), one.declared)).collect());
    let most: Vec<u64> = ranged.iter().map(Ranged::steps).collect();
    let between: Vec<_> = most.iter().map(|most| (0..=*most).boxed()).collect();
    let end = |most: &u64| proptest::prop_oneof![1 => Just(0), 1 => Just(*most), 2 => 0..=*most].boxed();
    let mixtures: Vec<_> = most.iter().map(end).collect();
    let config = Config {
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    // What is drawn again is drawn anew, but for families that are soon exhausted.
    let anew = |known: &mut Vec<Structure>,
                more: usize,
                strategies: [&Vec<BoxedStrategy<u64>>; 2],
                runner: &mut TestRunner| {
        let wanted = known.len() + more;
        for i in 0..4 * more {
            let drawn = strategies[i % 2].new_tree(runner).map(|tree| at(&tree.current()));
            let new = drawn.ok().filter(|drawn| known.len() < wanted && !known.contains(drawn));
            known.extend(new);
        }
    };
    let mut known = vec![declared, at(&vec![0; most.len()])];
    known.extend(Some(at(&most)).filter(|upper| !known.contains(upper)));
    known.dedup();
    let ends = known.len() - 1;
    anew(&mut known, count.saturating_sub(ends), [&between, &mixtures], &mut runner);
    let run = known.len();
    for (i, most) in most.iter().enumerate().take(NEIGHBOURS) {
        for step in [1, most.saturating_sub(1)] {
            let mut neighbour = known[0].clone();
            neighbour.0[i].1 = ranged[i].value(step);
            known.extend(Some(neighbour).filter(|neighbour| !known.contains(neighbour)));
        }
    }
    anew(&mut known, 2 * count, [&between, &between], &mut runner);
    let compiled = known.split_off(run);
    known.remove(0);
    Draws { run: known, compiled }
}

/// So many parameters are moved by one step from their ends.
const NEIGHBOURS: usize = 8;
