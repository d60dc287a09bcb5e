//! Values that are not Gaussian, and the gradient of units that are on.
//!
//! Contract: the operators' own rules take every value as Gaussian, which it is behind a layer with fresh weights. What an activation
//! gave is not, and where it reaches another activation without a layer between, as along the stream of a post-activation residual
//! net, relu(x + f(x)), [`Shapes`] keeps the [`Law`] of a unit for it, through sums, norms and layouts. Pools, products,
//! concatenations and dropout end it: behind them a value counts as Gaussian again.
//!
//! Back, the energy of the gradient at such a value depends on the value: a unit that is on hands its gradient on at every block of
//! the stream, one that is off at none. [`Shapes`] keeps the energy as a function of the unit's value, relative to its mean, and an
//! activation's share of the energy is E f'(h)^2 e(f(h)) instead of E f'(h)^2 E e.

use super::Signal;
use crate::graph::{Graph, Handle, Node, Source};
use crate::moments::{Curve, Energy, Law, Moments, law};
use crate::ops::{Category, OpKind};
use std::rc::Rc;

/// With more summands than this, their sum is as good as Gaussian.
const SUMMANDS: usize = 4;
/// Through more nodes than this without a grid of their own the energy is not followed.
const DEEP: usize = 8;

/// What part of the energy at a value does as the value changes, relative to its mean.
enum Part {
    /// The same for all values.
    Flat,
    /// By place of the grid of the value's law.
    Table(Vec<f64>),
    /// f'(h)^2 e(f(h)) / mean, through the activation of this node.
    Slope { node: usize, mean: f64 },
    /// That at another node, whose value is a x + b.
    Affine { node: usize, a: f64, b: f64 },
}

/// The values of a graph that are not Gaussian, and how the gradient depends on them.
pub(super) struct Shapes<'g> {
    /// Whether a node's law reaches an activation.
    wanted: Vec<bool>,
    /// By node; `None` where the value counts as Gaussian.
    laws: Vec<Option<Rc<Law>>>,
    /// By activation that takes such a value.
    curves: Vec<Option<Curve<'g>>>,
    /// By node: rms of the value.
    rms: Vec<f64>,
    /// By node: the parts of the energy there with their weight, a logarithm until the node is [settled](Self::settle).
    parts: Vec<Vec<(f64, Part)>>,
    /// By node: how many nodes are asked one behind the other for the energy there.
    depth: Vec<usize>,
}

/// What an activation does to the energy of the gradient, where it takes a value that is not Gaussian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Passed {
    /// E f'^2 e, where e is the energy at f(h) relative to its mean.
    pub(crate) square: f64,
    /// E f'^4 e^2 / E e^2.
    pub(crate) fourth: f64,
    /// d ln of `square` / d ln E h^2.
    pub(crate) coupling: f64,
}

/// Whether a node hands the law of what it takes on.
fn carries(op: &OpKind) -> bool {
    match op.category() {
        Category::Norm | Category::Layout | Category::Noise => true,
        Category::Combine => op.name() == "add",
        _ => false,
    }
}

fn node_of(source: Source) -> Option<usize> {
    if let Source::Node(node) = source { Some(node.index()) } else { None }
}

impl<'g> Shapes<'g> {
    pub(super) fn new(graph: &'g Graph) -> Self {
        let n = graph.nodes.len();
        let mut wanted = vec![false; n];
        for (handle, node) in graph.nodes.iter().rev() {
            let activation = node.op.category() == Category::Activation;
            if activation || (carries(&node.op) && wanted[handle.index()]) {
                node.inputs.iter().copied().filter_map(node_of).for_each(|input| wanted[input] = true);
            }
        }
        Self {
            wanted,
            laws: vec![None; n],
            curves: std::iter::repeat_with(|| None).take(n).collect(),
            rms: vec![0.0; n],
            parts: std::iter::repeat_with(Vec::new).take(n).collect(),
            depth: vec![0; n],
        }
    }

    /// The function of an activation and the law of what it takes, if that is not Gaussian.
    pub(super) fn taken(&mut self, graph: &'g Graph, at: Handle<Node>) -> Option<(&Curve<'g>, &Law)> {
        let node = &graph.nodes[at];
        if node.op.category() != Category::Activation {
            return None;
        }
        let law = self.laws[node_of(*node.inputs.first()?)?].as_deref()?;
        let params = graph.specs(node);
        let curve = &mut self.curves[at.index()];
        *curve = node.op.curve(&params);
        Some((curve.as_ref()?, law))
    }

    /// Notes the law of a node's value, whose moments are known by now.
    pub(super) fn forward(&mut self, graph: &'g Graph, at: Handle<Node>, signal: &Signal) {
        let node = &graph.nodes[at];
        let Some(moments) = signal.node(at) else { return };
        self.rms[at.index()] = law::rms(moments.ln_square.middle());
        if self.wanted[at.index()] {
            self.laws[at.index()] = self.law(graph, at, node, moments, signal).map(Rc::new);
        }
    }

    fn law(
        &mut self,
        graph: &'g Graph,
        at: Handle<Node>,
        node: &'g Node,
        moments: &Moments,
        signal: &Signal,
    ) -> Option<Law> {
        let first = signal.of(*node.inputs.first()?)?;
        match node.op.category() {
            Category::Activation => {
                let rms = law::rms(first.ln_square.middle());
                if let Some((curve, law)) = self.taken(graph, at) {
                    return law.through(rms, curve);
                }
                let params = graph.specs(node);
                Law::gaussian(first).through(rms, &node.op.curve(&params)?)
            }
            Category::Combine if carries(&node.op) && node.inputs.len() <= SUMMANDS => {
                self.sum(&node.inputs, None, moments, signal)
            }
            Category::Norm | Category::Layout => {
                let (a, b) = affine(first, moments)?;
                Some(self.laws[node_of(node.inputs[0])?].as_deref()?.affine(a, b))
            }
            Category::Noise if first.ln_square == moments.ln_square => {
                self.laws[node_of(node.inputs[0])?].as_deref().cloned()
            }
            _ => None,
        }
    }

    /// The law of a sum without one summand, in units of the whole; `None` if all of them are Gaussian.
    fn sum(
        &self,
        inputs: &[Source],
        without: Option<usize>,
        whole: &Moments,
        signal: &Signal,
    ) -> Option<Law> {
        let mut parts: Vec<(f64, Rc<Law>)> = Vec::new();
        let mut shaped = without.is_some();
        for (i, source) in inputs.iter().enumerate() {
            let x = signal.of(*source)?;
            let known = node_of(*source).and_then(|input| self.laws[input].clone());
            shaped |= known.is_some();
            if Some(i) != without && x.ln_square.hi > f64::NEG_INFINITY {
                parts.push((ratio(x, whole), known.unwrap_or_else(|| Rc::new(Law::gaussian(x)))));
            }
        }
        let parts: Vec<(f64, &Law)> = parts.iter().map(|(factor, law)| (*factor, &**law)).collect();
        shaped.then(|| Law::sum(&parts))
    }

    /// What the activation of a node hands back.
    pub(super) fn passed(&self, graph: &Graph, at: Handle<Node>) -> Option<Passed> {
        let curve = self.curves[at.index()].as_ref()?;
        let input = node_of(*graph.nodes[at].inputs.first()?)?;
        let (law, rms, out) = (self.laws[input].as_deref()?, self.rms[input], self.rms[at.index()]);
        let (mut square, mut fourth, mut even, mut moved) = (0.0, 0.0, 0.0, 0.0);
        law.visit(&curve.breaks(rms), |z, w| {
            let x = rms * z;
            let slope = (curve.slope)(x).powi(2);
            let energy = self.energy(at.index(), (curve.value)(x) / out);
            square += w * slope * energy;
            fourth += w * slope * slope * energy * energy;
            even += w * energy * energy;
            moved += w * (curve.slope)(x * (1.0 + 0.5 * super::NUDGE)).powi(2) * energy;
        });
        let coupling = (moved / square).ln() / super::NUDGE;
        let usable = square > 0.0 && even > 0.0 && square.is_finite();
        let coupling = if coupling.is_finite() { coupling } else { 0.0 };
        usable.then(|| Passed { square, fourth: (fourth / even).max(square * square), coupling })
    }

    /// The energy at a node whose value is `x` times its rms, relative to the mean.
    fn energy(&self, node: usize, x: f64) -> f64 {
        match self.parts[node].as_slice() {
            [] => 1.0,
            parts => parts.iter().map(|(weight, part)| weight * self.part_at(node, part, x)).sum(),
        }
    }

    /// What a part of the energy at a node is for the value `x`.
    fn part_at(&self, node: usize, part: &Part, x: f64) -> f64 {
        match part {
            Part::Flat => 1.0,
            Part::Table(table) => self.laws[node].as_deref().map_or(1.0, |law| law.at(table, x)),
            Part::Slope { node: to, mean } => self.curves[*to].as_ref().map_or(1.0, |curve| {
                let x = self.rms[node] * x;
                (curve.slope)(x).powi(2) * self.energy(*to, (curve.value)(x) / self.rms[*to]) / mean
            }),
            Part::Affine { node: to, a, b } => self.energy(*to, a * x + b),
        }
    }

    /// Where the energy at a node jumps.
    fn breaks(&self, node: usize) -> Vec<f64> {
        let mut breaks = Vec::new();
        for (_, part) in &self.parts[node] {
            match part {
                Part::Slope { node: to, .. } => {
                    let curve = self.curves[*to].as_ref();
                    breaks.extend(curve.map(|curve| curve.breaks(self.rms[node])).unwrap_or_default());
                }
                Part::Affine { node: to, a, b } => {
                    breaks.extend(self.breaks(*to).iter().map(|x| (x - b) / a));
                }
                Part::Flat | Part::Table(_) => {}
            }
        }
        breaks
    }

    /// Turns logarithms of the energies that arrived at a node into shares, once all of them have.
    pub(super) fn settle(&mut self, at: Handle<Node>) {
        let parts = &mut self.parts[at.index()];
        if parts.iter().all(|(_, part)| matches!(part, Part::Flat)) {
            parts.clear();
            return;
        }
        let most = parts.iter().map(|(ln, _)| *ln).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = parts.iter().map(|(ln, _)| (ln - most).exp()).sum();
        parts.iter_mut().for_each(|(weight, _)| *weight = (*weight - most).exp() / total);
    }

    /// Notes what arrives from a node at its input `i`.
    pub(super) fn back(
        &mut self,
        graph: &Graph,
        from: Handle<Node>,
        i: usize,
        arrived: Energy,
        passed: Option<Passed>,
        signal: &Signal,
    ) {
        let node = &graph.nodes[from];
        let Some(input) = node_of(node.inputs[i]) else { return };
        if !self.wanted[input] || arrived.is_zero() {
            return;
        }
        let part = match passed {
            Some(Passed { square, .. }) => Part::Slope { node: from.index(), mean: square },
            None => self.part(node, from, i, signal).unwrap_or(Part::Flat),
        };
        let part = match part {
            Part::Slope { .. } | Part::Affine { .. } => match self.laws[input].as_deref() {
                // A table ends the chain of nodes that have to be asked.
                Some(law) if law.is_discrete() => Part::Table(law.table(|x| self.part_at(input, &part, x))),
                _ if self.depth[from.index()] >= DEEP => Part::Flat,
                _ => {
                    self.depth[input] = self.depth[input].max(self.depth[from.index()] + 1);
                    part
                }
            },
            part => part,
        };
        self.parts[input].push((arrived.ln.middle(), part));
    }

    fn part(&self, node: &Node, from: Handle<Node>, i: usize, signal: &Signal) -> Option<Part> {
        let at = from.index();
        if self.parts[at].is_empty() || !carries(&node.op) {
            return None;
        }
        let law = self.laws[node_of(node.inputs[i])?].as_deref()?;
        let (x, whole) = (signal.of(node.inputs[i])?, signal.node(from)?);
        if node.op.category() != Category::Combine {
            let (a, b) = affine(x, whole)?;
            return (a > 0.0).then_some(Part::Affine { node: at, a, b });
        }
        // Of a stream with a Gaussian part of its own the table would need another grid; such values are rare between sums.
        if !law.is_discrete() || self.laws[at].is_none() {
            return None;
        }
        let rest = self.sum(&node.inputs, Some(i), whole, signal)?;
        let (factor, breaks) = (ratio(x, whole), self.breaks(at));
        let mut table = law.table(|x| {
            let mut mean = 0.0;
            rest.affine(1.0, factor * x).visit(&breaks, |h, w| mean += w * self.energy(at, h));
            mean
        });
        // The mean over the law is 1 but for the error of the rule.
        let mut mean = 0.0;
        law.visit(&[], |x, w| mean += w * law.at(&table, x));
        table.iter_mut().for_each(|value| *value /= mean);
        (mean > 0.0 && mean.is_finite()).then_some(Part::Table(table))
    }
}

/// The rms of a part, in units of the whole.
fn ratio(part: &Moments, whole: &Moments) -> f64 {
    (0.5 * (part.ln_square.middle() - whole.ln_square.middle())).exp()
}

/// The map a x + b between values in units of their rms that has these moments.
fn affine(x: &Moments, y: &Moments) -> Option<(f64, f64)> {
    let variance = |x: &Moments| (1.0 - x.mean_share * x.mean_share).max(0.0);
    let a = (variance(y) / variance(x)).sqrt();
    a.is_finite().then_some((a, y.mean_share - a * x.mean_share))
}
