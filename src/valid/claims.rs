//! The measured number beside the predicted one.
//!
//! A finding that rests on a prediction states it as a [`Claim`]. Where a model is run, every claim is measured over the same rows and
//! initialisations as the property `predicted-scale`, and the finding says between which values the initialisations lie.

use super::properties::Subject;
use super::properties::predicted_scale::{inputs, seeds};
use super::scale::{self, Scales};
use crate::diag::{Claim, Diagnostic, Diagnostics, Quantity};
use crate::exec::Weights;
use crate::tensor::Mode;
use crate::text::{number, plural};

/// Adds a note with the measured numbers to every finding that claims some.
pub fn measure(subject: Subject<'_>, seed: u64, found: &mut Diagnostics) {
    if found.iter().all(|diagnostic| diagnostic.claims.is_empty()) {
        return;
    }
    let feeds = inputs(subject, seed);
    let draw = |seed| Weights::draw(&subject.runnable, seed);
    let scales = scale::measure(subject.runnable, &feeds, Mode::Train, seeds(subject, seed), draw);
    for diagnostic in found.iter_mut() {
        let parts: Vec<String> = diagnostic.claims.iter().filter_map(|claim| range(claim, &scales)).collect();
        let count = scales.forward.iter().map(Vec::len).max().unwrap_or(0);
        if !parts.is_empty() {
            let text = format!("{} over {}", parts.join(", "), plural(count, "initialisation"));
            note(diagnostic, text);
        }
    }
}

/// Behind the note about what was predicted, or behind all.
fn note(diagnostic: &mut Diagnostic, text: String) {
    let at = diagnostic.notes.iter().position(|(key, _)| *key == "predicted");
    diagnostic.notes.insert(at.map_or(diagnostic.notes.len(), |at| at + 1), ("measured", text));
}

/// The least and the largest value of a claim over the initialisations; `None` where nothing was measured.
fn range(claim: &Claim, scales: &Scales) -> Option<String> {
    let sample = |node: usize| match claim.quantity {
        Quantity::Rms => &scales.forward[node],
        Quantity::Energy => &scales.energy[node],
        Quantity::Contrast => &scales.contrast[node],
    };
    let of = sample(claim.of);
    let value = |i: usize| {
        let over = claim.over.map_or(0.0, |node| sample(node).get(i).copied().unwrap_or(f64::NAN));
        match claim.quantity {
            Quantity::Rms => (0.5 * (of[i] - over + claim.offset)).exp(),
            Quantity::Energy => (of[i] - over + claim.offset).exp(),
            Quantity::Contrast => of[i],
        }
    };
    let values: Vec<f64> = (0..of.len()).map(value).filter(|x| x.is_finite()).collect();
    let least = values.iter().copied().reduce(f64::min)?;
    let most = values.iter().copied().reduce(f64::max)?;
    Some(format!("{}..{} {}", number(least), number(most), claim.name))
}
