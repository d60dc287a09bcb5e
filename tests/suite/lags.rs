//! Numbers of earlier rows: what a row sees, what it never sees, and what is refused.

use crate::support::Memory;
use std::collections::BTreeMap;
use std::path::Path;
use wellposed::data::{self, Split, Statistics};
use wellposed::pipeline::{self, Options, Stages, compile};

/// Fourteen hours of two meters in turn; the load of hour h is h^2, and -h^2 at the second one.
fn rows() -> Vec<(usize, usize, i64)> {
    (0..14)
        .flat_map(|hour: i64| [(0, hour), (1, hour)])
        .map(|(meter, hour)| {
            let sign = if meter == 0 { 1 } else { -1 };
            (meter, usize::try_from(hour).expect("small"), sign * hour * hour)
        })
        .collect()
}

fn csv(rows: &[(usize, usize, i64)]) -> String {
    let line = |(meter, hour, load): &(usize, usize, i64)| format!("m{meter},{hour},{load}\n");
    format!("meter,hour,load\n{}", rows.iter().map(line).collect::<String>())
}

fn spec(rule: &str, chain: &str) -> String {
    format!(
        "spec 1\nmodel m\ndata {{\n  all csv(\"d.csv\")\n  split by {rule} train 60 val 20 test 20\n  x numeric(load) |> {chain}\n  \
         y target(load)\n}}\nnet {{ out: linear(1, init=lecun_normal) <- x }}\ntrain {{ loss mse(out, y) }}\n"
    )
}

const RULE: &str = "time(hour, group=meter)";

/// The features and the target of every row of a split; statistics are those of `fitted`, or of the rows.
fn load(
    rule: &str,
    chain: &str,
    rows: &[(usize, usize, i64)],
    split: Split,
    fitted: Option<&Statistics>,
) -> (Vec<f64>, Vec<f64>) {
    let files = Memory::of("m.nn", spec(rule, chain)).and("d.csv", csv(rows));
    let compiled = compile(Path::new("m.nn"), &files).expect("a spec");
    let plan = compiled.graph.data.as_ref().expect("data");
    let (own, faults) = data::fit(plan, &files);
    assert!(faults.is_empty(), "{faults:?}");
    let loaded = data::load(plan, split, fitted.unwrap_or(&own), 1000, 0, &files).expect("rows");
    (loaded.groups["x"].data.clone(), loaded.groups["y"].data.clone())
}

#[test]
fn a_row_sees_the_rows_before_it_in_its_series() {
    // Cuts stand at hours 8 and 11 of 14: 60 and 80 % of 28 rows begin with ranks 16 and 22.
    let (x, y) = load(RULE, "lag([1, 3])", &rows(), Split::Train, None);
    let expected: Vec<(f64, f64, f64)> = (3..8)
        .flat_map(|hour| [1, -1].map(|sign| (hour, sign)))
        .map(|(hour, sign)| {
            let load = |hour: i32| f64::from(sign * hour * hour);
            (load(hour - 1), load(hour - 3), load(hour))
        })
        .collect();
    assert_eq!(x, expected.iter().flat_map(|(one, three, _)| [*one, *three]).collect::<Vec<_>>());
    assert_eq!(
        y,
        expected.iter().map(|(.., load)| *load).collect::<Vec<_>>(),
        "rows without a past go from every group"
    );
    // The first rows of the test see the last rows of validation.
    let (x, y) = load(RULE, "lag([1, 3])", &rows(), Split::Test, None);
    assert_eq!((&x[..4], &y[..2]), (&[100.0, 64.0, -100.0, -64.0][..], &[121.0, -121.0][..]));
    // Without groups the rows of both meters are one series.
    let (x, _) = load("time(hour)", "lag(1)", &rows(), Split::Train, None);
    assert_eq!(x[..4], [0.0, -0.0, 1.0, -1.0].map(|x: f64| x + 0.0));
}

/// Whatever happens later, the features of a row stay what they are (research: static.md T7).
#[test]
fn later_rows_move_nothing() {
    let chain = "lag([1, 2, 5]) |> standardize(fit=train)";
    let files = Memory::of("m.nn", spec(RULE, chain)).and("d.csv", csv(&rows()));
    let compiled = compile(Path::new("m.nn"), &files).expect("a spec");
    let (fitted, _) = data::fit(compiled.graph.data.as_ref().expect("data"), &files);
    assert_eq!(fitted.groups["x"].columns, ["load[-1]", "load[-2]", "load[-5]"]);
    let all = |rows: &[(usize, usize, i64)]| load(RULE, chain, rows, Split::All, Some(&fitted)).0;
    let before = all(&rows());
    let mut moved = 0;
    for at in 10..14 {
        let changed: Vec<_> =
            rows().into_iter().map(|(m, h, load)| (m, h, if h >= at { load + 1000 } else { load })).collect();
        let after = all(&changed);
        // Hours 5 to 13 have a past, six numbers each; hour `at` itself does not see its own value.
        let kept = (at - 5 + 1) * 6;
        assert_eq!(before[..kept], after[..kept], "hour {at}");
        moved += usize::from(before[kept..] != after[kept..]);
    }
    assert_eq!(moved, 3, "the rows behind it see the change, where there are any");
}

/// Errors of a spec and its rows: code and message.
fn found(rule: &str, chain: &str, text: &str) -> Vec<String> {
    let files = Memory::of("m.nn", spec(rule, chain)).and("d.csv", text);
    let stages = Stages { data: true, statistics: true, ..Stages::default() };
    let report = pipeline::run(Path::new("m.nn"), stages, &Options::default(), &files);
    let mut lines: Vec<String> = report
        .found
        .iter()
        .map(|d| {
            let labels: Vec<&str> = d.labels.iter().map(|label| label.text.as_str()).collect();
            format!("{} {} | {}", d.rule.code, d.message, labels.join(", "))
        })
        .collect();
    lines.dedup();
    lines
}

#[test]
fn what_looks_ahead_is_an_error_that_names_both_places() {
    let data = csv(&rows());
    let first = |rule: &str, chain: &str| found(rule, chain, &data).into_iter().next().unwrap_or_default();
    assert_eq!(
        first(RULE, "lag([1, -1])"),
        "D021 `lag` by -1 takes later rows: they are not known when the row is | rows have this order in time"
    );
    assert_eq!(
        first(RULE, "lag([0, 1])"),
        "D021 `x` holds the answer: `lag` by 0 of `load` | to be predicted"
    );
    assert!(
        !found(RULE, "lag(1) |> standardize(fit=train)", &data).iter().any(|line| line.starts_with("D0"))
    );
    // Statistics of later rows look ahead as they do without a lag.
    let leaking = found(RULE, "lag(1) |> standardize(fit=all)", &data);
    assert!(leaking.iter().any(|line| line.starts_with("D001")), "{leaking:?}");
}

#[test]
fn what_has_no_order_is_refused() {
    let data = csv(&rows());
    for (rule, chain, wanted) in [
        ("hash(hour)", "lag(1)", "S005 `lag` needs one file whose rows have an order in time"),
        (RULE, "standardize(fit=train) |> lag(1)", "S004 `lag` stands first in a chain of numeric columns"),
        (RULE, "lag([1, 1])", "S004 `rows` of `lag` is `[1, 1]`"),
        (RULE, "lag(0.5)", "S004 `rows` of `lag` is `0.5`"),
        (RULE, "lag([])", "S004 `rows` of `lag` is `[]`"),
        (RULE, "lag(99)", "D109 the split `train` has no rows"),
    ] {
        let found = found(rule, chain, &data);
        assert!(found.iter().any(|line| line.starts_with(wanted)), "{chain}: {found:?}");
    }
    let mut shuffled = rows();
    shuffled.swap(4, 20);
    let found = found(RULE, "lag(1)", &csv(&shuffled));
    assert!(found.iter().any(|line| line.starts_with("D113 `3` stands behind `10`")), "{found:?}");
    let declared =
        "spec 1\nmodel m\ninput x: f64[B, 2] |> lag(1)\nnet { out: linear(1, init=lecun_normal) }\n";
    let compiled = compile(Path::new("m.nn"), &Memory::of("m.nn", declared)).expect("a spec");
    assert!(
        compiled
            .found
            .iter()
            .any(|d| d.message == "`x` has no earlier rows: `lag` needs the columns of a file")
    );
}

/// Statistics, choices and the compiled graph know the numbers by their lag.
#[test]
fn lagged_columns_have_names() {
    let chain = "lag([1, 2, 5]) |> select(top=2, by=correlation(y), fit=train) |> standardize(fit=train)";
    let files = Memory::of("m.nn", spec(RULE, chain)).and("d.csv", csv(&rows()));
    let compiled = compile(Path::new("m.nn"), &files).expect("a spec");
    let text = wellposed::graph::print(&compiled.graph);
    let line = "data x: numeric[1] |> lag([1, 2, 5]) |> select(top=2, by=correlation(y), fit=train) |> standardize(fit=train)";
    assert!(text.contains(line) && text.contains("params 3"), "{text}");
    let (fitted, _) = data::fit(compiled.graph.data.as_ref().expect("data"), &files);
    let json: BTreeMap<String, serde_json::Value> = serde_json::from_str(&fitted.to_text()).expect("JSON");
    let kept = &json["groups"]["x"]["steps"][0]["select"]["columns"];
    assert_eq!(
        kept,
        &serde_json::json!(["load[-1]", "load[-2]"]),
        "the nearest hours tell most of a parabola"
    );
    assert_eq!(fitted.groups["x"].rows, 6, "hours 5 to 7 of two meters");
}
