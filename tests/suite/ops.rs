//! Laws of all operators, driven by the registry: a new operator is tested without a line here.
//!
//! Cases come from the `## Shapes` tables of the manual pages, points from seeded draws. What each law says and where its bound
//! comes from stands in `checks.rs` and `statistics.rs`. The last tests plant faults and assert that each law sees them.

#[path = "ops/checks.rs"]
pub mod checks;
#[path = "ops/planted.rs"]
mod planted;
#[path = "ops/statistics.rs"]
mod statistics;
#[path = "ops/table.rs"]
pub mod table;
#[path = "ops/trial.rs"]
pub mod trial;

use crate::support::lower_text;
use checks::Verdict;
use planted::{WrongKernel, WrongRule};
use statistics::{Responses, Sample};
use table::{Case, Row, rows};
use trial::{Registered, Slot, Trial, Values};
use wellposed::diag::Severity;
use wellposed::exec::{Registry, Reverse};
use wellposed::moments::{Energy, Interval, Moments};
use wellposed::ops::{ModeEffect, OpKind, Response};
use wellposed::tensor::Mode;

pub const MODES: [Mode; 2] = [Mode::Train, Mode::Eval];
const BATCHES: [usize; 3] = [1, 3, 5];
const SEEDS: [u64; 3] = [1, 2, 3];

fn all_rows() -> impl Iterator<Item = Row> {
    OpKind::ALL.iter().copied().flat_map(rows)
}

/// Every row that is not `error`, lowered.
pub fn good_rows() -> impl Iterator<Item = (Row, Case)> {
    all_rows().filter(|row| row.output.is_some()).map(|row| {
        let case = row.case().unwrap_or_else(|reason| panic!("{}: {reason}\n{}", row.name(), row.spec()));
        (row, case)
    })
}

/// Applies a law to every good row at several seeds and batch sizes, in both modes, and reports all that break it.
fn for_all(law: impl Fn(&Trial<'_>) -> Verdict) {
    let mut broken = Vec::new();
    for (row, case) in good_rows() {
        for mode in MODES {
            for batch in BATCHES {
                for seed in SEEDS {
                    if let Err(reason) = law(&Trial::new(&case, batch, mode, seed)) {
                        broken
                            .push(format!("{} in {mode}, batch {batch}, seed {seed}: {reason}", row.name()));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
}

/// Whether the graph of a row has the stated shape, or one error of the shape or schema family.
fn shape_law(row: &Row) -> Verdict {
    let (_, found, _) = lower_text(&row.spec());
    let codes: Vec<String> = found.iter().map(|d| format!("{}: {}", d.rule.code, d.message)).collect();
    match (&row.output, row.case()) {
        (Some(stated), Ok(case)) => {
            let shape = case.graph.nodes[case.node].shape.as_ref().map(ToString::to_string);
            if shape.as_ref() == Some(stated) { Ok(()) } else { Err(format!("the rule gives {shape:?}")) }
        }
        (Some(_), Err(reason)) => Err(reason),
        (None, _) => match found.iter().collect::<Vec<_>>().as_slice() {
            [only] if only.severity == Severity::Error && only.rule.code.starts_with(['H', 'S']) => Ok(()),
            _ => Err(format!("one error was expected: {codes:?}")),
        },
    }
}

#[test]
fn shape_rules_are_those_of_the_manual() {
    let broken: Vec<String> = all_rows()
        .filter_map(|row| shape_law(&row).err().map(|reason| format!("{}: {reason}", row.name())))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn tangents_agree_with_reverse_rules() {
    for_all(|trial| checks::tangent_agrees(trial, &Registry));
}

#[test]
fn differences_agree_with_reverse_rules() {
    for_all(|trial| checks::differences_agree(trial, &Registry));
}

/// Values at every kink of a piecewise operator and a billionth to either side. The kinks of a loss are differences from the
/// target, which then stands on multiples of 1/8, so that the differences are exact.
pub fn near_kinks(case: &Case, batch: usize, kinks: &[f64]) -> Values {
    let mut values = Values::random(case, batch, 0);
    let places: Vec<f64> = kinks.iter().flat_map(|kink| [*kink, kink + 1e-9, kink - 1e-9]).collect();
    let loss = case.graph.loss.is_some();
    if loss {
        values.feeds[1].iter_mut().for_each(|y| *y = (*y * 8.0).round() / 8.0);
    }
    let targets = values.feeds.last().cloned().unwrap_or_default();
    let outputs = if loss { 1 } else { values.feeds.len() };
    for feed in &mut values.feeds[..outputs] {
        for (i, x) in feed.iter_mut().enumerate() {
            *x = places[i % places.len()] + if loss { targets[i] } else { 0.0 };
        }
    }
    values
}

#[test]
fn derivatives_are_consistent_at_kinks() {
    let mut seen = 0;
    for (row, case) in good_rows() {
        let kinks = case.graph.nodes[case.node].op.kinks();
        if kinks.is_empty() {
            continue;
        }
        seen += 1;
        for mode in MODES {
            let trial = Trial::at(&case, 3, mode, 1, near_kinks(&case, 3, &kinks));
            for law in [checks::tangent_agrees, checks::differences_agree] {
                law(&trial, &Registry).unwrap_or_else(|reason| panic!("{} in {mode}: {reason}", row.name()));
            }
        }
    }
    assert!(seen > 0, "no operator has a kink");
}

/// An operator that turns NaN into a number hides a fault of the layer before it. A learned token does not come from the input, and
/// tokens to look up do not come from a layer.
#[test]
fn nan_stays_visible() {
    let computed = |case: &Case| case.graph.feeds.iter().any(|(_, feed)| feed.differentiable());
    for (row, case) in good_rows().filter(|(_, case)| computed(case)) {
        let filled = |x: f64| {
            let mut values = Values::random(&case, 3, 1);
            for (handle, _) in case.graph.feeds.iter().filter(|(_, feed)| !feed.target) {
                values.feeds[handle.index()].fill(x);
            }
            let trial = Trial::at(&case, 3, Mode::Eval, 1, values);
            trial.value_at(&trial.values, wellposed::exec::Tapes::Live)
        };
        let found = filled(f64::NAN);
        let token = |i: usize| row.call.starts_with("class_token") && filled(0.0)[i] == filled(1.0)[i];
        let hidden = (0..found.len()).find(|&i| !found[i].is_nan() && !token(i));
        assert!(hidden.is_none() && found.iter().any(|y| y.is_nan()), "{} gives {found:?}", row.name());
    }
}

#[test]
fn use_is_determined_and_draws_nothing() {
    for (row, case) in good_rows() {
        let trial = Trial::new(&case, 3, Mode::Eval, 1);
        let other = Trial::at(&case, 3, Mode::Eval, 2, trial.values.clone());
        let law = checks::is_determined(&trial, &other, &Registered, &Registry);
        law.unwrap_or_else(|reason| panic!("{}: {reason}", row.name()));
    }
}

#[test]
fn kernels_overwrite_what_buffers_held() {
    for_all(|trial| checks::overwrites(trial, &Registered, &Registry));
}

/// Masks are drawn by the place in the batch, so a mode that draws is left out, as is one that mixes the batch by contract.
#[test]
fn samples_do_not_see_each_other() {
    for_all(|trial| {
        let op = &trial.node().op;
        let draws = trial.settings.mode == Mode::Train && op.effect() != ModeEffect::Same;
        if draws || op.mixes_batch(trial.settings.mode) {
            return Ok(());
        }
        checks::is_independent(trial, &Registered, &Registry)
    });
}

#[test]
fn every_page_has_a_summary_examples_and_documented_arguments() {
    for op in OpKind::ALL {
        assert!(op.summary().len() > 10, "{} has no summary", op.name);
        assert!(rows(op).iter().any(|row| row.output.is_some()), "{} has no good row", op.name);
        for row in rows(op) {
            let called = row.call.split('(').next();
            assert_eq!(called, Some(op.name), "a row of {} calls something else", op.name);
        }
        for param in op.signature {
            assert!(param.doc.len() > 5, "`{}` of {} has no documentation", param.name, op.name);
        }
    }
}

/// The laws of derivatives see a flipped sign, a missing 1/N, a transposed matrix, one component that is 0.1 % off, forgotten
/// parameters and results that are added, in the rule of every operator.
#[test]
fn a_wrong_rule_is_seen() {
    for (row, case) in good_rows() {
        let trial = Trial::new(&case, 3, Mode::Train, 1);
        let name = row.name();
        for rule in [WrongRule::Sign, WrongRule::Mean, WrongRule::Transposed, WrongRule::OneComponent] {
            assert!(checks::tangent_agrees(&trial, &rule).is_err(), "{name}: tangents miss {rule:?}");
            assert!(checks::differences_agree(&trial, &rule).is_err(), "{name}: differences miss {rule:?}");
        }
        if !trial.node().params.is_empty() {
            let rule = WrongRule::NoParameters;
            assert!(checks::tangent_agrees(&trial, &rule).is_err(), "{name}: tangents miss {rule:?}");
            assert!(checks::differences_agree(&trial, &rule).is_err(), "{name}: differences miss {rule:?}");
        }
        assert!(checks::overwrites(&trial, &Registered, &WrongRule::Accumulates).is_err(), "{name}: adds");
    }
}

#[test]
fn a_wrong_subgradient_is_seen() {
    for (row, case) in good_rows().filter(|(row, _)| row.op.group == "activation") {
        let kinks = case.graph.nodes[case.node].op.kinks();
        for kink in &kinks {
            let trial = Trial::at(&case, 3, Mode::Train, 1, near_kinks(&case, 3, &kinks));
            let rule = WrongRule::AtKink(*kink);
            assert!(checks::tangent_agrees(&trial, &rule).is_err(), "{}: {rule:?}", row.name());
            assert!(checks::differences_agree(&trial, &rule).is_err(), "{}: {rule:?}", row.name());
        }
    }
}

#[test]
fn a_wrong_kernel_is_seen() {
    for (row, case) in good_rows() {
        let trial = Trial::new(&case, 3, Mode::Eval, 1);
        let other = Trial::at(&case, 3, Mode::Eval, 2, trial.values.clone());
        let name = row.name();
        let law = checks::overwrites(&trial, &WrongKernel::Accumulates, &Registry);
        assert!(law.is_err(), "{name}: adding to the result is not seen");
        let law = checks::is_determined(&trial, &other, &WrongKernel::Draws, &Registry);
        assert!(law.is_err(), "{name}: drawing in use is not seen");
        let law = checks::is_independent(&trial, &WrongKernel::Mixes, &Registry);
        assert!(law.is_err(), "{name}: mixing samples is not seen");
    }
}

#[test]
fn a_wrong_shape_is_seen() {
    for row in all_rows() {
        let wrong = match &row.output {
            Some(shape) => [Some(format!("{shape},")), None],
            None => [Some("[B]".to_owned()), Some("[B,4]".to_owned())],
        };
        for output in wrong {
            let row = Row { output, ..row.clone() };
            assert!(shape_law(&row).is_err(), "{}: {:?} is not seen", row.name(), row.output);
        }
    }
}

/// Inputs that differ in mean, scale and correlation, so that no symmetry hides a wrong term.
const INPUTS: [statistics::Inputs; 2] = [
    [(0.3, 1.5, 0.4), (-0.2, 0.7, 0.6), (0.1, 2.0, 0.0)],
    [(0.0, 0.25, 0.9), (0.0, 4.0, 0.5), (0.0, 1.0, 0.2)],
];

/// Every good row that a longer last axis fits, except losses, whose moments describe one number.
fn wide_rows() -> impl Iterator<Item = (Row, Case)> {
    let rows = all_rows().filter(|row| row.output.is_some() && !row.is_loss());
    rows.filter_map(|row| statistics::widened(&row).map(|case| (row, case)))
}

#[test]
fn moment_and_energy_rules_agree_with_draws() {
    let mut broken = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (row, case) in wide_rows() {
        seen.insert(row.op.name);
        for inputs in &INPUTS {
            let (result, energies) = statistics::stated(&case, inputs);
            let sample = Sample::draw(&case, inputs);
            let law = sample.agrees(result).and_then(|()| sample.energies_agree(&energies));
            broken.extend(law.err().map(|reason| format!("{} at {inputs:?}: {reason}", row.name())));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let scaling = ["layer", "lookup", "norm", "activation", "distribution", "combine", "product"];
    let missing: Vec<&str> = OpKind::ALL
        .iter()
        .filter(|op| scaling.contains(&op.group) && !seen.contains(op.name))
        .map(|op| op.name)
        .collect();
    assert!(missing.is_empty(), "no row of {missing:?} can be widened");
}

#[test]
fn activations_respond_to_normal_draws_as_stated() {
    for (row, case) in good_rows() {
        if let Some(response) = statistics::op(&case).response() {
            let law = Responses::draw(&case).agree(response);
            law.unwrap_or_else(|reason| panic!("{}: {reason}", row.name()));
        }
    }
}

/// What moves an interval of logarithms past itself, and by half a nat more.
fn past(interval: Interval) -> f64 {
    if interval.lo == interval.hi { 0.5 } else { interval.hi - interval.lo + 0.5 }
}

#[test]
fn a_wrong_moment_or_energy_rule_is_seen() {
    let inputs = &INPUTS[0];
    for (row, case) in wide_rows() {
        let (right, energies) = statistics::stated(&case, inputs);
        let louder = Moments { ln_square: right.ln_square.shift(past(right.ln_square)), ..right };
        let alike = Moments { contrast: right.contrast + 0.4, ..right };
        let moved = Moments { mean_share: right.mean_share + 0.4, ..right };
        // Louder than nothing is nothing.
        let zero = right.ln_square.hi == f64::NEG_INFINITY;
        let mut wrong = vec![if zero { Moments::STANDARD } else { louder }];
        if !zero && right.ln_square.lo == right.ln_square.hi {
            wrong.extend([alike, moved]);
        }
        let sample = Sample::draw(&case, inputs);
        for wrong in wrong {
            assert!(sample.agrees(wrong).is_err(), "{}: {wrong:?} is not seen", row.name());
        }
        for i in 0..energies.len() {
            let mut wrong = energies.clone();
            wrong[i] = if wrong[i].is_zero() {
                Energy::unit(1.0)
            } else {
                wrong[i].times(Interval::point(past(wrong[i].ln)))
            };
            assert!(sample.energies_agree(&wrong).is_err(), "{}: {wrong:?} is not seen", row.name());
        }
    }
}

#[test]
fn a_wrong_response_is_seen() {
    for (row, case) in good_rows() {
        let Some(right) = statistics::op(&case).response() else { continue };
        let draws = Responses::draw(&case);
        let louder = Response { square: right.square * 1.05, ..right };
        let steeper = Response { slope_square: right.slope_square * 1.05, ..right };
        for wrong in [louder, steeper] {
            assert!(draws.agree(wrong).is_err(), "{}: {wrong:?} is not seen", row.name());
        }
    }
}

/// Where exponentials overflow, squares overflow, and functions are flat to the last bit.
const EXTREMES: [f64; 14] =
    [0.0, 1e-300, 1e-9, 0.5, 3.0, 19.0, 29.0, 31.0, 37.0, 700.0, 750.0, 1e103, 1e160, 1e300];

/// Values, tangents and slopes are finite on the whole range, and tangent and slope agree in their leading digits even where
/// both are tiny: each has a formula of its own, so digits that cancelled in one would show. The exponent of an exponential has an
/// error of half an ulp, so e^-t has the relative error t u, with t = x^2/2 for a Gaussian density and t <= 745 wherever the result is
/// not zero; a slope that changes its sign (of gelu and silu, at -0.75 and -1.28) is not among the points.
fn extremes_law(trial: &Trial<'_>, rule: &impl Reverse) -> Verdict {
    let value = trial.value_at(&trial.values, wellposed::exec::Tapes::Live);
    let ones = vec![1.0; trial.slot(Slot::Feed(0)).len()];
    let tangent = trial.tangent(Slot::Feed(0), &ones);
    let slope = &trial.gradients(rule).feeds[0];
    for (i, x) in trial.values.feeds[0].iter().enumerate() {
        let (y, t, s) = (value[i], tangent[i], slope[i]);
        let exponent = (0.5 * x * x).min(745.0);
        let bound = (64.0 + 4.0 * exponent) * f64::EPSILON * s.abs() + f64::MIN_POSITIVE;
        if !(y.is_finite() && t.is_finite() && s.is_finite() && (t - s).abs() <= bound) {
            return Err(format!("at {x:e}: value {y:e}, tangent {t:e}, slope {s:e}, bound {bound:e}"));
        }
    }
    Ok(())
}

/// An activation at all extremes, on both sides.
fn at_extremes(case: &Case) -> Trial<'_> {
    let points: Vec<f64> = EXTREMES.iter().flat_map(|x| [*x, -x]).collect();
    let mut values = Values::random(case, points.len(), 0);
    let n = values.feeds[0].len();
    values.feeds[0] = points.iter().flat_map(|x| vec![*x; n / points.len()]).collect();
    let mut trial = Trial::at(case, points.len(), Mode::Eval, 0, values);
    trial.cotangent.fill(1.0);
    trial
}

#[test]
fn activations_keep_their_digits_on_the_whole_range() {
    let mut flat = 0;
    for (row, case) in good_rows().filter(|(row, _)| row.op.group == "activation") {
        let trial = at_extremes(&case);
        extremes_law(&trial, &Registry).unwrap_or_else(|reason| panic!("{}: {reason}", row.name()));
        let ones = vec![1.0; trial.slot(Slot::Feed(0)).len()];
        let tiny = trial.tangent(Slot::Feed(0), &ones).iter().any(|t| *t != 0.0 && t.abs() < 1e-12);
        let seen = extremes_law(&trial, &WrongRule::Absorbed).is_err();
        assert!(seen || !tiny, "{}: lost digits are not seen", row.name());
        flat += usize::from(tiny);
    }
    assert!(flat > 0, "no activation has a slope small enough to lose its digits");
}
