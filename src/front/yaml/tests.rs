//! Another reader as an oracle: `serde_yaml` and our tree agree on structure, keys and the kind of every scalar, on every file of the
//! repository and on random documents of the schema. Where they differ on purpose, [`DIFFERENCES`] says so, and why.

use super::tree::{self, Node, Value};
use crate::diag::Diagnostics;
use crate::source::Sources;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_yaml::Value as Other;
use std::path::{Path, PathBuf};

/// Our tree of a text; the messages if there is none.
fn ours(text: &str) -> Result<Node, String> {
    let mut sources = Sources::default();
    let id = sources.add("test.nn.yaml", text);
    let mut out = Diagnostics::default();
    tree::read(id, text, &mut out).ok_or_else(|| out.iter().map(|finding| finding.message.clone()).collect())
}

/// What a value is, as both readers may see it.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Seq(Vec<Seen>),
    Map(Vec<(String, Seen)>),
}

fn seen(node: &Node) -> Seen {
    match &node.value {
        Value::Null => Seen::Null,
        Value::Bool(b) => Seen::Bool(*b),
        Value::Number(digits) => Seen::Number(value_of(digits)),
        Value::Text(text, _) => Seen::Text(text.clone()),
        Value::Seq(items) => Seen::Seq(items.iter().map(seen).collect()),
        Value::Map(pairs) => {
            Seen::Map(pairs.iter().map(|(key, value)| (key.value.clone(), seen(value))).collect())
        }
    }
}

/// The number that a plain scalar stands for in YAML 1.2.
fn value_of(digits: &str) -> f64 {
    let plain = digits.trim_start_matches(['+', '-']);
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find_map(|(prefix, radix)| {
        plain.strip_prefix(prefix).and_then(|rest| i64::from_str_radix(rest, radix).ok())
    });
    #[expect(clippy::cast_precision_loss, reason = "the other reader hands over real numbers, too")]
    let value = match (radix, plain) {
        (Some(n), _) => n as f64,
        (None, ".inf") => f64::INFINITY,
        (None, _) => plain.replace('_', "").parse().unwrap_or(f64::NAN),
    };
    if digits.starts_with('-') { -value } else { value }
}

fn others(value: &Other) -> Seen {
    match value {
        Other::Null => Seen::Null,
        Other::Bool(b) => Seen::Bool(*b),
        Other::Number(n) => Seen::Number(n.as_f64().unwrap_or(f64::NAN)),
        Other::String(text) => Seen::Text(text.clone()),
        Other::Sequence(items) => Seen::Seq(items.iter().map(others).collect()),
        Other::Mapping(pairs) => Seen::Map(
            pairs
                .iter()
                .map(|(key, value)| {
                    let key = match key {
                        Other::String(key) => key.clone(),
                        other => format!("{other:?}"),
                    };
                    (key, others(value))
                })
                .collect(),
        ),
        // Our tree has no tags: those that do not change the reading are reported where they stand, the others refused.
        Other::Tagged(tagged) => others(&tagged.value),
    }
}

/// A scalar that the two readers see differently on purpose: how it is written, what each sees (`None`: an error), and the reason.
struct Difference {
    written: &'static str,
    ours: fn(&Seen) -> bool,
    theirs: Option<fn(&Seen) -> bool>,
    reason: &'static str,
}

fn is_number(seen: &Seen) -> bool {
    matches!(seen, Seen::Number(_))
}

fn is_text(seen: &Seen) -> bool {
    matches!(seen, Seen::Text(_))
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        written: "012",
        ours: is_number,
        theirs: Some(is_text),
        reason: "octal for YAML 1.1, decimal for 1.2: a number here, so that it can be reported as ambiguous (Y)",
    },
    Difference { written: "-007", ours: is_number, theirs: Some(is_text), reason: "likewise, with a sign" },
    Difference { written: "00", ours: is_number, theirs: Some(is_text), reason: "likewise" },
    Difference {
        written: "11_689_512",
        ours: is_number,
        theirs: Some(is_text),
        reason: "the language separates thousands by `_`, as YAML 1.1 does; 1.2 has no such numbers",
    },
    Difference {
        written: "1e400",
        ours: is_number,
        theirs: Some(is_text),
        reason: "a number that no 64 bits hold is reported as out of range instead of passing for text",
    },
    Difference {
        written: "99999999999999999999",
        ours: is_number,
        theirs: None,
        reason: "likewise for integers, which the other reader cannot hold at all",
    },
];

/// Scalars on which YAML readers are known to differ from each other, and these two do not.
const AGREED: &[&str] = &[
    "1e3",
    "1E3",
    "1.0e+3",
    "1.5e3",
    "+1",
    "+1.5",
    ".5",
    "5.",
    "-.5",
    "1.",
    "0.",
    "-0",
    "-0.0",
    "-1e-3",
    "0x1F",
    "0o17",
    "0b11",
    "0x",
    "0o8",
    "0xG",
    "1e",
    "1e+",
    "1_0.5",
    "1__0",
    "_1",
    "1:30",
    "2001-01-01",
    "1.2.3",
    "1 2",
    "nan",
    "inf",
    "Infinity",
    ".inf",
    "-.inf",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "True",
    "TRUE",
    "tRue",
    "true",
    "False",
    "null",
    "Null",
    "NULL",
    "~",
    "",
    "=",
    "=x",
    "<<",
    "+",
    "-=x",
    "''",
    "\"\"",
    "'1'",
    "\"no\"",
    "!!str 1",
    "&a x",
    "é",
    "a#b",
    "'it''s'",
    "\"\\x41\\u00e9\\U0001F980\\e\\N\"",
];

#[test]
fn odd_scalars_agree_or_are_listed() {
    for scalar in AGREED {
        let text = format!("k: {scalar}\nl: [{}]\n", if scalar.is_empty() { "~" } else { scalar });
        let node = ours(&text).unwrap_or_else(|why| panic!("{scalar}: {why}"));
        let other: Other = serde_yaml::from_str(&text).unwrap_or_else(|why| panic!("{scalar}: {why}"));
        assert_eq!(seen(&node), others(&other), "{scalar}");
    }
    for Difference { written, ours: mine, theirs, reason } in DIFFERENCES {
        let text = format!("k: {written}\n");
        let only = |seen: Seen| match seen {
            Seen::Map(pairs) => pairs.into_iter().next().map_or(Seen::Null, |(_, value)| value),
            other => other,
        };
        let node = only(seen(&ours(&text).unwrap_or_else(|why| panic!("{written}: {why}"))));
        assert!(mine(&node), "{written} is {node:?} here ({reason})");
        let other = serde_yaml::from_str::<Other>(&text).map(|value| only(others(&value)));
        match (theirs, &other) {
            (None, Err(_)) => {}
            (Some(theirs), Ok(other)) => {
                assert!(theirs(other), "{written} is {other:?} there ({reason})");
                assert_ne!(node, *other, "{written} is no difference any more ({reason})");
            }
            _ => panic!("{written} is {other:?} there ({reason})"),
        }
    }
}

#[test]
fn documents_that_one_reader_refuses() {
    // Duplicate keys stay in our tree, so that both places can be shown; the other reader stops at them.
    assert!(ours("a: 1\na: 2\n").is_ok() && serde_yaml::from_str::<Other>("a: 1\na: 2\n").is_err());
    // Keys are text here: what the other reader takes for a number or a boolean names nothing in a spec.
    let keys = ours("1: a\ntrue: b\n").map(|node| seen(&node));
    let text = |text: &str| Seen::Text(text.to_owned());
    assert_eq!(keys, Ok(Seen::Map(vec![("1".to_owned(), text("a")), ("true".to_owned(), text("b"))])));
    // A key that is nothing, or a list, is an error here.
    for odd in ["~: 1\n", "null: 1\n", "[a]: 1\n"] {
        assert!(ours(odd).is_err() && serde_yaml::from_str::<Other>(odd).is_ok(), "{odd}");
    }
    // Custom tags are rejected here and kept there.
    assert!(ours("a: !mine 1\n").is_err() && serde_yaml::from_str::<Other>("a: !mine 1\n").is_ok());
    // Both refuse what is no YAML, and more than one document.
    for broken in [
        "a: [1\n",
        "a: b: c\n",
        "a: @x\n",
        "a: %x\n",
        "- a\nb: 1\n",
        "a: 1\n---\nb: 2\n",
        "a:\n\t- b\n",
        "a: \"x\n",
    ] {
        assert!(ours(broken).is_err(), "{broken:?} is read here");
        assert!(serde_yaml::from_str::<Other>(broken).is_err(), "{broken:?} is read there");
    }
}

fn specs(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.is_dir() {
            specs(&path, found);
        } else if crate::front::notation_of(&path.display().to_string())
            == Some(crate::diag::suppress::Notation::Yaml)
        {
            found.push(path);
        }
    }
}

/// Replaces the scalars that are listed as differences, so that the rest of a document can be compared.
fn without_differences(seen: Seen, other: &Seen) -> Seen {
    match (seen, other) {
        (Seen::Seq(items), Seen::Seq(others)) if items.len() == others.len() => {
            Seen::Seq(items.into_iter().zip(others).map(|(a, b)| without_differences(a, b)).collect())
        }
        (Seen::Map(pairs), Seen::Map(others)) if pairs.len() == others.len() => {
            let both = pairs.into_iter().zip(others);
            Seen::Map(both.map(|((key, a), (_, b))| (key, without_differences(a, b))).collect())
        }
        // Separators, leading zeros, and what overflows: see the list.
        (Seen::Number(x), Seen::Text(text)) => {
            let bare = text.trim_start_matches('-');
            let listed = bare.contains('_') || (bare.starts_with('0') && bare.len() > 1) || x.is_infinite();
            if listed && value_of(text) == x { Seen::Text(text.clone()) } else { Seen::Number(x) }
        }
        (seen, _) => seen,
    }
}

#[test]
fn every_file_of_the_repository_agrees() {
    let mut found = Vec::new();
    for folder in ["specs", "tests"] {
        specs(Path::new(folder), &mut found);
    }
    found.sort();
    let mut compared = 0;
    for path in &found {
        let text = std::fs::read_to_string(path).expect("a spec");
        match (ours(&text), serde_yaml::from_str::<Other>(&text)) {
            (Ok(node), Ok(other)) => {
                let other = others(&other);
                assert_eq!(without_differences(seen(&node), &other), other, "{}", path.display());
                compared += 1;
            }
            (Ok(node), Err(why)) => {
                // The other reader stops at duplicate keys and at integers beyond 64 bits.
                let why = why.to_string();
                let known = why.contains("duplicate entry") || why.contains("invalid type: integer");
                assert!(known, "{}: {why}\n{:?}", path.display(), seen(&node));
            }
            (Err(why), Ok(_)) => {
                // Rejected here by intent: tags, odd keys, documents beyond the budget.
                let known = ["tag", "string", "limits", "deeply"].iter().any(|word| why.contains(word));
                assert!(known, "{}: {why}", path.display());
            }
            (Err(_), Err(_)) => {}
        }
    }
    assert!(compared >= 5, "only {compared} of {} files were compared", found.len());
}

/// A document: its parts as YAML text.
#[derive(Clone, Debug)]
enum Part {
    Scalar(String),
    Seq(Vec<Part>),
    Map(Vec<(String, Part)>),
}

impl Part {
    fn flow(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Seq(items) => format!("[{}]", items.iter().map(Self::flow).collect::<Vec<_>>().join(", ")),
            Self::Map(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, value)| format!("{key}: {}", value.flow())).collect();
                format!("{{{}}}", pairs.join(", "))
            }
        }
    }

    /// Block style down to a depth, flow style below.
    fn block(&self, depth: usize, indent: usize, out: &mut String) {
        let nested = |part: &Part| depth > 0 && !matches!(part, Part::Scalar(_)) && part.flow().len() > 2;
        let lead = " ".repeat(indent);
        match self {
            Self::Map(pairs) if !pairs.is_empty() => {
                for (key, value) in pairs {
                    if nested(value) {
                        out.push_str(&format!("{lead}{key}:  # of {key}\n"));
                        value.block(depth - 1, indent + 2, out);
                    } else {
                        out.push_str(&format!("{lead}{key}: {}\n", value.flow()));
                    }
                }
            }
            Self::Seq(items) if !items.is_empty() => {
                for item in items {
                    if nested(item) {
                        let mut inner = String::new();
                        item.block(depth - 1, indent + 2, &mut inner);
                        out.push_str(&format!("{lead}- {}", inner.trim_start()));
                    } else {
                        out.push_str(&format!("{lead}- {}\n", item.flow()));
                    }
                }
            }
            other => out.push_str(&format!("{lead}{}\n", other.flow())),
        }
    }
}

fn scalar() -> BoxedStrategy<String> {
    let quoted =
        "[ -~é]{0,8}".prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
    let single = "[ -~é]{0,8}".prop_map(|text| format!("'{}'", text.replace('\'', "''")));
    let expression = "=[a-z0-9]{1,4}( [-+*/%<>] [a-z0-9]{1,4}){0,2}";
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter_map("finite", |x| x.is_finite().then(|| format!("{x:?}"))),
        "[1-9][0-9]{0,3}\\.[0-9]{1,3}(e[-+][0-9]{1,2})?",
        "[a-z_][a-z0-9_]{0,6}(\\.[a-z]{1,4})?",
        "[a-z]{1,5}\\([a-z0-9=.]{0,6}\\)",
        prop::sample::select(vec![
            "true",
            "false",
            "null",
            "~",
            "True",
            "no",
            "on",
            "yes",
            "Off",
            "../data/x.csv",
            "pixel_*"
        ])
        .prop_map(str::to_owned),
        quoted,
        single,
        expression,
    ]
    .boxed()
}

/// Keys of the schema, and names.
fn key() -> BoxedStrategy<String> {
    let known = vec![
        "spec",
        "model",
        "params",
        "inputs",
        "targets",
        "data",
        "splits",
        "split",
        "columns",
        "on",
        "defaults",
        "blocks",
        "net",
        "train",
        "expect",
        "id",
        "from",
        "repeat",
        "as",
        "for",
        "body",
        "residual",
        "shortcut",
        "when",
        "linear",
        "out",
        "init",
        "loss",
        "cross_entropy",
        "l2",
        "weights",
        "optimizer",
        "adam",
        "lr",
        "csv",
        "prepare",
        "standardize",
        "fit",
    ];
    let quoted = "\"[a-z ]{1,5}\"";
    prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 2 => "[a-z][a-z0-9_]{0,5}", 1 => quoted].boxed()
}

fn part() -> BoxedStrategy<Part> {
    let leaf = scalar().prop_map(Part::Scalar);
    leaf.prop_recursive(5, 40, 5, |inner| {
        let pairs = vec((key(), inner.clone()), 0..5).prop_map(|pairs| {
            let mut seen = std::collections::BTreeSet::new();
            pairs.into_iter().filter(|(key, _)| seen.insert(key.trim_matches('"').to_owned())).collect()
        });
        prop_oneof![2 => vec(inner, 0..4).prop_map(Part::Seq), 3 => pairs.prop_map(Part::Map)]
    })
    .boxed()
}

#[test]
fn random_documents_agree() {
    let config = Config { cases: 1500, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]));
    let documents = (vec((key(), part()), 1..6), 0usize..4);
    let run = |(pairs, depth): (Vec<(String, Part)>, usize)| {
        let mut known = std::collections::BTreeSet::new();
        let pairs =
            pairs.into_iter().filter(|(key, _)| known.insert(key.trim_matches('"').to_owned())).collect();
        let mut text = String::new();
        Part::Map(pairs).block(depth, 0, &mut text);
        let node = ours(&text).map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))?;
        let other: Other =
            serde_yaml::from_str(&text).map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))?;
        let other = others(&other);
        prop_assert_eq!(without_differences(seen(&node), &other), other, "{}", text);
        Ok(())
    };
    runner.run(&documents, run).unwrap_or_else(|error| panic!("{error}"));
}
