//! Which part of a spec each comment belongs to.
//!
//! Contract: a comment on its own line belongs to the part that follows it, inside the same body; behind the last part of a body
//! it belongs to the end of that body. A comment behind code belongs to the part that its line ends with, or to the body that
//! its line opens. Nothing is lost: what no printer asked for comes out of [`Comments::rest`]. Blank lines that set parts
//! apart are remembered, too.

use super::super::ast::Spec;
use super::units::{Region, Unit, units};
use crate::source::Sources;
use std::collections::{BTreeMap, BTreeSet};

/// What kind of part a comment belongs to: two parts may begin at one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A section, by its key.
    Section(&'static str),
    /// Anything in a list: a statement, a parameter, a column.
    Item,
    /// What braces, brackets or indentation enclose.
    Body,
    /// The whole file.
    File,
}

/// A part: its kind, and where it begins.
pub type Key = (Part, u32);

/// Where a comment stands relative to its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    /// On lines of its own before it.
    Before,
    /// Behind the line that opens the body.
    Open,
    /// Behind it.
    Behind,
    /// On lines of its own at the end of the body.
    Tail,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// From the `#` on.
    pub text: String,
    /// It stands outside every bracket, unindented: a suppression then covers the whole file.
    pub top_level: bool,
    /// It is a suppression, whose place has a meaning.
    pub suppression: bool,
    /// The line above it is blank.
    pub blank: bool,
}

/// The comments of a spec by the part that they belong to.
#[derive(Debug, Default)]
pub struct Comments {
    notes: BTreeMap<(Slot, Key), Vec<Note>>,
    blanks: BTreeSet<Key>,
}

impl Comments {
    /// Finds the part that each comment of a spec belongs to.
    pub fn of(spec: &Spec, sources: &Sources) -> Self {
        let text = &*sources.file(spec.file).text;
        let root = units(spec, text);
        let mut all = Self::default();
        all.learn_blanks(&root, text);
        for comment in &spec.comments {
            let range = comment.span.range();
            let Some(written) = text.get(range.clone()) else { continue };
            let after = written.trim_start_matches('#').trim_start();
            let note = Note {
                text: written.trim_end().to_owned(),
                top_level: comment.top_level,
                suppression: after.starts_with("wellposed:"),
                blank: blank_above(text, range.start),
            };
            all.assign(&root, text, (range.start, comment.own_line), note);
        }
        all
    }

    fn learn_blanks(&mut self, region: &Region, text: &str) {
        let mut before = region.start;
        for unit in &region.units {
            let begins_line = text.get(before..unit.start).is_some_and(|between| between.contains('\n'));
            if begins_line && blank_above(text, unit.start) {
                self.blanks.insert(unit.key);
            }
            before = unit.end;
            unit.regions.iter().for_each(|inner| self.learn_blanks(inner, text));
        }
    }

    fn put(&mut self, slot: Slot, key: Key, note: Note) {
        self.notes.entry((slot, key)).or_default().push(note);
    }

    fn assign(&mut self, region: &Region, text: &str, at: (usize, bool), note: Note) {
        let (start, own_line) = at;
        if let Some(unit) = region.units.iter().find(|unit| unit.start <= start && start < unit.end) {
            return self.assign_inside(unit, text, at, note);
        }
        let same_line = |from: usize| text.get(from..start).is_some_and(|between| !between.contains('\n'));
        if !own_line {
            let last = region.units.iter().rev().find(|unit| unit.end <= start);
            if let Some(unit) = last.filter(|unit| same_line(unit.end)) {
                return self.put(Slot::Behind, unit.key, note);
            }
            if region.key.0 != Part::File && same_line(region.start) {
                return self.put(Slot::Open, region.key, note);
            }
        }
        match region.units.iter().find(|unit| unit.start > start) {
            Some(next) => self.put(Slot::Before, next.key, note),
            None => self.put(Slot::Tail, region.key, note),
        }
    }

    fn assign_inside(&mut self, unit: &Unit, text: &str, at: (usize, bool), note: Note) {
        let (start, own_line) = at;
        if let Some(region) = unit.regions.iter().find(|region| region.start <= start && start < region.end) {
            let opens = !own_line && region.units.first().is_none_or(|first| first.start > start);
            if opens {
                return self.put(Slot::Open, region.key, note);
            }
            return self.assign(region, text, at, note);
        }
        if own_line {
            return self.put(Slot::Before, unit.key, note);
        }
        match unit.regions.iter().find(|region| region.start > start) {
            Some(region) => self.put(Slot::Open, region.key, note),
            None => self.put(Slot::Behind, unit.key, note),
        }
    }

    fn take(&mut self, slot: Slot, key: Key) -> Vec<Note> {
        self.notes.remove(&(slot, key)).unwrap_or_default()
    }

    /// The comments before a part.
    pub fn before(&mut self, key: Key) -> Vec<Note> {
        self.take(Slot::Before, key)
    }

    /// The comments behind the line that opens a body.
    pub fn open(&mut self, key: Key) -> Vec<Note> {
        self.take(Slot::Open, key)
    }

    /// The comments behind a part.
    pub fn behind(&mut self, key: Key) -> Vec<Note> {
        self.take(Slot::Behind, key)
    }

    /// The comments at the end of a body.
    pub fn tail(&mut self, key: Key) -> Vec<Note> {
        self.take(Slot::Tail, key)
    }

    /// Whether a part has comments of its own.
    pub fn touches(&self, key: Key) -> bool {
        [Slot::Before, Slot::Open, Slot::Behind, Slot::Tail]
            .into_iter()
            .any(|slot| self.notes.contains_key(&(slot, key)))
    }

    /// Whether a blank line sets a part apart from what is above it.
    pub fn blank(&self, key: Key) -> bool {
        self.blanks.contains(&key)
    }

    /// What is left: the end of the file, and whatever no printer asked for.
    pub fn rest(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes).into_values().flatten().collect()
    }
}

/// Whether the line above the one that a byte lies in is blank.
fn blank_above(text: &str, at: usize) -> bool {
    let Some(line) = text.get(..at).map(|before| before.rfind('\n')) else { return false };
    let Some(end) = line else { return false };
    let above = &text[..end];
    let start = above.rfind('\n').map_or(0, |at| at + 1);
    above[start..].trim().is_empty()
}
