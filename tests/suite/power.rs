//! What statistical laws say of their own power is measured: an error of the size that is said to be seen with probability 0.99 is planted.
//!
//! Of N tests with probability 0.99 each, fewer than 0.99 N - 4.4 sqrt(0.0099 N) see it with probability 10^-5: 93 of 100, 52 of 60. The approximation behind the
//! number is worth a per cent, so that 90 and 50 are asked for.

use crate::support::Memory;
use std::cell::Cell;
use wellposed::exec::Weights;
use wellposed::graph::{Graph, Runnable};
use wellposed::pipeline::{Compiled, compile};
use wellposed::tensor::{Draws, Mode};
use wellposed::valid::Samples;
use wellposed::valid::properties::predicted_scale::{inputs, judge};
use wellposed::valid::properties::{Fault, Options, Overall, Ran, Report, Run, Subject, Verdict, run_one};
use wellposed::valid::scale::measure;

fn load(text: &str) -> (Compiled, Samples) {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let samples = Samples::draw(&compiled.graph, 64, 0);
    (compiled, samples)
}

fn net(width: usize, middle: &str) -> String {
    format!(
        "spec 1\nmodel m()\ninput x: f64[B, {width}]\ntarget y: class(4)\nnet {{\n  a: linear({width}, init=he_normal)\n     relu\n{middle}  \
         out: linear(4, init=lecun_normal)\n}}\ntrain {{ loss cross_entropy(out, y) }}\n"
    )
}

fn law(name: &str, (compiled, samples): &(Compiled, Samples), seed: u64, fault: Fault<'_>) -> Report {
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let subject = Subject { graph: &compiled.graph, runnable, samples };
    run_one(name, subject, &Options { seed, ..Options::default() }, fault).expect("a law")
}

/// The number behind some words of a report.
fn stated(detail: &str, words: &str) -> f64 {
    let (_, rest) = detail.split_once(words).unwrap_or_else(|| panic!("no `{words}` in {detail}"));
    let number = rest.split_whitespace().next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number behind `{words}` in {detail}"))
}

/// How far beyond its range a loss is seen.
fn beyond(detail: &str) -> f64 {
    let (before, _) = detail.split_once(" beyond that range").unwrap_or_else(|| panic!("{detail}"));
    before.split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{detail}"))
}

/// The variance of one layer's weights, off by what is said.
#[test]
fn an_error_in_the_weight_variance_is_seen_as_often_as_stated() {
    const TESTS: u64 = 60;
    for width in [64, 128] {
        let model = load(&net(width, ""));
        let graph = &model.0.graph;
        let runnable = Runnable::new(graph).expect("a complete graph");
        let subject = Subject { graph, runnable, samples: &model.1 };
        let judged = |first: u64, factor: f64| -> Overall {
            let feeds = inputs(subject, first);
            let draw = |seed| {
                let mut weights = Weights::draw(graph, seed);
                weights.params[0].data.iter_mut().for_each(|w| *w *= factor.sqrt());
                weights
            };
            judge(subject, &feeds, &measure(runnable, &feeds, Mode::Train, first..first + 24, draw))
        };
        let sound = judged(0, 1.0);
        assert_eq!(sound.verdict, Verdict::Pass, "{sound:?}");
        let percent = stated(&sound.detail, "0.99 an error of ");
        let seen = |factor: f64| {
            (0..TESTS).filter(|i| judged(1000 * (i + 1), factor).verdict == Verdict::Fail).count()
        };
        let [found, half, none] = [1.0, 0.5, 0.0].map(|part| seen(1.0 + 0.01 * part * percent));
        println!(
            "width {width}: {percent} % is seen in {found} of {TESTS}, half of it in {half}, nothing in {none}"
        );
        assert!(found >= 50 && none == 0, "width {width}: {percent} % is seen in {found} of {TESTS}; {none}");
        assert!(half < 30, "width {width}: half of what is stated is seen in {half} of {TESTS}");
    }
}

/// A loss that is off by what is said.
#[test]
fn an_error_in_the_loss_is_seen_as_often_as_stated() {
    let model = load(&net(64, ""));
    let mut found = 0;
    for seed in (0..100).map(|i| 1000 * i) {
        let sound = law("loss-at-init", &model, seed, Fault::default());
        assert_eq!(sound.verdict, Verdict::Pass, "{sound:?}");
        // The loss lies anywhere between the ends of the range.
        let range = stated(&sound.detail, ".. ") - stated(&sound.detail, "initialisations; ");
        let off = range + beyond(&sound.detail);
        let fault = move |_: &Graph, _: Run, ran: &mut Ran| ran.loss += off;
        found += usize::from(law("loss-at-init", &model, seed, Fault(Some(&fault))).verdict == Verdict::Fail);
    }
    println!("{found} of 100");
    assert!(found >= 90, "{found} of 100");
}

/// A share of kept elements that is off by what is said: every tenth run drops more.
#[test]
fn an_error_in_the_share_of_dropout_is_seen_as_often_as_stated() {
    let model = load(&net(64, "  drop: dropout(0.2)\n"));
    let graph = &model.0.graph;
    let drop =
        graph.nodes.iter().find(|(_, node)| node.op.name() == "dropout").expect("there is one").0.index();
    let mut found = 0;
    for seed in (0..100).map(|i| 1000 * i) {
        let sound = law("dropout", &model, seed, Fault::default());
        assert_eq!(sound.verdict, Verdict::Pass, "{sound:?}");
        let off = stated(&sound.detail, "(+- ");
        let calls = Cell::new(0);
        let fault = move |_: &Graph, run: Run, ran: &mut Ran| {
            if run.mode == Mode::Train {
                calls.set(calls.get() + 1);
                let draws = Draws { seed: seed + calls.get(), stream: 77 };
                for (x, u) in ran.values[drop].iter_mut().zip(draws.uniform()) {
                    if u < off / 0.8 {
                        *x = 0.0;
                    }
                }
            }
        };
        found += usize::from(law("dropout", &model, seed, Fault(Some(&fault))).verdict == Verdict::Fail);
    }
    println!("{found} of 100");
    assert!(found >= 90, "{found} of 100");
}

/// Units that are lost with the declared probability: no alarm; all of them lost: always one.
#[test]
fn lost_units_alarm_where_they_are_more_than_chance() {
    let model = load(&net(64, ""));
    let relu = model.0.graph.nodes.iter().find(|(_, node)| node.op.name() == "relu").expect("one").0.index();
    let with = |share: f64, seed: u64| {
        let fault = move |_: &Graph, run: Run, ran: &mut Ran| {
            let draws = Draws { seed: run.seed, stream: 5 };
            let dead: Vec<bool> = draws.uniform().take(64).map(|u| u < share).collect();
            for row in ran.values[relu].chunks_mut(64) {
                row.iter_mut().zip(&dead).filter(|(_, dead)| **dead).for_each(|(x, _)| *x = 0.0);
            }
        };
        law("live-units", &model, seed, Fault(Some(&fault))).verdict
    };
    for seed in (0..100).map(|i| 1000 * i) {
        assert_ne!(with(0.9, seed), Verdict::Fail, "seed {seed}");
        assert_eq!(with(1.0, seed), Verdict::Fail, "seed {seed}");
    }
}
