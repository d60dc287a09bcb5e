//! Which buffer holds which value.

use crate::graph::{Handle, Node, Runnable, Source};
use crate::tensor::stream;

/// Which values survive a forward run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of them, as the reverse run and partial re-runs need.
    All,
    /// The prediction and the loss; other buffers are used again as soon as nobody needs their value.
    Result,
}

/// The assignment of values to buffers, for any batch size.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The buffer of each node's value.
    pub slot_of: Vec<usize>,
    /// The size of each buffer for one sample.
    pub slots: Vec<usize>,
    /// The random stream of each node.
    pub streams: Vec<u64>,
    /// Whether a node lies on a path to the loss (or the prediction, where there is no loss).
    pub relevant: Vec<bool>,
    /// Whether a node's value depends on trainable tensors or differentiable inputs.
    pub differentiable: Vec<bool>,
}

impl Plan {
    /// Plans a graph.
    #[must_use]
    pub fn new(graph: Runnable<'_>, keep: Keep) -> Self {
        let n = graph.nodes.len();
        let size =
            |node: Handle<Node>| graph.nodes[node].shape.as_ref().map_or(0, crate::tensor::Shape::elements);
        let prediction = graph.prediction();
        let root = graph.loss.map(Source::Node).or(prediction);
        let mut relevant = vec![false; n];
        if let Some(Source::Node(root)) = root {
            relevant[root.index()] = true;
        }
        let mut last_use = vec![0; n];
        for (handle, node) in graph.nodes.iter().rev() {
            for source in &node.inputs {
                if let Source::Node(input) = source {
                    relevant[input.index()] |= relevant[handle.index()];
                    last_use[input.index()] = last_use[input.index()].max(handle.index());
                }
            }
        }
        let mut differentiable = vec![false; n];
        for (handle, node) in graph.nodes.iter() {
            let upstream = node.inputs.iter().any(|source| match source {
                Source::Node(input) => differentiable[input.index()],
                Source::Feed(feed) => graph.feeds[*feed].differentiable(),
            });
            differentiable[handle.index()] = upstream || !node.params.is_empty();
        }
        for kept in [root, prediction].into_iter().flatten() {
            if let Source::Node(kept) = kept {
                last_use[kept.index()] = usize::MAX;
            }
        }
        let mut slot_of = vec![0; n];
        let mut slots: Vec<usize> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut holder: Vec<usize> = Vec::new();
        for handle in graph.nodes.handles() {
            let i = handle.index();
            let wanted = size(handle);
            // The smallest free buffer that is large enough, else the largest one grown, else a new one.
            let fitting =
                (0..free.len()).filter(|&f| slots[free[f]] >= wanted).min_by_key(|&f| slots[free[f]]);
            let found = fitting.or_else(|| (0..free.len()).max_by_key(|&f| slots[free[f]]));
            let slot = match found {
                Some(at) => free.swap_remove(at),
                None => {
                    slots.push(0);
                    holder.push(0);
                    slots.len() - 1
                }
            };
            slots[slot] = slots[slot].max(wanted);
            slot_of[i] = slot;
            holder[slot] = i;
            if keep == Keep::Result {
                let idle =
                    |slot: &usize| last_use[holder[*slot]] <= i && !free.contains(slot) && holder[*slot] != i;
                let freed: Vec<usize> = (0..slots.len()).filter(idle).collect();
                free.extend(freed);
            }
        }
        let streams = graph.nodes.iter().map(|(_, node)| stream(&node.path.to_string())).collect();
        Self { slot_of, slots, streams, relevant, differentiable }
    }

    /// Bytes of one plane of the values for a batch.
    #[must_use]
    pub fn bytes(&self, batch: usize) -> usize {
        self.slots
            .iter()
            .fold(0usize, |total, slot| total.saturating_add(slot.saturating_mul(batch).saturating_mul(8)))
    }
}
