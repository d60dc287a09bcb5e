//! Few units are dead or saturated before training.
//!
//! ## What it tests
//!
//! Over 8 initialisations (fewer of a model that is expensive to run) and 64 rows, behind every ReLU the share of units that are 0 for
//! every row and place, and behind every tanh and sigmoid the share of elements within a hundredth of an end. Above nine tenths the law
//! fails: such a layer hands no gradient on. (Deep ReLU stacks make half of the units dead, because inputs become alike, and
//! train.) A spec states a share of its own with `dead(node) < 0.5` in its `property` section.
//!
//! ## Tolerance
//!
//! Shares are means over units, rows and initialisations; a layer of n units scatters by 0.5/sqrt(8 n), 0.03 at 32 units. Nodes of
//! fewer than 16 units are left out.
//!
//! ## What to do
//!
//! A bias far below zero, or an input that is not centred (`explain D101`), kills ReLUs; weights that are too large saturate
//! (`explain I001`, `explain G007`).

use super::{Case, Fault, Lab, Overall, Rows, Subject, Verdict, runs};
use crate::graph::{Handle, Node};
use crate::tensor::Mode;

const SEEDS: u32 = 8;
const ROWS: usize = 64;
/// The share from which on a layer is lost.
const LOST: f64 = 0.9;
const NARROW: usize = 16;
/// How close to an end counts.
const CLOSE: f64 = 0.01;

fn nodes(subject: Subject<'_>) -> Vec<(Handle<Node>, &Node)> {
    let wide = |node: &Node| {
        node.shape.as_ref().and_then(crate::tensor::Shape::channels).is_some_and(|n| n >= NARROW)
    };
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
            let channels = node.shape.as_ref().and_then(crate::tensor::Shape::channels).unwrap_or(1);
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
    let seeds = SEEDS.min(runs(subject, ROWS));
    let mut shares = vec![0.0; nodes.len()];
    for i in 0..seeds {
        let case = Case { seed: seed.wrapping_add(u64::from(i)), batch: ROWS, scale: 1.0, rows: Rows::Given };
        let (weights, feeds) = lab.draw(case);
        let ran = lab.run(&weights, &feeds, Mode::Train, case.seed, false);
        for (share, (handle, node)) in shares.iter_mut().zip(&nodes) {
            *share += lost(node, &ran.values[handle.index()], ROWS) / f64::from(seeds);
        }
    }
    let worst = shares.iter().zip(&nodes).max_by(|a, b| a.0.total_cmp(b.0));
    let cases = usize::try_from(seeds).unwrap_or(1);
    let Some((share, (_, node))) = worst else {
        return Overall { verdict: Verdict::Inconclusive, cases, detail: String::new() };
    };
    let what = if node.op.name().starts_with("relu") { "units are dead" } else { "elements are saturated" };
    let percent = 100.0 * share;
    let detail = format!("{percent:.0} % of `{}`'s {what} over {ROWS} rows", node.path);
    let verdict = if *share > LOST { Verdict::Fail } else { Verdict::Pass };
    Overall { verdict, cases, detail }
}
