//! Every operator's kernel against its definition in the naive interpreter.
//!
//! Bound: the definitions run in double-double and err by nothing that counts. A kernel adds up at most 100 products of normal numbers
//! here, which costs at most 100 * 2^-53 = 1.1e-14 of the sum of their magnitudes, itself at most 100 times their size, and a norm of
//! two or three values may be ill-conditioned a hundredfold: 1e-10 of the largest value covers all of it. A wrong axis or factor moves values
//! by their own size.

use crate::ops::trial::Values;
use crate::ops::{MODES, good_rows};
use crate::support::lower_text;
use wellposed::exec::{Keep, Session, Settings, Tapes};
use wellposed::graph::{Handle, Node, Runnable, verify};
use wellposed::ops::OpKind;
use wellposed::tensor::Mode;
use wellposed::valid::naive;

const BOUND: f64 = 1e-10;

/// What a kernel and a definition make of the same numbers.
fn both(
    graph: Runnable<'_>,
    node: Handle<Node>,
    values: &Values,
    batch: usize,
    settings: Settings,
) -> [Vec<f64>; 2] {
    let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
    session.forward(&values.point(), settings, Tapes::Live);
    let defined = &naive::values(graph, &values.point(), batch, settings)[node.index()];
    [session.value(node).plane(0).to_vec(), defined.iter().map(|x| x.hi).collect()]
}

/// The largest difference, as a part of the largest value.
fn apart([kernel, defined]: &[Vec<f64>; 2]) -> f64 {
    assert_eq!(kernel.len(), defined.len());
    let size = defined.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    kernel.iter().zip(defined).map(|(x, y)| (x - y).abs() / size).fold(0.0, f64::max)
}

#[test]
fn every_kernel_computes_what_its_operator_is_defined_as() {
    for (row, case) in good_rows() {
        let graph = Runnable::new(&case.graph).expect("rows are whole");
        for (mode, batch, seed) in
            MODES.into_iter().flat_map(|mode| [(mode, 1, 1), (mode, 3, 2), (mode, 4, 3)])
        {
            let values = Values::random(&case, batch, seed);
            let settings = Settings { mode, seed, penalties: false };
            let found = both(graph, case.node, &values, batch, settings);
            let far = apart(&found);
            assert!(far <= BOUND, "{} in {mode}, batch {batch}: {far:.1e}\n{found:?}", row.name());
        }
    }
}

#[test]
fn every_operator_is_defined() {
    let missing: Vec<&str> =
        OpKind::ALL.iter().map(|op| op.name).filter(|name| !naive::is_defined(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// The arguments are those that the graph prints, and they matter: each pair differs in one of them.
#[test]
fn another_argument_gives_other_numbers() {
    let shape = "f64[B, 4, 6, 6]";
    for [one, other] in [
        ["softmax(axis=1)", "softmax(axis=2)"],
        [
            "conv2d(4, kernel=3, pad=1, init=he_normal)",
            "conv2d(4, kernel=3, pad=1, groups=2, init=he_normal)",
        ],
        [
            "conv2d(4, kernel=3, pad=same, init=he_normal)",
            "conv2d(4, kernel=3, dilation=2, pad=same, init=he_normal)",
        ],
        ["avg_pool(2)", "max_pool(2)"],
        ["gelu", "gelu(approx=tanh)"],
        ["group_norm(1)", "group_norm(2)"],
        ["leaky_relu(0.01)", "leaky_relu(0.02)"],
        ["upsample(2)", "upsample(2, mode=bilinear)"],
        ["transpose([1, 3, 2])", "transpose([1, 2, 3])"],
    ] {
        let [kernel, definition] = [one, other].map(|call| {
            let (graph, found, _) =
                lower_text(&format!("spec 1\nmodel m()\ninput x: {shape}\nnet {{\n  it: {call}\n}}\n"));
            assert!(found.is_empty(), "{call}: {found:?}");
            let graph = verify(graph).expect("the spec is whole");
            let node = graph.nodes.handles().next().expect("a node");
            let case = crate::ops::table::Case { graph, node, classes: 2 };
            let mut values = Values::random(&case, 2, 5);
            // The same numbers for weights of other shapes.
            values.params.iter_mut().flatten().zip(0u32..).for_each(|(w, i)| *w = (1.0 + f64::from(i)).sin());
            let graph = Runnable::new(&case.graph).expect("the spec is whole");
            let settings = Settings { mode: Mode::Eval, seed: 5, penalties: false };
            both(graph, node, &values, 2, settings)
        });
        assert!(apart(&kernel) <= BOUND, "{one}");
        assert!(apart(&[kernel[0].clone(), definition[1].clone()]) > 1e-6, "{one} and {other}");
    }
}
