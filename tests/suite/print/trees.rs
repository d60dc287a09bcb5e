//! Random trees survive printing and parsing.

use super::strategies::{body, expr, spec};
use super::{BOTH, printed};
use crate::support::{concise, parsed};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wellposed::diag::suppress::Notation;
use wellposed::front::ast::{Expr, Model, ParamDecl, Spec};
use wellposed::source::{Sources, Spanned};

/// A runner whose cases are the same in every run.
pub fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

/// Prints, parses, compares, and prints again.
fn comes_back(spec: &Spec) -> Result<(), TestCaseError> {
    let mut sources = Sources::default();
    sources.add("", "");
    for to in BOTH {
        let text = printed(spec, &sources, to);
        let (again, new, found) = parsed(&text, to);
        // A random loop variable or count may look like the slip of a hand, which is no error of the text.
        prop_assert!(!found.has_errors(), "{to:?}: {}\n{text}", concise(found, &new));
        prop_assert!(again == *spec, "{to:?}: the tree differs\n{text}\n{again:#?}\n{spec:#?}");
        prop_assert_eq!(
            printed(&again, &new, to),
            text.as_str(),
            "{:?}: printing again changes the text",
            to
        );
        for back in BOTH {
            let (last, _, found) = parsed(&printed(&again, &new, back), back);
            prop_assert!(!found.has_errors() && last == *spec, "from {to:?} to {back:?}\n{text}");
        }
    }
    Ok(())
}

/// A spec around a value.
fn around(value: Spanned<Expr>) -> Spec {
    let place = value.span;
    let mut sources = Sources::default();
    let mut spec = Spec::new(sources.add("", ""), Notation::Dsl);
    let name = Spanned::new("m".to_owned(), place);
    let param = ParamDecl { name: name.clone(), default: Some(value), range: None };
    spec.model = Some(Model { name, params: vec![param] });
    spec
}

#[test]
fn expressions_come_back() {
    runner(3000).run(&expr(), |value| comes_back(&around(value))).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn statements_come_back() {
    let strategy = body().prop_map(|net| {
        let mut sources = Sources::default();
        let mut spec = Spec::new(sources.add("", ""), Notation::Dsl);
        spec.net = Some(net);
        wellposed::front::names::resolve(&mut spec);
        spec
    });
    runner(600).run(&strategy, |spec| comes_back(&spec)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn whole_specs_come_back() {
    runner(400).run(&spec(), |spec| comes_back(&spec)).unwrap_or_else(|error| panic!("{error}"));
}
