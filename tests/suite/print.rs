//! The way back from trees to text: what is printed parses to an equal tree, in both notations, with every comment.

mod commands;
mod comments;
mod schema;
mod strategies;
mod trees;

use crate::support::{Memory, notation, parsed, specs};
use std::path::{Path, PathBuf};
use wellposed::diag::suppress::Notation;
use wellposed::front::{ast::Spec, print};
use wellposed::graph;
use wellposed::pipeline::compile;
use wellposed::source::Sources;

const BOTH: [Notation; 2] = [Notation::Dsl, Notation::Yaml];

/// A tree in a notation.
fn printed(spec: &Spec, sources: &Sources, to: Notation) -> String {
    match to {
        Notation::Dsl => print::dsl(spec, sources),
        Notation::Yaml => print::yaml(spec, sources),
    }
}

/// The texts of all comments, sorted.
fn comments(spec: &Spec, sources: &Sources) -> Vec<String> {
    let mut texts: Vec<String> =
        spec.comments.iter().map(|comment| sources.text(comment.span).trim_end().to_owned()).collect();
    texts.sort();
    texts
}

/// Every spec of the repository that parses without errors.
fn parseable() -> Vec<(PathBuf, Spec, Sources)> {
    let all = ["specs", "tests"].into_iter().flat_map(specs);
    let read = all.map(|path| {
        let text = std::fs::read_to_string(&path).expect("a spec");
        let (spec, sources, found) = parsed(&text, notation(&path));
        (path, spec, sources, found.has_errors())
    });
    read.filter(|(.., errors)| !errors).map(|(path, spec, sources, _)| (path, spec, sources)).collect()
}

/// Every spec of the repository without errors.
fn readable() -> Vec<(PathBuf, Spec, Sources)> {
    let sound =
        |path: &Path| compile(path, &Memory::default()).is_ok_and(|compiled| !compiled.found.has_errors());
    parseable().into_iter().filter(|(path, ..)| sound(path)).collect()
}

/// The compiled graph of a text that stands in for the file at `path`.
fn graph_of(path: &Path, text: &str, to: Notation) -> String {
    let name = match to {
        Notation::Dsl => path.with_file_name("printed.nn"),
        Notation::Yaml => path.with_file_name("printed.nn.yaml"),
    };
    let loader = Memory::of(&name.display().to_string(), text);
    graph::print(&compile(&name, &loader).expect("a text in memory").graph)
}

#[test]
fn every_spec_of_the_repository_comes_back() {
    let all = readable();
    assert!(all.len() >= 20, "only {} specs", all.len());
    for (path, spec, sources) in all {
        for to in BOTH {
            let name = format!("{} as {to:?}", path.display());
            let text = printed(&spec, &sources, to);
            let (again, new, found) = parsed(&text, to);
            assert!(!found.has_errors(), "{name}: {}\n{text}", crate::support::concise(found, &new));
            assert!(again == spec, "{name}: the tree differs\n{text}");
            assert_eq!(printed(&again, &new, to), text, "{name}: printing again changes the text");
            assert_eq!(comments(&again, &new), comments(&spec, &sources), "{name}\n{text}");
            let original = std::fs::read_to_string(&path).expect("a spec");
            let (before, after) = (graph_of(&path, &original, notation(&path)), graph_of(&path, &text, to));
            assert_eq!(before, after, "{name}: the graphs differ");
            // There and back again.
            for back in BOTH {
                let third = printed(&again, &new, back);
                let (last, newest, found) = parsed(&third, back);
                assert!(!found.has_errors() && last == spec, "{name} and back as {back:?}\n{third}");
                assert_eq!(comments(&last, &newest), comments(&spec, &sources), "{name} and back\n{third}");
            }
        }
    }
}

/// What is wrong with a spec and not with its text is carried over, too, unless YAML has no form for it: a key given twice, or
/// positional arguments of something that does not exist.
#[test]
fn faulty_specs_come_back_or_are_refused() {
    let mut carried = 0;
    let faulty: Vec<_> = parseable();
    for (path, spec, sources) in &faulty {
        for to in BOTH {
            let text = printed(spec, sources, to);
            let (again, new, found) = parsed(&text, to);
            let refused = found.has_errors() || again != *spec;
            assert!(
                !refused || spec.notation != to,
                "{}: does not come back in its own notation\n{text}",
                path.display()
            );
            if !refused {
                assert_eq!(comments(&again, &new), comments(spec, sources), "{}\n{text}", path.display());
                carried += 1;
            }
        }
    }
    assert!(carried * 10 >= faulty.len() * 2 * 9, "only {carried} of {} are carried over", faulty.len() * 2);
}

#[test]
fn twins_print_alike() {
    for path in specs("tests/twins").into_iter().filter(|path| notation(path) == Notation::Dsl) {
        let twin = PathBuf::from(format!("{}.yaml", path.display()));
        let bare = |path: &Path| {
            let text = std::fs::read_to_string(path).expect("a spec");
            let (mut spec, sources, _) = parsed(&text, notation(path));
            spec.comments.clear();
            let text = print::dsl(&spec, &sources);
            text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect::<String>()
        };
        assert_eq!(bare(&path), bare(&twin), "{}", path.display());
    }
}

#[test]
fn the_layout_is_that_of_the_examples() {
    let text = "# A comment of the file.
spec 1
model m(h1 = 64, h2 = 32 in 8..256, p = 0.2)

input  image: f64[B, 3, 8, 8] |> scale(1/255)
target y: class(10)

default linear(init=he_normal(fan_out))

block wide(out, n = 2) {
  residual {
    fc: linear(out * n)
  } shortcut when in.ch != out {
    proj: linear(out, bias=false)
  }
  relu
}

net {
  flat:  flatten   <- image
  # A stage.
  stage: for i in range(4) {
    block: repeat 2 as j {
      wide(h1 * 2**i, n = 2 if i > 0 and j == 0 else 1)
    }
  }
         relu  # behind
  join:  concat    <- stage, flat
  out:   linear(10)
}

train {
  loss cross_entropy(out, y)
  l2   1e-4 on weights
  adam(lr=1e-3)  batch 64  epochs 20  seed 7
}

expect { params 11_689_512  state 9_600  output [B, 1000] }
";
    let (spec, sources, _) = parsed(text, Notation::Dsl);
    assert_eq!(print::dsl(&spec, &sources), text);
    let yaml = "# A comment of the file.
spec: 1
model: m
params: {h1: 64, h2: {value: 32, in: [8, 256]}, p: 0.2}

inputs: {image: {type: \"f64[B, 3, 8, 8]\", prepare: [{scale: {factor: =1/255}}]}}
targets: {y: class(10)}

defaults: {linear: {init: he_normal(fan_out)}}

blocks:
  wide:
    params: {out: null, n: 2}
    body:
      - residual: [{id: fc, linear: {out: =out * n}}]
        shortcut: {when: =in.ch != out, body: [{id: proj, linear: {out: =out, bias: false}}]}
      - relu

net:
  - {id: flat, flatten: {}, from: image}
  # A stage.
  - id: stage
    for: {i: =range(4)}
    body:
      - {id: block, repeat: 2, as: j, body: [{wide: {out: =h1 * 2**i, n: =2 if i > 0 and j == 0 else 1}}]}
  - relu  # behind
  - {id: join, concat: {}, from: [stage, flat]}
  - {id: out, linear: {out: 10}}

train:
  loss: {cross_entropy: [out, y]}
  l2: {weights: 1.0e-4}
  optimizer: {adam: {lr: 1.0e-3}}
  batch: 64
  epochs: 20
  seed: 7

expect: {params: 11_689_512, state: 9_600, output: [B, 1000]}
";
    assert_eq!(print::yaml(&spec, &sources), yaml);
    let (spec, sources, _) = parsed(yaml, Notation::Yaml);
    assert_eq!(print::dsl(&spec, &sources), text);
}
