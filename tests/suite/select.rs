//! Choosing columns: the scores of scikit-learn, what is kept, what is stored, what is refused, and why a choice must not see the rows that judge it.

use crate::data::{faults, load, plan, spec, try_plan};
use crate::support::{Memory, compiled, concise};
use std::collections::BTreeMap;
use std::path::Path;
use wellposed::data::{self, Fitted, Pipeline, Plan, Split, Statistics};
use wellposed::diag::suppress::Notation;
use wellposed::diag::{Diagnostics, Severity};
use wellposed::inits::standard_normal;
use wellposed::pipeline::{Compiled, compile};
use wellposed::tensor::{Draws, stream};

/// The columns that a plan keeps of its first group, and their scores.
fn choice(plan: &Plan, loader: &Memory) -> (Vec<String>, Vec<f64>) {
    let (fitted, found) = data::fit(plan, loader);
    assert!(found.is_empty(), "{found:?}");
    match fitted.groups[&plan.groups[0].name.value].steps.as_slice() {
        [Fitted::Select { columns, scores }, ..] => (columns.clone(), scores.clone()),
        other => panic!("{other:?}"),
    }
}

/// `f_classif`, `f_regression`, `SelectKBest` and numpy's variance on the training rows of the four data sets.
#[test]
fn scores_and_choices_are_those_of_scikit_learn() {
    let text = std::fs::read_to_string("tests/sklearn/select.json").expect("scores");
    let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let strings = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|x| x.as_str().expect("text").to_owned()).collect()
    };
    let mut compared = 0;
    for (set, theirs) in reference["sets"].as_object().expect("sets") {
        let columns = strings(&theirs["columns"]);
        let n = theirs["rows"].as_f64().expect("rows");
        let target = match theirs["classes"].as_u64() {
            Some(k) => format!("class(target, {k})"),
            None => "target(target)".to_owned(),
        };
        let select = |top: usize, by: &str| {
            let section = format!(
                "  train csv(\"specs/data/{set}/train.csv\")\n  x numeric({}) |> select(top={top}, by={by}, fit=train)\n  y {target}",
                columns.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            );
            let loader = Memory::default();
            choice(&plan(&section, &loader), &loader)
        };
        let k = usize::try_from(theirs["k"].as_u64().expect("k")).expect("small");
        assert_eq!(select(k, "correlation(y)").0, strings(&theirs["kept"]), "{set}");
        let (all, scores) = select(columns.len(), "correlation(y)");
        assert_eq!(all, columns);
        for ((name, score), f) in columns.iter().zip(scores).zip(theirs["f"].as_array().expect("F")) {
            // F = (n - 2) r^2 / (1 - r^2), and (n - k) / (k - 1) eta^2 / (1 - eta^2); a constant column has no F, and scores 0.
            let (inner, outer) = match theirs["classes"].as_f64() {
                Some(k) => (k - 1.0, n - k),
                None => (1.0, n - 2.0),
            };
            let share = f.as_f64().map_or(0.0, |f| f * inner / (f * inner + outer));
            // Sums of n products have an error of n eps on their side, which divides by 1 - r^2 twice.
            assert!((score * score - share).abs() <= 1e-11 * share.max(1e-3), "{set} {name}: {score}, F {f}");
            compared += 1;
        }
        let (_, variances) = select(columns.len(), "variance");
        for ((name, ours), theirs) in
            columns.iter().zip(variances).zip(theirs["variance"].as_array().expect("list"))
        {
            let theirs = theirs.as_f64().expect("a number");
            assert!(
                (ours - theirs).abs() <= 1e-12 * theirs.max(f64::MIN_POSITIVE),
                "{set} {name}: {ours}, {theirs}"
            );
        }
    }
    assert_eq!(compared, 4 + 13 + 64 + 10);
}

const ROWS: &str = "a,b,c,d,e,t,k\n1,5,2,9,1,1,0\n2,5,1,9,2,2,0\n3,5,2,9,3,3,1\n4,5,1,9,4,,1\n";

fn section(chain: &str) -> String {
    format!(
        "  train csv(\"t.csv\")\n  x numeric(a, b, c, d, e) |> {chain}\n  y target(t) |> impute(mean, fit=train)\n  k class(k, 2)"
    )
}

#[test]
fn kept_columns_stay_in_order_and_the_earlier_of_equals_wins() {
    let loader = Memory::of("t.csv", ROWS);
    let kept = |chain: &str| choice(&plan(&section(chain), &loader), &loader);
    // `a` and `e` are equal, of variance 5/4; that of `c` is 1/4; `b` and `d` are constant.
    assert_eq!(kept("select(top=1, by=variance, fit=train)").0, ["a"]);
    assert_eq!(
        kept("select(top=2, by=variance, fit=train)"),
        (vec!["a".into(), "e".into()], vec![1.25, 1.25])
    );
    assert_eq!(kept("select(top=3, by=variance, fit=train)").0, ["a", "c", "e"]);
    assert_eq!(kept("select(top=4, by=variance, fit=train)").0, ["a", "b", "c", "e"]);
    // Classes of `a`: means 1.5 and 3.5 about 2.5, so that 4 of 5 squares lie between; those of `c` are equal: nothing does.
    let (columns, scores) = kept("select(top=2, by=correlation(k), fit=train)");
    assert_eq!(columns, ["a", "e"]);
    assert!((scores[0] - 0.8f64.sqrt()).abs() < 1e-15, "{scores:?}");
    // The fourth target is missing: over the first three rows `a` is the target, and `c` has no part of it.
    let (columns, scores) = kept("select(top=5, by=correlation(y), fit=train)");
    assert_eq!((columns.len(), &scores[1..4]), (5, &[0.0; 3][..]));
    // A quotient by two roots: three roundings of 2^-53.
    assert!(scores[0] == scores[4] && (scores[0] - 1.0).abs() < 4e-16, "{scores:?}");
    let rows = load(&section("select(top=3, by=variance, fit=train) |> scale(2)"), Split::Train, &loader);
    assert_eq!(rows["x"][..6], [2.0, 4.0, 2.0, 4.0, 2.0, 4.0]);
    // What is chosen later is chosen among what is left, and each step has the columns of its place.
    let twice = section(
        "select(top=3, by=variance, fit=train) |> minmax(fit=train) |> select(top=1, by=correlation(k), fit=train)",
    );
    let (fitted, _) = data::fit(&plan(&twice, &loader), &loader);
    let [_, Fitted::Minmax { min, max }, Fitted::Select { columns, .. }] =
        fitted.groups["x"].steps.as_slice()
    else {
        panic!("{fitted:?}")
    };
    assert_eq!(
        (min.as_slice(), max.as_slice(), columns.as_slice()),
        (&[1.0; 3][..], &[4.0, 2.0, 4.0][..], &["a".to_owned()][..])
    );
    let group = &fitted.groups["x"];
    assert_eq!((group.columns_of(0), group.columns_of(1)), (group.columns_of(1), group.before(2)));
    assert_eq!((group.before(0).len(), group.before(1).len(), group.columns_of(2).len()), (5, 3, 1));
}

#[test]
fn given_places_choose_and_a_shape_holds_behind_the_choice() {
    let loader = Memory::of("t.csv", ROWS);
    let rows = load(&section("select(columns=[0, 3], of=5)"), Split::Train, &loader);
    assert_eq!(rows["x"][..4], [1.0, 9.0, 2.0, 9.0]);
    let text = "  train csv(\"specs/data/digits/train.csv\")\n  x numeric(\"pixel_*\") as [1, 4, 8] |> select(top=32, by=variance, fit=train)";
    let loader = Memory::default();
    let plan = plan(text, &loader);
    assert_eq!(plan.groups[0].shape().map(|shape| shape.sample().to_vec()), Some(vec![1, 4, 8]));
    let (_, found) = try_plan(&text.replace("top=32", "top=31"), &loader);
    assert_eq!(
        found,
        ["test.nn:5:27-36 H001 a row of 31 columns cannot take the shape [1, 4, 8], which has 32 elements"]
    );
}

#[test]
fn what_cannot_be_chosen_is_refused_with_its_place() {
    let loader = Memory::of("t.csv", ROWS);
    for (chain, wanted) in [
        ("select(top=6, by=variance, fit=train)", "S007 `select` keeps 6 of 5 columns"),
        ("select(top=0, by=variance, fit=train)", "S007 `top` of `select` is 0"),
        ("select(top=2, by=variance)", "S005 `select` needs `top=`, `by=` and `fit=`, or `columns=`"),
        ("select(top=2, by=range, fit=train)", "S004 `by` of `select` is `range`"),
        ("select(top=2, by=correlation, fit=train)", "S004 `by` of `select` is `correlation`"),
        (
            "select(top=2, by=correlation(z), fit=train)",
            "N001 `select(top=2, by=correlation(z), fit=train)` looks at `z`, and no column group is called so",
        ),
        (
            "select(top=2, by=correlation(x), fit=train)",
            "S004 `select(top=2, by=correlation(x), fit=train)` needs a target of one column, and `x` is none",
        ),
        (
            "select(top=2, by=variance, fit=train, columns=[0])",
            "S005 `select` needs `top=`, `by=` and `fit=`, or `columns=`",
        ),
        ("select(columns=[0, 5])", "S007 `select` keeps column 5 of 5 columns"),
        ("select(columns=[1, 0])", "S004 `columns` of `select` is `[1, 0]`"),
        ("select(columns=[])", "S004 `columns` of `select` is `[]`"),
        ("select(columns=[0], of=4)", "H001 `select` chooses from 4 columns, and there are 5"),
        (
            "select(top=2, by=variance, fit=train) |> standardize(mean=[0, 0, 0], std=1)",
            "H001 3 constants for 2 channels",
        ),
    ] {
        let (_, found) = try_plan(&section(chain), &loader);
        assert!(found.len() == 1 && found[0].ends_with(wanted), "{chain}: {found:?}, not {wanted}");
    }
    let category =
        "  train csv(\"t.csv\")\n  x category(k) |> one_hot |> select(top=1, by=variance, fit=train)";
    assert_eq!(
        try_plan(category, &loader).1,
        ["test.nn:5:31-68 S004 `x` is a category: `select` needs numbers"]
    );
    let target =
        "  train csv(\"t.csv\")\n  x numeric(a)\n  y target(c, e) |> select(top=1, by=variance, fit=train)";
    assert_eq!(try_plan(target, &loader).1, ["test.nn:6:21-58 S004 `y` is a target: `select` is for inputs"]);
    let wide = "  train csv(\"t.csv\")\n  x numeric(a) |> select(top=1, by=correlation(y), fit=train)\n  y target(c, e)";
    assert!(
        try_plan(wide, &loader).1[0].contains("needs a target of one column"),
        "{:?}",
        try_plan(wide, &loader).1
    );
    let uneven = section("select(top=2, by=variance, fit=train)\n  on test { x |> standardize(fit=train) }")
        .replace("train csv(\"t.csv\")", "train csv(\"t.csv\")\n  test csv(\"t.csv\")");
    let (_, found) = try_plan(&uneven, &loader);
    assert!(
        found.iter().any(|line| line.ends_with("H001 rows of `test` have 5 columns of `x`, all others 2")),
        "{found:?}"
    );
}

#[test]
fn a_choice_without_any_difference_is_an_error() {
    let same = "a,b,t,k\n1,2,7,0\n2,2,7,0\n3,2,7,0\n";
    let loader = Memory::of("t.csv", same);
    let of = |columns: &str, by: &str| {
        faults(
            &format!(
                "  train csv(\"t.csv\")\n  x numeric({columns}) |> select(top=1, by={by}, fit=train)\n  y target(t)\n  k class(k, 2)"
            ),
            &loader,
        )
    };
    assert_eq!(of("a, b", "variance"), [""; 0]);
    for (columns, by) in [("b", "variance"), ("a, b", "correlation(y)"), ("a, b", "correlation(k)")] {
        let found = of(columns, by);
        assert!(
            found.len() == 1 && found[0].contains("D112") && found[0].contains("every score is 0"),
            "{found:?}"
        );
    }
}

#[test]
fn stored_choices_are_compared_and_damaged_ones_refused() {
    let loader = Memory::of("t.csv", ROWS);
    let plan = plan(&section("select(top=2, by=variance, fit=train)"), &loader);
    let (fitted, _) = data::fit(&plan, &loader);
    assert_eq!(Statistics::parse(&fitted.to_text()).expect("what was written"), fitted);
    let edited = |columns: &[&str], scores: &[f64]| {
        let mut edited = fitted.clone();
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        edited.groups.get_mut("x").expect("the group").steps[0] =
            Fitted::Select { columns, scores: scores.to_vec() };
        edited
    };
    let compared = |stored: &Statistics| {
        data::compare(&plan, stored, "stats", &fitted).iter().map(|d| d.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(compared(&fitted), [""; 0]);
    let prefix = "the stored statistics of `x` are not those of its data";
    assert_eq!(
        compared(&edited(&["a", "c"], &[1.25, 1.25])),
        [format!("{prefix}: the choice has `c` in the file and `e` in the data")]
    );
    assert_eq!(
        compared(&edited(&["a", "e"], &[1.25, 1.5])),
        [format!("{prefix}: score of `e` is 1.5 in the file and 1.25 in the data")]
    );
    let stored = |statistics: &Statistics| {
        Pipeline::stored(&plan.groups[0], Split::Train, statistics)
            .map(|pipeline| pipeline.columns())
            .map_err(|fault| {
                fault.replace("the statistics for `select(top=2, by=variance, fit=train)` of `x` ", "")
            })
    };
    assert_eq!(stored(&edited(&["b", "d"], &[0.0; 2])), Ok(vec!["b".to_owned(), "d".to_owned()]));
    assert_eq!(
        stored(&edited(&["d", "b"], &[0.0; 2])),
        Err("keep `b`, which is not the next of the columns".to_owned())
    );
    assert_eq!(
        stored(&edited(&["a", "z"], &[0.0; 2])),
        Err("keep `z`, which is not the next of the columns".to_owned())
    );
    assert_eq!(stored(&edited(&["a"], &[0.0])), Err("keep 1 columns, not 2".to_owned()));
    assert_eq!(
        stored(&edited(&["a", "b"], &[0.0])),
        Err("have 1 numbers in `score` for 2 columns".to_owned())
    );
    // The target belongs to the text that the hash is of.
    let of_target = |rows: &str| {
        let loader = Memory::of("t.csv", rows);
        let plan = crate::data::plan(&section("select(top=2, by=correlation(k), fit=train)"), &loader);
        data::fit(&plan, &loader).0.groups["x"].sha256.clone()
    };
    assert_ne!(of_target(ROWS), of_target(&ROWS.replace("1,1,0\n", "1,1,1\n")));
    assert_eq!(of_target(ROWS), of_target(&ROWS.replace("1,1,0\n", "1,8,0\n")), "`t` has no say");
}

#[test]
fn both_notations_choose_alike() {
    let dsl = spec(
        "  train csv(\"specs/data/iris/train.csv\")\n  x numeric(\"*_cm\") |> select(top=2, by=correlation(y), fit=train) |> select(columns=[1], of=2, from=\"a paper\")\n  y class(target, 3)",
    );
    let yaml = "spec: 1\nmodel: m\ndata:\n  splits: {train: {csv: specs/data/iris/train.csv}}\n  columns:\n    \
                x: {numeric: [\"*_cm\"], prepare: [{select: {top: 2, by: correlation(y), fit: train}}, \
                {select: {columns: [1], of: 2, from: a paper}}]}\n    y: {class: {column: target, classes: 3}}\n\
                net:\n  - {id: out, linear: {out: 2, init: xavier_normal}, from: x}\n";
    let text = |compiled: &Compiled| {
        let mut found = Diagnostics::default();
        found.extend(compiled.found.iter().filter(|d| d.severity == Severity::Error).cloned());
        assert!(found.is_empty(), "{}", concise(found, &compiled.sources));
        wellposed::graph::print(&compiled.graph)
    };
    let printed = text(&compiled(&dsl, Notation::Dsl));
    assert_eq!(printed, text(&compiled(yaml, Notation::Yaml)));
    let chain = "data x: numeric[4] |> select(top=2, by=correlation(y), fit=train) |> select(columns=[1], of=2, from=\"a paper\")";
    assert!(printed.contains(chain) && printed.contains("out: linear(out=2) [B,2] params 4"), "{printed}");
}

/// Whatever looks at the target is an error on rows that judge it, whatever their number.
#[test]
fn a_choice_beyond_train_is_an_error() {
    let at = |by: &str, fit: &str| {
        let text = spec(&format!(
            "  train csv(\"specs/data/iris/train.csv\")\n  val csv(\"specs/data/iris/val.csv\")\n  test csv(\"specs/data/iris/test.csv\")\n  \
             x numeric(\"*_cm\") |> select(top=2, by={by}, fit={fit}) |> standardize(fit=train)\n  y class(target, 3)"
        ));
        let compiled = compile(Path::new("test.nn"), &Memory::of("test.nn", text)).expect("a spec");
        let found: Vec<_> = compiled.found.iter().filter(|d| d.rule.code == "D001").collect();
        assert!(found.len() <= 1 && found.iter().all(|d| d.severity == Severity::Error));
        found.first().map(|d| d.labels.iter().any(|label| label.text.contains("these answers")))
    };
    assert_eq!(at("correlation(y)", "train"), None);
    for fit in ["all", "val", "test"] {
        assert_eq!(at("correlation(y)", fit), Some(true), "{fit}");
        assert_eq!(at("variance", fit), Some(false), "{fit}");
    }
}

fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a small count"))
}

/// Random labels: whoever chooses columns on all rows finds some that fit the test labels, too (scikit-learn's guide, "Common pitfalls").
#[test]
fn random_labels_tell_a_leaking_choice_from_an_honest_one() {
    const COLUMNS: usize = 400;
    const HALF: usize = 60;
    let accuracy = |seed: u64, fit: &str| {
        let draw = |n: usize, what: &str| standard_normal(n, Draws { seed, stream: stream(what) });
        let (x, y) = (draw(COLUMNS * HALF * 2, "x"), draw(HALF * 2, "y"));
        let names: Vec<String> = (0..COLUMNS).map(|i| format!("c{i}")).collect();
        let mut files = BTreeMap::from([
            ("train.csv", format!("{},y\n", names.join(","))),
            ("test.csv", format!("{},y\n", names.join(","))),
        ]);
        for (i, (row, label)) in x.chunks(COLUMNS).zip(&y).enumerate() {
            let row: Vec<String> = row.iter().map(ToString::to_string).collect();
            let line = format!("{},{}\n", row.join(","), u8::from(*label > 0.0));
            *files.get_mut(if i < HALF { "train.csv" } else { "test.csv" }).expect("a file") += &line;
        }
        let loader = files.into_iter().fold(Memory::default(), |all, (name, text)| all.and(name, text));
        let section = format!(
            "  train csv(\"train.csv\")\n  test csv(\"test.csv\")\n  x numeric(\"c*\") |> select(top=20, by=correlation(y), fit={fit})\n  y class(y, 2)"
        );
        let [train, test] = [Split::Train, Split::Test].map(|split| load(&section, split, &loader));
        let centre = |class: f64| {
            let own = || {
                train["x"]
                    .chunks(20)
                    .zip(&train["y"])
                    .filter(|(_, label)| **label == class)
                    .map(|(row, _)| row)
            };
            let n = real(own().count());
            own().fold(vec![0.0; 20], |sum, row| sum.iter().zip(row).map(|(s, x)| s + x / n).collect())
        };
        let centres = [centre(0.0), centre(1.0)];
        let apart =
            |row: &[f64], centre: &[f64]| row.iter().zip(centre).map(|(x, c)| (x - c).powi(2)).sum::<f64>();
        let right = test["x"]
            .chunks(20)
            .zip(&test["y"])
            .filter(|(row, label)| (apart(row, &centres[1]) < apart(row, &centres[0])) == (**label == 1.0));
        real(right.count()) / real(HALF)
    };
    let mean = |fit: &str| (0..6).map(|seed| accuracy(seed, fit)).sum::<f64>() / 6.0;
    let (honest, leaking) = (mean("train"), mean("all"));
    // 360 fair coins have a standard deviation of 0.026; four of them.
    assert!((honest - 0.5).abs() < 0.105, "{honest}");
    assert!(leaking > 0.65, "{leaking}");
}
