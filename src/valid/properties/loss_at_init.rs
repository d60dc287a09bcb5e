//! The loss before training is the one of a model that knows nothing.
//!
//! ## What it tests
//!
//! Over 64 initialisations (fewer of a model that is expensive to run), where the prediction is the output of a layer whose weights
//! have mean zero. Given the input, such a prediction o has mean zero over initialisations and does not know the target, so that
//!
//! - `cross_entropy` over C classes has a mean between ln C and ln C + E o^2 / 2 (Jensen's inequality both ways: the mean of
//!   ln sum e^o lies between the value at o = 0 and ln C + ln E e^o, which is E o^2 / 2 for Gaussian logits);
//! - `bce_with_logits` between ln 2 and ln 2 + E o^2 / 8, the largest curvature of softplus being 1/4;
//! - `mse` is E o^2 + E t^2.
//!
//! Labels that are off by one, a loss over the wrong axis, or a sum instead of a mean move it further than the scale of the logits does.
//!
//! ## Tolerance
//!
//! t s / sqrt(S) with the standard deviation s over S initialisations and a t that is exceeded once in a million runs, and a thousandth of the
//! loss for what is not Gaussian in narrow heads.
//!
//! ## Power
//!
//! A loss that is off by d is seen with probability 0.99 from d = s / sqrt(S) (t (1 - 1/(4 n)) + 2.33 sqrt(1 + t^2/(2 n))) on, with n = S - 1, beyond
//! the range that is expected (Abramowitz and Stegun 1964, 26.7.10): with 64 initialisations t is 5.4, and at s = 0.1 that is 0.10, what 10
//! classes counted as 11 are. The report says d for the model at hand; where it is more than half of the loss, the law is INCONCLUSIVE.

use super::{Case, Fault, Lab, Overall, Rows, Subject, Verdict, runs};
use crate::graph::{Graph, Node, Source};
use crate::ops::{Category, Role};
use crate::signal::account::kernel;
use crate::tensor::Mode;
use crate::text::number;
use crate::valid::power;
use crate::valid::scale::mean_and_variance;
use crate::valid::student;

const SEEDS: u32 = 64;
const ROWS: usize = 16;
const ALARM: f64 = 1e-6;

/// The head, if the prediction is a layer's output with mean zero.
fn head(graph: &Graph) -> Option<&Node> {
    let Some(Source::Node(head)) = graph.prediction() else { return None };
    let node = &graph.nodes[head];
    let centred = graph
        .slots(node)
        .map(|(_, spec)| spec)
        .all(|spec| matches!(spec.role, Role::Kernel | Role::Bias) && spec.statistics().0 == 0.0);
    (node.op.category() == Category::Layer && centred && kernel(graph, node).is_some()).then_some(node)
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    let graph = subject.graph;
    let Some(loss) = graph.loss else { return Some("there is no loss".to_owned()) };
    let loss = &graph.nodes[loss];
    if !["cross_entropy", "bce_with_logits", "mse"].contains(&loss.op.name()) {
        return Some(format!("nothing is known of `{}` before training", loss.op.name()));
    }
    if head(graph).is_none() || loss.inputs.first().copied() != graph.prediction() {
        return Some("the prediction is not the output of a layer with weights of mean zero".to_owned());
    }
    None
}

#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
pub fn test(subject: Subject<'_>, seed: u64, fault: Fault<'_>) -> Overall {
    let lab = Lab::new(subject, fault);
    let graph = subject.graph;
    let (Some(loss), Some(output)) = (graph.loss, lab.output()) else {
        return Overall { verdict: Verdict::Inconclusive, cases: 0, detail: String::new() };
    };
    let name = graph.nodes[loss].op.name();
    let seeds = SEEDS.min(runs(subject, ROWS));
    let (mut losses, mut squares) = (Vec::new(), Vec::new());
    let shapes: Vec<_> = graph.nodes[loss].inputs.iter().filter_map(|source| graph.shape(*source)).collect();
    let classes = graph.nodes[loss].op.classes(&shapes).unwrap_or(1);
    let mut targets = 0.0;
    for i in 0..seeds {
        let case = Case { seed: seed.wrapping_add(u64::from(i)), batch: ROWS, scale: 1.0, rows: Rows::Given };
        let (weights, feeds) = lab.draw(case);
        let ran = lab.run(&weights, &feeds, Mode::Eval, case.seed, false);
        let values = &ran.values[output.index()];
        let square = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
        let target = graph.nodes[loss].inputs.get(1).and_then(|source| match source {
            Source::Feed(feed) => feeds.get(feed.index()),
            Source::Node(_) => None,
        });
        let target = target
            .map_or(0.0, |target| target.data.iter().map(|t| t * t).sum::<f64>() / target.data.len() as f64);
        let own = if name == "mse" { ran.loss - square - target } else { ran.loss };
        losses.push(own);
        squares.push(square);
        targets += target / f64::from(seeds);
    }
    let cases = losses.len();
    let (mean, variance) = mean_and_variance(&losses);
    let square = mean_and_variance(&squares).0;
    let (low, high) = match name {
        "cross_entropy" => ((classes as f64).ln(), (classes as f64).ln() + 0.5 * square),
        "bce_with_logits" => (2f64.ln(), 2f64.ln() + 0.125 * square),
        _ => (0.0, 0.0),
    };
    let shift = if name == "mse" { square + targets } else { 0.0 };
    let t = student::quantile(cases - 1, 0.5 * ALARM);
    let bound = power::Bound {
        t,
        freedom: cases as f64 - 1.0,
        error: (variance / cases as f64).sqrt(),
        slack: 1e-3 * (mean + shift).abs(),
    };
    let allowed = t * bound.error + bound.slack;
    let seen = bound.seen();
    let said = format!(
        "the mean loss is {} over {cases} initialisations; {} .. {} is expected, +- {}; {} beyond that range is seen with probability {}",
        number(mean + shift),
        number(low + shift),
        number(high + shift),
        number(allowed),
        number(seen),
        power::SURE
    );
    if !mean.is_finite() || mean < low - allowed || mean > high + allowed {
        return Overall { verdict: Verdict::Fail, cases, detail: said };
    }
    let verdict = if seen > 0.5 * (low + shift).abs() { Verdict::Inconclusive } else { Verdict::Pass };
    Overall { verdict, cases, detail: said }
}
