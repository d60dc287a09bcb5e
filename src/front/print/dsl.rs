//! The model language, `.nn`.
//!
//! Contract: one layout for every tree. Names of a body form a column, `<-` another; the first argument of an op is positional where
//! it must be given, the others are named. Sections keep the order of the text that they were read from.

use super::super::ast::{
    Action, Block, Body, CallExpr, Data, Declared, Expr, Override, Own, ParamDecl, Property, Setting, Spec,
    SplitRule, Statement, Train,
};
use super::comments::{Comments, Key, Note};
use super::expr::Writer;
use super::layout::{Piece, WIDTH, add, behind, blank, filled, own_lines, width};
use super::units::{body_key, inside, item, params_key, section, statement_key};
use super::{Callee, positional};
use crate::source::{Sources, Spanned};

/// Names of the data section, and the words `input` and `target`, take at least so many columns.
const NAMES: usize = 7;
/// `<-` stands so far behind the longest statement that has one.
const GAP: usize = 3;

/// A spec in the model language.
pub fn dsl(spec: &Spec, sources: &Sources) -> String {
    let comments = Comments::of(spec, sources);
    let mut printer = Printer { spec, writer: Writer { sources: Some(sources) }, comments };
    let mut out = Vec::new();
    let mut last = None;
    for (group, piece) in printer.entries() {
        if last.is_some() && (group == Group::Alone || last != Some(group)) {
            blank(&mut out);
        }
        last = Some(group);
        add(&mut out, 0, piece);
    }
    let mut rest = printer.comments.rest();
    if let (Some(first), false) = (rest.first_mut(), out.is_empty()) {
        first.blank = true;
    }
    own_lines(&mut out, 0, rest);
    out.join("\n") + "\n"
}

/// Sections of one group stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Head,
    Own,
    Feeds,
    Defaults,
    Alone,
}

struct Printer<'a> {
    spec: &'a Spec,
    writer: Writer<'a>,
    comments: Comments,
}

impl Printer<'_> {
    fn entries(&mut self) -> Vec<(Group, Piece)> {
        let spec = self.spec;
        let Spec { version, model, inputs, targets, data, activations, losses, defaults, .. } = spec;
        let Spec { blocks, net, train, expect, properties, .. } = spec;
        let mut head = Vec::new();
        if let Some(version) = version {
            head.push((Group::Head, self.section("spec", vec![format!("spec {}", version.value)])));
        }
        if let Some(model) = model {
            let lines =
                self.with_params(&format!("model {}", model.name.value), &model.params, inside("params"), "");
            let mut piece = self.section("model", lines);
            let params = self.comments.before(section("params"));
            piece.before.extend(params);
            piece.behind.extend(self.comments.behind(section("params")));
            head.push((Group::Head, piece));
        }
        let mut entries: Vec<(u32, Group, Piece)> = Vec::new();
        for (word, name, list) in [("activation", "activations", activations), ("loss", "losses", losses)] {
            let mut pieces = Vec::new();
            for own in list {
                let lines = self.own(word, own);
                pieces.push((own.name.span.start, self.top(item(own.name.span), lines)));
            }
            self.grouped(name, Group::Own, pieces, &mut entries);
        }
        for (word, name, list) in [("input", "inputs", inputs), ("target", "targets", targets)] {
            let names = list.iter().map(|declared| width(&declared.name.value)).max().unwrap_or(0) + 2;
            let mut pieces = Vec::new();
            for declared in list {
                let lines = self.declared(word, names, declared);
                pieces.push((declared.name.span.start, self.top(item(declared.name.span), lines)));
            }
            self.grouped(name, Group::Feeds, pieces, &mut entries);
        }
        if let Some(data) = data {
            let lines = self.data(data);
            entries.push((data.head.0.start, Group::Alone, self.section("data", lines)));
        }
        let mut pieces = Vec::new();
        for call in defaults {
            let lines = self.call("default ".len(), "default ", call, Callee::Op, true);
            pieces.push((call.name.span.start, self.top(item(call.name.span), lines)));
        }
        self.grouped("defaults", Group::Defaults, pieces, &mut entries);
        let mut pieces = Vec::new();
        for block in blocks {
            let lines = self.block(block);
            pieces.push((block.name.span.start, self.top(item(block.name.span), lines)));
        }
        self.grouped("blocks", Group::Alone, pieces, &mut entries);
        if let Some(net) = net {
            let lines = self.braced("net {", "}", net, inside("net"), 0);
            entries.push((net.head.0.start, Group::Alone, self.section("net", lines)));
        }
        if let Some(train) = train {
            let lines = self.train(train);
            entries.push((train.head.0.start, Group::Alone, self.section("train", lines)));
        }
        if let Some(first) = expect.first() {
            let lines = self.expect(expect);
            entries.push((first.name.span.start, Group::Alone, self.section("expect", lines)));
        }
        if let Some(first) = properties.first() {
            let lines = self.properties(properties);
            entries.push((first.head.0.start, Group::Alone, self.section("properties", lines)));
        }
        entries.sort_by_key(|(start, ..)| *start);
        head.into_iter().chain(entries.into_iter().map(|(_, group, piece)| (group, piece))).collect()
    }

    /// Items that YAML encloses in a section; the language has no place of its own for the comments of that section.
    fn grouped(
        &mut self,
        name: &'static str,
        group: Group,
        mut pieces: Vec<(u32, Piece)>,
        entries: &mut Vec<(u32, Group, Piece)>,
    ) {
        if let Some((_, first)) = pieces.first_mut() {
            let mut notes = self.comments.before(section(name));
            notes.extend(self.comments.open(inside(name)));
            notes.extend(self.comments.behind(section(name)));
            notes.append(&mut first.before);
            first.before = notes;
        }
        if let Some((_, last)) = pieces.last_mut() {
            own_lines(&mut last.lines, 0, self.comments.tail(inside(name)));
        }
        entries.extend(pieces.into_iter().map(|(start, piece)| (start, group, piece)));
    }

    /// A section with the comments around it.
    fn section(&mut self, name: &'static str, lines: Vec<String>) -> Piece {
        self.top(section(name), lines)
    }

    /// A top-level part with the comments around it. A suppression that covers one part in YAML would cover the whole file on a
    /// line of its own, and goes behind the part if that is one line.
    fn top(&mut self, key: Key, lines: Vec<String>) -> Piece {
        let mut piece = self.piece(key, lines);
        let covers_one = |note: &Note| note.suppression && !note.top_level;
        if piece.lines.len() == 1
            && piece.behind.is_empty()
            && let Some(at) = piece.before.iter().position(covers_one)
        {
            piece.behind.push(piece.before.remove(at));
        }
        piece
    }

    fn piece(&mut self, key: Key, lines: Vec<String>) -> Piece {
        let blank = self.comments.blank(key);
        Piece { before: self.comments.before(key), lines, behind: self.comments.behind(key), blank }
    }

    /// `opener`, what stands in the braces, `closer`. Comments for which the opening line has no room go inside.
    fn enclose(
        &mut self,
        opener: &str,
        closer: &str,
        key: Key,
        indent: usize,
        inner: Vec<String>,
    ) -> Vec<String> {
        let mut first = opener.to_owned();
        let over = behind(&mut first, self.comments.open(key));
        let mut lines = vec![first];
        let mut body = Vec::new();
        own_lines(&mut body, indent + 2, over);
        body.extend(inner);
        own_lines(&mut body, indent + 2, self.comments.tail(key));
        lines.append(&mut body);
        lines.push(format!("{:indent$}{closer}", ""));
        lines
    }

    // ---- calls --------------------------------------------------------------------------------------------------------------

    /// The arguments of a call, positional ones first.
    fn args(&self, call: &CallExpr, callee: Callee) -> Vec<String> {
        let bare = positional(self.spec, call, callee);
        let all = call.args.iter().enumerate();
        all.map(|(i, arg)| if i < bare { self.writer.expr(&arg.value) } else { self.writer.arg(arg) })
            .collect()
    }

    /// A call behind `prefix`, whose first line begins at column `lead` with it.
    fn call(&self, lead: usize, prefix: &str, call: &CallExpr, callee: Callee, parens: bool) -> Vec<String> {
        if call.args.is_empty() && !parens {
            return vec![format!("{prefix}{}", call.name.value)];
        }
        let head = format!("{prefix}{}(", call.name.value);
        filled(lead - width(prefix), &head, &self.args(call, callee), ")")
    }

    /// Adds a chain of transforms: behind what is there if that fits, else a line for each.
    fn chain(&self, mut lines: Vec<String>, indent: usize, chain: &[CallExpr]) -> Vec<String> {
        let Some(last) = lines.last_mut().filter(|_| !chain.is_empty()) else { return lines };
        let step = |call: &CallExpr, lead: usize| {
            let prefix = format!("{:lead$}|> ", "");
            self.call(width(&prefix), &prefix, call, Callee::Transform, false)
        };
        let steps: Vec<Vec<String>> = chain.iter().map(|call| step(call, 0)).collect();
        let whole = format!("{last} {}", steps.concat().join(" "));
        if steps.iter().all(|step| step.len() == 1) && width(&whole) <= WIDTH {
            *last = whole;
        } else {
            lines.extend(chain.iter().flat_map(|call| step(call, indent)));
        }
        lines
    }

    // ---- sections -----------------------------------------------------------------------------------------------------------

    fn declared(&mut self, word: &str, names: usize, declared: &Declared) -> Vec<String> {
        let mut kind = self.writer.type_expr(&declared.kind.value);
        if let Some((low, high)) = &declared.range {
            kind.push_str(&format!(" in {}..{}", self.writer.expr(low), self.writer.expr(high)));
        }
        let name = format!("{}:", declared.name.value);
        self.chain(vec![format!("{word:<NAMES$}{name:<names$}{kind}")], NAMES + names, &declared.chain)
    }

    fn param(&self, param: &ParamDecl) -> String {
        let mut text = param.name.value.clone();
        if let Some(default) = &param.default {
            text.push_str(&format!(" = {}", self.writer.expr(default)));
        }
        if let Some((low, high)) = &param.range {
            text.push_str(&format!(" in {}..{}", self.writer.expr(low), self.writer.expr(high)));
        }
        text
    }

    /// `head(a, b = 1)tail`; a line for each parameter where comments stand between them.
    fn with_params(&mut self, head: &str, params: &[ParamDecl], key: Key, tail: &str) -> Vec<String> {
        if params.is_empty() {
            return vec![format!("{head}{tail}")];
        }
        let texts: Vec<String> = params.iter().map(|param| self.param(param)).collect();
        let noted = params.iter().any(|param| self.comments.touches(item(param.name.span)));
        if !noted && !self.comments.touches(key) {
            return filled(0, &format!("{head}("), &texts, &format!("){tail}"));
        }
        let mut inner = Vec::new();
        for (i, (param, text)) in params.iter().zip(texts).enumerate() {
            let comma = if i + 1 == params.len() { "" } else { "," };
            let piece = self.piece(item(param.name.span), vec![format!("  {text}{comma}")]);
            add(&mut inner, 2, piece);
        }
        self.enclose(&format!("{head}("), &format!("){tail}"), key, 0, inner)
    }

    /// `activation name(x) = value  grad = slope`, the slope on a line of its own where they do not fit on one.
    fn own(&mut self, word: &str, own: &Own) -> Vec<String> {
        let Own { name, params, value, slope } = own;
        let head = format!("{word} {}", name.value);
        let tail = format!(" = {}", self.writer.expr(value));
        let mut lines = self.with_params(&head, params, params_key(params), &tail);
        let slope =
            slope.as_ref().map(|slope| format!("{} = {}", slope.word(), self.writer.expr(&slope.formula)));
        if let (Some(slope), Some(last)) = (slope, lines.last_mut()) {
            if width(last) + 2 + width(&slope) <= WIDTH {
                last.push_str(&format!("  {slope}"));
            } else {
                lines.push(format!("  {slope}"));
            }
        }
        lines
    }

    fn block(&mut self, block: &Block) -> Vec<String> {
        let head = format!("block {}", block.name.value);
        let mut lines = self.with_params(&head, &block.params, params_key(&block.params), " {");
        let opener = lines.pop().unwrap_or_default();
        lines.extend(self.braced(&opener, "}", &block.body, body_key(&block.body), 0));
        lines
    }

    fn data(&mut self, data: &Data) -> Vec<String> {
        let Data { splits, rule, columns, overrides, generated, head: _ } = data;
        let names = splits.iter().map(|split| &split.name).chain(columns.iter().map(|column| &column.name));
        let longest = names.map(|name| width(&name.value) + 1).max().unwrap_or(0).max(NAMES);
        let mut pieces: Vec<(u32, Piece)> = Vec::new();
        for split in splits {
            let prefix = format!("  {:<longest$}", split.name.value);
            let lines = self.call(width(&prefix), &prefix, &split.source, Callee::Source, true);
            pieces.push((split.name.span.start, self.piece(item(split.name.span), lines)));
        }
        if let Some(SplitRule { by, shares }) = rule {
            let mut line = format!("  split by {}({})", by.name.value, self.writer.args(&by.args));
            for share in shares {
                line.push_str(&format!(" {} {}", share.name.value, self.writer.expr(&share.value)));
            }
            pieces.push((by.name.span.start, self.piece(item(by.name.span), vec![line])));
        }
        if let Some(call) = generated {
            let lines = self.call(7, "  rows ", call, Callee::Source, true);
            pieces.push((call.name.span.start, self.piece(item(call.name.span), lines)));
        }
        for column in columns {
            let prefix = format!("  {:<longest$}", column.name.value);
            let mut lines = self.call(width(&prefix), &prefix, &column.source, Callee::Source, true);
            if let (Some(shape), Some(last)) = (&column.shape, lines.last_mut()) {
                last.push_str(&format!(" as {}", self.writer.expr(shape)));
            }
            let lines = self.chain(lines, width(&prefix), &column.chain);
            pieces.push((column.name.span.start, self.piece(item(column.name.span), lines)));
        }
        for group in overrides.chunk_by(|a, b| a.split == b.split) {
            pieces.push((group[0].group.span.start, self.overrides(group)));
        }
        pieces.sort_by_key(|(start, _)| *start);
        let mut inner = Vec::new();
        pieces.into_iter().for_each(|(_, piece)| add(&mut inner, 2, piece));
        self.enclose("data {", "}", inside("data"), 0, inner)
    }

    /// `on test { x |> standardize(fit=test) }`, or a line for each group.
    fn overrides(&mut self, group: &[Override]) -> Piece {
        let mut pieces = Vec::new();
        for own in group {
            let lines = self.chain(vec![format!("    {}", own.group.value)], 6, &own.chain);
            pieces.push(self.piece(item(own.group.span), lines));
        }
        let split = &group[0].split.value;
        if let [only] = pieces.as_mut_slice()
            && only.lines.len() == 1
            && only.before.is_empty()
        {
            let line = format!("  on {split} {{ {} }}", only.lines[0].trim_start());
            return Piece { lines: vec![line], ..std::mem::take(only) };
        }
        let mut lines = vec![format!("  on {split} {{")];
        let mut body = Vec::new();
        pieces.into_iter().for_each(|piece| add(&mut body, 4, piece));
        lines.append(&mut body);
        lines.push("  }".to_owned());
        Piece { lines, ..Piece::default() }
    }

    fn train(&mut self, train: &Train) -> Vec<String> {
        let Train { loss, penalties, optimizer, settings, head: _ } = train;
        let mut pieces: Vec<(bool, Piece)> = Vec::new();
        if let Some(call) = loss {
            let lines = self.call(7, "  loss ", call, Callee::Loss, true);
            pieces.push((false, self.piece(item(call.name.span), lines)));
        }
        for penalty in penalties {
            let on = penalty.on.as_ref().map_or(String::new(), |on| format!(" on {}", on.value));
            let factor = self.writer.expr(&penalty.factor);
            let line = format!("  {:<5}{factor}{on}", penalty.kind.value);
            pieces.push((false, self.piece(item(penalty.factor.span), vec![line])));
        }
        if let Some(call) = optimizer {
            let lines = self.call(2, "  ", call, Callee::Optimizer, true);
            pieces.push((true, self.piece(item(call.name.span), lines)));
        }
        for setting in settings {
            let line = format!("  {}", self.setting(setting));
            pieces.push((true, self.piece(item(setting.name.span), vec![line])));
        }
        let key = inside("train");
        let bare = !self.comments.touches(key) && penalties.is_empty();
        if let [(false, Piece { lines, before, behind, .. })] = pieces.as_slice()
            && let [line] = lines.as_slice()
            && bare
            && before.is_empty()
            && behind.is_empty()
        {
            return vec![format!("train {{ {} }}", line.trim_start())];
        }
        let inner = joined(pieces);
        self.enclose("train {", "}", key, 0, inner)
    }

    fn setting(&self, setting: &Setting) -> String {
        format!("{} {}", setting.name.value, self.writer.expr(&setting.value))
    }

    fn expect(&mut self, facts: &[Setting]) -> Vec<String> {
        let texts: Vec<String> = facts.iter().map(|fact| self.setting(fact)).collect();
        let key = inside("expect");
        let whole = format!("expect {{ {} }}", texts.join("  "));
        let noted = facts.iter().any(|fact| self.comments.touches(item(fact.name.span)));
        if width(&whole) <= WIDTH && !noted && !self.comments.touches(key) {
            return vec![whole];
        }
        let mut pieces = Vec::new();
        for (fact, text) in facts.iter().zip(texts) {
            pieces.push((true, self.piece(item(fact.name.span), vec![format!("  {text}")])));
        }
        let inner = joined(pieces);
        self.enclose("expect {", "}", key, 0, inner)
    }

    /// One property a line.
    fn properties(&mut self, properties: &[Property]) -> Vec<String> {
        let mut inner = Vec::new();
        for property in properties {
            let line = format!("  {}", self.writer.property(property));
            let piece = self.piece(item(property.head.0), vec![line]);
            add(&mut inner, 2, piece);
        }
        self.enclose("property {", "}", inside("properties"), 0, inner)
    }

    // ---- bodies -------------------------------------------------------------------------------------------------------------

    /// `opener`, the statements, `closer`.
    fn braced(&mut self, opener: &str, closer: &str, body: &Body, key: Key, indent: usize) -> Vec<String> {
        let inner = self.statements(body, indent + 2);
        self.enclose(opener, closer, key, indent, inner)
    }

    fn statements(&mut self, body: &Body, indent: usize) -> Vec<String> {
        let labels = body.statements.iter().filter_map(|statement| statement.label.as_ref());
        let column = labels.map(|label| width(&label.value) + 2).max().unwrap_or(0);
        let wired = |statement: &&Statement| !statement.from.is_empty();
        let arrow = body.statements.iter().filter(wired).filter_map(|statement| match &statement.action {
            Action::Invoke(call) => {
                let lines = self.call(indent + column, "", call, Callee::Op, false);
                (lines.len() == 1).then(|| indent + column + width(&lines[0]) + GAP)
            }
            _ => None,
        });
        let arrow = arrow.max().unwrap_or(0);
        let mut out = Vec::new();
        for statement in &body.statements {
            let lines = self.statement(statement, indent, column, arrow);
            let piece = self.piece(statement_key(statement), lines);
            // Comments before an unnamed statement stand in the column of the names.
            add(&mut out, indent, piece);
        }
        out
    }

    fn statement(
        &mut self,
        statement: &Statement,
        indent: usize,
        column: usize,
        arrow: usize,
    ) -> Vec<String> {
        let label = statement.label.as_ref().map_or(String::new(), |label| format!("{}:", label.value));
        let lead = format!("{:indent$}{label:<column$}", "");
        // What a named statement opens is indented under its name, else under the statement.
        let inner = if statement.label.is_some() { indent } else { indent + column };
        let mut lines = match &statement.action {
            Action::Unreadable => unreachable!("internal: what could not be read is not printed"),
            Action::Invoke(call) => self.call(width(&lead), &lead, call, Callee::Op, false),
            Action::Repeat { count, index, body } => {
                let index = index.as_ref().map_or(String::new(), |index| format!(" as {}", index.value));
                let opener = format!("{lead}repeat {}{index} {{", self.writer.expr(count));
                self.braced(&opener, "}", body, body_key(body), inner)
            }
            Action::For { variable, over, body } => {
                let opener = format!("{lead}for {} in {} {{", variable.value, self.writer.expr(over));
                self.braced(&opener, "}", body, body_key(body), inner)
            }
            Action::Residual { body, shortcut } => {
                let opener = format!("{lead}residual {{");
                let mut lines = self.braced(&opener, "}", body, body_key(body), inner);
                if let Some(shortcut) = shortcut {
                    let when = |when: &Spanned<Expr>| format!(" when {}", self.writer.expr(when));
                    let when = shortcut.when.as_ref().map_or(String::new(), when);
                    lines.pop();
                    let opener = format!("{:inner$}}} shortcut{when} {{", "");
                    lines.extend(self.braced(&opener, "}", &shortcut.body, body_key(&shortcut.body), inner));
                }
                lines
            }
        };
        if let (Some(last), false) = (lines.last_mut(), statement.from.is_empty()) {
            let names: Vec<&str> = statement.from.iter().map(|name| name.value.as_str()).collect();
            let simple = matches!(statement.action, Action::Invoke(_));
            let gap = if simple { arrow.saturating_sub(width(last)).max(GAP) } else { 1 };
            last.push_str(&format!("{:gap$}<- {}", "", names.join(", ")));
        }
        lines
    }
}

/// Puts pieces that may share a line on one, two blanks apart, as far as comments and the width allow.
fn joined(pieces: Vec<(bool, Piece)>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open = false;
    for (shares, piece) in pieces {
        let alone = !shares || piece.lines.len() > 1;
        let plain = piece.before.is_empty() && !alone;
        let text = piece.lines.first().map_or("", |line| line.trim_start()).to_owned();
        match out.last_mut() {
            Some(last) if open && plain && width(last) + 2 + width(&text) <= WIDTH => {
                last.push_str("  ");
                last.push_str(&text);
                open = piece.behind.is_empty();
                let over = behind(last, piece.behind);
                own_lines(&mut out, 2, over);
            }
            _ => {
                open = !alone && piece.behind.is_empty();
                add(&mut out, 2, piece);
            }
        }
    }
    out
}
