//! The catalogue of rules that the literature asks for: which rule covers each row, and that what peers alarm on without need stays silent.

use crate::support::Memory;
use std::collections::BTreeSet;
use std::path::Path;
use wellposed::diag::Severity;
use wellposed::pipeline::{catalogue, compile};

/// The rows of the catalogue (research: static.md 1.3) that are decided before anything runs: their letter and how many there are.
const ROWS: &[(&str, usize)] = &[("I", 17), ("S", 10), ("A", 10), ("O", 6), ("N", 4), ("T", 3)];

/// The rows that no rule names, and why none is needed or none is possible.
const WITHOUT_A_RULE: &[(&str, &str)] = &[
    ("I12", "the language has no recurrent layers"),
    ("I16", "a truncated normal is drawn, analysed and printed with the variance that is left of it"),
    ("I17", "the language declares no multiplier of widths"),
    ("O06", "the language has no metrics, and every loss averages"),
    ("N02", "every norm takes the channel axis of the one layout that there is"),
    ("N04", "the graph of evaluation is derived, never written"),
];

#[test]
fn every_row_of_the_catalogue_has_a_rule_or_a_reason() {
    let named: BTreeSet<&str> =
        catalogue().into_iter().flat_map(|rule| rule.research.iter().copied()).collect();
    for (letter, count) in ROWS {
        for number in 1..=*count {
            let row = format!("{letter}{number:02}");
            let excused = WITHOUT_A_RULE.iter().any(|(known, _)| *known == row);
            assert!(named.contains(row.as_str()) || excused, "{row} has no rule");
        }
    }
}

/// Narrow nets of up to four layers train at any gain between 0.2 and 4 (research: static.md 4): no warning, whatever the activation.
#[test]
fn shallow_nets_may_have_any_common_gain() {
    for activation in ["relu", "leaky_relu(0.2)", "elu", "selu", "gelu", "silu", "tanh", "softsign"] {
        for gain in [0.2, 1.0 / 3.0, 1.0, 2.0, 4.0] {
            for depth in 1..=4 {
                for optimiser in ["sgd(lr=0.1)", "adam(lr=1e-3)"] {
                    let text = format!(
                        "spec 1\nmodel m\ninput x: f64[B, 32] |> standardize(mean=0, std=1, from=\"rows\")\ntarget y: class(10)\n\
                         net {{\n  h: repeat {depth} {{\n    fc: linear(32, init=variance_scaling({gain}, fan_in, normal))\n        \
                         {activation}\n  }}\n  out: linear(10, init=lecun_normal)\n}}\n\
                         train {{ loss cross_entropy(out, y)  {optimiser}  batch 64 }}\n"
                    );
                    let compiled = compile(Path::new("m.nn"), &Memory::of("m.nn", text.as_str()))
                        .expect("the spec is there");
                    let loud: Vec<&str> = compiled
                        .found
                        .iter()
                        .filter(|d| d.severity > Severity::Info)
                        .map(|d| &*d.message)
                        .collect();
                    assert!(
                        loud.is_empty(),
                        "{depth} layers of {activation}, gain {gain}, {optimiser}: {loud:?}"
                    );
                }
            }
        }
    }
}
