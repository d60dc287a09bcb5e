//! The order of the modules, who may name which library, and the shape of the files, read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules in the order of dependency; those on one line form one layer.
const LAYERS: &[&[&str]] = &[
    &["text"],
    &["source"],
    &["diag"],
    &["args"],
    &["manual"],
    &["tensor", "scalar"],
    &["moments"],
    &["formula"],
    &["inits"],
    &["data"],
    &["ops"],
    &["front"],
    &["graph"],
    &["lower"],
    &["signal"],
    &["lints"],
    &["passes"],
    &["exec"],
    &["optim"],
    &["valid"],
    &["report"],
    &["pipeline"],
    &["cli"],
];

/// Libraries that one file hides from the rest.
const HIDDEN: &[(&str, &str)] = &[
    ("miette", "src/diag/render.rs"),
    ("pest", "src/front/dsl.rs"),
    ("serde_saphyr", "src/front/yaml/tree.rs"),
    ("csv", "src/data/table.rs"),
    ("safetensors", "src/exec/files.rs"),
    ("similar", "src/graph/diff.rs"),
    ("ndarray", "src/tensor/gemm.rs"),
    ("strsim", "src/diag/nearest.rs"),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder)
            .expect("a folder of sources")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                out.push((path, text));
            }
        }
    }
    let mut out = Vec::new();
    walk(Path::new("src"), &mut out);
    out
}

/// The top module that a file belongs to; `None` for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").expect("a path below src");
    let first = inside.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = first.trim_end_matches(".rs").to_owned();
    (!["lib", "main"].contains(&name.as_str())).then_some(name)
}

fn layer(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&module))
        .unwrap_or_else(|| panic!("`{module}` has no layer"))
}

/// The modules that a text names behind `crate::`, in code and not in comments.
fn named(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut names = Vec::new();
    for line in code {
        for part in line.split("crate::").skip(1) {
            let inner = part.trim_start_matches('{');
            let name: String = inner.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if LAYERS.iter().any(|layer| layer.contains(&name.as_str())) {
                names.push(name);
            }
        }
    }
    names
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        for other in named(&text) {
            if layer(&other) > layer(&module) {
                wrong.push(format!("{}: `{module}` names `{other}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_use_lines_sees_them() {
    assert_eq!(
        named("use crate::ops::Op; // crate::cli\nlet x = crate::graph::print(&g);"),
        ["ops", "graph"]
    );
    assert!(layer("ops") > layer("diag"));
}

#[test]
fn each_library_is_named_in_one_file() {
    for (library, home) in HIDDEN {
        for (path, text) in sources().iter().filter(|(path, _)| path != Path::new(home)) {
            let uses = |line: &str| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains(&format!("use {library}::")) || code.contains(&format!(" {library}::"))
            };
            assert!(!text.lines().any(uses), "{} names `{library}`, which belongs to {home}", path.display());
        }
    }
}

#[test]
fn files_are_opened_and_text_is_printed_in_the_command_line_only() {
    for (path, text) in sources() {
        // Unit tests in files of their own read the specs of the repository.
        if path.starts_with("src/cli") || path.ends_with("tests.rs") {
            continue;
        }
        for word in ["std::fs", "println!", "eprintln!", "std::env", "SystemTime", "Instant"] {
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            assert!(code.into_iter().all(|line| !line.contains(word)), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn other_programs_are_started_in_one_file() {
    for (path, text) in sources() {
        if path == Path::new("src/cli/against.rs") {
            continue;
        }
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let starts = |line: &str| line.contains("std::process::{") || line.contains("process::Command");
        assert!(!code.into_iter().any(starts), "{} starts a program", path.display());
    }
}

#[test]
fn a_comparison_with_another_program_knows_no_files() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src/valid/against")) {
        let named = ["Loader", "std::path", "std::io", "std::time", "std::thread"];
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>();
        for word in named {
            assert!(code.iter().all(|line| !line.contains(word)), "{} names {word}", path.display());
        }
    }
}

#[test]
fn files_open_with_what_they_are_and_stay_small() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}
