//! The laws find planted faults, shrink them and replay them, and are silent on sound models.

use crate::support::Memory;
use wellposed::graph::Runnable;
use wellposed::pipeline::compile;
use wellposed::valid::Samples;
use wellposed::valid::claims::measure;
use wellposed::valid::properties::{ALL, Options, Replay, Report, Subject, Verdict, run};

fn test(text: &str, options: &Options) -> Vec<Report> {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 64, 0);
    run(Subject { graph: &compiled.graph, runnable, samples: &samples }, options)
}

fn net(init: &str, act: &str, depth: usize) -> String {
    format!(
        "spec 1\nmodel m()\ninput x: f64[B, 64]\ntarget y: class(4)\nnet {{\n  h: repeat {depth} {{\n    \
         fc: linear(64, init={init})\n    {act}\n  }}\n  out: linear(4, init=lecun_normal)\n}}\n\
         train {{ loss cross_entropy(out, y) }}\n"
    )
}

fn verdict(reports: &[Report], law: &str) -> Verdict {
    reports.iter().find(|report| report.name == law).expect("the law was tested").verdict
}

#[test]
fn sound_models_pass_every_law_for_many_seeds() {
    for seed in 0..10 {
        for (init, act) in [("he_normal", "relu"), ("lecun_uniform", "relu"), ("orthogonal", "relu")] {
            let reports = test(&net(init, act, 3), &Options { seed: seed * 1000, ..Options::default() });
            for report in &reports {
                let sound = [Verdict::Pass, Verdict::Skipped].contains(&report.verdict);
                assert!(sound, "{init}, seed {seed}: {report:?}");
            }
            let passed = reports.iter().filter(|report| report.verdict == Verdict::Pass);
            assert!(passed.count() >= 14, "{reports:?}");
            assert_eq!(reports.len(), ALL.len());
        }
    }
}

#[test]
fn an_overflow_is_found_shrunk_and_replayed() {
    let text = net("normal(1e160)", "relu", 2);
    let reports = test(&text, &Options::default());
    let finite = reports.iter().find(|report| report.name == "finite").expect("the law was tested");
    assert_eq!(finite.verdict, Verdict::Fail);
    let replay: Replay = finite.replay.as_ref().expect("a case").parse().expect("a case that reads back");
    assert_eq!(
        (replay.case.seed, replay.case.batch, replay.case.scale),
        (0, 1, 1.0),
        "every seed fails, so 0 is found"
    );
    let again = test(&text, &Options { replay: Some(replay), ..Options::default() });
    assert_eq!((again.len(), again[0].verdict), (1, Verdict::Fail));
    assert_eq!(again[0].detail, finite.detail);
}

#[test]
fn runs_are_the_same_for_the_same_seed() {
    let text = net("normal(1e155)", "relu", 2);
    assert_eq!(test(&text, &Options::default()), test(&text, &Options::default()));
}

#[test]
fn the_predicted_scale_is_inconclusive_where_layers_are_narrow() {
    let text = net("he_normal", "relu", 2).replace("linear(64", "linear(8");
    assert_eq!(verdict(&test(&text, &Options::default()), "predicted-scale"), Verdict::Inconclusive);
}

#[test]
fn cases_read_back_and_mistakes_in_them_are_explained() {
    assert!("finite:seed=3,batch=2,scale=1e3".parse::<Replay>().is_ok());
    let unknown = "finit:seed=3".parse::<Replay>().expect_err("no such law");
    assert!(unknown.contains("the laws are finite"), "{unknown}");
    for bad in ["finite", "finite:seed=x", "finite:batch=0", "finite:scale=inf", "finite:size=1"] {
        assert!(bad.parse::<Replay>().expect_err("no case").contains("LAW:seed=0,batch=1,scale=1"), "{bad}");
    }
}

/// Every finding that rests on a prediction shows what 24 initialisations give. The predicted number is the mean over them of a power of
/// the scale and lies between the least and the largest: with ln q normal around -V/2 and
/// V up to 1.25, the chance that all 24 lie below it is 0.71^24 = 3e-4, and the seeds are fixed.
#[test]
fn predictions_are_shown_with_what_runs_measure() {
    for (text, code, predicted) in [
        (net("xavier_normal", "relu", 16), "I001", [2f64.powi(-8), 2f64.powi(-16)].as_slice()),
        (net("normal(0.5)", "relu", 4), "I001", &[64.0, 4096.0]),
        (net("lecun_normal", "sigmoid", 12), "G001", &[]),
    ] {
        let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
        let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
        let samples = Samples::draw(&compiled.graph, 64, 0);
        let mut found = compiled.found;
        measure(Subject { graph: &compiled.graph, runnable, samples: &samples }, 0, &mut found);
        let finding = found.iter().find(|finding| finding.rule.code == code).expect("the net is at fault");
        let (_, measured) =
            finding.notes.iter().find(|(key, _)| *key == "measured").expect("the number was measured");
        assert!(measured.ends_with("over 24 initialisations"), "{measured}");
        let ranges: Vec<(f64, f64)> = measured
            .split_whitespace()
            .filter_map(|word| {
                let (least, most) = word.split_once("..")?;
                Some((least.parse().ok()?, most.parse().ok()?))
            })
            .collect();
        let stated = finding.message.split_whitespace().filter_map(|word| word.parse().ok());
        let predicted =
            if predicted.is_empty() { stated.rev().take(1).collect() } else { predicted.to_vec() };
        assert_eq!(ranges.len(), predicted.len(), "{measured}");
        for ((least, most), predicted) in ranges.iter().zip(predicted) {
            assert!(*least < predicted && predicted < *most, "{predicted} is not in {measured}");
        }
    }
}
