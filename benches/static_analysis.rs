//! What the static analysis of deep models takes: `cargo bench --bench static_analysis`.
//!
//! The design allows 50 ms for a model of 1,000 layers and 20 ms for a graph of the size of ResNet-152. Every number is the median of
//! [`RUNS`] runs on one thread, behind one run that is not counted. Lints are timed one by one, too: those that take more than [`SHOWN`] of
//! a model's lints are listed, and what four times the layers cost them, because a lint whose time grows with the square of the layers
//! shows there first.

#[path = "support/text.rs"]
mod text;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;
use text::Text;
use wellposed::diag::Diagnostics;
use wellposed::diag::suppress::Notation;
use wellposed::graph::{self, Graph, Verified};
use wellposed::lints::{self, Context};
use wellposed::pipeline::compile;
use wellposed::signal::{self, Signal};
use wellposed::source::Sources;
use wellposed::tensor::Mode;
use wellposed::{front, lower};

const RUNS: usize = 21;

/// The share of the time of all lints from which on one is listed.
const SHOWN: f64 = 0.05;

/// The median time of a piece of work, in milliseconds.
fn median<T>(mut work: impl FnMut() -> T) -> f64 {
    drop(work());
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let made = work();
            let time = start.elapsed().as_secs_f64() * 1e3;
            drop(made);
            time
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn spec(input: &str, net: &str) -> String {
    format!(
        "spec 1\nmodel m()\ninput x: f64[B, {input}]\ntarget y: class(10)\n{net}\n\
         train {{\n  loss cross_entropy(head, y)\n  sgd(lr=0.1)  batch 32  epochs 1  seed 1\n}}\n"
    )
}

/// Layers one behind the other.
fn plain(depth: usize) -> String {
    let body = format!(
        "net {{\n  h: repeat {depth} {{\n    fc: linear(64, init=he_normal)\n        relu\n  }}\n  head: linear(10, init=lecun_normal)\n}}"
    );
    spec("64", &body)
}

/// Blocks that add two layers behind a norm to the stream.
fn residual(blocks: usize) -> String {
    let body = format!(
        "net {{\n  h: repeat {blocks} {{\n    residual {{\n          layer_norm\n      a:  linear(64, init=he_normal)\n          relu\n      \
         b:  linear(64, init=zeros)\n    }}\n  }}\n  head: linear(10, init=lecun_normal)\n}}"
    );
    spec("64", &body)
}

/// Bottlenecks of ResNet-152: 3, 8, 36 and 3 of them.
fn resnet152() -> String {
    let mut net = String::from(
        "default conv2d(bias=false, init=he_normal(fan_out))\nblock bottleneck(ch, stride = 1) {\n  residual {\n    \
         conv1: conv2d(ch, kernel=1)\n    bn1: batch_norm\n    relu\n    conv2: conv2d(ch, kernel=3, stride=stride, pad=1)\n    \
         bn2: batch_norm\n    relu\n    conv3: conv2d(4 * ch, kernel=1)\n    bn3: batch_norm\n  } shortcut when stride != 1 or \
         in.ch != 4 * ch {\n    conv: conv2d(4 * ch, kernel=1, stride=stride)\n    bn: batch_norm\n  }\n  relu\n}\nnet {\n  \
         conv1: conv2d(64, kernel=7, stride=2, pad=3)\n  batch_norm\n  relu\n  max_pool(3, stride=2, pad=1)\n",
    );
    for (i, count) in [3, 8, 36, 3].into_iter().enumerate() {
        let stride = if i > 0 { "2 if j == 0 else 1" } else { "1" };
        writeln!(net, "  s{i}: repeat {count} as j {{\n    bottleneck({}, stride = {stride})\n  }}", 64 << i)
            .expect("memory");
    }
    net += "  global_avg_pool\n  head: linear(10, init=lecun_normal)\n}";
    spec("3, 224, 224", &net)
}

fn lowered(text: &Text) -> Graph {
    let path = Path::new("m.nn");
    let mut sources = Sources::default();
    let file = sources.add("m.nn".to_owned(), text.0.clone());
    let (spec, mistakes) = front::parse(&sources, file, Notation::Dsl);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let (graph, mistakes) = lower::lower(&spec, path, text);
    assert!(!mistakes.has_errors(), "{mistakes:?}");
    graph
}

fn verified(text: &Text) -> Verified<Graph> {
    graph::verify(lowered(text)).unwrap_or_else(|violations| panic!("{violations:?}"))
}

/// The time of every lint, in their order.
fn each_lint(graph: &Verified<Graph>, signal: &Signal) -> Vec<f64> {
    let context = Context { graph, signal, notation: Notation::Dsl, rows: None };
    let time = |lint: &lints::Lint| {
        median(|| {
            let mut out = Diagnostics::default();
            (lint.check)(context, &mut out);
            out
        })
    };
    lints::ALL.iter().map(time).collect()
}

/// Times one model; `larger` is one of four times its layers.
fn measure(name: &str, text: String, larger: Option<String>, limit: Option<f64>) -> String {
    let text = Text(text);
    let graph = verified(&text);
    let signal = signal::analyse(&graph, Mode::Train);
    let front = median(|| lowered(&text));
    let verify = (median(|| verified(&text)) - front).max(0.0);
    let analysis = median(|| signal::analyse(&graph, Mode::Train));
    let context = Context { graph: &graph, signal: &signal, notation: Notation::Dsl, rows: None };
    let all = median(|| lints::run(context));
    let whole = median(|| compile(Path::new("m.nn"), &text).expect("the spec is there"));
    let limit = limit.map_or(String::new(), |limit| format!("  limit {limit:.0} ms"));
    let analysed = whole - front;
    let mut out = format!(
        "{name:<24} {:>6} {front:>9.2} {verify:>7.2} {analysis:>7.2} {all:>7.2} {analysed:>9.2} {whole:>9.2}{limit}\n",
        graph.nodes.len()
    );
    let times = each_lint(&graph, &signal);
    let four = larger.map(|text| {
        let graph = verified(&Text(text));
        let signal = signal::analyse(&graph, Mode::Train);
        each_lint(&graph, &signal)
    });
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|a, b| times[*b].total_cmp(&times[*a]));
    for i in order.into_iter().take_while(|i| times[*i] >= SHOWN * all) {
        let growth = four
            .as_ref()
            .map_or(String::new(), |four| format!(", x{:.1} at four times the layers", four[i] / times[i]));
        writeln!(out, "    {:<24} {:.2} ms{growth}", lints::ALL[i].file, times[i]).expect("memory");
    }
    out
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]
fn main() {
    println!(
        "{:<24} {:>6} {:>9} {:>7} {:>7} {:>7} {:>9} {:>9}",
        "median, ms", "nodes", "p.+lower", "verify", "signal", "lints", "w/o p.+l.", "compile"
    );
    print!("{}", measure("1,000 layers", plain(1000), Some(plain(4000)), Some(50.0)));
    print!("{}", measure("1,000 residual blocks", residual(1000), Some(residual(4000)), None));
    print!("{}", measure("ResNet-152", resnet152(), None, Some(20.0)));
}
