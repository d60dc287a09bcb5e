//! Dropout that keeps everything does nothing.
//!
//! ## What it tests
//!
//! The model with keep probability 1 in every `dropout` and `alpha_dropout`, in training mode: the value behind each of them has the bits of the value
//! before it, and the gradient before it, where nothing else takes that value, those of the gradient behind it. A factor that is not 1 at p = 0, or an
//! offset that alpha dropout leaves, differ.
//!
//! What dropout does at its own p is tested by `dropout`.
//!
//! ## Tolerance
//!
//! None.

use super::{Case, Lab, Subject, variant};
use crate::graph::Source;
use crate::ops::{Category, ModeEffect};
use crate::tensor::Mode;

pub fn skip(subject: Subject<'_>) -> Option<String> {
    variant::keeping_all(subject.graph).is_none().then(|| "there is no dropout".to_owned())
}

pub fn test(lab: &Lab<'_>, case: Case) -> Result<(), String> {
    let Some(kept) = variant::keeping_all(lab.graph()) else { return Ok(()) };
    let (weights, feeds) = lab.draw(case);
    let Some(lab) = lab.of(&kept) else { return Ok(()) };
    let ran = lab.run(&weights, &feeds, Mode::Train, case.seed, true);
    let graph = lab.graph();
    let noise = graph.nodes.iter().filter(|(_, node)| {
        node.op.category() == Category::Noise && node.op.effect() == ModeEffect::TrainOnly
    });
    let differ = |a: &[f64], b: &[f64]| {
        let pair = a.iter().zip(b).find(|(a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()));
        pair.map(|(a, b)| format!("{a} before it and {b} behind it, keeping everything"))
    };
    for (handle, node) in noise {
        let Some(source) = node.inputs.first() else { continue };
        let before = match source {
            Source::Node(input) => &ran.values[input.index()],
            Source::Feed(feed) => &feeds[feed.index()].data,
        };
        if let Some(what) = differ(before, &ran.values[handle.index()]) {
            return Err(format!("`{}` has {what}", node.path));
        }
        let Source::Node(input) = source else { continue };
        let (a, b) = (&ran.cotangents[input.index()], &ran.cotangents[handle.index()]);
        if graph.consumers(*source).count() == 1
            && !b.is_empty()
            && let Some(what) = differ(a, b)
        {
            return Err(format!("the gradient at `{}` has {what}", node.path));
        }
    }
    Ok(())
}
