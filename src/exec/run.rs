//! One run of a model on given weights and rows: loss, output, gradients.
//!
//! Contract: nothing is changed: running statistics are read in use and left alone in training. The output is what the loss
//! reads first, else the net's last value. The loss includes its penalties where the settings say so, and so do the
//! gradients. Without every target there is neither loss nor gradient.

use super::{Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use crate::graph::{Handle, Node, Runnable, Source};
use crate::tensor::{Shape, Tensor};

/// Rows for every input and target of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Feeds {
    /// By the index of the feed's handle; axis 0 counts the rows. Targets that were not given are zero.
    pub tensors: Vec<Tensor>,
    /// How many rows there are.
    pub rows: usize,
    /// Whether every target was given.
    pub complete: bool,
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// The mean of the loss over the rows, with penalties where they were asked for.
    pub loss: Option<f64>,
    /// What the loss reads first, else the net's last value.
    pub output: Tensor,
    /// The same in the units of the file, where the spec says that it is unscaled and the statistics are at hand.
    pub prediction: Option<Tensor>,
    /// Derivatives of the loss by trainable tensors, by path; empty if they were not asked for.
    pub params: Vec<(String, Tensor)>,
    /// Derivatives of the loss by inputs that hold no whole numbers, by name; empty if they were not asked for.
    pub inputs: Vec<(String, Tensor)>,
}

/// Runs a graph once.
#[must_use]
pub fn run(
    graph: Runnable<'_>,
    weights: &Weights,
    feeds: &Feeds,
    settings: Settings,
    gradients: bool,
) -> Outputs {
    let Feeds { tensors, rows, complete } = feeds;
    let with_loss = *complete && graph.loss.is_some();
    let reverse = gradients && with_loss;
    let keep = if reverse { Keep::All } else { Keep::Result };
    let mut session: Session<'_, f64> = Session::new(graph, *rows, keep);
    let point = weights.at(tensors);
    if with_loss {
        session.forward(&point, settings, Tapes::Live);
    } else {
        let layers: Vec<Handle<Node>> = graph.layers().map(|(handle, _)| handle).collect();
        session.rerun(&layers, &point, settings, Tapes::Live);
    }
    let Some(prediction) = graph.prediction() else {
        unreachable!("internal: a runnable graph has an output")
    };
    let dims = graph.shape(prediction).map_or_else(Vec::new, |shape| shape.with_batch(*rows));
    let data = match prediction {
        Source::Feed(feed) => tensors[feed.index()].data.clone(),
        Source::Node(node) => session.value(node).plane(0).to_vec(),
    };
    let mut outputs = Outputs {
        loss: with_loss.then(|| session.loss(&Objective::Loss, &point, settings)),
        output: Tensor::new(dims, data),
        prediction: None,
        params: Vec::new(),
        inputs: Vec::new(),
    };
    if reverse {
        let mut found = Gradients::zeros::<f64>(&graph, *rows);
        session.backward(&Objective::Loss, &point, settings, &Registry, &mut found);
        let params = graph.params.iter().zip(found.params);
        outputs.params = params
            .map(|((_, param), data)| (param.path.clone(), Tensor::new(param.spec.dims.clone(), data)))
            .collect();
        let inputs = graph.feeds.iter().zip(found.feeds).filter(|((_, feed), _)| feed.differentiable());
        outputs.inputs = inputs
            .map(|((_, feed), data)| {
                let dims = feed.shape.as_ref().unwrap_or(&Shape::default()).with_batch(*rows);
                (feed.name.clone(), Tensor::new(dims, data))
            })
            .collect();
    }
    outputs
}
