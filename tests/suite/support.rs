//! What several test modules share: texts in memory, and compiling them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use wellposed::diag::suppress::Notation;
use wellposed::diag::{Diagnostics, render};
use wellposed::front::{self, ast::Spec};
use wellposed::graph::Graph;
use wellposed::lower;
use wellposed::pipeline::{Compiled, compile};
use wellposed::source::{Loader, Sources};

/// Files in memory; what they do not hold is read from the disk, below the root of the repository.
#[derive(Clone, Default)]
pub struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// One file.
    pub fn of(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().and(path, bytes)
    }

    /// One more file.
    pub fn and(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(PathBuf::from(path), bytes.into());
        self
    }

    /// A copy with one more file.
    pub fn with(&self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.clone().and(path, bytes)
    }
}

impl Loader for Memory {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        match self.0.get(path) {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None if path.is_relative() => Ok(Box::new(fs::File::open(path)?)),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }
}

/// The name under which a text of a notation is compiled.
pub fn name_of(notation: Notation) -> &'static str {
    match notation {
        Notation::Dsl => "test.nn",
        Notation::Yaml => "test.nn.yaml",
    }
}

/// Compiles a text and hands back everything that is known of it.
pub fn compiled(text: &str, notation: Notation) -> Compiled {
    let name = name_of(notation);
    compile(Path::new(name), &Memory::of(name, text)).expect("a text in memory can be opened")
}

/// The findings in the order in which they are shown.
pub fn concise(mut found: Diagnostics, sources: &Sources) -> String {
    found.sort();
    render::concise(&found, sources)
}

/// The syntax tree of a text, and what the parser has to say about it.
pub fn parsed(text: &str, notation: Notation) -> (Spec, Sources, Diagnostics) {
    let mut sources = Sources::default();
    let id = sources.add(name_of(notation), text);
    let (spec, found) = front::parse(&sources, id, notation);
    (spec, sources, found)
}

/// Every spec below a folder, in order, as paths from the root of the repository.
pub fn specs(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                open.push(path);
            } else if front::notation_of(&path.display().to_string()).is_some() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The notation of a path.
pub fn notation(path: &Path) -> Notation {
    front::notation_of(&path.display().to_string()).expect("the path of a spec")
}

/// Parses and lowers a text in the model language that names no files.
pub fn lower_text(text: &str) -> (Graph, Diagnostics, Sources) {
    let (spec, sources, mut found) = parsed(text, Notation::Dsl);
    let (graph, mistakes) = lower::lower(&spec, Path::new("test.nn"), &Memory::default());
    found.extend(mistakes);
    (graph, found, sources)
}
