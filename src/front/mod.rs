//! Text to syntax tree: two notations, one tree.
//!
//! Contract: [`parse`] never fails and never panics, whatever the bytes are; it returns what could be understood and a
//! diagnostic for every mistake, each with its exact span. Hostile input is bounded before any recursion: nesting by a scan of
//! the text, operators by a count per expression, YAML by the reader's own budget.

pub mod ast;
mod dsl;
pub mod expand;
pub mod names;
pub mod optimizers;
pub mod print;
pub mod properties;
pub mod schema;
pub mod setting;
mod yaml;

use crate::diag::suppress::{self, Notation};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::source::{FileId, Sources, Span};
use ast::Spec;
pub use dsl::is_reference;

/// Brackets and blocks may nest this deep.
pub const MAX_NESTING: usize = 64;

/// The notation of a file, by its name.
#[must_use]
pub fn notation_of(name: &str) -> Option<Notation> {
    if name.ends_with(".nn.yaml") || name.ends_with(".nn.yml") {
        Some(Notation::Yaml)
    } else if name.ends_with(".nn") {
        Some(Notation::Dsl)
    } else {
        None
    }
}

/// Parses a file of the table in its notation.
#[must_use]
pub fn parse(sources: &Sources, id: FileId, notation: Notation) -> (Spec, Diagnostics) {
    let text = &*sources.file(id).text;
    let mut out = Diagnostics::default();
    if text.trim().is_empty() {
        let place = Span::new(id, 0..0);
        out.push(
            Diagnostic::new(&rules::UNREADABLE, place, "the file is empty")
                .help("a spec begins with `spec 1` and a `model` line"),
        );
        return (Spec::new(id, notation), out);
    }
    let mut spec = match too_deep(id, text) {
        Some(deep) => {
            out.push(deep);
            Spec::new(id, notation)
        }
        None => match notation {
            Notation::Dsl => dsl::parse(id, text, &mut out),
            Notation::Yaml => yaml::parse(id, text, &mut out),
        },
    };
    spec.comments = suppress::comments(id, text, notation);
    names::resolve(&mut spec);
    group(&mut spec);
    (spec, out)
}

/// Brings what YAML writes under one key together, in the order of first appearance: overrides of one split, penalties of one
/// kind. Their order has no meaning.
fn group(spec: &mut Spec) {
    fn together<T>(list: &mut [T], key: impl Fn(&T) -> String) {
        let keys: Vec<String> = list.iter().map(&key).collect();
        list.sort_by_key(|part| keys.iter().position(|known| *known == key(part)));
    }
    if let Some(data) = &mut spec.data {
        together(&mut data.overrides, |own| own.split.value.clone());
    }
    if let Some(train) = &mut spec.train {
        together(&mut train.penalties, |penalty| penalty.kind.value.clone());
    }
}

/// Finds the first bracket that nests deeper than [`MAX_NESTING`]. Strings and comments are not looked into, so a text
/// with brackets in strings may be refused too early only beyond any plausible spec.
fn too_deep(id: FileId, text: &str) -> Option<Diagnostic> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            let span = Span::new(id, at..at + 1);
            let message = format!("brackets nest more than {MAX_NESTING} deep");
            return Some(
                Diagnostic::new(&rules::TOO_LARGE, span, message).help("split the model into `block`s"),
            );
        }
    }
    None
}
