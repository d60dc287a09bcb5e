//! A learned vector for each token: `y[t] = weight[x[t]]`, row x of a table.
//!
//! The input holds whole numbers from 0 to `vocab` - 1: tokens (`input ids: int[B, T]`), or the words of a category column without
//! `one_hot`. `weight` is `[vocab, dim]` as in PyTorch, and so is the default: rows of N(0, 1). GPT-2 and BERT draw N(0, 0.02^2).
//! Columns of one group share the table; give columns with vocabularies of their own a group and a table each.
//!
//! A lookup sums over nothing, so there is no fan: E y^2 = E w^2 exactly, whatever the tokens are, and schemes that divide by a fan
//! are refused. Two positions have the vector in common where they hold the same token, which two of V equally likely tokens do
//! with probability 1/V.
//!
//! The derivative by a row is the sum over all places that hold its token. Row v is reached with the frequency f_v of the token:
//! behind independent gradients g its energy is f_v times as large as if every place held it, so that a rare token learns
//! slowly under gradient descent, and a row whose token does not occur has exactly no gradient. Adam divides by the
//! root of that energy; `l2 on weights` shrinks every row in every step, seen or not.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `embedding(5, 3)` | `int[B,4]` | `[B,4,3]` |
//! | `embedding(vocab=3, dim=2, init=normal(0.02))` | `int[B]` | `[B,2]` |
//! | `embedding(7, 2, init=normal(0.5, 1))` | `int[B,2,3]` | `[B,2,3,2]` |
//! | `embedding(5, 3)` | `[B,4]` | error |
//! | `embedding(5, 3, init=he_normal)` | `int[B,4]` | error |

use super::class_token::given;
use super::{
    Backward, Block, Category, Column, Forward, Inferred, Misfit, Op, ParamSpec, Role, Shape, Transfer,
};
use crate::args::{Kind, Param, Reader, optional, required};
use crate::diag::rules;
use crate::inits::Init;
use crate::moments::{Energy, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;

/// The operator `embedding`.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    vocab: usize,
    dim: usize,
    init: Spanned<Init>,
}

impl Op for Embedding {
    const SIGNATURE: &'static [Param] = &[
        required("vocab", Kind::Size, "the number of rows: tokens are 0 to `vocab` - 1"),
        required("dim", Kind::Size, "the length of a token's vector"),
        optional("init", Kind::Init, "normal(1)", "how the table is drawn"),
    ];
    const CATEGORY: Category = Category::Lookup;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (vocab, dim) = (args.size("vocab"), args.size("dim"));
        let init = args.with("init", Init::from_value);
        Some(Self { vocab: vocab?, dim: dim?, init: init? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { vocab, dim, init: _ } = self;
        vec![("vocab", vocab.to_string()), ("dim", dim.to_string())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        if self.init.value.divides_by_fan() {
            let message = format!("`{}` divides by a fan, and a lookup has none", self.init.value);
            return Err(Misfit::argument(&rules::WRONG_TYPE, "init", message)
                .help("normal(1) as in PyTorch, normal(0.02) as in GPT-2 and BERT: the std of the table is that of the values"));
        }
        let mut sample = inputs[0].sample().to_vec();
        sample.push(self.dim);
        let table = ParamSpec {
            name: "weight",
            dims: vec![self.vocab, self.dim],
            fan_in: 1,
            fan_out: 1,
            role: Role::Table,
            init: Some(self.init.clone()),
            drawn: None,
        };
        Ok(Inferred { params: vec![table], ..Inferred::shape(Shape::new(sample)) })
    }

    fn vocabulary(&self) -> Option<usize> {
        Some(self.vocab)
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { inputs, params, mut output, .. } = io;
        let n = self.dim;
        for at in 0..inputs[0].len() {
            let row = super::index_at(inputs[0], at);
            output.part(at * n..(at + 1) * n).copy(params[0].part(row * n..(row + 1) * n));
        }
    }

    /// Adds up what the places of a token got. Whole numbers have no derivative.
    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { inputs, cotangent, params_grad, .. } = io;
        let n = self.dim;
        let Some(grad) = &mut params_grad[0] else { return };
        grad.fill(S::constant(0.0));
        for at in 0..inputs[0].len() {
            let row = super::index_at(inputs[0], at);
            grad.part(row * n..(row + 1) * n).accumulate(cotangent.part(at * n..(at + 1) * n));
        }
    }

    /// `weight[v, i]` moves feature i wherever token v stands.
    fn column(&self, io: Column<'_>) -> Option<Block> {
        let Column { batch, inputs, index, column, .. } = io;
        let (row, feature) = (index / self.dim, index % self.dim);
        let places = inputs[0].len();
        column.extend((0..places).map(|at| f64::from(u8::from(super::index_at(inputs[0], at) == row))));
        Some(Block::feature(feature, self.dim, places / batch.max(1)))
    }

    /// Two places have E w^2 in common where they hold the same token, and the squared mean of w elsewhere. The input's moments are
    /// those of the tokens' indicators, whose contrast is the probability that two places differ.
    ///
    /// The mean of y^2 over a sample scatters like that over as many independent rows as tokens meet in it: with the probability p that
    /// two of its T places agree, E sum f_v^2 = (1 + (T - 1) p) / T, and the relative variance is that times that of one row.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let table = given(&io.params[0]);
        let (square, mean) = (table.square(), table.mean());
        if square == 0.0 {
            return table;
        }
        let x = &io.inputs[0];
        let own = 1.0 - mean * mean / square;
        let reciprocal = super::reciprocal(io.shapes[0].elements().max(1));
        let repeated = reciprocal + (1.0 - reciprocal) * (1.0 - x.variety).clamp(0.0, 1.0);
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
        let units = self.dim as f64;
        Moments {
            contrast: own * x.contrast,
            variety: own * x.variety,
            tail: table.tail * repeated,
            units,
            ..table
        }
    }

    /// Nothing arrives at a token.
    fn energy(&self, _: Transfer<'_>, _: Energy, _: &Moments) -> Vec<Energy> {
        vec![Energy::ZERO]
    }
}
