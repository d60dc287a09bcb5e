//! What an operator says, asked of the registry: each method hands on to the member.

use super::{
    Advance, Arity, Backward, Block, Category, Column, Dealt, Forward, Inferred, Misfit, ModeEffect, Op,
    OpKind, Own, OwnActivation, OwnLoss, ParamSpec, Response, Spread, Taps, Transfer,
};
use crate::moments::{Curve, Energy, Moments};
use crate::scalar::Scalar;
use crate::tensor::{Mode, Shape, Tensor, View};
use std::cell::RefCell;
use std::collections::VecDeque;

impl OpKind {
    /// What kind of thing it is.
    #[must_use]
    pub fn category(&self) -> Category {
        fn of<T: Op>(_: &T) -> Category {
            T::CATEGORY
        }
        op!(self, o => of(o))
    }

    /// How many values it takes.
    #[must_use]
    pub fn arity(&self) -> Arity {
        fn of<T: Op>(_: &T) -> Arity {
            T::ARITY
        }
        op!(self, o => of(o))
    }

    /// Every argument but the initialisers that differs from its default, in canonical form.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&str, String)> {
        if let Some(own) = self.own() {
            return own.attributes();
        }
        let signature = Self::find(self.name()).map_or(&[][..], |callable| callable.signature);
        let default = |name: &str| {
            signature.iter().find(|param| param.name == name).and_then(|param| match param.default {
                crate::args::Default::Is(text) => Some(text),
                _ => None,
            })
        };
        let mut all = op!(self, o => Op::attributes(o));
        all.retain(|(name, value)| default(name) != Some(value));
        all
    }

    /// What the spec declares, of an operator that it declares.
    #[must_use]
    pub fn own(&self) -> Option<&Own> {
        match self {
            Self::OwnActivation(OwnActivation(own)) | Self::OwnLoss(OwnLoss(own)) => Some(own),
            _ => None,
        }
    }

    /// The shape rule.
    ///
    /// # Errors
    /// The reason why the inputs do not fit.
    pub fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        op!(self, o => o.infer(inputs))
    }

    /// Runs the forward kernel.
    pub fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        op!(self, o => o.forward(io));
    }

    /// Runs the reverse rule.
    pub fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        op!(self, o => o.backward(io));
    }

    /// The moments of the result at initialisation.
    #[must_use]
    pub fn transfer(&self, io: Transfer<'_>) -> Moments {
        op!(self, o => o.transfer(io))
    }

    /// The energy of the gradient that arrives at each input.
    #[must_use]
    pub fn energy(&self, io: Transfer<'_>, cotangent: Energy, output: &Moments) -> Vec<Energy> {
        op!(self, o => o.energy(io, cotangent, output))
    }

    /// How it differs between training and use.
    #[must_use]
    pub fn effect(&self) -> ModeEffect {
        op!(self, o => o.effect())
    }

    /// Whether one sample's result depends on other samples.
    #[must_use]
    pub fn mixes_batch(&self, mode: Mode) -> bool {
        op!(self, o => o.mixes_batch(mode))
    }

    /// Where a piecewise function changes its piece.
    #[must_use]
    pub fn kinks(&self) -> Vec<f64> {
        op!(self, o => Op::kinks(o))
    }

    /// Whether each result is the largest of the elements that its window meets.
    #[must_use]
    pub fn chooses(&self) -> bool {
        op!(self, o => o.chooses())
    }

    /// What an elementwise function does to standard normal input.
    #[must_use]
    pub fn response(&self) -> Option<Response> {
        thread_local! {
            /// The last few answers: lints ask for every layer of a net, which has few kinds of activations.
            static KNOWN: RefCell<VecDeque<(OpKind, Response)>> = const { RefCell::new(VecDeque::new()) };
        }
        if self.category() != Category::Activation {
            return op!(self, o => o.response());
        }
        KNOWN.with_borrow_mut(|known| {
            if let Some((_, response)) = known.iter().find(|(op, _)| op == self) {
                return Some(*response);
            }
            let response = op!(self, o => o.response())?;
            known.truncate(7);
            known.push_front((self.clone(), response));
            Some(response)
        })
    }

    /// The function that an elementwise operator applies to each element.
    #[must_use]
    pub fn curve(&self, params: &[ParamSpec]) -> Option<Curve<'_>> {
        op!(self, o => o.curve(params))
    }

    /// What a softmax inside deals to scores of two inputs.
    #[must_use]
    pub fn dealt(&self, io: Transfer<'_>) -> Option<Dealt> {
        op!(self, o => o.dealt(io))
    }

    /// What a window that slides over maps of this shape meets along either axis.
    #[must_use]
    pub fn taps(&self, input: &Shape) -> Option<[Taps; 2]> {
        op!(self, o => o.taps(input))
    }

    /// How many classes a loss on class labels can tell apart.
    #[must_use]
    pub fn classes(&self, inputs: &[&Shape]) -> Option<usize> {
        op!(self, o => o.classes(inputs))
    }

    /// How many tokens an operator has rows for that takes whole numbers.
    #[must_use]
    pub fn vocabulary(&self) -> Option<usize> {
        op!(self, o => o.vocabulary())
    }

    /// Updates the state after a training step.
    pub fn update_state(&self, batch: usize, shape: &Shape, saved: View<'_, f64>, state: &mut [Tensor]) {
        op!(self, o => o.update_state(batch, shape, saved, state));
    }

    /// Writes the derivative of the result by one component of a parameter and says where it is not zero; `None` if the operator
    /// states no columns.
    #[must_use]
    pub fn column(&self, io: Column<'_>) -> Option<Block> {
        op!(self, o => o.column(io))
    }

    /// What a change of one block of the input does to the result.
    #[must_use]
    pub fn spread(&self, input: &Shape, block: Block) -> Spread {
        op!(self, o => o.spread(input, block))
    }

    /// Moves the result of an operator whose spread is affine.
    pub fn advance(&self, io: Advance<'_>) {
        op!(self, o => o.advance(io));
    }
}
