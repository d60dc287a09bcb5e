//! Groups whose rows stand in two splits.
//!
//! ## What it checks
//!
//! The values of the column that `group=` names, by 64-bit hashes as in `repeated-rows`: those of `val` and `test` that occur in `train`, and those
//! of `test` that occur in `val`. One is an error, because the spec says that rows of one group belong together. `split by hash(KEY,
//! group=KEY)` cannot divide a group and is not read.
//!
//! ## Why it matters
//!
//! See `divided-group`: rows of a known group are answered from what is known of it, and the error on new groups is not measured.
//!
//! ## Example
//!
//! ```text
//! train csv("visits_2023.csv")
//! test  csv("visits_2024.csv")
//! split by file(group=patient)
//! ```
//!
//! where patients of 2023 come again in 2024.
//!
//! ## Instead
//!
//! Divide by the group: `split by hash(patient)`. If the model will meet the same groups again in use, the division is right and `group=` is not.
//!
//! ## References
//!
//! Kaufman et al. 2012, "Leakage in data mining"; deepchecks, "index train test leakage"; research: static.md P24.

use super::repeated_rows::{Hashes, hash};
use super::{Subject, audit, fields, percent, place};
use crate::data::{Rows, Rule as SplitRule, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::lints::DIVIDED_GROUP;
use crate::source::Spanned;
use crate::text::count;
use std::collections::BTreeMap;

pub static RULE: Rule = audit!("shared_key.rs" = "D209" "shared-key" Error from "P24");

/// Keys of one split that another has.
struct Shared {
    keys: u64,
    of: u64,
    rows: u64,
    among: u64,
    /// The first row that has one of them, and where it is in the other split.
    first: (u64, u64),
}

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    let Some(key) = &subject.plan.about.group else { return };
    if matches!(&subject.plan.rows, Rows::One(_, SplitRule::Hash { key: by, .. }) if by.value == key.value) {
        return;
    }
    let mut seen: BTreeMap<Split, Hashes> = BTreeMap::new();
    for &split in subject.profile.splits.keys() {
        let mut hashes = Hashes::default();
        let mut row = 0;
        let read = fields(subject, &key.value, split, |field| {
            row += 1;
            hashes.add(hash(&[field]), row);
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
        let Some(found) = seen.get(&earlier).zip(seen.get(&later)).and_then(|(a, b)| shared(a, b)) else {
            continue;
        };
        report(subject, key, (earlier, later), &found, out);
    }
}

/// The keys of `second` that `first` has, too.
fn shared(first: &Hashes, second: &Hashes) -> Option<Shared> {
    let level = first.level.max(second.level);
    let mut all = Shared { keys: 0, of: 0, rows: 0, among: 0, first: (u64::MAX, 0) };
    let kept = second.kept.chunk_by(|a, b| a.0 == b.0).filter(|run| run[0].0.trailing_zeros() >= level);
    for run in kept {
        all.of += 1;
        all.among += run.len() as u64;
        if let Some(before) = first.find(run[0].0) {
            all.keys += 1;
            all.rows += run.len() as u64;
            all.first = all.first.min((run[0].1, before));
        }
    }
    (all.keys > 0).then_some(all)
}

fn report(
    subject: &Subject<'_>,
    key: &Spanned<String>,
    (earlier, later): (Split, Split),
    found: &Shared,
    out: &mut Diagnostics,
) {
    let name = &key.value;
    let Shared { keys, of, rows, among, first: (row, before) } = found;
    let message =
        format!("{} of the {} `{name}` in `{later}` occur in `{earlier}`, too", count(*keys), count(*of));
    // One cause, one finding: that the rule divides groups may be known already.
    if let Some(known) = out.iter_mut().find(|d| d.rule == &DIVIDED_GROUP) {
        known.severity = Severity::Error;
        known.notes.push(("rows", message));
        return;
    }
    let share = format!("{} of its rows, the first one row {row}", percent(*rows, *among));
    let mut diagnostic =
        Diagnostic::new(&RULE, key.span, message).remark(format!("rows of one `{name}` belong together"));
    let (own, other) = (place(subject.plan, later), place(subject.plan, earlier));
    diagnostic = if own == other {
        diagnostic
            .note("rows", format!("{share}, which shares its `{name}` with row {before} of `{earlier}`"))
    } else {
        diagnostic.label(own, share).label(other, format!("which shares its `{name}` with row {before} here"))
    };
    out.push(diagnostic.help(format!(
        "divide by the group: split by hash({}); leave `group=` out if the model meets the same ones again in use",
        crate::front::names::argument(name)
    )));
}
