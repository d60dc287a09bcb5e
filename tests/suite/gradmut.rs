//! The mutation benchmark of the gradient check: known mistakes of hand-written gradients, each planted at one node, and random
//! clean nets, on which nothing may be found.
//!
//! The suite runs one mutant in twenty and as many clean nets; this runs all of them and compares the table with
//! `tests/gradients/mutants.txt`, which it writes where `WRITE` is set:
//!
//! ```text
//! cargo test --release --locked --test suite gradmut -- --ignored --nocapture
//! ```

mod mutants;
mod nets;
mod words;

use crate::support::Memory;
use mutants::{ABSENT, MUTANTS, Mutant};
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use wellposed::exec::{Registry, Reverse};
use wellposed::graph::{Node, Runnable};
use wellposed::ops::Backward;
use wellposed::pipeline::compile;
use wellposed::scalar::Scalar;
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::{Fault, FaultKind, Options, Report, Verdict, check};

const TABLE: &str = "tests/gradients/mutants.txt";
/// Where mutants are looked for: at the start and after some training steps.
const SEEDS: [u64; 2] = [0, 1];

/// Checks a net; `None` if it does not compile.
fn run(text: &str, seed: u64, steps: usize, reverse: &impl Reverse) -> Option<Report> {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let graph = Runnable::new(&compiled.graph)?;
    let options = Options { seeds: vec![seed], steps, batch: 8, ..Options::default() };
    Some(check(graph, &Samples::draw(&compiled.graph, 16, seed), &options, reverse))
}

/// What a check says of a mutant at one point.
#[derive(Default)]
struct Count {
    points: usize,
    detected: usize,
    named: usize,
    operand: usize,
    /// The smallest mismatch, over what rounding allows there.
    margin: f64,
}

/// Whether the faults name the mutant and nothing else, and its operands.
fn names(mutant: &Mutant, faults: &[&Fault]) -> [bool; 2] {
    let op = faults.iter().all(|fault| match mutant.op {
        "penalty" => fault.kind == FaultKind::Penalty,
        op => {
            let here = mutant.node == "loss" || fault.node == mutant.node;
            fault.kind == FaultKind::Rule && fault.op == op && here
        }
    });
    [op && !faults.is_empty(), op && faults.iter().all(|fault| fault.operands == mutant.operands)]
}

fn measure(mutant: &Mutant) -> Count {
    let text = nets::net(mutant.net);
    let mut count = Count { margin: f64::INFINITY, ..Count::default() };
    // An equivalent mutant is one at the start only: training moves what makes it so.
    let steps = if mutant.equivalent.is_some() { 0 } else { 20 };
    for seed in SEEDS {
        let report = run(&text, seed, steps, mutant).expect("the nets of the mutants compile");
        assert!(mutant.equivalent.is_none() || !report.verdict.is_bad(), "{mutant:?}: {report:#?}");
        for point in report.points.iter().filter(|point| point.full) {
            let faults: Vec<&Fault> =
                report.faults.iter().filter(|fault| fault.point == point.name).collect();
            let [named, operand] = names(mutant, &faults);
            count.points += 1;
            count.detected += usize::from(!faults.is_empty());
            count.named += usize::from(named);
            count.operand += usize::from(operand);
            let margin = faults.iter().map(|fault| fault.error / fault.bound).fold(0.0, f64::max);
            count.margin = count.margin.min(margin);
        }
    }
    count
}

/// A line for each mutant.
fn table(mutants: &[&Mutant]) -> (String, Count) {
    let mut text = String::from(
        "number  mutant                  op                detected  op named  operand  mismatch/bound\n",
    );
    let mut whole = Count::default();
    for mutant in mutants {
        let Count { points, detected, named, operand, margin } = measure(mutant);
        let Mutant { number, name, op, equivalent, .. } = mutant;
        if let Some(why) = equivalent {
            writeln!(text, "{number:>6}  {name:<22}  {op:<16}  equivalent on `{}`: {why}", mutant.net)
                .expect("a string");
            assert_eq!(detected, 0, "{name} is equivalent: {why}");
            continue;
        }
        // A power of ten, as the last digits depend on the mathematics library.
        let margin = format!("1e{}", margin.log10().floor());
        let [detected_of, named_of, operand_of] = [detected, named, operand].map(|n| format!("{n}/{points}"));
        writeln!(
            text,
            "{number:>6}  {name:<22}  {op:<16}  {detected_of:>8}  {named_of:>8}  {operand_of:>7}  {margin:>14}"
        )
        .expect("a string");
        whole.points += points;
        whole.detected += detected;
        whole.named += named;
        whole.operand += operand;
    }
    let Count { points, detected, named, operand, .. } = whole;
    writeln!(
        text,
        "all: detected {detected}/{points}, op named {named}/{points}, operand named {operand}/{points}"
    )
    .expect("a string");
    (text, whole)
}

fn gate(count: &Count, text: &str) {
    assert_eq!(count.detected, count.points, "a mutant was missed:\n{text}");
    assert!(100 * count.named >= 99 * count.points, "the op was not named:\n{text}");
}

#[test]
fn planted_mistakes_are_found_and_named() {
    let some: Vec<&Mutant> = MUTANTS.iter().step_by(20).collect();
    let (text, count) = table(&some);
    gate(&count, &text);
}

#[test]
#[ignore = "the whole benchmark"]
fn every_planted_mistake_is_found_and_named() {
    let all: Vec<&Mutant> = MUTANTS.iter().collect();
    let (mut text, count) = table(&all);
    for (number, name, why) in ABSENT {
        writeln!(text, "{number:>6}  {name:<22}  absent: {why}").expect("a string");
    }
    {
        println!("{text}");
    }
    gate(&count, &text);
    if std::env::var_os("WRITE").is_some() {
        fs::create_dir_all("tests/gradients").expect("the folder can be made");
        fs::write(TABLE, &text).expect("the table can be written");
    }
    assert_eq!(fs::read_to_string(TABLE).expect("the table is there"), text);
}

/// Random clean nets at several seeds, at the start and after training: no tensor fails. Gives how many points were checked.
fn clean(seeds: impl Iterator<Item = u64>) -> [usize; 3] {
    let [mut specs, mut points, mut tied] = [0; 3];
    for seed in seeds {
        let text = nets::clean(seed);
        let Some(report) = run(&text, seed, 5, &Registry) else { continue };
        for report in [Some(report), run(&text, seed + 1, 5, &Registry)].into_iter().flatten() {
            assert!(report.verdict != Verdict::Fail, "seed {seed}\n{text}\n{report:#?}");
            points += report.points.len();
            tied += report.points.iter().filter(|point| point.ties > 0).count();
        }
        specs += 1;
    }
    [specs, points, tied]
}

#[test]
fn clean_nets_raise_no_alarm() {
    // In the last one, equal tokens of size 10^9 cancel more digits than double-double numbers have.
    let seeds = (0..15).chain(nets::TOKENS..nets::TOKENS + 6).chain([nets::TOKENS + 131]);
    let [specs, points, _] = clean(seeds);
    assert!(specs >= 14 && points >= 28, "{specs} specs, {points} points");
}

#[test]
#[ignore = "the whole benchmark"]
fn no_clean_net_raises_an_alarm() {
    let [specs, points, tied] = clean((0..900).chain(nets::TOKENS..nets::TOKENS + 900));
    {
        println!("{specs} clean specs, {points} points, {tied} with exact ties: 0 FAIL");
    }
    assert!(specs >= 1400 && tied >= 500, "{specs} specs, {tied} with ties");
}

#[test]
fn a_finding_names_the_node_the_operator_and_the_operand() {
    let mutant = MUTANTS.iter().find(|mutant| mutant.name == "conv_corner_tap").expect("a mutant");
    let text = nets::net(mutant.net);
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text.as_str())).expect("the spec is there");
    let report = run(&text, 0, 0, mutant).expect("the net compiles");
    let findings = report.findings(&compiled.graph);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((finding.rule.code, finding.node.as_deref()), ("K001", Some("a")));
    let start = "the reverse rule of `a` (conv2d) is wrong in its weight gradient: ";
    assert!(finding.message.starts_with(start), "{}", finding.message);
}

/// Rules that give the right derivative wherever the net asks them, and break a law.
enum Impure {
    /// Reads what the buffer held.
    Leftover,
    /// Gives a little for nothing.
    Zero,
    /// Limits the derivative.
    Clipped,
    /// Differs by a bit when it runs for the first time.
    Counting(AtomicUsize),
}

impl Reverse for Impure {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != "relu" {
            return node.op.backward(io);
        }
        let Backward { inputs, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let odd = match self {
            Self::Counting(runs) => runs.fetch_add(1, Ordering::Relaxed) == 0,
            _ => false,
        };
        for i in 0..grad.len() {
            let slope = if inputs[0].at(i).primal() > 0.0 { 1.0 } else { 0.0 };
            let right = cotangent.at(i) * slope;
            let wrong = match self {
                Self::Leftover => grad.at(i) * 0.0 + right,
                Self::Zero if right.primal() == 0.0 => S::constant(1e-200),
                Self::Clipped if right.primal().abs() > 2.0 => S::constant(2f64.copysign(right.primal())),
                Self::Counting(_) if odd => right * (1.0 + f64::EPSILON),
                _ => right,
            };
            grad.set(i, wrong);
        }
    }
}

/// Nothing but the law itself sees these: every derivative of the net is right.
#[test]
fn rules_that_are_not_pure_are_found() {
    let rules = [
        (Impure::Leftover, FaultKind::Leftover),
        (Impure::Zero, FaultKind::Zero),
        (Impure::Clipped, FaultKind::Nonlinear),
        (Impure::Counting(AtomicUsize::new(0)), FaultKind::Repeat),
    ];
    for (rule, kind) in rules {
        let report = run(&nets::net("mlp"), 0, 0, &rule).expect("the net compiles");
        let found: Vec<(FaultKind, &str)> =
            report.faults.iter().map(|fault| (fault.kind, fault.node.as_str())).collect();
        assert!(found.contains(&(kind, "u.relu")), "{kind:?}: {found:?}");
        assert_eq!(report.verdict, Verdict::Fail);
    }
}
