//! An activation of your own: `activation mish2(x) = x * tanh(softplus(x))`, declared at the top level of a spec.
//!
//! ```text
//! activation mish2(x) = x * tanh(softplus(x))
//! activation hard(x, a = 0.1) = max(a * x, x)  grad = 1 if x > 0 else a
//! activation spike(x) = 1 if x > 0 else 0  surrogate = 1 / (1 + abs(x))**2
//!
//! net { fc: linear(64, init=he_normal)
//!           hard(a=0.2)
//! }
//! ```
//!
//! In YAML: `activations: {hard: {of: x, params: {a: 0.1}, value: "max(a * x, x)", grad: "1 if x > 0 else a"}}`. The formulas stand
//! there as text, without `=`, because they are functions of the input and not numbers of the spec.
//!
//! The first parameter is the input; the others have defaults, which a call may replace. A formula is made of numbers, the
//! parameters, numbers of the `model` line, `+ - * / **` (the exponent must not depend on the input), `a if c else b` with comparisons,
//! `and`, `or`, `not`, and of `exp log log1p expm1 sqrt tanh sigmoid softplus erf sin cos cosh sinh abs sign min max relu pow` and `pi`. It acts
//! on each element. Where a comparison or a `max`, `min`, `abs` or `sign` decides, the formula has a kink or a step; of equal numbers
//! `max` and `min` take the second, and |u| has the derivative 0 at 0. A formula cannot use another declaration.
//!
//! ## The derivative
//!
//! Without more the derivative is worked out by the rules of calculus. With `grad` you write it by hand; before anything runs
//! it is compared with the derivative of the value by dual numbers, at a thousand inputs from 1e-12 to 1e6 and on both sides of every
//! kink, and a difference that rounding does not explain is an error (K007) that says where, how much, and what went wrong. With
//! `surrogate` you write what training is to follow *in place of* the derivative, as straight-through estimators do (Bengio et al.
//! 2013): how far it lies from the derivative is reported (K008) and not an error. The gradient check then follows the chain with the
//! surrogate in it; tensors before it are compared along a random direction by tangents, and not by differences of the loss, which
//! know nothing of a surrogate. Their verdict is SURROGATE.
//!
//! ## What else follows
//!
//! The moments of the result come from quadrature of the formula, split at its kinks, as for every activation of the program: the
//! rules of initialisation, of depth and of saturation apply to it, and `I001` proposes the variance that fits it.

use super::{
    Arity, Backward, Block, Category, Forward, Inferred, Misfit, Op, Own, Response, Shape, Spread, Transfer,
};
use crate::args::{Param, Reader};
use crate::moments::{self, Energy, Gaussian, Moments};
use crate::scalar::Scalar;
use std::sync::Arc;

/// An activation that the spec declares.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnActivation(pub Arc<Own>);

impl OwnActivation {
    /// The name that the spec gives it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl Op for OwnActivation {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Activation;
    const ARITY: Arity = Arity::One;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        None
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        Ok(self.0.with_room(Inferred::shape(inputs[0].clone())))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, mut output, mut tape, mut scratch, .. } = io;
        for i in 0..output.len() {
            output.set(i, self.0.value(&[inputs[0].at(i)], (i, &mut tape), &mut scratch));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { inputs, cotangent, inputs_grad, mut scratch, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        for i in 0..grad.len() {
            let slope = self.0.formula.slope(&[inputs[0].at(i)], &mut scratch);
            grad.set(i, slope * cotangent.at(i));
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let value = self.0.plain_value();
        moments::through(&io.inputs[0], &|x| value(&[x]), self.0.formula.kinks())
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let slope = self.0.plain_slope();
        let (square, fourth) = Gaussian::of(&io.inputs[0]).powers(&|x| slope(&[x]), self.0.formula.kinks());
        vec![cotangent.slope(square, fourth)]
    }

    fn kinks(&self) -> Vec<f64> {
        self.0.formula.kinks().to_vec()
    }

    fn spread(&self, _: &Shape, _: Block) -> Spread {
        Spread::Elementwise
    }

    fn response(&self) -> Option<Response> {
        let (value, slope, kinks) = (self.0.plain_value(), self.0.plain_slope(), self.0.formula.kinks());
        let standard = Gaussian { mean: 0.0, variance: 1.0, decorrelation: 1.0 };
        let forward = standard.through(&|x| value(&[x]), kinks);
        let slope_square = standard.square(&|x| slope(&[x]), kinks);
        Some(Response { square: forward.square, slope_square, elasticity: forward.elasticity })
    }
}
