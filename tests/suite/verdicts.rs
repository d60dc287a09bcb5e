//! The verdicts of the gradient check: each is given where it belongs, and the smallest detectable error is one that is detected.

use crate::support::Memory;
use wellposed::exec::{Registry, Reverse};
use wellposed::graph::{Node, ParamTensor, Penalty, Runnable};
use wellposed::ops::Backward;
use wellposed::pipeline::compile;
use wellposed::scalar::Scalar;
use wellposed::tensor::{Mode, View, ViewMut};
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::{Band, FaultKind, Map, Options, Report, TensorReport, Verdict, check};

const NET: &str = "spec 1
model m()
input x: f64[B, 6]
target y: class(4)
net {
  a: linear(6, init=he_normal, bias_init=normal(0.1))
     batch_norm
     tanh
  r: residual {
    s: linear(6, init=lecun_normal, bias_init=normal(0.1))
       tanh
  }
     dropout(0.3)
  c: linear(4, init=xavier_normal, bias_init=normal(0.1))
}
train { loss cross_entropy(c, y)  l2 1e-2 on weights  adam(lr=1e-2) }
";

fn run(text: &str, options: &Options, reverse: &impl Reverse) -> Report {
    let compiled = compile("m.nn".as_ref(), &Memory::of("m.nn", text)).expect("the spec is there");
    let graph = Runnable::new(&compiled.graph).expect("a complete graph");
    check(graph, &Samples::draw(&compiled.graph, 16, 0), options, reverse)
}

/// One point, in training mode.
fn start() -> Options {
    Options { seeds: vec![0], steps: 0, ..Options::default() }
}

fn tensor<'r>(report: &'r Report, name: &str) -> &'r TensorReport {
    report.tensors.iter().find(|tensor| tensor.name == name).expect("a tensor of this name")
}

/// A rule that is changed at one node: what it gives for one operand, inputs before parameters.
struct Planted<F>(&'static str, usize, F);

impl<F: Fn(f64, usize) -> f64 + Sync> Reverse for Planted<F> {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        inputs: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        let Self(path, operand, change) = self;
        if node.path.to_string() != *path {
            return;
        }
        match operand.checked_sub(inputs.len()) {
            None => replace(inputs[*operand].as_mut(), change),
            Some(slot) => replace(params[slot].as_mut(), change),
        }
    }
}

/// Changes every component that `change` moves, and leaves the digits of the others.
fn replace<S: Scalar>(grad: Option<&mut ViewMut<'_, S>>, change: impl Fn(f64, usize) -> f64) {
    let Some(grad) = grad else { return };
    for i in 0..grad.len() {
        let x = grad.at(i).primal();
        let changed = change(x, i);
        if changed != x {
            grad.set(i, S::constant(changed));
        }
    }
}

/// An error of the smallest detectable size, planted in a rule for real, moves the directions by more than they allow, in every tensor.
#[test]
#[expect(clippy::cast_precision_loss, reason = "a few components")]
fn the_smallest_detectable_error_is_detected() {
    for components in [None, Some(0)] {
        let options = Options { components, ..start() };
        let clean = run(NET, &options, &Registry);
        assert_eq!(clean.verdict, Verdict::Pass, "{clean:#?}");
        for (node, operand, name) in
            [("a", 1, "a.weight"), ("r.s", 1, "r.s.weight"), ("r.s", 2, "r.s.bias"), ("c", 1, "c.weight")]
        {
            let known = tensor(&clean, name);
            let (smallest, terms) = (known.detectable.expect("a size"), known.sensitivity.expect("a size"));
            assert!(smallest < 1e-10 && known.bound.expect("a bound") < 1e-7, "{known:?}");
            let at = known.components / 2;
            let error = 1.01 * smallest * terms;
            let report =
                run(NET, &options, &Planted(node, operand, |g, i| if i == at { g + error } else { g }));
            let found = tensor(&report, name);
            assert_eq!(found.verdict, Verdict::Fail, "{name}: {found:?}");
            // The mismatch itself, without the ledger: the sum of m^2 is below 9/4 a component.
            let mismatch = found.tangent_error.expect("asked") * 1.5 * (known.components as f64).sqrt();
            assert!(mismatch >= 0.4 * smallest, "{name}: {mismatch:e} against {smallest:e}");
        }
    }
}

#[test]
fn a_bias_before_a_norm_is_zero_within_rounding_of_its_terms() {
    let report = run(NET, &start(), &Registry);
    let bias = tensor(&report, "a.bias");
    assert_eq!(bias.verdict, Verdict::PassZero, "{bias:?}");
    assert!(bias.sensitivity.expect("terms") > 1e-4);
    // A rule that makes something of it is found.
    let wrong = run(NET, &start(), &Planted("a", 2, |g, i| if i == 0 { g + 1e-9 } else { g }));
    assert_eq!(tensor(&wrong, "a.bias").verdict, Verdict::Fail);
}

/// Twenty tanh layers whose signal dies: the first layers' gradient is 1e-24, and both sides of any comparison are zero.
#[test]
fn what_no_difference_can_see_is_vacuous_and_no_pass() {
    let deep = |init: &str| {
        format!(
            "spec 1\nmodel m()\ninput x: f64[B, 8]\ntarget y: class(3)\ndefault linear(init={init})\nnet {{\n  h: repeat 19 {{\n    fc: linear(16)\n        tanh\n  }}\n  out: linear(3)\n}}\ntrain {{ loss cross_entropy(out, y) }}\n"
        )
    };
    let report = run(&deep("normal(0.01)"), &Options::default(), &Registry);
    assert_eq!(report.verdict, Verdict::Vacuous);
    assert_eq!(tensor(&report, "h[0].fc.weight").verdict, Verdict::Vacuous);
    assert_eq!(tensor(&report, "out.bias").verdict, Verdict::Pass);
    assert!(!report.verdict.is_bad() && !report.verdict.is_pass());
    // PyTorch's default leaves gradients of 1e-6: differences see them badly, directions exactly.
    let report = run(&deep("torch_default"), &start(), &Registry);
    let first = tensor(&report, "h[0].fc.weight");
    assert!(first.detectable.expect("a size") < 1e-10 && first.verdict == Verdict::Pass, "{first:?}");
    let wrong = Planted("h[0].fc", 1, |g, _| g * (1.0 + 1e-8));
    assert_eq!(run(&deep("torch_default"), &start(), &wrong).verdict, Verdict::Fail);
    // Nothing reaches anything.
    let zeros = run(&deep("zeros"), &start(), &Registry);
    assert_eq!(tensor(&zeros, "h[3].fc.weight").verdict, Verdict::Vacuous);
}

/// A ReLU with another derivative at 0 than the forward kernel's.
struct AtZero(f64);

impl Reverse for AtZero {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != "relu" {
            return node.op.backward(io);
        }
        let Backward { inputs, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        for i in 0..grad.len() {
            let x = inputs[0].at(i).primal();
            let slope = if x > 0.0 {
                1.0
            } else if x < 0.0 {
                0.0
            } else {
                self.0
            };
            grad.set(i, cotangent.at(i) * slope);
        }
    }
}

#[test]
fn on_a_kink_any_subgradient_is_right_and_nothing_else() {
    // The sum is exactly zero where the first ReLU is.
    let text = "spec 1\nmodel m()\ninput x: f64[B, 4]\ntarget y: class(3)\nnet {\n  a: linear(5, init=he_normal) <- x\n     relu\n  z: linear(5, init=zeros) <- x\n  m: add <- a.relu, z\n     relu\n  c: linear(3, init=lecun_normal)\n}\ntrain { loss cross_entropy(c, y) }\n";
    for (slope, verdict) in [
        (0.0, Verdict::KinkOk),
        (0.5, Verdict::KinkOk),
        (1.0, Verdict::KinkOk),
        (2.0, Verdict::KinkBad),
        (-0.1, Verdict::KinkBad),
    ] {
        let report = run(text, &start(), &AtZero(slope));
        let found = tensor(&report, "z.weight");
        assert_eq!(found.verdict, verdict, "slope {slope}: {found:?} {:?}", report.faults);
        assert_eq!(report.verdict.is_bad(), verdict.is_bad(), "slope {slope}");
        assert!(report.faults.iter().all(|fault| fault.kind == FaultKind::Kink));
        assert_eq!(report.faults.is_empty(), verdict == Verdict::KinkOk);
    }
}

/// A maximum with a rule of its own for ties: the shares of tied elements, given how many there are, and that of an element that is
/// smaller.
struct AtTies(fn(usize) -> Vec<f64>, f64);

impl Reverse for AtTies {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != "max_pool" {
            return node.op.backward(io);
        }
        let Backward { shapes, shape, inputs, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        let [rows, columns] = node.op.taps(shapes[0]).expect("a window");
        let (height, width) = (rows.input, columns.input);
        let positions = shape.sample()[1] * shape.sample()[2];
        grad.fill(S::constant(0.0));
        for i in 0..cotangent.len() {
            let (map, position) = (i / positions, i % positions);
            let (row, column) =
                (&rows.met[position / columns.met.len()], &columns.met[position % columns.met.len()]);
            let window = row.iter().flat_map(|row| column.iter().map(move |column| row * width + column));
            let window: Vec<usize> = window.map(|at| map * height * width + at).collect();
            let most = window.iter().map(|&at| inputs[0].at(at).primal()).fold(f64::NEG_INFINITY, f64::max);
            let (tied, rest): (Vec<usize>, Vec<usize>) =
                window.iter().partition(|&&at| inputs[0].at(at).primal() == most);
            let shares = if tied.len() > 1 { (self.0)(tied.len()) } else { vec![1.0] };
            tied.iter().zip(shares).for_each(|(&at, share)| grad.add(at, cotangent.at(i) * share));
            if let (true, Some(&at)) = (tied.len() > 1, rest.first()) {
                grad.add(at, cotangent.at(i) * self.1);
            }
        }
    }
}

/// The convex combinations of the choices at a tie are subgradients of a maximum, and nothing else is (Clarke 1990, theorem 2.5.1); with
/// windows that overlap and with those that do not.
#[test]
#[expect(clippy::cast_precision_loss, reason = "elements of a window")]
fn at_a_tie_any_share_of_the_choices_is_right_and_nothing_else() {
    let text = |pool: &str| {
        format!(
            "spec 1\nmodel m()\ninput x: f64[B, 1, 5, 5]\ntarget y: class(3)\nnet {{\n  a: conv2d(2, kernel=1, init=zeros, bias_init=constant(1)) <- x\n     {pool}\n     flatten\n  c: linear(3, init=lecun_normal)\n}}\ntrain {{ loss cross_entropy(c, y) }}\n"
        )
    };
    let cases: [(AtTies, Verdict, &str); 7] = [
        (AtTies(|n| [vec![1.0], vec![0.0; n - 1]].concat(), 0.0), Verdict::KinkOk, "the first"),
        (AtTies(|n| [vec![0.0; n - 1], vec![1.0]].concat(), 0.0), Verdict::KinkOk, "the last"),
        (AtTies(|n| vec![1.0 / n as f64; n], 0.0), Verdict::KinkOk, "equal shares"),
        (AtTies(|n| [vec![0.3, 0.7], vec![0.0; n - 2]].concat(), 0.0), Verdict::KinkOk, "uneven shares"),
        (AtTies(|n| vec![1.0; n], 0.0), Verdict::KinkBad, "all of it for each"),
        (
            AtTies(|n| [vec![2.0, -1.0], vec![0.0; n - 2]].concat(), 0.0),
            Verdict::KinkBad,
            "no convex combination",
        ),
        (AtTies(|n| [vec![0.5], vec![0.0; n - 1]].concat(), 0.5), Verdict::KinkBad, "half to a smaller one"),
    ];
    for pool in ["max_pool(2)", "max_pool(3, stride=1)", "max_pool(3, stride=2, pad=1)"] {
        for (rule, verdict, what) in &cases {
            let report = run(&text(pool), &start(), rule);
            assert_eq!(report.verdict, *verdict, "{pool}, {what}: {:#?}", report.faults);
            assert!(report.faults.iter().all(|fault| fault.kind == FaultKind::Kink), "{pool}, {what}");
            assert_eq!(report.faults.is_empty(), *verdict == Verdict::KinkOk, "{pool}, {what}");
            let before = tensor(&report, "a.weight").verdict;
            assert_eq!(before, *verdict, "{pool}, {what}");
            assert!(report.points[0].ties > 0, "{pool}");
        }
        let report = run(&text(pool), &start(), &cases[4].0);
        let why: Vec<&str> = report.faults[0].slips.iter().map(|slip| slip.why.as_str()).collect();
        assert_eq!(
            why,
            ["at a tie each of the largest elements gets all of it: the shares add up to more than 1"]
        );
        assert_eq!(run(&text(pool), &start(), &Registry).verdict, Verdict::KinkOk, "{pool}");
        // A rule that is wrong where nothing is tied is no matter of ties.
        let doubled = Planted("a.max_pool", 0, |g, _| 2.0 * g);
        assert_eq!(run(&text(pool), &start(), &doubled).verdict, Verdict::Fail, "{pool}");
    }
}

/// Elements that a ReLU holds down are tied, and no derivative depends on which of them is taken.
#[test]
fn a_tie_of_elements_that_do_not_move_is_none() {
    let text = "spec 1\nmodel m()\ninput x: f64[B, 1, 4, 4]\ntarget y: class(3)\nnet {\n  a: conv2d(2, kernel=1, init=constant(1), bias_init=constant(-1)) <- x\n     relu\n     max_pool(2)\n     flatten\n  c: linear(3, init=lecun_normal)\n}\ntrain { loss cross_entropy(c, y) }\n";
    let report = run(text, &start(), &Registry);
    assert_eq!((report.verdict, report.points[0].ties), (Verdict::Pass, 0), "{report:#?}");
}

/// A rule that is right in exact arithmetic and loses digits in `f64`.
struct Cancelling;

impl Reverse for Cancelling {
    fn amend<S: Scalar>(
        &self,
        node: &Node,
        _: &mut [Option<ViewMut<'_, S>>],
        params: &mut [Option<ViewMut<'_, S>>],
    ) {
        if node.path.to_string() != "a" {
            return;
        }
        if let Some(Some(grad)) = params.first_mut() {
            for i in 0..grad.len() {
                grad.set(i, (grad.at(i) + 1e3) + -1e3);
            }
        }
    }
}

#[test]
fn rounding_is_told_from_a_wrong_rule_and_from_a_pass() {
    let text = "spec 1\nmodel m()\ninput x: f64[B, 4]\ntarget y: f64[B, 2]\nnet {\n  a: linear(5, init=he_normal)\n     tanh\n  c: linear(2, init=normal(1e-7))\n}\ntrain { loss mse(c, y) }\n";
    let report = run(text, &start(), &Cancelling);
    let found = tensor(&report, "a.weight");
    assert_eq!(found.verdict, Verdict::Unresolved, "{found:?} {:?}", report.faults);
    assert!(found.bound.expect("a bound") > 1e-6);
    assert_eq!(tensor(&report, "c.weight").verdict, Verdict::Pass);
}

#[test]
fn every_kind_of_point_is_visited() {
    let report = run(NET, &Options::default(), &Registry);
    let points: Vec<(&str, &str, bool)> =
        report.points.iter().map(|point| (&*point.name, &*point.mode, point.full)).collect();
    assert_eq!(
        points,
        [
            ("seed 0", "train", true),
            ("seed 1", "eval", true),
            ("seed 0 after 20 steps", "train", true),
            ("seed 0 after 20 steps, in use", "eval", false),
            ("seed 0, weights times 0.001", "train", false),
            ("seed 0, weights times 30", "train", false),
            ("seed 0, nothing dropped", "train", false),
        ]
    );
}

/// A rule that gives a little for a cotangent of zeros, in evaluation mode alone.
struct ImpureInUse;

impl Reverse for ImpureInUse {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != "tanh" || io.mode == Mode::Train {
            return node.op.backward(io);
        }
        let Backward { output, cotangent, inputs_grad, .. } = io;
        let Some(grad) = &mut inputs_grad[0] else { return };
        for i in 0..grad.len() {
            let (y, dy) = (output.at(i), cotangent.at(i));
            let right = dy * (S::constant(1.0) - y * y);
            grad.set(i, if dy.primal() == 0.0 { S::constant(1e-200) } else { right });
        }
    }
}

#[test]
fn laws_are_asked_at_every_point() {
    let report = run(NET, &Options::default(), &ImpureInUse);
    let found: Vec<&str> = report
        .faults
        .iter()
        .filter(|fault| fault.kind == FaultKind::Zero && fault.node == "r.s.tanh")
        .map(|fault| &*fault.point)
        .collect();
    assert_eq!(found, ["seed 1", "seed 0 after 20 steps, in use"]);
}

/// The regularisation term without its gradient.
struct Forgotten;

impl Reverse for Forgotten {
    fn penalty<S: Scalar>(&self, _: &Penalty, _: &ParamTensor, _: View<'_, S>, _: &mut ViewMut<'_, S>) {}
}

/// Mistakes in rules, and what the tensors that they spoil are said to look like.
#[test]
#[expect(clippy::cast_possible_truncation, reason = "single precision is the mistake")]
fn mistakes_are_named_in_words() {
    let said = |report: &Report, name: &str| tensor(report, name).diagnosis.clone().unwrap_or_default();
    // The penalties are left out, where a rule gives the data's part alone.
    let bare = NET.replace("l2 1e-2 on weights", "");
    for (node, operand, name, change, why) in [
        ("c", 1, "c.weight", (|g, _| -g) as fn(f64, usize) -> f64, "the sign is wrong"),
        ("c", 1, "c.weight", |g, _| 2.0 * g, "a factor of 2 too much"),
        ("c", 1, "c.weight", |g, _| 8.0 * g, "not divided by the 8 rows"),
        ("c", 1, "c.weight", |g, _| g / 8.0, "divided by the 8 rows of the batch twice"),
        ("c", 1, "c.weight", |g, _| 9.0 * g, "a sum over 9 in place of a mean"),
        ("c", 1, "c.weight", |g, _| g * 6f64.sqrt(), "the root of 6"),
        ("c", 1, "c.weight", |g, i| if i / 6 == 3 { 0.0 } else { g }, "the last row is lost"),
        ("c", 1, "c.weight", |g, i| if i == 7 { 1.5 * g } else { g }, "one component alone is wrong, [1, 1]"),
        ("c", 1, "c.weight", |g, i| g + [0.1, 0.2, 0.4, 0.7][i / 6], "along the whole axis 1"),
        ("c", 1, "c.weight", |g, _| f64::from(g as f32), "a sum in single precision"),
        ("c", 1, "c.weight", |_, _| 0.0, "it is zero"),
        ("r.add", 1, "a.batch_norm.weight", |_, _| 0.0, "through `r.add` is missing"),
    ] {
        let report = run(&bare, &start(), &Planted(node, operand, change));
        let said = said(&report, name);
        assert!(said.contains(why), "{why}: `{said}`");
    }
    let report = run(NET, &start(), &Forgotten);
    assert!(
        said(&report, "c.weight").contains("the penalty term is missing"),
        "{}",
        said(&report, "c.weight")
    );
    let report = run(NET, &start(), &Unmasked);
    let mask = said(&report, "r.s.weight");
    assert!(mask.contains("dropout mask of `r.add.dropout` is not applied"), "{mask}");
    for (pattern, why) in [
        (Whole::Transposed, "it is transposed"),
        (Whole::Shifted, "it is shifted by one along axis 1"),
        (Whole::Exchanged, "its rows 1 and 4 are exchanged"),
        (Whole::FirstRow, "the first row of the batch alone counts"),
        (Whole::WithoutLast, "the last row of the batch is left out"),
    ] {
        // A norm of the batch would see other rows.
        let report = run(&bare.replace("     batch_norm\n", ""), &start(), &pattern);
        let said = said(&report, "r.s.weight");
        assert!(said.contains(why), "{why}: `{said}`");
    }
}

/// Dropout whose mask is not applied to derivatives.
struct Unmasked;

impl Reverse for Unmasked {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.op.name() != "dropout" {
            return node.op.backward(io);
        }
        if let Some(grad) = &mut io.inputs_grad[0] {
            grad.copy(io.cotangent);
        }
    }
}

/// What is done to the weight gradient of the square layer `r.s`.
enum Whole {
    Transposed,
    Shifted,
    Exchanged,
    FirstRow,
    WithoutLast,
}

impl Reverse for Whole {
    fn backward<S: Scalar>(&self, node: &Node, io: Backward<'_, S>) {
        if node.path.to_string() != "r.s" {
            return node.op.backward(io);
        }
        let Backward { batch, inputs, params, cotangent: dy, inputs_grad, params_grad, .. } = io;
        let (x, w) = (inputs[0], params[0]);
        let sum = |n: usize, term: &dyn Fn(usize) -> S| (0..n).fold(S::constant(0.0), |sum, i| sum + term(i));
        let row = |b: usize, i: usize| dy.at(b * 6 + i / 6) * x.at(b * 6 + i % 6);
        let right: Vec<S> = (0..36).map(|i| sum(batch, &|b| row(b, i))).collect();
        if let Some(grad) = &mut inputs_grad[0] {
            for i in 0..grad.len() {
                grad.set(i, sum(6, &|o| dy.at(i / 6 * 6 + o) * w.at(o * 6 + i % 6)));
            }
        }
        if let Some(grad) = &mut params_grad[1] {
            for i in 0..6 {
                grad.set(i, sum(batch, &|b| dy.at(b * 6 + i)));
            }
        }
        let Some(grad) = &mut params_grad[0] else { return };
        for i in 0..36 {
            let (out, into) = (i / 6, i % 6);
            let wrong = match self {
                Self::Transposed => right[into * 6 + out],
                Self::Shifted => right[out * 6 + (into + 1) % 6],
                Self::Exchanged => right[[0, 4, 2, 3, 1, 5][out] * 6 + into],
                Self::FirstRow => row(0, i),
                Self::WithoutLast => right[i] - row(batch - 1, i),
            };
            grad.set(i, wrong);
        }
    }
}

#[test]
fn the_formula_of_the_course_has_its_bands_and_replaces_nothing() {
    let bands = [1e-8, 2e-7, 2e-5, 2e-3, f64::NAN].map(|error| Band::of(error).word());
    assert_eq!(bands, ["great", "look closer", "look at the components", "worry", "worry"]);
    let options = Options { ng: true, ..start() };
    let report = run(NET, &options, &Registry);
    let ng = report.ng.as_ref().expect("it was asked for");
    assert_eq!((ng.epsilon, &*ng.point, ng.band), (1e-7, "seed 0", Band::Great), "{ng:?}");
    // An analytic zero: the formula worries about a right gradient.
    let bias = ng.tensors.iter().find(|tensor| tensor.name == "a.bias").expect("a tensor");
    assert_eq!((bias.band, tensor(&report, "a.bias").verdict), (Band::Worry, Verdict::PassZero));
    let wrong = run(NET, &options, &Planted("c", 1, |g, _| 1.1 * g));
    let ng = wrong.ng.expect("it was asked for");
    assert_eq!(ng.tensors.iter().find(|tensor| tensor.name == "c.weight").map(|t| t.band), Some(Band::Worry));
    assert!(ng.tensors.iter().all(|tensor| tensor.checked == tensor.components));
}

#[test]
fn a_failing_tensor_can_be_drawn() {
    let options = Options { maps: true, ..start() };
    let report = run(NET, &options, &Whole::Transposed);
    let map = report.maps.iter().find(|map| map.name == "r.s.weight").expect("the numbers of the tensor");
    let why = tensor(&report, "r.s.weight").diagnosis.as_deref();
    let svg = wellposed::report::heat::svg(map, why, ["derivative (true)", "gradient (given)"]);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    // Three panels of 36 cells, a frame each, three bars of 48 colours, the background.
    assert!((3 * (36 + 1 + 48) - 6..=3 * (36 + 1 + 48) + 1).contains(&svg.matches("<rect").count()));
    for text in ["r.s.weight [6,6]: wrong gradient", "it is transposed", "axis 0 (out)", "error: given"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(run(NET, &options, &Registry).maps.is_empty());
    // Of a large matrix every cell shows a block, and one wrong component among 300,000 is still a cell.
    let mut given = vec![0.1; 300 * 1000];
    given[123_456] = -0.4;
    let (name, point) = ("w".to_owned(), "seed 0".to_owned());
    let large = Map { name, point, dims: vec![300, 1000], truth: vec![0.1; 300 * 1000], given };
    let svg = wellposed::report::heat::svg(&large, None, ["derivative (true)", "gradient (given)"]);
    assert!(svg.contains("number of largest magnitude of 5 \u{d7} 16 components"));
    let error = svg.split("error: given").nth(1).expect("the third panel");
    let bar = 48;
    assert_eq!(error.matches("<rect").count(), 1 + 1 + bar, "a cell, the frame and the colours");
}
