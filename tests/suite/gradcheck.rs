//! The gradient check finds planted faults, and nothing on right gradients.

use wellposed::exec::{Registry, Reverse};
use wellposed::graph::{Node, ParamTensor, Penalty, Runnable};
use wellposed::pipeline::{Compiled, compile};
use wellposed::scalar::Scalar;
use wellposed::tensor::{View, ViewMut};
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::{Method, Options, Report, Verdict, check};

use crate::support::Memory;

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
    let compiled = compiled(text);
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    check(graph, &Samples::draw(&compiled.graph, 16, 0), &Options::default(), reverse)
}

#[test]
fn right_gradients_pass_at_every_point() {
    let report = run(NET, &Registry);
    assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
    assert_eq!(report.method, "every component");
    assert_eq!(report.points.len(), 3);
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
    let findings = report.findings(&compiled(&text).graph);
    assert!(findings.iter().all(|finding| finding.rule.code == "K002"));
    assert!(!findings.is_empty());
}

#[test]
fn beyond_the_budget_at_least_two_hundred_components_of_each_tensor_are_checked() {
    // One component after another, as a net would be checked whose operators allow nothing faster.
    let compiled = compiled(&NET.replace("w = 12", "w = 200"));
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    let options = Options { method: Some(Method::Plain), ..Options::default() };
    let report = check(graph, &Samples::draw(&compiled.graph, 16, 0), &options, &Registry);
    assert!(report.method.starts_with("200 components"), "{}", report.method);
    assert!(report.tensors.iter().all(|tensor| tensor.checked >= 200.min(tensor.components)));
    assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
}
