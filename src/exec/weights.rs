//! The tensors of a model and how they are drawn.

use super::Point;
use crate::graph::{Graph, Handle, ParamTensor};
use crate::tensor::{Draws, Tensor, stream};

/// Trainable tensors and running statistics, by the index of their handles.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Trainable tensors.
    pub params: Vec<Tensor>,
    /// Running statistics.
    pub states: Vec<Tensor>,
}

impl Weights {
    /// Draws every tensor from its own stream, which depends on the seed and the tensor's path alone: the draw of one layer does
    /// not move another's. A tensor without an initialiser is zero.
    #[must_use]
    pub fn draw(graph: &Graph, seed: u64) -> Self {
        let params = graph.params.iter().map(|(_, param)| Self::draw_one(param, seed)).collect();
        let states = graph
            .states
            .iter()
            .map(|(_, state)| Tensor::full(state.spec.dims.clone(), state.spec.initial))
            .collect();
        Self { params, states }
    }

    fn draw_one(param: &ParamTensor, seed: u64) -> Tensor {
        let ParamTensor { path, spec } = param;
        let draws = Draws { seed, stream: stream(path) };
        match &spec.init {
            Some(init) => Tensor::new(spec.dims.clone(), init.value.sample(spec.target(), draws)),
            None => Tensor::zeros(spec.dims.clone()),
        }
    }

    /// The tensor of a handle.
    #[must_use]
    pub fn param(&self, handle: Handle<ParamTensor>) -> &Tensor {
        &self.params[handle.index()]
    }

    /// The weights and the feeds of a batch as a point.
    #[must_use]
    pub fn at<'a>(&'a self, feeds: &'a [Tensor]) -> Point<'a> {
        Point {
            params: self.params.iter().map(|tensor| &*tensor.data).collect(),
            states: self.states.iter().map(|tensor| &*tensor.data).collect(),
            feeds: feeds.iter().map(|tensor| &*tensor.data).collect(),
        }
    }
}
