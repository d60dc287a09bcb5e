//! Wrong derivatives, planted in many ways: each is found, and what went wrong is said. Right ones, in many spellings, are not blamed.

use super::{activation, found, loss};
use wellposed::pipeline::Compiled;

/// The declaration, the wrong derivative, and what the finding must say of it.
const PLANTED: &[(&str, &str, &str)] = &[
    ("x * sigmoid(x)", "-(sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x)))", "the sign is wrong"),
    ("softplus(x)", "sigmoid(-x)", "the sign of the input is wrong"),
    ("x**2 * tanh(x)", "0.5 * (2 * x * tanh(x) + x**2 * (1 - tanh(x)**2))", "0.5 times the derivative"),
    ("tanh(2 * x)", "1 - tanh(2 * x)**2", "the derivative of this one's argument is missing"),
    (
        "x * tanh(softplus(x))",
        "tanh(softplus(x)) + x * (1 - tanh(softplus(x))**2)",
        "argument is missing as a factor",
    ),
    ("tanh(3 * x)", "3 * (1 - tanh(x)**2)", "at the input, not at its argument"),
    ("tanh(x)", "1 - x**2", "the argument stands where the result of this function is meant"),
    ("sigmoid(x)", "x * (1 - x)", "the argument stands where the result of this function is meant"),
    ("tanh(x)", "1 - tanh(tanh(x))**2", "at its result, not at its argument"),
    ("x if x > 0 else expm1(x)", "1 if x > 0 else expm1(x)", "the function itself stands where"),
    ("x * sigmoid(x)", "sigmoid(x)", "the derivative of the second one is missing"),
    ("x * sigmoid(x)", "x * sigmoid(x) * (1 - sigmoid(x))", "the derivative of the first one is missing"),
    ("x * sigmoid(x)", "sigmoid(x) * (1 - sigmoid(x))", "not the product of the derivatives"),
    ("x * exp(-x**2)", "exp(-x**2) * (1 + 2 * x**2)", "wrong sign"),
    ("x / (1 + x**2)", "1 - 2 * x**2 / (1 + x**2)", "not squared"),
    ("x**3", "3 * x**3", "the exponent is not lowered"),
    ("x**3", "x**2", "the exponent is missing as a factor"),
    ("max(0.1 * x, x)", "0.1 if x > 0 else 1", "the derivative of the other branch"),
    ("x if x > 0 else expm1(x)", "2 if x > 0 else exp(x)", "right for inputs below 0 and wrong above"),
    ("x * abs(x)", "2 * x", "right for inputs above 0 and wrong below"),
    ("softplus(x)", "exp(x) / (1 + exp(x))", "over- or underflows on the way"),
    ("x + sin(x)", "1 + sin(x)", "the function itself stands where"),
    ("tanh(x)", "tanh(x)", "the value itself, not its derivative"),
    ("x**2 / 2 + x", "x + 2", "the derivative plus 1"),
];

const LOSSES: &[(&str, &str, &str)] = &[
    ("log(cosh(p - t))", "tanh(t - p)", "the sign is wrong"),
    ("(p - t)**2", "p - t", "the exponent is missing as a factor"),
    ("log(cosh(p - t))", "2 * tanh(p - t)", "2 times the derivative"),
    ("p**2 * t", "p**2", "the derivative by the target"),
];

fn wrong(compiled: &Compiled) -> Option<(String, String)> {
    let finding = compiled.found.iter().find(|d| d.rule.code == "K007")?;
    let why = finding
        .notes
        .iter()
        .find(|(label, _)| *label == "why")
        .map_or(String::new(), |(_, text)| text.clone());
    let place = compiled.sources.text(finding.span().expect("a place"));
    Some((why, place.to_owned()))
}

#[test]
fn wrong_derivatives_are_found_and_explained() {
    let activations = PLANTED.iter().map(|(value, grad, why)| {
        (activation(&format!("activation f(x) = {value}  grad = {grad}"), "f"), grad, why)
    });
    let losses = LOSSES.iter().map(|(value, grad, why)| {
        (loss(&format!("loss f(p, t) = {value}  grad = {grad}"), "f(x, y)"), grad, why)
    });
    for (text, grad, why) in activations.chain(losses) {
        let compiled = found(&text);
        let Some((said, place)) = wrong(&compiled) else { panic!("not found: {text}") };
        assert!(grad.contains(&place) && place.len() + 3 > grad.len(), "{place}");
        assert!(said.contains(why), "{text}\nsays: {said}\nnot: {why}");
    }
}

/// Spellings of right derivatives, among them those that cancel, over- or underflow in places where the value does so as well, and
/// constants with ten digits.
#[test]
fn right_derivatives_are_not_blamed() {
    for (value, grad) in [
        ("tanh(x)", "1 - tanh(x)**2"),
        ("tanh(x)", "1 / cosh(x)**2"),
        ("tanh(x)", "(1 - tanh(x)) * (1 + tanh(x))"),
        ("sigmoid(x)", "sigmoid(x) * (1 - sigmoid(x))"),
        ("sigmoid(x)", "exp(-x) / (1 + exp(-x))**2 if x > 0 else exp(x) / (1 + exp(x))**2"),
        ("log(1 + exp(x))", "exp(x) / (1 + exp(x))"),
        ("max(0.1 * x, x)", "1 if x > 0 else 0.1"),
        ("min(max(x, 0), 6)", "1 if x > 0 and x < 6 else 0"),
        ("x * tanh(softplus(x))", "tanh(softplus(x)) + x * (1 - tanh(softplus(x))**2) * sigmoid(x)"),
        (
            "0.5 * x * (1 + erf(x / sqrt(2)))",
            "0.5 * (1 + erf(x / sqrt(2))) + x * exp(-x**2 / 2) / sqrt(2 * pi)",
        ),
        (
            "0.5 * x * (1 + erf(x / sqrt(2)))",
            "0.5 * (1 + erf(x / sqrt(2))) + 0.3989422804 * x * exp(-x**2 / 2)",
        ),
        (
            "0.5 * x * (1 + tanh(0.7978845608 * (x + 0.044715 * x**3)))",
            "0.5 * (1 + tanh(0.7978845608 * (x + 0.044715 * x**3))) + 0.5 * x * (1 - tanh(0.7978845608 * (x + 0.044715 * x**3))**2) \
             * (0.7978845608 + 0.1070322243 * x**2)",
        ),
        ("x**3 - 1000 * x", "3 * x**2 - 1000"),
        ("sqrt(x)", "0.5 / sqrt(x)"),
        ("1 / x", "-1 / x**2"),
        ("x * sin(1 / x)", "sin(1 / x) - cos(1 / x) / x"),
        ("abs(x)", "sign(x)"),
    ] {
        let compiled = found(&activation(&format!("activation f(x) = {value}  grad = {grad}"), "f"));
        assert_eq!(wrong(&compiled), None, "{value}, {grad}");
    }
}

/// A derivative that is right for the default of a parameter and wrong for what a call gives.
#[test]
fn every_value_of_a_parameter_is_checked() {
    let declaration = "activation f(x, a = 1) = tanh(a * x)  grad = 1 - tanh(a * x)**2";
    assert_eq!(wrong(&found(&activation(declaration, "f"))), None);
    let (why, _) = wrong(&found(&activation(declaration, "f(a=2)"))).expect("a finding");
    assert!(why.contains("argument is missing as a factor"), "{why}");
}

/// A slip in a digit that everyday training would not notice.
#[test]
fn small_errors_are_found() {
    for (value, grad) in
        [("0.25 * x**2", "0.500001 * x"), ("tanh(x)", "1 - tanh(x)**2 + 1e-9"), ("x", "1 if x < 9000 else 0")]
    {
        let compiled = found(&activation(&format!("activation f(x) = {value}  grad = {grad}"), "f"));
        assert!(wrong(&compiled).is_some(), "{value}, {grad}");
    }
}

/// Nothing runs on a derivative that is wrong.
#[test]
fn a_wrong_derivative_keeps_the_model_from_running() {
    use wellposed::pipeline::{Options, Stages, run};
    let text = loss("loss f(p, t) = (p - t)**2  grad = p - t", "f(x, y)");
    let files = crate::support::Memory::of("m.nn", text.as_str());
    let report = run(
        "m.nn".as_ref(),
        Stages { gradients: true, properties: true, ..Stages::default() },
        &Options::default(),
        &files,
    );
    assert!(report.gradcheck.is_none() && report.properties.is_empty());
    let codes: Vec<&str> =
        report.found.iter().map(|d| d.rule.code).filter(|code| code.starts_with('K')).collect();
    assert_eq!(codes, ["K007"]);
}
