//! Which way the differences of each tensor are taken.
//!
//! Contract: every [`Method`] takes two-sided differences of the compiled forward function with its decisions frozen, and all give the same
//! quotients up to rounding and truncation. The cheapest valid one is chosen by an estimate from the graph alone, node by
//! node, so that the choice does not depend on the machine.

use super::sweep::downstream;
use crate::exec::{Objective, Route};
use crate::graph::{Handle, Node, ParamTensor, Runnable};
use crate::ops::{Block, Column};
use crate::tensor::{Mode, Shape, View};

/// How differences are taken.
///
/// What is numerical and what is exact algebra:
/// - [`Plain`](Self::Plain): the component is moved by +h and -h, and every node behind it runs again. Nothing is assumed.
/// - [`Stacked`](Self::Stacked): the same for many components at once, with copies of the batch one behind the other; the node itself
///   runs for every component. Nodes that couple samples run once for each copy, draws are repeated in each copy, and behind a changed
///   block only what the operators' [`Spread`](crate::ops::Spread) allows is left out.
/// - [`RankOne`](Self::RankOne): the same, but the node's own result is the base result plus h times the component's
///   [`Column`]. The result is affine in the component, so this is what the kernel gives up to rounding; columns are compared with
///   the kernel at each point before they are used.
/// - [`Factorised`](Self::Factorised): for y = f(x, w) with columns D_i = dy/dw_i, dL/dw_i = sum over samples b and elements k
///   of `dL/dy[b,k] D_i[b,k]`. Every `dL/dy[b,k]` is a two-sided difference, taken for all samples at once: samples must not see each other
///   behind the node, or their terms could not be told apart. The sum is exact algebra on columns that were compared with the
///   kernel. Every component is checked, by as many differences as the node has outputs and not as it has parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One component after another by re-runs.
    Plain,
    /// Many components at once; the node runs for each.
    Stacked,
    /// Many components at once; the node's result is moved by columns.
    RankOne,
    /// Differences by the node's outputs, times columns.
    Factorised,
}

crate::text::serialize_words!(Method);

impl Method {
    /// The word of the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stacked => "stacked",
            Self::RankOne => "rank-one",
            Self::Factorised => "factorised",
        }
    }
}

/// What is to be done for the tensors of one node.
///
/// A tensor that several nodes share is moved in one use at a time, by every method but [`Method::Plain`], which moves it in all: the
/// derivative by the tensor is the sum over the tasks that hold it (the chain rule for w -> (w, ..., w), so that nothing is assumed).
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub node: Handle<Node>,
    /// The tensors, with their places in the node.
    pub params: Vec<(usize, Handle<ParamTensor>)>,
    pub method: Method,
    pub route: Route,
    /// The form of the blocks that a change of a component, or of an output, is confined to.
    pub block: Block,
    /// Multiplications and additions.
    pub cost: f64,
}

/// Takes some of the tasks without any short cut. A tensor that is shared is then moved in all of its uses at once, so that no other
/// task holds it.
pub(super) fn plainly(mut tasks: Vec<Task>, chosen: impl Fn(usize) -> bool) -> Vec<Task> {
    let mut whole: Vec<Handle<ParamTensor>> = Vec::new();
    for (i, task) in tasks.iter_mut().enumerate() {
        if chosen(i) || task.method == Method::Plain {
            task.method = Method::Plain;
            task.params.retain(|(_, param)| !whole.contains(param));
            whole.extend(task.params.iter().map(|(_, param)| *param));
        }
    }
    for task in tasks.iter_mut().filter(|task| task.method != Method::Plain) {
        task.params.retain(|(_, param)| !whole.contains(param));
    }
    tasks.retain(|task| !task.params.is_empty());
    tasks
}

/// The tasks for `counts` components of each tensor; a method that is asked for is taken wherever it is valid.
pub(super) fn tasks(
    graph: Runnable<'_>,
    objective: &Objective,
    mode: Mode,
    rows: usize,
    counts: &[usize],
    asked: Option<Method>,
) -> Vec<Task> {
    let weighty = graph.nodes.iter().filter(|(_, node)| !node.params.is_empty());
    let tasks = weighty.map(|(handle, node)| {
        let params = node.params.iter().copied().enumerate().collect();
        choose(graph, handle, params, objective, mode, rows, counts, asked)
    });
    plainly(tasks.collect(), |_| false)
}

/// Multiplications and additions of one sweep over at most `most` components of each tensor.
pub(super) fn cost(
    graph: Runnable<'_>,
    objective: &Objective,
    mode: Mode,
    rows: usize,
    most: usize,
    asked: Option<Method>,
) -> f64 {
    let counts: Vec<usize> = graph.params.iter().map(|(_, param)| param.spec.elements().min(most)).collect();
    tasks(graph, objective, mode, rows, &counts, asked).iter().map(|task| task.cost).sum()
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn choose(
    graph: Runnable<'_>,
    handle: Handle<Node>,
    params: Vec<(usize, Handle<ParamTensor>)>,
    objective: &Objective,
    mode: Mode,
    rows: usize,
    counts: &[usize],
    asked: Option<Method>,
) -> Task {
    let node = &graph.nodes[handle];
    let outputs = node.shape.as_ref().map_or(0, Shape::elements);
    let count: usize = params.iter().map(|(_, param)| counts[param.index()]).sum();
    let form = form(graph, node, &params);
    let whole = Block::run(0, outputs.max(1));
    let route = |block| Route::new(graph, handle, block, objective, mode);
    let rows = rows as f64;
    let mut found: Vec<Task> = Vec::new();
    let mut offer = |method, block: Block, route: Route, cost: f64| {
        found.push(Task { node: handle, params: params.clone(), method, route, block, cost });
    };
    if let Some(block) = form {
        let route = route(block);
        let each = 2.0 * rows * (block.count as f64 + route.cost);
        // The columns themselves: for the comparison with the kernel, and for what they are used for.
        let columns = 4.0 * count as f64 * rows * block.count as f64;
        if route.independent {
            offer(Method::Factorised, block, route.clone(), each * outputs as f64 + columns);
        }
        offer(Method::RankOne, block, route, each * count as f64 + columns);
    }
    let stacked = route(whole);
    let each = 2.0 * rows * count as f64;
    offer(Method::Stacked, whole, stacked.clone(), each * (node.flops as f64 + stacked.cost));
    offer(Method::Plain, whole, stacked, each * behind(graph, &params));
    let asked = found.iter().position(|task| Some(task.method) == asked);
    let cheapest = || {
        let fast = found.iter().enumerate().filter(|(_, task)| task.method != Method::Plain);
        fast.min_by(|a, b| a.1.cost.total_cmp(&b.1.cost)).map_or(0, |(i, _)| i)
    };
    let chosen = asked.unwrap_or_else(cheapest);
    found.swap_remove(chosen)
}

/// Multiplications and additions of the nodes behind some tensors of one node, for one sample.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn behind(graph: Runnable<'_>, params: &[(usize, Handle<ParamTensor>)]) -> f64 {
    let nodes = params.iter().take(1).flat_map(|(_, param)| downstream(graph, *param));
    nodes.map(|node| graph.nodes[node].flops as f64).sum()
}

/// What one component of a task costs by re-runs.
pub(super) fn plain_cost(graph: Runnable<'_>, task: &Task, rows: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let rows = rows as f64;
    2.0 * rows * behind(graph, &task.params)
}

/// The form of the blocks of a node's columns, if it states columns of one form for all its tensors.
fn form(graph: Runnable<'_>, node: &Node, params: &[(usize, Handle<ParamTensor>)]) -> Option<Block> {
    let shapes: Vec<&Shape> = node.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
    let zeros: Vec<Vec<f64>> = shapes.iter().map(|shape| vec![0.0; shape.elements()]).collect();
    let inputs: Vec<View<'_, f64>> = zeros.iter().map(|zeros| View::new(zeros)).collect();
    let saved = vec![0.0; node.saved.of(1)];
    let shape = node.shape.as_ref()?;
    let mut forms = params.iter().map(|(slot, _)| {
        let block = node.op.column(Column {
            batch: 1,
            shapes: &shapes,
            shape,
            inputs: &inputs,
            saved: View::new(&saved),
            param: *slot,
            index: 0,
            column: &mut Vec::new(),
        });
        block.map(|block| block.at(0))
    });
    let first = forms.next()??;
    forms.all(|form| form == Some(first)).then_some(first)
}
