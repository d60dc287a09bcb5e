//! Argument values as both notations write them, signatures, and typed readers.
//!
//! Contract: a signature lists the parameters of anything that can be called (an op, an initialiser, a loss, an
//! optimiser, a transform) with kind, default and one line of documentation; it is the single source for reading,
//! printing, completion and the manual. A [`Reader`] binds values to a signature and reports every mistake once:
//! unknown, doubled, missing, mistyped. Its typed getters return `None` after reporting, so that callers read all
//! arguments before they give up.

use crate::diag::{Diagnostic, Diagnostics, did_you_mean, rules};
use crate::source::{Span, Spanned};
use std::fmt;
use std::sync::Arc;

/// The largest number of elements that a tensor, and the largest value that a size, may have.
pub const MAX_ELEMENTS: u64 = 1 << 40;

/// A value after evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer.
    Int(i64),
    /// A real number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Text in quotation marks.
    Str(String),
    /// A word that names no variable: `he_normal`, `same`, `train`.
    Symbol(String),
    /// `[1, 2]`, shared, because a variable is copied wherever its name stands.
    List(Arc<Vec<Spanned<Value>>>),
    /// `range(4)`, kept lazy so that its length costs nothing.
    Range(i64, i64),
    /// A word with arguments: `he_normal(fan_out)`.
    Call(Call),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Str(s) => write!(f, "{s:?}"),
            Self::Symbol(s) => f.write_str(s),
            Self::Range(from, to) => write!(f, "range({from}, {to})"),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Call(call) => call.fmt(f),
        }
    }
}

/// A name with arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is called.
    pub name: Spanned<String>,
    /// With what.
    pub args: Vec<Arg>,
    /// The whole call.
    pub span: Span,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |arg: &Arg| match &arg.name {
            Some(name) => format!("{}={}", name.value, arg.value.value),
            None => arg.value.value.to_string(),
        };
        let args: Vec<String> = self.args.iter().map(of).collect();
        write!(f, "{}({})", self.name.value, args.join(", "))
    }
}

/// One argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// The parameter's name; `None` for a positional argument.
    pub name: Option<Spanned<String>>,
    /// The value.
    pub value: Spanned<Value>,
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer of at least 1.
    Size,
    /// An integer of at least 0.
    Count,
    /// One or two integers of at least 1: height and width.
    SizePair,
    /// One or two integers of at least 0, or `same`.
    Padding,
    /// A list of integers.
    Shape,
    /// An integer that numbers an axis, the batch being axis 0; negative counts from the end.
    Axis,
    /// A real number.
    Number,
    /// `true` or `false`.
    Flag,
    /// One of the listed words.
    Word(&'static [&'static str]),
    /// An initialiser.
    Init,
    /// A number for each channel, or one for all.
    Numbers,
    /// Likewise, or one of the listed words.
    NumbersOr(&'static [&'static str]),
    /// Any text.
    Text,
    /// The path of a node that stands before: `fc1`, `stage[1].conv`.
    Node,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => f.write_str("an integer of at least 1"),
            Self::Count => f.write_str("an integer of at least 0"),
            Self::SizePair => f.write_str("an integer of at least 1, or two of them as [height, width]"),
            Self::Padding => {
                f.write_str("an integer of at least 0, two of them as [height, width], or `same`")
            }
            Self::Shape => f.write_str("a list of integers"),
            Self::Axis => f.write_str("the number of an axis"),
            Self::Number => f.write_str("a number"),
            Self::Flag => f.write_str("`true` or `false`"),
            Self::Word(words) => f.write_str(&alternatives(words)),
            Self::NumbersOr(words) => write!(f, "{}, a number or a list of numbers", alternatives(words)),
            Self::Init => f.write_str("an initialiser"),
            Self::Numbers => f.write_str("a number or a list of numbers"),
            Self::Text => f.write_str("text"),
            Self::Node => f.write_str("the name of an earlier node"),
        }
    }
}

/// Words in words: `` `mean` or `median` ``.
fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(" or ")
}

/// Whether a parameter may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// It must be given.
    Required,
    /// Leaving it out means something of its own, which the documentation states.
    Absent,
    /// Leaving it out means this literal.
    Is(&'static str),
}

/// One parameter of a signature.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// The name, as written in both notations.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What leaving it out means.
    pub default: Default,
    /// One line of documentation.
    pub doc: &'static str,
}

/// A parameter that must be given.
#[must_use]
pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Param {
    Param { name, kind, default: Default::Required, doc }
}

/// A parameter with a default literal.
#[must_use]
pub const fn optional(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Param {
    Param { name, kind, default: Default::Is(default), doc }
}

/// A parameter that may be absent.
#[must_use]
pub const fn absent(name: &'static str, kind: Kind, doc: &'static str) -> Param {
    Param { name, kind, default: Default::Absent, doc }
}

/// The value that a default literal of a signature stands for.
#[must_use]
pub fn literal(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text
            .parse()
            .map(Value::Int)
            .or_else(|_| text.parse().map(Value::Float))
            .unwrap_or_else(|_| Value::Symbol(text.to_owned())),
    }
}

/// The word and the literal of a default like `constant(0.25)`; `None` for a plain literal.
#[must_use]
pub fn applied(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix(')').and_then(|text| text.split_once('('))
}

/// The value of a default that is left out at a place.
fn default_at(text: &str, span: Span) -> Value {
    match applied(text) {
        Some((name, inner)) => {
            let arg = Arg { name: None, value: Spanned::new(literal(inner), span) };
            Value::Call(Call { name: Spanned::new(name.to_owned(), span), args: vec![arg], span })
        }
        None => literal(text),
    }
}

/// Binds the arguments of one call to a signature and reads them.
pub struct Reader<'a> {
    callee: &'a str,
    span: Span,
    signature: &'a [Param],
    bound: Vec<Option<Spanned<Value>>>,
    scope: &'a [String],
    out: &'a mut Diagnostics,
}

impl<'a> Reader<'a> {
    /// Binds `args` to `signature`; `fallback` holds the arguments of a `default` statement, which apply where the
    /// call says nothing. `scope` lists the variables that could have been meant by an unknown word.
    pub fn new(
        call: &'a Call,
        fallback: Option<&Call>,
        signature: &'a [Param],
        scope: &'a [String],
        out: &'a mut Diagnostics,
    ) -> Self {
        let mut bound: Vec<Option<Spanned<Value>>> = vec![None; signature.len()];
        bind(call, signature, &mut bound, out);
        if let Some(default) = fallback {
            let mut defaults = vec![None; signature.len()];
            // The default statement itself was checked where it stands, so its mistakes are not repeated here.
            bind(default, signature, &mut defaults, &mut Diagnostics::default());
            for (slot, default) in bound.iter_mut().zip(defaults) {
                *slot = slot.take().or(default);
            }
        }
        Self { callee: &call.name.value, span: call.span, signature, bound, scope, out }
    }

    /// The place of the whole call.
    #[must_use]
    pub fn call_span(&self) -> Span {
        self.span
    }

    /// The place of an argument that was given, here or in a `default` statement.
    #[must_use]
    pub fn span_of(&self, name: &str) -> Option<Span> {
        self.slot(name).1.map(|value| value.span)
    }

    /// The place of an argument that was given, if the signature has it at all.
    #[must_use]
    pub fn span_of_if_known(&self, name: &str) -> Option<Span> {
        self.signature.iter().any(|param| param.name == name).then(|| self.span_of(name)).flatten()
    }

    /// The places of all arguments that were given.
    #[must_use]
    pub fn spans(&self) -> Vec<(&'static str, Span)> {
        let names = self.signature.iter().map(|param| param.name);
        names.zip(&self.bound).filter_map(|(name, value)| Some((name, value.as_ref()?.span))).collect()
    }

    /// Reports a mistake.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.out.push(diagnostic);
    }

    fn slot(&self, name: &str) -> (&'a Param, Option<&Spanned<Value>>) {
        let at = self.signature.iter().position(|param| param.name == name);
        let at = at.unwrap_or_else(|| panic!("internal: `{}` has no parameter `{name}`", self.callee));
        (&self.signature[at], self.bound[at].as_ref())
    }

    /// The value of a parameter: given, or its default. `None` after reporting that it is missing, and for a
    /// parameter that may be absent.
    pub fn value(&mut self, name: &str) -> Option<Spanned<Value>> {
        let (param, value) = self.slot(name);
        match (value, param.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Default::Is(text)) => Some(Spanned::new(default_at(text, self.span), self.span)),
            (None, Default::Absent) => None,
            (None, Default::Required) => {
                let (callee, kind) = (self.callee, param.kind);
                self.out.push(
                    Diagnostic::new(&rules::MISSING, self.span, format!("`{callee}` needs `{name}`"))
                        .remark(format!("`{name}` is {kind}"))
                        .help(format!("{name}: {}", param.doc)),
                );
                None
            }
        }
    }

    /// Reads a parameter with a function that reports its own mistakes.
    pub fn with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Spanned<Value>, &[String], &mut Diagnostics) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(name)?;
        read(&value, self.scope, self.out)
    }

    fn wrong<T>(&mut self, name: &str, value: &Spanned<Value>) -> Option<T> {
        let (param, _) = self.slot(name);
        let (callee, kind) = (self.callee, param.kind);
        self.out.push(mistyped(&format!("`{name}` of `{callee}`"), kind, value, self.scope));
        None
    }

    fn out_of_range<T>(&mut self, name: &str, value: &Spanned<Value>) -> Option<T> {
        let (param, _) = self.slot(name);
        let (callee, kind, given) = (self.callee, param.kind, &value.value);
        self.out.push(
            Diagnostic::new(&rules::OUT_OF_RANGE, value.span, format!("`{name}` of `{callee}` is {given}"))
                .remark(format!("must be {kind}")),
        );
        None
    }

    /// Reads an integer in `low..=MAX_ELEMENTS`.
    fn integer(&mut self, name: &str, value: &Spanned<Value>, low: i64) -> Option<usize> {
        match value.value {
            Value::Int(i) if i < low => self.out_of_range(name, value),
            Value::Int(i) if i.unsigned_abs() > MAX_ELEMENTS => {
                let message = format!("`{name}` of `{}` is {i}: more than 2^40", self.callee);
                self.out.push(Diagnostic::new(&rules::TOO_LARGE, value.span, message));
                None
            }
            Value::Int(i) => usize::try_from(i).ok(),
            _ => self.wrong(name, value),
        }
    }

    /// Reads a [`Kind::Size`].
    pub fn size(&mut self, name: &str) -> Option<usize> {
        let value = self.value(name)?;
        self.integer(name, &value, 1)
    }

    /// Reads a [`Kind::Count`].
    pub fn count(&mut self, name: &str) -> Option<usize> {
        let value = self.value(name)?;
        self.integer(name, &value, 0)
    }

    /// Reads a [`Kind::SizePair`].
    pub fn size_pair(&mut self, name: &str) -> Option<[usize; 2]> {
        let value = self.value(name)?;
        self.pair(name, &value, 1)
    }

    /// Reads one integer for both axes, or a list of two.
    pub fn pair(&mut self, name: &str, value: &Spanned<Value>, low: i64) -> Option<[usize; 2]> {
        match &value.value {
            Value::List(items) if items.len() == 2 => {
                let (h, w) = (items[0].clone(), items[1].clone());
                let (h, w) = (self.integer(name, &h, low), self.integer(name, &w, low));
                Some([h?, w?])
            }
            Value::Int(_) => self.integer(name, value, low).map(|i| [i, i]),
            _ => self.wrong(name, value),
        }
    }

    /// Reads a [`Kind::Axis`].
    pub fn axis(&mut self, name: &str) -> Option<i64> {
        let value = self.value(name)?;
        match value.value {
            Value::Int(i) => Some(i),
            _ => self.wrong(name, &value),
        }
    }

    /// Reads a [`Kind::Number`]; integers are numbers.
    pub fn number(&mut self, name: &str) -> Option<f64> {
        let value = self.value(name)?;
        match number(&value.value) {
            Some(x) if x.is_finite() => Some(x),
            Some(_) => self.out_of_range(name, &value),
            None => self.wrong(name, &value),
        }
    }

    /// Reads a number that must satisfy `ok`; `must` says what it must be.
    pub fn number_where(&mut self, name: &str, must: &str, ok: impl Fn(f64) -> bool) -> Option<f64> {
        let x = self.number(name)?;
        if ok(x) {
            return Some(x);
        }
        let span = self.span_of(name).unwrap_or(self.span);
        let message = format!("`{name}` of `{}` is {x}", self.callee);
        self.out.push(Diagnostic::new(&rules::OUT_OF_RANGE, span, message).remark(format!("must be {must}")));
        None
    }

    /// Reads a [`Kind::Numbers`].
    pub fn numbers(&mut self, name: &str) -> Option<Vec<f64>> {
        let value = self.value(name)?;
        let read = match &value.value {
            Value::List(items) => items.iter().map(|item| number(&item.value)).collect(),
            single => number(single).map(|x| vec![x]),
        };
        match read {
            Some(list) if !list.is_empty() && list.iter().all(|x| x.is_finite()) => Some(list),
            _ => self.wrong(name, &value),
        }
    }

    /// Reads a [`Kind::Flag`].
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        match value.value {
            Value::Bool(b) => Some(b),
            _ => self.wrong(name, &value),
        }
    }

    /// Reads a [`Kind::Word`].
    pub fn word(&mut self, name: &str) -> Option<&'static str> {
        let value = self.value(name)?;
        let (Param { kind: Kind::Word(words), .. }, _) = self.slot(name) else {
            panic!("internal: `{name}` of `{}` is not a word", self.callee);
        };
        let found = word(&value.value).and_then(|given| words.iter().find(|word| **word == given));
        match found {
            Some(word) => Some(word),
            None => self.wrong(name, &value),
        }
    }

    /// Reads a [`Kind::Text`]: a quoted text or a plain word.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        match word(&value.value) {
            Some(text) => Some(text.to_owned()),
            None => self.wrong(name, &value),
        }
    }
}

/// A value that is a number, as `f64`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "integers beyond 2^53 are rejected as sizes long before")]
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

/// A value that is a word, quoted or not.
#[must_use]
pub fn word(value: &Value) -> Option<&str> {
    match value {
        Value::Str(s) | Value::Symbol(s) => Some(s),
        _ => None,
    }
}

/// The finding for a value of the wrong kind. A word where a number should be is most likely a misspelt variable.
#[must_use]
pub fn mistyped(what: &str, kind: Kind, value: &Spanned<Value>, scope: &[String]) -> Diagnostic {
    let numeric = matches!(
        kind,
        Kind::Size | Kind::Count | Kind::SizePair | Kind::Padding | Kind::Axis | Kind::Number | Kind::Numbers
    );
    if let (true, Value::Symbol(name)) = (numeric, &value.value) {
        return unknown_variable(name, value.span, scope).note("want", format!("{what} is {kind}"));
    }
    let help = match (kind, &value.value) {
        (Kind::Word(words), given) => word(given)
            .and_then(|given| did_you_mean(given, words.iter().copied()))
            .map(|near| format!("did you mean `{near}`?")),
        (Kind::Size | Kind::Count | Kind::Axis, Value::Float(x)) if x.fract() == 0.0 => {
            Some("`/` gives a real number; `//` divides integers".to_owned())
        }
        _ => None,
    };
    Diagnostic::new(&rules::WRONG_TYPE, value.span, format!("{what} is `{}`", value.value))
        .remark(format!("must be {kind}"))
        .maybe_help(help)
}

/// The finding for a word that names no variable.
#[must_use]
pub fn unknown_variable(name: &str, span: Span, scope: &[String]) -> Diagnostic {
    let near = did_you_mean(name, scope.iter().map(String::as_str));
    let known = if scope.is_empty() {
        "no parameter is declared".to_owned()
    } else {
        format!("known here: {}", scope.join(", "))
    };
    Diagnostic::new(&rules::UNKNOWN_NAME, span, format!("unknown name `{name}`"))
        .help(near.map_or(known, |near| format!("did you mean `{near}`?")))
}

fn bind(call: &Call, signature: &[Param], bound: &mut [Option<Spanned<Value>>], out: &mut Diagnostics) {
    let callee = &call.name.value;
    for (position, arg) in call.args.iter().enumerate() {
        let at = match &arg.name {
            Some(name) => match signature.iter().position(|param| param.name == name.value) {
                Some(at) => at,
                None => {
                    out.push(unknown_argument(callee, name, signature));
                    continue;
                }
            },
            None if position < signature.len() => position,
            None => {
                let most = match signature.len() {
                    0 => "no arguments".to_owned(),
                    1 => "one argument".to_owned(),
                    n => format!("at most {n} arguments"),
                };
                let message = format!("`{callee}` takes {most}");
                out.push(Diagnostic::new(&rules::UNKNOWN_KEY, arg.value.span, message));
                break;
            }
        };
        let place = arg.name.as_ref().map_or(arg.value.span, |name| name.span);
        if let Some(first) = &bound[at] {
            let message = format!("`{}` of `{callee}` is given twice", signature[at].name);
            out.push(
                Diagnostic::new(&rules::GIVEN_TWICE, place, message).label(first.span, "first given here"),
            );
        } else {
            bound[at] = Some(arg.value.clone());
        }
    }
}

/// The finding for a named argument that a signature does not have.
#[must_use]
pub fn unknown_argument(callee: &str, name: &Spanned<String>, signature: &[Param]) -> Diagnostic {
    let names: Vec<&str> = signature.iter().map(|param| param.name).collect();
    let known = match names.as_slice() {
        [] => format!("`{callee}` takes no arguments"),
        names => format!("`{callee}` takes {}", names.join(", ")),
    };
    let near = did_you_mean(&name.value, names);
    Diagnostic::new(&rules::UNKNOWN_KEY, name.span, format!("`{callee}` has no argument `{}`", name.value))
        .help(near.map_or(known, |near| format!("did you mean `{near}`?")))
}
