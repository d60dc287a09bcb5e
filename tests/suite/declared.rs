//! Declared properties hold where they are true, fail where they are not, name the seed and the number, and are replayed.

use crate::support::{Memory, compiled};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wellposed::diag::suppress::Notation;
use wellposed::exec::{self, Feeds, Settings, Weights};
use wellposed::front::properties as kinds;
use wellposed::graph::Runnable;
use wellposed::pipeline::compile;
use wellposed::tensor::Mode;
use wellposed::valid::Samples;
use wellposed::valid::declared::{Again, Options, PAGES, Replay, Report, run};
use wellposed::valid::properties::{OUT_OF_TIME, Subject, TimeUp, Verdict};
use wellposed::valid::structure::Structure;

/// The reports of a text, whose findings must not keep it from being run.
fn reports(text: &str, options: &Options) -> Vec<Report> {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 64, 0);
    let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
    run(subject, options).expect("no case that is not there")
}

/// A classifier of four classes over ten features, with what is declared of it.
fn mlp(hidden: &str, act: &str, last: &str, property: &str) -> String {
    format!(
        "spec 1\nmodel m()\ninput x: f64[B, 10]\ntarget y: class(4)\nnet {{\n  fc: linear(32, {hidden})\n  {act}\n  \
         out: linear(4, {last})\n}}\ntrain {{ loss cross_entropy(out, y) }}\nproperty {{ {property} }}\n"
    )
}

/// The only report of a classifier.
fn of(hidden: &str, act: &str, last: &str, property: &str) -> Report {
    let mut found = reports(&mlp(hidden, act, last, property), &Options::default());
    assert_eq!(found.len(), 1, "{property}");
    found.remove(0)
}

/// A net over maps of 3 x 4 x 4, or over what else the input says.
fn net(input: &str, body: &str, property: &str) -> String {
    format!("spec 1\nmodel m()\n{input}\nnet {{\n{body}\n}}\nproperty {{ {property} }}\n")
}

fn only(text: &str) -> Report {
    let mut found = reports(text, &Options::default());
    assert_eq!(found.len(), 1, "{text}");
    found.remove(0)
}

const HE: &str = "init=he_normal";
const LAST: &str = "init=lecun_normal";

#[test]
fn quantities_hold_where_they_are_true_and_fail_where_they_are_not() {
    // The true values: relu halves the second moment of values of variance 2, so that its rms is 1; a constant tensor is its constant; a
    // last layer of zeros answers 0 and has the loss ln 4 = 1.386; the bias -100 is below every sum of ten products.
    for (hidden, last, holds, fails) in [
        (HE, LAST, "rms(fc.relu) in 0.5..2", "rms(fc.relu) < 0.3"),
        (HE, LAST, "mean(fc.relu) > 0", "mean(fc.relu) < 0"),
        ("init=constant(0.5)", LAST, "mean(fc.weight) in 0.5..0.5", "mean(fc.weight) > 0.5"),
        ("init=constant(0.5)", LAST, "max_abs(fc.weight) <= 0.5", "max_abs(fc.weight) < 0.5"),
        ("init=constant(-0.5)", LAST, "rms(fc.weight) >= 0.5", "rms(fc.weight) > 0.5"),
        (HE, "init=zeros", "max_abs(out) <= 0", "max_abs(out) > 0"),
        (HE, "init=zeros", "loss_at_init in 1.386..1.387", "loss_at_init < 1.386"),
        (HE, LAST, "grad_rms(fc.weight) > 1e-6", "grad_rms(fc.weight) < 1e-6"),
        (HE, "init=zeros", "grad_rms(fc.weight) <= 0", "grad_rms(fc.weight) > 0"),
        (HE, LAST, "dead(fc.relu) < 0.5", "dead(fc.relu) > 0.5"),
        ("init=he_normal, bias_init=constant(-100)", LAST, "dead(fc.relu) >= 1", "dead(fc.relu) < 0.5"),
        ("init=he_normal, bias_init=constant(100)", LAST, "dead(fc.relu) <= 0", "dead(fc.relu) > 0"),
    ] {
        let pass = of(hidden, "relu", last, holds);
        assert_eq!(pass.verdict, Verdict::Pass, "{pass:?}");
        assert!(pass.detail.starts_with("16 initialisations, ") && pass.detail.contains(" .. "), "{pass:?}");
        let fail = of(hidden, "relu", last, fails);
        assert_eq!(fail.verdict, Verdict::Fail, "{fail:?}");
        assert!(fail.detail.contains("at seed ") && fail.replay.is_some(), "{fail:?}");
    }
    let saturated = |init, property| of(init, "tanh", LAST, property).verdict;
    assert_eq!(saturated("init=normal(50)", "saturated(fc.tanh) > 0.9"), Verdict::Pass);
    assert_eq!(saturated("init=normal(50)", "saturated(fc.tanh) < 0.1"), Verdict::Fail);
    assert_eq!(saturated("init=normal(0.1)", "saturated(fc.tanh) <= 0"), Verdict::Pass);
    assert_eq!(saturated("init=normal(0.1)", "saturated(fc.tanh) > 0"), Verdict::Fail);
}

/// The least value over two seeds is what the other way to run a model gives.
#[test]
fn measured_values_are_those_of_a_run() {
    let text = mlp(HE, "relu", LAST, "max_abs(out) < 0.001");
    let compiled = compiled(&text, Notation::Dsl);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 64, 0);
    let settings = Settings { mode: Mode::Eval, seed: 0, penalties: false };
    let largest = |seed: u64| {
        let tensors = samples.batch(usize::try_from(seed).expect("small"), 32);
        let feeds = Feeds { tensors, rows: 32, complete: true };
        let outputs = exec::run(graph, &Weights::draw(&graph, seed), &feeds, settings, false);
        outputs.output.data.iter().fold(0.0f64, |most, x| most.max(x.abs()))
    };
    let report = &reports(&text, &Options { cases: 2, ..Options::default() })[0];
    let (a, b) = (largest(0), largest(1));
    let number = |x: f64| wellposed::text::number(x);
    let spread = format!("2 of 2 initialisations fail it, with {} .. {}", number(a.min(b)), number(a.max(b)));
    assert!(report.detail.contains(&spread), "{spread}: {}", report.detail);
}

#[test]
fn a_failure_is_shrunk_and_replayed() {
    let text = mlp(HE, "relu", LAST, "rms(out) < 1e-3\n  rms(out) > 1e-9\n  max_abs(fc) < 1e9\n");
    let found = reports(&text, &Options::default());
    let verdicts: Vec<Verdict> = found.iter().map(|report| report.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fail, Verdict::Pass, Verdict::Pass]);
    assert!(found[0].detail.contains("at seed 0 on 1 row, not below 0.001"), "{:?}", found[0]);
    let command = found[0].replay.as_deref().expect("a case");
    assert_eq!(command, "rms(out):seed=0,batch=1");
    let Ok(Again::Declared(replay)) = command.parse() else { panic!("{command} does not read back") };
    // Both properties of that quantity, and no other.
    let again = reports(&text, &Options { replay: Some(replay), ..Options::default() });
    assert_eq!(again.iter().map(|report| report.verdict).collect::<Vec<_>>(), [Verdict::Fail, Verdict::Pass]);
    let value = |report: &Report| report.detail.split(' ').next().map(str::to_owned);
    assert_eq!(value(&again[0]), value(&found[0]));
}

#[test]
fn the_first_failing_seed_is_reported_and_all_are_counted() {
    // Over seeds the rms of 320 normal weights scatters by a part in 25, so that a bound at its mean divides them.
    let found = of(HE, "relu", LAST, "rms(fc.weight) < 0.4472");
    let seed: u64 =
        found.replay.as_deref().and_then(|text| text.parse::<Replay>().ok()).expect("a case").seed;
    let compiled = compiled(&mlp(HE, "relu", LAST, ""), Notation::Dsl);
    let rms = |seed| {
        let data = &Weights::draw(&compiled.graph, seed).params[0].data;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred weights")]
        (data.iter().map(|x| x * x).sum::<f64>() / data.len() as f64).sqrt()
    };
    let broken: Vec<u64> = (0..16).filter(|seed| rms(*seed) >= 0.4472).collect();
    assert!((1..16).contains(&broken.len()), "the bound divides the seeds: {broken:?}");
    assert_eq!(broken.first(), Some(&seed));
    assert!(found.detail.contains(&format!("{} of 16 initialisations", broken.len())), "{found:?}");
}

#[test]
fn values_that_are_not_finite_satisfy_no_bound() {
    let found = of("init=normal(1e308)", "relu", LAST, "rms(fc) >= 0.1");
    assert_eq!(found.verdict, Verdict::Fail);
    assert!(found.detail.contains("not a finite number"), "{found:?}");
}

#[test]
fn what_could_not_fail_is_skipped() {
    for property in ["rms(out) >= 0", "dead(fc.relu) <= 1", "max_abs(out) > -1", "dead(fc.relu) in 0..1"] {
        assert_eq!(of(HE, "relu", LAST, property).verdict, Verdict::Skipped, "{property}");
    }
    let without = net("input x: f64[B, 3]", "  out: linear(2, init=he_normal)", "loss_at_init < 3");
    assert!(only(&without).detail.contains("no loss"));
}

const MAPS: &str = "input x: f64[B, 3, 4, 4]";
/// A net for which places do not matter.
const PIXELS: &str =
    "  c: conv2d(8, kernel=1, init=he_normal)\n  relu\n  global_avg_pool\n  out: linear(2, init=he_normal)";

#[test]
fn symmetries_hold_for_nets_of_pixels_and_fail_for_kernels() {
    for symmetry in kinds::SYMMETRIES {
        let property = format!("invariant {symmetry}");
        let pass = only(&net(MAPS, PIXELS, &property));
        assert_eq!(pass.verdict, Verdict::Pass, "{pass:?}");
        let fail = only(&net(MAPS, &PIXELS.replace("kernel=1", "kernel=3, pad=1"), &property));
        assert_eq!(fail.verdict, Verdict::Fail, "{fail:?}");
        assert!(fail.replay.is_some_and(|text| text.ends_with(":seed=0,batch=1")));
    }
    // A sequence: the same layer at every position, and the mean over positions.
    let sequence = "input x: f64[B, 5, 3]";
    let body = "  fc: linear(8, init=he_normal)\n  relu\n  t: transpose([2, 1])\n  r: reshape([8, 5, 1])\n  global_avg_pool\n  out: linear(2, init=he_normal)";
    let pass = only(&net(sequence, body, "invariant roll"));
    assert_eq!(pass.verdict, Verdict::Pass, "{pass:?}");
    let flat = "  flatten\n  out: linear(2, init=he_normal)";
    assert_eq!(only(&net(sequence, flat, "invariant roll")).verdict, Verdict::Fail);
}

#[test]
fn symmetries_that_are_not_there_are_skipped() {
    let wide = "input x: f64[B, 3, 4, 6]";
    let skipped = |input: &str, body: &str, property: &str, why: &str| {
        let report = only(&net(input, body, property));
        assert_eq!(report.verdict, Verdict::Skipped, "{report:?}");
        assert!(report.detail.contains(why), "{report:?}");
    };
    skipped(wide, PIXELS, "invariant transpose", "not square");
    skipped("input x: f64[B, 5]", "  out: linear(2, init=he_normal)", "invariant roll", "neither a map");
    skipped("input x: f64[B, 5]", "  out: linear(2, init=he_normal)", "invariant flip_vertical", "no map");
    skipped("input x: f64[B, 3, 4, 1]", PIXELS, "invariant flip_horizontal", "one column");
    // The prediction does not see the input, so that every symmetry would hold.
    let dead = PIXELS.replace("linear(2, init=he_normal)", "linear(2, init=zeros)");
    skipped(MAPS, &dead, "invariant flip_horizontal", "the same for every row");
    let other = "input x: f64[B, 3, 4, 4]\ninput z: f64[B, 3]";
    let unseen = "  out: linear(2, init=he_normal)  <- z";
    skipped(other, unseen, "invariant flip_horizontal(x)", "the same for every row");
}

/// One output that rises with its inputs, or falls.
fn order(init: &str, property: &str) -> Report {
    let body = format!("  fc: linear(8, init={init})\n  tanh\n  out: linear(2, init=uniform(0, 0.5))");
    only(&net("input x: f64[B, 4]", &body, property))
}

#[test]
fn order_holds_for_weights_without_a_sign_and_fails_for_others() {
    assert_eq!(order("uniform(0, 0.5)", "monotone(out[1], x[3])").verdict, Verdict::Pass);
    for init in ["uniform(-0.5, 0)", "he_normal"] {
        let fail = order(init, "monotone(out[1], x[3])");
        assert_eq!(fail.verdict, Verdict::Fail, "{fail:?}");
        assert!(fail.detail.contains(" falls from ") && fail.replay.is_some(), "{fail:?}");
    }
    let unmoved = order("zeros", "monotone(out[0], x[0])");
    assert_eq!(unmoved.verdict, Verdict::Skipped, "{unmoved:?}");
    let tokens = "input x: f64[B, 4]\ninput z: int[B, 3]";
    let report = only(&net(tokens, "  out: linear(1, init=he_normal)  <- x", "monotone(out, z[1])"));
    assert!(report.verdict == Verdict::Skipped && report.detail.contains("no order"), "{report:?}");
}

#[test]
fn columns_of_the_data_are_named_by_their_header() {
    let text = "spec 1\nmodel m\ndata {\n  train csv(\"specs/data/wine/train.csv\")\n  \
                x numeric(proline, hue) |> standardize(fit=train)\n  y class(target, 3)\n}\n\
                net { out: linear(3, init=uniform(0, 1)) }\ntrain { loss cross_entropy(out, y) }\n\
                property {\n  monotone(out[0], hue)\n  monotone(out[2], proline)\n}\n";
    let found = reports(text, &Options::default());
    assert!(found.iter().all(|report| report.verdict == Verdict::Pass), "{found:?}");
    let wrong = compiled(&text.replace(", hue)\n", ", huge)\n"), Notation::Dsl);
    let finding = wrong.found.iter().find(|finding| finding.rule.code == "N001").expect("no such column");
    assert_eq!(finding.help.as_deref(), Some("did you mean `hue`?"));
}

#[test]
fn the_future_is_hidden_from_layers_of_one_position_and_not_from_others() {
    let sequence = "input x: f64[B, 6, 3]";
    let local = "  fc: linear(8, init=he_normal)\n  relu\n  dec: linear(3, init=he_normal)\n  flatten\n  out: linear(2, init=he_normal)";
    let report = only(&net(sequence, local, "causal(dec)"));
    assert_eq!(report.verdict, Verdict::Pass, "{report:?}");
    // Positions are mixed by a layer over the transposed sequence.
    let mixed = "  t: transpose([2, 1])\n  mix: linear(6, init=he_normal)\n  back: transpose([2, 1])\n  dec: linear(3, init=he_normal)\n  \
                 flatten\n  out: linear(2, init=he_normal)";
    let report = only(&net(sequence, mixed, "causal(dec)"));
    assert_eq!(report.verdict, Verdict::Fail, "{report:?}");
    assert!(report.detail.contains("position 0 of row 0 moves"), "{report:?}");
    // Without a weight nothing moves, so that nothing is shown.
    let still = local.replace("dec: linear(3, init=he_normal)", "dec: linear(3, init=zeros)");
    assert_eq!(only(&net(sequence, &still, "causal(dec)")).verdict, Verdict::Skipped);
    assert!(only(&net(sequence, local, "causal(out)")).detail.contains("no input has the 2 positions"));
    assert!(only(&net(MAPS, PIXELS, "causal(c)")).detail.contains("no position axis"));
}

#[test]
fn a_case_of_another_spec_is_an_error_and_mistakes_are_explained() {
    let text = mlp(HE, "relu", LAST, "rms(fc.relu) < 9");
    let compiled = compiled(&text, Notation::Dsl);
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 8, 0);
    let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
    let replay = Some("rms(fc.rleu):seed=0,batch=1".parse::<Replay>().expect("a case"));
    let unknown = run(subject, &Options { replay, ..Options::default() }).expect_err("no such property");
    assert_eq!(unknown.help.as_deref(), Some("did you mean `rms(fc.relu)`?"));
    for bad in ["rms(a)", "rms(a):seed=x", "rms(a):batch=0", "rms(a):batch=9999999", "rms(a):scale=1"] {
        let why = bad.parse::<Again>().expect_err("no case");
        assert!(why.contains("PROPERTY:seed=0,batch=1"), "{bad}: {why}");
    }
    assert!(matches!("finite:seed=1".parse(), Ok(Again::Law(_))));
    let broken = "monotone(out[1],\n      x[3]):seed=2,batch=1".parse::<Replay>().expect("a case");
    assert_eq!(
        broken,
        Replay {
            subject: "monotone(out[1], x[3])".to_owned(),
            structure: Structure::default(),
            seed: 2,
            rows: 1
        }
    );
}

/// What was begun has one initialisation; what was not is SKIPPED for lack of time; a replay has its turn whatever the time is.
#[test]
fn the_time_is_obeyed() {
    let text = mlp(HE, "relu", LAST, "rms(out) < 9\n  monotone(out[0], x[0])\n");
    let after = |cases: usize| {
        let asked = AtomicUsize::new(0);
        Some(TimeUp(Arc::new(move || asked.fetch_add(1, Ordering::Relaxed) >= cases)))
    };
    let late = reports(&text, &Options { time_up: after(0), ..Options::default() });
    assert!(late.iter().all(|report| report.out_of_time() && report.detail == OUT_OF_TIME), "{late:?}");
    let some = reports(&text, &Options { time_up: after(3), ..Options::default() });
    assert_eq!((some[0].verdict, some[0].cases), (Verdict::Pass, 3));
    assert!(some[0].detail.ends_with(", the time was up after 3 of 16"), "{:?}", some[0]);
    assert!(some[1].out_of_time(), "{:?}", some[1]);
    let replay = "rms(out):seed=0,batch=1".parse().ok();
    let replayed = reports(&text, &Options { replay, time_up: after(0), ..Options::default() });
    assert_eq!((replayed[0].verdict, replayed[0].cases), (Verdict::Pass, 1));
}

#[test]
fn every_kind_has_its_page_and_its_example_parses() {
    let known: BTreeSet<&str> = kinds::ALL.iter().map(|kind| kind.name).collect();
    let pages: BTreeSet<&str> = PAGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, pages);
    for (name, page) in PAGES {
        let line = page.lines().next().unwrap_or_default();
        assert!(line.contains(&format!("`{name}`")), "{name}: {line}");
        assert!(page.contains("## What it tests") && page.contains("property {"), "{name}");
    }
}

/// A property that fails is a finding on its own line, in either notation, and an expected one does not count.
#[test]
fn a_failure_is_a_finding_on_the_line_of_the_property() {
    let text = mlp(HE, "relu", LAST, "\n  rms(out) > 1e-9\n  rms(out) < 1e-3  # too low\n");
    let found = reports(&text, &Options::default());
    let finding = found[1].finding("m.nn").expect("a finding");
    assert_eq!(finding.rule.code, "P002");
    let span = finding.span().expect("a place").range();
    assert_eq!(&text[span], "rms(out) < 1e-3");
    assert!(found[0].finding("m.nn").is_none());
}
