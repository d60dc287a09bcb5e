//! The gradient check finds planted faults, and nothing on right gradients.

use wellposed::exec::{Registry, Reverse};
use wellposed::graph::{Node, ParamTensor, Penalty, Runnable};
use wellposed::pipeline::{Compiled, compile};
use wellposed::scalar::Scalar;
use wellposed::tensor::{View, ViewMut};
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::{Method, Options, Report, Verdict, check};

use crate::support::Memory;
use wellposed::diag::Diagnostics;
use wellposed::diag::render::Look;
use wellposed::report::SpecReport;
use wellposed::report::format::{full, json};

const NET: &str = "spec 1
model m(w = 12)
input x: f64[B, 7]
target y: class(4)
net {
  a: linear(w, init=he_normal)
     relu
  b: linear(w, init=he_normal)
     relu
  c: linear(4, init=xavier_normal)
}
train { loss cross_entropy(c, y)  l2 1e-2 on weights  adam(lr=1e-2) }
";

fn compiled(text: &str) -> Compiled {
    compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there")
}

fn run(text: &str, reverse: &impl Reverse) -> Report {
    with(text, reverse, &Options::default())
}

fn with(text: &str, reverse: &impl Reverse, options: &Options) -> Report {
    let compiled = compiled(text);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    check(graph, &Samples::draw(&compiled.graph, 16, 0), options, reverse)
}

#[test]
fn right_gradients_pass_at_every_point() {
    let report = run(NET, &Registry);
    assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
    assert_eq!(report.method, "every component");
    assert_eq!(report.points.iter().filter(|point| point.full).count(), 3);
    assert!(report.points.iter().all(|point| point.error < 1e-7));
    assert_eq!(report.tensors.len(), 6);
    assert!(report.tensors.iter().all(|tensor| tensor.checked == tensor.components));
}

/// A rule that is wrong for one tensor of one node.
struct Planted<F>(&'static str, usize, F);

impl<F: Fn(f64, usize) -> f64 + Sync> Reverse for Planted<F> {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        _: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        if node.path.to_string() == self.0
            && let Some(Some(grad)) = params.get_mut(self.1)
        {
            for i in 0..grad.len() {
                let x = grad.at(i).primal();
                grad.set(i, S::constant((self.2)(x, i)));
            }
        }
    }
}

#[test]
fn one_wrong_component_among_many_is_found_and_named() {
    let report = run(NET, &Planted("b", 0, |g, i| if i == 17 { g + 1e-3 } else { g }));
    assert_eq!(report.verdict, Verdict::Fail);
    let failed: Vec<&str> = report
        .tensors
        .iter()
        .filter(|tensor| tensor.verdict == Verdict::Fail)
        .map(|tensor| tensor.name.as_str())
        .collect();
    assert_eq!(failed, ["b.weight"]);
    let worst = report.tensors.iter().find(|t| t.name == "b.weight").and_then(|t| t.worst.as_ref());
    assert_eq!(worst.map(|worst| worst.index.clone()), Some(vec![1, 5]), "component 17 of [12,12]");
}

#[test]
fn factors_and_signs_are_found() {
    for wrong in [|g: f64, _: usize| -g, |g, _| g * 2.0, |g, _| g * 0.999, |_, _| 0.0] {
        let report = run(NET, &Planted("a", 1, wrong));
        assert_eq!(report.verdict, Verdict::Fail);
    }
}

/// The regularisation term without its gradient.
struct Forgotten;

impl Reverse for Forgotten {
    fn penalty<S: Scalar>(&self, _: &Penalty, _: &ParamTensor, _: View<'_, S>, _: &mut ViewMut<'_, S>) {}
}

#[test]
fn a_forgotten_regularisation_term_is_found_on_weights_and_nowhere_else() {
    let report = run(NET, &Forgotten);
    for tensor in &report.tensors {
        assert_eq!(tensor.verdict == Verdict::Fail, tensor.name.ends_with("weight"), "{tensor:?}");
    }
}

#[test]
fn inputs_on_a_kink_are_said_and_do_not_fail() {
    let text = NET.replace("a: linear(w, init=he_normal)", "a: linear(w, init=zeros)");
    let report = run(&text, &Registry);
    assert!(!report.verdict.is_bad(), "{report:#?}");
    assert!(report.points[0].ties > 0);
    let verdict = |name: &str| report.tensors.iter().find(|t| t.name == name).map(|t| t.verdict);
    assert_eq!(verdict("c.bias"), Some(Verdict::Pass), "nothing behind the last layer lies on a kink");
}

#[test]
fn a_model_without_a_loss_is_checked_by_a_projection() {
    let text = NET.split("train").next().expect("a head").replace("target y: class(4)\n", "");
    let report = run(&text, &Registry);
    assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
}

#[test]
fn an_exploding_net_is_invalid_and_not_wrong() {
    let text = NET.replace("he_normal", "normal(1e200)");
    let report = run(&text, &Registry);
    assert_eq!(report.verdict, Verdict::Invalid);
    // One finding for all tensors, where the first value overflows.
    let findings = report.findings(&compiled(&text).graph);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!(finding.rule.code, "K002");
    let node = report.points[0].not_finite.as_ref().expect("the values overflow").node.clone();
    assert_eq!(finding.node.as_deref(), Some(&*node));
    assert!(finding.message.starts_with(&format!("`{node}` gives ")), "{}", finding.message);
}

/// Batch norm in training couples the samples, so that each of the many components must be perturbed by itself.
#[test]
fn beyond_the_budget_at_least_two_hundred_components_of_each_tensor_are_checked() {
    let text = NET.replace("w = 12", "w = 400").replace(
        "  c: linear",
        "     batch_norm\n  n: linear(w, init=he_normal)\n     batch_norm\n     relu\n  c: linear",
    );
    let report = run(&text, &Registry);
    assert!(report.method.starts_with("200 components"), "{}", report.method);
    assert!(report.tensors.iter().all(|tensor| tensor.checked >= 200.min(tensor.components)));
    assert!(!report.verdict.is_bad(), "{report:#?}");
}

/// Among them, one that no difference looked at is wrong: ledger and directions see it.
#[test]
fn a_fault_outside_of_the_sample_is_found() {
    let text = NET.replace("w = 12", "w = 400").replace(
        "  c: linear",
        "     batch_norm\n  n: linear(w, init=he_normal)\n     batch_norm\n     relu\n  c: linear",
    );
    let start = Options { seeds: vec![0], steps: 0, ..Options::default() };
    let report = with(&text, &Planted("n", 0, |g, i| if i == 77_780 { 1.5 * g } else { g }), &start);
    assert!(report.method.starts_with("200 components of each tensor, as a full sweep would cost"));
    // A sampled component that is half as large again would give about 0.5 / (2 sqrt(200)).
    assert!(report.points[0].error < 1e-5, "the sample does not see it: {:#?}", report.points[0]);
    let tensor = report.tensors.iter().find(|tensor| tensor.name == "n.weight").expect("a tensor");
    assert_eq!((tensor.verdict, tensor.components), (Verdict::Fail, 160_000));
    let why = tensor.diagnosis.as_deref().unwrap_or_default();
    assert!(why.starts_with("one component alone is wrong, [194, 180]"), "{why}");
}

/// Many layers whose samples are coupled: not even ten components of each tensor are affordable.
fn deep() -> String {
    let layer = |i: usize| {
        format!(
            "  r{i}: residual {{\n    h: linear(w, init=he_normal)\n       batch_norm\n       relu\n  }}\n"
        )
    };
    let layers: String = (0..32).map(layer).collect();
    NET.replace("w = 12", "w = 90").replace("  c: linear", &format!("{layers}  c: linear"))
}

const DIRECTIONS: &str = "ledger and random directions, 3 of them by differences";

/// The gradient check of a spec, as people and as programs see it.
fn shown(text: &str, check: Report) -> (String, serde_json::Value) {
    let compiled = compiled(text);
    let mut spec = SpecReport::new("m.nn".to_owned(), compiled.sources, Diagnostics::default());
    spec.found.extend(check.findings(&compiled.graph));
    spec.gradcheck = Some(check);
    let report = wellposed::report::Report::new(vec![spec]);
    let people = full::gradients(&report, Look { colour: false, width: 200 });
    (people, serde_json::from_str(&json::render(&report)).expect("JSON"))
}

#[test]
fn beyond_every_sample_ledger_and_directions_speak_and_say_so() {
    let start = Options { seeds: vec![0], steps: 0, ..Options::default() };
    let clean = with(&deep(), &Registry, &start);
    assert!(!clean.verdict.is_bad(), "{clean:#?}");
    assert!(clean.tensors.iter().all(|tensor| tensor.checked == 0 && tensor.bound.is_some()));
    let anchor = clean.points[0].anchor.expect("differences along directions");
    assert!(anchor.error <= anchor.bound.max(1e-4) && anchor.directions == 3, "{anchor:?}");
    let method = format!("{DIRECTIONS}, as a sweep over every component would cost ");
    let (people, programs) = shown(&deep(), clean);
    assert!(people.contains(&method), "{people}");
    let check = &programs["specs"][0]["gradcheck"];
    assert!(check["method"].as_str().is_some_and(|text| text.starts_with(&method)), "{check}");
    assert_eq!(check["points"][0]["anchor"]["directions"], 3);
}

/// One wrong component of one of a net's tensors, without a difference of any component.
fn without_differences(text: &str, node: &'static str, at: usize, why: &str) {
    let options = Options { seeds: vec![0], steps: 0, components: Some(0), ..Options::default() };
    let wrong = with(text, &Planted(node, 0, move |g, i| if i == at { g * 1.01 } else { g }), &options);
    assert!(wrong.method.starts_with(DIRECTIONS), "{}", wrong.method);
    let failed = wrong.tensors.iter().filter(|tensor| tensor.verdict == Verdict::Fail);
    let failed: Vec<&str> = failed.map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(failed, [format!("{node}.weight")]);
    let (people, programs) = shown(text, wrong);
    let finding = format!("the reverse rule of `{node}` (linear) is wrong in its weight gradient");
    assert!(people.contains(DIRECTIONS) && people.contains(&finding), "{people}");
    assert!(people.matches(why).count() >= 2, "in the table and in the finding: {people}");
    let check = &programs["specs"][0]["gradcheck"];
    assert_eq!(check["verdict"], "FAIL");
    assert_eq!(check["faults"][0]["slips"][0]["operand"], "weight");
}

#[test]
fn a_fault_is_found_without_a_difference_of_any_component() {
    without_differences(NET, "b", 17, "one component alone is wrong, [1, 5]");
}

#[test]
#[ignore = "a large net in double-double arithmetic"]
fn a_fault_is_found_beyond_every_sample() {
    without_differences(&deep(), "r7.h", 1_234, "one component alone is wrong, [13, 64]");
}

/// Without a coupling of samples the same widths are checked component by component, by as many differences as there are units.
#[test]
fn wide_layers_are_checked_in_every_component() {
    let report = run(&NET.replace("w = 12", "w = 400"), &Registry);
    assert_eq!(report.method, "every component");
    assert!(report.tensors.iter().all(|tensor| tensor.checked == tensor.components));
    assert!(report.tensors.iter().all(|tensor| tensor.method == Some(Method::Factorised)));
    assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
}

const METHODS: [Method; 4] = [Method::Plain, Method::Stacked, Method::RankOne, Method::Factorised];

/// Every kind of route: maps, channels, samples that are coupled and draws in the middle, a sum of two ways, a norm of features, a
/// layer on the last axis.
const CNN: &str = "spec 1
model m()
input x: f64[B, 2, 5, 5]
target y: class(3)
net {
  a: conv2d(3, kernel=3, pad=1, init=he_normal, bias_init=normal(0.1))
     batch_norm
     relu
     max_pool(2)
  b: conv2d(4, kernel=2, pad=1, groups=1, init=he_normal, bias_init=normal(0.1))
     leaky_relu
     dropout(0.3)
  r: residual {
    d: conv2d(4, kernel=1, init=he_normal)
       tanh
  }
  p: reshape([4, 9])
  e: linear(5, init=lecun_normal, bias_init=normal(0.1))
     layer_norm
     silu
     flatten
  f: linear(3, init=lecun_normal)
}
train { loss cross_entropy(f, y)  l2 1e-2 on weights  l1 1e-3 on all }
";

#[test]
fn every_method_passes_right_gradients() {
    for text in [NET, CNN] {
        for method in METHODS {
            let report = with(text, &Registry, &Options { method: Some(method), ..Options::default() });
            assert!(!report.verdict.is_bad(), "{method:?}: {report:#?}");
            assert!(report.points.iter().all(|point| point.error < 1e-8), "{method:?}: {:#?}", report.points);
            assert!(report.tensors.iter().all(|tensor| tensor.checked == tensor.components));
        }
    }
}

/// One component of each tensor in turn is 1e-4 off, and every method finds it, names it and blames nothing else.
#[test]
fn every_method_finds_one_wrong_component() {
    let nodes = |text: &str| -> Vec<(String, Vec<(String, usize)>)> {
        let graph = compiled(text).graph;
        let params = |node: &Node| {
            let of = |param| (graph.params[param].path.clone(), graph.params[param].spec.elements());
            node.params.iter().copied().map(of).collect()
        };
        graph.nodes.iter().map(|(_, node)| (node.path.to_string(), params(node))).collect()
    };
    for text in [NET, CNN] {
        for (node, params) in nodes(text) {
            let node: &'static str = node.leak();
            for (slot, (name, elements)) in params.into_iter().enumerate() {
                let at = 17 % elements;
                for method in METHODS {
                    for seed in [0, 1] {
                        // The first seed is checked in training mode.
                        let seeds = if seed == 0 { vec![0] } else { vec![7, 1] };
                        let options = Options { method: Some(method), seeds, steps: 0, ..Options::default() };
                        let planted = Planted(node, slot, move |g, i| if i == at { g + 1e-4 } else { g });
                        let report = with(text, &planted, &options);
                        let failed: Vec<&str> = report
                            .tensors
                            .iter()
                            .filter(|tensor| tensor.verdict == Verdict::Fail)
                            .map(|tensor| tensor.name.as_str())
                            .collect();
                        assert_eq!(failed, [name.as_str()], "{method:?} on {name}");
                    }
                }
            }
        }
    }
}

/// Which method each tensor was checked by.
fn methods(report: &Report) -> Vec<(&str, Option<Method>)> {
    report.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.method)).collect()
}

/// Where samples are coupled behind a layer, the terms of its samples cannot be told apart, and it is never factorised, whoever asks
/// for it.
#[test]
fn a_layer_before_a_coupling_of_samples_is_not_factorised() {
    let at =
        |seeds: Vec<u64>| Options { method: Some(Method::Factorised), seeds, steps: 0, ..Options::default() };
    let training = with(CNN, &Registry, &at(vec![0]));
    for (name, method) in methods(&training) {
        let before = name == "a.weight" || name == "a.bias";
        assert_eq!(method == Some(Method::Factorised), !before, "{name}: {method:?}");
    }
    assert!(!training.verdict.is_bad() && training.points[0].error < 1e-8, "{training:#?}");
    // The second point is one of use, where batch norm couples nothing; the worst of both points is reported.
    let both = with(CNN, &Registry, &at(vec![0, 1]));
    assert!(!both.verdict.is_bad() && both.points[1].error < 1e-8, "{both:#?}");
}

/// Masks are those of the base run in every copy: with fresh ones, differences would be of the order of 1/h.
#[test]
fn masks_of_dropout_are_the_same_in_every_copy() {
    let text = NET.replace("     relu\n  b:", "     dropout(0.5)\n     relu\n  b:");
    for method in METHODS {
        let options = Options { method: Some(method), seeds: vec![3], ..Options::default() };
        let report = with(&text, &Registry, &options);
        // Dropped elements lie on the kink of the ReLU.
        assert!(!report.verdict.is_bad(), "{method:?}: {report:#?}");
        assert!(report.points.iter().all(|point| point.error < 1e-8));
    }
}

/// A net that is worth several threads gives the same report, bit for bit, however they take their turns.
#[test]
fn the_report_does_not_depend_on_who_does_what() {
    let text = NET.replace("w = 12", "w = 90");
    let first = format!("{:?}", run(&text, &Registry));
    for _ in 0..3 {
        assert_eq!(format!("{:?}", run(&text, &Registry)), first);
    }
}
