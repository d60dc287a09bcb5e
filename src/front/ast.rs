//! The syntax tree that both notations build.
//!
//! Contract: every part carries its span; equality ignores spans, so that two notations of one spec give equal trees.
//! Arguments of calls are named wherever the callee has a signature (see [`super::names`]); comments are kept with their
//! places, for suppressions and for printing.

mod property;

pub use property::{Bound, Property, Relation};

use crate::diag::suppress::{Comment, Notation};
use crate::source::{FileId, Span, Spanned};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A whole spec.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The file it was read from.
    pub file: FileId,
    /// The notation of that file.
    pub notation: Notation,
    /// `spec 1`.
    pub version: Option<Spanned<i64>>,
    /// `model name(...)`.
    pub model: Option<Model>,
    /// `input name: type`.
    pub inputs: Vec<Declared>,
    /// `target name: type`.
    pub targets: Vec<Declared>,
    /// `data { ... }`.
    pub data: Option<Data>,
    /// `activation name(x) = ...`.
    pub activations: Vec<Own>,
    /// `loss name(p, t) = ...`.
    pub losses: Vec<Own>,
    /// `default op(...)`.
    pub defaults: Vec<CallExpr>,
    /// `block name(...) { ... }`.
    pub blocks: Vec<Block>,
    /// `net { ... }`.
    pub net: Option<Body>,
    /// `train { ... }`.
    pub train: Option<Train>,
    /// `expect { ... }`.
    pub expect: Vec<Setting>,
    /// `property { ... }`.
    pub properties: Vec<Property>,
    /// Every comment, in order.
    pub comments: Vec<Comment>,
    /// Names that faulty text may have declared.
    pub lost: Lost,
}

impl Spec {
    /// An empty spec of a file.
    #[must_use]
    pub fn new(file: FileId, notation: Notation) -> Self {
        Self {
            file,
            notation,
            version: None,
            model: None,
            inputs: Vec::new(),
            targets: Vec::new(),
            data: None,
            activations: Vec::new(),
            losses: Vec::new(),
            defaults: Vec::new(),
            blocks: Vec::new(),
            net: None,
            train: None,
            expect: Vec::new(),
            properties: Vec::new(),
            comments: Vec::new(),
            lost: Lost::default(),
        }
    }
}

/// Names that what could not be read may have declared: nothing is said about their absence, because it has one cause, which has
/// been reported.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    names: Arc<BTreeSet<String>>,
    everything: bool,
}

impl Lost {
    /// Loses every name that a faulty text contains.
    pub fn learn(&mut self, text: &str) {
        Arc::make_mut(&mut self.names).extend(words(text).map(str::to_owned));
    }

    /// Loses whatever there might have been.
    pub fn everything(&mut self) {
        self.everything = true;
    }

    /// Whether the absence of a name, or of any name of a path, has been explained.
    #[must_use]
    pub fn explains(&self, path: &str) -> bool {
        self.everything || (!self.names.is_empty() && words(path).any(|word| self.names.contains(word)))
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.names.is_empty()
    }
}

/// The names in a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    parts.filter(|part| part.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            file: _,
            notation: _,
            version,
            model,
            inputs,
            targets,
            data,
            activations,
            losses,
            defaults,
            blocks,
            net,
            train,
            expect,
            properties,
            ..
        } = self;
        *version == other.version
            && *model == other.model
            && *inputs == other.inputs
            && *targets == other.targets
            && *data == other.data
            && *activations == other.activations
            && *losses == other.losses
            && *defaults == other.defaults
            && *blocks == other.blocks
            && *net == other.net
            && *train == other.train
            && *expect == other.expect
            && *properties == other.properties
    }
}

/// The model's name and parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: Spanned<String>,
    /// Its parameters.
    pub params: Vec<ParamDecl>,
}

/// A parameter of a model or block.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamDecl {
    /// Its name.
    pub name: Spanned<String>,
    /// Its default; blocks may leave it out.
    pub default: Option<Spanned<Expr>>,
    /// `in lo..hi`, inclusive.
    pub range: Option<(Spanned<Expr>, Spanned<Expr>)>,
}

/// A declared input or target.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type.
    pub kind: Spanned<TypeExpr>,
    /// `in lo..hi`, inclusive: what the values of a target fill before the transforms.
    pub range: Option<(Spanned<Expr>, Spanned<Expr>)>,
    /// The transforms it passes through.
    pub chain: Vec<CallExpr>,
}

/// `f64[B, 3]`, `class(10)`, `int[B, 16]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeExpr {
    /// The word.
    pub name: Spanned<String>,
    /// The arguments in parentheses.
    pub args: Vec<ArgExpr>,
    /// The axes in brackets.
    pub dims: Option<Vec<Spanned<Expr>>>,
}

/// The data section.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// `train csv("...")`.
    pub splits: Vec<SplitDecl>,
    /// `split by hash(key) train 80 val 10 test 10`.
    pub rule: Option<SplitRule>,
    /// `x numeric("pixel_*") |> standardize(fit=train)`.
    pub columns: Vec<Column>,
    /// `on test { x |> ... }`.
    pub overrides: Vec<Override>,
    /// `rows oversample(y, only=train)`.
    pub generated: Option<CallExpr>,
    /// The keyword.
    pub head: Head,
}

/// A place that equality ignores.
#[derive(Clone, Copy, Debug)]
pub struct Head(pub Span);

impl PartialEq for Head {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A split and the file that holds its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitDecl {
    /// `train`, `val`, `test` or `all`.
    pub name: Spanned<String>,
    /// `csv("path")`.
    pub source: CallExpr,
}

/// How the rows of one file are divided.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitRule {
    /// `hash(key)` or `column(name)`.
    pub by: CallExpr,
    /// `train 80 val 10 test 10`.
    pub shares: Vec<Setting>,
}

/// A group of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: Spanned<String>,
    /// `numeric(...)`, `category(...)`, `class(...)` or `target(...)`.
    pub source: CallExpr,
    /// `as [1, 8, 8]`.
    pub shape: Option<Spanned<Expr>>,
    /// The transforms.
    pub chain: Vec<CallExpr>,
}

/// A chain that replaces another on one split.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The split.
    pub split: Spanned<String>,
    /// The group of columns.
    pub group: Spanned<String>,
    /// The transforms.
    pub chain: Vec<CallExpr>,
}

/// A function of the spec's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// Its name.
    pub name: Spanned<String>,
    /// Its inputs, then its parameters.
    pub params: Vec<ParamDecl>,
    /// Its value.
    pub value: Spanned<Expr>,
    /// Its slope by the first input, if the spec gives one.
    pub slope: Option<Slope>,
}

/// The slope of a function of the spec's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Slope {
    /// `surrogate`: it stands in place of the derivative; else, `grad`, it is the derivative.
    pub surrogate: bool,
    /// The formula.
    pub formula: Spanned<Expr>,
}

impl Slope {
    /// The word that introduces it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        if self.surrogate { "surrogate" } else { "grad" }
    }
}

impl Own {
    /// The whole declaration.
    #[must_use]
    pub fn span(&self) -> Span {
        let end = self.slope.as_ref().map_or(self.value.span, |slope| slope.formula.span);
        self.name.span.to(self.value.span).to(end)
    }
}

/// A block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its name.
    pub name: Spanned<String>,
    /// Its parameters.
    pub params: Vec<ParamDecl>,
    /// Its statements.
    pub body: Body,
}

/// Statements.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// In order.
    pub statements: Vec<Statement>,
    /// Where the body begins.
    pub head: Head,
}

/// One statement of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// `fc1:`.
    pub label: Option<Spanned<String>>,
    /// What it does.
    pub action: Action,
    /// `<- a, b`; empty if the previous value flows in.
    pub from: Vec<Spanned<String>>,
    /// The whole statement up to any body.
    pub head: Head,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A statement that could not be read; that has been reported.
    Unreadable,
    /// An op or a block.
    Invoke(CallExpr),
    /// `repeat n as i { ... }`.
    Repeat {
        /// How often.
        count: Spanned<Expr>,
        /// The name of the index.
        index: Option<Spanned<String>>,
        /// What.
        body: Body,
    },
    /// `for i in list { ... }`.
    For {
        /// The name of the variable.
        variable: Spanned<String>,
        /// Its values.
        over: Spanned<Expr>,
        /// What.
        body: Body,
    },
    /// `residual { ... } shortcut when c { ... }`.
    Residual {
        /// The branch that is added.
        body: Body,
        /// What the input passes through before the sum.
        shortcut: Option<Shortcut>,
    },
}

/// The path beside a residual branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Shortcut {
    /// When it is taken; always, if there is no condition.
    pub when: Option<Spanned<Expr>>,
    /// What it does.
    pub body: Body,
}

/// The training set-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// `loss cross_entropy(out, y)`.
    pub loss: Option<CallExpr>,
    /// `l2 1e-4 on weights`.
    pub penalties: Vec<Penalty>,
    /// `adam(lr=1e-3)`.
    pub optimizer: Option<CallExpr>,
    /// `batch 64`, `epochs 20`, `seed 7`.
    pub settings: Vec<Setting>,
    /// The keyword.
    pub head: Head,
}

/// A term that is added to the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalty {
    /// `l1` or `l2`.
    pub kind: Spanned<String>,
    /// Its factor.
    pub factor: Spanned<Expr>,
    /// `weights` or `all`.
    pub on: Option<Spanned<String>>,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The name.
    pub name: Spanned<String>,
    /// The value.
    pub value: Spanned<Expr>,
}

/// A name with arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct CallExpr {
    /// What is called.
    pub name: Spanned<String>,
    /// With what.
    pub args: Vec<ArgExpr>,
    /// The whole call.
    pub head: Head,
}

impl CallExpr {
    /// The place of the whole call.
    #[must_use]
    pub fn span(&self) -> Span {
        self.head.0
    }
}

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgExpr {
    /// Its name, unless it is positional.
    pub name: Option<Spanned<String>>,
    /// Its value.
    pub value: Spanned<Expr>,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `64`.
    Int(i64),
    /// `1e-4`.
    Float(f64),
    /// `true`.
    Bool(bool),
    /// `"text"`.
    Str(String),
    /// A variable or a word.
    Name(String),
    /// `in`, the input of the enclosing body.
    Input,
    /// `[a, b]`.
    List(Vec<Spanned<Expr>>),
    /// `f(a, k=b)`.
    Call(CallExpr),
    /// `in.ch`.
    Field(Box<Spanned<Expr>>, Spanned<String>),
    /// `in.shape[1]`.
    Index(Box<Spanned<Expr>>, Box<Spanned<Expr>>),
    /// `-x`, `not x`.
    Unary(Unary, Box<Spanned<Expr>>),
    /// `a + b`.
    Binary(Spanned<Binary>, Box<Spanned<Expr>>, Box<Spanned<Expr>>),
    /// `a if c else b`: condition, then, else.
    Cond(Box<Spanned<Expr>>, Box<Spanned<Expr>>, Box<Spanned<Expr>>),
    /// What was written has been reported already; nothing more is said about it.
    Error,
}

impl Expr {
    /// Gives every part one place: where escapes moved the text, only the whole has one.
    pub fn relocate(&mut self, span: Span) {
        let all = |args: &mut [ArgExpr]| args.iter_mut().for_each(|arg| arg.relocate(span));
        match self {
            Self::Int(_) | Self::Float(_) | Self::Bool(_) | Self::Str(_) | Self::Name(_) => {}
            Self::Input | Self::Error => {}
            Self::List(items) => items.iter_mut().for_each(|item| relocate(item, span)),
            Self::Call(call) => {
                (call.name.span, call.head) = (span, Head(span));
                all(&mut call.args);
            }
            Self::Field(object, name) => {
                relocate(object, span);
                name.span = span;
            }
            Self::Index(object, index) => [object, index].into_iter().for_each(|part| relocate(part, span)),
            Self::Unary(_, operand) => relocate(operand, span),
            Self::Binary(op, left, right) => {
                op.span = span;
                [left, right].into_iter().for_each(|part| relocate(part, span));
            }
            Self::Cond(condition, then, otherwise) => {
                [condition, then, otherwise].into_iter().for_each(|part| relocate(part, span));
            }
        }
    }
}

/// Gives an expression and its parts one place.
pub fn relocate(expr: &mut Spanned<Expr>, span: Span) {
    expr.span = span;
    expr.value.relocate(span);
}

impl ArgExpr {
    fn relocate(&mut self, span: Span) {
        if let Some(name) = &mut self.name {
            name.span = span;
        }
        relocate(&mut self.value, span);
    }
}

impl TypeExpr {
    /// Gives every part one place.
    pub fn relocate(&mut self, span: Span) {
        self.name.span = span;
        self.args.iter_mut().for_each(|arg| arg.relocate(span));
        self.dims.iter_mut().flatten().for_each(|dim| relocate(dim, span));
    }
}

/// Operators of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `-`.
    Neg,
    /// `not`.
    Not,
}

/// Operators of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `or`.
    Or,
    /// `and`.
    And,
    /// `==`.
    Eq,
    /// `!=`.
    Ne,
    /// `<`.
    Lt,
    /// `<=`.
    Le,
    /// `>`.
    Gt,
    /// `>=`.
    Ge,
    /// `+`.
    Add,
    /// `-`.
    Sub,
    /// `*`.
    Mul,
    /// `/`: a real quotient.
    Div,
    /// `//`: rounded down.
    FloorDiv,
    /// `%`: with the sign of the divisor.
    Rem,
    /// `**`.
    Pow,
}

impl Binary {
    /// The operator as written, and how tightly it binds.
    #[must_use]
    pub const fn symbol(self) -> (&'static str, u8) {
        match self {
            Self::Or => ("or", 1),
            Self::And => ("and", 2),
            Self::Eq => ("==", 4),
            Self::Ne => ("!=", 4),
            Self::Lt => ("<", 4),
            Self::Le => ("<=", 4),
            Self::Gt => (">", 4),
            Self::Ge => (">=", 4),
            Self::Add => ("+", 5),
            Self::Sub => ("-", 5),
            Self::Mul => ("*", 6),
            Self::Div => ("/", 6),
            Self::FloorDiv => ("//", 6),
            Self::Rem => ("%", 6),
            Self::Pow => ("**", 8),
        }
    }
}
