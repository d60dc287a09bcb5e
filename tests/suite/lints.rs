//! The lints: pages, names, what they must find, what they must not, and their fixes.
//!
//! Everything goes through [`lints::ALL`] and the folders of specs: a new lint needs no line here. Nothing is run; a spec is compiled
//! and its suppressions are applied, which is all that lints depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use wellposed::diag::render::{Look, full};
use wellposed::diag::suppress::Notation;
use wellposed::diag::{Diagnostic, Diagnostics, Edit, Severity};
use wellposed::front;
use wellposed::lints::{self, Lint};
use wellposed::pipeline::{Compiled, Stages, compile};
use wellposed::source::{Loader, Sources};

/// The disk, with one file replaced.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, String>);

impl Loader for Files {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        match self.0.get(path) {
            Some(text) => Ok(Box::new(text.as_bytes())),
            None => Ok(Box::new(fs::File::open(path)?)),
        }
    }
}

fn specs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("specs")
}

/// The specs directly inside a folder, in order.
fn inside(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(specs().join(folder)).expect("the folder exists");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| front::notation_of(&path.to_string_lossy()).is_some());
    paths.sort();
    paths
}

fn concluded(path: &Path) -> Compiled {
    with_style(path, false)
}

/// Matters of taste are looked for where the spec is about one.
fn with_style(path: &Path, style: bool) -> Compiled {
    let mut compiled = compile(path, &Files::default()).expect("the spec can be opened");
    compiled.conclude(Stages { style, ..Stages::default() });
    compiled
}

fn shown(compiled: &Compiled) -> String {
    full(&compiled.found, &compiled.sources, Look::PLAIN)
}

/// Codes of the findings, each once.
fn codes(found: &Diagnostics, filter: impl Fn(&Diagnostic) -> bool) -> BTreeSet<&'static str> {
    found.iter().filter(|d| filter(d)).map(|d| d.rule.code).collect()
}

/// Nothing but what the spec announces, and information.
fn only_expected(path: &Path, style: bool) -> BTreeSet<&'static str> {
    let compiled = with_style(path, style);
    let loud = codes(&compiled.found, |d| !d.expected && d.severity > Severity::Info);
    assert!(
        loud.is_empty(),
        "{} has findings that it does not announce:\n{}",
        path.display(),
        shown(&compiled)
    );
    codes(&compiled.found, |d| d.expected)
}

#[test]
fn every_lint_has_a_code_a_name_and_a_page() {
    let mut seen = BTreeSet::new();
    for Lint { file, rule, check: _ } in lints::ALL {
        let (family, digits) = rule.code.split_at(1);
        assert!("IDGMTAOX".contains(family), "{}: the family is none of the lints'", rule.code);
        assert!(
            digits.len() == 3 && digits.parse::<u16>().is_ok_and(|n| n > 0),
            "{}: three digits",
            rule.code
        );
        assert_eq!(rule.name, file.replace('_', "-"), "{}: the name is that of the file", rule.code);
        assert!(rule.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}: kebab-case", rule.name);
        assert!(seen.insert(rule.code) && seen.insert(rule.name), "{}: given twice", rule.code);
        let page = rule.page();
        assert!(rule.summary().ends_with('.'), "{}: the first line is a sentence", rule.code);
        let sections =
            ["## What it checks", "## Why it matters", "## Example", "## Instead", "## References"];
        let places: Vec<Option<usize>> = sections.iter().map(|section| page.find(section)).collect();
        for (section, place) in sections.iter().zip(&places) {
            assert!(place.is_some(), "{}: the page lacks `{section}`", rule.code);
        }
        assert!(places.is_sorted(), "{}: the sections are out of order", rule.code);
        assert!(page.contains("```text\n"), "{}: the page has no example", rule.code);
    }
}

/// Where the text of an example belongs: a whole spec, or a fragment of one.
fn place_of(example: &str) -> Option<&'static str> {
    let net = "net {\n  out: linear(1, init=zeros)\n}\n";
    let places = [
        ("a spec", example.to_owned()),
        ("sections", format!("spec 1\nmodel m\n{example}\n")),
        ("sections before a net", format!("spec 1\nmodel m\n{example}\n{net}")),
        ("statements of a net", format!("spec 1\nmodel m\nnet {{\n{example}\n}}\n")),
        ("lines of a data section", format!("spec 1\nmodel m\ndata {{\n{example}\n}}\n{net}")),
        ("statements before a section", {
            let (statements, section) = example.split_once("train {").unwrap_or((example, ""));
            format!("spec 1\nmodel m\nnet {{\n{statements}\n}}\ntrain {{{section}\n")
        }),
    ];
    places.into_iter().find_map(|(place, text)| {
        let mut sources = Sources::default();
        let id = sources.add("example.nn", text);
        let (spec, mistakes) = front::parse(&sources, id, Notation::Dsl);
        (mistakes.is_empty() && spec.version.is_some()).then_some(place)
    })
}

#[test]
fn every_example_on_a_page_parses() {
    for lint in lints::ALL {
        let page = lint.rule.page();
        for example in page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let place = place_of(example);
            assert!(place.is_some(), "{}: the example fits nowhere in a spec:\n{example}", lint.rule.code);
        }
    }
}

#[test]
fn every_lint_finds_its_bad_spec_and_nothing_else_there() {
    for lint in lints::ALL {
        let path = specs().join("lint").join(lint.file).join("bad.nn");
        assert_eq!(
            only_expected(&path, lint.rule.style),
            BTreeSet::from([lint.rule.code]),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_lint_and_all_others_are_silent_on_its_ok_spec() {
    for lint in lints::ALL {
        let path = specs().join("lint").join(lint.file).join("ok.nn");
        let compiled = with_style(&path, lint.rule.style);
        let loud = codes(&compiled.found, |d| d.severity > Severity::Info || d.rule == lint.rule);
        assert!(loud.is_empty(), "{}\n{}", lint.file, shown(&compiled));
    }
}

#[test]
fn every_folder_of_lint_specs_belongs_to_a_lint() {
    let files: BTreeSet<&str> = lints::ALL.iter().map(|lint| lint.file).collect();
    for entry in fs::read_dir(specs().join("lint")).expect("the folder exists") {
        let name = entry.expect("an entry").file_name();
        assert!(files.contains(name.to_string_lossy().as_ref()), "{} has no lint", name.display());
    }
}

#[test]
fn faulty_models_have_the_one_fault_that_they_announce() {
    let faulty = inside("faulty");
    assert!(faulty.len() >= 12);
    for path in &faulty {
        let text = fs::read_to_string(path).expect("readable");
        // What breaks a promise shows when the model runs, or another one that its ranges allow is compiled.
        let promised = usize::from(["expect(P002)", "expect(P003)"].iter().any(|code| text.contains(code)));
        assert_eq!(only_expected(path, false).len() + promised, 1, "{}: one fault each", path.display());
        let comments = text.lines().take_while(|line| line.starts_with("# ")).count();
        assert_eq!(comments, 3, "{}: two lines say what is wrong, one announces it", path.display());
    }
}

/// Models that are known to train, with the initialisation of their reference code.
#[test]
fn good_models_have_no_findings() {
    let good = inside("good");
    assert!(good.len() >= 30);
    for path in good.iter().chain(&inside("quickstart")).chain(&inside("deep")) {
        let compiled = concluded(path);
        let loud = codes(&compiled.found, |d| d.severity > Severity::Info);
        assert!(loud.is_empty(), "{}\n{}", path.display(), shown(&compiled));
        // PyTorch's default is a sixth of what ReLU needs, which is worth a word even where it does no harm.
        let text = fs::read_to_string(path).expect("readable");
        let remarked = codes(&compiled.found, |d| d.rule.code != "I001" || !text.contains("torch_default"));
        assert!(remarked.is_empty(), "{}\n{}", path.display(), shown(&compiled));
    }
}

/// The text with edits applied, which must lie in one file, in order and apart.
fn edited(text: &str, edits: &[Edit]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for Edit { span, text: new } in edits {
        let range = span.range();
        assert!(range.start >= at, "the edits overlap or are out of order");
        assert_eq!(span.file, edits[0].span.file, "the edits lie in one file");
        out += &text[at..range.start];
        out += new;
        at = range.end;
    }
    out + &text[at..]
}

#[test]
fn every_fix_removes_its_finding_and_leaves_a_spec_that_parses() {
    let bad = lints::ALL.iter().map(|lint| specs().join("lint").join(lint.file).join("bad.nn"));
    let mut applied = BTreeSet::new();
    for path in bad.chain(inside("faulty")) {
        let compiled = compile(&path, &Files::default()).expect("the spec can be opened");
        let of_rule = |found: &Diagnostics, code: &str| found.iter().filter(|d| d.rule.code == code).count();
        for diagnostic in &compiled.found {
            let Some(fix) = &diagnostic.fix else { continue };
            let code = diagnostic.rule.code;
            let text = edited(&compiled.sources.file(compiled.file).text, &fix.edits);
            let files = Files([(path.clone(), text.clone())].into());
            let mended = compile(&path, &files).expect("the spec is there");
            let broken = codes(&mended.found, |d| "SYNH".contains(&d.rule.code[..1]));
            assert!(broken.is_empty(), "{}: {code} fixed into {broken:?}\n{text}", path.display());
            let (before, after) = (of_rule(&compiled.found, code), of_rule(&mended.found, code));
            assert!(after < before, "{}: {code} is still there after its fix\n{text}", path.display());
            let new = codes(&mended.found, |d| {
                d.severity > Severity::Info && of_rule(&compiled.found, d.rule.code) == 0
            });
            assert!(new.is_empty(), "{}: the fix of {code} brings {new:?}\n{text}", path.display());
            applied.insert(code);
        }
    }
    // Of the lints whose remedy can be written without the text, each has shown it.
    let able = [
        "A005", "A007", "D001", "D003", "D005", "D012", "G002", "G005", "G006", "G009", "G010", "I001",
        "I002", "I003", "I004", "I005", "I006", "I007", "I008", "I009", "M003", "O001", "O002", "T003",
    ];
    for code in able {
        assert!(applied.contains(code), "no fix of {code} was tried");
    }
}

#[test]
fn matters_of_taste_are_silent_unless_they_are_asked_for() {
    for lint in lints::ALL.iter().filter(|lint| lint.rule.style) {
        let path = specs().join("lint").join(lint.file).join("bad.nn");
        let quiet = concluded(&path);
        assert!(quiet.found.is_empty(), "{}\n{}", lint.file, shown(&quiet));
        let asked = with_style(&path, true);
        assert!(codes(&asked.found, |d| d.severity == Severity::Info).contains(lint.rule.code));
    }
}

/// A spec with one line replaced.
fn with(path: &str, from: &str, to: &str) -> Compiled {
    let path = specs().join(path);
    let text = fs::read_to_string(&path).expect("readable");
    assert!(text.contains(from), "{}: no `{from}`", path.display());
    let files = Files([(path.clone(), text.replace(from, to))].into());
    compile(&path, &files).expect("the spec is there")
}

/// The severity of a finding, if there is one.
fn severity(compiled: &Compiled, code: &str) -> Option<Severity> {
    compiled.found.iter().find(|d| d.rule.code == code).map(|d| d.severity)
}

/// v = 1 before ReLU halves the energy in each layer, so the limits 10^-5.5 and 10^-8 of gradient descent lie at 18.3 and 26.6
/// layers, and 10^-8 and 10^-14 of Adam at 26.6 and 46.5.
#[test]
fn the_severity_of_a_mismatch_follows_from_depth_and_optimiser() {
    let bad = "lint/mismatched_gain/bad.nn";
    let at = |depth: usize, optimizer: &str| {
        let path = specs().join(bad);
        let text = fs::read_to_string(&path).expect("readable");
        let text = text.replace("repeat 20", &format!("repeat {depth}")).replace("sgd(lr=0.1)", optimizer);
        let compiled = compile(&path, &Files([(path.clone(), text)].into())).expect("the spec is there");
        assert_eq!(severity(&compiled, "G001"), None, "one cause, one finding");
        severity(&compiled, "I001")
    };
    let (sgd, adam) = ("sgd(lr=0.1)", "adam(lr=1e-3)");
    assert_eq!(at(1, sgd), None, "one harmless layer");
    assert_eq!(at(18, sgd), Some(Severity::Info));
    assert_eq!(at(19, sgd), Some(Severity::Warning));
    assert_eq!(at(26, sgd), Some(Severity::Warning));
    assert_eq!(at(27, sgd), Some(Severity::Error));
    assert_eq!(at(26, adam), Some(Severity::Info));
    assert_eq!(at(27, adam), Some(Severity::Warning));
    assert_eq!(at(46, adam), Some(Severity::Warning));
    assert_eq!(at(47, adam), Some(Severity::Error));
}

/// The truth table of one hidden layer: which pairs of constant, zero and random weights never part or never wake.
#[test]
fn symmetry_and_dead_zeros_follow_the_truth_table() {
    let constant = "constant(0.1)";
    let verdict = |activation: &str, first: &str, second: &str| {
        let path = specs().join("lint/symmetric_units/table.nn");
        let text = format!(
            "spec 1\nmodel m\ninput x: f64[B, 8]\ntarget y: class(4)\nnet {{\n  a: linear(16, init={first})\n     \
             {activation}\n  b: linear(4, init={second})\n}}\ntrain {{ loss cross_entropy(b, y) }}\n"
        );
        let compiled = compile(&path, &Files([(path.clone(), text)].into())).expect("the spec is there");
        let found = codes(&compiled.found, |d| ["I002", "I004"].contains(&d.rule.code));
        found.into_iter().next().unwrap_or("ok")
    };
    let random = "xavier_normal";
    for (first, second, tanh, relu, sigmoid) in [
        ("zeros", "zeros", "I004", "I004", "I002"),
        ("zeros", constant, "I002", "I004", "I002"),
        (constant, "zeros", "I002", "I002", "I002"),
        (constant, constant, "I002", "I002", "I002"),
        ("zeros", random, "ok", "I004", "ok"),
        (constant, random, "ok", "ok", "ok"),
        (random, "zeros", "ok", "ok", "ok"),
        (random, constant, "ok", "ok", "ok"),
    ] {
        assert_eq!(verdict("tanh", first, second), tanh, "tanh: {first} then {second}");
        assert_eq!(verdict("relu", first, second), relu, "relu: {first} then {second}");
        assert_eq!(verdict("sigmoid", first, second), sigmoid, "sigmoid: {first} then {second}");
    }
}

/// A layer norm keeps the gradient of ten sigmoid layers, but not what tells two inputs apart: 0.153 of it is left per layer.
#[test]
fn a_layer_norm_does_not_tell_merged_inputs_apart() {
    let bad = "lint/unstable_depth/bad.nn";
    let normed = |norm: &str| {
        let line = format!("init=xavier_normal)\n        {norm}\n");
        severity(&with(bad, "init=xavier_normal)\n", &line), "G001")
    };
    assert_eq!(normed("layer_norm"), Some(Severity::Error));
    assert_eq!(normed("batch_norm"), None);
}

/// ReLU behind batch norm multiplies the gradient by 1.467 per layer, 10^6 over 36 and 10^8 over 48 of them.
#[test]
fn the_severity_of_a_plain_stack_follows_from_its_depth() {
    let bad = "lint/plain_norm_stack/bad.nn";
    let at = |depth: usize| severity(&with(bad, "repeat 40", &format!("repeat {depth}")), "G004");
    assert_eq!(at(27), None, "as deep as MobileNet");
    assert_eq!(at(32), None);
    assert_eq!(at(33), Some(Severity::Warning));
    assert_eq!(at(47), Some(Severity::Warning));
    assert_eq!(at(51), Some(Severity::Error));
    assert_eq!(severity(&with(bad, "batch_norm", "layer_norm"), "G004"), None);
    assert_eq!(
        severity(&with(bad, "relu", "tanh"), "G004"),
        Some(Severity::Warning),
        "by the number of norms"
    );
}

/// A fan that counts 64 groups matters where no norm follows, and not in one layer alone.
#[test]
fn a_wrong_fan_counts_where_nothing_rescales_it() {
    let bad = "lint/wrong_fan/bad.nn";
    assert_eq!(severity(&with(bad, "groups=64, init=he_normal(fan_out))", "groups=2)"), "I006"), None);
    let normed = with(bad, "groups=64, init=he_normal(fan_out))\n", "groups=64)\n         batch_norm\n");
    assert_eq!(severity(&normed, "I006"), None);
    assert_eq!(severity(&with(bad, "he_normal(fan_out)", "torch_default"), "I006"), None);
}

#[test]
fn adam_bears_a_scale_that_the_seed_decides() {
    let bad = "lint/seed_lottery/bad.nn";
    let adam = |from: &str, to: &str| {
        let path = specs().join(bad);
        let text = fs::read_to_string(&path).expect("readable");
        let text = text.replace("sgd(lr=0.1)", "adam(lr=1e-3)").replace(from, to);
        let compiled = compile(&path, &Files([(path.clone(), text)].into())).expect("the spec is there");
        severity(&compiled, "G007")
    };
    assert_eq!(adam("repeat 40", "repeat 40"), Some(Severity::Info));
    assert_eq!(adam("repeat 40", "repeat 120"), Some(Severity::Warning));
    assert_eq!(severity(&with(bad, "linear(24", "linear(64"), "G007"), None);
}

/// One layer of std s takes inputs of rms 1 over 64 to 8 s, six times which is 65504 at s = 1364.67.
#[test]
fn half_precision_ends_at_65504() {
    let bad = "lint/half_precision_range/bad.nn";
    let at = |std: &str| severity(&with(bad, "normal(2000)", &format!("normal({std})")), "G010");
    assert_eq!(at("1364"), None);
    assert_eq!(at("1365"), Some(Severity::Error));
    for wide in ["bf16", "f32"] {
        assert_eq!(severity(&with(bad, "precision f16", &format!("precision {wide}")), "G010"), None);
    }
    assert_eq!(severity(&with(bad, "  precision f16", ""), "G010"), None);
    // A mean square of 64 s^2 is 1e36 at 1.25e17; before that the norm makes the gradient's too small.
    for precision in ["  precision f32", "  precision bf16", ""] {
        let at = |std: &str| {
            let path = specs().join(bad);
            let text = fs::read_to_string(&path).expect("readable").replace("2000", std);
            let text = text.replace("  precision f16", precision);
            let compiled = compile(&path, &Files([(path.clone(), text)].into())).expect("the spec is there");
            let found = compiled.found.iter().find(|d| d.rule.code == "G010");
            found.map(|d| (d.severity, d.message.split(' ').next().unwrap_or_default().to_owned()))
        };
        let error = |what: &str| Some((Severity::Error, what.to_owned()));
        assert_eq!(at("1e12"), None, "{precision}");
        assert_eq!(at("1.24e17"), error("gradients"), "{precision}");
        assert_eq!(at("1.26e17"), error("values"), "{precision}");
    }
}

/// 26 layers of half the energy each, 256 wide, in the mean over 256 samples. The energy at the logits is
/// 1 - 1/10, so that at the first layer sqrt(0.9 2^-26 / 256) / 256 = 2.8e-8 arrives, below 6e-8 unless it is scaled by 2.1.
#[test]
fn half_precision_loses_gradients_below_its_smallest_number() {
    let seen = |depth: usize, rest: &str| {
        let path = specs().join("lint/half_precision_range/table.nn");
        let text = format!(
            "spec 1\nmodel m\ninput x: f64[B, 256]\ntarget y: class(10)\nnet {{\n  h: repeat {depth} {{\n    \
             fc: linear(256, init=xavier_normal)\n        relu\n  }}\n  out: linear(10, init=lecun_normal)\n}}\n\
             train {{\n  loss cross_entropy(out, y)\n  adam(lr=1e-3, eps=1e-6)  batch 256  {rest}\n}}\n"
        );
        let compiled = compile(&path, &Files([(path.clone(), text)].into())).expect("the spec is there");
        severity(&compiled, "G010")
    };
    assert_eq!(seen(26, "precision f16"), Some(Severity::Warning));
    assert_eq!(seen(20, "precision f16"), None);
    assert_eq!(seen(26, "precision f16  loss_scale 2"), Some(Severity::Warning));
    assert_eq!(seen(26, "precision f16  loss_scale 1024"), None);
    assert_eq!(seen(26, "precision bf16"), None);
}

/// The smallest number of half precision is 6e-8, to which Adam's 1e-8 is nothing.
#[test]
fn the_epsilon_of_adam_must_exist_in_half_precision() {
    let ok = "lint/extreme_epsilon/ok.nn";
    let at = |optimizer: &str| severity(&with(ok, "adam(lr=1e-3)", optimizer), "T002");
    assert_eq!(at("adam(lr=1e-3)"), None);
    assert_eq!(at("adam(lr=1e-3)  precision f16"), Some(Severity::Warning));
    assert_eq!(at("adamw(lr=1e-3, eps=9e-8)  precision f16"), Some(Severity::Warning));
    assert_eq!(at("adam(lr=1e-3, eps=1e-7)  precision f16"), None);
    assert_eq!(at("adam(lr=1e-3)  precision bf16"), None);
    assert_eq!(at("sgd(lr=0.1)  precision f16"), None);
}

#[test]
fn a_norm_or_a_bypass_silences_the_rules_of_scale() {
    let bad = "lint/mismatched_gain/bad.nn";
    let normed = with(bad, "init=xavier_normal)\n", "init=xavier_normal)\n        batch_norm\n");
    assert_eq!((severity(&normed, "I001"), severity(&normed, "G001")), (None, None));
    let residual = "faulty/residual_without_norm.nn";
    assert_eq!(severity(&with(residual, "repeat 30", "repeat 19"), "G001"), Some(Severity::Warning));
    assert_eq!(severity(&with(residual, "repeat 30", "repeat 12"), "G001"), None, "2^12 is below 10^4");
    let zero = with(residual, "fc2: linear(w, init=lecun_normal)", "fc2: linear(w, init=zeros)");
    assert_eq!((severity(&zero, "G001"), severity(&zero, "I004")), (None, None));
    let inner = with(residual, "residual {\n", "residual {\n           layer_norm\n");
    assert_eq!(severity(&inner, "G001"), None);
}

/// The findings of a small net whose statements, loss and target are given.
fn small(target: &str, statements: &str, loss: &str) -> Vec<(&'static str, Severity)> {
    let path = specs().join("lint/mismatched_loss/table.nn");
    let text = format!(
        "spec 1\nmodel m\ninput x: f64[B, 8]\ntarget y: {target}\nnet {{\n  fc: linear(8, init=he_normal)\n      relu\n{statements}\n}}\n\
         train {{ loss {loss} }}\n"
    );
    let mut compiled = compile(&path, &Files([(path.clone(), text)].into())).expect("the spec is there");
    compiled.conclude(Stages::default());
    let mut found: Vec<_> = compiled.found.iter().map(|d| (d.rule.code, d.severity)).collect();
    found.dedup();
    found
}

/// Factors of zero switch a branch off until the first step; behind weights of zero neither ever learns. A factor of 10^-6 is meant.
#[test]
fn the_factors_of_a_branch_may_be_tiny_and_not_zero_twice() {
    for (weights, factors, wanted) in [
        ("he_normal", "zeros", None),
        ("he_normal", "constant(1e-6)", None),
        ("zeros", "constant(1e-6)", None),
        ("zeros", "zeros", Some("I004")),
    ] {
        let branch = format!(
            "  r: residual {{\n    a: linear(8, init={weights})\n    s: layer_scale(init={factors})\n  }}\n  \
             z: linear(3, init=lecun_normal)"
        );
        let found: Vec<&str> =
            small("class(3)", &branch, "cross_entropy(z, y)").into_iter().map(|(code, _)| code).collect();
        assert_eq!(found, Vec::from_iter(wanted), "{weights}, {factors}");
    }
}

/// The table of heads, losses and labels: what goes together is silent, what does not has one finding.
#[test]
fn heads_losses_and_labels_go_together_by_the_table() {
    let (error, warning) = (Severity::Error, Severity::Warning);
    let wrong = |code, severity| vec![(code, severity)];
    let linear = |n: usize, activation: &str| format!("  o: linear({n}, init=lecun_normal)\n{activation}");
    for (target, n, activation, loss, found) in [
        ("class(2)", 1, "", "bce_with_logits(o, y)", vec![]),
        ("f64[B, 1]", 1, "", "bce_with_logits(o, y)", vec![]),
        ("unit[B, 4]", 4, "  p: sigmoid", "bce(p, y)", vec![]),
        ("one_hot(4)", 4, "", "bce_with_logits(o, y)", vec![]),
        ("class(4)", 4, "", "cross_entropy(o, y)", vec![]),
        ("class(4)", 4, "  p: log_softmax", "nll(p, y)", vec![]),
        ("class(4)", 4, "  p: leaky_relu", "cross_entropy(p, y)", vec![]),
        ("class(4)", 4, "  p: hardtanh(lo=-30, hi=30)", "cross_entropy(p, y)", vec![]),
        ("f64[B, 1]", 1, "", "mse(o, y)", vec![]),
        ("f64[B, 1] in -9..9", 1, "", "huber(o, y)", vec![]),
        ("f64[B, 1] in 0..9", 1, "  p: softplus", "mae(p, y)", vec![]),
        ("f64[B, 1]", 1, "  p: tanh", "mse(p, y)", vec![]),
        ("unit[B, 4]", 4, "  p: sigmoid", "mse(p, y)", vec![]),
        ("f64[B, 1] in 0..255 |> scale(1/255)", 1, "  p: sigmoid", "mse(p, y)", vec![]),
        ("class(4)", 4, "  p: tanh", "cross_entropy(p, y)", wrong("O005", warning)),
        ("class(4)", 4, "  p: relu", "cross_entropy(p, y)", wrong("O005", warning)),
        ("class(4)", 4, "  p: softmax", "cross_entropy(p, y)", wrong("O002", error)),
        ("class(2)", 1, "  p: relu", "bce_with_logits(p, y)", wrong("O005", error)),
        ("class(2)", 1, "  p: tanh", "bce_with_logits(p, y)", wrong("O005", warning)),
        ("class(2)", 1, "  p: sigmoid", "bce_with_logits(p, y)", wrong("O002", error)),
        ("f64[B, 1] in 0..5", 1, "", "bce_with_logits(o, y)", wrong("O005", error)),
        ("f64[B, 1] in -1..1", 1, "  p: sigmoid", "bce(p, y)", wrong("O005", error)),
        ("unit[B, 4]", 4, "  p: softmax", "bce(p, y)", wrong("O005", warning)),
        ("one_hot(4)", 4, "  p: softmax", "mse(p, y)", wrong("O005", warning)),
        ("f64[B, 1] in -1..1", 1, "  p: sigmoid", "mse(p, y)", wrong("O006", error)),
        ("f64[B, 1] in -1..1", 1, "  p: relu", "mae(p, y)", wrong("O006", error)),
        ("unit[B, 1] |> scale(2)", 1, "  p: tanh", "mse(p, y)", wrong("O006", error)),
    ] {
        let seen = small(target, &linear(n, activation), loss);
        assert_eq!(seen, found, "target {target}, {n} units{activation}, {loss}");
    }
}

/// Two maps are one unless the middle limits the rank, a neighbour uses it, or one of them starts at zero.
#[test]
fn linear_pairs_that_are_meant_are_silent() {
    let map = |n: usize, rest: &str| format!("linear({n}, init={rest})");
    let (lecun, zeros) = ("lecun_normal", "zeros");
    let with = |middle: &str, between: &str, last: &str| {
        small("class(6)", &format!("  a: {middle}\n{between}  b: {last}"), "cross_entropy(b, y)")
    };
    let found = vec![("A003", Severity::Warning)];
    assert_eq!(with(&map(16, lecun), "", &map(6, lecun)), found);
    assert_eq!(with(&map(6, lecun), "     dropout(0.1)\n", &map(6, lecun)), found);
    let normed = with(&map(16, lecun), "     batch_norm\n", &map(6, lecun));
    assert_eq!(normed, [("A003", Severity::Warning), ("A005", Severity::Info)]);
    assert_eq!(with(&map(5, lecun), "", &map(6, lecun)), []);
    assert_eq!(with(&map(16, lecun), "", &map(6, zeros)), []);
    assert_eq!(with(&map(16, lecun), "     layer_norm\n", &map(6, lecun)), []);
    assert_eq!(with(&map(8, lecun), "  s: add <- a, fc.relu\n", &map(6, lecun)), []);
}
