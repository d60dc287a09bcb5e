//! The elementary functions in each arithmetic, their domains, and where their formulas change.

use super::big::Big;
use super::points;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_4, LN_2, SQRT_2};
use wellposed::scalar::{Double, Scalar};

/// An elementary function.
pub struct Function {
    pub name: &'static str,
    pub real: fn(f64) -> f64,
    pub double: fn(Double) -> Double,
    pub big: fn(Big) -> Big,
    /// What the function has come to beyond 10^6, where the exponentials of the measure would square too often; `None` if it never
    /// comes to rest.
    pub limit: Option<fn(Double) -> Double>,
    /// It is not defined outside.
    pub domain: (f64, f64),
    /// Outside it over- or underflows or has long been constant.
    pub steep: (f64, f64),
    /// Where the code of `f64` or of double-doubles changes its formula, on either side of 0.
    pub switches: &'static [f64],
    /// How many units in the last place the result of `f64` may be off.
    pub bound: f64,
}

impl Function {
    /// Points of the domain.
    pub fn points(&self) -> Vec<f64> {
        let mut points = points::all(self.name, self.switches, self.steep);
        points.retain(|&x| x > self.domain.0 && x < self.domain.1);
        points
    }
}

const EVERYWHERE: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
/// Half a unit of k in the reductions by ln 2, and thrice that.
const HALF: f64 = 0.5 * LN_2;
const THRICE: f64 = 1.5 * LN_2;

fn step(x: Double, below: f64, above: f64) -> Double {
    Double::plain(if x.hi > 0.0 { above } else { below })
}

/// Bounds: for ln, sin and cos the unit that the C library states for x86-64 (its manual, "Known maximum errors in math functions"),
/// doubled because other platforms bring their own library; sqrt is rounded correctly by IEEE 754. The others are the product's own.
/// Their polynomials add less than 0.1 units, so that the bounds count roundings. exp: half a unit for 1 + p and less than half for
/// p < 1/2; half a unit more where the result is subnormal. exp_m1: p errs by 0.8 of its units, which may be twice those of
/// 2^k - 1 + 2^k p, and that is rounded. tanh: the error 0.6 of e^r - 1, at most doubled by where the binades of argument and result
/// begin, and the division. ln_1p: half a unit for the last sum and less than half for all terms of second order. erf: as ln_1p near
/// 0, where the smaller term may begin a binade; beyond 1 half a unit and 4 of erfc, which is 1/5 of it. erfc: the polynomial, 1 + 2x,
/// the division, the product and p together at the end of a binade 5 units; 1 - erf for x < 3/4 is off by less. sigmoid and softplus
/// add up what they are made of: the exponential, a sum and a quotient, or ln_1p and a sum.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "exp",
        real: Scalar::exp,
        double: Scalar::exp,
        big: Big::exp,
        limit: Some(|x| step(x, 0.0, f64::INFINITY)),
        domain: EVERYWHERE,
        steep: (-745.0, 709.7),
        switches: &[HALF, THRICE, 708.4, 709.782_712_893_384, 745.13, 1.0],
        bound: 1.5,
    },
    Function {
        name: "exp_m1",
        real: Scalar::exp_m1,
        double: Scalar::exp_m1,
        big: Big::exp_m1,
        limit: Some(|x| step(x, -1.0, f64::INFINITY)),
        domain: EVERYWHERE,
        steep: (-90.0, 709.7),
        switches: &[HALF, THRICE, 36.74, 38.8, 44.0, 56.0 * LN_2, 80.0, 709.782_712_893_384],
        bound: 2.0,
    },
    Function {
        name: "ln",
        real: Scalar::ln,
        double: Scalar::ln,
        big: Big::ln,
        limit: None,
        domain: (0.0, f64::INFINITY),
        steep: (0.0, 1000.0),
        switches: &[1.0, SQRT_2, FRAC_1_SQRT_2, 2.0, 0.5, 0.9375, 1.064_697_265_625],
        bound: 2.0,
    },
    Function {
        name: "ln_1p",
        real: Scalar::ln_1p,
        double: Scalar::ln_1p,
        big: Big::ln_1p,
        limit: None,
        domain: (-1.0, f64::INFINITY),
        steep: (-1.0, 1000.0),
        switches: &[0.29, 0.41, 0.414_213_562_373_095_05, 0.292_893_218_813_452_5, 1.0],
        bound: 1.0,
    },
    Function {
        name: "sqrt",
        real: Scalar::sqrt,
        double: Scalar::sqrt,
        big: Big::sqrt,
        limit: None,
        domain: (0.0, f64::INFINITY),
        steep: (0.0, 1000.0),
        switches: &[1.0, 2.0, 2.582_249_878_086_908_6e120, 3.872_591_914_849_318_3e-121],
        bound: 0.5,
    },
    Function {
        name: "tanh",
        real: Scalar::tanh,
        double: Scalar::tanh,
        big: Big::tanh,
        limit: Some(|x| step(x, -1.0, 1.0)),
        domain: EVERYWHERE,
        steep: (-60.0, 60.0),
        switches: &[0.5 * HALF, 0.5 * THRICE, 1.0, 19.0, 22.0, 26.5, 40.0],
        bound: 2.0,
    },
    Function {
        name: "sin",
        real: Scalar::sin,
        double: Scalar::sin,
        big: Big::sin,
        limit: None,
        domain: (-1e6, 1e6),
        steep: (-1000.0, 1000.0),
        switches: &[FRAC_PI_4, 3.0 * FRAC_PI_4, 2.0 * FRAC_PI_4, 4.0 * FRAC_PI_4],
        bound: 2.0,
    },
    Function {
        name: "cos",
        real: Scalar::cos,
        double: Scalar::cos,
        big: Big::cos,
        limit: None,
        domain: (-1e6, 1e6),
        steep: (-1000.0, 1000.0),
        switches: &[FRAC_PI_4, 3.0 * FRAC_PI_4, 2.0 * FRAC_PI_4, 4.0 * FRAC_PI_4],
        bound: 2.0,
    },
    Function {
        name: "erf",
        real: Scalar::erf,
        double: Scalar::erf,
        big: Big::erf,
        limit: Some(|x| step(x, -1.0, 1.0)),
        domain: EVERYWHERE,
        steep: (-9.5, 9.5),
        switches: &[0.75, 0.84375, 1.0, 1.25, 2.857_142_857_142_857, 3.0, 6.0, 9.139, 28.0],
        bound: 1.5,
    },
    Function {
        name: "erfc",
        real: Scalar::erfc,
        double: Scalar::erfc,
        big: Big::erfc,
        limit: Some(|x| step(x, 2.0, 0.0)),
        domain: EVERYWHERE,
        steep: (-9.5, 27.3),
        switches: &[0.25, 0.75, 0.84375, 1.25, 2.75, 2.857_142_857_142_857, 3.0, 6.0, 9.139, 26.5, 28.0],
        bound: 5.0,
    },
    Function {
        name: "sigmoid",
        real: Scalar::sigmoid,
        double: Scalar::sigmoid,
        big: |x| Big::int(1).over(x.negated().exp().plus(Big::int(1))),
        limit: Some(|x| step(x, 0.0, 1.0)),
        domain: EVERYWHERE,
        steep: (-745.0, 745.0),
        switches: &[0.0, 709.0, 745.0],
        bound: 3.0,
    },
    Function {
        name: "softplus",
        real: Scalar::softplus,
        double: Scalar::softplus,
        big: |x| x.exp().ln_1p(),
        limit: Some(|x| if x.hi > 0.0 { x } else { Double::plain(0.0) }),
        domain: EVERYWHERE,
        steep: (-745.0, 745.0),
        switches: &[0.0, 36.7, 709.0, 745.0],
        bound: 3.0,
    },
    Function {
        name: "abs",
        real: Scalar::abs,
        double: Scalar::abs,
        big: Big::abs,
        limit: None,
        domain: EVERYWHERE,
        steep: (-1.0, 1.0),
        switches: &[0.0],
        bound: 0.0,
    },
];
