//! Mutants of models at the size of their references whose fault is certain without a measurement.
//!
//! Constant and zero weights never part or never wake; a chain that divides twice, leaves bytes as they are or adds noise to rows
//! of evaluation is wrong as it is written. Where signal and gradient are concerned, a bound decides:
//!
//! - behind a sigmoid at most f'^2 <= 1/16 of the gradient's energy is left, so that n layers of gain v leave (v / 16)^n at most;
//! - a residual block relu(x + f(x)) without norm, whose branch multiplies the second moment by b, hands on at least (1 + b) / 2 of it
//!   and of the gradient's energy, since for either sign of f one of the two sums is at least as large as both together:
//!   torchvision's scheme by fan_out gives a bottleneck b = 8 / 2 * 2 / 2 * 1/2 = 2, and fifty blocks 1.5^50 = 10^8.8;
//! - n convolutions with batch norm and ReLU and no shortcut multiply it by 1.467^n (Yang et al. 2019): 10^6 at n = 36.

use super::operators::{Family, Model, Mutant, add_noise, divide_again, keep_bytes, standardise_again};
use super::{NOT_MUTATED, SMALLER, compiled, each, good};
use std::collections::BTreeMap;
use wellposed::diag::Severity;
use wellposed::front::ast::Spec;

/// The models that are too large to be measured as they are.
fn whole() -> Vec<Model> {
    let names = || NOT_MUTATED.iter().copied().chain(SMALLER.iter().map(|(name, _)| *name));
    let large = good().filter(|path| names().any(|name| path.with_extension("").ends_with(name)));
    large.map(|path| Model::read(&path, &[])).collect()
}

/// The mutants of a model, each with the codes of which one must be found.
fn mutants(model: &Model) -> Vec<(Mutant, &'static [&'static str])> {
    use Family::{Data, Signal};
    const SIGNAL: &[&str] = &["G001", "G002", "G004", "G006", "I001"];
    let mut out: Vec<(Mutant, &'static [&'static str])> = Vec::new();
    let mut add = |mutant: Option<Mutant>, codes: &'static [&'static str]| {
        out.extend(mutant.map(|mutant| (mutant, codes)));
    };
    let one = |name, change: &dyn Fn(&mut Spec)| {
        model.changed(name, name.to_owned(), Data, &|_, spec| change(spec))
    };
    add(one("divided again", &divide_again), &["D003"]);
    add(one("standardised again", &standardise_again), &["D003"]);
    add(one("bytes", &keep_bytes), &["D004"]);
    add(one("noise always", &add_noise), &["D005"]);
    let signal = |name: &'static str, change: &dyn Fn(&Model, &mut Spec)| {
        model.changed(name, name.to_owned(), Signal, change)
    };
    // Random biases part the units of these, and wake them.
    if !matches!(model.name.as_str(), "good/alexnet" | "good/mlp_mixer" | "good/vit_b16") {
        add(signal("constant weights", &|m, s| m.initialise(s, ("constant", Some(0.01)))), &["I002"]);
        add(signal("zero weights", &|m, s| m.initialise(s, ("zeros", None))), &["I002", "I004"]);
    }
    match model.name.as_str() {
        "good/vgg16" | "good/alexnet" => add(signal("sigmoid", &|m, s| m.activate(s, "sigmoid")), SIGNAL),
        "good/resnet152" => add(signal("no norms", &|m, s| m.drop_norms(s)), SIGNAL),
        "good/mobilenet_v1" | "good/vgg16_bn" => add(signal("deeper", &|m, s| m.deepen(s)), &["G004"]),
        _ => {}
    }
    out
}

#[test]
fn certain_faults_of_whole_models_are_found() {
    let models = whole();
    let mutants: Vec<_> = models.iter().flat_map(mutants).collect();
    let found = each(&mutants, |(mutant, codes)| {
        let compiled = compiled(mutant);
        let loud = compiled.found.iter().filter(|d| d.severity > Severity::Info).map(|d| d.rule.code);
        let loud: Vec<&str> = loud.collect();
        (codes.iter().any(|code| loud.contains(code)), loud)
    });
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for ((mutant, codes), (hit, loud)) in mutants.iter().zip(&found) {
        assert!(
            hit,
            "{}, {}: {codes:?} expected, {loud:?} found\n{}",
            mutant.model, mutant.name, mutant.text
        );
        *counts.entry(mutant.operator).or_default() += 1;
    }
    println!("{counts:?}");
    assert!(counts.len() == 9 && counts["constant weights"] + 3 == models.len(), "{counts:?}");
}
