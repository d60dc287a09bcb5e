//! The signal analysis as `wellposed show --signal` presents it: a table, the depth scales in words, a chart.
//!
//! Contract: predictions start from the moments of the rows that are run, so that both columns speak of the same inputs. Scales are
//! typical values, that is geometric means over initialisations: the theory's expectation lies higher by half of the scatter.
//! Bands hold 95 % of single inputs over the initialisations by the predicted scatter; where places of a map or rows of a batch share weights, that
//! is an upper bound.

use crate::exec::Weights;
use crate::graph::{Graph, Handle, Node, Runnable, Verified};
use crate::report::svg::{Chart, Mark, Panel};
use crate::signal::account::kernel;
use crate::signal::depth::Depth;
use crate::signal::{self, Signal};
use crate::tensor::{Mode, Tensor};
use crate::text::{number, plural};
use crate::valid::Samples;
use crate::valid::scale::{Expected, Scales, is_exact, mean_and_variance, measure};
use serde::Serialize;
use std::f64::consts::LN_10;

/// Standard deviations on either side that hold 95 % of a normal distribution.
const SIDES: f64 = 1.96;

/// One quantity at one node.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantity {
    predicted: f64,
    /// Where 95 % of the initialisations are predicted.
    band: Option<[f64; 2]>,
    measured: Option<f64>,
    /// The least and the largest measurement.
    range: Option<[f64; 2]>,
}

/// One node.
#[derive(Debug, Serialize)]
pub struct Row {
    path: String,
    op: String,
    rms: Quantity,
    /// The energy of the gradient relative to the prediction.
    gradient: Option<Quantity>,
    /// The correlation of two inputs' values.
    correlation: Quantity,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub struct View {
    nodes: Vec<Row>,
    depth: Vec<String>,
    #[serde(skip)]
    layers: Vec<usize>,
    #[serde(skip)]
    title: String,
    #[serde(skip)]
    subtitle: String,
    #[serde(skip)]
    totals: [String; 2],
}

/// Analyses a graph on the rows of `feeds` and measures it over `seeds` initialisations if it can be run.
pub fn view(graph: &Verified<Graph>, feeds: Option<&[Tensor]>, seeds: u64) -> View {
    let signal = match feeds {
        Some(feeds) => signal::analyse_measured(graph, Mode::Train, Samples::moments(graph, feeds)),
        None => signal::analyse(graph, Mode::Train),
    };
    let exact = is_exact(graph, Mode::Train);
    let scales = Runnable::new(graph).zip(feeds).filter(|_| seeds > 0).map(|(runnable, feeds)| {
        measure(runnable, feeds, Mode::Train, 0..seeds, |seed| Weights::draw(graph, seed))
    });
    let nodes: Vec<(Handle<Node>, Row)> = graph
        .layers()
        .filter_map(|(handle, node)| Some((handle, row(&signal, scales.as_ref(), exact, handle, node)?)))
        .collect();
    let depth = Depth::of(graph, &signal);
    let shown = |handle: Handle<Node>| match &depth {
        Some(depth) => depth.chain.contains(&handle) || depth.head == handle,
        None => kernel(graph, &graph.nodes[handle]).is_some(),
    };
    let layers = (0..nodes.len()).filter(|i| shown(nodes[*i].0)).collect();
    let words = depth.as_ref().map_or(Vec::new(), Depth::words);
    let totals = [0, 1].map(|i| words.get(i).cloned().unwrap_or_default());
    let measured = match &scales {
        Some(_) => format!("measured over {}", plural(usize::try_from(seeds).unwrap_or(0), "initialisation")),
        None => "not measured".to_owned(),
    };
    View {
        title: format!("{}: signal and gradient at initialisation", graph.name),
        subtitle: format!("{}, {measured}; before any training", plural(nodes.len(), "node")),
        nodes: nodes.into_iter().map(|(_, row)| row).collect(),
        depth: words,
        layers,
        totals,
    }
}

fn row(
    signal: &Signal,
    scales: Option<&Scales>,
    exact: bool,
    handle: Handle<Node>,
    node: &Node,
) -> Option<Row> {
    let i = handle.index();
    let moments = signal.node(handle)?;
    let sample = |of: fn(&Scales) -> &Vec<Vec<f64>>| scales.map(|scales| of(scales)[i].as_slice());
    let forward = Expected::forward(signal, handle, exact)?;
    let energy = &signal.energies[i];
    let contrast = sample(|scales| &scales.contrast).filter(|sample| !sample.is_empty());
    Some(Row {
        path: node.path.to_string(),
        op: node.op.name().to_owned(),
        rms: quantity(&forward, 0.5, sample(|scales| &scales.forward)),
        gradient: (!energy.is_zero()).then(|| {
            quantity(&Expected::energy(signal, handle, exact), 1.0, sample(|scales| &scales.energy))
        }),
        correlation: Quantity {
            predicted: 1.0 - moments.contrast,
            band: None,
            measured: contrast.map(|sample| 1.0 - mean_and_variance(sample).0),
            range: contrast.map(|sample| ends(sample).map(|x| 1.0 - x)).map(|[a, b]| [b, a]),
        },
    })
}

fn ends(sample: &[f64]) -> [f64; 2] {
    let fold = |f: fn(f64, f64) -> f64| sample.iter().copied().reduce(f).unwrap_or(f64::NAN);
    [fold(f64::min), fold(f64::max)]
}

/// A quantity whose logarithm is compared, raised to a power for display.
fn quantity(expected: &Expected, power: f64, sample: Option<&[f64]>) -> Quantity {
    let shown = |ln: f64| (power * ln).exp();
    let side = SIDES * expected.variance.sqrt();
    let sample = sample.filter(|sample| !sample.is_empty());
    Quantity {
        predicted: shown(expected.mean.middle()),
        band: Some([shown(expected.mean.lo - side), shown(expected.mean.hi + side)]),
        measured: sample.map(|sample| shown(mean_and_variance(sample).0)),
        range: sample.map(|sample| ends(sample).map(shown)),
    }
}

impl View {
    /// The table and the depth scales.
    pub fn text(&self) -> String {
        let head = [
            "node",
            "op",
            "rms",
            "band",
            "measured",
            "range",
            "gradient energy",
            "band",
            "measured",
            "range",
            "correlation",
            "measured",
        ];
        let mut lines: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
        lines.extend(self.nodes.iter().map(|row| {
            let Row { path, op, rms, gradient, correlation } = row;
            let mut line = vec![path.clone(), op.clone()];
            line.extend(cells(Some(rms)));
            line.extend(cells(gradient.as_ref()));
            line.push(fixed(correlation.predicted));
            line.push(correlation.measured.map_or("-".to_owned(), fixed));
            line
        }));
        let mut widths = vec![0; head.len()];
        for line in &lines {
            widths.iter_mut().zip(line).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
        }
        let mut out = String::new();
        for line in &lines {
            let mut text = String::new();
            for (i, (cell, width)) in line.iter().zip(&widths).enumerate() {
                text.push_str(&if i < 2 { format!("{cell:<width$}  ") } else { format!("{cell:>width$}  ") });
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out.push_str(
            "\nrms and gradient energy are typical values over initialisations, the energy relative to that at the prediction;\n\
             a band holds 95 % of inputs and initialisations, a range the means over inputs of all initialisations measured\n",
        );
        if !self.depth.is_empty() {
            out.push('\n');
        }
        self.depth.iter().for_each(|line| out.push_str(&format!("{line}\n")));
        out
    }

    /// The chart of the layers with weights.
    pub fn chart(&self) -> Chart {
        let log = |x: f64| x.ln() / LN_10;
        let mark = |quantity: Option<&Quantity>| match quantity {
            None => Mark::default(),
            Some(quantity) => Mark {
                line: Some(log(quantity.predicted)),
                band: quantity.band.map(|[a, b]| (log(a), log(b))),
                point: quantity.measured.map(log),
                whiskers: quantity.range.map(|[a, b]| (log(a), log(b))),
            },
        };
        let rows = || self.layers.iter().map(|i| &self.nodes[*i]);
        let panel = |label: &str, colour: &'static str, remark: &str, marks: Vec<Mark>| Panel {
            label: label.to_owned(),
            colour,
            marks,
            remark: remark.to_owned(),
        };
        let [forward, back] = &self.totals;
        Chart {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            x_label: "layer with weights, from input to prediction".to_owned(),
            panels: vec![
                panel(
                    "log₁₀ rms of the value",
                    "#0969da",
                    forward,
                    rows().map(|row| mark(Some(&row.rms))).collect(),
                ),
                panel(
                    "log₁₀ gradient energy",
                    "#bc4c00",
                    back,
                    rows().map(|row| mark(row.gradient.as_ref())).collect(),
                ),
            ],
        }
    }
}

/// A correlation, with the digits that tell it from 1.
fn fixed(correlation: f64) -> String {
    let rest = 1.0 - correlation;
    if rest > 0.0 && rest < 5e-4 { format!("1-{}", number(rest)) } else { format!("{correlation:.3}") }
}

fn short(x: f64) -> String {
    if (0.01..1000.0).contains(&x) {
        let decimals = if x < 1.0 {
            3
        } else if x < 10.0 {
            2
        } else {
            1
        };
        format!("{x:.decimals$}")
    } else if x == 0.0 {
        "0".to_owned()
    } else {
        format!("{x:.1e}")
    }
}

fn cells(quantity: Option<&Quantity>) -> [String; 4] {
    let pair =
        |pair: Option<[f64; 2]>| pair.map_or("-".to_owned(), |[a, b]| format!("{}..{}", short(a), short(b)));
    match quantity {
        None => ["-"; 4].map(str::to_owned),
        Some(Quantity { predicted, band, measured, range }) => {
            [short(*predicted), pair(*band), measured.map_or("-".to_owned(), short), pair(*range)]
        }
    }
}
