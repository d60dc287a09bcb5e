//! Lines of text with comments between and behind them, for both notations.

use super::comments::Note;

/// Lines are broken where they would be longer.
pub const WIDTH: usize = 120;

/// A part that is about to be printed: its lines, and the comments around it.
#[derive(Debug, Default)]
pub struct Piece {
    /// Comments on their own lines before it.
    pub before: Vec<Note>,
    /// Its lines.
    pub lines: Vec<String>,
    /// Comments behind it.
    pub behind: Vec<Note>,
    /// A blank line sets it apart from what is above it, comments or another part.
    pub blank: bool,
}

/// Comments on their own lines.
pub fn own_lines(out: &mut Vec<String>, indent: usize, notes: Vec<Note>) {
    for note in notes {
        if note.blank {
            blank(out);
        }
        out.push(format!("{:indent$}{}", "", note.text));
    }
}

/// A blank line, unless nothing stands above it or one is there already.
pub fn blank(out: &mut Vec<String>) {
    if out.last().is_some_and(|last| !last.is_empty()) {
        out.push(String::new());
    }
}

/// Puts comments behind a line; those that do not fit there are handed back.
pub fn behind(line: &mut String, notes: Vec<Note>) -> Vec<Note> {
    let mut notes = notes.into_iter();
    if let Some(note) = notes.next() {
        line.push_str("  ");
        line.push_str(&note.text);
    }
    notes.map(|note| Note { blank: false, ..note }).collect()
}

/// Adds a piece to the lines of a body. One comment stands behind the piece, others before it. A suppression behind several
/// lines would cover the last of them alone and therefore goes before them.
pub fn add(out: &mut Vec<String>, indent: usize, piece: Piece) {
    let Piece { mut before, mut lines, behind: mut notes, blank: apart } = piece;
    let last = match notes.pop() {
        Some(note) if lines.len() > 1 && note.suppression => {
            notes.push(note);
            None
        }
        last => last,
    };
    before.extend(notes.into_iter().map(|note| Note { blank: false, ..note }));
    own_lines(out, indent, before);
    if apart {
        blank(out);
    }
    if let Some((line, note)) = lines.last_mut().zip(last) {
        behind(line, vec![note]);
    }
    out.append(&mut lines);
}

/// `head(a, b, c)tail`, broken behind commas where it is longer than a line; later lines begin under the first argument.
pub fn filled(lead: usize, head: &str, parts: &[String], tail: &str) -> Vec<String> {
    let whole = format!("{head}{}{tail}", parts.join(", "));
    if lead + width(&whole) <= WIDTH || parts.len() < 2 {
        return vec![whole];
    }
    let indent = lead + width(head);
    let mut lines = Vec::new();
    let mut line = head.to_owned();
    let mut column = indent;
    for (i, part) in parts.iter().enumerate() {
        let end = if i + 1 == parts.len() { tail } else { "," };
        let begins = line.trim_end().is_empty() || (lines.is_empty() && column == indent);
        if !begins && column + 1 + width(part) + width(end) > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            column = indent;
        } else if !begins {
            line.push(' ');
            column += 1;
        }
        line.push_str(part);
        line.push_str(end);
        column += width(part) + width(end);
    }
    lines.push(line);
    lines
}

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.chars().count()
}
