//! Leaky rectified linear unit whose slope is trained: `y = x` above 0, `y = w x` elsewhere (He et al. 2015).
//!
//! `weight` has one element, or with `channels=true` one for each channel or feature (axis 1), as in PyTorch. At initialisation it passes
//! (1 + E w^2)/2 of the second moment of a centred input: 0.531 at the usual 0.25, for which the layer before it needs
//! Var(w) = 1.88/fan_in, `he_normal(a=0.25)`. The slopes are no kernel: `l2 on weights` leaves them alone, because a decay towards 0 makes a ReLU
//! of it. The subgradient at 0 is w.
//!
//! It has weights and is an activation, so it may go unnamed like one: `fc1` and an unnamed `prelu` give `fc1.prelu.weight`.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `prelu` | `[B,5]` | `[B,5]` |
//! | `prelu(channels=true, init=constant(0.1))` | `[B,3,2,2]` | `[B,3,2,2]` |
//! | `prelu(init=normal(0.25, 0.1))` | `[B,2,3]` | `[B,2,3]` |
//! | `prelu(channels=3)` | `[B,3]` | error |
//! | `prelu(channels=true)` | `[B]` | error |

use super::{Backward, Category, Forward, Inferred, Misfit, Op, ParamSpec, Response, Role, Shape, Transfer};
use crate::args::{Kind, Param, Reader, optional};
use crate::inits::Init;
use crate::moments::{Curve, Energy, Gaussian, Moments, through};
use crate::scalar::Scalar;
use crate::source::Spanned;

/// The operator `prelu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Prelu {
    channels: bool,
    init: Spanned<Init>,
}

/// The slope that PyTorch begins with.
pub const USUAL_SLOPE: f64 = 0.25;

/// The piece that holds `x`; at 0 the lower one.
fn piece(x: f64) -> u32 {
    super::activation::above(x, 0.0)
}

/// Which weight an element takes, given how many there are.
fn weight_of(shape: &Shape, weights: usize) -> impl Fn(usize) -> usize + use<> {
    let channels = shape.channels().unwrap_or(1).max(1);
    let positions = (shape.elements() / channels).max(1);
    move |i| if weights == 1 { 0 } else { i / positions % channels }
}

/// E w^2 and E w^4 of a normal w with this mean and variance.
fn powers((mean, variance): (f64, f64)) -> (f64, f64) {
    let square = mean * mean;
    (square + variance, square * square + 6.0 * square * variance + 3.0 * variance * variance)
}

impl Op for Prelu {
    const SIGNATURE: &'static [Param] = &[
        optional("channels", Kind::Flag, "false", "whether every channel has a slope of its own"),
        optional("init", Kind::Init, "constant(0.25)", "how the slopes are drawn"),
    ];
    const CATEGORY: Category = Category::Activation;

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (channels, init) = (args.flag("channels"), args.with("init", Init::from_value));
        Some(Self { channels: channels?, init: init? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { channels, init: _ } = self;
        vec![("channels", channels.to_string())]
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let shape = inputs[0];
        let weights = match (self.channels, shape.channels()) {
            (false, _) => 1,
            (true, Some(channels)) => channels,
            (true, None) => {
                let message = format!("`prelu` with a slope for each channel gets {shape}");
                return Err(Misfit::shape(message).help("channels=false has one slope for all elements"));
            }
        };
        // Each output element takes one slope.
        let weight = ParamSpec {
            name: "weight",
            dims: vec![weights],
            fan_in: 1,
            fan_out: 1,
            role: Role::Slope,
            init: Some(self.init.clone()),
            drawn: None,
        };
        Ok(Inferred { params: vec![weight], ..Inferred::shape(shape.clone()) })
    }

    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { shape, inputs, params, mut output, mut tape, .. } = io;
        let (x, w) = (inputs[0], params[0]);
        let weight = weight_of(shape, w.len());
        for i in 0..x.len() {
            let x = x.at(i);
            let upper = tape.choose(i, || piece(x.primal())) == 1;
            output.set(i, if upper { x } else { x * w.at(weight(i)) });
        }
    }

    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { shape, inputs, params, cotangent, inputs_grad, params_grad, .. } = io;
        let (x, w) = (inputs[0], params[0]);
        let weight = weight_of(shape, w.len());
        let upper = |i: usize| piece(x.at(i).primal()) == 1;
        if let Some(grad) = &mut inputs_grad[0] {
            for i in 0..x.len() {
                let g = cotangent.at(i);
                grad.set(i, if upper(i) { g } else { g * w.at(weight(i)) });
            }
        }
        if let Some(grad) = &mut params_grad[0] {
            grad.fill(S::constant(0.0));
            for i in (0..x.len()).filter(|&i| !upper(i)) {
                grad.add(weight(i), cotangent.at(i) * x.at(i));
            }
        }
    }

    /// With w = m + d and E d = 0, y is a leaky ReLU of slope m plus d min(x, 0), and the two do not correlate.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let (mean, variance) = io.params[0].statistics();
        let leaky = through(&io.inputs[0], &|x| if x > 0.0 { x } else { mean * x }, &[0.0]);
        if variance == 0.0 {
            return leaky;
        }
        let lower = through(&io.inputs[0], &|x: f64| x.min(0.0), &[0.0]);
        leaky.plus(Moments { mean_share: 0.0, ..lower.scaled(variance.sqrt()) })
    }

    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let (square, fourth) = powers(io.params[0].statistics());
        let (upper, _) = Gaussian::of(&io.inputs[0]).powers(&|x| f64::from(piece(x)), &[0.0]);
        vec![cotangent.slope(upper + (1.0 - upper) * square, upper + (1.0 - upper) * fourth)]
    }

    fn kinks(&self) -> Vec<f64> {
        vec![0.0]
    }

    /// Slopes that are drawn make a mixture of functions.
    fn curve(&self, params: &[ParamSpec]) -> Option<Curve<'_>> {
        let (mean, variance) = params[0].statistics();
        (variance == 0.0).then(|| Curve {
            value: Box::new(move |x| if x > 0.0 { x } else { mean * x }),
            slope: Box::new(move |x| if x > 0.0 { 1.0 } else { mean }),
            kinks: vec![0.0],
        })
    }

    fn response(&self) -> Option<Response> {
        let init = &self.init.value;
        // The fans do not matter to schemes that a slope can sensibly be drawn from.
        let target = crate::inits::Target { dims: &[1], fan_in: 1, fan_out: 1 };
        let (square, _) = powers((init.mean(), init.variance(target)));
        let passed = 0.5 * (1.0 + square);
        Some(Response { square: passed, slope_square: passed, elasticity: 1.0 })
    }
}
