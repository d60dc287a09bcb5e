//! `invariant`: the prediction is the same for a transformed input.
//!
//! ## What it tests
//!
//! In use (evaluation mode), up to 12 rows, for `flip_horizontal` (the columns of a map `[B,C,H,W]` in reverse order), `flip_vertical` (its
//! rows), `transpose` (rows and columns exchanged, of a square map) and `roll` (columns, or the positions of a sequence `[B,T,D]`, moved on by
//! one, the last becoming the first). `invariant roll(tokens)` says which input, where there are several.
//!
//! ## Tolerance
//!
//! The transformed sum has the same terms in another order. A sum of k terms errs by at most k u relative to the sum of magnitudes
//! (u = 2^-53; Higham 2002, eq. 4.4), n nodes by 2 n k u, times what the net makes of a difference, which is measured with inputs that
//! differ by a part in 10^9; a factor of 50 besides. Where that is more than a thousandth of the prediction, the test is INCONCLUSIVE.
//! A prediction that does not depend on the input, or an input that is its own image, is SKIPPED.
//!
//! ## Example
//!
//! ```text
//! property { invariant flip_horizontal }
//! ```
//!
//! A convolution with a random 3x3 kernel is not invariant; convolutions with 1x1 kernels before a `global_avg_pool` are.

use super::{Outcome, batch, distance, in_use, rounding};
use crate::exec::Weights;
use crate::graph::{Feed, FeedKind, Handle, Source, Symmetry};
use crate::inits::standard_normal;
use crate::tensor::{Draws, Tensor, stream};
use crate::text::number;
use crate::valid::properties::Subject;

/// How much inputs are moved, relative to their size, to see what the net makes of it.
const NUDGE: f64 = 1e-9;
/// The largest tolerance, relative to the prediction, that can still tell something.
const COARSE: f64 = 1e-3;

/// Why the law says nothing of a graph.
pub fn skip(subject: Subject<'_>, symmetry: Symmetry, input: Handle<Feed>) -> Option<String> {
    let feed = &subject.graph.feeds[input];
    let shape = feed.shape.as_ref()?;
    let say = |what: &str| Some(format!("`{}` is {shape}, {what}", feed.name));
    if !matches!(subject.graph.prediction(), Some(Source::Node(_))) {
        return Some("the prediction is an input".to_owned());
    }
    if feed.kind == FeedKind::Int {
        return say(
            "which holds whole numbers: what rounding does to the prediction cannot be measured by moving them",
        );
    }
    match (symmetry, shape.sample()) {
        (Symmetry::Transpose, [_, h, w]) if h != w => say("which is not square"),
        (Symmetry::FlipVertical, [_, 1, _]) => say("which has one row"),
        (Symmetry::FlipHorizontal | Symmetry::Roll, [_, _, 1]) => say("which has one column"),
        (Symmetry::Roll, [1, _]) => say("which has one position"),
        (_, [_, _, _]) | (Symmetry::Roll, [_, _]) => None,
        (Symmetry::Roll, _) => say("neither a map [B,C,H,W] nor a sequence [B,T,D]"),
        _ => say("no map [B,C,H,W]"),
    }
}

/// Compares the predictions of one initialisation.
pub fn test(
    subject: Subject<'_>,
    (symmetry, input): (Symmetry, Handle<Feed>),
    seed: u64,
    rows: usize,
) -> Result<Outcome, String> {
    let Some(Source::Node(output)) = subject.graph.prediction() else {
        return Ok(Outcome::Moot("the prediction is an input"));
    };
    let weights = Weights::draw(&subject.runnable, seed);
    let feeds = batch(subject, seed, rows);
    let with = |changed: Tensor| {
        let mut other = feeds.clone();
        other[input.index()] = changed;
        in_use(subject, &weights, &other, seed)
    };
    let given = &feeds[input.index()];
    let image = image(given, symmetry);
    let (plain, other) = (in_use(subject, &weights, &feeds, seed), with(image.clone()));
    let (a, b) = (plain.value(output).plane(0), other.value(output).plane(0));
    let (most, far) = distance(a, b);
    if !most.is_finite() {
        return Ok(Outcome::Unsure("the prediction is not finite".to_owned()));
    }
    let steps = standard_normal(given.data.len(), Draws { seed, stream: stream("nudge") });
    let nudged = given.data.iter().zip(steps).map(|(x, step)| x * (1.0 + NUDGE * step)).collect();
    let moved = with(Tensor::new(given.dims.clone(), nudged));
    let (_, moved) = distance(a, moved.value(output).plane(0));
    let amplified = (moved / (NUDGE * most.max(f64::MIN_POSITIVE))).max(1.0);
    let allowed = rounding(subject.graph) * amplified * most;
    if allowed > COARSE * most {
        let reason =
            format!("rounding alone may move a prediction of {} by {}", number(most), number(allowed));
        return Ok(Outcome::Unsure(reason));
    }
    if far > allowed {
        let width = (a.len() / rows.max(1)).max(1);
        let worst = (0..a.len()).max_by(|i, j| (a[*i] - b[*i]).abs().total_cmp(&(a[*j] - b[*j]).abs()));
        let at = worst.unwrap_or(0);
        return Err(format!(
            "element {} of row {} of the prediction is {}, and {} for the transformed input; rounding explains {}",
            at % width,
            at / width,
            number(a[at]),
            number(b[at]),
            number(allowed)
        ));
    }
    if image.data == given.data {
        return Ok(Outcome::Moot("every row is its own image"));
    }
    // Another row in its place shows whether the prediction sees this input at all.
    let mut rolled = given.clone();
    let width = given.data.len() / rows.max(1);
    rolled.data.rotate_left(width);
    let (_, seen) = distance(a, with(rolled).value(output).plane(0));
    if seen <= allowed {
        return Ok(Outcome::Moot("the prediction is the same for every row, so that it could not differ"));
    }
    Ok(Outcome::Held(far))
}

/// The transformed rows.
fn image(given: &Tensor, symmetry: Symmetry) -> Tensor {
    let (outer, h, w, inner) = match *given.dims {
        [rows, channels, h, w] => (rows * channels, h, w, 1),
        // Positions are the columns of one row, whose elements travel together.
        [rows, positions, features] => (rows, 1, positions, features),
        _ => return given.clone(),
    };
    let mut data = Vec::with_capacity(given.data.len());
    for map in 0..outer {
        for i in 0..h {
            for j in 0..w {
                let (i, j) = match symmetry {
                    Symmetry::FlipHorizontal => (i, w - 1 - j),
                    Symmetry::FlipVertical => (h - 1 - i, j),
                    Symmetry::Transpose => (j, i),
                    Symmetry::Roll => (i, (j + w - 1) % w),
                };
                let start = ((map * h + i) * w + j) * inner;
                data.extend_from_slice(&given.data[start..start + inner]);
            }
        }
    }
    Tensor::new(given.dims.clone(), data)
}

#[cfg(test)]
mod tests {
    use super::image;
    use crate::graph::Symmetry;
    use crate::tensor::Tensor;

    #[test]
    fn images_are_those_of_the_definition() {
        let map = Tensor::new(vec![1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let of = |symmetry| image(&map, symmetry).data;
        assert_eq!(of(Symmetry::FlipHorizontal), [2.0, 1.0, 4.0, 3.0]);
        assert_eq!(of(Symmetry::FlipVertical), [3.0, 4.0, 1.0, 2.0]);
        assert_eq!(of(Symmetry::Transpose), [1.0, 3.0, 2.0, 4.0]);
        let wide = Tensor::new(vec![1, 1, 1, 3], vec![1.0, 2.0, 3.0]);
        assert_eq!(image(&wide, Symmetry::Roll).data, [3.0, 1.0, 2.0]);
        let sequence = Tensor::new(vec![1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(image(&sequence, Symmetry::Roll).data, [3.0, 4.0, 1.0, 2.0]);
    }
}
