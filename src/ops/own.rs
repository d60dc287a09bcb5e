//! What an activation and a loss of a spec have in common: a name, parameters, and a formula.
//!
//! Contract: an [`Own`] is one use of a declaration, with the values of its parameters. Its kernels run the formula on any scalar
//! and take all decisions of an element as one, so that the tape holds one word an element, as for every other operator.

use super::{Inferred, Room};
use crate::formula::{Formula, Origin};
use crate::scalar::Scalar;
use crate::tensor::{Tape, ViewMut};
use std::cell::RefCell;

/// A declared function with the values of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// The name that the spec gives it.
    pub name: String,
    /// The declaration as the snapshot prints it.
    pub declaration: String,
    /// The parameters with their defaults.
    pub settings: Vec<(String, f64)>,
    /// The function.
    pub formula: Formula,
}

impl Own {
    /// The parameters that differ from their defaults.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&str, String)> {
        let all = self.settings.iter().enumerate();
        all.filter(|(i, (_, default))| self.formula.setting(*i) != *default)
            .map(|(i, (name, _))| (name.as_str(), super::exact(self.formula.setting(i))))
            .collect()
    }

    /// Whether its slope is one in place of the derivative.
    #[must_use]
    pub fn is_surrogate(&self) -> bool {
        self.formula.origin == Origin::Surrogate
    }

    /// Adds the room that a run needs.
    pub(super) fn with_room(&self, inferred: Inferred) -> Inferred {
        Inferred { scratch: Room { fixed: self.formula.room(), per_sample: 0 }, ..inferred }
    }

    /// The value at element `i`, with its decisions on the tape.
    pub(super) fn value<S: Scalar>(
        &self,
        at: &[S],
        (i, tape): (usize, &mut Tape<'_>),
        scratch: &mut ViewMut<'_, S>,
    ) -> S {
        if !self.formula.is_piecewise() {
            return self.formula.value(at, None, scratch).0;
        }
        let mut fresh = None;
        let pieces = tape.choose(i, || {
            let (value, pieces) = self.formula.value(at, None, scratch);
            fresh = Some(value);
            pieces
        });
        fresh.unwrap_or_else(|| self.formula.value(at, Some(pieces), scratch).0)
    }

    /// The value as a function of plain numbers that keeps its room.
    pub(super) fn plain_value(&self) -> impl Fn(&[f64]) -> f64 {
        let room = RefCell::new(vec![0.0; self.formula.room()]);
        move |at| self.formula.value(at, None, room.borrow_mut().as_mut_slice()).0
    }

    /// The slope, likewise.
    pub(super) fn plain_slope(&self) -> impl Fn(&[f64]) -> f64 {
        let room = RefCell::new(vec![0.0; self.formula.room()]);
        move |at| self.formula.slope(at, room.borrow_mut().as_mut_slice())
    }
}
