//! A range of a parameter promises that every value works: what breaks with some of them is found, made as small as it can be, shown as a
//! spec that fails by itself, and kept.

use crate::cli::{CLEAN, folder, stderr, stdout, wellposed};
use crate::support::Memory;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use wellposed::args;
use wellposed::graph::{Graph, Runnable};
use wellposed::pipeline::compile;
use wellposed::source::{Sources, Span};
use wellposed::valid::Samples;
use wellposed::valid::declared;
use wellposed::valid::properties::{Fault, Options, Ran, Report, Run, Subject, Verdict, run_over};
use wellposed::valid::structure::{Family, Number, Ranged, Structure, draw};

/// A classifier whose width and depth vary.
const FREE: &str = "spec 1
model free(width = 16 in 8..40, depth = 3 in 1..30)
input x: f64[B, 16]
target y: class(4)
net {
  h: repeat depth {
    fc: linear(width, init=lecun_normal)
        tanh
  }
  out: linear(4, init=xavier_normal)
}
train { loss cross_entropy(out, y)  adam(lr=1e-3)  batch 64 }
";

/// Of an odd width one number is left over.
const PAIRS: &str = "# Pairs of numbers.
spec 1
model pairs(width = 16 in 8..40, depth = 3 in 1..30)
input x: f64[B, 16]
target y: class(4)
net {
  h: repeat depth {
    fc: linear(width, init=lecun_normal)
        tanh
  }
  two: reshape([width // 2, 2])
       flatten
  out: linear(4, init=xavier_normal)
}
train { loss cross_entropy(out, y)  adam(lr=1e-3)  batch 64 }
expect { params 884 }
";

/// The weights of the head are a tenth of the depth.
const STEEP: &str = "spec 1
model steep(width = 16 in 8..40, depth = 3 in 1..30)
input x: f64[B, 16]
target y: f64[B, 1]
net {
  h: repeat depth {
    fc: linear(width, init=lecun_normal)
        tanh
  }
  out: linear(1, init=constant(depth / 10))
}
train { loss mse(out, y)  adam(lr=1e-3)  batch 64 }
property {
  max_abs(out.weight) <= 2
  rms(h[2].fc) > 1e-9
}
";

/// The laws over all models of a text in which a fault happens.
fn reports(text: &str, options: &Options, fault: Fault<'_>) -> Vec<Report> {
    let files = Memory::of("m.nn", text);
    let compiled = compile("m.nn".as_ref(), &files).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).unwrap_or_else(|| panic!("{:?}", compiled.found));
    let samples = Samples::draw(&compiled.graph, 64, 0);
    let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
    let family = Family::new(&compiled.spec, Path::new("m.nn"), &files, subject, &compiled.found);
    run_over(&family, &family.draw(options.seed, options.cases), options, fault)
}

fn of<'r>(reports: &'r [Report], law: &str) -> &'r Report {
    reports.iter().find(|report| report.name == law).unwrap_or_else(|| panic!("no law `{law}`"))
}

/// The value of a parameter of a model.
fn setting(graph: &Graph, name: &str) -> i64 {
    match graph.settings.iter().find(|setting| setting.name == name).map(|setting| &setting.value) {
        Some(args::Value::Int(value)) => *value,
        other => panic!("`{name}` is {other:?}"),
    }
}

/// A NaN in the last value of every run in which something holds.
fn spoilt(holds: impl Fn(&Graph, Run) -> bool) -> impl Fn(&Graph, Run, &mut Ran) {
    move |graph, run, ran| {
        if holds(graph, run) {
            ran.values.iter_mut().for_each(|value| value[0] = f64::NAN);
        }
    }
}

#[test]
fn a_fault_of_some_models_is_found_and_made_as_small_as_it_can_be() {
    let deep = spoilt(|graph, _| setting(graph, "depth") > 20);
    let both =
        spoilt(|graph, run| setting(graph, "depth") > 6 && setting(graph, "width") % 3 == 1 && run.batch > 1);
    let wide = spoilt(|graph, _| setting(graph, "width") >= 29);
    let all = spoilt(|_, _| true);
    for seed in 0..3 {
        let options = Options { seed, cases: 32, ..Options::default() };
        let finite = |fault: Fault<'_>| {
            let found = reports(FREE, &options, fault);
            let report = of(&found, "finite").clone();
            assert_eq!(report.verdict, Verdict::Fail, "{report:?}");
            (report.replay.expect("a case"), report.detail)
        };
        assert_eq!(finite(Fault(Some(&deep))).0, "finite@width=8,depth=21:seed=0,batch=1,scale=1e0");
        assert_eq!(finite(Fault(Some(&both))).0, "finite@width=10,depth=7:seed=0,batch=2,scale=1e0");
        assert_eq!(finite(Fault(Some(&wide))).0, "finite@width=29,depth=1:seed=0,batch=1,scale=1e0");
        let (replay, detail) = finite(Fault(Some(&all)));
        assert_eq!(replay, "finite@width=8,depth=1:seed=0,batch=1,scale=1e0");
        assert!(detail.contains("; as declared "), "{detail}");
    }
    let sound = reports(FREE, &Options::default(), Fault::default());
    assert!(sound.iter().all(|report| report.verdict != Verdict::Fail), "{sound:?}");
}

/// Of a law over many initialisations, too.
#[test]
fn a_fault_of_a_distribution_is_found_in_the_models_that_have_it() {
    let dead = |graph: &Graph, _: Run, ran: &mut Ran| {
        let relu = graph.nodes.iter().find(|(_, node)| node.op.name() == "relu").map(|(handle, _)| handle);
        if setting(graph, "depth") > 20 {
            ran.values[relu.expect("the model has one").index()].fill(0.0);
        }
    };
    let text = FREE.replace("lecun_normal", "he_normal").replace("tanh", "relu");
    let found = reports(&text, &Options::default(), Fault(Some(&dead)));
    let report = of(&found, "live-units");
    let replay = report.replay.as_deref().unwrap_or_default();
    // The law speaks of layers of 16 units or more.
    assert!(replay.starts_with("live-units@width=16,depth=21:"), "{report:?}");
}

/// A batch of training is larger than those that are drawn.
#[test]
fn the_batch_of_training_is_among_the_cases() {
    let large = spoilt(|_, run| run.batch >= 64);
    let of_batch = |text: &str| {
        let found = reports(text, &Options::default(), Fault(Some(&large)));
        of(&found, "finite").replay.clone()
    };
    let text = FREE.replace(" in 8..40", "").replace(" in 1..30", "");
    assert_eq!(of_batch(&text).as_deref(), Some("finite:seed=0,batch=64,scale=1e0"));
    assert_eq!(of_batch(&text.replace("batch 64", "batch 63")), None);
    let two = spoilt(|_, run| run.batch > 1);
    let found = reports(&text, &Options { cases: 2, ..Options::default() }, Fault(Some(&two)));
    assert!(
        of(&found, "finite").replay.as_deref().is_some_and(|case| case.contains("batch=2,")),
        "{found:?}"
    );
}

#[test]
fn what_is_drawn_holds_both_ends_and_nothing_twice() {
    let one = |name: &str, declared, low, high| {
        let span = Span::new(Sources::default().add("m.nn", ""), 0..0);
        Ranged { name: name.to_owned(), declared, low, high, span }
    };
    let whole = one("n", Number::Whole(3), Number::Whole(-2), Number::Whole(7));
    let even = one("p", Number::Real(0.2), Number::Real(0.0), Number::Real(0.5));
    let wide = one("lr", Number::Real(1e-3), Number::Real(1e-5), Number::Real(1.0));
    for seed in 0..50 {
        let ranged = [whole.clone(), even.clone(), wide.clone()];
        let drawn = draw(&ranged, seed, 6);
        assert_eq!(drawn, draw(&ranged, seed, 6), "what is drawn depends on the seed alone");
        let words = |structures: &[Structure]| structures.iter().map(Structure::words).collect::<Vec<_>>();
        let run = words(&drawn.run);
        assert_eq!(run[..2], ["n = -2, p = 0.0, lr = 1e-5", "n = 7, p = 0.5, lr = 1.0"]);
        let all: BTreeSet<String> = run.iter().chain(&words(&drawn.compiled)).cloned().collect();
        assert_eq!((run.len(), all.len()), (6, 6 + drawn.compiled.len()));
        assert!(all.contains("n = -1, p = 0.2, lr = 0.001") && !all.contains("n = 3, p = 0.2, lr = 0.001"));
        for (structure, i) in drawn.run.iter().chain(&drawn.compiled).flat_map(|s| [(s, 0), (s, 1), (s, 2)]) {
            let value = structure.0[i].1;
            assert!(ranged[i].holds(value), "{value}");
            assert_eq!(structure.to_string().parse::<Structure>().as_ref(), Ok(structure));
        }
    }
    assert!(
        !whole.holds(Number::Whole(8)) && !whole.holds(Number::Real(2.5)) && even.holds(Number::Whole(0))
    );
    // A family of two models has one besides the declared one.
    let small = [one("n", Number::Whole(1), Number::Whole(1), Number::Whole(2))];
    assert_eq!(draw(&small, 0, 100).run, [Structure(vec![("n".to_owned(), Number::Whole(2))])]);
    assert_eq!(
        (wide.value(32), wide.below(Number::Real(1e-5)), wide.below(Number::Real(2.0))),
        (Number::Real(3.16e-3), 0, 65)
    );
}

/// The findings of a run in a folder, as JSON.
fn findings(folder: &Path, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = wellposed(&[arguments, &["--format", "json"]].concat(), folder);
    let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let all = report["specs"][0]["diagnostics"].as_array().expect("findings").clone();
    (output.status.code(), all)
}

fn with_code<'f>(found: &'f [Value], code: &str) -> &'f Value {
    found.iter().find(|finding| finding["code"] == code).unwrap_or_else(|| panic!("no {code} in {found:?}"))
}

fn note<'f>(finding: &'f Value, key: &str) -> &'f str {
    let notes = finding["notes"].as_array().expect("notes");
    let note = notes.iter().find(|note| note[0] == key).unwrap_or_else(|| panic!("no {key}: {finding}"));
    note[1].as_str().expect("a text")
}

/// The arguments of a command that a report shows, as a shell divides them.
fn arguments(command: &str) -> Vec<String> {
    let command = command.strip_prefix("wellposed ").expect("a command of the program");
    let quoted = command.split('"').enumerate();
    quoted
        .flat_map(|(i, part)| match i % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

/// Runs a command that a report shows.
fn again(folder: &Path, command: &str) -> (Option<i32>, Vec<Value>) {
    let arguments = arguments(command);
    findings(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_model_that_does_not_compile_is_found_shown_and_kept() {
    let folder = folder("m.nn", PAIRS);
    let here = folder.path();
    let (code, found) = findings(here, &["validate", "m.nn"]);
    let finding = with_code(&found, "P003");
    assert_eq!((code, found.len()), (Some(1), 1), "{found:?}");
    let message = finding["message"].as_str().expect("a message");
    assert!(message.starts_with("with width = 9, depth = 1 the model has an error"), "{message}");
    assert!(message.contains("H001") && message.contains("[4, 2] needs 8 elements"), "{message}");
    assert_eq!((finding["line"].as_u64(), finding["column"].as_u64()), (Some(3), Some(27)), "{finding}");

    // The spec that is shown has the error by itself, and the command finds it.
    std::fs::write(here.join("case.nn"), note(finding, "spec")).expect("a file");
    let (code, alone) = findings(here, &["check", "case.nn"]);
    assert_eq!((code, alone.len(), &alone[0]["code"]), (Some(1), 1, &Value::from("H001")), "{alone:?}");
    let (code, replayed) = again(here, note(finding, "replay"));
    assert_eq!((code, &with_code(&replayed, "P003")["message"]), (Some(1), &finding["message"]));

    // What is kept is run first and is one finding; once the range excludes it, it is left out.
    let recorded = wellposed(&["validate", "--record", "m.nn"], here);
    assert_eq!(stderr(&recorded), "1 case recorded in m.nn.regressions\n");
    let kept = std::fs::read_to_string(here.join("m.nn.regressions")).expect("cases");
    assert!(kept.ends_with("\nfinite@width=9,depth=1:seed=0,batch=1,scale=1e0\n"), "{kept}");
    let (_, found) = findings(here, &["validate", "--record", "m.nn"]);
    assert_eq!(found.iter().filter(|finding| finding["code"] == "P003").count(), 1, "{found:?}");
    assert_eq!(note(with_code(&found, "P003"), "case"), "from line 2 of m.nn.regressions");
    let narrow = PAIRS.replace("width = 16 in 8..40", "width = 16").replace("# Pairs", "# Sixteen");
    std::fs::write(here.join("m.nn"), narrow).expect("a file");
    let output = wellposed(&["validate", "m.nn"], here);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("  regressions PASS  0 committed cases, 1 left out\n"),
        "{}",
        stdout(&output)
    );
    let mended = PAIRS.replace("[width // 2, 2]", "[width, 1]");
    std::fs::write(here.join("m.nn"), mended).expect("a file");
    let output = wellposed(&["validate", "m.nn"], here);
    assert!(stdout(&output).contains("  regressions PASS  1 committed case\n"), "{}", stdout(&output));
}

#[test]
fn a_declared_property_is_tested_on_all_models_shown_and_kept() {
    let folder = folder("m.nn", STEEP);
    let here = folder.path();
    let (code, found) = findings(here, &["validate", "m.nn"]);
    assert_eq!(code, Some(1));
    let finding = with_code(&found, "P002");
    let message = finding["message"].as_str().expect("a message");
    let wanted = "`max_abs(out.weight) <= 2` fails with width = 8, depth = 21: 2.1 at seed ";
    assert!(message.starts_with(wanted), "{message}");
    assert_eq!(found.iter().filter(|finding| finding["code"] == "P002").count(), 1, "{found:?}");
    let case = |command: &str| arguments(command).pop().expect("a case");
    let replay = case(note(finding, "replay"));
    assert!(replay.starts_with("max_abs(out.weight)@width=8,depth=21:seed="), "{replay}");

    std::fs::write(here.join("case.nn"), note(finding, "spec")).expect("a file");
    let declared = replay.replace("@width=8,depth=21", "");
    let (code, alone) = findings(here, &["validate", "case.nn", "--replay", &declared]);
    assert_eq!(code, Some(1));
    assert!(
        with_code(&alone, "P002")["message"].as_str().is_some_and(|text| text.contains(": 2.1 at seed "))
    );
    let (code, replayed) = again(here, note(finding, "replay"));
    assert_eq!((code, &with_code(&replayed, "P002")["message"]), (Some(1), &finding["message"]));

    wellposed(&["validate", "--record", "m.nn"], here);
    let kept = std::fs::read_to_string(here.join("m.nn.regressions")).expect("cases");
    assert!(kept.lines().any(|line| line == replay), "{kept}");
    // With two cases the depths are the ends alone, and no time at all is left for fresh ones.
    for more in [["--cases", "1"], ["--time", "0"]] {
        let (code, found) = findings(here, &[&["validate", "m.nn"][..], &more].concat());
        let finding = with_code(&found, "P002");
        assert_eq!(code, Some(1));
        assert!(
            finding["message"].as_str().is_some_and(|text| text.contains("` fails again with width = 8"))
        );
        assert_eq!(note(finding, "case"), "from line 2 of m.nn.regressions");
    }
    let second = wellposed(&["validate", "--record", "m.nn"], here);
    assert_eq!(stderr(&second), "", "a case is recorded once");

    // What the spec no longer has is an error at its line.
    std::fs::write(
        here.join("m.nn.regressions"),
        format!("{replay}\nrms(nowhere):seed=1\n finite@widht=9:seed=1 # why\nfinite@width=x:seed=1\n"),
    )
    .expect("a file");
    let output = wellposed(&["validate", "--format", "concise", "--cases", "1", "m.nn"], here);
    let shown = stdout(&output);
    for line in [
        "m.nn.regressions:2:1: error[P010] the spec declares no property `rms(nowhere)`",
        "m.nn.regressions:3:2: error[P010] the model has no parameter `widht`; did you mean `width`?",
        "m.nn.regressions:4:7: error[P010] `@width=x` names no values",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    for (case, why) in [
        ("finite@depth=31:seed=0", "depth = 31, and the spec declares depth in 1..30"),
        ("finite@dept=3:seed=0", "the model has no parameter `dept`; did you mean `depth`?"),
    ] {
        let (code, found) = findings(here, &["validate", "m.nn", "--replay", case]);
        assert_eq!((code, found[0]["message"].as_str()), (Some(1), Some(why)));
    }
}

#[test]
fn a_run_is_the_same_again_and_another_with_another_seed() {
    let folder = folder("m.nn", FREE);
    let run = |arguments: &[&str]| wellposed(&[&["validate", "m.nn"], arguments].concat(), folder.path());
    let line = |text: &str| text.lines().find(|line| line.contains("structures ")).map(str::to_owned);
    let first = stdout(&run(&[]));
    assert_eq!(first, stdout(&run(&[])));
    let structures = line(&first).expect("a line");
    assert!(structures.starts_with("  structures  PASS  width in 8..40, depth in 1..30: tested with width = 8, depth = 1; width = 40, depth = 30; "));
    let random = run(&["--seed", "random"]);
    let said = stderr(&random);
    let seed = said.strip_prefix("seed ").and_then(|text| text.split(';').next()).expect("a seed");
    assert_eq!(stdout(&random), stdout(&run(&["--seed", seed])));
    assert_ne!(line(&stdout(&random)), Some(structures));
    let late = line(&stdout(&run(&["--time", "0"]))).expect("a line");
    assert!(
        late.starts_with("  structures  SKIPPED width in 8..40") && late.contains("as far as the time went"),
        "{late}"
    );
    let many = line(&stdout(&run(&["--cases", "64"]))).expect("a line");
    assert!(many.contains("; 10 more"), "{many}");
}

#[test]
fn models_that_cost_too_much_are_compiled_and_said() {
    let text = FREE.replace("width = 16 in 8..40", "width = 16 in 8..4000");
    let folder = folder("m.nn", &text);
    let output = wellposed(&["validate", "m.nn"], folder.path());
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let said =
        "compiled and too expensive to be run: width = 4000, depth = 30: a run would need about 18462 MiB";
    assert!(shown.contains(said), "{shown}");
    let deep = FREE.replace("depth = 3 in 1..30", "depth = 3 in 1..3_000_000");
    let (_, found) = findings(crate::cli::folder("m.nn", &deep).path(), &["validate", "m.nn"]);
    let message = with_code(&found, "P003")["message"].as_str().expect("a message");
    assert!(message.contains("depth = 3000000") && message.contains("at most 100000 nodes"), "{message}");
}

/// A spec in YAML is shown in the model language, too; a failure that is expected is not to be kept.
#[test]
fn what_is_expected_is_not_kept() {
    let broken = CLEAN.replace("he_normal", "normal(1e160)").replace("xavier_normal", "normal(1e160)");
    let folder = folder("m.nn", &broken);
    let here = folder.path();
    assert!(
        stdout(&wellposed(&["validate", "m.nn"], here)).contains("   = keep  that line in m.nn.regressions")
    );
    std::fs::write(here.join("m.nn"), format!("# wellposed: expect(P001)\n{broken}")).expect("a file");
    let shown = stdout(&wellposed(&["validate", "m.nn"], here));
    assert!(shown.contains("the property `finite` fails") && !shown.contains("= keep"), "{shown}");

    let yaml = "spec: 1\nmodel: steep\nparams: {depth: {value: 3, in: [1, 30]}}\ninputs: {x: \"f64[B, 16]\"}\n\
                net:\n  - {id: out, linear: {out: 1, init: =constant(depth / 10)}}\n\
                properties:\n  - {max_abs: out.weight, at_most: 2}\n";
    std::fs::write(here.join("m.nn.yaml"), yaml).expect("a file");
    let (_, found) = findings(here, &["validate", "m.nn.yaml"]);
    let spec = note(with_code(&found, "P002"), "spec");
    assert!(spec.starts_with("spec 1\nmodel steep(depth = 21)\n"), "{spec}");
    std::fs::write(here.join("m.nn.yaml"), format!("# wellposed: expect(P002) too deep\n{yaml}"))
        .expect("a file");
    let recorded = wellposed(&["validate", "--record", "m.nn.yaml"], here);
    assert!(!stdout(&recorded).contains("= keep") && !here.join("m.nn.yaml.regressions").exists());
}

#[test]
fn the_page_of_ranges_is_there() {
    let page = wellposed(&["explain", "structure"], Path::new("."));
    let text = stdout(&page);
    assert!(page.status.success() && text.contains("in 8..256") && text.contains("P003"), "{text}");
    let rule = stdout(&wellposed(&["explain", "P003"], Path::new(".")));
    assert!(rule.starts_with("P003 broken-range: error") && rule.contains("explain structure"), "{rule}");
}

/// Properties in the drawn models are those of the declared one, by name.
#[test]
fn a_property_of_what_only_deep_models_have_is_left_out_of_the_others() {
    let files = Memory::of("m.nn", STEEP);
    let compiled = compile("m.nn".as_ref(), &files).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 64, 0);
    let subject = Subject { graph: &compiled.graph, runnable, samples: &samples };
    let family = Family::new(&compiled.spec, Path::new("m.nn"), &files, subject, &compiled.found);
    let drawn = family.draw(0, 16);
    assert!(drawn.members.iter().all(|member| member.faults.is_empty()));
    let found = declared::run_over(&family, &drawn, &declared::Options::default()).expect("no replay");
    let verdicts: Vec<Verdict> = found.iter().map(|report| report.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fail, Verdict::Pass]);
}
