//! The signal analysis against simulation: ln of the scale of every value and of every gradient, averaged over random
//! initialisations, lies where the analysis puts it, and faulty samplers do not.
//!
//! The tolerance is 4 sqrt(V/S) + 0.05 over S seeds with the predicted variance V: four standard errors, and what the theory of
//! wide layers leaves out at a width of 128. Values whose V exceeds 2 are left out: there the scale is that of the seed. With batch
//! norm, `Slack` is added to gradients. Closed-form numbers are those of Poole et al. 2016, Schoenholz et al. 2017 and
//! Yang et al. 2019 as printed in the research notes (static.md 2.4 and 2.5).

use crate::support::{Memory, specs};
use std::path::Path;
use wellposed::exec::Weights;
use wellposed::graph::{Graph, Handle, Node, Runnable};
use wellposed::ops::OpKind;
use wellposed::pipeline::{Compiled, compile};
use wellposed::signal::depth::Depth;
use wellposed::signal::{self, Signal};
use wellposed::tensor::{Mode, Tensor};
use wellposed::valid::Samples;
use wellposed::valid::properties::predicted_scale::{inputs, judge, test as predicted_scale};
use wellposed::valid::properties::{Fault, Overall, Subject, Verdict};
use wellposed::valid::scale::{Expected, Scales, Slack, is_exact, mean_and_variance, measure};

/// The width of layers.
const WIDTH: usize = 128;

#[expect(clippy::cast_precision_loss, reason = "widths are far below 2^53")]
fn size(n: usize) -> f64 {
    n as f64
}

fn load(text: &str) -> Compiled {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    assert!(Runnable::new(&compiled.graph).is_some(), "{:?}\n{text}", compiled.found);
    compiled
}

/// Rows of a standard normal input, each of rms 1, so that what a row does depends on its direction alone.
fn rows(graph: &Graph, count: usize) -> Vec<Tensor> {
    let mut feeds = Samples::draw(graph, count, 7).batch(0, count);
    for row in feeds.iter_mut().flat_map(|feed| feed.data.chunks_mut(feed.dims[1..].iter().product())) {
        let rms = (row.iter().map(|x| x * x).sum::<f64>() / size(row.len())).sqrt();
        row.iter_mut().for_each(|x| *x /= rms);
    }
    feeds
}

/// What came of a comparison.
struct Compared {
    /// How many values and gradients were compared.
    values: usize,
    /// The largest distance from a prediction, as a share of its tolerance.
    share: f64,
    /// Where that was.
    worst: String,
}

/// Measures a spec and compares every value and gradient; how many were compared.
fn agrees(name: &str, text: &str, batch: usize, seeds: u32) -> usize {
    let Compared { values, share, worst } = compare(text, batch, seeds);
    assert!(share <= 1.0, "{name}: {worst}");
    values
}

/// Measures a spec beside what is predicted of it.
fn compare(text: &str, batch: usize, seeds: u32) -> Compared {
    let compiled = load(text);
    let graph = &compiled.graph;
    let feeds = rows(graph, batch);
    let scales = measure(
        Runnable::new(graph).expect("a complete graph"),
        &feeds,
        Mode::Train,
        0..u64::from(seeds),
        |seed| Weights::draw(graph, seed),
    );
    let predicted = signal::analyse_measured(graph, Mode::Train, Samples::moments(graph, &feeds));
    let exact = is_exact(graph, Mode::Train);
    let slack = Slack::of(graph, &predicted, batch).energy;
    let (mut compared, mut worst) = (0, (0.0, String::new()));
    for (handle, node) in graph.layers() {
        let i = handle.index();
        let forward = Expected::forward(&predicted, handle, exact).expect("a known value");
        let back = Expected::energy(&predicted, handle, exact).widened(slack[i]);
        for (what, expected, sample) in
            [("ln q", forward, &scales.forward[i]), ("ln energy", back, &scales.energy[i])]
        {
            let zero = expected.mean.hi == f64::NEG_INFINITY;
            assert!(
                !zero || sample.iter().all(|ln| *ln == f64::NEG_INFINITY),
                "{} is zero in\n{text}",
                node.path
            );
            if zero || expected.variance > 2.0 {
                continue;
            }
            let (mean, variance) = mean_and_variance(sample);
            let tolerance = 4.0 * (expected.variance / f64::from(seeds)).sqrt() + 0.05;
            let share = expected.distance(mean) / tolerance;
            if share > worst.0 {
                let Expected { mean: wanted, variance: v, .. } = expected;
                worst = (
                    share,
                    format!(
                        "{what} at {}: {mean:.3}, predicted {:.3} .. {:.3} +- {tolerance:.3}; sd {:.3}, predicted {:.3}",
                        node.path,
                        wanted.lo,
                        wanted.hi,
                        variance.sqrt(),
                        v.sqrt()
                    ),
                );
            }
            compared += 1;
        }
    }
    Compared { values: compared, share: worst.0, worst: worst.1 }
}

fn spec(input: &str, net: &str) -> String {
    format!("spec 1\nmodel m()\ninput x: f64[B, {input}]\nnet {{\n{net}\n}}\n")
}

/// `depth` layers of a width, each followed by `act`; the last layer has a name of its own.
fn plain(act: &str, init: &str, width: usize, depth: usize) -> String {
    let body = format!(
        "h: repeat {depth} {{\nfc: linear({width}, init={init})\n{act}\n}}\nout: linear({width}, init=lecun_normal)"
    );
    spec(&width.to_string(), &body)
}

fn residual(block: &str, width: usize, count: usize) -> String {
    let body = format!(
        "h: repeat {count} {{\nresidual {{\n{block}\n}}\n}}\nout: linear({width}, init=lecun_normal)"
    );
    spec(&width.to_string(), &body)
}

#[test]
fn plain_networks_keep_the_predicted_scales() {
    for (act, init, depth) in [
        ("relu", "he_normal", 50),
        ("relu", "he_uniform", 50),
        ("relu", "xavier_normal", 50),
        ("relu", "torch_default, bias_init=torch_default", 50),
        ("relu", "orthogonal(gain=1.4142135623730951)", 20),
        ("leaky_relu(0.2)", "he_normal(a=0.2)", 50),
        ("tanh", "xavier_uniform", 50),
        ("tanh", "xavier_normal(gain=1.6666667)", 50),
        ("tanh", "torch_default, bias_init=torch_default", 30),
        ("tanh", "orthogonal", 20),
        ("tanh", "normal(1)", 10),
        ("elu", "lecun_normal", 50),
        ("elu", "he_uniform", 30),
        ("selu", "lecun_normal", 50),
        ("gelu", "xavier_uniform", 20),
        ("gelu", "he_normal", 10),
        ("silu", "he_normal", 20),
        ("silu", "lecun_uniform", 20),
        ("sigmoid", "xavier_normal", 20),
        ("sigmoid", "torch_default, bias_init=torch_default", 20),
        ("softplus", "xavier_normal", 20),
        ("softplus", "he_uniform", 20),
    ] {
        let compared = agrees(&format!("{act} {init}"), &plain(act, init, WIDTH, depth), 1, 24);
        assert!(compared > 3 * depth, "{act} {init}: {compared} of {}", 4 * depth + 2);
    }
}

/// Every activation of the language behind wide layers, fifty of them: how it is written, how the layers are drawn, and how many values
/// must be comparable. Where the scale soon is that of the seed, as that of unstable fixed points is, there are fewer.
const ACTIVATIONS: &[(&str, &str, usize)] = &[
    ("relu", "he_normal", 180),
    ("relu6", "he_normal", 180),
    ("relu6", "normal(0.5)", 100),
    ("leaky_relu", "he_normal(a=0.01)", 180),
    ("prelu", "he_normal(a=0.25)", 180),
    ("prelu(channels=true, init=normal(0.25, 0.1))", "he_normal", 180),
    ("elu", "he_normal", 180),
    ("elu(alpha=0.5)", "lecun_normal", 180),
    ("selu", "lecun_uniform", 180),
    ("gelu", "he_normal", 40),
    ("gelu(approx=tanh)", "lecun_normal", 40),
    ("silu", "he_normal", 40),
    ("mish", "he_normal", 40),
    ("mish", "lecun_uniform", 40),
    ("hardswish", "he_normal", 40),
    ("hardswish", "lecun_normal", 40),
    ("tanh", "orthogonal", 180),
    ("hardtanh", "lecun_normal", 180),
    ("hardtanh(lo=0)", "he_normal", 100),
    ("hardtanh(-0.5, 2)", "he_uniform", 100),
    ("softsign", "lecun_normal", 180),
    ("softsign", "he_normal", 180),
    ("sigmoid", "lecun_normal", 100),
    ("softplus", "lecun_normal", 100),
];

#[test]
fn every_activation_keeps_the_predicted_scales() {
    let mut wrong = Vec::new();
    for (act, init, least) in ACTIVATIONS {
        let compared = compare(&plain(act, init, WIDTH, 50), 1, 24);
        println!("{act}, {init}: {} values, {:.2}: {}", compared.values, compared.share, compared.worst);
        if compared.share > 1.0 {
            wrong.push(format!("{act}, {init}: {}", compared.worst));
        }
        if compared.values < *least {
            wrong.push(format!("{act}, {init}: {} values are comparable", compared.values));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Activations that a spec declares, among them one with steps and one with a kink between multiples of the grid.
#[test]
fn declared_activations_keep_the_predicted_scales() {
    let mut wrong = Vec::new();
    for (formula, init, least) in [
        ("x * tanh(softplus(x))", "he_normal", 40),
        ("max(0.1 * x, x)", "he_normal(a=0.1)", 180),
        ("max(min(1.7 * x, 1.3), -0.37)", "lecun_normal", 100),
        ("x + 0.3 * sin(2 * x)", "lecun_normal", 100),
        ("0.2 * x + (1 if x > 0.123 else -1)", "lecun_normal", 100),
    ] {
        let text = plain("own", init, WIDTH, 50)
            .replace("input x", &format!("activation own(x) = {formula}\ninput x"));
        let compared = compare(&text, 1, 24);
        println!("{formula}, {init}: {} values, {:.2}: {}", compared.values, compared.share, compared.worst);
        if compared.share > 1.0 || compared.values < least {
            wrong.push(format!("{formula}, {init}: {} values, {}", compared.values, compared.worst));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the registry holds is what the table above holds.
#[test]
fn no_activation_is_left_out() {
    let measured = |name: &str| ACTIVATIONS.iter().any(|(act, ..)| act.split('(').next() == Some(name));
    let missing: Vec<&str> = OpKind::ALL
        .iter()
        .filter(|op| op.group == "activation" && !measured(op.name))
        .map(|op| op.name)
        .collect();
    assert!(missing.is_empty(), "measure these in ACTIVATIONS: {}", missing.join(", "));
}

/// Other operators that a signal passes: norms of a sample, maps that grow, tokens that change places, gates, and heads.
#[test]
fn norms_layouts_gates_and_heads_keep_the_predicted_scales() {
    let out = "out: linear(128, init=lecun_normal)";
    let deep = |body: &str| format!("h: repeat 20 {{\n{body}\n}}\n{out}");
    let maps = |body: &str| format!("{body}\nflatten\n{out}");
    let head = |head: &str| {
        format!(
            "h: repeat 8 {{\nfc: linear(128, init=he_normal)\nrelu\n}}\nout: linear(128, init=lecun_normal)\np: {head}"
        )
    };
    let mixer = "h: repeat 8 {\ntokens: residual {\nlayer_norm\nt: transpose([2, 1])\na: linear(128, init=he_normal)\ngelu\n\
                 b: linear(32, init=lecun_normal)\nu: transpose([2, 1])\n}\nchannels: residual {\nlayer_norm\n\
                 c: linear(128, init=he_normal)\ngelu\nd: linear(128, init=lecun_normal)\n}\n}\nout: linear(16, init=lecun_normal)";
    let up = |how: &str| {
        maps(&format!(
            "a: conv2d(32, kernel=3, pad=1, init=he_normal)\nrelu\n{how}\nb: conv2d(32, kernel=3, pad=1, init=he_normal)\nrelu"
        ))
    };
    let gate = |act: &str| {
        format!(
            "a: linear(128, init=he_normal)\nrelu\nb: linear(128, init=lecun_normal)\ng: linear(128, init=lecun_normal) <- a.relu\n{act}\n\
             c: mul <- b, g.{act}\nd: linear(128, init=he_normal) <- c\nrelu\n{out}"
        )
    };
    let mut wrong = Vec::new();
    for (name, input, net) in [
        ("rms norm, relu", "128", deep("rms_norm\nfc: linear(128, init=lecun_normal)\nrelu")),
        ("rms norm behind, silu", "128", deep("fc: linear(128, init=lecun_normal)\nrms_norm\nsilu")),
        (
            "group norm, relu",
            "32, 6, 6",
            maps("h: repeat 6 {\nconv: conv2d(32, kernel=3, pad=1, init=he_normal)\ngroup_norm(4)\nrelu\n}"),
        ),
        (
            "group norm, hardswish",
            "32, 6, 6",
            maps(
                "h: repeat 6 {\nconv: conv2d(32, kernel=3, pad=1, init=he_normal)\ngroup_norm(4)\nhardswish\n}",
            ),
        ),
        (
            "transposed, kernel 4",
            "64, 4, 4",
            maps(
                "a: conv_transpose2d(64, kernel=4, stride=2, pad=1, init=he_normal)\nrelu\nb: conv_transpose2d(32, kernel=4, stride=2, pad=1, init=he_normal)\nrelu",
            ),
        ),
        (
            "transposed, kernel 2",
            "64, 4, 4",
            maps(
                "a: conv_transpose2d(64, kernel=2, stride=2, init=he_normal)\nrelu\nb: conv_transpose2d(32, kernel=2, stride=2, init=he_normal)\nrelu",
            ),
        ),
        (
            "transposed, kernel 3",
            "64, 5, 5",
            maps("a: conv_transpose2d(64, kernel=3, stride=2, pad=1, init=he_normal)\nrelu"),
        ),
        ("nearest", "32, 6, 6", up("up: upsample(2)")),
        ("bilinear", "32, 6, 6", up("up: upsample(2, mode=bilinear)")),
        ("token mixing", "32, 128", mixer.to_owned()),
        ("sigmoid gate", "128", gate("sigmoid")),
        ("silu gate", "128", gate("silu")),
        ("softmax", "128", head("softmax")),
        ("log softmax", "128", head("log_softmax")),
    ] {
        let compared = compare(&spec(input, &net), 1, 24);
        println!("{name}: {} values, {:.2}: {}", compared.values, compared.share, compared.worst);
        if compared.share > 1.0 {
            wrong.push(format!("{name}: {}", compared.worst));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Attention over 32 to 64 tokens, and the same written out as products and a softmax.
#[test]
fn attention_and_products_keep_the_predicted_scales() {
    let heads = |gain: &str, call: &str| {
        let init = format!("variance_scaling({gain}, fan_in, normal)");
        format!(
            "q: linear(128, init={init}) <- z\nk: linear(128, init={init}) <- z\nv: linear(128, init=lecun_normal) <- z\n\
             a: attention({call}) <- q, k, v\no: linear(128, init=lecun_normal)"
        )
    };
    let once = |gain: &str, call: &str| {
        format!("{}\nout: linear(32, init=lecun_normal)", heads(gain, call).replace("<- z", "<- x"))
    };
    let ff = "f: linear(256, init=he_normal)\ngelu\ng: linear(128, init=lecun_normal)";
    let stack = |count: usize, block: &str| {
        format!("h: repeat {count} {{\n{block}\n}}\nout: linear(32, init=lecun_normal)")
    };
    let pre = |call: &str| {
        let attention = heads("1", call);
        stack(
            6,
            &format!("residual {{\nz: layer_norm\n{attention}\n}}\nm: residual {{\nlayer_norm\n{ff}\n}}"),
        )
    };
    let post = |call: &str| {
        let attention = heads("1", call).replace("<- z", "<- in");
        stack(
            6,
            &format!("r: residual {{\n{attention}\n}}\nl: layer_norm\nm: residual {{\n{ff}\n}}\nlayer_norm"),
        )
    };
    let bare = |call: &str| stack(2, &format!("z: layer_norm\n{}", heads("1", call)));
    let written = "q: linear(128, init=variance_scaling(1/128, fan_in, normal)) <- x\nk: linear(128, init=lecun_normal) <- x\n\
                   v: linear(128, init=lecun_normal) <- x\ns: matmul(transpose_b=true) <- q, k\nsoftmax\n\
                   matmul <- s.softmax, v\nout: linear(64, init=lecun_normal)";
    let mut wrong = Vec::new();
    for (name, input, net) in [
        ("scores of variance 1", "64, 128", once("1", "4")),
        ("scores of variance 1/4", "64, 128", once("0.5", "4")),
        ("scores of variance 4", "64, 128", once("2", "4")),
        ("scores of variance 16", "64, 128", once("4", "4")),
        ("scores of variance 256", "64, 128", once("16", "4")),
        ("scores of variance 4096", "12, 128", once("64", "4")),
        ("one head", "64, 128", once("1", "1")),
        ("heads of four", "64, 128", once("1", "32")),
        ("no scale", "64, 128", once("1", "32, scale=1")),
        ("causal", "64, 128", once("1", "4, causal=true")),
        ("causal, variance 4", "64, 128", once("2", "4, causal=true")),
        ("pre-norm", "32, 128", pre("4")),
        ("pre-norm, causal", "32, 128", pre("4, causal=true")),
        ("post-norm", "32, 128", post("4")),
        ("no residual", "32, 128", bare("4")),
        ("products", "24, 128", written.to_owned()),
    ] {
        let compared = compare(&spec(input, &net), 1, 16);
        println!("{name}: {} values, {:.2}: {}", compared.values, compared.share, compared.worst);
        if compared.share > 1.0 {
            wrong.push(format!("{name}: {}", compared.worst));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn residual_networks_keep_the_predicted_scales() {
    for (name, block, batch) in [
        ("x + W relu(x)", "relu\nfc: linear(128, init=he_normal)", 1),
        ("x + relu(W x)", "fc: linear(128, init=he_normal)\nrelu", 1),
        ("zero branches", "fc: linear(128, init=he_normal)\nrelu\ng: linear(128, init=zeros)", 1),
        (
            "pre-norm",
            "layer_norm\nfc: linear(128, init=he_normal)\nrelu\ng: linear(128, init=lecun_normal)",
            1,
        ),
        (
            "pre-batch-norm",
            "batch_norm\nfc: linear(128, init=he_normal)\nrelu\ng: linear(128, init=lecun_normal)",
            64,
        ),
        ("norm in the branch", "relu\nfc: linear(128, init=he_normal)\nbatch_norm", 64),
    ] {
        agrees(name, &residual(block, WIDTH, 20), batch, 16);
    }
    let post = "h: repeat 20 {\nresidual {\nfc: linear(128, init=he_normal)\nrelu\ng: linear(128, init=lecun_normal)\n}\n\
                layer_norm\n}\nout: linear(128, init=lecun_normal)";
    agrees("post-norm", &spec("128", post), 1, 16);
}

/// Streams that run through activations: what they carry is not Gaussian, and a unit that is on stays on.
#[test]
fn post_activation_residual_networks_keep_the_predicted_scales() {
    let mut wrong = Vec::new();
    let mut check = |name: &str, text: &str, batch: usize| {
        let compared = compare(text, batch, 16);
        println!("{name}: {} values, {:.2}: {}", compared.values, compared.share, compared.worst);
        if compared.share > 1.0 {
            wrong.push(format!("{name}: {}", compared.worst));
        }
    };
    for act in ["relu", "gelu", "silu", "tanh"] {
        let two = |norm: &str| {
            format!(
                "a: linear(128, init=he_normal)\n{norm}\n{act}\nb: linear(128, init=lecun_normal)\n{norm}"
            )
        };
        for (name, branch, batch) in [
            ("two layers", two(""), 1),
            ("one layer", "a: linear(128, init=lecun_normal)".to_owned(), 1),
            ("layer norm", two("layer_norm"), 1),
            ("batch norm", two("batch_norm"), 128),
        ] {
            let body = format!(
                "stem: linear(128, init=lecun_normal)\n{act}\nh: repeat 20 {{\nres: residual {{\n{branch}\n}}\n\
                 act: {act}\n}}\nout: linear(128, init=lecun_normal)"
            );
            check(&format!("{act}, {name}"), &spec("128", &body), batch);
        }
    }
    // As in ResNets: maps that shrink while channels grow, the shortcut projected where they do.
    let stage = |channels: usize, stride: usize| {
        format!(
            "s{channels}: residual {{\na: conv2d({channels}, kernel=3, stride={stride}, pad=1, bias=false, init=he_normal)\nbatch_norm\n\
             relu\nb: conv2d({channels}, kernel=3, pad=1, bias=false, init=he_normal)\nbatch_norm\n}} \
             shortcut {{\nconv: conv2d({channels}, kernel=1, stride={stride}, bias=false, init=he_normal)\nbatch_norm\n}}\nrelu\n\
             t{channels}: repeat 4 {{\nres: residual {{\na: conv2d({channels}, kernel=3, pad=1, bias=false, init=he_normal)\nbatch_norm\n\
             relu\nb: conv2d({channels}, kernel=3, pad=1, bias=false, init=he_normal)\nbatch_norm\n}}\nact: relu\n}}"
        )
    };
    let net =
        format!("{}\n{}\nglobal_avg_pool\nout: linear(64, init=lecun_normal)", stage(32, 1), stage(64, 2));
    check("resnet", &spec("32, 12, 12", &net), 16);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn normalised_networks_keep_the_predicted_scales() {
    for act in ["relu", "tanh", "gelu", "sigmoid", "leaky_relu(0.2)"] {
        agrees(
            &format!("layer norm, {act}"),
            &plain(&format!("layer_norm\n{act}"), "lecun_normal", WIDTH, 20),
            1,
            16,
        );
        agrees(
            &format!("batch norm, {act}"),
            &plain(&format!("batch_norm\n{act}"), "lecun_normal", WIDTH, 10),
            128,
            16,
        );
    }
}

#[test]
fn convolutions_pools_dropout_and_concat_keep_the_predicted_scales() {
    let stack = |channels: usize, pad: &str, act: &str, depth: usize, end: &str| {
        format!(
            "h: repeat {depth} {{\nconv: conv2d({channels}, kernel=3, pad={pad}, init=he_normal)\n{act}\n}}\n{end}"
        )
    };
    let flat = "flatten\nout: linear(128, init=lecun_normal)";
    for (name, input, net) in [
        ("padded relu", "32, 8, 8", stack(32, "1", "relu", 20, flat)),
        ("padded tanh", "32, 8, 8", stack(32, "1", "tanh", 10, flat)),
        ("wide padding", "16, 6, 9", stack(16, "2", "leaky_relu(0.2)", 6, flat)),
        ("no padding", "32, 15, 15", stack(32, "0", "relu", 7, flat)),
        (
            "global pool",
            "32, 8, 8",
            stack(32, "1", "relu", 6, "global_avg_pool\nout: linear(128, init=lecun_normal)"),
        ),
        ("max pools", "16, 16, 16", stack(32, "1", "relu\nmax_pool(2)", 3, flat)),
        ("avg pools", "16, 16, 16", stack(32, "1", "relu\navg_pool(2)", 3, flat)),
        ("conv, norm", "16, 8, 8", stack(32, "1", "batch_norm\nrelu", 6, flat)),
    ] {
        agrees(name, &spec(input, &net), if name == "conv, norm" { 8 } else { 1 }, 16);
    }
    agrees("dropout", &plain("relu\ndropout(0.4)", "he_normal", WIDTH, 15), 1, 24);
    agrees("alpha dropout", &plain("selu\nalpha_dropout(0.2)", "lecun_normal", WIDTH, 15), 1, 24);
    let concat = "a: linear(128, init=he_normal)\nrelu\nb: linear(128, init=lecun_normal)\nc: concat <- b, a.relu\n\
                  d: linear(128, init=he_normal) <- c\nrelu\nout: linear(128, init=lecun_normal)";
    agrees("concat", &spec("128", concat), 1, 24);
}

/// The analysis of a spec, and the value of a layer by its path.
fn analysed(text: &str) -> (Compiled, Signal) {
    let compiled = load(text);
    let signal = signal::analyse(&compiled.graph, Mode::Train);
    (compiled, signal)
}

fn at(graph: &Graph, path: &str) -> Handle<Node> {
    let found = graph.nodes.iter().find(|(_, node)| node.path.to_string() == path);
    found.unwrap_or_else(|| panic!("no node {path}")).0
}

/// Whether a number has the printed digits of another.
fn printed(x: f64, digits: &str) -> bool {
    let mantissa = digits.split('e').next().expect("digits");
    let figures = mantissa.chars().filter(char::is_ascii_digit).skip_while(|c| *c == '0').count();
    let want: f64 = digits.parse().expect("a number");
    format!("{x:.*e}", figures - 1).parse::<f64>().is_ok_and(|x| (x / want - 1.0).abs() < 1e-9)
}

#[test]
fn closed_forms_of_plain_networks_have_the_published_digits() {
    for (act, init, depth, q, ratio) in [
        ("relu", "he_normal", 50, "2", "1"),
        ("relu", "xavier_normal", 50, "1.8e-15", "1.8e-15"),
        ("relu", "torch_default, bias_init=torch_default", 50, "1.04e-3", "7.4e-39"),
        ("tanh", "xavier_normal", 50, "0.0104", "0.0146"),
        ("tanh", "variance_scaling(25/9, fan_in, normal)", 50, "1.178", "6355"),
        ("elu", "lecun_normal", 50, "0.00281", "0.00351"),
        ("selu", "lecun_normal", 50, "1", "29.6"),
        ("sigmoid", "xavier_normal", 20, "0.265", "1.2e-24"),
        ("softplus", "xavier_normal", 20, "0.856", "5.8e-11"),
        ("silu", "he_normal", 30, "4.5e-8", "3.6e-8"),
        ("gelu", "he_normal", 20, "0.0054", "0.0076"),
        ("tanh", "normal(1)", 20, "368", "3.2e19"),
    ] {
        let (compiled, signal) = analysed(&plain(act, init, 384, depth));
        let (first, last) =
            (at(&compiled.graph, "h[0].fc"), at(&compiled.graph, &format!("h[{}].fc", depth - 1)));
        let found = signal.node(last).expect("a known value").square();
        assert!(printed(found, q), "{act} {init}: q {found:.6e}, not {q}");
        let energy = |node: Handle<Node>| signal.energies[node.index()].ln.lo;
        let found = (energy(first) - energy(last)).exp();
        assert!(printed(found, ratio), "{act} {init}: gradient {found:.6e}, not {ratio}");
    }
}

#[test]
fn closed_forms_of_blocks_and_norms_have_the_published_digits() {
    // The lower end of an energy is that of infinite width.
    // Fifty blocks x + f(x): the stream's second moment at the end and the gradient's energy at the first block. So wide that the
    // two directions which layer norm takes away do not count.
    let w = 20_000;
    let block = |body: &str| format!("relu\nfc: linear({w}, init={body})");
    for (name, body, forward, back) in [
        ("no norm", block("he_normal"), "1.13e15", "1.13e15"),
        ("1/sqrt L", block("variance_scaling(2/50, fan_in, normal)"), "2.69", "2.69"),
        ("zero", block("zeros"), "1", "1"),
        ("pre-norm", format!("layer_norm\n{}", block("he_normal")), "51", "51"),
        (
            "pre-norm, 1/sqrt 2L",
            format!("layer_norm\n{}", block("variance_scaling(2/100, fan_in, normal)")),
            "1.5",
            "1.5",
        ),
        ("norm in the branch", format!("{}\nbatch_norm", block("he_normal")), "51", "248"),
        ("pre-activation", format!("batch_norm\n{}", block("he_normal")), "51", "153"),
    ] {
        let (compiled, signal) = analysed(&residual(&body, w, 50));
        let graph = &compiled.graph;
        let out = at(graph, "out");
        let wellposed::graph::Source::Node(stream) = graph.nodes[out].inputs[0] else { panic!("a node") };
        let found = signal.node(stream).expect("a known value");
        assert!(printed(found.square(), forward), "{name}: stream {}, not {forward}", found.square());
        if name == "pre-activation" {
            // 1 + 50 (pi - 1) / pi is the variance over the batch.
            assert!(printed(found.square() * found.contrast, "35.1"), "{}", found.square() * found.contrast);
        }
        let first = graph.nodes.iter().find(|(_, node)| node.op.name() == "add").expect("a sum").0;
        let energy = |node: Handle<Node>| signal.energies[node.index()].ln.lo;
        // The first sum has all blocks but one behind it; the first block itself is the first factor of the product.
        let blocks = graph.nodes.iter().filter(|(_, node)| node.op.name() == "add").count();
        assert_eq!(blocks, 50);
        let at_first = match name {
            "no norm" => 2f64.ln(),
            "1/sqrt L" => 1.02f64.ln(),
            "zero" => 0.0,
            "pre-norm, 1/sqrt 2L" => 1.01f64.ln(),
            "norm in the branch" => (1.0 + std::f64::consts::PI / (std::f64::consts::PI - 1.0)).ln(),
            _ => 2f64.ln(),
        };
        let found = (energy(first) - energy(stream) + at_first).exp();
        assert!(printed(found, back), "{name}: gradient {found}, not {back}");
    }
    // Per layer of a plain stack: chi = E f'^2 / Var f with batch norm, E f'^2 / E f^2 with layer norm.
    for (norm, act, chi) in [
        ("batch_norm", "relu", "1.467"),
        ("batch_norm", "leaky_relu(0.2)", "1.244"),
        ("batch_norm", "gelu", "1.319"),
        ("batch_norm", "silu", "1.212"),
        ("batch_norm", "tanh", "1.178"),
        ("batch_norm", "selu", "1.072"),
        ("batch_norm", "sigmoid", "1.034"),
        ("layer_norm", "relu", "1"),
        ("layer_norm", "gelu", "1.072"),
        ("layer_norm", "silu", "1.067"),
        ("layer_norm", "tanh", "1.178"),
        ("layer_norm", "sigmoid", "0.1528"),
    ] {
        let act = format!("{norm}(eps=1e-12)\n{act}");
        let (compiled, signal) = analysed(&plain(&act, "lecun_normal", w, 6));
        let energy = |path: &str| signal.energies[at(&compiled.graph, path).index()].ln.lo;
        let found = (energy("h[3].fc") - energy("h[4].fc")).exp();
        assert!(
            printed(found, chi) || (found - chi.parse::<f64>().expect("a number")).abs() < 5.1e-4,
            "{act}: {found}, not {chi}"
        );
    }
}

/// Twenty padded convolutions with ReLU: the second moment behind them, over that without borders, and the gradient's energy at the
/// first over that at the last.
#[test]
fn padding_costs_the_published_share() {
    for (size, forward, back) in [(8, "0.155", "0.168"), (16, "0.480", "0.492"), (32, "0.716", "0.724")] {
        let net = "h: repeat 19 {\nconv: conv2d(8, kernel=3, pad=1, init=he_normal)\nrelu\n}\nout: conv2d(8, kernel=3, pad=1, init=he_normal)";
        let (compiled, signal) = analysed(&spec(&format!("8, {size}, {size}"), net));
        let graph = &compiled.graph;
        // The first input has second moment 1, not 1/2.
        let out = signal.node(at(graph, "out")).expect("a known value");
        assert!(out.ln_square.lo == out.ln_square.hi, "no interval");
        assert!(printed(0.5 * out.square(), forward), "{size}: {} forward", 0.5 * out.square());
        let energy = &signal.energies[at(graph, "h[0].conv").index()];
        assert!(printed(energy.ln.middle().exp(), back), "{size}: {} back", energy.ln.middle().exp());
    }
}

/// Draws the weights of the layers anew, keeping everything else.
fn redrawn(graph: &Graph, seed: u64, draw: impl Fn(usize, usize, &Normals) -> Vec<f64>) -> Weights {
    let mut weights = Weights::draw(graph, seed);
    for (handle, param) in graph.params.iter() {
        if let [out, inward] = param.spec.dims[..] {
            let normals = Normals { seed, stream: handle.index() as u64 };
            weights.params[handle.index()].data = draw(out, inward, &normals);
        }
    }
    weights
}

/// Standard normals of a tensor.
struct Normals {
    seed: u64,
    stream: u64,
}

impl Normals {
    fn take(&self, n: usize) -> Vec<f64> {
        wellposed::inits::standard_normal(
            n,
            wellposed::tensor::Draws { seed: self.seed, stream: self.stream },
        )
    }
}

/// Q of a Householder QR as LAPACK leaves it: each reflection turns a column onto minus the sign of its head, and nothing makes
/// the diagonal of R positive, so that Q is not distributed evenly.
fn raw_qr(n: usize, normals: &Normals, gain: f64) -> Vec<f64> {
    // Columns of A, one after the other.
    let mut a = normals.take(n * n);
    let mut reflections: Vec<Vec<f64>> = Vec::new();
    for k in 0..n {
        let mut v = a[k * n + k..(k + 1) * n].to_vec();
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v[0] += norm.copysign(v[0]);
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.iter_mut().for_each(|x| *x /= length);
        for column in a[k * n..].chunks_exact_mut(n) {
            reflect(&v, &mut column[k..]);
        }
        reflections.push(v);
    }
    let mut q = vec![0.0; n * n];
    for (j, column) in q.chunks_exact_mut(n).enumerate() {
        column[j] = gain;
        for (k, v) in reflections.iter().enumerate().rev() {
            reflect(v, &mut column[k..]);
        }
    }
    q
}

fn reflect(v: &[f64], x: &mut [f64]) {
    let along: f64 = 2.0 * v.iter().zip(x.iter()).map(|(a, b)| a * b).sum::<f64>();
    x.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
}

fn judged(text: &str, draw: impl Fn(&Graph, u64) -> Weights) -> Overall {
    let compiled = load(text);
    let graph = &compiled.graph;
    let runnable = Runnable::new(graph).expect("a complete graph");
    let samples = Samples::draw(graph, 1, 0);
    let subject = Subject { graph, runnable, samples: &samples };
    let feeds = inputs(subject, 5);
    let scales: Scales = measure(runnable, &feeds, Mode::Train, 0..24, |seed| draw(graph, seed));
    judge(subject, &feeds, &scales)
}

#[test]
fn faulty_samplers_are_found() {
    let relu = plain("relu", "he_normal", WIDTH, 10);
    let sound = judged(&relu, Weights::draw);
    assert_eq!(sound.verdict, Verdict::Pass, "{}", sound.detail);
    // Uniform on [0, 1) times the standard deviation where it should be centred.
    let one_sided = judged(&relu, |graph, seed| {
        redrawn(graph, seed, |out, inward, normals| {
            let std = (2.0 / size(inward)).sqrt();
            let below = |z: f64| 1.0 / (1.0 + (-1.702 * z).exp());
            normals.take(out * inward).into_iter().map(|z| std * below(z)).collect()
        })
    });
    assert_eq!(one_sided.verdict, Verdict::Fail, "uniform [0, 1): {}", one_sided.detail);
    // fan_out where fan_in is meant, in layers that change the width.
    let narrowing = spec(
        "256",
        "a: linear(128, init=he_normal)\nrelu\nb: linear(64, init=he_normal)\nrelu\nout: linear(32, init=lecun_normal)",
    );
    assert_eq!(judged(&narrowing, Weights::draw).verdict, Verdict::Pass);
    let wrong_axis = judged(&narrowing, |graph, seed| {
        redrawn(graph, seed, |out, inward, normals| {
            let std = (2.0 / size(out)).sqrt();
            normals.take(out * inward).into_iter().map(|z| std * z).collect()
        })
    });
    assert_eq!(wrong_axis.verdict, Verdict::Fail, "fan of the wrong axis: {}", wrong_axis.detail);
    // Orthogonal matrices from raw QR.
    let gain = 2f64.sqrt();
    let orthogonal = plain("relu", &format!("orthogonal(gain={gain})"), WIDTH, 40)
        .replace("lecun_normal", &format!("orthogonal(gain={gain})"));
    let raw =
        judged(&orthogonal, |graph, seed| redrawn(graph, seed, |out, _, normals| raw_qr(out, normals, gain)));
    assert_eq!(raw.verdict, Verdict::Fail, "raw QR: {}", raw.detail);
    let even = judged(&orthogonal, |graph, seed| {
        redrawn(graph, seed, |out, _, normals| {
            // A random sign of every row and column makes it even enough: Q D and D Q are distributed as Q for an even Q.
            let mut q = raw_qr(out, normals, gain);
            let signs = Normals { seed: normals.seed, stream: normals.stream + 1000 }.take(out);
            q.chunks_exact_mut(out).zip(&signs).for_each(|(column, sign)| {
                column.iter_mut().for_each(|x| *x *= sign.signum());
            });
            q
        })
    });
    assert_eq!(even.verdict, Verdict::Pass, "{}", even.detail);
}

#[test]
fn sound_specs_are_silent_for_many_seeds() {
    let mut passed = 0;
    for path in specs("specs/quickstart").into_iter().chain(specs("specs/deep")) {
        let compiled = compile(&path, &Memory::default()).expect("a spec");
        let graph = &compiled.graph;
        let runnable = Runnable::new(graph).expect("a complete graph");
        let samples = Samples::draw(graph, 1, 0);
        for seed in 0..10 {
            let found = predicted_scale(
                Subject { graph, runnable, samples: &samples },
                seed * 1000,
                Fault::default(),
            );
            assert_ne!(found.verdict, Verdict::Fail, "{} seed {seed}: {}", path.display(), found.detail);
            passed += usize::from(found.verdict == Verdict::Pass);
        }
    }
    assert!(passed >= 50, "{passed} runs said something");
}

#[test]
fn depth_scales_are_said_in_words() {
    let words = |path: &str| {
        let compiled = compile(Path::new(path), &Memory::default()).expect("a spec");
        Depth::of(&compiled.graph, &compiled.signal).expect("a deep net").words()
    };
    let said = words("specs/faulty/xavier_before_relu.nn");
    assert_eq!(said[0], "the signal falls by e every 2.9 layers; over 19 layers that is x0.001381");
    let said = words("specs/faulty/deep_sigmoids.nn");
    assert!(said[1].starts_with("the gradient's energy, going back, falls by e^2.9 every layer"), "{said:?}");
    // V of ln q at width 32: 3/32 a layer behind a held input, and 5/32 later: it passes 2 before layer 15.
    let (compiled, signal) = analysed(&plain("relu", "he_normal", 32, 40));
    let said = Depth::of(&compiled.graph, &signal).expect("a deep net").words();
    let seed = said
        .iter()
        .find(|line| line.contains("depends on the seed"))
        .expect("a narrow net is said to scatter");
    assert!(seed.starts_with("from layer 14 of 40 the scale of the signal"), "{seed}");
    // Two norms a block: growth behind norms is told apart.
    let said = words("specs/good/vgg16_bn.nn");
    assert!(said[3].contains("arises behind norms"), "{said:?}");
    // Branches that end in zero weights: the stream goes on.
    let said = words("specs/deep/residual50.nn");
    assert_eq!(said[0], "the signal keeps its scale over 48 layers (x1)");
    // Where nothing flows, nothing keeps its scale.
    let said = words("specs/faulty/zeros_everywhere.nn");
    assert!(said[..3].iter().all(|line| line.contains("is gone after")), "{said:?}");
}
