//! Streaming CSV with exact places of faults. The only file that names the csv crate.
//!
//! A fault is found on the parsed record; only then is the file opened again to fetch the raw line, so that the message can point
//! at the field. Memory does not grow with the file.

use super::File;
use crate::diag::{Diagnostic, Place, Rule, rules};
use crate::source::{Loader, Position};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

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
    reader: csv::Reader<LastByte<'a>>,
    last_byte: Rc<Cell<u8>>,
    record: csv::ByteRecord,
    /// The names of the columns.
    pub header: Header,
}

/// A reader that remembers the last byte that it passed on.
struct LastByte<'a> {
    inner: Box<dyn Read + Send + 'a>,
    last: Rc<Cell<u8>>,
}

impl Read for LastByte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if let Some(last) = buffer[..n].last() {
            self.last.set(*last);
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
        let last_byte = Rc::new(Cell::new(b'\n'));
        let source = LastByte { inner, last: Rc::clone(&last_byte) };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
        let names: Vec<String> = match reader.byte_headers() {
            Ok(names) => names.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect(),
            Err(error) => return Err(unreadable(file, &io::Error::other(error.to_string()))),
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
        let mut seen = BTreeMap::new();
        for (i, name) in names.iter().enumerate() {
            if let Some(first) = seen.insert(name, i) {
                let message = format!(
                    "`{}` names the column `{name}` twice: fields {} and {}",
                    file.shown,
                    first + 1,
                    i + 1
                );
                return Err(Diagnostic::new(&rules::UNREADABLE_DATA, file.span, message));
            }
        }
        let header = Header { names };
        Ok(Self { loader, file, reader, last_byte, record: csv::ByteRecord::new(), header })
    }

    /// Reads the next row; `false` at the end of the file.
    ///
    /// # Errors
    /// A finding if the row is ragged or the file ends inside of it.
    pub fn advance(&mut self) -> Result<bool, Diagnostic> {
        let previous = self.record.position().map(csv::Position::byte);
        match self.reader.read_byte_record(&mut self.record) {
            Err(error) => Err(unreadable(self.file, &io::Error::other(error.to_string()))),
            Ok(false) => {
                // The last row of a file without a final line end may have been cut inside quotation marks.
                if let Some(byte) = previous.filter(|_| self.last_byte.get() != b'\n') {
                    let raw = self.raw_line(byte);
                    if raw.matches('"').count() % 2 == 1 {
                        return Err(self.truncated(&raw, self.reader.position().line()));
                    }
                }
                Ok(false)
            }
            Ok(true) if self.record.len() == self.header.names.len() => Ok(true),
            Ok(true) => Err(self.ragged()),
        }
    }

    /// The text of a field of the current row, without surrounding white space.
    pub fn field(&self, index: usize) -> &[u8] {
        self.record.get(index).unwrap_or_default().trim_ascii()
    }

    /// A finding about a field of the current row.
    pub fn fault(&self, rule: &'static Rule, field: usize, message: impl Into<String>) -> Diagnostic {
        let (line, byte) = self.place();
        let raw = self.raw_line(byte);
        let (start, width) = field_columns(&raw, field);
        let at = Position { line, column: start + 1 };
        let name = self.header.names.get(field).map_or("?", String::as_str);
        let place = Place::Row { file: self.file.shown.clone(), at, width: width.max(1), text: raw };
        Diagnostic::at(rule, place, message).remark(format!("column `{name}`"))
    }

    fn place(&self) -> (usize, u64) {
        let position = self.record.position();
        let line = position.map_or(1, csv::Position::line);
        (usize::try_from(line).unwrap_or(usize::MAX), position.map_or(0, csv::Position::byte))
    }

    fn ragged(&mut self) -> Diagnostic {
        let (found, wanted) = (self.record.len(), self.header.names.len());
        let (line, byte) = self.place();
        let raw = self.raw_line(byte);
        let mut next = csv::ByteRecord::new();
        let at_end = !matches!(self.reader.read_byte_record(&mut next), Ok(true));
        if found < wanted && at_end && self.last_byte.get() != b'\n' {
            return self.truncated(&raw, line as u64);
        }
        let message = format!("a row of {found} fields under a header of {wanted}");
        let end = raw.chars().count();
        let (start, width) =
            if found > wanted { (field_columns(&raw, wanted).0, 1) } else { (end.saturating_sub(1), 1) };
        let remark = if found > wanted { "the first field too many" } else { "the row ends here" };
        let at = Position { line, column: start + 1 };
        Diagnostic::at(
            &rules::RAGGED_ROW,
            Place::Row { file: self.file.shown.clone(), at, width, text: raw },
            message,
        )
        .remark(remark)
        .help("put fields that contain a comma into quotation marks")
    }

    fn truncated(&self, raw: &str, line: u64) -> Diagnostic {
        let end = raw.chars().count();
        let at = Position { line: usize::try_from(line).unwrap_or(usize::MAX), column: end.max(1) };
        let message = format!("`{}` ends in the middle of a row", self.file.shown);
        let place = Place::Row { file: self.file.shown.clone(), at, width: 1, text: raw.to_owned() };
        Diagnostic::at(&rules::TRUNCATED_FILE, place, message)
            .remark("the file ends here")
            .help("fetch the file again: rows may be missing")
    }

    /// The raw line that begins at a byte of the file; long lines are cut.
    fn raw_line(&self, byte: u64) -> String {
        let Ok(mut source) = self.loader.open(&self.file.path) else { return String::new() };
        if io::copy(&mut source.by_ref().take(byte), &mut io::sink()).is_err() {
            return String::new();
        }
        let mut bytes = Vec::new();
        // A reader that fails here was fine a moment ago; what could be read is shown.
        let _ = source.take(1 << 16).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        text.trim_start_matches(['\n', '\r']).lines().next().unwrap_or_default().to_owned()
    }
}

/// The first character and the width of a field in a raw line.
fn field_columns(raw: &str, field: usize) -> (usize, usize) {
    let (mut index, mut start, mut quoted) = (0, 0, false);
    let mut length = 0;
    for (at, c) in raw.chars().enumerate() {
        length = at + 1;
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                if index == field {
                    return (start, at - start);
                }
                index += 1;
                start = at + 1;
            }
            _ => {}
        }
    }
    if index == field { (start, length - start) } else { (length.saturating_sub(1), 1) }
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
    fn fields_are_found_in_raw_lines() {
        assert_eq!(field_columns("a,bc,d", 1), (2, 2));
        assert_eq!(field_columns("a,\"b,c\",d", 2), (8, 1));
        assert_eq!(field_columns("añ,b", 1), (3, 1));
    }
}
