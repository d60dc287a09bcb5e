//! What several operators share: moments of affine layers, labels, axes, and numbers in messages.

use super::{Backward, Forward, Inferred, Misfit, ParamSpec, Transfer};
use crate::args::{Kind, Param, Reader, absent};
use crate::diag::rules;
use crate::inits::Init;
use crate::moments::{Energy, Interval, Moments};
use crate::scalar::Scalar;
use crate::source::Spanned;
use crate::tensor::{Draws, Shape, View, ViewMut, product};
use std::ops::Range;

/// The moments behind a layer with independent weights: fan_in Var(w) E x^2 + Var(b), and what a non-zero mean of the
/// weights adds. `reach` is the share of the taps that lie inside the map, `units` the number of independent outputs.
pub(super) fn affine_moments(io: &Transfer<'_>, fan_in: f64, reach: f64, units: usize) -> Moments {
    let weight = &io.params[0];
    let (mean, variance) = weight.statistics();
    let (shift, noise) = io.params.get(1).map_or((0.0, 0.0), ParamSpec::statistics);
    let x = &io.inputs[0];
    let mut spread = x.linear(fan_in * variance, reach, noise, units);
    if noise == 0.0 && reach == 1.0 {
        spread.tail = tail_of(weight, units, weight.fan_in);
    }
    if mean == 0.0 && shift == 0.0 {
        return spread;
    }
    // Weights with a mean add up the inputs coherently: E (sum mu x)^2 = mu^2 (fan_in (s - m^2) + fan_in^2 m^2).
    let (square, centre) = (x.square(), x.mean());
    let cross = square * (1.0 - x.contrast);
    let coherent = |second: f64| {
        mean * mean * (fan_in * (second - centre * centre).max(0.0) + (fan_in * centre).powi(2))
    };
    let average = fan_in * mean * centre + shift;
    let offset = 2.0 * shift * fan_in * mean * centre + shift * shift;
    let common = Moments::new(coherent(square) + offset, average, coherent(cross) + offset);
    let sum = spread.plus(common);
    // All units have the common part alike; where it moves with the input, it scatters like one unit.
    let moving = mean * mean * fan_in * (square - centre * centre).max(0.0);
    Moments { units: independent(spread.units, moving / sum.square()), ..sum }
}

/// As how many independent units n of them scatter that have the share r of their second moment in common: n / (1 + (n - 1) r^2).
fn independent(units: f64, share: f64) -> f64 {
    if share > 0.0 { units / (1.0 + (units - 1.0) * share * share) } else { units }
}

/// The energy behind a layer with independent weights: fan_in E w^2, of which the share `reach` lies inside the map. Weights with a
/// mean give all inputs one part of the gradient in common.
pub(super) fn affine_energy(io: &Transfer<'_>, fan_in: f64, reach: f64, cotangent: Energy) -> Vec<Energy> {
    let weight = &io.params[0];
    let (mean, variance) = weight.statistics();
    let gain = (fan_in * (variance + mean * mean)).ln();
    let units = io.shapes[0].channels().unwrap_or(1);
    let mut arrived = cotangent.linear(Interval { lo: gain + reach.ln(), hi: gain }, units);
    if mean != 0.0 {
        arrived.units = independent(arrived.units, mean * mean / (variance + mean * mean));
    }
    let tail = if reach == 1.0 { tail_of(weight, units, weight.dims[0]) } else { arrived.tail };
    vec![Energy { tail, ..arrived }]
}

/// The tail behind a matrix that makes `out` numbers of `inward`: that of a Gaussian, but for an orthogonal one, which keeps the
/// length of its input or, with fewer rows, that of its projection: of n numbers, a share r of which is kept, the length scatters
/// by 2/(r n) - 2/n.
#[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
fn tail_of(weight: &ParamSpec, out: usize, inward: usize) -> f64 {
    let orthogonal = weight.init.as_ref().is_some_and(|init| init.value.name() == "orthogonal");
    let square = weight.fan_in == product(&weight.dims[1..]) && weight.dims.len() == 2;
    if orthogonal && square { 2.0 * (1.0 - out as f64 / inward as f64).max(0.0) } else { 2.0 }
}

/// A mask by position: each element is `dropped` with the probability `p` whatever it was, also where it overflowed, and else
/// becomes what `kept` makes of it.
pub(super) fn masked<S: Scalar>(
    p: f64,
    draws: Draws,
    from: View<'_, S>,
    to: &mut ViewMut<'_, S>,
    dropped: S,
    kept: impl Fn(S) -> S,
) {
    for (i, draw) in (0..from.len()).zip(draws.uniform()) {
        to.set(i, if draw < p { dropped } else { kept(from.at(i)) });
    }
}

/// The forward rule of an operator that only renames the axes.
pub(super) fn copy_forward<S: Scalar>(io: Forward<'_, S>) {
    let Forward { inputs, mut output, .. } = io;
    output.copy(inputs[0]);
}

/// Its reverse rule.
pub(super) fn copy_backward<S: Scalar>(io: Backward<'_, S>) {
    let Backward { cotangent, inputs_grad, .. } = io;
    if let Some(grad) = &mut inputs_grad[0] {
        grad.copy(cotangent);
    }
}

/// The parameter that makes a layer share the weight of another. Names and shapes are resolved where the graph is built; an operator
/// sees no difference.
pub(super) const TIE: Param =
    absent("tie", Kind::Node, "an earlier layer whose weight this one shares, in place of `init`");

/// How a layer's weights and biases are drawn: the arguments `init`, which may be absent, and `bias_init`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerInits {
    pub(super) weight: Option<Spanned<Init>>,
    pub(super) bias: Spanned<Init>,
}

impl LayerInits {
    pub(super) fn read(args: &mut Reader<'_>) -> Option<Self> {
        let weight = args.span_of("init").map(|_| args.with("init", Init::from_value));
        let bias = args.with("bias_init", Init::from_value)?;
        match weight {
            Some(read) => Some(Self { weight: Some(read?), bias }),
            None => Some(Self { weight: None, bias }),
        }
    }
}

/// The class label or token at an element. They travel as whole numbers in an `f64`; readers have checked their range.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "labels and tokens are whole numbers"
)]
pub(super) fn index_at<S: Scalar>(whole: View<'_, S>, at: usize) -> usize {
    whole.at(at).primal() as usize
}

/// 1/n.
#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
pub(super) fn reciprocal(n: usize) -> f64 {
    1.0 / n as f64
}

/// A number as the manual and the snapshot write it, with all its digits where four are not enough to read it back.
pub(super) fn exact(x: f64) -> String {
    let short = crate::text::number(x);
    if short.parse() == Ok(x) { short } else { x.to_string() }
}

/// The index into the axes of a sample of an `axis` argument, which must name one of them.
pub(super) fn axis_of(name: &str, shape: &Shape, axis: i64) -> Result<usize, Misfit> {
    shape.sample_axis(axis).ok_or_else(|| {
        let last = shape.rank() - 1;
        let message = if axis == 0 || axis.unsigned_abs() == shape.rank() as u64 && axis < 0 {
            format!("`{name}` along the batch, axis {axis} of {shape}")
        } else {
            format!("`{name}` along axis {axis} of {shape}, whose last axis is {last}")
        };
        let help = match last {
            0 => "a value of shape [B] has no axis but the batch".to_owned(),
            1 => "1 or -1 names the axis of a sample".to_owned(),
            _ => format!("1 to {last}, or -{last} to -1 from the end, name the axes of a sample"),
        };
        Misfit::argument(&rules::OUT_OF_RANGE, "axis", message).help(help)
    })
}

/// The lines of elements along one axis, in the whole batch.
pub(super) struct Lines {
    pub(super) length: usize,
    pub(super) stride: usize,
}

impl Lines {
    /// The lines along an axis that the shape rule has checked.
    pub(super) fn of(shape: &Shape, axis: i64) -> Self {
        let Some(axis) = shape.sample_axis(axis) else { unreachable!("internal: the axis was checked") };
        Self { length: shape.sample()[axis], stride: product(&shape.sample()[axis + 1..]) }
    }

    /// The first element of each line.
    pub(super) fn starts(&self, elements: usize) -> impl Iterator<Item = usize> + use<> {
        let Self { length, stride } = *self;
        let blocks = (0..elements).step_by((length * stride).max(1));
        blocks.flat_map(move |block| block..block + stride)
    }

    /// The elements of a line, where they are neighbours as one run.
    pub(super) fn runs(&self, start: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let run = if self.stride == 1 { self.length.max(1) } else { 1 };
        let end = start + self.length * self.stride;
        (start..end).step_by((run * self.stride).max(1)).map(move |at| at..at + run)
    }

    /// The elements of a line.
    pub(super) fn places(&self, start: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        (start..start + self.length * self.stride).step_by(self.stride.max(1))
    }
}

/// The largest of some elements.
pub(super) fn maximum<S: Scalar>(x: View<'_, S>, places: impl Iterator<Item = usize>) -> f64 {
    places.map(|i| x.at(i).primal()).fold(f64::NEG_INFINITY, f64::max)
}

/// The largest of some elements, and the sum of e^(x - largest) over them: the softmax and its logarithm without an overflow. The shift
/// cancels in both, so it needs no derivative: any constant near the maximum will do.
pub(super) fn shifted_sum<S: Scalar>(
    x: View<'_, S>,
    places: impl Iterator<Item = usize> + Clone,
) -> (f64, S) {
    let most = maximum(x, places.clone());
    let mut sum = S::constant(0.0);
    places.for_each(|i| sum += (x.at(i) + -most).exp());
    (most, sum)
}

/// The shape rule of operators whose inputs are combined element by element.
pub(super) fn same_shapes(name: &str, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
    let first = inputs[0];
    for other in &inputs[1..] {
        if *other != first {
            let message = format!("`{name}` combines {first} with {other}");
            let help = "the shapes must be equal: change a layer, or pass one input through a projection";
            return Err(Misfit::shape(message).help(help));
        }
    }
    Ok(Inferred::shape(first.clone()))
}
