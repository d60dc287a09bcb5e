//! The JSON Schema is the generated one, accepts every good spec and rejects mistakes.

use super::readable;
use crate::support::{compiled, notation, parsed};
use serde_json::Value;
use wellposed::diag::suppress::Notation;
use wellposed::front::{print, schema};

const FILE: &str = "grammar/model.schema.json";

#[test]
fn the_committed_schema_is_the_generated_one() {
    let committed = std::fs::read_to_string(FILE).expect("the schema").replace("\r\n", "\n");
    assert!(
        committed == schema::text(),
        "{FILE} is out of date; write it with: cargo run -- schema > {FILE}"
    );
}

// ---- a checker for the keywords that the schema uses ----------------------------------------------------------------------------

/// Why a value does not conform; `None` if it does.
fn fault(root: &Value, rule: &Value, value: &Value, at: &str) -> Option<String> {
    let rule = match rule {
        Value::Bool(true) => return None,
        Value::Bool(false) => return Some(format!("{at}: not allowed")),
        Value::Object(rule) => rule,
        other => panic!("{other} is no schema"),
    };
    if let Some(target) = rule.get("$ref") {
        let name = target
            .as_str()
            .and_then(|target| target.strip_prefix("#/definitions/"))
            .expect("a local reference");
        let target = root["definitions"].get(name).unwrap_or_else(|| panic!("no definition {name}"));
        return fault(root, target, value, at);
    }
    for (keyword, wanted) in rule {
        let fine = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" => true,
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "enum" => wanted.as_array().expect("a list").contains(value),
            "const" => same(wanted, value),
            "minimum" => value.as_f64().is_none_or(|x| x >= wanted.as_f64().expect("a number")),
            "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().expect("text"), text)),
            "required" => match value {
                Value::Object(map) => {
                    let missing = wanted
                        .as_array()
                        .expect("a list")
                        .iter()
                        .find(|key| !map.contains_key(key.as_str().expect("a key")));
                    if let Some(key) = missing {
                        return Some(format!("{at}: {key} is missing"));
                    }
                    true
                }
                _ => true,
            },
            "anyOf" => {
                let options = wanted.as_array().expect("a list");
                let faults: Vec<String> =
                    options.iter().map_while(|one| fault(root, one, value, at)).collect();
                if faults.len() == options.len() {
                    return faults.into_iter().max_by_key(String::len);
                }
                true
            }
            "allOf" => {
                let all = wanted.as_array().expect("a list");
                if let Some(why) = all.iter().find_map(|one| fault(root, one, value, at)) {
                    return Some(why);
                }
                true
            }
            "items" => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let found = items.iter().enumerate();
                if let Some(why) =
                    found.into_iter().find_map(|(i, item)| fault(root, wanted, item, &format!("{at}[{i}]")))
                {
                    return Some(why);
                }
                true
            }
            "properties" | "additionalProperties" => {
                let Value::Object(map) = value else { continue };
                let known = rule.get("properties").and_then(Value::as_object);
                for (key, inner) in map {
                    let own = known.and_then(|known| known.get(key));
                    let rule = if keyword == "properties" { own } else { own.is_none().then_some(wanted) };
                    if let Some(why) = rule.and_then(|rule| fault(root, rule, inner, &format!("{at}.{key}")))
                    {
                        return Some(why);
                    }
                }
                true
            }
            other => panic!("the checker does not know `{other}`"),
        };
        if !fine {
            return Some(format!("{at}: {value} breaks {keyword} {wanted}"));
        }
    }
    None
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b)
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|x| x.fract() == 0.0),
        other => panic!("no type `{other}`"),
    }
}

/// One step of a pattern, and whether it may be left out and repeated.
struct Step {
    what: What,
    least: usize,
    most: usize,
}

enum What {
    Start,
    End,
    Any,
    Char(char),
    Class(Vec<(char, char)>),
    Group(Vec<Vec<Step>>),
}

/// Whether a pattern of JSON Schema occurs in a text: the part of the syntax that the schema uses.
fn matches(pattern: &str, text: &str) -> bool {
    let chars: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    let options = alternatives(&chars, &mut at);
    assert_eq!(at, chars.len(), "{pattern} has a bracket too many");
    let text: Vec<char> = text.chars().collect();
    (0..=text.len()).any(|from| options.iter().any(|steps| run(steps, &text, from, &mut |_| true)))
}

fn alternatives(pattern: &[char], at: &mut usize) -> Vec<Vec<Step>> {
    let mut options = vec![Vec::new()];
    while let Some(&c) = pattern.get(*at) {
        if c == ')' {
            break;
        }
        *at += 1;
        let what = match c {
            '|' => {
                options.push(Vec::new());
                continue;
            }
            '^' => What::Start,
            '$' => What::End,
            '.' => What::Any,
            '\\' => {
                *at += 1;
                What::Char(pattern[*at - 1])
            }
            '(' => {
                let group = alternatives(pattern, at);
                assert_eq!(pattern.get(*at), Some(&')'), "an open group");
                *at += 1;
                What::Group(group)
            }
            '[' => {
                let mut ranges = Vec::new();
                while pattern[*at] != ']' {
                    let first = pattern[*at];
                    let last = if pattern[*at + 1] == '-' { pattern[*at + 2] } else { first };
                    *at += if last == first { 1 } else { 3 };
                    ranges.push((first, last));
                }
                *at += 1;
                What::Class(ranges)
            }
            other => What::Char(other),
        };
        let (least, most) = match pattern.get(*at) {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            _ => (1, 1),
        };
        *at += usize::from((least, most) != (1, 1));
        options.last_mut().expect("an option").push(Step { what, least, most });
    }
    options
}

fn run(steps: &[Step], text: &[char], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
    match steps.split_first() {
        None => then(at),
        Some((step, rest)) => repeat(step, 0, rest, text, at, then),
    }
}

fn repeat(
    step: &Step,
    done: usize,
    rest: &[Step],
    text: &[char],
    at: usize,
    then: &mut dyn FnMut(usize) -> bool,
) -> bool {
    if done < step.most {
        let mut again = |next: usize| next > at && repeat(step, done + 1, rest, text, next, then);
        let more = match &step.what {
            What::Start | What::End => false,
            What::Group(options) => options.iter().any(|steps| run(steps, text, at, &mut again)),
            What::Any => at < text.len() && again(at + 1),
            What::Char(c) => text.get(at) == Some(c) && again(at + 1),
            What::Class(ranges) => {
                text.get(at).is_some_and(|c| ranges.iter().any(|(a, b)| a <= c && c <= b)) && again(at + 1)
            }
        };
        if more {
            return true;
        }
    }
    let holds = match step.what {
        What::Start => at == 0,
        What::End => at == text.len(),
        _ => done >= step.least,
    };
    holds && run(rest, text, at, then)
}

#[test]
fn the_checker_of_patterns_matches_as_it_should() {
    for (pattern, text, wanted) in [
        ("^=", "=x", true),
        ("^=", "x=", false),
        ("^[a-z_][a-z0-9_]*$", "conv_1", true),
        ("^[a-z_][a-z0-9_]*$", "1conv", false),
        ("^[a-z]+(\\.[a-z]+|\\[[0-9]+\\])*$", "stage[12].block[0].conv", true),
        ("^[a-z]+(\\.[a-z]+|\\[[0-9]+\\])*$", "stage[].conv", false),
        ("^(f64|u8) *\\[ *B.*\\]$", "f64[B, 3]", true),
        ("^(f64|u8) *\\[ *B.*\\]$", "f64[3]", false),
        ("^a?b$", "b", true),
        ("^a?b$", "aab", false),
    ] {
        assert_eq!(matches(pattern, text), wanted, "{pattern} on {text}");
    }
}

// ---- specs ------------------------------------------------------------------------------------------------------------------------

/// Why a document does not conform.
fn nonconformity(yaml: &str) -> Option<String> {
    let document: serde_yaml::Value = serde_yaml::from_str(yaml).expect("YAML");
    let document = serde_json::to_value(document).expect("a document with text keys");
    let schema = schema::schema();
    fault(&schema, &schema, &document, "spec")
}

#[test]
fn every_good_spec_conforms() {
    let mut checked = 0;
    for (path, spec, sources) in readable() {
        let original = std::fs::read_to_string(&path).expect("a spec");
        let in_place =
            wellposed::pipeline::compile(&path, &crate::support::Memory::default()).expect("a spec");
        if in_place.found.iter().any(|finding| finding.rule.code.starts_with(['S', 'N', 'Y'])) {
            continue;
        }
        if notation(&path) == Notation::Yaml {
            assert_eq!(nonconformity(&original), None, "{}", path.display());
        }
        let yaml = print::yaml(&spec, &sources);
        assert_eq!(nonconformity(&yaml), None, "{} in YAML\n{yaml}", path.display());
        checked += 1;
    }
    assert!(checked >= 15, "only {checked} specs were checked");
}

/// A spec that uses every section.
const GOOD: &str = "spec: 1
model: m
params: {w: 4, depth: {value: 2, in: [1, 8]}, scheme: he_normal}
inputs: {x: \"f64[B, 4]\", z: {type: \"u8[B, 4]\", prepare: [{scale: =1/255}]}}
targets: {y: class(3)}
defaults: {linear: {bias_init: zeros}}
blocks:
  cell:
    params: {n: null}
    body: [{id: fc, linear: {out: =n, init: he_normal(fan_out)}}, relu]
net:
  - {id: a, linear: {out: =w, init: =scheme}, from: x}
  - leaky_relu: 0.1
  - {id: l, repeat: =depth, as: i, body: [{cell: {n: 3}}]}
  - {id: k, for: {v: [1, 2]}, body: [{id: c, cell: 3}]}
  - residual: [layer_norm, {id: r, linear: {out: =in.ch, init: \"uniform(-1, 1)\"}}]
    shortcut: {when: =in.ch != 2, body: [{id: s, linear: {out: 3, init: zeros}}]}
  - {id: o, linear: {out: 3, init: xavier_normal}}
train: {loss: {cross_entropy: [o, y]}, l2: {weights: 1.0e-4}, l1: 1.0e-5, optimizer: {adam: {lr: 1.0e-3}}, batch: 8, epochs: 2, seed: 0}
expect: {params: 1_000, output: [B, 3]}
";

#[test]
fn mistakes_do_not_conform() {
    assert_eq!(nonconformity(GOOD), None);
    assert!(!parsed(GOOD, Notation::Yaml).2.has_errors());
    for (good, bad) in [
        ("spec: 1", "spec: 2"),
        ("model: m\n", ""),
        ("model: m", "model: 1m"),
        ("model: m", "modell: m"),
        ("net:", "nett:"),
        ("params: {w: 4", "params: {w: {valeu: 4}"),
        ("f64[B, 4]", "f65[B, 4]"),
        ("f64[B, 4]", "f64[4]"),
        ("class(3)", "klass(3)"),
        ("{type: \"u8[B, 4]\", ", "{"),
        ("scale: =1/255", "skale: =1/255"),
        ("bias_init: zeros", "bias_innit: zeros"),
        ("bias_init: zeros", "bias_init: zeroes"),
        ("body: [{id: fc, ", "boddy: [{id: fc, "),
        ("out: =w, init", "oud: =w, init"),
        ("out: =w, init", "out: true, init"),
        ("out: =w, init", "out: 0, init"),
        ("out: =w, init", "out: wide, init"),
        ("init: =scheme", "init: 3"),
        ("init: xavier_normal", "init: xavier"),
        ("leaky_relu: 0.1", "leaky_relu: true"),
        ("leaky_relu: 0.1", "leaky_relu: {slop: 0.1}"),
        ("from: x", "from: [x, 1]"),
        ("repeat: =depth", "repeat: true"),
        ("repeat: =depth, as: i, body", "repeat: =depth, az: i, body"),
        ("for: {v: [1, 2]}", "for: 3"),
        ("shortcut: {when", "shortcut: {wenn"),
        ("cross_entropy: [o, y]", "cross_entropy: [o, y], mse: [o, y]"),
        ("cross_entropy: [o, y]", "cross_entropy: {output: o}"),
        ("l2: {weights: 1.0e-4}", "l2: {weihgts: 1.0e-4}"),
        ("l2: {weights: 1.0e-4}", "l2: true"),
        ("adam: {lr: 1.0e-3}", "adam: {}"),
        ("adam: {lr: 1.0e-3}", "adam: {lr: fast}"),
        ("adam: {lr: 1.0e-3}", "adma: {lr: 1.0e-3}"),
        ("batch: 8", "batch: 0"),
        ("batch: 8", "batch: 1.5"),
        ("seed: 0", "sede: 0"),
        ("params: 1_000", "parms: 1_000"),
        ("output: [B, 3]", "output: 3"),
    ] {
        assert!(GOOD.contains(good), "{good}");
        let text = GOOD.replacen(good, bad, 1);
        assert!(nonconformity(&text).is_some(), "{bad} conforms");
    }
}

#[test]
fn data_sections_conform_and_their_mistakes_do_not() {
    let good = "spec: 1
model: m
data:
  splits: {all: {csv: d.csv}}
  split: {by: {hash: key}, train: 80, val: 10, test: 10}
  columns:
    x: {numeric: [a, \"b*\"], as: [1, 2], prepare: [{impute: {with: median, fit: train}}, log1p, {clip: [0, 1]}]}
    c: {category: {column: c, vocabulary: [\"no\", \"yes\"]}, prepare: [one_hot]}
    y: {class: {column: y, classes: 3}}
  on: {test: {x: [{standardize: {fit: test}}]}}
net:
  - {id: o, linear: 3}
";
    assert_eq!(nonconformity(good), None);
    for (from, to) in [
        ("splits: {all", "splits: {al"),
        ("csv: d.csv", "csv: [d.csv]"),
        ("by: {hash: key}", "by: {hsah: key}"),
        ("train: 80", "trian: 80"),
        ("numeric: [a", "numerik: [a"),
        ("as: [1, 2]", "as: [0, 2]"),
        ("with: median", "whit: median"),
        ("fit: train}}, log1p", "fit: trian}}, log1p"),
        ("log1p", "log2p"),
        ("classes: 3", "classes: 0"),
        ("{column: y, classes: 3}", "{column: y}"),
        ("on: {test: {x: [", "on: {tset: {x: ["),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(nonconformity(&good.replacen(from, to, 1)).is_some(), "{to} conforms");
    }
    // What the schema rejects, the compiler rejects, too.
    assert!(compiled(&good.replacen("numeric", "numerik", 1), Notation::Yaml).found.has_errors());
}
