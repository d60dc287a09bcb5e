//! The YAML notation, `.nn.yaml`.
//!
//! Contract: a closed schema, one property per op, expressions begin with `=`. Every mistake of a file is reported with the
//! span of the key or value that it concerns; duplicate keys, merge keys, tags and scalars that other readers read
//! differently are reported whatever stands around them.

mod net;
#[cfg(test)]
mod tests;
mod tree;

use super::ast::{
    ArgExpr, CallExpr, Column, Data, Declared, Expr, Head, Model, Override, ParamDecl, Penalty, Setting,
    Spec, SplitDecl, SplitRule, Train, TypeExpr, Unary,
};
use super::dsl;
use crate::diag::suppress::Notation;
use crate::diag::{Diagnostic, Diagnostics, Severity, did_you_mean, rules};
use crate::source::{FileId, Span, Spanned};
use tree::{Node, Value};

/// Parses a whole file.
pub fn parse(file: FileId, text: &str, out: &mut Diagnostics) -> Spec {
    let mut spec = Spec::new(file, Notation::Yaml);
    let Some(root) = tree::read(file, text, out) else { return spec };
    let mut decoder = Decoder { file, text, out };
    decoder.hygiene(&root);
    decoder.spec(&root, &mut spec);
    spec
}

/// Decodes tree nodes and collects mistakes.
struct Decoder<'a> {
    file: FileId,
    text: &'a str,
    out: &'a mut Diagnostics,
}

type Pairs<'n> = &'n [(Spanned<String>, Node)];

impl Decoder<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        self.out.push(diagnostic);
    }

    /// What is wrong with a YAML file whatever it means.
    fn hygiene(&mut self, node: &Node) {
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.hygiene(item)),
            Value::Map(pairs) => {
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if key.value == "<<" {
                        self.push(
                            Diagnostic::new(&rules::MERGE_OR_TAG, key.span, "a merge key")
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
        let message = format!("`{what}` is {}", node.value.kind());
        self.push(
            Diagnostic::new(&rules::WRONG_TYPE, node.span, message).remark(format!("must be {wanted}")),
        );
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

    /// The value of a key that occurs once; later duplicates were reported by [`hygiene`](Self::hygiene).
    fn get<'n>(pairs: Pairs<'n>, key: &str) -> Option<&'n Node> {
        pairs.iter().find(|(k, _)| k.value == key).map(|(_, value)| value)
    }

    fn unknown(&mut self, what: &str, pairs: Pairs<'_>, known: &[&str]) {
        for (key, _) in
            pairs.iter().filter(|(key, _)| !known.contains(&key.value.as_str()) && key.value != "<<")
        {
            let near = did_you_mean(&key.value, known.iter().copied());
            let list = format!("`{what}` has {}", known.join(", "));
            let message = format!("`{what}` has no key `{}`", key.value);
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

    /// The names that people choose are those of the language.
    fn check_name(&mut self, name: &Spanned<String>) {
        if !dsl::is_name(&name.value) {
            self
                .push(Diagnostic::new(&rules::SYNTAX, name.span, format!("`{}` is no name", name.value)).help(
                "a name begins with a letter or `_`, goes on with letters, digits and `_`, and is no keyword",
            ));
        }
    }

    /// A scalar that names something new.
    fn new_name(&mut self, what: &str, node: &Node) -> Option<Spanned<String>> {
        let name = self.word(what, node)?;
        self.check_name(&name);
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
                        let message = format!("{digits} is not a finite number of 64 bits");
                        self.push(Diagnostic::new(&rules::OUT_OF_RANGE, node.span, message));
                        Expr::Error
                    }
                }
            }
            Value::Text(text, quoted) => return self.text_expr(text, *quoted, node),
            Value::Seq(items) => Expr::List(items.iter().map(|item| self.expr(item)).collect()),
            Value::Map(_) => {
                self.wrong("this", "a number, a word, a list or an expression that begins with `=`", node);
                Expr::Error
            }
        };
        Spanned::new(value, node.span)
    }

    fn text_expr(&mut self, text: &str, quoted: bool, node: &Node) -> Spanned<Expr> {
        let base = self.text_base(node);
        if let Some(body) = text.strip_prefix('=') {
            return self.parsed(base + 1, body, node);
        }
        // A number with separators is text for YAML 1.2.
        let number = !quoted && text.starts_with(|c: char| c.is_ascii_digit());
        let call = text.contains('(') && dsl::is_word_or_call(text);
        if number || call || (!quoted && dsl::is_word_or_call(text)) {
            return self.parsed(base, text, node);
        }
        Spanned::new(Expr::Str(text.to_owned()), node.span)
    }

    /// Parses the text of a scalar as an expression.
    fn parsed(&mut self, base: usize, text: &str, node: &Node) -> Spanned<Expr> {
        let read = |file, base, out: &mut Diagnostics| Some(dsl::expression(file, base, text, out));
        self.embedded(base, text, node, read).unwrap_or(Spanned::new(Expr::Error, node.span))
    }

    /// Reads the text of a scalar. Where escapes or folding moved the text, only the scalar as a whole has a place.
    fn embedded<T>(
        &mut self,
        base: usize,
        text: &str,
        node: &Node,
        read: impl FnOnce(FileId, usize, &mut Diagnostics) -> Option<Spanned<T>>,
    ) -> Option<Spanned<T>> {
        if self.text.get(base..base + text.len()) == Some(text) {
            return read(self.file, base, self.out);
        }
        let mut apart = Diagnostics::default();
        let value = read(self.file, 0, &mut apart);
        for mut diagnostic in apart {
            diagnostic.place = crate::diag::Place::Source(node.span);
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
                for (key, value) in pairs.iter().filter(|(key, _)| key.value != "<<") {
                    if value.value == Value::Null && key.value.contains(['=', '(', ')', ' ']) {
                        // A comma inside a plain scalar of a flow mapping splits it.
                        let message =
                            format!("`{}` is no key: the comma before it ended the value", key.value);
                        self.push(
                            Diagnostic::new(&rules::SYNTAX, key.span, message).help(
                                "put expressions that contain a comma into quotation marks: \"=f(a, b)\"",
                            ),
                        );
                        continue;
                    }
                    args.push(ArgExpr { name: Some(key.clone()), value: self.expr(value) });
                }
                args
            }
            Value::Seq(items) if spread => {
                items.iter().map(|item| ArgExpr { name: None, value: self.expr(item) }).collect()
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

    // ---- sections -------------------------------------------------------------------------------------------------------

    fn spec(&mut self, root: &Node, spec: &mut Spec) {
        let pairs = self.map("the spec", root);
        let known = [
            "spec", "model", "params", "inputs", "targets", "data", "defaults", "blocks", "net", "train",
            "expect",
        ];
        self.unknown("the spec", pairs, &known);
        if let Some(node) = Self::get(pairs, "spec") {
            match self.expr(node).value {
                Expr::Int(version) => spec.version = Some(Spanned::new(version, node.span)),
                _ => self.wrong("spec", "the version, 1", node),
            }
        }
        let params = Self::get(pairs, "params").map_or(Vec::new(), |node| self.params(node));
        if let Some(name) = Self::get(pairs, "model").and_then(|node| self.new_name("model", node)) {
            spec.model = Some(Model { name, params });
        }
        for (key, list) in [("inputs", &mut spec.inputs), ("targets", &mut spec.targets)] {
            if let Some(node) = Self::get(pairs, key) {
                for (name, node) in self.map(key, node) {
                    list.extend(self.declared(name, node));
                }
            }
        }
        spec.data = Self::get(pairs, "data").map(|node| self.data(node));
        if let Some(node) = Self::get(pairs, "defaults") {
            for (name, value) in self.map("defaults", node) {
                let args = self.args(value, false);
                spec.defaults.push(CallExpr {
                    name: name.clone(),
                    args,
                    head: Head(name.span.to(value.span)),
                });
            }
        }
        if let Some(node) = Self::get(pairs, "blocks") {
            for (name, value) in self.map("blocks", node) {
                spec.blocks.extend(self.block(name, value));
            }
        }
        spec.net = Self::get(pairs, "net").map(|node| self.body("net", node));
        spec.train = Self::get(pairs, "train").map(|node| self.train(node));
        if let Some(node) = Self::get(pairs, "expect") {
            for (name, value) in self.map("expect", node) {
                spec.expect.push(Setting { name: name.clone(), value: self.expr(value) });
            }
        }
    }

    fn params(&mut self, node: &Node) -> Vec<ParamDecl> {
        let mut list = Vec::new();
        for (name, value) in self.map("params", node) {
            self.check_name(name);
            let mut param = ParamDecl { name: name.clone(), default: None, range: None };
            match &value.value {
                // A block's parameter without a default.
                Value::Null => {}
                Value::Map(pairs) => {
                    self.unknown(&name.value, pairs, &["value", "in"]);
                    param.default = Self::get(pairs, "value").map(|node| self.expr(node));
                    if let Some(range) = Self::get(pairs, "in") {
                        match &range.value {
                            Value::Seq(ends) if ends.len() == 2 => {
                                param.range = Some((self.expr(&ends[0]), self.expr(&ends[1])));
                            }
                            _ => self.wrong("in", "the two ends of a range", range),
                        }
                    }
                }
                _ => param.default = Some(self.expr(value)),
            }
            list.push(param);
        }
        list
    }

    fn declared(&mut self, name: &Spanned<String>, node: &Node) -> Option<Declared> {
        self.check_name(name);
        let (kind, chain) = match &node.value {
            Value::Map(pairs) => {
                self.unknown(&name.value, pairs, &["type", "prepare"]);
                let chain =
                    Self::get(pairs, "prepare").map_or(Vec::new(), |node| self.chain("prepare", node));
                let Some(kind) = Self::get(pairs, "type") else {
                    let message = format!("`{}` needs a `type`", name.value);
                    self.push(Diagnostic::new(&rules::MISSING, name.span, message));
                    return None;
                };
                (kind, chain)
            }
            _ => (node, Vec::new()),
        };
        let Value::Text(text, _) = &kind.value else {
            self.wrong(&name.value, "a type such as \"f64[B, 3]\" or class(10)", kind);
            return None;
        };
        let read = |file, base, out: &mut Diagnostics| dsl::type_expression(file, base, text, out);
        let kind: Spanned<TypeExpr> = self.embedded(self.text_base(kind), text, kind, read)?;
        Some(Declared { name: name.clone(), kind, chain })
    }

    fn data(&mut self, node: &Node) -> Data {
        let pairs = self.map("data", node);
        self.unknown("data", pairs, &["splits", "split", "columns", "on"]);
        let head = Head(node.span.head());
        let mut data =
            Data { splits: Vec::new(), rule: None, columns: Vec::new(), overrides: Vec::new(), head };
        if let Some(node) = Self::get(pairs, "splits") {
            for (name, source) in self.map("splits", node) {
                let call = match &source.value {
                    Value::Map(file) if file.len() == 1 && file[0].0.value == "csv" => {
                        self.path_call(&file[0])
                    }
                    _ => {
                        self.wrong(&name.value, "{csv: path}", source);
                        None
                    }
                };
                data.splits.extend(call.map(|source| SplitDecl { name: name.clone(), source }));
            }
        }
        if let Some(node) = Self::get(pairs, "split") {
            data.rule = self.split_rule(node);
        }
        if let Some(node) = Self::get(pairs, "columns") {
            for (name, value) in self.map("columns", node) {
                data.columns.extend(self.column(name, value));
            }
        }
        if let Some(node) = Self::get(pairs, "on") {
            for (split, groups) in self.map("on", node) {
                for (group, chain) in self.map(&split.value, groups) {
                    let chain = self.chain(&group.value, chain);
                    data.overrides.push(Override { split: split.clone(), group: group.clone(), chain });
                }
            }
        }
        data
    }

    /// `{csv: path}`: the argument is text, unless it begins with `=`.
    fn path_call(&mut self, (name, value): &(Spanned<String>, Node)) -> Option<CallExpr> {
        let path = match &value.value {
            Value::Text(path, _) => match path.strip_prefix('=') {
                Some(body) => self.parsed(self.text_base(value) + 1, body, value),
                None => Spanned::new(Expr::Str(path.clone()), value.span),
            },
            _ => {
                self.wrong("csv", "the path of a file", value);
                return None;
            }
        };
        let args = vec![ArgExpr { name: None, value: path }];
        Some(CallExpr { name: name.clone(), args, head: Head(name.span.to(value.span)) })
    }

    /// `{by: {hash: key}, train: 80, val: 10, test: 10}`.
    fn split_rule(&mut self, node: &Node) -> Option<SplitRule> {
        let pairs = self.map("split", node);
        let Some(by) = Self::get(pairs, "by") else {
            self.push(
                Diagnostic::new(&rules::MISSING, node.span, "`split` needs `by`")
                    .help("write by: {hash: key}"),
            );
            return None;
        };
        let by = match &by.value {
            Value::Map(rule) if rule.len() == 1 => {
                let (name, key) = &rule[0];
                let value = self.name_expr(&name.value, key)?;
                let args = vec![ArgExpr { name: None, value }];
                CallExpr { name: name.clone(), args, head: Head(name.span.to(key.span)) }
            }
            _ => {
                self.wrong("by", "{hash: key} or {column: name}", by);
                return None;
            }
        };
        let mut shares = Vec::new();
        for (name, value) in pairs.iter().filter(|(name, _)| name.value != "by") {
            shares.push(Setting { name: name.clone(), value: self.expr(value) });
        }
        Some(SplitRule { by, shares })
    }

    fn column(&mut self, name: &Spanned<String>, node: &Node) -> Option<Column> {
        self.check_name(name);
        let pairs = self.map(&name.value, node);
        let sources = ["numeric", "category", "class", "target"];
        self.unknown(&name.value, pairs, &["numeric", "category", "class", "target", "as", "prepare"]);
        let mut found = pairs.iter().filter(|(key, _)| sources.contains(&key.value.as_str()));
        let Some((kind, value)) = found.next() else {
            let message = format!("`{}` says not which columns it holds", name.value);
            self.push(
                Diagnostic::new(&rules::MISSING, name.span, message)
                    .help("give one of numeric, category, class, target"),
            );
            return None;
        };
        if let Some((second, _)) = found.next() {
            let message = format!("`{}` is both `{}` and `{}`", name.value, kind.value, second.value);
            self.push(
                Diagnostic::new(&rules::GIVEN_TWICE, second.span, message)
                    .label(kind.span, "first given here"),
            );
        }
        let args = match &value.value {
            Value::Seq(items) => {
                let names = items.iter().filter_map(|item| self.name_expr(&kind.value, item));
                names.map(|value| ArgExpr { name: None, value }).collect()
            }
            Value::Map(pairs) => {
                let mut args = Vec::new();
                for (key, value) in pairs {
                    let value = match key.value.as_str() {
                        "column" => self.name_expr("column", value),
                        _ => Some(self.expr(value)),
                    };
                    args.extend(value.map(|value| ArgExpr { name: Some(key.clone()), value }));
                }
                args
            }
            _ => self
                .name_expr(&kind.value, value)
                .map(|value| ArgExpr { name: None, value })
                .into_iter()
                .collect(),
        };
        let source = CallExpr { name: kind.clone(), args, head: Head(kind.span.to(value.span)) };
        let shape = Self::get(pairs, "as").map(|node| self.expr(node));
        let chain = Self::get(pairs, "prepare").map_or(Vec::new(), |node| self.chain("prepare", node));
        Some(Column { name: name.clone(), source, shape, chain })
    }

    fn train(&mut self, node: &Node) -> Train {
        let pairs = self.map("train", node);
        self.unknown("train", pairs, &["loss", "l1", "l2", "optimizer", "batch", "epochs", "seed"]);
        let head = Head(node.span.head());
        let mut train =
            Train { loss: None, penalties: Vec::new(), optimizer: None, settings: Vec::new(), head };
        for (key, value) in pairs {
            match key.value.as_str() {
                "loss" => train.loss = train.loss.or_else(|| self.call("loss", value)),
                "optimizer" => train.optimizer = train.optimizer.or_else(|| self.call("optimizer", value)),
                "l1" | "l2" => match &value.value {
                    Value::Seq(several) => {
                        several.iter().for_each(|one| train.penalties.extend(self.penalties(key, one)));
                    }
                    _ => train.penalties.extend(self.penalties(key, value)),
                },
                "batch" | "epochs" | "seed" => {
                    train.settings.push(Setting { name: key.clone(), value: self.expr(value) });
                }
                _ => {}
            }
        }
        train
    }

    /// `1.0e-4`, or `{weights: 1.0e-4}`.
    fn penalties(&mut self, kind: &Spanned<String>, node: &Node) -> Vec<Penalty> {
        let parts: Vec<(Option<&Spanned<String>>, &Node)> = match &node.value {
            Value::Map(parts) => parts.iter().map(|(on, factor)| (Some(on), factor)).collect(),
            _ => vec![(None, node)],
        };
        let mut penalties = Vec::new();
        for (on, factor) in parts {
            let factor = self.expr(factor);
            penalties.push(Penalty { kind: kind.clone(), factor, on: on.cloned() });
        }
        penalties
    }

    /// The span of a node's head: a mapping is underlined at its first key.
    fn head(node: &Node) -> Span {
        match &node.value {
            Value::Map(pairs) => pairs.first().map_or(node.span, |(key, _)| key.span),
            _ => node.span,
        }
    }
}
