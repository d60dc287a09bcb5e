//! Tensors in safetensors files: weights, rows and results. The only file that names the `safetensors` crate.
//!
//! Contract: numbers are read as F64 or as F32, which is widened exactly; labels and tokens as I64. Names are those of the graph:
//! `fc1.weight` and `bn1.running_mean` for trainable tensors and running statistics, an input's or target's own for rows, which
//! are the values that the net takes, behind all transforms, tokens and labels in their range. A file must fit as a whole: every tensor that is missing, unknown,
//! or of another shape or type, and every number that is not finite, is a finding, and all of them are said at once.
//! Written files depend on their content alone: F64 and I64, ordered by name.

use super::{Feeds, Outputs, Weights};
use crate::diag::{Diagnostic, Diagnostics, Place, did_you_mean, rules};
use crate::graph::{Feed, FeedKind, Graph, Handle, Runnable};
use crate::tensor::{Shape, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::BTreeMap;

/// A tensor as a file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The length of each axis.
    pub dims: Vec<usize>,
    /// The elements.
    pub elements: Elements,
}

/// The elements of a tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// F64, or F32 widened.
    Real(Vec<f64>),
    /// I64.
    Whole(Vec<i64>),
    /// A type that nothing here reads, by its name.
    Other(String),
}

impl Elements {
    fn type_name(&self) -> &str {
        match self {
            Self::Real(_) => "F64",
            Self::Whole(_) => "I64",
            Self::Other(name) => name,
        }
    }
}

/// Reads a file. `shown` is its name in messages.
///
/// # Errors
/// If it is not a safetensors file.
pub fn read(shown: &str, bytes: &[u8]) -> Result<BTreeMap<String, Stored>, Diagnostics> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        let message = format!("this is no safetensors file of {} bytes: {error}", bytes.len());
        let help = "the file may have been cut short; write it again with safetensors.torch.save_file";
        Diagnostics::from_iter([finding(shown, message).help(help)])
    })?;
    let tensors = file.iter().map(|(name, view)| (name.to_owned(), stored(&view)));
    Ok(tensors.collect())
}

fn stored(view: &TensorView<'_>) -> Stored {
    let elements = match view.dtype() {
        Dtype::F64 => Elements::Real(words(view.data()).map(f64::from_le_bytes).collect()),
        Dtype::F32 => {
            Elements::Real(words(view.data()).map(|word| f64::from(f32::from_le_bytes(word))).collect())
        }
        Dtype::I64 => Elements::Whole(words(view.data()).map(i64::from_le_bytes).collect()),
        other => Elements::Other(format!("{other:?}")),
    };
    Stored { dims: view.shape().to_vec(), elements }
}

/// The little-endian words of a tensor; the crate has checked that they fill it.
fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// Writes tensors, in the order of their names within each type.
#[must_use]
pub fn write(tensors: &BTreeMap<String, Stored>) -> Vec<u8> {
    let mut bytes: Vec<(&str, Dtype, &[usize], Vec<u8>)> = Vec::with_capacity(tensors.len());
    for (name, Stored { dims, elements }) in tensors {
        let (dtype, data) = match elements {
            Elements::Real(data) => (Dtype::F64, data.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Elements::Whole(data) => (Dtype::I64, data.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Elements::Other(dtype) => panic!("internal: {name} of type {dtype} cannot be written"),
        };
        bytes.push((name, dtype, dims, data));
    }
    let views =
        bytes.iter().map(|(name, dtype, dims, data)| match TensorView::new(*dtype, dims.to_vec(), data) {
            Ok(view) => (*name, view),
            Err(error) => panic!("internal: {name} cannot be written: {error}"),
        });
    match serialize(views, None) {
        Ok(file) => file,
        Err(error) => panic!("internal: tensors cannot be written: {error}"),
    }
}

fn real(tensor: &Tensor) -> Stored {
    Stored { dims: tensor.dims.clone(), elements: Elements::Real(tensor.data.clone()) }
}

fn finding(shown: &str, message: String) -> Diagnostic {
    Diagnostic::at(&rules::UNFIT_TENSOR_FILE, Place::File(shown.to_owned()), message)
}

/// Lengths as people write them: `[64, 30]`.
fn brackets(dims: &[usize]) -> String {
    let lengths: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", lengths.join(", "))
}

/// The place of an element in its tensor.
fn place(dims: &[usize], mut at: usize) -> String {
    let mut index = vec![0; dims.len()];
    for (i, length) in dims.iter().enumerate().rev() {
        index[i] = at % length;
        at /= length;
    }
    brackets(&index)
}

/// Takes tensors out of a file by name and collects what does not fit.
struct Taking<'a> {
    shown: &'a str,
    stored: BTreeMap<String, Stored>,
    missing: Vec<String>,
    /// The tensor that says how many rows there are, in a file of rows.
    rows: Option<(String, usize)>,
    out: Diagnostics,
}

impl<'a> Taking<'a> {
    fn new(shown: &'a str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        Ok(Self {
            shown,
            stored: read(shown, bytes)?,
            missing: Vec::new(),
            rows: None,
            out: Diagnostics::default(),
        })
    }

    fn say(&mut self, message: String, help: Option<String>) {
        self.out.push(finding(self.shown, message).maybe_help(help));
    }

    /// A tensor of finite numbers of the given shape.
    fn numbers(&mut self, name: &str, dims: &[usize]) -> Option<Tensor> {
        let Some(Stored { dims: found, elements }) = self.stored.remove(name) else {
            self.missing.push(name.to_owned());
            self.say(format!("`{name}` is missing: the model has it as {}", brackets(dims)), None);
            return None;
        };
        let fits = self.shape(name, &found, dims);
        let Elements::Real(data) = elements else {
            let message = format!("`{name}` has the type {}", elements.type_name());
            self.say(message, Some("numbers are read as F64 or F32".to_owned()));
            return None;
        };
        let wrong: Vec<usize> = (0..data.len()).filter(|&i| !data[i].is_finite()).collect();
        if let Some(&first) = wrong.first() {
            let more = if wrong.len() > 1 { format!(" and {} more", wrong.len() - 1) } else { String::new() };
            let message = format!("`{name}` holds {} at {}{more}", data[first], place(&found, first));
            self.say(message, None);
            return None;
        }
        fits.then(|| Tensor::new(found, data))
    }

    /// A tensor of whole numbers in a range, as numbers.
    fn whole(&mut self, name: &str, dims: &[usize], limit: Option<usize>, what: &str) -> Option<Tensor> {
        let Stored { dims: found, elements } = self.stored.remove(name)?;
        let fits = self.shape(name, &found, dims);
        let Elements::Whole(data) = elements else {
            self.say(
                format!("`{name}` has the type {}", elements.type_name()),
                Some(format!("{what} are read as I64")),
            );
            return None;
        };
        // Whole numbers up to 2^53 are exact in an f64.
        let end = limit.and_then(|n| i64::try_from(n).ok()).unwrap_or(1 << 53);
        let low = if limit.is_some() { 0 } else { -end };
        if let Some(first) = (0..data.len()).find(|&i| data[i] < low || data[i] >= end) {
            let range = limit
                .map_or("whole numbers below 2^53".to_owned(), |n| format!("0 to {}", n.saturating_sub(1)));
            let message = format!("`{name}` is {} at {}", data[first], place(&found, first));
            self.say(message, Some(format!("{what} are {range}")));
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "the range was checked")]
        let numbers = data.iter().map(|&x| x as f64).collect();
        fits.then(|| Tensor::new(found, numbers))
    }

    fn shape(&mut self, name: &str, found: &[usize], wanted: &[usize]) -> bool {
        if found == wanted {
            return true;
        }
        if let (Some((first, rows)), [n, rest @ ..]) = (&self.rows, found)
            && wanted.split_first() == Some((rows, rest))
        {
            self.say(format!("`{name}` has {n} rows and `{first}` has {rows}"), None);
            return false;
        }
        let help = match (found, wanted) {
            ([a, b], [c, d]) if (a, b) == (d, c) => {
                Some("it is transposed: weights are [out, in]".to_owned())
            }
            _ => None,
        };
        self.say(
            format!("`{name}` is {} in the file and {} in the model", brackets(found), brackets(wanted)),
            help,
        );
        false
    }

    /// Reports what was not taken. `shared` has the names under which nodes share tensors of others, and those.
    fn finish(mut self, known: &[&str], shared: &BTreeMap<String, &str>) -> Diagnostics {
        let rest: Vec<String> = self.stored.keys().cloned().collect();
        for name in rest {
            if let Some(owner) = shared.get(&name) {
                let help = "remove it: the owner's is used in both places".to_owned();
                self.say(format!("`{name}` is `{owner}`, which a file holds once"), Some(help));
                continue;
            }
            let near = did_you_mean(&name, self.missing.iter().map(String::as_str));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "the model has none".to_owned(),
                None => format!("the model has {}", some(known)),
            };
            self.say(format!("the model has no `{name}`"), Some(help));
        }
        self.out
    }
}

/// The first few of a list of names.
fn some(names: &[&str]) -> String {
    let shown = names[..names.len().min(6)].join(", ");
    if names.len() > 6 { format!("{shown}, ... ({} in all)", names.len()) } else { shown }
}

impl Weights {
    /// Reads every tensor of a graph. Without any running statistic in the file they take their initial values; with some of
    /// them, all must be there.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn from_safetensors(graph: &Graph, shown: &str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        let mut taking = Taking::new(shown, bytes)?;
        let known: Vec<&str> = (graph.params.iter().map(|(_, param)| param.path.as_str()))
            .chain(graph.states.iter().map(|(_, state)| state.path.as_str()))
            .collect();
        for (_, node) in graph.nodes.iter().filter(|(_, node)| !node.states.is_empty()) {
            taking.stored.remove(&format!("{}.num_batches_tracked", node.path));
        }
        let with_states = graph.states.iter().any(|(_, state)| taking.stored.contains_key(&state.path));
        let params: Vec<Option<Tensor>> =
            graph.params.iter().map(|(_, param)| taking.numbers(&param.path, &param.spec.dims)).collect();
        let states: Vec<Option<Tensor>> = graph
            .states
            .iter()
            .map(|(_, state)| {
                let (dims, initial) = (&state.spec.dims, state.spec.initial);
                if with_states {
                    taking.numbers(&state.path, dims)
                } else {
                    Some(Tensor::full(dims.clone(), initial))
                }
            })
            .collect();
        let shared = graph.nodes.iter().filter_map(|(_, node)| {
            let tie = node.tie.as_ref()?;
            let name = format!("{}.{}", node.path, tie.spec.name);
            Some((name, &*graph.params[*node.params.get(tie.slot)?].path))
        });
        let out = taking.finish(&known, &shared.collect());
        match (params.into_iter().collect(), states.into_iter().collect()) {
            (Some(params), Some(states)) if out.is_empty() => Ok(Self { params, states }),
            _ => Err(out),
        }
    }

    /// Writes every tensor.
    #[must_use]
    pub fn to_safetensors(&self, graph: &Graph) -> Vec<u8> {
        let params = graph.params.iter().zip(&self.params).map(|((_, param), tensor)| (&param.path, tensor));
        let states = graph.states.iter().zip(&self.states).map(|((_, state), tensor)| (&state.path, tensor));
        write(&params.chain(states).map(|(path, tensor)| (path.clone(), real(tensor))).collect())
    }
}

impl Feeds {
    /// Reads rows for every input and target. All have the same number of rows; labels lie in their range. A target may be
    /// missing unless `targets` are asked for.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn from_safetensors(
        graph: Runnable<'_>,
        shown: &str,
        bytes: &[u8],
        targets: bool,
    ) -> Result<Self, Diagnostics> {
        let mut taking = Taking::new(shown, bytes)?;
        // The first tensor that has an axis says how many rows there are.
        let first = graph
            .feeds
            .iter()
            .find_map(|(_, feed)| Some((feed.name.clone(), *taking.stored.get(&feed.name)?.dims.first()?)));
        let rows = first.as_ref().map_or(1, |(_, rows)| *rows);
        if let Some((name, 0)) = &first {
            taking.say(format!("`{name}` has no rows"), None);
        }
        taking.rows = first;
        let mut complete = true;
        let tensors: Vec<Option<Tensor>> = graph
            .feeds
            .iter()
            .map(|(handle, feed)| {
                let dims = feed.shape.as_ref().unwrap_or(&Shape::default()).with_batch(rows);
                if feed.target && !targets && !taking.stored.contains_key(&feed.name) {
                    complete = false;
                    return Some(Tensor::zeros(dims));
                }
                taking.rows(graph, handle, &dims)
            })
            .collect();
        let known: Vec<&str> = graph.feeds.iter().map(|(_, feed)| feed.name.as_str()).collect();
        let out = taking.finish(&known, &BTreeMap::new());
        match tensors.into_iter().collect() {
            Some(tensors) if out.is_empty() => Ok(Self { tensors, rows, complete }),
            _ => Err(out),
        }
    }

    /// Writes inputs and targets; labels and tokens as I64. Targets that were not given are left out.
    #[must_use]
    pub fn to_safetensors(&self, graph: &Graph) -> Vec<u8> {
        let feeds =
            graph.feeds.iter().zip(&self.tensors).filter(|((_, feed), _)| self.complete || !feed.target);
        let stored = feeds.map(|((_, feed), tensor)| {
            let stored = match feed.kind {
                FeedKind::Class(..) | FeedKind::Int => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "labels and tokens are whole numbers"
                    )]
                    let data = tensor.data.iter().map(|&x| x as i64).collect();
                    Stored { dims: tensor.dims.clone(), elements: Elements::Whole(data) }
                }
                FeedKind::Real | FeedKind::Unit | FeedKind::Byte | FeedKind::OneHot => real(tensor),
            };
            (feed.name.clone(), stored)
        });
        write(&stored.collect())
    }
}

impl Taking<'_> {
    /// The rows of one feed.
    fn rows(&mut self, graph: Runnable<'_>, handle: Handle<Feed>, dims: &[usize]) -> Option<Tensor> {
        let feed = &graph.feeds[handle];
        let name = &feed.name;
        if !self.stored.contains_key(name) {
            self.missing.push(name.clone());
            let what = if feed.target { "target" } else { "input" };
            self.say(format!("the {what} `{name}` is missing: the model takes {}", brackets(dims)), None);
            return None;
        }
        match &feed.kind {
            FeedKind::Real | FeedKind::Unit | FeedKind::Byte | FeedKind::OneHot => self.numbers(name, dims),
            FeedKind::Int => match graph.vocabulary(handle) {
                Some(tokens) => self.whole(name, dims, Some(tokens), "tokens"),
                None => self.whole(name, dims, None, "whole numbers"),
            },
            FeedKind::Class(declared, _) => {
                let limit = match (*declared, logits(graph)) {
                    (Some(declared), Some(logits)) => Some(declared.min(logits)),
                    (declared, logits) => declared.or(logits),
                };
                self.whole(name, dims, Some(limit.unwrap_or(1 << 53)), "class labels")
            }
        }
    }
}

/// How many classes the loss can tell apart.
fn logits(graph: Runnable<'_>) -> Option<usize> {
    let loss = &graph.nodes[graph.loss?];
    let shapes: Vec<&Shape> = loss.inputs.iter().map(|source| graph.shape(*source)).collect::<Option<_>>()?;
    loss.op.classes(&shapes)
}

impl Outputs {
    /// Writes `loss`, `output`, `prediction`, `grad/<param>` and `grad_input/<input>`, as far as they are there.
    #[must_use]
    pub fn to_safetensors(&self) -> Vec<u8> {
        write(&self.tensors().iter().map(|(name, tensor)| (name.clone(), real(tensor))).collect())
    }

    /// The results under the names that they have in a file.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let Self { loss, output, prediction, params, inputs } = self;
        let loss = loss.map(|loss| ("loss".to_owned(), Tensor::new(Vec::new(), vec![loss])));
        let named = |prefix: &'static str, list: &[(String, Tensor)]| {
            list.iter().map(|(name, tensor)| (format!("{prefix}/{name}"), tensor.clone())).collect::<Vec<_>>()
        };
        loss.into_iter()
            .chain([("output".to_owned(), output.clone())])
            .chain(prediction.clone().map(|prediction| ("prediction".to_owned(), prediction)))
            .chain(named("grad", params))
            .chain(named("grad_input", inputs))
            .collect()
    }
}
