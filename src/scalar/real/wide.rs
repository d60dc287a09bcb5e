//! Loops over slices, compiled for the registers that the processor has and not only for those that its platform guarantees.
//!
//! Contract: the result is the same bit by bit at every width. The instruction sets that are added have wider registers and no fused
//! multiply-add (that is another one), and each element goes through the same operations of IEEE 754 at any width.
//!
//! Here is the only unsafe code of the product, a call of a function that is compiled for an instruction set. It is worth it: against
//! the two elements of a register that every x86-64 has, four and eight take 0.5 and 0.25 of the time of an activation.

/// `out[i] = f(i)`. The loop becomes vector code if `f` is inlined into it, so closures say `#[inline(always)]`: with three places of
/// call the compiler inlines only small ones unasked.
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "a call of code that is compiled for an instruction set")
)]
#[inline]
pub(super) fn fill(out: &mut [f64], f: impl Fn(usize) -> f64) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the instructions.
        return unsafe { eight(out, f) };
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions.
        return unsafe { four(out, f) };
    }
    plain(out, f);
}

#[inline(always)]
fn plain(out: &mut [f64], f: impl Fn(usize) -> f64) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn eight(out: &mut [f64], f: impl Fn(usize) -> f64) {
    plain(out, f);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn four(out: &mut [f64], f: impl Fn(usize) -> f64) {
    plain(out, f);
}

#[cfg(test)]
mod tests {
    use super::super::{error_function, exponential, logarithm};
    use super::{fill, plain};

    /// Numbers of all exponents and both signs, and what has a rule of its own.
    fn points() -> Vec<f64> {
        let special = [0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY, f64::NAN, 1.0, 0.75, 710.0];
        // Fractions of the golden section fill an interval evenly.
        let fraction = |i: u32| (f64::from(i) * 0.618_033_988_749_894_8).fract();
        let spread =
            (0..4000).map(|i| 2f64.powi(-60 + i32::try_from(i % 71).unwrap_or(0)) * (1.0 + fraction(i)));
        spread.chain((0..4000).map(|i| 45.0 * fraction(i))).chain(special).flat_map(|x| [x, -x]).collect()
    }

    /// The slice as each width fills it that the processor has.
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "as in the loops that are tested"))]
    fn widths(n: usize, f: impl Fn(usize) -> f64 + Copy) -> Vec<(&'static str, Vec<f64>)> {
        let mut all = vec![("guaranteed", vec![0.0; n]), ("widest", vec![0.0; n])];
        plain(&mut all[0].1, f);
        fill(&mut all[1].1, f);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            let mut found = vec![0.0; n];
            // SAFETY: the processor has the instructions.
            unsafe { super::four(&mut found, f) };
            all.push(("four", found));
        }
        all
    }

    /// Elements that are computed one at a time, and in registers of each width.
    #[test]
    fn every_width_gives_the_same_bits() {
        let x = points();
        macro_rules! check {
            ($($f:expr;)*) => {$(
                let one: Vec<f64> = x.iter().map(|&x| std::hint::black_box($f(x))).collect();
                for (width, found) in widths(x.len(), #[inline(always)] |i| $f(x[i])) {
                    for ((found, want), x) in found.iter().zip(&one).zip(&x) {
                        let same = found.to_bits() == want.to_bits() || found.is_nan() && want.is_nan();
                        assert!(same, "{} at {x:e}, {width}: {found:e} and not {want:e}", stringify!($f));
                    }
                }
            )*};
        }
        check! {
            exponential::exp;
            exponential::exp_m1;
            exponential::tanh;
            exponential::sigmoid;
            logarithm::ln_1p;
            logarithm::softplus;
            error_function::erf;
            error_function::erfc;
        }
    }
}
