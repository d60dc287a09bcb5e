//! Every law notices its own fault, shrinks it and replays it, and passes where there is none.
//!
//! A fault is planted in what comes out of a run, or in the spec where the law is about the spec itself. `table` prints, for each law,
//! in how many of N base seeds its fault is found and the smallest case that is left.

use crate::support::Memory;
use std::cell::Cell;
use wellposed::graph::{Graph, Handle, Node, Runnable};
use wellposed::pipeline::compile;
use wellposed::tensor::Mode;
use wellposed::valid::Samples;
use wellposed::valid::properties::{ALL, Fault, Options, Ran, Report, Run, Subject, Verdict, run_with};

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
                    scale(1.01)(&mut ran.values[output(g)])
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
                scale(31f64.sqrt() / 32f64.sqrt())(&mut ran.values[node(g, "layer_norm")])
            }),
        ),
        ("norm-invariance", RICH, Box::new(|g, _, ran| nudge(g, ran, "stem.bias"))),
        ("softmax-rows", SOFT, Box::new(|g, _, ran| ran.values[node(g, "softmax")][0] += 1e-12)),
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
const ELSEWHERE: [&str; 3] = ["symmetry", "weights-file", "predicted-scale"];

#[test]
fn every_law_finds_its_fault_and_passes_without() {
    let faults = faults();
    for law in ALL {
        let known = faults.iter().any(|(name, ..)| *name == law.name) || ELSEWHERE.contains(&law.name);
        assert!(known, "`{}` has no fault that it finds", law.name);
    }
    for (law, text, fault) in &faults {
        let sound = of(&reports(text, 0, Fault::default()), law).clone();
        assert_eq!(sound.verdict, Verdict::Pass, "{sound:?}");
        for seed in 0..3 {
            let found = of(&reports(text, seed, Fault(Some(&**fault))), law).clone();
            assert_eq!(found.verdict, Verdict::Fail, "{law}: {found:?}");
            let replay = found.replay.expect("a case");
            assert!(replay.starts_with(law), "{replay}");
            println!("{law}: {replay}: {}", found.detail);
        }
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

#[test]
fn units_that_start_equal_are_found() {
    let text = PLAIN
        .replace("b: linear(16, init=he_normal, bias=false)", "b: linear(16, init=constant(0.1), bias=false)")
        .replace("out: linear(4, init=lecun_normal)", "out: linear(4, init=constant(0.1))");
    let found = of(&reports(&text, 0, Fault::default()), "symmetry").clone();
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
    assert!(found.replay.expect("a case").contains("seed=0,batch=1,scale=1e0"), "every case fails");
}

/// A model that cannot learn: behind zeros on both sides nothing moves.
#[test]
fn a_model_that_stands_still_is_found() {
    let text = PLAIN
        .replace("b: linear(16, init=he_normal, bias=false)", "b: linear(16, init=zeros, bias=false)")
        .replace("out: linear(4, init=lecun_normal)", "out: linear(4, init=zeros)");
    let found = of(&reports(&text, 0, Fault::default()), "learns").clone();
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
    assert!(found.detail.contains("does not move"), "{found:?}");
}

/// A law that could not fail says so instead of passing.
#[test]
fn laws_that_cannot_fail_are_skipped() {
    let found = reports(PLAIN, 0, Fault::default());
    for law in
        ["dropout", "norm-moments", "norm-invariance", "softmax-rows", "zero-branch", "penalty", "passes"]
    {
        assert_eq!(of(&found, law).verdict, Verdict::Skipped, "{law}");
    }
}
