//! Raw rows of a tensor file to what the net sees: the stored transforms, applied as they are to the rows of the data set.

use super::files::{Elements, Stored, read, write};
use crate::data::{Content, Pipeline, Split, Statistics, Transform};
use crate::diag::{Diagnostic, Diagnostics, Place, rules};
use crate::graph::Graph;
use crate::tensor::Shape;

/// Applies a chain to one row, in place.
type Apply<'a> = Box<dyn Fn(&mut Vec<f64>) + 'a>;

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
                (feed.shape.as_ref().map_or(0, Shape::elements), Box::new(all))
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
