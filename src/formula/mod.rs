//! Elementwise formulas that a spec declares: `x * tanh(softplus(x))`.
//!
//! Contract: a [`Formula`] is a function of one input (an activation) or two (a loss of prediction and target) with its slope by
//! the first. Its value is evaluated on any [`Scalar`], so that it runs wherever an operator of the program runs, and dual numbers
//! give its tangent. The slope is another list of operations: derived by the rules of [`mod@derive`], or written by hand. Neither comes
//! from dual numbers, so that the tangent stays an independent oracle of the slope.
//!
//! Invariants: operations stand in the order of evaluation and refer to earlier ones only, so that nothing here recurses; those of
//! the value come first. Every comparison, `max`, `min`, `abs` and `sign` is one of at most [`MAX_DECISIONS`] decisions of the
//! value, two bits each, which are frozen together. What is not a number is never hidden by a decision.

mod bound;
pub mod check;
pub mod derive;
mod diagnose;
mod kinks;

use crate::scalar::Scalar;
use crate::tensor::ViewMut;

/// The place of an operation in its list.
pub type Id = usize;

/// A value may take this many decisions.
pub const MAX_DECISIONS: usize = 16;

/// Value and slope together may take this many operations.
pub const MAX_OPERATIONS: usize = 4_000;

/// Exponents up to this size are products.
const WHOLE_EXPONENTS: f64 = 64.0;

/// A smooth function of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// e^u.
    Exp,
    /// ln u.
    Log,
    /// ln(1 + u).
    Log1p,
    /// e^u - 1.
    Expm1,
    /// The square root.
    Sqrt,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-u).
    Sigmoid,
    /// ln(1 + e^u).
    Softplus,
    /// The error function.
    Erf,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
}

impl Function {
    fn of<S: Scalar>(self, u: S) -> S {
        match self {
            Self::Exp => u.exp(),
            Self::Log => u.ln(),
            Self::Log1p => u.ln_1p(),
            Self::Expm1 => u.exp_m1(),
            Self::Sqrt => u.sqrt(),
            Self::Tanh => u.tanh(),
            Self::Sigmoid => u.sigmoid(),
            Self::Softplus => u.softplus(),
            Self::Erf => u.erf(),
            Self::Sin => u.sin(),
            Self::Cos => u.cos(),
        }
    }
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`.
    Lt,
    /// `<=`.
    Le,
    /// `==`.
    Eq,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// An input: 0 is the one by which the slope is taken.
    Input(usize),
    /// A parameter of the declaration.
    Setting(usize),
    /// A number.
    Constant(f64),
    /// 2/sqrt(pi), to all digits of the scalar.
    TwoOverSqrtPi,
    /// The sum.
    Add(Id, Id),
    /// The difference.
    Sub(Id, Id),
    /// The product.
    Mul(Id, Id),
    /// The quotient.
    Div(Id, Id),
    /// The negative.
    Neg(Id),
    /// A power with a constant exponent.
    Power(Id, f64),
    /// A smooth function.
    Apply(Function, Id),
    /// |u|.
    Abs(Id),
    /// -1, 0 or 1.
    Sign(Id),
    /// The larger; of equal ones the second.
    Max(Id, Id),
    /// The smaller; of equal ones the second.
    Min(Id, Id),
    /// 1 where the comparison holds, else 0.
    Compare(Comparison, Id, Id),
    /// The second where the first is 1, the third where it is 0.
    Select(Id, Id, Id),
}

impl Operation {
    /// Whether it takes a decision.
    fn decides(self) -> bool {
        matches!(self, Self::Abs(_) | Self::Sign(_) | Self::Max(..) | Self::Min(..) | Self::Compare(..))
    }
}

/// Where results of operations are kept while a formula runs.
pub trait Room<S> {
    /// Keeps the result of an operation.
    fn put(&mut self, at: Id, value: S);
    /// The result of an operation.
    fn get(&self, at: Id) -> S;
}

impl<S: Copy> Room<S> for [S] {
    fn put(&mut self, at: Id, value: S) {
        self[at] = value;
    }

    fn get(&self, at: Id) -> S {
        self[at]
    }
}

impl<S: Scalar> Room<S> for ViewMut<'_, S> {
    fn put(&mut self, at: Id, value: S) {
        self.set(at, value);
    }

    fn get(&self, at: Id) -> S {
        self.at(at)
    }
}

/// A list of operations; equal ones are one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operations(Vec<Operation>);

impl Operations {
    /// Adds an operation whose operands are here.
    pub fn add(&mut self, operation: Operation) -> Id {
        self.0.iter().position(|known| *known == operation).unwrap_or_else(|| {
            self.0.push(operation);
            self.0.len() - 1
        })
    }

    /// Adds a number.
    pub fn constant(&mut self, x: f64) -> Id {
        self.add(Operation::Constant(x))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of an operation that depends on no input.
    #[must_use]
    pub fn fixed(&self, id: Id, settings: &[f64]) -> Option<f64> {
        let formula = Formula {
            operations: self.clone(),
            own: id + 1,
            value: id,
            slope: id,
            origin: Origin::Derived,
            inputs: 2,
            settings: settings.to_vec(),
            kinks: Vec::new(),
        };
        // What is not a number goes through every operation.
        Some(formula.value_at(&[f64::NAN; 2])).filter(|x| x.is_finite())
    }

    /// How many decisions they take.
    #[must_use]
    pub fn decisions(&self) -> usize {
        self.0.iter().filter(|operation| operation.decides()).count()
    }
}

/// Where the slope comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was derived from the value.
    Derived,
    /// The spec gives it as the derivative.
    Given,
    /// The spec gives it in place of the derivative.
    Surrogate,
}

/// A function with its slope by the first input.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    operations: Operations,
    /// How many operations the value takes; its result is the one below at `value`.
    own: usize,
    value: Id,
    slope: Id,
    /// Where the slope comes from.
    pub origin: Origin,
    /// The number of inputs: 1 or 2.
    pub inputs: usize,
    settings: Vec<f64>,
    kinks: Vec<f64>,
}

impl Formula {
    /// A function whose value is the last of `operations` but for what behind `own` only the slope needs. Without a slope it is
    /// derived.
    #[must_use]
    pub fn new(
        mut operations: Operations,
        [own, value]: [usize; 2],
        slope: Option<(Id, Origin)>,
        inputs: usize,
        settings: Vec<f64>,
    ) -> Self {
        let (slope, origin) =
            slope.unwrap_or_else(|| (derive::derivative(&mut operations, value, 0, None), Origin::Derived));
        let mut formula = Self { operations, own, value, slope, origin, inputs, settings, kinks: Vec::new() };
        formula.kinks = kinks::of(&formula);
        formula
    }

    /// The number of scalars that a run keeps.
    #[must_use]
    pub fn room(&self) -> usize {
        self.operations.len()
    }

    /// Where the function or its slope changes its piece: inputs, or differences of the two if it depends on nothing else.
    #[must_use]
    pub fn kinks(&self) -> &[f64] {
        &self.kinks
    }

    /// The value of parameter `i`.
    #[must_use]
    pub fn setting(&self, i: usize) -> f64 {
        self.settings[i]
    }

    /// Where the value stops being a number although its input is one, and why: the input of everyday size that lies closest to 1.
    #[must_use]
    pub fn hazard(&self) -> Option<(f64, &'static str)> {
        let places = (0..=80).flat_map(|k| [1.0 + f64::from(k) / 10.0, 1.0 - f64::from(k) / 10.0]);
        places.into_iter().find_map(|x| {
            let at = [x, 0.0];
            let mut room = vec![0.0; self.room()];
            self.run(self.own, &at[..self.inputs], None, room.as_mut_slice());
            if !room[self.value].is_nan() {
                return None;
            }
            let first = (0..self.own).find(|&id| room[id].is_nan() || room[id].is_infinite())?;
            let why = match self.operations.0[first] {
                Operation::Apply(Function::Log | Function::Log1p, _) => {
                    "the logarithm of a number that is not positive"
                }
                Operation::Apply(Function::Sqrt, _) => "the root of a negative number",
                Operation::Power(..) => "a broken power of a number that is not positive",
                Operation::Div(..) => "a division by 0",
                _ => "an overflow",
            };
            Some((x, why))
        })
    }

    /// Whether the value takes decisions.
    #[must_use]
    pub fn is_piecewise(&self) -> bool {
        self.operations.0[..self.own].iter().any(|operation| operation.decides())
    }

    /// The value, and the decisions on the way: taken here, or those that are given.
    ///
    /// The derivative of a function with a surrogate is the surrogate, in every arithmetic that carries derivatives: with
    /// y = f(c) + s(c) (x - c), c being the plain value of x, the tangents of a whole net are those of the chain that training
    /// follows.
    pub fn value<S: Scalar>(
        &self,
        at: &[S],
        frozen: Option<u32>,
        room: &mut (impl Room<S> + ?Sized),
    ) -> (S, u32) {
        if self.origin == Origin::Surrogate && S::PLANES > 1 {
            let plain = [at[0].primal(), at.get(1).map_or(0.0, |t| t.primal())].map(S::constant);
            let pieces = self.run(self.own, &plain, frozen, room);
            let value = room.get(self.value);
            self.run(self.operations.len(), &plain, None, room);
            return (value + room.get(self.slope) * (at[0] - plain[0]), pieces);
        }
        let pieces = self.run(self.own, at, frozen, room);
        (room.get(self.value), pieces)
    }

    /// The slope by the first input; decisions are taken here.
    pub fn slope<S: Scalar>(&self, at: &[S], room: &mut (impl Room<S> + ?Sized)) -> S {
        self.run(self.operations.len(), at, None, room);
        room.get(self.slope)
    }

    /// The value in plain numbers.
    #[must_use]
    pub fn value_at(&self, at: &[f64]) -> f64 {
        let mut room = vec![0.0; self.room()];
        self.value(at, None, room.as_mut_slice()).0
    }

    /// The slope in plain numbers.
    #[must_use]
    pub fn slope_at(&self, at: &[f64]) -> f64 {
        self.slope(at, vec![0.0; self.room()].as_mut_slice())
    }

    /// Runs the first operations and gives the decisions of the value.
    fn run<S: Scalar>(
        &self,
        count: usize,
        at: &[S],
        frozen: Option<u32>,
        room: &mut (impl Room<S> + ?Sized),
    ) -> u32 {
        let mut taken = 0;
        let mut decision = 0;
        for (id, operation) in self.operations.0[..count].iter().enumerate() {
            let mut choose = |choice: u32| {
                let shift = 2 * decision;
                decision += 1;
                if shift >= 2 * MAX_DECISIONS {
                    return choice;
                }
                let choice = frozen.map_or(choice, |frozen| frozen >> shift & 3);
                taken |= choice << shift;
                choice
            };
            let get = |id: Id| room.get(id);
            let result = match *operation {
                Operation::Input(i) => at[i],
                Operation::Setting(i) => S::constant(self.settings[i]),
                Operation::Constant(x) => S::constant(x),
                Operation::TwoOverSqrtPi => S::two_over_sqrt_pi(),
                Operation::Add(a, b) => get(a) + get(b),
                Operation::Sub(a, b) => get(a) - get(b),
                Operation::Mul(a, b) => get(a) * get(b),
                Operation::Div(a, b) => get(a) / get(b),
                Operation::Neg(a) => -get(a),
                Operation::Power(a, exponent) => power(get(a), exponent),
                Operation::Apply(function, a) => function.of(get(a)),
                Operation::Abs(a) => match choose(sign(get(a).primal())) {
                    0 => -get(a),
                    1 => get(a) * 0.0,
                    _ => get(a),
                },
                Operation::Sign(a) => match choose(sign(get(a).primal())) {
                    3 => S::constant(f64::NAN),
                    piece => S::constant(f64::from(piece) - 1.0),
                },
                Operation::Max(a, b) => {
                    [get(a), get(b)][choose(larger(get(a).primal(), get(b).primal())) as usize & 1]
                }
                Operation::Min(a, b) => {
                    [get(a), get(b)][choose(larger(-get(a).primal(), -get(b).primal())) as usize & 1]
                }
                Operation::Compare(how, a, b) => {
                    truth(choose(compare(how, get(a).primal(), get(b).primal())))
                }
                Operation::Select(condition, then, otherwise) => {
                    let holds = get(condition).primal();
                    if holds.is_nan() {
                        S::constant(holds)
                    } else if holds > 0.5 {
                        get(then)
                    } else {
                        get(otherwise)
                    }
                }
            };
            room.put(id, result);
        }
        taken
    }
}

/// Below, at or above 0, or not a number.
fn sign(x: f64) -> u32 {
    if x.is_nan() { 3 } else { 1 + u32::from(x > 0.0) - u32::from(x < 0.0) }
}

/// Which of two is larger: 0 or 1, the second of equal ones, and the one that is not a number.
fn larger(a: f64, b: f64) -> u32 {
    if a.is_nan() { 0 } else { u32::from(b.is_nan() || a <= b) }
}

/// Whether a comparison holds; 2 where there is nothing to compare.
fn compare(how: Comparison, a: f64, b: f64) -> u32 {
    if a.is_nan() || b.is_nan() {
        return 2;
    }
    u32::from(match how {
        Comparison::Lt => a < b,
        Comparison::Le => a <= b,
        Comparison::Eq => a == b,
    })
}

fn truth<S: Scalar>(choice: u32) -> S {
    S::constant(if choice == 2 { f64::NAN } else { f64::from(choice) })
}

/// u^c: a product for small whole exponents, else e^(c ln u), which is not a number below 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
fn power<S: Scalar>(u: S, exponent: f64) -> S {
    let size = exponent.abs();
    let positive = if size.fract() == 0.0 && size <= WHOLE_EXPONENTS {
        let (mut result, mut square, mut left) = (S::constant(1.0), u, size as u32);
        while left > 0 {
            if left & 1 == 1 {
                result = result * square;
            }
            left >>= 1;
            if left > 0 {
                square = square * square;
            }
        }
        result
    } else if size == 0.5 {
        u.sqrt()
    } else {
        return (u.ln() * exponent).exp();
    };
    if exponent < 0.0 { S::constant(1.0) / positive } else { positive }
}
