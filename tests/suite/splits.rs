//! Splits in the order of time and splits of groups: how rows are divided, and what is found where that leaks.

use crate::audit::{Uniform, found, run};
use crate::support::Memory;
use std::fmt::Write;
use std::path::Path;
use wellposed::diag::render::{Look, full};
use wellposed::pipeline;
use wellposed::report::SpecReport;

/// Rows of patients and days: `visits` days each, in an order that is neither that of time nor that of the patients.
fn visits(
    patients: usize,
    days: impl Fn(usize, usize) -> String,
    change: impl Fn(usize, f64) -> f64,
) -> String {
    let mut uniform = Uniform(7);
    let mut rows = Vec::new();
    for patient in 0..patients {
        for visit in 0..4 {
            let value = change(visit, 100.0 * uniform.next());
            let order = uniform.next();
            rows.push((
                order,
                format!("p{patient},{},{value},{}", days(patient, visit), (patient + visit) % 2),
            ));
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.iter().fold("patient,day,a,y\n".to_owned(), |mut text, (_, row)| {
        writeln!(text, "{row}").expect("a string takes everything");
        text
    })
}

/// The visits of a patient lie in one quarter each.
fn quarters(patient: usize, visit: usize) -> String {
    format!("2024-{:02}-{:02}", 3 * visit + 1, patient % 28 + 1)
}

fn one_file(rule: &str, rows: &str) -> SpecReport {
    let spec = format!(
        "spec 1\nmodel m\ndata {{\n  all csv(\"all.csv\")\n  {rule}\n  x numeric(a) |> standardize(fit=train)\n  \
         y class(y, 2)\n}}\nnet {{ out: linear(2, init=lecun_normal) <- x }}\n"
    );
    run(&spec, &[("all.csv", rows.to_owned())])
}

fn two_files(rule: &str, train: &str, test: &str) -> SpecReport {
    let spec = format!(
        "spec 1\nmodel m\ndata {{\n  train csv(\"train.csv\")\n  test csv(\"test.csv\")\n  {rule}\n  \
         x numeric(a) |> standardize(fit=train)\n  y class(y, 2)\n}}\nnet {{ out: linear(2, init=lecun_normal) <- x }}\n"
    );
    run(&spec, &[("train.csv", train.to_owned()), ("test.csv", test.to_owned())])
}

fn rows_of(report: &SpecReport) -> Vec<(&'static str, u64)> {
    report.data.as_ref().map_or(Vec::new(), |data| data.rows.clone().into_iter().collect())
}

#[test]
fn the_earliest_rows_train() {
    let rows = visits(100, quarters, |_, x| x);
    let report = one_file("split by time(day) train 50 val 25 test 25", &rows);
    assert_eq!(found(&report), [""; 0]);
    assert_eq!(rows_of(&report), [("test", 100), ("train", 200), ("val", 100)]);
    // Whatever the future brings, the statistics of training stay as they are.
    let mean = |change: fn(usize, f64) -> f64| {
        let text = "spec 1\nmodel m\ndata {\n  all csv(\"all.csv\")\n  split by time(day) train 50 val 25 test 25\n  \
                    x numeric(a) |> standardize(fit=train)\n  y class(y, 2)\n}\nnet { out: linear(2, init=zeros) <- x }\n";
        let files = Memory::of("m.nn", text).and("all.csv", visits(100, quarters, change));
        let compiled = pipeline::compile(Path::new("m.nn"), &files).expect("a spec");
        wellposed::data::fit(compiled.graph.data.as_ref().expect("data"), &files).0.groups["x"].steps.clone()
    };
    let usual = mean(|_, x| x);
    assert_eq!(mean(|visit, x| if visit >= 2 { 1000.0 * x } else { x }), usual);
    assert_ne!(mean(|visit, x| if visit == 1 { 1000.0 * x } else { x }), usual);
}

#[test]
fn rows_of_one_moment_stay_together() {
    let numbers = visits(30, |_, visit| visit.to_string(), |_, x| x);
    let report = one_file("split by time(day) train 60 test 40", &numbers);
    // 72 of 120 rows would cut the moment 2 at its twelfth row: all of it goes to the later split.
    assert_eq!(rows_of(&report), [("test", 60), ("train", 60)]);
    let words = one_file("split by time(patient) train 60 test 40", &numbers);
    assert!(found(&words)[0].starts_with("D105 error `p"), "{:?}", found(&words));
}

#[test]
fn statistics_of_later_rows_look_ahead() {
    let rows = visits(100, quarters, |_, x| x);
    let spec = "spec 1\nmodel m\ndata {\n  all csv(\"all.csv\")\n  split by time(day) train 50 val 25 test 25\n  \
                x numeric(a) |> standardize(fit=all)\n  y class(y, 2)\n}\nnet { out: linear(2, init=lecun_normal) <- x }\n";
    let report = run(spec, &[("all.csv", rows)]);
    assert_eq!(
        found(&report)[0],
        "D001 error `standardize` of `x` is fitted on rows that it is later judged on"
    );
}

#[test]
fn groups_in_two_splits_are_counted() {
    let rows = visits(100, quarters, |_, x| x);
    assert_eq!(
        found(&one_file("split by hash(patient, group=patient) train 60 val 20 test 20", &rows)),
        [""; 0]
    );
    let divided = one_file("split by hash(day, group=patient) train 60 val 20 test 20", &rows);
    let lines = found(&divided);
    assert_eq!(lines, ["D007 error rows of one `patient` are divided by their `day`"]);
    let counted: Vec<&str> = divided
        .found
        .iter()
        .flat_map(|d| &d.notes)
        .filter(|note| note.0 == "rows")
        .map(|note| note.1.as_str())
        .collect();
    assert_eq!(counted.len(), 3);
    assert!(counted[1].contains("`patient` in `test` occur in `train`, too"), "{counted:?}");
    // A coarser key keeps every group whole: without the rows that cannot be known, with them it is left a warning.
    let later = one_file("split by time(day, group=patient) train 50 test 50", &rows);
    assert_eq!(found(&later), ["D209 error 100 of the 100 `patient` in `test` occur in `train`, too"]);
}

#[test]
fn groups_of_two_files_are_compared() {
    let first = visits(60, quarters, |_, x| x);
    let second = visits(40, quarters, |_, x| x + 0.5).replace("\np", "\nq").replacen("\nq0,", "\np0,", 1);
    let report = two_files("split by file(group=patient)", &first, &second);
    assert_eq!(found(&report), ["D209 error 1 of the 41 `patient` in `test` occur in `train`, too"]);
    let shown = full(&report.found, &report.sources, Look::PLAIN);
    assert!(
        shown.contains("rows of one `patient` belong together") && shown.contains("0.625 % of its rows"),
        "{shown}"
    );
    let apart = second.replacen("\np0,", "\nq0,", 1);
    assert_eq!(found(&two_files("split by file(group=patient)", &first, &apart)), [""; 0]);
}

#[test]
fn training_rows_must_not_be_later() {
    let early =
        visits(60, |patient, visit| format!("2023-{:02}-{:02}", 3 * visit + 1, patient % 28 + 1), |_, x| x);
    let late = visits(40, quarters, |_, x| x + 0.5);
    let rule = "split by file(time=day)";
    assert_eq!(found(&two_files(rule, &early, &late)), [""; 0]);
    let report = two_files(rule, &late, &early);
    assert_eq!(
        found(&report),
        ["D210 error 160 of the 160 rows of `train` are later than the first row of `test`"]
    );
    let shown = full(&report.found, &report.sources, Look::PLAIN);
    assert!(
        shown.contains("`train` ends at 2024-10-28") && shown.contains("`test` begins at 2023-01-01"),
        "{shown}"
    );
    let same = visits(60, |_, _| "2024".to_owned(), |_, x| x);
    let equal = visits(60, |_, _| "2024".to_owned(), |_, x| x + 0.5);
    assert_eq!(found(&two_files(rule, &same, &equal)), [""; 0], "equal times are not later");
    let words = visits(60, |_, _| "in spring".to_owned(), |_, x| x);
    assert!(
        found(&two_files(rule, &words, &late))[0].starts_with("D105 error `in spring` of `day` is neither")
    );
}

#[test]
fn a_hash_has_no_order_in_time() {
    let rows = visits(100, quarters, |_, x| x);
    let severity = |rule: &str| found(&one_file(rule, &rows));
    assert_eq!(
        severity("split by hash(a, time=day) train 60 test 40"),
        ["D008 error rows are divided by a hash of `a`, whatever their `day`"]
    );
    assert_eq!(
        severity("split by hash(patient, group=patient, time=day) train 60 test 40"),
        ["D008 warning rows are divided by a hash of `patient`, whatever their `day`"]
    );
}
