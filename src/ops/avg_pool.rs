//! Mean over a sliding window: `[B,C,H,W]` becomes `[B,C,H',W']`.
//!
//! `kernel`, `stride` (the kernel if it is not given) and `pad` take one number or `[height, width]`. Padding counts as zeros
//! and the sum is always divided by the kernel's size (`count_include_pad=True`, PyTorch's default), so that windows at the edge
//! are pulled towards 0. Averaging n pixels leaves their mean and between all and 1/n of their variance, depending on how
//! much neighbours have in common; the static analysis keeps the interval.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `avg_pool(2)` | `[B,2,4,5]` | `[B,2,2,2]` |
//! | `avg_pool(3, stride=2, pad=1)` | `[B,1,5,4]` | `[B,1,3,2]` |
//! | `avg_pool([1, 3], stride=1)` | `[B,2,2,4]` | `[B,2,2,2]` |
//! | `avg_pool(3)` | `[B,2,2,4]` | error |
//! | `avg_pool(2, pad=2)` | `[B,2,4,4]` | error |
//! | `avg_pool(2)` | `[B,8]` | error |

use super::window::{Pool, Window};
use super::{Backward, Block, Category, Forward, Inferred, Misfit, Op, Shape, Spread, Transfer};
use crate::args::{Kind, Param, Reader, absent, optional, required};
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;

/// The operator `avg_pool`.
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool {
    pool: Pool,
}

/// The parameters of both pools.
pub(super) const SIGNATURE: &[Param] = &[
    required("kernel", Kind::SizePair, "the size of the window"),
    absent("stride", Kind::SizePair, "the distance of two windows; the kernel if it is not given"),
    optional("pad", Kind::Padding, "0", "the margin on each side, at most half of the kernel"),
];

/// Calls `each` with every element that the window at a position meets.
fn met(window: &Window, position: usize, mut each: impl FnMut(usize)) {
    let width = window.columns.input;
    let [rows, columns] = window.met(position);
    for row in rows {
        (row * width + columns.start..row * width + columns.end).for_each(&mut each);
    }
}

impl Op for AvgPool {
    const SIGNATURE: &'static [Param] = SIGNATURE;
    const CATEGORY: Category = Category::Pool;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { pool: Pool::read("avg_pool", args)? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { pool } = self;
        pool.attributes()
    }

    fn taps(&self, input: &Shape) -> Option<[super::window::Taps; 2]> {
        let window = self.pool.window(input);
        Some([window.rows.into(), window.columns.into()])
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let (window, shape) = self.pool.over("avg_pool", inputs[0])?;
        let flops = shape.elements().saturating_mul(window.taps());
        Ok(Inferred { flops, ..Inferred::shape(shape) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shapes, inputs, mut output, .. } = io;
        let window = self.pool.window(shapes[0]);
        let (size, positions) = (window.elements(), window.positions());
        for map in 0..output.len() / positions {
            let x = inputs[0].part(map * size..(map + 1) * size);
            for position in 0..positions {
                let mut sum = S::constant(0.0);
                met(&window, position, |i| sum += x.at(i));
                output.set(map * positions + position, sum * super::reciprocal(window.taps()));
            }
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shapes, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let window = self.pool.window(shapes[0]);
        let (size, positions) = (window.elements(), window.positions());
        for map in 0..cotangent.len() / positions {
            let mut grad = grad.part(map * size..(map + 1) * size);
            grad.fill(S::constant(0.0));
            for position in 0..positions {
                let share = cotangent.at(map * positions + position) * super::reciprocal(window.taps());
                met(&window, position, |i| grad.add(i, share));
            }
        }
    }

    fn spread(&self, input: &Shape, block: Block) -> Spread {
        Spread::of_channels(input, block)
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let window = self.pool.window(io.shapes[0]);
        averaged(&io.inputs[0], super::reciprocal(window.taps()), window.reach())
    }

    /// Each of the taps inside the map gets 1/n of the gradient: the energy is divided by n, exactly for independent gradients.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let window = self.pool.window(io.shapes[0]);
        let factor = window.reach().0 * super::reciprocal(window.taps());
        vec![cotangent.times(Interval::point(factor.ln()))]
    }
}

/// The moments of a mean over n pixels, of which padding leaves `reach` = (E k/n, E (k/n)^2) with k taps inside. The mean m
/// of the input becomes m k/n, its variance v between v k/n^2 for independent pixels and v (k/n)^2 for equal ones. Pixels at
/// the edge may matter less than others, so the upper end is that of the input. Means of two inputs keep the correlation
/// of their deviations.
pub(super) fn averaged(x: &Moments, each: f64, reach: (f64, f64)) -> Moments {
    let common = x.mean_share * x.mean_share;
    let least = (common * reach.1 + (1.0 - common) * reach.0 * each).ln();
    let mean_share = (x.mean_share * reach.0 / (0.25 * least).exp()).clamp(-1.0, 1.0);
    let kept = if common < 1.0 { (1.0 - mean_share * mean_share) / (1.0 - common) } else { 0.0 };
    Moments {
        ln_square: Interval { lo: x.ln_square.lo + least.min(0.0), hi: x.ln_square.hi },
        mean_share,
        contrast: (x.contrast * kept).clamp(0.0, 2.0),
        ..*x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine pixels with mean 3 and variance 1: the mean of independent ones has second moment 9 + 1/9.
    #[test]
    fn averages_keep_the_mean_and_between_all_and_a_share_of_the_variance() {
        let x = Moments::new(10.0, 3.0, 9.0);
        let y = averaged(&x, 1.0 / 9.0, (1.0, 1.0));
        assert!((y.ln_square.lo - (9.0f64 + 1.0 / 9.0).ln()).abs() < 1e-12);
        assert_eq!(y.ln_square.hi, x.ln_square.hi);
        assert!((y.mean() - 3.0).abs() < 1e-12);
        let same = averaged(&x, 1.0, (1.0, 1.0));
        assert!((same.contrast - x.contrast).abs() < 1e-12 && (same.ln_square.lo - 10f64.ln()).abs() < 1e-12);
    }
}
