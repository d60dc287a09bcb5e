//! `f64` functions against double-doubles, those against 384-bit arithmetic, and that against printed constants.

use super::big::{Big, ZERO};
use super::functions::{FUNCTIONS, Function};
use super::points::{self, Worst};
use wellposed::scalar::{Double, Scalar};

/// The digits that a result lacks: log2 of its error relative to the value, of which what `lo` cannot hold is forgiven.
fn missing(found: Double, want: Big) -> f64 {
    let error = Big::double(found).minus(want).abs();
    // 2^-1074 is the last digit of an `f64`; a rounding there, or two on the way, is not the function's.
    let error = error.minus(Big::int(1).scaled(-1073));
    if error.smaller(ZERO)
        || error.log2() == f64::NEG_INFINITY
        || Big::double(found).minus(want).log2() < -1073.0
    {
        return f64::NEG_INFINITY;
    }
    error.log2() - want.log2()
}

/// Every function has at least 100 digits over its whole range, and where `f64` gives 0, infinity or NaN, so does it.
#[test]
fn double_doubles_have_a_hundred_digits() {
    let mut broken = Vec::new();
    for function in FUNCTIONS {
        let mut worst = Worst::NONE;
        for x in points::doubled(&function.points()) {
            let found = (function.double)(x);
            if !found.hi.is_finite() {
                // Only the exponentials leave the range, where ln of the largest f64 is passed.
                let large = x.hi > 709.78 && found.hi == f64::INFINITY && function.name.starts_with("exp");
                if !large {
                    broken.push(format!("{}({x:?}) is {found:?}", function.name));
                }
                continue;
            }
            if found.hi + found.lo != found.hi {
                broken.push(format!("{}({x:?}) is {found:?}, which is not normal", function.name));
            }
            // Beyond 2^20 the exponentials of the measure would square too often; there the functions are constant or overflow.
            let digits = match function.limit.filter(|_| x.hi.abs() > 1e6) {
                Some(limit) if found == limit(x) => f64::NEG_INFINITY,
                Some(_) => 0.0,
                None => missing(found, (function.big)(Big::double(x))),
            };
            worst.see(digits, x.hi);
        }
        let verdict = format!("{}: error 2^{:.1} at {:e}", function.name, worst.error, worst.at);
        println!("{verdict}");
        if !worst.within(-100.0) {
            broken.push(verdict);
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The distance between a result and the exact one in units of the last place of the latter.
fn ulps(found: f64, exact: Double) -> f64 {
    if found == exact.hi && !found.is_finite() {
        return 0.0;
    }
    let size = exact.hi.abs();
    let unit = if size < f64::MIN_POSITIVE { 5e-324 } else { size.next_up() - size };
    // The quotient of halves, because a unit of a subnormal number has no reciprocal.
    (((exact.hi - found) + exact.lo) / unit).abs()
}

/// Every function of `f64` is within its bound over its whole range.
#[test]
fn functions_of_f64_are_within_their_bounds() {
    let mut broken = Vec::new();
    for function in FUNCTIONS {
        let Function { name, real, double, bound, .. } = function;
        let mut worst = Worst::NONE;
        for x in function.points() {
            worst.see(ulps(real(x), double(Double::plain(x))), x);
        }
        let verdict = format!("{name}: {:.2} units at {:e}, bound {bound}", worst.error, worst.at);
        println!("{verdict}");
        if !worst.within(*bound) {
            broken.push(verdict);
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Sums err by at most 3 units of 2^-106, products without a fused multiply-add by at most 7 (Joldes, Muller and Popescu 2017,
/// algorithms 6 and 10). A quotient is a long division whose last digit is rounded: the errors of two subtractions and of the
/// products in them, 2^-105 of what is left each, so less than 2^-103.
#[test]
fn arithmetic_is_exact_to_the_last_digits() {
    type Operation = (&'static str, f64, fn(Double, Double) -> Double, fn(Big, Big) -> Big);
    let operations: [Operation; 4] = [
        ("sum", -104.4, |a, b| a + b, Big::plus),
        ("difference", -104.4, |a, b| a - b, Big::minus),
        ("product", -103.1, |a, b| a * b, Big::times),
        ("quotient", -103.0, |a, b| a / b, Big::over),
    ];
    let left = points::numbers("left");
    // Second operands of all magnitudes, and of the first one's.
    let mut right = points::numbers("right");
    right.rotate_left(731);
    for (name, bound, double, big) in operations {
        let mut worst = Worst::NONE;
        for (i, a) in left.iter().enumerate() {
            for b in [right[i], Double::new(-a.hi * 1.25, a.lo), Double::new(-a.hi, a.lo * 0.75), left[i / 2]]
            {
                let found = double(*a, b);
                if !found.hi.is_finite() || !b.hi.is_finite() || a.hi == 0.0 || b.hi == 0.0 {
                    continue;
                }
                let want = big(Big::double(*a), Big::double(b));
                if want.log2() < -1074.0 && found.hi == 0.0 {
                    continue;
                }
                assert_eq!(
                    found.hi + found.lo,
                    found.hi,
                    "{name} of {a:?} and {b:?} is not normal: {found:?}"
                );
                worst.see(missing(found, want), a.hi);
            }
        }
        println!("{name}: error 2^{:.1} at {:e}", worst.error, worst.at);
        assert!(worst.within(bound), "{name}: error 2^{:.1} at {:e}", worst.error, worst.at);
    }
}

/// Where an operand or the result is 0, infinite or NaN, both kinds of numbers agree, to the sign of a zero.
#[test]
fn special_values_are_those_of_f64() {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        5e-324,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1e-200,
        1e200,
    ];
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    let check = |name: &str, found: Double, want: f64, at: (f64, f64)| {
        let fits = if want == 0.0 || !want.is_finite() {
            same(found.hi, want) && found.lo == 0.0
        } else {
            found.hi.is_finite() && found.lo.is_finite()
        };
        assert!(fits, "{name} at {at:?}: {found:?} against {want:e}");
    };
    for a in special {
        for b in special {
            let (x, y) = (Double::plain(a), Double::plain(b));
            check("sum", x + y, a + b, (a, b));
            check("difference", x - y, a - b, (a, b));
            check("product", x * y, a * b, (a, b));
            check("quotient", x / y, a / b, (a, b));
            check("sum with f64", x + b, a + b, (a, b));
            check("product with f64", x * b, a * b, (a, b));
        }
        let x = Double::plain(a);
        check("exp", x.exp(), a.exp(), (a, 0.0));
        check("exp_m1", x.exp_m1(), a.exp_m1(), (a, 0.0));
        check("ln", x.ln(), a.ln(), (a, 0.0));
        check("ln_1p", x.ln_1p(), a.ln_1p(), (a, 0.0));
        check("sqrt", x.sqrt(), a.sqrt(), (a, 0.0));
        check("tanh", x.tanh(), a.tanh(), (a, 0.0));
        check("erf", Scalar::erf(x), Scalar::erf(a), (a, 0.0));
        check("erfc", Scalar::erfc(x), Scalar::erfc(a), (a, 0.0));
    }
}

/// Both halves survive a buffer, and a part of one.
#[test]
fn planes_keep_both_halves() {
    use wellposed::tensor::{View, ViewMut};
    let numbers: Vec<Double> = points::numbers("planes").into_iter().take(8).collect();
    let mut planes = vec![0.0; 16];
    let mut view = ViewMut::<Double>::new(&mut planes);
    for (i, x) in numbers.iter().enumerate() {
        view.part(i..i + 1).set(0, *x);
    }
    let view = View::<Double>::new(&planes);
    assert!(view.iter().eq(numbers.iter().copied()));
    assert_eq!(view.part(3..5).at(1), numbers[4]);
    assert_eq!(numbers[4].primal(), numbers[4].hi);
}

/// Digits as printed in tables (Abramowitz and Stegun 1964, tables 1.1, 4.4, 7.1 and their continuations).
#[test]
fn the_measure_agrees_with_printed_constants() {
    let printed = [
        ("pi", Big::pi(), "3.1415926535897932384626433832795028841971693993751"),
        ("e", Big::int(1).exp(), "2.7182818284590452353602874713526624977572470936999"),
        ("e by differences", Big::int(1).exp_m1(), "1.7182818284590452353602874713526624977572470936999"),
        ("ln 2", Big::int(2).ln(), "0.69314718055994530941723212145817656807550013436025"),
        ("ln 10", Big::int(10).ln(), "2.3025850929940456840179914546843642076011014886287"),
        ("ln (1 + 1)", Big::int(1).ln_1p(), "0.69314718055994530941723212145817656807550013436025"),
        ("sqrt 2", Big::int(2).sqrt(), "1.4142135623730950488016887242096980785696718753769"),
        ("tanh 1", Big::int(1).tanh(), "0.76159415595576488811945828260479359041276859725793"),
        ("erf 1", Big::int(1).erf(), "0.84270079294971486934122063508260925929606699796630"),
        ("erfc 1", Big::int(1).erfc(), "0.15729920705028513065877936491739074070393300203370"),
        ("erfc 3", Big::int(3).erfc(), "0.00002209049699858544137277612958232037984770708739925"),
    ];
    for (name, found, digits) in printed {
        let want = Big::decimal(digits);
        let error = found.minus(want).log2() - want.log2();
        assert!(error < -145.0, "{name}: error 2^{error:.1}");
    }
}

/// The roads of the measure meet: tanh from the fraction and from exponentials, erfc from the series and from the fraction, and
/// the laws of exponents.
#[test]
fn the_measure_agrees_with_itself() {
    let close = |name: &str, a: Big, b: Big| {
        let error = a.minus(b).log2() - a.log2();
        assert!(error < -180.0, "{name}: 2^{error:.1}");
    };
    for x in [1e-30, 0.01, 0.5, 0.99, 1.5, 2.9] {
        let x = Big::real(x);
        let (up, down) = (x.exp_m1(), x.negated().exp_m1());
        close("tanh", x.tanh(), up.minus(down).over(up.plus(down).plus(Big::int(2))));
        close("exp", x.exp().times(x.scaled(1).exp()), x.times(Big::int(3)).exp());
        close("ln", x.exp_m1().ln_1p(), x);
    }
    for x in [3.0, 3.5, 4.0, 5.0] {
        let x = Big::real(x);
        // 1 - erf loses 40 of 384 digits at most.
        close("erfc", Big::int(1).minus(x.erf_series()), x.erfc_fraction());
    }
}
