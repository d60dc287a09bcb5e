//! Multiplies each channel by a learned factor: `y[c] = gamma[c] x[c]`.
//!
//! At the end of a residual branch and drawn small, it makes a deep net start near the identity (Touvron et al. 2021): CaiT begins with
//! 0.1 for up to 18 layers and 1e-5 or 1e-6 beyond, ConvNeXt with 1e-6. There is no value that suits all depths, so `init` must be
//! given. The channels are axis 1 of maps `[B,C,H,W]`, and the features, the last axis, of anything else: `[B,d]` and sequences
//! `[B,T,d]`. The factors are no kernel: `l2 on weights` leaves them alone.
//!
//! It takes the value and its factors in one operator, and so differs from `mul`, whose factors are both values of the net and of one
//! shape: nothing is broadcast, and the analysis knows that the factor is the same for every sample and place.
//!
//! E y^2 = E gamma^2 E x^2 forward, and the gradient's energy takes the same factor on the way back; that by `gamma[c]` is the sum of g x over
//! samples and places. All factors zero switch a branch off until the first step has moved them; behind a layer of zeros they
//! would stay there.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `layer_scale(init=constant(1e-4))` | `[B,4]` | `[B,4]` |
//! | `layer_scale(init=normal(0.5, 0.2))` | `[B,3,2,2]` | `[B,3,2,2]` |
//! | `layer_scale(init=normal(1))` | `[B,2,3]` | `[B,2,3]` |
//! | `layer_scale(init=zeros)` | `[B,2]` | `[B,2]` |
//! | `layer_scale(init=ones)` | `[B]` | error |

use super::{
    Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, ParamSpec, Role, Shape, Transfer,
    normed,
};
use crate::args::{Kind, Param, Reader, required};
use crate::inits::Init;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;

/// The operator `layer_scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerScale {
    init: Spanned<Init>,
}

/// How factors lie along a sample.
#[derive(Clone, Copy, Debug)]
struct Factors {
    count: usize,
    /// Neighbours that share a factor.
    places: usize,
    /// How often all factors follow each other.
    repeats: usize,
}

impl Factors {
    fn of(shape: &Shape) -> Option<Self> {
        let (first, last) = (*shape.sample().first()?, *shape.sample().last()?);
        let elements = shape.elements();
        Some(match shape.rank() {
            4 => Self { count: first, places: elements / first.max(1), repeats: 1 },
            _ => Self { count: last, places: 1, repeats: elements / last.max(1) },
        })
    }

    fn checked(shape: &Shape) -> Self {
        Self::of(shape).unwrap_or_else(|| unreachable!("internal: shapes were inferred"))
    }

    /// The factor of an element of the batch.
    fn at(self, element: usize) -> usize {
        element / self.places % self.count
    }
}

/// E gamma^2 and E gamma^4; the fourth moment is that of a normal variable.
fn powers(spec: &ParamSpec) -> (f64, f64) {
    let (mean, variance) = spec.statistics();
    let square = mean * mean;
    (square + variance, square * square + 6.0 * square * variance + 3.0 * variance * variance)
}

impl Op for LayerScale {
    const SIGNATURE: &'static [Param] =
        &[required("init", Kind::Init, "how the factors are drawn: small at the end of a residual branch")];
    const CATEGORY: Category = Category::Combine;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { init: args.with("init", Init::from_value)? })
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let Some(factors) = Factors::of(inputs[0]) else {
            return Err(Misfit::shape(format!(
                "`layer_scale` needs channels or features and gets {}",
                inputs[0]
            )));
        };
        let gamma = normed::spec("gamma", factors.count, Role::Scale, &self.init);
        Ok(Inferred { params: vec![gamma], ..Inferred::shape(inputs[0].clone()) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shape, inputs, params, mut output, .. } = io;
        let factors = Factors::checked(shape);
        for i in 0..output.len() {
            output.set(i, inputs[0].at(i) * params[0].at(factors.at(i)));
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shape, inputs, params, cotangent, inputs_grad, params_grad, .. } = io;
        let factors = Factors::checked(shape);
        if let Some(grad) = &mut params_grad[0] {
            grad.fill(S::constant(0.0));
            for i in 0..cotangent.len() {
                grad.add(factors.at(i), cotangent.at(i) * inputs[0].at(i));
            }
        }
        if let Some(grad) = &mut inputs_grad[0] {
            for i in 0..cotangent.len() {
                grad.set(i, cotangent.at(i) * params[0].at(factors.at(i)));
            }
        }
    }

    /// A factor moves the elements that take it by their values.
    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, shape, inputs, index, column, .. } = io;
        let Factors { count, places, repeats } = Factors::of(shape)?;
        let block = match places {
            1 => Block::feature(index, count, repeats),
            _ => Block::run(index * places, places),
        };
        for start in (0..batch).map(|sample| sample * shape.elements()) {
            column.extend((0..block.count).map(|k| inputs[0].plane(0)[start + block.element(k)]));
        }
        Some(block)
    }

    /// The factors are independent of the value and the same for every sample and place, so that cosines stay.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let x = io.inputs[0];
        let (square, fourth) = powers(&io.params[0]);
        if square == 0.0 {
            return Moments::ZERO;
        }
        let (mean, _) = io.params[0].statistics();
        Moments {
            ln_square: x.ln_square.shift(square.ln()),
            mean_share: x.mean_share * mean / square.sqrt(),
            // E x^4 is that of a Gaussian also where the sum of squares is kept, which the tail does not count.
            tail: x.tail + (1.0 + x.tail).max(3.0) * (fourth / (square * square) - 1.0),
            ..x
        }
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let (square, fourth) = powers(&io.params[0]);
        vec![cotangent.slope(square, fourth)]
    }
}
