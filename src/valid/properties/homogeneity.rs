//! A net of ReLUs without biases scales with its input and with its weights.
//!
//! ## What it tests
//!
//! Where prediction and inputs are connected by layers with zero biases, ReLUs (leaky and parametric ones), pools, sums and layouts alone:
//! f(2 x) = 2 f(x) in evaluation mode, and f(x; 2 W) = 2^k f(x; W) where every way from an input passes k layers. A bias that is not what
//! the spec says, or a clip where a ReLU stands, differ. Biases that start at zero count as none.
//!
//! ## Tolerance
//!
//! None: multiplying by 2 is exact, so every sum and product scales exactly, but for numbers below 2^-900.

use super::{Case, Lab, Subject};
use crate::graph::{Graph, Source};
use crate::inits::Init;
use crate::ops::{Category, Role};
use crate::tensor::Mode;

/// How many layers lie between inputs and the prediction, if every way has the same number; `None` if the net does not scale.
fn depth(graph: &Graph) -> Option<Option<i32>> {
    let Some(Source::Node(output)) = graph.prediction() else { return None };
    // By node: whether it scales, and its depth if that is one number.
    let mut found: Vec<Option<Option<i32>>> = Vec::with_capacity(graph.nodes.len());
    let mut bent = false;
    for (_, node) in graph.nodes.iter() {
        let inputs: Vec<Option<Option<i32>>> = node
            .inputs
            .iter()
            .map(|source| match source {
                Source::Feed(_) => Some(Some(0)),
                Source::Node(input) => found[input.index()],
            })
            .collect();
        let scales = inputs.iter().all(Option::is_some)
            && match node.op.category() {
                Category::Layer => graph.slots(node).all(|(_, spec)| {
                    spec.role == Role::Kernel
                        || spec.init.as_ref().is_some_and(|init| matches!(init.value, Init::Zeros(_)))
                }),
                Category::Activation => {
                    bent = true;
                    ["relu", "leaky_relu"].contains(&node.op.name())
                }
                Category::Pool | Category::Layout | Category::Noise => true,
                Category::Combine => ["add", "concat"].contains(&node.op.name()),
                _ => false,
            };
        let first = inputs.first().copied().flatten().flatten();
        let uniform = inputs.iter().all(|depth| depth.flatten() == first);
        let deeper = i32::from(node.op.category() == Category::Layer);
        found.push(scales.then(|| first.filter(|_| uniform).map(|depth| depth + deeper)));
    }
    found[output.index()].filter(|_| bent)
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    if subject.graph.nodes.iter().any(|(_, node)| node.op.vocabulary().is_some()) {
        return Some("tokens have no scale".to_owned());
    }
    depth(subject.graph).is_none().then(|| "the net is not one of ReLUs without biases".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let (Some(depth), Some(output)) = (depth(lab.graph()), lab.output()) else { return Ok(()) };
    let (weights, feeds) = lab.draw(case);
    let base = lab.base(case, Mode::Eval);
    let path = &lab.graph().nodes[output].path;
    let compare = |values: &[f64], factor: f64, of: &str| {
        let differs = |(x, y): &(&f64, &f64)| {
            (**x * factor) != **y && x.abs() > 2f64.powi(-900) && (**x * factor).is_finite()
        };
        match base.values[output.index()].iter().zip(values).find(differs) {
            Some((x, y)) => {
                Err(format!("`{path}` is {x}, and {y} with {of} doubled; {} is expected", x * factor))
            }
            None => Ok(()),
        }
    };
    let mut doubled = feeds.clone();
    for (feed, (_, declared)) in doubled.iter_mut().zip(lab.graph().feeds.iter()) {
        if !declared.target {
            feed.data.iter_mut().for_each(|x| *x *= 2.0);
        }
    }
    let ran = lab.run(&weights, &doubled, Mode::Eval, case.seed, false);
    compare(&ran.values[output.index()], 2.0, "all inputs")?;
    let Some(depth) = depth else { return Ok(()) };
    let mut heavier = weights.clone();
    for (handle, param) in lab.graph().params.iter() {
        if param.spec.role == Role::Kernel {
            heavier.params[handle.index()].data.iter_mut().for_each(|w| *w *= 2.0);
        }
    }
    let ran = lab.run(&heavier, &feeds, Mode::Eval, case.seed, false);
    compare(&ran.values[output.index()], 2f64.powi(depth), "all weights")
}
