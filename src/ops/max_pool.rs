//! Maximum over a sliding window: `[B,C,H,W]` becomes `[B,C,H',W']`.
//!
//! `kernel`, `stride` (the kernel if it is not given) and `pad` take one number or `[height, width]`. Padding never wins. Of equal
//! maxima the first one, row by row, passes the gradient, and NaN counts as the largest number, as in PyTorch. The
//! place of each maximum is on the tape.
//!
//! The scale of what comes out depends on how much neighbouring pixels have in common, which no spec says: equal pixels
//! pass unchanged, independent ones grow (four of them behind a ReLU: the second moment becomes 3.09 times as large). The
//! static analysis keeps the interval; photographs lie between.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `max_pool(2)` | `[B,2,4,5]` | `[B,2,2,2]` |
//! | `max_pool(3, stride=2, pad=1)` | `[B,1,5,4]` | `[B,1,3,2]` |
//! | `max_pool([1, 3], stride=1)` | `[B,2,2,4]` | `[B,2,2,2]` |
//! | `max_pool(3)` | `[B,2,2,4]` | error |
//! | `max_pool(3, pad=2)` | `[B,2,4,4]` | error |
//! | `max_pool(2, pad=same)` | `[B,2,4,4]` | error |
//! | `max_pool(2)` | `[B,8]` | error |

use super::window::{Pool, Window};
use super::{
    Backward, Block, Category, Forward, Inferred, Misfit, Op, Room, Shape, Spread, Transfer, avg_pool,
};
use crate::args::{Param, Reader};
use crate::moments::{Energy, Gaussian, Interval, Moments};
use crate::scalar::Scalar;
use crate::tensor::View;
use std::f64::consts::{PI, SQRT_2};

/// The operator `max_pool`.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool {
    pool: Pool,
}

/// The element of a map that wins at a position: the first of the largest.
fn winner<S: Scalar>(window: &Window, position: usize, map: View<'_, S>) -> usize {
    let width = window.columns.input;
    let [rows, columns] = window.met(position);
    let (mut best, mut most) = (rows.start * width + columns.start, f64::NEG_INFINITY);
    for row in rows {
        for at in row * width + columns.start..row * width + columns.end {
            let x = map.at(at).primal();
            if x > most || x.is_nan() {
                (best, most) = (at, x);
            }
        }
    }
    best
}

impl Op for MaxPool {
    const SIGNATURE: &'static [Param] = avg_pool::SIGNATURE;
    const CATEGORY: Category = Category::Pool;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { pool: Pool::read("max_pool", args)? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { pool } = self;
        pool.attributes()
    }

    fn taps(&self, input: &Shape) -> Option<[super::window::Taps; 2]> {
        let window = self.pool.window(input);
        Some([window.rows.into(), window.columns.into()])
    }

    fn chooses(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let (window, shape) = self.pool.over("max_pool", inputs[0])?;
        let flops = shape.elements().saturating_mul(window.taps());
        let saved = Room { fixed: 0, per_sample: shape.elements() };
        Ok(Inferred { saved, flops, ..Inferred::shape(shape) })
    }

    /// Saves which element of its map each position took, so that the reverse rule follows a replayed decision, too.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "maps have below 2^32 elements"
    )]
    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shapes, inputs, mut output, mut saved, mut tape, .. } = io;
        let window = self.pool.window(shapes[0]);
        let (size, positions) = (window.elements(), window.positions());
        for map in 0..output.len() / positions {
            let x = inputs[0].part(map * size..(map + 1) * size);
            for position in 0..positions {
                let i = map * positions + position;
                let won = tape.choose(i, || winner(&window, position, x) as u32) as usize;
                output.set(i, x.at(won));
                saved.set(i, S::constant(won as f64));
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the places that the forward kernel saved"
    )]
    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shapes, saved, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let window = self.pool.window(shapes[0]);
        let (size, positions) = (window.elements(), window.positions());
        grad.fill(S::constant(0.0));
        for i in 0..cotangent.len() {
            let won = saved.at(i).primal() as usize;
            grad.add(i / positions * size + won, cotangent.at(i));
        }
    }

    fn spread(&self, input: &Shape, block: Block) -> Spread {
        Spread::of_channels(input, block)
    }

    /// Between equal pixels, which pass unchanged, and independent ones. Those are Gaussian with the mean that the input has
    /// or, where the mean is a large share of the scale as behind a ReLU, a rectified Gaussian with this mean. The mean in
    /// the middle of the interval is taken in the middle of the two shares; deviations of two inputs keep their correlation.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = &io.inputs[0];
        let window = self.pool.window(io.shapes[0]);
        let (square, mean) = largest(x.mean_share, window.taps());
        let factor = square.ln();
        let mean_share = f64::midpoint(x.mean_share, mean / square.sqrt()).clamp(-1.0, 1.0);
        let common = x.mean_share * x.mean_share;
        let kept = if common < 1.0 { (1.0 - mean_share * mean_share) / (1.0 - common) } else { 0.0 };
        Moments {
            ln_square: Interval {
                lo: x.ln_square.lo + factor.min(0.0),
                hi: x.ln_square.hi + factor.max(0.0),
            },
            mean_share,
            contrast: (x.contrast * kept).clamp(0.0, 2.0),
            ..*x
        }
    }

    /// A gradient goes to one element; where windows overlap, several may go to the same one. That element is no random one: behind a
    /// ReLU it is one that is on whenever any is, so that the ReLU's slope hardly takes its share of independent pixels, and
    /// smoother one-sided slopes (silu, gelu) rise to 1.13 there. Behind a function that saturates on both sides slopes are
    /// smaller at the largest value than elsewhere.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let window = self.pool.window(io.shapes[0]);
        let x = &io.inputs[0];
        #[expect(clippy::cast_precision_loss, reason = "kernels are far below 2^53")]
        let n = window.taps() as f64;
        let chosen = if window.taps() == 1 {
            Interval::point(0.0)
        } else if x.mean_share > ONE_SIDED {
            let off = below(-shift(x.mean_share));
            Interval { lo: 0.0, hi: ((1.0 - off.powf(n)) / (1.0 - off)).ln() + 1.13f64.powi(2).ln() }
        } else {
            Interval { lo: -n.ln(), hi: 0.0 }
        };
        vec![cotangent.times(Interval { lo: chosen.lo, hi: chosen.hi + window.overlap().ln() })]
    }
}

/// A share of the mean from which on values count as one-sided; behind a ReLU it is 0.56.
const ONE_SIDED: f64 = 0.3;

/// The distribution function of the standard normal.
fn below(z: f64) -> f64 {
    0.5 * Scalar::erfc(-z / SQRT_2)
}

/// E max^2 and E max of n independent values whose mean square is 1.
///
/// With density phi and distribution function Phi of the Gaussian behind the values, E g(max) = E n g(z) Phi(z)^(n-1); the
/// rectifier increases, so that it may be applied after the maximum.
#[expect(clippy::cast_precision_loss, reason = "kernels are far below 2^53")]
fn largest(mean_share: f64, n: usize) -> (f64, f64) {
    let one_sided = mean_share > ONE_SIDED;
    let (centre, deviation, unit) = if one_sided {
        let centre = shift(mean_share);
        (centre, 1.0, rectified(centre).1.sqrt())
    } else {
        (mean_share, (1.0 - mean_share * mean_share).max(0.0).sqrt(), 1.0)
    };
    if n == 1 || deviation == 0.0 {
        return (1.0, mean_share);
    }
    let value = |x: f64| if one_sided { x.max(0.0) / unit } else { x };
    let (count, rest) = (n as f64, n as f64 - 1.0);
    let source = Gaussian { mean: centre, variance: deviation * deviation, decorrelation: 1.0 };
    let rank = |x: f64| below((x - centre) / deviation);
    let square = source.square(&|x| count.sqrt() * value(x) * rank(x).powf(0.5 * rest), &[0.0]);
    let mean = source.through(&|x| count * value(x) * rank(x).powf(rest), &[0.0]).mean;
    (square, mean)
}

/// E relu(z + a) and E relu(z + a)^2.
fn rectified(a: f64) -> (f64, f64) {
    let density = (-0.5 * a * a).exp() / (2.0 * PI).sqrt();
    (density + a * below(a), (1.0 + a * a) * below(a) + a * density)
}

/// The shift a with which relu(z + a) has this share of the mean; the share increases with a.
fn shift(mean_share: f64) -> f64 {
    let (mut low, mut high) = (-3.0, 1e3);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        let (mean, square) = rectified(middle);
        if mean / square.sqrt() < mean_share { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Closed forms for the normal distribution: E max of 2 is 1/sqrt(pi) and E max^2 is 1; E max^2 of 3 is 1 + sqrt(3)/(2 pi). Four and
    /// nine rectified ones: 3.09 and 5.14 by simulation (to two digits).
    #[test]
    fn the_largest_of_several_has_the_published_moments() {
        let (square, mean) = largest(0.0, 2);
        assert!((square - 1.0).abs() < 1e-12 && (mean - 1.0 / PI.sqrt()).abs() < 1e-12);
        assert!((largest(0.0, 3).0 - (1.0 + 3f64.sqrt() / (2.0 * PI))).abs() < 1e-12);
        let relu = 1.0 / PI.sqrt();
        assert!((shift(relu)).abs() < 1e-9, "{}", shift(relu));
        assert!((largest(relu, 4).0 - 3.09).abs() < 0.01, "{}", largest(relu, 4).0);
        assert!((largest(relu, 9).0 - 5.14).abs() < 0.02, "{}", largest(relu, 9).0);
        assert_eq!(largest(0.5, 1), (1.0, 0.5));
        assert!((largest(1.0, 4).0 - 1.0).abs() < 0.01, "equal pixels");
    }
}
