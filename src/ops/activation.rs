//! What elementwise functions have in common.
//!
//! Contract: an [`Activation`] states its value on each smooth piece, its slope by hand, and where the pieces meet. Shape,
//! kernels, tape and moments follow. The value is generic and yields the tangent; the slope is the reverse rule; neither is
//! derived from the other.

use super::{
    Backward, Block, Category, Forward, Inferred, Misfit, Op, ParamSpec, Response, Shape, Spread, Transfer,
};
use crate::args::{Param, Reader};
use crate::moments::{self, Curve, Energy, Gaussian, Moments};
use crate::scalar::Scalar;

/// 1 above a kink, else 0. NaN counts as above, where functions do not hide it.
#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN is not below")]
pub(super) fn above(x: f64, kink: f64) -> u32 {
    u32::from(!(x <= kink))
}

/// An elementwise function. A value and a slope that are more than a few operations say `#[inline(always)]`, as the loops over elements
/// become vector code only with them inside.
pub trait Activation: Sized {
    /// The parameters in positional order.
    const SIGNATURE: &'static [Param] = &[];

    /// Reads the arguments.
    fn read(args: &mut Reader<'_>) -> Option<Self>;

    /// The arguments in canonical form.
    fn attributes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Where one piece ends and the next begins; empty for a smooth function.
    fn kinks(&self) -> &[f64] {
        &[]
    }

    /// The piece that holds `x`, counted from below; the only discrete decision. At a kink it fixes the subgradient: the lower piece
    /// holds it, unless a function says otherwise.
    fn piece(&self, x: f64) -> u32 {
        match *Activation::kinks(self) {
            [kink] => above(x, kink),
            _ => 0,
        }
    }

    /// f(x) on a piece.
    fn value<S: Scalar>(&self, x: S, piece: u32) -> S;

    /// f'(x) on a piece, given y = f(x).
    fn slope<S: Scalar>(&self, x: S, y: S, piece: u32) -> S;
}

impl<A: Activation> Op for A {
    const SIGNATURE: &'static [Param] = <A as Activation>::SIGNATURE;
    const CATEGORY: Category = Category::Activation;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        <A as Activation>::read(args)
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        Activation::attributes(self)
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        Ok(Inferred::shape(inputs[0].clone()))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, mut output, mut tape, .. } = io;
        let x = inputs[0];
        if Activation::kinks(self).is_empty() {
            return S::map(
                x,
                &mut output,
                #[inline(always)]
                |x| self.value(x, 0),
            );
        }
        // A replayed decision is rarely another one than would be taken here: only where a step has crossed a kink.
        let mut same = true;
        if !tape.is_live() {
            for i in 0..x.len() {
                let here = self.piece(x.at(i).primal());
                same &= tape.choose(i, || here) == here;
            }
        }
        if same {
            S::map(
                x,
                &mut output,
                #[inline(always)]
                |x| self.value(x, self.piece(x.primal())),
            );
        } else {
            for i in 0..x.len() {
                let x = x.at(i);
                let piece = tape.choose(i, || self.piece(x.primal()));
                output.set(i, self.value(x, piece));
            }
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { inputs, output, cotangent, inputs_grad, .. } = io;
        if let Some(grad) = &mut inputs_grad[0] {
            S::zip(
                inputs[0],
                output,
                cotangent,
                grad,
                #[inline(always)]
                |x, y, g| self.slope(x, y, self.piece(x.primal())) * g,
            );
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        moments::through(&io.inputs[0], &|x| self.value(x, self.piece(x)), Activation::kinks(self))
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let slope = |x: f64| {
            let piece = self.piece(x);
            self.slope(x, self.value(x, piece), piece)
        };
        let (x, kinks) = (&io.inputs[0], Activation::kinks(self));
        let (square, fourth) = Gaussian::of(x).powers(&slope, kinks);
        let energy = cotangent.slope(square, fourth);
        if energy.variety == 1.0 {
            return vec![energy];
        }
        let positions = Gaussian::of(&Moments { contrast: x.variety, ..*x });
        vec![energy.parted(positions.through(&slope, kinks).contrast)]
    }

    fn kinks(&self) -> Vec<f64> {
        Activation::kinks(self).to_vec()
    }

    fn spread(&self, _: &Shape, _: Block) -> Spread {
        Spread::Elementwise
    }

    fn curve(&self, _: &[ParamSpec]) -> Option<Curve<'_>> {
        let slope = |x: f64| {
            let piece = self.piece(x);
            self.slope(x, self.value(x, piece), piece)
        };
        Some(Curve {
            value: Box::new(|x| self.value(x, self.piece(x))),
            slope: Box::new(slope),
            kinks: Activation::kinks(self).to_vec(),
        })
    }

    fn response(&self) -> Option<Response> {
        let kinks = Activation::kinks(self);
        let value = |x: f64| self.value(x, self.piece(x));
        let slope = |x: f64| self.slope(x, value(x), self.piece(x));
        let standard = Gaussian { mean: 0.0, variance: 1.0, decorrelation: 1.0 };
        let forward = standard.through(&value, kinks);
        let slope_square = standard.square(&slope, kinks);
        Some(Response { square: forward.square, slope_square, elasticity: forward.elasticity })
    }
}
