//! Gives the elements of a sample other axes, in row-major order: `reshape([1, 8, 8])`.
//!
//! The sizes are those of one sample, without the batch. One of them may be -1: it takes what the others leave. Elements do not
//! move, so a reshape is not a transposition: `[H,W,C]` to `[C,H,W]` by reshape scrambles an image.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `reshape([1, 8, 8])` | `[B,64]` | `[B,1,8,8]` |
//! | `reshape([-1, 4])` | `[B,2,6]` | `[B,3,4]` |
//! | `reshape([])` | `[B,1]` | `[B]` |
//! | `reshape([3, 4])` | `[B,13]` | error |
//! | `reshape([-1, 5])` | `[B,12]` | error |
//! | `reshape([-1, -1])` | `[B,12]` | error |
//! | `reshape([0, 12])` | `[B,12]` | error |
//! | `reshape(12)` | `[B,3,4]` | error |

use super::{Backward, Block, Category, Forward, Inferred, Misfit, Op, Shape, Spread, Transfer};
use crate::args::{Kind, MAX_ELEMENTS, Param, Reader, Value, mistyped, required};
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::moments::Moments;
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::product;

/// The operator `reshape`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape {
    /// `None` stands for -1, at most once.
    sizes: Vec<Option<usize>>,
}

impl Reshape {
    fn text(&self) -> String {
        let sizes = self.sizes.iter().map(|size| size.map_or("-1".to_owned(), |size| size.to_string()));
        format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
    }
}

/// Reads the list of sizes.
fn sizes(value: &Spanned<Value>, scope: &[String], out: &mut Diagnostics) -> Option<Vec<Option<usize>>> {
    let Value::List(items) = &value.value else {
        let help = "the sizes of one sample, without the batch: reshape([1, 8, 8])";
        out.push(mistyped("`shape` of `reshape`", Kind::Shape, value, scope).help(help));
        return None;
    };
    let mut sizes = Vec::with_capacity(items.len());
    let mut open: Option<&Spanned<Value>> = None;
    for item in items.iter() {
        let wrong = |rule, message: String| Diagnostic::new(rule, item.span, message);
        match item.value {
            Value::Int(-1) => {
                if let Some(first) = open {
                    let message = "two sizes of `reshape` are -1: only one can follow from the others";
                    out.push(wrong(&rules::OUT_OF_RANGE, message.to_owned()).label(first.span, "the first"));
                    return None;
                }
                open = Some(item);
                sizes.push(None);
            }
            Value::Int(n) if n < 1 => {
                let message = format!("a size of `reshape` is {n}");
                out.push(wrong(&rules::OUT_OF_RANGE, message).remark("must be at least 1, or -1 once"));
                return None;
            }
            Value::Int(n) if n.unsigned_abs() > MAX_ELEMENTS => {
                let message = format!("a size of `reshape` is {n}: more than 2^40");
                out.push(wrong(&rules::TOO_LARGE, message));
                return None;
            }
            Value::Int(n) => sizes.push(usize::try_from(n).ok()),
            _ => {
                out.push(mistyped("a size of `reshape`", Kind::Size, item, scope));
                return None;
            }
        }
    }
    Some(sizes)
}

impl Op for Reshape {
    const SIGNATURE: &'static [Param] =
        &[required("shape", Kind::Shape, "the sizes of one sample, without the batch; -1 once for the rest")];
    const CATEGORY: Category = Category::Layout;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { sizes: args.with("shape", sizes)? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![("shape", self.text())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let elements = inputs[0].elements();
        let known = product(&self.sizes.iter().copied().flatten().collect::<Vec<_>>());
        let open = self.sizes.contains(&None);
        if open && !elements.is_multiple_of(known) {
            let message = format!(
                "`reshape` cannot split the {elements} elements of a sample {} into {}: {known} does not divide {elements}",
                inputs[0],
                self.text()
            );
            return Err(Misfit::argument(&rules::NOT_DIVISIBLE, "shape", message));
        }
        if !open && elements != known {
            let message = format!(
                "`reshape` to {} needs {known} elements, and a sample {} has {elements}",
                self.text(),
                inputs[0]
            );
            return Err(Misfit::argument(&rules::SHAPE_MISMATCH, "shape", message).help(
                "the sizes are those of one sample, without the batch; -1 takes what the others leave",
            ));
        }
        let sample: Vec<usize> = self.sizes.iter().map(|size| size.unwrap_or(elements / known)).collect();
        Ok(Inferred::shape(Shape::new(sample)))
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        super::copy_forward(io);
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        super::copy_backward(io);
    }

    fn transfer(&self, io: Transfer<'_>) -> Moments {
        io.inputs[0]
    }

    fn spread(&self, _: &Shape, _: Block) -> Spread {
        Spread::Elementwise
    }
}
