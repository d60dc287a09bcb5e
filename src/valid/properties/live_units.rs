//! Few units are dead or saturated before training.
//!
//! ## What it tests
//!
//! Over 12 initialisations (fewer of a model that is expensive to run) and 64 rows, or as few as 8 where that lets 12 be afforded, behind every ReLU the share of units that are 0 for
//! every row and place, and behind every tanh and sigmoid the share of elements within a hundredth of an end. Where that is above the declared share, nine
//! tenths unless the spec declares another, the law fails: such a layer hands no gradient on. (Deep ReLU stacks make half of the units dead,
//! because inputs become alike, and train.)
//!
//! `dead(node) < 0.5` or `saturated(node) < 0.5` in the `property` section declares the share of a node, here and as a property of every single
//! initialisation (`explain dead`).
//!
//! ## Tolerance
//!
//! Shares are means over units and initialisations. If each of the N units drawn is lost with probability q at most, a share of x or more arises with
//! probability exp(-N KL(x, q)) at most, KL(x, q) = x ln(x/q) + (1 - x) ln((1 - x)/(1 - q)) (Chernoff; Hoeffding 1963, theorem 1): the law fails only
//! where that is below 10^-5 over the number of nodes (Bonferroni), and is INCONCLUSIVE where the share is above q and it is not. Nodes of fewer than 16 units are left
//! out.
//!
//! ## Power
//!
//! A layer that is lost as a whole fails from N = 110 on among one node, from N = 153 among a hundred: 16 units at 12 initialisations are 192. A node of which
//! fewer are drawn says nothing; if that is true of all, the law is INCONCLUSIVE.
//!
//! ## What to do
//!
//! A bias far below zero, or an input that is not centred (`explain D101`), kills ReLUs; weights that are too large saturate
//! (`explain I001`, `explain G007`).

use super::{Case, Fault, Lab, Overall, Rows, Subject, Verdict, runs};
use crate::graph::{Handle, Law, Node, Quantity};
use crate::tensor::{Mode, Shape};
use std::cmp::Ordering;

const SEEDS: u32 = 12;
/// Rows of a run: the most of which enough initialisations can be afforded.
const ROWS: [usize; 4] = [64, 32, 16, 8];
/// The share from which on a layer is lost, unless the spec declares another.
const LOST: f64 = 0.9;
/// The probability that a sound model fails.
const ALARM: f64 = 1e-5;
const NARROW: usize = 16;
/// How close to an end counts.
const CLOSE: f64 = 0.01;

fn nodes(subject: Subject<'_>) -> Vec<(Handle<Node>, &Node)> {
    let wide = |node: &Node| node.shape.as_ref().and_then(Shape::channels).is_some_and(|n| n >= NARROW);
    let known = |node: &Node| ["relu", "relu6", "tanh", "sigmoid"].contains(&node.op.name());
    subject.graph.nodes.iter().filter(|(_, node)| known(node) && wide(node)).collect()
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    nodes(subject).is_empty().then(|| "no ReLU, tanh or sigmoid has 16 units".to_owned())
}

/// The share of lost units or elements of a value.
#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
fn lost(node: &Node, values: &[f64], rows: usize) -> f64 {
    let near = |end: f64| values.iter().filter(|x| (*x - end).abs() < CLOSE).count();
    let elements = values.len().max(1) as f64;
    match node.op.name() {
        "tanh" => (near(-1.0) + near(1.0)) as f64 / elements,
        "sigmoid" => (near(0.0) + near(1.0)) as f64 / elements,
        _ => {
            let width = values.len() / rows.max(1);
            let channels = node.shape.as_ref().and_then(Shape::channels).unwrap_or(1);
            let places = (width / channels.max(1)).max(1);
            let off = |unit: usize| {
                (0..rows).all(|row| {
                    let start = row * width + unit * places;
                    values[start..start + places].iter().all(|x| *x <= 0.0)
                })
            };
            (0..channels).filter(|unit| off(*unit)).count() as f64 / channels.max(1) as f64
        }
    }
}

pub fn test(subject: Subject<'_>, seed: u64, fault: Fault<'_>) -> Overall {
    let lab = Lab::new(subject, fault);
    let nodes = nodes(subject);
    let enough = |rows: &&usize| runs(subject, **rows) >= SEEDS;
    let rows = *ROWS.iter().find(enough).unwrap_or(&ROWS[ROWS.len() - 1]);
    let seeds = SEEDS.min(runs(subject, rows));
    let mut shares = vec![0.0; nodes.len()];
    for i in 0..seeds {
        let case = Case { seed: seed.wrapping_add(u64::from(i)), batch: rows, scale: 1.0, rows: Rows::Given };
        let (weights, feeds) = lab.draw(case);
        let ran = lab.run(&weights, &feeds, Mode::Train, case.seed, false);
        for (share, (handle, node)) in shares.iter_mut().zip(&nodes) {
            *share += lost(node, &ran.values[handle.index()], rows) / f64::from(seeds);
        }
    }
    let cases = usize::try_from(seeds).unwrap_or(1);
    #[expect(clippy::cast_precision_loss, reason = "counts of nodes and units are far below 2^53")]
    let (needed, units) = ((nodes.len() as f64 / ALARM).ln(), |node: &Node| {
        node.shape.as_ref().and_then(Shape::channels).unwrap_or(1) as f64 * f64::from(seeds)
    });
    // A node of which too few units are drawn to fail says nothing.
    let judged = shares.iter().zip(&nodes).filter_map(|(share, (handle, node))| {
        let declared = declared(subject, *handle);
        let lost = units(node) * divergence(*share, declared);
        let verdict = match *share > declared {
            true if lost >= needed => Verdict::Fail,
            true => Verdict::Inconclusive,
            false => Verdict::Pass,
        };
        let says = verdict != Verdict::Pass || units(node) * divergence(1.0, declared) >= needed;
        says.then_some((verdict, *share, declared, *node))
    });
    let rank = |a: &(Verdict, f64, f64, &Node)| (a.0 as u8, a.1);
    let worst = judged.max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal));
    let Some((verdict, share, declared, node)) = worst else {
        let detail = "too few units are drawn for a share to be above chance".to_owned();
        return Overall { verdict: Verdict::Inconclusive, cases, detail };
    };
    let what = if node.op.name().starts_with("relu") { "units are dead" } else { "elements are saturated" };
    let (percent, most) = (100.0 * share, 100.0 * declared);
    let detail = format!(
        "{percent:.0} % of `{}`'s {what} over {rows} rows; {most:.0} % are declared, and {:.0} units were drawn",
        node.path,
        units(node)
    );
    Overall { verdict, cases, detail }
}

/// The share that a spec declares of a node.
fn declared(subject: Subject<'_>, node: Handle<Node>) -> f64 {
    let of = |law: &Law| match law {
        Law::Within(Quantity::Dead(at) | Quantity::Saturated(at), bound) if *at == node => {
            Some(bound.hi).filter(|share| (0.0..=1.0).contains(share))
        }
        _ => None,
    };
    subject.graph.properties.iter().find_map(|property| of(&property.law)).unwrap_or(LOST)
}

/// The Kullback-Leibler divergence of two coins, 0 where the first share is not the larger one.
fn divergence(x: f64, q: f64) -> f64 {
    let term = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    if x > q { term(x, q) + term(1.0 - x, 1.0 - q) } else { 0.0 }
}
