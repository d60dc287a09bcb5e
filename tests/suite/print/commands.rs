//! `convert`, `expand` and `schema` as their users run them.

use super::{BOTH, graph_of, printed, readable};
use crate::support::{concise, notation, parsed};
use std::path::Path;
use std::process::{Command, Output};
use wellposed::diag::suppress::Notation;
use wellposed::front::expand::expand;

fn wellposed(arguments: &[&str], folder: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_wellposed");
    Command::new(program).args(arguments).current_dir(folder).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

const SPEC: &str = "# A comment.
spec 1
model m(w = 8)

input  x: f64[B, 4]
target y: class(3)

default linear(init=he_normal)

net {
  a: linear(w)
     leaky_relu
  o: linear(3, init=normal(0.5, 2))
}

train {
  loss cross_entropy(o, y)
  l2   1e-4
  sgd(lr=0.1)
}
";

#[test]
fn convert_prints_the_other_notation_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("m.nn"), SPEC).expect("a file");
    let yaml = wellposed(&["convert", "m.nn"], folder.path());
    assert_eq!(yaml.status.code(), Some(0), "{}", text(&yaml.stderr));
    let yaml = text(&yaml.stdout);
    assert!(
        yaml.starts_with("# A comment.\nspec: 1\n") && yaml.contains("- {id: a, linear: {out: =w}}"),
        "{yaml}"
    );
    std::fs::write(folder.path().join("m.nn.yaml"), &yaml).expect("a file");
    let back = wellposed(&["convert", "m.nn.yaml"], folder.path());
    assert_eq!(text(&back.stdout), SPEC);
    let same = wellposed(&["convert", "--to", "yaml", "m.nn.yaml"], folder.path());
    assert_eq!(text(&same.stdout), yaml, "the layout is a fixpoint");
}

#[test]
fn convert_writes_a_file_and_overwrites_none_unasked() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("m.nn"), SPEC).expect("a file");
    let target = folder.path().join("m.nn.yaml");
    let written = wellposed(&["convert", "m.nn", "--out", "m.nn.yaml"], folder.path());
    assert_eq!(
        (written.status.code(), text(&written.stdout).as_str()),
        (Some(0), ""),
        "{}",
        text(&written.stderr)
    );
    let first = std::fs::read_to_string(&target).expect("the file");
    std::fs::write(&target, "mine").expect("a file");
    let refused = wellposed(&["convert", "m.nn", "--out", "m.nn.yaml"], folder.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("m.nn.yaml exists"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_to_string(&target).expect("the file"), "mine");
    let forced = wellposed(&["convert", "m.nn", "--out", "m.nn.yaml", "--force"], folder.path());
    assert_eq!(forced.status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(&target).expect("the file"), first);
}

#[test]
fn what_cannot_be_read_or_said_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("m.nn"), SPEC.replace("linear(w)", "linear(w")).expect("a file");
    for command in ["convert", "expand"] {
        let output = wellposed(&[command, "--format", "concise", "m.nn"], folder.path());
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(text(&output.stdout).contains("error[S002]"), "{}", text(&output.stdout));
    }
    // A wrong op with positional arguments has no form in YAML; a misspelt word has one.
    std::fs::write(folder.path().join("m.nn"), SPEC.replace("linear(w)", "lineer(w, 2)")).expect("a file");
    let output = wellposed(&["convert", "m.nn"], folder.path());
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
    std::fs::write(folder.path().join("m.nn"), SPEC.replace("leaky_relu", "leaky_rleu")).expect("a file");
    assert_eq!(wellposed(&["convert", "m.nn"], folder.path()).status.code(), Some(0));
    assert_eq!(wellposed(&["convert", "absent.nn"], folder.path()).status.code(), Some(2));
}

#[test]
fn expand_writes_every_default_out() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("m.nn"), SPEC).expect("a file");
    let output = wellposed(&["expand", "m.nn"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let wanted = "# A comment.
spec 1
model m(w = 8)

input  x: f64[B, 4]
target y: class(3)

net {
  a: linear(w, bias=true, init=he_normal(mode=fan_in, a=0), bias_init=zeros)
     leaky_relu(0.01)
  o: linear(3, bias=true, init=normal(std=2, mean=0.5), bias_init=zeros)
}

train {
  loss cross_entropy(o, y, label_smoothing=0)
  l2   1e-4 on weights
  sgd(lr=0.1, momentum=0)
}
";
    assert_eq!(text(&output.stdout), wanted);
}

#[test]
fn a_default_stays_where_a_variable_hides_what_it_means() {
    let spec = "spec 1
model m(w = 2, s = 0.5)
input x: f64[B, 4]
default linear(init=normal(s))
block b(s) { fc: linear(3) }
net {
  a: linear(w)
  c: b(1)
  l: for s in [1, 2] { fc: linear(3) }
}
";
    let (mut tree, sources, _) = parsed(spec, Notation::Dsl);
    expand(&mut tree);
    let text = printed(&tree, &sources, Notation::Dsl);
    assert!(text.contains("default linear(init=normal(std=s, mean=0))"), "{text}");
    assert!(text.contains("a: linear(w, bias=true, init=normal(std=s, mean=0), bias_init=zeros)"), "{text}");
    assert_eq!(text.matches("fc: linear(3, bias=true, bias_init=zeros)").count(), 2, "{text}");
    let path = Path::new("m.nn");
    assert_eq!(graph_of(path, &text, Notation::Dsl), graph_of(path, spec, Notation::Dsl));
}

#[test]
fn an_expanded_spec_compiles_to_the_same_graph() {
    for (path, mut spec, sources) in readable() {
        let original = std::fs::read_to_string(&path).expect("a spec");
        expand(&mut spec);
        for to in BOTH {
            let text = printed(&spec, &sources, to);
            let (mut again, new, found) = parsed(&text, to);
            assert!(!found.has_errors(), "{}: {}\n{text}", path.display(), concise(found, &new));
            assert!(again == spec, "{}: the tree differs\n{text}", path.display());
            let graphs = (graph_of(&path, &original, notation(&path)), graph_of(&path, &text, to));
            assert_eq!(graphs.0, graphs.1, "{}\n{text}", path.display());
            expand(&mut again);
            assert_eq!(printed(&again, &new, to), text, "{}: nothing is left to expand", path.display());
        }
    }
}
