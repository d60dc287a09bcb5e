//! The properties of a spec: laws, declared ones and committed cases, on the declared model and on those that its ranges allow.
//!
//! Contract: committed cases come first and speak for their law or property where they fail, so that one fault is one finding. A failure
//! with other values than the declared ones shows the model as a spec.

use super::Options;
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::front::print;
use crate::report::{Regressions, SpecReport};
use crate::source::Sources;
use crate::valid::regressions::{self, Again, Committed};
use crate::valid::structure::{self, Family, Structure};
use crate::valid::{self, declared, properties};
use std::path::PathBuf;

/// The key of the note that says where a case is kept.
pub(super) const KEEP: &str = "keep";

/// Tests what the options ask for.
pub(super) fn test(
    family: &Family<'_>,
    sources: &Sources,
    committed: Option<&[Committed]>,
    options: &Options,
    found: &mut Diagnostics,
    report: &mut SpecReport,
) {
    let shown = Shown { family, sources, structures: Vec::new() };
    if options.properties.replay.is_some() || options.declared.replay.is_some() {
        replay(shown, options, found, report);
    } else {
        all(shown, committed, options, found, report);
    }
}

/// Everything, from the committed cases on.
fn all(
    mut shown: Shown<'_>,
    committed: Option<&[Committed]>,
    options: &Options,
    found: &mut Diagnostics,
    report: &mut SpecReport,
) {
    let family = shown.family;
    let (span, path) = (family.declared.graph.span, report.path.clone());
    let ran = committed.map(|cases| regressions::run(family, &PathBuf::from(&path), cases));
    let again: &[Again<'_>] = ran.as_ref().map_or(&[], |ran| &ran.again);
    let seed = options.properties.seed;
    let drawn = family.draw(seed, options.properties.cases);
    report.structures = structure::Report::of(family, &drawn);
    let keep = format!("that case in {path}.regressions, which `validate --record {path}` writes");
    let known = |fault: &structure::Fault| {
        again.iter().any(|case| case.faults().iter().any(|k| k.code == fault.code))
    };
    for fault in structure::faults(family, &drawn, &path).into_iter().filter(|fault| !known(fault)) {
        let case = structure::replay(&fault.structure).to_string();
        report.structures.iter_mut().for_each(|structures| structures.faults.push(case.clone()));
        found.push(shown.with(fault.finding.note(KEEP, keep.clone()), &fault.structure));
    }
    report.properties =
        properties::run_over(family, &drawn, &options.properties, properties::Fault::default());
    for law in &mut report.properties {
        let broken = again.iter().filter_map(Again::law).find(|broken| broken.name == law.name);
        match broken {
            Some(broken) => law.clone_from(broken),
            None => found.extend(law.finding(span, &path).map(|finding| shown.law(finding, law))),
        }
    }
    match declared::run_over(family, &drawn, &options.declared) {
        Ok(reports) => report.declared = reports,
        Err(unknown) => found.push(*unknown),
    }
    for property in &mut report.declared {
        match again.iter().flat_map(Again::declared).find(|broken| broken.is_of(property)) {
            Some(broken) => property.clone_from(broken),
            None => found.extend(property.finding(&path).map(|finding| shown.property(finding, property))),
        }
    }
    let late = options.properties.late();
    valid::claims::measure(family.declared, seed, found);
    for case in again {
        let structure = case.committed.replay.structure();
        found.extend(case.findings(span, &path).into_iter().map(|finding| shown.with(finding, structure)));
    }
    if let Some(ran) = &ran {
        let failed = ran.again.iter().filter(|case| case.fails()).count();
        report.regressions = Some(Regressions { cases: ran.again.len(), failed, left_out: ran.left_out });
        found.extend(ran.faults.iter().cloned());
    }
    if let Some(structures) = &mut report.structures {
        let varied = |structure: Structure| !structure.is_declared();
        let laws = report.properties.iter().filter_map(|law| Some(law.failing()?.structure));
        let declared = report.declared.iter().filter_map(|property| Some(property.failing()?.structure));
        let broken = laws.chain(declared).any(varied);
        structures.conclude(broken, late);
    }
}

/// One case of one law or property.
fn replay(mut shown: Shown<'_>, options: &Options, found: &mut Diagnostics, report: &mut SpecReport) {
    let family = shown.family;
    let (span, path) = (family.declared.graph.span, report.path.clone());
    let law = options.properties.replay.as_ref().map(|replay| &replay.structure);
    let property = options.declared.replay.as_ref().map(|replay| &replay.structure);
    let structure = law.or(property).cloned().unwrap_or_default();
    let member;
    let mut subject = family.declared;
    if !structure.is_declared() {
        let refused = match family.outside(&structure) {
            Err(unknown) => Some(Diagnostic::new(&rules::UNKNOWN_NAME, span, unknown)),
            Ok(outside) => outside.map(|outside| Diagnostic::new(&rules::OUT_OF_RANGE, span, outside)),
        };
        if let Some(refused) = refused {
            found.push(refused);
            return;
        }
        // Who asks for one model waits for it.
        member = family.member(&family.whole(&structure), f64::INFINITY);
        for fault in structure::faults_of(family, &member, &path) {
            found.push(shown.with(fault.finding, &fault.structure));
        }
        let Some(of) = member.subject(family) else { return };
        subject = of;
    }
    if options.properties.replay.is_some() {
        report.properties = properties::run(subject, &options.properties);
        for law in &report.properties {
            found.extend(law.finding(span, &path).map(|finding| shown.law(finding, law)));
        }
    } else {
        match declared::run(subject, &options.declared) {
            Ok(reports) => report.declared = reports,
            Err(unknown) => found.push(*unknown),
        }
        for property in &report.declared {
            found.extend(property.finding(&path).map(|finding| shown.property(finding, property)));
        }
    }
}

/// What is added to findings about models with other values; each model is shown once.
struct Shown<'a> {
    family: &'a Family<'a>,
    sources: &'a Sources,
    structures: Vec<Structure>,
}

impl Shown<'_> {
    fn law(&mut self, finding: Diagnostic, law: &properties::Report) -> Diagnostic {
        let structure = law.failing().map(|replay| replay.structure).unwrap_or_default();
        self.with(finding, &structure)
    }

    fn property(&mut self, finding: Diagnostic, property: &declared::Report) -> Diagnostic {
        let structure = property.failing().map(|replay| replay.structure).unwrap_or_default();
        self.with(finding, &structure)
    }

    /// Adds the values at their ranges and the model as a spec.
    fn with(&mut self, mut finding: Diagnostic, structure: &Structure) -> Diagnostic {
        if structure.is_declared() {
            return finding;
        }
        if finding.rule != &rules::BROKEN_RANGE {
            for one in &self.family.ranged {
                if let Some((name, value)) = structure.0.iter().find(|(name, _)| *name == one.name) {
                    finding = finding.label(one.span, format!("{name} = {value}"));
                }
            }
        }
        if self.structures.contains(structure) {
            return finding.note("see", format!("the spec with {} is shown above", structure.words()));
        }
        self.structures.push(structure.clone());
        finding.note("spec", print::dsl(&self.family.alone(structure), self.sources))
    }
}
