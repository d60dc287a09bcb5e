//! Expressions to values.
//!
//! Contract: total and pure. Integers are 64 bits and checked; `/` gives a real number, `//` and `%` round down as in Python;
//! a name that no variable has is a word, to be understood by whoever reads the argument. `None` means that a mistake was
//! reported and the value is unknown.

use crate::args::{Arg, Call, Kind, Param, Value, mistyped, number, unknown_variable};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::front;
use crate::front::ast::{ArgExpr, Binary, CallExpr, Expr, Lost, Unary};
use crate::source::{Span, Spanned};
use crate::tensor::Shape;
use std::rc::Rc;
use std::sync::Arc;

/// The functions of expressions.
pub const FUNCTIONS: [&str; 9] = ["min", "max", "sqrt", "range", "abs", "floor", "ceil", "log2", "len"];

/// Variables, a later one hiding an earlier one of its name. Copying and adding take constant time.
#[derive(Clone, Debug, Default)]
pub struct Variables(Option<Rc<Variable>>);

#[derive(Debug)]
struct Variable {
    name: String,
    value: Value,
    before: Variables,
    /// How many there are, this one included.
    count: usize,
}

impl Variables {
    /// Adds a variable.
    pub fn push(&mut self, name: String, value: Value) {
        let count = self.len() + 1;
        let before = std::mem::take(self);
        self.0 = Some(Rc::new(Variable { name, value, before, count }));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |last| last.count)
    }

    fn iter(&self) -> impl Iterator<Item = &Variable> {
        std::iter::successors(self.0.as_deref(), |variable| variable.before.0.as_deref())
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|variable| variable.name == name).map(|variable| &variable.value)
    }
}

/// What names mean at one place.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// Variables.
    pub variables: Variables,
    /// The shape of what `in` names; `None` if there is no such value or its shape is unknown.
    pub input: Option<Shape>,
    /// Whether there is a value that `in` names.
    pub has_input: bool,
    /// Names whose absence has been explained.
    pub lost: Lost,
}

impl Env {
    /// The names of all variables, for did-you-mean.
    #[must_use]
    pub fn scope(&self) -> Vec<String> {
        let mut names: Vec<String> = self.variables.iter().map(|variable| variable.name.clone()).collect();
        names.reverse();
        names
    }
}

/// Evaluates an expression.
pub fn eval(expr: &Spanned<Expr>, env: &Env, out: &mut Diagnostics) -> Option<Spanned<Value>> {
    let span = expr.span;
    let value = match &expr.value {
        Expr::Error => return None,
        Expr::Int(i) => Value::Int(*i),
        Expr::Float(x) => Value::Float(*x),
        Expr::Bool(b) => Value::Bool(*b),
        Expr::Str(s) => Value::Str(s.clone()),
        Expr::Name(name) => match env.variables.get(name) {
            Some(value) => value.clone(),
            None if env.lost.explains(name) && !super::words().contains(name.as_str()) => return None,
            None => Value::Symbol(name.clone()),
        },
        Expr::Input => {
            out.push(
                Diagnostic::new(&rules::BAD_EXPRESSION, span, "`in` is a value of the net, not a number")
                    .help("its static facts are in.ch and in.shape[i]"),
            );
            return None;
        }
        Expr::List(items) => {
            let items: Vec<Option<Spanned<Value>>> = items.iter().map(|item| eval(item, env, out)).collect();
            Value::List(Arc::new(items.into_iter().collect::<Option<_>>()?))
        }
        Expr::Call(call) => return self::call(call, span, env, out),
        Expr::Field(object, name) => field(object, name, span, env, out)?,
        Expr::Index(list, index) => {
            let (list, index) = (eval(list, env, out), eval(index, env, out));
            element(&list?, &index?, env, out)?
        }
        Expr::Unary(Unary::Not, operand) => Value::Bool(!truth(&eval(operand, env, out)?, env, out)?),
        Expr::Unary(Unary::Neg, operand) => {
            let operand = eval(operand, env, out)?;
            match operand.value {
                Value::Int(i) => Value::Int(i.checked_neg().or_else(|| overflow(span, out))?),
                Value::Float(x) => Value::Float(-x),
                _ => return not_a_number(&operand, env, out),
            }
        }
        Expr::Binary(op, left, right) if matches!(op.value, Binary::And | Binary::Or) => {
            let left = truth(&eval(left, env, out)?, env, out)?;
            match (op.value, left) {
                (Binary::And, false) => Value::Bool(false),
                (Binary::Or, true) => Value::Bool(true),
                _ => Value::Bool(truth(&eval(right, env, out)?, env, out)?),
            }
        }
        Expr::Binary(op, left, right) => {
            let (left, right) = (eval(left, env, out), eval(right, env, out));
            binary(*op, &left?, &right?, span, env, out)?
        }
        Expr::Cond(condition, then, otherwise) => {
            let holds = truth(&eval(condition, env, out)?, env, out)?;
            return eval(if holds { then } else { otherwise }, env, out);
        }
    };
    Some(Spanned::new(value, span))
}

/// Evaluates the arguments of a call.
pub fn arguments(args: &[ArgExpr], env: &Env, out: &mut Diagnostics) -> Option<Vec<Arg>> {
    let args: Vec<Option<Arg>> = args
        .iter()
        .map(|arg| Some(Arg { name: arg.name.clone(), value: eval(&arg.value, env, out)? }))
        .collect();
    args.into_iter().collect()
}

/// Evaluates a call whose name is not a function of expressions.
pub fn invocation(call: &CallExpr, env: &Env, out: &mut Diagnostics) -> Option<Call> {
    Some(Call { name: call.name.clone(), args: arguments(&call.args, env, out)?, span: call.span() })
}

/// Evaluates a call to a signature. Where that takes a node, the value is its path, or an empty word if it is none, which whoever looks
/// the node up reports.
pub fn called(call: &CallExpr, signature: &[Param], env: &Env, out: &mut Diagnostics) -> Option<Call> {
    let args: Vec<Option<Arg>> = call
        .args
        .iter()
        .map(|arg| {
            let value = if names_node(arg, signature) {
                let path = path(&arg.value, env, &mut Diagnostics::default());
                Spanned::new(Value::Symbol(path.map_or(String::new(), |path| path.value)), arg.value.span)
            } else {
                eval(&arg.value, env, out)?
            };
            Some(Arg { name: arg.name.clone(), value })
        })
        .collect();
    let args = args.into_iter().collect::<Option<_>>()?;
    Some(Call { name: call.name.clone(), args, span: call.span() })
}

/// Whether an argument is the name of a node.
pub fn names_node(arg: &ArgExpr, signature: &[Param]) -> bool {
    let named = |param: &Param| arg.name.as_ref().is_some_and(|name| name.value == param.name);
    signature.iter().any(|param| param.kind == Kind::Node && named(param))
}

/// The path of a node: `fc1`, `fc1.relu`, `h[i - 1].fc`, or a text that holds one.
pub fn path(expr: &Spanned<Expr>, env: &Env, out: &mut Diagnostics) -> Option<Spanned<String>> {
    let mut reported = false;
    let index = &mut |index: &Spanned<Expr>| {
        let value = eval(index, env, out);
        let found = match value.as_ref().map(|value| &value.value) {
            Some(Value::Int(i)) => Some(*i),
            Some(_) => value.and_then(|value| not_a_number(&value, env, out)),
            None => None,
        };
        reported |= found.is_none();
        found
    };
    let text = match &expr.value {
        Expr::Error => return None,
        Expr::Str(text) if front::is_reference(text) => Some(text.clone()),
        other => path_text(other, index),
    };
    if text.is_none() && !reported {
        let diagnostic = Diagnostic::new(&rules::WRONG_TYPE, expr.span, "the name of a node stands here");
        out.push(diagnostic.help("a path is like fc1, or stage[1].conv2"));
    }
    text.map(|text| Spanned::new(text, expr.span))
}

/// `fc1`, `fc1.relu` and `stage[1].conv` as the text of a path; `index` evaluates what stands in brackets.
pub fn path_text(expr: &Expr, index: &mut impl FnMut(&Spanned<Expr>) -> Option<i64>) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.clone()),
        Expr::Field(object, name) => Some(format!("{}.{}", path_text(&object.value, index)?, name.value)),
        Expr::Index(object, at) => {
            let object = path_text(&object.value, index)?;
            Some(format!("{object}[{}]", index(at)?))
        }
        _ => None,
    }
}

/// Whether a condition holds.
pub fn truth(value: &Spanned<Value>, env: &Env, out: &mut Diagnostics) -> Option<bool> {
    match value.value {
        Value::Bool(b) => Some(b),
        _ => {
            if let Value::Symbol(name) = &value.value {
                out.push(unknown_variable(name, value.span, &env.scope()));
            } else {
                out.push(mistyped("the condition", crate::args::Kind::Flag, value, &env.scope()));
            }
            None
        }
    }
}

fn overflow<T>(span: Span, out: &mut Diagnostics) -> Option<T> {
    out.push(Diagnostic::new(&rules::BAD_EXPRESSION, span, "the result does not fit into 64 bits"));
    None
}

fn not_a_number<T>(value: &Spanned<Value>, env: &Env, out: &mut Diagnostics) -> Option<T> {
    out.push(mistyped("the operand", crate::args::Kind::Number, value, &env.scope()));
    None
}

fn field(
    object: &Spanned<Expr>,
    name: &Spanned<String>,
    span: Span,
    env: &Env,
    out: &mut Diagnostics,
) -> Option<Value> {
    if object.value != Expr::Input {
        out.push(
            Diagnostic::new(&rules::BAD_EXPRESSION, span, "only `in` has fields")
                .help("its static facts are in.ch and in.shape[i]"),
        );
        return None;
    }
    if !env.has_input {
        out.push(
            Diagnostic::new(&rules::BAD_EXPRESSION, object.span, "there is no `in` here")
                .help("`in` is the input of the enclosing body"),
        );
        return None;
    }
    let size = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    match name.value.as_str() {
        "ch" => {
            let shape = env.input.as_ref()?;
            let Some(channels) = shape.channels() else {
                out.push(Diagnostic::new(
                    &rules::SHAPE_MISMATCH,
                    span,
                    format!("`in` is {shape} and has no channels"),
                ));
                return None;
            };
            Some(size(channels))
        }
        "shape" => {
            let axes = env.input.as_ref()?.sample().iter().map(|&n| Spanned::new(size(n), span));
            let batch = Spanned::new(Value::Symbol("B".to_owned()), span);
            Some(Value::List(Arc::new(std::iter::once(batch).chain(axes).collect())))
        }
        other => {
            let message = format!("`in` has no fact `{other}`");
            out.push(
                Diagnostic::new(&rules::UNKNOWN_NAME, name.span, message)
                    .help("its static facts are in.ch and in.shape[i]"),
            );
            None
        }
    }
}

fn element(list: &Spanned<Value>, index: &Spanned<Value>, env: &Env, out: &mut Diagnostics) -> Option<Value> {
    let Value::Int(i) = index.value else { return not_a_number(index, env, out) };
    let Value::List(items) = &list.value else {
        let message = format!("`{}` is no list", list.value);
        out.push(Diagnostic::new(&rules::BAD_EXPRESSION, list.span, message));
        return None;
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let at = if i < 0 { i + length } else { i };
    match usize::try_from(at).ok().and_then(|at| items.get(at)) {
        Some(item) => Some(item.value.clone()),
        None => {
            let message = format!("index {i} of a list of {length}");
            out.push(Diagnostic::new(&rules::BAD_EXPRESSION, index.span, message));
            None
        }
    }
}

fn binary(
    op: Spanned<Binary>,
    left: &Spanned<Value>,
    right: &Spanned<Value>,
    span: Span,
    env: &Env,
    out: &mut Diagnostics,
) -> Option<Value> {
    if matches!(op.value, Binary::Eq | Binary::Ne) {
        let equal = match (number(&left.value), number(&right.value)) {
            (Some(a), Some(b)) => a == b,
            _ => left.value == right.value,
        };
        return Some(Value::Bool(equal == (op.value == Binary::Eq)));
    }
    if let (Value::Int(a), Value::Int(b)) = (&left.value, &right.value) {
        return integers(op, *a, *b, span, out);
    }
    let Some(a) = number(&left.value) else { return not_a_number(left, env, out) };
    let Some(b) = number(&right.value) else { return not_a_number(right, env, out) };
    reals(op, a, b, span, out)
}

fn divides_by_zero<T>(span: Span, out: &mut Diagnostics) -> Option<T> {
    out.push(Diagnostic::new(&rules::BAD_EXPRESSION, span, "division by zero"));
    None
}

#[expect(clippy::cast_precision_loss, reason = "a quotient is real; integers beyond 2^53 are no sizes")]
fn integers(op: Spanned<Binary>, a: i64, b: i64, span: Span, out: &mut Diagnostics) -> Option<Value> {
    let checked =
        |result: Option<i64>, out: &mut Diagnostics| result.or_else(|| overflow(span, out)).map(Value::Int);
    match op.value {
        Binary::Add => checked(a.checked_add(b), out),
        Binary::Sub => checked(a.checked_sub(b), out),
        Binary::Mul => checked(a.checked_mul(b), out),
        Binary::Div | Binary::FloorDiv | Binary::Rem if b == 0 => divides_by_zero(span, out),
        Binary::Div => Some(Value::Float(a as f64 / b as f64)),
        Binary::FloorDiv => {
            let rounded = a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q });
            checked(rounded, out)
        }
        Binary::Rem => {
            checked(a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }), out)
        }
        Binary::Pow => match u32::try_from(b) {
            Ok(exponent) => checked(a.checked_pow(exponent), out),
            Err(_) if b < 0 => reals(op, a as f64, b as f64, span, out),
            Err(_) => overflow(span, out),
        },
        Binary::Lt => Some(Value::Bool(a < b)),
        Binary::Le => Some(Value::Bool(a <= b)),
        Binary::Gt => Some(Value::Bool(a > b)),
        Binary::Ge => Some(Value::Bool(a >= b)),
        Binary::Eq | Binary::Ne | Binary::And | Binary::Or => None,
    }
}

fn reals(op: Spanned<Binary>, a: f64, b: f64, span: Span, out: &mut Diagnostics) -> Option<Value> {
    let result = match op.value {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div | Binary::FloorDiv | Binary::Rem if b == 0.0 => return divides_by_zero(span, out),
        Binary::Div => a / b,
        Binary::FloorDiv => (a / b).floor(),
        Binary::Rem => a - b * (a / b).floor(),
        Binary::Pow => a.powf(b),
        Binary::Lt => return Some(Value::Bool(a < b)),
        Binary::Le => return Some(Value::Bool(a <= b)),
        Binary::Gt => return Some(Value::Bool(a > b)),
        Binary::Ge => return Some(Value::Bool(a >= b)),
        Binary::Eq | Binary::Ne | Binary::And | Binary::Or => return None,
    };
    if result.is_finite() {
        return Some(Value::Float(result));
    }
    out.push(Diagnostic::new(&rules::BAD_EXPRESSION, span, format!("the result is {result}")));
    None
}

/// A call inside an expression: a function, or a word with arguments.
fn call(call: &CallExpr, span: Span, env: &Env, out: &mut Diagnostics) -> Option<Spanned<Value>> {
    let name = call.name.value.as_str();
    if !FUNCTIONS.contains(&name) {
        return invocation(call, env, out).map(|call| Spanned::new(Value::Call(call), span));
    }
    let args = arguments(&call.args, env, out)?;
    let wrong = |out: &mut Diagnostics| {
        let usage = match name {
            "min" | "max" => format!("{name}(a, b, ...)"),
            "range" => "range(n) or range(from, to)".to_owned(),
            "len" => "len(list)".to_owned(),
            _ => format!("{name}(x)"),
        };
        out.push(Diagnostic::new(&rules::BAD_EXPRESSION, span, format!("`{name}` is used as {usage}")));
        None
    };
    if args.iter().any(|arg| arg.name.is_some()) || args.is_empty() {
        return wrong(out);
    }
    let values: Vec<&Value> = args.iter().map(|arg| &arg.value.value).collect();
    let value = match (name, values.as_slice()) {
        ("range", [Value::Int(n)]) => Value::Range(0, *n),
        ("range", [Value::Int(from), Value::Int(to)]) => Value::Range(*from, *to),
        ("len", [Value::List(items)]) => Value::Int(i64::try_from(items.len()).unwrap_or(i64::MAX)),
        ("range" | "len", _) => return wrong(out),
        _ => {
            let mut numbers = Vec::new();
            for arg in &args {
                match number(&arg.value.value) {
                    Some(x) => numbers.push(x),
                    None => return not_a_number(&arg.value, env, out),
                }
            }
            match (name, numbers.as_slice()) {
                ("min" | "max", _) => extreme(name == "max", &values, &numbers),
                ("sqrt" | "log2", [x]) if *x < 0.0 || (name == "log2" && *x == 0.0) => {
                    out.push(Diagnostic::new(&rules::BAD_EXPRESSION, span, format!("{name} of {x}")));
                    return None;
                }
                ("sqrt", [x]) => Value::Float(x.sqrt()),
                ("log2", [x]) => Value::Float(x.log2()),
                ("abs", [x]) => match values[0] {
                    Value::Int(i) => Value::Int(i.checked_abs().or_else(|| overflow(span, out))?),
                    _ => Value::Float(x.abs()),
                },
                ("floor", [x]) => whole(x.floor(), span, out)?,
                ("ceil", [x]) => whole(x.ceil(), span, out)?,
                _ => return wrong(out),
            }
        }
    };
    Some(Spanned::new(value, span))
}

/// The first of the values that is least or greatest; an integer stays one.
fn extreme(greatest: bool, values: &[&Value], numbers: &[f64]) -> Value {
    let mut best = 0;
    for (i, x) in numbers.iter().enumerate() {
        if (greatest && *x > numbers[best]) || (!greatest && *x < numbers[best]) {
            best = i;
        }
    }
    values[best].clone()
}

#[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
fn whole(x: f64, span: Span, out: &mut Diagnostics) -> Option<Value> {
    if x.abs() < 9e18 { Some(Value::Int(x as i64)) } else { overflow(span, out) }
}
