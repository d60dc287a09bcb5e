//! Expressions as text, the same for both notations.
//!
//! Contract: the text parses to an equal expression. Parentheses stand where precedence and associativity need them, and around
//! a comparison inside a comparison, which would read as Python's chain and mean something else. A number keeps the digits
//! that its author wrote, in the spelling of the notation.

use super::super::ast::{ArgExpr, Binary, Bound, Expr, Property, TypeExpr, Unary};
use super::super::dsl;
use crate::diag::suppress::Notation;
use crate::source::{Sources, Span, Spanned};

/// How tightly `x if c else y` binds.
const CONDITIONAL: u8 = 0;
/// How tightly `not` binds.
const NOT: u8 = 3;
/// How tightly the comparisons bind.
const COMPARISON: u8 = 4;
/// How tightly `-x` binds.
const NEGATIVE: u8 = 7;
/// How tightly fields and indices bind.
const POSTFIX: u8 = 9;
/// How tightly everything else binds.
const ATOM: u8 = 10;

/// Prints expressions: knows the text that they were read from, for the digits of their numbers.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The files that spans point into; without them numbers are written the shortest way.
    pub sources: Option<&'a Sources>,
}

impl<'a> Writer<'a> {
    /// The text under a span; a part that was made by hand has none.
    fn written(self, span: Span) -> Option<&'a str> {
        self.sources?.file(span.file).text.get(span.range())
    }

    /// An expression.
    pub fn expr(self, expr: &Spanned<Expr>) -> String {
        match &expr.value {
            Expr::Int(_) | Expr::Float(_) => self.number(expr, Notation::Dsl),
            Expr::Bool(b) => b.to_string(),
            Expr::Str(s) => quoted(s),
            Expr::Name(name) => name.clone(),
            Expr::Input => "in".to_owned(),
            Expr::List(items) => format!("[{}]", self.list(items)),
            Expr::Call(call) => format!("{}({})", call.name.value, self.args(&call.args)),
            Expr::Field(object, name) => format!("{}.{}", self.operand(object, POSTFIX), name.value),
            Expr::Index(list, index) => format!("{}[{}]", self.operand(list, POSTFIX), self.expr(index)),
            Expr::Unary(Unary::Neg, operand) => format!("-{}", self.operand(operand, NEGATIVE)),
            Expr::Unary(Unary::Not, operand) => format!("not {}", self.operand(operand, NOT)),
            Expr::Binary(op, left, right) => self.binary(op.value, left, right),
            Expr::Cond(condition, then, otherwise) => {
                let tier = CONDITIONAL + 1;
                let (then, condition) = (self.operand(then, tier), self.operand(condition, tier));
                format!("{then} if {condition} else {}", self.expr(otherwise))
            }
            Expr::Error => unreachable!("internal: what could not be read is not printed"),
        }
    }

    fn binary(self, op: Binary, left: &Spanned<Expr>, right: &Spanned<Expr>) -> String {
        let (symbol, tightness) = op.symbol();
        let (least_left, least_right) = match op {
            // Associates to the right, and takes a sign behind it as it is: 2**-1.
            Binary::Pow => (tightness + 1, NEGATIVE),
            _ if tightness == COMPARISON => (tightness + 1, tightness + 1),
            _ => (tightness, tightness + 1),
        };
        let (left, right) = (self.operand(left, least_left), self.operand(right, least_right));
        let literals =
            [&left, &right].into_iter().all(|text| text.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        if op == Binary::Pow || (op == Binary::Div && literals) {
            format!("{left}{symbol}{right}")
        } else {
            format!("{left} {symbol} {right}")
        }
    }

    /// An expression that must bind at least so tightly, in parentheses if it does not.
    fn operand(self, expr: &Spanned<Expr>, least: u8) -> String {
        let text = self.expr(expr);
        if tightness(&expr.value) < least { format!("({text})") } else { text }
    }

    /// The items of a list, or of anything else that commas divide.
    pub fn list(self, items: &[Spanned<Expr>]) -> String {
        items.iter().map(|item| self.expr(item)).collect::<Vec<_>>().join(", ")
    }

    /// Arguments as they stand: named where they have names.
    pub fn args(self, args: &[ArgExpr]) -> String {
        args.iter().map(|arg| self.arg(arg)).collect::<Vec<_>>().join(", ")
    }

    /// One argument; a value with operators stands apart from its name.
    pub fn arg(self, arg: &ArgExpr) -> String {
        let value = self.expr(&arg.value);
        let Some(name) = &arg.name else { return value };
        let operators = tightness(&arg.value.value) < NEGATIVE && value.contains(' ');
        let assign = if operators { " = " } else { "=" };
        format!("{}{assign}{value}", name.value)
    }

    /// A type.
    pub fn type_expr(self, kind: &TypeExpr) -> String {
        let TypeExpr { name, args, dims } = kind;
        let args = if args.is_empty() { String::new() } else { format!("({})", self.args(args)) };
        let dims = dims.as_ref().map_or(String::new(), |dims| format!("[{}]", self.list(dims)));
        format!("{}{args}{dims}", name.value)
    }

    /// `rms(fc2.tanh) in 0.3..1.2`, `invariant flip_horizontal`.
    pub fn property(self, property: &Property) -> String {
        let Property { kind, of, bound, head: _ } = property;
        let bound = match bound {
            None => String::new(),
            Some(Bound::Within(low, high)) => format!(" in {}..{}", self.expr(low), self.expr(high)),
            Some(Bound::Beyond(relation, limit)) => format!(" {} {}", relation.words().0, self.expr(limit)),
        };
        super::subject(&kind.value, of) + &bound
    }

    /// A literal number in the spelling of a notation: YAML 1.1 readers want a point and a sign where there is an exponent.
    pub fn number(self, number: &Spanned<Expr>, notation: Notation) -> String {
        let written = self
            .written(number.span)
            .filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
            .filter(|text| dsl::number(text).as_ref() == Some(&number.value));
        match (&number.value, written) {
            (Expr::Int(_), Some(text)) => {
                let digits = text.trim_start_matches(['0', '_']);
                if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
            }
            (Expr::Int(i), None) => i.to_string(),
            (Expr::Float(_), Some(text)) => spelt(&text.replace('_', ""), notation),
            (Expr::Float(x), _) => spelt(&shortest(*x), notation),
            _ => unreachable!("internal: a number was expected"),
        }
    }
}

/// How tightly an expression binds.
fn tightness(expr: &Expr) -> u8 {
    match expr {
        Expr::Cond(..) => CONDITIONAL,
        Expr::Unary(Unary::Not, _) => NOT,
        Expr::Unary(Unary::Neg, _) => NEGATIVE,
        Expr::Binary(op, ..) => op.value.symbol().1,
        Expr::Field(..) | Expr::Index(..) => POSTFIX,
        // What only a tree made by hand holds prints like a sign.
        Expr::Int(i) if *i < 0 => NEGATIVE,
        Expr::Float(x) if x.is_sign_negative() => NEGATIVE,
        _ => ATOM,
    }
}

/// Text in quotation marks as the language reads it.
pub fn quoted(text: &str) -> String {
    escaped(text, |_| None)
}

/// Text in quotation marks, with the escapes that both notations have and those that `more` gives.
pub fn escaped(text: &str, more: impl Fn(char) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => match more(c) {
                Some(escape) => out.push_str(&escape),
                None => out.push(c),
            },
        }
    }
    out.push('"');
    out
}

/// The shorter of the two ways to write a number that is not between a hundredth and ten millions.
fn shortest(x: f64) -> String {
    let (plain, scientific) = (format!("{x:?}"), format!("{x:e}"));
    let middle = x == 0.0 || (1e-2..1e7).contains(&x.abs());
    if plain.contains('e') || (!middle && scientific.len() < plain.len()) { scientific } else { plain }
}

/// A real literal without separators in the spelling of a notation: `1e-3`, `1.0e-3`; `1e6`, `1.0e+6`.
fn spelt(text: &str, notation: Notation) -> String {
    let lower = text.to_ascii_lowercase();
    let (mantissa, exponent) = match lower.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (lower.as_str(), None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let Some(exponent) = exponent else {
        return format!("{sign}{whole}.{}", if fraction.is_empty() { "0" } else { fraction });
    };
    let (minus, power) = match exponent.strip_prefix('-') {
        Some(power) => (true, power),
        None => (false, exponent.trim_start_matches('+')),
    };
    let bare = fraction.trim_end_matches('0').is_empty();
    match notation {
        Notation::Dsl => {
            let fraction = if bare { String::new() } else { format!(".{fraction}") };
            format!("{sign}{whole}{fraction}e{}{power}", if minus { "-" } else { "" })
        }
        Notation::Yaml => {
            let fraction = if bare { "0" } else { fraction };
            format!("{sign}{whole}.{fraction}e{}{power}", if minus { "-" } else { "+" })
        }
    }
}
