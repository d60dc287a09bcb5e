//! The rate of matrix products beside numpy's: `PEERS_PYTHON=/path/to/python cargo bench --bench products`.
//!
//! All on one thread and in f64, in 10^9 operations a second of CPU time; without numpy the column of the peer stays empty. Then whole
//! convolutions: the product that one tile of it makes, by itself, and what gathering patches (im2col) and putting results back add.

#[path = "support/clock.rs"]
mod clock;
#[path = "support/python.rs"]
mod python;
#[path = "support/text.rs"]
mod text;

use clock::cpu_seconds;
use python::{SCRIPT, has, python};
use std::process::Command;
use text::Text;
use wellposed::exec::{Keep, Session, Settings, Tapes, Weights};
use wellposed::graph::Runnable;
use wellposed::pipeline::compile;
use wellposed::tensor::{Mode, Product, gemm};
use wellposed::valid::Samples;

/// Rows, inner size and columns: squares, then layers of nets.
const SIZES: [[usize; 3]; 9] = [
    [64, 64, 64],
    [128, 128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [32, 784, 128],
    [4096, 128, 64],
    [4096, 256, 256],
    [64, 3162, 3162],
];

/// Channels in and out, and the side of the map: convolutions with 3x3 taps and a batch of 16.
const CONVOLUTIONS: [[usize; 3]; 4] = [[16, 32, 32], [32, 64, 32], [64, 128, 16], [128, 128, 16]];
const BATCH: usize = 16;
/// The positions of one tile of a convolution.
const TILE: usize = 512;

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| (i * 37 % 101) as f64 / 101.0 - 0.5).collect()
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn operations([m, k, n]: [usize; 3]) -> f64 {
    2e-9 * (m * k * n) as f64
}

fn ours(size: [usize; 3]) -> f64 {
    let [m, k, n] = size;
    let (a, b, mut c) = (numbers(m * k), numbers(k * n), numbers(m * n));
    operations(size) / cpu_seconds(|| gemm::real(Product::new(m, k, n), &a, &b, &mut c))
}

/// numpy's rates, in the order of the sizes.
fn theirs(sizes: &[[usize; 3]]) -> Option<Vec<f64>> {
    if !has("numpy") {
        return None;
    }
    let sizes = sizes.iter().map(|[m, k, n]| format!("{m},{k},{n}"));
    let output = Command::new(python()).args([SCRIPT, "dgemm"]).args(sizes).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("numbers are UTF-8");
    Some(text.lines().map(|line| line.parse().expect("a number")).collect())
}

/// CPU seconds of a whole convolution of a batch.
fn convolution([channels, outputs, side]: [usize; 3]) -> f64 {
    let text = format!(
        "spec 1\nmodel m()\ninput x: f64[B, {channels}, {side}, {side}]\n\
         net {{\n  conv: conv2d({outputs}, kernel=3, pad=1, bias=false, init=he_normal)\n}}\n"
    );
    let compiled = compile("m.nn".as_ref(), &Text(text)).unwrap_or_else(|found| panic!("{found:?}"));
    let graph = Runnable::new(&compiled.graph).expect("the spec is whole");
    let weights = Weights::draw(&compiled.graph, 0);
    let feeds = Samples::draw(&compiled.graph, BATCH, 0).batch(0, BATCH);
    let mut session: Session<'_, f64> = Session::new(graph, BATCH, Keep::Result);
    let settings = Settings { mode: Mode::Eval, seed: 0, penalties: false };
    cpu_seconds(|| session.forward(&weights.at(&feeds), settings, Tapes::Live))
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]
fn main() {
    let products = CONVOLUTIONS.map(|[channels, outputs, _]| [outputs, 9 * channels, TILE]);
    let sizes: Vec<[usize; 3]> = SIZES.iter().chain(&products).copied().collect();
    let peers = theirs(&sizes);
    let peer = |i: usize| peers.as_ref().and_then(|peers| peers.get(i)).copied();
    let share = |rate: f64, peer: Option<f64>| match peer {
        Some(peer) => format!("{peer:>8.1} {:>7.0} %", 100.0 * rate / peer),
        None => format!("{:>8} {:>9}", "-", "-"),
    };
    println!("{:<24} {:>8} {:>8} {:>9}", "10^9 operations/s", "ours", "numpy", "share");
    for (i, size) in SIZES.into_iter().enumerate() {
        let [m, k, n] = size;
        let rate = ours(size);
        println!("{:<24} {rate:>8.1} {}", format!("[{m},{k}] [{k},{n}]"), share(rate, peer(i)));
    }
    println!(
        "\n{:<24} {:>8} {:>8} {:>9} {:>8} {:>14}",
        "3x3 convolutions", "product", "numpy", "share", "whole", "around it, %"
    );
    for (i, (sizes, product)) in CONVOLUTIONS.into_iter().zip(products).enumerate() {
        let [channels, outputs, side] = sizes;
        let rate = ours(product);
        let whole = operations([outputs, 9 * channels, BATCH * side * side]) / convolution(sizes);
        println!(
            "{:<24} {rate:>8.1} {} {whole:>8.1} {:>14.0}",
            format!("{channels} to {outputs}, {side}x{side}"),
            share(rate, peer(SIZES.len() + i)),
            100.0 * (1.0 - whole / rate)
        );
    }
}
