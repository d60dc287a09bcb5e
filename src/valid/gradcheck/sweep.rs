//! Perturbing one component after another.
//!
//! Only what depends on the perturbed tensor runs again. The work is divided into jobs of at most [`JOB`] components, which threads take
//! in turn; each job gives the same numbers on any thread, so that the result does not depend on their number.

use super::STEP;
use crate::exec::{Keep, Objective, Session, Settings, Tapes, Weights};
use crate::graph::{Handle, Node, ParamTensor, Runnable, Source};
use crate::tensor::Tensor;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Components that one thread takes at a time.
const JOB: usize = 64;
/// A sweep of fewer operations is not worth a second thread.
const WORTH_A_THREAD: f64 = 2e7;

/// Where the derivative is taken.
pub(super) struct Place<'s, 'g> {
    pub graph: Runnable<'g>,
    pub objective: &'s Objective,
    pub settings: Settings,
    pub feeds: &'s [Tensor],
    pub weights: &'s Weights,
}

/// The two-sided difference quotient for every chosen component of every tensor.
pub(super) fn differences(place: &Place<'_, '_>, chosen: &[Vec<usize>]) -> Vec<Vec<f64>> {
    let mut jobs: Vec<(Handle<ParamTensor>, Range<usize>)> = Vec::new();
    for (handle, chosen) in place.graph.params.handles().zip(chosen) {
        let starts = (0..chosen.len()).step_by(JOB);
        jobs.extend(starts.map(|start| (handle, start..(start + JOB).min(chosen.len()))));
    }
    let results: Vec<Mutex<Vec<f64>>> = jobs.iter().map(|_| Mutex::new(Vec::new())).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut sweep = Sweep::new(place);
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some((param, range)) = jobs.get(i) else { break };
            let quotients = sweep.job(*param, &chosen[param.index()][range.clone()]);
            *results[i].lock().unwrap_or_else(PoisonError::into_inner) = quotients;
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if cost(place.graph, batch(place), usize::MAX) < WORTH_A_THREAD {
        1
    } else {
        cores.min(jobs.len()).max(1)
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut quotients: Vec<Vec<f64>> = chosen.iter().map(|_| Vec::new()).collect();
    for ((param, _), result) in jobs.into_iter().zip(results) {
        quotients[param.index()].extend(result.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    quotients
}

/// Rows in the batch.
pub(super) fn batch(place: &Place<'_, '_>) -> usize {
    place.feeds.first().map_or(1, |feed| feed.dims[0])
}

/// One thread's values and weights.
struct Sweep<'s, 'g> {
    place: &'s Place<'s, 'g>,
    session: Session<'g, f64>,
    weights: Weights,
    penalty: f64,
    current: Option<(Handle<ParamTensor>, Vec<Handle<Node>>)>,
}

impl<'s, 'g> Sweep<'s, 'g> {
    fn new(place: &'s Place<'s, 'g>) -> Self {
        let mut session = Session::new(place.graph, batch(place), Keep::All);
        let point = place.weights.at(place.feeds);
        session.forward(&point, place.settings, Tapes::Record);
        let penalty = if place.settings.penalties { session.penalty(&point) } else { 0.0 };
        Self { place, session, weights: place.weights.clone(), penalty, current: None }
    }

    fn job(&mut self, param: Handle<ParamTensor>, chosen: &[usize]) -> Vec<f64> {
        let known = self.current.take().filter(|(of, _)| *of == param);
        if known.is_none() {
            // What another tensor moved must stand where it was.
            let point = self.weights.at(self.place.feeds);
            self.session.forward(&point, self.place.settings, Tapes::Replay);
        }
        let (_, nodes) = known.unwrap_or_else(|| (param, downstream(self.place.graph, param)));
        let quotients = chosen.iter().map(|&i| self.quotient(param, &nodes, i)).collect();
        self.current = Some((param, nodes));
        quotients
    }

    fn quotient(&mut self, param: Handle<ParamTensor>, nodes: &[Handle<Node>], i: usize) -> f64 {
        let w = self.weights.params[param.index()].data[i];
        let h = STEP * w.abs().max(1.0);
        let (above, below) = (w + h, w - h);
        let difference = self.loss_at(param, nodes, i, above, w) - self.loss_at(param, nodes, i, below, w);
        self.weights.params[param.index()].data[i] = w;
        // The step that was really taken, so that the rounding of w + h does not enter.
        difference / (above - below)
    }

    fn loss_at(
        &mut self,
        param: Handle<ParamTensor>,
        nodes: &[Handle<Node>],
        i: usize,
        x: f64,
        w: f64,
    ) -> f64 {
        self.weights.params[param.index()].data[i] = x;
        let point = self.weights.at(self.place.feeds);
        self.session.rerun(nodes, &point, self.place.settings, Tapes::Replay);
        self.session.objective(self.place.objective, &point) + self.penalty + self.penalty_change(param, w, x)
    }

    /// What moving one component from `from` to `to` changes in the penalties.
    fn penalty_change(&self, param: Handle<ParamTensor>, from: f64, to: f64) -> f64 {
        let graph = self.place.graph;
        let covering = graph.penalties.iter().filter(|penalty| penalty.covers(&graph.params[param]));
        let change =
            |order: u8| if order == 1 { to.abs() - from.abs() } else { 0.5 * (to - from) * (to + from) };
        if self.place.settings.penalties { covering.map(|p| p.factor * change(p.order)).sum() } else { 0.0 }
    }
}

/// The nodes whose values depend on a tensor, in order.
pub(super) fn downstream(graph: Runnable<'_>, param: Handle<ParamTensor>) -> Vec<Handle<Node>> {
    let mut reached = vec![false; graph.nodes.len()];
    for (handle, node) in graph.nodes.iter() {
        let upstream =
            node.inputs.iter().any(|source| matches!(source, Source::Node(input) if reached[input.index()]));
        reached[handle.index()] = upstream || node.params.contains(&param);
    }
    graph.nodes.handles().filter(|handle| reached[handle.index()]).collect()
}

/// Multiplications and additions of two forward runs for at most `most` components of each tensor, with what lies before reused.
pub(super) fn cost(graph: Runnable<'_>, batch: usize, most: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    graph
        .params
        .iter()
        .map(|(handle, param)| {
            let flops: f64 =
                downstream(graph, handle).iter().map(|node| graph.nodes[*node].flops as f64).sum();
            2.0 * param.spec.elements().min(most) as f64 * flops * batch as f64
        })
        .sum()
}
