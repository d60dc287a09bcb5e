//! Elementwise product of two or more values of one shape; there is no broadcasting.
//!
//! A gate: `x * sigmoid(g)`. In mean field the second moments of independent factors multiply, so a gate whose E g^2 is 0.29
//! takes 71 % of the signal's, and the gradient by one factor is scaled by the other.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `mul` | `[B,4]` `[B,4]` | `[B,4]` |
//! | `mul` | `[B,2,3]` `[B,2,3]` `[B,2,3]` | `[B,2,3]` |
//! | `mul` | `[B,4]` `[B,1]` | error |
//! | `mul` | `[B,4]` | error |

use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Param, Reader};
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;

/// The operator `mul`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mul;

impl Op for Mul {
    const SIGNATURE: &'static [Param] = &[];
    const CATEGORY: Category = Category::Combine;
    const ARITY: Arity = Arity::Many;

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        super::same_shapes("mul", inputs)
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, mut output, .. } = io;
        let Some((first, rest)) = inputs.split_first() else { return };
        for i in 0..output.len() {
            output.set(i, rest.iter().fold(first.at(i), |product, x| product * x.at(i)));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { inputs, cotangent, inputs_grad, .. } = io;
        for (own, grad) in inputs_grad.iter_mut().enumerate() {
            let Some(grad) = grad else { continue };
            // The other factors are multiplied again: the result divided by the own factor is 0/0 where that is 0.
            for i in 0..grad.len() {
                let others = inputs.iter().enumerate().filter(|(other, _)| *other != own);
                grad.set(i, others.fold(cotangent.at(i), |product, (_, x)| product * x.at(i)));
            }
        }
    }

    /// Factors count as independent: E y^2, E y and E y y' are the products of those of the factors, and so is E y^4, which
    /// gives the tail. A value times itself is not covered: which inputs are one value, a moment rule does not see.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        io.inputs.iter().skip(1).fold(io.inputs[0], |y, x| Moments {
            ln_square: Interval { lo: y.ln_square.lo + x.ln_square.lo, hi: y.ln_square.hi + x.ln_square.hi },
            mean_share: y.mean_share * x.mean_share,
            contrast: 1.0 - (1.0 - y.contrast) * (1.0 - x.contrast),
            variety: 1.0 - (1.0 - y.variety) * (1.0 - x.variety),
            spread: y.spread + x.spread,
            tail: (1.0 + y.tail) * (1.0 + x.tail) - 1.0,
            units: y.units.min(x.units),
        })
    }

    /// Each factor gets the gradient times the other factors.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let others =
            |own: usize| io.inputs.iter().enumerate().filter(move |(i, _)| *i != own).map(|(_, x)| x);
        let through = |own: usize| {
            others(own).fold(cotangent, |energy, x| Energy {
                tail: energy.tail_times(1.0 + x.tail),
                ..energy.times(x.ln_square).parted(x.variety)
            })
        };
        (0..io.inputs.len()).map(through).collect()
    }
}
