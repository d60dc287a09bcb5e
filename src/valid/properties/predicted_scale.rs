//! The scale of every value and of every gradient at initialisation is the one that the static analysis predicts.
//!
//! ## What it tests
//!
//! Over 24 random initialisations (fewer of a model that is expensive to run), on inputs whose rows are brought to rms 1 where they
//! are standard normal: the mean of ln q, where q is the mean of the squares of a node's value, and the mean of ln e, where e is the
//! energy of the gradient there (the sum of its squares) relative to that at the prediction, for a random direction of the
//! prediction. The analysis says both for wide layers, and the variance V of either over initialisations of this width (Hanin and
//! Rolnick 2018), so that along a plain chain E ln q = ln q_predicted - V/2.
//!
//! ## Tolerance
//!
//! t s / sqrt(S) + 0.05 over S initialisations. s^2 is the mean of V and of the measured variance, weighted by 24 and S - 1 degrees
//! of freedom (the moderated t of Smyth 2004): V is known from theory, so that few seeds still say something, and a model that
//! scatters more than predicted is not accused of another mean. t is exceeded by chance once in a million runs, all comparisons
//! of a run together (Bonferroni). 0.05 covers what the wide-layer theory itself leaves out at widths from 16. Where pooling or
//! padding make the prediction an interval, the interval is widened by that much; where places of a map or rows of a batch share
//! weights, V is an upper bound, and the mean lies between that for V and that for none. Batch statistics over B rows of n units
//! deviate from those of the theory by some 1/n + 1/B; six times that is allowed for each batch norm behind a gradient. Left out are
//! values of fewer than 16 units, those with V above 2, what lies behind a place where uses of one tied weight meet (`explain tie`), and
//! all that depends on a batch norm whose channels may be constant over
//! so few rows, as behind strong dropout; if nothing is left, the test is INCONCLUSIVE.
//!
//! ## Power
//!
//! Over 24 seeds and 20 comparisons t is 6.6. At V = 0.05 (one layer of width 40) a weight variance that is off by 61 % is seen
//! with probability 0.99, at width 1000 one that is off by 15 %. A wrong fan, a sampler with a mean, or an orthogonal matrix from raw QR
//! under a deep stack is far larger. The report says how large the error of one layer's variance must be to be seen with probability 0.99, for the
//! layer where that is least and for the one where it is most; it moves ln q of that layer by as much as ln of the variance. Scales at
//! which a factor of 4 would not be seen can fail and do not count for a PASS; if there are no others, the test is INCONCLUSIVE.

use super::{Fault, Overall, Subject, Verdict};
use crate::exec::Weights;
use crate::ops::Category;
use crate::signal;
use crate::tensor::{Mode, Tensor};
use crate::text::{number, plural};
use crate::valid::Samples;
use crate::valid::power;
use crate::valid::scale::{self, Expected, Scales, Slack};
use crate::valid::student;

/// How many initialisations are drawn.
const SEEDS: u32 = 24;
/// Rows of a batch.
const ROWS: usize = 32;
/// Fewer units than this are left out.
const NARROW: f64 = 16.0;
/// A variance of ln q above this is left out: the scale depends on the seed.
const UNSURE: f64 = 2.0;
/// The probability that a sound model fails.
const ALARM: f64 = 1e-6;
/// What the theory of wide layers leaves out.
const SLACK: f64 = 0.05;
/// A shift of a logarithm that must be seen with probability 0.99: a factor of 4.
const COARSE: f64 = 1.386;
/// How many degrees of freedom the predicted variance counts for.
const TRUST: usize = 24;

/// Why a model has no scale to compare.
pub fn skip(subject: Subject<'_>) -> Option<String> {
    subject.runnable.params.is_empty().then(|| "the model has no weights".to_owned())
}

/// One quantity of one node.
struct Comparison<'a> {
    /// What is compared, by the path of the node.
    name: String,
    /// What a logarithm is multiplied by to be shown: the root of a second moment, an energy as it is.
    power: f64,
    /// The value at infinite width, for messages.
    predicted: f64,
    expected: Expected,
    sample: &'a [f64],
    /// The layer whose value it is.
    layer: Option<String>,
}

/// Draws, measures and judges.
pub fn test(subject: Subject<'_>, seed: u64, _: Fault<'_>) -> Overall {
    let feeds = inputs(subject, seed);
    let scales = scale::measure(subject.runnable, &feeds, Mode::Train, seeds(subject, seed), |seed| {
        Weights::draw(&subject.runnable, seed)
    });
    judge(subject, &feeds, &scales)
}

/// The seeds of the initialisations that are measured: as many as a graph of this size can afford.
pub fn seeds(subject: Subject<'_>, seed: u64) -> impl Iterator<Item = u64> + use<> {
    let count = SEEDS.min(super::affordable(subject, ROWS));
    (0..u64::from(count)).map(move |i| seed.wrapping_add(i))
}

/// Compares what was measured on `feeds` with what the analysis says of the graph.
#[must_use]
pub fn judge(subject: Subject<'_>, feeds: &[Tensor], scales: &Scales) -> Overall {
    let predicted =
        signal::analyse_measured(subject.graph, Mode::Train, Samples::moments(subject.graph, feeds));
    let cases = scales.forward.iter().map(Vec::len).max().unwrap_or(0);
    let fail = |detail: String| Overall { verdict: Verdict::Fail, cases, detail };
    let exact = scale::is_exact(subject.graph, Mode::Train);
    let slack = Slack::of(subject.graph, &predicted, feeds.first().map_or(1, |feed| feed.dims[0]));
    let (mut comparisons, mut zeros, mut left_out) = (Vec::new(), 0, 0);
    for (handle, node) in subject.runnable.layers() {
        let i = handle.index();
        let (Some(moments), Some(forward)) =
            (predicted.node(handle), Expected::forward(&predicted, handle, exact))
        else {
            continue;
        };
        let forward = forward.widened(slack.forward[i]);
        let back = Expected::energy(&predicted, handle, exact).widened(slack.energy[i]);
        let energy = &predicted.energies[i];
        let own = (node.op.category() == Category::Layer).then(|| node.path.to_string());
        for (name, power, ln, expected, sample, layer) in [
            (format!("`{}` has rms", node.path), 0.5, moments.ln_square, forward, &scales.forward[i], own),
            (
                format!("the gradient at `{}` has energy", node.path),
                1.0,
                energy.ln,
                back,
                &scales.energy[i],
                None,
            ),
        ] {
            if sample.is_empty() {
                continue;
            }
            if ln.hi == f64::NEG_INFINITY {
                // A value that is predicted to be zero is zero.
                if let Some(most) = sample.iter().copied().filter(|x| *x > f64::NEG_INFINITY).reduce(f64::max)
                {
                    return fail(format!(
                        "{name} {}, and is predicted to be zero",
                        number((power * most).exp())
                    ));
                }
                zeros += 1;
            } else if expected.units < NARROW || expected.variance > UNSURE || expected.is_open() {
                left_out += 1;
            } else {
                comparisons.push(Comparison { name, power, predicted: ln.middle(), expected, sample, layer });
            }
        }
    }
    let total = comparisons.len() + zeros;
    if total == 0 {
        let detail = format!("none of {} is wide and sure enough", plural(left_out, "scale"));
        return Overall { verdict: Verdict::Inconclusive, cases, detail };
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of nodes are far below 2^53")]
    let t = student::quantile(TRUST + cases.saturating_sub(1), 0.5 * ALARM / total as f64);
    let mut worst = (0.0f64, String::new());
    for comparison in &comparisons {
        let Comparison { name, power, predicted, expected, sample, layer: _ } = comparison;
        let power::Bound { t, error, slack, .. } = bound(t, expected, sample);
        let (mean, allowed) = (scale::mean_and_variance(sample).0, t * error + slack);
        let distance = expected.distance(mean);
        let shown = |ln: f64| number((power * ln).exp());
        if distance > allowed || !mean.is_finite() {
            let (lo, hi) = (expected.mean.lo - allowed, expected.mean.hi + allowed);
            return fail(format!(
                "{name} {} over {cases} initialisations; predicted {}, and {} .. {} would pass",
                shown(mean),
                shown(*predicted),
                shown(lo),
                shown(hi)
            ));
        }
        if distance / allowed > worst.0 {
            worst = (
                distance / allowed,
                format!("; closest to its bound: {name} {}, predicted {}", shown(mean), shown(*predicted)),
            );
        }
    }
    // A scale outside of its bound fails whatever else could be seen of it; that one lies within says something only where enough is seen.
    let all = comparisons.len();
    comparisons.retain(|comparison| bound(t, &comparison.expected, comparison.sample).seen() <= COARSE);
    left_out += all - comparisons.len();
    let total = comparisons.len() + zeros;
    if total == 0 {
        let detail = format!("a factor of 4 would be seen in none of {}", plural(left_out, "scale"));
        return Overall { verdict: Verdict::Inconclusive, cases, detail };
    }
    let rest = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
    Overall {
        verdict: Verdict::Pass,
        cases,
        detail: format!(
            "{} compared{rest}{}{}",
            plural(total, "scale"),
            worst.1,
            seen(t, &comparisons).unwrap_or_default()
        ),
    }
}

/// What is seen of the weights of one layer, in words.
fn seen(t: f64, comparisons: &[Comparison<'_>]) -> Option<String> {
    let percent = |comparison: &Comparison<'_>| {
        let Expected { mean, .. } = comparison.expected;
        // From the other end of where it may lie.
        100.0 * (bound(t, &comparison.expected, comparison.sample).seen() + mean.hi - mean.lo).exp_m1()
    };
    let layers = comparisons.iter().filter_map(|one| Some((percent(one), one.layer.as_ref()?)));
    let least = layers.clone().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let most = layers.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!(
        "; with probability {} an error of {:.0} % in the weight variance of `{}` is seen, and one of {:.0} % in that of any layer compared (`{}`)",
        power::SURE,
        least.0,
        least.1,
        most.0,
        most.1
    ))
}

/// How far the mean of a sample may lie outside.
#[expect(clippy::cast_precision_loss, reason = "numbers of seeds are far below 2^53")]
fn bound(t: f64, expected: &Expected, sample: &[f64]) -> power::Bound {
    let (trust, own) = (TRUST as f64, sample.len() as f64 - 1.0);
    // A sample with zeros has no variance: it fails by its mean.
    let measured = Some(scale::mean_and_variance(sample).1).filter(|v| v.is_finite()).unwrap_or(0.0);
    let variance = (trust * expected.variance + own * measured) / (trust + own);
    power::Bound { t, freedom: trust + own, error: (variance / sample.len() as f64).sqrt(), slack: SLACK }
}

/// Inputs as the analysis assumes them, every row of the same length, so that what a row does depends on its direction alone.
#[must_use]
pub fn inputs(subject: Subject<'_>, seed: u64) -> Vec<Tensor> {
    let mut feeds = Samples::draw(&subject.runnable, ROWS, seed).batch(0, ROWS);
    for (feed, (_, declared)) in feeds.iter_mut().zip(subject.runnable.feeds.iter()) {
        if declared.target || declared.kind != crate::graph::FeedKind::Real || !declared.chain.is_empty() {
            continue;
        }
        let width = (feed.data.len() / ROWS).max(1);
        for row in feed.data.chunks_mut(width) {
            #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
            let rms = (row.iter().map(|x| x * x).sum::<f64>() / width as f64).sqrt();
            if rms > 0.0 {
                row.iter_mut().for_each(|x| *x /= rms);
            }
        }
    }
    feeds
}
