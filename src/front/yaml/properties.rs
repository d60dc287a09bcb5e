//! The list of properties: `[{rms: fc2.tanh, in: [0.3, 1.2]}, {max_abs: out, below: 20}]`.
//!
//! Each is a mapping from its kind to what it is about, with at most one bound beside it.

use super::super::ast::{Bound, Head, Property, Relation};
use super::Decoder;
use super::tree::{Node, Value};
use crate::diag::{Diagnostic, rules};
use crate::source::{Span, Spanned};

/// Whether a key states a bound.
fn is_bound(key: &str) -> bool {
    key == "in" || Relation::ALL.iter().any(|relation| relation.words().1 == key)
}

impl Decoder<'_> {
    pub(super) fn properties(&mut self, node: &Node) -> Vec<Property> {
        match &node.value {
            Value::Seq(items) => items.iter().filter_map(|item| self.property(item)).collect(),
            _ => {
                self.wrong("properties", "a list of properties such as {rms: fc1, in: [0.5, 2]}", node);
                Vec::new()
            }
        }
    }

    fn property(&mut self, node: &Node) -> Option<Property> {
        let wanted = "a mapping from a kind to what it is about, such as {rms: fc1, in: [0.5, 2]}";
        let Value::Map(pairs) = &node.value else {
            self.wrong("a property", wanted, node);
            return None;
        };
        let Some((kind, about)) = pairs.iter().find(|(key, _)| !is_bound(&key.value)) else {
            self.wrong("a property without a kind", wanted, node);
            return None;
        };
        let known = std::iter::once(kind.value.as_str()).chain(["in"]);
        let known: Vec<&str> = known.chain(Relation::ALL.iter().map(|relation| relation.words().1)).collect();
        self.unknown(&kind.value, pairs, &known);
        if pairs.iter().any(|(key, _)| !known.contains(&key.value.as_str())) {
            return None;
        }
        let mut bounds = pairs.iter().filter(|(key, _)| is_bound(&key.value));
        let first = bounds.next();
        if let (Some((first, _)), Some((second, _))) = (first, bounds.next()) {
            let message = format!("`{}` has two bounds", kind.value);
            self.push(
                Diagnostic::new(&rules::GIVEN_TWICE, second.span, message)
                    .label(first.span, "first given here")
                    .help("write another property for the second, or in: [lo, hi]"),
            );
        }
        let relation = |key: &str| Relation::ALL.into_iter().find(|relation| relation.words().1 == key);
        let bound = first.and_then(|(key, value)| match relation(&key.value) {
            Some(relation) => Some(Bound::Beyond(relation, self.expr(value))),
            None => self.range(pairs).map(|(low, high)| Bound::Within(low, high)),
        });
        if first.is_some() && bound.is_none() {
            return None;
        }
        let of = self.subjects(&kind.value, about)?;
        let whole = pairs.iter().map(|(_, value)| value.span).fold(kind.span, Span::to);
        Some(Property { kind: kind.clone(), of, bound, head: Head(whole) })
    }

    /// A name, a list of names, or nothing.
    fn subjects(&mut self, kind: &str, node: &Node) -> Option<Vec<Spanned<String>>> {
        match &node.value {
            Value::Null => Some(Vec::new()),
            Value::Map(none) if none.is_empty() => Some(Vec::new()),
            Value::Seq(items) => items.iter().map(|item| self.word(kind, item)).collect(),
            _ => Some(vec![self.word(kind, node)?]),
        }
    }
}
