//! The audits of readable rows: what each finds in rows in memory, and what it must not find.

use crate::support::Memory;
use std::fmt::Write;
use std::path::Path;
use wellposed::diag::render::{Look, full};
use wellposed::pipeline::{self, Options, Stages};
use wellposed::report::SpecReport;
use wellposed::valid::audit;

/// Uniform numbers in 0..1 from a seed: SplitMix64, so that the rows are the same everywhere.
pub struct Uniform(pub u64);

impl Uniform {
    #[expect(clippy::cast_precision_loss, reason = "both numbers have at most 53 bits")]
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A CSV file with the columns `a`, `b` in 0..100 and the class `y`, with a line for each row changed by `edit`.
pub fn table(rows: usize, seed: u64, edit: impl Fn(usize, &mut [f64; 3])) -> String {
    let mut uniform = Uniform(seed);
    let mut text = "a,b,y\n".to_owned();
    for i in 0..rows {
        let mut row = [100.0 * uniform.next(), 100.0 * uniform.next(), f64::from(u8::from(i % 2 == 1))];
        edit(i, &mut row);
        writeln!(text, "{},{},{}", row[0], row[1], row[2]).expect("a string takes everything");
    }
    text
}

fn plain(rows: usize, seed: u64) -> String {
    table(rows, seed, |_, _| ())
}

/// A spec on three files; `section` holds the column groups, the first of which is `x`.
pub fn spec(section: &str) -> String {
    format!(
        "spec 1\nmodel m\ndata {{\n  train csv(\"train.csv\")\n  val csv(\"val.csv\")\n  test csv(\"test.csv\")\n{section}\n}}\n\
         net {{ out: linear(2, init=lecun_normal) <- x }}\n"
    )
}

const CLASSES: &str = "  x numeric(a, b) |> standardize(fit=train)\n  y class(y, 2)";

pub fn run(text: &str, files: &[(&str, String)]) -> SpecReport {
    let loader =
        files.iter().fold(Memory::of("test.nn", text), |all, (name, file)| all.and(name, file.as_str()));
    let stages = Stages { data: true, statistics: true, audits: true, ..Stages::default() };
    pipeline::run(Path::new("test.nn"), stages, &Options::default(), &loader)
}

/// Code, severity and message of what is found, without the remark that statistics are not stored.
pub fn found(report: &SpecReport) -> Vec<String> {
    let known = |code: &str| code != "D111";
    report
        .found
        .iter()
        .filter(|d| known(d.rule.code))
        .map(|d| format!("{} {} {}", d.rule.code, d.severity, d.message))
        .collect()
}

fn audited(section: &str, train: String, val: String, test: String) -> Vec<String> {
    let report = run(&spec(section), &[("train.csv", train), ("val.csv", val), ("test.csv", test)]);
    let found = found(&report);
    // Whatever is found can be shown.
    let shown = full(&report.found, &report.sources, Look::PLAIN);
    assert!(found.iter().all(|line| shown.contains(&line[..4])), "{shown}");
    found
}

/// What is found if nothing but the training rows is unusual.
fn in_train(section: &str, edit: impl Fn(usize, &mut [f64; 3])) -> Vec<String> {
    audited(section, table(600, 1, edit), plain(200, 2), plain(200, 3))
}

#[test]
fn sound_rows_have_no_findings() {
    let report = run(
        &spec(CLASSES),
        &[("train.csv", plain(600, 1)), ("val.csv", plain(200, 2)), ("test.csv", plain(200, 3))],
    );
    assert_eq!(found(&report), [""; 0]);
    let data = report.data.expect("the rows were audited");
    assert_eq!(data.verdict, "PASS");
    assert_eq!(data.rows.into_iter().collect::<Vec<_>>(), [("test", 200), ("train", 600), ("val", 200)]);
    let train = data.moments["x"]["train"];
    assert!(train.mean.abs() < 1e-12 && (train.variance - 1.0).abs() < 1e-12, "{train:?}");
    let condition = data.condition.expect("two columns");
    assert!(condition.null == 0 && condition.columns == 2 && condition.input < 1.5, "{condition:?}");
}

#[test]
fn rows_in_two_splits_are_counted() {
    let train = plain(600, 1);
    let copied = |n: usize, of: &str| {
        let rows: Vec<&str> = of.lines().skip(1).take(n).collect();
        format!("{}{}\n", plain(200 - n, 3), rows.join("\n"))
    };
    let with = |n| audited(CLASSES, train.clone(), plain(200, 2), copied(n, &train));
    assert_eq!(with(1), [""; 0], "one coincidence");
    assert_eq!(with(20), ["D201 error 20 of the 200 rows of `test` occur in `train`"]);
    assert_eq!(with(19), ["D201 warning 19 of the 200 rows of `test` occur in `train`"]);
    assert_eq!(with(2), ["D201 warning 2 of the 200 rows of `test` occur in `train`"]);
    let mut large = plain(600, 4);
    large.push_str(&train.lines().skip(1).take(2).collect::<Vec<_>>().join("\n"));
    assert_eq!(
        audited(CLASSES, train.clone(), plain(200, 2), large + "\n"),
        ["D201 info 2 of the 602 rows of `test` occur in `train`"]
    );
    let coarse =
        |seed| table(300, seed, |_, row| *row = [(row[0] / 10.0).floor(), (row[1] / 10.0).floor(), row[2]]);
    let found = audited(CLASSES, coarse(1), coarse(2), coarse(3));
    assert!(
        !found.is_empty() && found.iter().all(|line| line.starts_with("D201 warning")),
        "what train repeats itself is no proof: {found:?}"
    );
    let same = run(
        &spec(CLASSES).replace("test.csv", "train.csv"),
        &[("train.csv", train.clone()), ("val.csv", plain(200, 2))],
    );
    assert_eq!(found_codes(&same), ["D201 error 600 of the 600 rows of `test` occur in `train`"]);
    let shown = full(&same.found, &same.sources, Look::PLAIN);
    assert!(shown.contains("100 %, the first one row 1") && shown.contains("where it is row 1"), "{shown}");
}

fn found_codes(report: &SpecReport) -> Vec<String> {
    found(report)
}

#[test]
fn constant_columns_are_named() {
    let constant = in_train(CLASSES, |_, row| row[1] = 7.0);
    assert!(constant.contains(&"D202 warning `b` is 7 in every training row".to_owned()), "{constant:?}");
    let nearly = in_train(CLASSES, |i, row| row[1] = if i < 2 { row[1] } else { 7.0 });
    assert!(nearly.contains(&"D202 info `b` is 7 in 99.67 % of the training rows".to_owned()), "{nearly:?}");
    let target = "  x numeric(a) |> standardize(fit=train)\n  y target(b) |> standardize(fit=train)";
    let nothing = in_train(target, |_, row| row[1] = 7.0);
    assert!(
        nothing.contains(&"D202 error the target `b` is 7 in every training row".to_owned()),
        "{nothing:?}"
    );
}

/// The border of an image is constant, and no mistake.
#[test]
fn constant_positions_of_a_signal_are_silent() {
    let image = |seed: u64, constant: usize| {
        let mut uniform = Uniform(seed);
        let names: Vec<String> = (0..10).map(|i| format!("p{i}")).collect();
        let mut text = format!("{},y\n", names.join(","));
        for row in 0..500 {
            let pixels = (0..10).map(|i| if i < constant { 0.0 } else { uniform.next() });
            let shown: Vec<String> = pixels.map(|x| x.to_string()).collect();
            writeln!(text, "{},{}", shown.join(","), row % 2).expect("a string takes everything");
        }
        text
    };
    let section = "  x numeric(\"p*\") |> standardize(fit=train)\n  y class(y, 2)";
    let with = |constant| audited(section, image(1, constant), image(2, constant), image(3, constant));
    assert_eq!(with(5), [""; 0]);
    assert_eq!(
        with(6),
        [
            "D202 warning 6 columns of `x` are constant on the training rows: `p0`, `p1`, `p2`, `p3` and 2 more"
        ]
    );
}

#[test]
fn steps_that_do_not_fit_their_rows_are_found() {
    let section = |step: &str| format!("  x numeric(a, b) |> {step}\n  y class(y, 2)");
    let unit = |seed| table(300, seed, |_, row| (row[0], row[1]) = (row[0] / 100.0, row[1] / 100.0));
    let scaled = audited(&section("scale(1/255) |> standardize(fit=train)"), unit(1), unit(2), unit(3));
    assert_eq!(scaled, ["D203 error `scale(1/255)` meets values of `x` that lie in -1..1 already"]);
    let bytes = audited(&section("scale(1/255)"), plain(300, 1), plain(300, 2), plain(300, 3));
    assert_eq!(bytes, [""; 0]);
    let beyond = audited(
        &section("scale(1/255)"),
        table(300, 1, |i, row| row[0] += if i == 9 { 300.0 } else { 0.0 }),
        plain(300, 2),
        plain(300, 3),
    );
    assert!(
        beyond.len() == 1
            && beyond[0].starts_with("D203 warning `scale(1/255)` is meant for 0..255, and `a` takes 0."),
        "{beyond:?}"
    );
    let clipped = in_train(&section("clip(0, 40) |> standardize(fit=train)"), |_, _| ());
    assert!(
        clipped.len() == 1 && clipped[0].starts_with("D203 warning `clip(0, 40)` replaces 57"),
        "{clipped:?}"
    );
    assert_eq!(in_train(&section("clip(5, 95) |> standardize(fit=train)"), |_, _| ()), [""; 0]);
    let units = audited(CLASSES, plain(300, 1), plain(300, 2), unit(3));
    assert_eq!(units, ["D203 error the rows of `test` are 98.75 times smaller in `x` than those of `train`"]);
}

#[test]
fn classes_are_counted_in_every_split() {
    let three = "  x numeric(a, b) |> standardize(fit=train)\n  y class(y, 3)";
    let nowhere = in_train(three, |_, _| ());
    assert_eq!(nowhere, ["D204 error no row of `train` has the class `2`"]);
    let rare = |of: usize, seed| table(500, seed, move |i, row| row[2] = f64::from(u8::from(i % of == 0)));
    assert_eq!(
        audited(CLASSES, rare(5, 1), rare(5, 2), table(500, 3, |_, row| row[2] = 0.0)),
        ["D204 warning no row of `test` has the class `1`"]
    );
    assert_eq!(audited(CLASSES, rare(100, 1), rare(100, 2), rare(100, 3)), [""; 0], "99 to 1");
    assert_eq!(
        audited(CLASSES, rare(200, 1), rare(200, 2), rare(200, 3)),
        ["D204 info the training rows have `0` 165 times as often as `1`"]
    );
    let named = "  x numeric(a, b) |> standardize(fit=train)\n  y class(y, [\"0\", \"1\", \"other\"])";
    assert_eq!(in_train(named, |_, _| ()), ["D204 error no row of `train` has the class `other`"]);
}

/// What is said of the head of a small net; `y` is the third column, in 0..1.
fn of_the_head(
    section: &str,
    head: &str,
    loss: &str,
    edit: impl Fn(usize, &mut [f64; 3]) + Copy,
) -> Vec<String> {
    let text = spec(section).replace("out: linear(2, init=lecun_normal) <- x", &format!("out: {head} <- x"));
    let text = format!("{text}train {{ loss {loss}(out, y) }}\n");
    let files = [("train.csv", 1), ("val.csv", 2), ("test.csv", 3)]
        .map(|(name, seed)| (name, table(600, seed, edit)));
    found(&run(&text, &files))
}

/// ln 2 = 0.6931, and the entropy of 5 : 95 is -0.05 ln 0.05 - 0.95 ln 0.95 = 0.1985; three quarters of ln 2 are left at 21.45 : 78.55.
#[test]
fn heads_that_ignore_the_shares_of_classes_are_found() {
    let rare = |per: usize| move |i: usize, row: &mut [f64; 3]| row[2] = f64::from(u8::from(i % 100 < per));
    let binary = |head: &str, per: usize| of_the_head(CLASSES, head, "bce_with_logits", rare(per));
    let head = "linear(1, init=lecun_normal)";
    let start =
        "D213 info the head ignores how frequent the classes of `y` are: the loss starts at 0.6931, with";
    assert_eq!(binary(head, 5), [format!("{start} b = ln p / (1 - p) at 0.1985")]);
    assert_eq!(binary("linear(1, init=lecun_normal, bias_init=constant(-2.94))", 5), [""; 0]);
    assert_eq!(binary("linear(1, init=lecun_normal, bias=false)", 5), [""; 0]);
    assert_eq!(binary(head, 22), [""; 0]);
    assert_eq!(binary(head, 21).len(), 1);
    let two = of_the_head(CLASSES, "linear(2, init=lecun_normal)", "cross_entropy", rare(5));
    assert_eq!(two, [format!("{start} b = ln p at 0.1985")]);
}

/// Uniform in 7..8 the target has the mean 7.5 and the variance 1/12, so that E y^2 = 56.33.
#[test]
fn heads_that_ignore_the_mean_of_a_number_are_found() {
    let section = |chain: &str| format!("  x numeric(a, b) |> standardize(fit=train)\n  y target(y){chain}");
    let at = |chain: &str, head: &str, mean: f64| {
        let y = move |_: usize, row: &mut [f64; 3]| row[2] = mean + row[0] / 100.0 - 0.5;
        of_the_head(&section(chain), head, "mse", y)
    };
    let head = "linear(1, init=lecun_normal)";
    let far = at("", head, 7.5);
    assert!(
        far.len() == 1
            && far[0].starts_with("D213 info the head ignores the mean of `y`: the loss starts at 56."),
        "{far:?}"
    );
    assert_eq!(at("", "linear(1, init=lecun_normal, bias_init=constant(7.5))", 7.5), [""; 0]);
    assert_eq!(at(" |> standardize(fit=train)", head, 7.5), [""; 0]);
    assert_eq!(at("", head, 0.5), [""; 0]);
    // A larger one is told as a target of another scale.
    assert!(at("", head, 20.0).iter().all(|line| line.starts_with("D205")), "{:?}", at("", head, 20.0));
}

#[test]
fn numbers_at_the_input_are_of_unit_scale() {
    let section = |step: &str| format!("  x numeric(a, b) |> {step}\n  y class(y, 2)");
    let given = in_train(&section("standardize(mean=50, std=28.9)"), |_, _| ());
    assert_eq!(given, [""; 0]);
    let foreign = in_train(&section("standardize(mean=0.5, std=0.29)"), |_, _| ());
    assert!(
        foreign.len() == 1 && foreign[0].starts_with("D205 warning `x` reaches the weights with an rms of 1"),
        "{foreign:?}"
    );
    let scaled = in_train(&section("scale(3)"), |_, _| ());
    assert!(
        scaled.len() == 1
            && scaled[0].starts_with("D205 warning `x` reaches the weights with an rms of 168.3"),
        "{scaled:?}"
    );
    let target = |factor: f64| {
        let rows = |n, seed| table(n, seed, move |_, row| row[1] *= factor);
        let section = "  x numeric(a) |> standardize(fit=train)\n  y target(b)";
        audited(section, rows(600, 1), rows(200, 2), rows(200, 3))
    };
    assert_eq!(target(0.1), [""; 0]);
    assert!(target(1.0)[0].starts_with("D205 info the target `y` has an rms of 5"));
    assert!(target(10.0)[0].starts_with("D205 warning the target `y` has an rms of 5"));
    // A mean of a million deviations costs digits, which the bound allows for.
    let offset = |n, seed| table(n, seed, |_, row| row[0] += 3e7);
    assert_eq!(audited(CLASSES, offset(600, 1), offset(200, 2), offset(200, 3)), [""; 0]);
}

#[test]
fn serving_sees_what_training_saw() {
    let files = [("train.csv", plain(600, 1)), ("val.csv", plain(200, 2)), ("test.csv", plain(200, 3))];
    let override_ = format!("{CLASSES}\n  on test {{ x |> minmax(fit=train) }}");
    let report = run(&spec(&override_), &files);
    let uneven = report.found.iter().find(|d| d.rule.code == "D002").expect("the override is reported");
    assert!(uneven.notes.iter().any(|(_, text)| text.contains("in training and")), "{:?}", uneven.notes);
    assert!(
        found(&report).iter().all(|line| line.starts_with("D002")),
        "one cause, one finding: {:?}",
        found(&report)
    );
    // An edited statistics file: serving standardises with other numbers.
    let fit = wellposed::data::fit(
        pipeline::compile(Path::new("test.nn"), &memory(&spec(CLASSES), &files))
            .expect("a spec")
            .graph
            .data
            .as_ref()
            .expect("data"),
        &memory(&spec(CLASSES), &files),
    );
    let mut stored = fit.0;
    let edited = stored.groups.get_mut("x").expect("x is fitted");
    let wellposed::data::Fitted::Standardize { mean, .. } = &mut edited.steps[0] else {
        panic!("standardize")
    };
    mean[1] += 1.0;
    let mut files = files.to_vec();
    files.push(("test.nn.stats.json", stored.to_text()));
    let report = run(&spec(CLASSES), &files);
    let stale = report.found.iter().find(|d| d.rule.code == "D110").expect("the edit is reported");
    assert!(
        stale.notes.iter().any(|(_, text)| text.starts_with("`b` = ") && text.contains("in serving")),
        "{:?}",
        stale.notes
    );
    assert_eq!(found(&report).len(), 1);
}

fn memory(text: &str, files: &[(&str, String)]) -> Memory {
    files.iter().fold(Memory::of("test.nn", text), |all, (name, file)| all.and(name, file.as_str()))
}

#[test]
fn valleys_are_measured() {
    let section = |step: &str| format!("  x numeric(a, b) |> {step}\n  y class(y, 2)");
    let wide = |n, seed| table(n, seed, |_, row| row[1] *= 0.02);
    let valley = audited(&section("scale(1/100)"), wide(600, 1), wide(200, 2), wide(200, 3));
    assert!(
        valley.len() == 1
            && valley[0]
                .starts_with("D207 warning the columns reach the weights in different scales: kappa 2"),
        "{valley:?}"
    );
    assert_eq!(audited(CLASSES, wide(600, 1), wide(200, 2), wide(200, 3)), [""; 0]);
    let raw = "  x numeric(a, b)\n  y class(y, 2)";
    let report = run(
        &spec(raw),
        &[("train.csv", wide(600, 1)), ("val.csv", wide(200, 2)), ("test.csv", wide(200, 3))],
    );
    let known = report.found.iter().find(|d| d.rule.code == "D004").expect("raw columns are reported");
    assert!(known.notes.iter().any(|(key, _)| *key == "kappa"), "{:?}", known.notes);
    assert_eq!(found(&report).len(), 1, "one cause, one finding");
    let copies = |n, seed| table(n, seed, |_, row| row[1] = 3.0 * row[0]);
    assert_eq!(
        audited(CLASSES, copies(600, 1), copies(200, 2), copies(200, 3)),
        ["D207 info a combination of `a`, `b` never varies"]
    );
    let near = |n, seed| table(n, seed, |_, row| row[1] = row[0] + 1e-5 * row[1]);
    let collinear = audited(CLASSES, near(600, 1), near(200, 2), near(200, 3));
    assert!(
        collinear.len() == 1 && collinear[0].starts_with("D207 info the inputs are nearly collinear: kappa "),
        "{collinear:?}"
    );
}

#[test]
fn shifted_columns_are_found() {
    let moved =
        |by: f64| audited(CLASSES, plain(600, 1), plain(600, 2), table(600, 3, |_, row| row[1] += by));
    assert_eq!(moved(0.0), [""; 0]);
    assert_eq!(moved(30.0), ["D208 warning `b` has another distribution on `test` than on `train`"]);
    // Uniform numbers moved by 8 of 100 are 0.08 apart: too little for 600 rows, enough for 4,000.
    let large = audited(CLASSES, plain(4000, 1), plain(4000, 2), table(4000, 3, |_, row| row[1] += 8.0));
    assert_eq!(large, ["D208 info `b` has another distribution on `test` than on `train`"]);
    let both = audited(
        CLASSES,
        plain(600, 1),
        plain(600, 2),
        table(600, 3, |_, row| *row = [row[0] * 2.0, row[1] * 2.0, row[2]]),
    );
    assert_eq!(both, ["D208 warning 2 columns of `x` have another distribution on `test` than on `train`"]);
}

/// Under the null hypothesis the p-values of a hundred pairs of samples must not be small more often than they say.
#[test]
fn false_alarms_are_as_rare_as_promised() {
    let mut uniform = Uniform(11);
    let mut sample = |n: usize| {
        let mut values: Vec<f64> = (0..n).map(|_| uniform.next()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let small = (0..1000).filter(|_| {
        let (a, b) = (sample(80), sample(40));
        audit::significance(audit::distance(&a, &b), 80, 40) < 0.05
    });
    // Binomial(1000, 0.05) has mean 50 and deviation 6.9; discreteness makes the test careful, so only the upper end is bounded: +4 deviations.
    let count = small.count();
    assert!((20..78).contains(&count), "{count}");
}

#[test]
fn every_audit_has_a_page_and_a_code_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for audit::Audit { file, rule, check: _ } in audit::ALL {
        assert!(rule.code.starts_with("D2") && seen.insert(rule.code) && seen.insert(rule.name), "{file}");
        let page = rule.page();
        let sections =
            ["## What it checks", "## Why it matters", "## Example", "## Instead", "## References"];
        let places: Vec<Option<usize>> = sections.iter().map(|section| page.find(section)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{file}");
        assert!(rule.summary().ends_with('.') && page.contains("```text\n"), "{file}");
    }
    let codes: Vec<&str> = audit::ALL.iter().map(|audit| audit.rule.code).collect();
    assert!(codes.is_sorted(), "{codes:?}");
}

/// The specs that the repository recommends are clean, and what was measured of them is plausible.
#[test]
fn the_data_sets_of_the_repository_are_sound() {
    for path in
        crate::support::specs("specs/quickstart").into_iter().chain(crate::support::specs("specs/deep"))
    {
        let stages = Stages { data: true, statistics: true, audits: true, ..Stages::default() };
        let report = pipeline::run(&path, stages, &Options::default(), &Memory::default());
        assert!(
            report.found.is_empty(),
            "{}\n{}",
            path.display(),
            full(&report.found, &report.sources, Look::PLAIN)
        );
        let condition = report.data.and_then(|data| data.condition).expect("numeric inputs");
        assert!(
            condition.input < 1000.0 && condition.raw.is_some_and(|raw| raw > condition.input),
            "{condition:?}"
        );
    }
}

#[test]
fn shifted_classes_are_found() {
    let share =
        |per: usize, seed| table(600, seed, move |i, row| row[2] = f64::from(u8::from(i % 100 < per)));
    let moved = |per| audited(CLASSES, share(50, 1), share(50, 2), share(per, 3));
    assert_eq!(moved(50), [""; 0]);
    // 42 of 100 are within chance: X^2 = 7.8 with one degree of freedom has p = 0.005.
    assert_eq!(moved(42), [""; 0]);
    assert_eq!(moved(30), ["D211 warning `y` has other frequencies on `test` than on `train`"]);
    let rare = audited(CLASSES, share(10, 1), share(10, 2), share(3, 3));
    assert_eq!(rare, ["D211 info `y` has other frequencies on `test` than on `train`"]);
}

#[test]
fn encodings_have_a_label() {
    let section = |encoding: &str| {
        format!("  x numeric(a) |> standardize(fit=train)\n  k category(b) |> {encoding}\n  y class(y, 2)")
    };
    let words = |seed| table(300, seed, |_, row| row[1] = (row[1] / 25.0).floor());
    let net = |text: String| {
        text.replace(
            "out: linear(2, init=lecun_normal) <- x",
            "all: concat <- x, k\n out: linear(2, init=lecun_normal)",
        )
    };
    let with = |encoding: &str, test: String| {
        let files = [("train.csv", words(1)), ("val.csv", words(2)), ("test.csv", test)];
        found(&run(&net(spec(&section(encoding))), &files))
    };
    assert_eq!(with("one_hot", words(3)), [""; 0]);
    assert_eq!(with("one_hot(fit=train)", words(3)), [""; 0]);
    assert_eq!(
        with("one_hot(fit=all)", words(3)),
        ["D001 error `one_hot` of `k` is fitted on rows that it is later judged on"]
    );
    let sorted = table(300, 3, |_, row| row[1] = (row[1] / 25.0).floor().min(2.0));
    assert!(
        with("one_hot", sorted)
            .contains(&"D211 warning `b` has other frequencies on `test` than on `train`".to_owned())
    );
}

/// What the audits say, as it is shown.
#[test]
fn findings_of_rows_are_shown_in_words() {
    let wild = table(600, 1, |i, row| {
        row[0] = 7.0;
        row[2] = f64::from(u8::from(i % 300 == 0));
    });
    let copies: String =
        plain(600, 3) + &wild.lines().skip(1).take(90).fold(String::new(), |all, line| all + line + "\n");
    let section = "  x numeric(a, b) |> scale(1/255)\n  y class(y, 3)";
    let report =
        run(&spec(section), &[("train.csv", wild), ("val.csv", plain(200, 2)), ("test.csv", copies)]);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/audit"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("rows.diag", full(&report.found, &report.sources, Look::PLAIN)));
}
