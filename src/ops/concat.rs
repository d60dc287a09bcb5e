//! Joins two or more values along one axis, by default that of the channels or features.
//!
//! The other axes must be equal. In front of a first layer it joins the groups of input columns; without `<-` it takes all of
//! them. Elements keep their values, so a part of larger scale dominates the layer behind: normalise the parts alike.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `concat` | `[B,4]` `[B,3]` | `[B,7]` |
//! | `concat` | `[B,2,3,3]` `[B,1,3,3]` `[B,2,3,3]` | `[B,5,3,3]` |
//! | `concat(axis=-1)` | `[B,2,3]` `[B,2,1]` | `[B,2,4]` |
//! | `concat` | `[B,4,2]` `[B,4,3]` | error |
//! | `concat(axis=0)` | `[B,4]` `[B,4]` | error |
//! | `concat` | `[B,4]` | error |

use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional};
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;
use crate::tensor::product;

/// The operator `concat`.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    axis: i64,
}

impl Concat {
    /// For each input the run of elements that it contributes at a time, and where in the result's run it begins.
    fn runs(&self, shapes: &[&Shape]) -> impl Iterator<Item = (usize, usize)> {
        let axis = shapes.first().and_then(|shape| shape.sample_axis(self.axis)).unwrap_or(0);
        let mut begin = 0;
        shapes.iter().map(move |shape| product(&shape.sample()[axis..])).map(move |run| {
            begin += run;
            (run, begin - run)
        })
    }
}

impl Op for Concat {
    const SIGNATURE: &'static [Param] = &[optional("axis", Kind::Axis, "1", "the axis that grows")];
    const CATEGORY: Category = Category::Combine;
    const ARITY: Arity = Arity::Many;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { axis: args.axis("axis")? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { axis } = self;
        vec![("axis", axis.to_string())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let first = inputs[0];
        let axis = super::axis_of("concat", first, self.axis)?;
        let mut sample = first.sample().to_vec();
        for other in &inputs[1..] {
            let dims = other.sample();
            let fits = dims.len() == sample.len()
                && dims.iter().zip(&sample).enumerate().all(|(i, (a, b))| i == axis || a == b);
            if !fits {
                let message = format!("`concat` joins {first} and {other} along axis {}", axis + 1);
                let help = "all axes but the joined one must be equal";
                return Err(Misfit::shape(message).help(help));
            }
            sample[axis] = sample[axis].saturating_add(dims[axis]);
        }
        Ok(Inferred::shape(Shape::new(sample)))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shapes, inputs, mut output, .. } = io;
        let whole: usize = self.runs(shapes).map(|(run, _)| run).sum();
        for (x, (run, begin)) in inputs.iter().zip(self.runs(shapes)) {
            for i in 0..x.len() / run {
                output.part(i * whole + begin..i * whole + begin + run).copy(x.part(i * run..(i + 1) * run));
            }
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shapes, cotangent, inputs_grad, .. } = io;
        let whole: usize = self.runs(shapes).map(|(run, _)| run).sum();
        for (grad, (run, begin)) in inputs_grad.iter_mut().zip(self.runs(shapes)) {
            let Some(grad) = grad else { continue };
            for i in 0..grad.len() / run {
                let from = cotangent.part(i * whole + begin..i * whole + begin + run);
                grad.part(i * run..(i + 1) * run).copy(from);
            }
        }
    }

    /// A mixture: E y^2, E y, E y y' and E y^4 are the means over the inputs, weighted with their shares w of the elements.
    /// Relative to E y^2 an input counts q = w E x^2 / E y^2, so that everything stays in logarithms. The units of the inputs
    /// add up along axis 1, the channels or features; along another axis the same units have more elements.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let whole: usize = self.runs(io.shapes).map(|(run, _)| run).sum();
        #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
        let shares: Vec<f64> =
            self.runs(io.shapes).map(|(run, _)| run as f64 * super::reciprocal(whole)).collect();
        let parts: Vec<(f64, Moments)> = shares.into_iter().zip(io.inputs.iter().copied()).collect();
        let mixture = Moments::mixture(&parts);
        let features = io.shape.sample_axis(self.axis) == Some(0);
        let units = if features { io.inputs.iter().map(|x| x.units).sum() } else { mixture.units };
        Moments { units, ..mixture }
    }

    /// Each input gets its share of the elements.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let whole: usize = self.runs(io.shapes).map(|(run, _)| run).sum();
        #[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
        let share = |run: usize| run as f64 * super::reciprocal(whole);
        let features = io.shape.sample_axis(self.axis) == Some(0);
        self.runs(io.shapes)
            .map(|(run, _)| {
                let units = if features { cotangent.units * share(run) } else { cotangent.units };
                Energy { units: units.max(1.0), ..cotangent.times(Interval::point(share(run).ln())) }
            })
            .collect()
    }
}
