//! What a norm gives out has mean 0 and the second moment v/(v + eps), before its factors and offsets.
//!
//! ## What it tests
//!
//! Every `batch_norm` (over rows and places of a channel, in training mode), `layer_norm`, `group_norm` and `rms_norm` (over the elements of
//! a row that they normalise): with u = (y - beta)/gamma the mean of u is 0 (except for `rms_norm`, which keeps it) and the mean of
//! u^2 is v/(v + eps), where v is the biased variance of the input, or its mean square for `rms_norm`. Another axis, the unbiased
//! variance, or an eps outside of the root differ.
//!
//! ## Tolerance
//!
//! Sums of n terms err by (n + 8) u (u = 2^-53), relative to values that may have lost digits where the mean of the input is far from zero:
//! times 1 + |mean|/sd of the input.

use super::norms::{self, Norm};
use super::{Case, Lab, Subject};
use crate::ops::Role;
use crate::tensor::Mode;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    norms::all(subject.graph).next().is_none().then(|| "there is no norm".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "element counts are far below 2^53")]
pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let case = Case { batch: case.batch.max(2), ..case };
    let ran = lab.base(case, Mode::Train);
    let (weights, _) = lab.draw(case);
    for norm in norms::all(lab.graph()) {
        let Norm { handle, node, input, eps, centred } = &norm;
        let (x, y) = (&ran.values[input.index()], &ran.values[handle.index()]);
        let gamma = norm.tensor(lab.graph(), &weights, Role::Scale);
        let beta = norm.tensor(lab.graph(), &weights, Role::Shift);
        for group in norm.groups(case.batch) {
            let (mean, variance) = norms::moments(x, &group);
            let v = if *centred { variance } else { variance + mean * mean };
            let factor = |f: usize| gamma.map_or(1.0, |gamma| gamma[f]);
            if !v.is_finite() || v <= 0.0 || group.elements.iter().any(|(_, f)| factor(*f) == 0.0) {
                continue;
            }
            let unit = |(i, f): &(usize, usize)| (y[*i] - beta.map_or(0.0, |beta| beta[*f])) / factor(*f);
            let n = group.elements.len() as f64;
            let first = group.elements.iter().map(unit).sum::<f64>() / n;
            let second = group.elements.iter().map(|at| unit(at).powi(2)).sum::<f64>() / n;
            let wanted = v / (v + eps);
            let shift = group.elements.iter().map(|(i, _)| y[*i].abs()).fold(1.0, f64::max);
            let bound = 4.0
                * (n + 8.0)
                * f64::EPSILON
                * (1.0 + mean.abs() / variance.sqrt().max(f64::MIN_POSITIVE))
                * shift;
            if *centred && first.abs() > bound || (second - wanted).abs() > 2.0 * bound * wanted.max(1e-3) {
                return Err(format!(
                    "{} elements that `{}` normalises have mean {first:e} and second moment {second}; {} and {wanted} +- \
                     {bound:e} is expected",
                    group.elements.len(),
                    node.path,
                    if *centred { "0" } else { "any mean" },
                ));
            }
        }
    }
    Ok(())
}
