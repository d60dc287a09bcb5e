//! Specs of one model that are checked together: training, and what serves the same weights.

use crate::support::Memory;
use std::path::Path;
use wellposed::diag::render::{Look, full};
use wellposed::pipeline::{self, Options, Stages};

const TRAIN: &str = "spec 1\nmodel m\ndata {\n  train csv(\"d.csv\")\n  x numeric(a, b) |> standardize(fit=train)\n  \
                     y target(y) |> standardize(fit=train)\n}\nnet { out: linear(1, init=lecun_normal) <- x }\n\
                     train { loss mse(out, y)  predict unscale(out, y) }\n";
const SERVE: &str = "spec 1\nmodel m\ninput x: f64[B, 2] |> standardize(stats=\"train.nn.stats.json\")\n\
                     target y: f64[B, 1] |> standardize(stats=\"train.nn.stats.json\")\n\
                     net { out: linear(1, init=lecun_normal) <- x }\ntrain { predict unscale(out, y) }\n";
const DATA: &str = "a,b,y\n1,10,5\n2,20,8\n3,60,2\n";

/// The files of a project with stored statistics.
fn project(train: &str, serve: &str) -> Memory {
    let files = Memory::of("train.nn", train).and("serve.nn", serve).and("d.csv", DATA);
    let compiled = pipeline::compile(Path::new("train.nn"), &files).expect("a spec");
    let (statistics, faults) = wellposed::data::fit(compiled.graph.data.as_ref().expect("data"), &files);
    assert!(faults.is_empty());
    files.and("train.nn.stats.json", statistics.to_text())
}

/// What is found in both specs, without the remark about statistics that are not stored.
fn together(train: &str, serve: &str) -> (Vec<String>, String) {
    let files = project(train, serve);
    let examine =
        |path: &str| pipeline::examine(Path::new(path), Stages::default(), &Options::default(), &files);
    let (mut one, mut other) = (examine("train.nn"), examine("serve.nn"));
    pipeline::compare(&mut [&mut one, &mut other], &files);
    let mut lines = Vec::new();
    let mut shown = String::new();
    for report in [one.conclude(), other.conclude()] {
        shown += &full(&report.found, &report.sources, Look::PLAIN);
        lines.extend(report.found.iter().map(|d| format!("{} {} {}", d.rule.code, d.severity, d.message)));
    }
    (lines, shown)
}

fn served(from: &str, to: &str) -> Vec<String> {
    assert!(SERVE.contains(from), "{from}");
    together(TRAIN, &SERVE.replacen(from, to, 1)).0
}

#[test]
fn a_serving_spec_shares_the_statistics_of_training() {
    assert_eq!(together(TRAIN, SERVE).0, [""; 0]);
    let files = project(TRAIN, SERVE);
    let text =
        wellposed::graph::print(&pipeline::compile(Path::new("serve.nn"), &files).expect("a spec").graph);
    // a has mean 2 and variance 2/3, b mean 30 and variance 1400/3.
    let constants = "standardize(mean=[2, 30], std=[0.8165, 21.6], from=\"train.nn.stats.json\")";
    assert!(text.contains(constants), "{text}");
    assert!(text.contains("predict unscale(out, y)"), "{text}");
}

#[test]
fn constants_that_are_written_out_must_be_those_of_training() {
    let x = "x: f64[B, 2] |> standardize(stats=\"train.nn.stats.json\")";
    let exact = "x: f64[B, 2] |> standardize(mean=[2, 30], std=[0.816496580927726, 21.602468994692867])";
    assert_eq!(served(x, exact), [""; 0]);
    let rounded = "x: f64[B, 2] |> standardize(mean=[2, 30], std=[0.82, 21.6])";
    assert_eq!(served(x, rounded), ["D006 error `standardize` of `x` has other constants than in train.nn"]);
    assert_eq!(
        served(x, "x: f64[B, 2]"),
        ["D006 error `x` is prepared otherwise than in train.nn: the net sees other numbers"]
    );
}

#[test]
fn both_places_are_underlined() {
    let (_, shown) = together(
        TRAIN,
        &SERVE.replace("x: f64[B, 2] |> standardize(stats=\"train.nn.stats.json\")", "x: f64[B, 2]"),
    );
    for part in ["serve.nn:3:7", "as it comes", "train.nn:5:22", "standardize(fit=train)"] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

#[test]
fn statistics_that_are_not_there_are_reported_where_they_are_named() {
    let x = "stats=\"train.nn.stats.json\"";
    assert!(
        served(x, "stats=\"other.stats.json\"")[0]
            .starts_with("D101 error `other.stats.json` cannot be read as fitted")
    );
    assert_eq!(
        served("input x: f64[B, 2]", "input z: f64[B, 2]")[0],
        "N001 error `train.nn.stats.json` has no statistics of `standardize` for `z`"
    );
    assert!(
        served(x, "stats=\"train.nn.stats.json\", mean=0")[0]
            .starts_with("S006 error `stats=` names the file")
    );
    assert!(
        served("f64[B, 2] |>", "f64[B, 3] |>")
            .iter()
            .any(|line| line == "H001 error 2 constants for 3 channels")
    );
}

#[test]
fn predictions_come_back_to_the_units_of_the_target() {
    let as_it_is = "D006 error `out` is not brought back to the units of `y` in train.nn";
    assert_eq!(served("train { predict unscale(out, y) }", "train { predict out }"), [as_it_is]);
    assert_eq!(served("train { predict unscale(out, y) }\n", ""), [as_it_is]);
    let silent = TRAIN.replace("  predict unscale(out, y)", "");
    assert_eq!(together(&silent, &SERVE.replace("train { predict unscale(out, y) }\n", "")).0, [""; 0]);
    let other = TRAIN.replace("|> standardize(fit=train)\n}", "|> minmax(fit=train)\n}");
    assert!(
        together(&other, SERVE).0[0]
            .starts_with("N001 error `train.nn.stats.json` has no statistics of `standardize` for `y`")
    );
}
