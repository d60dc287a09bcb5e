//! Checking another program: verdicts, diagnoses, faults of answers, and how the program is run.

use crate::support::{compiled, concise};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wellposed::diag::Diagnostics;
use wellposed::diag::suppress::Notation;
use wellposed::exec::files::{Elements, Stored, read, write};
use wellposed::exec::{
    self, Feeds, Gradients, Keep, Objective, Registry, Reverse, Session, Settings, Tapes, Weights,
};
use wellposed::graph::{Node, Runnable};
use wellposed::ops::Backward;
use wellposed::scalar::Scalar;
use wellposed::tensor::Mode;
use wellposed::valid::Samples;
use wellposed::valid::against::{
    self, Against, Case, Compared, Fault, Foreign, Precision, Report, Request, diagnose,
};
use wellposed::valid::gradcheck::{Options, Verdict};

const MLP: &str = "spec 1
model m
input x: f64[B, 5]
target y: class(3)
net {
  fc1: linear(5, init=he_normal) <- x
       relu
       dropout(0.25)
  fc2: linear(3, init=xavier_normal)
}
train { loss cross_entropy(fc2, y)  l2 1e-2 on weights  adam(lr=1e-3) }
";

const CONV: &str = "spec 1
model c
input x: f64[B, 2, 5, 5]
target y: class(3)
net {
  conv: conv2d(4, kernel=3, init=he_normal) <- x
        tanh
        global_avg_pool
  out:  linear(3, init=xavier_normal)
}
train { loss cross_entropy(out, y) }
";

pub type Tensors = BTreeMap<String, Stored>;
/// What is done to an answer.
type Change = fn(&mut Tensors);

/// What a program without mistakes answers: the model of a spec, run by the library on what the request holds.
fn truth(text: &str, files: &BTreeMap<String, Vec<u8>>) -> Vec<Tensors> {
    by_rules(text, files, &Registry, 0)
}

/// The same with other reverse rules, and with draws of a seed in training that is `off` that of the forward run.
pub fn by_rules(
    text: &str,
    files: &BTreeMap<String, Vec<u8>>,
    reverse: &impl Reverse,
    off: u64,
) -> Vec<Tensors> {
    let compiled = compiled(text, Notation::Dsl);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let manifest: Value = serde_json::from_slice(&files["request.json"]).expect("JSON");
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let directions = word(&manifest["directions"]);
    let directions = read("d", &files[&directions]).expect("directions");
    let h = manifest["step"].as_f64().expect("a number");
    let mut answers = Vec::new();
    for point in manifest["points"].as_array().expect("a list") {
        let mut weights = Weights::from_safetensors(&graph, "w", &files[&word(&point["weights"])])
            .expect("the weights of the request fit");
        let feeds = Feeds::from_safetensors(graph, "x", &files[&word(&point["rows"])], true)
            .expect("the rows of the request fit");
        let name = word(&point["name"]);
        let seed = name.split_whitespace().nth(1).expect("a seed").parse().expect("a number");
        let mode = if point["mode"] == "train" { Mode::Train } else { Mode::Eval };
        let settings = Settings { mode, seed, penalties: true };
        let outputs = exec::run(graph, &weights, &feeds, settings, true);
        let real = |dims: Vec<usize>, data| Stored { dims, elements: Elements::Real(data) };
        let mut tensors: Tensors = outputs
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, real(tensor.dims, tensor.data)))
            .collect();
        tensors.remove("output");
        let mut session: Session<'_, f64> = Session::new(graph, feeds.rows, Keep::All);
        let mut gradients = Gradients::zeros::<f64>(&graph, feeds.rows);
        let there = weights.at(&feeds.tensors);
        session.forward(&there, settings, Tapes::Live);
        let turned = Settings { seed: settings.seed + off, ..settings };
        session.backward(&Objective::Loss, &there, turned, reverse, &mut gradients);
        for ((_, param), gradient) in graph.params.iter().zip(gradients.params) {
            *numbers(&mut tensors, &format!("grad/{}", param.path)) = gradient;
        }
        *numbers(&mut tensors, "grad_input/x") = gradients.feeds.swap_remove(0);
        for (i, (_, param)) in graph.params.iter().enumerate() {
            let Elements::Real(v) = &directions[&format!("direction/{}", param.path)].elements else {
                panic!("directions are numbers")
            };
            let base = weights.params[i].data.clone();
            let mut losses = Vec::new();
            for v in v.chunks(base.len()) {
                for s in [h, -h, 2.0 * h, -2.0 * h] {
                    weights.params[i].data = base.iter().zip(v).map(|(w, v)| w + s * v).collect();
                    losses.push(exec::run(graph, &weights, &feeds, settings, false).loss.expect("a loss"));
                }
            }
            weights.params[i].data = base;
            tensors.insert(format!("losses/{}", param.path), real(vec![losses.len() / 4, 4], losses));
        }
        let Elements::Real(v) = &directions["direction_input/x"].elements else {
            panic!("directions are numbers")
        };
        let mut losses = Vec::new();
        for v in v.chunks(feeds.tensors[0].data.len()) {
            for s in [h, -h, 2.0 * h, -2.0 * h] {
                let mut moved = feeds.clone();
                moved.tensors[0].data.iter_mut().zip(v).for_each(|(x, v)| *x += s * v);
                losses.push(exec::run(graph, &weights, &moved, settings, false).loss.expect("a loss"));
            }
        }
        tensors.insert("losses_input/x".to_owned(), real(vec![losses.len() / 4, 4], losses));
        answers.push(tensors);
    }
    answers
}

/// A program that makes one mistake.
#[derive(Debug)]
struct Fake {
    text: &'static str,
    mistake: fn(&mut Tensors),
}

impl Foreign for Fake {
    fn answer(&self, request: &Request) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let files = request.files.iter().cloned().collect();
        let answers = truth(self.text, &files).into_iter().map(|mut tensors| {
            (self.mistake)(&mut tensors);
            (!tensors.is_empty()).then(|| write(&tensors))
        });
        Ok(answers.collect())
    }
}

fn checked(text: &'static str, mistake: fn(&mut Tensors)) -> (Option<Report>, Diagnostics, String) {
    checked_in(Precision::F64, text, mistake)
}

fn checked_in(
    precision: Precision,
    text: &'static str,
    mistake: fn(&mut Tensors),
) -> (Option<Report>, Diagnostics, String) {
    asked(text, Arc::new(Fake { text, mistake }), precision)
}

/// What is found of a program that computes, or does not compute, the model of a spec.
pub fn asked(
    text: &str,
    foreign: Arc<dyn Foreign>,
    precision: Precision,
) -> (Option<Report>, Diagnostics, String) {
    let compiled = compiled(text, Notation::Dsl);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let samples = Samples::draw(&compiled.graph, 32, 0);
    let options = Options { seeds: vec![0, 1], steps: 3, batch: 8, ..Options::default() };
    let program = Against { foreign, precision, directions: 3 };
    let Compared { report, found, .. } = against::check(graph, &samples, &options, &program);
    let text = concise(found.clone(), &compiled.sources);
    (report, found, text)
}

fn numbers<'a>(tensors: &'a mut Tensors, name: &str) -> &'a mut Vec<f64> {
    match &mut tensors.get_mut(name).expect("a tensor").elements {
        Elements::Real(data) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_without_mistakes_passes() {
    for text in [MLP, CONV] {
        let (report, _, said) = checked(text, |_| ());
        let report = report.expect("a report");
        assert_eq!((report.verdict, said.as_str()), (Verdict::Pass, ""), "{report:?}");
        assert_eq!(report.points.len(), 3);
        for tensor in report.tensors.iter().filter(|tensor| tensor.name.starts_with("fc")) {
            let (error, bound) = (tensor.own_error.expect("a number"), tensor.own_bound.expect("a number"));
            assert!(error <= 1e-7 && bound <= 1e-6, "{tensor:?}");
        }
        let input = report.tensors.iter().find(|tensor| tensor.name == "grad_input/x").expect("its report");
        assert!(input.own_error.expect("a number") <= 1e-7 && input.own_bound.expect("a number") <= 1e-6);
    }
}

#[test]
fn a_wrong_gradient_is_found_against_both_and_named() {
    let cases: [(&'static str, Change, &str, &str); 8] = [
        (MLP, |t| numbers(t, "grad/fc2.bias").fill(0.0), "fc2.bias", "it is zero"),
        (
            MLP,
            |t| numbers(t, "grad/fc1.bias").iter_mut().for_each(|g| *g *= 8.0),
            "fc1.bias",
            "it is 8 times ours: it is not divided by the 8 rows",
        ),
        (
            MLP,
            |t| {
                let g = numbers(t, "grad/fc1.weight");
                *g = (0..25).map(|i| g[i % 5 * 5 + i / 5]).collect();
            },
            "fc1.weight",
            "it is transposed",
        ),
        (
            CONV,
            |t| numbers(t, "grad/conv.weight").chunks_mut(9).for_each(<[f64]>::reverse),
            "conv.weight",
            "its kernels are flipped",
        ),
        (
            MLP,
            |t| numbers(t, "grad/fc1.weight")[7] = 0.5,
            "fc1.weight",
            "one component alone is wrong, [1, 2]",
        ),
        (MLP, |t| numbers(t, "grad/fc2.weight")[..5].fill(0.0), "fc2.weight", "the first row is lost"),
        (MLP, |t| numbers(t, "grad/fc2.weight")[10..].fill(0.0), "fc2.weight", "the last row is lost"),
        (
            MLP,
            |t| numbers(t, "grad_input/x").iter_mut().for_each(|g| *g = -*g),
            "grad_input/x",
            "the sign is wrong",
        ),
    ];
    for (text, mistake, tensor, why) in cases {
        let (report, found, said) = checked(text, mistake);
        let report = report.expect("a report");
        assert_eq!(report.verdict, Verdict::Fail);
        let message = format!("error[K005] your loss agrees, your gradient of `{tensor}` is wrong: ");
        assert!(said.contains(&message) && said.contains(why), "{tensor}, {why}: {said}");
        assert_eq!(found.iter().count(), 1, "{said}");
        let wrong = report.tensors.iter().find(|report| report.name == tensor).expect("its report");
        assert!(wrong.error > 1e-4 && wrong.wrong_by_own_loss, "{wrong:?}");
        if !tensor.starts_with("grad_input") {
            let node = found.iter().next().and_then(|finding| finding.node.clone());
            assert_eq!(node.as_deref(), tensor.split_once('.').map(|(node, _)| node));
        }
    }
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "single precision is what is tested")]
fn single_precision_has_its_own_step_and_bounds() {
    let rounded = |tensors: &mut Tensors| {
        let names: Vec<String> = tensors.keys().cloned().collect();
        for name in names {
            numbers(tensors, &name).iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
    };
    let (report, _, said) = checked_in(Precision::F32, MLP, rounded);
    assert_eq!((report.expect("a report").verdict, said.as_str()), (Verdict::Pass, ""));
    let (_, _, said) = checked(MLP, rounded);
    assert!(said.contains("K004") || said.contains("K005"), "rounding is seen in double precision: {said}");
    let wrong = |tensors: &mut Tensors| {
        numbers(tensors, "grad/fc2.weight").iter_mut().for_each(|g| *g = f64::from((*g / 2.0) as f32));
    };
    let (report, _, said) = checked_in(Precision::F32, MLP, wrong);
    assert!(said.contains("`fc2.weight` is wrong: it is 0.5 times ours"), "{said}");
    assert!(report.expect("a report").tensors.iter().any(|tensor| tensor.wrong_by_own_loss));
}

/// A program whose reverse pass treats dropout in a way of its own.
#[derive(Debug)]
struct Dropping {
    /// What derivatives are multiplied with where the forward run has kept or dropped an element; the right ones where there is nothing.
    factors: Option<[f64; 2]>,
    /// How far the seed of the mask is off.
    off: u64,
}

impl Reverse for Dropping {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        let Some([kept, dropped]) =
            self.factors.filter(|_| node.op.name() == "dropout" && io.mode == Mode::Train)
        else {
            return node.op.backward(io);
        };
        let Backward { inputs, output, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        for i in 0..grad.len() {
            // Where the ReLU gives 0 its slope is 0, too.
            let gone = output.at(i).primal() == 0.0 && inputs[0].at(i).primal() != 0.0;
            grad.set(i, cotangent.at(i) * if gone { dropped } else { kept });
        }
    }
}

impl Foreign for Dropping {
    fn answer(&self, request: &Request) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let files = request.files.iter().cloned().collect();
        Ok(by_rules(MLP, &files, self, self.off).iter().map(|tensors| Some(write(tensors))).collect())
    }
}

#[test]
fn a_mask_that_is_forgotten_in_the_reverse_pass_is_named() {
    let right = Dropping { factors: None, off: 0 };
    let (report, _, said) = asked(MLP, Arc::new(right), Precision::F64);
    assert_eq!((report.expect("a report").verdict, &*said), (Verdict::Pass, ""));
    let not_applied = "the dropout mask of `fc1.dropout` is not applied to derivatives";
    for (program, why) in [
        (Dropping { factors: Some([1.0, 1.0]), off: 0 }, not_applied),
        (Dropping { factors: Some([1.0 / 0.75, 1.0 / 0.75]), off: 0 }, not_applied),
        (
            Dropping { factors: Some([1.0, 0.0]), off: 0 },
            "derivatives are not divided by the keep probability of `fc1.dropout`",
        ),
        (
            Dropping { factors: None, off: 1 },
            "it is right in evaluation mode and wrong in training mode: look at `fc1.dropout`; a mask is to be that of the request",
        ),
    ] {
        let (report, _, said) = asked(MLP, Arc::new(program), Precision::F64);
        let report = report.expect("a report");
        for name in ["fc1.weight", "fc1.bias", "grad_input/x"] {
            let tensor = report.tensors.iter().find(|tensor| tensor.name == name).expect("its report");
            let found = tensor.diagnosis.as_deref().unwrap_or_default();
            assert!(tensor.wrong_by_own_loss && found.contains(why), "{name}: {why}: {found}");
        }
        assert!(said.contains(why), "{said}");
        let behind = report.tensors.iter().find(|tensor| tensor.name == "fc2.weight").expect("its report");
        assert_eq!(behind.verdict, Verdict::Pass);
    }
}

/// A program that makes a mistake with dropout in both passes, by the text of its own model.
#[derive(Debug)]
struct Other(fn(&BTreeMap<String, Vec<u8>>) -> Vec<Tensors>);

impl Foreign for Other {
    fn answer(&self, request: &Request) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let files = request.files.iter().cloned().collect();
        Ok(self.0(&files).iter().map(|tensors| Some(write(tensors))).collect())
    }
}

#[test]
fn a_mask_that_is_forgotten_in_both_passes_is_named() {
    let cases: [(Other, &str); 3] = [
        (
            Other(|files| truth(&MLP.replace("dropout(0.25)", "dropout(0)"), files)),
            "your loss differs from that of the spec: it is the loss without dropout: the masks are not applied",
        ),
        // What reads the dropout has smaller weights: the loss is that without the scale.
        (
            Other(|files| {
                let mut answers = truth(MLP, files);
                for (i, answer) in answers.iter_mut().enumerate().filter(|(i, _)| i % 2 == 0) {
                    numbers(answer, "loss")[0] = unscaled(files, i);
                }
                answers
            }),
            "it is the loss with a mask of 0 and 1 in `fc1.dropout`: 1/keep is missing",
        ),
        // Another dropout in the same place has other draws.
        (
            Other(|files| truth(&MLP.replace("dropout(0.25)", "dropout(0.3)"), files)),
            "right in evaluation mode and wrong in training mode: look at `fc1.dropout`",
        ),
    ];
    for (program, why) in cases {
        let (_, _, said) = asked(MLP, Arc::new(program), Precision::F64);
        assert!(said.contains("error[K004]") && said.contains(why), "{why}: {said}");
    }
}

/// The loss of a point whose dropout does not divide by the keep probability.
fn unscaled(files: &BTreeMap<String, Vec<u8>>, point: usize) -> f64 {
    let compiled = compiled(MLP, Notation::Dsl);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let file = |what: &str| &files[&format!("point{point}.{what}.safetensors")];
    let mut weights = Weights::from_safetensors(&graph, "w", file("weights")).expect("weights");
    let feeds = Feeds::from_safetensors(graph, "x", file("rows"), true).expect("rows");
    let settings = Settings { mode: Mode::Train, seed: 0, penalties: false };
    let loss = |weights: &Weights, penalties| {
        let settings = Settings { penalties, ..settings };
        exec::run(graph, weights, &feeds, settings, false).loss.expect("a loss")
    };
    let penalty = loss(&weights, true) - loss(&weights, false);
    let at = graph.params.iter().position(|(_, param)| param.path == "fc2.weight").expect("a tensor");
    weights.params[at].data.iter_mut().for_each(|w| *w *= 0.75);
    loss(&weights, false) + penalty
}

#[test]
fn the_simple_patterns_have_a_name() {
    let ours = [0.3, -1.0, 0.7, 0.2, 0.9, -0.4];
    let weights = [1.0, 2.0, -1.0, 0.5, 0.25, -3.0];
    let penalty: Vec<f64> = weights.iter().map(|w| 1e-3 * w).collect();
    let first = [0.1, -0.9, 0.6, 0.1, 1.0, -0.4];
    let last = [0.2, -0.9, 0.6, 0.3, 0.8, -0.3];
    let named = |theirs: &[f64]| {
        let case = Case {
            given: theirs,
            truth: &ours,
            name: "ours",
            penalty: &penalty,
            weights: &weights,
            dims: &[2, 3],
            rows: 8,
            alternatives: &[
                ("the first row of the batch is left out", &first),
                ("the last row of the batch is left out", &last),
            ],
            tolerance: 1e-7,
        };
        diagnose(&case).unwrap_or_default()
    };
    let times = |c: f64| ours.map(|g| c * g);
    let plus = |c: f64| -> Vec<f64> { ours.iter().zip(&penalty).map(|(g, p)| g + c * p).collect() };
    let part: Vec<f64> = ours.iter().zip(&penalty).map(|(g, p)| 8.0 * (g - p) + p).collect();
    for (theirs, why) in [
        (times(0.0).to_vec(), "it is zero"),
        (times(-1.0).to_vec(), "the sign is wrong"),
        (times(2.0).to_vec(), "a factor of 2 too much"),
        (times(0.5).to_vec(), "a factor of 2 is missing"),
        (times(8.0).to_vec(), "not divided by the 8 rows"),
        (times(0.125).to_vec(), "divided by the 8 rows of the batch twice"),
        (times(8.0 / 7.0).to_vec(), "divided by 7 in place of 8 rows"),
        (times(3.7).to_vec(), "it is 3.7 times ours: a constant factor"),
        (part, "its part from the data is 8 times ours"),
        (plus(-1.0), "the penalty term is missing"),
        (plus(1.0), "the penalty term is doubled"),
        (plus(-0.5), "the penalty term is halved"),
        (plus(5.0), "it is ours plus 5.000e-3 * theta"),
        (vec![0.3, 0.2, -1.0, 0.9, 0.7, -0.4], "it is transposed"),
        (vec![0.3, -1.0, 0.7, 0.2, 0.9, 0.0], "one component alone is wrong, [1, 2]: 0 in place of -0.4"),
        (vec![0.0, 0.0, 0.0, 0.2, 0.9, -0.4], "the first row is lost"),
        (vec![0.3, -1.0, 0.7, 0.0, 0.0, 0.0], "the last row is lost"),
        (vec![0.3, -1.0, 0.0, 0.2, 0.9, 0.0], "the last column is lost"),
        (first.to_vec(), "the first row of the batch is left out"),
        (last.to_vec(), "the last row of the batch is left out"),
    ] {
        let said = named(&theirs);
        assert!(
            said.contains(why) || (why.contains("5.000e-3") && said.contains("* theta")),
            "{why}: {said}"
        );
    }
    assert_eq!(named(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), "");
}

#[test]
fn a_loss_that_differs_is_said_once_and_gradients_that_fit_it_are_not() {
    // A sum in place of a mean, in both passes.
    let (report, found, said) = checked(CONV, |tensors| {
        let names: Vec<String> = tensors.keys().cloned().collect();
        names.iter().for_each(|name| numbers(tensors, name).iter_mut().for_each(|x| *x *= 8.0));
    });
    assert!(
        said.contains("error[K004] your loss differs from that of the spec: it is 8 times ours"),
        "{said}"
    );
    assert_eq!((found.iter().count(), report.expect("a report").verdict), (1, Verdict::Fail), "{said}");
    let notes = &found.iter().next().expect("a finding").notes;
    assert!(
        notes.iter().any(|(key, text)| *key == "gradients" && text.contains("fit your loss")),
        "{notes:?}"
    );
}

#[test]
fn an_answer_that_cannot_be_used_is_said() {
    let cases: [(Change, &str); 8] = [
        (BTreeMap::clear, "the program wrote no point0.answer.safetensors"),
        (|t| drop(t.remove("grad/fc1.bias")), "`grad/fc1.bias` is missing in point0.answer.safetensors"),
        (|t| drop(t.remove("loss")), "`loss` is missing"),
        (|t| drop(t.remove("losses/fc2.bias")), "`losses/fc2.bias` is missing"),
        (
            |t| t.get_mut("grad/fc2.weight").expect("it").dims = vec![5, 3],
            "`grad/fc2.weight` is [5, 3] and must be [3, 5]",
        ),
        (
            |t| t.get_mut("grad/fc2.bias").expect("it").elements = Elements::Whole(vec![0; 3]),
            "`grad/fc2.bias` has the type I64",
        ),
        (|t| numbers(t, "grad/fc1.weight")[6] = f64::NAN, "`grad/fc1.weight` holds NaN at [1, 1]"),
        (|t| numbers(t, "loss")[0] = f64::INFINITY, "`loss` holds inf"),
    ];
    for (mistake, why) in cases {
        let (report, _, said) = checked(MLP, mistake);
        assert!(said.contains("error[K006]") && said.contains(why), "{why}: {said}");
        assert!(report.is_none_or(|report| report.verdict.is_bad()), "{why}");
    }
}

fn gradcheck(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wellposed"))
        .args(["gradcheck", "m.nn", "--steps", "0"])
        .args(more)
        .current_dir(folder)
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("m.nn"), MLP).expect("a file");
    folder
}

#[cfg(unix)]
#[test]
fn a_program_is_run_once_and_its_answer_compared() {
    let folder = folder();
    let here = folder.path();
    // The first run leaves the request; the program of the second one copies prepared answers.
    let empty = gradcheck(here, &["--against", "echo run >> runs; true", "--keep", "request"]);
    assert_eq!(empty.status.code(), Some(2), "{}{}", text(&empty.stdout), text(&empty.stderr));
    assert_eq!(std::fs::read_to_string(here.join("runs")).expect("a file"), "run\n");
    let files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(here.join("request"))
        .expect("the request")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            (entry.file_name().into_string().expect("a name"), std::fs::read(entry.path()).expect("a file"))
        })
        .collect();
    let masks = read("m", &files["point0.masks.safetensors"]).expect("masks");
    assert_eq!(masks["mask/fc1.dropout"].dims, [8, 5]);
    let Elements::Real(mask) = &masks["mask/fc1.dropout"].elements else { panic!("numbers") };
    assert!(mask.contains(&0.0) && mask.iter().all(|&x| x == 0.0 || x == 1.0 / 0.75));
    assert!(read("m", &files["point1.masks.safetensors"]).expect("masks").is_empty(), "evaluation");
    let manifest: Value = serde_json::from_slice(&files["request.json"]).expect("JSON");
    assert_eq!(manifest["penalties"][0]["parameter"], "fc1.weight");
    for (bug, code) in [(false, 0), (true, 1)] {
        for (i, mut answer) in truth(MLP, &files).into_iter().enumerate() {
            if bug {
                numbers(&mut answer, "grad/fc2.weight").iter_mut().for_each(|g| *g = -*g);
            }
            std::fs::write(here.join(format!("point{i}.answer.safetensors")), write(&answer))
                .expect("a file");
        }
        let cp = "cp point0.answer.safetensors point1.answer.safetensors";
        let output = gradcheck(here, &["--against", cp, "--format", "json"]);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{out}{err}");
        let report: Value = serde_json::from_str(&out).expect("JSON");
        let against = &report["specs"][0]["against"];
        assert_eq!(against["verdict"], if bug { "FAIL" } else { "PASS" });
        let tensors = against["tensors"].as_array().expect("a list");
        let wrong = tensors.iter().find(|tensor| tensor["name"] == "fc2.weight").expect("it is there");
        assert_eq!(wrong["diagnosis"].is_string(), bug);
        assert_eq!(report["specs"][0]["diagnostics"].as_array().map(Vec::len), Some(usize::from(bug)));
        let full = text(&gradcheck(here, &["--against", cp, "--svg", "pictures"]).stdout);
        let drawn: Vec<String> = std::fs::read_dir(here.join("pictures")).map_or(Vec::new(), |files| {
            files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect()
        });
        assert_eq!(drawn.len(), usize::from(bug), "{drawn:?}");
        assert!(drawn.iter().all(|name| name.ends_with(".fc2.weight.svg")), "{drawn:?}");
        let line = full.lines().find(|line| line.contains("your loss") && line.contains("fc2.weight"));
        assert!(line.is_some_and(|line| line.contains(if bug { "FAIL" } else { "PASS" })), "{full}");
    }
}

#[cfg(unix)]
#[test]
fn programs_that_fail_hang_or_are_not_there() {
    let folder = folder();
    let here = folder.path();
    let crash = gradcheck(here, &["--against", "echo boom >&2; exit 3; true"]);
    let out = text(&crash.stdout);
    assert_eq!(crash.status.code(), Some(2), "{out}");
    assert!(out.contains("K006") && out.contains("exit status: 3") && out.contains("boom"), "{out}");

    // Its child would write after a while; the whole group is ended.
    let start = Instant::now();
    let line = "(sleep 2; touch late) & sleep 30; true";
    let late = gradcheck(here, &["--against", line, "--time-limit", "0.2"]);
    let out = text(&late.stdout);
    assert_eq!(late.status.code(), Some(2), "{out}");
    assert!(out.contains("took longer than 0.2 s"), "{out}");
    assert!(start.elapsed() < Duration::from_secs(20));
    std::thread::sleep(Duration::from_secs(3));
    assert!(!here.join("late").exists(), "the child lived on");

    let broken = gradcheck(
        here,
        &[
            "--against",
            r#"for f in 0 1; do echo junk > "$WELLPOSED_FOLDER/point$f.answer.safetensors"; done; true"#,
        ],
    );
    let out = text(&broken.stdout);
    assert_eq!(broken.status.code(), Some(2), "{out}");
    assert!(out.contains("point0.answer.safetensors cannot be read"), "{out}");

    let crash = gradcheck(here, &["--against", "exit 3; true", "--format", "json"]);
    let report: Value = serde_json::from_slice(&crash.stdout).expect("JSON");
    assert_eq!(report["specs"][0]["unanswered"], true);
    assert_eq!((&report["summary"]["unanswered"], crash.status.code()), (&Value::from(1), Some(2)));

    let absent = gradcheck(here, &["--against", "./there-is-no-such-program"]);
    assert_eq!(absent.status.code(), Some(2), "{}", text(&absent.stdout));
    assert!(text(&absent.stderr).contains("cannot be run"), "{}", text(&absent.stderr));
}

#[test]
fn the_example_compiles_and_the_protocol_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellposed"));
        command.args(arguments).current_dir(root).output().expect("the program runs")
    };
    let check = run(&["check", "examples/against/model.nn"]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stdout));
    let page = text(&run(&["explain", "against"]).stdout);
    for part in ["request.json", "losses/fc1.weight", "WELLPOSED_FOLDER", "--time-limit"] {
        assert!(page.contains(part), "{part}");
    }
}
