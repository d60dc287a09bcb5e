//! YAML text from a tree of entries with comments: flow style where a part is short and bare, block style elsewhere.
//!
//! Contract: every scalar that comes in is written as YAML already, see [`scalar`]. Comments force block style around them, because
//! a comment ends its line. No scalar spans lines, so that what begins with `#` behind white space is always a comment.

use super::super::dsl;
use super::comments::Note;
use super::expr::escaped;
use super::layout::{Piece, WIDTH, add, behind, blank, own_lines, width};

/// A YAML value.
#[derive(Debug)]
pub enum Doc {
    /// A scalar as YAML text.
    Scalar(String),
    /// A sequence.
    Seq(Vec<Entry>),
    /// A mapping.
    Map(Vec<Entry>),
}

/// An item of a sequence, or a key with its value, and the comments around it.
#[derive(Debug)]
pub struct Entry {
    /// The key as YAML text; empty in a sequence.
    pub key: String,
    /// The value.
    pub value: Doc,
    /// The value of a key is never written in flow style; an item is not where its sequence is a block.
    pub block: bool,
    /// Comments on their own lines before it.
    pub before: Vec<Note>,
    /// Comments behind the line that opens its value.
    pub open: Vec<Note>,
    /// Comments behind it.
    pub behind: Vec<Note>,
    /// Comments at the end of its value.
    pub tail: Vec<Note>,
    /// A blank line sets it apart.
    pub blank: bool,
}

impl Entry {
    /// A key and its value.
    pub fn new(key: &str, value: Doc) -> Self {
        Self {
            key: word(key),
            value,
            block: false,
            before: Vec::new(),
            open: Vec::new(),
            behind: Vec::new(),
            tail: Vec::new(),
            blank: false,
        }
    }

    /// An item of a sequence.
    pub fn item(value: Doc) -> Self {
        Self { key: String::new(), ..Self::new("", value) }
    }

    fn is_bare(&self) -> bool {
        let Self { before, open, behind, tail, .. } = self;
        let flows = !self.block || self.key.is_empty();
        flows && [before, open, behind, tail].into_iter().all(Vec::is_empty)
    }

    fn flow(&self) -> Option<String> {
        if !self.is_bare() || self.blank {
            return None;
        }
        let value = self.value.flow()?;
        Some(if self.key.is_empty() { value } else { format!("{}: {value}", self.key) })
    }
}

impl Doc {
    /// The value in flow style, unless something in it needs lines.
    fn flow(&self) -> Option<String> {
        let all = |entries: &[Entry]| entries.iter().map(Entry::flow).collect::<Option<Vec<_>>>();
        Some(match self {
            Self::Scalar(text) => text.clone(),
            Self::Seq(items) => format!("[{}]", all(items)?.join(", ")),
            Self::Map(entries) => format!("{{{}}}", all(entries)?.join(", ")),
        })
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(_) => false,
            Self::Seq(entries) | Self::Map(entries) => entries.is_empty(),
        }
    }
}

/// The entries of a mapping in block style. Where a suppression that covers the whole file stands between entries, it is
/// unindented, which keeps its meaning.
pub fn mapping(entries: Vec<Entry>, indent: usize) -> Vec<String> {
    let mut out = Vec::new();
    for entry in entries {
        let head = format!("{:indent$}{}:", "", entry.key);
        put(&mut out, indent, head, entry);
    }
    out
}

fn sequence(items: Vec<Entry>, indent: usize) -> Vec<String> {
    let mut out = Vec::new();
    for mut item in items {
        let head = format!("{:indent$}-", "");
        let flow = if item.block { None } else { item.value.flow() };
        let fits = flow.is_some_and(|flow| width(&head) + 1 + width(&flow) <= WIDTH);
        match item.value {
            Doc::Map(entries) if !fits && !entries.is_empty() => {
                // The first key stands behind the dash.
                let mut lines = mapping(entries, indent + 2);
                if let Some(first) = lines.first_mut() {
                    first.replace_range(indent..=indent, "-");
                }
                let piece = Piece { before: item.before, lines, behind: item.behind, blank: item.blank };
                add(&mut out, indent, raised(piece));
                own_lines(&mut out, indent + 2, item.tail);
            }
            value => {
                item.value = value;
                put(&mut out, indent, head, item);
            }
        }
    }
    out
}

/// A comment behind a part of several lines has no line to stand behind; it goes before them.
fn raised(mut piece: Piece) -> Piece {
    if piece.lines.len() > 1 {
        let behind = std::mem::take(&mut piece.behind);
        piece.before.extend(behind.into_iter().map(|note| Note { blank: false, ..note }));
    }
    piece
}

/// Adds `head value`, in flow style if that fits into the line.
fn put(out: &mut Vec<String>, indent: usize, mut head: String, entry: Entry) {
    let Entry { key: _, value, block, before, open, behind: notes, tail, blank: apart } = entry;
    let empty = value.is_empty();
    let noted = !open.is_empty() || !tail.is_empty();
    let flow = if noted || (block && !empty) { None } else { value.flow() };
    let fits =
        |flow: &String| width(&head) + 1 + width(flow) <= WIDTH || empty || matches!(value, Doc::Scalar(_));
    let lines = match flow.filter(fits) {
        Some(flow) => vec![format!("{head} {flow}")],
        None => {
            // Comments in a value without parts stand between its brackets: indentation alone would not hold them.
            let brackets = if matches!(value, Doc::Seq(_)) { [" [", "]"] } else { [" {", "}"] };
            if empty {
                head.push_str(brackets[0]);
            }
            let over = behind(&mut head, open);
            let mut lines = vec![head];
            own_lines(&mut lines, indent + 2, over);
            lines.extend(match value {
                Doc::Seq(items) => sequence(items, indent + 2),
                Doc::Map(entries) => mapping(entries, indent + 2),
                Doc::Scalar(text) => vec![format!("{:1$}{text}", "", indent + 2)],
            });
            own_lines(&mut lines, indent + 2, tail);
            if empty {
                lines.push(format!("{:1$}{2}", "", indent + 2, brackets[1]));
            }
            lines
        }
    };
    let mut piece = raised(Piece { before, lines, behind: notes, blank: apart });
    let whole_file = |note: &Note| note.suppression && note.top_level && indent > 0;
    if piece.before.iter().any(whole_file) {
        for note in std::mem::take(&mut piece.before) {
            if note.blank {
                blank(out);
            }
            let indent = if whole_file(&note) { 0 } else { indent };
            own_lines(out, indent, vec![Note { blank: false, ..note }]);
        }
    }
    add(out, indent, piece);
}

/// Words that some YAML reader takes for something else than text.
const TAKEN: [&str; 10] = ["yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"];

/// Whether a name can stand without quotation marks.
pub fn is_plain_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    first && rest && !TAKEN.contains(&name.to_ascii_lowercase().as_str())
}

/// A name as YAML text.
pub fn word(name: &str) -> String {
    if is_plain_name(name) { name.to_owned() } else { double_quoted(name) }
}

/// A path as YAML text.
pub fn path(text: &str) -> String {
    let stem = text.trim_start_matches("../").trim_start_matches("./").trim_start_matches('/');
    let first = stem.starts_with(|c: char| c.is_ascii_alphabetic());
    let safe = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    if first && safe && !TAKEN.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        literal(text)
    }
}

/// Text that is no expression as YAML text.
pub fn text(text: &str) -> String {
    if text.contains('(') && dsl::is_word_or_call(text) {
        expression(&super::expr::quoted(text))
    } else {
        literal(text)
    }
}

/// Text where nothing but `=` begins an expression.
pub fn literal(text: &str) -> String {
    if text.starts_with('=') { expression(&super::expr::quoted(text)) } else { double_quoted(text) }
}

/// An expression as YAML text.
pub fn expression(text: &str) -> String {
    scalar(&format!("={text}"))
}

/// Text whose meaning does not depend on quotation marks: without them where YAML allows it.
pub fn scalar(text: &str) -> String {
    let special = |c: char| ",[]{}\"'\\".contains(c) || must_escape(c);
    let plain = !text.contains(special)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '=' || c == '_')
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        text.to_owned()
    } else if text.contains('"') && !text.contains('\'') && !text.contains(must_escape) {
        format!("'{text}'")
    } else {
        double_quoted(text)
    }
}

fn double_quoted(text: &str) -> String {
    escaped(text, |c| match u32::from(c) {
        _ if !must_escape(c) => None,
        code @ ..=0xff => Some(format!("\\x{code:02x}")),
        code @ ..=0xffff => Some(format!("\\u{code:04x}")),
        code => Some(format!("\\U{code:08x}")),
    })
}

/// Characters that YAML does not print, or takes for the end of a line.
fn must_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
