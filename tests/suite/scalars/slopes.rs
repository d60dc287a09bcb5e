//! Slopes of dual numbers against two-sided differences of double-doubles, and many lanes against one.
//!
//! The step. With a relative error e = 2^-102 of a value f and a third derivative M f' on the scale of f', the difference quotient
//! errs by M h^2/6 and by e |f| / (h |f'|), both relative to the slope f'. For M = 1 and f = f' the best step is (3 e)^(1/3) = 2^-34,
//! where both errors are about 2^-68. Each function therefore comes with the length on which it changes (the step is 2^-34 of
//! it), and where it saturates with a twin that has the same slope and does not: tanh x = 1 - 2/(e^2x + 1), and the constant drops
//! out.

use super::points::{self, Worst};
use wellposed::scalar::{Double, DoubleDual, Dual, Lanes, Scalar, WIDTH};
use wellposed::tensor::{Draws, Product, View, ViewMut, stream};

/// A function on dual numbers and what its slope is measured with.
struct Slope {
    name: &'static str,
    dual: fn(Dual) -> Dual,
    double_dual: fn(DoubleDual) -> DoubleDual,
    /// A function with the same slope at x that has not saturated there.
    twin: fn(f64, Double) -> Double,
    /// The length on which the twin changes at x.
    length: fn(f64) -> f64,
    /// The relative error that the slope may have: units of 2^-52 for its formula, and for a Gaussian that of x^2.
    bound: fn(f64) -> f64,
    domain: (f64, f64),
    steep: (f64, f64),
}

const EVERYWHERE: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
const POSITIVE: (f64, f64) = (0.0, f64::INFINITY);

/// 1, and far out x, so that x + h differs from x.
fn unit(x: f64) -> f64 {
    x.abs().max(1.0)
}

fn few(_: f64) -> f64 {
    8.0
}

/// e^(-x^2) turns the half unit of x^2 into a relative error of x^2 half units.
fn gaussian(x: f64) -> f64 {
    8.0 + x * x
}

/// A logistic function without its constant: sigmoid(x) on the left, -sigmoid(-x) = sigmoid(x) - 1 on the right.
fn logistic(x: f64, at: Double) -> Double {
    if x < 0.0 { at.sigmoid() } else { -(-at).sigmoid() }
}

/// erf without its constant.
fn error_function(x: f64, at: Double) -> Double {
    if x > 0.75 {
        -Scalar::erfc(at)
    } else if x < -0.75 {
        Scalar::erfc(-at)
    } else {
        Scalar::erf(at)
    }
}

const SLOPES: &[Slope] = &[
    // Where the slope vanishes, a difference is not good relative to it.
    Slope {
        name: "sin",
        dual: Scalar::sin,
        double_dual: Scalar::sin,
        twin: |_, at| Scalar::sin(at),
        length: unit,
        bound: few,
        domain: (-0.75, 0.75),
        steep: (-0.75, 0.75),
    },
    Slope {
        name: "cos",
        dual: Scalar::cos,
        double_dual: Scalar::cos,
        twin: |_, at| Scalar::cos(at),
        length: unit,
        bound: few,
        domain: (0.75, 2.4),
        steep: (0.75, 2.4),
    },
    Slope {
        name: "exp",
        dual: Scalar::exp,
        double_dual: Scalar::exp,
        twin: |_, at| at.exp(),
        length: unit,
        bound: few,
        domain: EVERYWHERE,
        steep: (-745.0, 709.7),
    },
    Slope {
        name: "exp_m1",
        dual: Scalar::exp_m1,
        double_dual: Scalar::exp_m1,
        twin: |x, at| if x < -1.0 { at.exp() } else { at.exp_m1() },
        length: unit,
        bound: few,
        domain: EVERYWHERE,
        steep: (-745.0, 709.7),
    },
    Slope {
        name: "ln",
        dual: Scalar::ln,
        double_dual: Scalar::ln,
        // ln x = ln c + ln(x/c), which does not lose the digits of a large logarithm.
        twin: |x, at| (at / Double::plain(x)).ln(),
        length: f64::abs,
        bound: few,
        domain: POSITIVE,
        steep: (0.0, 1000.0),
    },
    Slope {
        name: "ln_1p",
        dual: Scalar::ln_1p,
        double_dual: Scalar::ln_1p,
        twin: |x, at| if x.abs() < 0.25 { at.ln_1p() } else { ((at + 1.0) / Double::plain(1.0 + x)).ln() },
        length: |x| 1.0 + x,
        bound: few,
        domain: (-1.0, f64::INFINITY),
        steep: (-1.0, 1000.0),
    },
    Slope {
        name: "sqrt",
        dual: Scalar::sqrt,
        double_dual: Scalar::sqrt,
        twin: |_, at| at.sqrt(),
        length: f64::abs,
        bound: few,
        domain: POSITIVE,
        steep: (0.0, 1000.0),
    },
    Slope {
        name: "tanh",
        dual: Scalar::tanh,
        double_dual: Scalar::tanh,
        twin: |x, at| if x.abs() < 1.0 { at.tanh() } else { logistic(x, at * 2.0) * 2.0 },
        length: unit,
        bound: few,
        domain: EVERYWHERE,
        steep: (-400.0, 400.0),
    },
    Slope {
        name: "erf",
        dual: Scalar::erf,
        double_dual: Scalar::erf,
        twin: error_function,
        length: |_| 1.0,
        bound: gaussian,
        domain: EVERYWHERE,
        steep: (-27.3, 27.3),
    },
    Slope {
        name: "erfc",
        dual: Scalar::erfc,
        double_dual: Scalar::erfc,
        twin: |x, at| -error_function(x, at),
        length: |_| 1.0,
        bound: gaussian,
        domain: EVERYWHERE,
        steep: (-27.3, 27.3),
    },
    Slope {
        name: "sigmoid",
        dual: Scalar::sigmoid,
        double_dual: Scalar::sigmoid,
        twin: logistic,
        length: unit,
        bound: few,
        domain: EVERYWHERE,
        steep: (-745.0, 745.0),
    },
    Slope {
        name: "softplus",
        dual: Scalar::softplus,
        double_dual: Scalar::softplus,
        twin: |_, at| at.softplus(),
        length: unit,
        bound: few,
        domain: EVERYWHERE,
        steep: (-745.0, 745.0),
    },
    Slope {
        name: "abs",
        dual: Scalar::abs,
        double_dual: Scalar::abs,
        twin: |_, at| at.abs(),
        length: f64::abs,
        bound: few,
        domain: EVERYWHERE,
        steep: (-1.0, 1.0),
    },
    Slope {
        name: "1/x",
        dual: |x| Dual::constant(1.0) / x,
        double_dual: |x| DoubleDual::constant(1.0) / x,
        twin: |_, at| Double::plain(1.0) / at,
        length: f64::abs,
        bound: few,
        domain: (-1e150, 1e150),
        steep: (-10.0, 10.0),
    },
    Slope {
        name: "x (x + 1) - x/(x^2 + 2)",
        dual: |x| x * (x + 1.0) - x / (x * x + 2.0),
        double_dual: |x| x * (x + 1.0) - x / (x * x + 2.0),
        twin: |_, at| at * (at + 1.0) - at / (at * at + 2.0),
        length: unit,
        // The slope crosses 0 at -0.26; the test leaves that out.
        bound: |_| 64.0,
        domain: (-1e100, 1e100),
        steep: (-10.0, 10.0),
    },
];

impl Slope {
    fn points(&self) -> Vec<f64> {
        let switches = [0.75, 1.0, 9.139, 22.0, 709.0];
        let mut points = points::all(self.name, &switches, self.steep);
        points.retain(|&x| x > self.domain.0 && x < self.domain.1);
        if self.name.starts_with('x') {
            points.retain(|x| (x + 0.25).abs() > 0.1);
        }
        points
    }

    /// The two-sided difference, by the step that was really taken; `None` where the function leaves the range.
    fn difference(&self, x: f64) -> Option<Double> {
        let h = 2f64.powi(-34) * (self.length)(x);
        let (above, below) = (Double::plain(x) + h, Double::plain(x) + -h);
        let change = (self.twin)(x, above) - (self.twin)(x, below);
        let quotient = change / (above - below);
        quotient.hi.is_finite().then_some(quotient)
    }
}

/// Relative to the difference, except for what the last digit 2^-1074 of a tiny function makes in a quotient by 2^-33.
fn distance(found: Double, want: Double, length: f64) -> f64 {
    let error = (found - want).hi.abs() - 2f64.powi(-1040) / length.min(1.0);
    if error <= 0.0 { 0.0 } else { error / want.hi.abs() }
}

#[test]
fn slopes_agree_with_differences() {
    let mut broken = Vec::new();
    for slope in SLOPES {
        let (mut worst, mut tried) = (Worst::NONE, 0);
        for x in slope.points() {
            let dual = (slope.dual)(Dual { value: x, tangent: 1.0 });
            let length = (slope.length)(x);
            // At 0 a length of 0 has no difference (|x|), and below 1e-290 the step is no longer exact.
            if !dual.value.is_finite() || length < 1e-290 {
                continue;
            }
            let Some(want) = slope.difference(x) else { continue };
            tried += 1;
            let error =
                distance(Double::plain(dual.tangent), want, length) / ((slope.bound)(x) * f64::EPSILON);
            worst.see(error, x);
        }
        let Worst { error, at } = worst;
        let verdict = format!("{}: {error:.2} of the bound at {at:e}, {tried} points", slope.name);
        println!("{verdict}");
        if !worst.within(1.0) || tried < 2000 {
            broken.push(verdict);
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The slopes of dual numbers over double-doubles have all their digits, constants included: a constant that was rounded to `f64`
/// would be off by up to 2^-53. For |x| <= 4 no third derivative, on the scale of the length, exceeds 64 slopes, so the difference
/// is good to 64 2^-68 / 6 + 2^-66 < 2^-63.
#[test]
fn slopes_of_double_doubles_have_their_digits() {
    for slope in SLOPES {
        let mut worst = Worst::NONE;
        for x in slope.points().into_iter().filter(|x| x.abs() > 1e-100 && x.abs() <= 4.0) {
            let one = Double::plain(1.0);
            let dual = (slope.double_dual)(DoubleDual { value: Double::plain(x), tangent: one });
            let Some(want) = slope.difference(x) else { continue };
            let error = distance(dual.tangent, want, (slope.length)(x));
            worst.see(error, x);
        }
        let verdict = format!("{}: 2^{:.1} at {:e}", slope.name, worst.error.log2(), worst.at);
        println!("{verdict}");
        assert!(worst.within(2f64.powi(-61)), "{verdict}");
    }
}

/// Where the function is constant to the last bit, so is its tangent: 0 and not NaN.
#[test]
fn slopes_far_out_are_zero() {
    for x in [800.0, 1e10, 1e200, f64::MAX] {
        for (name, found) in [
            ("tanh", Dual { value: x, tangent: 1.0 }.tanh()),
            ("tanh", Dual { value: -x, tangent: 1.0 }.tanh()),
            ("erf", Scalar::erf(Dual { value: x, tangent: 1.0 })),
            ("erfc", Scalar::erfc(Dual { value: -x, tangent: 1.0 })),
            ("sigmoid", Dual { value: x, tangent: 1.0 }.sigmoid()),
            ("sigmoid", Dual { value: -x, tangent: 1.0 }.sigmoid()),
            ("softplus", Dual { value: -x, tangent: 1.0 }.softplus()),
            ("exp_m1", Dual { value: -x, tangent: 1.0 }.exp_m1()),
        ] {
            assert_eq!(found.tangent, 0.0, "{name} at {x:e}");
        }
    }
    assert_eq!(Dual { value: 0.0, tangent: 1.0 }.abs(), Dual { value: 0.0, tangent: 0.0 });
}

/// Standard normal planes of scalars.
fn planes(name: &str, n: usize) -> Vec<f64> {
    wellposed::inits::standard_normal(n, Draws { seed: 5, stream: stream(name) })
}

/// One lane of `Lanes` planes as the planes of a dual number.
fn lane(planes: &[f64], i: usize) -> Vec<f64> {
    let n = planes.len() / Lanes::PLANES;
    [&planes[..n], &planes[(1 + i) * n..(2 + i) * n]].concat()
}

fn same_lanes(name: &str, lanes: &[f64], dual: impl Fn(usize) -> Vec<f64>) {
    for i in 0..WIDTH {
        let (found, want) = (lane(lanes, i), dual(i));
        let bits = |planes: &[f64]| planes.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&want), "{name}, lane {i}");
    }
}

fn apply<S: Scalar>(f: impl Fn(S, S) -> S, x: &[f64], y: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    let [x, y] = [x, y].map(View::new);
    S::zip(x, y, y, &mut ViewMut::new(&mut out), |x, y, _| f(x, y));
    out
}

#[test]
fn lanes_are_eight_duals_bit_for_bit() {
    assert_eq!((Dual::PLANES, Lanes::PLANES, Double::PLANES, DoubleDual::PLANES), (2, 9, 2, 4));
    macro_rules! check {
        ($($name:literal: $f:expr;)*) => {$(
            let (x, y) = (planes("x", 40 * Lanes::PLANES), planes("y", 40 * Lanes::PLANES));
            let found = apply::<Lanes>($f, &x, &y);
            same_lanes($name, &found, |i| apply::<Dual>($f, &lane(&x, i), &lane(&y, i)));
        )*};
    }
    check! {
        "sum": |x, y| x + y;
        "difference": |x, y| x - y;
        "product": |x, y| x * y;
        "quotient": |x, y| x / y;
        "negative": |x, _| -x;
        "scaled": |x, _| x * 0.3;
        "shifted": |x, _| x + 0.3;
        "exp": |x, _| x.exp();
        "exp_m1": |x, _| x.exp_m1();
        "ln": |x, _| (x * x).ln();
        "ln_1p": |x, _| (x * x).ln_1p();
        "sqrt": |x, _| (x * x + 0.1).sqrt();
        "tanh": |x, _| x.tanh();
        "erf": |x, _| x.erf();
        "erfc": |x, _| x.erfc();
        "sigmoid": |x, _| x.sigmoid();
        "softplus": |x, _| x.softplus();
        "abs": |x, _| x.abs();
    }
    // Products of matrices go through other code, of several sizes and layouts.
    for (m, k, n) in [(1, 1, 1), (3, 40, 9), (9, 8, 8), (17, 33, 12)] {
        for (a_transposed, b_transposed, accumulate) in
            [(false, false, false), (true, false, true), (false, true, true), (true, true, false)]
        {
            let product = Product { m, n, k, a_transposed, b_transposed, accumulate };
            let (a, b) = (planes("a", m * k * Lanes::PLANES), planes("b", k * n * Lanes::PLANES));
            let start = planes("c", m * n * Lanes::PLANES);
            let mut found = start.clone();
            Lanes::gemm(product, View::new(&a), View::new(&b), &mut ViewMut::new(&mut found));
            same_lanes(&format!("{product:?}"), &found, |i| {
                let mut c = lane(&start, i);
                Dual::gemm(
                    product,
                    View::new(&lane(&a, i)),
                    View::new(&lane(&b, i)),
                    &mut ViewMut::new(&mut c),
                );
                c
            });
        }
    }
}
