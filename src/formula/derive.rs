//! Derivatives by the rules of calculus: operations to operations.
//!
//! Contract: the result computes the derivative of an operation by one input, in forms that do not cancel where a function
//! saturates (tanh' = 4 s(2u) s(-2u) with the logistic s). Where the value decides, the derivative is that of the piece that was
//! taken: of `max` and `min` of equal numbers the second one's, of `|u|` at 0 it is 0. With a [`Slip`] one rule is applied wrongly,
//! as people do: that tells what a wrong derivative got wrong.

use super::{Comparison, Function, Id, Operation, Operations};

/// A rule that is applied wrongly at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// The derivative of the argument is left out.
    NoInner,
    /// The derivative of the function is taken at the input in place of its argument.
    AtInput,
    /// The derivative is written in terms of the result, and the argument is put in its place: 1 - u^2 for tanh.
    ArgumentForResult,
    /// The derivative is taken at the result in place of the argument: 1 - tanh(tanh(u))^2.
    ResultForArgument,
    /// The function stands where its derivative belongs.
    Itself,
    /// The second term of the product rule is missing: a' b.
    FirstTerm,
    /// The first term of the product rule is missing: a b'.
    SecondTerm,
    /// The derivatives are multiplied: a' b'.
    Multiplied,
    /// The terms of a product, quotient or difference are joined with the wrong sign.
    WrongSign,
    /// The denominator is not squared: (a' b - a b') / b.
    NotSquared,
    /// The exponent is not lowered: n u^n.
    ExponentKept,
    /// The exponent is missing as a factor: u^(n-1).
    FactorLost,
    /// The branches of a condition, `max` or `min` are exchanged.
    OtherBranch,
    /// The sign of |u|' is missing.
    NoSign,
    /// The operation counts as a constant.
    Constant,
}

impl Slip {
    /// Every slip.
    pub const ALL: [Self; 15] = [
        Self::NoInner,
        Self::AtInput,
        Self::ArgumentForResult,
        Self::ResultForArgument,
        Self::Itself,
        Self::FirstTerm,
        Self::SecondTerm,
        Self::Multiplied,
        Self::WrongSign,
        Self::NotSquared,
        Self::ExponentKept,
        Self::FactorLost,
        Self::OtherBranch,
        Self::NoSign,
        Self::Constant,
    ];

    /// What was done, said of the operation at which it was done.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoInner => {
                "the chain rule is not applied: the derivative of this one's argument is missing as a factor"
            }
            Self::AtInput => "the derivative of this function is taken at the input, not at its argument",
            Self::ArgumentForResult => {
                "the argument stands where the result of this function is meant: its derivative was written in terms of its result"
            }
            Self::ResultForArgument => {
                "the derivative of this function is taken at its result, not at its argument"
            }
            Self::Itself => "the function itself stands where its derivative belongs",
            Self::FirstTerm => {
                "the rule of products and quotients has a second term: the derivative of the second one is missing"
            }
            Self::SecondTerm => {
                "the rule of products and quotients has a first term: the derivative of the first one is missing"
            }
            Self::Multiplied => "the derivative of a product is not the product of the derivatives",
            Self::WrongSign => "the two terms of this derivative are joined with the wrong sign",
            Self::NotSquared => "the denominator of the quotient rule is not squared",
            Self::ExponentKept => "the exponent is not lowered by one",
            Self::FactorLost => "the exponent is missing as a factor",
            Self::OtherBranch => "this is the derivative of the other branch",
            Self::NoSign => "the sign of the argument is missing: |u|' = sign(u) u'",
            Self::Constant => "this counts as a constant, but it depends on the input",
        }
    }
}

/// Adds the derivative of an operation by input `by`; a slip is made at one operation.
pub fn derivative(list: &mut Operations, of: Id, by: usize, slip: Option<(Id, Slip)>) -> Id {
    let zero = list.constant(0.0);
    let one = list.constant(1.0);
    let mut slopes: Vec<Id> = Vec::with_capacity(of + 1);
    for id in 0..=of {
        let slip = slip.filter(|(at, _)| *at == id).map(|(_, slip)| slip);
        let slope = match list.0[id] {
            _ if slip == Some(Slip::Constant) => zero,
            Operation::Input(i) => {
                if i == by {
                    one
                } else {
                    zero
                }
            }
            Operation::Setting(_) | Operation::Constant(_) | Operation::TwoOverSqrtPi => zero,
            Operation::Sign(_) | Operation::Compare(..) => zero,
            Operation::Add(a, b) => add(list, slopes[a], slopes[b]),
            Operation::Sub(a, b) if slip == Some(Slip::WrongSign) => add(list, slopes[a], slopes[b]),
            Operation::Sub(a, b) => sub(list, slopes[a], slopes[b]),
            Operation::Neg(a) if slip == Some(Slip::WrongSign) => slopes[a],
            Operation::Neg(a) => neg(list, slopes[a]),
            Operation::Mul(a, b) => {
                let first = mul(list, slopes[a], b);
                let second = mul(list, a, slopes[b]);
                match slip {
                    Some(Slip::FirstTerm) => first,
                    Some(Slip::SecondTerm) => second,
                    Some(Slip::Multiplied) => mul(list, slopes[a], slopes[b]),
                    Some(Slip::WrongSign) => sub(list, first, second),
                    _ => add(list, first, second),
                }
            }
            Operation::Div(a, b) => {
                let moved = mul(list, id, slopes[b]);
                let rest = match slip {
                    Some(Slip::WrongSign) => add(list, slopes[a], moved),
                    Some(Slip::FirstTerm) => slopes[a],
                    Some(Slip::SecondTerm) => neg(list, moved),
                    _ => sub(list, slopes[a], moved),
                };
                match slip {
                    Some(Slip::NotSquared) => rest,
                    Some(Slip::Multiplied) => div(list, slopes[a], slopes[b]),
                    _ => div(list, rest, b),
                }
            }
            Operation::Power(u, exponent) => {
                let lowered = if slip == Some(Slip::ExponentKept) { exponent } else { exponent - 1.0 };
                let below = raise(list, u, lowered);
                let factor = list.constant(if slip == Some(Slip::FactorLost) { 1.0 } else { exponent });
                let outer = mul(list, factor, below);
                chain(list, outer, slopes[u], slip)
            }
            Operation::Apply(function, u) => {
                let outer = match slip {
                    Some(Slip::AtInput) => {
                        let x = list.add(Operation::Input(by));
                        let result = list.add(Operation::Apply(function, x));
                        slope(list, function, x, result)
                    }
                    Some(Slip::ResultForArgument) => {
                        let result = list.add(Operation::Apply(function, id));
                        slope(list, function, id, result)
                    }
                    Some(Slip::ArgumentForResult) => by_result(list, function, u),
                    Some(Slip::Itself) => id,
                    _ => slope(list, function, u, id),
                };
                chain(list, outer, slopes[u], slip)
            }
            Operation::Abs(u) => {
                let outer = if slip == Some(Slip::NoSign) { one } else { list.add(Operation::Sign(u)) };
                chain(list, outer, slopes[u], slip)
            }
            Operation::Max(a, b) => {
                let first = list.add(Operation::Compare(Comparison::Lt, b, a));
                select(list, first, [slopes[a], slopes[b]], slip)
            }
            Operation::Min(a, b) => {
                let first = list.add(Operation::Compare(Comparison::Lt, a, b));
                select(list, first, [slopes[a], slopes[b]], slip)
            }
            Operation::Select(condition, a, b) => select(list, condition, [slopes[a], slopes[b]], slip),
        };
        slopes.push(slope);
    }
    slopes.last().copied().unwrap_or(zero)
}

/// The derivative of a function at u, of which `result` is its value there.
fn slope(list: &mut Operations, function: Function, u: Id, result: Id) -> Id {
    match function {
        Function::Exp => result,
        Function::Log => over(list, 1.0, u),
        Function::Log1p => {
            let one = list.constant(1.0);
            let sum = list.add(Operation::Add(one, u));
            over(list, 1.0, sum)
        }
        Function::Expm1 => list.add(Operation::Apply(Function::Exp, u)),
        Function::Sqrt => over(list, 0.5, result),
        Function::Tanh => {
            let two = list.constant(2.0);
            let twice = list.add(Operation::Mul(two, u));
            let bell = bell(list, twice);
            let four = list.constant(4.0);
            list.add(Operation::Mul(four, bell))
        }
        Function::Sigmoid => bell(list, u),
        Function::Softplus => list.add(Operation::Apply(Function::Sigmoid, u)),
        Function::Sin => list.add(Operation::Apply(Function::Cos, u)),
        Function::Cos => {
            let sine = list.add(Operation::Apply(Function::Sin, u));
            list.add(Operation::Neg(sine))
        }
        Function::Erf => {
            let square = list.add(Operation::Mul(u, u));
            let negative = list.add(Operation::Neg(square));
            let decay = list.add(Operation::Apply(Function::Exp, negative));
            let factor = list.add(Operation::TwoOverSqrtPi);
            list.add(Operation::Mul(factor, decay))
        }
    }
}

/// s(u) s(-u) of the logistic function s.
fn bell(list: &mut Operations, u: Id) -> Id {
    let negative = list.add(Operation::Neg(u));
    let up = list.add(Operation::Apply(Function::Sigmoid, u));
    let down = list.add(Operation::Apply(Function::Sigmoid, negative));
    list.add(Operation::Mul(up, down))
}

/// The derivative of a function as an expression in its result y.
fn by_result(list: &mut Operations, function: Function, y: Id) -> Id {
    let one = list.constant(1.0);
    match function {
        Function::Exp => y,
        Function::Expm1 => list.add(Operation::Add(y, one)),
        Function::Sqrt => over(list, 0.5, y),
        Function::Tanh => {
            let square = list.add(Operation::Mul(y, y));
            list.add(Operation::Sub(one, square))
        }
        Function::Sigmoid => {
            let rest = list.add(Operation::Sub(one, y));
            list.add(Operation::Mul(y, rest))
        }
        Function::Log
        | Function::Log1p
        | Function::Softplus
        | Function::Erf
        | Function::Sin
        | Function::Cos => {
            // 1/u is e^-y and so on: nobody writes them in terms of the result.
            list.constant(f64::NAN)
        }
    }
}

fn over(list: &mut Operations, numerator: f64, u: Id) -> Id {
    let numerator = list.constant(numerator);
    list.add(Operation::Div(numerator, u))
}

fn chain(list: &mut Operations, outer: Id, inner: Id, slip: Option<Slip>) -> Id {
    if slip == Some(Slip::NoInner) { outer } else { mul(list, outer, inner) }
}

fn select(list: &mut Operations, condition: Id, [then, otherwise]: [Id; 2], slip: Option<Slip>) -> Id {
    let [then, otherwise] =
        if slip == Some(Slip::OtherBranch) { [otherwise, then] } else { [then, otherwise] };
    if then == otherwise { then } else { list.add(Operation::Select(condition, then, otherwise)) }
}

// ---- simplification: what is 0 or 1 goes, sums and products of small whole numbers are numbers ------------------------------------

fn number(list: &Operations, id: Id) -> Option<f64> {
    match list.0[id] {
        Operation::Constant(x) => Some(x),
        _ => None,
    }
}

/// Both numbers, if every sum and product of them is exact.
fn whole(list: &Operations, a: Id, b: Id) -> Option<(f64, f64)> {
    let small = |x: &f64| x.fract() == 0.0 && x.abs() < 1e6;
    number(list, a).filter(small).zip(number(list, b).filter(small))
}

fn add(list: &mut Operations, a: Id, b: Id) -> Id {
    match (number(list, a), number(list, b), whole(list, a, b)) {
        (.., Some((x, y))) => list.constant(x + y),
        (Some(0.0), ..) => b,
        (_, Some(0.0), _) => a,
        _ => list.add(Operation::Add(a, b)),
    }
}

fn sub(list: &mut Operations, a: Id, b: Id) -> Id {
    match (number(list, a), number(list, b), whole(list, a, b)) {
        (.., Some((x, y))) => list.constant(x - y),
        (Some(0.0), ..) => neg(list, b),
        (_, Some(0.0), _) => a,
        _ => list.add(Operation::Sub(a, b)),
    }
}

fn neg(list: &mut Operations, a: Id) -> Id {
    match number(list, a) {
        Some(x) => list.constant(if x == 0.0 { 0.0 } else { -x }),
        None => list.add(Operation::Neg(a)),
    }
}

fn mul(list: &mut Operations, a: Id, b: Id) -> Id {
    match (number(list, a), number(list, b), whole(list, a, b)) {
        (.., Some((x, y))) => list.constant(x * y),
        (Some(0.0), ..) => a,
        (_, Some(0.0), _) => b,
        (Some(1.0), ..) => b,
        (_, Some(1.0), _) => a,
        _ => list.add(Operation::Mul(a, b)),
    }
}

fn div(list: &mut Operations, a: Id, b: Id) -> Id {
    if number(list, a) == Some(0.0) { a } else { list.add(Operation::Div(a, b)) }
}

fn raise(list: &mut Operations, u: Id, exponent: f64) -> Id {
    match exponent {
        0.0 => list.constant(1.0),
        1.0 => u,
        _ => list.add(Operation::Power(u, exponent)),
    }
}
