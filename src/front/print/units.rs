//! The parts of a spec and where each begins and ends in its text, for the comments between them.
//!
//! Contract: parts nest as the text does, and the parts of a region stand in the order of the text. The tree keeps where parts
//! begin; where a body ends is read off the text: by brackets in the language, by indentation in YAML. A tree without a text
//! gives parts of no extent.

use super::super::ast::{Action, Body, CallExpr, Data, Expr, ParamDecl, Spec, Statement, Train};
use super::comments::{Key, Part};
use crate::diag::suppress::Notation;
use crate::source::{Span, Spanned};
use std::collections::BTreeMap;

/// A part.
#[derive(Debug)]
pub struct Unit {
    /// Its name in the table of comments.
    pub key: Key,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// What it encloses.
    pub regions: Vec<Region>,
}

/// What encloses parts.
#[derive(Debug)]
pub struct Region {
    /// Its name in the table of comments.
    pub key: Key,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// The parts in it.
    pub units: Vec<Unit>,
}

/// The key of an item that begins with a span.
pub fn item(span: Span) -> Key {
    (Part::Item, span.start)
}

/// The key of a statement.
pub fn statement_key(statement: &Statement) -> Key {
    (Part::Item, start_of(statement))
}

/// The key of a body.
pub fn body_key(body: &Body) -> Key {
    (Part::Body, body.head.0.start)
}

/// The key of a section.
pub fn section(name: &'static str) -> Key {
    (Part::Section(name), 0)
}

/// The key of what a section encloses.
pub fn inside(name: &'static str) -> Key {
    (Part::Section(name), 1)
}

/// The key of the parameters of a block.
pub fn params_key(params: &[ParamDecl]) -> Key {
    (Part::Body, params.first().map_or(0, |param| param.name.span.start))
}

fn start_of(statement: &Statement) -> u32 {
    let label = statement.label.iter().map(|label| label.span.start);
    let from = statement.from.iter().map(|name| name.span.start);
    label.chain(from).chain([statement.head.0.start]).min().unwrap_or(0)
}

/// The parts of a spec.
pub fn units(spec: &Spec, text: &str) -> Region {
    let finder = Finder { text, notation: spec.notation, brackets: brackets(text) };
    let mut units = finder.sections(spec);
    units.sort_by_key(|unit| unit.start);
    Region { key: (Part::File, 0), start: 0, end: text.len(), units }
}

/// For each opening bracket outside strings and comments the byte of its partner.
fn brackets(text: &str) -> BTreeMap<usize, usize> {
    let mut pairs = BTreeMap::new();
    let mut open = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' && bytes[at] != b'\n' {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
            }
            b'#' => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
            }
            b'(' | b'[' | b'{' => open.push(at),
            b')' | b']' | b'}' => {
                if let Some(start) = open.pop() {
                    pairs.insert(start, at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    pairs
}

struct Finder<'a> {
    text: &'a str,
    notation: Notation,
    brackets: BTreeMap<usize, usize>,
}

impl Finder<'_> {
    fn dsl(&self) -> bool {
        self.notation == Notation::Dsl
    }

    /// The first byte that is no white space of the line that a byte lies in.
    fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or("");
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        start + before[start..].len() - before[start..].trim_start().len()
    }

    /// Where the key of a YAML section stands, given its value.
    fn key_start(&self, name: &str, value: usize) -> usize {
        let before = self.text.get(..value).unwrap_or("");
        let mut end = before.len();
        while let Some(at) = before[..end].rfind(name) {
            let own = at == 0 || before[..at].ends_with('\n');
            if own && before[at + name.len()..].trim_start_matches([' ', '\t']).starts_with(':') {
                return at;
            }
            end = at;
        }
        value
    }

    fn sections(&self, spec: &Spec) -> Vec<Unit> {
        let Spec { version, model, inputs, targets, data, activations, losses, defaults, .. } = spec;
        let Spec { blocks, net, train, expect, properties, .. } = spec;
        let mut units = Vec::new();
        if let Some(version) = version {
            units.push(self.plain("spec", version.span, Vec::new()));
        }
        if let Some(model) = model {
            let params = self.params(&model.params, inside("params"));
            if self.dsl() {
                units.push(self.plain("model", model.name.span, params.into_iter().collect()));
            } else {
                units.push(self.plain("model", model.name.span, Vec::new()));
                units.extend(params.map(|params| self.wrapped("params", params)));
            }
        }
        for (name, list) in [("activations", activations), ("losses", losses)] {
            let items = list.iter().map(|own| {
                // In YAML comments inside belong to the whole.
                let params = self.params(&own.params, params_key(&own.params)).filter(|_| self.dsl());
                unit(item(own.name.span), own.span(), params.into_iter().collect())
            });
            units.extend(self.grouped(name, items.collect()));
        }
        for (name, list) in [("inputs", inputs), ("targets", targets)] {
            let items = list.iter().map(|declared| {
                let chain = declared.chain.iter().map(CallExpr::span);
                let range = declared.range.iter().map(|(_, high)| high.span);
                let end = range.chain(chain).fold(declared.kind.span, Span::to);
                leaf(declared.name.span, declared.name.span.to(end))
            });
            units.extend(self.grouped(name, items.collect()));
        }
        if let Some(data) = data {
            units.push(self.data(data));
        }
        let items = defaults.iter().map(|call| leaf(call.name.span, call.span()));
        units.extend(self.grouped("defaults", items.collect()));
        let items = blocks.iter().map(|block| {
            let params = self.params(&block.params, params_key(&block.params));
            let body = self.body(&block.body);
            let regions = params.into_iter().chain([body]).collect();
            unit(item(block.name.span), block.name.span, regions)
        });
        units.extend(self.grouped("blocks", items.collect()));
        if let Some(net) = net {
            let body = Region { key: inside("net"), ..self.body(net) };
            units.push(self.section("net", net.head.0.range().start, body));
        }
        if let Some(train) = train {
            units.push(self.train(train));
        }
        if let Some(first) = expect.first() {
            let start = first.name.span.range().start;
            let brace = self.enclosing(start);
            let units_of = expect.iter().map(|fact| leaf(fact.name.span, fact.name.span.to(fact.value.span)));
            let region = self.region(inside("expect"), brace, units_of.collect());
            units.push(self.section("expect", brace, region));
        }
        if let Some(first) = properties.first() {
            let brace = self.list_start(first.head.0.range().start);
            let lines = properties.iter().map(|property| leaf(property.head.0, property.head.0)).collect();
            units.push(self.section("properties", brace, self.region(inside("properties"), brace, lines)));
        }
        units
    }

    /// The bracket that encloses the first part of a region; in YAML the byte itself, unless a flow mapping begins with it.
    fn enclosing(&self, at: usize) -> usize {
        if !self.dsl() {
            let before = self.text.get(..at).unwrap_or("").trim_end();
            return if before.ends_with('{') { before.len() - 1 } else { at };
        }
        let around = self.brackets.iter().filter(|(open, close)| **open < at && at < **close);
        around.map(|(open, _)| *open).next_back().unwrap_or(at)
    }

    /// The same of a list, whose items are mappings in YAML.
    fn list_start(&self, at: usize) -> usize {
        if self.dsl() {
            return self.enclosing(at);
        }
        let before = self.text.get(..at).unwrap_or("").trim_end_matches([' ', '{']);
        if before.ends_with('[') { before.len() - 1 } else { self.line_start(at) }
    }

    /// A section that a key and one span describe.
    fn plain(&self, name: &'static str, span: Span, regions: Vec<Region>) -> Unit {
        let at = span.range().start;
        let start = if self.dsl() { self.line_start(at) } else { self.key_start(name, at) };
        Unit { start, ..unit(section(name), span, regions) }
    }

    /// A section with its region.
    fn section(&self, name: &'static str, at: usize, region: Region) -> Unit {
        let start = if self.dsl() { self.line_start(at) } else { self.key_start(name, at.min(region.start)) };
        Unit { key: section(name), start, end: region.end.max(start), regions: vec![region] }
    }

    /// Items that only YAML encloses in a section.
    fn grouped(&self, name: &'static str, items: Vec<Unit>) -> Vec<Unit> {
        if self.dsl() || items.is_empty() {
            return items;
        }
        let start = items.iter().map(|unit| unit.start).min().unwrap_or(0);
        vec![self.wrapped(name, self.region(inside(name), self.enclosing(start), items))]
    }

    fn wrapped(&self, name: &'static str, region: Region) -> Unit {
        let at = region.units.first().map_or(region.start, |unit| unit.start);
        self.section(name, at, Region { key: inside(name), ..region })
    }

    /// A region whose parts are known. Its end is the partner of the bracket that it begins with, else as far as lines of
    /// comments are indented like its parts.
    fn region(&self, key: Key, at: usize, mut units: Vec<Unit>) -> Region {
        units.sort_by_key(|unit| unit.start);
        let bracket = self.text.as_bytes().get(at).is_some_and(|b| b"([{".contains(b));
        if let Some(&end) = self.brackets.get(&at).filter(|_| bracket) {
            return Region { key, start: at, end, units };
        }
        let start = units.first().map_or(at, |unit| unit.start.min(at)).min(self.text.len());
        let end = units.iter().map(|unit| unit.end).fold(at, usize::max).min(self.text.len());
        if self.dsl() {
            return Region { key, start, end, units };
        }
        Region { key, start: self.comments_above(start), end: self.comments_below(start, end), units }
    }

    /// The beginning of the comment lines right above the line that a byte of YAML begins.
    fn comments_above(&self, at: usize) -> usize {
        let line = self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let lead = self.text.get(line..at).unwrap_or("");
        if !lead.trim().trim_start_matches('-').trim().is_empty() {
            return at;
        }
        let mut start = line;
        while let Some(above) = self.text[..start].strip_suffix('\n') {
            let from = above.rfind('\n').map_or(0, |at| at + 1);
            let text = above[from..].trim();
            if !text.is_empty() && !text.starts_with('#') {
                break;
            }
            start = from;
        }
        start
    }

    /// The end of a region of YAML: of its last line, and of the comment lines below that are indented like its first.
    fn comments_below(&self, start: usize, end: usize) -> usize {
        let column = |at: usize| at - self.text[..at].rfind('\n').map_or(0, |at| at + 1);
        let indent = column(self.line_start(start));
        let mut last = end + self.text[end..].find('\n').unwrap_or(self.text.len() - end);
        let mut line = last + 1;
        while line < self.text.len() && indent > 0 {
            let length = self.text[line..].find('\n').unwrap_or(self.text.len() - line);
            let text = &self.text[line..line + length];
            let own = text.len() - text.trim_start().len();
            match text.trim_start() {
                "" => {}
                comment if comment.starts_with('#') && own >= indent => last = line + length,
                _ => break,
            }
            line += length + 1;
        }
        last
    }

    fn params(&self, params: &[ParamDecl], key: Key) -> Option<Region> {
        let first = params.first()?;
        let units = params.iter().map(|param| {
            let ends = param.default.iter().chain(param.range.iter().flat_map(|(lo, hi)| [lo, hi]));
            leaf(param.name.span, ends.fold(param.name.span, |span, value| span.to(value.span)))
        });
        Some(self.region(key, self.enclosing(first.name.span.range().start), units.collect()))
    }

    fn data(&self, data: &Data) -> Unit {
        let Data { splits, rule, columns, overrides, generated, head } = data;
        let mut units = Vec::new();
        for split in splits {
            units.push(leaf(split.name.span, split.name.span.to(split.source.span())));
        }
        if let Some(rule) = rule {
            let shares = rule.shares.iter().map(|share| share.name.span.to(share.value.span));
            units.push(leaf(rule.by.name.span, shares.fold(rule.by.span(), Span::to)));
        }
        units.extend(generated.iter().map(|call| leaf(call.name.span, call.span())));
        for column in columns {
            let shape = column.shape.iter().map(|shape| shape.span);
            let chain = column.chain.iter().map(CallExpr::span);
            let whole = shape.chain(chain).fold(column.name.span.to(column.source.span()), Span::to);
            units.push(leaf(column.name.span, whole));
        }
        for own in overrides {
            let chain = own.chain.iter().map(CallExpr::span);
            units.push(leaf(own.group.span, chain.fold(own.group.span, Span::to)));
        }
        let at = self.brace_behind(head.0);
        self.section("data", head.0.range().start, self.region(inside("data"), at, units))
    }

    /// The brace behind the keyword of a section; the beginning of the value in YAML.
    fn brace_behind(&self, head: Span) -> usize {
        let at = head.range();
        if !self.dsl() {
            return at.start;
        }
        self.text.get(at.end..).and_then(|rest| rest.find('{')).map_or(at.start, |brace| at.end + brace)
    }

    fn train(&self, train: &Train) -> Unit {
        let Train { loss, penalties, optimizer, settings, head } = train;
        let mut units = Vec::new();
        for call in loss.iter().chain(optimizer) {
            units.push(leaf(call.name.span, call.span()));
        }
        for penalty in penalties {
            let on = penalty.on.iter().map(|on| on.span);
            let own = on.fold(penalty.factor.span, Span::to);
            // Several of one kind share its key in YAML.
            let whole = if self.dsl() { penalty.kind.span.to(own) } else { own };
            units.push(leaf(penalty.factor.span, whole));
        }
        for setting in settings {
            units.push(leaf(setting.name.span, setting.name.span.to(setting.value.span)));
        }
        let at = self.brace_behind(head.0);
        self.section("train", head.0.range().start, self.region(inside("train"), at, units))
    }

    fn body(&self, body: &Body) -> Region {
        let units = body.statements.iter().map(|statement| self.statement(statement)).collect();
        self.region(body_key(body), body.head.0.range().start, units)
    }

    fn statement(&self, statement: &Statement) -> Unit {
        let Statement { label, action, from, head } = statement;
        let label = label.iter().map(|label| label.span);
        let from = from.iter().map(|name| name.span);
        let mut whole = label.chain(from).fold(head.0, Span::to);
        let mut see = |expr: &Spanned<Expr>| whole = whole.to(expr.span);
        let regions = match action {
            Action::Unreadable | Action::Invoke(_) => Vec::new(),
            Action::Repeat { count, body, .. } => {
                see(count);
                vec![self.body(body)]
            }
            Action::For { over, body, .. } => {
                see(over);
                vec![self.body(body)]
            }
            Action::Residual { body, shortcut } => {
                let beside = shortcut.iter().map(|shortcut| self.body(&shortcut.body));
                std::iter::once(self.body(body)).chain(beside).collect()
            }
        };
        let start = start_of(statement) as usize;
        Unit { start, ..unit(statement_key(statement), whole, regions) }
    }
}

/// A part that a span and its regions make up.
/// An item without an inside.
fn leaf(key: Span, whole: Span) -> Unit {
    unit(item(key), whole, Vec::new())
}

fn unit(key: Key, span: Span, regions: Vec<Region>) -> Unit {
    let range = span.range();
    let end = regions.iter().map(|region| region.end).fold(range.end, usize::max);
    Unit { key, start: range.start, end, regions }
}
