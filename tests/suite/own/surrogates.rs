//! Surrogates: reported, followed by every check, and still checked around.

use super::{found, graph};
use crate::ops::table::Case;
use wellposed::exec::{Registry, Reverse};
use wellposed::graph::{Node, Runnable};
use wellposed::ops::Backward;
use wellposed::pipeline::Compiled;
use wellposed::scalar::{Dual, Scalar};
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::{Options, Report, Verdict, check};

const NET: &str = "spec 1
model m
activation spike(x) = 1 if x > 0 else 0  surrogate = 1 / (1 + abs(x))**2
activation bent(x) = x * sigmoid(x)
loss smooth(p, t) = log(cosh(p - t))  grad = tanh(p - t)
input x: f64[B, 5]
target y: f64[B, 2]
net {
  a: linear(6, init=he_normal)
     bent
  b: linear(6, init=he_normal)
     spike
  c: linear(6, init=lecun_normal)
     bent
  d: linear(2, init=lecun_normal)
}
train { loss smooth(d, y)  l2 1e-2 on weights }
";

fn report(compiled: &Compiled, reverse: &impl Reverse) -> Report {
    let runnable = Runnable::new(&compiled.graph).expect("a complete graph");
    check(runnable, &Samples::draw(&compiled.graph, 16, 0), &Options::default(), reverse)
}

#[test]
fn a_surrogate_is_reported_with_its_largest_deviation() {
    let compiled = found(NET);
    let finding = compiled.found.iter().find(|d| d.rule.code == "K008").expect("a finding");
    assert!(finding.message.starts_with("`spike` trains on a surrogate: at x = "), "{}", finding.message);
    assert!(!compiled.found.has_errors());
}

/// Tensors before the surrogate are compared with tangents that follow it; those behind it by differences, as ever.
#[test]
fn the_chain_is_checked_with_the_surrogate_in_it() {
    let report = report(&found(NET), &Registry);
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    for tensor in &report.tensors {
        let before = tensor.name.starts_with(['a', 'b']);
        assert_eq!(tensor.verdict == Verdict::Surrogate, before, "{tensor:?}");
        assert_eq!(tensor.checked == 0, before, "{tensor:?}");
        assert!(!tensor.verdict.is_bad(), "{tensor:?}");
        assert!(!before || tensor.error > 0.0 || tensor.tangent_error.is_some(), "{tensor:?}");
    }
}

/// The gradient that training gets is the product of the slopes with the surrogate's: recomputed here by hand for a chain of two.
#[test]
fn gradients_before_a_surrogate_are_those_of_the_chain() {
    let text = "spec 1\nmodel m\nactivation spike(x) = sign(x)  surrogate = 1 if abs(x) < 1 else 0\n\
                input x: f64[B, 3]\nnet {\n  it: spike <- x\n}\n";
    let graph = wellposed::graph::verify(graph(text)).expect("valid");
    let node = graph.nodes.handles().next().expect("a node");
    let case = Case { graph, node, classes: 2 };
    let own = case.graph.nodes[node].op.own().expect("declared");
    for x in [-1.5, -0.5, 0.25, 0.75, 2.0] {
        let inside = f64::from(u8::from(f64::abs(x) < 1.0));
        let mut room = vec![Dual::constant(0.0); own.formula.room()];
        let (value, _) = own.formula.value(&[Dual { value: x, tangent: 3.0 }], None, room.as_mut_slice());
        assert_eq!(value, Dual { value: x.signum(), tangent: 3.0 * inside });
        assert_eq!(own.formula.slope_at(&[x]), inside);
    }
}

/// The rule of one node with a factor.
struct Scaled(&'static str);

impl Reverse for Scaled {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.path.to_string() != self.0 {
            return Registry.backward(node, io);
        }
        let Backward { inputs, cotangent, inputs_grad, .. } = io;
        if let Some(grad) = &mut inputs_grad[0] {
            for i in 0..inputs[0].len() {
                grad.set(i, cotangent.at(i) * 0.5);
            }
        }
    }
}

/// A wrong rule at the surrogate, before it or behind it fails.
#[test]
fn a_wrong_rule_around_a_surrogate_fails() {
    for node in ["a.bent", "b.spike", "c.bent"] {
        let report = report(&found(NET), &Scaled(node));
        assert_eq!(report.verdict, Verdict::Fail, "{node}");
        assert!(report.faults.iter().any(|fault| fault.node == node), "{node}: {:#?}", report.faults);
    }
}

/// A derivative that is wrong fails the gradient check by itself, too: the tangent does not come from it.
#[test]
fn the_tangent_is_independent_of_the_slope() {
    let text = NET.replace(
        "activation bent(x) = x * sigmoid(x)",
        "activation bent(x) = x * sigmoid(x)  grad = sigmoid(x)",
    );
    let compiled = found(&text);
    assert!(compiled.found.iter().any(|d| d.rule.code == "K007"));
    let report = report(&compiled, &Registry);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(
        report.faults.iter().any(|fault| fault.node == "a.bent" && fault.op == "bent"),
        "{:#?}",
        report.faults
    );
}
