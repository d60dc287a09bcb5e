//! What declarations mean: twins of operators, the laws of all operators, and what is refused.

use super::{activation, found, graph, loss, messages, own};
use crate::ops::checks;
use crate::ops::table::Case;
use crate::ops::trial::{Registered, Trial};
use wellposed::exec::Registry;
use wellposed::graph::{print, verify};
use wellposed::ops::OpKind;
use wellposed::tensor::Mode;

/// Formulas of activations that the language has.
const TWINS: &[(&str, &str)] = &[
    ("relu(x)", "relu"),
    ("max(x, 0)", "relu"),
    ("x if x > 0 else 0.01 * x", "leaky_relu"),
    ("min(max(x, 0), 6)", "relu6"),
    ("x if x > 0 else expm1(x)", "elu"),
    ("0.5 * x * (1 + erf(x / sqrt(2)))", "gelu"),
    ("x * sigmoid(x)", "silu"),
    ("x * tanh(softplus(x))", "mish"),
    ("x * min(max(x + 3, 0), 6) / 6", "hardswish"),
    ("tanh(x)", "tanh"),
    ("(exp(x) - exp(-x)) / (exp(x) + exp(-x))", "tanh"),
    ("max(-1, min(x, 1))", "hardtanh"),
    ("x / (1 + abs(x))", "softsign"),
    ("1 / (1 + exp(-x))", "sigmoid"),
    ("log1p(exp(x))", "softplus"),
];

/// Values, slopes and standard normal moments of a twin and of the operator agree to rounding: both are within a few units of 2^-52 of
/// the exact values, but for what formulas that cancel lose, which is below 2^-40 for |x| <= 5.
#[test]
fn formulas_of_operators_are_those_operators() {
    for (formula, name) in TWINS {
        let declared = graph(&activation(&format!("activation f(x) = {formula}"), "f"));
        let built = graph(&activation("", name));
        let op = |graph: &wellposed::graph::Graph| graph.nodes.iter().next().expect("a node").1.op.clone();
        let (mine, theirs) = (op(&declared), op(&built));
        let (mine, theirs) = (mine.response().expect("a response"), theirs.response().expect("a response"));
        for (what, a, b) in [
            ("E f^2", mine.square, theirs.square),
            ("E f'^2", mine.slope_square, theirs.slope_square),
            ("elasticity", mine.elasticity, theirs.elasticity),
        ] {
            assert!((a - b).abs() <= 1e-11 * b.abs().max(1.0), "{formula}: {what} {a} and {b}");
        }
        let kinks = |op: &OpKind| op.kinks();
        let (here, there) = (kinks(&op(&declared)), kinks(&op(&built)));
        // A condition may lie where the function is smooth; what is a kink of the operator is one of the formula.
        // That of softplus is where its code changes.
        let all = there.iter().all(|kink| here.contains(kink)) || *name == "softplus";
        assert!(all, "{formula}: kinks {here:?}, not {there:?}");
        let formula_of = &own(&declared).formula;
        let run = |text: &str| {
            let graph = verify(graph(text)).expect("valid");
            let node = graph.nodes.handles().next().expect("a node");
            Case { graph, node, classes: 2 }
        };
        let case = run(&activation("", name));
        let trial = Trial::new(&case, 5, Mode::Eval, 3);
        let bare = trial.bare(&Registered, &Registry, 0.0);
        for (x, y) in trial.values.feeds[0].iter().zip(&bare.output) {
            let value = formula_of.value_at(&[*x]);
            assert!((value - y).abs() <= 1e-12 * y.abs().max(1.0), "{formula} at {x}: {value} and {y}");
        }
    }
}

/// Activations of many kinds, with a kink, a step, a power, a parameter, and everything in the list of functions.
const ACTIVATIONS: &[(&str, &str)] = &[
    ("activation f(x) = x * tanh(softplus(x))", "f"),
    ("activation f(x, a = 0.1) = max(a * x, x)", "f(a=0.3)"),
    ("activation f(x) = sign(x) * log1p(abs(x))", "f"),
    ("activation f(x) = x + 0.3 * sin(2 * x) - cos(x)", "f"),
    ("activation f(x) = sinh(x / 3) + cosh(x / 4)", "f"),
    ("activation f(x) = (1 + x**2)**0.5 - pow(1 + x**2, -1.5)", "f"),
    ("activation f(x) = erf(x) * expm1(x / 4) / sqrt(1 + x * x)", "f"),
    ("activation f(x) = 1 if x > 0.5 or x < -0.5 and not x < -1 else x**3", "f"),
    ("activation f(x) = min(max(x, 0), 1) - relu(-x - 0.25)", "f"),
    ("activation f(x) = log(1 + exp(x)) * pi", "f"),
    ("activation f(x) = x / (1 + exp(-1.702 * x))", "f"),
];

const LOSSES: &[(&str, &str)] = &[
    ("loss f(p, t) = log(cosh(p - t))", "f(x, y)"),
    ("loss f(p, t, q = 0.9) = max(q * (t - p), (q - 1) * (t - p))", "f(x, y, q=0.3)"),
    ("loss f(p, t) = (p - t)**2 / (1 + t**2)", "f(x, y)"),
    ("loss f(p, t) = softplus(-p * t)", "f(x, y)"),
    ("loss f(p, t) = 0.5 * (p - t)**2 if abs(p - t) < 1 else abs(p - t) - 0.5", "f(x, y)"),
];

/// The laws that hold for every operator of the program hold for these: tangents, differences, results that depend on their arguments
/// alone, buffers that are overwritten, samples that do not mix.
#[test]
fn declared_functions_keep_the_laws_of_operators() {
    let activations = ACTIVATIONS.iter().map(|(declaration, call)| activation(declaration, call));
    let losses = LOSSES.iter().map(|(declaration, call)| loss(declaration, call));
    for text in activations.chain(losses) {
        let graph = verify(graph(&text)).expect("valid");
        let node = graph.loss.or(graph.nodes.handles().next()).expect("a node");
        let case = Case { graph, node, classes: 2 };
        for mode in crate::ops::MODES {
            for (batch, seed) in [(1, 1), (3, 2), (5, 3)] {
                let trial = Trial::new(&case, batch, mode, seed);
                let laws = [
                    checks::tangent_agrees(&trial, &Registry),
                    checks::differences_agree(&trial, &Registry),
                    checks::overwrites(&trial, &Registered, &Registry),
                    checks::is_independent(&trial, &Registered, &Registry),
                ];
                for law in laws {
                    law.unwrap_or_else(|reason| panic!("{reason}\n{text}"));
                }
                let kinks = case.graph.nodes[node].op.kinks();
                if !kinks.is_empty() {
                    let values = crate::ops::near_kinks(&case, batch, &kinks);
                    let trial = Trial::at(&case, batch, mode, seed, values);
                    checks::tangent_agrees(&trial, &Registry)
                        .unwrap_or_else(|reason| panic!("at kinks: {reason}\n{text}"));
                }
            }
        }
    }
}

#[test]
fn kinks_are_found_to_the_last_digit() {
    for (formula, want) in [
        ("max(x, 0)", vec![0.0]),
        ("x if x < 0.123 else 2", vec![0.123]),
        ("abs(abs(x) - 2.5)", vec![-2.5, 0.0, 2.5]),
        ("max(x, -20) + max(x - 1e4, 0)", vec![-20.0, 1e4]),
        ("1 if abs(x) < 0.001 else 0", vec![-0.001, 0.0, 0.001]),
        ("x * tanh(softplus(x))", vec![]),
    ] {
        let graph = graph(&activation(&format!("activation f(x) = {formula}"), "f"));
        let found = own(&graph).formula.kinks();
        let close = found.len() == want.len()
            && found.iter().zip(&want).all(|(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b.abs().max(1e-3));
        assert!(close, "{formula}: {found:?}");
    }
}

/// What is not a number stays visible behind `max`, `min`, `relu` and conditions.
#[test]
fn no_decision_hides_what_is_not_a_number() {
    for formula in [
        "max(log(x), 0)",
        "max(0, log(x))",
        "min(sqrt(x), 1)",
        "relu(log(x))",
        "1 if log(x) > 0 else 0",
        "sign(log(x))",
    ] {
        let graph = graph(&activation(&format!("activation f(x) = {formula}"), "f"));
        let value = own(&graph).formula.value_at(&[-1.0]);
        assert!(value.is_nan(), "{formula} of -1 is {value}");
    }
}

#[test]
fn the_snapshot_has_names_formulas_and_parameters() {
    let text = "spec 1\nmodel m(w = 3)\nactivation hard(x, a = 0.1) = max(a * x, x)\n\
                activation idle(x) = x\nloss smooth(p, t) = log(cosh(p - t))  grad = tanh(p - t)\n\
                input x: f64[B, 4]\ntarget y: f64[B, 3]\nnet {\n  a: linear(w, init=he_normal)\n     hard\n  \
                b: linear(w, init=he_normal)\n     hard(0.2)\n}\ntrain { loss smooth(b.hard, y) }\n";
    let printed = print(&verify(graph(text)).expect("valid"));
    let want = "graph m  format 1\n\
                input x: f64[B,4]\n\
                target y: f64[B,3]\n\
                activation hard(x, a=0.1) = max(a * x, x)\n\
                loss smooth(p, t) = log(cosh(p - t))  grad = tanh(p - t)\n\
                a: linear(out=3) [B,3] params 15  init he_normal std=0.7071  <- x\n\
                a.hard: hard [B,3]\n\
                b: linear(out=3) [B,3] params 12  init he_normal std=0.8165\n\
                b.hard: hard(a=0.2) [B,3]\n\
                loss smooth(b.hard, y)\n\
                total params 27 state 0 nodes 4\n";
    assert_eq!(printed, want);
}

/// A domain that inputs leave is a finding with a place and a reason, and no panic.
#[test]
fn what_is_undefined_is_named() {
    use wellposed::pipeline::{Options, Stages, run};
    for (formula, why) in [
        ("log(x)", "the logarithm of a number that is not positive"),
        ("sqrt(x)", "the root of a negative number"),
        ("0 / max(x, 0)", "a division by 0"),
        ("x**0.3", "a broken power of a number that is not positive"),
    ] {
        let text = format!(
            "spec 1\nmodel m\nactivation f(x) = {formula}\ninput x: f64[B, 4]\ntarget y: f64[B, 3]\nnet {{\n  \
             a: linear(8, init=he_normal)\n     f\n  b: linear(3, init=he_normal)\n}}\ntrain {{ loss mse(b, y) }}\n"
        );
        let stages = Stages { gradients: true, ..Stages::default() };
        let files = crate::support::Memory::of("m.nn", text.as_str());
        let report = run("m.nn".as_ref(), stages, &Options::default(), &files);
        let k002 = report
            .found
            .iter()
            .find(|d| d.rule.code == "K002")
            .unwrap_or_else(|| panic!("{formula}: {report:#?}"));
        assert!(k002.message.starts_with("`a.f` gives "), "{}", k002.message);
        assert!(k002.help.as_ref().is_some_and(|help| help.contains(why)), "{formula}: {:?}", k002.help);
    }
}

/// Numbers of the model line, and a range of things that are refused in one finding each.
#[test]
fn mistakes_are_said_once() {
    let text = |declaration: &str| {
        format!("spec 1\nmodel m(k = 2)\n{declaration}\ninput x: f64[B, 4]\nnet {{\n  a: relu\n}}\n")
    };
    assert!(messages(&found(&text("activation f(x) = k * x")).found).is_empty());
    let long = format!("activation f(x) = {}", vec!["x"; 990].join(" + "));
    let decisions = format!(
        "activation f(x) = {}",
        (1..20).map(|k| format!("abs(x - {k})")).collect::<Vec<_>>().join(" + ")
    );
    let deep = format!("activation f(x) = {}x{}", "tanh(".repeat(60), ")".repeat(60));
    let too_deep = format!("activation f(x) = {}x{}", "tanh(".repeat(70), ")".repeat(70));
    for (declaration, want) in [
        (long.as_str(), "S008 `f` has 990 operations; a formula has at most 500"),
        (decisions.as_str(), "S008 `f` takes 19 decisions; a formula takes at most 16"),
        (too_deep.as_str(), "S008 brackets nest more than 64 deep"),
        ("activation f(x) = x + 99999999999999999999", "S007 the number"),
        ("activation f() = 1", "S005 the activation `f` takes an input"),
        ("activation f(x, x = 1) = x", "N002 two parameters of `f` are called `x`"),
        ("activation f(x, a) = a * x", "S005 the parameter `a` has no value"),
        ("activation f(x, a = true) = a * x", "S004 `a` is"),
        ("activation f(x, a = b) = a * x", "N001 unknown name `b`"),
        ("activation f(x = 1) = x", "S004 `x` is an input of `f` and has no default"),
        ("activation f(x) = x % 2", "S009 `%` has no place in a formula"),
        ("activation f(x) = tanh", "S009 `tanh` is a function and takes an argument"),
        ("activation f(x) = tanh(x, 1)", "S009 `tanh` takes one argument"),
        ("activation f(x) = \"x\"", "S009 this is no number"),
        ("activation f(x) = x if x else 1", "S009 a number where a condition is meant"),
        ("activation f(x) = x\nactivation f(x) = -x", "N002 `f` is declared twice"),
        ("activation exp(x) = x", "N002 `exp` is a function of formulas and cannot name an activation"),
        (
            "activation f(x) = x\nloss l(p, t) = f(p - t)",
            "N004 `f` is declared in this spec, and a formula cannot call a declaration",
        ),
        (
            "activation f(x) = x\nblock f(n = 1) {\n  relu\n}",
            "N002 `f` is declared as a function of the spec's own",
        ),
    ] {
        let compiled = found(&text(declaration));
        let all = messages(&compiled.found);
        let errors: Vec<&String> = all.iter().filter(|message| !message.starts_with('A')).collect();
        assert!(errors.len() == 1 && errors[0].starts_with(want), "{declaration:.60}: {all:#?}");
    }
    assert!(messages(&found(&text(&deep)).found).is_empty());
}

/// The rules of initialisation see a declared activation through its moments, and propose what fits them.
#[test]
fn initialisations_are_held_against_declared_activations() {
    for (formula, init, fits) in
        [("max(x, 0)", "xavier_normal", "he_normal"), ("0.2 * tanh(x)", "lecun_normal", "")]
    {
        let text = format!(
            "spec 1\nmodel m\nactivation mine(x) = {formula}\ninput x: f64[B, 64]\ntarget y: class(10)\nnet {{\n  h: repeat 20 {{\n    \
             fc: linear(64, init={init})\n        mine\n  }}\n  out: linear(10, init=lecun_normal)\n}}\n\
             train {{ loss cross_entropy(out, y) }}\n"
        );
        let compiled = found(&text);
        let finding = compiled.found.iter().find(|d| ["I001", "G001"].contains(&d.rule.code));
        let finding = finding.unwrap_or_else(|| panic!("{formula}: {:?}", messages(&compiled.found)));
        let said = format!("{} {:?}", finding.message, finding.help);
        assert!(said.contains(fits) && (fits.is_empty() || said.contains("`mine`")), "{formula}: {said}");
    }
}

/// A call is held against the declaration.
#[test]
fn calls_are_checked() {
    for (call, want) in [
        ("hard(b=1)", "S003 activation `hard` does not take `b`"),
        ("hard(0.1, 0.2)", "S003 activation `hard` does not take a further argument"),
        ("hard(a=true)", "S004 `a` of `hard` is"),
        ("hrad", "N004 there is no op or block `hrad`"),
        ("smooth", "N004 `smooth` is a loss and belongs in the `train` section"),
    ] {
        let text =
            activation("activation hard(x, a = 0.1) = max(a * x, x)\nloss smooth(p, t) = (p - t)**2", call);
        let all = messages(&found(&text).found);
        assert!(all.iter().any(|message| message.starts_with(want)), "{call}: {all:#?}");
    }
    let all = messages(&found(&loss("loss smooth(p, t) = (p - t)**2", "smoth(x, y)")).found);
    assert!(all.iter().any(|message| message.starts_with("N004 there is no loss `smoth`")), "{all:#?}");
}
