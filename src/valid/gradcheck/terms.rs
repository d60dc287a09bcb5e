//! One rule at one point, term by term: the derivative by each component of an operand as the sum that it is.
//!
//! Contract: the derivative by component i of an operand is `sum_o g_o dy_o/dx_i` over the outputs o. The slopes `dy_o/dx_i` come from the
//! forward kernel, eight unit tangents in a pass, so that they share nothing with the reverse rule; the terms that are not zero are kept in the order of
//! the outputs. What was done to a sum (one term too few, the last in place of all) shows in its terms and not in its result.

use super::directions::widened;
use super::ledger::{dot, near_kinks, operands, states, wanted};
use super::spread::spread;
use super::sweep::Place;
use crate::exec::{Alone, Registry, Reverse};
use crate::graph::{Handle, Node};
use crate::scalar::{Lanes, WIDTH};
use crate::tensor::{Shape, View};

/// Terms that are kept at most.
const MOST: usize = 4_000_000;

/// A node on operands of its own, with the cotangent that it is asked with.
pub(super) struct Asked<'a, 'g> {
    pub node: &'a Node,
    pub alone: Alone<'g>,
    pub states: Vec<&'a [f64]>,
    pub wanted: Vec<bool>,
    pub operands: Vec<Vec<f64>>,
    pub output: Vec<f64>,
    pub saved: Vec<f64>,
    pub cotangent: Vec<f64>,
}

/// Whether the operands are those of the net, or lie on and around kinks and ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Net,
    Kinks,
}

impl<'a, 'g> Asked<'a, 'g> {
    /// A node at a place, with a cotangent of random signs; `None` if a smooth function is to be asked at its kinks.
    pub fn new(place: &'a Place<'_, 'g>, handle: Handle<Node>, at: Where) -> Option<Self> {
        let graph = place.graph;
        let node = &place.graph.nodes[handle];
        let batch = place.batch();
        let alone = Alone { graph, node: handle, batch, settings: place.settings, fill: 0.0 };
        let mut values = operands(place, node);
        let moved = if at == Where::Kinks { Some(near_kinks(node, &values)?) } else { None };
        if let Some(moved) = &moved {
            values[0] = moved;
        }
        let states = states(place, node);
        let ran = alone.forward::<f64>(&values, &states);
        let name = format!("slip/{}", node.path);
        let cotangent = spread(ran.output.len(), place.settings.seed, &name);
        let operands = values.into_iter().map(<[f64]>::to_vec).collect();
        let (output, saved) = (ran.output, ran.saved);
        Some(Self { node, alone, states, wanted: wanted(place, node), operands, output, saved, cotangent })
    }

    /// What a reverse rule hands back for one operand, where an operand may be `changed` for it.
    pub fn given(
        &self,
        operand: usize,
        changed: Option<(usize, &[f64])>,
        reverse: &impl Reverse,
    ) -> Vec<f64> {
        let mut operands: Vec<&[f64]> = self.operands.iter().map(Vec::as_slice).collect();
        if let Some((at, values)) = changed {
            operands[at] = values;
        }
        let held = [&*self.output, &*self.saved];
        let mut all =
            self.alone.backward::<f64>(&operands, &self.states, held, &self.cotangent, &self.wanted, reverse);
        all.swap_remove(operand)
    }

    /// The right rule of the program with another operand in the place of one.
    pub fn with(&self, operand: usize, at: usize, values: &[f64]) -> Vec<f64> {
        self.given(operand, Some((at, values)), &Registry)
    }

    /// The slopes of an elementwise function at other inputs, one for each.
    pub fn slopes_at(&self, x: &[f64]) -> Vec<f64> {
        let mut wide: Vec<Vec<f64>> = self.operands.iter().map(|values| widened::<Lanes>(values)).collect();
        wide[0] = widened::<Lanes>(x);
        wide[0][x.len()..2 * x.len()].fill(1.0);
        let wide: Vec<&[f64]> = wide.iter().map(Vec::as_slice).collect();
        let ran = self.alone.forward::<Lanes>(&wide, &self.states);
        View::<Lanes>::new(&ran.output).plane(1).to_vec()
    }

    /// Multiplications and additions of the slopes by one operand.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn cost(&self, operand: usize) -> f64 {
        let passes = self.operands[operand].len().div_ceil(WIDTH);
        let forward = self.node.flops.max(self.node.shape.as_ref().map_or(0, Shape::elements));
        (passes * (1 + 2 * WIDTH)) as f64 * forward as f64 * self.alone.batch as f64
    }

    /// The component that alone is wrong, with its true derivative, for operands of any size; `None` if not exactly one is, or rounding hides which.
    ///
    /// With v of random signs and `u_i = i v_i` an error e at i alone moves `<c, v>` by `e v_i` and `<c, u>` by i times that: the quotient is the
    /// index, and the tangent along the unit vector there confirms it.
    pub fn lone(&self, operand: usize, given: &[f64]) -> Option<(usize, f64)> {
        let n = given.len();
        let seed = self.alone.settings.seed;
        let v = spread(n, seed, &format!("lone/{}", self.node.path));
        #[expect(clippy::cast_precision_loss, reason = "an index is far below 2^53")]
        let u: Vec<f64> = v.iter().enumerate().map(|(i, v)| (i + 1) as f64 * v).collect();
        let [along_v, along_u] = self.handed(operand, [&v, &u]);
        let error = dot(View::<f64>::new(given), View::new(&v)).value - along_v;
        let moment = dot(View::<f64>::new(given), View::new(&u)).value - along_u;
        let at = (moment / error).round() - 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "it is an index"
        )]
        let at = (0.0..n as f64).contains(&at).then_some(at as usize)?;
        let mut unit = vec![0.0; n];
        unit[at] = 1.0;
        let [truth, _] = self.handed(operand, [&unit, &unit]);
        let confirmed = ((given[at] - truth) * v[at] - error).abs() <= 1e-3 * error.abs();
        confirmed.then_some((at, truth))
    }

    /// `<g, dy>` for two tangents of one operand.
    fn handed(&self, operand: usize, tangents: [&[f64]; 2]) -> [f64; 2] {
        let mut wide: Vec<Vec<f64>> = self.operands.iter().map(|values| widened::<Lanes>(values)).collect();
        let n = self.operands[operand].len();
        for (lane, tangent) in tangents.into_iter().enumerate() {
            wide[operand][(1 + lane) * n..(2 + lane) * n].copy_from_slice(tangent);
        }
        let wide: Vec<&[f64]> = wide.iter().map(Vec::as_slice).collect();
        let ran = self.alone.forward::<Lanes>(&wide, &self.states);
        let moved = View::<Lanes>::new(&ran.output);
        [0, 1].map(|lane| dot(View::<f64>::new(&self.cotangent), View::new(moved.plane(1 + lane))).value)
    }

    /// For each component of an operand the outputs that it moves, with the slopes; `None` if these are too many.
    pub fn slopes(&self, operand: usize) -> Option<Vec<Vec<(usize, f64)>>> {
        let mut wide: Vec<Vec<f64>> = self.operands.iter().map(|values| widened::<Lanes>(values)).collect();
        let n = self.operands[operand].len();
        let mut slopes = Vec::with_capacity(n);
        let mut kept = 0;
        for start in (0..n).step_by(WIDTH) {
            let lanes = start..(start + WIDTH).min(n);
            let set = |wide: &mut Vec<Vec<f64>>, x: f64| {
                lanes.clone().enumerate().for_each(|(lane, i)| wide[operand][(1 + lane) * n + i] = x);
            };
            set(&mut wide, 1.0);
            let planes: Vec<&[f64]> = wide.iter().map(Vec::as_slice).collect();
            let ran = self.alone.forward::<Lanes>(&planes, &self.states);
            let moved = View::<Lanes>::new(&ran.output);
            for lane in 0..lanes.len() {
                let along = moved.plane(1 + lane).iter().enumerate().filter(|(_, slope)| **slope != 0.0);
                let along: Vec<(usize, f64)> = along.map(|(output, slope)| (output, *slope)).collect();
                kept += along.len();
                slopes.push(along);
            }
            if kept > MOST {
                return None;
            }
            set(&mut wide, 0.0);
        }
        Some(slopes)
    }
}
