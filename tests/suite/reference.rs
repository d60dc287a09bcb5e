//! Whole models against PyTorch: loss, output and every gradient, on the weights and inputs in `tests/reference`.
//!
//! Tolerance: |a - b|_2 / max(|b|_2, 1e-12) at most 1e-12 for each tensor. Both programs compute in f64 with other orders of
//! summation. A sum of n terms carries at most n 2^-53 of the sum of their magnitudes; with sums of at most 200 terms through at most
//! 20 layers and cancellation by a factor of up to 2 that is 20 * 200 * 2 * 2^-53 = 9e-13 if all errors conspire, and a hundredth
//! of it if they do not. The negative control moves one weight by 1e-9 of itself, which every model must show.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use wellposed::exec::files::{Elements, Stored, read};
use wellposed::exec::{Feeds, Outputs, Settings, Weights, run};
use wellposed::graph::Runnable;
use wellposed::pipeline::{Compiled, compile};
use wellposed::source::Loader;
use wellposed::tensor::{Mode, Tensor};

const TOLERANCE: f64 = 1e-12;

struct Disk;

impl Loader for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(File::open(path)?))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

/// The names of the models, in order.
fn models() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("the folder")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".nn")?.to_owned()))
        .collect();
    names.sort();
    names
}

struct Case {
    compiled: Compiled,
    weights: Weights,
    feeds: Feeds,
    settings: Settings,
    expected: BTreeMap<String, Stored>,
}

impl Case {
    fn open(name: &str) -> Self {
        let spec = folder().join(format!("{name}.nn"));
        let compiled = compile(&spec, &Disk).expect("the spec is there");
        let errors = compiled.found.count(wellposed::diag::Severity::Error);
        assert_eq!(errors, 0, "{name}: {:?}", compiled.found);
        let bytes = |kind: &str| {
            fs::read(folder().join(format!("{name}.{kind}.safetensors"))).expect("a file of tensors")
        };
        let graph = Runnable::new(&compiled.graph).expect("a complete graph");
        let weights =
            Weights::from_safetensors(&graph, "weights", &bytes("weights")).expect("fitting weights");
        let feeds = Feeds::from_safetensors(graph, "input", &bytes("input"), true).expect("fitting rows");
        let expected = read("expected", &bytes("expected")).expect("results");
        let mode = if name.ends_with("_eval") { Mode::Eval } else { Mode::Train };
        let settings = Settings { mode, seed: 0, penalties: true };
        Self { compiled, weights, feeds, settings, expected }
    }

    fn run(&self, weights: &Weights) -> Outputs {
        let graph = Runnable::new(&self.compiled.graph).expect("a complete graph");
        run(graph, weights, &self.feeds, self.settings, true)
    }

    /// The relative distance of every tensor from the expected one.
    fn distances(&self, outputs: &Outputs) -> BTreeMap<String, f64> {
        let found = outputs.tensors();
        let names = |map: Vec<&String>| map.into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(found.keys().collect()), names(self.expected.keys().collect()));
        found
            .into_iter()
            .map(|(name, tensor)| (name.clone(), distance(&tensor, &self.expected[&name])))
            .collect()
    }
}

fn distance(found: &Tensor, wanted: &Stored) -> f64 {
    assert_eq!(found.dims, wanted.dims);
    let Elements::Real(wanted) = &wanted.elements else { panic!("results are numbers") };
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut found.data.iter().zip(wanted).map(|(a, b)| a - b));
    difference / norm(&mut wanted.iter().copied()).max(1e-12)
}

#[test]
fn every_model_gives_what_pytorch_gives() {
    let models = models();
    assert!(models.len() >= 12, "{models:?}");
    let mut wrong = Vec::new();
    for name in models {
        let case = Case::open(&name);
        let distances = case.distances(&case.run(&case.weights));
        assert!(distances.contains_key("loss") && distances.keys().any(|key| key.starts_with("grad_input/")));
        for (tensor, distance) in distances {
            // A distance that is no number is wrong, too.
            if !matches!(distance.partial_cmp(&TOLERANCE), Some(std::cmp::Ordering::Less)) {
                wrong.push(format!("{name}: {tensor} is off by {distance:e}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The comparison sees a change of 1e-9 in the weight that matters most, and running statistics are read in use alone.
#[test]
fn a_small_change_of_one_weight_is_seen() {
    for name in models() {
        let case = Case::open(&name);
        let mut weights = case.weights.clone();
        let outputs = case.run(&weights);
        let influence =
            |param: usize, i: usize| (outputs.params[param].1.data[i] * weights.params[param].data[i]).abs();
        let places = (0..weights.params.len())
            .flat_map(|param| (0..weights.params[param].data.len()).map(move |i| (param, i)));
        let (param, i) =
            places.max_by(|a, b| influence(a.0, a.1).total_cmp(&influence(b.0, b.1))).expect("a weight");
        weights.params[param].data[i] *= 1.0 + 1e-9;
        let worst = case.distances(&case.run(&weights)).into_values().fold(0.0, f64::max);
        assert!(worst > TOLERANCE, "{name}: a changed weight is off by {worst:e} only");

        let mut states = case.weights.clone();
        for tensor in &mut states.states {
            tensor.data.iter_mut().for_each(|x| *x *= 1.1);
        }
        let same = case.run(&states) == outputs;
        let stateless = states.states.is_empty();
        assert_eq!(same, stateless || case.settings.mode == Mode::Train, "{name}");
    }
}

#[test]
fn weights_and_rows_survive_the_way_through_a_file() {
    for name in models() {
        let case = Case::open(&name);
        let graph = Runnable::new(&case.compiled.graph).expect("a complete graph");
        let weights = case.weights.to_safetensors(&graph);
        assert_eq!(Weights::from_safetensors(&graph, "w", &weights).expect("fitting weights"), case.weights);
        let rows = case.feeds.to_safetensors(&graph);
        assert_eq!(Feeds::from_safetensors(graph, "x", &rows, true).expect("fitting rows"), case.feeds);
        let outputs = case.run(&case.weights);
        let results = read("r", &outputs.to_safetensors()).expect("results");
        for (key, tensor) in outputs.tensors() {
            assert_eq!(results[&key].elements, Elements::Real(tensor.data), "{name}: {key}");
        }
    }
}

/// A file of tensors whose elements are given, for the findings below.
fn file(tensors: &[(&str, &[usize], Elements)]) -> Vec<u8> {
    let stored = tensors.iter().map(|(name, dims, elements)| {
        ((*name).to_owned(), Stored { dims: dims.to_vec(), elements: elements.clone() })
    });
    wellposed::exec::files::write(&stored.collect())
}

fn real(data: &[f64]) -> Elements {
    Elements::Real(data.to_vec())
}

/// A spec with a norm, compiled from memory.
fn small() -> Compiled {
    let text = "spec 1\nmodel m()\ninput x: f64[B, 2]\ntarget y: class(3)\nnet {\n  fc1: linear(3, init=he_normal)\n  \
                bn: batch_norm\n}\ntrain { loss cross_entropy(bn, y) }\n";
    compile("m.nn".as_ref(), &crate::support::Memory::of("m.nn", text)).expect("the spec is there")
}

fn messages(found: &wellposed::diag::Diagnostics) -> Vec<String> {
    let text = |d: &wellposed::diag::Diagnostic| match &d.help {
        Some(help) => format!("{} {} ({help})", d.rule.code, d.message),
        None => format!("{} {}", d.rule.code, d.message),
    };
    found.iter().map(text).collect()
}

#[test]
fn weights_that_do_not_fit_are_all_named() {
    let compiled = small();
    let graph = &compiled.graph;
    let bytes = file(&[
        ("fc1.weigth", &[3, 2], real(&[0.0; 6])),
        ("fc1.bias", &[2], real(&[0.0; 2])),
        ("bn.weight", &[3], Elements::Whole(vec![1, 1, 1])),
        ("bn.bias", &[3], real(&[0.0, f64::NAN, f64::INFINITY])),
        ("bn.running_mean", &[3], real(&[0.0; 3])),
        ("bn.num_batches_tracked", &[], Elements::Whole(vec![7])),
        ("other", &[], real(&[0.0])),
    ]);
    let found = Weights::from_safetensors(graph, "w.safetensors", &bytes).expect_err("nothing fits");
    assert_eq!(
        messages(&found),
        [
            "S012 `fc1.weight` is missing: the model has it as [3, 2]",
            "S012 `fc1.bias` is [2] in the file and [3] in the model",
            "S012 `bn.weight` has the type I64 (numbers are read as F64 or F32)",
            "S012 `bn.bias` holds NaN at [1] and 1 more",
            "S012 `bn.running_var` is missing: the model has it as [3]",
            "S012 the model has no `fc1.weigth` (did you mean `fc1.weight`?)",
            "S012 the model has no `other` (the model has fc1.weight, fc1.bias, bn.weight, bn.bias, bn.running_mean, \
             bn.running_var)",
        ]
    );
    let transposed = file(&[("fc1.weight", &[2, 3], real(&[0.0; 6]))]);
    let found = Weights::from_safetensors(graph, "w.safetensors", &transposed).expect_err("a wrong shape");
    assert_eq!(
        messages(&found)[0],
        "S012 `fc1.weight` is [2, 3] in the file and [3, 2] in the model (it is transposed: weights are [out, in])"
    );
    let cut = &transposed[..transposed.len() - 1];
    let found = Weights::from_safetensors(graph, "w.safetensors", cut).expect_err("a cut file");
    assert!(messages(&found)[0].starts_with("S012 this is no safetensors file of"), "{found:?}");
}

#[test]
fn a_file_without_running_statistics_leaves_them_at_their_start() {
    let compiled = small();
    let bytes = file(&[
        ("fc1.weight", &[3, 2], real(&[1.0; 6])),
        ("fc1.bias", &[3], real(&[0.0; 3])),
        ("bn.weight", &[3], real(&[1.0; 3])),
        ("bn.bias", &[3], real(&[0.0; 3])),
    ]);
    let weights = Weights::from_safetensors(&compiled.graph, "w", &bytes).expect("fitting weights");
    assert_eq!(weights.states[0].data, [0.0; 3]);
    assert_eq!(weights.states[1].data, [1.0; 3]);
}

#[test]
fn rows_that_do_not_fit_are_all_named() {
    let compiled = small();
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let rows = |tensors: &[(&str, &[usize], Elements)], targets| {
        Feeds::from_safetensors(graph, "x.safetensors", &file(tensors), targets)
    };
    let x = || ("x", &[2usize, 2][..], real(&[0.5; 4]));
    let labels = |labels: &[i64]| Elements::Whole(labels.to_vec());
    let found =
        |result: Result<Feeds, wellposed::diag::Diagnostics>| messages(&result.expect_err("a misfit"));
    assert_eq!(
        found(rows(&[x(), ("y", &[2], labels(&[0, 3]))], true)),
        ["S012 `y` is 3 at [1] (class labels are 0 to 2)"]
    );
    assert_eq!(
        found(rows(&[x(), ("y", &[3], labels(&[0, 1, 2]))], true)),
        ["S012 `y` has 3 rows and `x` has 2"]
    );
    assert_eq!(
        found(rows(&[x(), ("y", &[2], real(&[0.0, 1.0]))], true)),
        ["S012 `y` has the type F64 (class labels are read as I64)"]
    );
    assert_eq!(found(rows(&[x()], true)), ["S012 the target `y` is missing: the model takes [2]"]);
    assert_eq!(
        found(rows(&[("X", &[2, 2], real(&[0.0; 4])), ("y", &[2], labels(&[0, 1]))], true)),
        [
            "S012 the input `x` is missing: the model takes [2, 2]",
            "S012 the model has no `X` (did you mean `x`?)"
        ]
    );
    let without = rows(&[x()], false).expect("no target is needed without a loss");
    assert!(!without.complete && without.rows == 2);
    let settings = Settings { mode: Mode::Eval, seed: 0, penalties: true };
    let outputs = run(graph, &Weights::draw(&graph, 0), &without, settings, true);
    assert_eq!((outputs.loss, outputs.output.dims.clone()), (None, vec![2, 3]));
    assert!(outputs.params.is_empty() && outputs.inputs.is_empty());
    // F32 is widened exactly.
    let mut bytes = file(&[("x", &[2, 2], real(&[0.0; 4]))]);
    let header = String::from_utf8(bytes[8..bytes.len() - 32].to_vec()).expect("a header");
    let narrow = header.trim_end().replace("F64", "F32").replace("[0,32]", "[0,16]");
    let mut head = narrow.into_bytes();
    head.resize(head.len().next_multiple_of(8), b' ');
    bytes = (head.len() as u64).to_le_bytes().into_iter().chain(head).collect();
    bytes.extend([0.1f32, -2.5, 3.0, 1e-30].iter().flat_map(|x| x.to_le_bytes()));
    let read = Feeds::from_safetensors(graph, "x", &bytes, false).expect("narrow numbers");
    assert_eq!(read.tensors[0].data, [0.1f32, -2.5, 3.0, 1e-30].map(f64::from));
}
