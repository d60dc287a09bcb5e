//! Every diagnostic as it is shown, from specs that are meant to be wrong. `snapshots/` mirrors `specs/` path for path.

use crate::support::{Memory, compiled, specs};
use insta::Settings;
use std::path::Path;
use wellposed::diag::Diagnostic;
use wellposed::diag::render::{Look, full};
use wellposed::diag::suppress::Notation;
use wellposed::pipeline::{Stages, compile};

/// The findings of a spec, suppressions applied, as they are shown.
fn rendered(path: &Path) -> String {
    let mut compiled = compile(path, &Memory::default()).expect("the spec can be opened");
    compiled.conclude(Stages::default());
    full(&compiled.found, &compiled.sources, Look::PLAIN)
}

fn check(folder: &str) -> usize {
    let paths = specs(&format!("specs/{folder}"));
    // A spec that a lint is silent on has nothing to show.
    for path in paths.iter().filter(|path| !path.ends_with("ok.nn")) {
        let below = path.strip_prefix("specs").expect("a spec of the repository");
        let home =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(below.parent().expect("a folder"));
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let mut settings = Settings::clone_current();
        settings.set_snapshot_path(home);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.remove_snapshot_suffix();
        settings.remove_input_file();
        settings.remove_info();
        settings.remove_description();
        settings.bind(|| insta::assert_snapshot!(format!("{name}.diag"), rendered(path)));
    }
    paths.len()
}

#[test]
fn rejected_specs_say_why() {
    assert!(check("reject") >= 25);
}

#[test]
fn faulty_specs_say_what_is_wrong() {
    check("faulty");
}

#[test]
fn lints_say_what_they_see() {
    check("lint");
}

/// A spec that stands for one mistake has that finding, announced, and no other error.
#[test]
fn rejected_specs_have_one_finding_each() {
    for path in specs("specs/reject") {
        let mut compiled = compile(&path, &Memory::default()).expect("the spec can be opened");
        compiled.conclude(Stages::default());
        let shown = full(&compiled.found, &compiled.sources, Look::PLAIN);
        assert_eq!(compiled.found.iter().count(), 1, "{}:\n{shown}", path.display());
        assert!(compiled.found.iter().all(|d| d.expected), "{}:\n{shown}", path.display());
    }
}

/// The findings of a text: line, column, end line, end column, code and message.
fn places(text: &str, notation: Notation) -> Vec<String> {
    let mut compiled = compiled(text, notation);
    compiled.conclude(Stages::default());
    let show = |d: &Diagnostic| {
        let (_, start, end) = d.location(&compiled.sources);
        let help = d.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        let (code, message) = (d.rule.code, &d.message);
        format!("{}:{}-{}:{} {code} {message}{help}", start.line, start.column, end.line, end.column)
    };
    compiled.found.iter().map(show).collect()
}

#[test]
fn five_mistakes_give_five_findings() {
    let text = "spec 1\nmodel m(hidden = 8)\ninput  x: f64[B, 4]\ntarget y: class(3)\nnet {\n  \
                fc1: liner(hidden, init=he_normal)\n       relu\n  fc2: linear(hiden, init=he_normal)\n       relu\n  \
                fc3: linear(8, int=he_normal, init=he_normal)\n       relu\n  out  linear(3, init=xavier_normal)\n}\n\
                train {\n  loss cross_entropy(out, y)\n  adam(lr=1e-3)  batchs 64\n}\n";
    assert_eq!(
        places(text, Notation::Dsl),
        [
            "6:8-6:13 N004 there is no op or block `liner`; did you mean `linear`?",
            "8:15-8:20 N001 unknown name `hiden`; did you mean `hidden`?",
            "10:18-10:21 S003 `linear` has no argument `int`; did you mean `init`?",
            "12:8-12:8 S002 expected the end of the statement, `:` or `<-`; if `out` names the statement, write `out:`",
            "16:18-16:24 S003 `train` has no setting `batchs`; did you mean `batch`?",
        ]
    );
}

#[test]
fn five_mistakes_in_yaml_give_five_findings() {
    let text = "spec: 1\nmodel: m\nparams: {hidden: 8}\ninputs: {x: \"f64[B, 4]\"}\ntargets: {y: class(3)}\nnet:\n  \
                - {id: fc1, liner: {out: =hidden, init: he_normal}}\n  - relu\n  \
                - {id: fc2, linear: {out: =hiden, init: he_normal}}\n  - relu\n  \
                - {id: fc3, linear: {out: 8, int: he_normal, init: he_normal}}\n  - relu\n  \
                - {id: out, linear: {out: 3, init: xavier_normal, out: 4}}\n\
                train: {loss: {cross_entropy: [out, y]}, batchs: 64}\n";
    assert_eq!(
        places(text, Notation::Yaml),
        [
            "7:15-7:20 N004 there is no op or block `liner`; did you mean `linear`?",
            "9:30-9:35 N001 unknown name `hiden`; did you mean `hidden`?",
            "11:32-11:35 S003 `linear` has no argument `int`; did you mean `init`?",
            "13:53-13:56 Y002 the key `out` is given twice",
            "14:42-14:48 S003 `train` has no key `batchs`; did you mean `batch`?",
        ]
    );
}

/// One cause, one message: what depends on a part that could not be read is not reported on top of it.
#[test]
fn nothing_cascades() {
    let head = "spec 1\nmodel m(h = 8)\ninput x: f64[B, 4]\ntarget y: class(3)\n";
    let rest = "net {\n  fc: linear(h, init=he_normal)\n      relu\n  c:  cell(h)\n  s:  add <- c, fc\n  \
                out: linear(3, init=he_normal)\n}\ntrain { loss cross_entropy(out, y) }\n";
    let block = "block cell(n) {\n  fc: linear(n, init=he_normal)\n}\n";
    let good = format!("{head}{block}{rest}");
    assert_eq!(places(&good, Notation::Dsl), [""; 0]);
    for (from, to, code) in [
        ("model m(h = 8)", "model m(h = 8", "S002"),
        ("model m(h = 8)", "model m(h = 8 //)", "S002"),
        ("model m(h = 8)", "model m(h = 1 / 0)", "S009"),
        ("model m(h = 8)", "modle m(h = 8)", "S003"),
        ("input x: f64", "input x f64", "S002"),
        ("input x: f64", "inptu x: f64", "S003"),
        ("target y: class", "target y= class", "S002"),
        ("target y: class(3)", "target y: clas(3)", "S004"),
        ("block cell(n)", "block cell(n", "S002"),
        ("block cell(n) {", "block cell(n) ", "S002"),
        ("block cell(n)", "block cell(k)", "N001"),
        ("fc: linear(n,", "fc linear(n,", "S002"),
        ("fc: linear(h,", "fc: linear(h h,", "S002"),
        ("fc: linear(h,", "fc: linear(,", "S002"),
        ("fc: linear(h,", "fc: linea(h,", "N004"),
        ("fc: linear(h,", "fc: linear(", "S005"),
        ("      relu\n", "      rleu\n", "N004"),
        ("c:  cell(h)", "c:  cell()", "S005"),
        ("c:  cell(h)", "c:  cell h", "S002"),
        ("s:  add <-", "s:  add <", "S002"),
        ("<- c, fc", "<- c, f", "N001"),
        ("out: linear(3, init=he_normal)\n", "out: linear(3; init=he_normal)\n", "S002"),
        ("net {", "net", "S002"),
        ("net {", "nte {", "S003"),
        ("loss cross_entropy(out, y)", "loss cross_entropy(out y)", "S002"),
        ("loss cross_entropy", "los cross_entropy", "S003"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from} occurs");
        let found = places(&text, Notation::Dsl);
        assert!(found.len() == 1 && found[0].contains(code), "{from} -> {to}: {found:#?}");
    }
}

#[test]
fn an_expectation_that_nothing_meets_is_an_error() {
    let text = "# wellposed: expect(N001)\nspec 1\nmodel m\ninput x: f64[B, 4]\nnet { fc: linear(3, init=he_normal) }\n";
    let found = places(text, Notation::Dsl);
    assert_eq!(
        found,
        [
            "1:21-1:25 X002 N001 (unknown-name) was expected and did not occur; the fault is gone, or the rule no longer sees it"
        ]
    );
}
