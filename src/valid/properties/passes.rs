//! What is run is what was written: rewriting the graph changes no bit of prediction, loss and gradients.
//!
//! ## What it tests
//!
//! The graph of the spec against the graph behind all rewrites (`wellposed explain passes`), in training and in evaluation mode: the
//! prediction, the loss and the gradient of every tensor.
//!
//! ## Tolerance
//!
//! None: a rewrite removes what does nothing, and what is left runs in the same order.

use super::{Case, Lab, Subject};
use crate::exec::{Gradients, Keep, Registry, Session, Settings, Tapes};
use crate::graph::{Runnable, Source};
use crate::passes;
use crate::tensor::Mode;
use crate::valid::gradcheck::objective;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    let same = [Mode::Train, Mode::Eval]
        .iter()
        .all(|mode| passes::run(subject.graph.clone(), *mode).nodes.len() == subject.graph.nodes.len());
    same.then(|| "no rewrite applies".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let (weights, feeds) = lab.draw(case);
    for mode in [Mode::Train, Mode::Eval] {
        let before = lab.base(case, mode);
        let rewritten = passes::run(lab.subject.graph.clone(), mode);
        let Some(graph) = Runnable::new(&rewritten) else {
            return Err(format!("the rewritten graph cannot be run ({mode} mode)"));
        };
        let settings = Settings { mode, seed: case.seed, penalties: false };
        let mut session: Session<'_, f64> = Session::new(graph, case.batch, Keep::All);
        let mut gradients = Gradients::zeros::<f64>(&graph, case.batch);
        let objective = objective(graph, case.seed);
        let point = weights.at(&feeds);
        session.forward(&point, settings, Tapes::Live);
        session.backward(&objective, &point, settings, &Registry, &mut gradients);
        let differ = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).find(|(a, b)| a.to_bits() != b.to_bits()).map(|(a, b)| format!("{a}, and {b}"))
        };
        if let (Some(old), Some(Source::Node(new))) = (lab.output(), graph.prediction()) {
            if let Some(what) = differ(&before.values[old.index()], session.value(new).plane(0)) {
                return Err(format!("the prediction is {what} behind the rewrites ({mode} mode)"));
            }
        }
        if let Some(what) = differ(&[before.loss], &[session.loss(&objective, &point, settings)]) {
            return Err(format!("the loss is {what} behind the rewrites ({mode} mode)"));
        }
        for (handle, param) in graph.params.iter() {
            if let Some(what) = differ(&before.gradients[handle.index()], &gradients.params[handle.index()]) {
                let path = &param.path;
                return Err(format!(
                    "the gradient of `{path}` holds {what} behind the rewrites ({mode} mode)"
                ));
            }
        }
    }
    Ok(())
}
