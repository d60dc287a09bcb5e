//! The failing cases that are committed beside a spec: `m.nn.regressions`.
//!
//! Contract: a line holds one case of a law or of a declared property as a report shows it (`finite:seed=3,batch=1,scale=1e0`,
//! `rms(out)@depth=21:seed=3,batch=1`); `#` begins a comment. Every case is run each time, whatever the seed, the number of cases and the
//! time of a run are. A line that cannot be read, or that names what the spec does not have, is a finding at its place, and never
//! stops the other lines.

use super::declared::{self, Again as Replay};
use super::properties::{self, ALL, Subject, Verdict};
use super::structure::{self, Family};
use crate::diag::{Diagnostic, Diagnostics, Place, rules};
use crate::source::{Loader, MAX_SPEC_BYTES, Position, Span};
use std::io;
use std::path::{Path, PathBuf};

/// The most cases of one file: each costs a run of the model.
const MOST: usize = 256;
/// The most lines that are reported as unreadable.
const MOST_FINDINGS: usize = 16;

/// Where the cases of a spec stand.
#[must_use]
pub fn path(spec: &Path) -> PathBuf {
    let mut name = spec.file_name().unwrap_or_default().to_owned();
    name.push(".regressions");
    spec.with_file_name(name)
}

/// What a committed case may cost, in what a drawn model may.
const BUDGET: f64 = 16.0;

/// A case and the line that it stands in, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The law or the property, and the case.
    pub replay: Replay,
    /// The line.
    pub line: usize,
    /// What stands in it.
    pub text: String,
}

/// Reads the cases in a file; `None` if there is no such file. A case that is repeated counts once.
pub fn read(file: &Path, loader: &dyn Loader, found: &mut Diagnostics) -> Option<Vec<Committed>> {
    let shown = file.display().to_string();
    let whole =
        |message: String| Diagnostic::at(&rules::MALFORMED_REGRESSION, Place::File(shown.clone()), message);
    let bytes = match loader.read(file, MAX_SPEC_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            found.push(whole(format!("the file cannot be read: {error}")));
            return None;
        }
    };
    // Bytes that are no text are shown as such, at their place in the line.
    let text = String::from_utf8_lossy(&bytes);
    let mut cases: Vec<Committed> = Vec::new();
    let (mut beyond, mut unread) = (0, 0);
    for (i, raw) in text.lines().enumerate() {
        let entry = uncommented(raw);
        if entry.trim().is_empty() {
            continue;
        }
        match entry.trim().parse::<Replay>() {
            Ok(_) if cases.len() == MOST => beyond += 1,
            Ok(replay) if cases.iter().any(|known| known.replay == replay) => {}
            Ok(replay) => cases.push(Committed { replay, line: i + 1, text: raw.to_owned() }),
            Err(why) => {
                unread += 1;
                if unread <= MOST_FINDINGS {
                    found.push(fault(&shown, i + 1, raw, entry, why));
                }
            }
        }
    }
    if beyond > 0 {
        found.push(whole(format!("{beyond} lines stand behind the first {MOST} cases and are not run")));
    }
    if unread > MOST_FINDINGS {
        found.push(whole(format!("{unread} lines cannot be read; the first {MOST_FINDINGS} are shown")));
    }
    Some(cases)
}

/// A line without its comment; in quotation marks a `#` is a character.
fn uncommented(line: &str) -> &str {
    let mut quoted = false;
    let comment = line.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '#' && !quoted
    });
    comment.map_or(line, |(at, _)| &line[..at])
}

/// A line that is no case, at the first part of it that alone cannot be read.
fn fault(file: &str, line: usize, raw: &str, entry: &str, why: String) -> Diagnostic {
    let indent = entry.len() - entry.trim_start().len();
    let entry = entry.trim();
    let (head, fields) = entry.split_once(':').unwrap_or((entry, ""));
    let name = head.split('@').next().unwrap_or_default();
    let reads = |text: String| text.parse::<Replay>().is_ok();
    let mut part = (0, if fields.is_empty() { entry } else { head });
    if reads(format!("{head}:seed=0")) {
        let mut at = head.len() + 1;
        for field in fields.split(',') {
            if !reads(format!("{head}:{field}")) {
                part = (at, field);
                break;
            }
            at += field.len() + 1;
        }
    } else if name.len() < head.len() && reads(format!("{name}:seed=0")) {
        part = (name.len(), &head[name.len()..]);
    }
    let (start, text) = part;
    let column = raw[..indent + start.min(entry.len())].chars().count() + 1;
    at_line(file, line, raw, (column, text.chars().count()), why)
        .help("write the case as a report shows it, or remove the line")
}

/// A finding about a part of a line: its first column and its width.
fn at_line(file: &str, line: usize, raw: &str, (column, width): (usize, usize), why: String) -> Diagnostic {
    let at = Position { line, column };
    let place = Place::Row { file: file.to_owned(), at, width: width.max(1), text: raw.to_owned() };
    Diagnostic::at(&rules::MALFORMED_REGRESSION, place, why)
}

/// What a committed case concludes.
#[derive(Clone, Debug)]
pub enum Conclusion {
    /// Of its law.
    Law(properties::Report),
    /// Of the properties about its quantity.
    Declared(Vec<declared::Report>),
    /// The model with its values has errors that the declared one does not have, so that nothing is run.
    Faulty(Vec<structure::Fault>),
}

/// A committed case that was run.
#[derive(Clone, Debug)]
pub struct Again<'a> {
    /// The case.
    pub committed: &'a Committed,
    /// What came out.
    pub conclusion: Conclusion,
}

/// The committed cases of a spec, run.
#[derive(Clone, Debug, Default)]
pub struct Ran<'a> {
    /// Those that were run, in the order of the file.
    pub again: Vec<Again<'a>>,
    /// How many were not: their law could not fail on this graph, or the spec no longer promises anything about their values.
    pub left_out: usize,
    /// Lines that name what the spec does not have.
    pub faults: Vec<Diagnostic>,
}

impl Again<'_> {
    /// The law that the case breaks.
    #[must_use]
    pub fn law(&self) -> Option<&properties::Report> {
        match &self.conclusion {
            Conclusion::Law(report) => Some(report).filter(|report| report.verdict == Verdict::Fail),
            _ => None,
        }
    }

    /// The properties that the case breaks.
    pub fn declared(&self) -> impl Iterator<Item = &declared::Report> {
        let reports = match &self.conclusion {
            Conclusion::Declared(reports) => reports.as_slice(),
            _ => &[],
        };
        reports.iter().filter(|report| report.fails())
    }

    /// The errors that the model with the values of the case has.
    #[must_use]
    pub fn faults(&self) -> &[structure::Fault] {
        match &self.conclusion {
            Conclusion::Faulty(faults) => faults,
            _ => &[],
        }
    }

    /// Whether the case fails.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.law().is_some() || self.declared().next().is_some() || !self.faults().is_empty()
    }

    /// The findings of a case that fails: for a law at the head of the spec.
    #[must_use]
    pub fn findings(&self, span: Span, spec: &str) -> Vec<Diagnostic> {
        let from = format!("from line {} of {}", self.committed.line, path(Path::new(spec)).display());
        let law = self.law().and_then(|report| {
            report.failure("fails again", |replay| format!("{replay}, {from}"), span, spec)
        });
        let faulty = self.faults().iter().map(|fault| fault.finding.clone().note("case", from.clone()));
        let declared = self.declared().filter_map(|report| report.failure("fails again", spec));
        law.into_iter().chain(faulty).chain(declared.map(|found| found.note("case", from.clone()))).collect()
    }
}

/// Runs the cases, in the order of the file.
#[must_use]
pub fn run<'a>(family: &Family<'_>, spec: &Path, cases: &'a [Committed]) -> Ran<'a> {
    let file = path(spec).display().to_string();
    let mut ran = Ran::default();
    for committed in cases {
        match one(family, spec, committed) {
            Ok(Some(conclusion)) => ran.again.push(Again { committed, conclusion }),
            Ok(None) => ran.left_out += 1,
            Err(why) => {
                let raw = &committed.text;
                let entry = uncommented(raw).trim();
                let indent = raw.chars().take_while(|c| c.is_whitespace()).count();
                let place = (indent + 1, entry.chars().count());
                let fault = at_line(&file, committed.line, raw, place, why);
                ran.faults.push(fault.help("name what the spec has now, or remove the line"));
            }
        }
    }
    ran
}

/// Runs a case; `None` if it says nothing of this spec.
fn one(family: &Family<'_>, spec: &Path, committed: &Committed) -> Result<Option<Conclusion>, String> {
    let structure = committed.replay.structure();
    let member;
    let subject = if structure.is_declared() {
        family.declared
    } else {
        if family.outside(structure)?.is_some() {
            return Ok(None);
        }
        member = family.member(&family.whole(structure), BUDGET);
        if !member.faults.is_empty() {
            let faults = structure::faults_of(family, &member, &spec.display().to_string());
            return Ok(Some(Conclusion::Faulty(faults)));
        }
        match member.subject(family) {
            Some(subject) => subject,
            None => return Ok(None),
        }
    };
    Ok(match &committed.replay {
        Replay::Law(replay) => law(subject, replay).map(Conclusion::Law),
        Replay::Declared(replay) => {
            // A model with other values may lack what the property is about.
            let all = &family.declared.graph.properties;
            if all.iter().all(|property| property.subject != replay.subject) {
                return Err(format!("the spec declares no property `{}`", replay.subject));
            }
            let options = declared::Options { replay: Some(replay.clone()), ..declared::Options::default() };
            declared::run(subject, &options).ok().map(Conclusion::Declared)
        }
    })
}

/// Runs a case of a law that can fail on this graph.
fn law(subject: Subject<'_>, replay: &properties::Replay) -> Option<properties::Report> {
    ALL.iter().find(|law| law.name == replay.law).filter(|law| (law.skip)(subject).is_none())?;
    let options = properties::Options { replay: Some(replay.clone()), ..properties::Options::default() };
    properties::run(subject, &options).into_iter().next()
}
