//! What a comparison with another program concludes, as a value and as findings.

use super::Precision;
use crate::diag::{Diagnostic, Rule, rules};
use crate::graph::{Graph, Handle, Node, Runnable};
use crate::ops::ModeEffect;
use crate::tensor::Mode;
use crate::text::{number, plural};
use crate::valid::gradcheck::{Map, Verdict, downstream};
use serde::Serialize;

/// The whole comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The worst verdict.
    pub verdict: Verdict,
    /// What the program computes in.
    pub precision: Precision,
    /// The step of the differences of its losses.
    pub step: f64,
    /// Random directions of each tensor.
    pub directions: usize,
    /// The points.
    pub points: Vec<PointReport>,
    /// The tensors.
    pub tensors: Vec<TensorReport>,
    /// Both gradients of failing tensors, where they were asked for.
    #[serde(skip)]
    pub maps: Vec<Map>,
}

/// One point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PointReport {
    /// `seed 0`, `seed 0 after 20 steps`.
    pub name: String,
    /// Training or use.
    pub mode: String,
    /// The program's loss.
    pub loss: f64,
    /// Ours.
    pub our_loss: f64,
    /// Whether they are the same.
    pub agrees: bool,
    /// Why not, in words.
    pub diagnosis: Option<String>,
}

/// The worst that was seen of one tensor over all points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorReport {
    /// `fc1.weight`, `grad_input/x`.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// |g - r| / (|g| + |r|) against our gradient r.
    pub error: f64,
    /// An estimate of |g - d| / (|g| + |d|) against differences d of the program's own loss, where there are any.
    pub own_error: Option<f64>,
    /// What the differences cannot resolve, on the same scale.
    pub own_bound: Option<f64>,
    /// Whether the program's own loss contradicts the gradient.
    pub wrong_by_own_loss: bool,
    /// What was done, in words.
    pub diagnosis: Option<String>,
    /// The component that differs most from ours.
    pub worst: Option<Component>,
    /// Where it was seen.
    pub point: String,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its place along each axis.
    pub index: Vec<usize>,
    /// Their gradient.
    pub theirs: f64,
    /// Ours.
    pub ours: f64,
}

impl TensorReport {
    pub(super) fn new(name: &str, point: &str, error: f64) -> Self {
        Self {
            name: name.to_owned(),
            verdict: Verdict::Invalid,
            error,
            own_error: None,
            own_bound: None,
            wrong_by_own_loss: false,
            diagnosis: None,
            worst: None,
            point: point.to_owned(),
        }
    }

    /// What is kept of several points: a fault first, one that has a name before one that has none.
    fn weight(&self) -> (bool, bool, bool, f64) {
        let bad = self.verdict.is_bad();
        (bad, bad && self.diagnosis.is_some(), self.verdict != Verdict::PassZero, self.error)
    }
}

/// A finding at the node that a parameter belongs to, or at the declaration of an input (`grad_input/x`).
pub(super) fn at(graph: &Graph, param: Option<&str>, rule: &'static Rule, message: String) -> Diagnostic {
    let owns = |path: &str| {
        let mut nodes = graph.nodes.iter().map(|(_, node)| node);
        nodes.find(|node| node.params.iter().any(|param| graph.params[*param].path == path))
    };
    match param.and_then(owns) {
        Some(node) => {
            Diagnostic::new(rule, node.span, message).node(node.path.to_string()).trail(&node.trail)
        }
        None => {
            let input = param.and_then(|name| name.strip_prefix("grad_input/"));
            let feed =
                graph.feeds.iter().map(|(_, feed)| feed).find(|feed| Some(feed.name.as_str()) == input);
            Diagnostic::new(rule, feed.map_or(graph.span, |feed| feed.span), message)
        }
    }
}

/// Says of what is right in evaluation mode and wrong in training mode that it is, where nothing else has been said: what acts in training then is
/// at fault.
pub(super) fn by_mode(
    graph: Runnable<'_>,
    points: &mut [PointReport],
    seen: &mut [(Mode, Vec<TensorReport>)],
) {
    let train = Mode::Train.to_string();
    let acts = |node: Handle<Node>| graph.nodes[node].op.effect() != ModeEffect::Same;
    let named = |nodes: &[Handle<Node>]| {
        let paths: Vec<String> = nodes
            .iter()
            .filter(|node| acts(**node))
            .map(|node| format!("`{}`", graph.nodes[*node].path))
            .collect();
        (!paths.is_empty()).then(|| {
            format!(
                "right in evaluation mode and wrong in training mode: look at {}; a mask is to be that of the request, in both passes",
                paths.join(", ")
            )
        })
    };
    let all: Vec<Handle<Node>> = graph.nodes.handles().collect();
    if points.iter().any(|point| point.mode != train && point.agrees) {
        let off = points.iter_mut().filter(|point| point.mode == train && !point.agrees);
        off.filter(|point| point.diagnosis.is_none()).for_each(|point| point.diagnosis = named(&all));
    }
    let right: Vec<String> = seen
        .iter()
        .filter(|(mode, _)| *mode == Mode::Eval)
        .flat_map(|(_, tensors)| tensors.iter().filter(|tensor| tensor.verdict == Verdict::Pass))
        .map(|tensor| tensor.name.clone())
        .collect();
    let training = seen.iter_mut().filter(|(mode, _)| *mode == Mode::Train);
    for tensor in training.flat_map(|(_, tensors)| tensors) {
        if tensor.verdict == Verdict::Fail && tensor.diagnosis.is_none() && right.contains(&tensor.name) {
            let behind = match graph.params.iter().find(|(_, param)| param.path == tensor.name) {
                Some((param, _)) => downstream(graph, param),
                None => all.clone(),
            };
            tensor.diagnosis = named(&behind).map(|why| format!("it is {why}"));
        }
    }
}

impl Report {
    pub(super) fn new(precision: Precision, directions: usize) -> Self {
        Self {
            verdict: Verdict::PassZero,
            precision,
            step: precision.step(),
            directions,
            points: Vec::new(),
            tensors: Vec::new(),
            maps: Vec::new(),
        }
    }

    pub(super) fn keep(&mut self, fresh: TensorReport) {
        match self.tensors.iter_mut().find(|tensor| tensor.name == fresh.name) {
            Some(known) if fresh.weight() > known.weight() => *known = fresh,
            Some(_) => {}
            None => self.tensors.push(fresh),
        }
    }

    /// The worst verdict; an answer with faults is no pass.
    pub(super) fn conclude(&mut self, faults: bool) {
        let worst = self.tensors.iter().map(|tensor| tensor.verdict).max().unwrap_or(Verdict::Invalid);
        let differs = self.points.iter().any(|point| !point.agrees);
        self.verdict = match (differs, faults) {
            (true, _) => Verdict::Fail,
            (false, true) => worst.max(Verdict::Invalid),
            (false, false) => worst,
        };
    }

    /// A finding for the loss, where it differs, and one for each gradient that is wrong.
    #[must_use]
    pub fn findings(&self, graph: &Graph) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let off: Vec<&PointReport> = self.points.iter().filter(|point| !point.agrees).collect();
        if let Some(point) = off.first() {
            findings.push(self.loss(graph, point, off.len()));
        }
        for tensor in self.tensors.iter().filter(|tensor| tensor.verdict == Verdict::Fail) {
            // Where the losses differ, so do the gradients; those that fit their own loss are right.
            let follows = self.points.iter().any(|point| point.name == tensor.point && !point.agrees);
            if tensor.wrong_by_own_loss || !follows {
                findings.push(self.gradient(graph, tensor, follows));
            }
        }
        findings
    }

    fn loss(&self, graph: &Graph, point: &PointReport, count: usize) -> Diagnostic {
        let PointReport { name, mode, loss, our_loss, .. } = point;
        let why = point.diagnosis.as_ref().map_or(String::new(), |why| format!(": {why}"));
        let message = format!("your loss differs from that of the spec{why}");
        let node = graph.loss.map(|loss| &graph.nodes[loss]);
        let place = node.map_or(graph.span, |node| node.span);
        let difference = loss - our_loss;
        let mut finding = Diagnostic::new(&rules::FOREIGN_LOSS, place, message)
            .note("at", format!("{name} ({mode} mode): yours {loss:.12e}, ours {our_loss:.12e}, difference {difference:.3e}"))
            .note("points", format!("differs at {count} of {}", plural(self.points.len(), "point")))
            .help("mend the forward pass first: gradients differ as long as the losses do");
        if let Some(node) = node {
            finding = finding.node(node.path.to_string());
        }
        let fits = self.tensors.iter().filter(|tensor| {
            tensor.verdict == Verdict::Fail && tensor.own_error.is_some() && !tensor.wrong_by_own_loss
        });
        let fits: Vec<&str> = fits.map(|tensor| tensor.name.as_str()).collect();
        if !fits.is_empty() {
            let text =
                format!("{} differ from ours and fit your loss: the reverse pass is right", fits.join(", "));
            finding = finding.note("gradients", text);
        }
        finding
    }

    fn gradient(&self, graph: &Graph, tensor: &TensorReport, loss_differs: bool) -> Diagnostic {
        let TensorReport { name, error, own_error, own_bound, worst, point, .. } = tensor;
        let loss = if loss_differs { "your loss differs, too, and" } else { "your loss agrees," };
        let why = tensor.diagnosis.as_ref().map_or("is wrong".to_owned(), |why| format!("is wrong: {why}"));
        let message = format!("{loss} your gradient of `{name}` {why}");
        let mut finding = at(graph, Some(name), &rules::FOREIGN_GRADIENT, message)
            .note("ours", format!("relative error {} against our gradient at {point}", number(*error)));
        if let (Some(own), Some(bound)) = (own_error, own_bound) {
            let verdict = if tensor.wrong_by_own_loss { "" } else { "; too close to decide" };
            let text = format!(
                "relative error {} against differences of your own loss, bound {}, step {:e}, {}{verdict}",
                number(*own),
                number(*bound),
                self.step,
                plural(self.directions, "direction")
            );
            finding = finding.note("yours", text);
        }
        if let Some(Component { index, theirs, ours }) = worst {
            finding = finding.note("worst", format!("{index:?}: yours {theirs:e}, ours {ours:e}"));
        }
        finding
    }
}
