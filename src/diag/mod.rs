//! Diagnostics: what was wrong, where exactly, why, with which numbers, and what to do.
//!
//! Contract: a [`Diagnostic`] belongs to one [`Rule`] (a stable code with a manual page), has at most one
//! primary place, and states cause before symptom. Phases return `(product, Diagnostics)`; nothing stops at
//! the first error. Rendering lives in [`render`], the only file that names miette.

mod fix;
mod nearest;
pub mod render;
mod rule;
pub mod rules;
pub mod suppress;

pub use fix::{Edit, Fix, Level, Safety};
pub use nearest::did_you_mean;
pub use rule::{Rule, Severity, undent};
pub(crate) use rule::{rule, rules};

use crate::source::{Position, Sources, Span};
use crate::text::shorten;

/// Longest message, remark or help, in characters: they quote the spec, which may hold a name of a megabyte.
const LONGEST_TEXT: usize = 600;

/// A place with a remark under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What is underlined.
    pub span: Span,
    /// The remark; empty for a bare underline.
    pub text: String,
}

/// Where a finding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Inside a file that the compilation holds in its [`Sources`].
    Source(Span),
    /// Inside a streamed data file, of which only the faulty line is kept.
    Row {
        /// The file's name as shown.
        file: String,
        /// Where the fault begins.
        at: Position,
        /// How many characters are at fault; at least 1.
        width: usize,
        /// The raw line.
        text: String,
    },
    /// A file as a whole, for instance one that cannot be read.
    File(String),
}

/// A predicted scale, or ratio of two scales, that a finding rests on. Where the model is run, the finding shows the measured one beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// What the number is, in the words of the finding: `forward`, `gradient energy`.
    pub name: &'static str,
    /// What is measured.
    pub quantity: Quantity,
    /// Of which node, by its place in the graph.
    pub of: usize,
    /// Relative to that of which node.
    pub over: Option<usize>,
    /// What is added to the logarithm of the quantity: a part that is not measured, because it lies before the first node.
    pub offset: f64,
}

/// A quantity of a node that runs measure, and what a claim says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The root of the second moment.
    Rms,
    /// The energy of the gradient.
    Energy,
    /// How far two inputs differ, as a share of the second moment.
    Contrast,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The rule that was broken: code, name and manual page.
    pub rule: &'static Rule,
    /// The severity of this finding; a rule's own severity unless the rule grades its findings.
    pub severity: Severity,
    /// One sentence of cause, without a full stop.
    pub message: String,
    /// Where, and the remark under that place.
    pub place: Place,
    /// The remark at the primary place.
    pub remark: String,
    /// Other places that explain the first: where each conflicting fact came from.
    pub labels: Vec<Label>,
    /// The path of the node that is concerned.
    pub node: Option<String>,
    /// Further facts, a line each: `key` and text, printed as `= key  text`.
    pub notes: Vec<(&'static str, String)>,
    /// Predicted numbers that runs can be compared with.
    pub claims: Vec<Claim>,
    /// What to do.
    pub help: Option<String>,
    /// A machine-applicable edit.
    pub fix: Option<Fix>,
    /// The spec announced this finding with `# wellposed: expect(CODE)`.
    pub expected: bool,
}

impl Diagnostic {
    /// A finding of `rule` at a span.
    pub fn new(rule: &'static Rule, span: Span, message: impl Into<String>) -> Self {
        Self::at(rule, Place::Source(span), message)
    }

    /// A finding of `rule` at any place.
    pub fn at(rule: &'static Rule, place: Place, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity,
            message: shorten(message.into(), LONGEST_TEXT),
            place,
            remark: String::new(),
            labels: Vec::new(),
            node: None,
            notes: Vec::new(),
            claims: Vec::new(),
            help: None,
            fix: None,
            expected: false,
        }
    }

    /// Puts a remark under the primary place.
    #[must_use]
    pub fn remark(mut self, text: impl Into<String>) -> Self {
        self.remark = shorten(text.into(), LONGEST_TEXT);
        self
    }

    /// Underlines another place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Names the node.
    #[must_use]
    pub fn node(mut self, path: impl Into<String>) -> Self {
        self.node = Some(path.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, key: &'static str, text: impl Into<String>) -> Self {
        self.notes.push((key, text.into()));
        self
    }

    /// States a number that a run can be compared with.
    #[must_use]
    pub fn claim(mut self, claim: Claim) -> Self {
        self.claims.push(claim);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(shorten(text.into(), LONGEST_TEXT));
        self
    }

    /// Says what to do if there is something to say.
    #[must_use]
    pub fn maybe_help(mut self, text: Option<String>) -> Self {
        self.help = text.map(|text| shorten(text, LONGEST_TEXT)).or(self.help);
        self
    }

    /// Attaches a machine-applicable edit.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// Grades this finding apart from its rule's severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Appends the expansion trail: how blocks and loops led to the primary place.
    #[must_use]
    pub fn trail(mut self, trail: &[String]) -> Self {
        if !trail.is_empty() {
            self.notes.push(("from", trail.join(" > ")));
        }
        self
    }

    /// The span, if the finding lies in a spec.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self.place {
            Place::Source(span) => Some(span),
            Place::Row { .. } | Place::File(_) => None,
        }
    }

    /// File name, start and exclusive end of the primary place. A whole file is its first character.
    #[must_use]
    pub fn location(&self, sources: &Sources) -> (String, Position, Position) {
        match &self.place {
            Place::Source(span) => {
                let (start, end) = sources.positions(*span);
                (sources.file(span.file).name.clone(), start, end)
            }
            Place::Row { file, at, width, .. } => {
                (file.clone(), *at, Position { column: at.column + width, ..*at })
            }
            Place::File(name) => {
                let start = Position { line: 1, column: 1 };
                (name.clone(), start, start)
            }
        }
    }

    /// Whether this finding fails a run.
    #[must_use]
    pub fn counts(&self, severity: Severity) -> bool {
        self.severity == severity && !self.expected
    }
}

/// The findings of one phase or one run.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds the findings of another phase.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(other);
    }

    /// Whether any finding is an unexpected error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.counts(Severity::Error))
    }

    /// How many unexpected findings have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|d| d.counts(severity)).count()
    }

    /// Orders the findings by place, then by code; findings without a span come first. Two equal findings
    /// at one place (the same fault met in several expansions of a loop) become one.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| (a.span(), a.rule.code).cmp(&(b.span(), b.rule.code)));
        self.0.dedup_by(|b, a| a.rule.code == b.rule.code && a.place == b.place && a.message == b.message);
    }

    /// The findings in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The findings, to be marked.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Diagnostic> {
        self.0.iter_mut()
    }

    /// Keeps the findings that `keep` accepts.
    pub fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.0.retain(keep);
    }

    /// Whether there is no finding at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(found: I) -> Self {
        Self(found.into_iter().collect())
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a mut Diagnostics {
    type Item = &'a mut Diagnostic;
    type IntoIter = std::slice::IterMut<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
