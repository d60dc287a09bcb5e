//! Sections of the YAML notation: parameters, inputs, data, training.

use super::super::ast::{
    ArgExpr, CallExpr, Column, Data, Declared, Expr, Head, Model, Override, ParamDecl, Penalty, Setting,
    Spec, SplitDecl, SplitRule, Train, TypeExpr,
};
use super::super::dsl;
use super::Decoder;
use super::tree::{Node, Value};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::source::Spanned;

impl Decoder<'_> {
    pub(super) fn spec(&mut self, root: &Node, spec: &mut Spec) {
        let pairs = self.map("the spec", root);
        let known = [
            "spec",
            "model",
            "params",
            "activations",
            "losses",
            "inputs",
            "targets",
            "data",
            "defaults",
            "blocks",
            "net",
            "train",
            "expect",
            "properties",
        ];
        self.unknown("the spec", pairs, &known);
        if let Some(node) = Self::get(pairs, "spec") {
            match self.expr(node).value {
                Expr::Int(version) => spec.version = Some(Spanned::new(version, node.span)),
                _ => self.wrong("spec", "the version, 1", node),
            }
        }
        let params = Self::get(pairs, "params").map_or(Vec::new(), |node| self.params(node));
        if let Some(name) = Self::get(pairs, "model").and_then(|node| self.named("model", node)) {
            spec.model = Some(Model { name, params });
        }
        for (key, list) in [("activations", &mut spec.activations), ("losses", &mut spec.losses)] {
            if let Some(node) = Self::get(pairs, key) {
                for (name, node) in self.map(key, node) {
                    let own = self.own(name, node);
                    if own.is_none() {
                        self.lost.learn(&name.value);
                    }
                    list.extend(own);
                }
            }
        }
        for (key, list) in [("inputs", &mut spec.inputs), ("targets", &mut spec.targets)] {
            if let Some(node) = Self::get(pairs, key) {
                for (name, node) in self.map(key, node) {
                    let declared = self.declared(name, node, key == "targets");
                    if declared.is_none() {
                        self.lost.learn(&name.value);
                    }
                    list.extend(declared);
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
                let block = self.block(name, value);
                if block.is_none() {
                    self.lost.learn(&name.value);
                }
                spec.blocks.extend(block);
            }
        }
        spec.net = Self::get(pairs, "net").map(|node| self.body("net", node));
        spec.train = Self::get(pairs, "train").map(|node| self.train(node));
        if let Some(node) = Self::get(pairs, "expect") {
            for (name, value) in self.map("expect", node) {
                spec.expect.push(Setting { name: name.clone(), value: self.expr(value) });
            }
        }
        if let Some(node) = Self::get(pairs, "properties") {
            spec.properties = self.properties(node);
        }
    }

    pub(super) fn params(&mut self, node: &Node) -> Vec<ParamDecl> {
        let mut list = Vec::new();
        for (name, value) in self.map("params", node) {
            self.name(name);
            let mut param = ParamDecl { name: name.clone(), default: None, range: None };
            match &value.value {
                // A block's parameter without a default.
                Value::Null => {}
                Value::Map(pairs) => {
                    self.unknown(&name.value, pairs, &["value", "in"]);
                    param.default = Self::get(pairs, "value").map(|node| self.expr(node));
                    param.range = self.range(pairs);
                }
                _ => param.default = Some(self.expr(value)),
            }
            list.push(param);
        }
        list
    }

    /// `in: [lo, hi]`.
    pub(super) fn range(
        &mut self,
        pairs: &[(Spanned<String>, Node)],
    ) -> Option<(Spanned<Expr>, Spanned<Expr>)> {
        let range = Self::get(pairs, "in")?;
        match &range.value {
            Value::Seq(ends) if ends.len() == 2 => Some((self.expr(&ends[0]), self.expr(&ends[1]))),
            _ => {
                self.wrong("in", "the two ends of a range", range);
                None
            }
        }
    }

    fn declared(&mut self, name: &Spanned<String>, node: &Node, target: bool) -> Option<Declared> {
        self.name(name);
        let mut range = None;
        let (kind, chain) = match &node.value {
            Value::Map(pairs) => {
                let known: &[&str] = if target { &["type", "in", "prepare"] } else { &["type", "prepare"] };
                self.unknown(&name.value, pairs, known);
                range = self.range(pairs);
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
        let (base, place) = (self.text_base(kind), kind.span);
        let mut kind: Spanned<TypeExpr> = self.embedded(base, text, kind, read)?;
        if self.moved(base, text) {
            kind.value.relocate(place);
        }
        Some(Declared { name: name.clone(), kind, range, chain })
    }

    fn data(&mut self, node: &Node) -> Data {
        let pairs = self.map("data", node);
        self.unknown("data", pairs, &["splits", "split", "rows", "columns", "on"]);
        let head = Head(node.span.head());
        let mut data = Data {
            splits: Vec::new(),
            rule: None,
            columns: Vec::new(),
            overrides: Vec::new(),
            generated: None,
            head,
        };
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
        data.generated = Self::get(pairs, "rows").and_then(|node| self.call("rows", node));
        if let Some(node) = Self::get(pairs, "columns") {
            for (name, value) in self.map("columns", node) {
                let column = self.column(name, value);
                if column.is_none() {
                    self.lost.learn(&name.value);
                }
                data.columns.extend(column);
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

    /// `{by: {hash: key}, train: 80, val: 10, test: 10}`; further arguments make `{hash: {column: key, group: name}}`.
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
                let args = match &key.value {
                    Value::Map(pairs) => {
                        let mut args = Vec::new();
                        for (argument, value) in pairs {
                            let value = self.name_expr(&argument.value, value)?;
                            let name = (argument.value != "column").then(|| argument.clone());
                            args.push(ArgExpr { name, value });
                        }
                        args
                    }
                    _ => vec![ArgExpr { name: None, value: self.name_expr(&name.value, key)? }],
                };
                CallExpr { name: name.clone(), args, head: Head(name.span.to(key.span)) }
            }
            _ => {
                self.wrong("by", "{hash: key}, {column: name}, {time: column} or {file: {}}", by);
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
        self.name(name);
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
        self.unknown(
            "train",
            pairs,
            &[
                "loss",
                "l1",
                "l2",
                "optimizer",
                "batch",
                "epochs",
                "seed",
                "predict",
                "precision",
                "loss_scale",
            ],
        );
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
                "predict" => {
                    let value = match &value.value {
                        Value::Map(_) => {
                            self.call("predict", value).map(|call| Spanned::new(Expr::Call(call), value.span))
                        }
                        _ => Some(self.expr(value)),
                    };
                    train.settings.extend(value.map(|value| Setting { name: key.clone(), value }));
                }
                "batch" | "epochs" | "seed" | "precision" | "loss_scale" => {
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
}
