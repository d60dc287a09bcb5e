//! Dropout: in training every element is zeroed with probability `p` and the rest is multiplied by 1/(1-p); in use the identity.
//!
//! The factor keeps the mean, so that nothing needs to be rescaled in use (inverted dropout, as in PyTorch; Srivastava et al.
//! 2014). It raises the second moment by 1/(1-p): a norm that follows sees another variance in training than in use. `p` is
//! the probability of dropping, not of keeping, and must be below 1.
//!
//! The mask depends on the seed of the run and on the path of the node alone. It is drawn in the order of the elements, so
//! that the mask of the first samples is the same for every batch size.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `dropout(0.5)` | `[B,6]` | `[B,6]` |
//! | `dropout(p=0.2)` | `[B,2,3,3]` | `[B,2,3,3]` |
//! | `dropout(0)` | `[B,4]` | `[B,4]` |
//! | `dropout(1)` | `[B,4]` | error |
//! | `dropout(-0.1)` | `[B,4]` | error |

use super::{Backward, Category, Forward, Inferred, Misfit, ModeEffect, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, required};
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;
use crate::tensor::{Draws, Mode, View, ViewMut};

/// The operator `dropout`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// With keep probability 1.
    #[must_use]
    pub fn keeping_all(&self) -> Self {
        let Self { p: _ } = self;
        Self { p: 0.0 }
    }

    /// What the first `n` elements are multiplied with in training.
    #[must_use]
    pub fn factors(&self, n: usize, draws: Draws) -> Vec<f64> {
        let kept = 1.0 / (1.0 - self.p);
        let factor = |draw| if draw < self.p { 0.0 } else { kept };
        draws.uniform().take(n).map(factor).collect()
    }

    /// The linear map that the mask of a run is: forward on values, backward on derivatives.
    fn mask<S: Scalar>(&self, mode: Mode, draws: Draws, from: View<'_, S>, to: &mut ViewMut<'_, S>) {
        if mode == Mode::Eval || self.p == 0.0 {
            return to.copy(from);
        }
        let factor = 1.0 / (1.0 - self.p);
        super::masked(self.p, draws, from, to, S::constant(0.0), |x| x * factor);
    }
}

impl Op for Dropout {
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
        self.mask(mode, draws, inputs[0], &mut output);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { mode, draws, cotangent, inputs_grad, .. } = io;
        if let Some(grad) = &mut inputs_grad[0] {
            self.mask(mode, draws, cotangent, grad);
        }
    }

    /// E y^2 = E x^2/(1-p) and E y^4 = E x^4/(1-p)^3; E y and, as two samples have masks of their own, E y y' stay.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = io.inputs[0];
        if io.mode == Mode::Eval || self.p == 0.0 {
            return x;
        }
        let keep = 1.0 - self.p;
        Moments {
            ln_square: x.ln_square.shift(-keep.ln()),
            mean_share: x.mean_share * keep.sqrt(),
            contrast: 1.0 - (1.0 - x.contrast) * keep,
            tail: (x.tail + 1.0) / keep - 1.0,
            ..x
        }
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        if io.mode == Mode::Eval || self.p == 0.0 {
            return vec![cotangent];
        }
        let keep = 1.0 - self.p;
        let scaled = cotangent.times(Interval::point(-keep.ln()));
        vec![Energy { tail: cotangent.tail_times(keep.recip()), ..scaled }]
    }

    fn effect(&self) -> ModeEffect {
        ModeEffect::TrainOnly
    }
}
