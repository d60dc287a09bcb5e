//! YAML text to a tree that keeps spans. The only file that names the YAML crate.
//!
//! serde stops at the first error and loses spans in tagged and flattened types, so nothing is deserialised into structs: the
//! reader's events become this tree, and the decoder walks it and collects every mistake.

use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::source::{FileId, Position, Sources, Span, Spanned};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, MergeKeyPolicy, NonFiniteFloatPolicy};
use std::fmt;

/// A value and where it was written.
pub type Node = Spanned<Value>;

/// A YAML value. Scalars keep their text, because numbers are read from it exactly.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A plain scalar that reads as a number.
    Number(String),
    /// Any other scalar, and whether it stood in quotation marks.
    Text(String, bool),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping, with duplicates.
    Map(Vec<(Spanned<String>, Node)>),
}

impl Value {
    /// What kind of value this is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(..) => "text",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads a text; `None` after reporting that it is not YAML or exceeds the reader's budget.
pub fn read(file: FileId, text: &str, out: &mut Diagnostics) -> Option<Node> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        reject_unsupported_tags: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    match serde_saphyr::from_str_with_options::<serde_saphyr::Spanned<Raw>>(text, options) {
        Ok(root) => Some(Places { file, text }.node(root)),
        Err(error) => {
            out.push(explain(file, text, &error));
            None
        }
    }
}

fn explain(file: FileId, text: &str, error: &Error) -> Diagnostic {
    let places = Places { file, text };
    let span = error.location().map_or(Span::new(file, 0..0), |at| places.span(&at));
    match error.without_snippet() {
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            Diagnostic::new(&rules::TOO_LARGE, span, "the YAML expands beyond the reader's limits")
                .note("why", error.to_string())
                .help("write the model with `blocks` and `repeat` instead of nested aliases")
        }
        // A breach while an alias is replayed is wrapped.
        other if other.to_string().contains("budget breached") => {
            Diagnostic::new(&rules::TOO_LARGE, span, "the YAML expands beyond the reader's limits")
                .help("write the model with `blocks` and `repeat` instead of nested aliases")
        }
        Error::UnsupportedTag { .. } | Error::TaggedScalarCannotDeserializeIntoString { .. } => {
            Diagnostic::new(&rules::MERGE_OR_TAG, span, "a custom tag")
                .help("remove the tag: the schema says what each value is")
        }
        _ => {
            let message = error.to_string();
            let cause = message.split(" at line ").next().unwrap_or(&message);
            let cause = cause.lines().next().unwrap_or(cause).trim_start_matches("error: ");
            // The reader stops behind the tab.
            let tab = text[..span.range().start].rfind('\t').filter(|_| cause.contains("tabs"));
            let span = tab.map_or(span, |at| Span::new(file, at..at + 1));
            let help = if cause.contains("unknown anchor") {
                Some("`*` begins an alias in YAML; an expression begins with `=`")
            } else if cause.contains("flow") {
                Some("put text that contains `[`, `{`, `,` or `: ` into quotation marks")
            } else if cause.contains("tabs") {
                Some("indent with spaces")
            } else {
                None
            };
            Diagnostic::new(&rules::MALFORMED_YAML, span, format!("not valid YAML: {cause}"))
                .maybe_help(help.map(str::to_owned))
        }
    }
}

/// Turns the reader's locations into spans.
struct Places<'a> {
    file: FileId,
    text: &'a str,
}

impl Places<'_> {
    fn span(&self, at: &Location) -> Span {
        let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.text.len());
        match (at.span().byte_offset(), at.span().byte_len()) {
            (Some(start), Some(length)) => {
                Span::new(self.file, narrow(start)..narrow(start.saturating_add(length)))
            }
            // Scanner errors carry a line and a column only.
            _ => {
                let mut sources = Sources::default();
                let id = sources.add("", self.text);
                let position = Position { line: narrow(at.line()), column: narrow(at.column()) };
                let start = sources.file(id).offset(position);
                Span::new(self.file, start..start)
            }
        }
    }

    fn node(&self, raw: serde_saphyr::Spanned<Raw>) -> Node {
        let span = self.span(&raw.referenced);
        // An alias shows where it is used; its scalar's text stands where the anchor is.
        let written = &self.text[self.span(&raw.defined).range()];
        let quoted = written.starts_with(['"', '\'', '|', '>']);
        match raw.value {
            Raw::Null => Spanned::new(Value::Null, span),
            Raw::Bool(b) => Spanned::new(Value::Bool(b), span),
            Raw::Number => Spanned::new(Value::Number(written.to_owned()), span),
            Raw::Text(s) => Spanned::new(Value::Text(s, quoted), span),
            Raw::Seq(items) => {
                let items: Vec<Node> = items.into_iter().map(|item| self.node(item)).collect();
                let whole = items.iter().fold(span, |whole, item| whole.to(item.span));
                Spanned::new(Value::Seq(items), whole)
            }
            Raw::Map(pairs) => {
                let pairs: Vec<_> = pairs
                    .into_iter()
                    .map(|(key, value)| {
                        (Spanned::new(key.value, self.span(&key.referenced)), self.node(value))
                    })
                    .collect();
                let whole = pairs.iter().fold(span, |whole, (key, value)| whole.to(key.span).to(value.span));
                Spanned::new(Value::Map(pairs), whole)
            }
        }
    }
}

/// What the reader hands over.
enum Raw {
    Null,
    Bool(bool),
    Number,
    Text(String),
    Seq(Vec<serde_saphyr::Spanned<Raw>>),
    Map(Vec<(serde_saphyr::Spanned<String>, serde_saphyr::Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = access.next_key()? {
            pairs.push((key, access.next_value()?));
        }
        Ok(Raw::Map(pairs))
    }
}
