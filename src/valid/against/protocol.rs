//! What is asked and what is answered, as values and as the bytes of files.

use super::Visit;
use crate::diag::{Diagnostic, Diagnostics, rules};
use crate::exec::Feeds;
use crate::exec::files::{self, Elements, Stored};
use crate::graph::{Feed, Graph, Runnable};
use crate::inits;
use crate::ops::OpKind;
use crate::tensor::{Draws, Mode, Shape, stream};
use crate::text::plural;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a program computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// Double precision.
    #[default]
    F64,
    /// Single precision.
    F32,
}

crate::text::serialize_words!(Precision);

impl Precision {
    /// The word of the manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
        }
    }

    /// The distance of 1 from the next number.
    #[must_use]
    pub const fn unit(self) -> f64 {
        match self {
            Self::F64 => f64::EPSILON,
            Self::F32 => 1.2e-7,
        }
    }

    /// The step of the differences, about (3 u)^(1/3): truncation and rounding are then alike.
    #[must_use]
    pub const fn step(self) -> f64 {
        match self {
            Self::F64 => 1e-5,
            Self::F32 => 5e-3,
        }
    }

    /// The relative error up to which two gradients agree.
    #[must_use]
    pub const fn tolerance(self) -> f64 {
        match self {
            Self::F64 => super::gradcheck::GOOD,
            Self::F32 => 2e-4,
        }
    }

    /// The relative error up to which two losses agree.
    #[must_use]
    pub const fn loss_tolerance(self) -> f64 {
        match self {
            Self::F64 => 1e-9,
            Self::F32 => 1e-5,
        }
    }
}

/// `request.json`.
#[derive(Debug, Serialize)]
pub struct Manifest {
    protocol: u32,
    model: String,
    precision: &'static str,
    step: f64,
    directions: &'static str,
    penalties: Vec<PenaltyEntry>,
    parameters: Vec<ParameterEntry>,
    points: Vec<PointEntry>,
}

#[derive(Debug, Serialize)]
struct PenaltyEntry {
    parameter: String,
    order: u8,
    factor: f64,
}

#[derive(Debug, Serialize)]
struct ParameterEntry {
    name: String,
    shape: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct PointEntry {
    name: String,
    mode: String,
    weights: String,
    rows: String,
    masks: String,
    answer: String,
}

/// The files of a request, and the names of those that are to be written.
#[derive(Debug)]
pub struct Request {
    /// Names and bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// One for each point.
    pub answers: Vec<String>,
}

/// Standard normal directions: K of them one behind the other.
#[derive(Debug)]
pub(super) struct Directions {
    /// Of every parameter, by its index.
    pub params: Vec<Vec<f64>>,
    /// Of every input that is no whole number, by the index of the feed; empty for all others.
    pub inputs: Vec<Vec<f64>>,
}

impl Directions {
    pub fn new(graph: Runnable<'_>, count: usize, rows: usize) -> Self {
        let draw = |path: &str, n| {
            let draws = Draws { seed: 0, stream: stream(&format!("against/{path}")) };
            inits::standard_normal(n, draws)
        };
        let of_input = |feed: &Feed| {
            let elements = feed.shape.as_ref().filter(|_| feed.differentiable()).map_or(0, Shape::elements);
            draw(&format!("input/{}", feed.name), count * rows * elements)
        };
        Self {
            params: (graph.params.iter())
                .map(|(_, param)| draw(&param.path, count * param.spec.elements()))
                .collect(),
            inputs: graph.feeds.iter().map(|(_, feed)| of_input(feed)).collect(),
        }
    }

    /// The tensors of the file.
    fn stored(&self, graph: Runnable<'_>, rows: usize) -> BTreeMap<String, Stored> {
        let one = |name: String, data: &[f64], dims: &[usize]| {
            let count = data.len() / dims.iter().product::<usize>().max(1);
            let dims = [&[count], dims].concat();
            (name, Stored { dims, elements: Elements::Real(data.to_vec()) })
        };
        let params = graph.params.iter().zip(&self.params);
        let params =
            params.map(|((_, param), data)| one(format!("direction/{}", param.path), data, &param.spec.dims));
        let inputs = graph.feeds.iter().zip(&self.inputs).filter(|(_, data)| !data.is_empty());
        let inputs = inputs.map(|((_, feed), data)| {
            let dims = feed.shape.as_ref().map_or(Vec::new(), |shape| shape.with_batch(rows));
            one(format!("direction_input/{}", feed.name), data, &dims)
        });
        params.chain(inputs).collect()
    }
}

/// Writes a request down.
pub(super) fn request(
    graph: Runnable<'_>,
    visits: &[Visit],
    directions: &Directions,
    precision: Precision,
) -> Request {
    const DIRECTIONS: &str = "directions.safetensors";
    let mut files = Vec::new();
    let rows = visits.first().map_or(1, |visit| visit.feeds.rows);
    files.push((DIRECTIONS.to_owned(), files::write(&directions.stored(graph, rows))));
    let mut points = Vec::new();
    for (i, visit) in visits.iter().enumerate() {
        let file = |what: &str| format!("point{i}.{what}.safetensors");
        let entry = PointEntry {
            name: visit.name.clone(),
            mode: visit.settings.mode.to_string(),
            weights: file("weights"),
            rows: file("rows"),
            masks: file("masks"),
            answer: file("answer"),
        };
        files.push((entry.weights.clone(), visit.weights.to_safetensors(&graph)));
        files.push((entry.rows.clone(), visit.feeds.to_safetensors(&graph)));
        files.push((entry.masks.clone(), files::write(&masks(graph, visit))));
        points.push(entry);
    }
    let penalties = graph.penalties.iter().flat_map(|penalty| {
        let covered = graph.params.iter().filter(|(_, param)| penalty.covers(param));
        covered.map(|(_, param)| PenaltyEntry {
            parameter: param.path.clone(),
            order: penalty.order,
            factor: penalty.factor,
        })
    });
    let answers = points.iter().map(|point| point.answer.clone()).collect();
    let manifest = Manifest {
        protocol: 1,
        model: graph.name.clone(),
        precision: precision.word(),
        step: precision.step(),
        directions: DIRECTIONS,
        penalties: penalties.collect(),
        parameters: (graph.params.iter())
            .map(|(_, param)| ParameterEntry { name: param.path.clone(), shape: param.spec.dims.clone() })
            .collect(),
        points,
    };
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_else(|error| panic!("internal: {error}"));
    files.push(("request.json".to_owned(), text.into_bytes()));
    Request { files, answers }
}

/// What every dropout of a point multiplies with, and what every `alpha_dropout` keeps.
fn masks(graph: Runnable<'_>, visit: &Visit) -> BTreeMap<String, Stored> {
    let mut masks = BTreeMap::new();
    for (_, node) in graph.nodes.iter().filter(|_| visit.settings.mode == Mode::Train) {
        let dims = node.shape.as_ref().unwrap_or(&Shape::default()).with_batch(visit.feeds.rows);
        let (path, n) = (node.path.to_string(), dims.iter().product());
        let draws = Draws { seed: visit.settings.seed, stream: stream(&path) };
        let mask = match &node.op {
            OpKind::Dropout(dropout) => dropout.factors(n, draws),
            OpKind::AlphaDropout(dropout) => dropout.kept(n, draws),
            _ => continue,
        };
        masks.insert(format!("mask/{path}"), Stored { dims, elements: Elements::Real(mask) });
    }
    masks
}

/// What a program says of one point; `None` for what was missing or cannot be used.
#[derive(Debug, Default)]
pub struct Answer {
    /// Whether there was a file that could be read.
    pub read: bool,
    /// The loss.
    pub loss: Option<f64>,
    /// Gradients by the index of the parameter.
    pub gradients: Vec<Option<Vec<f64>>>,
    /// Losses beside the point, by the index of the parameter: four for each direction.
    pub losses: Vec<Option<Vec<f64>>>,
    /// Gradients by the index of the feed.
    pub inputs: Vec<Option<Vec<f64>>>,
    /// Losses beside the point, by the index of the feed.
    pub input_losses: Vec<Option<Vec<f64>>>,
}

/// Reads the answer of one point; what cannot be used is a finding.
pub fn answer(
    graph: Runnable<'_>,
    feeds: &Feeds,
    directions: usize,
    file: &str,
    bytes: Option<&[u8]>,
    found: &mut Diagnostics,
) -> Answer {
    let fault = |message: String| Diagnostic::new(&rules::FOREIGN_ANSWER, graph.span, message);
    let Some(bytes) = bytes else {
        let help = "the program is to write one file for each point; see `wellposed explain against`";
        found.push(fault(format!("the program wrote no {file}")).help(help));
        return Answer::default();
    };
    let stored = match files::read(file, bytes) {
        Ok(stored) => stored,
        Err(unreadable) => {
            for finding in &unreadable {
                found.push(fault(format!("the answer {file} cannot be read: {}", finding.message)));
            }
            return Answer::default();
        }
    };
    let mut taking = Taking { graph: &graph, stored, file, missing: Vec::new(), found };
    let loss = match taking.stored.get("loss").map(|loss| loss.dims.len()) {
        Some(1) => taking.take("loss", &[1], None),
        _ => taking.take("loss", &[], None),
    };
    let mut gradients = Vec::new();
    let mut losses = Vec::new();
    for (_, param) in graph.params.iter() {
        let owner = Some(param.path.as_str());
        gradients.push(taking.take(&format!("grad/{}", param.path), &param.spec.dims, owner));
        losses.push(taking.take(&format!("losses/{}", param.path), &[directions, 4], owner));
    }
    let (mut inputs, mut input_losses) = (Vec::new(), Vec::new());
    for ((_, feed), tensor) in graph.feeds.iter().zip(&feeds.tensors) {
        let owner = format!("grad_input/{}", feed.name);
        let mut optional = |name: String, dims: &[usize]| {
            let given = feed.differentiable() && taking.stored.contains_key(&name);
            if given { taking.take(&name, dims, Some(&owner)) } else { None }
        };
        inputs.push(optional(owner.clone(), &tensor.dims));
        input_losses.push(optional(format!("losses_input/{}", feed.name), &[directions, 4]));
    }
    taking.finish();
    Answer { read: true, loss: loss.map(|loss| loss[0]), gradients, losses, inputs, input_losses }
}

struct Taking<'a> {
    graph: &'a Graph,
    stored: BTreeMap<String, Stored>,
    file: &'a str,
    missing: Vec<String>,
    found: &'a mut Diagnostics,
}

impl Taking<'_> {
    /// The finite numbers of a tensor; what is wrong with it is said at the node that `param` belongs to.
    fn take(&mut self, name: &str, dims: &[usize], param: Option<&str>) -> Option<Vec<f64>> {
        let Some(Stored { dims: written, elements }) = self.stored.remove(name) else {
            self.missing.push(name.to_owned());
            return None;
        };
        if written != dims {
            let transposed = dims.len() == 2 && written.iter().rev().eq(dims);
            let help = transposed.then_some("it is transposed: weights are [out, in]");
            self.say(param, format!("`{name}` is {written:?} and must be {dims:?}"), help);
            return None;
        }
        let data = match elements {
            Elements::Real(data) => data,
            Elements::Whole(_) => {
                self.say(param, format!("`{name}` has the type I64"), Some("numbers are read as F64 or F32"));
                return None;
            }
            Elements::Other(kind) => {
                let help = Some("numbers are read as F64 or F32");
                self.say(param, format!("`{name}` has the type {kind}"), help);
                return None;
            }
        };
        if let Some(first) = data.iter().position(|x| !x.is_finite()) {
            let count = data.iter().filter(|x| !x.is_finite()).count();
            let index = crate::valid::unravel(first, dims);
            let message = format!(
                "`{name}` holds {} at {index:?}; {} of {} not finite",
                data[first],
                plural(count, "number"),
                data.len()
            );
            self.say(param, message, None);
            return None;
        }
        Some(data)
    }

    fn say(&mut self, param: Option<&str>, message: String, help: Option<&str>) {
        let finding = super::report::at(
            self.graph,
            param,
            &rules::FOREIGN_ANSWER,
            format!("{message} in {}", self.file),
        );
        self.found.push(finding.maybe_help(help.map(str::to_owned)));
    }

    fn finish(self) {
        let Self { graph, stored, file, missing, found } = self;
        if missing.is_empty() {
            return;
        }
        let shown: Vec<String> = missing.iter().take(6).map(|name| format!("`{name}`")).collect();
        let more = missing.len().saturating_sub(6);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (names, verb) = (shown.join(", "), if missing.len() == 1 { "is" } else { "are" });
        let message = format!("{names}{more} {verb} missing in {file}");
        let mut finding = Diagnostic::new(&rules::FOREIGN_ANSWER, graph.span, message);
        if !stored.is_empty() {
            let there: Vec<&str> = stored.keys().take(6).map(String::as_str).collect();
            finding = finding.note("unknown", there.join(", "));
        }
        found.push(finding.help("`wellposed explain against` lists what an answer holds"));
    }
}
