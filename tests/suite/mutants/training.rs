//! Whether a mutant trains: the protocol of the grid from which the thresholds were taken (research: static.md 3.2).
//!
//! Ten classes of six clusters each, centres standard normal, noise of 0.35, every column standardised over 4096 rows; 600 steps on batches
//! of 128; accuracy over the batches of the last 40 steps; the best of three learning rates for gradient descent with momentum 0.9
//! (0.01, 0.1, 1; behind batch or layer norm 0.001, 0.01, 0.1), of two for Adam (3e-4, 3e-3). It trains if that is at least 0.9.
//! As there, everything is computed in single precision, in which a network can forget what double precision still tells apart.
//! What differs from the grid: the input has as many columns as the spec says, a classifier of fewer classes gets as many as it has,
//! and a rate at which 0.9 is reached ends the search.

use super::single::{Single, round};
use super::truth::is_adam;
use wellposed::exec::{Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use wellposed::graph::{Graph, Optimizer, Runnable, Source, Verified};
use wellposed::inits::standard_normal;
use wellposed::ops::Category;
use wellposed::optim;
use wellposed::tensor::{Draws, Mode, Tensor, stream};

const CLASSES: usize = 10;
const CLUSTERS: usize = 6;
const ROWS: usize = 4096;
const STEPS: usize = 600;
const BATCH: usize = 128;
/// Steps at the end over which accuracy is averaged.
const JUDGED: usize = 40;
/// From which accuracy on a mutant counts as one that trains.
pub const TRAINED: f64 = 0.9;

/// Multiplications of one training run, roughly.
pub fn cost(graph: &Graph) -> usize {
    let once: usize = graph.layers().map(|(_, node)| node.flops).sum();
    once.saturating_mul(3 * BATCH * STEPS)
}

/// How many classes a graph tells apart by numbers, one for each row; `None` if it is no such classifier. Tokens form no clusters.
pub fn classes(graph: &Graph) -> Option<usize> {
    let loss = &graph.nodes[graph.loss?];
    let logits = graph.shape(*loss.inputs.first()?)?;
    let numbers = graph.feeds.iter().all(|(_, feed)| feed.target || feed.differentiable());
    (numbers && loss.op.name() == "cross_entropy" && logits.rank() == 2).then(|| logits.elements())
}

/// Where accuracy is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// On the batches of the last steps, in training.
    Training,
    /// On all rows after the last step, as in use.
    Use,
}

/// The learning rates that a graph is trained at.
pub fn rates(graph: &Graph) -> &'static [f64] {
    let normed = graph.layers().any(|(_, node)| node.op.category() == Category::Norm);
    match (is_adam(graph), normed) {
        (true, _) => &[3e-3, 3e-4],
        (false, true) => &[0.1, 0.01, 0.001],
        (false, false) => &[0.1, 0.01, 1.0],
    }
}

/// The optimiser of a graph at a learning rate.
pub fn with_rate(graph: &Graph, lr: f64) -> Optimizer {
    if is_adam(graph) {
        Optimizer::Adam { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: None }
    } else {
        Optimizer::Sgd { lr, momentum: 0.9 }
    }
}

/// The best accuracy over the learning rates.
pub fn accuracy(graph: &Verified<Graph>) -> f64 {
    let mut best = 0.0f64;
    for &lr in rates(graph) {
        best = best.max(run(graph, &with_rate(graph, lr), 0, Judged::Training));
        if best >= TRAINED {
            break;
        }
    }
    best
}

/// The accuracy after training from one draw of the weights.
pub fn run(graph: &Verified<Graph>, optimizer: &Optimizer, seed: u64, judged: Judged) -> f64 {
    let rows = Rows::draw(graph);
    let mut picks = uniform("batches", STEPS * BATCH, ROWS).into_iter();
    let mut weights = Weights::draw(graph, seed);
    round_all(&mut weights.params);
    let runnable = Runnable::new(graph).expect("a complete graph");
    let mut session: Session<'_, Single> = Session::new(runnable, BATCH, Keep::All);
    let mut gradients = Gradients::zeros::<Single>(graph, BATCH);
    let mut memory = optim::Memory::default();
    let Some(Source::Node(logits)) = graph.prediction() else { return 0.0 };
    let mut right = 0;
    for step in 0..STEPS {
        let chosen: Vec<usize> = picks.by_ref().take(BATCH).collect();
        let feeds = rows.pick(&chosen);
        let settings = Settings { mode: Mode::Train, seed: step as u64, penalties: false };
        let point = weights.at(&feeds);
        session.forward(&point, settings, Tapes::Live);
        let out = session.value(logits).plane(0);
        if !out.iter().all(|x| x.is_finite()) {
            return 0.0;
        }
        if judged == Judged::Training && step >= STEPS - JUDGED {
            right += rows.right(out, &chosen);
        }
        session.backward(&Objective::Loss, &point, settings, &Registry, &mut gradients);
        optim::step(optimizer, &gradients, &mut memory, &mut weights);
        round_all(&mut weights.params);
    }
    if judged == Judged::Training {
        return size(right) / size(JUDGED * BATCH);
    }
    let settings = Settings { mode: Mode::Eval, seed: 0, penalties: false };
    for chosen in (0..ROWS).collect::<Vec<_>>().chunks(BATCH) {
        let feeds = rows.pick(chosen);
        session.forward(&weights.at(&feeds), settings, Tapes::Live);
        right += rows.right(session.value(logits).plane(0), chosen);
    }
    size(right) / size(ROWS)
}

fn round_all(tensors: &mut [Tensor]) {
    tensors.iter_mut().flat_map(|tensor| &mut tensor.data).for_each(|x| *x = round(*x));
}

fn largest(row: &[f64]) -> usize {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i)
}

/// The data set: columns for every input of the graph, and labels.
struct Rows {
    /// By feed; one row behind the other.
    columns: Vec<Tensor>,
    labels: Vec<usize>,
}

impl Rows {
    fn draw(graph: &Graph) -> Self {
        let count = classes(graph).expect("a classifier").min(CLASSES);
        let labels = uniform("labels", ROWS, count);
        let clusters = uniform("clusters", ROWS, CLUSTERS);
        let mut columns: Vec<Tensor> = graph
            .feeds
            .iter()
            .map(|(_, feed)| {
                let shape = feed.shape.clone().expect("a known shape");
                if feed.target {
                    let data = labels.iter().map(|label| size(*label)).collect();
                    return Tensor::new(shape.with_batch(ROWS), data);
                }
                let width = shape.elements();
                let name = |what: &str| Draws { seed: 0, stream: stream(&format!("{what}/{}", feed.name)) };
                let centres = standard_normal(count * CLUSTERS * width, name("centres"));
                let mut data = standard_normal(ROWS * width, name("noise"));
                for (row, (label, cluster)) in data.chunks_mut(width).zip(labels.iter().zip(&clusters)) {
                    let centre = &centres[(label * CLUSTERS + cluster) * width..][..width];
                    row.iter_mut().zip(centre).for_each(|(x, centre)| *x = centre + 0.35 * *x);
                }
                standardise(&mut data, width);
                Tensor::new(shape.with_batch(ROWS), data)
            })
            .collect();
        round_all(&mut columns);
        Self { columns, labels }
    }

    /// How many of some rows have their label where their logits are largest.
    fn right(&self, logits: &[f64], rows: &[usize]) -> usize {
        let guesses = logits.chunks(logits.len() / rows.len()).map(largest);
        guesses.zip(rows).filter(|(guess, row)| *guess == self.labels[**row]).count()
    }

    fn pick(&self, rows: &[usize]) -> Vec<Tensor> {
        let one = |all: &Tensor| {
            let width = all.data.len() / ROWS;
            let data = rows.iter().flat_map(|row| &all.data[row * width..][..width]).copied().collect();
            let mut dims = all.dims.clone();
            dims[0] = rows.len();
            Tensor::new(dims, data)
        };
        self.columns.iter().map(one).collect()
    }
}

/// Mean 0 and variance 1 in every column.
fn standardise(data: &mut [f64], width: usize) {
    for i in 0..width {
        let column = || data[i..].iter().step_by(width);
        let n = size(column().count());
        let mean = column().sum::<f64>() / n;
        let deviation = (column().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        data[i..].iter_mut().step_by(width).for_each(|x| *x = (*x - mean) / deviation);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn size(n: usize) -> f64 {
    n as f64
}

/// Whole numbers below `most`, all equally likely.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number in 0..most")]
fn uniform(what: &str, count: usize, most: usize) -> Vec<usize> {
    let draws = Draws { seed: 0, stream: stream(what) };
    draws.uniform().take(count).map(|u| (u * size(most)) as usize).collect()
}
