//! Makes maps larger by a whole factor: `[B,C,H,W]` becomes `[B,C,H scale,W scale]`.
//!
//! `mode=nearest` repeats every element, `mode=bilinear` interpolates between the centres of pixels and continues the outermost ones to the
//! edge: PyTorch's `Upsample` with `align_corners=False`. `scale` takes one number or `[height, width]`. It has no weights; a
//! convolution behind it is the usual way around the checkerboards of a transposed convolution (Odena et al. 2016).
//!
//! Repeating keeps every moment, and hands back the sum of the copies' gradients. Interpolating is a mean of two or four
//! neighbours: equal pixels pass unchanged, of independent ones at factor 2 five eighths of the variance pass along each axis inside of the
//! map. The static analysis keeps the interval.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `upsample(2)` | `[B,2,2,3]` | `[B,2,4,6]` |
//! | `upsample(2, mode=bilinear)` | `[B,2,2,3]` | `[B,2,4,6]` |
//! | `upsample([1, 3], mode=bilinear)` | `[B,1,2,2]` | `[B,1,2,6]` |
//! | `upsample(scale=3)` | `[B,1,1,2]` | `[B,1,3,6]` |
//! | `upsample(0)` | `[B,1,2,2]` | error |
//! | `upsample(2, mode=cubic)` | `[B,1,2,2]` | error |
//! | `upsample(2)` | `[B,8]` | error |

use super::avg_pool;
use super::window;
use super::{Backward, Block, Category, Forward, Inferred, Misfit, Op, Shape, Spread, Transfer};
use crate::args::{Kind, Param, Reader, optional, required};
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;

/// The operator `upsample`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsample {
    scale: [usize; 2],
    mode: &'static str,
}

/// The two elements that an output lies between, and the share of the second.
type Between = (usize, usize, f64);

/// Along an axis of `length` elements, output q lies at (q + 1/2)/scale - 1/2, but not before the first element nor behind the
/// last one.
#[expect(clippy::cast_precision_loss, reason = "scales are far below 2^53")]
fn between(q: usize, scale: usize, length: usize) -> Between {
    // In units of 1/(2 scale), so that nothing is rounded but the share.
    let place = (2 * q + 1).saturating_sub(scale);
    let (first, rest) = (place / (2 * scale), place % (2 * scale));
    (first, (first + 1).min(length - 1), rest as f64 / (2 * scale) as f64)
}

/// The mean over outputs of the sum of squared shares, in how far independent elements keep their variance; of more than 1000 outputs,
/// over an even selection.
fn kept(scale: usize, length: usize) -> f64 {
    let outputs = scale.saturating_mul(length);
    let (mut count, mut sum) = (0.0, 0.0);
    for q in (0..outputs).step_by(outputs.div_ceil(1000)) {
        let (first, second, share) = between(q, scale, length);
        count += 1.0;
        sum += if first == second { 1.0 } else { share * share + (1.0 - share).powi(2) };
    }
    sum / count
}

impl Upsample {
    fn is_nearest(&self) -> bool {
        self.mode == "nearest"
    }

    /// Calls `each` for every output of a map with the elements that it takes and their shares.
    fn visit(&self, [height, width]: [usize; 2], mut each: impl FnMut(usize, [(usize, f64); 4])) {
        let [down, right] = self.scale;
        let along = |q: usize, scale: usize, length: usize| {
            if self.is_nearest() { (q / scale, q / scale, 0.0) } else { between(q, scale, length) }
        };
        for i in 0..height * down {
            let (above, below, lower) = along(i, down, height);
            for j in 0..width * right {
                let (left, next, later) = along(j, right, width);
                let (upper, sooner) = (1.0 - lower, 1.0 - later);
                let taken = [
                    (above * width + left, upper * sooner),
                    (above * width + next, upper * later),
                    (below * width + left, lower * sooner),
                    (below * width + next, lower * later),
                ];
                each(i * width * right + j, taken);
            }
        }
    }

    /// The share of independent pixels' variance that is left.
    fn share(&self, input: &Shape) -> f64 {
        if self.is_nearest() {
            return 1.0;
        }
        let [height, width] = sides(input);
        kept(self.scale[0], height) * kept(self.scale[1], width)
    }
}

/// Height and width of maps that the shape rule has checked.
fn sides(shape: &Shape) -> [usize; 2] {
    let [_, height, width] = *shape.sample() else { unreachable!("internal: shapes were inferred") };
    [height, width]
}

impl Op for Upsample {
    const SIGNATURE: &'static [Param] = &[
        required("scale", Kind::SizePair, "by what factor the map grows"),
        optional("mode", Kind::Word(&["nearest", "bilinear"]), "nearest", "what stands between two elements"),
    ];
    const CATEGORY: Category = Category::Layout;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (scale, mode) = (args.size_pair("scale"), args.word("mode"));
        Some(Self { scale: scale?, mode: mode? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { scale, mode } = self;
        vec![("scale", window::pair(*scale)), ("mode", (*mode).to_owned())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let [channels, height, width] = window::map_of("upsample", inputs[0])?;
        let [down, right] = self.scale;
        let shape = Shape::new([channels, height.saturating_mul(down), width.saturating_mul(right)]);
        let flops = if self.is_nearest() { 0 } else { shape.elements().saturating_mul(8) };
        Ok(Inferred { flops, ..Inferred::shape(shape) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shapes, shape, inputs, mut output, .. } = io;
        let (small, large) = (sides(shapes[0]), sides(shape));
        let (size, grown) = (small[0] * small[1], large[0] * large[1]);
        for map in 0..output.len() / grown {
            let x = inputs[0].part(map * size..(map + 1) * size);
            self.visit(small, |at, taken| {
                let y = if self.is_nearest() {
                    x.at(taken[0].0)
                } else {
                    let [a, b, c, d] = taken.map(|(i, share)| x.at(i) * share);
                    a + b + (c + d)
                };
                output.set(map * grown + at, y);
            });
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shapes, shape, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let (small, large) = (sides(shapes[0]), sides(shape));
        let (size, grown) = (small[0] * small[1], large[0] * large[1]);
        grad.fill(S::constant(0.0));
        for map in 0..cotangent.len() / grown {
            self.visit(small, |at, taken| {
                let g = cotangent.at(map * grown + at);
                let used = if self.is_nearest() { 1 } else { taken.len() };
                for (i, share) in &taken[..used] {
                    grad.add(map * size + i, g * *share);
                }
            });
        }
    }

    fn spread(&self, input: &Shape, block: Block) -> Spread {
        Spread::of_channels(input, block)
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        if self.is_nearest() {
            return io.inputs[0];
        }
        avg_pool::averaged(&io.inputs[0], self.share(io.shapes[0]), (1.0, 1.0))
    }

    /// Independent gradients of the outputs add up with the squares of the shares; repeating has the shares 1.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        vec![cotangent.times(Interval::point(self.share(io.shapes[0]).ln()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At factor 2 outputs stand a quarter before and behind the elements, at 3 in thirds; the ends are continued.
    #[test]
    fn outputs_lie_between_the_centres_of_pixels() {
        let places = |scale, length| -> Vec<Between> {
            (0..scale * length).map(|q| between(q, scale, length)).collect()
        };
        assert_eq!(places(2, 2), [(0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.25)]);
        assert_eq!(places(1, 2), [(0, 1, 0.0), (1, 1, 0.0)]);
        assert_eq!(between(4, 3, 3), (1, 2, 0.0));
        assert_eq!(kept(2, 1), 1.0);
        assert!((kept(2, 1000) - 0.625).abs() < 0.001, "{}", kept(2, 1000));
    }
}
