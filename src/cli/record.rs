//! Writing the cases that fail into the file beside the spec, so that every later run begins with them.
//!
//! Contract: lines are appended, none is changed; a case that the file holds is not added again; a failure that the spec announces is not
//! recorded. Nothing is written where the variable `CI` is set.

use super::{Failure, disk, say};
use crate::diag::{Diagnostics, rules};
use crate::report::SpecReport;
use crate::source::{Loader, MAX_SPEC_BYTES};
use crate::text::plural;
use crate::valid::declared::Again;
use crate::valid::regressions;
use std::io;
use std::path::Path;

/// Refuses to record in CI.
///
/// # Errors
/// If the variable `CI` is set.
pub fn permitted() -> Result<(), Failure> {
    if std::env::var_os("CI").is_some() {
        return Err("in CI failing cases are run, never recorded (the variable CI is set)".into());
    }
    Ok(())
}

/// Appends the failing cases of each spec to the file beside it, and says so on stderr.
///
/// # Errors
/// If a file cannot be read or written.
pub fn record(reports: &[SpecReport]) -> Result<(), Failure> {
    for report in reports {
        let spec = Path::new(&report.path);
        let failed = |rule| report.found.iter().any(|finding| finding.rule == rule && !finding.expected);
        let laws = report.properties.iter().filter(|_| failed(&rules::PROPERTY_FAILED));
        let declared = report.declared.iter().filter(|_| failed(&rules::DECLARED_PROPERTY));
        let file = regressions::path(spec);
        let known = regressions::read(&file, &disk::Disk, &mut Diagnostics::default()).unwrap_or_default();
        let new = |case: &&String| {
            let replay = case.parse::<Again>();
            replay.is_ok_and(|replay| known.iter().all(|known| known.replay != replay))
        };
        let laws = laws.filter_map(|law| law.replay.as_ref());
        let declared = declared.filter_map(|property| property.replay.as_ref());
        let structures = report.structures.iter().filter(|_| failed(&rules::BROKEN_RANGE));
        let faults = structures.flat_map(|structures| &structures.faults);
        let cases: Vec<&String> = laws.chain(declared).chain(faults).filter(new).collect();
        if cases.is_empty() {
            continue;
        }
        let mut text = before(&file, spec)?;
        cases.iter().for_each(|case| text.push_str(&format!("{case}\n")));
        disk::write(&file, text.as_bytes())?;
        say(&format!("{} recorded in {}\n", plural(cases.len(), "case"), file.display()));
    }
    Ok(())
}

/// What the file holds, whole lines; of a new file, its heading.
fn before(file: &Path, spec: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure(format!("{} cannot be read: {why}", file.display()));
    let mut text = match disk::Disk.read(file, MAX_SPEC_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| failed(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = spec.file_name().unwrap_or_default().to_string_lossy();
            return Ok(format!(
                "# Cases that broke a law or a property of {name}; `wellposed validate` runs them before any other.\n"
            ));
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
