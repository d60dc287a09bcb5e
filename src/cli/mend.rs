//! Fixes put into texts: what `wellposed check --fix` writes and `--diff` shows.
//!
//! Contract: a fix is applied to a finding that counts: neither suppressed nor expected. Fixes whose edits meet wait for the next
//! round, in which the text is checked anew; a round that leaves a text with more mistakes than before is taken back.

use crate::diag::{Diagnostic, Safety, Severity, fix};
use crate::pipeline::{Compiled, Stages, compile};
use crate::source::Loader;
use std::io::{self, Read};
use std::path::Path;

/// A spec before and after its fixes.
#[derive(Debug)]
pub struct Mended {
    pub before: String,
    pub after: String,
    /// How many fixes were applied.
    pub fixes: usize,
}

/// One fix may uncover another finding; a chain of more is a circle.
const ROUNDS: usize = 20;

/// A text in place of that of one file.
struct Overlay<'a> {
    path: &'a Path,
    text: &'a str,
    below: &'a dyn Loader,
}

impl Loader for Overlay<'_> {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        if path == self.path { Ok(Box::new(self.text.as_bytes())) } else { self.below.open(path) }
    }
}

/// Applies the safe fixes of a spec, and the others if they are asked for; `None` if there is none.
pub fn mended(path: &Path, stages: Stages, all: bool, loader: &dyn Loader) -> Option<Mended> {
    let mut at = concluded(path, stages, loader)?;
    let before = at.sources.file(at.file).text.to_string();
    let (mut after, mut fixes) = (before.clone(), 0);
    for _ in 0..ROUNDS {
        let counting = |d: &&Diagnostic| !d.expected;
        let chosen = at
            .found
            .iter()
            .filter(counting)
            .filter_map(|d| d.fix.as_ref())
            .filter(|fix| all || fix.safety == Safety::Safe);
        let (text, applied) = fix::apply(&after, chosen);
        if applied == 0 || text == after {
            break;
        }
        let next = concluded(path, stages, &Overlay { path, text: &text, below: loader })?;
        if mistakes(&next) > mistakes(&at) {
            break;
        }
        (at, after, fixes) = (next, text, fixes + applied);
    }
    (fixes > 0).then_some(Mended { before, after, fixes })
}

fn concluded(path: &Path, stages: Stages, loader: &dyn Loader) -> Option<Compiled> {
    let mut compiled = compile(path, loader).ok()?;
    compiled.conclude(stages);
    Some(compiled)
}

/// How many errors say that a text cannot be read as a model.
fn mistakes(compiled: &Compiled) -> usize {
    let misread = |d: &&Diagnostic| d.severity == Severity::Error && "YSNH".contains(&d.rule.code[..1]);
    compiled.found.iter().filter(misread).count()
}
