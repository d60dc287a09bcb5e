//! Convolution, pools, dropout and batch norm against their definitions, written out naively here, through compiled specs.

use crate::support::Memory;
use wellposed::exec::{Gradients, Keep, Objective, Registry, Session, Settings, Tapes, Weights};
use wellposed::graph::{Graph, Runnable, Verified};
use wellposed::optim;
use wellposed::pipeline::compile;
use wellposed::tensor::{Draws, Mode, Tensor, stream};
use wellposed::{inits, ops};

const TRAIN: Settings = Settings { mode: Mode::Train, seed: 5, penalties: false };

fn graph(input: &str, call: &str) -> Verified<Graph> {
    let text = format!("spec 1\nmodel m()\ninput x: f64[B, {input}]\nnet {{ it: {call} }}\n");
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text.as_str())).expect("the spec is there");
    let first = compiled.found.iter().find(|found| found.severity == wellposed::diag::Severity::Error);
    assert!(first.is_none(), "{text}: {first:?}");
    compiled.graph
}

fn normal(n: usize, name: &str) -> Vec<f64> {
    inits::standard_normal(n, Draws { seed: 11, stream: stream(name) })
}

/// The input of a batch.
fn input(graph: &Graph, batch: usize) -> Tensor {
    let (_, feed) = graph.feeds.iter().next().expect("an input");
    let dims = feed.shape.as_ref().expect("a shape").with_batch(batch);
    Tensor::new(dims.clone(), normal(dims.iter().product(), "x"))
}

struct Run {
    output: Vec<f64>,
    dims: Vec<usize>,
    /// The derivatives of the weighted sum of the outputs.
    gradients: Gradients,
    cotangent: Vec<f64>,
    weights: Weights,
}

/// Value and gradients of a graph of one node.
fn run(graph: &Verified<Graph>, x: &Tensor, settings: Settings) -> Run {
    let batch = x.dims[0];
    let runnable = Runnable::new(graph).expect("a complete graph");
    let weights = Weights::draw(graph, 3);
    let feeds = [x.clone()];
    let mut session: Session<'_, f64> = Session::new(runnable, batch, Keep::All);
    session.forward(&weights.at(&feeds), settings, Tapes::Live);
    let node = graph.nodes.handles().next().expect("a node");
    let dims = graph.nodes[node].shape.as_ref().expect("a shape").with_batch(batch);
    let output = session.value(node).plane(0).to_vec();
    // The objective is a mean over the batch; weights that grow with it make a plain sum of it.
    let cotangent = normal(output.len(), "cotangent");
    #[expect(clippy::cast_precision_loss, reason = "a small batch")]
    let projection = cotangent.iter().map(|c| c * batch as f64).collect();
    let mut gradients = Gradients::zeros::<f64>(graph, batch);
    session.backward(
        &Objective::Projection(projection),
        &weights.at(&feeds),
        settings,
        &Registry,
        &mut gradients,
    );
    Run { output, dims, gradients, cotangent, weights }
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// One axis of a convolution.
#[derive(Clone, Copy)]
struct Axis {
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
}

impl Axis {
    fn positions(self, n: usize) -> usize {
        (n + self.before + self.after - (self.kernel - 1) * self.dilation - 1) / self.stride + 1
    }

    /// The element that a tap meets, if it meets one.
    fn place(self, position: usize, tap: usize, n: usize) -> Option<usize> {
        (position * self.stride + tap * self.dilation).checked_sub(self.before).filter(|&at| at < n)
    }
}

/// A convolution and its derivatives by the definition: seven loops.
struct Naive {
    output: Vec<f64>,
    by_x: Vec<f64>,
    by_weight: Vec<f64>,
    by_bias: Vec<f64>,
}

fn naive(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    groups: usize,
    axes: [Axis; 2],
    cotangent: &[f64],
) -> Naive {
    let [batch, channels, height, width] = x.dims[..] else { panic!("maps") };
    let [outputs, own, kh, kw] = weight.dims[..] else { panic!("a kernel") };
    assert_eq!(own * groups, channels);
    let (oh, ow) = (axes[0].positions(height), axes[1].positions(width));
    let mut result = Naive {
        output: vec![0.0; batch * outputs * oh * ow],
        by_x: vec![0.0; x.data.len()],
        by_weight: vec![0.0; weight.data.len()],
        by_bias: vec![0.0; outputs],
    };
    for b in 0..batch {
        for o in 0..outputs {
            for p in 0..oh {
                for q in 0..ow {
                    let at = ((b * outputs + o) * oh + p) * ow + q;
                    result.output[at] += bias.map_or(0.0, |bias| bias.data[o]);
                    result.by_bias[o] += cotangent[at];
                    for c in 0..own {
                        for i in 0..kh {
                            for j in 0..kw {
                                let channel = o / (outputs / groups) * own + c;
                                let place = axes[0].place(p, i, height).zip(axes[1].place(q, j, width));
                                let Some((row, column)) = place else { continue };
                                let from = ((b * channels + channel) * height + row) * width + column;
                                let tap = ((o * own + c) * kh + i) * kw + j;
                                result.output[at] += weight.data[tap] * x.data[from];
                                result.by_x[from] += weight.data[tap] * cotangent[at];
                                result.by_weight[tap] += x.data[from] * cotangent[at];
                            }
                        }
                    }
                }
            }
        }
    }
    result
}

fn check_conv(
    input_dims: [usize; 3],
    batch: usize,
    out: usize,
    groups: usize,
    pad: &str,
    bias: bool,
    axes: [Axis; 2],
) {
    let [c, h, w] = input_dims;
    let [a, b] = axes;
    let call = format!(
        "conv2d({out}, kernel=[{}, {}], stride=[{}, {}], dilation=[{}, {}], pad={pad}, groups={groups}, bias={bias}, \
         init=normal(1), bias_init=normal(1))",
        a.kernel, b.kernel, a.stride, b.stride, a.dilation, b.dilation
    );
    let graph = graph(&format!("{c}, {h}, {w}"), &call);
    let x = input(&graph, batch);
    let run = run(&graph, &x, TRAIN);
    assert_eq!(run.dims, [batch, out, a.positions(h), b.positions(w)], "{call}");
    let want = naive(&x, &run.weights.params[0], run.weights.params.get(1), groups, axes, &run.cotangent);
    // Sums of n products of standard normal draws, which stay below 6 in magnitude, so that the sum of the products' magnitudes is below
    // 36 n; two orders of summation differ by at most n 2^-52 of that.
    let bound = |n: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let n = n as f64;
        36.0 * n * n * f64::EPSILON
    };
    let taps = c / groups * a.kernel * b.kernel;
    let pairs: [(&str, &[f64], &[f64], usize); 3] = [
        ("output", &run.output, &want.output, taps + 1),
        ("derivative by x", &run.gradients.feeds[0], &want.by_x, out / groups * a.kernel * b.kernel),
        ("derivative by weight", &run.gradients.params[0], &want.by_weight, run.output.len() / out),
    ];
    for (what, found, want, n) in pairs {
        let difference = largest_difference(found, want);
        assert!(difference <= bound(n), "{call}: {what} is off by {difference:e}, bound {:e}", bound(n));
    }
    if bias {
        let difference = largest_difference(&run.gradients.params[1], &want.by_bias);
        assert!(difference <= bound(run.output.len() / out), "{call}: derivative by bias");
    }
}

#[test]
fn conv2d_is_its_definition() {
    let mut cases = 0;
    for kernel in [[1, 1], [3, 3], [2, 3], [5, 1]] {
        for stride in [[1, 1], [2, 1], [2, 3]] {
            for dilation in [[1, 1], [2, 3]] {
                for pad in [[0, 0], [1, 2], [2, 0]] {
                    for (groups, out) in [(1, 3), (2, 4), (4, 4), (4, 8)] {
                        let axes = [0, 1].map(|i| Axis {
                            kernel: kernel[i],
                            stride: stride[i],
                            dilation: dilation[i],
                            before: pad[i],
                            after: pad[i],
                        });
                        let text = format!("[{}, {}]", pad[0], pad[1]);
                        check_conv([4, 10, 9], 2, out, groups, &text, cases % 2 == 0, axes);
                        cases += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cases, 288);
}

/// PyTorch's `padding='same'`: half of (kernel - 1) dilation zeros before, the rest behind.
#[test]
fn same_keeps_the_size_also_for_even_kernels() {
    for kernel in 1..6 {
        for dilation in 1..4 {
            let total = (kernel - 1) * dilation;
            let axis = Axis { kernel, stride: 1, dilation, before: total / 2, after: total - total / 2 };
            let one = Axis { kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };
            check_conv([2, 6, 5], 3, 2, 1, "same", true, [axis, Axis { dilation: 1, ..one }]);
            check_conv([2, 6, 5], 3, 2, 2, "same", true, [axis, axis]);
        }
    }
}

/// More positions than a tile has: tiles that end inside a map, and tiles that span samples.
#[test]
fn tiles_cover_large_maps_and_many_samples() {
    let axis = |kernel, stride| Axis { kernel, stride, dilation: 1, before: 1, after: 1 };
    check_conv([2, 37, 41], 2, 3, 1, "1", true, [axis(3, 1), axis(3, 1)]);
    check_conv([3, 5, 6], 45, 6, 3, "1", true, [axis(3, 1), axis(2, 2)]);
    check_conv([1, 2, 700], 2, 2, 1, "1", false, [axis(3, 2), axis(3, 1)]);
}

#[test]
fn max_pool_takes_the_first_of_equal_maxima() {
    let graph = graph("1, 2, 4", "max_pool(2)");
    let x = Tensor::new(vec![1, 1, 2, 4], vec![1.0, 3.0, 7.0, 7.0, 3.0, 3.0, 7.0, 0.0]);
    let run = run(&graph, &x, TRAIN);
    assert_eq!(run.output, [3.0, 7.0]);
    let [a, b] = run.cotangent[..] else { panic!("two outputs") };
    assert_eq!(run.gradients.feeds[0], [0.0, a, b, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn max_pool_ignores_padding_and_adds_up_over_overlaps() {
    let graph = graph("1, 3, 3", "max_pool(3, stride=1, pad=1)");
    let x = Tensor::new(vec![1, 1, 3, 3], vec![-9.0, -8.0, -7.0, -6.0, -1.0, -5.0, -4.0, -3.0, -2.0]);
    let run = run(&graph, &x, TRAIN);
    assert_eq!(run.output, [-1.0; 9], "a zero of the padding never wins");
    let sum: f64 = run.cotangent.iter().sum();
    assert!((run.gradients.feeds[0][4] - sum).abs() < 1e-14);
    assert_eq!(run.gradients.feeds[0].iter().filter(|g| **g != 0.0).count(), 1);
}

#[test]
fn avg_pool_counts_padding() {
    let graph = graph("1, 2, 2", "avg_pool(2, stride=2, pad=1)");
    let x = Tensor::new(vec![1, 1, 2, 2], vec![4.0, 8.0, 12.0, 16.0]);
    let run = run(&graph, &x, TRAIN);
    assert_eq!(run.output, [1.0, 2.0, 3.0, 4.0]);
    let want: Vec<f64> = run.cotangent.iter().map(|c| c / 4.0).collect();
    assert_eq!(run.gradients.feeds[0], want);
}

/// The mask is drawn in the order of the elements, so a sample's mask depends on its place in the batch and not on how many come
/// after it. Another place, another seed or another path gives another mask.
#[test]
fn the_mask_of_dropout_is_a_prefix_of_one_stream() {
    let graph = graph("50", "dropout(0.25)");
    let ones = |batch: usize| Tensor::full(vec![batch, 50], 1.0);
    let large = run(&graph, &ones(8), TRAIN).output;
    assert_eq!(run(&graph, &ones(3), TRAIN).output, large[..150]);
    assert_ne!(large[..50], large[50..100]);
    assert_ne!(run(&graph, &ones(8), Settings { seed: 6, ..TRAIN }).output, large);
    // Kept elements are scaled by 1/(1 - p); of 400 a binomial number with standard deviation 8.7 is dropped.
    let dropped = large.iter().filter(|x| **x == 0.0).count();
    assert!((60..=140).contains(&dropped), "{dropped}");
    assert!(large.iter().all(|x| *x == 0.0 || *x == 1.0 / 0.75));
    let reverse = run(&graph, &ones(8), TRAIN);
    let masked: Vec<f64> = reverse.cotangent.iter().zip(&large).map(|(c, m)| c * m).collect();
    assert_eq!(reverse.gradients.feeds[0], masked, "the reverse rule draws the same mask");
    assert_eq!(run(&graph, &ones(2), Settings { mode: Mode::Eval, ..TRAIN }).output, [1.0; 100]);
}

/// `running = 0.7 running + 0.3 batch`, twice, with the unbiased variance (PyTorch's `momentum=0.3`).
#[test]
fn batch_norm_updates_running_statistics_as_pytorch_does() {
    let text = "spec 1\nmodel m()\ninput x: f64[B, 2, 1, 2]\nnet { it: batch_norm(momentum=0.3) }\n";
    let graph = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there").graph;
    let x =
        Tensor::new(vec![3, 2, 1, 2], vec![1.0, 2.0, 10.0, 10.0, 3.0, 4.0, 10.0, 10.0, 5.0, 9.0, 10.0, 16.0]);
    // Channel 0: 1 2 3 4 5 9, mean 4, squares 40; channel 1: 10 10 10 10 10 16, mean 11, squares 30.
    let (means, variances) = ([4.0, 11.0], [40.0 / 5.0, 30.0 / 5.0]);
    let runnable = Runnable::new(&graph).expect("a complete graph");
    let mut session: Session<'_, f64> = Session::new(runnable, 3, Keep::All);
    let mut weights = Weights::draw(&graph, 0);
    let objective = Objective::Projection(vec![1.0; 4]);
    let frozen = wellposed::graph::Optimizer::Sgd { lr: 0.0, momentum: 0.0 };
    optim::train(&mut session, &objective, &frozen, 2, 0, &[x], &mut weights);
    for c in 0..2 {
        let twice = |old: f64, new: f64| 0.7 * (0.7 * old + 0.3 * new) + 0.3 * new;
        assert!((weights.states[0].data[c] - twice(0.0, means[c])).abs() < 1e-14);
        assert!((weights.states[1].data[c] - twice(1.0, variances[c])).abs() < 1e-14);
    }
}

#[test]
fn batch_norm_of_a_single_value_is_beta() {
    let graph = graph("4", "batch_norm(gamma=normal(1), beta=normal(1))");
    let run = run(&graph, &input(&graph, 1), TRAIN);
    assert_eq!(run.output, run.weights.params[1].data);
    assert_eq!(run.gradients.feeds[0], [0.0; 4]);
}

/// PyTorch reads both fans off the weight's shape, so that fan_out ignores the groups.
#[test]
fn conv2d_has_the_fans_of_pytorch() {
    let graph = graph("8, 9, 9", "conv2d(16, kernel=[3, 5], groups=4, init=he_normal)");
    let (_, weight) = graph.params.iter().next().expect("a weight");
    assert_eq!(weight.spec.dims, [16, 2, 3, 5]);
    assert_eq!((weight.spec.fan_in, weight.spec.fan_out), (2 * 15, 16 * 15));
    assert_eq!(weight.spec.role, ops::Role::Kernel);
}

/// The finding for a call that does not fit: its code and the text it points at.
fn misfit(input: &str, call: &str) -> (String, String, String) {
    let text = format!("spec 1\nmodel m()\ninput x: f64[B, {input}]\nnet {{\n  it: {call}\n}}\n");
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text.as_str())).expect("the spec is there");
    let found =
        compiled.found.iter().find(|d| d.severity == wellposed::diag::Severity::Error).expect("an error");
    let place = found.span().map(|span| compiled.sources.text(span).to_owned()).unwrap_or_default();
    (found.rule.code.to_owned(), place, found.message.clone())
}

#[test]
fn misfits_point_at_the_argument() {
    let cases = [
        ("12", "conv2d(3, kernel=3, init=he_normal)", "H001", "it: conv2d"),
        ("2, 4, 4", "conv2d(3, kernel=5, init=he_normal)", "H002", "5"),
        ("2, 4, 4", "conv2d(3, kernel=3, dilation=2, init=he_normal)", "H002", "3"),
        ("3, 4, 4", "conv2d(4, kernel=3, groups=2, init=he_normal)", "H003", "2"),
        ("4, 4, 4", "conv2d(3, kernel=3, groups=2, init=he_normal)", "H003", "2"),
        ("4, 4, 4", "conv2d(3, kernel=3, stride=2, pad=same, init=he_normal)", "S007", "2"),
        ("4, 4, 4", "conv2d(3, kernel=[3, 3, 3], init=he_normal)", "S004", "[3, 3, 3]"),
        ("4, 4, 4", "max_pool(5)", "H002", "5"),
        ("4, 4, 4", "max_pool(2, pad=2)", "S007", "2"),
        ("4, 4, 4", "avg_pool(2, pad=same)", "S004", "same"),
        ("16", "global_avg_pool", "H001", "it: global_avg_pool"),
        ("4, 5", "batch_norm", "H001", "it: batch_norm"),
        ("4", "dropout(1)", "S007", "1"),
    ];
    for (input, call, code, place) in cases {
        let (found, text, message) = misfit(input, call);
        assert_eq!(found, code, "{call}: {message}");
        assert!(text.starts_with(place), "{call} points at `{text}`: {message}");
    }
}

/// Sizes at the limit of the language are refused or planned, never multiplied into an overflow.
#[test]
fn absurd_sizes_do_not_overflow() {
    let most = 1u64 << 40;
    for call in [
        format!("conv2d({most}, kernel={most}, pad={most}, init=he_normal)"),
        format!("conv2d(1, kernel={most}, pad={most}, dilation={most}, init=he_normal)"),
        format!("conv2d(1, kernel=1, pad={most}, init=he_normal)"),
        format!("conv2d(1, kernel={most}, pad=same, init=he_normal)"),
        "conv2d(1, kernel=[1, 500000000000], pad=same, init=he_normal)".to_owned(),
        format!("max_pool({most}, stride=1, pad={})", most / 2),
        format!("avg_pool([1, {most}], pad=[0, {}])", most / 2),
        format!("max_pool(1, stride={most})"),
    ] {
        let text = format!("spec 1\nmodel m()\ninput x: f64[B, 1, 4, 4]\nnet {{ it: {call} }}\n");
        let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
        let shape = compiled.graph.nodes.iter().next().map(|(_, node)| node.shape.clone());
        let codes: Vec<&str> = compiled.found.iter().map(|found| found.rule.code).collect();
        assert!(
            shape.flatten().is_some() || codes.iter().any(|code| ["H002", "S008"].contains(code)),
            "{call}: {codes:?}"
        );
    }
}
