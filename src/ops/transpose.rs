//! Puts the axes of a sample into another order: `transpose([2, 1])` makes `[B,F,T]` of `[B,T,F]`.
//!
//! `axes` names for every axis of the result the axis of the input that it was, numbered with the batch as axis 0, as PyTorch's
//! `permute(0, 2, 1)` does; the batch stays where it is and is left out. Negative numbers count from the end. Unlike a reshape it
//! moves elements with their axes, so that `[B,H,W,C]` images become `[B,C,H,W]` by `transpose([3, 1, 2])`.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `transpose([2, 1])` | `[B,3,4]` | `[B,4,3]` |
//! | `transpose([3, 1, 2])` | `[B,2,3,4]` | `[B,4,2,3]` |
//! | `transpose([-1, 2, 1])` | `[B,2,3,4]` | `[B,4,3,2]` |
//! | `transpose([1])` | `[B,5]` | `[B,5]` |
//! | `transpose([1, 2])` | `[B,2,3,4]` | error |
//! | `transpose([1, 1])` | `[B,3,4]` | error |
//! | `transpose([0, 1])` | `[B,3,4]` | error |
//! | `transpose([1, 3])` | `[B,3,4]` | error |
//! | `transpose(2)` | `[B,3,4]` | error |

use super::{Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, Value, mistyped, required};
use crate::diag::{Diagnostics, rules};
use crate::moments::Moments;
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::product;

/// The operator `transpose`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// The axis of the input that each axis of a result's sample is.
    axes: Vec<i64>,
}

/// Reads the list of axes.
fn axes(value: &Spanned<Value>, scope: &[String], out: &mut Diagnostics) -> Option<Vec<i64>> {
    let Value::List(items) = &value.value else {
        let help = "the axes of a sample in their new order: transpose([2, 1])";
        out.push(mistyped("`axes` of `transpose`", Kind::Shape, value, scope).help(help));
        return None;
    };
    let mut axes = Vec::with_capacity(items.len());
    for item in items.iter() {
        match item.value {
            Value::Int(axis) => axes.push(axis),
            _ => {
                out.push(mistyped("an axis of `transpose`", Kind::Axis, item, scope));
                return None;
            }
        }
    }
    Some(axes)
}

impl Transpose {
    fn text(&self) -> String {
        format!("[{}]", self.axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    /// Calls `each` with the first element of every run along the last axis of the result, the element of the input that it is, and the
    /// distance of the run's elements there.
    fn runs(&self, input: &Shape, output: &Shape, mut each: impl FnMut(usize, usize, usize)) {
        let stride = |axis: i64| {
            let Some(axis) = input.sample_axis(axis) else { unreachable!("internal: the axes were checked") };
            product(&input.sample()[axis + 1..])
        };
        let Some((last, outer)) = output.sample().split_last() else { return };
        let step = self.axes.last().map_or(1, |axis| stride(*axis));
        for run in 0..product(outer) {
            let (mut rest, mut from) = (run, 0);
            for (length, axis) in outer.iter().zip(&self.axes).rev() {
                from += rest % length * stride(*axis);
                rest /= length;
            }
            each(run * last, from, step);
        }
    }
}

impl Op for Transpose {
    const SIGNATURE: &'static [Param] =
        &[required("axes", Kind::Shape, "the axes of a sample in their new order, the batch being axis 0")];
    const CATEGORY: Category = Category::Layout;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { axes: args.with("axes", axes)? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("axes", self.text())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let (shape, sizes) = (inputs[0], inputs[0].sample());
        let wrong = |message: String| {
            let order: Vec<String> = (1..=sizes.len()).rev().map(|axis| axis.to_string()).collect();
            Misfit::argument(&rules::OUT_OF_RANGE, "axes", message).help(format!(
                "every axis but the batch once: transpose([{}]) turns them round",
                order.join(", ")
            ))
        };
        if self.axes.len() != sizes.len() {
            let (given, there) = (self.axes.len(), sizes.len());
            let message = format!(
                "`transpose` to {} does not fit the axes of {shape}: {given} for {there}",
                self.text()
            );
            return Err(wrong(message));
        }
        let mut places: Vec<usize> = Vec::with_capacity(sizes.len());
        for &axis in &self.axes {
            let place = super::axis_of("transpose", shape, axis).map_err(|misfit| wrong(misfit.message))?;
            if places.contains(&place) {
                return Err(wrong(format!("`transpose` to {} takes axis {} twice", self.text(), place + 1)));
            }
            places.push(place);
        }
        let sample: Vec<usize> = places.iter().map(|&place| sizes[place]).collect();
        Ok(Inferred::shape(Shape::new(sample)))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, shape, inputs, mut output, .. } = io;
        let (n, length) = (shape.elements(), shape.last().unwrap_or(1));
        for sample in 0..batch {
            let x = inputs[0].part(sample * n..(sample + 1) * n);
            self.runs(shapes[0], shape, |to, from, step| {
                (0..length).for_each(|i| output.set(sample * n + to + i, x.at(from + i * step)));
            });
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, shapes, shape, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let (n, length) = (shape.elements(), shape.last().unwrap_or(1));
        for sample in 0..batch {
            let mut grad = grad.part(sample * n..(sample + 1) * n);
            self.runs(shapes[0], shape, |to, from, step| {
                (0..length).for_each(|i| grad.set(from + i * step, cotangent.at(sample * n + to + i)));
            });
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        io.inputs[0]
    }
}
