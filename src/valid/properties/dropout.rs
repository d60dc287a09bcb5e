//! Dropout keeps the stated share of elements, scaled so that the mean stays, and does nothing in use.
//!
//! ## What it tests
//!
//! Over 16 initialisations (fewer of a model that is expensive to run): in training every element that was not zero becomes zero or
//! x/(1 - p); the number of those that stay follows the binomial distribution of n elements at 1 - p; two rows, and two seeds, do not get
//! the same mask. That gives E y = x and Var y = x^2 p/(1 - p) exactly. In use, the value passes with the same bits.
//!
//! ## Tolerance
//!
//! x/(1 - p) to 4 u (two roundings, u = 2^-53). The count to t sqrt(n p (1 - p)) + 1 with the normal t that is exceeded once in a
//! million runs, all nodes together (Bonferroni).
//!
//! ## Power
//!
//! A share of n elements that is off by d is seen with probability 0.99 from d = ((t + 2.33) sqrt(n p (1 - p)) + 1) / n on: t is 4.9 for one node, so
//! that with 10^4 elements at p = 0.2 that is 0.03. The report says it. A mask that is not scaled is seen always. A node at which 0.25
//! would not be seen says nothing, and where that is true of all, the law is INCONCLUSIVE.

use super::{Case, Fault, Lab, Overall, Rows, Subject, Verdict, runs};
use crate::graph::{Handle, Node, Source};
use crate::tensor::Mode;
use crate::valid::{power, student};

const SEEDS: u32 = 16;
const ROWS: usize = 8;
const ALARM: f64 = 1e-6;
/// An error of the share that must be seen with probability 0.99.
const COARSE: f64 = 0.25;

fn nodes(subject: Subject<'_>) -> Vec<(Handle<Node>, &Node, f64)> {
    let p = |node: &Node| {
        (node.op.name() == "dropout").then(|| super::lab::argument(node, "p")).flatten().filter(|p| *p > 0.0)
    };
    subject.graph.nodes.iter().filter_map(|(handle, node)| Some((handle, node, p(node)?))).collect()
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    nodes(subject).is_empty().then(|| "there is no dropout".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
pub fn test(subject: Subject<'_>, seed: u64, fault: Fault<'_>) -> Overall {
    let lab = Lab::new(subject, fault);
    let nodes = nodes(subject);
    let seeds = SEEDS.min(runs(subject, ROWS));
    let cases = usize::try_from(seeds).unwrap_or(1);
    let fail = |detail: String| Overall { verdict: Verdict::Fail, cases, detail };
    let mut counts = vec![(0usize, 0usize); nodes.len()];
    let mut last: Vec<Vec<bool>> = vec![Vec::new(); nodes.len()];
    for i in 0..seeds {
        let case = Case { seed: seed.wrapping_add(u64::from(i)), batch: ROWS, scale: 1.0, rows: Rows::Given };
        let (weights, feeds) = lab.draw(case);
        for mode in [Mode::Train, Mode::Eval] {
            let ran = lab.run(&weights, &feeds, mode, case.seed, false);
            for (k, (handle, node, p)) in nodes.iter().enumerate() {
                let Some(Source::Node(input)) = node.inputs.first() else { continue };
                let (x, y) = (&ran.values[input.index()], &ran.values[handle.index()]);
                let mut mask = Vec::with_capacity(x.len());
                for (x, y) in x.iter().zip(y) {
                    let whole = if mode == Mode::Eval { *x } else { x / (1.0 - p) };
                    let kept = (y - whole).abs() <= 2.0 * f64::EPSILON * whole.abs();
                    if !kept && (mode == Mode::Eval || *y != 0.0) {
                        return fail(format!(
                            "`{}` makes {y} of {x} ({mode} mode), seed {}",
                            node.path, case.seed
                        ));
                    }
                    if *x != 0.0 {
                        counts[k].0 += usize::from(mode == Mode::Train);
                        counts[k].1 += usize::from(mode == Mode::Train && kept);
                    }
                    mask.push(kept);
                }
                if mode == Mode::Eval {
                    continue;
                }
                let half = mask.len() / ROWS;
                let dropped = mask.iter().filter(|kept| !**kept).count();
                // Where 40 or more elements were dropped, two masks agree with a probability below 2^-40.
                if dropped >= 40 * ROWS && mask.chunks(half.max(1)).all(|row| row == &mask[..half]) {
                    return fail(format!(
                        "`{}` drops the same elements of every row, seed {}",
                        node.path, case.seed
                    ));
                }
                if dropped >= 40 && last[k] == mask {
                    return fail(format!("`{}` drops the same elements at two seeds", node.path));
                }
                last[k] = mask;
            }
        }
    }
    let t = student::quantile(1000, 0.5 * ALARM / nodes.len() as f64);
    let mut shown = Vec::new();
    for ((_, node, p), (n, kept)) in nodes.iter().zip(counts) {
        let wanted = 1.0 - p;
        let bound = power::Bound {
            t,
            freedom: f64::INFINITY,
            error: (p * wanted / n as f64).sqrt(),
            slack: (n as f64).recip(),
        };
        if n == 0 || bound.seen() > COARSE {
            continue;
        }
        let (share, allowed) = (kept as f64 / n as f64, t * bound.error + bound.slack);
        if (share - wanted).abs() > allowed {
            return fail(format!(
                "`{}` keeps {share:.4} of {n} elements; 1 - p is {wanted}, and {allowed:.4} more or less would pass",
                node.path
            ));
        }
        let seen = bound.seen();
        shown.push(format!(
            "`{}` keeps {share:.4} of {n} (+- {seen:.2} is seen with probability {})",
            node.path,
            power::SURE
        ));
    }
    if shown.is_empty() {
        let detail = format!("too few elements reach a dropout: a share off by {COARSE} would not be seen");
        return Overall { verdict: Verdict::Inconclusive, cases, detail };
    }
    Overall { verdict: Verdict::Pass, cases, detail: shown.join(", ") }
}
