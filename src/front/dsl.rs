//! The model language, `.nn`. The only file that names pest.
//!
//! The grammar is in `grammar/model.pest`. A faulty statement is swallowed by a `bad_…` rule and parsed again with the
//! rule that it should have followed; the furthest position that parse reached is where the mistake is.

use super::ast::{
    Action, ArgExpr, Binary, Block, Body, CallExpr, Column, Data, Declared, Expr, Head, Model, Override,
    ParamDecl, Penalty, Setting, Shortcut, Spec, SplitDecl, SplitRule, Statement, Train, TypeExpr, Unary,
};
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, did_you_mean, rules};
use crate::source::{FileId, Span, Spanned};
use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::sync::OnceLock;

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/model.pest"]
struct Grammar;

/// An expression may have this many operators.
const MAX_OPERATORS: usize = 1_000;
/// More faulty statements than this are counted and not explained.
const MAX_EXPLAINED: usize = 100;
/// The words that begin a section.
const SECTIONS: [&str; 10] =
    ["spec", "model", "input", "target", "data", "default", "block", "net", "train", "expect"];

/// Parses a whole file.
pub fn parse(file: FileId, text: &str, out: &mut Diagnostics) -> Spec {
    let mut tree = Tree { file, base: 0, out, explained: 0 };
    let mut spec = Spec::new(file, Notation::Dsl);
    match Grammar::parse(Rule::file, text) {
        Ok(mut pairs) => {
            if let Some(root) = pairs.next() {
                tree.file(root, &mut spec);
            }
        }
        Err(error) => tree.report(&error),
    }
    spec
}

/// Parses an expression that begins `base` bytes into the file.
pub fn expression(file: FileId, base: usize, text: &str, out: &mut Diagnostics) -> Spanned<Expr> {
    let whole = Span::new(file, base..base + text.len());
    let mut tree = Tree { file, base, out, explained: 0 };
    match Grammar::parse(Rule::expr_only, text) {
        Ok(mut pairs) => match pairs.next().and_then(|root| first(&root, Rule::expr)) {
            Some(pair) => tree.expr(pair),
            None => Spanned::new(Expr::Error, whole),
        },
        Err(error) => {
            tree.report(&error);
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
    let mut tree = Tree { file, base, out, explained: 0 };
    match Grammar::parse(Rule::type_only, text) {
        Ok(mut pairs) => {
            pairs.next().and_then(|root| first(&root, Rule::type_)).map(|pair| tree.type_expr(pair))
        }
        Err(error) => {
            tree.report(&error);
            None
        }
    }
}

/// Whether a text is a plain word, or a word with arguments.
pub fn is_word_or_call(text: &str) -> bool {
    Grammar::parse(Rule::invoke_only, text).is_ok()
}

fn pratt() -> &'static PrattParser<Rule> {
    static PARSER: OnceLock<PrattParser<Rule>> = OnceLock::new();
    PARSER.get_or_init(|| {
        let left = |rule| Op::infix(rule, Assoc::Left);
        PrattParser::new()
            .op(left(Rule::kw_or))
            .op(left(Rule::kw_and))
            .op(Op::prefix(Rule::kw_not))
            .op(left(Rule::eq)
                | left(Rule::ne)
                | left(Rule::lt)
                | left(Rule::le)
                | left(Rule::gt)
                | left(Rule::ge))
            .op(left(Rule::add) | left(Rule::sub))
            .op(left(Rule::mul) | left(Rule::div) | left(Rule::floor_div) | left(Rule::rem))
            .op(Op::prefix(Rule::neg))
            .op(Op::infix(Rule::pow, Assoc::Right))
            .op(Op::postfix(Rule::field) | Op::postfix(Rule::index))
    })
}

/// Turns pairs into tree nodes.
struct Tree<'a> {
    file: FileId,
    base: usize,
    out: &'a mut Diagnostics,
    explained: usize,
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
        Some(Declared { name, kind, chain: self.chain(&pair) })
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
        let mut data =
            Data { splits: Vec::new(), rule: None, columns: Vec::new(), overrides: Vec::new(), head };
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
                Rule::column => {
                    let name = first(&part, Rule::ident).map(|name| self.word(&name));
                    let source = first(&part, Rule::call).map(|call| self.call(call));
                    let Some((name, source)) = name.zip(source) else { continue };
                    if source.name.value == "csv" {
                        data.splits.push(SplitDecl { name, source });
                        continue;
                    }
                    let shape = first(&part, Rule::list).map(|list| self.list(list));
                    let chain = self.chain(&part);
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
                Rule::bad_statement => self.bad(&part, Rule::statement_only),
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

    /// An expression, unless it has more operators than recursion should follow.
    fn expr(&mut self, pair: Pair<'_, Rule>) -> Spanned<Expr> {
        let span = self.span(&pair);
        let operators = pair.clone().into_inner().flatten().filter(|p| is_operator(p.as_rule())).count();
        if operators > MAX_OPERATORS {
            let message = format!("an expression with {operators} operators; the limit is {MAX_OPERATORS}");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, Span { end: span.start + 1, ..span }, message));
            return Spanned::new(Expr::Error, span);
        }
        self.bounded_expr(pair)
    }

    fn bounded_expr(&mut self, pair: Pair<'_, Rule>) -> Spanned<Expr> {
        let span = self.span(&pair);
        let mut tiers = Vec::new();
        let mut otherwise = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::tier => tiers.push(self.tier(part.into_inner())),
                Rule::expr => otherwise = Some(self.bounded_expr(part)),
                _ => {}
            }
        }
        let mut tiers = tiers.into_iter();
        match (tiers.next(), tiers.next(), otherwise) {
            (Some(then), Some(condition), Some(otherwise)) => {
                Spanned::new(Expr::Cond(Box::new(condition), Box::new(then), Box::new(otherwise)), span)
            }
            (Some(only), ..) => only,
            _ => Spanned::new(Expr::Error, span),
        }
    }

    fn tier(&mut self, pairs: Pairs<'_, Rule>) -> Spanned<Expr> {
        let tree = std::cell::RefCell::new(self);
        pratt()
            .map_primary(|pair| tree.borrow_mut().atom(pair))
            .map_prefix(|op, operand| {
                let span = tree.borrow().span(&op).to(operand.span);
                let kind = if op.as_rule() == Rule::neg { Unary::Neg } else { Unary::Not };
                Spanned::new(Expr::Unary(kind, Box::new(operand)), span)
            })
            .map_postfix(|operand, op| {
                let mut tree = tree.borrow_mut();
                let span = operand.span.to(tree.span(&op));
                let value = if let Some(name) = first(&op, Rule::ident) {
                    Expr::Field(Box::new(operand), tree.word(&name))
                } else if let Some(index) = first(&op, Rule::expr) {
                    Expr::Index(Box::new(operand), Box::new(tree.bounded_expr(index)))
                } else {
                    Expr::Error
                };
                Spanned::new(value, span)
            })
            .map_infix(|left, op, right| {
                let span = left.span.to(right.span);
                let kind = Spanned::new(binary(op.as_rule()), tree.borrow().span(&op));
                Spanned::new(Expr::Binary(kind, Box::new(left), Box::new(right)), span)
            })
            .parse(pairs)
    }

    fn atom(&mut self, pair: Pair<'_, Rule>) -> Spanned<Expr> {
        let span = self.span(&pair);
        let text = pair.as_str();
        let value = match pair.as_rule() {
            Rule::number => self.number(text, span),
            Rule::string => Expr::Str(unescape(text)),
            Rule::kw_true => Expr::Bool(true),
            Rule::kw_false => Expr::Bool(false),
            Rule::kw_in => Expr::Input,
            Rule::ident => Expr::Name(text.to_owned()),
            Rule::call => Expr::Call(self.call(pair)),
            Rule::list => return self.list(pair),
            Rule::paren => {
                return first(&pair, Rule::expr)
                    .map_or(Spanned::new(Expr::Error, span), |e| self.bounded_expr(e));
            }
            _ => Expr::Error,
        };
        Spanned::new(value, span)
    }

    fn number(&mut self, text: &str, span: Span) -> Expr {
        number(text).unwrap_or_else(|| {
            let message = format!("the number {text} does not fit into 64 bits");
            self.out.push(Diagnostic::new(&rules::OUT_OF_RANGE, span, message));
            Expr::Error
        })
    }

    /// Explains a faulty statement by parsing it alone. If the mistake lies before the body that the statement opens, the
    /// body is read for its own mistakes.
    fn bad(&mut self, pair: &Pair<'_, Rule>, rule: Rule) {
        if !self.may_explain(self.span(pair)) {
            return;
        }
        let text = pair.as_str().trim_end();
        let span = self.span(pair);
        let outer = std::mem::replace(&mut self.base, span.start as usize);
        match Grammar::parse(rule, text) {
            Err(error) => {
                self.report(&error);
                let at = match error.location {
                    InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
                };
                if let Some(brace) = text.find('{').filter(|&brace| brace > at) {
                    self.base += brace;
                    if let Some(root) =
                        Grammar::parse(Rule::body_only, &text[brace..]).ok().and_then(|mut p| p.next())
                    {
                        first(&root, Rule::body).map(|body| self.body(body));
                    }
                }
            }
            // The statement is fine by itself: what is wrong is what stands behind it on its line.
            Ok(_) => self.out.push(Diagnostic::new(&rules::SYNTAX, span, "one statement a line")),
        }
        self.base = outer;
    }

    /// Counts the mistakes that are explained; a hostile file has a hundred thousand.
    fn may_explain(&mut self, place: Span) -> bool {
        self.explained += 1;
        if self.explained == MAX_EXPLAINED + 1 {
            let message =
                format!("more than {MAX_EXPLAINED} statements cannot be read; the rest is not explained");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, place.head(), message));
        }
        self.explained <= MAX_EXPLAINED
    }

    fn bad_section(&mut self, pair: &Pair<'_, Rule>) {
        let text = pair.as_str();
        let span = self.span(pair);
        let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let rule = match word.as_str() {
            "spec" => Rule::version_only,
            "model" => Rule::model_only,
            "input" => Rule::input_only,
            "target" => Rule::target_only,
            "data" => Rule::data_sec_only,
            "default" => Rule::default_only,
            "block" => Rule::block_only,
            "net" => Rule::net_only,
            "train" => Rule::train_only,
            "expect" => Rule::expect_only,
            _ => {
                if self.may_explain(span) {
                    let width = word.len().max(text.chars().next().map_or(0, char::len_utf8));
                    let place = Span::new(self.file, span.range().start..span.range().start + width);
                    let near = did_you_mean(&word, SECTIONS);
                    let known = format!("a section is one of {}", SECTIONS.join(", "));
                    let what = if word.is_empty() {
                        "a section begins with a word".to_owned()
                    } else {
                        format!("unknown section `{word}`")
                    };
                    self.out.push(
                        Diagnostic::new(&rules::UNKNOWN_KEY, place, what)
                            .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
                    );
                }
                return;
            }
        };
        self.bad(pair, rule);
    }

    fn report(&mut self, error: &pest::error::Error<Rule>) {
        let (start, end) = match error.location {
            InputLocation::Pos(at) => (at, at),
            InputLocation::Span(range) => range,
        };
        let span = Span::new(self.file, self.base + start..self.base + end);
        let diagnostic = match &error.variant {
            ErrorVariant::ParsingError { positives, .. } => {
                Diagnostic::new(&rules::SYNTAX, span, format!("expected {}", expected(positives)))
            }
            ErrorVariant::CustomError { message } if message.contains("limit") => {
                Diagnostic::new(&rules::TOO_LARGE, span, "the text nests too deeply to be read")
            }
            ErrorVariant::CustomError { message } => Diagnostic::new(&rules::SYNTAX, span, message.clone()),
        };
        self.out.push(diagnostic);
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

/// Reads an integer or real literal with `_` separators; `None` if an integer does not fit.
pub fn number(text: &str) -> Option<Expr> {
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    if digits.contains(['.', 'e', 'E']) {
        return digits.parse().ok().filter(|x: &f64| x.is_finite()).map(Expr::Float);
    }
    digits.parse().ok().map(Expr::Int)
}

fn unescape(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
}

fn is_operator(rule: Rule) -> bool {
    matches!(rule, Rule::neg | Rule::kw_not | Rule::field | Rule::index | Rule::kw_if)
        || infix(rule).is_some()
}

fn infix(rule: Rule) -> Option<Binary> {
    Some(match rule {
        Rule::kw_or => Binary::Or,
        Rule::kw_and => Binary::And,
        Rule::eq => Binary::Eq,
        Rule::ne => Binary::Ne,
        Rule::lt => Binary::Lt,
        Rule::le => Binary::Le,
        Rule::gt => Binary::Gt,
        Rule::ge => Binary::Ge,
        Rule::add => Binary::Add,
        Rule::sub => Binary::Sub,
        Rule::mul => Binary::Mul,
        Rule::div => Binary::Div,
        Rule::floor_div => Binary::FloorDiv,
        Rule::rem => Binary::Rem,
        Rule::pow => Binary::Pow,
        _ => return None,
    })
}

fn binary(rule: Rule) -> Binary {
    infix(rule).unwrap_or_else(|| unreachable!("internal: {rule:?} is not an operator"))
}

/// What may stand at a place, in words. What may always follow an expression (an operator, `.`, `[`) is left out unless
/// nothing else may stand there.
fn expected(positives: &[Rule]) -> String {
    let behind_a_value = positives.contains(&Rule::dot);
    let mut words: Vec<&str> = Vec::new();
    for &rule in positives {
        let noise = is_operator(rule) || (behind_a_value && matches!(rule, Rule::dot | Rule::lbrack));
        let text = word(rule);
        if !noise && !text.is_empty() && !words.contains(&text) {
            words.push(text);
        }
    }
    match words.as_slice() {
        [] if behind_a_value => "an operator or the end of the line".to_owned(),
        [] => "the end of the line".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// A rule in words; empty for rules that say nothing to a reader.
fn word(rule: Rule) -> &'static str {
    match rule {
        Rule::ident | Rule::type_ | Rule::label => "a name",
        Rule::number => "a number",
        Rule::string => "a text in quotation marks",
        Rule::lparen | Rule::arguments | Rule::params | Rule::paren => "`(`",
        Rule::rparen => "`)`",
        Rule::lbrack | Rule::list => "`[`",
        Rule::rbrack => "`]`",
        Rule::lbrace | Rule::body => "`{`",
        Rule::rbrace => "`}`",
        Rule::comma => "`,`",
        Rule::colon => "`:`",
        Rule::assign => "`=`",
        Rule::arrow | Rule::wiring => "`<-`",
        Rule::pipe | Rule::chain => "`|>`",
        Rule::dots => "`..`",
        Rule::dot => "`.`",
        Rule::expr | Rule::tier | Rule::arg | Rule::call => "a value",
        Rule::invoke | Rule::statement | Rule::reference => "the name of an op, a block or a node",
        Rule::repeat | Rule::kw_repeat => "`repeat`",
        Rule::for_loop | Rule::kw_for => "`for`",
        Rule::residual | Rule::kw_residual => "`residual`",
        Rule::shortcut | Rule::kw_shortcut => "`shortcut`",
        Rule::kw_as => "`as`",
        Rule::kw_else => "`else`",
        Rule::kw_in => "`in`",
        Rule::kw_when => "`when`",
        Rule::kw_by => "`by`",
        Rule::kw_on => "`on`",
        Rule::share | Rule::setting | Rule::clause => "a name with a value",
        Rule::column | Rule::split_rule | Rule::override_ => "a split or a column",
        Rule::param => "a parameter",
        Rule::EOI | Rule::stop => "the end of the statement",
        _ => "",
    }
}
