//! `wellposed convert`: a spec in the other notation.
//!
//! A spec whose text cannot be read as a whole is refused with its findings: what cannot be read would be lost. So is the rare spec with
//! mistakes that the other notation has no words for, such as positional arguments of an op that does not exist.

use super::{Failure, Global, Outcome, disk, print};
use crate::diag::Diagnostics;
use crate::diag::suppress::Notation;
use crate::front::{self, ast::Spec, print};
use crate::report::{Report, SpecReport};
use crate::source::{Loader, MAX_SPEC_BYTES, Sources};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A spec.
    path: PathBuf,
    /// The notation to print; the other one, if this is left out.
    #[arg(long, value_enum)]
    to: Option<Target>,
    /// Where to write it, instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite a file that exists.
    #[arg(long, requires = "out")]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    Nn,
    Yaml,
}

impl Target {
    fn notation(self) -> Notation {
        match self {
            Self::Nn => Notation::Dsl,
            Self::Yaml => Notation::Yaml,
        }
    }
}

pub fn run(arguments: &Arguments, global: Global) -> Outcome {
    let Arguments { path, to, out, force } = arguments;
    let (spec, sources) = match read(path)? {
        Ok(read) => read,
        Err(report) => return Ok(global.finish(&report)),
    };
    let other = match spec.notation {
        Notation::Dsl => Notation::Yaml,
        Notation::Yaml => Notation::Dsl,
    };
    let notation = to.map_or(other, Target::notation);
    let text = text(&spec, &sources, notation);
    let mut again = Sources::default();
    let id = again.add("", text.as_str());
    let (same, found) = front::parse(&again, id, notation);
    if found.has_errors() || same != spec {
        let message = format!(
            "{}: the other notation has no words for a part of this spec that is wrong; `wellposed check` shows what",
            path.display()
        );
        return Err(Failure(message));
    }
    let Some(out) = out else {
        print(&text);
        return Ok(0);
    };
    if out.exists() && !force {
        return Err(Failure(format!("{} exists; --force overwrites it", out.display())));
    }
    disk::write(out, text.as_bytes())?;
    Ok(0)
}

/// Prints a tree in a notation.
pub fn text(spec: &Spec, sources: &Sources, notation: Notation) -> String {
    match notation {
        Notation::Dsl => print::dsl(spec, sources),
        Notation::Yaml => print::yaml(spec, sources),
    }
}

/// Reads a spec; a report instead, if a part of its text cannot be read.
pub fn read(path: &Path) -> Result<Result<(Spec, Sources), Report>, Failure> {
    let shown = path.display().to_string();
    let failed = |why: &str| Failure(format!("{shown}: {why}"));
    let Some(notation) = front::notation_of(&shown) else {
        return Err(failed("the file is no spec: its name ends in neither `.nn` nor `.nn.yaml`"));
    };
    let bytes = disk::Disk.read(path, MAX_SPEC_BYTES).map_err(|error| failed(&error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("the file is not UTF-8"))?;
    let mut sources = Sources::default();
    let id = sources.add(shown.clone(), text);
    let (spec, found): (Spec, Diagnostics) = front::parse(&sources, id, notation);
    if found.has_errors() {
        return Ok(Err(Report::new(vec![SpecReport::new(shown, sources, found)])));
    }
    Ok(Ok((spec, sources)))
}
