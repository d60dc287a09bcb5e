//! Statements of the YAML notation: `- relu`, `- {id: fc1, linear: {out: 64}, from: x}`, loops, residuals and blocks.

use super::super::ast::{Action, Block, Body, CallExpr, Head, Shortcut, Statement};
use super::super::dsl;
use super::tree::{Node, Value};
use super::{Decoder, Pairs};
use crate::diag::{Diagnostic, rules};
use crate::ops::OpKind;
use crate::source::Spanned;

/// The keys of a statement that are not the name of an op.
const STRUCTURE: [&str; 8] = ["id", "from", "repeat", "as", "for", "body", "residual", "shortcut"];

impl Decoder<'_> {
    pub(super) fn block(&mut self, name: &Spanned<String>, node: &Node) -> Option<Block> {
        self.name(name);
        let pairs = self.map(&name.value, node);
        self.unknown(&name.value, pairs, &["params", "body"]);
        let params = Self::get(pairs, "params").map_or(Vec::new(), |node| self.params(node));
        let Some(body) = Self::get(pairs, "body") else {
            let message = format!("block `{}` has no `body`", name.value);
            self.push(Diagnostic::new(&rules::MISSING, name.span, message));
            return None;
        };
        Some(Block { name: name.clone(), params, body: self.body("body", body) })
    }

    pub(super) fn body(&mut self, what: &str, node: &Node) -> Body {
        let statements = match &node.value {
            Value::Seq(items) => items.iter().map(|item| self.statement(item)).collect(),
            _ => {
                self.wrong(what, "a list of statements", node);
                self.lost.everything();
                Vec::new()
            }
        };
        Body { statements, head: Head(node.span.head()) }
    }

    /// A statement; one that cannot be read leaves a hole with its name.
    fn statement(&mut self, node: &Node) -> Statement {
        self.readable(node).unwrap_or_else(|| {
            self.lose(node);
            let label = match &node.value {
                Value::Map(pairs) => Self::get(pairs, "id").and_then(|id| match &id.value {
                    Value::Text(name, _) => Some(Spanned::new(name.clone(), id.span)),
                    _ => None,
                }),
                _ => None,
            };
            Statement { label, action: Action::Unreadable, from: Vec::new(), head: Head(Self::head(node)) }
        })
    }

    fn readable(&mut self, node: &Node) -> Option<Statement> {
        let head = Head(Self::head(node));
        match &node.value {
            Value::Text(name, _) => {
                let name = Spanned::new(name.clone(), node.span);
                let action = Action::Invoke(CallExpr { name, args: Vec::new(), head: Head(node.span) });
                Some(Statement { label: None, action, from: Vec::new(), head })
            }
            Value::Map(pairs) => {
                let label = Self::get(pairs, "id").and_then(|node| self.named("id", node));
                let from = Self::get(pairs, "from").map_or(Vec::new(), |node| self.references(node));
                let (action, head) = self.action(node, pairs)?;
                Some(Statement { label, action, from, head })
            }
            _ => {
                self.wrong("a statement", "the name of an op, or a mapping from it to its arguments", node);
                None
            }
        }
    }

    fn references(&mut self, node: &Node) -> Vec<Spanned<String>> {
        let names: Vec<Spanned<String>> = match &node.value {
            Value::Seq(items) => items.iter().filter_map(|item| self.word("from", item)).collect(),
            _ => self.word("from", node).into_iter().collect(),
        };
        for name in names.iter().filter(|name| !dsl::is_reference(&name.value)) {
            let message = format!("`{}` is not the path of a node", name.value);
            self.push(
                Diagnostic::new(&rules::SYNTAX, name.span, message).help("a path is like stage[1].conv2"),
            );
        }
        names
    }

    fn action(&mut self, node: &Node, pairs: Pairs<'_>) -> Option<(Action, Head)> {
        let key = |name: &str| pairs.iter().find(|(key, _)| key.value == name);
        let known = |this: &mut Self, names: &[&str]| this.unknown("this statement", pairs, names);
        if let Some((word, branch)) = key("residual") {
            known(self, &["id", "from", "residual", "shortcut"]);
            let body = self.body("residual", branch);
            let shortcut = key("shortcut").and_then(|(_, node)| self.shortcut(node));
            return Some((Action::Residual { body, shortcut }, Head(word.span)));
        }
        if let Some((word, count)) = key("repeat") {
            known(self, &["id", "from", "repeat", "as", "body"]);
            let count = self.expr(count);
            let index = key("as").and_then(|(_, node)| self.named("as", node));
            let body = self.loop_body(word, pairs)?;
            let head = Head(word.span.to(count.span));
            return Some((Action::Repeat { count, index, body }, head));
        }
        if let Some((word, over)) = key("for") {
            known(self, &["id", "from", "for", "body"]);
            let [(variable, over)] = self.map("for", over) else {
                let message = "`for` takes one variable and its values";
                self.push(
                    Diagnostic::new(&rules::WRONG_TYPE, over.span, message).help("write for: {i: =range(4)}"),
                );
                return None;
            };
            let head = Head(word.span.to(over.span));
            self.name(variable);
            let over = self.expr(over);
            let body = self.loop_body(word, pairs)?;
            return Some((Action::For { variable: variable.clone(), over, body }, head));
        }
        let mut ops =
            pairs.iter().filter(|(key, _)| !STRUCTURE.contains(&key.value.as_str()) && key.value != "<<");
        let Some((name, value)) = ops.next() else {
            self.push(
                Diagnostic::new(&rules::MISSING, node.span, "a statement without an op")
                    .help("write the op as a key: {id: fc1, linear: {out: 64}}"),
            );
            return None;
        };
        for (extra, _) in ops {
            let message = format!("a second op `{}` in one statement", extra.value);
            self.push(
                Diagnostic::new(&rules::UNKNOWN_KEY, extra.span, message)
                    .label(name.span, "the op of this statement")
                    .help(if OpKind::find(&extra.value).is_some() {
                        format!("write `- {}` as a statement of its own", extra.value)
                    } else {
                        format!("arguments stand inside the op: {{{}: {{{}: ...}}}}", name.value, extra.value)
                    }),
            );
        }
        for (stray, _) in
            pairs.iter().filter(|(key, _)| ["as", "body", "shortcut"].contains(&key.value.as_str()))
        {
            let message =
                format!("`{}` belongs to a loop or a residual, not to `{}`", stray.value, name.value);
            self.push(Diagnostic::new(&rules::UNKNOWN_KEY, stray.span, message));
        }
        let args = self.args(value, false);
        let span = name.span.to(value.span);
        Some((Action::Invoke(CallExpr { name: name.clone(), args, head: Head(span) }), Head(span)))
    }

    fn loop_body(&mut self, word: &Spanned<String>, pairs: Pairs<'_>) -> Option<Body> {
        let Some(body) = Self::get(pairs, "body") else {
            let message = format!("`{}` has no `body`", word.value);
            self.push(Diagnostic::new(&rules::MISSING, word.span, message));
            return None;
        };
        Some(self.body("body", body))
    }

    fn shortcut(&mut self, node: &Node) -> Option<Shortcut> {
        let pairs = self.map("shortcut", node);
        self.unknown("shortcut", pairs, &["when", "body"]);
        let when = Self::get(pairs, "when").map(|node| self.expr(node));
        let Some(body) = Self::get(pairs, "body") else {
            self.push(Diagnostic::new(&rules::MISSING, node.span, "`shortcut` has no `body`"));
            return None;
        };
        Some(Shortcut { when, body: self.body("body", body) })
    }
}
