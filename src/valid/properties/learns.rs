//! A few training steps on one batch: the loss falls, the inputs matter, gradients stay right, every tensor moves, and no step overwrites the weights.
//!
//! ## What it tests
//!
//! At two initialisations, up to 200 full steps on one batch of 8 rows (fewer where a step is expensive), with the spec's optimiser and its
//! rate, and with Adam at 1e-3 and 1e-2 if that does not get there. Then
//!
//! - the loss without penalties can be driven below half of where it began, to where it is worse by more than a hundredth with all inputs set
//!   to zero: PASS. Less than a hundredth gained with all three: FAIL. Half of it gained, and the loss with all inputs zero within a hundredth: the
//!   prediction does not use its inputs: FAIL. Otherwise INCONCLUSIVE, also where zeros would be answered better: half of a loss that begins
//!   large can be gained without a look at the inputs;
//! - at the weights that the first initialisation was trained to, the gradient still passes ledger and random directions (`explain gradcheck`);
//! - every trainable tensor has moved: one that has not gets no gradient: FAIL;
//! - the updates of a tensor, relative to its norm at the start, lie in a range: of the spec's own optimiser the first
//!   step is below 1, else it overwrites the initialisation, and all steps together are above 2^-24, else the tensor stands still in single precision: FAIL. Tensors that start at
//!   zero, hold fewer than 16 numbers, or stand before a norm, which takes their length away and makes their biases idle, do not count. Healthy
//!   steps are of 1e-3.
//!
//! ## Tolerance
//!
//! The fractions are the ones above; runs are deterministic in the seed. A sound model can fail to halve its loss in 200 steps, which is
//! INCONCLUSIVE and no fault.
//!
//! ## What to do
//!
//! Look at the signal (`wellposed show --signal`): gradients that vanish, saturated heads, a rate of another optimiser.

use super::{Case, Fault, Lab, Overall, Rows, Subject, Verdict};
use crate::exec::{Keep, Registry, Session, Weights};
use crate::graph::{FeedKind, Graph, Handle, Node, Optimizer, ParamTensor, Source};
use crate::ops::Category;
use crate::optim;
use crate::tensor::{Mode, Tensor};
use crate::text::number;
use crate::valid::gradcheck::{self, objective};

const STARTS: u64 = 2;
const ROWS: usize = 8;
const STEPS: usize = 200;
/// Steps between two looks at the loss.
const CHUNK: usize = 20;
/// Multiplications and additions that the steps of one optimiser may cost.
const BUDGET: f64 = 2e8;
/// The loss that counts as learnt, and what counts as nothing gained.
const LEARNT: f64 = 0.5;
const NOTHING: f64 = 0.99;
/// What a loss may change by, relative to itself, without the inputs' having a say.
const UNMOVED: f64 = 0.01;
/// The largest step relative to the weights.
const OVERWRITTEN: f64 = 1.0;
/// Half the distance of two neighbours in single precision, relative to them: all steps together must be larger.
const STILL: f64 = 5.960_464_477_539_063e-8;
/// Tensors of fewer numbers may happen to be small.
const FEW: usize = 16;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    if subject.graph.loss.is_none() {
        return Some("there is no loss".to_owned());
    }
    subject.graph.params.is_empty().then(|| "the model has no weights".to_owned())
}

struct Trained {
    weights: Weights,
    last: f64,
    /// The loss with all inputs zero; `None` if they are zero, or no numbers.
    blind: Option<f64>,
}

impl Trained {
    /// Whether enough was learnt, and from the inputs.
    fn done(&self, first: f64) -> bool {
        let worse = |blind: f64| blind - self.last > UNMOVED * blind.abs().max(self.last.abs());
        self.last < LEARNT * first && self.blind.is_none_or(worse)
    }
}

/// The batch with zeros in the place of numbers; `None` if that changes nothing.
fn zeroed(graph: &Graph, feeds: &[Tensor]) -> Option<Vec<Tensor>> {
    let zeroed: Vec<Tensor> = feeds
        .iter()
        .zip(graph.feeds.iter())
        .map(|(feed, (_, declared))| match declared.kind {
            FeedKind::Real | FeedKind::Unit | FeedKind::Byte if !declared.target => {
                Tensor::zeros(feed.dims.clone())
            }
            _ => feed.clone(),
        })
        .collect();
    (zeroed != feeds).then_some(zeroed)
}

fn norm(tensor: &Tensor) -> f64 {
    tensor.data.iter().map(|w| w * w).sum::<f64>().sqrt()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    a.data.iter().zip(&b.data).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

pub fn test(subject: Subject<'_>, seed: u64, fault: Fault<'_>) -> Overall {
    let lab = Lab::new(subject, fault);
    let graph = subject.runnable;
    let cost = crate::valid::step_cost(&graph, ROWS).max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating")]
    let steps = STEPS.min((BUDGET / cost) as usize);
    let cases = usize::try_from(STARTS).unwrap_or(2);
    let done = |verdict: Verdict, detail: String| Overall { verdict, cases, detail };
    if steps < CHUNK {
        return done(Verdict::Inconclusive, "training steps are too expensive here".to_owned());
    }
    let own = graph.training.optimizer.as_ref().map_or(optim::DEFAULT, |given| given.value.clone());
    let adam = |lr: f64| Optimizer::Adam { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: None };
    let (mut worst, mut said) = (Verdict::Pass, String::new());
    for start in 0..STARTS {
        let case = Case { seed: seed.wrapping_add(start), batch: ROWS, scale: 1.0, rows: Rows::Given };
        let (before, feeds) = lab.draw(case);
        let loss =
            |weights: &Weights, feeds: &[Tensor]| lab.run(weights, feeds, Mode::Train, case.seed, false).loss;
        let first = loss(&before, &feeds);
        if let Some(detail) = overwritten(&lab, case, &own) {
            return done(Verdict::Fail, detail);
        }
        let zeroed = zeroed(&graph, &feeds);
        let mut best: Option<Trained> = None;
        for optimizer in [own.clone(), adam(1e-3), adam(1e-2)] {
            let mut session: Session<'_, f64> = Session::new(graph, ROWS, Keep::All);
            let mut trained = Trained { weights: before.clone(), last: first, blind: None };
            for _ in 0..steps / CHUNK {
                let objective = objective(graph, case.seed);
                let weights = &mut trained.weights;
                optim::train(&mut session, &objective, &optimizer, CHUNK, case.seed, &feeds, weights);
                trained.last = loss(&trained.weights, &feeds);
                if trained.last < LEARNT * first {
                    trained.blind = zeroed.as_ref().map(|feeds| loss(&trained.weights, feeds));
                }
                if !trained.last.is_finite() || trained.done(first) {
                    break;
                }
            }
            if !trained.last.is_finite() {
                continue;
            }
            if optimizer == own
                && let Some(detail) = still(&lab, &before, &trained.weights, steps)
            {
                return done(Verdict::Fail, detail);
            }
            let enough = trained.done(first);
            if enough || best.as_ref().is_none_or(|best| trained.last < best.last) {
                best = Some(trained);
            }
            if enough {
                break;
            }
        }
        let Some(trained) = best else {
            return done(
                Verdict::Fail,
                format!("the loss of {} becomes no number in {steps} steps", number(first)),
            );
        };
        let last = trained.last;
        // Where the spec's own optimiser diverges, another one shows whether every tensor gets a gradient.
        if let Some(detail) = still(&lab, &before, &trained.weights, steps) {
            return done(Verdict::Fail, detail);
        }
        if start == 0
            && let Some(wrong) = gradcheck::wrong_at(graph, &trained.weights, &feeds, case.seed, &Registry)
        {
            return done(Verdict::Fail, format!("{wrong} after {steps} steps"));
        }
        if last > NOTHING * first {
            return done(
                Verdict::Fail,
                format!(
                    "{steps} steps on one batch take the loss from {} to {}",
                    number(first),
                    number(last)
                ),
            );
        }
        let close = |blind: &f64| (blind - last).abs() <= UNMOVED * blind.abs().max(last.abs());
        if let Some(blind) = trained.blind.filter(close) {
            let (last, blind) = (number(last), number(blind));
            return done(
                Verdict::Fail,
                format!("the trained loss is {last}, and {blind} with all inputs zero"),
            );
        }
        if !trained.done(first) {
            worst = Verdict::Inconclusive;
        }
        said = format!("the loss falls from {} to {} in at most {steps} steps", number(first), number(last));
    }
    done(worst, said)
}

/// The tensors before a norm alone, which takes their length and their biases away.
fn free(graph: &Graph) -> Vec<Handle<ParamTensor>> {
    let normed = |at: Handle<Node>| {
        let mut consumers = graph.consumers(Source::Node(at)).peekable();
        consumers.peek().is_some() && consumers.all(|(_, node)| node.op.category() == Category::Norm)
    };
    let before = graph.nodes.iter().filter(|(handle, _)| normed(*handle));
    before.flat_map(|(_, node)| node.params.iter().copied()).collect()
}

/// The tensor that all steps together leave where it was.
fn still(lab: &Lab<'_>, before: &Weights, after: &Weights, steps: usize) -> Option<String> {
    let graph = lab.graph();
    let free = free(graph);
    let pairs = graph.params.iter().zip(before.params.iter().zip(&after.params));
    pairs.into_iter().find_map(|((handle, param), (a, b))| {
        if a == b {
            return Some(format!("`{}` does not move in {steps} steps", param.path));
        }
        let (step, size) = (distance(a, b), norm(a));
        let counts = size > 0.0 && a.data.len() >= FEW && !free.contains(&handle);
        (counts && step <= STILL * size).then(|| {
            let ratio = number(step / size);
            format!(
                "{steps} steps move `{}` by {ratio} of its norm, which single precision does not see",
                param.path
            )
        })
    })
}

/// The tensor that the first step of an optimiser overwrites.
fn overwritten(lab: &Lab<'_>, case: Case, optimizer: &Optimizer) -> Option<String> {
    let graph = lab.subject.runnable;
    let (before, feeds) = lab.draw(case);
    let mut after = before.clone();
    let mut session: Session<'_, f64> = Session::new(graph, ROWS, Keep::All);
    optim::train(&mut session, &objective(graph, case.seed), optimizer, 1, case.seed, &feeds, &mut after);
    let free = free(&graph);
    let pairs = graph.params.iter().zip(before.params.iter().zip(&after.params));
    for ((_, param), (a, b)) in pairs.filter(|((handle, _), _)| !free.contains(handle)) {
        let (step, size) = (distance(a, b), norm(a));
        if size > 0.0 && a.data.len() >= FEW && step > OVERWRITTEN * size {
            let ratio = number(step / size);
            return Some(format!("the first step moves `{}` by {ratio} of its norm", param.path));
        }
    }
    None
}
