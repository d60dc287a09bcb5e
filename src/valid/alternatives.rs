//! What known mistakes somewhere in a net would make of its gradients.
//!
//! Contract: every alternative is the gradient of every tensor, penalties included, that a reverse run with one mistake gives: rows of the batch that
//! do not count, a dropout mask that is not that of the forward run, one of several ways out of a value that is forgotten, or one of
//! several uses of a tensor. They are
//! runs of this program's own rules with the mistake planted, and are compared with a gradient that is wrong.

use crate::exec::{Gradients, Keep, Objective, Registry, Reverse, Session, Settings, Tapes, Weights};
use crate::graph::{Handle, Node, ParamTensor, Runnable, Source};
use crate::ops::Backward;
use crate::scalar::Scalar;
use crate::tensor::{Mode, Tensor, ViewMut};
use crate::valid::step_cost;
use std::ops::Range;

/// What all runs together may cost, in multiplications and additions.
const BUDGET: f64 = 2e9;

/// A mistake and what it makes of every tensor, by the index of its handle.
#[derive(Clone, Debug)]
pub(super) struct Alternative {
    pub why: String,
    pub params: Vec<Vec<f64>>,
    /// By the index of the input; empty for a mistake that leaves rows out.
    pub feeds: Vec<Vec<f64>>,
}

/// Where the gradients are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub graph: Runnable<'a>,
    pub weights: &'a Weights,
    pub feeds: &'a [Tensor],
    pub settings: Settings,
    pub objective: &'a Objective,
}

impl Place<'_> {
    fn run(&self, feeds: &[Tensor], penalties: bool, reverse: &impl Reverse) -> Gradients {
        let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
        let settings = Settings { penalties, ..self.settings };
        let mut session: Session<'_, f64> = Session::new(self.graph, batch, Keep::All);
        let mut gradients = Gradients::zeros::<f64>(&self.graph, batch);
        let point = self.weights.at(feeds);
        session.forward(&point, settings, Tapes::Live);
        session.backward(self.objective, &point, settings, reverse, &mut gradients);
        gradients
    }
}

/// The alternatives that fit the net, as far as they can be afforded.
pub(super) fn alternatives(place: Place<'_>) -> Vec<Alternative> {
    let rows = place.feeds.first().map_or(1, |feed| feed.dims[0]);
    let each = step_cost(&place.graph, rows);
    let mut spent = 2.0 * each;
    let mut found = Vec::new();
    let mut affordable = || {
        spent += each;
        spent <= BUDGET
    };
    if rows > 1 && affordable() {
        found.extend(fewer_rows(place, rows));
    }
    for mistake in mistakes(place) {
        if !affordable() {
            break;
        }
        let mistaken = Mistaken { mistake, graph: place.graph };
        let Gradients { params, feeds } = place.run(place.feeds, place.settings.penalties, &mistaken);
        found.push(Alternative { why: mistake.why(place.graph), params, feeds });
    }
    found
}

/// Gradients of some of the rows, still divided by all of them.
fn fewer_rows(place: Place<'_>, rows: usize) -> Vec<Alternative> {
    let Place { graph, settings, .. } = place;
    let data = place.run(place.feeds, false, &Registry).params;
    let whole =
        if settings.penalties { place.run(place.feeds, true, &Registry).params } else { data.clone() };
    // Masks are numbered from the first row on.
    let fixed =
        settings.mode == Mode::Eval || graph.nodes.iter().all(|(_, node)| node.op.name() != "dropout");
    let of = |range: Range<usize>, why: &str| {
        let feeds: Vec<Tensor> = place.feeds.iter().map(|feed| slice(feed, range.clone())).collect();
        #[expect(clippy::cast_precision_loss, reason = "rows of a batch")]
        let share = range.len() as f64 / rows as f64;
        let mut params = place.run(&feeds, false, &Registry).params;
        for ((some, whole), data) in params.iter_mut().zip(&whole).zip(&data) {
            some.iter_mut()
                .zip(whole.iter().zip(data))
                .for_each(|(g, (all, data))| *g = share * *g + (all - data));
        }
        Alternative { why: why.to_owned(), params, feeds: Vec::new() }
    };
    let mut found = Vec::new();
    if fixed {
        found.push(of(1..rows, "the first row of the batch is left out"));
    }
    found.push(of(0..rows - 1, "the last row of the batch is left out"));
    if rows > 2 {
        found.push(of(0..1, "the first row of the batch alone counts: it is not summed over the batch"));
        if fixed {
            found.push(of(
                rows - 1..rows,
                "the last row of the batch alone counts: each row overwrites the sum",
            ));
        }
    }
    found
}

/// Some of the rows of a feed.
fn slice(feed: &Tensor, rows: Range<usize>) -> Tensor {
    let width: usize = feed.dims[1..].iter().product();
    let mut dims = feed.dims.clone();
    dims[0] = rows.len();
    Tensor::new(dims, feed.data[rows.start * width..rows.end * width].to_vec())
}

/// The mistakes that can be made in a net.
fn mistakes(place: Place<'_>) -> Vec<Mistake> {
    let graph = place.graph;
    let mut found = Vec::new();
    for (handle, node) in graph.nodes.iter() {
        if node.op.name() == "dropout" && place.settings.mode == Mode::Train {
            let kept =
                node.op.attributes().iter().find(|(name, _)| *name == "p").and_then(|(_, p)| p.parse().ok());
            let kept = kept.map_or(1.0, |p: f64| 1.0 - p);
            if kept < 1.0 {
                found.extend([1.0, 1.0 / kept].map(|scale| Mistake::Unmasked(handle, scale)));
                found.push(Mistake::Unscaled(handle, kept));
            }
        }
    }
    for value in graph.nodes.handles() {
        let source = Source::Node(value);
        let ways: Vec<(Handle<Node>, usize)> = graph
            .nodes
            .iter()
            .flat_map(|(to, node)| {
                let slots = node.inputs.iter().enumerate().filter(|(_, input)| **input == source);
                slots.map(move |(slot, _)| (to, slot)).collect::<Vec<_>>()
            })
            .collect();
        if ways.len() > 1 {
            found.extend(ways.into_iter().map(|(to, slot)| Mistake::Dropped { value, to, slot }));
        }
    }
    for (tensor, uses) in graph.params.handles().zip(graph.uses()).filter(|(_, uses)| uses.len() > 1) {
        found.extend(uses.into_iter().map(|(by, slot)| Mistake::Unshared { tensor, by, slot }));
    }
    found
}

/// One mistake at one place.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    /// Dropout lets every derivative through, times a factor.
    Unmasked(Handle<Node>, f64),
    /// Dropout does not scale derivatives as it scales values.
    Unscaled(Handle<Node>, f64),
    /// A value is used in several places, and one of them does not count.
    Dropped { value: Handle<Node>, to: Handle<Node>, slot: usize },
    /// A tensor is used in several places, and one of them does not count.
    Unshared { tensor: Handle<ParamTensor>, by: Handle<Node>, slot: usize },
}

impl Mistake {
    fn why(self, graph: Runnable<'_>) -> String {
        let path = |node: Handle<Node>| graph.nodes[node].path.to_string();
        match self {
            Self::Unmasked(node, _) => {
                format!("the dropout mask of `{}` is not applied to derivatives", path(node))
            }
            Self::Unscaled(node, _) => {
                format!("derivatives are not divided by the keep probability of `{}`", path(node))
            }
            Self::Dropped { value, to, .. } => {
                format!(
                    "the way from `{}` through `{}` is missing: `=` in place of `+=`",
                    path(value),
                    path(to)
                )
            }
            Self::Unshared { tensor, by, .. } => {
                format!(
                    "the use of `{}` in `{}` is missing: a shared weight adds up all of its uses",
                    graph.params[tensor].path,
                    path(by)
                )
            }
        }
    }
}

/// A mistake in a graph, as rules.
struct Mistaken<'a> {
    mistake: Mistake,
    graph: Runnable<'a>,
}

impl Mistaken<'_> {
    fn here(&self, node: &Node) -> bool {
        let at = match self.mistake {
            Mistake::Unmasked(at, _)
            | Mistake::Unscaled(at, _)
            | Mistake::Dropped { to: at, .. }
            | Mistake::Unshared { by: at, .. } => at,
        };
        node.path == self.graph.nodes[at].path
    }
}

impl Reverse for Mistaken<'_> {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        match self.mistake {
            Mistake::Unmasked(_, scale) if self.here(node) => {
                let Backward { cotangent, inputs_grad, .. } = io;
                if let Some(grad) = &mut inputs_grad[0] {
                    (0..grad.len()).for_each(|i| grad.set(i, cotangent.at(i) * scale));
                }
            }
            _ => node.op.backward(io),
        }
    }

    fn amend<S: Scalar>(
        &self,
        node: &Node,
        inputs: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        if !self.here(node) {
            return;
        }
        match self.mistake {
            Mistake::Unmasked(..) => {}
            Mistake::Unscaled(_, kept) => scale(inputs, 0, kept),
            Mistake::Dropped { slot, .. } => scale(inputs, slot, 0.0),
            Mistake::Unshared { slot, .. } => scale(params, slot, 0.0),
        }
    }
}

/// Multiplies one of several derivatives, if it is wanted.
fn scale<S: Scalar>(grads: &mut [Option<ViewMut<'_, S>>], slot: usize, factor: f64) {
    if let Some(Some(grad)) = grads.get_mut(slot) {
        for i in 0..grad.len() {
            grad.set(i, grad.at(i) * factor);
        }
    }
}
