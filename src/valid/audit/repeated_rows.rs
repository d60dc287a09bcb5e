//! Rows of one split that occur in another.
//!
//! ## What it checks
//!
//! A row is the text of all columns that the spec names, inputs and targets alike, without surrounding white space. Rows of `val` and `test`
//! that occur in `train`, and rows of `test` that occur in `val`, are counted by 64-bit hashes of that text (two different rows of a
//! million each are taken for equal with probability 5e-8). Beyond 2 million rows in a split, the rows of every second, fourth, ... hash are
//! compared, the same in all splits, so that memory stays bounded and the share is unbiased.
//!
//! One repeated row is silent: coarse measurements coincide. From two rows on it is information, from 1 % of the split's rows on a
//! warning, and from 10 % on an error, unless `train` repeats its own rows a third as often: then coarse columns may be the reason.
//!
//! ## Why it matters
//!
//! A row that was trained on is answered from memory. With a share r of such rows the measured error is (1 - r) e + r e_train: at r = 0.5
//! and an error of 20 % on new rows, a model that has learnt its training rows by heart is reported with 10 %.
//! Copies in two splits come from dividing rows after oversampling, from joins that multiply rows, and from one file named twice.
//!
//! ## Example
//!
//! ```text
//! train csv("all.csv")
//! test  csv("all.csv")
//! ```
//!
//! ## Instead
//!
//! Remove duplicates before the rows are divided, or divide by what a row is about: `split by hash(customer)` keeps the copies
//! of a row together if they share the key.
//!
//! ## References
//!
//! Kaufman et al. 2012, "Leakage in data mining"; Barz and Denzler 2020, "Do we train on test data?" (3.3 % of the CIFAR-10 test images
//! have near-duplicates in the training set); research: static.md P21.

use super::{Subject, audit, percent, place};
use crate::data::{Content, Group, Reading, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::text::count;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub static RULE: Rule = audit!("repeated_rows.rs" = "D201" "repeated-rows" Warning from "P21");

/// The most hashes that are kept of one split.
const MOST: usize = 1 << 21;

/// The hashes of the rows of a split, in order, each with the number of the row.
#[derive(Default)]
pub(super) struct Hashes {
    /// Only hashes that end in this many zero bits are kept.
    pub(super) level: u32,
    pub(super) kept: Vec<(u64, u64)>,
}

impl Hashes {
    fn keeps(&self, hash: u64) -> bool {
        hash.trailing_zeros() >= self.level
    }

    pub(super) fn add(&mut self, hash: u64, row: u64) {
        if !self.keeps(hash) {
            return;
        }
        if self.kept.len() >= MOST {
            self.thin(self.level + 1);
        }
        if self.keeps(hash) {
            self.kept.push((hash, row));
        }
    }

    fn thin(&mut self, level: u32) {
        self.level = self.level.max(level);
        let level = self.level;
        self.kept.retain(|(hash, _)| hash.trailing_zeros() >= level);
    }

    /// The row that has this hash.
    pub(super) fn find(&self, hash: u64) -> Option<u64> {
        let at = self.kept.partition_point(|(known, _)| *known < hash);
        self.kept.get(at).filter(|(known, _)| *known == hash).map(|(_, row)| *row)
    }

    /// How many rows have a twin among the kept ones.
    fn repeated(&self) -> u64 {
        self.kept.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() > 1).map(|run| run.len() as u64).sum()
    }
}

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    let Some(all) = everything(subject) else { return };
    let mut seen: BTreeMap<Split, Hashes> = BTreeMap::new();
    for &split in subject.profile.splits.keys() {
        let mut hashes = Hashes::default();
        let mut row = 0;
        let read = Reading::new(subject.plan, &all, split, subject.loader).fields(|fields| {
            row += 1;
            hashes.add(hash(fields), row);
        });
        if let Err(fault) = read {
            out.push(*fault);
            return;
        }
        hashes.kept.sort_unstable();
        seen.insert(split, hashes);
    }
    for (earlier, later) in
        [(Split::Train, Split::Val), (Split::Train, Split::Test), (Split::Val, Split::Test)]
    {
        if let (Some(first), Some(second)) = (seen.get(&earlier), seen.get(&later)) {
            out.extend(compare(subject, (earlier, first), (later, second)));
        }
    }
}

/// A group of all columns that the spec names; `None` if there is no target, without which rows are no examples.
fn everything(subject: &Subject<'_>) -> Option<Group> {
    let groups = &subject.plan.groups;
    let mut all = groups.first()?.clone();
    all.content = Content::Numeric;
    all.reshape = None;
    all.chain.clear();
    all.overrides.clear();
    all.columns = groups.iter().flat_map(|group| group.columns.iter().cloned()).collect();
    all.columns.sort();
    all.columns.dedup();
    groups.iter().any(|group| group.content.is_target()).then_some(all)
}

/// The first 64 bits of the SHA-256 of the fields.
pub(super) fn hash(fields: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update(field);
        hash.update([0x1f]);
    }
    hash.finalize().iter().take(8).fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

fn compare(
    subject: &Subject<'_>,
    (earlier, first): (Split, &Hashes),
    (later, second): (Split, &Hashes),
) -> Option<Diagnostic> {
    let level = first.level.max(second.level);
    let (mut rows, mut twins, mut example) = (0, 0, None);
    for (hash, row) in second.kept.iter().filter(|(hash, _)| hash.trailing_zeros() >= level) {
        rows += 1;
        if let Some(before) = first.find(*hash) {
            twins += 1;
            example = example.min(Some((*row, before))).or(Some((*row, before)));
        }
    }
    let (row, before) = example.filter(|_| twins >= 2)?;
    let own = first.repeated();
    // 3 twins / rows > own / kept, in whole numbers.
    let beyond_chance = 3 * u128::from(own) * rows < u128::from(twins) * first.kept.len() as u128;
    let share = |percent: u128| 100 * u128::from(twins) >= percent * rows;
    let severity = match () {
        () if share(10) && beyond_chance => Severity::Error,
        () if share(1) => Severity::Warning,
        () => Severity::Info,
    };
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    let counted =
        if level > 0 { format!(" (counted on one row in {})", 1u64 << level) } else { String::new() };
    let message =
        format!("{} of the {} rows of `{later}` occur in `{earlier}`{counted}", count(twins), count(rows));
    let remark = format!("{}, the first one row {row}", percent(twins, rows));
    let diagnostic = Diagnostic::new(&RULE, place(subject.plan, later), message).severity(severity);
    let diagnostic = if place(subject.plan, later) == place(subject.plan, earlier) {
        diagnostic.remark(format!("{remark}, which is row {before} of `{earlier}`"))
    } else {
        diagnostic.remark(remark).label(place(subject.plan, earlier), format!("where it is row {before}"))
    };
    Some(
        diagnostic
            .note("row", "the text of all columns that the spec names")
            .note(
                "also",
                format!(
                    "{} of the rows of `{earlier}` occur in it more than once",
                    percent(own, first.kept.len() as u64)
                ),
            )
            .help("remove duplicates before the rows are divided, or divide by a key that copies share"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_stay_bounded_and_the_same_rows_stay() {
        let mut hashes = Hashes::default();
        for row in 0..MOST as u64 + 10 {
            hashes.add(row.wrapping_mul(0x9e37_79b9_7f4a_7c15), row);
        }
        assert!(hashes.kept.len() <= MOST && hashes.level == 1, "{} {}", hashes.kept.len(), hashes.level);
        hashes.kept.sort_unstable();
        assert!(hashes.kept.iter().all(|(hash, row)| hashes.find(*hash) == Some(*row)));
        assert_eq!(hashes.find(1), None);
        assert_eq!(hashes.repeated(), 0);
    }
}
