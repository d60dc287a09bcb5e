//! Known-good specs turned into faulty ones, and what is said about them.
//!
//! Every model of `specs/good` and `specs/deep` is mutated (see [`operators`]). The labels of the mutants of signal and gradient are measured
//! on the compiled graph (see [`truth`]) and kept in `tests/mutants/truth.csv`; which of them train (see [`training`]) was found by
//! training them once, and is kept in `tests/mutants/trains.csv`. Both are written by ignored tests:
//!
//! ```text
//! cargo test --release --locked --test suite mutants::write -- --ignored --nocapture --test-threads 1
//! ```
//!
//! The tests that always run compile every mutant and compare its findings with those labels, and measure some of them again.

mod cutoffs;
mod operators;
mod single;
mod training;
mod truth;
mod whole;

use crate::support::{Memory, specs};
use operators::{Family, Model, Mutant};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};
use truth::{Label, Truth};
use wellposed::diag::{Diagnostics, Severity};
use wellposed::pipeline::{Compiled, compile};

const TRUTH: &str = "tests/mutants/truth.csv";
const TRAINS: &str = "tests/mutants/trains.csv";

/// Models that are mutated at a smaller size, because 16 runs at their own would take minutes each: their inputs, or their widths. The
/// smaller model is what is linted, too, and must be as free of findings as the whole one.
const SMALLER: &[(&str, &[(&str, &str)])] = &[
    ("good/alexnet", &[("224, 224", "64, 64"), ("4096", "512")]),
    (
        "good/bert_encoder",
        &[
            ("w = 768, heads = 12", "w = 128, heads = 4"),
            ("seq = 512, words = 30522", "seq = 16, words = 32"),
            ("expect { params 132_955_194 }", ""),
        ],
    ),
    ("good/dcgan_discriminator", &[("w = 64", "w = 16")]),
    ("good/dcgan_generator", &[("w = 64", "w = 16")]),
    ("good/deepnorm18", &[("w = 512", "w = 128"), ("seq = 128, words = 32768", "seq = 16, words = 32")]),
    ("good/gpt2_mlp", &[("w = 768", "w = 256"), ("16, 768", "2, 256"), ("16, 64", "2, 64")]),
    (
        "good/gpt2_small",
        &[
            ("w = 768, heads = 12", "w = 128, heads = 4"),
            ("seq = 1024, words = 50257", "seq = 16, words = 32"),
            ("expect { params 163_037_184 }", ""),
        ],
    ),
    ("good/mobilenet_v2", &[("224, 224", "64, 64")]),
    ("good/post_norm_mlp", &[("w = 768", "w = 256"), ("16, 768", "2, 256")]),
    ("good/preactivation_resnet", &[("3, 32, 32", "3, 16, 16"), ("w = 16", "w = 8")]),
    ("good/resnet18", &[("224, 224", "64, 64"), ("w = 64", "w = 16")]),
    ("good/resnet34_zero_gamma", &[("224, 224", "64, 64"), ("w = 64", "w = 16")]),
    ("good/vgg16", VGG),
    ("good/vgg16_bn", VGG),
];

/// Models of the size of their references that are not mutated. Their blocks and their schemes are those of models that are:
/// `resnet18`, `resnet34_zero_gamma`, `densenet`, `mbconv_gate`, `mobilenet_v2`, `vit_mlp_zero_head`, `gpt2_small` and `unet`. 16 runs of each of their mutants would
/// take hours, and at a size at which they do not, the number of parameters that they announce would not be theirs. They are in the table of
/// the corpus: nothing may be found in them. Faults that are certain without a measurement are planted in them, too (see [`whole`]).
const NOT_MUTATED: &[&str] = &[
    "good/densenet121",
    "good/efficientnet_b0",
    "good/mlp_mixer",
    "good/mobilenet_v1",
    "good/mobilenet_v2_full",
    "good/resnet152",
    "good/resnet50",
    "good/resnet50_zero_gamma",
    "good/unet_five_levels",
    "good/vit_b16",
];

/// Models that rules of peers alarm on, or that promise properties of their parts: in the corpus for their silence alone.
const NOT_MEASURED: &[&str] = &[
    "good/monotone_risk",
    "good/own_activation_and_loss",
    "good/pixels",
    "good/adapters",
    "good/convnext",
    "good/efficientnet_v2_mbconv",
    "good/highway",
    "good/linear_regression_zeros",
    "good/prior_in_the_bias",
    "good/selu_alpha_dropout",
    "good/spectrogram",
    "good/tanh50",
    "good/zero_convolution",
];

/// A quarter of the channels on maps of 32 x 32; `he_normal` and batch norm follow the widths.
const VGG: &[(&str, &str)] = &[
    ("224, 224", "32, 32"),
    ("4096", "512"),
    ("conv2d(64,", "conv2d(16,"),
    ("conv2d(128,", "conv2d(32,"),
    ("conv2d(256,", "conv2d(64,"),
    ("conv2d(512,", "conv2d(128,"),
];

/// What mutants are trained at: the width of the grid from which the thresholds were taken.
const NARROW: &[(&str, &str)] = &[
    ("w = 784", "w = 64"),
    ("w = 256", "w = 64"),
    ("w = 192", "w = 64"),
    ("w = 128", "w = 64"),
    ("f64[B, 192]", "f64[B, 64]"),
    ("f64[B, 128]", "f64[B, 64]"),
    ("linear(128,", "linear(64,"),
];

/// Multiplications of one training run beyond which a mutant is not trained: about a quarter of a minute.
const AFFORDABLE: usize = 50_000_000_000;

/// Multiplications of a measurement up to which it is made again.
const CHEAP: usize = 100_000_000;

/// The known-good models.
fn good() -> impl Iterator<Item = PathBuf> {
    ["specs/good", "specs/deep"].into_iter().flat_map(specs)
}

/// Those of them that are mutated.
fn mutated() -> impl Iterator<Item = PathBuf> {
    let listed = |path: &Path| {
        let mut names = NOT_MUTATED.iter().chain(NOT_MEASURED);
        names.any(|name| path.with_extension("").ends_with(name))
    };
    good().filter(move |path| !listed(path))
}

/// What is mutated and measured.
fn corpus() -> Vec<Model> {
    let smaller = |path: &Path| SMALLER.iter().find(|(name, _)| path.with_extension("").ends_with(name));
    mutated().map(|path| Model::read(&path, smaller(&path).map_or(&[], |(_, replaced)| replaced))).collect()
}

/// What is mutated and trained.
fn narrow() -> Vec<Model> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("readable");
        let applies = |(from, _): &&(&str, &str)| text.contains(from);
        let replaced: Vec<(&str, &str)> = NARROW.iter().filter(applies).copied().collect();
        Model::read(&path, &replaced)
    };
    mutated().map(read).collect()
}

fn compiled(mutant: &Mutant) -> Compiled {
    let files = Memory::of(&mutant.path.display().to_string(), mutant.text.as_str());
    compile(&mutant.path, &files).expect("the spec is there")
}

/// Whether a text means something; what does not compile is no mutant.
fn sound(compiled: &Compiled) -> bool {
    let misread = |code: &str| "YSNH".contains(&code[..1]);
    !compiled.graph.partial
        && !compiled.found.iter().any(|d| d.severity == Severity::Error && misread(d.rule.code))
}

/// Does something for every item, on all cores, and hands back what came of it in the order of the items.
fn each<'t, T: Sync, R: Send>(items: &'t [T], act: impl Fn(&'t T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((i, item)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    items.get(i).map(|item| (i, item))
                } {
                    let result = act(item);
                    done.lock().expect("no worker has failed").insert(i, result);
                }
            });
        }
    });
    done.into_inner().expect("no worker has failed").into_values().collect()
}

/// What names a mutant in the tables of labels.
fn key(mutant: &Mutant) -> (String, String) {
    (mutant.model.clone(), mutant.name.clone())
}

/// Every mutant of some models.
fn mutants(models: &[Model]) -> Vec<Mutant> {
    models.iter().flat_map(Model::mutants).collect()
}

/// What was said about a mutant, and what is true of it.
struct Judged<'m> {
    mutant: &'m Mutant,
    /// `None` where it was not measured.
    label: Option<Label>,
    /// The worst finding of the family that its operator belongs to.
    said: Option<Severity>,
}

/// The worst finding of a family.
fn worst(found: &Diagnostics, family: Family) -> Option<Severity> {
    let codes = match family {
        Family::Signal => "GI",
        Family::Data => "D",
    };
    found.iter().filter(|d| codes.contains(&d.rule.code[..1])).map(|d| d.severity).max()
}

type Labels = BTreeMap<(String, String), Truth>;

/// Compiles every mutant and puts its label beside what is said about it.
fn judge<'m>(mutants: &'m [Mutant], labels: &Labels) -> Vec<Judged<'m>> {
    each(mutants, |mutant| {
        let compiled = compiled(mutant);
        let adam = truth::is_adam(&compiled.graph);
        let label = match mutant.family {
            Family::Data => Some(Label::Untrainable),
            Family::Signal => labels.get(&key(mutant)).map(|truth| truth.label(adam)),
        };
        Judged { mutant, label, said: worst(&compiled.found, mutant.family) }
    })
}

impl Judged<'_> {
    fn warned(&self) -> bool {
        self.said >= Some(Severity::Warning)
    }
}

/// Shares of a list of judged mutants.
#[derive(Clone, Copy, Default)]
struct Counts {
    mutants: usize,
    untrainable: usize,
    warned: usize,
    apart: usize,
    within: usize,
    /// Warned of, though no quantity is past its error threshold.
    strict: usize,
    /// Likewise with an error.
    errors: usize,
    unmeasured: usize,
}

impl Counts {
    fn of<'m>(judged: impl Iterator<Item = &'m Judged<'m>>) -> Self {
        let mut counts = Self::default();
        for one in judged {
            counts.mutants += 1;
            match one.label {
                Some(Label::Untrainable) => {
                    counts.untrainable += 1;
                    counts.warned += usize::from(one.warned());
                }
                Some(Label::Apart) => counts.apart += 1,
                Some(Label::Within) => {
                    counts.within += 1;
                    counts.strict += usize::from(one.warned());
                    counts.errors += usize::from(one.said == Some(Severity::Error));
                }
                None => counts.unmeasured += 1,
            }
        }
        counts
    }

    fn row(self, name: &str) -> String {
        let Self { mutants, untrainable, warned, apart, within, strict, errors, unmeasured } = self;
        let silent = untrainable - warned;
        format!(
            "{name:<20} {mutants:>7} {untrainable:>11} {warned:>6} {silent:>6} {apart:>5} {within:>6} {strict:>6} {errors:>5} {unmeasured:>10}\n"
        )
    }
}

/// The table of operators, and the mutants that nobody was warned of.
fn table(judged: &[Judged<'_>]) -> String {
    let mut out = format!(
        "{:<20} {:>7} {:>11} {:>6} {:>6} {:>5} {:>6} {:>6} {:>5} {:>10}\n",
        "operator",
        "mutants",
        "untrainable",
        "warned",
        "silent",
        "apart",
        "within",
        "warned",
        "error",
        "unmeasured"
    );
    let mut operators: Vec<&str> = Vec::new();
    for one in judged {
        if !operators.contains(&one.mutant.operator) {
            operators.push(one.mutant.operator);
        }
    }
    for operator in operators {
        let rows = judged.iter().filter(|one| one.mutant.operator == operator);
        out += &Counts::of(rows).row(operator);
    }
    out += &Counts::of(judged.iter()).row("all");
    let missed = |one: &&Judged<'_>| one.label == Some(Label::Untrainable) && !one.warned();
    for one in judged.iter().filter(missed) {
        writeln!(out, "silent: {}, {}", one.mutant.model, one.mutant.name).expect("memory");
    }
    for one in
        judged.iter().filter(|one| one.label == Some(Label::Within) && one.said == Some(Severity::Error))
    {
        writeln!(out, "error within the thresholds: {}, {}", one.mutant.model, one.mutant.name)
            .expect("memory");
    }
    out
}

/// The measured labels.
fn labels() -> Labels {
    let text = fs::read_to_string(TRUTH).expect("the labels are there");
    let number = |cell: &str| (!cell.is_empty()).then(|| cell.parse().expect("a number"));
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let [least, most, contrast, logits, stack] = std::array::from_fn(|i| number(cells[i + 3]));
            let truth = Truth { least, most, contrast, logits, stack };
            ((cells[0].to_owned(), cells[1].to_owned()), truth)
        })
        .collect()
}

fn optimiser(adam: bool) -> &'static str {
    if adam { "adam" } else { "sgd" }
}

/// Measures mutants of signal and gradient, but those whose row is known, and writes the rows of all.
#[expect(clippy::print_stdout, reason = "who waits for it watches it")]
fn write_labels(known: &BTreeMap<(String, String), String>) {
    let mutants = mutants(&corpus());
    let measured: Vec<_> = mutants.iter().filter(|mutant| mutant.family == Family::Signal).collect();
    let rows = each(&measured, |mutant| {
        if let Some(row) = known.get(&key(mutant)) {
            return row.clone();
        }
        let compiled = compiled(mutant);
        if !sound(&compiled) {
            return format!("# {} {} does not compile\n", mutant.model, mutant.name);
        }
        let start = std::time::Instant::now();
        let truth = truth::measure(&compiled.graph);
        let cells = truth.quantities().map(|x| x.map_or(String::new(), |x| format!("{x:.2}")));
        let adam = truth::is_adam(&compiled.graph);
        let row = format!("{},{},{},{}", mutant.model, mutant.name, optimiser(adam), cells.join(","));
        println!("{row} {:?} {:.1?}", truth.label(adam), start.elapsed());
        row + "\n"
    });
    let head = "model,mutation,optimiser,least,most,contrast,logits,stack\n";
    fs::write(TRUTH, head.to_owned() + &rows.concat()).expect("writable");
}

#[test]
#[ignore = "writes the measured labels: minutes"]
fn write_truth() {
    write_labels(&BTreeMap::new());
}

#[test]
#[ignore = "measures the mutants that have no label yet"]
fn write_new_truth() {
    let text = fs::read_to_string(TRUTH).expect("the labels are there");
    let row = |line: &str| {
        let mut cells = line.split(',').map(str::to_owned);
        Some(((cells.next()?, cells.next()?), format!("{line}\n")))
    };
    write_labels(&text.lines().skip(1).filter_map(row).collect());
}

#[test]
#[ignore = "trains the mutants that have no label yet: an hour for all of them"]
fn write_trains() {
    let models = narrow();
    let mutants: Vec<Mutant> = models.iter().map(Model::unchanged).chain(mutants(&models)).collect();
    let before = trained();
    let signal = mutants.iter().filter(|mutant| mutant.family == Family::Signal);
    let open: Vec<(&Mutant, Compiled)> = signal
        .filter(|mutant| !before.contains_key(&key(mutant)))
        .map(|mutant| (mutant, compiled(mutant)))
        .filter(|(_, compiled)| sound(compiled) && training::classes(&compiled.graph).is_some())
        .filter(|(_, compiled)| training::cost(&compiled.graph) <= AFFORDABLE)
        .collect();
    let graphs: Vec<_> = open.iter().map(|(mutant, compiled)| (mutant, &compiled.graph)).collect();
    let file = Mutex::new(fs::OpenOptions::new().append(true).open(TRAINS).expect("a file with a head"));
    each(&graphs, |(mutant, graph)| {
        let accuracy = training::accuracy(graph);
        let trains = if accuracy >= training::TRAINED { "yes" } else { "no" };
        let adam = optimiser(truth::is_adam(graph));
        let row = format!("{},{},{adam},{accuracy:.3},{trains}", mutant.model, mutant.name);
        println!("{row}");
        writeln!(file.lock().expect("no worker has failed"), "{row}").expect("writable");
    });
}

/// Mutants that were trained: model and mutation, and whether they train.
fn trained() -> BTreeMap<(String, String), bool> {
    let text = fs::read_to_string(TRAINS).expect("the labels are there");
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            ((cells[0].to_owned(), cells[1].to_owned()), cells[4] == "yes")
        })
        .collect()
}

/// Codes, each once; "nothing" if there are none.
fn list<'c>(codes: impl Iterator<Item = &'c str>) -> String {
    let codes: BTreeSet<&str> = codes.collect();
    if codes.is_empty() { "nothing".to_owned() } else { codes.into_iter().collect::<Vec<_>>().join(" ") }
}

/// The codes of the findings from a warning on.
fn loud(found: &Diagnostics) -> String {
    list(found.iter().filter(|d| d.severity > Severity::Info).map(|d| d.rule.code))
}

/// The codes that a spec announces, without those of laws, for which a model has to run.
fn announced(text: &str) -> String {
    let codes = text.split("wellposed: expect(").skip(1).filter_map(|rest| rest.split(')').next());
    list(codes.filter(|code| !code.starts_with('P')))
}

/// The known-good and the known-bad models: what is expected of each, and what is found.
fn corpus_table() -> (String, usize) {
    let mut out = format!("{:<45} {:<9} got\n", "model", "expected");
    let mut wrong = 0;
    let mut row = |name: &str, expected: &str, got: &str| {
        wrong += usize::from(expected != got);
        writeln!(out, "{name:<45} {expected:<9} {got}").expect("memory");
    };
    for path in good().chain(specs("specs/faulty")) {
        let text = fs::read_to_string(&path).expect("readable");
        let compiled = compile(&path, &Memory::default()).expect("the spec can be opened");
        let name = path.strip_prefix("specs").unwrap_or(&path).display().to_string();
        row(&name, &announced(&text), &loud(&compiled.found));
    }
    for model in corpus().iter().filter(|model| SMALLER.iter().any(|(name, _)| *name == model.name)) {
        let files = Memory::of(&model.path.display().to_string(), model.text.as_str());
        let compiled = compile(&model.path, &files).expect("the spec is there");
        row(&format!("{}, smaller", model.name), "nothing", &loud(&compiled.found));
    }
    (out, wrong)
}

/// What is said about mutants of which it is known whether they train; how many do, and how many of these get an error.
fn training_table() -> (String, [usize; 2]) {
    let mutants = mutants(&narrow());
    let trained = trained();
    // Where the model itself does not reach the mark, as softmax regression cannot, its mutants say nothing.
    let able = |m: &&Mutant| trained.get(&(m.model.clone(), "unchanged".to_owned())) == Some(&true);
    let known: Vec<(&Mutant, bool)> =
        mutants.iter().filter(able).filter_map(|m| trained.get(&key(m)).map(|trains| (m, *trains))).collect();
    let said = each(&known, |(mutant, _)| compiled(mutant).found.iter().map(|d| d.severity).max());
    let count = |which: bool, least: Option<Severity>| {
        known.iter().zip(&said).filter(|((_, trains), said)| *trains == which && **said >= least).count()
    };
    let mut out = format!(
        "{:<20} {:>7} {:>6} {:>7} {:>6}\n",
        "trained 600 steps", "mutants", "error", "warning", "silent"
    );
    for (name, which) in [("it trains", true), ("it does not", false)] {
        let [all, warned, errors] =
            [None, Some(Severity::Warning), Some(Severity::Error)].map(|least| count(which, least));
        let (warnings, silent) = (warned - errors, all - warned);
        writeln!(out, "{name:<20} {all:>7} {errors:>6} {warnings:>7} {silent:>6}").expect("memory");
    }
    for ((mutant, trains), said) in known.iter().zip(&said) {
        let what = match (trains, *said >= Some(Severity::Warning), said) {
            (true, _, Some(Severity::Error)) => "error, yet it trains",
            (false, false, _) => "silent, yet it does not train",
            _ => continue,
        };
        writeln!(out, "{what}: {}, {}", mutant.model, mutant.name).expect("memory");
    }
    (out, [count(true, None), count(true, Some(Severity::Error))])
}

#[test]
fn mutants_that_cannot_train_are_warned_of_and_those_that_train_are_not_stopped() {
    let mutants = mutants(&corpus());
    let judged = judge(&mutants, &labels());
    let (corpus, wrong) = corpus_table();
    let (training, [trains, stopped]) = training_table();
    let text = format!("{corpus}\n{}\n{training}", table(&judged));
    println!("{text}");
    let signal = Counts::of(judged.iter().filter(|one| one.mutant.family == Family::Signal));
    let total = Counts::of(judged.iter());
    assert_eq!(wrong, 0, "{corpus}");
    assert!(signal.untrainable >= 60 && trains >= 60, "too few labels:\n{text}");
    assert!(total.unmeasured * 20 <= total.mutants, "measure the new mutants:\n{text}");
    for counts in [signal, total] {
        assert!(counts.warned * 10 >= counts.untrainable * 9, "{text}");
    }
    assert!(stopped * 60 <= trains, "{text}");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutants"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("table", text));
}

/// The labels are those of the code as it is: those that take least are measured again.
#[test]
fn measured_labels_can_be_measured_again() {
    let labels = labels();
    let mutants = mutants(&corpus());
    let measured: Vec<(&Mutant, &Truth)> =
        mutants.iter().filter_map(|mutant| Some((mutant, labels.get(&key(mutant))?))).collect();
    let again = each(&measured, |(mutant, _)| {
        let compiled = compiled(mutant);
        (truth::cost(&compiled.graph) <= CHEAP).then(|| truth::measure(&compiled.graph))
    });
    let mut compared = 0;
    for ((mutant, before), now) in measured.iter().zip(&again) {
        let Some(now) = now else { continue };
        compared += 1;
        for (a, b) in before.quantities().into_iter().zip(now.quantities()) {
            let same = match (a, b) {
                (Some(a), Some(b)) => a == b || (a - b).abs() < 0.02,
                (a, b) => a == b,
            };
            assert!(same, "{}, {}: {before:?}, now {now:?}", mutant.model, mutant.name);
        }
    }
    assert!(compared >= 60, "{compared}");
}
