//! The laws over all models of a family.
//!
//! Contract: the declared model is tested as without a family; the models that were drawn add failures and nothing else. What
//! fails is shrunk first in the values of the parameters, then in the case.
//!
//! A law on a distribution fails a sound model with a small probability; a sound family it fails that often for each model that is drawn.

use super::{ALL, Case, Fault, Lab, Law, Options, Replay, Report, Test, Verdict, run_with, test};
use crate::valid::structure::{Drawn, Family, Structure, TRIALS, shrink};

/// Cases of a law on each model that was drawn.
pub const CASES: u32 = 4;

/// Tests every law on the declared model and on those that were drawn.
#[must_use]
pub fn run_over(family: &Family<'_>, drawn: &Drawn, options: &Options, fault: Fault<'_>) -> Vec<Report> {
    let mut reports = run_with(family.declared, options, fault);
    for (seed, member) in (options.seed.wrapping_add(1)..).zip(&drawn.members) {
        let Some(subject) = member.subject(family) else { continue };
        let lab = Lab::new(subject, fault);
        // Each model has cases of its own.
        let few = Options { seed, cases: options.cases.min(CASES), ..options.clone() };
        for (law, report) in ALL.iter().zip(&mut reports) {
            if report.verdict != Verdict::Fail && !few.late() {
                let found = test(law, &lab, fault, &few);
                if found.verdict == Verdict::Fail {
                    *report = found.with(&member.structure);
                }
            }
        }
    }
    let laws = ALL.iter().zip(reports);
    laws.map(|(law, report)| {
        let failed = report.verdict == Verdict::Fail && !family.ranged.is_empty();
        if failed { smallest(family, law, report, (options, fault)) } else { report }
    })
    .collect()
}

impl Report {
    /// The same of a model with other values than the declared ones.
    pub(super) fn with(self, structure: &Structure) -> Self {
        let replay =
            self.failing().map(|replay| Replay { structure: structure.clone(), ..replay }.to_string());
        Self { replay, ..self }
    }

    /// The case that fails.
    #[must_use]
    pub fn failing(&self) -> Option<Replay> {
        self.replay.as_ref()?.parse().ok()
    }
}

/// The smallest failing model and case that are found from a failure, in the time that there is.
fn smallest(
    family: &Family<'_>,
    law: &Law,
    report: Report,
    (options, fault): (&Options, Fault<'_>),
) -> Report {
    let Some(replay) = report.failing() else { return report };
    let start = (family.whole(&replay.structure), (replay.case, report.detail.clone()));
    // The weights of another model are other ones, so that a fault of some initialisations shows at another seed. A law over many
    // initialisations is expensive, and looks at many seeds anyway.
    let (seeds, trials) =
        if matches!(law.test, Test::Every(_)) { (0..4, TRIALS) } else { (0..0, FEW_TRIALS) };
    let fails = |structure: &Structure| {
        if options.late() {
            return None;
        }
        let member = family.member(structure, 1.0);
        let subject = member.subject(family).filter(|subject| (law.skip)(*subject).is_none())?;
        let lab = Lab::new(subject, fault);
        let others = seeds.clone().filter(|seed| *seed != replay.case.seed);
        let others = others.map(|seed| Case { seed, ..replay.case });
        std::iter::once(replay.case).chain(others).find_map(|case| broken(law, &lab, fault, case))
    };
    let (structure, found) = shrink(&family.ranged, trials, start, fails);
    if structure == family.whole(&replay.structure) {
        return report;
    }
    let member = family.member(&structure, 1.0);
    let (case, detail) = match member.subject(family) {
        Some(subject) => plainest(law, &Lab::new(subject, fault), fault, found),
        None => found,
    };
    let declared = replay.structure.is_declared();
    let also = if declared { format!("; as declared {}", report.detail) } else { String::new() };
    let replay = Some(Replay { structure, case, ..replay }.to_string());
    Report { replay, detail: format!("{detail}{also}"), ..report }
}

/// Models that are tried to make the failure of a law over many initialisations smaller.
const FEW_TRIALS: usize = 40;

/// What breaks a law in a case, if something does.
fn broken(law: &Law, lab: &Lab<'_>, fault: Fault<'_>, case: Case) -> Option<(Case, String)> {
    let detail = match law.test {
        Test::Every(test) => test(lab, case).err(),
        Test::Overall(test) => {
            let found = test(lab.subject, case.seed, fault);
            (found.verdict == Verdict::Fail).then_some(found.detail)
        }
    };
    Some((case, detail?))
}

/// The plainest case that still fails: one respect after the other, each at most a few times.
fn plainest(law: &Law, lab: &Lab<'_>, fault: Fault<'_>, mut found: (Case, String)) -> (Case, String) {
    if matches!(law.test, Test::Overall(_)) {
        return found;
    }
    for _ in 0..ROUNDS {
        match found.0.plainer().find_map(|case| broken(law, lab, fault, case)) {
            Some(plainer) => found = plainer,
            None => break,
        }
    }
    found
}

/// Cases that are each plainer than the one before.
const ROUNDS: usize = 8;
