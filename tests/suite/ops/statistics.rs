//! Moment and energy rules against draws.
//!
//! A batch of exchangeable samples is drawn: every element is mean + common part + own part, so that any two samples have a stated
//! correlation. The common part has a value of its own in every element; for an operator that takes statistics over the batch, which
//! it takes over positions, too, one value in every channel. Tokens agree as often as numbers correlate. Second moment, mean and cross-moment of the result are averaged over elements and compared with what the moment
//! rule says, once for each of many draws of weights and inputs.
//!
//! Bound: five standard errors over the draws, and what a finite width adds: sums over n elements scatter by 2/n relative to
//! their mean and a smooth function of one moves by half of that, so 4/n of the second moment covers four such sums; n is the
//! length of the last axis, or the batch for an operator that takes statistics over it.

use super::checks::Verdict;
use super::table::{Case, Input, Row};
use super::trial::{Trial, Values};
use wellposed::exec::{Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use wellposed::graph::Runnable;
use wellposed::inits::standard_normal;
use wellposed::moments::{Energy, Moments};
use wellposed::ops::{OpKind, ParamSpec, Response, Role, Transfer};
use wellposed::tensor::{Draws, Mode, Shape, Tensor, stream};

/// How many independent elements are drawn in all, within 48 and 300 draws of weights and inputs: as many as the result has, or
/// as the smallest kernel, whose weights positions share.
const ELEMENTS: usize = 20_000;
/// Samples in a batch.
const BATCH: usize = 24;
/// The last axis of every input is this many times longer than in the manual.
const WIDER: usize = 32;

/// Mean, variance and correlation of the inputs.
pub type Inputs = [(f64, f64, f64); 3];

/// What samples of one operator gave: the average over draws and its standard error.
#[derive(Clone, Copy, Debug)]
struct Measured {
    value: f64,
    error: f64,
}

impl Measured {
    #[expect(clippy::cast_precision_loss, reason = "few draws")]
    fn of(draws: &[f64]) -> Self {
        let n = draws.len() as f64;
        let value = draws.iter().sum::<f64>() / n;
        let variance = draws.iter().map(|x| (x - value).powi(2)).sum::<f64>() / (n - 1.0);
        Self { value, error: (variance / n).sqrt() }
    }

    fn lies_in(self, what: &str, low: f64, high: f64, allowance: f64) -> Verdict {
        let room = 5.0 * self.error + allowance;
        if self.value >= low - room && self.value <= high + room {
            return Ok(());
        }
        Err(format!("{what}: measured {} +- {room} against {low} .. {high}", self.value))
    }
}

/// The row with a longer last axis everywhere; `None` if the operator does not take it.
pub fn widened(row: &Row) -> Option<Case> {
    let wider = |input: &Input| match input {
        Input::Values(sample) => {
            let (last, outer) = sample.split_last()?;
            Some(Input::Values([outer, &[last * WIDER]].concat()))
        }
        Input::Tokens(sample) => {
            let (last, outer) = sample.split_last()?;
            Some(Input::Tokens([outer, &[last * WIDER]].concat()))
        }
        Input::Unit(_) | Input::Labels(_) => None,
    };
    let inputs: Option<Vec<Input>> = row.inputs.iter().map(wider).collect();
    Row { inputs: inputs?, ..row.clone() }.case().ok()
}

/// What draws of an operator have.
pub struct Sample {
    square: Measured,
    mean: Measured,
    cross: Measured,
    /// The energy of the gradient at each input, relative to that at the result, whose elements are independent.
    energies: Vec<Measured>,
    /// What a finite width adds, relative to the second moment.
    allowance: f64,
}

impl Sample {
    /// Draws weights and inputs again and again.
    #[expect(clippy::cast_precision_loss, reason = "widths are small")]
    pub fn draw(case: &Case, inputs: &Inputs) -> Self {
        let graph = Runnable::new(&case.graph).expect("a row without errors runs");
        let mut session = Session::new(graph, BATCH, Keep::All);
        let node = &case.graph.nodes[case.node];
        let outputs = node.shape.as_ref().map_or(1, Shape::elements);
        let kernels = node.params.iter().map(|param| &case.graph.params[*param].spec);
        let kernels =
            kernels.filter(|spec| matches!(spec.role, Role::Kernel | Role::Table)).map(ParamSpec::elements);
        let seeds = (ELEMENTS / kernels.fold(outputs, usize::min)).clamp(48, 300) as u64;
        let draws: Vec<Vec<f64>> = (0..seeds).map(|seed| once(case, &mut session, seed, inputs)).collect();
        let column = |i: usize| Measured::of(&draws.iter().map(|draw| draw[i]).collect::<Vec<_>>());
        let [square, mean, cross] = [0, 1, 2].map(column);
        let energies = (3..3 + node.inputs.len()).map(column).collect();
        let width = node.inputs.iter().filter_map(|source| case.graph.shape(*source)?.last()).min();
        let terms = if node.op.mixes_batch(Mode::Train) { BATCH } else { width.unwrap_or(1) };
        Self { square, mean, cross, energies, allowance: 4.0 / terms as f64 }
    }

    /// Whether `stated` is what the draws have. An interval says nothing exact of mean and cross-moment.
    pub fn agrees(&self, stated: Moments) -> Verdict {
        let (low, high) = (stated.ln_square.lo.exp(), stated.ln_square.hi.exp());
        let allowance = self.allowance * high;
        let (less, more) = (1.0 - self.allowance, 1.0 + self.allowance);
        self.square.lies_in("E y^2", low * less, high * more, 0.0)?;
        if low == high {
            self.mean.lies_in("E y", stated.mean(), stated.mean(), self.allowance * high.sqrt())?;
            let cross = high * (1.0 - stated.contrast);
            self.cross.lies_in("E y y'", cross, cross, allowance)?;
        }
        Ok(())
    }

    /// Whether `stated` is the energy that arrives at the inputs.
    pub fn energies_agree(&self, stated: &[Energy]) -> Verdict {
        if stated.len() != self.energies.len() {
            return Err(format!("{} energies for {} inputs", stated.len(), self.energies.len()));
        }
        for (i, (measured, stated)) in self.energies.iter().zip(stated).enumerate() {
            let (low, high) = (stated.ln.lo.exp(), stated.ln.hi.exp());
            let (less, more) = (1.0 - self.allowance, 1.0 + self.allowance);
            measured.lies_in(&format!("energy at input {i}"), low * less, high * more, 0.0)?;
        }
        Ok(())
    }
}

/// Runs the operator once, averages y^2, y and y y' over elements and samples, and compares the squares of derivatives.
#[expect(clippy::cast_precision_loss, reason = "element counts are small")]
fn once(case: &Case, session: &mut Session<'_, f64>, seed: u64, inputs: &Inputs) -> Vec<f64> {
    let weights = Weights::draw(&case.graph, seed);
    let feeds = case.graph.feeds.iter().zip(inputs.iter().cycle()).map(|((handle, feed), input)| {
        let (mean, variance, correlation) = *input;
        let n = feed.shape.as_ref().map_or(0, Shape::elements);
        if let Some(vocabulary) = case.graph.vocabulary(handle) {
            return Tensor::new(vec![BATCH, n], tokens(vocabulary, n, correlation, seed));
        }
        let normal = |part: &str, n| {
            standard_normal(n, Draws { seed, stream: stream(&format!("{} {part}", feed.name)) })
        };
        let (common, own) = (normal("common", n), normal("own", n * BATCH));
        let (a, b) = ((variance * correlation).sqrt(), (variance * (1.0 - correlation)).sqrt());
        let mixes = op(case).mixes_batch(Mode::Train);
        let channels = feed.shape.as_ref().and_then(Shape::channels).unwrap_or(1);
        let place = |i: usize| if mixes { i % n / (n / channels) } else { i % n };
        let values = own.iter().enumerate().map(|(i, own)| mean + a * common[place(i)] + b * own);
        Tensor::new(vec![BATCH, n], values.collect())
    });
    let feeds: Vec<Tensor> = feeds.collect();
    let settings = Settings { mode: Mode::Train, seed, penalties: false };
    let point = weights.at(&feeds);
    session.forward(&point, settings, Tapes::Live);
    let y = session.value(case.node).plane(0);
    let n = y.len() / BATCH;
    let mut sums = [0.0; 3];
    for i in 0..n {
        let samples = || (0..BATCH).map(|b| y[b * n + i]);
        let (sum, squares): (f64, f64) = (samples().sum(), samples().map(|y| y * y).sum());
        sums[0] += squares / BATCH as f64;
        sums[1] += sum / BATCH as f64;
        sums[2] += (sum * sum - squares) / (BATCH * (BATCH - 1)) as f64;
    }
    let cotangent = standard_normal(y.len(), Draws { seed, stream: stream("cotangent") });
    let energy = |g: &[f64]| g.iter().map(|g| g * g).sum::<f64>();
    // The objective is a mean over the batch.
    let above = energy(&cotangent) / (BATCH * BATCH) as f64;
    let mut gradients = Gradients::zeros::<f64>(&case.graph, BATCH);
    session.backward(&Objective::Projection(cotangent), &point, settings, &Registry, &mut gradients);
    let below = gradients.feeds.iter().map(|grad| energy(grad) / above);
    sums.iter().map(|sum| sum / n as f64).chain(below).collect()
}

/// Uniform tokens, each the common one of its place with the probability that has two samples agree with `correlation`, or else by
/// chance.
#[expect(clippy::cast_precision_loss, reason = "vocabularies are small")]
fn tokens(vocabulary: usize, n: usize, correlation: f64, seed: u64) -> Vec<f64> {
    let uniform = |name: &str| Draws { seed, stream: stream(name) }.uniform();
    let token = |u: f64| (u * vocabulary as f64).floor();
    let common: Vec<f64> = uniform("common").take(n).map(token).collect();
    let own = uniform("own").zip(uniform("chosen")).take(BATCH * n).enumerate();
    own.map(|(i, (own, chosen))| if chosen < correlation.sqrt() { common[i % n] } else { token(own) })
        .collect()
}

/// What the operator's moment rule says of the result, and its energy rule of the inputs.
pub fn stated(case: &Case, inputs: &Inputs) -> (Moments, Vec<Energy>) {
    let node = &case.graph.nodes[case.node];
    let moments = inputs.iter().cycle().zip(&node.inputs).map(|(&(mean, variance, correlation), _)| {
        if let Some(vocabulary) = node.op.vocabulary() {
            #[expect(clippy::cast_precision_loss, reason = "vocabularies are small")]
            let contrast = (1.0 - correlation) * (1.0 - 1.0 / vocabulary as f64);
            return Moments { contrast, ..Moments::STANDARD };
        }
        let centre = mean * mean;
        Moments::new(variance + centre, mean, correlation * variance + centre)
    });
    let moments: Vec<Moments> = moments.collect();
    let shapes: Vec<&Shape> = node.inputs.iter().filter_map(|source| case.graph.shape(*source)).collect();
    let params: Vec<ParamSpec> = node.params.iter().map(|p| case.graph.params[*p].spec.clone()).collect();
    let shape = node.shape.as_ref().expect("a row without errors has a shape");
    let io = Transfer { mode: Mode::Train, shapes: &shapes, shape, inputs: &moments, params: &params };
    let result = node.op.transfer(io);
    (result, node.op.energy(io, Energy::unit(1.0), &result))
}

/// E f(z)^2 and E f'(z)^2 of an activation over standard normal draws.
pub struct Responses {
    square: Measured,
    slope_square: Measured,
}

impl Responses {
    /// Draws the weights, if there are any, and inputs again and again; the slope is the reverse rule's.
    pub fn draw(case: &Case) -> Self {
        let once = |seed: u64| {
            let mut values = Values::random(case, 400, seed);
            let weights = Weights::draw(&case.graph, seed).params;
            values.params = weights.into_iter().map(|tensor| tensor.data).collect();
            let mut trial = Trial::at(case, 400, Mode::Eval, seed, values);
            trial.cotangent.fill(1.0);
            let value = trial.value_at(&trial.values, Tapes::Live);
            [mean_square(&value), mean_square(&trial.gradients(&Registry).feeds[0])]
        };
        let draws: Vec<[f64; 2]> = (0..64).map(once).collect();
        let [square, slope_square] =
            [0, 1].map(|i| Measured::of(&draws.iter().map(|draw| draw[i]).collect::<Vec<_>>()));
        Self { square, slope_square }
    }

    /// Whether a response is that of the draws, within five standard errors and without any allowance.
    pub fn agree(&self, stated: Response) -> Verdict {
        let Response { square, slope_square, elasticity: _ } = stated;
        self.square.lies_in("E f^2", square, square, 0.0)?;
        self.slope_square.lies_in("E f'^2", slope_square, slope_square, 0.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "few elements")]
fn mean_square(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64
}

/// The operator of a case.
pub fn op(case: &Case) -> &OpKind {
    &case.graph.nodes[case.node].op
}
