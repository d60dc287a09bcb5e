//! The YAML notation, `.nn.yaml`.
//!
//! Contract: short statements are flow mappings, loops and long sections blocks. A name is written bare where it is a word of the
//! language or of the model's graph, and with `=` where it is a variable; anything that is computed begins with `=`. Scalars
//! are spelt so that readers of YAML 1.1 and 1.2 agree on them.

use super::super::ast::{
    Action, ArgExpr, Body, Bound, CallExpr, Data, Declared, Expr, Own, ParamDecl, Penalty, Property, Setting,
    Shortcut, Spec, SplitRule, Statement, Train, Unary,
};
use super::comments::{Comments, Key, Note};
use super::document::{Doc, Entry, expression, is_plain_name, literal, mapping, path, scalar, text, word};
use super::expr::Writer;
use super::layout::{Piece, add, blank, own_lines};
use super::units::{body_key, inside, item, params_key, section, statement_key};
use crate::diag::suppress::Notation;
use crate::front::names::LOSS_INPUTS;
use crate::inits::Init;
use crate::source::{Sources, Spanned};

/// A body of so many statements may stand on one line.
const SHORT: usize = 2;

/// A spec in YAML.
pub fn yaml(spec: &Spec, sources: &Sources) -> String {
    let comments = Comments::of(spec, sources);
    let globals =
        spec.model.iter().flat_map(|model| &model.params).map(|param| param.name.value.clone()).collect();
    let mut printer = Printer { writer: Writer { sources: Some(sources) }, comments, scope: globals };
    let mut out = Vec::new();
    let mut tall = false;
    for mut entry in printer.entries(spec) {
        let apart = std::mem::take(&mut entry.blank);
        let before = std::mem::take(&mut entry.before);
        let lines = mapping(vec![entry], 0);
        let long = lines.len() > 1;
        if long || tall || apart || !before.is_empty() {
            blank(&mut out);
        }
        tall = long;
        add(&mut out, 0, Piece { before, lines, blank: false, behind: Vec::new() });
    }
    let mut rest = printer.comments.rest();
    if let (Some(first), false) = (rest.first_mut(), out.is_empty()) {
        first.blank = true;
    }
    own_lines(&mut out, 0, rest);
    out.join("\n") + "\n"
}

struct Printer<'a> {
    writer: Writer<'a>,
    comments: Comments,
    /// The variables that have a meaning here.
    scope: Vec<String>,
}

impl Printer<'_> {
    fn entries(&mut self, spec: &Spec) -> Vec<Entry> {
        let Spec { version, model, inputs, targets, data, activations, losses, defaults, .. } = spec;
        let Spec { blocks, net, train, expect, properties, .. } = spec;
        let mut head = Vec::new();
        if let Some(version) = version {
            head.push(self.section("spec", Doc::Scalar(version.value.to_string())));
        }
        if let Some(model) = model {
            head.push(self.section("model", Doc::Scalar(word(&model.name.value))));
            if !model.params.is_empty() {
                let params = self.params(&model.params);
                head.push(self.section("params", Doc::Map(params)));
            }
        }
        let mut entries: Vec<(u32, Entry)> = Vec::new();
        for (name, inputs, list) in [("activations", 1, activations), ("losses", 2, losses)] {
            if let Some(start) = list.iter().map(|own| own.name.span.start).min() {
                let items = list.iter().map(|own| self.own(own, inputs)).collect();
                entries.push((start, Entry { block: true, ..self.section(name, Doc::Map(items)) }));
            }
        }
        for (name, list) in [("inputs", inputs), ("targets", targets)] {
            if let Some(start) = list.iter().map(|declared| declared.name.span.start).min() {
                let items = list.iter().map(|declared| self.declared(declared)).collect();
                entries.push((start, self.section(name, Doc::Map(items))));
            }
        }
        if let Some(data) = data {
            let value = self.data(data);
            entries.push((data.head.0.start, Entry { block: true, ..self.section("data", value) }));
        }
        if let Some(start) = defaults.iter().map(|call| call.name.span.start).min() {
            let items = defaults.iter().map(|call| {
                let args = self.args(&call.args, false);
                self.around(item(call.name.span), Entry::new(&call.name.value, args))
            });
            let items = items.collect();
            entries.push((start, self.section("defaults", Doc::Map(items))));
        }
        if let Some(start) = blocks.iter().map(|block| block.name.span.start).min() {
            let mut items = Vec::new();
            for block in blocks {
                let outer = self.scope.len();
                let mut parts = Vec::new();
                if !block.params.is_empty() {
                    let params = self.params(&block.params);
                    parts.push(self.open(params_key(&block.params), Entry::new("params", Doc::Map(params))));
                }
                self.scope.extend(block.params.iter().map(|param| param.name.value.clone()));
                parts.push(self.body("body", &block.body, body_key(&block.body)));
                self.scope.truncate(outer);
                let entry = Entry { block: true, ..Entry::new(&block.name.value, Doc::Map(parts)) };
                items.push(self.around(item(block.name.span), entry));
            }
            entries.push((start, Entry { block: true, ..self.section("blocks", Doc::Map(items)) }));
        }
        if let Some(net) = net {
            let body = self.body("net", net, inside("net"));
            let entry = Entry { block: true, ..self.around(section("net"), body) };
            entries.push((net.head.0.start, entry));
        }
        if let Some(train) = train {
            let value = self.train(train);
            entries.push((train.head.0.start, self.section("train", value)));
        }
        if let Some(first) = expect.first() {
            let items = expect.iter().map(|fact| self.setting(fact)).collect();
            entries.push((first.name.span.start, self.section("expect", Doc::Map(items))));
        }
        if let Some(first) = properties.first() {
            let items = Doc::Seq(properties.iter().map(|property| self.property(property)).collect());
            let entry = Entry { block: true, ..Entry::new("properties", items) };
            let entry = self.open(inside("properties"), entry);
            entries.push((first.head.0.start, self.around(section("properties"), entry)));
        }
        entries.sort_by_key(|(start, _)| *start);
        head.into_iter().chain(entries.into_iter().map(|(_, entry)| entry)).collect()
    }

    /// A section with its comments. The language has no section around inputs, defaults and blocks: what stands before the first of
    /// them, unindented, goes before the section.
    fn section(&mut self, name: &'static str, value: Doc) -> Entry {
        let entry = self.open(inside(name), Entry::new(name, value));
        let mut entry = self.around(section(name), entry);
        if let ("activations" | "losses" | "inputs" | "targets" | "defaults" | "blocks", Doc::Map(items)) =
            (name, &mut entry.value)
        {
            if let Some(first) = items.first_mut() {
                let (above, inner) =
                    std::mem::take(&mut first.before).into_iter().partition(|note| note.top_level);
                first.before = inner;
                entry.before.extend::<Vec<_>>(above);
                entry.blank |= std::mem::take(&mut first.blank);
            }
            // Blank lines between the lines of the language do not stretch a mapping.
            items.iter_mut().for_each(|item| item.blank = false);
        }
        entry
    }

    /// Adds the comments around a part.
    fn around(&mut self, key: Key, mut entry: Entry) -> Entry {
        entry.before.extend(self.comments.before(key));
        entry.behind.extend(self.comments.behind(key));
        entry.blank = self.comments.blank(key);
        entry
    }

    /// Adds the comments inside a body.
    fn open(&mut self, key: Key, mut entry: Entry) -> Entry {
        entry.open.extend(self.comments.open(key));
        entry.tail.extend(self.comments.tail(key));
        entry
    }

    // ---- values -------------------------------------------------------------------------------------------------------------

    /// An expression as a value.
    fn value(&self, expr: &Spanned<Expr>) -> Doc {
        if let Expr::List(items) = &expr.value {
            return Doc::Seq(items.iter().map(|item| Entry::item(self.value(item))).collect());
        }
        Doc::Scalar(match &expr.value {
            Expr::Int(_) | Expr::Float(_) => self.writer.number(expr, Notation::Yaml),
            Expr::Unary(Unary::Neg, operand) if matches!(operand.value, Expr::Int(_) | Expr::Float(_)) => {
                format!("-{}", self.writer.number(operand, Notation::Yaml))
            }
            Expr::Bool(b) => b.to_string(),
            Expr::Str(s) => text(s),
            Expr::Name(name) if is_plain_name(name) && !self.scope.contains(name) => name.clone(),
            Expr::Call(call) if self.is_word_call(call) => scalar(&self.writer.expr(expr)),
            _ => expression(&self.writer.expr(expr)),
        })
    }

    /// Whether a call only gives arguments to a word of the language, as in `he_normal(fan_out)`.
    fn is_word_call(&self, call: &CallExpr) -> bool {
        let fixed = |expr: &Expr| match expr {
            Expr::Int(_) | Expr::Float(_) | Expr::Bool(_) => true,
            Expr::Name(name) => !self.scope.contains(name),
            Expr::Unary(Unary::Neg, operand) => matches!(operand.value, Expr::Int(_) | Expr::Float(_)),
            _ => false,
        };
        Init::find(&call.name.value).is_some() && call.args.iter().all(|arg| fixed(&arg.value.value))
    }

    /// The name of a column: text, unless it begins with `=`.
    fn name(&self, expr: &Spanned<Expr>) -> Doc {
        Doc::Scalar(match &expr.value {
            Expr::Str(s) => literal(s),
            Expr::Name(name) if is_plain_name(name) && !self.scope.contains(name) => name.clone(),
            _ => expression(&self.writer.expr(expr)),
        })
    }

    /// The path of a file: likewise, but without quotation marks.
    fn path(&self, expr: &Spanned<Expr>) -> Doc {
        Doc::Scalar(match &expr.value {
            Expr::Str(s) => path(s),
            _ => expression(&self.writer.expr(expr)),
        })
    }

    /// Arguments. Where a list spreads into positional arguments, one list among them needs another around it.
    fn args(&self, args: &[ArgExpr], spread: bool) -> Doc {
        match args {
            [ArgExpr { name: None, value }] if !(spread && matches!(value.value, Expr::List(_))) => {
                self.value(value)
            }
            [_, ..] if args.iter().all(|arg| arg.name.is_none()) => {
                Doc::Seq(args.iter().map(|arg| Entry::item(self.value(&arg.value))).collect())
            }
            _ => {
                let named = args.iter().map(|arg| {
                    let name = arg.name.as_ref().map_or("", |name| name.value.as_str());
                    Entry::new(name, self.value(&arg.value))
                });
                Doc::Map(named.collect())
            }
        }
    }

    /// `name`, or `{name: arguments}`.
    fn call(&self, call: &CallExpr) -> Doc {
        if call.args.is_empty() {
            return Doc::Scalar(word(&call.name.value));
        }
        Doc::Map(vec![Entry::new(&call.name.value, self.args(&call.args, true))])
    }

    fn chain(&self, chain: &[CallExpr]) -> Doc {
        Doc::Seq(chain.iter().map(|call| Entry::item(self.call(call))).collect())
    }

    // ---- sections -----------------------------------------------------------------------------------------------------------

    fn params(&mut self, params: &[ParamDecl]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for param in params {
            let default = param.default.as_ref().map(|default| self.value(default));
            let value = match (default, &param.range) {
                (None, None) => Doc::Scalar("null".to_owned()),
                (Some(value), None) => value,
                (default, Some((low, high))) => {
                    let range = self.range(low, high);
                    let default = default.map(|value| Entry::new("value", value));
                    Doc::Map(default.into_iter().chain([range]).collect())
                }
            };
            entries.push(self.around(item(param.name.span), Entry::new(&param.name.value, value)));
        }
        entries
    }

    /// `{rms: fc1, in: [0.5, 2]}`, `{monotone: ["out[1]", tenure]}`.
    fn property(&mut self, property: &Property) -> Entry {
        let Property { kind, of, bound, head } = property;
        let name = |name: &Spanned<String>| Doc::Scalar(scalar(&name.value));
        let about = match of.as_slice() {
            [] => Doc::Map(Vec::new()),
            [one] => name(one),
            several => Doc::Seq(several.iter().map(|one| Entry::item(name(one))).collect()),
        };
        let mut parts = vec![Entry::new(&kind.value, about)];
        parts.extend(bound.iter().map(|bound| match bound {
            Bound::Within(low, high) => self.range(low, high),
            Bound::Beyond(relation, limit) => Entry::new(relation.words().1, self.value(limit)),
        }));
        self.around(item(head.0), Entry::item(Doc::Map(parts)))
    }

    /// `{of: x, params: {a: 0.1}, value: "max(a * x, x)", grad: "1 if x > 0 else a"}`.
    fn own(&mut self, own: &Own, inputs: usize) -> Entry {
        let Own { name, params, value, slope } = own;
        let formula = |this: &Self, key: &str, formula| {
            Entry::new(key, Doc::Scalar(scalar(&this.writer.expr(formula))))
        };
        let bare = |param: &ParamDecl| param.default.is_none() && param.range.is_none();
        let plain = params.get(..inputs).is_some_and(|inputs| inputs.iter().all(bare));
        let (first, further) = params.split_at(if plain { inputs } else { 0 });
        // Comments between the parameters go before the whole.
        let mut inner = self.comments.open(params_key(params));
        for param in params {
            inner.extend(self.comments.before(item(param.name.span)));
            inner.extend(self.comments.behind(item(param.name.span)));
        }
        inner.extend(self.comments.tail(params_key(params)));
        let mut parts = Vec::new();
        match first {
            [] => {}
            [one] => parts.push(Entry::new("of", Doc::Scalar(word(&one.name.value)))),
            all => {
                let names = all.iter().map(|param| Entry::item(Doc::Scalar(word(&param.name.value))));
                parts.push(Entry::new("of", Doc::Seq(names.collect())));
            }
        }
        if !further.is_empty() {
            let entries = self.params(further);
            parts.push(Entry::new("params", Doc::Map(entries)));
        }
        parts.push(formula(self, "value", value));
        parts.extend(slope.iter().map(|slope| formula(self, slope.word(), &slope.formula)));
        let mut entry = self.around(item(name.span), Entry::new(&name.value, Doc::Map(parts)));
        entry.before.extend(inner.into_iter().map(|note| Note { blank: false, ..note }));
        entry
    }

    /// `in: [lo, hi]`.
    fn range(&self, low: &Spanned<Expr>, high: &Spanned<Expr>) -> Entry {
        Entry::new("in", Doc::Seq([low, high].map(|end| Entry::item(self.value(end))).into()))
    }

    fn declared(&mut self, declared: &Declared) -> Entry {
        let kind = Doc::Scalar(scalar(&self.writer.type_expr(&declared.kind.value)));
        let mut parts = Vec::new();
        if let Some((low, high)) = &declared.range {
            parts.push(self.range(low, high));
        }
        if !declared.chain.is_empty() {
            parts.push(Entry::new("prepare", self.chain(&declared.chain)));
        }
        let value = if parts.is_empty() {
            kind
        } else {
            parts.insert(0, Entry::new("type", kind));
            Doc::Map(parts)
        };
        self.around(item(declared.name.span), Entry::new(&declared.name.value, value))
    }

    fn data(&mut self, data: &Data) -> Doc {
        let Data { splits, rule, columns, overrides, generated, head: _ } = data;
        let mut parts: Vec<(u32, Entry)> = Vec::new();
        if let Some(first) = splits.first() {
            let items = splits.iter().map(|split| {
                let args = split.source.args.as_slice();
                let source = match args {
                    [ArgExpr { name: None, value }] => self.path(value),
                    _ => self.args(args, true),
                };
                let source = Doc::Map(vec![Entry::new(&split.source.name.value, source)]);
                self.around(item(split.name.span), Entry::new(&split.name.value, source))
            });
            let items = items.collect();
            parts.push((first.name.span.start, Entry::new("splits", Doc::Map(items))));
        }
        if let Some(SplitRule { by, shares }) = rule {
            let key = match by.args.as_slice() {
                [ArgExpr { name: None, value }] => self.name(value),
                args => {
                    let name = |arg: &ArgExpr| {
                        arg.name.as_ref().map_or("column".to_owned(), |name| name.value.clone())
                    };
                    let named = args.iter().map(|arg| Entry::new(&name(arg), self.name(&arg.value)));
                    Doc::Map(named.collect())
                }
            };
            let by_entry = Entry::new("by", Doc::Map(vec![Entry::new(&by.name.value, key)]));
            let shares = shares.iter().map(|share| Entry::new(&share.name.value, self.value(&share.value)));
            let entry = Entry::new("split", Doc::Map(std::iter::once(by_entry).chain(shares).collect()));
            parts.push((by.name.span.start, self.around(item(by.name.span), entry)));
        }
        if let Some(call) = generated {
            let entry = Entry::new("rows", self.call(call));
            parts.push((call.name.span.start, self.around(item(call.name.span), entry)));
        }
        if let Some(first) = columns.first() {
            let items = columns.iter().map(|column| {
                let mut parts = vec![Entry::new(&column.source.name.value, self.source(&column.source))];
                parts.extend(column.shape.iter().map(|shape| Entry::new("as", self.value(shape))));
                if !column.chain.is_empty() {
                    parts.push(Entry::new("prepare", self.chain(&column.chain)));
                }
                self.around(item(column.name.span), Entry::new(&column.name.value, Doc::Map(parts)))
            });
            let items = items.collect();
            let entry = Entry { block: true, ..Entry::new("columns", Doc::Map(items)) };
            parts.push((first.name.span.start, entry));
        }
        if let Some(first) = overrides.first() {
            let groups = overrides.chunk_by(|a, b| a.split == b.split).map(|group| {
                let items = group.iter().map(|own| {
                    let entry = Entry::new(&own.group.value, self.chain(&own.chain));
                    self.around(item(own.group.span), entry)
                });
                Entry::new(&group[0].split.value, Doc::Map(items.collect()))
            });
            let groups = groups.collect();
            parts.push((first.group.span.start, Entry::new("on", Doc::Map(groups))));
        }
        parts.sort_by_key(|(start, _)| *start);
        Doc::Map(parts.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Where a column comes from: names, or `{column: name, classes: 10}`.
    fn source(&self, source: &CallExpr) -> Doc {
        match source.args.as_slice() {
            [ArgExpr { name: None, value: Spanned { value: Expr::Str(_), .. } }] | [] => {}
            [ArgExpr { name: None, value }] => return self.name(value),
            [ArgExpr { name: Some(name), value }] if name.value == "column" => return self.name(value),
            _ => {}
        }
        if source.args.iter().all(|arg| arg.name.is_none()) {
            return Doc::Seq(source.args.iter().map(|arg| Entry::item(self.name(&arg.value))).collect());
        }
        let named = source.args.iter().map(|arg| {
            let name = arg.name.as_ref().map_or("", |name| name.value.as_str());
            let value = if name == "column" { self.name(&arg.value) } else { self.value(&arg.value) };
            Entry::new(name, value)
        });
        Doc::Map(named.collect())
    }

    fn train(&mut self, train: &Train) -> Doc {
        let Train { loss, penalties, optimizer, settings, head: _ } = train;
        let mut entries = Vec::new();
        if let Some(call) = loss {
            // A loss takes what it compares by position.
            let names = call.args.iter().map(|arg| arg.name.as_ref().map_or("", |name| name.value.as_str()));
            let value = if names.eq(LOSS_INPUTS) {
                let inputs = call.args.iter().map(|arg| Entry::item(self.value(&arg.value)));
                Doc::Map(vec![Entry::new(&call.name.value, Doc::Seq(inputs.collect()))])
            } else {
                self.call(call)
            };
            entries.push(self.around(item(call.name.span), Entry::new("loss", value)));
        }
        for group in penalties.chunk_by(|a, b| a.kind == b.kind) {
            entries.push(self.penalties(group));
        }
        if let Some(call) = optimizer {
            let value = self.call(call);
            entries.push(self.around(item(call.name.span), Entry::new("optimizer", value)));
        }
        entries.extend(settings.iter().map(|setting| self.setting(setting)));
        Doc::Map(entries)
    }

    /// `l2: {weights: 1.0e-4}`; several of one kind are a list.
    fn penalties(&mut self, group: &[Penalty]) -> Entry {
        let mut items = Vec::new();
        for penalty in group {
            let factor = self.value(&penalty.factor);
            let value = match &penalty.on {
                Some(on) => Doc::Map(vec![Entry::new(&on.value, factor)]),
                None => factor,
            };
            items.push(self.around(item(penalty.factor.span), Entry::item(value)));
        }
        let key = group[0].kind.value.as_str();
        // A list alone would be several penalties.
        let listed = group.iter().any(|one| one.on.is_none() && matches!(one.factor.value, Expr::List(_)));
        match items.as_mut_slice() {
            [_] if !listed => Entry { key: word(key), ..items.remove(0) },
            _ => Entry::new(key, Doc::Seq(items)),
        }
    }

    fn setting(&mut self, setting: &Setting) -> Entry {
        let value = match &setting.value.value {
            Expr::Call(call)
                if (setting.name.value.as_str(), call.name.value.as_str()) == ("predict", "unscale")
                    && call.args.len() == 2
                    && call.args.iter().all(|arg| arg.name.is_none()) =>
            {
                let items = call.args.iter().map(|arg| Entry::item(self.value(&arg.value)));
                Doc::Map(vec![Entry::new(&call.name.value, Doc::Seq(items.collect()))])
            }
            _ => self.value(&setting.value),
        };
        self.around(item(setting.name.span), Entry::new(&setting.name.value, value))
    }

    // ---- bodies -------------------------------------------------------------------------------------------------------------

    fn body(&mut self, name: &str, body: &Body, key: Key) -> Entry {
        let items = body.statements.iter().map(|statement| self.statement(statement)).collect();
        let simple = |statement: &Statement| matches!(statement.action, Action::Invoke(_));
        let short = body.statements.len() <= SHORT && body.statements.iter().all(simple);
        let entry =
            Entry { block: !short && !body.statements.is_empty(), ..Entry::new(name, Doc::Seq(items)) };
        self.open(key, entry)
    }

    fn statement(&mut self, statement: &Statement) -> Entry {
        let Statement { label, action, from, head: _ } = statement;
        let mut entries = Vec::new();
        if let Some(label) = label {
            entries.push(Entry::new("id", Doc::Scalar(word(&label.value))));
        }
        let mut block = false;
        match action {
            Action::Unreadable => unreachable!("internal: what could not be read is not printed"),
            Action::Invoke(call) if label.is_none() && from.is_empty() && call.args.is_empty() => {
                let entry = Entry::item(Doc::Scalar(word(&call.name.value)));
                return self.around(statement_key(statement), entry);
            }
            Action::Invoke(call) => {
                block = label.is_none() && from.is_empty();
                entries.push(Entry::new(&call.name.value, self.args(&call.args, false)));
            }
            Action::Repeat { count, index, body } => {
                entries.push(Entry::new("repeat", self.value(count)));
                let outer = self.scope.len();
                if let Some(index) = index {
                    entries.push(Entry::new("as", Doc::Scalar(word(&index.value))));
                    self.scope.push(index.value.clone());
                }
                entries.push(self.body("body", body, body_key(body)));
                self.scope.truncate(outer);
            }
            Action::For { variable, over, body } => {
                entries
                    .push(Entry::new("for", Doc::Map(vec![Entry::new(&variable.value, self.value(over))])));
                self.scope.push(variable.value.clone());
                entries.push(self.body("body", body, body_key(body)));
                self.scope.pop();
            }
            Action::Residual { body, shortcut } => {
                block = label.is_none();
                entries.push(self.body("residual", body, body_key(body)));
                if let Some(Shortcut { when, body }) = shortcut {
                    let key = body_key(body);
                    let inner = self.body("body", body, key);
                    let when = when.iter().map(|when| Entry::new("when", self.value(when)));
                    let parts = when.chain([inner]).collect();
                    entries.push(Entry::new("shortcut", Doc::Map(parts)));
                }
            }
        }
        if !from.is_empty() {
            let names = from.iter().map(|name| Doc::Scalar(scalar_reference(&name.value)));
            let value = match from.as_slice() {
                [only] => Doc::Scalar(scalar_reference(&only.value)),
                _ => Doc::Seq(names.map(Entry::item).collect()),
            };
            entries.push(Entry::new("from", value));
        }
        self.around(statement_key(statement), Entry { block, ..Entry::item(Doc::Map(entries)) })
    }
}

/// The path of a node as YAML text.
fn scalar_reference(path: &str) -> String {
    let name = path.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name { word(path) } else { scalar(path) }
}
