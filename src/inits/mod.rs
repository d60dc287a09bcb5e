//! Initialisers: how the weights of a layer are drawn.
//!
//! Contract: an initialiser states the mean and variance of one weight in closed form and draws weights that have them;
//! the static analysis uses the former, execution the latter, and the property tests compare the two. Draws come from a
//! stream of the tensor's own, so that the draw of one layer does not move another's. To add one: a file with its page,
//! and its two lines here.

mod constant;
mod he_normal;
mod he_uniform;
mod lecun_normal;
mod lecun_uniform;
mod normal;
mod ones;
mod orthogonal;
mod scaling;
mod torch_default;
mod truncated_normal;
mod uniform;
mod variance_scaling;
mod xavier_normal;
mod xavier_uniform;
mod zeros;

use crate::args::{Call, Kind, Param, Reader, Value, mistyped};
use crate::diag::{Diagnostic, Diagnostics, did_you_mean, rules};
use crate::manual::registry;
use crate::source::Spanned;
use crate::tensor::Draws;
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// The tensor that is to be initialised.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its shape; axis 0 is the output, except for a transposed convolution, where it is the input as in PyTorch.
    pub dims: &'a [usize],
    /// How many inputs one output element sums over.
    pub fan_in: usize,
    /// How many outputs one input element feeds.
    pub fan_out: usize,
}

impl Target<'_> {
    /// The number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }
}

/// What an initialiser must say of itself.
pub trait Initializer: Sized {
    /// The manual lists it here.
    const GROUP: &'static str = "initialiser";
    /// The parameters in positional order.
    const SIGNATURE: &'static [Param];

    /// Reads the arguments.
    fn read(args: &mut Reader<'_>) -> Option<Self>;

    /// The names of `n` positional arguments where they depend on n, as in `normal(std)` and `normal(mean, std)`.
    #[must_use]
    fn positional(_n: usize) -> Option<&'static [&'static str]> {
        None
    }

    /// E w.
    fn mean(&self) -> f64 {
        0.0
    }

    /// Var w of one element.
    fn variance(&self, target: Target<'_>) -> f64;

    /// Draws all elements, row-major.
    fn sample(&self, target: Target<'_>, generator: &mut ChaCha8Rng) -> Vec<f64>;

    /// The arguments in canonical form, defaults left out: `fan_out, a=0.01`.
    fn arguments(&self) -> Vec<String>;
}

registry! {
    /// An initialiser.
    pub enum Init: Initializer by init;
    zeros::Zeros,
    ones::Ones,
    constant::Constant,
    normal::Normal,
    uniform::Uniform,
    truncated_normal::TruncatedNormal,
    xavier_normal::XavierNormal,
    xavier_uniform::XavierUniform,
    he_normal::HeNormal,
    he_uniform::HeUniform,
    lecun_normal::LecunNormal,
    lecun_uniform::LecunUniform,
    orthogonal::Orthogonal,
    variance_scaling::VarianceScaling,
    torch_default::TorchDefault,
}

impl Init {
    /// Reads an initialiser from an argument value, a word or a word with arguments, and keeps its place.
    pub fn from_value(
        value: &Spanned<Value>,
        scope: &[String],
        out: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let call = match &value.value {
            Value::Call(call) => call.clone(),
            Value::Symbol(name) | Value::Str(name) => {
                Call { name: Spanned::new(name.clone(), value.span), args: Vec::new(), span: value.span }
            }
            _ => {
                out.push(mistyped("the initialiser", Kind::Init, value, scope));
                return None;
            }
        };
        let Some(entry) = Self::find(&call.name.value) else {
            let names = Self::ALL.iter().map(|init| init.name);
            let near = did_you_mean(&call.name.value, names.clone());
            let known = format!("the initialisers are {}", names.collect::<Vec<_>>().join(", "));
            let message = format!("there is no initialiser `{}`", call.name.value);
            out.push(
                Diagnostic::new(&rules::UNKNOWN_CALLEE, call.name.span, message)
                    .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
            );
            return None;
        };
        let call = Self::with_names(call);
        let init = Self::read(entry.name, &mut Reader::new(&call, None, entry.signature, scope, out))?;
        Some(Spanned::new(init, value.span))
    }

    /// The names of `n` positional arguments of the initialiser of this name, where they depend on n.
    #[must_use]
    pub fn positional(name: &str, n: usize) -> Option<&'static [&'static str]> {
        match name {
            "normal" => normal::Normal::positional(n),
            "uniform" => uniform::Uniform::positional(n),
            _ => None,
        }
    }

    /// Names positional arguments whose meaning depends on their number.
    fn with_names(mut call: Call) -> Call {
        let unnamed = call.args.iter().filter(|arg| arg.name.is_none()).count();
        let names = Self::positional(&call.name.value, unnamed);
        for (arg, name) in
            call.args.iter_mut().filter(|arg| arg.name.is_none()).zip(names.unwrap_or_default())
        {
            arg.name = Some(Spanned::new((*name).to_owned(), arg.value.span));
        }
        call
    }

    /// E w of one element.
    #[must_use]
    pub fn mean(&self) -> f64 {
        init!(self, i => i.mean())
    }

    /// Var w of one element.
    #[must_use]
    pub fn variance(&self, target: Target<'_>) -> f64 {
        init!(self, i => i.variance(target))
    }

    /// Draws the elements of a tensor from its own stream.
    #[must_use]
    pub fn sample(&self, target: Target<'_>, draws: Draws) -> Vec<f64> {
        init!(self, i => i.sample(target, &mut draws.generator()))
    }

    /// Whether every element gets the same value.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Zeros(_) | Self::Ones(_) | Self::Constant(_))
    }

    /// Whether the variance depends on how many numbers an output sums over, or an input feeds.
    #[must_use]
    pub fn divides_by_fan(&self) -> bool {
        let of = |fan| self.variance(Target { dims: &[1], fan_in: fan, fan_out: fan });
        of(1) != of(2)
    }

    /// The value of every element if they are all the same.
    #[must_use]
    pub fn constant(&self) -> Option<f64> {
        self.is_constant().then(|| self.mean())
    }

    /// The initialiser that draws nothing but zeros.
    #[must_use]
    pub const fn zeros() -> Self {
        Self::Zeros(zeros::Zeros)
    }

    /// The initialiser that draws nothing but ones.
    #[must_use]
    pub const fn ones() -> Self {
        Self::Ones(ones::Ones)
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = init!(self, i => i.arguments());
        f.write_str(self.name())?;
        if arguments.is_empty() { Ok(()) } else { write!(f, "({})", arguments.join(", ")) }
    }
}

/// `n` draws from the standard normal distribution.
#[must_use]
pub fn standard_normal(n: usize, draws: Draws) -> Vec<f64> {
    scaling::normal(n, 0.0, 1.0, &mut draws.generator())
}
