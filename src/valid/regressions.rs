//! The failing cases that are committed beside a spec: `m.nn.regressions`.
//!
//! Contract: a line holds one case as a report shows it (`finite:seed=3,batch=1,scale=1e0`); `#` begins a comment. Every case is run each
//! time, whatever the seed, the number of cases and the time of a run are. A line that cannot be read is a finding at its first field
//! that cannot be read, and never stops the other lines.

use super::properties::{self, ALL, Options, Replay, Report, Subject, Verdict};
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

/// A case and the line that it stands in, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The law and the case.
    pub replay: Replay,
    /// The line.
    pub line: usize,
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
        let entry = raw.split('#').next().unwrap_or_default();
        if entry.trim().is_empty() {
            continue;
        }
        match entry.trim().parse::<Replay>() {
            Ok(_) if cases.len() == MOST => beyond += 1,
            Ok(replay) if cases.iter().any(|known| known.replay == replay) => {}
            Ok(replay) => cases.push(Committed { replay, line: i + 1 }),
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

/// A line that is no case, at the first part of it that alone cannot be read.
fn fault(file: &str, line: usize, raw: &str, entry: &str, why: String) -> Diagnostic {
    let indent = entry.len() - entry.trim_start().len();
    let entry = entry.trim();
    let (law, fields) = entry.split_once(':').unwrap_or((entry, ""));
    let mut part = (0, if fields.is_empty() { entry } else { law });
    if ALL.iter().any(|known| known.name == law) {
        let mut at = law.len() + 1;
        for field in fields.split(',') {
            if format!("{law}:{field}").parse::<Replay>().is_err() {
                part = (at, field);
                break;
            }
            at += field.len() + 1;
        }
    }
    let (start, text) = part;
    let at = Position { line, column: raw[..indent + start.min(entry.len())].chars().count() + 1 };
    let place =
        Place::Row { file: file.to_owned(), at, width: text.chars().count().max(1), text: raw.to_owned() };
    Diagnostic::at(&rules::MALFORMED_REGRESSION, place, why)
        .help("write the case as a report shows it, or remove the line")
}

/// A committed case that was run.
#[derive(Clone, Debug)]
pub struct Again<'a> {
    /// The case.
    pub committed: &'a Committed,
    /// What it concludes of its law.
    pub report: Report,
}

impl Again<'_> {
    /// Whether the case breaks a law.
    #[must_use]
    pub fn breaks(&self, law: &str) -> bool {
        self.report.verdict == Verdict::Fail && self.report.name == law
    }

    /// The finding of a case that fails, at the head of the spec.
    #[must_use]
    pub fn finding(&self, span: Span, spec: &str) -> Option<Diagnostic> {
        let Report { name, verdict: _, cases: _, detail, replay } = &self.report;
        let replay = replay.as_ref()?;
        let (line, file) = (self.committed.line, path(Path::new(spec)));
        let message = format!("the property `{name}` fails again: {detail}");
        Some(
            Diagnostic::new(&rules::PROPERTY_FAILED, span, message)
                .note("case", format!("{replay}, from line {line} of {}", file.display()))
                .help(format!("replay it with `wellposed validate {spec} --replay {replay}`")),
        )
    }
}

/// Runs the cases, in the order of the file. A case of a law that cannot fail on this graph is left out.
#[must_use]
pub fn run<'a>(subject: Subject<'_>, cases: &'a [Committed]) -> Vec<Again<'a>> {
    let can_fail =
        |name: &str| ALL.iter().find(|law| law.name == name).is_none_or(|law| (law.skip)(subject).is_none());
    let again = |committed: &'a Committed| {
        let options = Options { replay: Some(committed.replay.clone()), ..Options::default() };
        let report = properties::run(subject, &options).into_iter().next()?;
        Some(Again { committed, report })
    };
    cases.iter().filter(|committed| can_fail(&committed.replay.law)).filter_map(again).collect()
}
