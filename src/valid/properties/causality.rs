//! With causal attention no position depends on later ones, and no gradient on the losses of earlier ones.
//!
//! ## What it tests
//!
//! Where causal attention comes from inputs `[B,T]` or `[B,T,D]` by operators that look at one position at a time:
//!
//! - inputs behind a position t get other values: every value up to t stays what it was, in evaluation mode, so that its derivative by later
//!   inputs is exactly 0;
//! - where the target has a value for each position, those up to t get other values: the derivatives of the loss by values behind t stay what they
//!   were, in evaluation mode, since position s is seen by the losses from s on alone.
//!
//! t changes with the seed. A mask that lets one key too many through, or a reverse rule that forgets it, break it.
//!
//! ## Tolerance
//!
//! None: what is masked has the weight 0 exactly, and adding a zero changes no number.

use super::{Case, Lab, Ran, Subject, positions};
use crate::graph::{Graph, Node, Source};
use crate::ops::OpKind;
use crate::tensor::{Mode, Tensor};

fn causal(node: &Node) -> bool {
    matches!(&node.op, OpKind::Attention(attention) if attention.is_causal())
}

/// By node: whether position t comes from positions up to t alone.
fn looks_back(graph: &Graph) -> Vec<bool> {
    positions::aligned(graph, |node| causal(node) || node.op.name() == "position_embedding")
}

/// The number of positions of the causal attention that is tested.
fn length(graph: &Graph) -> Option<usize> {
    let back = looks_back(graph);
    let (_, node) = graph.nodes.iter().find(|(handle, node)| back[handle.index()] && causal(node))?;
    positions::length(node.shape.as_ref())
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    if subject.graph.nodes.iter().all(|(_, node)| !causal(node)) {
        return Some("there is no causal attention".to_owned());
    }
    if subject.samples.rows() < 2 {
        return Some("there is one row only".to_owned());
    }
    length(subject.graph)
        .is_none()
        .then(|| "behind the inputs, other operators mix the positions of every causal attention".to_owned())
}

/// Takes the positions of the other values that `taken` names.
fn mixed(feed: &Tensor, other: &Tensor, length: usize, taken: impl Fn(usize) -> bool) -> Tensor {
    let mut data = feed.data.clone();
    let width = (data.len() / (feed.dims[0] * length).max(1)).max(1);
    for (i, x) in data.iter_mut().enumerate() {
        if taken(i / width % length) {
            *x = other.data[i % other.data.len()];
        }
    }
    Tensor::new(feed.dims.clone(), data)
}

/// The first place among the positions that `compared` names at which two sets of values differ.
fn differ(a: &[f64], b: &[f64], width: usize, compared: impl Fn(usize) -> bool) -> Option<usize> {
    // A NaN is the business of the law `finite`.
    (0..a.len()).find(|&i| compared(i / width) && a[i] != b[i] && !a[i].is_nan() && !b[i].is_nan())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let graph = lab.graph();
    let (Some(length), back) = (length(graph), looks_back(graph)) else { return Ok(()) };
    let cut = usize::try_from(case.seed).unwrap_or(0) % (length - 1);
    let (weights, feeds) = lab.draw(case);
    let others = lab.rows(Case { seed: case.seed.wrapping_add(case.batch as u64), ..case });
    let base = lab.base(case, Mode::Eval);
    let with = |target: bool, taken: &dyn Fn(usize) -> bool| -> Vec<Tensor> {
        let one = |((feed, other), declared): ((&Tensor, &Tensor), &crate::graph::Feed)| {
            let fits = declared.target == target && feed.dims.get(1) == Some(&length);
            if fits { mixed(feed, other, length, taken) } else { feed.clone() }
        };
        let declared = graph.feeds.iter().map(|(_, declared)| declared);
        feeds.iter().zip(&others).zip(declared).map(one).collect()
    };
    let seen =
        |what: &str, of: &dyn Fn(&Ran) -> &Vec<Vec<f64>>, ran: &Ran, compared: &dyn Fn(usize) -> bool| {
            for (handle, node) in graph.nodes.iter().filter(|(handle, _)| back[handle.index()]) {
                let (a, b) = (&of(&base)[handle.index()], &of(ran)[handle.index()]);
                let here = positions::length(node.shape.as_ref()) == Some(length);
                let width = (a.len() / (case.batch * length)).max(1);
                if !here || a.len() != b.len() {
                    continue;
                }
                if let Some(i) = differ(a, b, width, |at| compared(at % length)) {
                    let (t, path) = (i / width % length, &node.path);
                    return Err(format!("{what} `{path}` at position {t} is {}, and {} when", a[i], b[i]));
                }
            }
            Ok(())
        };
    let (later, earlier) = (|t: usize| t > cut, |t: usize| t <= cut);
    let ran = lab.run(&weights, &with(false, &later), Mode::Eval, case.seed, false);
    seen("an element of", &|ran| &ran.values, &ran, &earlier)
        .map_err(|what| format!("{what} inputs behind position {cut} change"))?;
    if !answers_by_position(graph, &back, length) {
        return Ok(());
    }
    let ran = lab.run(&weights, &with(true, &earlier), Mode::Eval, case.seed, true);
    seen("the gradient at", &|ran| &ran.cotangents, &ran, &later)
        .map_err(|what| format!("{what} targets up to position {cut} change"))
}

/// Whether the loss compares position by position what looks back with a target.
fn answers_by_position(graph: &Graph, back: &[bool], length: usize) -> bool {
    let Some(loss) = graph.loss else { return false };
    match graph.nodes[loss].inputs[..] {
        [Source::Node(answer), target] => {
            let target = graph.shape(target).is_some_and(|shape| shape.sample().first() == Some(&length));
            back[answer.index()]
                && target
                && positions::length(graph.nodes[answer].shape.as_ref()) == Some(length)
        }
        _ => false,
    }
}
