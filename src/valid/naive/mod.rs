//! The forward oracle: a second interpreter of the compiled graph, straight from the definitions.
//!
//! Forward kernel, tangent and reverse rule of an operator agree with each other even where all of them compute something else than the
//! operator's page says: a softmax along the wrong axis, a mean that is a sum. Nothing that checks gradients can see that. Here every
//! operator stands once more, as its definition reads: loops over indices in double-double arithmetic, nothing fast, nothing shared
//! with `ops` but the names. An operator is known by its name, and its arguments are read from the attributes that the compiled graph
//! prints, so that the text which is reviewed is the text that is checked.
//!
//! Contract: values are those of one run, sample by sample in row-major order. What is drawn while running (the masks of dropout) is taken from
//! the run that is checked. A formula of the user's own is its own definition: such a node's kernel runs in double-double.
//!
//! Sources of the definitions: PyTorch's documentation of `torch.nn`, and what the operators' pages cite.

mod call;
mod elementwise;
mod losses;
mod mixing;
mod norms;
mod shapes;
mod windows;

use crate::exec::{Alone, Point, Settings};
use crate::graph::{Handle, Node, Runnable, Source};
use crate::ops::OpKind;
use crate::scalar::{Double, Scalar};
use crate::tensor::{Draws, Shape, stream};
use call::Call;

pub use call::argument;

/// How an operator is defined.
type Definition = fn(&Call<'_>) -> Vec<Double>;

/// Every operator that is defined here, by its name.
const DEFINITIONS: [(&str, Definition); 50] = [
    ("linear", mixing::linear),
    ("conv2d", windows::conv2d),
    ("conv_transpose2d", windows::conv_transpose2d),
    ("batch_norm", norms::batch_norm),
    ("layer_norm", norms::layer_norm),
    ("group_norm", norms::group_norm),
    ("rms_norm", norms::rms_norm),
    ("max_pool", windows::max_pool),
    ("avg_pool", windows::avg_pool),
    ("global_avg_pool", windows::global_avg_pool),
    ("upsample", windows::upsample),
    ("dropout", elementwise::dropout),
    ("alpha_dropout", elementwise::alpha_dropout),
    ("relu", elementwise::relu),
    ("relu6", elementwise::relu6),
    ("leaky_relu", elementwise::leaky_relu),
    ("prelu", elementwise::prelu),
    ("elu", elementwise::elu),
    ("selu", elementwise::selu),
    ("gelu", elementwise::gelu),
    ("silu", elementwise::silu),
    ("mish", elementwise::mish),
    ("hardswish", elementwise::hardswish),
    ("tanh", elementwise::tanh),
    ("hardtanh", elementwise::hardtanh),
    ("softsign", elementwise::softsign),
    ("sigmoid", elementwise::sigmoid),
    ("softplus", elementwise::softplus),
    ("softmax", mixing::softmax),
    ("log_softmax", mixing::log_softmax),
    ("add", elementwise::add),
    ("mul", elementwise::mul),
    ("concat", shapes::concat),
    ("embedding", shapes::embedding),
    ("class_token", shapes::class_token),
    ("position_embedding", shapes::position_embedding),
    ("layer_scale", elementwise::layer_scale),
    ("matmul", mixing::matmul),
    ("attention", mixing::attention),
    ("flatten", shapes::same),
    ("reshape", shapes::same),
    ("slice", shapes::slice),
    ("transpose", shapes::transpose),
    ("cross_entropy", losses::cross_entropy),
    ("nll", losses::nll),
    ("bce_with_logits", losses::bce_with_logits),
    ("bce", losses::bce),
    ("mse", losses::mse),
    ("mae", losses::mae),
    ("huber", losses::huber),
];

/// The values of all nodes in one run of so many samples, in double-double.
#[must_use]
pub fn values(graph: Runnable<'_>, point: &Point<'_>, batch: usize, settings: Settings) -> Vec<Vec<Double>> {
    let wide = |tensors: &[&[f64]]| -> Vec<Vec<Double>> {
        tensors.iter().map(|data| data.iter().copied().map(Double::constant).collect()).collect()
    };
    let (params, feeds) = (wide(&point.params), wide(&point.feeds));
    let mut values: Vec<Vec<Double>> = Vec::with_capacity(graph.nodes.len());
    for (handle, node) in graph.nodes.iter() {
        let input = |source: &Source| match *source {
            Source::Node(node) => &values[node.index()][..],
            Source::Feed(feed) => &feeds[feed.index()][..],
        };
        let call = Call {
            node,
            batch,
            mode: settings.mode,
            shapes: node.inputs.iter().filter_map(|source| graph.shape(*source)).map(Shape::sample).collect(),
            shape: node.shape.as_ref().map_or(&[], Shape::sample),
            inputs: node.inputs.iter().map(input).collect(),
            params: node.params.iter().map(|param| &params[param.index()][..]).collect(),
            states: node.states.iter().map(|state| point.states[state.index()]).collect(),
            mask: mask(node, batch, settings),
        };
        let definition = DEFINITIONS.iter().find(|(name, _)| *name == node.op.name());
        let value = match definition {
            Some((_, definition)) => definition(&call),
            None => kernel(graph, handle, &call, settings),
        };
        values.push(value);
    }
    values
}

/// What a dropout draws: what it multiplies with, or what it keeps.
fn mask(node: &Node, batch: usize, settings: Settings) -> Vec<f64> {
    let n = batch * node.shape.as_ref().map_or(0, Shape::elements);
    let draws = || Draws { seed: settings.seed, stream: stream(&node.path.to_string()) };
    match &node.op {
        OpKind::Dropout(dropout) => dropout.factors(n, draws()),
        OpKind::AlphaDropout(dropout) => dropout.kept(n, draws()),
        _ => Vec::new(),
    }
}

/// The operator's own kernel in double-double, where the spec's text is the definition.
fn kernel(graph: Runnable<'_>, node: Handle<Node>, call: &Call<'_>, settings: Settings) -> Vec<Double> {
    let planes = |values: &&[Double]| -> Vec<f64> {
        values.iter().map(|x| x.hi).chain(values.iter().map(|x| x.lo)).collect()
    };
    let operands: Vec<Vec<f64>> = call.inputs.iter().chain(&call.params).map(planes).collect();
    let operands: Vec<&[f64]> = operands.iter().map(Vec::as_slice).collect();
    let alone = Alone { graph, node, batch: call.batch, settings, fill: 0.0 };
    let output = alone.forward::<Double>(&operands, &call.states).output;
    let n = output.len() / 2;
    (0..n).map(|i| Double::new(output[i], output[n + i])).collect()
}

/// Whether an operator is defined here.
#[must_use]
pub fn is_defined(name: &str) -> bool {
    DEFINITIONS.iter().any(|(known, _)| *known == name)
}
