//! Statistics that a serving spec shares with training: every fitted step can, and every step that departs is found.

use crate::support::Memory;
use std::path::Path;
use wellposed::data::{self, Split};
use wellposed::exec::raw;
use wellposed::graph;
use wellposed::pipeline::{self, Compiled, Options, Stages, compile};
use wellposed::valid::Samples;

const DATA: &str = "a,b,c,plan,y\n1,10,7,pro,5\n2,20,,basic,8\n3,60,1,pro,2\n4,10,4,plus,9\n";
const CHAIN: &str = "impute(median, fit=train) |> select(top=2, by=correlation(y), fit=train) |> minmax(fit=train) |> standardize(fit=train)";
const STATS: &str = "stats=\"train.nn.stats.json\"";

fn train() -> String {
    format!(
        "spec 1\nmodel m\ndata {{\n  train csv(\"d.csv\")\n  x numeric(a, b, c) |> {CHAIN}\n  plan category(plan) |> one_hot\n  \
         y target(y) |> minmax(fit=train)\n}}\nnet {{\n  all: concat <- x, plan\n  out: linear(1, init=lecun_normal)\n}}\n\
         train {{ loss mse(out, y)  predict unscale(out, y) }}\n"
    )
}

/// A spec that serves rows of a file of its own with what training has fitted.
fn serve() -> String {
    let chain =
        format!("impute(median, {STATS}) |> select({STATS}) |> minmax({STATS}) |> standardize({STATS})");
    format!(
        "spec 1\nmodel m\ndata {{\n  test csv(\"new.csv\")\n  x numeric(a, b, c) |> {chain}\n  plan category(plan) |> one_hot({STATS})\n  \
         y target(y) |> minmax({STATS})\n}}\nnet {{\n  all: concat <- x, plan\n  out: linear(1, init=lecun_normal)\n}}\n\
         train {{ predict unscale(out, y) }}\n"
    )
}

/// The files of a project in which training has stored its statistics.
fn project(train: &str, serve: &str) -> Memory {
    let files = Memory::of("train.nn", train)
        .and("serve.nn", serve)
        .and("d.csv", DATA)
        .and("new.csv", "a,b,c,plan,y\n2,30,,plus,3\n9,10,2,basic,1\n");
    let compiled = compile(Path::new("train.nn"), &files).expect("a spec");
    let (statistics, faults) = data::fit(compiled.graph.data.as_ref().expect("data"), &files);
    assert!(faults.is_empty(), "{faults:?}");
    files.and("train.nn.stats.json", statistics.to_text())
}

fn spec(path: &str, files: &Memory) -> Compiled {
    let compiled = compile(Path::new(path), files).expect("a spec");
    assert!(compiled.found.iter().all(|d| !"SNHY".contains(&d.rule.code[..1])), "{:?}", compiled.found);
    compiled
}

/// The findings of both specs checked together: code and message. That two scales follow each other is meant, so that every kind of step is there.
fn together(train: &str, serve: &str) -> Vec<String> {
    let files = project(train, serve);
    let examine =
        |path: &str| pipeline::examine(Path::new(path), Stages::default(), &Options::default(), &files);
    let (mut one, mut other) = (examine("train.nn"), examine("serve.nn"));
    pipeline::compare(&mut [&mut one, &mut other], &files);
    let reports = [one.conclude(), other.conclude()];
    let found = reports.iter().flat_map(|report| &report.found).filter(|d| d.rule.code != "D003");
    found.map(|d| format!("{} {}", d.rule.code, d.message)).collect()
}

/// Of the columns `a` and `c` go with `y` best: `y` is 5, 8, 2, 9 about 6, `a` has the product -1.5 (-1) + -0.5 (2) + 0.5 (-4) + 1.5 (3) = 3 of
/// 5 * 30 squares; `c` without a value takes the median 4 and has 3 (-1) + 0 (2) - 3 (-4) + 0 (3) = 9 of 18 * 30 squares; `b` has 15 (1) - 5 (2) -
/// 35 (4) - 15 (3) = -180 of 1700 * 30.
#[test]
fn a_serving_spec_sees_what_training_saw() {
    let files = project(&train(), &serve());
    let (train, serve) = (spec("train.nn", &files), spec("serve.nn", &files));
    let plan = |compiled: &Compiled| compiled.graph.data.clone().expect("data");
    let (statistics, _) = data::fit(&plan(&train), &files);
    // The file beside the serving spec would be empty: it fits nothing.
    let (own, found) = data::fit(&plan(&serve), &files);
    assert!(own.groups.is_empty() && found.is_empty(), "{own:?}");
    let rows = Memory::clone(&files).and("d.csv", "a,b,c,plan,y\n2,30,,plus,3\n9,10,2,basic,1\n");
    let one = data::load(&plan(&train), Split::Train, &statistics, 10, 0, &rows).expect("rows");
    let other = data::load(&plan(&serve), Split::Test, &own, 10, 0, &rows).expect("rows");
    for name in ["x", "plan", "y"] {
        assert_eq!(one.groups[name], other.groups[name], "{name}");
    }
    // Scores .245, .797 and .387: `b` and `c` are kept. Word 2 of basic, plus, pro.
    assert_eq!(one.groups["x"].dims, [2, 2]);
    assert_eq!(one.groups["plan"].data, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let text = graph::print(&serve.graph);
    for part in [
        "data x: numeric[3] |> impute([2.5, 15, 4], from=\"train.nn.stats.json\") |> select(columns=[1, 2], of=3, from=\"train.nn.stats.json\")",
        "|> minmax(min=[10, 1], max=[60, 7], from=\"train.nn.stats.json\") |> standardize(mean=",
        "data plan: category[3] \"basic\", \"plus\", \"pro\" |> one_hot",
        "data y: target[1] |> minmax(min=2, max=9, from=\"train.nn.stats.json\")",
        "predict unscale(out, y)",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(together(&self::train(), &self::serve()), [""; 0]);
}

/// A declared input has no columns: the choice is by their places, and the net sees what is left.
#[test]
fn a_declared_input_shares_them_too() {
    let train =
        train().replace("\n  plan category(plan) |> one_hot", "").replace("  all: concat <- x, plan\n", "");
    let chain =
        format!("impute(median, {STATS}) |> select({STATS}) |> minmax({STATS}) |> standardize({STATS})");
    let serve = format!(
        "spec 1\nmodel m\ninput x: f64[B, 3] |> {chain}\ntarget y: f64[B, 1] |> minmax({STATS})\n\
         net {{\n  out: linear(1, init=lecun_normal)\n}}\ntrain {{ predict unscale(out, y) }}\n"
    );
    assert_eq!(together(&train, &serve), [""; 0]);
    let files = project(&train, &serve);
    let compiled = spec("serve.nn", &files);
    assert!(graph::print(&compiled.graph).contains("input x: f64[B,3] |> impute("));
    assert!(
        graph::print(&compiled.graph).contains("out: linear(out=1) [B,1] params 3"),
        "{}",
        graph::print(&compiled.graph)
    );
    assert_eq!(Samples::draw(&compiled.graph, 5, 0).batch(0, 5)[0].dims, [5, 2]);
    // A raw row in a tensor file has three numbers, and becomes what training makes of it.
    let header = "{\"x\":{\"dtype\":\"F64\",\"shape\":[1,3],\"data_offsets\":[0,24]}}";
    let mut bytes = u64::try_from(header.len()).expect("short").to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([2.0f64, 30.0, 4.0].iter().flat_map(|x| x.to_le_bytes()));
    let none = data::Statistics::default();
    let served = raw::transform(&compiled.graph, &none, "x.safetensors", &bytes).expect("a raw row");
    let n = served.len();
    let last = |i: usize| f64::from_le_bytes(served[n - 16 + 8 * i..][..8].try_into().expect("eight bytes"));
    let plan = spec("train.nn", &files).graph.data.clone().expect("data");
    let (statistics, _) = data::fit(&plan, &files);
    let rows = files.and("d.csv", "a,b,c,plan,y\n2,30,4,plus,3\n");
    let trained =
        data::load(&plan, Split::Train, &statistics, 1, 0, &rows).expect("a row").groups["x"].data.clone();
    assert_eq!([last(0), last(1)], trained[..]);
    let other = serve.replace("f64[B, 3]", "f64[B, 4]");
    let found: Vec<String> = together(&train, &other);
    assert!(
        found.iter().any(|line| line == "H001 `select` chooses from 3 columns, and there are 4"),
        "{found:?}"
    );
    let words = serve.replace(&format!("impute(median, {STATS})"), "one_hot");
    assert!(
        together(&train, &words).contains(&"S004 `x` holds numbers: `one_hot` needs a category".to_owned())
    );
}

/// For every kind of step a departure of the serving spec: constants written out, other columns, other words, another order.
#[test]
fn skew_of_every_step_is_found() {
    let plan = format!("category(plan) |> one_hot({STATS})");
    for (from, to, wanted) in [
        (
            "impute(median, STATS)",
            "impute([2.5, 15, 5])",
            "`impute` of `x` has other constants than in train.nn",
        ),
        ("impute(median, STATS)", "impute(4)", "`impute` of `x` has other constants than in train.nn"),
        (
            "|> select(STATS)",
            "|> select(columns=[0, 2])",
            "`select` of `x` has other constants than in train.nn",
        ),
        (
            "|> minmax(STATS) |> st",
            "|> minmax(min=[10, 1], max=[60, 8]) |> st",
            "`minmax` of `x` has other constants than in train.nn",
        ),
        (
            "standardize(STATS)",
            "standardize(mean=[0.3, 0.5], std=[0.4, 0.4])",
            "`standardize` of `x` has other constants than in train.nn",
        ),
        (
            "|> minmax(STATS) |> standardize(STATS)",
            "|> standardize(STATS) |> minmax(STATS)",
            "`x` is prepared otherwise than in train.nn: the net sees other numbers",
        ),
        (
            &plan,
            "category(plan, [\"basic\", \"pro\", \"plus\"]) |> one_hot",
            "`plan` has other words than in train.nn",
        ),
        (
            "minmax(STATS)\n}",
            "minmax(min=0, max=9)\n}",
            "`minmax` of `y` has other constants than in train.nn",
        ),
        ("numeric(a, b, c)", "numeric(a, c, b)", "`x` has other columns than in train.nn"),
    ] {
        let from = from.replace("STATS", STATS);
        assert!(serve().contains(&from), "{from}");
        let found = together(&train(), &serve().replace(&from, &to.replace("STATS", STATS)));
        assert_eq!(found, [format!("D006 {wanted}")], "{to}");
    }
    // Constants that are right to seven digits, and the same words, are no departure.
    for (from, to) in [
        ("impute(median, STATS)", "impute([2.5, 15.000001, 4])"),
        ("|> select(STATS)", "|> select(columns=[1, 2])"),
        ("|> minmax(STATS) |> st", "|> minmax(min=[10, 1], max=[60.000001, 7]) |> st"),
        (&plan, "category(plan, [\"basic\", \"plus\", \"pro\"]) |> one_hot"),
    ] {
        let found = together(&train(), &serve().replace(&from.replace("STATS", STATS), to));
        assert_eq!(found, [""; 0], "{to}");
    }
}

/// Fitted on other rows with statistics of its own: the numbers, the words and the chosen columns are compared.
#[test]
fn skew_between_two_fits_is_found() {
    let serve = train().replace("train csv(\"d.csv\")", "train csv(\"e.csv\")");
    let with = |rows: &str| {
        let files = project(&train(), &serve).and("e.csv", rows);
        let plan = spec("serve.nn", &files).graph.data.clone().expect("data");
        let (own, faults) = data::fit(&plan, &files);
        assert!(faults.is_empty(), "{faults:?}");
        let files = files.and("serve.nn.stats.json", own.to_text());
        let examine =
            |path: &str| pipeline::examine(Path::new(path), Stages::default(), &Options::default(), &files);
        let (mut one, mut other) = (examine("train.nn"), examine("serve.nn"));
        pipeline::compare(&mut [&mut one, &mut other], &files);
        let found = other.conclude().found;
        found.iter().filter(|d| d.rule.code == "D006").map(|d| d.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(with(DATA), [""; 0]);
    assert_eq!(with(&DATA.replace("plus", "more")), ["`plan` has other words than in train.nn"]);
    assert_eq!(with(&DATA.replace(",60,", ",50,")), ["`minmax` of `x` has other constants than in train.nn"]);
    let other = "a,b,c,plan,y\n1,10,7,pro,1\n2,20,,basic,2\n3,60,1,pro,3\n4,10,4,plus,4\n";
    let found = with(other);
    assert_eq!(found[0], "`select` of `x` has other constants than in train.nn", "{found:?}");
}

#[test]
fn what_the_file_does_not_give_is_reported() {
    let found = |from: &str, to: &str| {
        let from = from.replace("STATS", STATS);
        assert!(serve().contains(&from), "{from}");
        together(&train(), &serve().replacen(&from, &to.replace("STATS", STATS), 1))
    };
    for (from, to, wanted) in [
        (
            "x numeric(a, b, c) |>",
            "z numeric(a, b, c) |>",
            "N001 `train.nn.stats.json` has no statistics of `impute` for `z`",
        ),
        (
            "|> select(STATS)",
            "|> select(STATS) |> select(STATS)",
            "N001 `train.nn.stats.json` has no statistics of `select` for `x`",
        ),
        (
            "|> select(STATS)",
            "|> select(STATS, top=1)",
            "S006 `stats=` names the file of all constants; nothing else is given",
        ),
        (
            "impute(median, STATS)",
            "impute(median, fit=test, STATS)",
            "S006 `stats=` names the file of all constants; nothing else is given",
        ),
        (
            "y target(y) |> minmax(STATS)",
            "y target(y) |> standardize(STATS)",
            "N001 `train.nn.stats.json` has no statistics of `standardize` for `y`",
        ),
        ("category(plan) |>", "category(plan, [\"pro\"]) |>", "S006 the vocabulary is given twice"),
        ("|> select(STATS)", "|> select(stats=3)", "S004 `3` is no path of a statistics file"),
    ] {
        let found = found(from, to);
        assert!(found.iter().any(|line| line == wanted), "{to}: {found:?}");
    }
    // Edited files are refused, never believed.
    let files = project(&train(), &serve());
    let text = {
        use wellposed::source::Loader;
        let bytes = files.read(Path::new("train.nn.stats.json"), 1 << 20).expect("a file");
        String::from_utf8(bytes).expect("text")
    };
    let name = "              \"b\",\n";
    assert!(text.contains(name), "{text}");
    for (from, to) in [(name, ""), (name, "              \"z\",\n")] {
        let files = project(&train(), &serve()).and("train.nn.stats.json", text.replacen(from, to, 1));
        let found = compile(Path::new("serve.nn"), &files).expect("a spec").found;
        assert!(found.iter().any(|d| d.message.contains("is damaged")), "{found:?}");
    }
}
