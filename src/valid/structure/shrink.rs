//! The smallest structure that still fails.
//!
//! Contract: one parameter after the other goes towards its lower end, until none goes further. The values next to the lower end are tried
//! one by one, so that a fault of every second or third value is found at the smallest of them; above them the interval between a value that
//! holds and one that fails is halved, which ends at the smallest that fails wherever larger values fail, too. The number of
//! trials is bounded.

use super::{Ranged, Structure};

/// Values next to the lower end that are tried one by one.
const NEXT: u64 = 8;
/// The most models that are tried.
pub const TRIALS: usize = 160;

/// Shrinks a failure at `start`, which names every parameter, in at most `trials` trials. `fails` says what fails at a structure, if
/// anything does.
pub fn shrink<T>(
    ranged: &[Ranged],
    trials: usize,
    start: (Structure, T),
    mut fails: impl FnMut(&Structure) -> Option<T>,
) -> (Structure, T) {
    let mut best = start;
    let mut tried: Vec<Structure> = Vec::new();
    loop {
        let before = best.0.clone();
        for (i, one) in ranged.iter().enumerate() {
            // Whether a value fails with the best values of the others; what fails is the new best.
            let mut at = |step: u64, best: &mut (Structure, T)| {
                let mut structure = best.0.clone();
                structure.0[i].1 = one.value(step);
                if tried.len() >= trials || tried.contains(&structure) {
                    return false;
                }
                tried.push(structure.clone());
                let found = fails(&structure);
                found.map(|found| *best = (structure, found)).is_some()
            };
            let above = one.below(best.0.0[i].1);
            let next = NEXT.min(above);
            if (0..next).any(|step| at(step, &mut best)) {
                continue;
            }
            let (mut holds, mut fails) = (next.saturating_sub(1), above);
            while fails.saturating_sub(holds) > 1 {
                let middle = holds + (fails - holds) / 2;
                if at(middle, &mut best) {
                    fails = middle;
                } else {
                    holds = middle;
                }
            }
        }
        if best.0 == before || tried.len() >= trials {
            return best;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Number, Ranged, Structure};
    use super::{TRIALS, shrink};
    use crate::source::{Sources, Span};
    use proptest::prelude::*;

    fn one(name: &str, low: i64, high: i64) -> Ranged {
        let (declared, low, high) = (Number::Whole(low), Number::Whole(low), Number::Whole(high));
        let span = Span::new(Sources::default().add("m.nn", ""), 0..0);
        Ranged { name: name.to_owned(), declared, low, high, span }
    }

    fn at(a: i64, b: i64) -> Structure {
        Structure(vec![("a".to_owned(), Number::Whole(a)), ("b".to_owned(), Number::Whole(b))])
    }

    fn values(structure: &Structure) -> (i64, i64) {
        match structure.0[..] {
            [(_, Number::Whole(a)), (_, Number::Whole(b))] => (a, b),
            _ => panic!("two whole numbers"),
        }
    }

    proptest! {
        /// A fault from a threshold on is found at the threshold, one of every k-th value at the first of them.
        #[test]
        fn the_smallest_is_exact(from in 1i64..300, k in 1i64..8, start in 0i64..40) {
            let ranged = [one("a", 1, 400), one("b", 1, 64)];
            let fails = |structure: &Structure| {
                let (a, b) = values(structure);
                (a >= from && b % k == 0).then_some(())
            };
            let start = at(from + start, k * (64 / k));
            let (least, ()) = shrink(&ranged, TRIALS, (start, ()), fails);
            prop_assert_eq!(values(&least), (from, k));
        }
    }
}
