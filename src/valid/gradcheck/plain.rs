//! Differences of one component after another, by re-runs of everything behind the tensor: the measure of the faster ways.

use super::STEP;
use super::sweep::{Place, downstream, step};
use crate::exec::{Keep, Session, Tapes, Weights};
use crate::graph::{Handle, Node, ParamTensor};

/// One thread's values and weights.
pub(super) struct Plain<'s, 'g> {
    place: &'s Place<'s, 'g>,
    session: Session<'g, f64>,
    weights: Weights,
    current: Option<(Handle<ParamTensor>, Vec<Handle<Node>>)>,
}

impl<'s, 'g> Plain<'s, 'g> {
    pub fn new(place: &'s Place<'s, 'g>) -> Self {
        let mut session = Session::new(place.graph, place.batch(), Keep::All);
        session.forward(place.point, place.settings, Tapes::Record);
        Self { place, session, weights: place.weights.clone(), current: None }
    }

    /// The quotients of the objective, without penalties.
    pub fn job(&mut self, param: Handle<ParamTensor>, chosen: &[usize]) -> Vec<f64> {
        let known = self.current.take().filter(|(of, _)| *of == param);
        if known.is_none() {
            // What another tensor moved must stand where it was.
            self.session.forward(self.place.point, self.place.settings, Tapes::Replay);
        }
        let (_, nodes) = known.unwrap_or_else(|| (param, downstream(self.place.graph, param)));
        let quotients = chosen.iter().map(|&i| self.quotient(param, &nodes, i)).collect();
        self.current = Some((param, nodes));
        quotients
    }

    fn quotient(&mut self, param: Handle<ParamTensor>, nodes: &[Handle<Node>], i: usize) -> f64 {
        let w = self.place.weights.params[param.index()].data[i];
        let [above, below] = step(w);
        let difference = self.loss_at(param, nodes, i, above) - self.loss_at(param, nodes, i, below);
        self.weights.params[param.index()].data[i] = w;
        difference / (above - below)
    }

    fn loss_at(&mut self, param: Handle<ParamTensor>, nodes: &[Handle<Node>], i: usize, x: f64) -> f64 {
        self.weights.params[param.index()].data[i] = x;
        let point = self.weights.at(self.place.feeds);
        self.session.rerun(nodes, &point, self.place.settings, Tapes::Replay);
        self.session.objective(self.place.objective, &point)
    }
}

/// What rounding of the loss does to a quotient at most, about.
pub(super) fn noise(loss: f64) -> f64 {
    8.0 * f64::EPSILON * (1.0 + loss.abs()) / STEP
}
