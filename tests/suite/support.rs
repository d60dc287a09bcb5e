//! What the modules of this binary share: specs from text, without files.

use std::io::{self, Read};
use std::path::Path;
use wellposed::diag::Diagnostics;
use wellposed::front;
use wellposed::graph::Graph;
use wellposed::lower;
use wellposed::source::{Loader, Sources};

/// A loader that knows no files.
pub struct NoFiles;

impl Loader for NoFiles {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        Err(io::Error::new(io::ErrorKind::NotFound, path.display().to_string()))
    }
}

/// Parses and lowers a text in the model language, as the file `spec.nn`.
pub fn lower_text(text: &str) -> (Graph, Diagnostics, Sources) {
    let mut sources = Sources::default();
    let file = sources.add("spec.nn", text);
    let notation = front::notation_of("spec.nn").expect("`.nn` is a notation");
    let (spec, mut found) = front::parse(&sources, file, notation);
    let (graph, mistakes) = lower::lower(&spec, Path::new("spec.nn"), &NoFiles);
    found.extend(mistakes);
    (graph, found, sources)
}
