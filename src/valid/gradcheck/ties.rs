//! Exact ties of a maximum: which derivatives are subgradients there.
//!
//! Where several elements of a window are the largest, the maximum has no derivative; its subgradients are the convex combinations of
//! the choices: shares of at least 0 that add up to 1 and go to tied elements only (Clarke 1990, theorem 2.5.1). A rule is
//! linear in its cotangent, so that with a cotangent of 1 at one output what it hands back *is* the shares of that window. Outputs
//! whose windows do not overlap are asked together.

use crate::graph::{Node, Runnable};
use crate::ops::Taps;
use crate::tensor::Shape;

/// For each output of an operator that passes the largest on: the elements of its input that it chooses from.
pub(super) struct Windows(Vec<Vec<usize>>);

/// A window with several largest elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tie {
    pub output: usize,
    pub largest: Vec<usize>,
}

impl Tie {
    /// Whether the largest elements move apart along a tangent; those that a clamp holds down do not, and their tie is no kink.
    pub fn parts(&self, tangent: &[f64]) -> bool {
        self.largest.iter().any(|&i| tangent[i] != tangent[self.largest[0]])
    }
}

impl Windows {
    /// The windows of a node for a batch; `None` if it does not choose.
    pub fn of(graph: Runnable<'_>, node: &Node, batch: usize) -> Option<Self> {
        let input = graph.shape(*node.inputs.first().filter(|_| node.op.chooses())?)?;
        let [rows, columns] = node.op.taps(input)?;
        let (width, map) = (columns.input, rows.input * columns.input);
        let maps = input.elements() / map * batch;
        debug_assert_eq!(node.shape.as_ref().map(Shape::elements), Some(maps / batch * met(&rows, &columns)));
        let places = rows.met.iter().flat_map(|rows| columns.met.iter().map(move |columns| (rows, columns)));
        let windows: Vec<Vec<usize>> = places
            .map(|(rows, columns)| {
                rows.iter().flat_map(|row| columns.iter().map(move |column| row * width + column)).collect()
            })
            .collect();
        let of_map = |at: usize| {
            windows.iter().map(move |window| window.iter().map(|element| at * map + element).collect())
        };
        Some(Self((0..maps).flat_map(of_map).collect()))
    }

    /// The elements that an output chooses from.
    pub fn at(&self, output: usize) -> &[usize] {
        &self.0[output]
    }

    /// How many outputs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no element is in two windows.
    pub fn apart(&self) -> bool {
        let mut all: Vec<usize> = self.0.iter().flatten().copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        all.len() == count
    }

    /// The windows with several largest elements.
    pub fn ties(&self, x: &[f64]) -> Vec<Tie> {
        let tie = |(output, window): (usize, &Vec<usize>)| {
            let most = window.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max);
            let largest: Vec<usize> = window.iter().copied().filter(|&i| x[i] == most).collect();
            (largest.len() > 1).then_some(Tie { output, largest })
        };
        self.0.iter().enumerate().filter_map(tie).collect()
    }

    /// The input with every tie broken: of equal elements the first or, if `last`, the last is larger by a few last places.
    pub fn broken(&self, x: &[f64], last: bool) -> Vec<f64> {
        let mut tied: Vec<usize> = self.ties(x).into_iter().flat_map(|tie| tie.largest).collect();
        tied.sort_unstable();
        tied.dedup();
        let mut moved = x.to_vec();
        let count = tied.len();
        for (rank, i) in tied.into_iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "elements of a map")]
            let steps = (if last { rank } else { count - rank }) as f64;
            moved[i] += steps * (4.0 * f64::EPSILON * x[i].abs()).max(1e-300);
        }
        moved
    }

    /// The ties in groups whose windows have no element in common.
    pub fn groups(&self, ties: Vec<Tie>) -> Vec<Vec<Tie>> {
        let mut groups: Vec<(Vec<Tie>, Vec<usize>)> = Vec::new();
        for tie in ties {
            let window = self.at(tie.output);
            let free = |taken: &[usize]| window.iter().all(|element| taken.binary_search(element).is_err());
            let at = groups.iter().position(|(_, taken)| free(taken)).unwrap_or_else(|| {
                groups.push((Vec::new(), Vec::new()));
                groups.len() - 1
            });
            let (group, taken) = &mut groups[at];
            taken.extend(window);
            taken.sort_unstable();
            group.push(tie);
        }
        groups.into_iter().map(|(group, _)| group).collect()
    }

    /// Whether what a rule hands back for a cotangent of 1 at the outputs of a group are subgradients, up to `slack`.
    pub fn are_shares(&self, group: &[Tie], contribution: &[f64], slack: f64) -> bool {
        let mut rest = contribution.to_vec();
        let inside = group.iter().all(|Tie { output, largest }| {
            let mut sum = 0.0;
            let each = self.at(*output).iter().all(|&i| {
                rest[i] = 0.0;
                sum += contribution[i];
                contribution[i] >= -slack && (largest.contains(&i) || contribution[i] <= slack)
            });
            each && (sum - 1.0).abs() <= slack
        });
        inside && rest.iter().all(|x| x.abs() <= slack)
    }
}

/// Positions of a window on one map.
fn met(rows: &Taps, columns: &Taps) -> usize {
    rows.met.len() * columns.met.len()
}

/// An input in which many elements are equal: three levels in a pattern that no window of a pool is aligned with.
pub(super) fn levels(elements: usize) -> Vec<f64> {
    // Numbers of the golden ratio's sequence below 3: no stride makes neighbours alike.
    #[expect(clippy::cast_precision_loss, reason = "elements of a map")]
    let level = |i: usize| ((i as f64 * 0.618_033_988_749_894_9).fract() * 3.0).floor();
    (0..elements).map(level).collect()
}
