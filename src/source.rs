//! Source text, spans into it, and the one door through which files are read.
//!
//! Contract: every value that a user wrote carries a [`Span`]; a span is a byte range inside one file of a
//! [`Sources`] table and always lies on character boundaries. Lines and columns count from 1, columns in
//! characters, and an end position is exclusive. No module but `cli` touches the file system: everything is
//! read through a [`Loader`], so that an editor's unsaved text or a git revision can stand in for the disk.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The largest spec or statistics file that is read, in bytes. Data files are streamed and have no limit.
pub const MAX_SPEC_BYTES: u64 = 8 << 20;

/// Names a file of a [`Sources`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A byte range of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file that the range lies in.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `range` of `file`; offsets past 4 GiB cannot occur because [`MAX_SPEC_BYTES`] is smaller.
    #[must_use]
    pub fn new(file: FileId, range: Range<usize>) -> Self {
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { file, start: narrow(range.start), end: narrow(range.end) }
    }

    /// The smallest span that covers both; spans of two files give the first.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.file != other.file {
            return self;
        }
        Self { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The byte range as `usize`, for slicing.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The empty span at the start of this one.
    #[must_use]
    pub fn head(self) -> Self {
        Self { end: self.start, ..self }
    }
}

/// A value and where it was written. Equality compares the value alone: two notations of one spec differ in
/// spans and in nothing else.
#[derive(Clone, Copy)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs a value with its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A place as people name it: both parts count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One file: the name that is shown and its text.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as the user named it; shown in every message.
    pub name: String,
    /// The whole text, shared with whoever renders a message.
    pub text: Arc<str>,
    line_starts: Vec<usize>,
}

impl SourceFile {
    fn new(name: String, text: Arc<str>) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, line_starts }
    }

    /// Line and column of a byte offset; an offset past the end means the end.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.boundary(offset);
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }

    /// The byte range of a line (from 1) without its line ending.
    #[must_use]
    pub fn line(&self, line: usize) -> Range<usize> {
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| next - 1);
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        start..end
    }

    /// The byte offset of a line and column, both from 1; clamped to the line.
    #[must_use]
    pub fn offset(&self, at: Position) -> usize {
        let line = self.line(at.line);
        let text = &self.text[line.clone()];
        line.start + text.char_indices().nth(at.column.saturating_sub(1)).map_or(text.len(), |(i, _)| i)
    }

    /// The nearest character boundary at or before `offset`.
    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Every file that one compilation has read, in the order of reading.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Adds a file and returns its name in this table.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        self.files.push(SourceFile::new(name.into(), text.into()));
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    /// The file behind an id of this table.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// The text under a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        &self.file(span.file).text[span.range()]
    }

    /// Where a span begins and where it ends (exclusive).
    #[must_use]
    pub fn positions(&self, span: Span) -> (Position, Position) {
        let file = self.file(span.file);
        (file.position(span.start as usize), file.position(span.end as usize))
    }
}

/// Reads files on behalf of the pipeline. Paths are those of the spec, resolved against its own folder.
pub trait Loader: Sync {
    /// Opens a file for reading from its start.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>>;

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// Whatever the file system says, and [`io::ErrorKind::FileTooLarge`] beyond the limit.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("the file is larger than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let mut sources = Sources::default();
        let id = sources.add("a.nn", "añb\r\nxy\n");
        let file = sources.file(id);
        assert_eq!(file.position(3), Position { line: 1, column: 3 });
        assert_eq!(file.position(2), Position { line: 1, column: 2 }, "inside a character: its start");
        assert_eq!(file.position(6), Position { line: 2, column: 1 });
        assert_eq!(file.position(99), Position { line: 3, column: 1 });
        assert_eq!(&file.text[file.line(1)], "añb");
        assert_eq!(file.offset(Position { line: 2, column: 2 }), 7);
        assert_eq!(file.offset(Position { line: 1, column: 3 }), 3);
    }
}
