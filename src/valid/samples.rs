//! The batches that checks run on: rows of the training split where there is data, else what the declarations say.

use super::chains::{self, Chain};
use crate::data::{self, Split, Statistics};
use crate::diag::Diagnostics;
use crate::graph::{FeedKind, Graph};
use crate::inits;
use crate::moments::Moments;
use crate::source::Loader;
use crate::tensor::{Draws, Tensor, stream};

/// Rows for every feed of a graph.
#[derive(Clone, Debug)]
pub struct Samples {
    /// By the index of the feed's handle; axis 0 counts the rows.
    feeds: Vec<Tensor>,
    /// How many rows there are.
    rows: usize,
    /// Whether they come from the data set.
    pub real: bool,
    /// What the fitted steps and the way back make of all rows, where they come from the data set.
    pub chains: Vec<Chain>,
}

impl Samples {
    /// The first rows of the training split.
    ///
    /// # Errors
    /// What is wrong with the data.
    pub fn load(
        graph: &Graph,
        statistics: &Statistics,
        most: usize,
        loader: &dyn Loader,
    ) -> Result<Option<Self>, Diagnostics> {
        let Some(plan) = &graph.data else { return Ok(None) };
        let split = if plan.splits().contains(&Split::Train) { Split::Train } else { Split::All };
        let loaded = data::load(plan, split, statistics, most, 0, loader)?;
        let drawn = Self::draw(graph, loaded.rows, 0);
        let mut feeds = drawn.feeds;
        for (i, (_, feed)) in graph.feeds.iter().enumerate() {
            if let Some(rows) = loaded.groups.get(&feed.name) {
                let dims =
                    feed.shape.as_ref().map_or(rows.dims.clone(), |shape| shape.with_batch(loaded.rows));
                feeds[i] = Tensor::new(dims, rows.data.clone());
            }
        }
        let chains = chains::follow(plan, statistics, loader)?;
        Ok(Some(Self { feeds, rows: loaded.rows, real: true, chains }))
    }

    /// Standard normal inputs, uniform classes and tokens; inputs of a stated range are uniform in it and pass their declared chain.
    #[must_use]
    pub fn draw(graph: &Graph, rows: usize, seed: u64) -> Self {
        let feeds = graph
            .feeds
            .iter()
            .map(|(handle, feed)| {
                let shape = feed.shape.clone().unwrap_or_default();
                let draws = Draws { seed, stream: stream(&format!("feed/{}", feed.name)) };
                // Rows are drawn as they are declared; a step may leave columns out.
                let raw =
                    feed.raw.clone().filter(|_| !feed.chain.is_empty()).unwrap_or_else(|| shape.clone());
                let n = raw.elements() * rows;
                let uniform = |scale: f64| draws.uniform().take(n).map(|u| u * scale).collect::<Vec<f64>>();
                let mut data = match &feed.kind {
                    FeedKind::Real => match feed.range {
                        Some((lo, hi)) => uniform(hi - lo).into_iter().map(|x| lo + x).collect(),
                        None => inits::standard_normal(n, draws),
                    },
                    FeedKind::Unit => uniform(1.0),
                    FeedKind::Byte => uniform(256.0).into_iter().map(f64::floor).collect(),
                    FeedKind::Int => {
                        tokens(graph.vocabulary(handle).unwrap_or(2), shape.elements(), rows, draws)
                    }
                    FeedKind::Class(classes, _) => {
                        let classes = classes.unwrap_or_else(|| implied_classes(graph));
                        #[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
                        let most = classes as f64;
                        uniform(most).into_iter().map(f64::floor).collect()
                    }
                    FeedKind::OneHot => indicators(shape.elements(), rows, draws),
                };
                if !feed.chain.is_empty() {
                    let mut transformed = Vec::with_capacity(data.len());
                    for row in data.chunks(raw.elements().max(1)) {
                        let mut row = row.to_vec();
                        for step in feed.chain.iter().filter(|step| step.transform.fit().is_none()) {
                            step.transform.apply(&raw, None, &mut row);
                        }
                        transformed.extend(row);
                    }
                    data = transformed;
                }
                Tensor::new(shape.with_batch(rows), data)
            })
            .collect();
        Self { feeds, rows, real: false, chains: Vec::new() }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A batch of `size` rows from `start` on, wrapping around.
    #[must_use]
    pub fn batch(&self, start: usize, size: usize) -> Vec<Tensor> {
        let rows: Vec<usize> = (0..size).map(|i| (start + i) % self.rows.max(1)).collect();
        self.pick(&rows)
    }

    /// The named rows, in the given order.
    #[must_use]
    pub fn pick(&self, rows: &[usize]) -> Vec<Tensor> {
        self.feeds
            .iter()
            .map(|feed| {
                let width: usize = feed.dims[1..].iter().product();
                let data = rows
                    .iter()
                    .flat_map(|&row| &feed.data[row * width..(row + 1) * width])
                    .copied()
                    .collect();
                let mut dims = feed.dims.clone();
                dims[0] = rows.len();
                Tensor::new(dims, data)
            })
            .collect()
    }

    /// The moments that the rows of a batch have: what the signal analysis starts from when it is compared with a measurement.
    #[must_use]
    pub fn moments(graph: &Graph, feeds: &[Tensor]) -> Vec<Moments> {
        let of = |(handle, batch)| match graph.vocabulary(handle) {
            Some(_) => of_tokens(batch),
            None => moments(batch),
        };
        graph.feeds.handles().zip(feeds).map(of).collect()
    }
}

/// The moments of a batch: E x^2, E x, and E x x' over all pairs of different rows.
#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
fn moments(batch: &Tensor) -> Moments {
    let rows = batch.dims[0];
    let n = batch.data.len() as f64;
    if n == 0.0 {
        return Moments::ZERO;
    }
    let width = batch.data.len() / rows.max(1);
    let square = batch.data.iter().map(|x| x * x).sum::<f64>() / n;
    let mean = batch.data.iter().sum::<f64>() / n;
    let cross = if rows > 1 {
        // sum over pairs of x x' = ((sum x)^2 - sum x^2), element by element.
        let pairs: f64 = (0..width)
            .map(|i| {
                let sum: f64 = batch.data[i..].iter().step_by(width).sum();
                let squares: f64 = batch.data[i..].iter().step_by(width).map(|x| x * x).sum();
                sum * sum - squares
            })
            .sum();
        pairs / (n * (rows as f64 - 1.0))
    } else {
        mean * mean
    };
    let moments = Moments { spread: scatter(&batch.data, width), ..Moments::new(square, mean, cross) };
    match batch.dims[..] {
        [_, positions, features] if positions > 1 && square > 0.0 => {
            Moments { variety: 1.0 - beside(&batch.data, positions, features) / square, ..moments }
        }
        _ => moments,
    }
}

/// The moments of the indicators of a batch of tokens: two places agree as often as they do in the batch, of which there are few pairs.
fn of_tokens(batch: &Tensor) -> Moments {
    let rows = batch.dims[0];
    let width = batch.data.len() / rows.max(1);
    let across = (0..width).map(|at| batch.data[at..].iter().step_by(width).copied().collect());
    let within = batch.data.chunks(width.max(1)).map(<[f64]>::to_vec);
    let apart = |lines: Vec<Vec<f64>>| 1.0 - agreement(&lines);
    let (contrast, variety) = (apart(across.collect()), apart(within.collect()));
    Moments { contrast, variety, ..Moments::STANDARD }
}

/// The share of pairs of equal numbers among all pairs of a line, over lines of the same length.
#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
fn agreement(lines: &[Vec<f64>]) -> f64 {
    let pairs = |n: f64| n * (n - 1.0);
    let (mut equal, mut all) = (0.0, 0.0);
    for line in lines {
        let mut line = line.clone();
        line.sort_by(f64::total_cmp);
        equal += line.chunk_by(|a, b| a == b).map(|same| pairs(same.len() as f64)).sum::<f64>();
        all += pairs(line.len() as f64);
    }
    if all > 0.0 { equal / all } else { 0.0 }
}

/// E x x' over all pairs of different positions of a row.
#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
fn beside(data: &[f64], positions: usize, features: usize) -> f64 {
    let pairs: f64 = data
        .chunks_exact(positions * features)
        .flat_map(|row| (0..features).map(move |feature| row[feature..].iter().step_by(features)))
        .map(|line| line.clone().sum::<f64>().powi(2) - line.map(|x| x * x).sum::<f64>())
        .sum();
    pairs / (data.len() as f64 * (positions as f64 - 1.0))
}

/// The variance over rows of ln of the mean square of a row; rows of zeros have no logarithm.
fn scatter(data: &[f64], width: usize) -> f64 {
    let squares = data.chunks(width.max(1)).map(|row| row.iter().map(|x| x * x).sum::<f64>());
    let ln: Vec<f64> = squares.filter(|square| *square > 0.0).map(f64::ln).collect();
    super::scale::mean_and_variance(&ln).1
}

/// Uniform tokens, of which every fourth repeats one of those before it as far as a row is long: what adds up at repeated tokens is
/// met however large the vocabulary is, and each token is still as likely as any other.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "vocabularies are far below 2^53"
)]
fn tokens(vocabulary: usize, width: usize, rows: usize, draws: Draws) -> Vec<f64> {
    let mut drawn = Vec::with_capacity(width * rows);
    let mut uniform = draws.uniform();
    let mut next = |n: usize| uniform.next().map_or(0, |u| (u * n as f64) as usize);
    for at in 0..width * rows {
        let repeats = next(4) == 0 && at > 0;
        let token = if repeats { drawn[at - 1 - next(at.min(width))] } else { next(vocabulary) as f64 };
        drawn.push(token);
    }
    drawn
}

/// Rows of zeros with a one at a class, each class as likely as the others.
#[expect(clippy::cast_precision_loss, reason = "class counts are far below 2^53")]
fn indicators(classes: usize, rows: usize, draws: Draws) -> Vec<f64> {
    let row = |u: f64| {
        let chosen = (u * classes as f64).floor();
        (0..classes).map(move |class| if class as f64 == chosen { 1.0 } else { 0.0 })
    };
    draws.uniform().take(rows).flat_map(row).collect()
}

/// The number of classes that the loss can tell apart, where the target does not say.
fn implied_classes(graph: &Graph) -> usize {
    let logits = graph.loss.and_then(|loss| graph.shape(graph.nodes[loss].inputs[0]));
    logits.and_then(crate::tensor::Shape::last).unwrap_or(1)
}
