//! One node as its definition sees it: names, shapes, numbers.

use crate::graph::Node;
use crate::scalar::{Double, Scalar};
use crate::tensor::Mode;
use crate::{args, ops::OpKind};

/// What a definition is given.
pub(super) struct Call<'a> {
    pub node: &'a Node,
    pub batch: usize,
    pub mode: Mode,
    /// The axes of a sample of each input.
    pub shapes: Vec<&'a [usize]>,
    /// The axes of a sample of the result.
    pub shape: &'a [usize],
    pub inputs: Vec<&'a [Double]>,
    pub params: Vec<&'a [Double]>,
    pub states: Vec<&'a [f64]>,
    /// What a dropout drew.
    pub mask: Vec<f64>,
}

impl<'a> Call<'a> {
    fn text(&self, name: &str) -> Option<String> {
        argument(self.node, name)
    }

    /// An argument that is a number.
    pub fn number(&self, name: &str) -> f64 {
        self.given(name)
            .unwrap_or_else(|| panic!("internal: `{}` has no number `{name}`", self.node.op.name()))
    }

    /// An argument that may be absent.
    pub fn given(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }

    /// An argument that is a word or a flag.
    pub fn is(&self, name: &str, word: &str) -> bool {
        self.text(name).is_some_and(|text| text == word)
    }

    /// The numbers of an argument that is a list, or one number.
    pub fn list(&self, name: &str) -> Vec<i64> {
        let text = self.text(name).unwrap_or_default();
        text.trim_matches(['[', ']']).split(',').filter_map(|part| part.trim().parse().ok()).collect()
    }

    /// An argument that is one size, or one for each axis of a map; `None` if it is a word.
    pub fn pair(&self, name: &str) -> Option<[usize; 2]> {
        let sizes: Vec<usize> = self.list(name).into_iter().filter_map(|x| usize::try_from(x).ok()).collect();
        match sizes[..] {
            [both] => Some([both, both]),
            [height, width] => Some([height, width]),
            _ => None,
        }
    }

    /// The first input.
    pub fn x(&self) -> &'a [Double] {
        self.inputs[0]
    }
}

/// The text of an argument of an operator, given or by default, as the compiled graph writes it.
#[must_use]
pub fn argument(node: &Node, name: &str) -> Option<String> {
    let given = node.op.attributes().into_iter().find(|(known, _)| *known == name).map(|(_, text)| text);
    given.or_else(|| {
        let callable = OpKind::find(node.op.name())?;
        let param = callable.signature.iter().find(|param| param.name == name)?;
        match param.default {
            args::Default::Is(text) => Some(text.to_owned()),
            _ => None,
        }
    })
}

/// An axis that counts the batch as axis 0, or from the end, as an index into the axes of a sample.
pub(super) fn place_of(axis: i64, sample: &[usize]) -> usize {
    let rank = i64::try_from(sample.len()).unwrap_or(i64::MAX) + 1;
    let axis = if axis < 0 { axis + rank } else { axis };
    usize::try_from(axis - 1).unwrap_or_else(|_| unreachable!("internal: axes were checked"))
}

/// A constant.
pub(super) fn real(x: f64) -> Double {
    Double::constant(x)
}

/// A count.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(super) fn count(n: usize) -> Double {
    real(n as f64)
}

/// The sum of some numbers.
pub(super) fn sum(of: impl IntoIterator<Item = Double>) -> Double {
    of.into_iter().fold(real(0.0), |sum, x| sum + x)
}

/// The mean of some numbers.
pub(super) fn mean(of: &[Double]) -> Double {
    sum(of.iter().copied()) / count(of.len())
}

/// The larger one.
pub(super) fn larger(a: Double, b: Double) -> Double {
    if b.primal() > a.primal() { b } else { a }
}

/// The index of an element in row-major order.
pub(super) fn at(sizes: &[usize], index: &[usize]) -> usize {
    sizes.iter().zip(index).fold(0, |at, (size, i)| at * size + i)
}

/// All indices of a tensor in row-major order.
pub(super) fn indices(sizes: &[usize]) -> Vec<Vec<usize>> {
    sizes.iter().fold(vec![Vec::new()], |all, size| {
        let longer = |index: &Vec<usize>| {
            let index = index.clone();
            (0..*size).map(move |i| [&index[..], &[i]].concat())
        };
        all.iter().flat_map(longer).collect()
    })
}

/// The sizes with the batch in front.
pub(super) fn batched(batch: usize, sample: &[usize]) -> Vec<usize> {
    [&[batch], sample].concat()
}
