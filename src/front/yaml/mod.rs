//! The YAML notation, `.nn.yaml`.
//!
//! Contract: a closed schema, one property per op, expressions begin with `=`. Every mistake of a file is reported with the
//! span of the key or value that it concerns; duplicate keys, merge keys, tags and scalars that other readers read
//! differently are reported whatever stands around them.

mod net;
mod own;
mod properties;
mod sections;
#[cfg(test)]
mod tests;
mod tree;

use super::ast::{ArgExpr, CallExpr, Expr, Head, Lost, Spec, Unary, relocate};
use super::dsl;
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Severity, did_you_mean, rules};
use crate::source::{FileId, Span, Spanned};
use std::collections::BTreeSet;
use tree::{Node, Value};

/// Parses a whole file.
pub fn parse(file: FileId, text: &str, out: &mut Diagnostics) -> Spec {
    let mut spec = Spec::new(file, Notation::Yaml);
    let Some(mut root) = tree::read(file, text, out) else {
        spec.lost.everything();
        return spec;
    };
    let mut decoder = Decoder { file, text, out, lost: Lost::default() };
    decoder.hygiene(&root);
    keep_first(&mut root);
    decoder.spec(&root, &mut spec);
    spec.lost = decoder.lost;
    spec
}

/// Words that are booleans for YAML 1.1 readers.
const BOOLEANS: [&str; 4] = ["yes", "no", "on", "off"];

/// Decodes tree nodes and collects mistakes.
struct Decoder<'a> {
    file: FileId,
    text: &'a str,
    out: &'a mut Diagnostics,
    lost: Lost,
}

type Pairs<'n> = &'n [(Spanned<String>, Node)];

impl Decoder<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        self.out.push(diagnostic);
    }

    /// The tag before a value, which is all that a reader without our schema would see of its type.
    fn tag(&mut self, span: Span) {
        let before = self.text[..span.range().start].trim_end();
        let start = before.rfind([' ', '\t', '\n', '[', '{', ',']).map_or(0, |at| at + 1);
        let word = &before[start..];
        // Where a tag may stand: behind an indicator, at the margin, and in no comment. Quoted text ends with its quotation mark.
        let lead = before[..start].trim_end_matches([' ', '\t']);
        let behind = lead.is_empty() || lead.ends_with([':', '-', '?', '[', '{', ',', '\n']);
        let comment = lead.rsplit('\n').next().is_some_and(|line| line.contains('#'));
        let named = |rest: &str| rest.chars().all(|c| c.is_ascii_alphanumeric() || "!_-.:/<>%".contains(c));
        if word.strip_prefix('!').is_some_and(named) && behind && !comment {
            self.push(
                Diagnostic::new(
                    &rules::MERGE_OR_TAG,
                    Span::new(self.file, start..before.len()),
                    format!("a tag `{word}`"),
                )
                .help("remove the tag: the schema says what each value is"),
            );
        }
    }

    /// What is wrong with a YAML file whatever it means.
    fn hygiene(&mut self, node: &Node) {
        self.tag(node.span);
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.hygiene(item)),
            Value::Map(pairs) => {
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if key.value == "<<" {
                        self.push(
                            Diagnostic::new(&rules::MERGE_OR_TAG, key.span, "a merge key `<<`")
                                .help("write the keys out"),
                        );
                    } else if let Some((first, _)) =
                        pairs[..i].iter().find(|(other, _)| other.value == key.value)
                    {
                        let message = format!("the key `{}` is given twice", key.value);
                        self.push(
                            Diagnostic::new(&rules::DUPLICATE_KEY, key.span, message)
                                .label(first.span, "first given here"),
                        );
                    }
                    self.tag(key.span);
                    self.hygiene(value);
                }
            }
            Value::Text(word, false) => {
                let lower = word.to_lowercase();
                if ["yes", "no", "on", "off"].contains(&lower.as_str()) {
                    let message = format!("`{word}` is text here and a boolean for YAML 1.1 readers");
                    self.push(
                        Diagnostic::new(&rules::AMBIGUOUS_SCALAR, node.span, message)
                            .severity(Severity::Warning)
                            .help(format!("write \"{word}\"")),
                    );
                }
            }
            Value::Number(digits) => {
                let plain = digits.trim_start_matches(['-', '+']);
                if plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| b.is_ascii_digit()) {
                    let message = format!("`{digits}` is decimal for some YAML readers and octal for others");
                    self.push(
                        Diagnostic::new(&rules::AMBIGUOUS_SCALAR, node.span, message)
                            .help("write the number without leading zeros"),
                    );
                } else if plain.contains(['e', 'E']) && !plain.contains('.') {
                    let message = format!("`{digits}` is a number here and text for YAML 1.1 readers");
                    let fixed = plain.replacen(['e', 'E'], ".0e", 1);
                    self.push(
                        Diagnostic::new(&rules::EXPONENT_WITHOUT_POINT, node.span, message)
                            .help(format!("write {fixed}")),
                    );
                }
            }
            Value::Null | Value::Bool(_) | Value::Text(..) => {}
        }
    }

    // ---- typed access ---------------------------------------------------------------------------------------------------

    fn wrong(&mut self, what: &str, wanted: &str, node: &Node) {
        self.lose(node);
        let message = format!("{} is {}", ticked(what), node.value.kind());
        self.push(
            Diagnostic::new(&rules::WRONG_TYPE, node.span, message).remark(format!("must be {wanted}")),
        );
    }

    /// Loses the names in a part that was not understood.
    fn lose(&mut self, node: &Node) {
        self.lost.learn(&self.text[node.span.range()]);
    }

    fn map<'n>(&mut self, what: &str, node: &'n Node) -> Pairs<'n> {
        match &node.value {
            Value::Map(pairs) => pairs,
            Value::Null => &[],
            _ => {
                self.wrong(what, "a mapping", node);
                &[]
            }
        }
    }

    /// The value of a key.
    fn get<'n>(pairs: Pairs<'n>, key: &str) -> Option<&'n Node> {
        pairs.iter().find(|(k, _)| k.value == key).map(|(_, value)| value)
    }

    fn unknown(&mut self, what: &str, pairs: Pairs<'_>, known: &[&str]) {
        for (key, value) in
            pairs.iter().filter(|(key, _)| !known.contains(&key.value.as_str()) && key.value != "<<")
        {
            self.lose(value);
            let near = did_you_mean(&key.value, known.iter().copied());
            let list = format!("{} has {}", ticked(what), known.join(", "));
            let message = format!("{} has no key `{}`", ticked(what), key.value);
            self.push(
                Diagnostic::new(&rules::UNKNOWN_KEY, key.span, message)
                    .help(near.map_or(list, |near| format!("did you mean `{near}`?"))),
            );
        }
    }

    fn word(&mut self, what: &str, node: &Node) -> Option<Spanned<String>> {
        match &node.value {
            Value::Text(word, _) => Some(Spanned::new(word.clone(), node.span)),
            _ => {
                self.wrong(what, "a name", node);
                None
            }
        }
    }

    /// A name that the spec gives to something.
    fn name(&mut self, name: &Spanned<String>) {
        if !dsl::is_name(&name.value) {
            let message = format!("`{}` cannot be a name", name.value);
            let must = "must be letters, digits and `_`, begin with a letter, and be no keyword";
            self.lost.learn(&name.value);
            self.push(Diagnostic::new(&rules::WRONG_TYPE, name.span, message).remark(must));
        }
    }

    /// A scalar that names something.
    fn named(&mut self, what: &str, node: &Node) -> Option<Spanned<String>> {
        let name = self.word(what, node)?;
        self.name(&name);
        Some(name)
    }

    /// Where the text of a scalar begins in the file: behind the quotation mark, if there is one.
    fn text_base(&self, node: &Node) -> usize {
        let start = node.span.range().start;
        start + usize::from(self.text[start..].starts_with(['"', '\'']))
    }

    /// A scalar or list as an expression.
    fn expr(&mut self, node: &Node) -> Spanned<Expr> {
        let value = match &node.value {
            Value::Null => {
                let message = "a value is missing here";
                self.push(Diagnostic::new(&rules::MISSING, node.span, message));
                Expr::Error
            }
            Value::Bool(b) => Expr::Bool(*b),
            Value::Number(digits) => {
                let (negative, digits) = match digits.strip_prefix('-') {
                    Some(rest) => (true, rest),
                    None => (false, digits.strip_prefix('+').unwrap_or(digits)),
                };
                match (dsl::number(digits), negative) {
                    // As in the language: a sign is an operator.
                    (Some(number), true) => {
                        let place = Span { start: node.span.end.min(node.span.start + 1), ..node.span };
                        Expr::Unary(Unary::Neg, Box::new(Spanned::new(number, place)))
                    }
                    (Some(number), false) => number,
                    (None, _) => {
                        let message = format!("`{digits}` is not a finite number of 64 bits");
                        self.push(Diagnostic::new(&rules::OUT_OF_RANGE, node.span, message));
                        Expr::Error
                    }
                }
            }
            Value::Text(text, quoted) => return self.text_expr(text, *quoted, node),
            Value::Seq(items) => return Spanned::new(Expr::List(self.items(items)), node.span),
            Value::Map(_) => {
                self.wrong("this", "a number, a word, a list or an expression that begins with `=`", node);
                Expr::Error
            }
        };
        Spanned::new(value, node.span)
    }

    /// The items of a list as expressions.
    fn items(&mut self, items: &[Node]) -> Vec<Spanned<Expr>> {
        let mut list = Vec::new();
        let mut at = 0;
        while at < items.len() {
            let length = split_by_commas(&items[at].value, items[at + 1..].iter().map(|item| &item.value));
            if length > 0 {
                list.push(self.was_split(items[at].span.to(items[at + length].span)));
            } else {
                list.push(self.expr(&items[at]));
            }
            at += length + 1;
        }
        list
    }

    /// Reports an expression that YAML has cut at its commas.
    fn was_split(&mut self, span: Span) -> Spanned<Expr> {
        let text = &self.text[span.range()];
        let message = format!("`{text}` is cut at its comma");
        self.lost.learn(text);
        self.push(
            Diagnostic::new(&rules::SYNTAX, span, message)
                .help(format!("put what contains a comma into quotation marks: \"{text}\"")),
        );
        Spanned::new(Expr::Error, span)
    }

    fn text_expr(&mut self, text: &str, quoted: bool, node: &Node) -> Spanned<Expr> {
        let base = self.text_base(node);
        if let Some(body) = text.strip_prefix('=') {
            return self.parsed(base + 1, body, node);
        }
        // A number with separators is text for YAML 1.2.
        let number = !quoted && text.starts_with(|c: char| c.is_ascii_digit());
        let call = text.contains('(') && dsl::is_word_or_call(text);
        if !quoted && BOOLEANS.contains(&text.to_lowercase().as_str()) {
            return Spanned::new(Expr::Str(text.to_owned()), node.span);
        }
        if number || call || (!quoted && dsl::is_word_or_call(text)) {
            return self.parsed(base, text, node);
        }
        Spanned::new(Expr::Str(text.to_owned()), node.span)
    }

    /// Parses the text of a scalar as an expression.
    fn parsed(&mut self, base: usize, text: &str, node: &Node) -> Spanned<Expr> {
        let read = |file, base, out: &mut Diagnostics| Some(dsl::expression(file, base, text, out));
        let mut expr = self.embedded(base, text, node, read).unwrap_or(Spanned::new(Expr::Error, node.span));
        if self.moved(base, text) {
            relocate(&mut expr, node.span);
        }
        expr
    }

    /// Whether the text of a scalar is not the text of the file at its place, because of escapes or folding.
    fn moved(&self, base: usize, text: &str) -> bool {
        self.text.get(base..base + text.len()) != Some(text)
    }

    /// Reads the text of a scalar. Where escapes or folding moved the text, only the scalar as a whole has a place.
    fn embedded<T>(
        &mut self,
        base: usize,
        text: &str,
        node: &Node,
        read: impl FnOnce(FileId, usize, &mut Diagnostics) -> Option<Spanned<T>>,
    ) -> Option<Spanned<T>> {
        if !self.moved(base, text) {
            return read(self.file, base, self.out);
        }
        let mut apart = Diagnostics::default();
        let value = read(self.file, 0, &mut apart);
        for mut diagnostic in apart {
            diagnostic.place = crate::diag::Place::Source(node.span);
            diagnostic.labels.clear();
            self.out.push(diagnostic);
        }
        value.map(|value| Spanned::new(value.value, node.span))
    }

    /// The name of a column: text, unless it begins with `=`. Plain names give the same tree as in the language.
    fn name_expr(&mut self, what: &str, node: &Node) -> Option<Spanned<Expr>> {
        let Value::Text(text, quoted) = &node.value else {
            self.wrong(what, "a name", node);
            return None;
        };
        if let Some(body) = text.strip_prefix('=') {
            return Some(self.parsed(self.text_base(node) + 1, body, node));
        }
        let plain = !quoted && !text.contains('(') && dsl::is_word_or_call(text);
        let value = if plain { Expr::Name(text.clone()) } else { Expr::Str(text.clone()) };
        Some(Spanned::new(value, node.span))
    }

    /// `name`, `{name: {a: 1}}`, `{name: value}` or `{name: [a, b]}`.
    fn call(&mut self, what: &str, node: &Node) -> Option<CallExpr> {
        match &node.value {
            Value::Text(name, _) => {
                let name = Spanned::new(name.clone(), node.span);
                Some(CallExpr { name, args: Vec::new(), head: Head(node.span) })
            }
            Value::Map(pairs) if pairs.len() == 1 => {
                let (name, value) = &pairs[0];
                let args = self.args(value, true);
                Some(CallExpr { name: name.clone(), args, head: Head(name.span.to(value.span)) })
            }
            _ => {
                self.wrong(what, "a name, or a mapping from one name to its arguments", node);
                None
            }
        }
    }

    /// The arguments of a call. A list gives several positional arguments where `spread` is set, else one.
    fn args(&mut self, node: &Node, spread: bool) -> Vec<ArgExpr> {
        match &node.value {
            Value::Null => Vec::new(),
            Value::Map(pairs) => {
                let mut args = Vec::new();
                for (key, value, cut) in uncut(pairs) {
                    if key.value == "<<" {
                        continue;
                    }
                    let value = match cut {
                        None => self.expr(value),
                        Some(span) => self.was_split(span),
                    };
                    args.push(ArgExpr { name: Some(key.clone()), value });
                }
                args
            }
            Value::Seq(items) if spread => {
                self.items(items).into_iter().map(|value| ArgExpr { name: None, value }).collect()
            }
            _ => vec![ArgExpr { name: None, value: self.expr(node) }],
        }
    }

    fn chain(&mut self, what: &str, node: &Node) -> Vec<CallExpr> {
        match &node.value {
            Value::Seq(items) => items.iter().filter_map(|item| self.call(what, item)).collect(),
            _ => {
                self.wrong(what, "a list of transforms", node);
                Vec::new()
            }
        }
    }

    /// The span of a node's head: a mapping is underlined at its first key.
    fn head(node: &Node) -> Span {
        match &node.value {
            Value::Map(pairs) => pairs.first().map_or(node.span, |(key, _)| key.span),
            _ => node.span,
        }
    }
}

/// A name in back-ticks, a phrase as it is.
fn ticked(what: &str) -> String {
    if what.contains(' ') { what.to_owned() } else { format!("`{what}`") }
}

/// The keys of a mapping with their values, and where a value was cut at its commas: behind a comma inside an expression YAML sees
/// a further key without a value.
fn uncut(pairs: Pairs<'_>) -> Vec<(&Spanned<String>, &Node, Option<Span>)> {
    let mut joined = Vec::new();
    let mut at = 0;
    while let Some((key, value)) = pairs.get(at) {
        let rest = pairs[at + 1..].iter();
        let words = rest
            .take_while(|(_, value)| value.value == Value::Null)
            .map(|(key, _)| Value::Text(key.value.clone(), false))
            .collect::<Vec<_>>();
        let length = split_by_commas(&value.value, words.iter());
        at += 1 + length;
        joined.push((key, value, (length > 0).then(|| value.span.to(pairs[at - 1].0.span))));
    }
    joined
}

/// How many of the following values belong to an expression that YAML has cut at its commas: as many as it takes to close its
/// brackets; none if it is whole, or if they do not close.
fn split_by_commas<'v>(value: &Value, next: impl Iterator<Item = &'v Value>) -> usize {
    let balance = |value: &Value| match value {
        Value::Text(text, false) => {
            let count = |wanted: [char; 2]| text.matches(wanted).count();
            Some((count(['(', '[']), count([')', ']'])))
        }
        Value::Number(_) => Some((0, 0)),
        _ => None,
    };
    let Some((mut open, mut closed)) = balance(value) else { return 0 };
    if open <= closed {
        return 0;
    }
    for (i, value) in next.enumerate() {
        let Some((opened, ended)) = balance(value) else { return 0 };
        open += opened;
        closed += ended;
        if open <= closed {
            return i + 1;
        }
    }
    0
}

/// Drops what stands under a key that was given before; that has been reported.
fn keep_first(node: &mut Node) {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(keep_first),
        Value::Map(pairs) => {
            let mut seen = BTreeSet::new();
            pairs.retain(|(key, _)| seen.insert(key.value.clone()));
            pairs.iter_mut().for_each(|(_, value)| keep_first(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(..) => {}
    }
}
