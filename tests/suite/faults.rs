//! Every way in which normalisation breaks (research: static.md, section 5) that the language can express, with the rule that reports it.
//!
//! What the language cannot say needs no rule. P03, mean and deviation of two splits, has no form: one `fit=` names the rows of a whole step; it can
//! stand in a statistics file alone. P22, a scaler fitted outside of the folds, needs folds, and a file has three splits: a column of
//! folds is refused. Of P12, axes are those of the shape: a number for each channel, each element or all, which no argument can contradict. Of P19,
//! noise is the only augmentation, and it keeps the scale.

use crate::support::Memory;
use std::collections::BTreeSet;
use std::path::Path;
use wellposed::data::{self, Fitted, Plan};
use wellposed::diag::Severity;
use wellposed::pipeline::{self, Compiled, Options, Stages, compile};

/// How a fault is written.
enum How {
    /// In a spec of the repository.
    Spec(&'static str),
    /// In the columns of a classifier of wines.
    Columns(&'static str),
    /// In the columns of a classifier of visits, behind a split rule.
    Visits(&'static str, &'static str),
    /// In the input and the answer of a spec that serves a regression, which trains on `x` and `y` with these chains.
    Serving(&'static str, &'static str, &'static str),
    /// In the file of stored statistics: the means are those of another split.
    Stored,
    /// In statistics that another spec has fitted on this split.
    Shared(&'static str),
}
use How::{Columns, Serving, Shared, Spec, Stored, Visits};

const X: &str = "standardize(fit=train)";

const TABLE: &[(&str, &str, How)] = &[
    ("P01", "D001", Spec("specs/faulty/test_normalised_by_itself.nn")),
    (
        "P01",
        "D001",
        Columns(
            "x numeric(ash, hue) |> standardize(fit=train)\n  y class(target, 3)\n  on val { x |> standardize(fit=val) }",
        ),
    ),
    ("P01", "D001", Columns("x numeric(ash, hue) |> minmax(fit=test)\n  y class(target, 3)")),
    ("P02", "D001", Spec("specs/faulty/standardised_before_split.nn")),
    ("P02", "D001", Shared("all")),
    ("P03", "D110", Stored),
    (
        "P04",
        "D002",
        Columns(
            "x numeric(ash, hue) |> standardize(fit=train)\n  y class(target, 3)\n  on test { x |> clip(0, 99) }",
        ),
    ),
    (
        "P04",
        "D002",
        Columns(
            "x numeric(ash, hue) |> standardize(fit=train)\n  y class(target, 3)\n  on train { x |> clip(0, 99) }",
        ),
    ),
    ("P05", "D002", Spec("specs/lint/uneven_splits/bad.nn")),
    (
        "P10",
        "D002",
        Columns(
            "x numeric(ash, hue) |> clip(0, 9) |> standardize(fit=train)\n  y class(target, 3)\n  on test { x |> standardize(fit=train) |> clip(0, 9) }",
        ),
    ),
    (
        "P10",
        "D006",
        Serving(
            "clip(0, 9) |> standardize(fit=train)",
            "standardize(mean=2, std=1) |> clip(0, 9)",
            "unscale(out, y)",
        ),
    ),
    ("P10", "D020", Spec("specs/lint/equalised_selection/bad.nn")),
    (
        "P11",
        "D002",
        Columns(
            "x numeric(ash, hue) |> clip(0, 9) |> standardize(fit=train)\n  y class(target, 3)\n  on test { x |> clip(0, 8) |> standardize(fit=train) }",
        ),
    ),
    ("P11", "D006", Serving("clip(0, 9) |> scale(1/9)", "clip(0, 8) |> scale(1/9)", "unscale(out, y)")),
    ("P12", "H001", Spec("specs/reject/constants-for-channels.nn")),
    ("P12", "D006", Serving(X, "standardize(mean=2, std=0.8)", "unscale(out, y)")),
    ("P14", "D009", Spec("specs/lint/scaled_prediction/bad.nn")),
    ("P14", "D006", Serving(X, "standardize(stats=\"train.nn.stats.json\")", "out")),
    ("P15", "D009", Spec("specs/faulty/unscaled_with_another_target.nn.yaml")),
    ("P15", "D009", Spec("specs/faulty/clipped_target_unscaled.nn")),
    (
        "P16",
        "S004",
        Columns(
            "x numeric(ash, hue) |> standardize(fit=train)\n  y class(target, 3) |> standardize(fit=train)",
        ),
    ),
    ("P16", "S004", Spec("specs/reject/scaled-labels.nn")),
    (
        "P16",
        "S004",
        Columns("x numeric(ash, hue) |> standardize(fit=train)\n  y target(target) |> scale(1/255)"),
    ),
    ("P19", "D005", Spec("specs/faulty/noise_on_test.nn")),
    (
        "P20",
        "D001",
        Columns(
            "x numeric(ash, hue) |> impute(median, fit=all) |> standardize(fit=train)\n  y class(target, 3)",
        ),
    ),
    ("P20", "D001", Columns("x category(magnesium) |> one_hot(fit=all)\n  y class(target, 3)")),
    (
        "P20",
        "D001",
        Columns("x numeric(ash, hue) |> select(top=1, by=variance, fit=test)\n  y class(target, 3)"),
    ),
    ("P20", "D001", Spec("specs/faulty/selected_before_split.nn")),
    ("P21", "D012", Spec("specs/lint/oversampled_evaluation/bad.nn")),
    ("P22", "D108", Visits("column(relapse)", "standardize(fit=train)")),
    ("P23", "D008", Spec("specs/lint/shuffled_time/bad.nn")),
    ("P23", "D001", Visits("time(day) train 70 val 15 test 15", "standardize(fit=all)")),
    (
        "P23",
        "D001",
        Visits("time(day) train 70 val 15 test 15", "select(top=2, by=correlation(y), fit=test)"),
    ),
    ("P23", "D021", Spec("specs/faulty/pulse_of_the_next_visit.nn")),
    ("P24", "D007", Spec("specs/lint/divided_group/bad.nn")),
];

/// Errors and warnings of a spec and its rows, announced ones included.
fn loud(path: &str, files: &Memory) -> BTreeSet<&'static str> {
    let stages = Stages { data: true, statistics: true, ..Stages::default() };
    let report = pipeline::run(Path::new(path), stages, &Options::default(), files);
    report.found.iter().filter(|d| d.severity > Severity::Info).map(|d| d.rule.code).collect()
}

fn classifier(rows: &str, columns: &str) -> String {
    format!(
        "spec 1\nmodel m\ndata {{\n{rows}\n  {columns}\n}}\nnet {{ out: linear(3, init=lecun_normal) <- x }}\n\
         train {{ loss cross_entropy(out, y) }}\n"
    )
}

fn files_of(set: &str) -> String {
    let of = |split: &str| format!("  {split} csv(\"specs/data/{set}/{split}.csv\")");
    ["train", "val", "test"].map(of).join("\n")
}

fn plan(path: &str, files: &Memory) -> Plan {
    let Compiled { graph, .. } = compile(Path::new(path), files).expect("a spec");
    graph.data.clone().expect("a data section")
}

fn found(how: &How) -> BTreeSet<&'static str> {
    match how {
        Spec(path) => loud(path, &Memory::default()),
        Columns(columns) => loud("m.nn", &Memory::of("m.nn", classifier(&files_of("wine"), columns))),
        Visits(rule, chain) => {
            let rows = format!("  all csv(\"specs/data/visits/all.csv\")\n  split by {rule}");
            let columns = format!("x numeric(age, pulse, glucose) |> {chain}\n  y class(relapse, 3)");
            loud("m.nn", &Memory::of("m.nn", classifier(&rows, &columns)))
        }
        Serving(trained, served, answer) => {
            let head = "spec 1\nmodel m\n";
            let net = "net { out: linear(1, init=lecun_normal) <- x }\n";
            let train = format!(
                "{head}data {{\n  train csv(\"d.csv\")\n  x numeric(a, b) |> {trained}\n  y target(y) |> {X}\n}}\n{net}\
                 train {{ loss mse(out, y)  predict unscale(out, y) }}\n"
            );
            let serve = format!(
                "{head}input x: f64[B, 2] |> {served}\n\
                 target y: f64[B, 1] |> standardize(stats=\"train.nn.stats.json\")\n{net}train {{ predict {answer} }}\n"
            );
            let files = Memory::of("train.nn", train)
                .and("serve.nn", serve)
                .and("d.csv", "a,b,y\n1,3,5\n2,1,8\n3,2,2\n");
            let (statistics, faults) = data::fit(&plan("train.nn", &files), &files);
            assert!(faults.is_empty(), "{faults:?}");
            let files = files.and("train.nn.stats.json", statistics.to_text());
            let examine = |path: &str| {
                pipeline::examine(Path::new(path), Stages::default(), &Options::default(), &files)
            };
            let (mut one, mut other) = (examine("train.nn"), examine("serve.nn"));
            pipeline::compare(&mut [&mut one, &mut other], &files);
            other.conclude().found.iter().map(|d| d.rule.code).collect()
        }
        Stored => {
            let of = |fit: &str| {
                let columns = format!("x numeric(ash, hue) |> standardize(fit={fit})\n  y class(target, 3)");
                Memory::of("m.nn", classifier(&files_of("wine"), &columns))
            };
            let fitted = |fit: &str| data::fit(&plan("m.nn", &of(fit)), &of(fit)).0;
            let (mut stored, other) = (fitted("train"), fitted("test"));
            let (Some(Fitted::Standardize { mean, .. }), Fitted::Standardize { mean: foreign, .. }) = (
                stored.groups.get_mut("x").and_then(|group| group.steps.first_mut()),
                &other.groups["x"].steps[0],
            ) else {
                panic!("no means")
            };
            mean.clone_from(foreign);
            loud("m.nn", &of("train").and("m.nn.stats.json", stored.to_text()))
        }
        Shared(fit) => {
            let of = |chain: &str| {
                classifier(
                    &files_of("wine"),
                    &format!("x numeric(ash, hue) |> {chain}\n  y class(target, 3)"),
                )
            };
            let files = Memory::of("other.nn", of(&format!("standardize(fit={fit})")));
            let (statistics, _) = data::fit(&plan("other.nn", &files), &files);
            let files = files.and("other.nn.stats.json", statistics.to_text());
            loud("m.nn", &files.and("m.nn", of("standardize(stats=\"other.nn.stats.json\")")))
        }
    }
}

#[test]
fn every_fault_that_can_be_written_is_reported() {
    for (id, code, how) in TABLE {
        let found = found(how);
        assert!(found.contains(code), "{id}: {found:?}, not {code}");
    }
    let ids: BTreeSet<&str> = TABLE.iter().map(|(id, ..)| *id).collect();
    let wanted =
        [1, 2, 3, 4, 5, 10, 11, 12, 14, 15, 16, 19, 20, 21, 22, 23, 24].map(|n: u8| format!("P{n:02}"));
    assert!(ids.iter().copied().eq(wanted.iter().map(String::as_str)), "{ids:?}");
}

/// The same specs without their fault say nothing.
#[test]
fn the_same_specs_without_the_fault_are_silent() {
    for how in [
        Columns("x numeric(ash, hue) |> clip(0, 9) |> standardize(fit=train)\n  y class(target, 3)"),
        Columns(
            "x numeric(ash, hue) |> impute(median, fit=train) |> standardize(fit=train)\n  y class(target, 3)",
        ),
        Visits("time(day) train 70 val 15 test 15", "standardize(fit=train)"),
        Visits(
            "time(day) train 70 val 15 test 15",
            "select(top=2, by=correlation(y), fit=train) |> standardize(fit=train)",
        ),
        Serving(X, "standardize(stats=\"train.nn.stats.json\")", "unscale(out, y)"),
        Serving("clip(0, 9) |> scale(1/9)", "clip(0, 9) |> scale(1/9)", "unscale(out, y)"),
        Shared("train"),
    ] {
        let mut found = found(&how);
        // The classifiers tell three classes apart, of which visits have two.
        found.retain(|code| code.starts_with('D') && !code.starts_with("D2"));
        assert!(found.is_empty(), "{found:?}");
    }
}
