//! The declared properties over all models of a family.
//!
//! Contract: as for the laws, the models that were drawn add failures and nothing else, and what fails is made smaller in the values of the
//! parameters. A model that lacks what a property is about says nothing of it.

use super::{Options, Replay, Report, run};
use crate::diag::Diagnostic;
use crate::valid::properties::{CASES, Verdict};
use crate::valid::structure::{Drawn, Family, Structure, TRIALS, shrink};

/// Tests every property on the declared model and on those that were drawn.
///
/// # Errors
/// As [`run`].
pub fn run_over(
    family: &Family<'_>,
    drawn: &Drawn,
    options: &Options,
) -> Result<Vec<Report>, Box<Diagnostic>> {
    let mut reports = run(family.declared, options)?;
    for (seed, member) in (options.seed.wrapping_add(1)..).zip(&drawn.members) {
        let Some(subject) = member.subject(family).filter(|_| !options.late()) else { continue };
        let few = Options { seed, cases: options.cases.min(CASES), ..options.clone() };
        for found in run(subject, &few)? {
            let known = reports.iter_mut().find(|known| known.is_of(&found) && !known.fails());
            if let (Some(known), true) = (known, found.fails()) {
                *known = found.with(&member.structure);
            }
        }
    }
    let smaller = |report: Report| {
        let failed = report.fails() && !family.ranged.is_empty();
        if failed { smallest(family, report, options) } else { report }
    };
    Ok(reports.into_iter().map(smaller).collect())
}

impl Report {
    /// Whether both are of one property.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        (self.span, &self.name) == (other.span, &other.name)
    }

    /// Whether the property is broken.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.verdict == Verdict::Fail
    }

    /// The case that fails.
    #[must_use]
    pub fn failing(&self) -> Option<Replay> {
        self.replay.as_ref()?.parse().ok()
    }

    /// The same of a model with other values than the declared ones.
    fn with(self, structure: &Structure) -> Self {
        let replay =
            self.failing().map(|replay| Replay { structure: structure.clone(), ..replay }.to_string());
        Self { replay, ..self }
    }
}

/// The smallest failing model that is found from a failure, in the time that there is.
fn smallest(family: &Family<'_>, report: Report, options: &Options) -> Report {
    let Some(replay) = report.failing() else { return report };
    let whole = family.whole(&replay.structure);
    let declared = replay.structure.is_declared();
    let fails = |structure: &Structure| {
        if options.late() {
            return None;
        }
        let member = family.member(structure, 1.0);
        let subject = member.subject(family)?;
        // The weights of another model are other ones, so that a fault of some initialisations shows at another seed.
        let others = (0..4).filter(|seed| *seed != replay.seed);
        std::iter::once(replay.seed).chain(others).find_map(|seed| {
            let replay = Replay { structure: structure.clone(), seed, ..replay.clone() };
            let found = run(subject, &Options { replay: Some(replay), ..options.clone() }).ok()?;
            found.into_iter().find(|found| found.is_of(&report) && found.fails())
        })
    };
    let (structure, smallest) = shrink(&family.ranged, TRIALS, (whole.clone(), report.clone()), fails);
    if structure == whole {
        return report;
    }
    let also = if declared { format!("; as declared {}", report.detail) } else { String::new() };
    Report { detail: format!("{}{also}", smallest.detail), cases: report.cases, ..smallest }
}
