//! Data: statistics equal to those of scikit-learn, every transform, every split rule, every fault with its place.

use crate::support::Memory;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use wellposed::data::{self, Fitted, Pipeline, Plan, Split, Statistics};
use wellposed::diag::Diagnostic;
use wellposed::pipeline::{self, compile};
use wellposed::source::{Loader, Sources};
use wellposed::valid::{Samples, rows};

/// The plan of a data section, whose spec must have no other fault.
pub fn plan(section: &str, loader: &Memory) -> Plan {
    let (plan, found) = try_plan(section, loader);
    assert_eq!(found, [""; 0]);
    plan.expect("a data section")
}

/// A spec whose net takes the first group of a data section.
pub fn spec(section: &str) -> String {
    let group = section.lines().find(|line| line.contains(" numeric(") || line.contains(" category("));
    let first = group.and_then(|line| line.split_whitespace().next()).unwrap_or("x");
    format!(
        "spec 1\nmodel m\ndata {{\n{section}\n}}\nnet {{ out: linear(2, init=xavier_normal) <- {first} }}\n"
    )
}

/// The plan of a data section, and what is wrong with it.
pub fn try_plan(section: &str, loader: &Memory) -> (Option<Plan>, Vec<String>) {
    let loader = loader.with("test.nn", spec(section));
    let compiled = compile(Path::new("test.nn"), &loader).expect("a text in memory can be opened");
    // What a lint says of a section is not what its text means.
    let data = |d: &&Diagnostic| "SNH".contains(&d.rule.code[..1]) || d.rule.code.starts_with("D1");
    let found = compiled.found.iter().filter(data).map(|d| line(d, &compiled.sources)).collect();
    (compiled.graph.data.clone(), found)
}

/// A finding in a line.
fn line(d: &Diagnostic, sources: &Sources) -> String {
    let (file, start, end) = d.location(sources);
    format!("{file}:{}:{}-{} {} {}", start.line, start.column, end.column, d.rule.code, d.message)
}

/// What reading every row of the data has to say.
pub fn faults(section: &str, loader: &Memory) -> Vec<String> {
    let (plan, found) = try_plan(section, loader);
    if !found.is_empty() {
        return found;
    }
    let mut sources = Sources::default();
    sources.add("test.nn", spec(section));
    let (_, found) = rows::check(&plan.expect("a data section"), loader);
    found.iter().map(|d| line(d, &sources)).collect()
}

fn close(what: &str, ours: &[f64], theirs: &serde_json::Value) {
    let theirs: Vec<f64> = theirs.as_array().expect(what).iter().map(|x| x.as_f64().expect(what)).collect();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        // Both sides round: numpy's pairwise sums have an error of about eps log2(n), ours of a few eps; the variance squares it.
        assert!((a - b).abs() <= 1e-12 * b.abs().max(f64::MIN_POSITIVE), "{what}[{i}]: {a} and {b}");
    }
}

#[test]
fn fitted_statistics_are_those_of_scikit_learn() {
    for set in ["iris", "wine", "digits", "diabetes"] {
        let text = std::fs::read_to_string(format!("tests/sklearn/{set}.json")).expect("statistics");
        let theirs: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let features = &theirs["features"];
        let columns: Vec<String> =
            features["columns"].as_array().expect("columns").iter().map(ToString::to_string).collect();
        let columns = columns.join(", ");
        let section = format!(
            "  train csv(\"specs/data/{set}/train.csv\")\n  val csv(\"specs/data/{set}/val.csv\")\n  \
             x numeric({columns}) |> standardize(fit=train)\n  z numeric({columns}) |> minmax(fit=train)"
        );
        let loader = Memory::default();
        let (fitted, found) = data::fit(&plan(&section, &loader), &loader);
        assert!(found.is_empty());
        let group = &fitted.groups["x"];
        assert_eq!(Some(group.rows), features["n"].as_u64());
        let [Fitted::Standardize { mean, var, scale }] = group.steps.as_slice() else {
            panic!("{:?}", group.steps)
        };
        close(&format!("{set} mean"), mean, &features["mean"]);
        close(&format!("{set} var"), var, &features["var"]);
        close(&format!("{set} scale"), scale, &features["scale"]);
        let [Fitted::Minmax { min, max }] = fitted.groups["z"].steps.as_slice() else {
            panic!("no extremes")
        };
        close(&format!("{set} min"), min, &features["min"]);
        close(&format!("{set} max"), max, &features["max"]);
        assert!(!mean.is_empty());
    }
}

/// The rows of a split behind its chain.
pub fn load(section: &str, split: Split, loader: &Memory) -> BTreeMap<String, Vec<f64>> {
    let plan = plan(section, loader);
    let (statistics, found) = data::fit(&plan, loader);
    assert!(found.is_empty(), "{found:?}");
    let loaded = data::load(&plan, split, &statistics, 1000, 0, loader).expect("rows without a fault");
    loaded.groups.into_iter().map(|(name, tensor)| (name, tensor.data)).collect()
}

/// Class 0 has 7 rows, class 1 three, class 2 two: each gets 7, every row at least once, in the order of the file.
#[test]
fn oversampling_balances_the_classes_of_training_rows_alone() {
    let labels = [0, 1, 0, 2, 0, 0, 1, 0, 2, 0, 1, 0];
    let text: String = labels.iter().enumerate().map(|(i, y)| format!("{i},{y}\n")).collect();
    let rows = format!("a,y\n{text}");
    let loader = Memory::of("train.csv", rows.clone()).and("test.csv", rows);
    let section = |only: &str| {
        format!(
            "  train csv(\"train.csv\")\n  test csv(\"test.csv\")\n  rows oversample(y, only={only})\n  \
             x numeric(a)\n  y class(y, 3)"
        )
    };
    // With floor((i + 1) 7 / n) - floor(i 7 / n) copies: 2, 2, 3 for three rows and 3, 4 for two.
    let expected = [0, 1, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7, 8, 8, 8, 8, 9, 10, 10, 10, 11].map(f64::from);
    let train = load(&section("train"), Split::Train, &loader);
    assert_eq!(train["x"], expected);
    let of = |class: f64| train["y"].iter().filter(|y| **y == class).count();
    assert_eq!([of(0.0), of(1.0), of(2.0)], [7; 3]);
    let own = train["x"].iter().zip(&train["y"]).all(|(row, class)| {
        labels.iter().enumerate().any(|(i, y)| (f64::from(*y), i.to_string()) == (*class, row.to_string()))
    });
    assert!(own, "a copy keeps the label of its row");
    let test = load(&section("train"), Split::Test, &loader);
    assert_eq!(test["x"], (0..12).map(f64::from).collect::<Vec<f64>>());
    assert_eq!(load(&section("always"), Split::Test, &loader)["x"], expected);
}

/// Batches of the checks are made of the copied rows, statistics of the rows as they are.
#[test]
fn batches_are_drawn_from_the_copied_rows() {
    let spec = |rows: &str| {
        format!(
            "spec 1\nmodel m\ndata {{\n  train csv(\"train.csv\")\n{rows}  x numeric(a) |> standardize(fit=train)\n  \
             y class(y, 2)\n}}\nnet {{ out: linear(2, init=lecun_normal) <- x }}\n\
             train {{ loss cross_entropy(out, y) }}\n"
        )
    };
    let rows = "a,y\n1,0\n2,0\n3,0\n4,0\n5,1\n";
    let seen = |rows_line: &str| {
        let loader = Memory::of("train.csv", rows).and("m.nn", spec(rows_line));
        let compiled = pipeline::compile(Path::new("m.nn"), &loader).expect("a text in memory can be opened");
        let (statistics, found) = data::fit(compiled.graph.data.as_ref().expect("data"), &loader);
        assert!(found.is_empty());
        let samples = Samples::load(&compiled.graph, &statistics, 256, &loader).expect("rows").expect("data");
        let labels = samples.batch(0, samples.rows()).into_iter().find(|feed| feed.dims.len() == 1);
        (statistics.groups["x"].clone(), labels.expect("the target").data)
    };
    let (plain, copied) = (seen(""), seen("  rows oversample(y, only=train)\n"));
    assert_eq!(plain.0, copied.0);
    assert_eq!(plain.1, [0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(copied.1, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn every_transform_does_what_it_says() {
    let train = "a,b,c,plan\n1,5,,pro\n2,5,4,basic\n4,5,1,pro\n9,5,7,plus\n";
    let test = "a,b,c,plan\n3,6,,plus\n";
    let loader = Memory::of("train.csv", train).and("test.csv", test);
    let files = "  train csv(\"train.csv\")\n  test csv(\"test.csv\")\n";
    let one = |chain: &str, split: Split| {
        let columns = load(&format!("{files}  x {chain}"), split, &loader);
        columns["x"].clone()
    };
    // Mean 4, biased variance (9 + 4 + 0 + 25) / 4 = 9.5.
    let root = 9.5f64.sqrt();
    let standardized = [-3.0 / root, -2.0 / root, 0.0, 5.0 / root];
    assert_eq!(one("numeric(a) |> standardize(fit=train)", Split::Train), standardized);
    assert_eq!(one("numeric(a) |> standardize(fit=train)", Split::Test), [-1.0 / root]);
    assert_eq!(
        one("numeric(b) |> standardize(fit=train)", Split::Train),
        [0.0; 4],
        "a constant column has scale 1"
    );
    assert_eq!(one("numeric(b) |> standardize(fit=train)", Split::Test), [1.0]);
    assert_eq!(one("numeric(a) |> standardize(mean=1, std=2)", Split::Test), [1.0]);
    assert_eq!(one("numeric(a, b) |> standardize(mean=[1, 2], std=[2, 4])", Split::Test), [1.0, 1.0]);
    assert_eq!(one("numeric(a) |> minmax(fit=train)", Split::Train), [0.0, 0.125, 0.375, 1.0]);
    assert_eq!(one("numeric(b) |> minmax(fit=train)", Split::Test), [1.0], "a constant column is shifted");
    assert_eq!(one("numeric(a) |> log1p", Split::Test), [4.0f64.ln()]);
    assert_eq!(one("numeric(a) |> clip(2, 5)", Split::Train), [2.0, 2.0, 4.0, 5.0]);
    assert_eq!(one("numeric(a) |> scale(1/4)", Split::Train), [0.25, 0.5, 1.0, 2.25]);
    // Of 4, 1, 7 both mean and median are 4.
    assert_eq!(one("numeric(c) |> impute(mean, fit=train)", Split::Train), [4.0, 4.0, 1.0, 7.0]);
    assert_eq!(one("numeric(c) |> impute(median, fit=train)", Split::Test), [4.0]);
    assert_eq!(one("numeric(c) |> impute(-1)", Split::Test), [-1.0]);
    // The statistics of a later step are those of what the earlier steps make.
    assert_eq!(
        one("numeric(c) |> impute(0) |> minmax(fit=train)", Split::Train),
        [0.0, 4.0 / 7.0, 1.0 / 7.0, 1.0]
    );
    // Words in the order of the alphabet: basic, plus, pro.
    assert_eq!(one("category(plan)", Split::Train), [2.0, 0.0, 2.0, 1.0]);
    assert_eq!(one("category(plan) |> one_hot", Split::Test), [0.0, 1.0, 0.0]);
    assert_eq!(
        one("category(plan, [\"pro\", \"plus\", \"basic\"]) |> one_hot", Split::Test),
        [0.0, 1.0, 0.0]
    );
    let noisy = one("numeric(b) |> noise(0.1, only=train)", Split::Train);
    assert!(noisy.iter().all(|x| (x - 5.0).abs() < 1.0) && noisy.iter().any(|x| *x != 5.0), "{noisy:?}");
    assert_eq!(one("numeric(b) |> noise(0.1, only=train)", Split::Test), [6.0]);
}

#[test]
fn transforms_are_undone() {
    let loader = Memory::of("train.csv", "a,b\n1,5\n2,7\n4,5\n9,11\n");
    let section = "  train csv(\"train.csv\")\n  x numeric(a, b) |> log1p |> standardize(fit=train) |> minmax(fit=train) |> scale(3)";
    let plan = plan(section, &loader);
    let (statistics, _) = data::fit(&plan, &loader);
    let pipeline = Pipeline::stored(&plan.groups[0], Split::Train, &statistics).expect("its own statistics");
    let mut row = vec![3.0, 8.0];
    pipeline.apply(&mut row);
    assert!(pipeline.invert(&mut row));
    // Four steps and back, each with a few roundings of 2^-53 and a condition below 10.
    assert!((row[0] - 3.0).abs() < 1e-13 && (row[1] - 8.0).abs() < 1e-13, "{row:?}");
}

/// The splits of the keys of a file.
fn split_of_keys(keys: &[String], loader_rows: &str) -> BTreeMap<String, &'static str> {
    let text: String = keys.iter().map(|key| format!("{key},1\n")).collect();
    let loader = Memory::of("all.csv", format!("id,a\n{text}{loader_rows}"));
    let section = "  all csv(\"all.csv\")\n  split by hash(id) train 80 val 10 test 10\n  x numeric(a)\n  k category(id)";
    let plan = plan(section, &loader);
    let mut of = BTreeMap::new();
    for split in [Split::Train, Split::Val, Split::Test] {
        let group = plan.group("k").expect("the keys");
        let reading = data::Reading::new(&plan, group, split, &loader);
        reading
            .fields(|fields| {
                let key = String::from_utf8_lossy(fields[0]).into_owned();
                assert!(of.insert(key, split.word()).is_none(), "a row belongs to one split");
            })
            .expect("rows");
    }
    of
}

#[test]
fn a_hash_divides_rows_by_their_shares_and_forever() {
    let keys: Vec<String> = (0..10_000).map(|i| format!("customer-{i}")).collect();
    let of = split_of_keys(&keys, "");
    assert_eq!(of.len(), keys.len());
    let share = |split: &str| of.values().filter(|s| **s == split).count();
    // Binomial with n = 10,000: standard deviations of 40 and 30; six of them bound a deviation of probability 2e-9.
    assert!(share("train").abs_diff(8_000) < 240, "{}", share("train"));
    assert!(share("val").abs_diff(1_000) < 180 && share("test").abs_diff(1_000) < 180);
    let more = split_of_keys(&keys[..5_000], "newcomer-1,1\nnewcomer-2,1\n");
    assert!(keys[..5_000].iter().all(|key| of[key] == more[key]), "rows that come or go move no other");
    assert_eq!(split_of_keys(&keys[..50], ""), split_of_keys(&keys[..50], ""));
}

#[test]
fn a_column_divides_rows() {
    let loader = Memory::of("all.csv", "a,fold\n1,train\n2,test\n3, train \n4,val\n");
    let section = "  all csv(\"all.csv\")\n  split by column(fold)\n  x numeric(a)";
    assert_eq!(load(section, Split::Train, &loader)["x"], [1.0, 3.0]);
    assert_eq!(load(section, Split::Test, &loader)["x"], [2.0]);
    assert_eq!(load(section, Split::All, &loader)["x"], [1.0, 2.0, 3.0, 4.0]);
    let wrong = Memory::of("all.csv", "a,fold\n1,train\n2,tset\n");
    assert_eq!(faults(section, &wrong), ["all.csv:3:3-7 D108 `tset` names no split"; 3]);
}

/// What reading a file with numbers in `a` and `b` and labels in `y` has to say.
fn fault(text: impl Into<Vec<u8>>) -> Vec<String> {
    let section = "  train csv(\"t.csv\")\n  x numeric(a, b)\n  y class(y, 3)";
    let mut found = faults(section, &Memory::of("t.csv", text));
    found.dedup();
    found
}

#[test]
fn every_fault_has_its_place() {
    assert_eq!(fault("a,b,y\n1,2,0\n3,4,2\n"), [""; 0]);
    for (text, wanted) in [
        ("a,b,y\n1,2,0\n3,4\n5,6,1\n", "t.csv:3:3-4 D102 a row of 2 fields under a header of 3"),
        ("a,b,y\n1,2,0\n3,4,1,9,9\n5,6,1\n", "t.csv:3:7-8 D102 a row of 5 fields under a header of 3"),
        ("a,b,y\n1,2,0\n3,4,1,longer\n", "t.csv:3:7-13 D102 a row of 4 fields under a header of 3"),
        ("a,b,y\n1,2,0\n3,4\n", "t.csv:3:3-4 D102 a row of 2 fields under a header of 3"),
        ("a,b,y\n1,2,0\n3,4", "t.csv:3:3-4 D103 `t.csv` ends in the middle of a row"),
        ("a,b,y\n1,2,0\n3,\"4", "t.csv:3:3-4 D103 `t.csv` ends in the middle of a row"),
        ("a,b,y\n1,2,0\n3,4,\"1", "t.csv:3:5-6 D103 `t.csv` ends in the middle of a row"),
        ("a,b,y\n1,2,0\n3,4,\"1\n5,6,1\n", "t.csv:3:5-6 D103 `t.csv` ends in the middle of a row"),
        ("a,b,y\n1,2,0\nthree,4,1\n", "t.csv:3:1-6 D105 `three` is not a number"),
        ("a,b,y\n1,2,0\n3, 4x ,1\n", "t.csv:3:3-7 D105 `4x` is not a number"),
        ("a,b,y\n1,2,0\n3,NaN,1\n", "t.csv:3:3-6 D106 `NaN` in a numeric column"),
        ("a,b,y\n1,2,0\n3,NA,1\n", "t.csv:3:3-5 D106 `NA` in a numeric column"),
        ("a,b,y\n1,2,0\n3,,1\n", "t.csv:3:3-4 D106 an empty field in a numeric column"),
        ("a,b,y\n1,2,0\n3,inf,1\n", "t.csv:3:3-6 D106 `inf` is infinite"),
        ("a,b,y\n1,2,0\n-Infinity,4,1\n", "t.csv:3:1-10 D106 `-Infinity` is infinite"),
        ("a,b,y\n1,2,0\n1e999,4,1\n", "t.csv:3:1-6 D106 `1e999` is infinite"),
        ("a,b,y\n1,2,0\n3,4,3\n", "t.csv:3:5-6 D107 the label `3` is not one of 0..2"),
        ("a,b,y\n1,2,0\n3,4,-1\n", "t.csv:3:5-7 D107 the label `-1` is not one of 0..2"),
        ("a,b,y\n1,2,0\n3,4,1.5\n", "t.csv:3:5-8 D107 the label `1.5` is not one of 0..2"),
        ("a,b,y\n1,2,0\n3,4,cat\n", "t.csv:3:5-8 D107 the label `cat` is not one of 0..2"),
        ("a,b,y\n1,2,0\n3,4,\n", "t.csv:3:5-6 D107 the label `` is not one of 0..2"),
        ("a,b,y,a\n1,2,0,1\n", "t.csv:1:7-8 D101 the header names the column `a` twice: fields 1 and 4"),
        ("a,bb,y\n1,2,0\n", "test.nn:5:16-17 D104 `t.csv` has no column `b`"),
        ("", "test.nn:4:13-20 D101 `t.csv` has no header line"),
        ("\n\n", "test.nn:4:13-20 D101 `t.csv` has no header line"),
        // Blank lines, line ends of Windows and quoted fields move no place.
        ("a,b,y\n\n1,2,0\n\n\n3,x,1\n", "t.csv:6:3-4 D105 `x` is not a number"),
        ("a,b,y\r\n1,2,0\r\n3,x,1\r\n", "t.csv:3:3-4 D105 `x` is not a number"),
        ("\u{feff}a,b,y\n1,2,0\n3,x,1\n", "t.csv:3:3-4 D105 `x` is not a number"),
        ("\u{feff}a,b,y\nx,2,0\n", "t.csv:2:1-2 D105 `x` is not a number"),
        ("é,a,b,y\n\"ü, ö\",1,x,0\n", "t.csv:2:10-11 D105 `x` is not a number"),
        ("n,a,b,y\n\"two\nlines\",1,x,0\n", "t.csv:3:10-11 D105 `x` is not a number"),
        ("n,a,b,y\n\"two\nlines\",1,2,0\nm,1,x,0\n", "t.csv:4:5-6 D105 `x` is not a number"),
        ("n,a,b,y\n\"a \"\"q\"\", b\",1,x,0\n", "t.csv:2:16-17 D105 `x` is not a number"),
    ] {
        let found = fault(text);
        assert!(found.iter().any(|line| line == wanted), "{text:?}: {found:#?}, not {wanted}");
        assert!(
            found.iter().all(|line| line == wanted || line.contains("ends in") || line.contains("D10")),
            "{found:#?}"
        );
        assert_eq!(found.len(), 1, "{text:?}: one cause, one finding: {found:#?}");
    }
    let only_a_header = fault("a,b,y\n");
    assert!(
        only_a_header.iter().all(|line| line.contains("D109 the split `train` has no rows")),
        "{only_a_header:?}"
    );
    assert!(!only_a_header.is_empty());
    assert_eq!(
        fault(b"a,b,y\n1,\xff\xfe,0\n".to_vec()),
        ["t.csv:2:3-5 D105 `\u{fffd}\u{fffd}` is not a number"]
    );
    let category = "  train csv(\"t.csv\")\n  x category(a)";
    assert_eq!(
        faults(category, &Memory::of("t.csv", b"a\nred\nbl\xffe\n".to_vec())),
        ["t.csv:3:1-5 D101 `bl\u{fffd}e` is not UTF-8"]
    );
}

#[test]
fn categories_and_columns_are_suggested() {
    let loader = Memory::of("t.csv", "color,y\nred,0\ngreen,1\n").and("v.csv", "color,y\nred,0\ngren,1\n");
    let section = "  train csv(\"t.csv\")\n  val csv(\"v.csv\")\n  x category(color)";
    let plan = plan(section, &loader);
    let (_, found) = rows::check(&plan, &loader);
    let [fault] = found.iter().collect::<Vec<_>>()[..] else { panic!("{found:?}") };
    assert_eq!(
        line(fault, &Sources::default()),
        "v.csv:3:1-5 D108 `gren` is not in the vocabulary of 2 words"
    );
    assert_eq!(fault.help.as_deref(), Some("did you mean `green`?"));
    let (_, found) = try_plan("  train csv(\"t.csv\")\n  x numeric(colour)", &loader);
    assert_eq!(found, ["test.nn:5:13-19 D104 `t.csv` has no column `colour`"]);
}

#[test]
fn a_quotation_mark_that_is_never_closed_does_not_fill_the_memory() {
    let mut text = b"a,b,y\n1,\"2,0\n".to_vec();
    text.extend(std::iter::repeat_n(&b"1,2,0\n"[..], 4 << 20).flatten());
    let found = fault(text);
    assert!(found[0].contains("D101 `t.csv` cannot be read: a row of more than 16 MiB"), "{found:?}");
}

const TWO: &str = "  train csv(\"t.csv\")\n  val csv(\"v.csv\")\n  x numeric(a) |> standardize(fit=train)\n  z numeric(b) |> minmax(fit=train)";

fn two() -> Memory {
    Memory::of("t.csv", "a,b\n1,2\n2,5\n6,3\n").and("v.csv", "a,b\n1,2\n")
}

/// What comparing statistics with those of the data gives.
fn compared(stored: &Statistics, section: &str, loader: &Memory) -> Vec<String> {
    let plan = plan(section, loader);
    let (fitted, faults) = data::fit(&plan, loader);
    assert!(faults.is_empty());
    data::compare(&plan, stored, "test.nn.stats.json", &fitted).iter().map(|d| d.message.clone()).collect()
}

#[test]
fn statistics_files_read_back_and_differences_are_told_apart() {
    let loader = two();
    let (fitted, _) = data::fit(&plan(TWO, &loader), &loader);
    let text = fitted.to_text();
    let back = Statistics::parse(&text).expect("what was written");
    assert_eq!(back, fitted);
    assert_eq!(back.to_text(), text);
    assert!(text.starts_with(
        "{\n  \"format\": 1,\n  \"groups\": {\n    \"x\": {\n      \"fit\": \"train\",\n      \"rows\": 3,"
    ));
    assert_eq!(compared(&fitted, TWO, &loader), [""; 0]);

    let changed = Memory::of("t.csv", "a,b\n1,2\n2,5\n7,3\n").and("v.csv", "a,b\n1,2\n");
    assert_eq!(
        compared(&fitted, TWO, &changed),
        ["the data of `x` changed: 3 rows then, 3 now, and another hash"]
    );
    let longer = Memory::of("t.csv", "a,b\n1,2\n2,5\n6,3\n6,3\n").and("v.csv", "a,b\n1,2\n");
    assert_eq!(
        compared(&fitted, TWO, &longer),
        [
            "the data of `x` changed: 3 rows then, 4 now, and another hash",
            "the data of `z` changed: 3 rows then, 4 now, and another hash"
        ]
    );
    let columns = TWO.replace("numeric(a)", "numeric(a, b)");
    assert_eq!(compared(&fitted, &columns, &loader), ["`x` was fitted on other columns: 1 then, 2 now"]);
    let swapped = TWO.replace("numeric(a)", "numeric(b)");
    assert_eq!(compared(&fitted, &swapped, &loader), ["`x` was fitted on other columns: `a` then, `b` now"]);
    let other = TWO.replace("standardize(fit=train)", "standardize(fit=val)");
    assert_eq!(compared(&fitted, &other, &loader), ["`x` was fitted on `train`, and the spec says `val`"]);
    let fewer = TWO.replace(" |> minmax(fit=train)", "");
    assert_eq!(
        compared(&fitted, &fewer, &loader),
        ["the stored statistics have a group `z` that the spec does not fit"]
    );
    let mut edited = fitted.clone();
    let Some(Fitted::Standardize { mean, .. }) =
        edited.groups.get_mut("x").and_then(|group| group.steps.first_mut())
    else {
        panic!("no mean")
    };
    mean[0] = 3.5;
    assert_eq!(
        compared(&edited, TWO, &loader),
        [
            "the stored statistics of `x` are not those of its data: mean of `a` is 3.5 in the file and 3 in the data"
        ]
    );
    let mut missing = fitted.clone();
    missing.groups.remove("z");
    assert_eq!(compared(&missing, TWO, &loader), ["the stored statistics have no group `z`"]);
}

#[test]
fn malformed_statistics_are_refused() {
    for text in [
        "",
        "{",
        "[]",
        "{\"format\": 2, \"groups\": {}}",
        "{\"format\": 1}",
        "{\"format\": 1, \"groups\": {}, \"more\": 1}",
    ] {
        assert!(Statistics::parse(text).is_err(), "{text}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Statistics::parse(&format!("{{\"format\": {deep}}}")).is_err());
    let loader = two();
    let plan = plan(TWO, &loader);
    let (fitted, _) = data::fit(&plan, &loader);
    let stored = |steps: Vec<Fitted>| {
        let mut statistics = fitted.clone();
        statistics.groups.get_mut("x").expect("the group").steps = steps;
        let group = plan.group("x").expect("the group");
        Pipeline::stored(group, Split::Val, &statistics).map(|pipeline| {
            let mut row = vec![2.0];
            pipeline.apply(&mut row);
            row
        })
    };
    assert_eq!(
        stored(Vec::new()),
        Err("there are no statistics for `standardize(fit=train)` of `x`".to_owned())
    );
    let of = |mean: usize, scale: usize| Fitted::Standardize {
        mean: vec![1.0; mean],
        var: vec![4.0; scale],
        scale: vec![2.0; scale],
    };
    assert_eq!(stored(vec![of(1, 1)]), Ok(vec![0.5]));
    let wrong = |name: &str, n: usize| {
        Err(format!(
            "the statistics for `standardize(fit=train)` of `x` have {n} numbers in `{name}` for 1 columns"
        ))
    };
    assert_eq!(stored(vec![of(0, 1)]), wrong("mean", 0));
    assert_eq!(stored(vec![of(2, 1)]), wrong("mean", 2));
    assert_eq!(stored(vec![of(1, 3)]), wrong("var", 3));
    assert_eq!(
        stored(vec![Fitted::Minmax { min: vec![0.0], max: vec![1.0] }]),
        Err("the statistics for `standardize(fit=train)` of `x` are those of `minmax`".to_owned())
    );
    assert_eq!(
        stored(vec![Fitted::Category { vocabulary: vec!["a".to_owned()] }]),
        Err("the statistics for `standardize(fit=train)` of `x` are those of `category`".to_owned())
    );
}

/// Rows that are made while they are read.
struct Endless {
    rows: usize,
    /// The largest piece that was asked for.
    largest: AtomicUsize,
    /// How often the file was opened.
    opened: AtomicUsize,
}

struct Stream<'a> {
    of: &'a Endless,
    next: usize,
    rest: Vec<u8>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.of.largest.fetch_max(buffer.len(), Ordering::Relaxed);
        while self.rest.is_empty() {
            if self.next > self.of.rows {
                return Ok(0);
            }
            let line = match self.next {
                0 => "a,b\n".to_owned(),
                i => format!("{},{}\n", i % 7, i % 1000),
            };
            self.rest = line.into_bytes();
            self.next += 1;
        }
        let n = self.rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Ok(n)
    }
}

impl Loader for Endless {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        if path == Path::new("test.nn") {
            let section = "  train csv(\"t.csv\")\n  x numeric(a, b) |> impute(median, fit=train) |> standardize(fit=train)";
            return Ok(Box::new(io::Cursor::new(spec(section))));
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Stream { of: self, next: 0, rest: Vec::new() }))
    }
}

#[test]
fn fitting_streams() {
    let endless = Endless { rows: 200_000, largest: AtomicUsize::new(0), opened: AtomicUsize::new(0) };
    let compiled = compile(Path::new("test.nn"), &endless).expect("a spec");
    let plan = compiled.graph.data.as_ref().expect("a plan");
    let (fitted, found) = data::fit(plan, &endless);
    assert!(found.is_empty());
    assert_eq!(fitted.groups["x"].rows, 200_000);
    let [Fitted::Impute { value }, Fitted::Standardize { mean, .. }] = fitted.groups["x"].steps.as_slice()
    else {
        panic!("{:?}", fitted.groups)
    };
    // The residues modulo 1000 occur equally often; those modulo 7 up to one.
    assert_eq!((value[0], value[1], mean[1]), (3.0, 499.5, 499.5));
    // The file is read in pieces, once for the header, four times for the median, twice for mean and variance, once for the hash;
    // nothing holds more of it than a buffer.
    assert!(endless.largest.load(Ordering::Relaxed) <= 64 << 10);
    assert_eq!(endless.opened.load(Ordering::Relaxed), 8);
}
