//! Huber loss: `L = d^2/2` for |d| < delta and `delta (|d| - delta/2)` beyond, d being output - target; averaged over samples
//! and elements.
//!
//! Quadratic near the target and linear far from it (Huber 1964), so the gradient of an element never exceeds delta. With
//! delta 1 it expects targets of unit scale: standardise the target, or choose delta in its units. The target has the
//! output's shape.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `huber` | `[B,3]` `[B,3]` | `[B]` |
//! | `huber(delta=0.5)` | `[B]` `[B]` | `[B]` |
//! | `huber(delta=2)` | `[B,2,3]` `[B,2,3]` | `[B]` |
//! | `huber(delta=0)` | `[B,3]` `[B,3]` | error |
//! | `huber` | `[B,3]` `[B]` | error |

use super::pairwise::{Pairwise, loss};
use crate::args::{Kind, Param, Reader, optional};
use crate::scalar::Scalar;

/// The loss `huber(output, target, delta)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Huber {
    delta: f64,
}

loss!(Huber);

impl Pairwise for Huber {
    const NAME: &'static str = "huber";
    const SIGNATURE: &'static [Param] =
        &[optional("delta", Kind::Number, "1", "the difference at which the loss becomes linear")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        Some(Self { delta: args.number_where("delta", "above 0", |x| x > 0.0)? })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { delta } = self;
        vec![("delta", super::exact(*delta))]
    }

    fn kinks(&self) -> Vec<f64> {
        vec![-self.delta, self.delta]
    }

    fn piece(&self, x: f64, y: f64) -> u32 {
        let difference = x - y;
        1 + u32::from(difference >= self.delta) - u32::from(difference <= -self.delta)
    }

    fn value<S: Scalar>(&self, x: S, y: S, piece: u32) -> S {
        let difference = x - y;
        match piece {
            0 => (-difference + -0.5 * self.delta) * self.delta,
            1 => difference * difference * 0.5,
            _ => (difference + -0.5 * self.delta) * self.delta,
        }
    }

    fn slope<S: Scalar>(&self, x: S, y: S, piece: u32) -> S {
        match piece {
            0 => S::constant(-self.delta),
            1 => x - y,
            _ => S::constant(self.delta),
        }
    }
}
