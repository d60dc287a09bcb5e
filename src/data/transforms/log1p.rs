//! `ln(1 + x)` for each element, for counts and amounts with a long tail.
//!
//! Values of -1 or below have no logarithm and are reported with their row.

use super::{Fitted, Param, Reader, Shape, Transformer};

/// The transform `log1p`.
#[derive(Clone, Debug, PartialEq)]
pub struct Log1p;

impl Transformer for Log1p {
    const SIGNATURE: &'static [Param] = &[];

    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }

    fn apply(&self, _: &Shape, _: Option<&Fitted>, row: &mut Vec<f64>) {
        row.iter_mut().for_each(|x| *x = x.ln_1p());
    }

    fn invert(&self, _: &Shape, _: Option<&Fitted>, row: &mut [f64]) -> bool {
        row.iter_mut().for_each(|x| *x = x.exp_m1());
        true
    }
}
