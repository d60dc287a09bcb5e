//! Diagnostics as text. The only file that names miette.
//!
//! Contract: the same findings give the same bytes for a given [`Look`]; width and colour are decided by the
//! caller, never read from the terminal here. Lines of the source that are too long to read are cut around what
//! is underlined, and control characters are shown as spaces, so no spec can write to the terminal.

use super::{Diagnostic, Diagnostics, Label, Place, Severity};
use crate::source::{Sources, Span};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};
use std::fmt::{self, Write};
use std::ops::Range;

/// Longest source line that is shown whole, in characters.
const LONGEST_LINE: usize = 160;
/// What stays of a longer line before and behind the underlined place.
const KEPT: usize = 60;
/// Findings beyond this many are counted, not shown.
const MOST_SHOWN: usize = 100;

/// How text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Columns before a line of prose is wrapped.
    pub width: usize,
}

impl Look {
    /// The look of snapshots, logs and pipes.
    pub const PLAIN: Self = Self { colour: false, width: 110 };
}

/// All findings, each with its source, in order.
#[must_use]
pub fn full(found: &Diagnostics, sources: &Sources, look: Look) -> String {
    let mut out = String::new();
    for diagnostic in found.iter().take(MOST_SHOWN) {
        out.push_str(&one(diagnostic, sources, look));
        out.push('\n');
    }
    if let Some(more) = found.iter().count().checked_sub(MOST_SHOWN).filter(|&more| more > 0) {
        let _ = writeln!(out, "... and {more} more findings\n");
    }
    out
}

/// One line for each finding: `file:line:column: severity[CODE] message`.
#[must_use]
pub fn concise(found: &Diagnostics, sources: &Sources) -> String {
    let mut out = String::new();
    for d in found {
        let (file, start, _) = d.location(sources);
        let expected = if d.expected { " (expected)" } else { "" };
        let (line, column) = (start.line, start.column);
        let (severity, code, message) = (d.severity, d.rule.code, clean(&d.message));
        let _ = writeln!(out, "{}:{line}:{column}: {severity}[{code}] {message}{expected}", clean(&file));
    }
    out
}

/// One finding: header, source with labels, facts, help.
#[must_use]
pub fn one(d: &Diagnostic, sources: &Sources, look: Look) -> String {
    let mut out = String::new();
    let expected = if d.expected { "expected " } else { "" };
    let tag = paint(look, severity_style(d), &format!("{expected}{}[{}]", d.severity, d.rule.code));
    let _ = writeln!(out, "{tag}: {}", clean(&d.message));
    match &d.place {
        Place::Source(span) => {
            let own = std::iter::once(Label { span: *span, text: d.remark.clone() });
            let mut labels: Vec<Label> = own.chain(d.labels.iter().cloned()).collect();
            while let Some(first) = labels.first().map(|label| label.span.file) {
                let (here, rest): (Vec<Label>, Vec<Label>) =
                    labels.into_iter().partition(|l| l.span.file == first);
                let file = sources.file(first);
                let places: Vec<(Range<usize>, String)> =
                    here.into_iter().map(|l| (one_line(&file.text, l.span), l.text)).collect();
                out.push_str(&snippet(&file.name, &file.text, 0, &places, d, look));
                labels = rest;
            }
        }
        Place::Row { file, at, width, text } => {
            let start = text.char_indices().nth(at.column - 1).map_or(text.len(), |(i, _)| i);
            let end = text[start..].char_indices().nth(*width).map_or(text.len(), |(i, _)| start + i);
            out.push_str(&snippet(file, text, at.line - 1, &[(start..end, d.remark.clone())], d, look));
            labels_elsewhere(&mut out, d, sources, look);
        }
        Place::File(name) => {
            let _ = writeln!(out, "   --> {}", clean(name));
            labels_elsewhere(&mut out, d, sources, look);
        }
    }
    if let Some(node) = &d.node {
        let _ = writeln!(out, "   = node  {node}");
    }
    for (key, text) in &d.notes {
        // A spec and a command are copied as they stand.
        let width = if ["spec", "replay"].contains(key) { usize::MAX } else { look.width };
        wrapped(&mut out, &format!("   = {key:<4}  "), &clean(text), width);
    }
    if let Some(help) = &d.help {
        let fix = d.fix.as_ref().map_or(String::new(), |fix| format!("  [fix: {fix}]"));
        wrapped(&mut out, "   help: ", &format!("{}{fix}", clean(help)), look.width);
    }
    out
}

/// The labels of a finding whose primary place is not in a spec.
fn labels_elsewhere(out: &mut String, d: &Diagnostic, sources: &Sources, look: Look) {
    for label in &d.labels {
        let file = sources.file(label.span.file);
        let place = (one_line(&file.text, label.span), label.text.clone());
        out.push_str(&snippet(&file.name, &file.text, 0, &[place], d, look));
    }
}

/// Clips a span to its first line and makes it at least one character wide where the line has one.
fn one_line(text: &str, span: Span) -> Range<usize> {
    let Range { start, end } = span.range();
    let start = start.min(text.len());
    let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
    let end = end.min(line_end);
    if end > start {
        return start..end;
    }
    if start < line_end {
        let width = text[start..].chars().next().map_or(0, char::len_utf8);
        return start..start + width;
    }
    // At the end of a line there is nothing to underline but the place itself.
    start..start
}

fn snippet(
    name: &str,
    text: &str,
    line_offset: usize,
    places: &[(Range<usize>, String)],
    d: &Diagnostic,
    look: Look,
) -> String {
    // Where lines are cut, the columns of the excerpt are not those of the file.
    let column = |at: usize| text[text[..at].rfind('\n').map_or(0, |end| end + 1)..at].chars().count();
    let original: Vec<usize> = places.iter().map(|(range, _)| column(range.start)).collect();
    let (text, places) = cut_long_lines(text, places);
    let columns = places.iter().map(|(range, _)| range.start).zip(original).collect();
    let labels = places
        .into_iter()
        .enumerate()
        .map(|(i, (range, remark))| {
            let remark = (!remark.is_empty()).then(|| clean(&remark));
            if i == 0 {
                LabeledSpan::new_primary_with_span(remark, range)
            } else {
                LabeledSpan::new_with_span(remark, range)
            }
        })
        .collect();
    let report = Report {
        labels,
        source: Excerpt { name: clean(name), text, line_offset, columns },
        severity: d.severity,
    };
    let mut theme = if look.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    theme.characters.error = String::new();
    theme.characters.warning = String::new();
    theme.characters.advice = String::new();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(look.width.max(LONGEST_LINE + 20))
        .with_context_lines(1)
        .with_primary_span_start()
        .with_links(false);
    let mut drawn = String::new();
    if handler.render_report(&mut drawn, &report).is_err() {
        return String::new();
    }
    // The first line is miette's own header, which is empty because the header above says it already.
    drawn.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
}

/// Shortens unreadably long lines around what is underlined in them and moves the places along.
fn cut_long_lines(text: &str, places: &[(Range<usize>, String)]) -> (String, Vec<(Range<usize>, String)>) {
    let mut out = String::with_capacity(text.len());
    let mut moved: Vec<(Range<usize>, String)> = places.to_vec();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let range = start..start + line.len();
        start = range.end;
        let inside = |at: usize| at >= range.start && at < range.end.max(range.start + 1);
        let base = out.len();
        let (kept, prefix) = if line.chars().count() <= LONGEST_LINE {
            (0..line.len(), "")
        } else {
            let middle =
                places.iter().find(|(p, _)| inside(p.start)).map_or(0, |(p, _)| p.start - range.start);
            let from = line[..middle].char_indices().rev().nth(KEPT).map_or(0, |(i, _)| i);
            let to = line[middle..].char_indices().nth(KEPT).map_or(line.len(), |(i, _)| middle + i);
            (from..to, if from > 0 { "…" } else { "" })
        };
        out.push_str(prefix);
        out.extend(line[kept.clone()].chars().map(blank));
        if kept.end < line.len() {
            out.push_str("…\n");
        }
        for ((place, _), (target, _)) in places.iter().zip(&mut moved) {
            if inside(place.start) || (place.start == text.len() && range.end == text.len()) {
                let shift = |at: usize| {
                    base + prefix.len() + at.saturating_sub(range.start + kept.start).min(kept.len())
                };
                *target = shift(place.start)..shift(place.end);
            }
        }
    }
    (out, moved)
}

/// A control character of an excerpt as a space of as many bytes, so that places stay where they are.
#[inline]
fn blank(c: char) -> char {
    match c {
        _ if !c.is_control() || c == '\n' || c == '\t' => c,
        _ if c.is_ascii() => ' ',
        _ => '\u{a0}',
    }
}

/// Replaces control characters, so that text from a spec cannot steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Writes `head` and the words of `text`, wrapped at `width` and indented under the first word.
fn wrapped(out: &mut String, head: &str, text: &str, width: usize) {
    let indent = " ".repeat(head.chars().count());
    let mut column = head.chars().count();
    out.push_str(head);
    for (n, paragraph) in text.lines().enumerate() {
        if n > 0 {
            out.push('\n');
            out.push_str(if paragraph.is_empty() { "" } else { &indent });
            column = indent.len();
        }
        for (i, word) in paragraph.split(' ').enumerate() {
            let length = word.chars().count();
            if i > 0 {
                if column + 1 + length > width {
                    out.push('\n');
                    out.push_str(&indent);
                    column = indent.len();
                } else {
                    out.push(' ');
                    column += 1;
                }
            }
            out.push_str(word);
            column += length;
        }
    }
    out.push('\n');
}

/// The ANSI code of a finding's header.
fn severity_style(d: &Diagnostic) -> &'static str {
    match d.severity {
        _ if d.expected => "2",
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
        Severity::Info => "1;36",
    }
}

/// Wraps text in an ANSI style where colours are wanted.
#[must_use]
pub fn paint(look: Look, style: &str, text: &str) -> String {
    if look.colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
}

struct Excerpt {
    name: String,
    text: String,
    line_offset: usize,
    /// The columns, from 0, that places of the excerpt have in the file.
    columns: Vec<(usize, usize)>,
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = self.text.as_str();
        if before == 0 {
            // The header asks for the place itself.
            let column = self.columns.iter().find(|(at, _)| *at == span.offset()).map(|(_, column)| *column);
            return self.contents(text.read_span(span, 0, 0)?, column);
        }
        // An excerpt is whole lines with their line end, so that places in adjacent lines share one.
        let start = text[..span.offset()].rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.offset() + span.len()..]
            .find('\n')
            .map_or(text.len(), |at| span.offset() + span.len() + at + 1);
        let whole = SourceSpan::from(start..end);
        self.contents(text.read_span(&whole, 0, 0)?, None)
    }
}

impl Excerpt {
    #[expect(clippy::unnecessary_wraps, reason = "the shape of the trait method that returns it")]
    fn contents<'a>(
        &self,
        inner: Box<dyn SpanContents<'a> + 'a>,
        column: Option<usize>,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line() + self.line_offset,
            column.unwrap_or(inner.column()),
            inner.line_count(),
        )))
    }
}

struct Report {
    labels: Vec<LabeledSpan>,
    source: Excerpt,
    severity: Severity,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Info => miette::Severity::Advice,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
