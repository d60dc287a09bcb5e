//! Failing cases that are committed beside a spec: run first, reported, recorded, and never an obstacle when they cannot be read.

use crate::cli::{CLEAN, folder, stderr, stdout, wellposed};
use crate::support::Memory;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wellposed::diag::render::{Look, concise, full};
use wellposed::diag::{Diagnostics, rules};
use wellposed::pipeline::{self, Options, Stages};
use wellposed::report::SpecReport;
use wellposed::source::Sources;
use wellposed::valid::properties::{self, TimeUp, Verdict};
use wellposed::valid::regressions::{Committed, path, read};

const FILE: &str = "m.nn.regressions";
/// At this scale inputs of a sound model overflow.
const CASE: &str = "finite:seed=5,batch=3,scale=1e308";

/// Validates a spec with its cases, all from memory.
fn validated(cases: Option<&str>, properties: properties::Options) -> SpecReport {
    let files = Memory::of("m.nn", CLEAN);
    let files = cases.map_or(files.clone(), |cases| files.with(FILE, cases));
    let options = Options { properties, regressions: Some(path(Path::new("m.nn"))), ..Options::default() };
    let stages = Stages { properties: true, ..Stages::default() };
    pipeline::run(Path::new("m.nn"), stages, &options, &files)
}

fn law<'a>(report: &'a SpecReport, name: &str) -> &'a properties::Report {
    report.properties.iter().find(|law| law.name == name).expect("the law was tested")
}

#[test]
fn committed_cases_are_run_before_any_other() {
    let without = validated(None, properties::Options::default());
    assert_eq!((law(&without, "finite").verdict, without.regressions), (Verdict::Pass, None));
    for time_up in [None, Some(TimeUp(Arc::new(|| true)))] {
        let options = properties::Options { time_up, cases: 1, ..properties::Options::default() };
        let with = validated(Some(&format!("# once\n\n  {CASE}  # overflow\n")), options);
        let finite = law(&with, "finite");
        assert_eq!((finite.verdict, finite.replay.as_deref()), (Verdict::Fail, Some(CASE)));
        let counts = with.regressions.expect("cases were run");
        assert_eq!((counts.cases, counts.failed), (1, 1));
        let finding = with.found.iter().find(|d| d.rule == &rules::PROPERTY_FAILED).expect("a finding");
        assert!(finding.message.starts_with("the property `finite` fails again: "), "{}", finding.message);
        assert_eq!(finding.notes[0].1, format!("{CASE}, from line 3 of {FILE}"));
        assert!(with.found.has_errors());
    }
}

#[test]
fn cases_that_hold_are_counted_and_change_nothing_else() {
    let without = validated(None, properties::Options::default());
    let cases = "finite:seed=3,batch=1,scale=1e0\npredicted-scale:seed=4,batch=1,scale=1e0\r\n\
                 finite:seed=3,batch=1,scale=1e0 # again\n";
    let with = validated(Some(cases), properties::Options::default());
    let counts = with.regressions.expect("cases were run");
    assert_eq!((counts.cases, counts.failed), (2, 0), "a case that is repeated counts once");
    assert_eq!(with.properties, without.properties);
    assert!(with.found.is_empty());
    let replay = CASE.parse::<properties::Replay>().ok();
    let replayed = validated(Some(cases), properties::Options { replay, ..properties::Options::default() });
    assert_eq!(replayed.properties.len(), 1, "a replay is one case of one law");
}

/// A law that could not fail on a graph says nothing, whichever case is run.
#[test]
fn cases_of_a_law_that_cannot_fail_are_left_out() {
    let text = "spec 1\nmodel m\ninput x: f64[B, 4]\nnet { f: flatten <- x }\n";
    let files = Memory::of("m.nn", text).and(FILE, "predicted-scale:seed=0,batch=1,scale=1e0\n");
    let options = Options { regressions: Some(FILE.into()), ..Options::default() };
    let stages = Stages { properties: true, ..Stages::default() };
    let report = pipeline::run(Path::new("m.nn"), stages, &options, &files);
    assert_eq!(law(&report, "predicted-scale").verdict, Verdict::Skipped);
    assert_eq!(report.regressions.map(|counts| counts.cases), Some(0));
}

/// The cases of a text and what is found in it, a line each.
fn reading(bytes: &[u8]) -> (Vec<Committed>, Diagnostics) {
    let mut found = Diagnostics::default();
    let cases = read(Path::new(FILE), &Memory::of(FILE, bytes), &mut found).expect("the file is there");
    (cases, found)
}

#[test]
fn lines_that_cannot_be_read_are_shown_where_they_go_wrong() {
    let text = "finit:seed=3\n\
                \tfinite:seed=3,batch=x,scale=1 # why\n\
                finite:seed=1,batch=2,scale=1e3\n\
                finite\n\
                finite:\n\
                é finite:seed=1\n\
                finite:seed=1,,batch=1\n\
                finite:batch=1025\n\
                finite:scale=inf\n\
                finite:seed=99999999999999999999\n";
    let (cases, found) = reading(text.as_bytes());
    assert_eq!(cases.len(), 1);
    assert_eq!((cases[0].line, cases[0].replay.to_string().as_str()), (3, "finite:seed=1,batch=2,scale=1e3"));
    let shown = concise(&found, &Sources::default());
    let places: Vec<&str> = shown.lines().map(|line| line.split(": ").next().expect("a place")).collect();
    let wanted = ["1:1", "2:16", "4:7", "5:8", "6:1", "7:15", "8:8", "9:8", "10:8"];
    assert_eq!(places, wanted.map(|place| format!("{FILE}:{place}")), "{shown}");
    assert!(shown.lines().all(|line| line.contains("error[P010]")), "{shown}");
    assert!(shown.contains("there is no law `finit`; the laws are finite"), "{shown}");
    assert!(shown.contains("at most 1024 rows, and not 1025"), "{shown}");
    let report = validated(Some("finite:seed=3;batch=1\n"), properties::Options::default());
    assert!(report.found.has_errors());
    assert_eq!(law(&report, "finite").verdict, Verdict::Pass, "the laws are tested all the same");
}

#[test]
fn long_files_are_cut() {
    let begun = Instant::now();
    let valid: String = (0..100_000).map(|seed| format!("finite:seed={seed}\n")).collect();
    let (cases, found) = reading(valid.as_bytes());
    assert_eq!((cases.len(), found.iter().count()), (256, 1));
    let (cases, found) = reading("garbage\n".repeat(100_000).as_bytes());
    assert_eq!((cases.len(), found.iter().count()), (0, 17));
    let mut found = Diagnostics::default();
    let files = Memory::of(FILE, vec![b'x'; 9 << 20]);
    assert!(read(Path::new(FILE), &files, &mut found).is_none());
    let shown = concise(&found, &Sources::default());
    assert!(shown.contains("the file cannot be read: the file is larger"), "{shown}");
    let (_, found) = reading(&vec![b'x'; 1 << 20]);
    assert!(full(&found, &Sources::default(), Look::PLAIN).len() < 1 << 16, "a long line is shown in part");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// Pieces of cases in any order, and anything else.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "finite",
        "predicted-scale",
        "rms(out)",
        "monotone(out, \"a#@b:c\")",
        "@w=8,d=0.5",
        "@",
        ":",
        ",",
        "=",
        "seed",
        "batch",
        "scale",
        "0",
        "1e308",
        "NaN",
        "-1",
        "#",
        "\n",
        "\r",
        "\t",
        " ",
        "é",
        "\u{feff}",
        "\u{2028}",
        "finite:seed=1,batch=1,scale=1",
        "18446744073709551615",
    ];
    let piece = proptest::prop_oneof![
        6 => proptest::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// U+0080 has two bytes, and is blank where it is shown.
#[test]
fn control_characters_move_nothing() {
    let (_, found) = reading("\u{80}finite:seed=1\n".as_bytes());
    let shown = full(&found, &Sources::default(), Look::PLAIN);
    assert!(shown.contains(" 1 │ \u{a0}finite:seed=1\n"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_too_strange(bytes in garbage()) {
        let (cases, found) = reading(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter(|line| !line.split('#').next().unwrap_or_default().trim().is_empty());
        prop_assert!(cases.len() + found.iter().count() <= lines.count() + 1);
        let shown = full(&found, &Sources::default(), Look::PLAIN);
        prop_assert_eq!(shown.is_empty(), found.is_empty());
        for finding in &found {
            let (file, start, end) = finding.location(&Sources::default());
            prop_assert_eq!(file, FILE);
            prop_assert!(start < end && start.line <= text.lines().count());
        }
        for Committed { replay, line, text: _ } in &cases {
            prop_assert_eq!(&replay.to_string().parse(), &Ok(replay.clone()), "line {}", line);
        }
    }
}

fn recorded(folder: &Path) -> Option<String> {
    std::fs::read_to_string(folder.join(FILE)).ok()
}

#[test]
fn failing_cases_are_recorded_once_and_never_in_ci() {
    let folder = folder(
        "m.nn",
        &CLEAN.replace("he_normal", "normal(1e160)").replace("xavier_normal", "normal(1e160)"),
    );
    let here = folder.path();
    let plain = wellposed(&["validate", "m.nn"], here);
    assert_eq!((plain.status.code(), recorded(here)), (Some(1), None), "nothing is written unasked");
    let case = "finite:seed=0,batch=1,scale=1e0";
    let line = format!("= case  {case}, the smallest that was found\n   = keep  that line in {FILE}, which");
    assert!(stdout(&plain).contains(&line), "{}", stdout(&plain));

    let in_ci = Command::new(env!("CARGO_BIN_EXE_wellposed"))
        .args(["validate", "--record", "m.nn"])
        .current_dir(here)
        .env("CI", "true")
        .output()
        .expect("the program runs");
    assert_eq!((in_ci.status.code(), recorded(here)), (Some(2), None));
    assert!(stderr(&in_ci).contains("the variable CI is set"), "{}", stderr(&in_ci));

    std::fs::write(here.join(FILE), "# ours\nfinite:seed=9,batch=2,scale=1e0").expect("a file");
    std::fs::write(here.join("m.nn"), CLEAN).expect("a file");
    let sound = wellposed(&["validate", "--record", "m.nn"], here);
    assert_eq!((sound.status.code(), stderr(&sound).as_str()), (Some(0), ""));
    assert!(stdout(&sound).contains("  regressions PASS  1 committed case\n"), "{}", stdout(&sound));

    let unsound = CLEAN.replace("he_normal", "normal(1e160)").replace("xavier_normal", "normal(1e160)");
    std::fs::write(here.join("m.nn"), &unsound).expect("a file");
    std::fs::remove_file(here.join(FILE)).expect("the file goes");
    let first = wellposed(&["validate", "--record", "m.nn"], here);
    assert_eq!(first.status.code(), Some(1), "what is recorded is no better for it");
    let text = recorded(here).expect("cases");
    assert!(text.starts_with("# ") && text.lines().any(|line| line == case), "{text}");
    assert!(stderr(&first).contains(&format!("recorded in {FILE}\n")), "{}", stderr(&first));
    let second = wellposed(&["validate", "--record", "m.nn"], here);
    assert_eq!((recorded(here), stderr(&second).as_str()), (Some(text.clone()), ""), "once");
    assert!(stdout(&second).contains("  regressions FAIL  "), "{}", stdout(&second));
    let again = stdout(&second).matches("the property `finite` fails again").count();
    assert_eq!((again, stdout(&second).contains("`finite` fails:")), (1, false), "one fault, one finding");

    // What the file holds stays as it is, a last line without its end, too.
    std::fs::write(here.join(FILE), "# ours\nno case").expect("a file");
    wellposed(&["validate", "--record", "m.nn"], here);
    let text = recorded(here).expect("cases");
    assert!(text.starts_with("# ours\nno case\nfinite:"), "{text}");

    // A spec that is meant to fail records nothing.
    std::fs::remove_file(here.join(FILE)).expect("the file goes");
    std::fs::write(here.join("m.nn"), format!("# wellposed: expect(P001)\n{unsound}")).expect("a file");
    wellposed(&["validate", "--record", "m.nn"], here);
    assert_eq!(recorded(here), None);
}

#[test]
fn the_file_stands_beside_the_spec() {
    assert_eq!(path(Path::new("models/digits.nn.yaml")), PathBuf::from("models/digits.nn.yaml.regressions"));
    let folder = folder("m.nn", CLEAN);
    std::fs::create_dir(folder.path().join(FILE)).expect("a folder");
    let output = wellposed(&["validate", "--format", "concise", "m.nn"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let shown = stdout(&output);
    assert!(shown.starts_with(&format!("{FILE}:1:1: error[P010] the file cannot be read")), "{shown}");
}
