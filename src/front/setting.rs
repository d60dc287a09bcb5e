//! A spec with other values for the parameters of its model.
//!
//! Contract: what is not named stays as it is, with its places in the text, so that findings about the changed spec point into the
//! one that a person wrote.

use super::ast::{Expr, Spec};
use crate::diag::suppress::Notation;

/// The spec with these defaults instead of its own. Names that are no parameters change nothing.
#[must_use]
pub fn with(spec: &Spec, values: &[(&str, Expr)]) -> Spec {
    let mut changed = spec.clone();
    let params = changed.model.iter_mut().flat_map(|model| &mut model.params);
    for param in params {
        let value = values.iter().find(|(name, _)| *name == param.name.value);
        if let (Some((_, value)), Some(default)) = (value, &mut param.default) {
            default.value = value.clone();
            default.value.relocate(default.span);
        }
    }
    changed
}

/// One model of a family as a spec of its own, to be pasted into a file: nothing varies, and what was said of the declared values (comments
/// and expected facts) is left out.
#[must_use]
pub fn alone(spec: &Spec, values: &[(&str, Expr)]) -> Spec {
    let mut spec = with(spec, values);
    spec.notation = Notation::Dsl;
    spec.comments.clear();
    spec.expect.clear();
    spec.model.iter_mut().flat_map(|model| &mut model.params).for_each(|param| param.range = None);
    spec
}
