//! Suppressions: `# wellposed: allow(I001) reason` and `# wellposed: expect(D001)`.
//!
//! A comment behind code covers its line. A comment on its own line covers the whole file when it stands
//! outside every bracket (in YAML: unindented), and the next statement otherwise. `allow` needs a reason and
//! hides the findings that it covers; an `allow` that hides nothing is reported. `expect` marks a spec that is
//! meant to be wrong: the findings are shown as expected and do not count, their absence is an error.

use super::{Diagnostic, Diagnostics, Rule, did_you_mean, rules};
use crate::source::{FileId, SourceFile, Span};
use std::ops::Range;

/// A `#` comment of a spec.
#[derive(Clone, Debug)]
pub struct Comment {
    /// From the `#` to the end of the line.
    pub span: Span,
    /// Nothing but white space stands before it on its line.
    pub own_line: bool,
    /// It stands outside every bracket and, in YAML, unindented.
    pub top_level: bool,
}

/// Which notation a text is in; strings and comments differ slightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// The model language, `.nn`.
    Dsl,
    /// YAML, `.nn.yaml`.
    Yaml,
}

/// Finds every comment of a text, whether or not the text parses.
#[must_use]
pub fn comments(id: FileId, text: &str, notation: Notation) -> Vec<Comment> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let code = code_end(line, notation);
        let body = line.trim_end_matches(['\n', '\r']);
        if code < body.len() {
            let own_line = line[..code].trim().is_empty();
            let unindented = notation == Notation::Dsl || code == 0;
            let span = Span::new(id, start + code..start + body.len());
            found.push(Comment { span, own_line, top_level: own_line && depth == 0 && unindented });
        }
        depth = depth_after(&line[..code], depth, notation);
        start += line.len();
    }
    found
}

/// The byte at which a line's comment begins, or its length.
fn code_end(line: &str, notation: Notation) -> usize {
    let mut quote = None;
    let mut before = ' ';
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '"' => quote = Some(c),
            None if c == '\'' && notation == Notation::Yaml && " \t[{,:-(".contains(before) => {
                quote = Some(c);
            }
            None if c == '#' && (notation == Notation::Dsl || before.is_whitespace()) => return at,
            None => {}
        }
        before = c;
    }
    line.trim_end_matches(['\n', '\r']).len()
}

/// Bracket depth behind a line of code; brackets inside strings do not count.
fn depth_after(code: &str, mut depth: usize, notation: Notation) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for c in code.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    match notation {
        Notation::Dsl => depth,
        // A bracket that YAML closes in the same line leaves nothing behind; an unclosed one is rare enough.
        Notation::Yaml => 0,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Allow,
    Expect,
}

struct Suppression {
    kind: Kind,
    rule: &'static Rule,
    code_span: Span,
    /// The bytes that are covered; `None` for the whole file.
    covers: Option<Range<usize>>,
    used: bool,
}

/// Applies the suppressions of one spec to its findings.
///
/// `catalogue` lists every rule there is; `decided` says whether this run was able to produce findings of a
/// rule: an unused suppression of any other rule is left alone.
pub fn apply(
    (id, file): (FileId, &SourceFile),
    notation: Notation,
    comments: &[Comment],
    found: &mut Diagnostics,
    catalogue: &[&'static Rule],
    decided: impl Fn(&Rule) -> bool,
) {
    let mut new = Vec::new();
    let mut suppressions: Vec<Suppression> =
        comments.iter().flat_map(|comment| parse(id, file, notation, comment, catalogue, &mut new)).collect();
    let expects = |s: &Suppression| matches!(s.kind, Kind::Expect);
    for diagnostic in found.iter() {
        for s in suppressions.iter_mut().filter(|s| !expects(s) && s.rule == diagnostic.rule) {
            s.used |= covers(s, id, diagnostic);
        }
    }
    let allowed =
        |d: &Diagnostic| suppressions.iter().any(|s| !expects(s) && s.rule == d.rule && covers(s, id, d));
    found.retain(|d| !allowed(d));
    for s in suppressions.iter().filter(|s| !expects(s) && !s.used && decided(s.rule)) {
        new.push(
            Diagnostic::new(
                &rules::UNUSED_ALLOW,
                s.code_span,
                format!("`allow({})` suppresses nothing", s.rule.code),
            )
            .help("remove the comment, or move it to the line that it is meant for"),
        );
    }
    found.extend(new);
    // Last, so that a spec can announce a faulty suppression, too.
    for s in suppressions.iter_mut().filter(|s| expects(s)) {
        for diagnostic in found.iter_mut().filter(|d| d.rule == s.rule) {
            s.used = true;
            diagnostic.expected = true;
        }
    }
    for s in suppressions.iter().filter(|s| expects(s) && !s.used && decided(s.rule)) {
        found.push(
            Diagnostic::new(
                &rules::UNMET_EXPECTATION,
                s.code_span,
                format!("{} ({}) was expected and did not occur", s.rule.code, s.rule.name),
            )
            .help("the fault is gone, or the rule no longer sees it"),
        );
    }
}

fn covers(s: &Suppression, id: FileId, diagnostic: &Diagnostic) -> bool {
    let Some(covers) = &s.covers else {
        return true;
    };
    let places = diagnostic.span().into_iter().chain(diagnostic.labels.iter().map(|label| label.span));
    places.into_iter().any(|span| span.file == id && covers.contains(&(span.start as usize)))
}

fn parse(
    id: FileId,
    file: &SourceFile,
    notation: Notation,
    comment: &Comment,
    catalogue: &[&'static Rule],
    out: &mut Vec<Diagnostic>,
) -> Vec<Suppression> {
    let text = &file.text[comment.span.range()];
    let Some(at) = text.find("wellposed:").filter(|&at| text[1..at].trim().is_empty()) else {
        return Vec::new();
    };
    let bad = |message: &str| {
        Diagnostic::new(&rules::MALFORMED_SUPPRESSION, comment.span, message)
            .help("write `# wellposed: allow(CODE) reason: ...` or `# wellposed: expect(CODE)`")
    };
    let body = &text[at + "wellposed:".len()..];
    let Some((open, close)) = body.find('(').zip(body.find(')')).filter(|(open, close)| open < close) else {
        out.push(bad("a suppression names its codes in parentheses"));
        return Vec::new();
    };
    let kind = match body[..open].trim() {
        "allow" => Kind::Allow,
        "expect" => Kind::Expect,
        other => {
            out.push(bad(&format!("unknown suppression `{other}`")));
            return Vec::new();
        }
    };
    let reason = body[close + 1..].trim().trim_start_matches("reason").trim_start_matches(':').trim();
    if matches!(kind, Kind::Allow) && reason.is_empty() {
        out.push(bad("`allow` without a reason"));
        return Vec::new();
    }
    let covers = match kind {
        Kind::Allow => covered_by(file, notation, comment),
        Kind::Expect => None,
    };
    let mut parsed = Vec::new();
    let mut from = comment.span.start as usize + at + "wellposed:".len() + open + 1;
    for code in body[open + 1..close].split(',') {
        let lead = code.len() - code.trim_start().len();
        let name = code.trim();
        let code_span = Span::new(id, from + lead..from + lead + name.len());
        from += code.len() + 1;
        let Some(rule) = catalogue.iter().copied().find(|rule| rule.code == name || rule.name == name) else {
            let near = did_you_mean(name, catalogue.iter().flat_map(|rule| [rule.code, rule.name]));
            out.push(
                Diagnostic::new(
                    &rules::MALFORMED_SUPPRESSION,
                    code_span,
                    format!("there is no rule `{name}`"),
                )
                .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
            );
            continue;
        };
        if matches!(kind, Kind::Allow) && "YSNH".contains(&rule.code[..1]) {
            out.push(
                Diagnostic::new(
                    &rules::MALFORMED_SUPPRESSION,
                    code_span,
                    format!("{} cannot be allowed: the spec has no meaning with it", rule.code),
                )
                .help("mend the spec, or mark it with `expect` if it is meant to be wrong"),
            );
            continue;
        }
        parsed.push(Suppression { kind, rule, code_span, covers: covers.clone(), used: false });
    }
    parsed
}

/// The bytes whose findings a comment covers; `None` for the whole file.
fn covered_by(file: &SourceFile, notation: Notation, comment: &Comment) -> Option<Range<usize>> {
    if comment.top_level {
        return None;
    }
    let line = file.position(comment.span.start as usize).line;
    let own = file.line(line);
    if !comment.own_line {
        return Some(own.start..own.end + 1);
    }
    let lines = file.text.lines().count();
    let is_code = |l: usize| {
        let text = &file.text[file.line(l)];
        !text.trim().is_empty() && !text.trim_start().starts_with('#')
    };
    let Some(first) = (line + 1..=lines).find(|&l| is_code(l)) else {
        return Some(own.start..own.end);
    };
    let indent = |l: usize| {
        let text = &file.text[file.line(l)];
        text.len() - text.trim_start().len()
    };
    let mut depth = 0;
    let mut last = first;
    for l in first..=lines {
        let range = file.line(l);
        let text = &file.text[range];
        match notation {
            Notation::Dsl => {
                depth = depth_after(&text[..code_end(text, notation)], depth, notation);
                last = l;
                if depth == 0 {
                    break;
                }
            }
            Notation::Yaml if l > first && is_code(l) && indent(l) <= indent(first) => break,
            Notation::Yaml => last = l,
        }
    }
    Some(file.line(first).start..file.line(last).end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    #[test]
    fn comments_are_found_outside_strings_only() {
        let mut sources = Sources::default();
        let text = "# top\nnet { # tail\n  a(\"#no\") # yes\n  # own\n}\n";
        let id = sources.add("a.nn", text);
        let found = comments(id, text, Notation::Dsl);
        let texts: Vec<&str> = found.iter().map(|c| sources.text(c.span)).collect();
        assert_eq!(texts, ["# top", "# tail", "# yes", "# own"]);
        assert!(found[0].top_level && !found[3].top_level && found[3].own_line);
        let yaml = "a: 'it''s # no' # yes\nb: x#no\n";
        let found = comments(id, yaml, Notation::Yaml);
        assert_eq!(found.len(), 1);
    }
}
