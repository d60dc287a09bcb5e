//! The whole compiler on one screen.
//!
//! Contract: [`compile`] is everything that needs no rows and runs no model: text to tree to graph, verification, signal analysis
//! and lints. [`run`] adds the stages that it is asked for: rows and their audits, gradients, properties, snapshot. Every phase hands on what it could
//! make and all that it found; nothing stops at the first mistake.

mod promises;
mod together;

use crate::data::{self, Statistics};
use crate::diag::suppress;
use crate::diag::{Diagnostic, Diagnostics, Place, Rule, Severity, rules};
use crate::exec::Registry;
use crate::front::{self, ast};
use crate::graph::{self, Graph, Runnable, Verified};
use crate::inits::Init;
use crate::lints;
use crate::lower;
use crate::manual::Callable;
use crate::ops::OpKind;
use crate::report::{SnapshotStatus, SpecReport, StatisticsStatus};
use crate::signal::{self, Signal};
use crate::source::{FileId, Loader, MAX_SPEC_BYTES, Sources};
use crate::tensor::Mode;
use crate::text;
use crate::valid::against::{self, Against};
use crate::valid::rows::Beside;
use crate::valid::structure::Family;
use crate::valid::{self, Samples, audit, declared, gradcheck, properties, regressions};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// A spec with everything that is known of it without running it.
#[derive(Debug)]
pub struct Compiled {
    /// The text of the spec.
    pub sources: Sources,
    /// The spec's file in `sources`.
    pub file: FileId,
    /// The syntax tree.
    pub spec: ast::Spec,
    /// The graph; incomplete where the spec has errors.
    pub graph: Verified<Graph>,
    /// The moments of its values in training mode at initialisation.
    pub signal: Signal,
    /// How many rows the training split has, where the statistics beside the spec say so.
    pub rows: Option<u64>,
    /// What was found, before suppressions are applied.
    pub found: Diagnostics,
}

/// Compiles the spec in a file. `path` is opened through the loader and shown in messages.
///
/// # Errors
/// If the file cannot be opened, or its name says no notation: nothing can be said about it.
pub fn compile(path: &Path, loader: &dyn Loader) -> Result<Compiled, Diagnostic> {
    let shown = path.display().to_string();
    let unreadable =
        |message: String| Diagnostic::at(&rules::UNREADABLE, Place::File(shown.clone()), message);
    let Some(notation) = front::notation_of(&shown) else {
        return Err(unreadable(
            "the file is no spec: its name ends in neither `.nn` nor `.nn.yaml`".to_owned(),
        ));
    };
    let bytes = loader.read(path, MAX_SPEC_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable("there is no such file".to_owned()),
        _ => unreadable(format!("the file cannot be read: {error}")),
    })?;
    let mut sources = Sources::default();
    let mut found = Diagnostics::default();
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].split(|&byte| byte == b'\n').count();
            found.push(unreadable(format!("the file is not UTF-8: byte {at}, in line {line}")));
            String::new()
        }
    };
    let file = sources.add(shown, text);
    let (spec, graph) = if found.is_empty() {
        let (spec, mistakes) = front::parse(&sources, file, notation);
        // A tree with holes cannot be told from one that misses parts, so what is missing is not reported on top.
        let holes = mistakes.has_errors();
        found.extend(mistakes);
        let (mut graph, mistakes) = lower::lower(&spec, path, loader);
        graph.partial |= holes;
        found.extend(mistakes.into_iter().filter(|d| !(holes && d.rule == &rules::MISSING && is_head(d))));
        (spec, graph)
    } else {
        let spec = ast::Spec::new(file, notation);
        let (graph, _) = lower::lower(&spec, path, loader);
        (spec, graph)
    };
    let graph = match graph::verify(graph) {
        Ok(graph) => graph,
        Err(violations) => panic!("internal: the graph of {} is not valid: {violations:?}", path.display()),
    };
    let signal = signal::analyse(&graph, Mode::Train);
    // Where a line has an error, what it would mean without the error is not worth a second finding.
    let line = |d: &Diagnostic| d.location(&sources).1.line;
    let faulty: BTreeSet<usize> = found.iter().filter(|d| d.severity == Severity::Error).map(line).collect();
    let rows = graph.data.as_ref().filter(|_| lints::wants_rows(&graph));
    let rows = rows.and_then(|_| valid::rows::stored(path, loader)?.training_rows());
    let seen = lints::run(lints::Context { graph: &graph, signal: &signal, notation, rows });
    found.extend(seen.into_iter().filter(|d| !faulty.contains(&line(d))));
    Ok(Compiled { sources, file, spec, graph, signal, rows, found })
}

/// Whether a finding stands at the very start of the file, where missing sections are reported.
fn is_head(diagnostic: &Diagnostic) -> bool {
    diagnostic.span().is_some_and(|span| span.start == 0 && span.end == 0)
}

/// What a run did, and with that, which rules it could decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the stages are independent switches")]
pub struct Stages {
    /// Matters of taste were looked for.
    pub style: bool,
    /// Rows of the data were read.
    pub data: bool,
    /// Fitted statistics were compared with the stored ones.
    pub statistics: bool,
    /// Readable rows were audited.
    pub audits: bool,
    /// Gradients were checked.
    pub gradients: bool,
    /// The gradients of another program were checked.
    pub against: bool,
    /// Properties were tested.
    pub properties: bool,
    /// The snapshot was compared.
    pub snapshot: bool,
    /// Specs of one model were compared with each other.
    pub together: bool,
}

impl Stages {
    /// Everything but matters of taste.
    pub const ALL: Self = Self {
        style: false,
        data: true,
        statistics: true,
        audits: true,
        gradients: true,
        against: false,
        properties: true,
        snapshot: true,
        together: false,
    };

    fn decide(self, rule: &Rule) -> bool {
        match rule.code.as_bytes() {
            _ if rule.style => self.style,
            [b'D', b'1', b'1', ..] => self.statistics,
            [b'D', b'1', ..] => self.data,
            [b'D', b'2', ..] => self.audits,
            [b'K', b'0', b'0', b'4'..=b'6'] => self.against,
            [b'K', b'0', b'0', b'7' | b'8'] => true,
            [b'K', ..] => self.gradients,
            [b'P', ..] => self.properties,
            [b'R', ..] => self.snapshot,
            _ if rule.code == together::RULE.code => self.together,
            _ => true,
        }
    }
}

impl Compiled {
    /// Applies the suppressions of the spec and orders the findings; matters of taste stay only where they were asked for. The last
    /// thing that happens to a spec.
    pub fn conclude(&mut self, stages: Stages) {
        self.found.retain(|finding| stages.style || !finding.rule.style);
        let file = (self.file, self.sources.file(self.file));
        let Self { spec, rows, found, .. } = self;
        let decided = |rule: &Rule| stages.decide(rule) && (rows.is_some() || !lints::counts_rows(rule));
        suppress::apply(file, spec.notation, &spec.comments, found, &catalogue(), decided);
        // What is meant to fail needs no case that is kept for it.
        let expected = found.iter_mut().filter(|finding| finding.expected);
        expected.for_each(|finding| finding.notes.retain(|(key, _)| *key != promises::KEEP));
        self.found.sort();
    }
}

/// How the stages are run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The gradient check.
    pub gradcheck: gradcheck::Options,
    /// Another program, whose gradients are checked, too.
    pub against: Option<Against>,
    /// The property tests.
    pub properties: properties::Options,
    /// The tests of the properties that the spec declares.
    pub declared: declared::Options,
    /// Where the failing cases are that are run before any other.
    pub regressions: Option<PathBuf>,
    /// Where the reviewed graph is.
    pub snapshot: Option<PathBuf>,
}

/// Compiles the spec in a file and runs the stages that are asked for.
pub fn run(path: &Path, stages: Stages, options: &Options, loader: &dyn Loader) -> SpecReport {
    examine(path, stages, options, loader).conclude()
}

/// A spec behind all stages, before its suppressions are applied.
#[derive(Debug)]
pub struct Examined {
    path: PathBuf,
    stages: Stages,
    /// `None` if the file could not be opened.
    compiled: Option<Compiled>,
    report: SpecReport,
    /// It was compared with another spec of its model.
    together: bool,
}

impl Examined {
    /// Applies the suppressions.
    #[must_use]
    pub fn conclude(self) -> SpecReport {
        let Self { path: _, stages, compiled, report, together } = self;
        let Some(mut compiled) = compiled else { return report };
        compiled.conclude(Stages { together, ..stages });
        SpecReport { sources: compiled.sources, found: compiled.found, ..report }
    }
}

/// Compares the specs of one model that a command names.
pub fn compare(examined: &mut [&mut Examined], loader: &dyn Loader) {
    together::check(examined, loader);
}

/// Compiles the spec in a file and runs the stages that are asked for, all but its suppressions.
pub fn examine(path: &Path, stages: Stages, options: &Options, loader: &dyn Loader) -> Examined {
    let examined =
        |compiled, report| Examined { path: path.to_owned(), stages, compiled, report, together: false };
    let mut compiled = match compile(path, loader) {
        Ok(compiled) => compiled,
        Err(diagnostic) => {
            let mut found = Diagnostics::default();
            found.push(diagnostic);
            let report = SpecReport::new(path.display().to_string(), Sources::default(), found);
            return examined(None, SpecReport { unopened: true, ..report });
        }
    };
    let mut report = SpecReport::new(path.display().to_string(), Sources::default(), Diagnostics::default());
    report.model.clone_from(&compiled.graph.name);
    report.params = compiled.graph.param_count();
    let mut statistics = Statistics::default();
    let mut readable = true;
    if let (true, Some(plan)) = (stages.data, &compiled.graph.data) {
        let (fitted, faults) = valid::rows::check(plan, loader);
        let mut stored = None;
        if stages.statistics && !fitted.groups.is_empty() {
            let (status, differences) = match valid::rows::compare(plan, path, &fitted, loader) {
                Beside::Nothing => (StatisticsStatus::Missing, Diagnostics::default()),
                Beside::Stored(found, differences) => {
                    stored = found;
                    let same = stored.is_some() && differences.is_empty();
                    (if same { StatisticsStatus::Same } else { StatisticsStatus::Changed }, differences)
                }
            };
            report.statistics = Some(status);
            // A whole validation says so in its line; where nothing else was asked, it is the answer.
            if status == StatisticsStatus::Missing && !stages.snapshot {
                compiled.found.push(valid::rows::not_stored(plan, path));
            }
            compiled.found.extend(differences);
        }
        if let (None, Some(rows)) = (compiled.rows, fitted.training_rows()) {
            compiled.rows = Some(rows);
            let Compiled { graph, signal, spec, .. } = &compiled;
            let context = lints::Context { graph, signal, notation: spec.notation, rows: Some(rows) };
            let seen = lints::run_on_rows(context);
            compiled.found.extend(seen);
        }
        readable = !faults.has_errors();
        compiled.found.extend(faults);
        // Groups whose columns are not all there hold other rows than the spec means.
        let holes = |d: &Diagnostic| d.severity == Severity::Error && d.rule.code.starts_with("D10");
        let whole = !misread(&compiled) && !compiled.found.iter().any(holes);
        if stages.audits && readable && whole {
            let both = (&fitted, stored.as_ref());
            match audit::run(&compiled.graph, plan, both, loader, &mut compiled.found) {
                Ok(audited) => report.data = Some(audited),
                Err(fault) => compiled.found.push(*fault),
            }
        }
        statistics = fitted;
    }
    if stages.gradients || stages.properties {
        battery(&mut compiled, stages, options, &statistics, readable, loader, &mut report);
    }
    if let (true, Some(snapshot)) = (stages.snapshot, &options.snapshot) {
        report.snapshot = Some(compare_snapshot(&mut compiled, path, snapshot, loader));
    }
    examined(Some(compiled), report)
}

/// Whether the text has mistakes, so that it does not mean what it says; what lints find is no obstacle.
fn misread(compiled: &Compiled) -> bool {
    let mistake = |d: &Diagnostic| {
        let of_text = "YSNH".contains(&d.rule.code[..1]) || d.rule == &rules::WRONG_DERIVATIVE;
        d.severity == Severity::Error && of_text
    };
    compiled.graph.partial || compiled.found.iter().any(mistake)
}

/// Gradients and properties, if the graph is complete and not too large.
fn battery(
    compiled: &mut Compiled,
    stages: Stages,
    options: &Options,
    statistics: &Statistics,
    readable: bool,
    loader: &dyn Loader,
    report: &mut SpecReport,
) {
    let sound = !misread(compiled);
    let name = report.path.clone();
    let path = Path::new(&name);
    let Compiled { graph, found, spec, sources, .. } = compiled;
    let committed = options.regressions.as_ref().filter(|_| stages.properties);
    let committed = committed.and_then(|file| regressions::read(file, loader, found));
    let Some(runnable) = Runnable::new(graph).filter(|_| sound) else { return };
    if let Some(reason) = too_large(graph, options.gradcheck.batch, stages) {
        found.push(Diagnostic::new(&rules::NOT_RUN, graph.span, format!("the model is not run: {reason}")));
        return;
    }
    let loaded =
        if readable && stages.data { Samples::load(graph, statistics, ROWS, loader) } else { Ok(None) };
    let samples = match loaded {
        Ok(samples) => samples.unwrap_or_else(|| Samples::draw(graph, ROWS, 0)),
        Err(faults) => {
            found.extend(faults);
            return;
        }
    };
    if stages.gradients {
        let checked = gradcheck::check(runnable, &samples, &options.gradcheck, &Registry);
        found.extend(checked.findings(graph));
        report.gradcheck = Some(checked);
        if let Some(program) = &options.against {
            let compared = against::check(runnable, &samples, &options.gradcheck, program);
            found.extend(compared.found);
            report.against = compared.report;
            report.unanswered = compared.unanswered;
        }
    }
    if stages.properties {
        let subject = properties::Subject { graph, runnable, samples: &samples };
        let known = found.clone();
        let family = Family::new(spec, path, loader, subject, &known);
        promises::test(&family, sources, committed.as_deref(), options, found, report);
    }
}

/// Why a model is not run: property tests run it many times, a gradient check by itself a few.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn too_large(graph: &Graph, batch: usize, stages: Stages) -> Option<String> {
    let [memory, most] = if stages.properties {
        [valid::MEMORY_LIMIT as f64, valid::STEP_LIMIT]
    } else {
        [gradcheck::MEMORY_LIMIT as f64, gradcheck::STEP_LIMIT]
    };
    let bytes = gradcheck::memory(graph, batch);
    let step = valid::step_cost(graph, batch);
    if bytes as f64 > memory {
        return Some(format!("a check would need about {} GiB", bytes >> 30));
    }
    let cost = || format!("one training step on {batch} rows would cost {} operations", text::number(step));
    (step > most).then(cost)
}

/// Rows of the training split that the checks run on.
const ROWS: usize = 256;

/// Compares the compiled graph with the reviewed one.
fn compare_snapshot(
    compiled: &mut Compiled,
    path: &Path,
    snapshot: &Path,
    loader: &dyn Loader,
) -> SnapshotStatus {
    let reviewed = match loader.read(snapshot, MAX_SPEC_BYTES) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).replace("\r\n", "\n"),
        Err(_) => return SnapshotStatus::Missing,
    };
    let text = graph::print(&compiled.graph);
    if reviewed.trim_end() == text.trim_end() {
        return SnapshotStatus::Same;
    }
    let message = format!("the compiled graph differs from the reviewed one, {}", snapshot.display());
    compiled.found.push(
        Diagnostic::new(&rules::SNAPSHOT_CHANGED, compiled.graph.span, message)
            .note("diff", graph::difference(&reviewed, &text))
            .help(format!("review the difference, then `wellposed snapshot --accept {}`", path.display())),
    );
    SnapshotStatus::Changed
}

/// Every rule that a finding can belong to, in the order of the codes.
#[must_use]
pub fn catalogue() -> Vec<&'static Rule> {
    let mut all: Vec<&'static Rule> =
        rules::ALL.iter().copied().chain(lints::ALL.iter().map(|lint| lint.rule)).collect();
    all.extend(audit::ALL.iter().map(|audit| audit.rule));
    all.push(&together::RULE);
    all.sort_by_key(|rule| rule.code);
    all
}

/// Everything that a spec can call: ops and losses, initialisers, transforms.
pub fn callables() -> impl Iterator<Item = &'static Callable> {
    OpKind::ALL.iter().chain(Init::ALL).chain(data::Transform::ALL).copied()
}
