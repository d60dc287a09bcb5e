//! How second moments and gradients are distributed over the places of a map when convolutions pad it with zeros.
//!
//! Contract: a convolution near a border meets fewer elements, so that its result is smaller there, and the next one meets the
//! smaller ones. Over a stack the loss adds up: twenty 3 x 3 convolutions keep 15 % on a map of 8 x 8, 73 % on one of 32 x 32. The
//! profile over the places is therefore carried along, exactly through convolutions (a mean over the taps), to first order in
//! its logarithm through activations (by their elasticity), as a weighted mean through sums; a convolution then multiplies by one number,
//! where without a profile only an interval would be known. Inputs are taken to be the same everywhere. Maps beyond [`LARGEST`]
//! places, products and reshapes have no profile, and the operators' intervals stand.

use crate::moments::{Energy, Interval, Moments};
use crate::ops::Taps;
use crate::tensor::Shape;
use std::rc::Rc;

/// The largest map whose profile is carried.
const LARGEST: usize = 4096;

/// The distribution over the places of a map, row by row, with mean 1; `None` if it is not known.
pub(super) type Profile = Option<Rc<Vec<f64>>>;

/// The profile of a map that is the same everywhere; `None` for what is no map, and for large maps.
pub(super) fn uniform(shape: Option<&Shape>) -> Profile {
    let places = places(shape?)?;
    (places <= LARGEST).then(|| Rc::new(vec![1.0; places]))
}

fn places(shape: &Shape) -> Option<usize> {
    match *shape.sample() {
        [_, height, width] => height.checked_mul(width),
        _ => None,
    }
}

fn mean(profile: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "maps are far below 2^53")]
    let n = profile.len().max(1) as f64;
    profile.iter().sum::<f64>() / n
}

/// The profile with mean 1, and the mean that it had.
fn normalised(mut profile: Vec<f64>) -> (Profile, f64) {
    let mean = mean(&profile);
    if !(mean > 0.0 && mean.is_finite()) {
        return (None, mean);
    }
    profile.iter_mut().for_each(|x| *x /= mean);
    (Some(Rc::new(profile)), mean)
}

/// The sums of a map over windows, divided by the number of taps: what arrives at each position.
fn windowed(profile: &[f64], [rows, columns]: &[Taps; 2]) -> Vec<f64> {
    let mut lines = Vec::with_capacity(rows.input * columns.met.len());
    for line in profile.chunks(columns.input.max(1)) {
        lines.extend(columns.met.iter().map(|met| met.iter().map(|&i| line[i]).sum::<f64>()));
    }
    let width = columns.met.len();
    let mut out = Vec::with_capacity(rows.met.len() * width);
    for met in &rows.met {
        out.extend((0..width).map(|x| met.iter().map(|&y| lines[y * width + x]).sum::<f64>()));
    }
    let taps = tap_count(rows, columns);
    out.iter_mut().for_each(|x| *x /= taps);
    out
}

/// The transpose: what each element of the map gets back from the windows that meet it.
fn spread(profile: &[f64], [rows, columns]: &[Taps; 2]) -> Vec<f64> {
    let width = columns.met.len();
    let mut lines = vec![0.0; rows.input * width];
    for (met, line) in rows.met.iter().zip(profile.chunks(width.max(1))) {
        for &y in met {
            lines[y * width..(y + 1) * width].iter_mut().zip(line).for_each(|(sum, x)| *sum += x);
        }
    }
    let mut out = vec![0.0; rows.input * columns.input];
    for (line, into) in lines.chunks(width.max(1)).zip(out.chunks_mut(columns.input.max(1))) {
        for (met, value) in columns.met.iter().zip(line) {
            met.iter().for_each(|&x| into[x] += value);
        }
    }
    let taps = tap_count(rows, columns);
    out.iter_mut().for_each(|x| *x /= taps);
    out
}

#[expect(clippy::cast_precision_loss, reason = "kernels are far below 2^53")]
fn tap_count(rows: &Taps, columns: &Taps) -> f64 {
    rows.kernel as f64 * columns.kernel as f64
}

/// Behind a convolution: the profile, and the share of the second moment that its taps meet.
pub(super) fn convolved(profile: &Profile, taps: &[Taps; 2]) -> Option<(Profile, f64)> {
    let profile = profile.as_ref()?;
    (taps[0].met.len() * taps[1].met.len() > 0).then(|| normalised(windowed(profile, taps)))
}

/// In front of a convolution: the profile of the gradient, and the share of its energy that falls on the map.
pub(super) fn returned(profile: &Profile, taps: &[Taps; 2]) -> Option<(Profile, f64)> {
    let profile = profile.as_ref()?;
    let back = spread(profile, taps);
    let share = back.iter().sum::<f64>() / profile.iter().sum::<f64>();
    let (profile, _) = normalised(back);
    profile.is_some().then_some((profile, share))
}

/// Behind an elementwise map with this elasticity: the profile to that power, and its mean, by which the whole exceeds the map of
/// the mean.
pub(super) fn raised(profile: &Profile, power: f64) -> (Profile, f64) {
    match profile {
        Some(places) if (power - 1.0).abs() > 1e-9 => {
            normalised(places.iter().map(|x| x.powf(power)).collect())
        }
        _ => (profile.clone(), 1.0),
    }
}

/// In front of an elementwise map whose slope depends on the scale: the gradient's profile times that of the value to this power,
/// and its mean.
pub(super) fn coupled(gradient: &Profile, value: &Profile, power: f64) -> (Profile, f64) {
    match (gradient, value) {
        (Some(gradient), Some(value)) if power.abs() > 1e-9 && gradient.len() == value.len() => {
            normalised(gradient.iter().zip(value.iter()).map(|(g, x)| g * x.powf(power)).collect())
        }
        _ => (gradient.clone(), 1.0),
    }
}

/// Of a sum of parts with these weights.
pub(super) fn mixed(parts: &[(f64, &Profile)]) -> Profile {
    let (first, rest) = parts.split_first()?;
    let mut out: Vec<f64> = first.1.as_ref()?.iter().map(|x| first.0 * x).collect();
    for (weight, part) in rest {
        let part = part.as_ref().filter(|part| part.len() == out.len())?;
        out.iter_mut().zip(part.iter()).for_each(|(sum, x)| *sum += weight * x);
    }
    normalised(out).0
}

/// Moments of which the share that taps meet is known: the operator is asked about inputs that are smaller by that share, and
/// the upper end of what it says is that without padding.
pub(super) fn met(share: f64, x: &Moments, apply: impl Fn(Moments) -> Moments) -> Moments {
    let at = |ln: f64| apply(Moments { ln_square: Interval::point(ln + share.ln()), ..*x });
    let hi = at(x.ln_square.hi);
    let lo = if x.ln_square.lo == x.ln_square.hi { hi.ln_square.hi } else { at(x.ln_square.lo).ln_square.hi };
    Moments { ln_square: Interval { lo, hi: hi.ln_square.hi }, ..hi }
}

/// Likewise an energy.
pub(super) fn fallen(share: f64, cotangent: Energy, arrived: Energy) -> Energy {
    let factor = arrived.ln.hi - cotangent.ln.hi;
    Energy { ln: cotangent.ln.shift(factor + share.ln()), ..arrived }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(size: usize) -> Taps {
        let met = |i: usize| (i.saturating_sub(1)..(i + 2).min(size)).collect();
        Taps { input: size, kernel: 3, met: (0..size).map(met).collect() }
    }

    /// Twenty 3 x 3 convolutions: 0.155 on 8 x 8, 0.480 on 16 x 16, 0.716 on 32 x 32 (research: static.md 2.5), by the box filter.
    #[test]
    fn stacks_of_convolutions_keep_the_published_shares() {
        for (size, want) in [(8usize, 0.155), (16, 0.480), (32, 0.716)] {
            let taps = [same(size), same(size)];
            let mut profile: Profile = Some(Rc::new(vec![1.0; size * size]));
            let mut kept = 1.0;
            for _ in 0..20 {
                let (next, share) = convolved(&profile, &taps).expect("a map");
                (profile, kept) = (next, kept * share);
            }
            assert!((kept - want).abs() < 6e-4, "{size}: {kept}");
        }
    }

    #[test]
    fn the_way_back_is_the_transpose() {
        let taps = [same(4), same(5)];
        let x: Vec<f64> = (0..20u32).map(|i| f64::from(i * i % 7)).collect();
        let y: Vec<f64> = (0..20u32).map(|i| f64::from(i * 3 % 5)).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (there, back) = (dot(&windowed(&x, &taps), &y), dot(&x, &spread(&y, &taps)));
        assert!((there - back).abs() < 1e-12);
    }
}
