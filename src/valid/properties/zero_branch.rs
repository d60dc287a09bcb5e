//! A residual branch whose last weights are zero leaves its sum as it was.
//!
//! ## What it tests
//!
//! For every sum, the branch is followed back from each summand through what maps 0 to 0 (activations with f(0) = 0, pools, dropout) to the
//! layer, norm or layer scale that it ends in. With that node's tensors set to zero the sum equals its other summands, element by element:
//! the start that zero-initialised residual branches rely on (Zhang et al. 2019; Goyal et al. 2017).
//!
//! ## Tolerance
//!
//! None: x + 0 = x.

use super::{Case, Lab, Subject};
use crate::graph::{Graph, Handle, Node, Source};
use crate::ops::{Category, Role};
use crate::tensor::Mode;

/// The node with tensors that a summand ends in, if all that follows it maps 0 to 0 and nobody else takes it.
fn end(graph: &Graph, summand: Source) -> Option<Handle<Node>> {
    let mut at = summand;
    loop {
        let Source::Node(handle) = at else { return None };
        let node = &graph.nodes[handle];
        if graph.consumers(at).count() > 1 {
            return None;
        }
        match node.op.category() {
            Category::Layer | Category::Norm => return (!node.params.is_empty()).then_some(handle),
            Category::Activation => {
                let params = graph.specs(node);
                if (node.op.curve(&params)?.value)(0.0) != 0.0 {
                    return None;
                }
            }
            Category::Pool | Category::Noise => {}
            Category::Combine if graph.slots(node).any(|(_, spec)| spec.role == Role::Scale) => {
                return Some(handle);
            }
            _ => return None,
        }
        at = *node.inputs.first()?;
    }
}

/// Sums, with one summand that ends in a node with tensors.
fn branches(graph: &Graph) -> Vec<(Handle<Node>, usize, Handle<Node>)> {
    let sums = graph.nodes.iter().filter(|(_, node)| node.op.name() == "add");
    sums.flat_map(|(sum, node)| {
        let of = move |(i, source): (usize, &Source)| Some((sum, i, end(graph, *source)?));
        node.inputs.iter().enumerate().filter_map(of).collect::<Vec<_>>()
    })
    .collect()
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    branches(subject.graph).is_empty().then(|| "no branch ends in weights before a sum".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let graph = lab.graph();
    let (mut weights, feeds) = lab.draw(case);
    let mut once: Vec<(Handle<Node>, usize)> = Vec::new();
    for (sum, i, last) in branches(graph) {
        // One summand of each sum, so that the others keep their values.
        if once.iter().all(|(known, _)| *known != sum) {
            once.push((sum, i));
            for param in &graph.nodes[last].params {
                weights.params[param.index()].data.fill(0.0);
            }
        }
    }
    let ran = lab.run(&weights, &feeds, Mode::Train, case.seed, false);
    for (sum, zeroed) in once {
        let node = &graph.nodes[sum];
        let got = &ran.values[sum.index()];
        let rest = |at: usize| -> Option<f64> {
            let others = node.inputs.iter().enumerate().filter(|(i, _)| *i != zeroed);
            let value = |source: &Source| match source {
                Source::Node(input) => ran.values[input.index()].get(at).copied(),
                Source::Feed(feed) => feeds[feed.index()].data.get(at).copied(),
            };
            let mut total = None;
            for (_, source) in others {
                let x = value(source)?;
                total = Some(total.map_or(x, |sum: f64| sum + x));
            }
            total
        };
        for (at, y) in got.iter().enumerate() {
            if let Some(x) = rest(at).filter(|x| x != y && !(x.is_nan() && y.is_nan())) {
                return Err(format!("element {at} of `{}` is {y}; without its branch it is {x}", node.path));
            }
        }
    }
    Ok(())
}
