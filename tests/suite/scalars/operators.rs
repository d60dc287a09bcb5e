//! Every operator on every kind of scalar: the same values, the same tangents, the same decisions.
//!
//! Bounds. An output of `f64` errs by at most K = (16 + n/2) 2^-52 times the magnitudes of its terms,
//! A = 1 + |y| + sum_j |dy/dw_j w_j| for n components w_j of inputs and parameters: an elementary function errs by at most 8 units
//! (`functions.rs`), what is done around it as often, and each addition of a sum by half a unit. A tangent t = sum_j dy/dw_j v_j is a function
//! of the same kind, of w and v: B = 1 + |t| + sum_j |dy/dw_j v_j| + sum_j |dt/dw_j w_j|. The derivatives are computed on dual
//! numbers over dual numbers, eight components at a time. Double-doubles err by 2^-50 of that, so they stand for the exact value.

use crate::ops::table::{Case, Row};
use crate::ops::trial::Values;
use crate::ops::{MODES, good_rows, near_kinks};
use wellposed::exec::{Keep, Point, Session, Settings, Tapes};
use wellposed::graph::{FeedKind, Runnable};
use wellposed::inits::standard_normal;
use wellposed::scalar::{Double, DoubleDual, Dual, DualOf, Lanes, Scalar, WIDTH};
use wellposed::tensor::{Draws, Mode, ViewMut, stream};

/// A direction in the space of inputs and parameters: one number for each component of each tensor, feeds first.
type Direction = Vec<Vec<f64>>;

/// One operator at one point.
struct Place<'c> {
    case: &'c Case,
    batch: usize,
    settings: Settings,
    values: Values,
}

impl Place<'_> {
    /// Feeds, then parameters; targets and tokens have no derivative.
    fn tensors(&self) -> impl Iterator<Item = (&Vec<f64>, bool)> {
        let free = self.case.graph.feeds.iter().map(|(_, feed)| feed.differentiable());
        self.values.feeds.iter().zip(free).chain(self.values.params.iter().map(|param| (param, true)))
    }

    fn direction(&self, name: &str) -> Direction {
        let draw = |(i, (tensor, free)): (usize, (&Vec<f64>, bool))| {
            let draws = Draws { seed: self.settings.seed, stream: stream(&format!("{name} {i}")) };
            if free { standard_normal(tensor.len(), draws) } else { vec![0.0; tensor.len()] }
        };
        self.tensors().enumerate().map(draw).collect()
    }

    /// Runs the graph; `lift` makes the scalar of a component from its value, its tensor and its place there. The session stays
    /// for the decisions.
    fn run<S: Scalar>(
        &self,
        lift: impl Fn(f64, usize, usize) -> S,
        decisions: Option<&Session<'_, f64>>,
    ) -> (Vec<S>, Session<'_, S>) {
        let planes = |(t, (tensor, _)): (usize, (&Vec<f64>, bool))| {
            let mut planes = vec![0.0; S::PLANES * tensor.len()];
            let mut view = ViewMut::<S>::new(&mut planes);
            tensor.iter().enumerate().for_each(|(i, x)| view.set(i, lift(*x, t, i)));
            planes
        };
        let tensors: Vec<Vec<f64>> = self.tensors().enumerate().map(planes).collect();
        let (feeds, params) = tensors.split_at(self.values.feeds.len());
        let point = Point {
            params: params.iter().map(Vec::as_slice).collect(),
            states: self.values.states.iter().map(Vec::as_slice).collect(),
            feeds: feeds.iter().map(Vec::as_slice).collect(),
        };
        let graph = Runnable::new(&self.case.graph).expect("a row without errors runs");
        let mut session = Session::new(graph, self.batch, Keep::All);
        match decisions {
            Some(other) => {
                session.adopt(other);
                session.forward(&point, self.settings, Tapes::Replay);
            }
            None => session.forward(&point, self.settings, Tapes::Record),
        }
        (session.value(self.case.node).iter().collect(), session)
    }

    /// The magnitudes A and B of every output.
    fn magnitudes(&self, along: &Direction, decisions: &Session<'_, f64>) -> (Vec<f64>, Vec<f64>) {
        type Second = DualOf<Dual, [Dual; WIDTH]>;
        let outputs = decisions.value(self.case.node).len();
        let (mut first, mut second) = (vec![1.0; outputs], vec![1.0; outputs]);
        let components: Vec<(usize, usize, f64)> = self
            .tensors()
            .enumerate()
            .filter(|(_, (_, free))| *free)
            .flat_map(|(t, (tensor, _))| tensor.iter().enumerate().map(move |(i, w)| (t, i, *w)))
            .collect();
        for (round, chunk) in components.chunks(WIDTH).enumerate() {
            let lift = |x: f64, t: usize, i: usize| {
                let lane = chunk.iter().position(|(u, j, _)| (*u, *j) == (t, i));
                let value = Dual { value: x, tangent: along[t][i] };
                let mut tangent = [Dual::constant(0.0); WIDTH];
                if let Some(lane) = lane {
                    tangent[lane].value = 1.0;
                }
                Second { value, tangent }
            };
            let (found, _) = self.run(lift, Some(decisions));
            for (o, y) in found.iter().enumerate() {
                if round == 0 {
                    first[o] += y.value.value.abs();
                    second[o] += y.value.tangent.abs();
                }
                for ((t, i, w), d) in chunk.iter().zip(&y.tangent) {
                    first[o] += (d.value * w).abs();
                    second[o] += (d.value * along[*t][*i]).abs() + (d.tangent * w).abs();
                }
            }
        }
        (first, second)
    }

    /// The factor K.
    #[expect(clippy::cast_precision_loss, reason = "component counts are small")]
    fn slack(&self) -> f64 {
        let components: usize = self.tensors().map(|(tensor, _)| tensor.len()).sum();
        (16.0 + 0.5 * components as f64) * f64::EPSILON
    }
}

/// |found - want|, of which `want` has both halves.
fn error(found: f64, want: Double) -> f64 {
    ((want.hi - found) + want.lo).abs()
}

/// The law at one place: what is wrong, and the largest share of the bounds that was used.
fn law(place: &Place<'_>) -> Result<f64, String> {
    let directions: Vec<Direction> = (0..WIDTH).map(|i| place.direction(&format!("lane {i}"))).collect();
    let along = &directions[0];
    let (real, decided) = place.run(|x, _, _| x, None);
    let node = place.case.node;
    let (lanes, on_lanes) = place.run(
        |value, t, i| Lanes { value, tangent: std::array::from_fn(|lane| directions[lane][t][i]) },
        None,
    );
    let (double, on_double) = place.run(|x, _, _| Double::plain(x), None);
    for other in [on_lanes.decisions(node), on_double.decisions(node)] {
        if other != decided.decisions(node) {
            return Err("the decisions differ".to_owned());
        }
    }
    // One lane and the first are the same bits, whether decisions are taken or replayed.
    for (lane, along) in directions.iter().enumerate() {
        let lift = |value, t: usize, i: usize| Dual { value, tangent: along[t][i] };
        let (dual, _) = place.run(lift, if lane % 2 == 0 { Some(&decided) } else { None });
        for (o, ((dual, lanes), real)) in dual.iter().zip(&lanes).zip(&real).enumerate() {
            let pairs = [(dual.value, lanes.value), (dual.tangent, lanes.tangent[lane]), (dual.value, *real)];
            if pairs.iter().any(|(a, b)| a.to_bits() != b.to_bits()) {
                return Err(format!("output {o}, lane {lane}: {dual:?} against {lanes:?} and {real:e}"));
            }
        }
    }
    let lift =
        |x, t: usize, i: usize| DoubleDual { value: Double::plain(x), tangent: Double::plain(along[t][i]) };
    let (exact, _) = place.run(lift, Some(&decided));
    let (first, second) = place.magnitudes(along, &decided);
    let slack = place.slack();
    let mut most = 0.0f64;
    for (o, exact) in exact.iter().enumerate() {
        if exact.value != double[o] {
            return Err(format!("output {o}: {:?} with a tangent, {:?} without", exact.value, double[o]));
        }
        for (what, found, want, size) in [
            ("value", real[o], exact.value, first[o]),
            ("tangent", lanes[o].tangent[0], exact.tangent, second[o]),
        ] {
            let share = error(found, want) / (slack * size);
            if share.is_nan() || share > 1.0 {
                return Err(format!(
                    "{what} of output {o}: {found:e} against {want:?}, {share:e} of the bound"
                ));
            }
            most = most.max(share);
        }
    }
    Ok(most)
}

/// Applies the law at places of every good row and reports all that break it; gives the number of places and the largest share of a
/// bound.
fn for_all(places: impl Fn(&Case, Mode) -> Vec<(usize, Values)>) -> (i32, f64, String) {
    let (mut broken, mut most, mut tried) = (Vec::new(), (0.0, String::new()), 0);
    for (row, case) in good_rows() {
        let row: Row = row;
        for mode in MODES {
            for (batch, values) in places(&case, mode) {
                tried += 1;
                let place = Place {
                    case: &case,
                    batch,
                    settings: Settings { mode, seed: 1, penalties: false },
                    values,
                };
                match law(&place) {
                    Ok(share) if share > most.0 => most = (share, row.name()),
                    Ok(_) => {}
                    Err(reason) => broken.push(format!("{} in {mode}, batch {batch}: {reason}", row.name())),
                }
            }
        }
    }
    assert!(tried > 0 && broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
    (tried, most.0, most.1)
}

#[test]
fn operators_agree_on_every_scalar() {
    let seen = for_all(|case, _| {
        let random = |(batch, seed)| (batch, Values::random(case, batch, seed));
        [(1, 1), (3, 2)].map(random).into()
    });
    println!("{seen:?}");
}

/// On the kinks and a billionth beside them.
#[test]
fn operators_agree_on_every_scalar_near_kinks() {
    let seen = for_all(|case, _| {
        let kinks = case.graph.nodes[case.node].op.kinks();
        if kinks.is_empty() { Vec::new() } else { vec![(3, near_kinks(case, 3, &kinks))] }
    });
    println!("{seen:?}");
}

/// Values of 30 standard deviations, where exponentials saturate; probabilities that are tiny.
#[test]
fn operators_agree_on_every_scalar_far_out() {
    let seen = for_all(|case, _| {
        let mut values = Values::random(case, 2, 3);
        for (values, (_, feed)) in values.feeds.iter_mut().zip(case.graph.feeds.iter()) {
            match feed.kind {
                _ if !feed.differentiable() => {}
                FeedKind::Unit => values.iter_mut().for_each(|x| *x = x.powi(30)),
                _ => values.iter_mut().for_each(|x| *x *= 30.0),
            }
        }
        vec![(2, values)]
    });
    println!("{seen:?}");
}

/// A replay on double-doubles takes the branch of the tape and not that of its own input: moved across each kink, the function is
/// the continuation of the piece it was on, on both scalars alike.
#[test]
fn decisions_are_replayed_across_kinks() {
    let (mut moved, mut seen) = (0, 0);
    for (row, case) in good_rows() {
        let kinks = case.graph.nodes[case.node].op.kinks();
        if kinks.is_empty() {
            continue;
        }
        seen += 1;
        let settings = Settings { mode: Mode::Eval, seed: 1, penalties: false };
        let place = |values| Place { case: &case, batch: 3, settings, values };
        let here = place(near_kinks(&case, 3, &kinks));
        let mut there = here.values.clone();
        let free = case.graph.feeds.iter().map(|(_, feed)| feed.differentiable());
        for (feed, _) in there.feeds.iter_mut().zip(free).filter(|(_, free)| *free) {
            // Half a unit to the left, which is beyond the kink for those that stood at it or right beside it.
            feed.iter_mut().for_each(|x| *x -= 0.5);
        }
        let there = place(there);
        let (_, decided) = here.run(|x, _, _| x, None);
        let (_, own) = there.run(|x, _, _| x, None);
        moved += usize::from(own.decisions(case.node) != decided.decisions(case.node));
        let along = there.direction("direction");
        let (first, _) = there.magnitudes(&along, &decided);
        let lift = |x, t: usize, i: usize| Dual { value: x, tangent: along[t][i] };
        let (real, _) = there.run(lift, Some(&decided));
        let (double, _) = there.run(|x, _, _| Double::plain(x), Some(&decided));
        for (o, (found, want)) in real.iter().zip(&double).enumerate() {
            let bound = there.slack() * first[o];
            let within = error(found.value, *want) <= bound;
            assert!(within, "{}, output {o}: {:e} against {want:?}", row.name(), found.value);
        }
    }
    assert!(seen > 0 && moved == seen, "{moved} of {seen} rows have crossed a kink");
}
