//! The cut-offs of rules that no formula fixes: nets on both sides of each, trained once.
//!
//! Nets of [`grid`] are trained by the protocol of [`super::training`], at the learning rate that suits them best on average over some
//! draws of the weights. Most have a twin: the same net, mended as the page of the rule advises and trained alike; a run
//! trained if it reached a share of the accuracy of its twin. Without a twin it trained if it reached the mark of the protocol.
//! `tests/mutants/cutoffs.csv` holds the accuracies; an ignored test adds those of nets that have none yet:
//!
//! ```text
//! cargo test --release --locked --test suite cutoffs::write -- --ignored --nocapture
//! ```
//!
//! The test that always runs compiles every net again, puts what the rule says beside what training said, and compares the
//! counts with the sentence on the page of the rule.

use super::training::{self, Judged};
use super::{each, optimiser};
use crate::support::Memory;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use wellposed::diag::Severity;
use wellposed::graph::{Graph, Verified};
use wellposed::lints;
use wellposed::pipeline::{Compiled, compile};

const LABELS: &str = "tests/mutants/cutoffs.csv";

/// A net near a cut-off.
struct Net {
    /// The rule.
    code: &'static str,
    /// What distinguishes the net; no comma.
    name: String,
    adam: bool,
    text: String,
    /// The twin.
    mended: Option<String>,
    /// How many draws of the weights are trained.
    draws: u64,
    judged: Judged,
}

/// The accuracy from which on a run trained. Layers of a few units limit what a net can express, so that for them the question is whether
/// it learns at all: half of what its twin reaches.
fn bar(code: &str, mended: Option<f64>) -> f64 {
    match mended {
        None => training::TRAINED,
        Some(twin) => {
            if code == "G008" {
                0.5 * twin
            } else {
                0.9 * twin
            }
        }
    }
}

/// A classifier of ten classes on inputs of unit scale.
fn spec(input: &str, body: &str, adam: bool) -> String {
    let optimiser = if adam { "adam(lr=3e-3)" } else { "sgd(lr=0.1, momentum=0.9)" };
    format!(
        "spec 1\nmodel m\ninput x: f64[B, {input}] |> standardize(mean=0, std=1, from=\"grid\")\ntarget y: class(10)\nnet {{\n{body}  \
         out: linear(10, init=lecun_normal)\n}}\ntrain {{\n  loss cross_entropy(out, y)\n  {optimiser}  batch 128\n}}\n"
    )
}

/// Layers in a row: `call` and what follows it, `depth` times.
fn stack(depth: usize, call: &str, rest: &[&str]) -> String {
    let rest: Vec<String> = rest.iter().map(|op| format!("        {op}\n")).collect();
    format!("  h: repeat {depth} {{\n    fc: {call}\n{}  }}\n", rest.concat())
}

/// Every net.
fn grid() -> Vec<Net> {
    let mut nets = Vec::new();
    for adam in [false, true] {
        let mut add =
            |code: &'static str, name: String, (body, mended): (String, Option<String>), draws: u64| {
                let judged = if code == "I008" { Judged::Use } else { Judged::Training };
                let input = if code == "I006" { "32, 1, 1" } else { "32" };
                let (text, mended) = (spec(input, &body, adam), mended.map(|body| spec(input, &body, adam)));
                nets.push(Net { code, name, adam, text, mended, draws, judged });
            };
        let layer = |width: usize, init: &str| format!("linear({width}, init={init})");
        for (act, width, depth) in [
            ("relu", 16, 4),
            ("relu", 16, 8),
            ("relu", 16, 14),
            ("relu", 16, 20),
            ("relu", 16, 32),
            ("relu", 12, 48),
            ("relu", 24, 16),
            ("relu", 24, 32),
            ("silu", 24, 8),
            ("silu", 24, 14),
            ("gelu", 24, 14),
        ] {
            let plain = stack(depth, &layer(width, "he_normal"), &[act]);
            add("G007", format!("{act} {depth} layers of {width}"), (plain, None), 6);
        }
        for (width, depth) in [
            (2, 2),
            (2, 4),
            (2, 8),
            (3, 2),
            (3, 4),
            (3, 6),
            (3, 10),
            (4, 6),
            (4, 12),
            (5, 8),
            (5, 16),
            (6, 12),
            (8, 16),
        ] {
            let [plain, leaky] =
                ["relu", "leaky_relu(0.2)"].map(|act| stack(depth, &layer(width, "he_normal"), &[act]));
            add("G008", format!("{depth} layers of {width}"), (plain, Some(leaky)), 8);
        }
        for depth in [1, 3] {
            for (act, init, biases) in [
                ("relu", "he_normal", &[-6, -5, -4, -3, -2, -1, 1, 2, 4, 8, 16][..]),
                ("tanh", "xavier_normal", &[1, 2, 3, 4, 6]),
                ("sigmoid", "xavier_normal", &[-8, -6, -4, 4, 6, 8]),
            ] {
                let zero = stack(depth, &layer(32, init), &[act]);
                for bias in biases {
                    let call = format!("linear(32, init={init}, bias_init=constant({bias}))");
                    let name = format!("{act} {depth} layers biases of {bias}");
                    add("I005", name, (stack(depth, &call, &[act]), Some(zero.clone())), 1);
                }
            }
        }
        for (groups, depth) in [
            (2, 2),
            (4, 2),
            (8, 2),
            (4, 3),
            (4, 4),
            (16, 2),
            (8, 3),
            (16, 3),
            (4, 8),
            (16, 4),
            (8, 6),
            (16, 6),
        ] {
            let [wrong, right] = ["he_normal(fan_out)", "he_normal"].map(|init| {
                let dense = "    w:  conv2d(32, kernel=1, init=he_normal)\n        relu\n";
                let body =
                    stack(depth, &format!("conv2d(32, kernel=1, groups={groups}, init={init})"), &["relu"]);
                body.replace("  }\n", &format!("{dense}  }}\n")) + "         flatten\n"
            });
            add("I006", format!("{depth} layers of {groups} groups"), (wrong, Some(right)), 1);
        }
        for (slope, depth) in [
            (0.3, 4),
            (0.3, 12),
            (0.3, 24),
            (0.5, 4),
            (0.5, 8),
            (0.5, 16),
            (0.5, 32),
            (0.7, 4),
            (0.7, 8),
            (0.7, 16),
            (0.7, 32),
        ] {
            let wrong = stack(depth, &layer(24, &format!("he_normal(a={slope})")), &["relu"]);
            let right = stack(depth, &layer(24, "he_normal"), &["relu"]);
            add("I007", format!("a={slope} before relu {depth} layers"), (wrong, Some(right)), 1);
        }
        for depth in [2, 4, 8, 16] {
            for p in ["0.05", "0.1", "0.2", "0.3", "0.5"] {
                let wrong = stack(depth, &layer(32, "lecun_normal"), &["selu", &format!("dropout({p})")]);
                let right =
                    stack(depth, &layer(32, "lecun_normal"), &["selu"]) + &format!("         dropout({p})\n");
                add("I008", format!("{depth} layers p={p}"), (wrong, Some(right)), 1);
            }
        }
        for (depth, p) in [(8, "0.05"), (8, "0.1"), (8, "0.3"), (16, "0.05"), (16, "0.1")] {
            let gentle = stack(depth, &layer(32, "lecun_normal"), &["selu", &format!("alpha_dropout({p})")]);
            let plain = stack(depth, &layer(32, "lecun_normal"), &["selu"]);
            add("I008", format!("{depth} layers alpha p={p}"), (gentle, Some(plain)), 1);
        }
        for depth in [1, 3, 6] {
            for ratio in [0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 4.0] {
                let std = 0.25;
                let first = "  a: linear(32, init=he_normal)\n     relu\n";
                let wrong = stack(depth, &layer(32, &format!("normal({}, {std})", ratio * std)), &["relu"]);
                let right = stack(depth, &layer(32, &format!("normal({std})")), &["relu"]);
                let name = format!("{depth} layers mean of {ratio} std");
                let [wrong, right] = [wrong, right].map(|body| first.to_owned() + &body);
                add("I009", name, (wrong, Some(right)), 1);
            }
        }
    }
    nets
}

fn compiled(text: &str) -> Compiled {
    let path = Path::new("specs/lint/cutoff.nn");
    let compiled = compile(path, &Memory::of("specs/lint/cutoff.nn", text)).expect("the spec is there");
    assert!(super::sound(&compiled), "{text}\n{:?}", compiled.found);
    compiled
}

/// The accuracies of some draws at the rate that suits them best on average. A rate at which all of them reach the mark ends the search.
fn accuracies(graph: &Verified<Graph>, draws: u64, judged: Judged) -> (f64, Vec<f64>) {
    let mut best = (0.0, Vec::new());
    for &rate in training::rates(graph) {
        let optimizer = training::with_rate(graph, rate);
        let reached: Vec<f64> =
            (0..draws).map(|seed| training::run(graph, &optimizer, seed, judged)).collect();
        let done = reached.iter().all(|accuracy| *accuracy >= training::TRAINED);
        if best.1.is_empty() || reached.iter().sum::<f64>() > best.1.iter().sum() {
            best = (rate, reached);
        }
        if done {
            break;
        }
    }
    best
}

#[test]
#[ignore = "trains nets on both sides of cut-offs: minutes"]
fn write() {
    let known: Vec<_> = labels().into_iter().map(|(key, _)| key).collect();
    let open: Vec<Net> = grid().into_iter().filter(|net| !known.contains(&net.key())).collect();
    // Many nets share a twin.
    let mut all: BTreeMap<&str, &Net> = BTreeMap::new();
    for net in &open {
        for text in std::iter::once(&net.text).chain(&net.mended) {
            all.entry(text).or_insert(net);
        }
    }
    let all: Vec<(&str, &Net)> = all.into_iter().collect();
    let reached = each(&all, |(text, net)| {
        let found = accuracies(&compiled(text).graph, net.draws, net.judged);
        println!("{} {} {found:.3?}", net.code, net.name);
        found
    });
    let of: BTreeMap<&str, &(f64, Vec<f64>)> = all.iter().map(|(text, _)| *text).zip(&reached).collect();
    let mut out = fs::read_to_string(LABELS).expect("a file with a head");
    for net in &open {
        let (code, name, optimiser) = net.key();
        let (rate, own) = of[net.text.as_str()];
        for (draw, own) in own.iter().enumerate() {
            let twin = net.mended.as_ref().map(|text| of[text.as_str()].1[draw]);
            let twin = twin.map_or(String::new(), |twin| format!("{twin:.3}"));
            writeln!(out, "{code},{name},{optimiser},{rate},{draw},{own:.3},{twin}").expect("memory");
        }
    }
    fs::write(LABELS, out).expect("writable");
}

/// What names a net: its rule, its name and its optimiser.
type Key = (String, String, String);

impl Net {
    fn key(&self) -> Key {
        (self.code.to_owned(), self.name.clone(), optimiser(self.adam).to_owned())
    }
}

/// Every run: its net, and whether it trained.
fn labels() -> Vec<(Key, bool)> {
    let text = fs::read_to_string(LABELS).expect("the labels are there");
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let accuracy: f64 = cells[5].parse().expect("a number");
            let trained = accuracy >= bar(cells[0], cells[6].parse().ok());
            ((cells[0].to_owned(), cells[1].to_owned(), cells[2].to_owned()), trained)
        })
        .collect()
}

/// Runs and how many of them trained.
#[derive(Clone, Copy, Default)]
struct Runs {
    all: usize,
    trained: usize,
}

/// What training said of the nets of a rule, by what the rule says of them: nothing, information, a warning or more.
type Counts = BTreeMap<&'static str, [Runs; 3]>;

fn counts() -> Counts {
    let labels = labels();
    let nets = grid();
    let said = each(&nets, |net| {
        let found = compiled(&net.text).found;
        found.iter().filter(|d| d.rule.code == net.code).map(|d| d.severity).max()
    });
    let mut counts = Counts::new();
    for (net, said) in nets.iter().zip(said) {
        let side = match said {
            None => 0,
            Some(Severity::Info) => 1,
            Some(_) => 2,
        };
        let key = net.key();
        let of_net = labels.iter().filter(|(label, _)| *label == key).map(|(_, trained)| *trained);
        let runs = &mut counts.entry(net.code).or_default()[side];
        let before = runs.all;
        for trained in of_net {
            runs.all += 1;
            runs.trained += usize::from(trained);
        }
        assert_eq!((runs.all - before) as u64, net.draws, "{} {}: train it", net.code, net.name);
    }
    counts
}

/// The sentence on the page of a rule.
fn sentence(sides: [Runs; 3]) -> String {
    let words = ["without a finding", "with information", "with a warning"];
    let parts: Vec<String> = sides
        .iter()
        .zip(words)
        .filter(|(runs, _)| runs.all > 0)
        .map(|(runs, what)| format!("{} of {} runs {what}", runs.trained, runs.all))
        .collect();
    let (last, first) = parts.split_last().expect("some runs");
    format!("{} and {last} trained", first.join(", "))
}

/// The cut-offs are where training ends, and the pages say how well.
#[test]
fn cutoffs_divide_what_trains_from_what_does_not() {
    let mut wrong = Vec::new();
    for (code, counts) in counts() {
        let page = lints::ALL.iter().find(|lint| lint.rule.code == code).expect("a lint").rule.page();
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        let sentence = sentence(counts);
        if !page.contains(&sentence) {
            wrong.push(format!("{code}: {sentence}"));
        }
    }
    assert!(wrong.is_empty(), "the pages should say:\n{}", wrong.join("\n"));
}
