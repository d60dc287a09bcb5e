//! Tokens: what may be looked up, which tokens samples hold, and what reaches the rows of a table.

use crate::support::{Memory, compiled, concise};
use wellposed::data::{self, Statistics};
use wellposed::diag::suppress::Notation;
use wellposed::exec::files::{Elements, Stored, write};
use wellposed::exec::{Feeds, Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use wellposed::graph::{Graph, Runnable};
use wellposed::pipeline::{Compiled, Options, Stages, compile, run};
use wellposed::tensor::{Mode, Tensor};
use wellposed::valid::Samples;

/// A net whose first statement is `first`, on declared inputs.
fn net(inputs: &str, first: &str) -> String {
    format!("spec 1\nmodel m\n{inputs}\nnet {{\n  {first}\n}}\n")
}

fn found(text: &str, notation: Notation) -> Vec<String> {
    let Compiled { found, sources, .. } = compiled(text, notation);
    concise(found, &sources).lines().map(str::to_owned).collect()
}

#[test]
fn only_tokens_are_looked_up() {
    let lookup = "e: embedding(5, 3) <- x";
    let of = |inputs: &str| found(&net(inputs, lookup), Notation::Dsl).concat();
    assert_eq!(of("input x: int[B, 4]"), "");
    assert_eq!(of("input x: int[B]"), "");
    for (kind, reason) in [
        ("f64[B, 4]", "it is declared as numbers"),
        ("unit[B, 4]", "it is declared as numbers"),
        ("u8[B, 4]", "it is declared as numbers"),
        ("int[B, 4] |> scale(0.5)", "`scale` makes numbers of them"),
    ] {
        let said = of(&format!("input x: {kind}"));
        assert!(said.contains("H004") && said.ends_with(reason), "{kind}: {said}");
    }
    let layer = found(
        &net("input x: f64[B, 4]", "fc: linear(2, init=he_normal)\n  e: embedding(5, 3)"),
        Notation::Dsl,
    );
    assert!(layer[0].contains("[H004] `embedding` looks up tokens, and `fc` holds none"), "{layer:?}");
}

#[test]
fn both_notations_say_the_same() {
    let dsl = net("input ids: int[B, 4]", "e: embedding(5, 3, init=normal(0.02))");
    let yaml = "spec: 1\nmodel: m\ninputs: {ids: \"int[B, 4]\"}\nnet:\n  - {id: e, embedding: {vocab: 5, dim: 3, init: normal(0.02)}}\n";
    let print = |text: &str, notation| wellposed::graph::print(&compiled(text, notation).graph);
    let printed = print(&dsl, Notation::Dsl);
    assert_eq!(printed, print(yaml, Notation::Yaml));
    let line = "e: embedding(vocab=5, dim=3) [B,4,3] params 15  init normal(0.02)  <- ids";
    assert!(printed.lines().any(|found| found == line), "{printed}");
}

/// A spec whose columns `w_plan` and `w_city` are looked up in a table of so many rows.
fn columns(rows: usize, vocabulary: &str) -> String {
    format!(
        "spec 1\nmodel m\ndata {{\n  train csv(\"t.csv\")\n  test csv(\"e.csv\")\n  k category(\"w_*\"{vocabulary})\n  y class(y, 2)\n}}\n\
         net {{\n  e: embedding({rows}, 3)\n  f: flatten\n  out: linear(2, init=lecun_normal)\n}}\n\
         train {{ loss cross_entropy(out, y)  adam(lr=1e-2) batch 4 epochs 1 seed 1 }}\n"
    )
}

fn files(spec: &str) -> Memory {
    Memory::of("m.nn", spec)
        .and("t.csv", "w_plan,w_city,y\nb,oslo,0\na,oslo,1\nb,rome,0\nc,rome,1\n")
        .and("e.csv", "w_plan,w_city,y\na,rome,0\nc,oslo,1\n")
}

fn report(spec: &str) -> Vec<String> {
    let report =
        run("m.nn".as_ref(), Stages { snapshot: false, ..Stages::ALL }, &Options::default(), &files(spec));
    concise(report.found, &report.sources)
        .lines()
        .filter(|line| line.contains("error"))
        .map(str::to_owned)
        .collect()
}

/// Two columns share the vocabulary a, b, c, oslo, rome and the table.
#[test]
fn a_word_without_a_row_is_named_once() {
    let graph = compile("m.nn".as_ref(), &files(&columns(5, ""))).expect("the spec is there").graph;
    let node = graph.nodes.handles().next().expect("a node");
    assert_eq!(graph.nodes[node].shape.as_ref().map(ToString::to_string).as_deref(), Some("[B,2,3]"));
    assert!(Runnable::new(&graph).is_some());
    assert_eq!(report(&columns(5, "")), Vec::<String>::new());
    let said = report(&columns(4, ""));
    assert_eq!(said, ["t.csv:4:3: error[D114] `rome` is word 4, counted from 0, and the table has 4 rows"]);
    let given = ", vocabulary=[\"a\", \"b\", \"c\", \"oslo\", \"rome\", \"bern\"]";
    let said = report(&columns(5, given));
    assert_eq!(said, ["m.nn:10:16: error[D114] `e` has 5 rows for 6 words of `k`"]);
    let graph = compile("m.nn".as_ref(), &files(&columns(5, given))).expect("the spec is there").graph;
    assert!(Runnable::new(&graph).is_none(), "a graph with words that have no row must not run");
}

/// Statistics of other data may hold more words than the table has rows: rows are refused, and nothing looks past the table.
#[test]
fn statistics_of_other_words_cannot_lead_past_the_table() {
    let spec = columns(5, "");
    let compiled = compile("m.nn".as_ref(), &files(&spec)).expect("the spec is there");
    let more = files(&spec).and("t.csv", "w_plan,w_city,y\nb,oslo,0\na,oslo,1\nb,york,0\nc,rome,1\n");
    let plan = compiled.graph.data.as_ref().expect("data");
    let (statistics, _): (Statistics, _) = data::fit(plan, &more);
    let refused = Samples::load(&compiled.graph, &statistics, 8, &more).expect_err("a word without a row");
    let said = concise(refused, &compiled.sources);
    assert!(said.starts_with("t.csv:4:3: error[D114] `york` is word 5"), "{said}");
    let (_, faults) = wellposed::valid::rows::check(plan, &more);
    assert!(concise(faults, &compiled.sources).contains("error[D114] `york`"));
}

#[test]
fn tokens_of_a_file_have_a_row() {
    let compiled = compiled(&net("input ids: int[B, 2]", "e: embedding(5, 3)"), Notation::Dsl);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let read = |ids: &[i64]| {
        let ids = Stored { dims: vec![ids.len() / 2, 2], elements: Elements::Whole(ids.to_vec()) };
        Feeds::from_safetensors(graph, "x.safetensors", &write(&[("ids".to_owned(), ids)].into()), false)
    };
    assert_eq!(read(&[0, 4, 4, 4]).expect("tokens").tensors[0].data, [0.0, 4.0, 4.0, 4.0]);
    for (ids, at) in [([0, 1, 5, 0], "5 at [1, 0]"), ([0, -1, 0, 0], "-1 at [0, 1]")] {
        let found = read(&ids).expect_err("no token");
        let said: Vec<&str> = found.iter().map(|d| &*d.message).collect();
        assert_eq!(said, [format!("`ids` is {at}")]);
        assert_eq!(found.iter().next().and_then(|d| d.help.as_deref()), Some("tokens are 0 to 4"));
    }
}

/// Drawn tokens are uniform: the statistic sum (n_v - n/V)^2 / (n/V) of n independent ones has the mean V - 1 and the variance 2 (V - 1).
/// A quarter repeat one before them, so that a fresh token and its repeats are the family of a branching process with mean and
/// variance m = 1/4 of children: of size s with E s = 1/(1 - m) and Var s = m/(1 - m)^3 (Harris 1963), which multiplies the statistic by
/// E s^2 / E s = 1.78. Ten standard deviations are allowed, and half of the vocabulary alone exceeds that.
#[test]
fn drawn_tokens_are_uniform_and_repeat() {
    for vocabulary in [20u32, 50_000] {
        let text = net("input ids: int[B, 8]", &format!("e: embedding({vocabulary}, 2)"));
        let graph = compiled(&text, Notation::Dsl).graph;
        let drawn = Samples::draw(&graph, 1024, 3).batch(0, 1024).remove(0).data;
        let vocabulary = f64::from(vocabulary);
        assert!(drawn.iter().all(|x| x.fract() == 0.0 && *x >= 0.0 && *x < vocabulary));
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        let statistic = |tokens: Vec<f64>| {
            let expected = 8.0 * 1024.0 / vocabulary;
            let squares: f64 =
                sorted(tokens).chunk_by(|a, b| a == b).map(|same| (same.len() as f64).powi(2)).sum();
            squares / expected - 8.0 * 1024.0
        };
        let freedom = vocabulary - 1.0;
        let bound = 1.78 * (freedom + 10.0 * (2.0 * freedom).sqrt());
        let found = statistic(drawn.clone());
        assert!(found < bound, "{found} for {vocabulary}");
        assert!(statistic(drawn.iter().map(|x| (x / 2.0).floor()).collect()) > bound);
        // Also where 64 places of 50,000 tokens agree by chance in 4 % of the batches.
        for seed in 0..20 {
            let batch = sorted(Samples::draw(&graph, 8, seed).batch(0, 8).remove(0).data);
            let repeats = batch.windows(2).filter(|pair| pair[0] == pair[1]).count();
            assert!(repeats >= 4, "{repeats} of 64 tokens repeat with seed {seed}");
        }
    }
}

fn sorted(mut data: Vec<f64>) -> Vec<f64> {
    data.sort_by(f64::total_cmp);
    data
}

/// The gradient by a row is the sum of the cotangents of its places, and exactly 0 for rows that are not looked up. With `l2` every row
/// decays besides.
#[test]
fn rows_get_the_sum_over_their_places() {
    let with = |penalty: &str| {
        format!(
            "spec 1\nmodel m\ninput ids: int[B, 3]\ntarget y: f64[B, 3, 2]\nnet {{\n  e: embedding(6, 2)\n}}\n\
             train {{ loss mse(e, y)  {penalty} }}\n"
        )
    };
    let gradient = |text: &str| {
        let compiled = compiled(text, Notation::Dsl);
        let graph = Runnable::new(&compiled.graph).expect("a complete graph");
        let weights = Weights::draw(&graph, 1);
        let ids: [u8; 6] = [4, 1, 4, 4, 0, 1];
        let y: Vec<f64> = (0..12u32).map(|i| f64::from(i * i) * 0.1).collect();
        let feeds =
            [Tensor::new(vec![2, 3], ids.map(f64::from).to_vec()), Tensor::new(vec![2, 3, 2], y.clone())];
        let settings = Settings { mode: Mode::Train, seed: 0, penalties: true };
        let mut session: Session<'_, f64> = Session::new(graph, 2, Keep::All);
        let point = weights.at(&feeds);
        session.forward(&point, settings, Tapes::Live);
        let mut gradients = Gradients::zeros::<f64>(&graph, 2);
        session.backward(&Objective::Loss, &point, settings, &Registry, &mut gradients);
        assert!(gradients.feeds.iter().all(Vec::is_empty), "tokens and targets have no derivative");
        // d mse / d y_hat = 2 (y_hat - y) / 12.
        let table = weights.params[0].data.clone();
        let mut wanted = vec![0.0; table.len()];
        for (at, id) in ids.iter().enumerate() {
            for i in 0..2 {
                let row = 2 * usize::from(*id) + i;
                wanted[row] += (table[row] - y[2 * at + i]) / 6.0;
            }
        }
        (table, gradients.params.remove(0), wanted)
    };
    let (_, plain, wanted) = gradient(&with(""));
    // Sums of at most three terms below 20.
    assert!(plain.iter().zip(&wanted).all(|(g, w)| (g - w).abs() <= 1e-14), "{plain:?} {wanted:?}");
    for row in [2, 3, 5] {
        assert!(
            plain[2 * row..2 * row + 2].iter().all(|g| g.to_bits() == 0),
            "row {row} is not looked up: {plain:?}"
        );
    }
    let (table, decayed, _) = gradient(&with("l2 0.5 on weights"));
    let decay =
        decayed.iter().zip(&plain).zip(&table).map(|((with, without), w)| (with - without - 0.5 * w).abs());
    assert!(decay.fold(0.0, f64::max) <= 1e-14, "{decayed:?}");
}

/// Rows that no token of the batch looks up neither fail nor hide a tensor: their derivative is zero by every oracle.
#[test]
fn a_table_of_mostly_unused_rows_passes() {
    let text = "spec 1\nmodel m\ninput ids: int[B, 3]\ntarget y: class(2)\nnet {\n  e: embedding(400, 2)\n  f: flatten\n  \
                out: linear(2, init=lecun_normal)\n}\ntrain { loss cross_entropy(out, y) }\n";
    let compiled = compiled(text, Notation::Dsl);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 16, 0);
    let options = wellposed::valid::gradcheck::Options::default();
    let report = wellposed::valid::gradcheck::check(graph, &samples, &options, &Registry);
    assert_eq!(report.verdict.word(), "PASS");
    assert!(report.tensors.iter().all(|tensor| tensor.verdict.word() == "PASS"), "{report:#?}");
}

/// E y^2 and the agreement of two samples, by what the analysis says of tokens that are declared and nothing else.
#[test]
fn the_analysis_knows_how_often_tokens_agree() {
    let text = net("input ids: int[B, 8]", "e: embedding(10, 4, init=normal(0.5, 2))");
    let compiled = compiled(&text, Notation::Dsl);
    let graph: &Graph = &compiled.graph;
    let node = graph.nodes.handles().next().expect("a node");
    let moments = compiled.signal.node(node).expect("moments");
    // Var w = 4 and (E w)^2 = 1/4: two of ten tokens agree with probability 1/10.
    assert!((moments.square() - 4.25).abs() < 1e-12 && (moments.mean() - 0.5).abs() < 1e-12);
    let cross = 0.25 + 4.0 * 0.1;
    assert!((moments.square() * (1.0 - moments.contrast) - cross).abs() < 1e-12, "{moments:?}");
    assert!((moments.square() * (1.0 - moments.variety) - cross).abs() < 1e-12, "{moments:?}");
}
