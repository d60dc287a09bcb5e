//! A rule: the stable code, name, severity and manual page behind a finding.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; never fails a run.
    Info,
    /// Likely a mistake; fails a run with `--deny-warnings`.
    Warning,
    /// The spec cannot mean this, or cannot work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A rule that a spec can break. Codes are stable for ever; the letter names the family.
#[derive(Debug)]
pub struct Rule {
    /// A letter and three digits, for instance `I001`.
    pub code: &'static str,
    /// The name of the pattern; it reads well after "allow".
    pub name: &'static str,
    /// The usual severity.
    pub severity: Severity,
    /// A matter of taste: looked for with `check --style` alone.
    pub style: bool,
    /// The manual page in Markdown; its first line is a summary.
    pub doc: &'static str,
    /// The rows of the literature catalogue that it implements.
    pub research: &'static [&'static str],
}

impl Rule {
    /// How lists call its severity: one of a matter of taste is `style`.
    #[must_use]
    pub fn grade(&self) -> String {
        if self.style { "style".to_owned() } else { self.severity.to_string() }
    }

    /// The first line of the manual page.
    #[must_use]
    pub fn summary(&self) -> String {
        self.page().lines().next().unwrap_or_default().to_owned()
    }

    /// The manual page without comment marks.
    #[must_use]
    pub fn page(&self) -> String {
        undent(self.doc)
    }
}

/// Removes what a comment leaves at the start of each line: `//!`, and the one space behind it or behind `///`.
#[must_use]
pub fn undent(doc: &str) -> String {
    let plain = |line: &str| {
        let line = line.strip_prefix("//!").unwrap_or(line).to_owned();
        line.strip_prefix(' ').map(str::to_owned).unwrap_or(line)
    };
    doc.lines().map(plain).collect::<Vec<_>>().join("\n").trim().to_owned()
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

/// Declares one rule; its doc comment is the manual page that `wellposed explain` prints.
macro_rules! rule {
    ($(#[doc = $doc:literal])+ $vis:vis $NAME:ident = $code:literal $name:literal $severity:ident $(from $($research:literal)+)?;) => {
        $(#[doc = $doc])+
        $vis static $NAME: $crate::diag::Rule = $crate::diag::Rule {
            code: $code,
            name: $name,
            severity: $crate::diag::Severity::$severity,
            style: false,
            doc: concat!($($doc, "\n"),+),
            research: &[$($($research),+)?],
        };
    };
}

/// Declares the rules of a phase and lists them in `ALL`.
macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $NAME:ident = $code:literal $name:literal $severity:ident $(from $($research:literal)+)?;)+) => {
        $($crate::diag::rule! { $(#[doc = $doc])+ pub $NAME = $code $name $severity $(from $($research)+)?; })+
        /// Every rule above.
        pub static ALL: &[&$crate::diag::Rule] = &[$(&$NAME),+];
    };
}

pub(crate) use {rule, rules};
