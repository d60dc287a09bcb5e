//! Streaming CSV with exact places of faults. The only file that names the csv crate.
//!
//! A fault is found on the parsed record; only then is the file opened again to fetch the raw row, so that the message can point
//! at the field. Memory does not grow with the file: a row has at most [`LONGEST_ROW`] bytes, so that a quotation mark that is
//! never closed does not swallow the rest.

use super::File;
use crate::diag::{Diagnostic, Place, Rule, rules};
use crate::source::{Loader, Position};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

/// The most bytes that the reader may fetch before a row ends.
const LONGEST_ROW: u64 = 16 << 20;
/// How much of a faulty row is fetched again to find the place in it.
const SHOWN_ROW: u64 = 64 << 10;

/// The names of the columns of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In the order of the file.
    pub names: Vec<String>,
}

impl Header {
    /// The place of a column.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| column == name)
    }

    /// The columns that match a pattern with `*` and `?`, in the order of the file.
    #[must_use]
    pub fn matching(&self, pattern: &str) -> Vec<String> {
        self.names.iter().filter(|name| glob(pattern.as_bytes(), name.as_bytes())).cloned().collect()
    }
}

/// Whether a text matches a pattern in which `*` stands for any run and `?` for one byte. Linear in both, by remembering the last
/// `*` only.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// Reads the header of a file.
///
/// # Errors
/// A finding if the file cannot be read or names a column twice.
pub fn header(loader: &dyn Loader, file: &File) -> Result<Header, Diagnostic> {
    Table::open(loader, file).map(|table| table.header)
}

/// A file that is being read row by row.
pub struct Table<'a> {
    loader: &'a dyn Loader,
    file: &'a File,
    reader: csv::Reader<Watched<'a>>,
    watch: Rc<Watch>,
    record: csv::ByteRecord,
    /// The names of the columns.
    pub header: Header,
}

/// What a reader has passed on.
struct Watch {
    last_byte: Cell<u8>,
    /// The number of quotation marks is odd: one may be open.
    odd_quotes: Cell<bool>,
    since_last_row: Cell<u64>,
}

/// A reader that is watched.
struct Watched<'a> {
    inner: Box<dyn Read + Send + 'a>,
    watch: Rc<Watch>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if let Some(last) = buffer[..n].last() {
            self.watch.last_byte.set(*last);
        }
        let odd = buffer[..n].iter().fold(false, |odd, &byte| odd ^ (byte == b'"'));
        self.watch.odd_quotes.set(self.watch.odd_quotes.get() ^ odd);
        let since = self.watch.since_last_row.get() + n as u64;
        self.watch.since_last_row.set(since);
        if since > LONGEST_ROW {
            let message =
                format!("a row of more than {} MiB; is a quotation mark never closed?", LONGEST_ROW >> 20);
            return Err(io::Error::other(message));
        }
        Ok(n)
    }
}

impl<'a> Table<'a> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A finding if the file cannot be read or names a column twice.
    pub fn open(loader: &'a dyn Loader, file: &'a File) -> Result<Self, Diagnostic> {
        let inner = loader.open(&file.path).map_err(|error| unreadable(file, &error))?;
        let watch = Rc::new(Watch {
            last_byte: Cell::new(b'\n'),
            odd_quotes: Cell::new(false),
            since_last_row: Cell::new(0),
        });
        let source = Watched { inner, watch: Rc::clone(&watch) };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
        let names: Vec<String> = match reader.byte_headers() {
            Ok(names) => names.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect(),
            Err(error) => return Err(unreadable(file, &plain(&error))),
        };
        let names: Vec<String> =
            names.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
        if names.iter().all(String::is_empty) {
            return Err(Diagnostic::new(
                &rules::UNREADABLE_DATA,
                file.span,
                format!("`{}` has no header line", file.shown),
            ));
        }
        let header = Header { names };
        let table = Self { loader, file, reader, watch, record: csv::ByteRecord::new(), header };
        let mut seen = BTreeMap::new();
        for (i, name) in table.header.names.iter().enumerate() {
            if let Some(first) = seen.insert(name, i) {
                let message =
                    format!("the header names the column `{name}` twice: fields {} and {}", first + 1, i + 1);
                let place = table.place(&table.raw(0), i);
                return Err(Diagnostic::at(&rules::UNREADABLE_DATA, place, message)
                    .label(file.span, "the file that is meant"));
            }
        }
        Ok(table)
    }

    /// Reads the next row; `false` at the end of the file.
    ///
    /// # Errors
    /// A finding if the row is ragged or the file ends inside of it.
    pub fn advance(&mut self) -> Result<bool, Diagnostic> {
        let previous = self.record.position().map(csv::Position::byte);
        self.watch.since_last_row.set(0);
        match self.reader.read_byte_record(&mut self.record) {
            Err(error) => Err(unreadable(self.file, &plain(&error))),
            Ok(false) => match previous.filter(|_| self.watch.odd_quotes.get()).map(|byte| self.raw(byte)) {
                Some(raw) if raw.open_quote => Err(self.truncated(&raw)),
                _ => Ok(false),
            },
            Ok(true) if self.record.len() == self.header.names.len() => Ok(true),
            Ok(true) => Err(self.ragged()),
        }
    }

    /// A field of the current row, without surrounding white space.
    pub fn field(&self, index: usize) -> &[u8] {
        self.record.get(index).unwrap_or_default().trim_ascii()
    }

    /// A finding about a field of the current row.
    pub fn fault(&self, rule: &'static Rule, field: usize, message: impl Into<String>) -> Diagnostic {
        let raw = self.raw(self.record.position().map_or(0, csv::Position::byte));
        if raw.open_quote {
            // What follows the quotation mark is no value of this field.
            return self.truncated(&raw);
        }
        let name = self.header.names.get(field).map_or("?", String::as_str);
        Diagnostic::at(rule, self.place(&raw, field), message).remark(format!("column `{name}`"))
    }

    /// The place of a field of a row.
    fn place(&self, raw: &Raw, field: usize) -> Place {
        let (line, column, width) = raw.fields.get(field).copied().unwrap_or_else(|| raw.end());
        self.row(raw, line, column, width)
    }

    fn row(&self, raw: &Raw, line: usize, column: usize, width: usize) -> Place {
        let text = raw.text.split('\n').nth(line).unwrap_or_default().trim_end_matches('\r').to_owned();
        let at = Position { line: raw.line + line, column: column + 1 };
        Place::Row { file: self.file.shown.clone(), at, width: width.max(1), text }
    }

    fn ragged(&mut self) -> Diagnostic {
        let (found, wanted) = (self.record.len(), self.header.names.len());
        let raw = self.raw(self.record.position().map_or(0, csv::Position::byte));
        let mut next = csv::ByteRecord::new();
        let at_end = !matches!(self.reader.read_byte_record(&mut next), Ok(true));
        if raw.open_quote && at_end
            || found < wanted && at_end && !b"\r\n".contains(&self.watch.last_byte.get())
        {
            return self.truncated(&raw);
        }
        let message = format!("a row of {found} fields under a header of {wanted}");
        let (place, remark) = match raw.fields.get(wanted).filter(|_| found > wanted) {
            Some(&(line, column, width)) => (self.row(&raw, line, column, width), "the first field too many"),
            None => {
                let (line, column, width) = raw.end();
                (self.row(&raw, line, column, width), "the row ends here")
            }
        };
        Diagnostic::at(&rules::RAGGED_ROW, place, message)
            .remark(remark)
            .help("put fields that contain a comma into quotation marks")
    }

    fn truncated(&self, raw: &Raw) -> Diagnostic {
        let (place, remark) = match raw.fields.last().filter(|_| raw.open_quote) {
            Some(&(line, column, _)) => {
                (self.row(raw, line, column, 1), "this quotation mark is never closed")
            }
            None => {
                let (line, column, width) = raw.end();
                (self.row(raw, line, column, width), "the file ends here")
            }
        };
        let message = format!("`{}` ends in the middle of a row", self.file.shown);
        Diagnostic::at(&rules::TRUNCATED_FILE, place, message)
            .remark(remark)
            .help("fetch the file again: rows may be missing")
    }

    /// The raw row that begins at a byte of the file, behind any line ends there.
    fn raw(&self, byte: u64) -> Raw {
        let mut bytes = Vec::new();
        let mut line = 1;
        // A reader that fails here was fine a moment ago; what could be read is shown.
        if let Ok(mut source) = self.loader.open(&self.file.path) {
            line += lines(&mut source.by_ref().take(byte));
            let _ = source.take(SHOWN_ROW).read_to_end(&mut bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        let row = text.trim_start_matches(['\n', '\r', '\u{feff}']);
        line += text[..text.len() - row.len()].matches('\n').count();
        Raw::new(line, row, bytes.len() as u64 == SHOWN_ROW)
    }
}

/// How many lines a reader ends.
fn lines(source: &mut impl Read) -> usize {
    let mut buffer = [0; 8192];
    let mut count = 0;
    while let Ok(n @ 1..) = source.read(&mut buffer) {
        count += buffer[..n].split(|&byte| byte == b'\n').count() - 1;
    }
    count
}

/// A row as it stands in its file.
struct Raw {
    /// The number of its first line.
    line: usize,
    /// Its lines.
    text: String,
    /// For each field the line below the first, the first character, counted from 0, and the number of characters in that line.
    fields: Vec<(usize, usize, usize)>,
    /// The text ends inside quotation marks.
    open_quote: bool,
}

impl Raw {
    /// Finds the fields of the row that a text begins with. A field in quotation marks may contain commas and line ends, and two
    /// quotation marks for one. `cut` says that the text goes on.
    fn new(line: usize, text: &str, cut: bool) -> Self {
        let mut raw = Self { line, text: text.to_owned(), fields: Vec::new(), open_quote: false };
        let (mut below, mut column) = (0, 0);
        let (mut start, mut width) = ((0, 0), 0);
        let mut quoted = false;
        for (at, c) in text.char_indices() {
            match c {
                '"' if quoted || (below, column) == start => quoted = !quoted,
                // Inside a field that began with a quotation mark, a second one behind the closing one opens it again.
                '"' if text[..at].ends_with('"') => quoted = true,
                ',' if !quoted => {
                    raw.fields.push((start.0, start.1, width));
                    (start, width) = ((below, column + 1), 0);
                    column += 1;
                    continue;
                }
                '\n' | '\r' if !quoted => {
                    raw.text.truncate(at);
                    raw.fields.push((start.0, start.1, width));
                    return raw;
                }
                '\n' => {
                    below += 1;
                    column = 0;
                    continue;
                }
                _ => {}
            }
            if below == start.0 && c != '\r' {
                width += 1;
            }
            column += 1;
        }
        raw.fields.push((start.0, start.1, width));
        raw.open_quote = quoted && !cut;
        raw
    }

    /// The last character.
    fn end(&self) -> (usize, usize, usize) {
        let line = self.text.split('\n').count() - 1;
        let last = self.text.rsplit('\n').next().unwrap_or_default();
        (line, last.trim_end_matches('\r').chars().count().saturating_sub(1), 1)
    }
}

fn plain(error: &csv::Error) -> io::Error {
    match error.kind() {
        csv::ErrorKind::Io(inner) => io::Error::new(inner.kind(), inner.to_string()),
        _ => io::Error::other(error.to_string()),
    }
}

fn unreadable(file: &File, error: &io::Error) -> Diagnostic {
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file `{}`", file.shown),
        _ => format!("`{}` cannot be read: {error}", file.shown),
    };
    Diagnostic::new(&rules::UNREADABLE_DATA, file.span, message).help("paths are relative to the spec file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_runs_and_single_bytes() {
        assert!(glob(b"pixel_*", b"pixel_0_7"));
        assert!(glob(b"*", b""));
        assert!(glob(b"a*b*c", b"a__b_b_c"));
        assert!(!glob(b"a*b", b"a_c"));
        assert!(glob(b"x?", b"x1") && !glob(b"x?", b"x12"));
    }

    #[test]
    fn fields_are_found_in_raw_rows() {
        let fields = |text: &str| Raw::new(1, text, false).fields;
        assert_eq!(fields("a,bc,d\nnext"), [(0, 0, 1), (0, 2, 2), (0, 5, 1)]);
        assert_eq!(fields("a,\"b,c\",d"), [(0, 0, 1), (0, 2, 5), (0, 8, 1)]);
        assert_eq!(fields("añ,b\r\n"), [(0, 0, 2), (0, 3, 1)]);
        assert_eq!(fields("\"a\nb\",c\n"), [(0, 0, 2), (1, 3, 1)]);
        assert_eq!(fields("\"a\"\"b\",c"), [(0, 0, 6), (0, 7, 1)]);
        assert_eq!(fields("5\" disk,c"), [(0, 0, 7), (0, 8, 1)]);
        assert!(Raw::new(1, "1,\"a", false).open_quote && !Raw::new(1, "1,\"a\"", false).open_quote);
    }
}
