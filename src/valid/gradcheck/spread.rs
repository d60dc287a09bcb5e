//! Numbers of random sign and of a size near 1: directions and cotangents that no component is lost in.
//!
//! A counter through a mixing function (Steele, Lea and Flood 2014), as independence beyond that is not needed: numbers of one stream can be
//! had again at any time and are never stored for their own sake.

use crate::tensor::stream;

/// An endless stream of numbers of random sign, their size uniform between 1/2 and 3/2.
pub(super) fn numbers(seed: u64, name: &str) -> impl Iterator<Item = f64> + use<> {
    let mut state = stream(name) ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = z ^ (z >> 31);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let size = 0.5 + (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        if bits & 1 == 0 { size } else { -size }
    })
}

/// The first `n` of them.
pub(super) fn spread(n: usize, seed: u64, name: &str) -> Vec<f64> {
    numbers(seed, name).take(n).collect()
}
