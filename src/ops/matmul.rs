//! Matrix product of two values: `[B,...,M,K]` times `[B,...,K,N]` is `[B,...,M,N]`.
//!
//! The last two axes are the matrices, every axis before them numbers them and must agree in both inputs: there is no
//! broadcasting. `transpose_a` takes the first input as `[B,...,K,M]`, `transpose_b` the second as `[B,...,N,K]`. Neither is a
//! weight: both depend on the sample, and each gets the gradient times the other. A product with weights is `linear`.
//!
//! Each result is a sum of K products, so that its second moment is K times those of the factors: scores of queries and keys of
//! K features have the standard deviation sqrt(K) unless one factor is made smaller, as `attention` does.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `matmul` | `[B,3,4]` `[B,4,2]` | `[B,3,2]` |
//! | `matmul(transpose_b=true)` | `[B,3,2]` `[B,5,2]` | `[B,3,5]` |
//! | `matmul(transpose_a=true)` | `[B,3,2]` `[B,3,5]` | `[B,2,5]` |
//! | `matmul(transpose_a=true, transpose_b=true)` | `[B,2,2,3]` `[B,2,4,2]` | `[B,2,3,4]` |
//! | `matmul` | `[B,3,4]` `[B,3,4]` | error |
//! | `matmul` | `[B,2,3,4]` `[B,3,4,2]` | error |
//! | `matmul` | `[B,3,4]` `[B,4]` | error |
//! | `matmul` | `[B,3,4]` | error |

use super::{Arity, Backward, Category, Forward, Inferred, Misfit, Op, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional};
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::tensor::{Product, View, ViewMut, product};

/// The operator `matmul`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matmul {
    transpose_a: bool,
    transpose_b: bool,
}

/// The sizes of one product.
#[derive(Clone, Copy)]
struct Sizes {
    m: usize,
    k: usize,
    n: usize,
}

/// The last two axes of a value.
fn matrix(shape: &Shape) -> Option<[usize; 2]> {
    let (_, &[rows, columns]) = shape.sample().split_last_chunk::<2>()?;
    Some([rows, columns])
}

impl Matmul {
    /// Rows and columns of both factors as they are multiplied.
    fn factors(&self, a: [usize; 2], b: [usize; 2]) -> [[usize; 2]; 2] {
        let turn =
            |[rows, columns]: [usize; 2], turned| if turned { [columns, rows] } else { [rows, columns] };
        [turn(a, self.transpose_a), turn(b, self.transpose_b)]
    }

    /// The sizes for inputs that the shape rule has checked.
    fn sizes(&self, shapes: &[&Shape]) -> Sizes {
        let of = |shape: &Shape| matrix(shape).unwrap_or([1, 1]);
        let [[m, k], [_, n]] = self.factors(of(shapes[0]), of(shapes[1]));
        Sizes { m, k, n }
    }

    /// The products of all matrices: `c = op(a) op(b)`, where `a` and `b` are stored transposed if their flag says so.
    fn products<S: Scalar>(product: Product, (a, b): (View<'_, S>, View<'_, S>), c: &mut ViewMut<'_, S>) {
        let Product { m, n, k, .. } = product;
        for i in 0..c.len() / (m * n).max(1) {
            let (a, b) = (a.part(i * m * k..(i + 1) * m * k), b.part(i * k * n..(i + 1) * k * n));
            S::gemm(product, a, b, &mut c.part(i * m * n..(i + 1) * m * n));
        }
    }
}

/// A product with either factor stored transposed or not.
fn stored(product: Product, a_transposed: bool, b_transposed: bool) -> Product {
    Product { a_transposed, b_transposed, ..product }
}

impl Op for Matmul {
    const SIGNATURE: &'static [Param] = &[
        optional(
            "transpose_a",
            Kind::Flag,
            "false",
            "whether the first input holds columns of its matrix as rows",
        ),
        optional("transpose_b", Kind::Flag, "false", "whether the second input does"),
    ];
    const CATEGORY: Category = Category::Product;
    const ARITY: Arity = Arity::Exactly(2);

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (transpose_a, transpose_b) = (args.flag("transpose_a"), args.flag("transpose_b"));
        Some(Self { transpose_a: transpose_a?, transpose_b: transpose_b? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { transpose_a, transpose_b } = self;
        vec![("transpose_a", transpose_a.to_string()), ("transpose_b", transpose_b.to_string())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let (Some(a), Some(b)) = (matrix(inputs[0]), matrix(inputs[1])) else {
            let message = format!("`matmul` multiplies matrices and gets {} and {}", inputs[0], inputs[1]);
            return Err(
                Misfit::shape(message).help("a matrix is the last two axes of [B, ..., rows, columns]")
            );
        };
        let outer = |shape: &Shape| shape.sample()[..shape.sample().len() - 2].to_vec();
        if outer(inputs[0]) != outer(inputs[1]) {
            let message = format!("`matmul` takes as many matrices from {} as from {}", inputs[0], inputs[1]);
            let help = "there is no broadcasting: every axis before the last two must be the same in both";
            return Err(Misfit::shape(message).help(help));
        }
        let [[m, k], [rows, n]] = self.factors(a, b);
        if k != rows {
            let message = format!(
                "`matmul` multiplies {m} x {k} by {rows} x {n}: {k} columns of {} meet {rows} rows of {}",
                inputs[0], inputs[1]
            );
            let help = if self.factors(a, [b[1], b[0]])[1][0] == k {
                format!("transpose_b={} makes them fit", !self.transpose_b)
            } else {
                "the columns of the first must be as many as the rows of the second".to_owned()
            };
            return Err(Misfit::shape(message).help(help));
        }
        let mut sample = outer(inputs[0]);
        let flops = product(&[2, product(&sample), m, k, n]);
        sample.extend([m, n]);
        Ok(Inferred { flops, ..Inferred::shape(Shape::new(sample)) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shapes, inputs, mut output, .. } = io;
        let Sizes { m, k, n } = self.sizes(shapes);
        let product = stored(Product::new(m, k, n), self.transpose_a, self.transpose_b);
        Self::products(product, (inputs[0], inputs[1]), &mut output);
    }

    /// With A and B as they are multiplied, dA = G B^T and dB = A^T G; the derivative by an input that is stored transposed is
    /// the transpose of that, B G^T and G^T A.
    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shapes, inputs, cotangent, inputs_grad, .. } = io;
        let Sizes { m, k, n } = self.sizes(shapes);
        let (a, b) = (inputs[0], inputs[1]);
        if let Some(grad) = &mut inputs_grad[0] {
            if self.transpose_a {
                let product = stored(Product::new(k, n, m), self.transpose_b, true);
                Self::products(product, (b, cotangent), grad);
            } else {
                let product = stored(Product::new(m, n, k), false, !self.transpose_b);
                Self::products(product, (cotangent, b), grad);
            }
        }
        if let Some(grad) = &mut inputs_grad[1] {
            if self.transpose_b {
                let product = stored(Product::new(n, m, k), true, self.transpose_a);
                Self::products(product, (cotangent, a), grad);
            } else {
                let product = stored(Product::new(k, m, n), !self.transpose_a, false);
                Self::products(product, (a, cotangent), grad);
            }
        }
    }

    /// The factors count as independent of each other. A sum of K products a b has
    /// E y^2 = K E a^2 E b^2 + K (K - 1) E a a' E b b', where a a' are two elements that one sum takes: two features, which have
    /// their mean in common, or two positions, of which the analysis knows the [`variety`](Moments::variety). E y = K E a E b,
    /// and two samples have K E a a~ E b b~ + K (K - 1) E a a~' E b b~' in common. Of different positions in two samples
    /// nothing is known but that they have no more in common than the same ones have, and no more than two of one sample.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let (a, b) = (&io.inputs[0], &io.inputs[1]);
        if [a, b].iter().any(|x| x.ln_square.hi == f64::NEG_INFINITY) {
            return Moments::ZERO;
        }
        let k = count(self.sizes(io.shapes).k);
        // The sum runs over positions where its index is the axis before the last.
        let (a, b) = (Common::of(a, self.transpose_a), Common::of(b, !self.transpose_b));
        let sum = |alike: f64, apart: f64| k * (alike + (k - 1.0) * apart);
        let square = sum(1.0, a.within * b.within);
        let cross = sum(a.samples * b.samples, a.samples_within * b.samples_within);
        // Rows of the result are positions: they take other rows of the first factor and the same second one.
        let rows = sum(a.beside, a.neither * b.within);
        let x = &io.inputs;
        let ln_square = x[0].ln_square.plus(x[1].ln_square).shift(square.ln());
        let mean = k * x[0].mean_share * x[1].mean_share / square.sqrt();
        Moments {
            ln_square,
            mean_share: mean.clamp(-1.0, 1.0),
            contrast: (1.0 - cross / square).clamp(0.0, 2.0),
            variety: (1.0 - rows / square).clamp(0.0, 2.0),
            spread: x[0].measured_spread() + x[1].measured_spread(),
            // Gaussian for long sums, a product of two for short ones.
            tail: 2.0 + ((1.0 + x[0].tail) * (1.0 + x[1].tail) - 3.0) / k,
            units: x[0].units.min(x[1].units),
        }
    }

    /// An element of a factor sums over as many gradients as the other factor has elements that meet it: summed over all elements, the
    /// energy is multiplied by K E b^2 for the first factor and by K E a^2 for the second. The second sums over rows of the
    /// result, which are positions: what their gradients have in common, and rows of the first factor, adds up. Its own
    /// positions, where its rows are, get the same gradients by other columns of the first factor.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let Sizes { m, k, .. } = self.sizes(io.shapes);
        let through = |own: usize, other: usize, rows: f64, common: f64| {
            let factor = io.inputs[other].ln_square.shift(count(k).ln() + rows.ln_1p());
            if factor.hi == f64::NEG_INFINITY {
                return Energy::ZERO;
            }
            let arrived = cotangent.linear(factor, io.shapes[own].last().unwrap_or(1));
            Energy { variety: 1.0 - common.clamp(0.0, 1.0), ..arrived }
        };
        let gamma = 1.0 - cotangent.variety;
        let a = Common::of(&io.inputs[0], self.transpose_a);
        let rows = gamma * (count(m) - 1.0) * a.beside.max(0.0);
        vec![
            through(0, 1, 0.0, if self.transpose_a { 0.0 } else { gamma }),
            through(1, 0, rows, if self.transpose_b { 0.0 } else { a.within }),
        ]
    }
}

/// What two elements of a factor have in common, as shares of the second moment.
struct Common {
    /// Two elements of one sum.
    within: f64,
    /// Two elements at the same place of a sum that another result takes.
    beside: f64,
    /// Two elements that differ in both.
    neither: f64,
    /// One element in two samples.
    samples: f64,
    /// Two elements of one sum, in two samples.
    samples_within: f64,
}

impl Common {
    /// For a factor whose sums run over positions, or else over features.
    fn of(x: &Moments, over_positions: bool) -> Self {
        let mean = x.mean_share * x.mean_share;
        let positions = 1.0 - x.variety;
        let (within, beside) = if over_positions { (positions, mean) } else { (mean, positions) };
        let samples = 1.0 - x.contrast;
        Self { within, beside, neither: mean, samples, samples_within: within.min(samples) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}
