//! Comments survive printing, each in its body, and suppressions keep covering what they covered.

use super::strategies::spec;
use super::trees::runner;
use super::{BOTH, comments, printed, readable};
use crate::support::{compiled, concise, parsed};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use wellposed::diag::suppress::Notation;
use wellposed::front::ast::Spec;
use wellposed::pipeline::Stages;
use wellposed::source::Sources;

/// Where a comment goes into a text.
#[derive(Clone, Copy, Debug)]
enum How {
    /// On a line of its own, indented like the line below.
    Own,
    /// On a line of its own behind a blank line.
    Apart,
    /// On a line of its own at the margin.
    Margin,
    /// Behind the code of a line.
    Behind,
}

/// Adds comments to the lines of a text.
fn sprinkled(text: &str, places: &[(Index, How)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (i, (place, how)) in places.iter().enumerate() {
        let at = place.index(lines.len().max(1)).min(lines.len().saturating_sub(1));
        let note = if i % 3 == 0 { format!("# wellposed: allow(I001) {i}") } else { format!("# note {i}") };
        let Some(line) = lines.get(at) else { break };
        let indent = line.len() - line.trim_start().len();
        match how {
            How::Behind
                if !line.trim().is_empty()
                    && !line.trim_start().starts_with('#')
                    && !line.contains("  # ") =>
            {
                lines[at].push_str("  ");
                lines[at].push_str(&note);
            }
            How::Margin => lines.insert(at, note),
            How::Apart => {
                lines.insert(at, format!("{:indent$}{note}", ""));
                lines.insert(at, String::new());
            }
            How::Own | How::Behind => lines.insert(at, format!("{:indent$}{note}", "")),
        }
    }
    lines.join("\n") + "\n"
}

/// The section in which each indented comment stands, for the sections that both notations have.
fn bodies(spec: &Spec, sources: &Sources) -> Vec<(String, String)> {
    let text = &*sources.file(spec.file).text;
    let mut found = Vec::new();
    let mut header = String::new();
    for line in text.lines() {
        let margin = !line.starts_with([' ', '#', '}', ')', '\t']) && !line.is_empty();
        if margin {
            line.split([' ', ':']).next().unwrap_or_default().clone_into(&mut header);
        }
        let own = line.trim_start();
        if line.starts_with(' ')
            && own.starts_with('#')
            && ["data", "net", "train"].contains(&header.as_str())
        {
            found.push((own.trim_end().to_owned(), header.clone()));
        }
    }
    found.sort();
    found
}

fn survive(spec: &Spec, sources: &Sources) -> Result<(), TestCaseError> {
    let wanted = comments(spec, sources);
    for to in BOTH {
        let text = printed(spec, sources, to);
        let (again, new, found) = parsed(&text, to);
        let original = &sources.file(spec.file).text;
        prop_assert!(!found.has_errors(), "{to:?}: {}\n{original}\n---\n{text}", concise(found, &new));
        prop_assert!(again == *spec, "{to:?}: the tree differs\n{original}\n---\n{text}");
        prop_assert_eq!(comments(&again, &new), wanted.as_slice(), "{:?}\n{}\n---\n{}", to, original, text);
        let once_more = printed(&again, &new, to);
        prop_assert!(once_more == text, "{to:?}: not stable\n{original}\n---\n{text}\n---\n{once_more}");
        let after = bodies(&again, &new);
        for (note, section) in bodies(spec, sources) {
            let same = after.iter().any(|(other, place)| *other == note && *place == section);
            // A comment that went behind code has no line of its own any more.
            let behind = again.comments.iter().any(|c| !c.own_line && new.text(c.span) == note);
            prop_assert!(same || behind, "{to:?}: {note} left {section}\n{original}\n---\n{text}");
        }
    }
    Ok(())
}

#[test]
fn comments_anywhere_survive() {
    let how = prop_oneof![Just(How::Own), Just(How::Apart), Just(How::Margin), Just(How::Behind)];
    let places = vec((any::<Index>(), how), 0..6);
    let strategy = (spec(), places, any::<bool>());
    let run = |(spec, places, yaml): (Spec, Vec<(Index, How)>, bool)| {
        let from = if yaml { Notation::Yaml } else { Notation::Dsl };
        let mut sources = Sources::default();
        sources.add("", "");
        let text = sprinkled(&printed(&spec, &sources, from), &places);
        let (noted, sources, found) = parsed(&text, from);
        prop_assert!(!found.has_errors() && noted == spec, "{}\n{text}", concise(found, &sources));
        survive(&noted, &sources)
    };
    runner(500).run(&strategy, run).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn comments_in_the_specs_of_the_repository_survive() {
    let texts: Vec<(String, Notation)> = readable()
        .into_iter()
        .map(|(_, spec, sources)| (sources.file(spec.file).text.to_string(), spec.notation))
        .collect();
    let how = prop_oneof![Just(How::Own), Just(How::Apart), Just(How::Margin), Just(How::Behind)];
    let strategy = (any::<Index>(), vec((any::<Index>(), how), 1..8));
    let run = |(which, places): (Index, Vec<(Index, How)>)| {
        let (text, from) = which.get(&texts);
        let text = sprinkled(text, &places);
        let (spec, sources, found) = parsed(&text, *from);
        prop_assert!(!found.has_errors(), "{}\n{text}", concise(found, &sources));
        survive(&spec, &sources)
    };
    runner(400).run(&strategy, run).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn comments_stand_where_they_belong() {
    let text = "# Of the file.

# Of the version.
spec 1
model m(
  # The width.
  w = 4,  # of every layer
  d = 2
)  # all of it

# Of the input.
input  x: f64[B, 4]  # numbers

net {  # the net
  # Of the layer.
  a: linear(w)  # of a

  # Of the loop.
  l: repeat d {  # opens
    # Inside.
    b: linear(w)
    # At the end of the loop.
  }
  # At the end of the net.
}

train {
  loss mse(l, x)  # of the loss
  # Of the rate.
  adam(lr=1e-3)  batch 4  # of the batch
  seed 7
  # At the end of the set-up.
}

# At the end of the file.
";
    let (spec, sources, _) = parsed(text, Notation::Dsl);
    assert_eq!(printed(&spec, &sources, Notation::Dsl), text);
    let yaml = "# Of the file.

# Of the version.
spec: 1
model: m  # all of it

params:
  # The width.
  w: 4  # of every layer
  d: 2

# Of the input.
inputs:
  x: \"f64[B, 4]\"  # numbers

net:  # the net
  # Of the layer.
  - {id: a, linear: {out: =w}}  # of a

  # Of the loop.
  - id: l
    repeat: =d
    body:  # opens
      # Inside.
      - {id: b, linear: {out: =w}}
      # At the end of the loop.
  # At the end of the net.

train:
  loss: {mse: [l, x]}  # of the loss
  # Of the rate.
  optimizer: {adam: {lr: 1.0e-3}}
  batch: 4  # of the batch
  seed: 7
  # At the end of the set-up.

# At the end of the file.
";
    assert_eq!(printed(&spec, &sources, Notation::Yaml), yaml);
    let (spec, sources, _) = parsed(yaml, Notation::Yaml);
    assert_eq!(printed(&spec, &sources, Notation::Yaml), yaml);
}

/// A spec with three findings, and a place for a suppression of each in every form.
fn suppressing(file: &str, before: &str, behind: &str, inside: &str) -> String {
    format!(
        "{file}spec 1
model m(w = 64)

input  x: f64[B, 64]
target y: class(10)

net {{
{before}  a: linear(w, init=normal(5))
     relu
  r: residual {{{inside}
    b: linear(w, init=zeros)
  }}
  o: linear(10, init=xavier_normal)
}}

train {{ loss cross_entropy(o, y) }}

expect {{
  params 3{behind}
}}
"
    )
}

#[test]
fn suppressions_keep_their_meaning() {
    let found = |text: &str, notation: Notation| {
        let mut compiled = compiled(text, notation);
        compiled.conclude(Stages::default());
        let mut found: Vec<String> =
            compiled.found.iter().map(|d| format!("{} {} {}", d.rule.code, d.expected, d.message)).collect();
        found.sort();
        found
    };
    let bare = found(&suppressing("", "", "", ""), Notation::Dsl);
    let code = |prefix: &str| {
        let line = bare.iter().find(|line| line.starts_with(prefix));
        line.map_or_else(|| panic!("no {prefix}: {bare:?}"), |line| line[..4].to_owned())
    };
    let fact = code("X");
    let other = bare.iter().map(|line| line[..4].to_owned()).find(|code| *code != fact);
    let mut cases = vec![
        suppressing(&format!("# wellposed: allow({fact}) reason: known\n"), "", "", ""),
        suppressing(&format!("# wellposed: expect({fact})\n"), "", "", ""),
        suppressing("", "", &format!("  # wellposed: allow({fact}) reason: known"), ""),
        // Covers nothing there, which is a finding.
        suppressing("", &format!("  # wellposed: allow({fact}) reason: known\n"), "", ""),
        suppressing("", "", "", &format!("  # wellposed: allow({fact}) reason: known")),
    ];
    if let Some(other) = other {
        cases.push(suppressing("", &format!("  # wellposed: allow({other}) reason: known\n"), "", ""));
        cases.push(suppressing("", "", "", &format!("  # wellposed: allow({other}) reason: known")));
    }
    for text in cases {
        let before = found(&text, Notation::Dsl);
        assert_ne!(before, bare, "the suppression does nothing\n{text}");
        let (spec, sources, _) = parsed(&text, Notation::Dsl);
        for to in BOTH {
            let there = printed(&spec, &sources, to);
            assert_eq!(found(&there, to), before, "{to:?}\n{text}\n---\n{there}");
            let (again, new, _) = parsed(&there, to);
            let back = printed(&again, &new, Notation::Dsl);
            assert_eq!(found(&back, Notation::Dsl), before, "{to:?} and back\n{there}\n---\n{back}");
        }
    }
}
