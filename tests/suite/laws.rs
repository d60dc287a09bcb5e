//! Every law notices its own fault, shrinks it and replays it, and passes where there is none.
//!
//! A fault is planted in what comes out of a run, or in the spec where the law is about the spec itself. `table` prints, for each law,
//! in how many of N base seeds its fault is found and the smallest case that is left.

use crate::support::Memory;
use std::cell::Cell;
use wellposed::exec::{Keep, Registry, Reverse, Session, Weights};
use wellposed::graph::{Graph, Handle, Node, Runnable};
use wellposed::optim;
use wellposed::pipeline::compile;
use wellposed::scalar::Scalar;
use wellposed::tensor::{Mode, ViewMut};
use wellposed::valid::chains::{Behind, Chain, Column, Scaling};
use wellposed::valid::properties::predicted_scale::{inputs, judge};
use wellposed::valid::properties::{
    ALL, Fault, Options, Overall, Ran, Report, Run, Subject, Verdict, run_one, run_with,
};
use wellposed::valid::{Samples, gradcheck, scale};

/// A small model in which every law has something to say.
const RICH: &str = "spec 1
model rich()
input x: f64[B, 32]
target y: class(4)
net {
  stem: linear(32, init=he_normal)  <- x
        batch_norm
        relu
  mix:  residual {
    up:   linear(32, init=he_normal)
          layer_norm
          tanh
    down: linear(32, init=xavier_normal)
  }
        dropout(0.3)
  idle: dropout(0.0)
  out:  linear(4, init=lecun_normal)
}
train { loss cross_entropy(out, y)  l2 1e-3 on weights  adam(lr=1e-3) }
";

/// A net of ReLUs without biases.
const PLAIN: &str = "spec 1
model plain()
input x: f64[B, 16]
target y: f64[B, 4]
net {
  a: linear(16, init=he_normal)
     relu
  b: linear(16, init=he_normal, bias=false)
     relu
  out: linear(4, init=lecun_normal)
}
train { loss mse(out, y) }
";

/// Probabilities.
const SOFT: &str = "spec 1
model soft()
input x: f64[B, 16]
target y: class(4)
net {
  a: linear(16, init=he_normal)
     relu
  out: linear(4, init=lecun_normal)
     softmax
}
train { loss nll(out.softmax, y) }
";

/// Maps.
const MAPS: &str = "spec 1
model maps()
input x: f64[B, 2, 12, 12]
target y: class(4)
net {
  c1: conv2d(4, kernel=3, pad=1, init=he_normal)  <- x
      batch_norm
      relu
      max_pool(2)
  c2: conv2d(4, kernel=3, pad=1, init=he_normal)
      relu
      global_avg_pool
  out: linear(4, init=lecun_normal)
}
train { loss cross_entropy(out, y) }
";

/// A sequence with an answer for each position.
const SEQUENCE: &str = "spec 1
model sequence()
input x: f64[B, 6, 8]
target y: f64[B, 6, 4]
net {
  h: linear(8, init=lecun_normal)  <- x
  p: position_embedding
  q: linear(8, init=lecun_normal)  <- p
  k: linear(8, init=lecun_normal)  <- p
  v: linear(8, init=lecun_normal)  <- p
  mix: attention(2, causal=true)   <- q, k, v
  out: linear(4, init=lecun_normal)
}
train { loss mse(out, y) }
";

/// One law on a text.
fn report(law: &str, text: &str, seed: u64, fault: Fault<'_>) -> Report {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).unwrap_or_else(|| panic!("{:?}\n{text}", compiled.found));
    let samples = Samples::draw(&compiled.graph, 64, 0);
    let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
    run_one(law, subject, &Options { seed, ..Options::default() }, fault).expect("a law")
}

fn reports(text: &str, seed: u64, fault: Fault<'_>) -> Vec<Report> {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).unwrap_or_else(|| panic!("{:?}\n{text}", compiled.found));
    let samples = Samples::draw(&compiled.graph, 64, 0);
    let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
    run_with(subject, &Options { seed, ..Options::default() }, fault)
}

fn of<'r>(reports: &'r [Report], law: &str) -> &'r Report {
    reports.iter().find(|report| report.name == law).unwrap_or_else(|| panic!("no law `{law}`"))
}

/// The nodes of an operator.
fn all<'g>(graph: &'g Graph, op: &'g str) -> impl Iterator<Item = Handle<Node>> + 'g {
    graph.nodes.iter().filter(move |(_, node)| node.op.name() == op).map(|(handle, _)| handle)
}

fn node(graph: &Graph, op: &str) -> usize {
    all(graph, op).next().expect("the model has one").index()
}

fn named(graph: &Graph, path: &str) -> usize {
    let (handle, _) =
        graph.nodes.iter().find(|(_, node)| node.path.to_string() == path).expect("the model has it");
    handle.index()
}

fn output(graph: &Graph) -> usize {
    let Some(wellposed::graph::Source::Node(output)) = graph.prediction() else { panic!("a prediction") };
    output.index()
}

type Planted = Box<dyn Fn(&Graph, Run, &mut Ran)>;

fn gradient(graph: &Graph, path: &str) -> usize {
    graph.params.iter().find(|(_, param)| param.path == path).expect("the model has it").0.index()
}

/// Moves the gradient of a tensor, where there is one.
fn nudge(graph: &Graph, ran: &mut Ran, path: &str) {
    if let Some(gradient) = ran.gradients.get_mut(gradient(graph, path)) {
        gradient.iter_mut().for_each(|g| *g += 1e-6);
    }
}

/// By law: a model that it speaks of, and a fault.
fn faults() -> Vec<(&'static str, &'static str, Planted)> {
    let calls = Cell::new(0.0);
    let scale = |factor: f64| move |values: &mut Vec<f64>| values.iter_mut().for_each(|x| *x *= factor);
    vec![
        ("finite", RICH, Box::new(|g, _, ran| ran.values[node(g, "relu")][0] = f64::NAN)),
        (
            "repeatable",
            RICH,
            Box::new(move |g, _, ran| {
                calls.set(calls.get() + 1.0);
                ran.values[node(g, "tanh")][0] += 1e-9 * calls.get();
            }),
        ),
        (
            "eval-determinism",
            RICH,
            Box::new(|g, run, ran| {
                if run.mode == Mode::Eval && run.seed % 2 == 1 {
                    ran.values[node(g, "dropout")][0] += 1e-12;
                }
            }),
        ),
        ("batch-permutation", RICH, Box::new(|g, _, ran| ran.values[output(g)][0] += 1e-3)),
        (
            "sample-independence",
            RICH,
            Box::new(|g, run, ran| {
                let values = &mut ran.values[output(g)];
                let (first, width) = (values[0], values.len() / run.batch);
                values[width..].iter_mut().for_each(|x| *x += 1e-9 * first);
            }),
        ),
        (
            "duplicated-batch",
            RICH,
            Box::new(|_, run, ran| {
                let n = f64::from(u32::try_from(run.batch).expect("a small batch"));
                ran.gradients.iter_mut().for_each(|gradient| gradient.iter_mut().for_each(|g| *g *= n));
            }),
        ),
        (
            "row-alone",
            RICH,
            Box::new(move |g, run, ran| {
                if run.batch > 1 {
                    scale(1.01)(&mut ran.values[output(g)]);
                }
            }),
        ),
        ("reference", RICH, Box::new(move |g, _, ran| scale(1.0 + 1e-6)(&mut ran.values[output(g)]))),
        (
            "passes",
            RICH,
            Box::new(|_, _, ran| ran.gradients.iter_mut().take(1).for_each(|gradient| gradient[0] += 1e-12)),
        ),
        ("penalty", RICH, Box::new(|_, _, ran| ran.penalty *= 2.0)),
        ("homogeneity", PLAIN, Box::new(|g, _, ran| ran.values[output(g)][0] += 1e-3)),
        ("zero-branch", RICH, Box::new(|g, _, ran| ran.values[node(g, "add")][0] += 1e-9)),
        (
            "norm-moments",
            RICH,
            Box::new(move |g, _, ran| {
                scale(31f64.sqrt() / 32f64.sqrt())(&mut ran.values[node(g, "layer_norm")]);
            }),
        ),
        ("norm-invariance", RICH, Box::new(|g, _, ran| nudge(g, ran, "stem.bias"))),
        ("softmax-rows", SOFT, Box::new(|g, _, ran| ran.values[node(g, "softmax")][0] += 1e-12)),
        (
            "weights-file",
            RICH,
            Box::new(|_, _, ran| ran.file.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1)),
        ),
        (
            "translation",
            MAPS,
            Box::new(|g, _, ran| {
                let values = &mut ran.values[node(g, "conv2d")];
                values
                    .iter_mut()
                    .zip((0..12).cycle())
                    .for_each(|(x, column)| *x += 1e-12 * f64::from(column));
            }),
        ),
        (
            "attention-order",
            SEQUENCE,
            Box::new(|g, _, ran| {
                let values = &mut ran.values[node(g, "attention")];
                values
                    .chunks_mut(8)
                    .zip((0..6).cycle())
                    .for_each(|(row, t)| row[0] *= 1.0 + 1e-6 * f64::from(t));
            }),
        ),
        // The first position gets a part of the last one's value.
        (
            "causality",
            SEQUENCE,
            Box::new(|g, _, ran| {
                let ahead = ran.values[named(g, "v")][40];
                ran.values[node(g, "attention")][0] += 1e-12 * ahead;
            }),
        ),
        // The last position gets a part of the first one's gradient.
        (
            "causality",
            SEQUENCE,
            Box::new(|g, _, ran| {
                let v = named(g, "v");
                if !ran.cotangents.is_empty() {
                    ran.cotangents[v][40] += 1e-12 * ran.cotangents[v][0];
                }
            }),
        ),
        (
            "keep-all",
            RICH,
            Box::new(|g, run, ran| {
                if run.mode == Mode::Train {
                    ran.values[node(g, "dropout")][0] += 1e-12;
                }
            }),
        ),
        (
            "dropout",
            RICH,
            Box::new(move |g, run, ran| {
                if run.mode == Mode::Train {
                    scale(0.7)(&mut ran.values[node(g, "dropout")]);
                }
            }),
        ),
        ("live-units", RICH, Box::new(|g, _, ran| ran.values[node(g, "relu")].fill(0.0))),
        ("loss-at-init", PLAIN, Box::new(|_, _, ran| ran.loss *= 4.0)),
        ("learns", PLAIN, Box::new(|_, _, ran| ran.loss = 1.0)),
    ]
}

/// The laws whose faults lie in a spec or in a sampler, and are tested where those are.
const ELSEWHERE: [&str; 3] = ["symmetry", "predicted-scale", "normalised"];

#[test]
fn every_law_finds_its_fault_and_passes_without() {
    let faults = faults();
    for law in ALL {
        let known = faults.iter().any(|(name, ..)| *name == law.name) || ELSEWHERE.contains(&law.name);
        assert!(known, "`{}` has no fault that it finds", law.name);
    }
    for (law, text, fault) in &faults {
        let sound = report(law, text, 0, Fault::default());
        assert_eq!(sound.verdict, Verdict::Pass, "{sound:?}");
        for seed in 0..3 {
            let found = report(law, text, seed, Fault(Some(&**fault)));
            assert_eq!(found.verdict, Verdict::Fail, "{law}: {found:?}");
            let replay = found.replay.expect("a case");
            assert!(replay.starts_with(law), "{replay}");
            println!("{law}: {replay}: {}", found.detail);
        }
    }
}

/// The table of all laws: in how many of 50 base seeds each finds its fault, and the smallest case that is left.
#[test]
#[ignore = "a table, for `cargo test --release --test suite laws::table -- --ignored --nocapture`"]
fn table() {
    const SEEDS: u64 = 50;
    println!("| law | fault in | detected | smallest case |\n| --- | --- | --- | --- |");
    let row = |law: &str, at: &str, find: &dyn Fn(u64) -> Report| {
        let mut smallest: Option<String> = None;
        let mut found = 0;
        for seed in 0..SEEDS {
            let report = find(seed * 1000);
            found += u64::from(report.verdict == Verdict::Fail);
            let shorter = |known: &String, new: &String| (new.len(), new) < (known.len(), known);
            if let Some(new) = report.replay
                && smallest.as_ref().is_none_or(|known| shorter(known, &new))
            {
                smallest = Some(new);
            }
        }
        println!("| `{law}` | {at} | {found} of {SEEDS} | `{}` |", smallest.unwrap_or_default());
        assert_eq!(found, SEEDS, "{law}");
    };
    let model = |text: &str| text.lines().nth(1).unwrap_or_default().replace("()", "");
    for (law, text, fault) in &faults() {
        row(law, &model(text), &|seed| report(law, text, seed, Fault(Some(&**fault))));
    }
    row("predicted-scale", "twice the variance", &|seed| {
        let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", &*wide())).expect("the spec is there");
        let graph = Runnable::new(&compiled.graph).expect("a complete graph");
        let samples = Samples::draw(&compiled.graph, 64, 0);
        let subject = Subject { graph: &compiled.graph, runnable: graph, samples: &samples };
        let feeds = inputs(subject, seed);
        let draw = |seed| {
            let mut weights = Weights::draw(&compiled.graph, seed);
            weights.params[0].data.iter_mut().for_each(|w| *w *= 2f64.sqrt());
            weights
        };
        let scales = scale::measure(graph, &feeds, Mode::Train, seed..seed + 24, draw);
        let Overall { verdict, cases, detail } = judge(subject, &feeds, &scales);
        Report { name: "predicted-scale", verdict, cases, detail, replay: None }
    });
    row("normalised", "a column off by a thousandth", &|seed| normalised(seed));
    row("symmetry", "constant weights", &|seed| report("symmetry", &constant(), seed, Fault::default()));
    row("symmetry", "two equal heads", &|seed| report("symmetry", &equal_heads(), seed, Fault::default()));
    row("learns", "zero weights on both sides", &|seed| {
        report("learns", &standing(), seed, Fault::default())
    });
}

/// Layers that are wide enough for a prediction.
fn wide() -> String {
    PLAIN.replace("linear(16", "linear(64")
}

/// The law on fitted steps where one of them leaves a mean behind.
fn normalised(seed: u64) -> Report {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", PLAIN)).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let column = Column {
        name: "age".to_owned(),
        count: 100,
        mean: 1e-3,
        square: 1.0,
        least: -2.0,
        most: 2.0,
        offset: 1.0,
        constant: false,
    };
    let step = Behind {
        step: "standardize(fit=train)".to_owned(),
        scaling: Scaling::Moments,
        columns: vec![column],
    };
    let chain = Chain { group: "x".to_owned(), steps: vec![step], back: None };
    let mut samples = Samples::draw(&compiled.graph, 64, 0);
    (samples.real, samples.chains) = (true, vec![chain]);
    let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
    run_one("normalised", subject, &Options { seed, ..Options::default() }, Fault::default()).expect("a law")
}

/// Each way in which a codec could go wrong.
#[test]
fn a_weights_file_that_comes_back_changed_is_found() {
    type Codec = fn(&mut Vec<u8>);
    let codecs: [(&str, Codec); 4] = [
        ("a flipped bit", |file| file.iter_mut().rev().nth(100).into_iter().for_each(|byte| *byte ^= 0x10)),
        ("two bytes in each other's place", |file| {
            let n = file.len();
            file.swap(n - 8, n - 7);
        }),
        ("another byte order", |file| {
            let head = file.len() - file.len() / 16 * 8;
            file[head..].chunks_exact_mut(8).for_each(<[u8]>::reverse);
        }),
        ("an end that is missing", |file| {
            file.pop();
        }),
    ];
    for (what, codec) in codecs {
        let fault = move |_: &Graph, _: Run, ran: &mut Ran| {
            if !ran.file.is_empty() {
                codec(&mut ran.file);
            }
        };
        let found = report("weights-file", RICH, 0, Fault(Some(&fault)));
        assert_eq!(found.verdict, Verdict::Fail, "{what}: {found:?}");
    }
}

/// Both halves of the law on norms: the bias, and the weights.
#[test]
fn weights_before_a_batch_norm_keep_their_length() {
    let fault = |g: &Graph, _: Run, ran: &mut Ran| nudge(g, ran, "stem.weight");
    let found = of(&reports(RICH, 0, Fault(Some(&fault))), "norm-invariance").clone();
    assert!(found.verdict == Verdict::Fail && found.detail.contains("<W, dL/dW>"), "{found:?}");
    let fault = |g: &Graph, _: Run, ran: &mut Ran| nudge(g, ran, "mix.up.bias");
    let found = of(&reports(RICH, 0, Fault(Some(&fault))), "norm-invariance").clone();
    assert!(found.verdict == Verdict::Fail && found.detail.contains("layer norm"), "{found:?}");
}

/// A layer in which all units are one.
fn constant() -> String {
    PLAIN
        .replace("b: linear(16, init=he_normal, bias=false)", "b: linear(16, init=constant(0.1), bias=false)")
        .replace("out: linear(4, init=lecun_normal)", "out: linear(4, init=constant(0.1))")
}

/// Attention in which all heads are one.
fn equal_heads() -> String {
    ["q", "k", "v", "out"].iter().fold(SEQUENCE.to_owned(), |text, name| {
        let line =
            text.lines().find(|line| line.trim_start().starts_with(&format!("{name}: "))).unwrap_or_default();
        text.replace(line, &line.replace("lecun_normal", "constant(0.1)"))
    })
}

/// A model that cannot learn: behind zeros on both sides nothing moves.
fn standing() -> String {
    PLAIN
        .replace("b: linear(16, init=he_normal, bias=false)", "b: linear(16, init=zeros, bias=false)")
        .replace("out: linear(4, init=lecun_normal)", "out: linear(4, init=zeros)")
}

#[test]
fn units_that_start_equal_are_found() {
    let found = report("symmetry", &constant(), 0, Fault::default());
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
    assert!(found.replay.expect("a case").contains("seed=0,batch=1,scale=1e0"), "every case fails");
}

#[test]
fn heads_that_start_equal_are_found() {
    let found = report("symmetry", &equal_heads(), 0, Fault::default());
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
    assert!(found.detail.contains("heads 0 and 1 of `mix`"), "{found:?}");
    let sound = report("symmetry", SEQUENCE, 0, Fault::default());
    assert_eq!(sound.verdict, Verdict::Pass, "{sound:?}");
}

/// Behind zeros on both sides nothing moves.
#[test]
fn a_model_that_stands_still_is_found() {
    let found = report("learns", &standing(), 0, Fault::default());
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
    assert!(found.detail.contains("does not move"), "{found:?}");
}

/// Rates at which a step overwrites the weights, and at which single precision would not see it.
#[test]
fn updates_are_held_against_the_weights() {
    for (rate, said) in [("10", "the first step moves"), ("1e-10", "which single precision does not see")] {
        let with = format!("train {{ loss mse(out, y)  sgd(lr={rate}) }}");
        let text = PLAIN.replace("train { loss mse(out, y) }", &with);
        let found = report("learns", &text, 0, Fault::default());
        assert!(found.verdict == Verdict::Fail && found.detail.contains(said), "{rate}: {found:?}");
    }
}

/// A rule that hands back a thousandth too much.
struct Generous;

impl Reverse for Generous {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        _: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        if let (Some(Some(grad)), "linear") = (params.first_mut(), node.op.name()) {
            (0..grad.len()).for_each(|i| grad.set(i, grad.at(i) * 1.001));
        }
    }
}

/// What the law `learns` asks of the gradient where training has ended.
#[test]
fn gradients_are_checked_at_weights_that_were_trained() {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", RICH)).expect("the spec is there");
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let feeds = Samples::draw(&compiled.graph, 8, 0).batch(0, 8);
    let mut weights = Weights::draw(&compiled.graph, 0);
    let mut session: Session<'_, f64> = Session::new(graph, 8, Keep::All);
    let objective = gradcheck::objective(graph, 0);
    optim::train(&mut session, &objective, &optim::DEFAULT, 50, 0, &feeds, &mut weights);
    assert_eq!(gradcheck::wrong_at(graph, &weights, &feeds, 0, &Registry), None);
    let found = gradcheck::wrong_at(graph, &weights, &feeds, 0, &Generous).expect("a fault");
    assert!(found.contains("the ledger of `"), "{found}");
}

/// A spec says how many units may be dead.
#[test]
fn the_share_of_dead_units_can_be_declared() {
    // Half of the units of a centred layer are dead where the rows are alike.
    let text = PLAIN
        .replace("linear(16", "linear(64")
        .replace("a: linear(64, init=he_normal)", "a: linear(64, init=he_normal, bias_init=constant(-0.5))");
    let fault = |g: &Graph, _: Run, ran: &mut Ran| {
        let values = &mut ran.values[node(g, "relu")];
        values.chunks_mut(64).for_each(|row| row[..40].fill(0.0));
    };
    let found = report("live-units", &text, 0, Fault(Some(&fault)));
    assert_eq!(found.verdict, Verdict::Pass, "{found:?}");
    let strict = format!("{text}property {{ dead(a.relu) < 0.5 }}\n");
    let found = report("live-units", &strict, 0, Fault(Some(&fault)));
    assert!(found.verdict == Verdict::Fail && found.detail.contains("50 % are declared"), "{found:?}");
    let lenient = format!("{text}property {{ dead(a.relu) < 0.999 }}\n");
    let all = |g: &Graph, _: Run, ran: &mut Ran| ran.values[node(g, "relu")].fill(0.0);
    let found = report("live-units", &lenient, 0, Fault(Some(&all)));
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
}

/// A law that could not fail says so instead of passing.
#[test]
fn laws_that_cannot_fail_are_skipped() {
    let found = reports(PLAIN, 0, Fault::default());
    for law in [
        "dropout",
        "keep-all",
        "norm-moments",
        "norm-invariance",
        "softmax-rows",
        "zero-branch",
        "penalty",
        "passes",
        "translation",
        "attention-order",
        "causality",
        "normalised",
    ] {
        assert_eq!(of(&found, law).verdict, Verdict::Skipped, "{law}");
    }
}
