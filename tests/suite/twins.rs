//! One model in both notations gives one tree and one graph.

use crate::support::{Memory, concise, notation, specs};
use std::path::{Path, PathBuf};
use wellposed::diag::suppress::Notation;
use wellposed::diag::{Diagnostic, Severity};
use wellposed::graph;
use wellposed::ops::OpKind;
use wellposed::pipeline::{Compiled, Stages, compile};

/// Ops of one of the twins. Positional arguments have no names while an op does not exist, so that twin waits for them.
const CONVOLUTIONAL: [&str; 4] = ["conv2d", "batch_norm", "max_pool", "global_avg_pool"];

fn compiled(path: &Path) -> Compiled {
    let mut compiled = compile(path, &Memory::default()).expect("the spec can be opened");
    compiled.conclude(Stages::default());
    compiled
}

/// The `.nn` files that have a twin in YAML.
fn pairs() -> Vec<(PathBuf, PathBuf)> {
    specs("tests/twins")
        .into_iter()
        .filter(|path| notation(path) == Notation::Dsl)
        .map(|path| {
            let twin = PathBuf::from(format!("{}.yaml", path.display()));
            assert!(twin.exists(), "{} has no twin", path.display());
            (path, twin)
        })
        .collect()
}

#[test]
fn twins_give_equal_trees_and_equal_graphs() {
    let pairs = pairs();
    assert!(pairs.len() >= 7, "only {} twins", pairs.len());
    for (dsl, yaml) in pairs {
        let (a, b) = (compiled(&dsl), compiled(&yaml));
        let name = dsl.display();
        let convolutional = dsl.ends_with("conv.nn");
        if convolutional && CONVOLUTIONAL.iter().any(|op| OpKind::find(op).is_none()) {
            continue;
        }
        for compiled in [&a, &b] {
            let found = concise(compiled.found.clone(), &compiled.sources);
            // What a lint says of a model is not what its text means.
            let misread =
                |d: &Diagnostic| d.severity == Severity::Error && "YSNH".contains(&d.rule.code[..1]);
            assert!(!compiled.found.iter().any(misread), "{found}");
        }
        assert!(a.spec == b.spec, "{name}: the trees differ: {}", difference(&a, &b));
        assert_eq!(graph::print(&a.graph), graph::print(&b.graph), "{name}: the graphs differ");
        let codes = |compiled: &Compiled| {
            let mut codes: Vec<_> = compiled.found.iter().map(|d| (d.rule.code, d.message.clone())).collect();
            codes.retain(|(code, _)| !code.starts_with('Y'));
            codes
        };
        assert_eq!(codes(&a), codes(&b), "{name}: the findings differ");
    }
}

/// The quickstart's YAML spec and its twin in the model language, whose files lie at another place.
#[test]
fn the_yaml_spec_of_the_quickstart_has_a_twin() {
    let yaml = compiled(Path::new("specs/quickstart/iris.nn.yaml"));
    let dsl = compiled(Path::new("tests/quickstart/iris.nn"));
    assert_eq!(graph::print(&dsl.graph), graph::print(&yaml.graph));
}

/// Where two trees begin to differ, places left out.
fn difference(a: &Compiled, b: &Compiled) -> String {
    let bare = |compiled: &Compiled| {
        let text = format!("{:?}", compiled.spec);
        let mut parts = text.split(", head: Head(Span { ");
        let mut bare = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            bare.push_str(part.split_once(" })").map_or("", |(_, rest)| rest));
        }
        bare[bare.find("version").unwrap_or(0)..].to_owned()
    };
    let (a, b) = (bare(a), bare(b));
    let at = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count().saturating_sub(60);
    let part = |text: &str| text.chars().skip(at).take(240).collect::<String>();
    format!("\n  {}\n  {}", part(&a), part(&b))
}
