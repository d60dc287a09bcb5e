//! How much is tested: time, seeds, shares of the specs, and the reports of shares as one.

use crate::cli::{CLEAN, folder, stderr, stdout, wellposed};
use crate::support::Memory;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wellposed::graph::Runnable;
use wellposed::pipeline::compile;
use wellposed::report::Partition;
use wellposed::report::merge::merge;
use wellposed::valid::Samples;
use wellposed::valid::properties::{ALL, OUT_OF_TIME, Options, Report, Subject, TimeUp, Verdict, run};

fn json(arguments: &[&str], folder: &Path) -> (Value, Option<i32>) {
    let output = wellposed(&[arguments, &["--format", "json"]].concat(), folder);
    let text = stdout(&output);
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), output.status.code())
}

fn test(options: &Options) -> Vec<Report> {
    tested(CLEAN, options)
}

fn tested(text: &str, options: &Options) -> Vec<Report> {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 64, 0);
    run(Subject { graph: &compiled.graph, runnable, samples: &samples }, options)
}

#[test]
fn laws_without_their_turn_are_skipped_and_never_pass() {
    let folder = folder("m.nn", CLEAN);
    let (report, code) = json(&["validate", "--time", "0", "m.nn"], folder.path());
    assert_eq!(code, Some(0));
    let laws = report["specs"][0]["properties"].as_array().expect("a list");
    assert_eq!(laws.len(), ALL.len());
    assert!(laws.iter().all(|law| law["verdict"] == "SKIPPED"), "{laws:?}");
    let late = laws.iter().filter(|law| law["detail"] == OUT_OF_TIME).count();
    assert!(late > 0 && report["summary"]["out_of_time"] == late, "{}", report["summary"]);
    assert_eq!(report["run"]["time"], 0.0);
    assert_eq!(report["specs"][0]["gradcheck"]["verdict"], "PASS", "gradients are no matter of time");
    let shown = stdout(&wellposed(&["validate", "--time", "0", "m.nn"], folder.path()));
    assert!(shown.contains(&format!("{late} laws not tested for lack of time")), "{shown}");
    for bad in ["-1", "soon", "nan", "inf"] {
        let refused = wellposed(&["validate", &format!("--time={bad}"), "m.nn"], folder.path());
        assert_eq!(refused.status.code(), Some(2), "{bad}");
        assert!(stderr(&refused).contains("a number of seconds"), "{}", stderr(&refused));
    }
}

/// A time that is up when it is asked for after `n` answers.
fn answers(n: usize) -> TimeUp {
    let asked = AtomicUsize::new(0);
    TimeUp(Arc::new(move || asked.fetch_add(1, Ordering::Relaxed) >= n))
}

/// The time is asked for before a law and before each of its cases but the first.
#[test]
fn a_law_that_was_begun_counts_the_cases_that_it_tested() {
    for n in 1..5 {
        let reports = test(&Options { cases: 9, time_up: Some(answers(n)), ..Options::default() });
        let Report { verdict, cases, detail, .. } = &reports[0];
        assert_eq!((*verdict, *cases), (Verdict::Pass, n));
        assert_eq!(*detail, format!("the time was up after {n} of 9 cases"));
        for late in reports.iter().skip(1).filter(|law| law.detail == OUT_OF_TIME) {
            assert_eq!((late.verdict, late.cases), (Verdict::Skipped, 0));
        }
        assert!(reports.iter().skip(1).all(|law| law.verdict == Verdict::Skipped), "{reports:?}");
    }
}

/// A failure is found as without a limit, and is not shrunk for ever.
#[test]
fn a_case_that_fails_in_time_fails() {
    let text = CLEAN.replace("he_normal", "normal(1e160)").replace("xavier_normal", "normal(1e160)");
    let [short, long] = [Some(answers(1)), None].map(|time_up| {
        let reports = tested(&text, &Options { time_up, ..Options::default() });
        reports.into_iter().next().expect("a law")
    });
    assert_eq!((short.verdict, long.verdict), (Verdict::Fail, Verdict::Fail));
    assert!(short.replay.is_some() && short.replay != long.replay, "{short:?}");
}

#[test]
fn a_time_that_suffices_changes_nothing() {
    let time_up = Some(answers(usize::MAX));
    assert_eq!(test(&Options { time_up, ..Options::default() }), test(&Options::default()));
    let few = test(&Options { cases: 5, ..Options::default() });
    assert_eq!(few[0].cases, 5);
}

#[test]
fn a_random_seed_is_told_and_repeats_the_run() {
    let folder = folder("m.nn", CLEAN);
    let draw = || {
        let arguments = ["validate", "--seed", "random", "--format", "json", "m.nn"];
        let output = wellposed(&arguments, folder.path());
        let said = stderr(&output);
        let seed = said.strip_prefix("seed ").and_then(|rest| rest.split(';').next()).expect("a seed");
        (seed.to_owned(), stdout(&output))
    };
    let (seed, text) = draw();
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["run"]["seed"].to_string(), seed);
    let again = wellposed(&["validate", "--seed", &seed, "--format", "json", "m.nn"], folder.path());
    assert_eq!(stdout(&again), text, "the same bytes");
    let shown = stdout(&wellposed(&["validate", "--seed", &seed, "m.nn"], folder.path()));
    assert!(shown.ends_with(&format!(", seed {seed}\n")), "{shown}");
    // Two seeds of 32 bits are equal once in 4 10^9 runs.
    assert_ne!(draw().0, seed);
    let (fixed, _) = json(&["validate", "m.nn"], folder.path());
    assert_eq!(fixed["run"]["seed"], 0, "without a word the seed is fixed");
    let bad = wellposed(&["validate", "--seed", "rand", "m.nn"], folder.path());
    assert_eq!(bad.status.code(), Some(2));
    assert!(stderr(&bad).contains("a whole number or `random`"), "{}", stderr(&bad));
}

fn share(text: &str) -> Partition {
    text.parse().expect("a share")
}

#[test]
fn every_path_is_in_one_share() {
    for n in 1..=9 {
        let mut sizes = vec![0; n];
        for i in 0..900 {
            let path = format!("models/{}/net{i}.nn", i % 7);
            let holding: Vec<usize> =
                (1..=n).filter(|k| share(&format!("hash:{k}/{n}")).holds(Path::new(&path))).collect();
            assert_eq!(holding.len(), 1, "{path} of {n}");
            sizes[holding[0] - 1] += 1;
        }
        // A share holds 900/n paths with a standard deviation below sqrt(900/n); six of them are never met.
        let fair = 900.0 / f64::from(u32::try_from(n).expect("a small number"));
        assert!(sizes.iter().all(|size| (f64::from(*size) - fair).abs() <= 6.0 * fair.sqrt()), "{sizes:?}");
    }
}

/// The share is the first 64 bits of the SHA-256 of the path, modulo 4; these are from Python's hashlib.
#[test]
fn shares_are_the_same_on_every_machine() {
    for (path, k) in [("specs/quickstart/digits.nn", 2), ("specs/quickstart/iris.nn", 4), ("a.nn", 4)] {
        assert!(share(&format!("hash:{k}/4")).holds(Path::new(path)), "{path}");
        assert!(share(&format!("hash:{k}/4")).holds(&Path::new(".").join(path)), "{path}");
    }
}

#[test]
fn what_is_no_share_is_said() {
    for (text, why) in [
        ("hash:5/4", "there is no share 5 of 4"),
        ("hash:0/4", "shares count from 1"),
        ("hash:1/0", "at least one share"),
        ("hash:0/0", "at least one share"),
        ("hash:1", "write `hash:1/4`"),
        ("hash:-1/4", "write `hash:1/4`"),
        ("hash:1/4/4", "write `hash:1/4`"),
        ("hash:1/99999999999", "write `hash:1/4`"),
        ("count:1/4", "write `hash:1/4`"),
        ("1/4", "write `hash:1/4`"),
        ("", "write `hash:1/4`"),
    ] {
        let said = text.parse::<Partition>().expect_err("no share");
        assert!(said.contains(why), "{text}: {said}");
    }
    let folder = folder("m.nn", CLEAN);
    let refused = wellposed(&["validate", "--partition", "hash:5/4", "m.nn"], folder.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("there is no share 5 of 4"), "{}", stderr(&refused));
}

/// A project with everything that a report can hold: clean and faulty specs, one that announces its fault, stored snapshots, one of
/// them without its spec.
fn project() -> tempfile::TempDir {
    let folder = folder("wellposed.toml", "");
    let here = folder.path();
    let faulty = CLEAN.replace("he_normal", "normal(1e160)");
    let specs = [
        ("a", CLEAN.to_owned()),
        ("b", faulty),
        ("c", CLEAN.replace("relu", "rleu")),
        ("d", format!("# wellposed: allow(I001) nothing is wrong here\n{CLEAN}")),
        ("e", format!("# wellposed: expect(N004)\n{}", CLEAN.replace("relu", "rleu"))),
    ];
    for (name, text) in specs {
        for folder in ["specs", "specs/deep.er", "specs/deep"] {
            std::fs::create_dir_all(here.join(folder)).expect("a folder");
            std::fs::write(here.join(folder).join(format!("{name}.nn")), &text).expect("a file");
        }
    }
    assert_eq!(wellposed(&["snapshot", "--accept", "specs/a.nn", "specs/deep"], here).status.code(), Some(1));
    for name in ["gone", "left"] {
        std::fs::copy(here.join("snapshots/a.nn.graph"), here.join(format!("snapshots/{name}.nn.graph")))
            .expect("a snapshot without its spec");
    }
    folder
}

fn report(arguments: &[&str], folder: &Path) -> String {
    stdout(&wellposed(&[&["validate", "--format", "json", "--cases", "4"], arguments].concat(), folder))
}

#[test]
fn the_reports_of_shares_join_into_that_of_the_whole_run() {
    let folder = project();
    let here = folder.path();
    let whole = report(&["specs"], here);
    let paths = |text: &str| -> Vec<String> {
        let report: Value = serde_json::from_str(text).expect("JSON");
        let specs = report["specs"].as_array().expect("a list");
        specs.iter().map(|spec| spec["path"].as_str().expect("a path").to_owned()).collect()
    };
    for n in [1, 2, 5] {
        let names: Vec<String> = (1..=n).rev().map(|k| format!("{k}of{n}.json")).collect();
        let mut seen = Vec::new();
        for (k, name) in (1..=n).rev().zip(&names) {
            let part = report(&["--partition", &format!("hash:{k}/{n}"), "specs"], here);
            seen.extend(paths(&part));
            std::fs::write(here.join(name), part).expect("a file");
        }
        assert_eq!(seen.len(), paths(&whole).len(), "each spec once");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>(), paths(&whole).iter().collect());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let merged = wellposed(&[&["report", "merge"], &names[..]].concat(), here);
        assert_eq!((stdout(&merged), merged.status.code()), (whole.clone(), Some(1)), "{}", stderr(&merged));
        let written = wellposed(&[&["report", "merge", "-o", "all.json"], &names[..]].concat(), here);
        assert_eq!(std::fs::read_to_string(here.join("all.json")).expect("a report"), whole);
        assert!(stdout(&written).starts_with("17 specs: "), "{}", stdout(&written));
    }
}

#[test]
fn a_share_without_specs_is_empty_and_sound() {
    let folder = folder("a.nn", CLEAN);
    let (report, code) = json(&["validate", "--partition", "hash:1/4", "a.nn"], folder.path());
    assert_eq!(
        (code, &report["summary"]["specs"], &report["specs"]),
        (Some(0), &0.into(), &Value::Array(vec![]))
    );
    assert_eq!(report["run"]["partition"], "hash:1/4");
}

/// `train.nn` is in share 2 of 2 and `serve.nn` in share 1, and they prepare the input of one model differently.
#[test]
fn specs_of_two_shares_are_compared_all_the_same() {
    let folder = folder("train.nn", &CLEAN.replace("f64[B, 20]", "f64[B, 20] |> scale(0.5)"));
    let here = folder.path();
    std::fs::write(here.join("serve.nn"), CLEAN).expect("a file");
    let both = ["train.nn", "serve.nn"];
    let part = |k| report(&[&["--partition", k][..], &both].concat(), here);
    let shares = [part("hash:1/2"), part("hash:2/2")];
    assert!(shares.iter().all(|share| share.matches("\"model\"").count() == 1), "one spec each");
    let whole = report(&both, here);
    assert!(whole.contains("\"D006\""), "{whole}");
    let shares: Vec<(String, String)> =
        shares.into_iter().map(|share| ("a share".to_owned(), share)).collect();
    assert_eq!(merge(&shares).expect("a whole run").text, whole);
}

#[test]
fn reports_that_do_not_go_together_are_refused() {
    let folder = project();
    let here = folder.path();
    let part = |k: &str, more: &[&str]| {
        let arguments = [&["--partition", k][..], more, &["specs/a.nn", "specs/d.nn"]].concat();
        report(&arguments, here)
    };
    let (one, two) = (part("hash:1/2", &[]), part("hash:2/2", &[]));
    let refused = |other: &str| {
        let reports = [("one.json".to_owned(), one.clone()), ("two.json".to_owned(), other.to_owned())];
        merge(&reports).expect_err("two reports that do not go together")
    };
    let of_run = |from: &str, to: &str| {
        assert!(two.contains(from), "{from}");
        refused(&two.replacen(from, to, 1))
    };
    assert_eq!(
        of_run("\"version\": 1", "\"version\": 2"),
        "two.json is a report of version 2; this program reads version 1"
    );
    assert_eq!(
        refused(&part("hash:2/2", &["--seed", "7"])),
        "one.json tested properties with seed 0 and 4 cases, two.json tested properties with seed 7 and 4 cases"
    );
    assert!(of_run("\"cases\": 4", "\"cases\": 16").contains("and 16 cases"));
    assert!(of_run("\"time\": null", "\"time\": 2.5").ends_with("within 2.5 s"));
    assert_eq!(refused(&one), "the share hash:2/2 is missing");
    assert_eq!(
        refused(&part("hash:2/3", &[])),
        "one.json is the share hash:1/2, two.json the share hash:2/3"
    );
    assert_eq!(
        refused(&report(&["specs/a.nn"], here)),
        "one.json is the share hash:1/2, two.json a whole run"
    );
    let checked = stdout(&wellposed(&["check", "--format", "json", "specs/a.nn"], here));
    assert!(refused(&checked).ends_with("two.json tested no properties"));
    for strange in ["", "{}", "[1]", "{\"version\": 1}", "\u{0}"] {
        assert!(refused(strange).starts_with("two.json is no report: "), "{strange}");
    }
    assert!(of_run("\"path\"", "\"pfad\"").contains("two.json is no report: missing field `path`"));
    assert!(refused(&format!("{two}{two}")).starts_with("two.json is no report: "));

    // Without shares, a spec may be in both if both say the same of it.
    let (once, twice) = (report(&["specs/a.nn"], here), report(&["specs/a.nn", "specs/d.nn"], here));
    let both = |other: &str| merge(&[("x".to_owned(), once.clone()), ("y".to_owned(), other.to_owned())]);
    assert_eq!(both(&twice).expect("reports of one run").text, twice);
    let compact: Value = serde_json::from_str(&twice).expect("JSON");
    assert_eq!(both(&compact.to_string()).expect("the same in other words").summary.specs, 2);
    let error = both(&twice.replacen("\"params\": 804", "\"params\": 805", 1)).expect_err("two truths");
    assert_eq!(error, "x and y say different things about specs/a.nn");
}

#[test]
fn a_joined_report_exits_as_the_run_would_have() {
    let folder = project();
    let here = folder.path();
    for (spec, strict, code) in [
        ("specs/a.nn", false, 0),
        ("specs/a.nn", true, 0),
        ("specs/d.nn", false, 0),
        ("specs/d.nn", true, 1),
        ("specs/c.nn", false, 1),
        ("specs/e.nn", true, 0),
        ("specs/none.nn", false, 2),
    ] {
        std::fs::write(here.join("part.json"), report(&[spec], here)).expect("a file");
        let strict = if strict { &["--deny-warnings"][..] } else { &[] };
        let run = wellposed(&[&["validate", "--cases", "4", spec], strict].concat(), here);
        let merged = wellposed(&[&["report", "merge", "part.json"], strict].concat(), here);
        assert_eq!((run.status.code(), merged.status.code()), (Some(code), Some(code)), "{spec} {strict:?}");
    }
    let absent = wellposed(&["report", "merge", "absent.json"], here);
    assert_eq!(absent.status.code(), Some(2));
    assert!(stderr(&absent).contains("absent.json cannot be read"), "{}", stderr(&absent));
}
