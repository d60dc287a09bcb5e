//! Classes that a split does not have, or hardly has.
//!
//! ## What it checks
//!
//! How many rows of each split have each of the declared classes. An error: a class without a training row. A warning: a class that `val`
//! or `test` does not have. Information: a class with more than 100 times the training rows of another.
//!
//! ## Why it matters
//!
//! The gradient of cross-entropy at the logit of a class without rows is its probability, always positive: the logit only falls, and the
//! class is never answered. An error on a class that a split does not have is not measured: the mean over rows hides it. At 100:1, answering
//! the frequent class always gives an accuracy of 99 %, and the rare class contributes 1 % of the gradient.
//!
//! ## Example
//!
//! ```text
//! y  class(target, 11)
//! ```
//!
//! on ten digits.
//!
//! ## Instead
//!
//! Declare the classes that there are; divide the rows so that each split has all of them (`split by hash(key)` over enough rows); for rare
//! classes judge by more than accuracy.
//!
//! ## References
//!
//! He and Garcia 2009, "Learning from imbalanced data"; research: static.md 1.2 (UMLAUT, deepchecks).

use super::{Subject, audit, names, place};
use crate::data::{Content, Group, Split};
use crate::diag::{Diagnostic, Diagnostics, Rule, Severity};
use crate::text::{count, plural};

pub static RULE: Rule = audit!("class_balance.rs" = "D204" "absent-class" Error);

/// The ratio from which two classes are out of balance.
const RATIO: u64 = 100;

pub fn check(subject: &Subject<'_>, out: &mut Diagnostics) {
    for group in &subject.plan.groups {
        let Content::Class(_, labels) = &group.content else { continue };
        let label = |class: usize| match labels {
            Some(labels) => labels.get(class).cloned().unwrap_or_default(),
            None => class.to_string(),
        };
        let counts = |split: Split| subject.profile.splits.get(&split)?.classes.get(&group.name.value);
        let train = counts(Split::Train);
        let nowhere = |class: usize| train.is_some_and(|train| train[class] == 0);
        for &split in subject.profile.splits.keys() {
            let Some(found) = counts(split) else { continue };
            let absent: Vec<usize> = (0..found.len())
                .filter(|&class| found[class] == 0 && (split == Split::Train || !nowhere(class)))
                .collect();
            if !absent.is_empty() {
                out.push(missing(subject, group, split, &absent, &label));
            }
        }
        if let Some(train) = train {
            out.extend(unbalanced(group, train, &label));
        }
    }
}

fn missing(
    subject: &Subject<'_>,
    group: &Group,
    split: Split,
    absent: &[usize],
    label: &dyn Fn(usize) -> String,
) -> Diagnostic {
    let rows = subject.profile.splits.get(&split).map_or(0, |rows| rows.count);
    let labels: Vec<String> = absent.iter().map(|&class| label(class)).collect();
    let shown: Vec<&str> = labels.iter().map(String::as_str).collect();
    let noun = if absent.len() == 1 { "class" } else { "classes" };
    let message = format!("no row of `{split}` has the {noun} {}", names(&shown));
    let rows = plural(usize::try_from(rows).unwrap_or(usize::MAX), "row");
    let diagnostic = Diagnostic::new(&RULE, group.source, message);
    let diagnostic = if split == Split::Train {
        diagnostic
            .remark("its logit can only fall")
            .help("declare the classes that the training rows have, or divide the rows otherwise")
    } else {
        diagnostic
            .severity(Severity::Warning)
            .remark("how well it is told from the others is not measured")
            .help("divide the rows so that each split has every class")
    };
    diagnostic.label(place(subject.plan, split), rows)
}

fn unbalanced(group: &Group, train: &[u64], label: &dyn Fn(usize) -> String) -> Option<Diagnostic> {
    let present = || train.iter().enumerate().filter(|(_, rows)| **rows > 0);
    let (most, &high) = present().max_by_key(|(class, rows)| (**rows, std::cmp::Reverse(*class)))?;
    let (least, &low) = present().min_by_key(|(class, rows)| (**rows, *class))?;
    (high > RATIO * low).then(|| {
        let (most, least) = (label(most), label(least));
        let message = format!("the training rows have `{most}` {} times as often as `{least}`", high / low);
        Diagnostic::new(&RULE, group.source, message)
            .severity(Severity::Info)
            .remark(format!("{} rows against {}", count(high), count(low)))
            .help("accuracy says little here: judge by the error of each class")
    })
}
