//! Raw rows of a tensor file to what the net sees: the stored transforms, applied as they are to the rows of the data set.

use super::files::{Elements, Stored, read, write};
use crate::data::{Content, Pipeline, Split, Statistics, Transform};
use crate::diag::{Diagnostic, Diagnostics, Place, rules};
use crate::graph::{Graph, Prediction};
use crate::tensor::{Shape, Tensor};

/// Applies a chain to one row, in place.
type Apply<'a> = Box<dyn Fn(&mut Vec<f64>) + 'a>;

/// Undoes a chain on one row, in place; `false` if that cannot be done.
type Undo<'a> = Box<dyn Fn(&mut [f64]) -> bool + 'a>;

/// What the net answers in the units of the file: `predict unscale(out, y)` undoes the chain that the target of training passed. `None` if the spec
/// does not say so.
///
/// # Errors
/// If statistics are missing.
pub fn prediction(
    graph: &Graph,
    statistics: &Statistics,
    output: &Tensor,
) -> Result<Option<Tensor>, Diagnostics> {
    let Some(Prediction { output: value, undone: Some((target, _)), span }) = graph.training.predict else {
        return Ok(None);
    };
    if graph.prediction() != Some(value) {
        return Ok(None);
    }
    let target = &graph.feeds[target];
    let shape = target.shape.clone().unwrap_or_default();
    let undo: Undo<'_> = match graph.group(target) {
        Some(group) => {
            let pipeline = Pipeline::stored(group, Split::Train, statistics).map_err(|message| {
                let fault = Diagnostic::new(&rules::UNFIT_TENSOR_FILE, span, message);
                Diagnostics::from_iter([fault.help("write the statistics with `wellposed stats fit`")])
            })?;
            Box::new(move |row| pipeline.invert(row))
        }
        None => {
            Box::new(|row| target.chain.iter().rev().all(|step| step.transform.invert(&shape, None, row)))
        }
    };
    let mut prediction = output.clone();
    let width = target.shape.as_ref().map_or(1, Shape::elements).max(1);
    let undone = prediction.data.chunks_mut(width).all(undo);
    Ok(undone.then_some(prediction))
}

/// Applies the chain of every column group, and the given constants of every declared input, to the rows of a file. Rows are those of
/// serving, so that the chain is the one of the test split; class labels pass unchanged.
///
/// # Errors
/// If the file is no tensor file, a row has another width than its columns, or statistics are missing.
pub fn transform(
    graph: &Graph,
    statistics: &Statistics,
    shown: &str,
    bytes: &[u8],
) -> Result<Vec<u8>, Diagnostics> {
    let mut tensors = read(shown, bytes)?;
    let mut out = Diagnostics::default();
    let finding =
        |message: String| Diagnostic::at(&rules::UNFIT_TENSOR_FILE, Place::File(shown.to_owned()), message);
    for (_, feed) in graph.feeds.iter() {
        let Some(Stored { dims, elements: Elements::Real(data) }) = tensors.get(&feed.name) else { continue };
        let rows = dims.first().copied().unwrap_or(0);
        let given = data.len() / rows.max(1);
        let shape = feed.shape.clone().unwrap_or_default();
        let (wanted, apply): (usize, Apply<'_>) = match graph.group(feed) {
            Some(group) if matches!(group.content, Content::Class(..)) => continue,
            Some(group) => match Pipeline::stored(group, Split::Test, statistics) {
                Ok(pipeline) => (group.columns.len(), Box::new(move |row| pipeline.apply(row))),
                Err(message) => {
                    out.push(finding(message).help("write the statistics with `wellposed stats fit`"));
                    continue;
                }
            },
            None => {
                let steps: Vec<Transform> = feed.chain.iter().map(|step| step.transform.clone()).collect();
                let shape: Shape = shape.clone();
                let all =
                    move |row: &mut Vec<f64>| steps.iter().for_each(|step| step.apply(&shape, None, row));
                (feed.raw.as_ref().map_or(0, Shape::elements), Box::new(all))
            }
        };
        if given != wanted {
            let message = format!("a raw row of `{}` has {wanted} elements, not {given}", feed.name);
            out.push(finding(message).help("raw rows hold the columns as they stand in the data file"));
            continue;
        }
        let mut transformed = Vec::with_capacity(rows * shape.elements());
        for row in data.chunks(given.max(1)) {
            let mut row = row.to_vec();
            apply(&mut row);
            transformed.extend(row);
        }
        let stored = Stored { dims: shape.with_batch(rows), elements: Elements::Real(transformed) };
        tensors.insert(feed.name.clone(), stored);
    }
    if out.is_empty() { Ok(write(&tensors)) } else { Err(out) }
}
