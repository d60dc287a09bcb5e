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

mod operators;
mod training;
mod truth;

use crate::support::{Memory, specs};
use operators::{Family, Model, Mutant};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
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
    ("good/dcgan_discriminator", &[("w = 64", "w = 16")]),
    ("good/dcgan_generator", &[("w = 64", "w = 16")]),
    ("good/gpt2_mlp", &[("w = 768", "w = 256"), ("16, 768", "2, 256"), ("16, 64", "2, 64")]),
    ("good/mobilenet_v2", &[("224, 224", "64, 64")]),
    ("good/post_norm_mlp", &[("w = 768", "w = 256"), ("16, 768", "2, 256")]),
    ("good/preactivation_resnet", &[("3, 32, 32", "3, 16, 16"), ("w = 16", "w = 8")]),
    ("good/resnet18", &[("224, 224", "64, 64"), ("w = 64", "w = 16")]),
    ("good/resnet34_zero_gamma", &[("224, 224", "64, 64"), ("w = 64", "w = 16")]),
    ("good/vgg16", VGG),
    ("good/vgg16_bn", VGG),
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

fn corpus() -> Vec<Model> {
    let paths = ["specs/good", "specs/deep"].into_iter().flat_map(specs);
    paths.map(|path| read(&path)).collect()
}

fn read(path: &Path) -> Model {
    let smaller = SMALLER.iter().find(|(name, _)| path.with_extension("").ends_with(name));
    Model::read(path, smaller.map_or(&[], |(_, replaced)| replaced))
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

/// Every mutant of every model.
fn all() -> Vec<Mutant> {
    corpus().iter().flat_map(Model::mutants).collect()
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
            Family::Signal => {
                labels.get(&(mutant.model.clone(), mutant.name.clone())).map(|truth| truth.label(adam))
            }
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
    for one in judged.iter().filter(|one| one.label == Some(Label::Within) && one.said == Some(Severity::Error)) {
        writeln!(out, "error within the thresholds: {}, {}", one.mutant.model, one.mutant.name).expect("memory");
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

#[test]
#[ignore = "writes the measured labels: minutes"]
fn write_truth() {
    let mutants = all();
    let measured: Vec<_> = mutants.iter().filter(|mutant| mutant.family == Family::Signal).collect();
    let rows = each(&measured, |mutant| {
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
fn mutants_that_cannot_train_are_warned_of() {
    let mutants = all();
    let judged = judge(&mutants, &labels());
    let table = table(&judged);
    println!("{table}");
    let total = Counts::of(judged.iter());
    assert!(total.warned * 10 >= total.untrainable * 9, "{table}");
}
