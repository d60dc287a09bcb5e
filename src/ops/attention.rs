//! Multi-head attention: `softmax(scale Q K^T) V` for each head, on queries, keys and values `[B,T,d]`.
//!
//! The inputs are named: `attention(4) <- q, k, v`. The d features fall into `heads` runs of d/heads neighbours, as in PyTorch; keys
//! and values have one length, queries may have another, and the result has theirs. `scale` is 1/sqrt(d/heads) unless it is given.
//! With `causal` position t takes keys 0 to t only, all others have the weight 0 exactly. The projections are layers of their own:
//! `linear` before each input and behind the result (Vaswani et al. 2017).
//!
//! At initialisation the scores of one query have the variance lv = scale^2 d/heads E q^2 E k^2 (1 - rho) over the keys, where rho is what
//! two positions have in common, since that cancels in the softmax. The result is a mean over about T e^-lv values:
//! E y^2 = E v^2 (rho + (1 - rho) PR) with the participation ratio PR = E sum a^2, which is near e^lv / T for small lv and 1 where one
//! key takes all; then queries and keys learn nothing. Hence the scale: without it lv grows with d/heads.
//!
//! ## Shapes
//!
//! | call | inputs | output |
//! | --- | --- | --- |
//! | `attention(1)` | `[B,3,2]` `[B,3,2]` `[B,3,2]` | `[B,3,2]` |
//! | `attention(2, causal=true)` | `[B,4,4]` `[B,4,4]` `[B,4,4]` | `[B,4,4]` |
//! | `attention(2)` | `[B,2,4]` `[B,5,4]` `[B,5,4]` | `[B,2,4]` |
//! | `attention(heads=2, scale=0.05)` | `[B,3,4]` `[B,3,4]` `[B,3,4]` | `[B,3,4]` |
//! | `attention(3)` | `[B,3,4]` `[B,3,4]` `[B,3,4]` | error |
//! | `attention(2, causal=true)` | `[B,2,4]` `[B,5,4]` `[B,5,4]` | error |
//! | `attention(2)` | `[B,3,4]` `[B,3,4]` `[B,5,4]` | error |
//! | `attention(2)` | `[B,3,4]` `[B,3,6]` `[B,3,6]` | error |
//! | `attention(2)` | `[B,4]` `[B,4]` `[B,4]` | error |
//! | `attention(2)` | `[B,3,4]` `[B,3,4]` | error |
//! | `attention` | `[B,3,4]` `[B,3,4]` `[B,3,4]` | error |

use super::{Arity, Backward, Category, Dealt, Forward, Inferred, Misfit, Op, Room, Shape, Transfer};
use crate::args::{Kind, Param, Reader, absent, optional, required};
use crate::diag::rules;
use crate::moments::{Energy, Interval, Moments, Rows, Shares, harmonic};
use crate::scalar::Scalar;
use crate::tensor::{Product, View, ViewMut, product};
use std::ops::Range;

/// The operator `attention`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    heads: usize,
    causal: bool,
    scale: Option<f64>,
}

/// The sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    queries: usize,
    keys: usize,
    features: usize,
    /// Features of one head.
    own: usize,
}

/// Positions and features of a value.
fn tokens(shape: &Shape) -> Option<[usize; 2]> {
    shape.sample().try_into().ok()
}

impl Sizes {
    /// The sizes for queries and keys of these shapes.
    fn of(shapes: &[&Shape], heads: usize) -> Self {
        let [queries, features] = tokens(shapes[0]).unwrap_or([1, heads]);
        let [keys, _] = tokens(shapes[1]).unwrap_or([1, heads]);
        Self { queries, keys, features, own: features / heads }
    }

    /// Copies the features of one head out of one sample's positions.
    fn take<S: Scalar>(self, from: View<'_, S>, head: usize, to: &mut ViewMut<'_, S>) {
        let Self { features, own, .. } = self;
        for position in 0..from.len() / features {
            let start = position * features + head * own;
            to.part(position * own..(position + 1) * own).copy(from.part(start..start + own));
        }
    }

    /// Takes the first position away from all: what they have in common is subtracted without a rounding where they nearly agree.
    fn part<S: Scalar>(self, values: &mut ViewMut<'_, S>) {
        for i in (0..values.len()).rev() {
            values.set(i, values.at(i) - values.at(i % self.own));
        }
    }

    /// Copies them back to their places.
    fn put<S: Scalar>(self, from: View<'_, S>, head: usize, to: &mut ViewMut<'_, S>) {
        let Self { features, own, .. } = self;
        for position in 0..to.len() / features {
            let start = position * features + head * own;
            to.part(start..start + own).copy(from.part(position * own..(position + 1) * own));
        }
    }
}

impl Attention {
    /// Without the mask, if it has one.
    #[must_use]
    pub fn unmasked(&self) -> Option<Self> {
        self.causal.then(|| Self { causal: false, ..self.clone() })
    }

    /// Whether a position takes only keys up to its own.
    #[must_use]
    pub fn is_causal(&self) -> bool {
        self.causal
    }

    /// Into how many heads the features fall.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// What multiplies the products of queries and keys.
    fn factor(&self, own: usize) -> f64 {
        self.scale.unwrap_or_else(|| super::reciprocal(own).sqrt())
    }

    /// How many keys a query takes.
    fn seen(&self, query: usize, keys: usize) -> usize {
        if self.causal { query + 1 } else { keys }
    }

    /// The softmax of each row of scores over the keys that it may take; the others become 0. Scores are taken relative to the largest
    /// one, derivative and all: it cancels, and a share that rounds to 1 has no derivative that would have to cancel.
    fn share_out<S: Scalar>(&self, scores: View<'_, S>, shares: &mut ViewMut<'_, S>, keys: usize) {
        for row in 0..scores.len() / keys {
            let start = row * keys;
            let seen = start..start + self.seen(row, keys);
            let Some(top) = largest(scores, seen.clone()) else { continue };
            let (most, mut sum) = (scores.at(top), S::constant(0.0));
            let taken = scores.part(seen.clone());
            S::map(
                taken,
                &mut shares.part(seen.clone()),
                #[inline(always)]
                |x| (x - most).exp(),
            );
            seen.clone().for_each(|i| sum += shares.at(i));
            seen.clone().for_each(|i| shares.set(i, shares.at(i) / sum));
            (seen.end..start + keys).for_each(|i| shares.set(i, S::constant(0.0)));
        }
    }
}

/// The place of the largest element of a range. It decides nothing but how results are rounded, so it is on no tape.
fn largest<S: Scalar>(of: View<'_, S>, mut range: Range<usize>) -> Option<usize> {
    let first = range.next()?;
    Some(range.fold(first, |top, i| if of.at(i).primal() > of.at(top).primal() { i } else { top }))
}

impl Op for Attention {
    const SIGNATURE: &'static [Param] = &[
        required("heads", Kind::Size, "into how many heads the features fall"),
        optional("causal", Kind::Flag, "false", "whether a position takes only keys up to its own"),
        absent(
            "scale",
            Kind::Number,
            "what multiplies the products of queries and keys; 1/sqrt(d/heads) if not given",
        ),
    ];
    const CATEGORY: Category = Category::Product;
    const ARITY: Arity = Arity::Exactly(3);

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let (heads, causal) = (args.size("heads"), args.flag("causal"));
        let scale = match args.span_of("scale") {
            Some(_) => Some(args.number_where("scale", "above 0", |x| x > 0.0)?),
            None => None,
        };
        Some(Self { heads: heads?, causal: causal?, scale })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        let Self { heads, causal, scale } = self;
        let mut all = vec![("heads", heads.to_string()), ("causal", causal.to_string())];
        all.extend(scale.map(|scale| ("scale", super::exact(scale))));
        all
    }

    fn infer(&self, inputs: &[&Shape]) -> Result<Inferred, Misfit> {
        let [q, k, v] = [0, 1, 2].map(|i| inputs[i]);
        let (Some([queries, features]), Some([keys, of_keys]), Some(_)) = (tokens(q), tokens(k), tokens(v))
        else {
            let message =
                format!("`attention` takes queries, keys and values [B, T, d] and gets {q}, {k} and {v}");
            return Err(
                Misfit::shape(message).help("T positions of d features each: reshape or transpose before")
            );
        };
        if k != v {
            let message = format!("`attention` takes a value for each key and gets keys {k} and values {v}");
            return Err(Misfit::shape(message).help("keys and values come from the same positions"));
        }
        if features != of_keys {
            let message = format!(
                "`attention` compares queries of {features} features with keys of {of_keys}: {q} and {k}"
            );
            return Err(Misfit::shape(message).help(format!("project both to {features} features")));
        }
        if !features.is_multiple_of(self.heads) {
            let message = format!("{} heads of `attention` do not divide {features} features", self.heads);
            let nearest = (1..=self.heads).rev().find(|heads| features.is_multiple_of(*heads)).unwrap_or(1);
            let help = format!(
                "each head takes an equal share: heads={nearest} gives {} to each",
                features / nearest
            );
            return Err(Misfit::argument(&rules::NOT_DIVISIBLE, "heads", message).help(help));
        }
        if self.causal && queries != keys {
            let message = format!("causal `attention` with {queries} queries and {keys} keys");
            let help = "query t takes the keys up to t, so there must be as many of one as of the other";
            return Err(Misfit::argument(&rules::SHAPE_MISMATCH, "causal", message).help(help));
        }
        let own = features / self.heads;
        let scores = product(&[queries, keys]);
        let packs = product(&[own, 2]).saturating_mul(queries.saturating_add(keys));
        let longest = product(&[own, queries.max(keys)]);
        let flops = product(&[4, scores, features]).saturating_add(product(&[5, self.heads, scores]));
        Ok(Inferred {
            saved: Room { fixed: 0, per_sample: scores.saturating_mul(self.heads) },
            scratch: Room { fixed: packs.saturating_add(scores).saturating_add(longest), per_sample: 0 },
            flops,
            ..Inferred::shape(q.clone())
        })
    }

    /// Saves the shares.
    fn forward<S: Scalar>(&self, io: Forward<'_, S>) {
        let Forward { batch, shapes, inputs, mut output, mut saved, mut scratch, .. } = io;
        let sizes = Sizes::of(shapes, self.heads);
        let Sizes { queries, keys, features, own } = sizes;
        let factor = self.factor(own);
        let [mut q, mut k, mut v, mut y, mut scores] =
            scratch.divide([queries * own, keys * own, keys * own, queries * own, queries * keys]);
        for (sample, head) in (0..batch).flat_map(|sample| (0..self.heads).map(move |head| (sample, head))) {
            let of = |i: usize, positions: usize| {
                inputs[i].part(sample * positions * features..(sample + 1) * positions * features)
            };
            sizes.take(of(0, queries), head, &mut q);
            sizes.take(of(1, keys), head, &mut k);
            sizes.take(of(2, keys), head, &mut v);
            let start = (sample * self.heads + head) * queries * keys;
            let mut shares = saved.part(start..start + queries * keys);
            S::gemm(Product::new(queries, own, keys).b_transposed(), q.view(), k.view(), &mut scores);
            (0..scores.len()).for_each(|i| scores.set(i, scores.at(i) * factor));
            self.share_out(scores.view(), &mut shares, keys);
            S::gemm(Product::new(queries, keys, own), shares.view(), v.view(), &mut y);
            let whole = sample * queries * features..(sample + 1) * queries * features;
            sizes.put(y.view(), head, &mut output.part(whole));
        }
    }

    /// With shares A and the gradient G of a head: dV = A^T G, dA = G V^T, the scores get dS = A (dA - sum_j A dA) element by element,
    /// row by row, dQ = scale dS K and dK = scale dS^T Q. A number that is added to all values of a feature cancels in dS, and one
    /// that is added to all keys in dQ, as rows of dS sum to 0: both are taken relative to the first position, so that nearly
    /// equal tokens cost no digits. Nor does a share that rounds to 1, as dA is taken relative to that of the largest share.
    fn backward<S: Scalar>(&self, io: Backward<'_, S>) {
        let Backward { batch, shapes, inputs, saved, mut scratch, cotangent, inputs_grad, .. } = io;
        let sizes = Sizes::of(shapes, self.heads);
        let Sizes { queries, keys, features, own } = sizes;
        let factor = self.factor(own);
        let [mut q, mut k, mut v, mut g, mut slopes, mut room] = scratch.divide([
            queries * own,
            keys * own,
            keys * own,
            queries * own,
            queries * keys,
            queries.max(keys) * own,
        ]);
        let scores = inputs_grad[..2].iter().any(Option::is_some);
        for (sample, head) in (0..batch).flat_map(|sample| (0..self.heads).map(move |head| (sample, head))) {
            let whole = |positions: usize| sample * positions * features..(sample + 1) * positions * features;
            let start = (sample * self.heads + head) * queries * keys;
            let shares = saved.part(start..start + queries * keys);
            sizes.take(cotangent.part(whole(queries)), head, &mut g);
            if let Some(grad) = &mut inputs_grad[2] {
                let mut result = room.part(0..keys * own);
                S::gemm(Product::new(keys, queries, own).a_transposed(), shares, g.view(), &mut result);
                sizes.put(result.view(), head, &mut grad.part(whole(keys)));
            }
            if !scores {
                continue;
            }
            sizes.take(inputs[2].part(whole(keys)), head, &mut v);
            sizes.part(&mut v);
            S::gemm(Product::new(queries, own, keys).b_transposed(), g.view(), v.view(), &mut slopes);
            for row in (0..queries).map(|query| query * keys..(query + 1) * keys) {
                let Some(top) = largest(shares, row.clone()) else { continue };
                let (most, mut along) = (slopes.at(top), S::constant(0.0));
                row.clone().for_each(|i| along += shares.at(i) * (slopes.at(i) - most));
                row.for_each(|i| slopes.set(i, shares.at(i) * (slopes.at(i) - most - along) * factor));
            }
            if let Some(grad) = &mut inputs_grad[0] {
                sizes.take(inputs[1].part(whole(keys)), head, &mut k);
                sizes.part(&mut k);
                let mut result = room.part(0..queries * own);
                S::gemm(Product::new(queries, keys, own), slopes.view(), k.view(), &mut result);
                sizes.put(result.view(), head, &mut grad.part(whole(queries)));
            }
            if let Some(grad) = &mut inputs_grad[1] {
                sizes.take(inputs[0].part(whole(queries)), head, &mut q);
                let mut result = room.part(0..keys * own);
                S::gemm(
                    Product::new(keys, queries, own).a_transposed(),
                    slopes.view(),
                    q.view(),
                    &mut result,
                );
                sizes.put(result.view(), head, &mut grad.part(whole(keys)));
            }
        }
    }

    /// Given a query, its scores are Gaussian over the keys. With rho what two positions of the values have in common,
    /// E y^2 = E v^2 (rho + (1 - rho) (PR + lv (1 - PR)^2 / d)). The last term is the [`lean`](Scores::lean) of the mean of tokens
    /// towards those that the query asks for. Two positions of the result have E v^2 (rho + (1 - rho) O) in common with the overlap
    /// O = E sum_j a_j a'_j of their shares. It is 1/T for scores that have nothing in common, PR for equal ones and
    /// PR^c / T^(1-c) for those with correlation c, that of the queries: exact for many keys and moderate scores; the lean has c in
    /// common. Two samples have in common what different positions of them have, which is no more than the same positions have, and
    /// their overlap times the rest.
    fn transfer(&self, io: Transfer<'_>) -> Moments {
        let [q, k, v] = [0, 1, 2].map(|i| &io.inputs[i]);
        if v.ln_square.hi == f64::NEG_INFINITY {
            return Moments::ZERO;
        }
        let scores = self.scores(&io);
        let shares = scores.shares();
        let lasting = v.variety.clamp(0.0, 1.0);
        let square = |scores: Scores| {
            let shares = scores.shares();
            1.0 - lasting + lasting * (shares.square + scores.lean(shares))
        };
        let here = square(scores);
        // d ln E y^2 / d ln lv, which is that by the scale of queries and of keys.
        let step = 1e-2;
        let moved = |by: f64| square(Scores { ln_variance: scores.ln_variance + by, ..scores }).ln();
        let elasticity = (moved(step) - moved(-step)) / (2.0 * step);
        let rows = scores.rows_overlap(shares, 1.0 - q.variety);
        let parting = shares.square - rows + scores.lean(shares) * q.variety.clamp(0.0, 1.0);
        let common = |x: &Moments| ((1.0 - x.contrast).min(1.0 - x.variety), 1.0 - x.contrast);
        let ((elsewhere, same), (key_elsewhere, key_same)) = (common(v), common(k));
        let alike = (1.0 - q.contrast) * (key_same - key_elsewhere) / k.variety.max(f64::MIN_POSITIVE);
        let samples = elsewhere + (same - elsewhere) * scores.overlap(shares, alike);
        // Given the shares, a result is Gaussian: E y^4 = 3 E (rho + (1 - rho) sum a^2)^2 of E v^2 squared.
        let fourth = (1.0 - lasting).powi(2)
            + 2.0 * (1.0 - lasting) * lasting * shares.square
            + lasting * lasting * shares.square_square;
        let plain = 1.0 - lasting + lasting * shares.square;
        Moments {
            ln_square: v.ln_square.shift(here.ln()),
            mean_share: (v.mean_share / here.sqrt()).clamp(-1.0, 1.0),
            contrast: (1.0 - samples / here).clamp(0.0, 2.0),
            variety: lasting * parting.max(0.0) / here,
            spread: v.spread + elasticity * elasticity * (q.measured_spread() + k.measured_spread()),
            tail: 3.0 * fourth / (plain * plain) - 1.0,
            units: v.units,
        }
    }

    /// Let g and g' be the gradients at two positions of the result, with gamma in common, and O the overlap of two rows of shares.
    ///
    /// A value gets sum_t a_t g_t: of the energy F = PR + gamma (T - 1) O. As a row of shares sums to 1, the gradients at all values
    /// sum up to those at all results, which says what two values have in common. A score gets a (w - sum_j a_j w_j) with w = g v, of
    /// which E sum_j is E v^2 (1 - rho) times K, the [`slope`](Shares::slope). A query sums it over keys, of which only what differs
    /// counts; keys and values that come from one token of d features add (1 - PR)^2 / d, in which they agree. A key sums it over
    /// queries, which adds gamma times what two queries have in common.
    fn energy(&self, io: Transfer<'_>, cotangent: Energy, _: &Moments) -> Vec<Energy> {
        let [q, k, v] = [0, 1, 2].map(|i| &io.inputs[i]);
        let Sizes { queries, keys, features, own } = Sizes::of(io.shapes, self.heads);
        let scores = self.scores(&io);
        let shares = scores.shares();
        let rows = scores.rows_overlap(shares, 1.0 - q.variety);
        let (own_slope, agreement) = (shares.slope(), shares.rest() / real(features));
        let gamma = 1.0 - cotangent.variety;
        let others = gamma * (real(queries) - 1.0);
        let to_scores = self.gain(own).ln() + v.variety.max(0.0).ln();
        let through = |factor: Interval, common: f64, scatter: f64| {
            if factor.hi == f64::NEG_INFINITY {
                return Energy::ZERO;
            }
            let arrived = cotangent.linear(factor, features);
            Energy { variety: 1.0 - common.clamp(0.0, 1.0), spread: arrived.spread + scatter, ..arrived }
        };
        let scatter = shares.slope_scatter() / real(queries * self.heads);
        let sharing = rows / shares.square;
        let queried = own_slope + agreement;
        let query_common = gamma * (own_slope * sharing + agreement) / queried;
        let keyed = own_slope * (1.0 + others * (1.0 - q.variety).max(0.0) * sharing);
        let valued = shares.square + others * rows;
        let value_common = ((1.0 + others) / valued - 1.0) / (real(keys) - 1.0).max(1.0);
        let query_gain = to_scores + k.variety.max(0.0).ln() + queried.ln();
        vec![
            through(v.ln_square.plus(k.ln_square).shift(query_gain), query_common, scatter),
            through(v.ln_square.plus(q.ln_square).shift(to_scores + keyed.ln()), 0.0, scatter),
            through(Interval::point(valued.ln()), value_common, 0.0),
        ]
    }

    fn dealt(&self, io: Transfer<'_>) -> Option<Dealt> {
        let Sizes { keys, own, .. } = Sizes::of(io.shapes, self.heads);
        let scores = self.scores(&io);
        Some(Dealt {
            variance: scores.ln_variance.exp(),
            keys,
            participation: scores.shares().square,
            terms: own,
            scale: self.factor(own),
        })
    }
}

impl Attention {
    /// scale^2 d/heads: the variance of a score over that of a query times that of a key.
    fn gain(&self, own: usize) -> f64 {
        self.factor(own).powi(2) * real(own)
    }

    /// How the scores of a query are distributed.
    fn scores(&self, io: &Transfer<'_>) -> Scores {
        let (q, k) = (&io.inputs[0], &io.inputs[1]);
        let Sizes { keys, features, own, .. } = Sizes::of(io.shapes, self.heads);
        Scores {
            rows: if self.causal { Rows::UpTo(keys) } else { Rows::Of(keys) },
            ln_variance: self.gain(own).ln()
                + q.ln_square.middle()
                + k.ln_square.middle()
                + k.variety.clamp(0.0, 1.0).ln(),
            scatter: q.tail / real(own),
            features: real(features),
        }
    }
}

/// The scores of a query over the keys: Gaussian, with a variance that is proportional to the query's square.
#[derive(Clone, Copy, Debug)]
struct Scores {
    rows: Rows,
    /// ln of the mean variance.
    ln_variance: f64,
    /// The relative variance of the mean square of a query.
    scatter: f64,
    /// How many directions tokens have.
    features: f64,
}

impl Scores {
    /// The shares, averaged over queries. The mean square of n Gaussian features has a Gamma distribution of shape s = n/2: the
    /// two-point rule of Gauss and Laguerre at s + 1 +- sqrt(s + 1) is exact for the first three moments.
    fn shares(self) -> Shares {
        let Self { rows, ln_variance, scatter, features: _ } = self;
        let variance = ln_variance.exp();
        if scatter < 1e-6 || variance < 1e-12 {
            return Shares::of(rows, variance);
        }
        let shape = 1.0 / scatter;
        let root = (shape + 1.0).sqrt();
        let upper = 0.5 * (root - 1.0) / root;
        let at = |place: f64| Shares::of(rows, variance * place / shape);
        let (less, more) = (at(shape + 1.0 - root), at(shape + 1.0 + root));
        let mean = |a: f64, b: f64| (1.0 - upper) * a + upper * b;
        Shares {
            square: mean(less.square, more.square),
            cube: mean(less.cube, more.cube),
            square_square: mean(less.square_square, more.square_square),
        }
    }

    /// Keys and values that come from one token z of d independent features: the scores are z w with |w|^2 = lv, and a mean of tokens
    /// with their shares has the part E sum_j a_j z_j = lv (1 - PR) w / |w|^2 along w (Stein's identity), which is lv (1 - PR)^2 of a
    /// token's d. It counts where T e^-lv, over which the rest is averaged, is not far below d.
    fn lean(self, shares: Shares) -> f64 {
        self.ln_variance.exp() * shares.rest() / self.features
    }

    /// E sum_j a_j a'_j of two softmaxes over the same keys whose scores have this correlation.
    fn overlap(self, shares: Shares, correlation: f64) -> f64 {
        let even = match self.rows {
            Rows::Of(keys) => 1.0 / real(keys),
            Rows::UpTo(keys) => harmonic(keys) / real(keys),
        };
        (even * (shares.square / even).max(1.0).powf(correlation.clamp(0.0, 1.0))).min(1.0)
    }

    /// The same of two rows of one sample. Causal rows of n and m keys overlap in 1/max(n, m) where scores are even: on average over pairs
    /// of rows 2 (1 - H/T) / (T - 1) with H = 1 + 1/2 + ... + 1/T.
    fn rows_overlap(self, shares: Shares, correlation: f64) -> f64 {
        let overlap = self.overlap(shares, correlation);
        match self.rows {
            Rows::UpTo(keys) if keys > 1 => {
                let even = harmonic(keys) / real(keys);
                overlap * 2.0 * (1.0 - even) / ((real(keys) - 1.0) * even)
            }
            Rows::UpTo(_) | Rows::Of(_) => overlap,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
fn real(n: usize) -> f64 {
    n as f64
}
