//! Where laws run a model.
//!
//! Contract: a [`Lab`] runs a graph as a session does and hands what came out as plain numbers, so that a law is a statement about
//! numbers. Runs of a case as it was drawn are kept, because most laws look at the same ones. A test can hand in a [`Fault`]
//! that changes what came out: a law that does not notice its own fault is no law.

use super::{Case, Subject};
use crate::exec::{Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use crate::graph::{FeedKind, Graph, Handle, Node, Runnable, Source, Verified};
use crate::inits::standard_normal;
use crate::ops::Role;
use crate::tensor::{Draws, Mode, Tensor, stream};
use crate::valid::gradcheck::objective;
use crate::valid::naive;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// What came out of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// By node.
    pub values: Vec<Vec<f64>>,
    /// By node: the derivative by its value; empty without a reverse run, and where none arrives.
    pub cotangents: Vec<Vec<f64>>,
    /// By trainable tensor: the derivative, without that of penalties; empty without a reverse run.
    pub gradients: Vec<Vec<f64>>,
    /// The loss without penalties, or what stands for it in a graph without a loss.
    pub loss: f64,
    /// The sum of the penalties.
    pub penalty: f64,
    /// The bytes of a weights file, where one was written in place of a run.
    pub file: Vec<u8>,
}

/// How a model is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Training or use.
    pub mode: Mode,
    /// The seed of what is drawn while running.
    pub seed: u64,
    /// The number of rows.
    pub batch: usize,
}

/// What spoils the result of a run.
pub type Spoil = dyn Fn(&Graph, Run, &mut Ran);

/// Something that goes wrong in every run.
#[derive(Clone, Copy, Default)]
pub struct Fault<'a>(pub Option<&'a Spoil>);

impl fmt::Debug for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a fault" } else { "no fault" })
    }
}

/// Runs and weights that take more numbers than this are not kept.
const KEPT: usize = 1 << 20;
/// How many of either are kept.
const ROOM: usize = 64;

/// What is known of cases.
type Kept<T> = RefCell<Vec<(Case, Mode, Rc<T>)>>;

/// A place to run a subject.
#[derive(Debug)]
pub struct Lab<'a> {
    /// What is run.
    pub subject: Subject<'a>,
    fault: Fault<'a>,
    kept: Kept<Ran>,
    /// By node.
    bounds: Kept<Vec<f64>>,
    /// By seed: drawing takes longer than running, for orthogonal matrices much longer.
    drawn: Rc<RefCell<Vec<(u64, Weights)>>>,
}

impl<'a> Lab<'a> {
    /// A lab in which `fault` happens.
    #[must_use]
    pub fn new(subject: Subject<'a>, fault: Fault<'a>) -> Self {
        Self { subject, fault, kept: RefCell::default(), bounds: RefCell::default(), drawn: Rc::default() }
    }

    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &'a Graph {
        self.subject.graph
    }

    /// A lab with the same fault for another graph of the same inputs, tensors and nodes; `None` if that graph is incomplete.
    #[must_use]
    pub fn of<'b>(&self, graph: &'b Verified<Graph>) -> Option<Lab<'b>>
    where
        'a: 'b,
    {
        let subject = Subject { graph, runnable: Runnable::new(graph)?, samples: self.subject.samples };
        Some(Lab { drawn: Rc::clone(&self.drawn), ..Lab::new(subject, self.fault) })
    }

    /// Runs forward and, if asked, back.
    #[must_use]
    pub fn run(&self, weights: &Weights, feeds: &[Tensor], mode: Mode, seed: u64, back: bool) -> Ran {
        let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
        let run = Run { mode, seed, batch };
        self.spoilt(run, execute(self.subject.runnable, weights, feeds, run, back))
    }

    /// Runs forward and back on so many threads at once, each of which does the whole.
    #[must_use]
    pub fn at_once(
        &self,
        threads: usize,
        weights: &Weights,
        feeds: &[Tensor],
        mode: Mode,
        seed: u64,
    ) -> Vec<Ran> {
        let batch = feeds.first().map_or(1, |feed| feed.dims[0]);
        let (run, graph) = (Run { mode, seed, batch }, self.subject.runnable);
        let all = std::thread::scope(|scope| {
            let one = || scope.spawn(|| execute(graph, weights, feeds, run, true));
            let workers: Vec<_> = std::iter::repeat_with(one).take(threads).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()).collect::<Vec<Ran>>()
        });
        assert_eq!(all.len(), threads, "internal: a run on another thread ended early");
        all.into_iter().map(|ran| self.spoilt(run, ran)).collect()
    }

    /// What came out, with the fault of this lab.
    #[must_use]
    pub fn spoilt(&self, run: Run, mut ran: Ran) -> Ran {
        if let Some(fault) = self.fault.0 {
            fault(self.subject.graph, run, &mut ran);
        }
        ran
    }

    /// A case as it was drawn, forward and back.
    #[must_use]
    pub fn base(&self, case: Case, mode: Mode) -> Rc<Ran> {
        let known = |(c, m, _): &&(Case, Mode, Rc<Ran>)| *c == case && *m == mode;
        if let Some((_, _, ran)) = self.kept.borrow().iter().find(known) {
            return Rc::clone(ran);
        }
        let (weights, feeds) = self.draw(case);
        let ran = Rc::new(self.run(&weights, &feeds, mode, case.seed, true));
        if ran.values.iter().map(Vec::len).sum::<usize>() < KEPT {
            let mut kept = self.kept.borrow_mut();
            if kept.len() >= ROOM {
                kept.remove(0);
            }
            kept.push((case, mode, Rc::clone(&ran)));
        }
        ran
    }

    /// The weights and the batch of a case.
    #[must_use]
    pub fn draw(&self, case: Case) -> (Weights, Vec<Tensor>) {
        (self.weights(case.seed), self.rows(case))
    }

    /// The batch of a case.
    #[must_use]
    pub fn rows(&self, case: Case) -> Vec<Tensor> {
        let Subject { runnable, samples, .. } = self.subject;
        let start = usize::try_from(case.seed).unwrap_or(0) % samples.rows().max(1);
        let mut feeds = samples.batch(start, case.batch);
        for (feed, (_, declared)) in feeds.iter_mut().zip(runnable.feeds.iter()) {
            if declared.kind == FeedKind::Real && !declared.target {
                case.rows.shape(feed, &declared.name, case.seed);
                feed.data.iter_mut().for_each(|x| *x *= case.scale);
            }
        }
        feeds
    }

    fn weights(&self, seed: u64) -> Weights {
        if let Some((_, weights)) = self.drawn.borrow().iter().find(|(known, _)| *known == seed) {
            return weights.clone();
        }
        let weights = Weights::draw(&self.subject.runnable, seed);
        if weights.params.iter().map(|tensor| tensor.data.len()).sum::<usize>() < KEPT {
            let mut drawn = self.drawn.borrow_mut();
            if drawn.len() >= ROOM {
                drawn.remove(0);
            }
            drawn.push((seed, weights.clone()));
        }
        weights
    }

    /// The node of the prediction.
    #[must_use]
    pub fn output(&self) -> Option<Handle<Node>> {
        match self.subject.runnable.prediction() {
            Some(Source::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// By how much two ways to the same prediction may differ, as a part of its largest magnitude.
    ///
    /// A sum of k terms errs by at most k u relative to the sum of magnitudes (u = 2^-53; Higham 2002, eq. 4.4). Over n nodes with sums of
    /// at most k terms, and the batch for statistics over rows, that is 2 n (k + B) u, times what the net makes of a difference: it is
    /// measured, with inputs (and rows of tables) that differ by a part in 10^12, and a factor of 100 is allowed besides for what arises behind the
    /// input. Deep stacks of batch norms amplify rounding by 10^8; a mistake moves a prediction by its whole size.
    #[must_use]
    pub fn rounding(&self, case: Case, mode: Mode) -> f64 {
        let bounds = self.roundings(case, mode);
        self.output().map_or(0.0, |output| bounds[output.index()])
    }

    /// The same for the value of every node.
    #[must_use]
    pub fn roundings(&self, case: Case, mode: Mode) -> Rc<Vec<f64>> {
        let known = |(c, m, _): &&(Case, Mode, Rc<Vec<f64>>)| *c == case && *m == mode;
        if let Some((_, _, bounds)) = self.bounds.borrow().iter().find(known) {
            return Rc::clone(bounds);
        }
        let graph = self.subject.runnable;
        let longest = graph.params.iter().map(|(_, param)| param.spec.fan_in).max().unwrap_or(1) + case.batch;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let rounding = 100.0 * (graph.nodes.len() * longest) as f64 * f64::EPSILON;
        let (mut weights, mut feeds) = self.draw(case);
        // What tokens stand for is their rows.
        let tables = graph.params.iter().filter(|(_, param)| param.spec.role == Role::Table);
        for (handle, param) in tables {
            nudge(&mut weights.params[handle.index()], case.seed, &param.path);
        }
        for (feed, (_, declared)) in feeds
            .iter_mut()
            .zip(graph.feeds.iter())
            .filter(|(_, (_, d))| !d.target && d.kind == FeedKind::Real)
        {
            nudge(feed, case.seed, &declared.name);
        }
        let moved = self.run(&weights, &feeds, mode, case.seed, false);
        let base = self.base(case, mode);
        let amplified = |(a, b): (&Vec<f64>, &Vec<f64>)| {
            let far = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0f64, f64::max);
            far / (NUDGE * largest(a).max(f64::MIN_POSITIVE))
        };
        let of = |pair| rounding * amplified(pair).max(1.0);
        let bounds = Rc::new(base.values.iter().zip(&moved.values).map(of).collect());
        self.bounds.borrow_mut().push((case, mode, Rc::clone(&bounds)));
        bounds
    }

    /// Whether nodes of the graph draw masks by position in training.
    #[must_use]
    pub fn masked(&self) -> bool {
        let effect = |node: &Node| node.op.effect() == crate::ops::ModeEffect::TrainOnly;
        self.graph().nodes.iter().any(|(_, node)| effect(node))
    }
}

/// One run of a graph.
fn execute(graph: Runnable<'_>, weights: &Weights, feeds: &[Tensor], run: Run, back: bool) -> Ran {
    let Run { mode, seed, batch } = run;
    let settings = Settings { mode, seed, penalties: false };
    let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
    let objective: Objective = objective(graph, seed);
    let point = weights.at(feeds);
    session.forward(&point, settings, Tapes::Live);
    let mut ran = Ran::default();
    if back {
        let mut gradients = Gradients::zeros::<f64>(&graph, batch);
        session.backward(&objective, &point, settings, &Registry, &mut gradients);
        ran.gradients = gradients.params;
        ran.cotangents =
            graph.nodes.handles().map(|node| session.cotangent(node).plane(0).to_vec()).collect();
    }
    ran.values = graph.nodes.handles().map(|node| session.value(node).plane(0).to_vec()).collect();
    ran.loss = session.loss(&objective, &point, settings);
    ran.penalty = session.penalty(&point);
    ran
}

/// How much inputs are moved, relative to their size, to see what the net makes of it.
const NUDGE: f64 = 1e-12;

/// Moves every element by a part of its size.
fn nudge(tensor: &mut Tensor, seed: u64, name: &str) {
    let steps = standard_normal(tensor.data.len(), Draws { seed, stream: stream(name) });
    tensor.data.iter_mut().zip(steps).for_each(|(x, step)| *x *= 1.0 + NUDGE * step);
}

/// The largest magnitude.
#[must_use]
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0f64, |most, x| most.max(x.abs()))
}

/// A number among the arguments of an operator, given or by default.
#[must_use]
pub fn argument(node: &Node, name: &str) -> Option<f64> {
    naive::argument(node, name)?.parse().ok()
}
