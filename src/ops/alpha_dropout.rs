//! Dropout for `selu`: in training every element is set to the value at which `selu` saturates with probability `p`, and all are
//! then moved so that mean 0 and variance 1 stay; in use the identity.
//!
//! With d = -1.7581, the limit of `selu` for very negative inputs, and q = 1 - p, a kept element becomes a x - a p d and a
//! dropped one a d - a p d, where a = 1 / sqrt(q (1 + p d^2)) (Klambauer et al. 2017; PyTorch's `AlphaDropout`). For x of mean
//! m and second moment s the result has the mean a q m and the second moment a^2 (q s - 2 p q d m + p q d^2), so that 0 and 1
//! are kept; plain `dropout` would multiply the second moment by 1/q in every layer.
//!
//! The mask depends on the seed of the run and on the path of the node alone, as that of `dropout` does.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `alpha_dropout(0.5)` | `[B,6]` | `[B,6]` |
//! | `alpha_dropout(p=0.1)` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `alpha_dropout(0)` | `[B,4]` | `[B,4]` |
//! | `alpha_dropout(1)` | `[B,4]` | error |
//! | `alpha_dropout(-0.1)` | `[B,4]` | error |

use super::selu::SATURATION;
use super::{Backward, Category, Forward, Inferred, Misfit, ModeEffect, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, required};
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;
use crate::tensor::{Draws, Mode};

/// The operator `alpha_dropout`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlphaDropout {
    p: f64,
}

impl AlphaDropout {
    /// With keep probability 1.
    #[must_use]
    pub fn keeping_all(&self) -> Self {
        let Self { p: _ } = self;
        Self { p: 0.0 }
    }

    /// Which of the first `n` elements training keeps: 1, or 0 for those that are dropped.
    #[must_use]
    pub fn kept(&self, n: usize, draws: Draws) -> Vec<f64> {
        draws.uniform().take(n).map(|draw| if draw < self.p { 0.0 } else { 1.0 }).collect()
    }

    /// What two passes of one row with masks of their own have in common at mean 0 and variance 1: E y y' = (a q)^2.
    #[must_use]
    pub fn common(p: f64) -> f64 {
        ((1.0 - p) * Self { p }.map().0).powi(2)
    }

    /// What elements are multiplied with, a, and what is added to it, -a p d.
    fn map(&self) -> (f64, f64) {
        let factor = ((1.0 - self.p) * (1.0 + self.p * SATURATION * SATURATION)).sqrt().recip();
        (factor, -factor * self.p * SATURATION)
    }

    /// Whether a run is the identity.
    fn rests(&self, mode: Mode) -> bool {
        mode == Mode::Eval || self.p == 0.0
    }
}

impl Op for AlphaDropout {
    const SIGNATURE: &'static [Param] =
        &[required("p", Kind::Number, "the probability of dropping an element")];
    const CATEGORY: Category = Category::Noise;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { p: args.number_where("p", "at least 0 and below 1", |p| (0.0..1.0).contains(&p))? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { p } = self;
        vec![("p", super::exact(*p))]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        Ok(Inferred::shape(inputs[0].clone()))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { mode, inputs, mut output, draws, .. } = io;
        if self.rests(mode) {
            return output.copy(inputs[0]);
        }
        let (factor, offset) = self.map();
        let dropped = S::constant(factor * SATURATION + offset);
        super::masked(self.p, draws, inputs[0], &mut output, dropped, |x| x * factor + offset);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { mode, draws, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        if self.rests(mode) {
            return grad.copy(cotangent);
        }
        let (factor, _) = self.map();
        super::masked(self.p, draws, cotangent, grad, S::constant(0.0), |g| g * factor);
    }

    /// Two samples have masks of their own, so that E y y' = (a q)^2 E x x'. The third moment, which the tail asks for and nobody
    /// carries, is that of a Gaussian.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = io.inputs[0];
        if self.rests(io.mode) {
            return x;
        }
        let keep = 1.0 - self.p;
        // In units of the larger of rms and 1, so that nothing overflows.
        let after = |ln_square: f64| {
            let (ln_unit, rms) = (ln_square.max(0.0), (0.5 * ln_square.min(0.0)).exp());
            let ((a, b), unit) = (self.map(), (-0.5 * ln_unit).exp());
            let (b, d) = (b * unit, (a * SATURATION + b) * unit);
            let (s, m) = (rms * rms, x.mean_share * rms);
            let y = keep * (a * a * s + 2.0 * a * b * m + b * b) + self.p * d * d;
            (ln_unit, [a, b, d, s, m, y])
        };
        let (_, [a, b, d, s, m, y]) = after(x.ln_square.middle());
        let (mean, cross) = (a * keep * m, (a * keep).powi(2) * s * (1.0 - x.contrast));
        let (third, fourth) = (m * (3.0 * s - 2.0 * m * m), (x.tail + 1.0) * s * s);
        let kept = a.powi(4) * fourth
            + 4.0 * a.powi(3) * b * third
            + 6.0 * (a * b).powi(2) * s
            + 4.0 * a * b.powi(3) * m
            + b.powi(4);
        let tail = (keep * kept + self.p * d.powi(4)) / (y * y) - 1.0;
        // d ln E y^2 / d ln E x^2, the mean moving with the root.
        let elasticity = keep * (a * a * s + a * b * m) / y;
        let end = |ln_square: f64| {
            let (ln_unit, [.., y]) = after(ln_square);
            ln_unit + y.ln()
        };
        Moments {
            ln_square: x.ln_square.map(end),
            spread: x.spread * elasticity * elasticity,
            tail: tail.max(0.0),
            units: x.units,
            ..Moments::new(y, mean, cross)
        }
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        if self.rests(io.mode) {
            return vec![cotangent];
        }
        let (keep, (factor, _)) = (1.0 - self.p, self.map());
        let scaled = cotangent.times(Interval::point((keep * factor * factor).ln()));
        vec![Energy { tail: cotangent.tail_times(keep.recip()), ..scaled }]
    }

    fn effect(&self) -> ModeEffect {
        ModeEffect::TrainOnly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind any number of layers, whatever is dropped: to 10^-12, some hundred roundings.
    #[test]
    fn mean_0_and_variance_1_are_kept() {
        for p in [0.05, 0.5, 0.95] {
            let shape = Shape::default();
            let io =
                Transfer { mode: Mode::Train, shapes: &[&shape], shape: &shape, inputs: &[], params: &[] };
            let y = AlphaDropout { p }.transfer(Transfer { inputs: &[Moments::STANDARD], ..io });
            assert!((y.square() - 1.0).abs() < 1e-12 && y.mean().abs() < 1e-12, "{p}: {y:?}");
            // A scale that would overflow is multiplied as a small one is.
            let large = Moments { ln_square: Interval::point(2000.0), ..Moments::STANDARD };
            let y = AlphaDropout { p }.transfer(Transfer { inputs: &[large], ..io });
            let factor = ((1.0 - p) * AlphaDropout { p }.map().0.powi(2)).ln();
            assert!((y.ln_square.middle() - 2000.0 - factor).abs() < 1e-12, "{p}: {y:?}");
        }
    }
}
