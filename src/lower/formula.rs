//! Expressions to operations of a formula.
//!
//! Contract: every mistake is reported at its own place; `None` means that one was. Conditions are numbers, 1 or 0, and not a number
//! where they compare what is none. Expressions have at most a thousand operators, so that recursion is bounded.

use super::eval::Variables;
use super::own::{global, near};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::formula::{Comparison, Function, Id, Operation, Operations};
use crate::front::ast::{Binary, CallExpr, Expr, Lost, ParamDecl, Unary};
use crate::source::{Span, Spanned};
use std::collections::BTreeSet;

/// The functions of one argument that are an operation each.
const SMOOTH: [(&str, Function); 12] = [
    ("exp", Function::Exp),
    ("log", Function::Log),
    ("log1p", Function::Log1p),
    ("expm1", Function::Expm1),
    ("sqrt", Function::Sqrt),
    ("tanh", Function::Tanh),
    ("sigmoid", Function::Sigmoid),
    ("softplus", Function::Softplus),
    ("erf", Function::Erf),
    ("sin", Function::Sin),
    ("cos", Function::Cos),
    ("ln", Function::Log),
];
/// The other functions, with the number of their arguments.
const OTHER: [(&str, usize); 8] =
    [("abs", 1), ("sign", 1), ("relu", 1), ("cosh", 1), ("sinh", 1), ("min", 2), ("max", 2), ("pow", 2)];

/// Reads the expressions of one declaration.
pub(super) struct Builder<'b> {
    /// The operations so far.
    pub(super) list: Operations,
    /// Where each of them is written.
    pub(super) spans: Vec<Option<Span>>,
    inputs: Vec<&'b str>,
    params: Vec<&'b str>,
    values: &'b [f64],
    globals: &'b Variables,
    declared: BTreeSet<String>,
    lost: &'b Lost,
    out: &'b mut Diagnostics,
}

impl<'b> Builder<'b> {
    pub(super) fn new(
        [inputs, params]: [&'b [ParamDecl]; 2],
        values: &'b [f64],
        globals: &'b Variables,
        declared: BTreeSet<String>,
        lost: &'b Lost,
        out: &'b mut Diagnostics,
    ) -> Self {
        let names = |params: &'b [ParamDecl]| params.iter().map(|param| param.name.value.as_str()).collect();
        let (inputs, params) = (names(inputs), names(params));
        let list = Operations::default();
        Self { list, spans: Vec::new(), inputs, params, values, globals, declared, lost, out }
    }

    /// Whether a word is a function of formulas.
    pub(super) fn is_function(name: &str) -> bool {
        functions().any(|known| known == name)
    }

    fn add(&mut self, operation: Operation, span: Span) -> Id {
        let id = self.list.add(operation);
        if id == self.spans.len() {
            self.spans.push(Some(span));
        }
        id
    }

    fn constant(&mut self, x: f64, span: Span) -> Id {
        self.add(Operation::Constant(x), span)
    }

    fn wrong<T>(&mut self, span: Span, message: impl Into<String>, help: &str) -> Option<T> {
        self.out.push(Diagnostic::new(&rules::BAD_EXPRESSION, span, message).help(help));
        None
    }

    /// An expression that gives a number.
    #[expect(clippy::cast_precision_loss, reason = "a whole number of a formula is small")]
    pub(super) fn number(&mut self, expr: &Spanned<Expr>) -> Option<Id> {
        let span = expr.span;
        let operation = match &expr.value {
            Expr::Error => return None,
            Expr::Int(i) => Operation::Constant(*i as f64),
            Expr::Float(x) => Operation::Constant(*x),
            Expr::Name(name) => return self.name(name, span),
            Expr::Call(call) => return self.call(call, span),
            Expr::Unary(Unary::Neg, operand) => Operation::Neg(self.number(operand)?),
            Expr::Binary(op, left, right) if op.value == Binary::Pow => {
                return self.power(left, right, span);
            }
            Expr::Binary(op, left, right)
                if matches!(op.value, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) =>
            {
                let (left, right) = (self.number(left), self.number(right));
                let (left, right) = (left?, right?);
                match op.value {
                    Binary::Add => Operation::Add(left, right),
                    Binary::Sub => Operation::Sub(left, right),
                    Binary::Mul => Operation::Mul(left, right),
                    _ => Operation::Div(left, right),
                }
            }
            Expr::Cond(condition, then, otherwise) => {
                let condition = self.condition(condition);
                let (then, otherwise) = (self.number(then), self.number(otherwise));
                Operation::Select(condition?, then?, otherwise?)
            }
            Expr::Bool(_) | Expr::Unary(Unary::Not, _) => {
                return self.wrong(
                    span,
                    "a condition where a number is meant",
                    "write 1 if condition else 0",
                );
            }
            Expr::Binary(op, ..) => {
                let (symbol, _) = op.value.symbol();
                return match op.value {
                    Binary::FloorDiv | Binary::Rem => self.wrong(
                        op.span,
                        format!("`{symbol}` has no place in a formula"),
                        "a formula has + - * / **",
                    ),
                    _ => {
                        self.wrong(span, "a condition where a number is meant", "write 1 if condition else 0")
                    }
                };
            }
            Expr::Str(_) | Expr::Input | Expr::List(_) | Expr::Field(..) | Expr::Index(..) => {
                return self.wrong(
                    span,
                    "this is no number",
                    "a formula is made of numbers, its inputs and parameters",
                );
            }
        };
        Some(self.add(operation, span))
    }

    fn name(&mut self, name: &str, span: Span) -> Option<Id> {
        if let Some(i) = self.inputs.iter().position(|known| *known == name) {
            return Some(self.add(Operation::Input(i), span));
        }
        if let Some(i) = self.params.iter().position(|known| *known == name) {
            return Some(self.add(Operation::Setting(i), span));
        }
        if let Some(x) = self.globals.get(name).and_then(global) {
            return Some(self.constant(x, span));
        }
        if name == "pi" {
            return Some(self.constant(std::f64::consts::PI, span));
        }
        if self.lost.explains(name) {
            return None;
        }
        if Self::is_function(name) {
            let message = format!("`{name}` is a function and takes an argument");
            return self.wrong(span, message, &format!("write {name}({})", self.inputs[0]));
        }
        let known: Vec<String> =
            self.inputs.iter().chain(&self.params).map(|name| (*name).to_owned()).collect();
        let help = near(name, &known).unwrap_or_else(|| format!("the formula knows {}", known.join(", ")));
        let message = format!("the formula has no `{name}`");
        self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, span, message).help(help));
        None
    }

    /// A power; what is in the exponent must be a number.
    fn power(&mut self, base: &Spanned<Expr>, exponent: &Spanned<Expr>, span: Span) -> Option<Id> {
        let (base, id) = (self.number(base), self.number(exponent));
        let (base, id) = (base?, id?);
        match self.list.fixed(id, self.values) {
            Some(exponent) => Some(self.add(Operation::Power(base, exponent), span)),
            None => self.wrong(
                exponent.span,
                "the exponent depends on the input",
                "exponents are constant; write exp(v * log(u)) for a power of both",
            ),
        }
    }

    fn call(&mut self, call: &CallExpr, span: Span) -> Option<Id> {
        let name = call.name.value.as_str();
        let smooth = SMOOTH.iter().find(|(known, _)| *known == name).map(|(_, function)| *function);
        let other = OTHER.iter().find(|(known, _)| *known == name).map(|(_, arity)| *arity);
        let Some(arity) = smooth.map(|_| 1).or(other) else { return self.unknown(call) };
        let extremes = matches!(name, "min" | "max") && call.args.len() > 2;
        if call.args.iter().any(|arg| arg.name.is_some()) || (call.args.len() != arity && !extremes) {
            let arguments = if arity == 1 { "one argument" } else { "two arguments" };
            return self.wrong(
                span,
                format!("`{name}` takes {arguments}"),
                "arguments of functions have no names",
            );
        }
        if name == "pow" {
            return self.power(&call.args[0].value, &call.args[1].value, span);
        }
        let args: Vec<Option<Id>> = call.args.iter().map(|arg| self.number(&arg.value)).collect();
        let args: Vec<Id> = args.into_iter().collect::<Option<_>>()?;
        let u = args[0];
        if let Some(function) = smooth {
            return Some(self.add(Operation::Apply(function, u), span));
        }
        Some(match name {
            "abs" => self.add(Operation::Abs(u), span),
            "sign" => self.add(Operation::Sign(u), span),
            "relu" => {
                let zero = self.constant(0.0, span);
                self.add(Operation::Max(u, zero), span)
            }
            "cosh" | "sinh" => self.hyperbolic(name == "cosh", u, span),
            _ => args[1..].iter().fold(u, |so_far, next| {
                let both =
                    if name == "max" { Operation::Max(so_far, *next) } else { Operation::Min(so_far, *next) };
                self.add(both, span)
            }),
        })
    }

    /// (e^u + e^-u) / 2, or (e^u - 1 - (e^-u - 1)) / 2, which does not cancel at 0.
    fn hyperbolic(&mut self, even: bool, u: Id, span: Span) -> Id {
        let function = if even { Function::Exp } else { Function::Expm1 };
        let negative = self.add(Operation::Neg(u), span);
        let up = self.add(Operation::Apply(function, u), span);
        let down = self.add(Operation::Apply(function, negative), span);
        let both = if even { Operation::Add(up, down) } else { Operation::Sub(up, down) };
        let both = self.add(both, span);
        let half = self.constant(0.5, span);
        self.add(Operation::Mul(half, both), span)
    }

    fn unknown(&mut self, call: &CallExpr) -> Option<Id> {
        let name = call.name.value.as_str();
        if self.lost.explains(name) {
            return None;
        }
        let (message, help) = if self.declared.contains(name) {
            let message =
                format!("`{name}` is declared in this spec, and a formula cannot call a declaration");
            (message, "write its formula out".to_owned())
        } else {
            let known: Vec<String> = functions().map(str::to_owned).collect();
            let list = format!("the functions of formulas are {}", known.join(", "));
            (format!("there is no function `{name}`"), near(name, &known).unwrap_or(list))
        };
        self.out.push(Diagnostic::new(&rules::UNKNOWN_CALLEE, call.name.span, message).help(help));
        None
    }

    /// An expression that holds or not: 1 or 0.
    fn condition(&mut self, expr: &Spanned<Expr>) -> Option<Id> {
        let span = expr.span;
        let operation = match &expr.value {
            Expr::Error => return None,
            Expr::Bool(b) => Operation::Constant(f64::from(u8::from(*b))),
            Expr::Unary(Unary::Not, operand) => {
                let operand = self.condition(operand)?;
                return Some(self.not(operand, span));
            }
            Expr::Binary(op, left, right) if matches!(op.value, Binary::And | Binary::Or) => {
                let (left, right) = (self.condition(left), self.condition(right));
                let (left, right) = (left?, right?);
                if op.value == Binary::And {
                    Operation::Mul(left, right)
                } else {
                    // By de Morgan.
                    let (left, right) = (self.not(left, span), self.not(right, span));
                    let neither = self.add(Operation::Mul(left, right), span);
                    return Some(self.not(neither, span));
                }
            }
            Expr::Binary(op, left, right) if op.value.symbol().1 == Binary::Lt.symbol().1 => {
                let (left, right) = (self.number(left), self.number(right));
                let (left, right) = (left?, right?);
                match op.value {
                    Binary::Lt => Operation::Compare(Comparison::Lt, left, right),
                    Binary::Le => Operation::Compare(Comparison::Le, left, right),
                    Binary::Gt => Operation::Compare(Comparison::Lt, right, left),
                    Binary::Ge => Operation::Compare(Comparison::Le, right, left),
                    other => {
                        let equal = self.add(Operation::Compare(Comparison::Eq, left, right), span);
                        return Some(if other == Binary::Ne { self.not(equal, span) } else { equal });
                    }
                }
            }
            _ => return self.wrong(span, "a number where a condition is meant", "compare it: x > 0"),
        };
        Some(self.add(operation, span))
    }

    fn not(&mut self, condition: Id, span: Span) -> Id {
        let one = self.constant(1.0, span);
        self.add(Operation::Sub(one, condition), span)
    }
}

/// The functions of formulas.
fn functions() -> impl Iterator<Item = &'static str> {
    SMOOTH.iter().map(|(name, _)| *name).chain(OTHER.iter().map(|(name, _)| *name))
}
