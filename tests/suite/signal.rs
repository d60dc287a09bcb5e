//! x
use crate::support::Memory;
use wellposed::exec::Weights;
use wellposed::graph::{Graph, Runnable, Verified};
use wellposed::pipeline::compile;
use wellposed::signal;
use wellposed::tensor::Mode;
use wellposed::valid::Samples;
use wellposed::valid::scale::{Expected, is_exact, mean_and_variance, measure};

fn inputs(graph: &Graph, rows: usize, seed: u64) -> Vec<wellposed::tensor::Tensor> {
    let mut feeds = Samples::draw(graph, rows, seed).batch(0, rows);
    for feed in &mut feeds {
        let width = feed.data.len() / rows;
        if width < 2 {
            continue;
        }
        for row in feed.data.chunks_mut(width) {
            let rms = (row.iter().map(|x| x * x).sum::<f64>() / width as f64).sqrt();
            row.iter_mut().for_each(|x| *x /= rms);
        }
    }
    feeds
}

fn report(name: &str, text: &str, rows: usize, seeds: u64) {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    assert!(!compiled.found.has_errors() || true);
    let graph: &Verified<Graph> = &compiled.graph;
    let runnable = Runnable::new(graph).unwrap_or_else(|| panic!("{name} {text} {:?}", compiled.found));
    let start = std::time::Instant::now();
    let feeds = inputs(graph, rows, 7);
    let predicted = signal::analyse_measured(graph, Mode::Train, Samples::moments(&feeds));
    let exact = is_exact(graph, Mode::Train);
    let scales = measure(runnable, &feeds, Mode::Train, 0..seeds, |s| Weights::draw(graph, s));
    let s = seeds as f64;
    let mut worst = [(0.0f64, String::new()), (0.0, String::new())];
    let (mut lastq, mut n, mut out) = (String::new(), 0, 0);
    for (h, node) in graph.layers() {
        let pairs = [
            (Expected::forward(&predicted, h, exact).unwrap(), &scales.forward[h.index()]),
            (Expected::energy(&predicted, h, exact), &scales.energy[h.index()]),
        ];
        for (k, (e, sample)) in pairs.iter().enumerate() {
            if sample.is_empty() || e.variance > 2.0 || e.units < 16.0 {
                out += 1;
                continue;
            }
            n += 1;
            let (m, v) = mean_and_variance(sample);
            let tol = 4.0 * (e.variance / s).sqrt() + 0.05;
            let d = e.distance(m);
            let line = format!(
                "{} mean {m:.3} in {:.3}..{:.3} sd {:.3}/{:.3} d/tol {:.3}/{:.3}",
                node.path,
                e.mean.lo,
                e.mean.hi,
                v.sqrt(),
                e.variance.sqrt(),
                d,
                tol
            );
            if d / tol > worst[k].0 {
                worst[k] = (d / tol, line.clone());
            }
            lastq = line;
        }
    }
    println!(
        "{name}: {n} compared {out} out, {:.2}s exact {exact}\n   q {:.2} {}\n   e {:.2} {}",
        start.elapsed().as_secs_f64(),
        worst[0].0,
        worst[0].1,
        worst[1].0,
        worst[1].1
    );
    let _ = lastq;
}

fn plain(act: &str, init: &str, w: usize, depth: usize) -> String {
    format!(
        "spec 1\nmodel m()\ninput x: f64[B, {w}]\nnet {{\n h: repeat {depth} {{\n fc: linear({w}, init={init})\n {act}\n }}\n out: linear({w}, init=lecun_normal)\n}}\n"
    )
}

#[test]
fn table() {
    for (act, init, d) in [
        ("relu", "he_normal", 50),
        ("relu", "he_uniform", 50),
        ("relu", "xavier_normal", 50),
        ("relu", "torch_default", 50),
        ("relu", "orthogonal(gain=1.4142135623730951)", 20),
        ("leaky_relu(0.2)", "he_normal", 40),
        ("tanh", "xavier_normal", 50),
        ("tanh", "lecun_uniform", 50),
        ("tanh", "xavier_normal(gain=1.6666667)", 50),
        ("tanh", "torch_default", 30),
        ("tanh", "orthogonal", 20),
        ("elu", "lecun_normal", 50),
        ("selu", "lecun_normal", 50),
        ("gelu", "xavier_normal", 20),
        ("gelu", "he_normal", 10),
        ("silu", "he_normal", 20),
        ("silu", "lecun_uniform", 20),
        ("sigmoid", "xavier_uniform", 20),
        ("softplus", "xavier_normal", 20),
        ("tanh", "normal(1)", 10),
    ] {
        report(&format!("{act} {init} {d}"), &plain(act, init, 128, d), 1, 24);
    }
    let res = |block: &str, n: usize| {
        format!(
            "spec 1\nmodel m()\ninput x: f64[B, 128]\nnet {{\n h: repeat {n} {{\n residual {{\n {block}\n }}\n }}\n out: linear(128, init=lecun_normal)\n}}\n"
        )
    };
    report("x+f", &res("fc: linear(128, init=he_normal)\n relu", 20), 1, 24);
    report("x+Wrelu", &res("relu\n fc: linear(128, init=he_normal)", 20), 1, 24);
    report("zero", &res("fc: linear(128, init=he_normal)\n relu\n g: linear(128, init=zeros)", 20), 1, 24);
    report(
        "pre ln",
        &res("layer_norm\n fc: linear(128, init=he_normal)\n relu\n g: linear(128,init=lecun_normal)", 20),
        1,
        24,
    );
    report(
        "pre bn",
        &res("batch_norm\n fc: linear(128, init=he_normal)\n relu\n g: linear(128,init=lecun_normal)", 20),
        64,
        16,
    );
    report("bn branch", &res("relu\n fc: linear(128, init=he_normal)\n batch_norm", 20), 64, 16);
    let post = "spec 1\nmodel m()\ninput x: f64[B, 128]\nnet {\n h: repeat 20 {\n residual {\n fc: linear(128, init=he_normal)\n relu\n g: linear(128, init=lecun_normal) \n }\n layer_norm\n }\n out: linear(128, init=lecun_normal)\n}\n";
    report("post ln", post, 1, 24);
    for norm in ["batch_norm", "layer_norm"] {
        for act in ["relu", "tanh", "gelu", "sigmoid"] {
            report(
                &format!("{norm} {act}"),
                &plain(&format!("{norm}\n {act}"), "lecun_normal", 128, 20),
                if norm == "batch_norm" { 128 } else { 1 },
                16,
            );
        }
    }
    let cnn = |pad: &str, act: &str, h: usize, n: usize| {
        format!(
            "spec 1\nmodel m()\ninput x: f64[B, 32, {h}, {h}]\nnet {{\n h: repeat {n} {{\n fc: conv2d(32, kernel=3, pad={pad}, init=he_normal)\n {act}\n }}\n global_avg_pool\n out: linear(128, init=lecun_normal)\n}}\n"
        )
    };
    report("cnn 8", &cnn("1", "relu", 8, 10), 1, 16);
    report("cnn valid", &cnn("0", "relu", 16, 7), 1, 16);
    let flat = "spec 1\nmodel m()\ninput x: f64[B, 32, 8, 8]\nnet {\n h: repeat 10 {\n fc: conv2d(32, kernel=3, pad=1, init=he_normal)\n relu\n }\n flatten\n out: linear(128, init=lecun_normal)\n}\n";
    report("cnn flat", flat, 1, 16);
}
