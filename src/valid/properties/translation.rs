//! A convolution stack moves its maps with its input.
//!
//! ## What it tests
//!
//! Where maps come from an input by convolutions, pools, elementwise functions, batch norms in use, sums, products and joined channels alone:
//! the input is moved on along rows and columns at once, by the stride S of the deepest map that has two places away from the border (the product
//! of the strides before it); what leaves at one end enters at the other. In evaluation mode, every place of a map whose stride divides S then is
//! what the place S further back was.
//!
//! A place is away from the border if every tap of its window meets the map before, at places away from the border themselves. That is
//! the exact receptive field: place p meets the r = 1 + sum (k - 1) d S' elements of the input from p S - sum pad S' on, over the windows of k taps
//! at distance d on maps of stride S' (Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks"), and it is away
//! from the border where none of these is padding. Along an axis with fewer than two such places nothing is moved. Behind layouts, transposed
//! convolutions and upsampling nothing is compared.
//!
//! A kernel that is read in another order at some places, a stride or a dilation of the wrong axis, or padding that reaches too far break it.
//!
//! ## Tolerance
//!
//! None: the same terms are summed in the same order.

use super::{Case, Lab, Subject};
use crate::graph::{FeedKind, Graph, Handle, Node, Source};
use crate::ops::{Category, Taps};
use crate::tensor::{Mode, Shape, Tensor};

/// The places of a map along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    /// How far apart two neighbours lie in the input.
    stride: usize,
    /// Which of them meet no border.
    inner: Vec<bool>,
}

impl Places {
    fn of_input(length: usize) -> Self {
        Self { stride: 1, inner: vec![true; length] }
    }

    /// Behind a window; `None` if no two places meet all taps, so that the stride is nowhere to be seen.
    fn behind(&self, taps: &Taps) -> Option<Self> {
        let full: Vec<bool> = taps.met.iter().map(|met| met.len() == taps.kernel).collect();
        let at = full.windows(2).position(|pair| pair[0] && pair[1])?;
        let step = taps.met[at + 1][0] - taps.met[at][0];
        let inner = taps.met.iter().zip(full).map(|(met, full)| full && met.iter().all(|i| self.inner[*i]));
        Some(Self { stride: self.stride * step, inner: inner.collect() })
    }

    /// Of values that are joined place by place; `None` if they lie differently.
    fn joined(&self, other: &Self) -> Option<Self> {
        let same = self.stride == other.stride && self.inner.len() == other.inner.len();
        let inner = || self.inner.iter().zip(&other.inner).map(|(a, b)| *a && *b).collect();
        same.then(|| Self { stride: self.stride, inner: inner() })
    }

    /// Whether two places that lie so far apart meet no border.
    fn pair(&self, apart: usize) -> bool {
        self.inner.iter().zip(self.inner.iter().skip(apart)).any(|(a, b)| *a && *b)
    }
}

/// A map that moves with the input.
#[derive(Clone, Debug)]
struct Map {
    axes: [Places; 2],
    /// Whether a window lies before it.
    window: bool,
}

/// By node: the map, where there is one.
fn maps(graph: &Graph) -> Vec<Option<Map>> {
    let mut found: Vec<Option<Map>> = Vec::with_capacity(graph.nodes.len());
    for (_, node) in graph.nodes.iter() {
        let inputs: Option<Vec<Map>> = node
            .inputs
            .iter()
            .map(|source| match source {
                Source::Feed(feed) => {
                    let feed = &graph.feeds[*feed];
                    let dense = matches!(feed.kind, FeedKind::Real | FeedKind::Unit | FeedKind::Byte);
                    let [_, height, width] = *feed.shape.as_ref()?.sample() else { return None };
                    (dense && !feed.target)
                        .then(|| Map { axes: [height, width].map(Places::of_input), window: false })
                }
                Source::Node(input) => found[input.index()].clone(),
            })
            .collect();
        found.push(inputs.and_then(|inputs| behind(graph, node, &inputs)));
    }
    found
}

/// What a node makes of maps; `None` where it does not treat all places alike.
fn behind(graph: &Graph, node: &Node, inputs: &[Map]) -> Option<Map> {
    let first = inputs.first()?;
    let shape = graph.shape(*node.inputs.first()?)?;
    if let Some([rows, columns]) = node.op.taps(shape) {
        let axes = [first.axes[0].behind(&rows)?, first.axes[1].behind(&columns)?];
        return Some(Map { axes, window: true });
    }
    let maps = node.shape.as_ref().map(Shape::sample).is_some_and(|sample| match *sample {
        [_, height, width] => first.axes[0].inner.len() == height && first.axes[1].inner.len() == width,
        _ => false,
    });
    let alike = match node.op.category() {
        Category::Activation | Category::Noise => true,
        Category::Norm => node.op.name() == "batch_norm",
        Category::Combine => ["add", "mul", "concat"].contains(&node.op.name()),
        _ => false,
    };
    if !maps || !alike {
        return None;
    }
    inputs[1..].iter().try_fold(first.clone(), |all, next| {
        let axis = |i: usize| all.axes[i].joined(&next.axes[i]);
        Some(Map { axes: [axis(0)?, axis(1)?], window: all.window || next.window })
    })
}

/// How far the input is moved along each axis.
fn shift(maps: &[Option<Map>]) -> [usize; 2] {
    let along = |axis: usize| {
        let deep = maps.iter().flatten().filter(|map| map.window && map.axes[axis].pair(1));
        deep.map(|map| map.axes[axis].stride).max().unwrap_or(0)
    };
    [along(0), along(1)]
}

/// A map that can be compared.
struct Compared {
    node: Handle<Node>,
    map: Map,
    /// How far its places move.
    apart: [usize; 2],
}

/// The maps that can be compared when the input is moved by so much.
fn compared(graph: &Graph, shift: [usize; 2], maps: Vec<Option<Map>>) -> impl Iterator<Item = Compared> {
    let along = move |map: &Map, axis: usize| {
        let Places { stride, .. } = &map.axes[axis];
        let whole = shift[axis].is_multiple_of(*stride);
        Some(shift[axis] / stride).filter(|apart| whole && (*apart == 0 || map.axes[axis].pair(*apart)))
    };
    graph.nodes.handles().zip(maps).filter_map(move |(node, map)| {
        let map = map.filter(|map| map.window)?;
        let apart = [along(&map, 0)?, along(&map, 1)?];
        Some(Compared { node, map, apart })
    })
}

pub fn skip(subject: Subject<'_>) -> Option<String> {
    let maps = maps(subject.graph);
    if maps.iter().flatten().all(|map| !map.window) {
        return Some("no convolution or pool meets an input".to_owned());
    }
    (shift(&maps) == [0, 0]).then(|| "no map has two places away from the border".to_owned())
}

/// Moves maps on, around the end.
fn moved(feed: &Tensor, shift: [usize; 2]) -> Tensor {
    let [.., height, width] = feed.dims[..] else { return feed.clone() };
    let mut data = feed.data.clone();
    for (from, to) in feed.data.chunks(height * width).zip(data.chunks_mut(height * width)) {
        for (i, x) in from.iter().enumerate() {
            let (row, column) = ((i / width + shift[0]) % height, (i % width + shift[1]) % width);
            to[row * width + column] = *x;
        }
    }
    Tensor::new(feed.dims.clone(), data)
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let graph = lab.graph();
    let maps = maps(graph);
    let shift = shift(&maps);
    let (weights, mut feeds) = lab.draw(case);
    for (feed, (_, declared)) in feeds.iter_mut().zip(graph.feeds.iter()) {
        if !declared.target && declared.shape.as_ref().is_some_and(|shape| shape.sample().len() == 3) {
            *feed = moved(feed, shift);
        }
    }
    let before = lab.base(case, Mode::Eval);
    let after = lab.run(&weights, &feeds, Mode::Eval, case.seed, false);
    for Compared { node, map, apart: [down, along] } in compared(graph, shift, maps) {
        let (a, b) = (&before.values[node.index()], &after.values[node.index()]);
        let [height, width] = [0, 1].map(|axis| map.axes[axis].inner.len());
        // Along an axis without a move the border stays where it is.
        let both = |places: &Places, at: usize, apart: usize| {
            apart == 0 || (places.inner[at] && places.inner[at + apart])
        };
        for channel in 0..a.len() / (height * width) {
            for row in (0..height - down).filter(|row| both(&map.axes[0], *row, down)) {
                for column in (0..width - along).filter(|column| both(&map.axes[1], *column, along)) {
                    let at = |row: usize, column: usize| (channel * height + row) * width + column;
                    let (x, y) = (a[at(row, column)], b[at(row + down, column + along)]);
                    if x.to_bits() != y.to_bits() && !(x.is_nan() && y.is_nan()) {
                        return Err(format!(
                            "`{}` is {x} at row {row}, column {column} of a map, and {y} at row {}, column {} when the input is moved by {} \
                             x {}",
                            graph.nodes[node].path,
                            row + down,
                            column + along,
                            shift[0],
                            shift[1]
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Places;
    use crate::ops::Taps;

    /// A window by its definition: the elements that taps meet on a padded map.
    fn taps(input: usize, [kernel, stride, dilation, pad]: [usize; 4]) -> Taps {
        let span = (kernel - 1) * dilation + 1;
        let positions = (input + 2 * pad - span) / stride + 1;
        let met = |position: usize| {
            let places = (0..kernel).map(|tap| position * stride + tap * dilation);
            places.filter(|at| (pad..input + pad).contains(at)).map(|at| at - pad).collect()
        };
        Taps { input, kernel, met: (0..positions).map(met).collect() }
    }

    /// The closed formulas for start, length and stride of receptive fields agree with what the recursion over windows says, for stacks
    /// of kernels, strides, dilations and paddings.
    #[test]
    fn inner_places_are_those_whose_receptive_field_holds_no_padding() {
        let stacks: [&[[usize; 4]]; 6] = [
            &[[3, 1, 1, 1]],
            &[[3, 1, 1, 1], [2, 2, 1, 0], [3, 1, 1, 1]],
            &[[7, 2, 1, 3], [3, 2, 1, 1], [3, 1, 1, 1]],
            &[[3, 1, 2, 2], [3, 1, 4, 4]],
            &[[5, 3, 1, 2], [2, 1, 3, 0]],
            &[[1, 2, 1, 0], [3, 1, 1, 1]],
        ];
        for (stack, input) in stacks.iter().flat_map(|stack| [(stack, 29), (stack, 40)]) {
            let mut places = Places::of_input(input);
            let (mut length, mut stride, mut field, mut before) = (input, 1, 1, 0);
            for window in *stack {
                let [kernel, step, dilation, pad] = *window;
                places = places.behind(&taps(length, *window)).expect("the maps are large");
                field += (kernel - 1) * dilation * stride;
                before += pad * stride;
                stride *= step;
                length = places.inner.len();
            }
            assert_eq!(places.stride, stride, "{stack:?}");
            for (p, inner) in places.inner.iter().enumerate() {
                let start = p * stride;
                let wanted = start >= before && start + field <= input + before;
                assert_eq!(*inner, wanted, "{stack:?} on {input}: place {p}");
            }
            assert!(places.inner.contains(&true), "{stack:?}");
        }
    }
}
