//! What losses that compare an output with a target element by element have in common.
//!
//! Contract: a [`Pairwise`] loss states its value for one element and its slope by hand, and on which piece a pair lies.
//! Shape rule, kernels, tape and moments follow. A sample's loss is the mean over its elements, so that the mean over the
//! batch is the mean over all elements, as in PyTorch. There is no broadcasting: `[B,1]` against `[B]` would compare every
//! prediction with every target.

use super::{Backward, Forward, Inferred, Misfit, Shape, Transfer};
use crate::args::{Param, Reader};
use crate::moments::{Gaussian, Moments};
use crate::scalar::Scalar;

/// A loss of one output element and one target element.
pub trait Pairwise: Sized {
    /// The name in messages.
    const NAME: &'static str;
    /// The parameters in positional order.
    const SIGNATURE: &'static [Param] = &[];

    /// Reads the arguments.
    fn read(args: &mut Reader<'_>) -> Option<Self>;

    /// The arguments in canonical form.
    fn attributes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The differences between output and target at which one piece ends and the next begins; those of a loss whose pieces
    /// depend on the output alone are not listed.
    fn kinks(&self) -> Vec<f64> {
        Vec::new()
    }

    /// The piece that holds an output and a target; at a kink it fixes the subgradient.
    fn piece(&self, _x: f64, _y: f64) -> u32 {
        0
    }

    /// The loss of one element on a piece.
    fn value<S: Scalar>(&self, x: S, y: S, piece: u32) -> S;

    /// Its derivative by the output.
    fn slope<S: Scalar>(&self, x: S, y: S, piece: u32) -> S;

    /// Whether a target of this shape has one element for each element of the output.
    fn fits(output: &Shape, target: &Shape) -> bool {
        output == target
    }

    /// Mean and second moment of the loss of one element, for Gaussian output and target.
    fn expected(&self, x: &Moments, y: &Moments) -> (f64, f64) {
        let ((x_mean, x_variance), (y_mean, y_variance)) = (plain(x), plain(y));
        let difference =
            Gaussian { mean: x_mean - y_mean, variance: x_variance + y_variance, decorrelation: 1.0 };
        let loss = difference.through(&|d| self.value(d, 0.0, self.piece(d, 0.0)), &self.kinks());
        (loss.mean, loss.square)
    }
}

/// Mean and variance, bounded so that the fourth power of a value is finite.
pub fn plain(x: &Moments) -> (f64, f64) {
    let square = x.ln_square.middle().clamp(-150.0, 150.0).exp();
    let mean = x.mean_share * square.sqrt();
    (mean, (square - mean * mean).max(0.0))
}

/// The shape rule.
pub fn infer<L: Pairwise>(inputs: &[&Shape]) -> Result<Inferred, Misfit> {
    one_a_sample(L::NAME, L::fits(inputs[0], inputs[1]), inputs)
}

/// The same by name, given whether output and target fit.
pub fn one_a_sample(name: &str, fits: bool, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
    let (output, target) = (inputs[0], inputs[1]);
    if fits {
        return Ok(Inferred::shape(Shape::new([])));
    }
    let help = if output.elements() == target.elements() {
        let sizes: Vec<String> = target.sample().iter().map(ToString::to_string).collect();
        format!("there is no broadcasting: end the net in reshape([{}])", sizes.join(", "))
    } else {
        "there is no broadcasting: give the output and the target the same shape".to_owned()
    };
    let message = format!("`{name}` compares an output {output} with a target {target}");
    Err(Misfit::shape(message).help(help))
}

/// The forward kernel: the mean over the elements of each sample.
pub fn forward<L: Pairwise, S: Scalar>(loss: &L, io: Forward<'_, S>) {
    let Forward { batch, shapes, inputs, mut output, mut tape, .. } = io;
    let elements = shapes[0].elements();
    for sample in 0..batch {
        let mut sum = S::constant(0.0);
        for i in sample * elements..(sample + 1) * elements {
            let (x, y) = (inputs[0].at(i), inputs[1].at(i));
            let piece = tape.choose(i, || loss.piece(x.primal(), y.primal()));
            sum += loss.value(x, y, piece);
        }
        output.set(sample, sum * super::reciprocal(elements));
    }
}

/// The reverse rule; a target needs no derivative.
pub fn backward<L: Pairwise, S: Scalar>(loss: &L, io: Backward<'_, S>) {
    let Backward { shapes, inputs, cotangent, inputs_grad, .. } = io;
    let Some(grad) = &mut inputs_grad[0] else { return };
    let elements = shapes[0].elements();
    for i in 0..grad.len() {
        let (x, y) = (inputs[0].at(i), inputs[1].at(i));
        let weight = cotangent.at(i / elements) * super::reciprocal(elements);
        grad.set(i, loss.slope(x, y, loss.piece(x.primal(), y.primal())) * weight);
    }
}

/// The moments: elements count as independent, so the loss of a sample scatters by 1/elements of what one element does.
pub fn transfer<L: Pairwise>(loss: &L, io: &Transfer<'_>) -> Moments {
    let (mean, square) = loss.expected(&io.inputs[0], &io.inputs[1]);
    let scatter = (square - mean * mean).max(0.0) * super::reciprocal(io.shapes[0].elements());
    Moments::new(mean * mean + scatter, mean, mean * mean)
}

/// Makes an operator of a [`Pairwise`] loss. (A second blanket implementation beside that of activations is not possible.)
macro_rules! loss {
    ($Loss:ty) => {
        impl $crate::ops::Op for $Loss {
            const SIGNATURE: &'static [$crate::args::Param] =
                <Self as $crate::ops::pairwise::Pairwise>::SIGNATURE;
            const CATEGORY: $crate::ops::Category = $crate::ops::Category::Loss;
            const ARITY: $crate::ops::Arity = $crate::ops::Arity::Loss;

            fn read(args: &mut $crate::args::Reader<'_>) -> Option<Self> {
                <Self as $crate::ops::pairwise::Pairwise>::read(args)
            }

            fn attributes(&self) -> Vec<(&'static str, String)> {
                $crate::ops::pairwise::Pairwise::attributes(self)
            }

            fn infer(
                &self,
                inputs: &[&$crate::tensor::Shape],
            ) -> Result<$crate::ops::Inferred, $crate::ops::Misfit> {
                $crate::ops::pairwise::infer::<Self>(inputs)
            }

            fn forward<S: $crate::scalar::Scalar>(&self, io: $crate::ops::Forward<'_, S>) {
                $crate::ops::pairwise::forward(self, io);
            }

            fn backward<S: $crate::scalar::Scalar>(&self, io: $crate::ops::Backward<'_, S>) {
                $crate::ops::pairwise::backward(self, io);
            }

            fn transfer(&self, io: $crate::ops::Transfer<'_>) -> $crate::moments::Moments {
                $crate::ops::pairwise::transfer(self, &io)
            }

            fn kinks(&self) -> Vec<f64> {
                $crate::ops::pairwise::Pairwise::kinks(self)
            }
        }
    };
}

pub(super) use loss;
