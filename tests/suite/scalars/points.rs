//! Where functions are tried: all magnitudes, both signs, and densely around every place where a formula changes.

use wellposed::scalar::Double;
use wellposed::tensor::{Draws, stream};

/// The largest error so far and where it was.
#[derive(Clone, Copy, Debug)]
pub struct Worst {
    pub error: f64,
    pub at: f64,
}

impl Worst {
    pub const NONE: Self = Self { error: f64::NEG_INFINITY, at: 0.0 };

    /// Sees an error; one that is no number stays the largest.
    pub fn see(&mut self, error: f64, at: f64) {
        if error.is_nan() || error > self.error {
            *self = Self { error, at };
        }
    }

    /// Whether all errors were numbers within a bound.
    pub fn within(&self, bound: f64) -> bool {
        self.error <= bound
    }
}

/// Magnitudes from 1e-300 to 1e300, `per_decade` in each decade at random places, by sign.
fn magnitudes(per_decade: usize, name: &str) -> Vec<f64> {
    let mut draws = Draws { seed: 1, stream: stream(name) }.uniform();
    let mut points = Vec::new();
    for decade in -300..300 {
        for _ in 0..per_decade {
            let x = 10f64.powi(decade) * 10f64.powf(draws.next().expect("draws do not end"));
            points.extend([x, -x]);
        }
    }
    points
}

/// Uniform points in an interval.
fn uniform(count: usize, low: f64, high: f64, name: &str) -> impl Iterator<Item = f64> {
    Draws { seed: 2, stream: stream(name) }.uniform().take(count).map(move |u| low + (high - low) * u)
}

/// The smallest and largest numbers, zeros, and what surrounds each power of two near 1.
fn extremes() -> Vec<f64> {
    let mut points = vec![0.0, -0.0];
    for x in [f64::MIN_POSITIVE, 5e-324, 1e-310, f64::MAX, f64::EPSILON, 1e300, 1e302, 1e304, 1e306, 1e-300] {
        points.extend([x, -x]);
    }
    for k in -60..=10 {
        let x = 2f64.powi(k);
        for x in [x, x.next_up(), x.next_down()] {
            points.extend([x, -x]);
        }
    }
    points
}

/// A place and its surroundings from one unit in the last place to a tenth.
fn around(place: f64) -> impl Iterator<Item = f64> {
    let near = (1..=15).flat_map(move |k| {
        let step = 10f64.powi(-k) * place.abs().max(1e-3);
        [place + step, place - step]
    });
    near.chain([place, place.next_up(), place.next_down()])
}

/// All points for a function whose formulas change at the given places, of either sign, and that over- or underflows outside
/// of `steep`.
pub fn all(name: &str, switches: &[f64], steep: (f64, f64)) -> Vec<f64> {
    let mut points = magnitudes(3, name);
    points.extend(extremes());
    points.extend(uniform(2000, -4.0, 4.0, name));
    points.extend(uniform(2000, -40.0, 40.0, name));
    points.extend(uniform(2000, steep.0, steep.1, name));
    for &place in switches {
        points.extend(around(place));
        points.extend(around(-place));
    }
    points.retain(|x| x.is_finite());
    points
}

/// Gives each point a second part, so that both halves of a double-double argument are tried; 0 and subnormal numbers stay.
pub fn doubled(points: &[f64]) -> Vec<Double> {
    let shares = Draws { seed: 3, stream: stream("lo") }.uniform();
    points
        .iter()
        .zip(shares)
        .map(|(&x, share)| {
            let lo = if x.abs() > 1e-280 { x * (share - 0.5) * f64::EPSILON } else { 0.0 };
            if (x + lo).is_finite() { Double::new(x, lo) } else { Double::plain(x) }
        })
        .collect()
}

/// Double-doubles of all magnitudes, for arithmetic.
pub fn numbers(name: &str) -> Vec<Double> {
    let mut points = magnitudes(2, name);
    points.extend(extremes());
    doubled(&points)
}
