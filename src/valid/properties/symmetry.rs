//! After a step of training, no two units of a layer are the same.
//!
//! ## What it tests
//!
//! One step of the spec's optimiser on one batch; then the rows of every kernel, each with its bias, are compared. Units that start
//! equal, on both sides, get equal gradients and stay equal for ever: the layer has one unit. The units of a head have targets of their own and
//! do not count: the logits of two classes that are missing in a batch get equal gradients. Neither do rows of zeros, which a unit
//! that is off keeps behind weights that start at zero, nor do rows that overflow (`explain finite`).
//!
//! ## Tolerance
//!
//! None: equal units have equal bits, because their sums run in the same order.

use super::{Case, Lab, Subject};
use crate::exec::{Keep, Session};
use crate::ops::Role;
use crate::optim;
use crate::signal::account::heads;
use crate::valid::gradcheck::objective;
use std::collections::BTreeMap;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    let wide = |role: Role, dims: &[usize]| role == Role::Kernel && dims.first().is_some_and(|n| *n > 1);
    let any = subject.graph.params.iter().any(|(_, param)| wide(param.spec.role, &param.spec.dims));
    (!any).then(|| "no layer has two units".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let graph = lab.subject.runnable;
    let (mut weights, feeds) = lab.draw(case);
    let mut session: Session<'_, f64> = Session::new(graph, case.batch, Keep::All);
    let optimizer = graph.training.optimizer.as_ref().map_or(optim::DEFAULT, |given| given.value.clone());
    optim::train(&mut session, &objective(graph, case.seed), &optimizer, 1, case.seed, &feeds, &mut weights);
    let head = heads(&graph);
    for (_, node) in graph.nodes.iter().filter(|(handle, _)| !head[handle.index()]) {
        let of = |role: Role| node.params.iter().find(|param| graph.params[**param].spec.role == role);
        let Some(kernel) = of(Role::Kernel) else { continue };
        let tensor = weights.param(*kernel);
        let units = tensor.dims[0];
        let width = tensor.data.len() / units.max(1);
        let bias = of(Role::Bias).map(|bias| &weights.param(*bias).data).filter(|bias| bias.len() == units);
        let mut seen: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        for unit in 0..units {
            let row = &tensor.data[unit * width..(unit + 1) * width];
            if row.iter().all(|w| *w == 0.0 || !w.is_finite()) || units == 1 {
                continue;
            }
            let own = bias.map(|bias| bias[unit]);
            let key = row.iter().chain(&own).map(|w| w.to_bits()).collect();
            if let Some(other) = seen.insert(key, unit) {
                return Err(format!(
                    "units {other} and {unit} of `{}` have the same {width} weights after a step",
                    node.path
                ));
            }
        }
    }
    Ok(())
}
