//! The differences of every chosen component, by the methods that the plan chooses.
//!
//! The work is divided into jobs that depend on the graph and the batch alone; threads take them in turn, and each job gives the same
//! numbers on any thread, so that the result does not depend on their number.

use super::plain::{Plain, noise};
use super::plan::{self, Method, Task};
use super::{BUDGET, STEP, columns, stacked};
use crate::exec::{Keep, Objective, Point, Session, Settings, Stack, Tapes, Weights};
use crate::graph::{Handle, Node, ParamTensor, Runnable, Source};
use crate::scalar::Scalar;
use crate::tensor::{Shape, Tensor};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Components that one thread takes at a time where they are cheap or run one by one.
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
    pub point: &'s Point<'s>,
    /// A run at the point that recorded its decisions and kept all values.
    pub base: &'s Session<'g, f64>,
    /// The terms of the objective there, one a sample.
    pub terms: Vec<f64>,
}

impl Place<'_, '_> {
    /// Rows in the batch.
    pub fn batch(&self) -> usize {
        self.base.batch()
    }

    /// The tensors of a node, one of them moved.
    pub fn params<'a>(&'a self, node: Handle<Node>, slot: usize, moved: &'a [f64]) -> Vec<&'a [f64]> {
        let of = |(at, param): (usize, &Handle<ParamTensor>)| {
            if at == slot { moved } else { &self.weights.params[param.index()].data[..] }
        };
        self.graph.nodes[node].params.iter().enumerate().map(of).collect()
    }

    /// The objective for other tensors and feeds, in another scalar and with decisions taken anew.
    pub fn loss_at<S: Scalar>(&self, params: &[Vec<f64>], feeds: &[Vec<f64>]) -> S {
        let point = self.point_at(params, feeds);
        let mut session: Session<'_, S> = Session::new(self.graph, self.batch(), Keep::Result);
        session.forward(&point, self.settings, Tapes::Live);
        session.loss(self.objective, &point, self.settings)
    }

    /// Other tensors and feeds with the states of this place.
    pub fn point_at<'a>(&'a self, params: &'a [Vec<f64>], feeds: &'a [Vec<f64>]) -> Point<'a> {
        Point {
            params: params.iter().map(Vec::as_slice).collect(),
            states: self.weights.states.iter().map(|state| &*state.data).collect(),
            feeds: feeds.iter().map(Vec::as_slice).collect(),
        }
    }

    /// The share of one sample in the objective.
    pub fn share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "batches are far below 2^53")]
        let share = 1.0 / self.batch() as f64;
        share
    }
}

/// The differences of one tensor.
pub(super) struct Numeric {
    /// The components.
    pub chosen: Vec<usize>,
    /// One for each of them.
    pub quotients: Vec<f64>,
    /// What rounding does to all of them together, about, in the 2-norm.
    pub noise: f64,
    pub method: Method,
}

/// The two places of a difference around x. The step that was really taken is their difference, so that rounding of x + h does not
/// enter.
pub(super) fn step(x: f64) -> [f64; 2] {
    let h = STEP * x.abs().max(1.0);
    [x + h, x - h]
}

/// Something that one thread does at a time.
enum Job {
    /// Components of a tensor, one by one.
    Plain(usize, usize, Range<usize>),
    /// Components of a tensor in a stack.
    Components(usize, usize, Range<usize>),
    /// Outputs of a node in a stack.
    Outputs(usize, Range<usize>),
}

/// What one thread works with.
struct Worker<'s, 'g> {
    stack: Stack<'s, 'g>,
    plain: Option<Plain<'s, 'g>>,
}

/// The two-sided difference quotient for every chosen component of every tensor.
pub(super) fn differences(
    place: &Place<'_, '_>,
    mut chosen: Vec<Vec<usize>>,
    asked: Option<Method>,
) -> Vec<Numeric> {
    if chosen.iter().all(Vec::is_empty) {
        let none =
            || Numeric { chosen: Vec::new(), quotients: Vec::new(), noise: 0.0, method: Method::Plain };
        return chosen.iter().map(|_| none()).collect();
    }
    let rows = place.batch();
    let counts: Vec<usize> = chosen.iter().map(Vec::len).collect();
    let tasks = plan::tasks(place.graph, place.objective, place.settings.mode, rows, &counts, asked);
    let cost: f64 = tasks.iter().map(|task| task.cost).sum();
    let cores =
        if cost < WORTH_A_THREAD { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let worker = || Worker { stack: Stack::new(place.base, place.point, place.settings), plain: None };
    let right = pool(cores, &tasks, worker, |worker, task| {
        !matches!(task.method, Method::RankOne | Method::Factorised)
            || columns::agree(place, task, &chosen, &mut worker.stack)
    });
    let tasks = plan::plainly(tasks, |i| !right[i]);
    for task in &tasks {
        thin(place, task, &mut chosen);
    }
    let chosen = &chosen[..];
    let jobs = jobs(place, &tasks, chosen);
    let results = pool(cores, &jobs, worker, |worker, job| match job {
        Job::Plain(task, at, range) => {
            let (_, param) = tasks[*task].params[*at];
            let plain = worker.plain.get_or_insert_with(|| Plain::new(place));
            plain.job(param, &chosen[param.index()][range.clone()])
        }
        Job::Components(task, at, range) => {
            let (slot, param) = tasks[*task].params[*at];
            let chosen = &chosen[param.index()][range.clone()];
            stacked::components(place, &tasks[*task], slot, chosen, &mut worker.stack)
        }
        Job::Outputs(task, range) => stacked::outputs(place, &tasks[*task], range.clone(), &mut worker.stack),
    });
    let mut numeric: Vec<Numeric> = chosen
        .iter()
        .map(|chosen| Numeric {
            chosen: chosen.clone(),
            quotients: vec![0.0; chosen.len()],
            noise: 0.0,
            method: Method::Plain,
        })
        .collect();
    let mut slopes: Vec<Vec<f64>> = tasks.iter().map(|_| Vec::new()).collect();
    for (job, result) in jobs.iter().zip(results) {
        match job {
            Job::Plain(task, at, range) | Job::Components(task, at, range) => {
                let quotients = &mut numeric[tasks[*task].params[*at].1.index()].quotients;
                quotients[range.clone()].iter_mut().zip(result).for_each(|(sum, part)| *sum += part);
            }
            Job::Outputs(task, _) => slopes[*task].extend(result),
        }
    }
    let sums: Vec<(usize, usize, Range<usize>)> = tasks
        .iter()
        .enumerate()
        .filter(|(_, task)| task.method == Method::Factorised)
        .flat_map(|(i, task)| {
            let each = task.params.iter().enumerate();
            each.flat_map(move |(at, (_, param))| {
                ranges(chosen[param.index()].len(), JOB * JOB).map(move |range| (i, at, range))
            })
        })
        .collect();
    let products = pool(cores, &sums, worker, |worker, (task, at, range)| {
        let (slot, param) = tasks[*task].params[*at];
        let chosen = &chosen[param.index()][range.clone()];
        stacked::products(place, &tasks[*task], slot, chosen, &slopes[*task], &mut worker.stack)
    });
    // The sums of squares of what rounding does, over the uses of each tensor.
    let mut noises: Vec<f64> = chosen.iter().map(|_| 0.0).collect();
    for ((task, at, range), products) in sums.iter().zip(products) {
        let tensor = tasks[*task].params[*at].1.index();
        let quotients = &mut numeric[tensor].quotients[range.clone()];
        for (sum, [quotient, noise]) in quotients.iter_mut().zip(products) {
            *sum += quotient;
            noises[tensor] += noise * noise;
        }
    }
    for task in &tasks {
        for (_, param) in &task.params {
            numeric[param.index()].method = task.method;
            if task.method != Method::Factorised {
                noises[param.index()] += norm(chosen[param.index()].len(), place).powi(2);
            }
        }
    }
    for (param, of) in place.graph.params.handles().zip(&mut numeric) {
        of.noise = noises[param.index()].sqrt();
        for (quotient, &i) in of.quotients.iter_mut().zip(&chosen[param.index()]) {
            *quotient += stacked::penalty(place, param, i);
        }
    }
    numeric
}

/// Leaves out components of a task that runs plainly, where all of them would cost more than the whole check may: some are kept, evenly spaced, and the
/// last one.
fn thin(place: &Place<'_, '_>, task: &Task, chosen: &mut [Vec<usize>]) {
    let count: usize = task.params.iter().map(|(_, param)| chosen[param.index()].len()).sum();
    if task.method != Method::Plain || count == 0 {
        return;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
    let most = (BUDGET / plan::plain_cost(place.graph, task, place.batch()).max(1.0)).max(1.0) as usize;
    if count <= most {
        return;
    }
    let step = count.div_ceil(most);
    for (_, param) in &task.params {
        let of = &mut chosen[param.index()];
        let last = of.last().copied();
        let kept: Vec<usize> = of.iter().copied().step_by(step).chain(last).collect();
        *of = kept;
        of.dedup();
    }
}

/// What rounding of the loss does to the quotients of so many components, in the 2-norm.
#[expect(clippy::cast_precision_loss, reason = "component counts are far below 2^53")]
fn norm(components: usize, place: &Place<'_, '_>) -> f64 {
    (components as f64).sqrt() * noise(place.terms.iter().sum::<f64>() * place.share())
}

/// What is to be done, in the order of tasks, tensors and components.
fn jobs(place: &Place<'_, '_>, tasks: &[Task], chosen: &[Vec<usize>]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (i, task) in tasks.iter().enumerate() {
        let pairs = stacked::pairs(task, place.batch());
        if task.method == Method::Factorised {
            let wanted = task.params.iter().any(|(_, param)| !chosen[param.index()].is_empty());
            let outputs = place.graph.nodes[task.node].shape.as_ref().map_or(0, Shape::elements);
            jobs.extend(ranges(if wanted { outputs } else { 0 }, pairs).map(|range| Job::Outputs(i, range)));
            continue;
        }
        for (at, (_, param)) in task.params.iter().enumerate() {
            let n = chosen[param.index()].len();
            if task.method == Method::Plain {
                jobs.extend(ranges(n, JOB).map(|range| Job::Plain(i, at, range)));
            } else {
                jobs.extend(ranges(n, pairs).map(|range| Job::Components(i, at, range)));
            }
        }
    }
    jobs
}

/// `0..n` in pieces.
fn ranges(n: usize, piece: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(piece).map(move |start| start..(start + piece).min(n))
}

/// What `run` makes of every job, in the order of the jobs; threads take them in turn.
fn pool<J: Sync, R: Send, W>(
    threads: usize,
    jobs: &[J],
    worker: impl Fn() -> W + Sync,
    run: impl Fn(&mut W, &J) -> R + Sync,
) -> Vec<R> {
    let results: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = worker();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(i) else { break };
            let result = run(&mut worker, job);
            *results[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done = results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.map(|result| result.unwrap_or_else(|| panic!("internal: a job was left out"))).collect()
}

/// The nodes whose values depend on a tensor, in order.
pub(in crate::valid) fn downstream(graph: Runnable<'_>, param: Handle<ParamTensor>) -> Vec<Handle<Node>> {
    let mut reached = vec![false; graph.nodes.len()];
    for (handle, node) in graph.nodes.iter() {
        let upstream =
            node.inputs.iter().any(|source| matches!(source, Source::Node(input) if reached[input.index()]));
        reached[handle.index()] = upstream || node.params.contains(&param);
    }
    graph.nodes.handles().filter(|handle| reached[handle.index()]).collect()
}
