//! What is said of the models that were drawn.

use super::{Drawn, Family, Member, Structure, TRIALS, shrink};
use crate::diag::{Diagnostic, rules};
use crate::valid::properties::{self, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;

/// The models that were drawn and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// FAIL if one of them has an error, or breaks a law or a property; SKIPPED if none does and the time was up.
    pub verdict: Verdict,
    /// The ranges that the spec declares.
    pub ranges: Vec<String>,
    /// The values with which laws and properties were tested.
    pub drawn: Vec<String>,
    /// With how many more values the spec was compiled.
    pub compiled: usize,
    /// The values with which the model was too expensive to be run, and why.
    pub cut: Vec<String>,
    /// Cases of the values with which the model has an error that it does not have as declared.
    pub faults: Vec<String>,
    /// Whether the time was up, so that not all of them may have been tested.
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
        let faulty = members().chain(&drawn.compiled).any(|member| !member.faults.is_empty());
        let cut = |member: &Member| Some(format!("{}: {}", member.structure.words(), member.cut.as_ref()?));
        Some(Self {
            verdict: if faulty { Verdict::Fail } else { Verdict::Pass },
            ranges: family.ranged.iter().map(ToString::to_string).collect(),
            compiled: drawn.compiled.len(),
            faults: Vec::new(),
            drawn: members().filter(|m| m.model.is_some()).map(|m| m.structure.words()).collect(),
            cut: members().filter_map(cut).collect(),
            late: false,
        })
    }
}

impl Report {
    /// Takes in what laws and properties concluded.
    pub fn conclude(&mut self, broken: bool, late: bool) {
        self.late = late;
        if broken {
            self.verdict = Verdict::Fail;
        } else if late && self.verdict == Verdict::Pass {
            self.verdict = Verdict::Skipped;
        }
    }
}

/// A kind of error that a drawn model has.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The code of the error.
    pub code: &'static str,
    /// The values with which it is there.
    pub structure: Structure,
    /// What is reported.
    pub finding: Diagnostic,
}

/// The text that compiles a model again: a case of the first law on it.
#[must_use]
pub fn replay(structure: &Structure) -> properties::Replay {
    let law = properties::ALL.first().map_or(String::new(), |law| law.name.to_owned());
    properties::Replay { law, structure: structure.clone(), case: properties::Case::plain(0) }
}

/// Each kind of error that a drawn model has, at the smallest values that show it.
#[must_use]
pub fn faults(family: &Family<'_>, drawn: &Drawn, spec: &str) -> Vec<Fault> {
    let mut first: BTreeMap<&str, &Member> = BTreeMap::new();
    for member in drawn.members.iter().chain(&drawn.compiled) {
        member.faults.iter().for_each(|fault| {
            first.entry(fault.rule.code).or_insert(member);
        });
    }
    let found = first.into_iter().take(CODES).filter_map(|(code, member)| {
        let start = (member.structure.clone(), of(member, code)?);
        let fails = |structure: &Structure| of(&family.member(structure, 1.0), code);
        // Where size is the fault, each trial has that size.
        let trials = if start.1.rule == &rules::TOO_LARGE { 0 } else { TRIALS };
        let (structure, fault) = shrink(&family.ranged, trials, start, fails);
        Some(fault_of(family, &structure, &fault, spec))
    });
    found.collect()
}

/// The errors of one member, as it is.
#[must_use]
pub fn faults_of(family: &Family<'_>, member: &Member, spec: &str) -> Vec<Fault> {
    let structure = family.whole(&member.structure);
    member.faults.iter().map(|fault| fault_of(family, &structure, fault, spec)).collect()
}

/// The error of a code that a member has.
fn of(member: &Member, code: &str) -> Option<Diagnostic> {
    member.faults.iter().find(|fault| fault.rule.code == code).cloned()
}

/// An error of a member, at the ranges without which it would not be there.
fn fault_of(family: &Family<'_>, structure: &Structure, fault: &Diagnostic, spec: &str) -> Fault {
    let code = fault.rule.code;
    let blamed = |i: &usize| {
        let mut declared = structure.clone();
        declared.0[*i].1 = family.ranged[*i].declared;
        declared != *structure && of(&family.member(&declared, 1.0), code).is_none()
    };
    let all = 0..family.ranged.len();
    let mut guilty: Vec<usize> = all.clone().take(BLAMED).filter(blamed).collect();
    if guilty.is_empty() {
        guilty.extend(all);
    }
    let words = structure.words();
    let message = &fault.message;
    let place = family.ranged[guilty[0]].span;
    let message =
        format!("with {words} the model has an error that it does not have as declared, {code}: {message}");
    let mut finding = Diagnostic::new(&rules::BROKEN_RANGE, place, message)
        .remark("promises that the model works with every value");
    for other in &guilty[1..] {
        finding = finding.label(family.ranged[*other].span, "and so does this");
    }
    if let Some(span) = fault.span() {
        finding = finding.label(span, format!("{code} with {words}"));
    }
    if let Some(node) = &fault.node {
        finding = finding.node(node.clone());
    }
    let finding = finding.note("replay", format!("wellposed validate {spec} --replay {}", replay(structure))).help(
        format!(
            "narrow the range to the values that work, or write the model so that all do; `wellposed explain {code}` is the page of the error"
        ),
    );
    Fault { code, structure: structure.clone(), finding }
}

/// So many parameters are set back to find out which one is to blame.
const BLAMED: usize = 8;
