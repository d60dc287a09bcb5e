//! Binary cross-entropy of probabilities: `L = -y ln p - (1 - y) ln(1 - p)` for a probability p and a target y in 0..1, averaged over
//! samples and elements.
//!
//! p comes out of a `sigmoid`; logits, or anything else outside of 0..1, give NaN. Where a sigmoid rounds to 0 or 1 the
//! logarithm is lost: both logarithms are therefore cut off at -100, as in PyTorch's `BCELoss`. A cut-off term is constant, so its
//! gradient is 0 here; PyTorch divides by at least 1e-12 instead, which is no derivative of its loss. `bce_with_logits` needs
//! neither: it keeps its digits and its gradient for every logit. The target is of the output's shape, or class labels of two
//! classes, which may lack the output's last axis where that has one element. With probabilities near 1/2 the loss
//! at initialisation is ln 2.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `bce` | `unit[B,3]` `unit[B,3]` | `[B]` |
//! | `bce` | `unit[B,1]` `class[B]` | `[B]` |
//! | `bce` | `unit[B,2,3]` `class[B,2,3]` | `[B]` |
//! | `bce` | `unit[B]` `unit[B]` | `[B]` |
//! | `bce` | `unit[B,1]` `unit[B]` | error |
//! | `bce` | `unit[B,3]` `class[B]` | error |

use super::Shape;
use super::pairwise::{Pairwise, loss, plain};
use crate::args::Reader;
use crate::moments::{Gaussian, Moments};
use crate::scalar::Scalar;

/// The loss `bce(probabilities, target)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bce;

loss!(Bce);

/// Where -ln is cut off.
const MOST: f64 = 100.0;
/// The piece on which -ln p is cut off.
const LOW: u32 = 1;
/// The piece on which -ln(1 - p) is cut off.
const HIGH: u32 = 2;

impl Pairwise for Bce {
    const NAME: &'static str = "bce";

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    /// What is no probability is on the piece between, where its logarithm is NaN and not hidden. Above 1 - e^-100 there is no
    /// number below 1.
    fn piece(&self, x: f64, _: f64) -> u32 {
        if (0.0..=(-MOST).exp()).contains(&x) {
            LOW
        } else if x == 1.0 {
            HIGH
        } else {
            0
        }
    }

    fn value<S: Scalar>(&self, x: S, y: S, piece: u32) -> S {
        let yes = if piece == LOW { S::constant(MOST) } else { -x.ln() };
        let no = if piece == HIGH { S::constant(MOST) } else { -(-x).ln_1p() };
        y * yes + (-y + 1.0) * no
    }

    fn slope<S: Scalar>(&self, x: S, y: S, piece: u32) -> S {
        let yes = if piece == LOW { S::constant(0.0) } else { -(y / x) };
        let no = if piece == HIGH { S::constant(0.0) } else { (-y + 1.0) / (-x + 1.0) };
        yes + no
    }

    /// Labels have no axis for the one probability of a sample. That numbers may not leave it out is said where the target's kind is
    /// known, in lowering.
    fn fits(output: &Shape, target: &Shape) -> bool {
        output == target || output.sample().split_last() == Some((&1, target.sample()))
    }

    /// The logits behind the probabilities count as Gaussian, to first order: with mean m and variance v of the probabilities they have
    /// the mean ln(m/(1 - m)) and the variance v/(m (1 - m))^2. Labels count as balanced and independent, as in `bce_with_logits`.
    fn expected(&self, x: &Moments, _: &Moments) -> (f64, f64) {
        let (mean, variance) = plain(x);
        let m = mean.clamp(1e-6, 1.0 - 1e-6);
        let slope = m * (1.0 - m);
        let logit = Gaussian {
            mean: (m / (1.0 - m)).ln(),
            variance: (variance / (slope * slope)).min(1e4),
            decorrelation: 1.0,
        };
        let (no, yes) = (logit.through(&f64::softplus, &[]), logit.through(&|z| (-z).softplus(), &[]));
        (0.5 * (no.mean + yes.mean), 0.5 * (no.square + yes.square))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> (f64, f64) {
        let piece = Bce.piece(x, y);
        (Bce.value(x, y, piece), Bce.slope(x, y, piece))
    }

    #[test]
    fn logarithms_are_cut_off_and_what_is_no_probability_shows() {
        assert_eq!(at(0.0, 1.0), (100.0, 0.0));
        assert_eq!(at(1.0, 0.0), (100.0, 0.0));
        assert_eq!(at(0.0, 0.0), (0.0, 1.0));
        assert_eq!(at(1.0, 1.0), (0.0, -1.0));
        // ln 1e-43 = -99.01 is not cut off, ln 1e-44 = -101.3 is.
        assert!((at(1e-43, 1.0).0 - 43.0 * 10f64.ln()).abs() < 1e-12);
        assert!((at(1e-43, 1.0).1 / -1e43 - 1.0).abs() < 1e-14, "-1/p to rounding");
        assert_eq!(at(1e-44, 1.0).0, 100.0);
        for x in [-0.1, 1.1, f64::NAN] {
            assert!(at(x, 0.5).0.is_nan(), "{x}");
        }
    }

    /// At probabilities of 1/2 the loss is ln 2; a sigmoid of N(0, 1) has the mean 1/2, the variance 0.0434 and the loss
    /// E ln(1 + e^z) = 0.8061.
    #[test]
    fn the_expected_loss_is_that_of_the_logits() {
        let half = Bce.expected(&Moments::new(0.25, 0.5, 0.25), &Moments::STANDARD).0;
        assert!((half - 2f64.ln()).abs() < 1e-12);
        let unit = Bce.expected(&Moments::new(0.25 + 0.0434, 0.5, 0.25), &Moments::STANDARD).0;
        assert!((unit - 0.8061).abs() < 0.05, "{unit}");
    }
}
