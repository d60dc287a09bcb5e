//! Right gradients that other checkers have called wrong: the published cases, each of which has to stay clean here, and the same net with a
//! fault in it, which has to be found.

use crate::support::Memory;
use wellposed::exec::{Registry, Reverse};
use wellposed::graph::{Node, Runnable};
use wellposed::pipeline::compile;
use wellposed::scalar::Scalar;
use wellposed::tensor::ViewMut;
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::{Options, Report, Verdict, check};

/// In training mode, at the start and after some steps.
fn run(text: &str, reverse: &impl Reverse) -> Report {
    let options = Options { seeds: vec![0], ..Options::default() };
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    check(graph, &Samples::draw(&compiled.graph, 16, 0), &options, reverse)
}

/// The gradients by the last layer's parameters are 1% too large.
struct Off;

impl Reverse for Off {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        _: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        for grad in params.iter_mut().flatten().filter(|_| node.path.to_string() == "z") {
            (0..grad.len()).for_each(|i| grad.set(i, grad.at(i) * 1.01));
        }
    }
}

/// A net around the layers of a case.
fn net(input: &str, layers: &str) -> String {
    format!(
        "spec 1\nmodel m()\ninput x: {input}\ntarget y: class(3)\nnet {{\n{layers}  z: linear(3, init=lecun_normal)\n}}\ntrain {{ loss cross_entropy(z, y)  adam(lr=1e-3) }}\n"
    )
}

fn clean(what: &str, text: &str) -> Report {
    let report = run(text, &Registry);
    assert!(!report.verdict.is_bad() && report.faults.is_empty(), "{what}: {report:#?}");
    assert_eq!(run(text, &Off).verdict, Verdict::Fail, "{what}: a fault is found");
    report
}

/// pytorch#114234: `gradcheck` of a ReLU fails where an input is 0 or nearer to 0 than its step of 1e-6.
#[test]
fn inputs_of_a_relu_at_and_next_to_zero() {
    for (init, ties) in [("zeros", true), ("normal(1e-8)", false), ("normal(1e-300)", false)] {
        let text = net("f64[B, 4]", &format!("  a: linear(6, init={init}) <- x\n     relu\n"));
        let report = clean(init, &text);
        assert_eq!(report.points[0].ties > 0, ties, "{init}");
    }
}

/// pytorch#114219: `gradcheck` of `max_pool1d` fails on equal elements.
#[test]
fn equal_elements_of_a_pool_along_one_axis() {
    let layers = "  a: linear(12, init=zeros) <- x\n  r: reshape([1, 1, 12])\n     max_pool([1, 3], stride=[1, 2])\n     flatten\n";
    let report = clean("ties", &net("f64[B, 4]", layers));
    assert!(report.points[0].ties > 0 && report.verdict == Verdict::KinkOk, "{:?}", report.verdict);
}

/// chainer#8519: two nearly equal maxima that move nearly alike, which the detector of kinks is unsure of.
#[test]
fn nearly_equal_maxima_that_move_nearly_alike() {
    for gap in ["1e-9", "1e-13"] {
        let layers = format!(
            "  a: linear(8, init=normal({gap}), bias_init=normal({gap})) <- x\n  r: reshape([2, 1, 4])\n     max_pool([1, 2])\n     flatten\n"
        );
        clean(gap, &net("f64[B, 4]", &layers));
    }
}

/// OpenMDAO#3164: the relative error of 1e-17 against an analytic 0 is 1.
#[test]
fn a_gradient_that_is_zero_but_for_rounding() {
    let layers = "  a: linear(6, init=he_normal) <- x\n     batch_norm\n     tanh\n";
    let report = clean("zero", &net("f64[B, 4]", layers));
    let bias = report.tensors.iter().find(|tensor| tensor.name == "a.bias").expect("a tensor");
    assert_eq!(bias.verdict, Verdict::PassZero, "{bias:?}");
}

/// tensorflow#60556: the difference across the jump of a step function is the jump over the step, 512, and its gradient 0.
#[test]
fn a_jump_between_the_two_sides_of_a_difference() {
    for init in ["zeros", "normal(1e-9)", "he_normal"] {
        let layers = format!("  a: linear(6, init={init}) <- x\n     jump\n");
        let text =
            net("f64[B, 4]", &layers).replace("model m()\n", "model m()\nactivation jump(x) = x + sign(x)\n");
        clean(init, &text);
    }
}

/// tesseract-core#706: all of 400 right gradients fail, as a relative step was taken for an absolute one where values are large.
#[test]
fn values_and_gradients_of_every_scale() {
    for scale in ["1e-6", "1e-3", "1", "1e3", "1e6"] {
        let text = format!(
            "spec 1\nmodel m()\ninput x: f64[B, 4] |> scale({scale})\ntarget y: f64[B, 2]\nnet {{\n  a: linear(5, init=lecun_normal, bias_init=normal(1)) <- x\n     tanh\n  z: linear(2, init=normal({scale}))\n}}\ntrain {{ loss mse(z, y)  sgd(lr=1e-18) }}\n"
        );
        clean(scale, &text);
    }
}
