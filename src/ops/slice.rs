//! A part of one axis: the elements from `start` to before `end`.
//!
//! Axes are counted with the batch as axis 0; indices below 0 count from the end, as in Python, and `end` is by default the
//! length. `slice(1, 0, 1)` of `[B,T,d]` is the first position, as it is read out behind a class token. What is left out gets no
//! gradient.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `slice(1, 0, 1)` | `[B,5,3]` | `[B,1,3]` |
//! | `slice(axis=-1, start=1)` | `[B,5,3]` | `[B,5,2]` |
//! | `slice(1, -2)` | `[B,5]` | `[B,2]` |
//! | `slice(2, 1, -1)` | `[B,2,4,3]` | `[B,2,2,3]` |
//! | `slice(1, 3, 3)` | `[B,5]` | error |
//! | `slice(1, 0, 6)` | `[B,5]` | error |
//! | `slice(3, 0, 1)` | `[B,5]` | error |

use super::{Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, Value, absent, mistyped, optional, required};
use crate::diag::{Diagnostics, rules};
use crate::moments::Moments;
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::product;

/// The operator `slice`.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    axis: i64,
    start: i64,
    /// `None` up to the length.
    end: Option<i64>,
}

/// Reads an index.
fn index(value: &Spanned<Value>, scope: &[String], out: &mut Diagnostics) -> Option<i64> {
    let Value::Int(index) = value.value else {
        out.push(mistyped("an index of `slice`", Kind::Axis, value, scope));
        return None;
    };
    Some(index)
}

/// Where the part lies in the input: the elements before the axis, its length, those behind it, and the range.
struct Part {
    outer: usize,
    length: usize,
    inner: usize,
    start: usize,
    count: usize,
}

impl Slice {
    fn part(&self, shape: &Shape) -> Result<(usize, Part), Misfit> {
        let axis = super::axis_of("slice", shape, self.axis)?;
        let sizes = shape.sample();
        let length = sizes[axis];
        let place = |at: i64| {
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            usize::try_from(if at < 0 { at.saturating_add(length) } else { at })
                .ok()
                .filter(|at| *at <= sizes[axis])
        };
        let (start, end) =
            (place(self.start), place(self.end.unwrap_or(i64::try_from(length).unwrap_or(i64::MAX))));
        match (start, end) {
            (Some(start), Some(end)) if start < end => {
                let (outer, inner) = (product(&sizes[..axis]), product(&sizes[axis + 1..]));
                Ok((axis, Part { outer, length, inner, start, count: end - start }))
            }
            _ => {
                let to = self.end.map_or("the end".to_owned(), |end| end.to_string());
                let message = format!(
                    "`slice` from {} to {to} leaves nothing of axis {}, which has {length} elements",
                    self.start,
                    axis + 1
                );
                let fault = if start.is_none_or(|start| start == length) { "start" } else { "end" };
                Err(Misfit::argument(&rules::OUT_OF_RANGE, fault, message)
                    .help("`end` is the first index that is left out; indices below 0 count from the end"))
            }
        }
    }

    /// Calls `each` with every run of the result and of the input: their starts and the length of both.
    fn runs(&self, batch: usize, shape: &Shape, mut each: impl FnMut(usize, usize, usize)) {
        let Ok((_, part)) = self.part(shape) else { unreachable!("internal: the range was checked") };
        let own = part.count * part.inner;
        for i in 0..batch * part.outer {
            each(i * own, (i * part.length + part.start) * part.inner, own);
        }
    }
}

impl Op for Slice {
    const SIGNATURE: &'static [Param] = &[
        required("axis", Kind::Axis, "the axis, the batch being axis 0"),
        optional("start", Kind::Axis, "0", "the first index that is kept"),
        absent("end", Kind::Axis, "the first index behind it that is not; without it, the rest is kept"),
    ];
    const CATEGORY: Category = Category::Layout;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (axis, start) = (args.with("axis", index), args.with("start", index));
        let end = args.with("end", index);
        Some(Self { axis: axis?, start: start?, end })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("axis", self.axis.to_string()), ("start", self.start.to_string())];
        all.extend(self.end.map(|end| ("end", end.to_string())));
        all
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let (axis, part) = self.part(inputs[0])?;
        let mut sizes = inputs[0].sample().to_vec();
        sizes[axis] = part.count;
        Ok(Inferred::shape(Shape::new(sizes)))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, inputs, mut output, .. } = io;
        self.runs(batch, shapes[0], |to, from, length| {
            output.part(to..to + length).copy(inputs[0].part(from..from + length));
        });
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, shapes, cotangent, inputs_grad, .. } = io;
        if let Some(grad) = &mut inputs_grad[0] {
            grad.fill(S::constant(0.0));
            self.runs(batch, shapes[0], |from, to, length| {
                grad.part(to..to + length).copy(cotangent.part(from..from + length));
            });
        }
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        io.inputs[0]
    }
}
