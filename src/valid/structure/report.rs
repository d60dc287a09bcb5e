//! What is said of the models that were drawn.

use super::{Drawn, Family, Member, Structure, TRIALS, shrink};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::valid::properties::Verdict;
use serde::Serialize;
use std::collections::BTreeMap;

/// The models that were drawn and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// FAIL if one of them has an error, or breaks a law or a property.
    pub verdict: Verdict,
    /// The ranges that the spec declares.
    pub ranges: Vec<String>,
    /// The values with which laws and properties were tested.
    pub drawn: Vec<String>,
    /// The values with which the model was too expensive to be run, and why.
    pub cut: Vec<String>,
    /// Whether the time was up before all of them had been tested.
    pub late: bool,
}

/// The most codes that are reported, each once.
const CODES: usize = 4;

impl Report {
    /// What was drawn; `None` if nothing varies. The verdict is that of the compiler alone.
    #[must_use]
    pub fn of(family: &Family<'_>, drawn: &Drawn) -> Option<Self> {
        if family.ranged.is_empty() {
            return None;
        }
        let members = || drawn.members.iter();
        let faulty = members().any(|member| !member.faults.is_empty());
        let cut = |member: &Member| Some(format!("{}: {}", member.structure.words(), member.cut.as_ref()?));
        Some(Self {
            verdict: if faulty { Verdict::Fail } else { Verdict::Pass },
            ranges: family.ranged.iter().map(ToString::to_string).collect(),
            drawn: members().filter(|m| m.model.is_some()).map(|m| m.structure.words()).collect(),
            cut: members().filter_map(cut).collect(),
            late: false,
        })
    }
}

impl Report {
    /// Takes in what laws and properties concluded.
    pub fn conclude(&mut self, broken: bool, late: bool) {
        if broken {
            self.verdict = Verdict::Fail;
        }
        self.late = late;
    }
}

/// The finding for each kind of error that a drawn model has, at the smallest values that show it; with each the values.
#[must_use]
pub fn faults(family: &Family<'_>, drawn: &Drawn) -> Vec<(Structure, Diagnostic)> {
    let mut first: BTreeMap<&str, &Member> = BTreeMap::new();
    for member in &drawn.members {
        member.faults.iter().for_each(|fault| {
            first.entry(fault.rule.code).or_insert(member);
        });
    }
    let found = first.into_iter().take(CODES).filter_map(|(code, member)| {
        let of = |faults: &Diagnostics| faults.iter().find(|fault| fault.rule.code == code).cloned();
        let start = (member.structure.clone(), of(&member.faults)?);
        // What costs too much to be run is compiled all the same.
        let fails = |structure: &Structure| of(&family.member(structure, 1.0).faults);
        let (structure, fault) = shrink(&family.ranged, TRIALS, start, fails);
        let finding = finding(family, &structure, &fault, &fails);
        Some((structure, finding))
    });
    found.collect()
}

/// The findings for the errors of one member, as it is.
#[must_use]
pub fn faults_of(family: &Family<'_>, member: &Member) -> Vec<Diagnostic> {
    let whole = family.whole(&member.structure);
    let of = |fault: &Diagnostic| {
        let same = |structure: &Structure| {
            family.member(structure, 1.0).faults.iter().find(|other| other.rule == fault.rule).cloned()
        };
        finding(family, &whole, fault, &same)
    };
    member.faults.iter().map(of).collect()
}

/// An error of a member, at the ranges without which it would not be there.
fn finding(
    family: &Family<'_>,
    structure: &Structure,
    fault: &Diagnostic,
    fails: &dyn Fn(&Structure) -> Option<Diagnostic>,
) -> Diagnostic {
    let blamed = |i: &usize| {
        let mut declared = structure.clone();
        declared.0[*i].1 = family.ranged[*i].declared;
        declared != *structure && fails(&declared).is_none()
    };
    let all = 0..family.ranged.len();
    let mut guilty: Vec<usize> = all.clone().filter(blamed).collect();
    if guilty.is_empty() {
        guilty.extend(all);
    }
    let words = structure.words();
    let (code, message) = (fault.rule.code, &fault.message);
    let place = family.ranged[guilty[0]].span;
    let message = format!("with {words} the model has an error that it does not have as declared, {code}: {message}");
    let mut found = Diagnostic::new(&rules::BROKEN_RANGE, place, message)
        .remark("promises that the model works with every value");
    for other in &guilty[1..] {
        found = found.label(family.ranged[*other].span, "and so does this");
    }
    if let Some(span) = fault.span() {
        found = found.label(span, format!("{code} with {words}"));
    }
    if let Some(node) = &fault.node {
        found = found.node(node.clone());
    }
    found.help(format!(
        "narrow the range to the values that work, or write the model so that all do; `wellposed explain {code}` is the page of the error"
    ))
}
