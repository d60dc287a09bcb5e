//! The scale of every value at initialisation is the one that the static analysis predicts.
//!
//! ## What it tests
//!
//! Over 24 random initialisations (fewer of a model that is expensive to run), on standard normal inputs whose rows are brought to rms 1: the mean of ln q, where q is the mean of
//! the squares of a node's value, against the prediction. The analysis says ln q over wide layers and the variance V of ln q over
//! initialisations of this width (Hanin and Rolnick 2018), so that E ln q = ln q_predicted - V/2.
//!
//! ## Tolerance
//!
//! 5 sqrt(V/S) + 0.05 over S initialisations. Five standard errors are exceeded by chance once in 1.7 million comparisons; 0.05 covers what the wide-layer
//! theory itself leaves out at widths from 16. Where pooling or padding make the prediction an interval, the interval is widened by that
//! much. Values of fewer than 16 units, and those with V above 2, are left out; if nothing is left, the test is INCONCLUSIVE.
//!
//! ## Power
//!
//! At V = 0.05 (one layer of width 40) a weight variance that is off by 35 % is seen with probability 0.99, at width 1000 one that is
//! off by 10 %. A wrong fan, a sampler with a mean, or an orthogonal matrix from raw QR is far larger.

use super::{Overall, Subject, Verdict};
use crate::exec::{Keep, Session, Settings, Tapes, Weights};
use crate::moments::Moments;
use crate::signal;
use crate::tensor::{Mode, Tensor};
use crate::text::number;
use crate::valid::Samples;

/// How many initialisations are drawn.
const SEEDS: u32 = 24;
/// Rows of a batch.
const ROWS: usize = 32;
/// Fewer units than this are left out.
const NARROW: f64 = 16.0;
/// A variance of ln q above this is left out: the scale depends on the seed.
const UNSURE: f64 = 2.0;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    subject.runnable.params.is_empty().then(|| "the model has no weights".to_owned())
}

pub fn test(subject: Subject<'_>, seed: u64) -> Overall {
    let graph = subject.runnable;
    let feeds = inputs(subject, seed);
    let predicted = signal::analyse_measured(subject.graph, Mode::Train, Samples::moments(&feeds));
    let mut session: Session<'_, f64> = Session::new(graph, ROWS, Keep::All);
    let mut sums = vec![0.0; graph.nodes.len()];
    let count = SEEDS.min(super::affordable(subject, ROWS));
    for i in 0..u64::from(count) {
        let weights = Weights::draw(&graph, seed.wrapping_add(i));
        let settings = Settings { mode: Mode::Train, seed: seed.wrapping_add(i), penalties: false };
        session.forward(&weights.at(&feeds), settings, Tapes::Live);
        for (handle, _) in graph.layers() {
            sums[handle.index()] += ln_square(&session, handle);
        }
    }
    let seeds = f64::from(count);
    let cases = usize::try_from(count).unwrap_or(0);
    let fail = |detail: String| Overall { verdict: Verdict::Fail, cases, detail };
    let (mut compared, mut left_out, mut worst) = (0, 0, (0.0f64, String::new()));
    for (handle, node) in graph.layers() {
        let Some(moments) = predicted.node(handle) else { continue };
        let (mean, path) = (sums[handle.index()] / seeds, node.path.to_string());
        if moments.ln_square.hi == f64::NEG_INFINITY {
            // A value that is predicted to be zero is zero.
            if mean > f64::NEG_INFINITY {
                return fail(format!(
                    "`{path}` is predicted to be zero and has rms {}",
                    number((0.5 * mean).exp())
                ));
            }
            compared += 1;
            continue;
        }
        let Some((lo, hi)) = band(moments, seeds) else {
            left_out += 1;
            continue;
        };
        compared += 1;
        let outside = (lo - mean).max(mean - hi).max(0.0);
        if outside > 0.0 || !mean.is_finite() {
            let rms = |ln: f64| number((0.5 * ln).exp());
            return fail(format!(
                "`{path}` has rms {} over {cases} initialisations; predicted {}, and {} .. {} would pass",
                rms(mean),
                rms(moments.ln_square.middle()),
                rms(lo),
                rms(hi)
            ));
        }
        let distance = (mean - (moments.ln_square.middle() - 0.5 * moments.measured_spread())).abs();
        if distance > worst.0 && moments.ln_square.lo == moments.ln_square.hi {
            worst = (distance, path);
        }
    }
    if compared == 0 {
        let detail = format!("none of {} is wide enough", crate::text::plural(left_out, "value"));
        return Overall { verdict: Verdict::Inconclusive, cases, detail };
    }
    let rest = if left_out > 0 { format!(", {left_out} too narrow") } else { String::new() };
    let farthest = match worst {
        (distance, path) if distance > 0.0 => {
            format!("; farthest x{} in rms at {path}", number((0.5 * distance).exp()))
        }
        _ => String::new(),
    };
    Overall {
        verdict: Verdict::Pass,
        cases,
        detail: format!("{} compared{rest}{farthest}", crate::text::plural(compared, "value")),
    }
}

/// Where the mean of ln q over the seeds must lie; `None` if the prediction has no such precision.
fn band(moments: &Moments, seeds: f64) -> Option<(f64, f64)> {
    let variance = moments.measured_spread();
    if moments.units < NARROW || variance > UNSURE {
        return None;
    }
    let slack = 5.0 * (variance / seeds).sqrt() + 0.05;
    let (lo, hi) = (moments.ln_square.lo, moments.ln_square.hi);
    Some((lo - 0.5 * variance - slack, hi - 0.5 * variance + slack))
}

/// ln of the mean of the squares of a value.
fn ln_square(session: &Session<'_, f64>, node: crate::graph::Handle<crate::graph::Node>) -> f64 {
    let value = session.value(node);
    #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
    let n = value.len().max(1) as f64;
    // Relative to the largest element, so that a net that explodes does not overflow here.
    let most = value.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    if most == 0.0 || !most.is_finite() {
        return most.ln();
    }
    (value.iter().map(|x| (x / most).powi(2)).sum::<f64>() / n).ln() + 2.0 * most.ln()
}

/// Inputs as the analysis assumes them, every row of the same length, so that what a row does depends on its direction alone.
fn inputs(subject: Subject<'_>, seed: u64) -> Vec<Tensor> {
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
