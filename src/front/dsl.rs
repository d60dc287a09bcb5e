//! The model language, `.nn`. The only file that names pest.
//!
//! The grammar is in `grammar/model.pest`. This file turns sections, data, statements and calls into the tree; its submodules,
//! which see pest through it, do expressions and explain what could not be read.

mod explain;
mod expr;
mod property;

pub use expr::number;

use super::ast::{
    Action, ArgExpr, Block, Body, CallExpr, Column, Data, Declared, Expr, Head, Lost, Model, Override, Own,
    ParamDecl, Penalty, Setting, Shortcut, Slope, Spec, SplitDecl, SplitRule, Statement, Train, TypeExpr,
};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::source::{FileId, Span, Spanned};
use pest::Parser;
use pest::error::{Error as ParseError, ErrorVariant, InputLocation};
use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/model.pest"]
struct Grammar;

/// Parses a whole file.
pub fn parse(file: FileId, text: &str, out: &mut Diagnostics) -> Spec {
    let mut tree = Tree::new(file, 0, out);
    let mut spec = Spec::new(file, Notation::Dsl);
    match Grammar::parse(Rule::file, text) {
        Ok(mut pairs) => {
            if let Some(root) = pairs.next() {
                tree.file(root, &mut spec);
            }
        }
        Err(error) => tree.report(&error, text),
    }
    spec.lost = tree.lost;
    spec
}

/// Parses an expression that begins `base` bytes into the file.
pub fn expression(file: FileId, base: usize, text: &str, out: &mut Diagnostics) -> Spanned<Expr> {
    let whole = Span::new(file, base..base + text.len());
    let mut tree = Tree::new(file, base, out);
    match Grammar::parse(Rule::expr_only, text) {
        Ok(mut pairs) => match pairs.next().and_then(|root| first(&root, Rule::expr)) {
            Some(pair) => tree.expr(pair),
            None => Spanned::new(Expr::Error, whole),
        },
        Err(error) => {
            tree.report(&error, text);
            Spanned::new(Expr::Error, whole)
        }
    }
}

/// Parses a type, such as `f64[B, 3]`, that begins `base` bytes into the file.
pub fn type_expression(
    file: FileId,
    base: usize,
    text: &str,
    out: &mut Diagnostics,
) -> Option<Spanned<TypeExpr>> {
    let mut tree = Tree::new(file, base, out);
    match Grammar::parse(Rule::type_only, text) {
        Ok(mut pairs) => {
            pairs.next().and_then(|root| first(&root, Rule::type_)).map(|pair| tree.type_expr(pair))
        }
        Err(error) => {
            tree.report(&error, text);
            None
        }
    }
}

/// Whether a text can name something.
pub fn is_name(text: &str) -> bool {
    is_whole(Rule::ident, text)
}

/// Whether a text can be the path of a node.
pub fn is_reference(text: &str) -> bool {
    is_whole(Rule::reference, text)
}

fn is_whole(rule: Rule, text: &str) -> bool {
    Grammar::parse(rule, text).is_ok_and(|pairs| pairs.as_str().len() == text.len())
}

/// Whether a text is a plain word, or a word with arguments.
pub fn is_word_or_call(text: &str) -> bool {
    Grammar::parse(Rule::invoke_only, text).is_ok()
}

/// Turns pairs into tree nodes.
struct Tree<'a> {
    file: FileId,
    base: usize,
    out: &'a mut Diagnostics,
    explained: usize,
    lost: Lost,
}

impl<'a> Tree<'a> {
    fn new(file: FileId, base: usize, out: &'a mut Diagnostics) -> Self {
        Self { file, base, out, explained: 0, lost: Lost::default() }
    }
}

impl Tree<'_> {
    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        Span::new(self.file, self.base + span.start()..self.base + span.end())
    }

    fn word(&self, pair: &Pair<'_, Rule>) -> Spanned<String> {
        Spanned::new(pair.as_str().to_owned(), self.span(pair))
    }

    fn file(&mut self, root: Pair<'_, Rule>, spec: &mut Spec) {
        for pair in root.into_inner() {
            let head = Head(self.keyword(&pair));
            match pair.as_rule() {
                Rule::version => {
                    let number =
                        first(&pair, Rule::number).map(|n| (self.span(&n), n.as_str().parse().unwrap_or(-1)));
                    let version = number.map(|(span, value)| Spanned::new(value, span));
                    once(self.out, &mut spec.version, version, head, "spec", |v| v.span);
                }
                Rule::model => {
                    let model = self.model(pair);
                    once(self.out, &mut spec.model, model, head, "model", |m| m.name.span);
                }
                Rule::input => spec.inputs.extend(self.declared(pair)),
                Rule::target => spec.targets.extend(self.declared(pair)),
                Rule::data => {
                    let data = Some(self.data(pair, head));
                    once(self.out, &mut spec.data, data, head, "data", |d| d.head.0);
                }
                Rule::activation => spec.activations.extend(self.own(pair)),
                Rule::own_loss => spec.losses.extend(self.own(pair)),
                Rule::default => spec.defaults.extend(first(&pair, Rule::call).map(|call| self.call(call))),
                Rule::block => spec.blocks.extend(self.block(pair)),
                Rule::net => {
                    let net = first(&pair, Rule::body).map(|body| self.body(body));
                    once(self.out, &mut spec.net, net, head, "net", |n| n.head.0);
                }
                Rule::train => {
                    let train = Some(self.train(pair, head));
                    once(self.out, &mut spec.train, train, head, "train", |t| t.head.0);
                }
                Rule::expect => {
                    for part in pair.into_inner() {
                        match part.as_rule() {
                            Rule::setting => spec.expect.extend(self.setting(part)),
                            Rule::bad_clause => self.bad(&part, Rule::clause_only),
                            _ => {}
                        }
                    }
                }
                Rule::property => {
                    for part in pair.into_inner() {
                        match part.as_rule() {
                            Rule::promise => spec.properties.extend(self.property(part)),
                            Rule::bad_promise => self.bad(&part, Rule::promise_only),
                            _ => {}
                        }
                    }
                }
                Rule::bad_item => self.bad_section(&pair),
                _ => {}
            }
        }
    }

    /// The keyword that a section begins with.
    fn keyword(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = self.span(pair);
        let length = pair.as_str().find(|c: char| !c.is_alphanumeric()).unwrap_or(pair.as_str().len());
        Span { end: span.start + u32::try_from(length).unwrap_or(0), ..span }
    }

    fn model(&mut self, pair: Pair<'_, Rule>) -> Option<Model> {
        let name = self.word(&first(&pair, Rule::ident)?);
        Some(Model { name, params: self.params(&pair) })
    }

    fn params(&mut self, owner: &Pair<'_, Rule>) -> Vec<ParamDecl> {
        let Some(params) = first(owner, Rule::params) else { return Vec::new() };
        let mut list = Vec::new();
        for param in children(params, Rule::param) {
            let Some(name) = first(&param, Rule::ident).map(|name| self.word(&name)) else { continue };
            let has_default = first(&param, Rule::assign).is_some();
            let mut exprs =
                param.into_inner().filter(|p| p.as_rule() == Rule::expr).collect::<Vec<_>>().into_iter();
            let default = if has_default { exprs.next().map(|e| self.expr(e)) } else { None };
            let low = exprs.next().map(|e| self.expr(e));
            let high = exprs.next().map(|e| self.expr(e));
            list.push(ParamDecl { name, default, range: low.zip(high) });
        }
        list
    }

    fn declared(&mut self, pair: Pair<'_, Rule>) -> Option<Declared> {
        let name = self.word(&first(&pair, Rule::ident)?);
        let kind = self.type_expr(first(&pair, Rule::type_)?);
        let range = first(&pair, Rule::range).and_then(|range| {
            let mut ends = children(range, Rule::expr);
            Some((self.expr(ends.next()?), self.expr(ends.next()?)))
        });
        Some(Declared { name, kind, range, chain: self.chain(&pair) })
    }

    fn type_expr(&mut self, pair: Pair<'_, Rule>) -> Spanned<TypeExpr> {
        let span = self.span(&pair);
        let mut kind = TypeExpr { name: Spanned::new(String::new(), span), args: Vec::new(), dims: None };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => kind.name = self.word(&part),
                Rule::arguments => kind.args = self.arguments(part),
                Rule::list => kind.dims = Some(children(part, Rule::expr).map(|e| self.expr(e)).collect()),
                _ => {}
            }
        }
        Spanned::new(kind, span)
    }

    fn data(&mut self, pair: Pair<'_, Rule>, head: Head) -> Data {
        let mut data = Data {
            splits: Vec::new(),
            rule: None,
            columns: Vec::new(),
            overrides: Vec::new(),
            generated: None,
            head,
        };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::split_rule => {
                    let Some(by) = first(&part, Rule::call).map(|call| self.call(call)) else { continue };
                    let shares: Vec<Setting> =
                        children(part, Rule::share).filter_map(|s| self.setting(s)).collect();
                    let place = by.head;
                    let rule = Some(SplitRule { by, shares });
                    once(self.out, &mut data.rule, rule, place, "split by", |r| r.by.span());
                }
                Rule::override_ => {
                    let Some(split) = first(&part, Rule::ident).map(|name| self.word(&name)) else {
                        continue;
                    };
                    for replacement in children(part, Rule::replacement) {
                        let Some(group) = first(&replacement, Rule::ident).map(|name| self.word(&name))
                        else {
                            continue;
                        };
                        let chain = self.chain(&replacement);
                        data.overrides.push(Override { split: split.clone(), group, chain });
                    }
                }
                Rule::generated => {
                    let call = first(&part, Rule::call).map(|call| self.call(call));
                    let place = Head(self.span(&part));
                    once(self.out, &mut data.generated, call, place, "rows", CallExpr::span);
                }
                Rule::column => {
                    let name = first(&part, Rule::ident).map(|name| self.word(&name));
                    let source = first(&part, Rule::call).map(|call| self.call(call));
                    let Some((name, source)) = name.zip(source) else { continue };
                    let shape = first(&part, Rule::expr).map(|shape| self.expr(shape));
                    let chain = self.chain(&part);
                    if source.name.value == "csv" {
                        if let Some(place) = shape.map(|s| s.span).or(chain.first().map(CallExpr::span)) {
                            let message =
                                format!("`{}` is a split: `csv` names its file and nothing else", name.value);
                            self.out.push(
                                Diagnostic::new(&rules::SYNTAX, place, message)
                                    .help("shapes and transforms belong to the columns"),
                            );
                        }
                        data.splits.push(SplitDecl { name, source });
                        continue;
                    }
                    data.columns.push(Column { name, source, shape, chain });
                }
                Rule::bad_data => self.bad(&part, Rule::data_only),
                _ => {}
            }
        }
        data
    }

    fn chain(&mut self, owner: &Pair<'_, Rule>) -> Vec<CallExpr> {
        let Some(chain) = first(owner, Rule::chain) else { return Vec::new() };
        children(chain, Rule::invoke).map(|call| self.call(call)).collect()
    }

    fn own(&mut self, pair: Pair<'_, Rule>) -> Option<Own> {
        let name = self.word(&first(&pair, Rule::ident)?);
        let params = self.params(&pair);
        let value = self.expr(first(&pair, Rule::expr)?);
        let slope = first(&pair, Rule::own_slope).and_then(|slope| {
            let surrogate = first(&slope, Rule::kw_surrogate).is_some();
            Some(Slope { surrogate, formula: self.expr(first(&slope, Rule::expr)?) })
        });
        Some(Own { name, params, value, slope })
    }

    fn block(&mut self, pair: Pair<'_, Rule>) -> Option<Block> {
        let name = self.word(&first(&pair, Rule::ident)?);
        let params = self.params(&pair);
        Some(Block { name, params, body: self.body(first(&pair, Rule::body)?) })
    }

    fn body(&mut self, pair: Pair<'_, Rule>) -> Body {
        let span = self.span(&pair);
        let mut statements = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::statement => statements.extend(self.statement(part)),
                Rule::bad_statement => {
                    self.bad(&part, Rule::statement_only);
                    let head = Head(self.span(&part).head());
                    let action = Action::Unreadable;
                    statements.push(Statement {
                        label: self.lost_label(&part),
                        action,
                        from: Vec::new(),
                        head,
                    });
                }
                _ => {}
            }
        }
        Body { statements, head: Head(Span { end: span.start + 1, ..span }) }
    }

    fn statement(&mut self, pair: Pair<'_, Rule>) -> Option<Statement> {
        let mut label = None;
        let mut action = None;
        let mut from = Vec::new();
        let head = self.head(&pair);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::label => label = first(&part, Rule::ident).map(|name| self.word(&name)),
                Rule::invoke => action = Some(Action::Invoke(self.call(part))),
                Rule::repeat => {
                    let count = first(&part, Rule::expr).map(|e| self.expr(e));
                    let index = first(&part, Rule::ident).map(|name| self.word(&name));
                    let body = first(&part, Rule::body).map(|body| self.body(body));
                    action = count.zip(body).map(|(count, body)| Action::Repeat { count, index, body });
                }
                Rule::for_loop => {
                    let variable = first(&part, Rule::ident).map(|name| self.word(&name));
                    let over = first(&part, Rule::expr).map(|e| self.expr(e));
                    let body = first(&part, Rule::body).map(|body| self.body(body));
                    let parts = variable.zip(over).zip(body);
                    action = parts.map(|((variable, over), body)| Action::For { variable, over, body });
                }
                Rule::residual => {
                    let body = first(&part, Rule::body).map(|body| self.body(body));
                    let shortcut = self.shortcut_of(&part);
                    action = body.map(|body| Action::Residual { body, shortcut });
                }
                Rule::wiring => from = children(part, Rule::reference).map(|r| self.word(&r)).collect(),
                _ => {}
            }
        }
        Some(Statement { label, action: action?, from, head: Head(head) })
    }

    /// The name that an unreadable statement was to have.
    fn lost_label(&self, statement: &Pair<'_, Rule>) -> Option<Spanned<String>> {
        let (name, _) = statement.as_str().split_once(':')?;
        let name = name.trim_end();
        let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let start = self.span(statement).range().start;
        word.then(|| Spanned::new(name.to_owned(), Span::new(self.file, start..start + name.len())))
    }

    /// A statement up to the body that it opens, if it opens one: a long block is not underlined as a whole.
    fn head(&self, statement: &Pair<'_, Rule>) -> Span {
        let text = statement.as_str();
        let start = statement.as_span().start();
        let body = statement.clone().into_inner().find_map(|part| first(&part, Rule::body));
        let length = body.map_or(text.len(), |body| body.as_span().start() - start);
        let start = self.base + start;
        Span::new(self.file, start..start + text[..length].trim_end().len())
    }

    /// The shortcut of a residual; a faulty one is reported and the branch kept.
    fn shortcut_of(&mut self, residual: &Pair<'_, Rule>) -> Option<Shortcut> {
        if let Some(bad) = first(residual, Rule::bad_shortcut) {
            self.bad(&bad, Rule::shortcut_only);
        }
        first(residual, Rule::shortcut).and_then(|shortcut| self.shortcut(&shortcut))
    }

    fn shortcut(&mut self, pair: &Pair<'_, Rule>) -> Option<Shortcut> {
        let when = first(pair, Rule::expr).map(|e| self.expr(e));
        Some(Shortcut { when, body: self.body(first(pair, Rule::body)?) })
    }

    fn train(&mut self, pair: Pair<'_, Rule>, head: Head) -> Train {
        let mut train =
            Train { loss: None, penalties: Vec::new(), optimizer: None, settings: Vec::new(), head };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::penalty => {
                    let kind = first(&part, Rule::kw_penalty).map(|k| self.word(&k));
                    let factor = first(&part, Rule::expr).map(|e| self.expr(e));
                    let on = first(&part, Rule::ident).map(|name| self.word(&name));
                    let parts = kind.zip(factor);
                    train.penalties.extend(parts.map(|(kind, factor)| Penalty { kind, factor, on }));
                }
                Rule::optimizer => {
                    let call = first(&part, Rule::call).map(|call| self.call(call));
                    let place = Head(self.span(&part));
                    once(self.out, &mut train.optimizer, call, place, "the optimiser", CallExpr::span);
                }
                Rule::setting => {
                    let Some(setting) = self.setting(part) else { continue };
                    match (setting.name.value.as_str(), &setting.value.value) {
                        ("loss", Expr::Call(call)) => {
                            let place = Head(setting.name.span);
                            once(
                                self.out,
                                &mut train.loss,
                                Some(call.clone()),
                                place,
                                "loss",
                                CallExpr::span,
                            );
                        }
                        _ => train.settings.push(setting),
                    }
                }
                Rule::bad_clause => self.bad(&part, Rule::clause_only),
                _ => {}
            }
        }
        train
    }

    fn setting(&mut self, pair: Pair<'_, Rule>) -> Option<Setting> {
        let name = self.word(&first(&pair, Rule::ident)?);
        Some(Setting { name, value: self.expr(first(&pair, Rule::expr)?) })
    }

    fn call(&mut self, pair: Pair<'_, Rule>) -> CallExpr {
        let head = Head(self.span(&pair));
        let mut call = CallExpr { name: Spanned::new(String::new(), head.0), args: Vec::new(), head };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => call.name = self.word(&part),
                Rule::arguments => call.args = self.arguments(part),
                _ => {}
            }
        }
        call
    }

    fn arguments(&mut self, pair: Pair<'_, Rule>) -> Vec<ArgExpr> {
        let mut args = Vec::new();
        for arg in children(pair, Rule::arg) {
            let name = first(&arg, Rule::ident).map(|name| self.word(&name));
            if let Some(value) = first(&arg, Rule::expr).map(|e| self.expr(e)) {
                args.push(ArgExpr { name, value });
            }
        }
        args
    }

    fn list(&mut self, pair: Pair<'_, Rule>) -> Spanned<Expr> {
        let span = self.span(&pair);
        Spanned::new(Expr::List(children(pair, Rule::expr).map(|e| self.expr(e)).collect()), span)
    }
}

/// Fills a section that may occur once.
fn once<T>(
    out: &mut Diagnostics,
    slot: &mut Option<T>,
    value: Option<T>,
    place: Head,
    what: &str,
    span: impl Fn(&T) -> Span,
) {
    match slot {
        Some(first) => {
            let message = format!("`{what}` is given twice");
            out.push(
                Diagnostic::new(&rules::GIVEN_TWICE, place.0, message).label(span(first), "first given here"),
            );
        }
        None => *slot = value,
    }
}

fn first<'i>(pair: &Pair<'i, Rule>, rule: Rule) -> Option<Pair<'i, Rule>> {
    pair.clone().into_inner().find(|inner| inner.as_rule() == rule)
}

fn children(pair: Pair<'_, Rule>, rule: Rule) -> impl Iterator<Item = Pair<'_, Rule>> {
    pair.into_inner().filter(move |inner| inner.as_rule() == rule)
}
