//! Operators.
//!
//! Contract: one operator a file, and everything about it in that file: its manual page (the `//!` header, with a table
//! of shapes that the tests run), its signature, its shape rule, its forward kernel generic over [`Scalar`], its
//! hand-written reverse rule, and what it does to the [`Moments`] of its input. To add one: the file and its two lines
//! here. Gradient, tangent, shape, determinism, printing and documentation are tested for every member of [`OpKind::ALL`].
//!
//! Invariants: every value has the batch as axis 0 and kernels treat samples alike, except where
//! [`mixes_batch`](Op::mixes_batch) says otherwise; a loss gives one number for each sample; kernels overwrite their
//! outputs, allocate nothing, and take discrete decisions and random draws only through the tape and the draws they are
//! handed.

mod activation;
mod add;
mod alpha_dropout;
mod attention;
mod avg_pool;
mod batch_norm;
mod bce;
mod bce_with_logits;
mod class_token;
mod classes;
mod common;
mod concat;
mod conv2d;
mod conv_transpose2d;
mod convolution;
mod cross_entropy;
mod dropout;
mod elu;
mod embedding;
mod flatten;
mod gelu;
mod global_avg_pool;
mod group_norm;
mod hardswish;
mod hardtanh;
mod huber;
mod kinds;
mod layer_norm;
mod layer_scale;
mod leaky_relu;
mod linear;
mod log_softmax;
mod mae;
mod matmul;
mod max_pool;
mod mish;
mod mse;
mod mul;
mod nll;
mod normed;
mod own;
mod own_activation;
mod own_loss;
mod pairwise;
mod patches;
mod position_embedding;
mod prelu;
mod relu;
mod relu6;
mod reshape;
mod rms_norm;
mod selu;
mod sigmoid;
mod silu;
mod slice;
mod softmax;
mod softplus;
mod softsign;
mod tanh;
mod transpose;
mod upsample;
mod window;

pub use window::Taps;

pub use activation::Activation;
pub use alpha_dropout::AlphaDropout;
pub use kinds::{Arity, Category, ModeEffect, Role};
pub use own::Own;
pub use own_activation::OwnActivation;
pub use own_loss::OwnLoss;
pub use perturb::{Advance, Block, Column, Spread};
pub use prelu::USUAL_SLOPE;

use common::{
    LayerInits, Lines, TIE, affine_energy, affine_moments, axis_of, copy_backward, copy_forward, exact,
    index_at, masked, maximum, reciprocal, same_shapes, shifted_sum,
};

use crate::args::{Param, Reader};
use crate::diag::{Rule, rules};
use crate::inits::{Init, Target};
use crate::manual::registry;
use crate::moments::{Curve, Energy, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::{Draws, Mode, Shape, Tape, Tensor, View, ViewMut, product};

registry! {
    /// An operator with its arguments.
    pub enum OpKind: Op by op and own_activation::OwnActivation, own_loss::OwnLoss;
    linear::Linear,
    conv2d::Conv2d,
    conv_transpose2d::ConvTranspose2d,
    batch_norm::BatchNorm,
    layer_norm::LayerNorm,
    group_norm::GroupNorm,
    rms_norm::RmsNorm,
    max_pool::MaxPool,
    avg_pool::AvgPool,
    global_avg_pool::GlobalAvgPool,
    upsample::Upsample,
    dropout::Dropout,
    alpha_dropout::AlphaDropout,
    relu::Relu,
    relu6::Relu6,
    leaky_relu::LeakyRelu,
    prelu::Prelu,
    elu::Elu,
    selu::Selu,
    gelu::Gelu,
    silu::Silu,
    mish::Mish,
    hardswish::Hardswish,
    tanh::Tanh,
    hardtanh::Hardtanh,
    softsign::Softsign,
    sigmoid::Sigmoid,
    softplus::Softplus,
    softmax::Softmax,
    log_softmax::LogSoftmax,
    add::Add,
    mul::Mul,
    concat::Concat,
    embedding::Embedding,
    class_token::ClassToken,
    position_embedding::PositionEmbedding,
    layer_scale::LayerScale,
    matmul::Matmul,
    attention::Attention,
    flatten::Flatten,
    reshape::Reshape,
    slice::Slice,
    transpose::Transpose,
    cross_entropy::CrossEntropy,
    nll::Nll,
    bce_with_logits::BceWithLogits,
    bce::Bce,
    mse::Mse,
    mae::Mae,
    huber::Huber,
}

mod dispatch;
mod perturb;

/// The manual page of activations that a spec declares.
pub const ACTIVATION_PAGE: &str = crate::manual::page!("own_activation.rs");
/// The manual page of losses that a spec declares.
pub const LOSS_PAGE: &str = crate::manual::page!("own_loss.rs");

/// A trainable tensor that an operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// PyTorch's suffix: `weight`, `bias`.
    pub name: &'static str,
    /// PyTorch's layout.
    pub dims: Vec<usize>,
    /// How many inputs one output element sums over.
    pub fan_in: usize,
    /// How many outputs one input element feeds.
    pub fan_out: usize,
    /// What it is for.
    pub role: Role,
    /// How it is drawn; `None` if the spec does not say, which a lint reports.
    pub init: Option<Spanned<Init>>,
    /// `fan_in` and `fan_out` of the layer that draws it, for a tensor that this one shares: its variance follows from them.
    pub drawn: Option<[usize; 2]>,
}

impl ParamSpec {
    /// The tensor as an initialiser sees it.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        let [fan_in, fan_out] = self.drawn.unwrap_or([self.fan_in, self.fan_out]);
        Target { dims: &self.dims, fan_in, fan_out }
    }

    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        product(&self.dims)
    }

    /// Mean and variance of one element; a tensor without an initialiser counts as drawn with variance 1/fan_in, so that
    /// one missing word does not raise alarms downstream.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
    pub fn statistics(&self) -> (f64, f64) {
        match &self.init {
            Some(init) => (init.value.mean(), init.value.variance(self.target())),
            None => (0.0, 1.0 / self.target().fan_in.max(1) as f64),
        }
    }
}

/// A tensor that is computed from batches but not trained.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSpec {
    /// PyTorch's suffix: `running_mean`.
    pub name: &'static str,
    /// Its shape.
    pub dims: Vec<usize>,
    /// The value before training.
    pub initial: f64,
}

/// A number of scalars that may grow with the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// For the whole batch together.
    pub fixed: usize,
    /// For each sample.
    pub per_sample: usize,
}

impl Room {
    /// The number of scalars for a batch.
    #[must_use]
    pub fn of(self, batch: usize) -> usize {
        self.fixed.saturating_add(self.per_sample.saturating_mul(batch))
    }
}

/// What a shape rule concludes.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Inferred {
    /// The shape of the result.
    pub output: Shape,
    /// The trainable tensors, in the order in which kernels receive them.
    pub params: Vec<ParamSpec>,
    /// The tensors that batches update.
    pub state: Vec<StateSpec>,
    /// What the forward kernel leaves for the reverse rule.
    pub saved: Room,
    /// What either kernel needs while it runs.
    pub scratch: Room,
    /// Multiplications and additions for one sample; 0 means one for each element of the result.
    pub flops: usize,
}

impl Inferred {
    /// An operator without parameters.
    #[must_use]
    pub fn shape(output: Shape) -> Self {
        Self { output, ..Self::default() }
    }
}

/// Why inputs do not fit an operator.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// The rule that is broken.
    pub rule: &'static Rule,
    /// The cause, with the numbers.
    pub message: String,
    /// The argument that is at fault, if one is.
    pub argument: Option<&'static str>,
    /// What to do.
    pub help: Option<String>,
}

impl Misfit {
    /// Inputs that do not fit.
    pub fn shape(message: impl Into<String>) -> Self {
        Self { rule: &rules::SHAPE_MISMATCH, message: message.into(), argument: None, help: None }
    }

    /// An argument that does not fit the input.
    pub fn argument(rule: &'static Rule, argument: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), argument: Some(argument), help: None }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a forward kernel gets.
#[derive(Debug)]
pub struct Forward<'a, S: Scalar> {
    /// The number of samples.
    pub batch: usize,
    /// Training or use.
    pub mode: Mode,
    /// The shapes of the inputs.
    pub shapes: &'a [&'a Shape],
    /// The shape of the result.
    pub shape: &'a Shape,
    /// The inputs.
    pub inputs: &'a [View<'a, S>],
    /// The trainable tensors.
    pub params: &'a [View<'a, S>],
    /// The tensors that batches update; kernels only read them.
    pub state: &'a [&'a [f64]],
    /// The result, to be overwritten.
    pub output: ViewMut<'a, S>,
    /// What the reverse rule will need.
    pub saved: ViewMut<'a, S>,
    /// Free room.
    pub scratch: ViewMut<'a, S>,
    /// Where decisions go.
    pub tape: Tape<'a>,
    /// Where random numbers come from.
    pub draws: Draws,
}

/// What a reverse rule gets: the derivative of the loss by the result, to be turned into derivatives by inputs and
/// parameters, which are overwritten. A derivative that nobody needs is `None`.
#[derive(Debug)]
pub struct Backward<'a, S: Scalar> {
    /// The number of samples.
    pub batch: usize,
    /// Training or use.
    pub mode: Mode,
    /// The shapes of the inputs.
    pub shapes: &'a [&'a Shape],
    /// The shape of the result.
    pub shape: &'a Shape,
    /// The inputs of the forward run.
    pub inputs: &'a [View<'a, S>],
    /// The trainable tensors.
    pub params: &'a [View<'a, S>],
    /// The tensors that batches update.
    pub state: &'a [&'a [f64]],
    /// The result of the forward run.
    pub output: View<'a, S>,
    /// What the forward kernel left.
    pub saved: View<'a, S>,
    /// Free room.
    pub scratch: ViewMut<'a, S>,
    /// Where random numbers come from: the same as in the forward run.
    pub draws: Draws,
    /// dL/d output.
    pub cotangent: View<'a, S>,
    /// dL/d inputs.
    pub inputs_grad: &'a mut [Option<ViewMut<'a, S>>],
    /// dL/d parameters.
    pub params_grad: &'a mut [Option<ViewMut<'a, S>>],
}

/// What a moment rule gets.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    /// Training or use.
    pub mode: Mode,
    /// The shapes of the inputs.
    pub shapes: &'a [&'a Shape],
    /// The shape of the result.
    pub shape: &'a Shape,
    /// The moments of the inputs.
    pub inputs: &'a [Moments],
    /// The trainable tensors.
    pub params: &'a [ParamSpec],
}

/// What an elementwise function f does to z ~ N(0, 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// E f(z)^2: the share of the second moment that passes forward.
    pub square: f64,
    /// E f'(z)^2: the share of the gradient's energy that passes back.
    pub slope_square: f64,
    /// d ln E f^2 / d ln of the input's second moment: below 1 the scale is restored, above 1 it runs away.
    pub elasticity: f64,
}

/// What the softmax inside an operator deals to its inputs at initialisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dealt {
    /// The variance of its inputs, the scores, along the axis that it sums over.
    pub variance: f64,
    /// How many there are.
    pub keys: usize,
    /// E sum a^2 of the shares: 1 over the number of inputs that matter.
    pub participation: f64,
    /// How many products each score sums up.
    pub terms: usize,
    /// What multiplies their sum.
    pub scale: f64,
}

/// What an operator must say of itself.
pub trait Op: Sized {
    /// The parameters in positional order.
    const SIGNATURE: &'static [Param];
    /// What kind of thing it is.
    const CATEGORY: Category;
    /// How many values it takes.
    const ARITY: Arity = Arity::One;
    /// The manual lists it here.
    const GROUP: &'static str = Self::CATEGORY.name();

    /// Reads the arguments.
    fn read(args: &mut Reader<'_>) -> Option<Self>;

    /// Every argument but the initialisers in canonical form, by the names of the signature; the printer leaves out
    /// those that equal the default.
    fn attributes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The shape rule.
    ///
    /// # Errors
    /// The reason why the inputs do not fit.
    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit>;

    /// Computes the result.
    fn forward<S: Scalar>(&self, io: Forward<'_, S>);

    /// Turns the derivative by the result into those by inputs and parameters.
    fn backward<S: Scalar>(&self, io: Backward<'_, S>);

    /// The moments of the result at initialisation.
    fn transfer(&self, io: Transfer<'_>) -> Moments;

    /// The energy of the gradient that arrives at each input, given that at the result; the moments of the result are the last
    /// argument. What moves or selects elements hands the energy on, which is the default for a single input.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _output: &Moments) -> Vec<Energy> {
        vec![cotangent; io.inputs.len()]
    }

    /// How it differs between training and use.
    fn effect(&self) -> ModeEffect {
        ModeEffect::Same
    }

    /// Whether one sample's result depends on other samples.
    fn mixes_batch(&self, _mode: Mode) -> bool {
        false
    }

    /// Where a piecewise function changes its piece: the inputs that tests aim at. For a loss, the differences between
    /// output and target.
    fn kinks(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Whether each result is the largest of the elements that its window meets, so that several may tie.
    fn chooses(&self) -> bool {
        false
    }

    /// What an elementwise function does to standard normal input; `None` for everything else.
    fn response(&self) -> Option<Response> {
        None
    }

    /// The function that an elementwise operator applies; `None` for everything else, and where it differs from element to
    /// element.
    fn curve(&self, _params: &[ParamSpec]) -> Option<Curve<'_>> {
        None
    }

    /// What a softmax inside deals to scores of two inputs; `None` for an operator without one.
    fn dealt(&self, _: Transfer<'_>) -> Option<Dealt> {
        None
    }

    /// What a window that slides over maps of this shape meets along either axis.
    fn taps(&self, _input: &Shape) -> Option<[Taps; 2]> {
        None
    }

    /// How many tokens an operator has rows for that takes whole numbers; `None` for one that takes numbers of any kind.
    fn vocabulary(&self) -> Option<usize> {
        None
    }

    /// How many classes a loss on class labels can tell apart: labels from there on have no logit.
    fn classes(&self, _inputs: &[&Shape]) -> Option<usize> {
        None
    }

    /// Writes the derivative of the result by one component of a parameter, on which the result depends affinely, and says where it
    /// is not zero; `None` (the default) has the kernel run again for every component.
    fn column(&self, _: Column<'_>) -> Option<Block> {
        None
    }

    /// What a change of one block of the only input does to the result.
    fn spread(&self, _input: &Shape, _block: Block) -> Spread {
        Spread::Whole
    }

    /// Moves the result where the spread is affine.
    fn advance(&self, _: Advance<'_>) {
        unreachable!("internal: this operator states no affine spread");
    }

    /// Updates the state after a training step, from what the forward kernel saved.
    fn update_state(&self, _batch: usize, _shape: &Shape, _saved: View<'_, f64>, _state: &mut [Tensor]) {}
}
