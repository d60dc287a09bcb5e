//! The short cuts of the gradient check against the forward kernels, for every registered operator: columns of parameters, and what a
//! change of some elements of an input does to everything behind it.

use crate::ops::table::{Case, Input, Row};
use crate::ops::trial::Values;
use crate::ops::{MODES, good_rows};
use crate::support::lower_text;
use std::collections::BTreeSet;
use wellposed::exec::{Keep, Objective, Point, Route, Session, Settings, Stack, Tapes};
use wellposed::graph::{Graph, Handle, Node, Runnable, Source, Verified, verify};
use wellposed::inits::standard_normal;
use wellposed::ops::{Block, Column};
use wellposed::tensor::{Draws, Mode, Shape, View, stream};

const BATCH: usize = 3;

type Verdict = Result<(), String>;

fn point(values: &Values) -> Point<'_> {
    Point {
        params: values.params.iter().map(Vec::as_slice).collect(),
        states: values.states.iter().map(Vec::as_slice).collect(),
        feeds: values.feeds.iter().map(Vec::as_slice).collect(),
    }
}

fn settings(mode: Mode) -> Settings {
    Settings { mode, seed: 4, penalties: false }
}

/// Moves every component of every tensor by 1.5 and compares what the kernel makes of it with 1.5 times the column; elements outside
/// of the block must not move at all. `alter` may plant a fault. Gives the number of tensors that have columns.
///
/// Values are normal draws below 6 in magnitude. A kernel sums at most n products of a weight below 8 and an input, or a
/// normalised value below the root of its run, so that its rounding stays below 48 n^2 u, with n the number of weights.
fn columns_law(
    case: &Case,
    mode: Mode,
    alter: impl Fn(usize, &mut Vec<f64>, Block) -> Block,
) -> Result<usize, String> {
    let graph = Runnable::new(&case.graph).expect("a row without errors runs");
    let node = &graph.nodes[case.node];
    let shape = node.shape.as_ref().expect("a shape");
    let elements = shape.elements();
    let values = Values::random(case, BATCH, 7);
    let mut session: Session<'_, f64> = Session::new(graph, BATCH, Keep::All);
    session.forward(&point(&values), settings(mode), Tapes::Record);
    let before = session.value(case.node).plane(0).to_vec();
    let saved = session.saved(case.node).plane(0).to_vec();
    let shapes: Vec<&Shape> = node.inputs.iter().filter_map(|source| graph.shape(*source)).collect();
    let mut seen = 0;
    for (slot, param) in node.params.iter().enumerate() {
        let n = values.params[param.index()].len();
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let bound = 48.0 * ((n + 8) * (n + 8)) as f64 * f64::EPSILON;
        for index in 0..n {
            let held = point(&values);
            let inputs: Vec<View<'_, f64>> = node
                .inputs
                .iter()
                .map(|source| match source {
                    Source::Feed(feed) => View::new(held.feeds[feed.index()]),
                    Source::Node(_) => panic!("the operator of a row reads inputs"),
                })
                .collect();
            let mut column = Vec::new();
            let io = Column {
                batch: BATCH,
                shapes: &shapes,
                shape,
                inputs: &inputs,
                saved: View::new(&saved),
                param: slot,
                index,
                column: &mut column,
            };
            let Some(block) = node.op.column(io) else { break };
            let block = alter(index, &mut column, block);
            seen += usize::from(index == 0);
            if column.len() != BATCH * block.count {
                return Err(format!("tensor {slot}, {index}: a column of {} elements", column.len()));
            }
            let mut want = before.clone();
            let mut inside = vec![false; before.len()];
            for (at, d) in column.iter().enumerate() {
                let to = at / block.count * elements + block.element(at % block.count);
                want[to] += 1.5 * d;
                inside[to] = true;
            }
            let mut moved = values.clone();
            moved.params[param.index()][index] += 1.5;
            session.forward(&point(&moved), settings(mode), Tapes::Replay);
            let after = session.value(case.node).plane(0);
            for (i, (after, want)) in after.iter().zip(&want).enumerate() {
                let allowed = if inside[i] { bound } else { 0.0 };
                let close = (after - want).abs() <= allowed;
                if !close {
                    return Err(format!(
                        "tensor {slot}, component {index}: element {i} is {after}, not {want}"
                    ));
                }
            }
        }
    }
    Ok(seen)
}

fn right(_: usize, _: &mut Vec<f64>, block: Block) -> Block {
    block
}

#[test]
fn columns_are_those_of_the_kernels() {
    let mut seen = BTreeSet::new();
    for (row, case) in good_rows() {
        for mode in MODES {
            match columns_law(&case, mode, right) {
                Ok(0) => {}
                Ok(_) => _ = seen.insert(row.op.name),
                Err(reason) => panic!("{} in {mode}: {reason}", row.name()),
            }
        }
    }
    for name in ["linear", "conv2d", "conv_transpose2d", "batch_norm", "layer_norm", "group_norm", "rms_norm"]
    {
        assert!(seen.contains(name), "`{name}` states no columns");
    }
}

/// Columns that are 1e-6 off in one element, one that is not there, and one that stands in the next block.
#[test]
fn a_wrong_column_is_seen() {
    let scaled = |_: usize, column: &mut Vec<f64>, block: Block| {
        let most = column.iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        most.into_iter().for_each(|d| *d *= 1.0 + 1e-6);
        block
    };
    let zero = |_: usize, column: &mut Vec<f64>, block: Block| {
        column.fill(0.0);
        block
    };
    let mut seen = 0;
    for (row, case) in good_rows() {
        if columns_law(&case, Mode::Train, right) == Ok(0) {
            continue;
        }
        seen += 1;
        let elements = case.graph.nodes[case.node].shape.as_ref().map_or(0, Shape::elements);
        let next = |_: usize, _: &mut Vec<f64>, block: Block| {
            let (step, end) = if block.stride == 1 { (block.count, elements) } else { (1, block.stride) };
            block.at((block.start + step) % end)
        };
        let name = row.name();
        assert!(columns_law(&case, Mode::Train, scaled).is_err(), "{name}: a factor is not seen");
        assert!(columns_law(&case, Mode::Train, zero).is_err(), "{name}: a zero is not seen");
        let single = case.graph.nodes[case.node].shape.as_ref().and_then(Shape::channels) == Some(1);
        assert!(single || columns_law(&case, Mode::Train, next).is_err(), "{name}: a place is not seen");
    }
    assert!(seen >= 7);
}

/// A row with a node in front of the operator whose value can be changed, and, if `behind`, one behind it, so that the operator's
/// own value need not be whole. `None` for rows whose first input has no axis to reshape, or holds
/// tokens.
fn between(row: &Row, behind: bool) -> Option<(Verified<Graph>, Handle<Node>)> {
    let sample = row.inputs[0].sample();
    if sample.is_empty() || matches!(row.inputs[0], Input::Tokens(_)) {
        return None;
    }
    let sizes: Vec<String> = sample.iter().map(ToString::to_string).collect();
    let first = format!("  first: reshape([{}]) <- x0\n", sizes.join(", "));
    let text = row.spec();
    let text = if row.is_loss() {
        text.replace("  twice: add <- x0, x0\n", &first).replace("(x0", "(first")
    } else {
        let text = text
            .replace("  it:", &format!("{first}  it:"))
            .replace(&format!("{} <- x0", row.call), &format!("{} <- first", row.call));
        if behind { text.replace("}\n", "  last: reshape([-1])\n}\n") } else { text }
    };
    let (graph, found, _) = lower_text(&text);
    if let Some(first) = found.iter().next() {
        panic!("{}: {}: {}\n{text}", row.name(), first.rule.code, first.message);
    }
    let graph = verify(graph).expect("a graph without violations");
    let first = graph.nodes.handles().next()?;
    Some((graph, first))
}

/// Every form of block that a sample can be divided into here: the whole, channels, single elements, features of the last axis.
fn forms(shape: &Shape) -> Vec<Block> {
    let (elements, channels, last) =
        (shape.elements(), shape.channels().unwrap_or(1), shape.last().unwrap_or(1));
    vec![
        Block::run(0, elements),
        Block::run(0, elements / channels),
        Block::run(0, 1),
        Block::feature(0, last, elements / last),
    ]
}

/// Changes blocks of the first node's value in four copies, two of them in the same place, and compares the terms of the objective with
/// those of a full run of the kernels. `alter` may plant a fault in what the stack is told.
///
/// Rounding: no row sums more than 100 products of values below 8 in magnitude, which are projected to at most 200 such terms;
/// all errors adding up would make 200 (8 * 8 * 100^2) 2^-53 < 1e-7, and a random walk of
/// sqrt(200 * 100) steps of 64 * 2^-53 less than 1e-12.
fn stack_law(
    graph: &Verified<Graph>,
    first: Handle<Node>,
    classes: usize,
    mode: Mode,
    form: Block,
    alter: impl Fn(&mut Vec<usize>, &mut Vec<f64>),
) -> Verdict {
    let case = Case { graph: graph.clone(), node: first, classes };
    let values = Values::random(&case, BATCH, 9);
    let runnable = Runnable::new(graph).expect("a row without errors runs");
    let objective = if graph.loss.is_some() {
        Objective::Loss
    } else {
        let shape = graph.prediction().and_then(|output| graph.shape(output)).expect("a prediction");
        Objective::Projection(standard_normal(shape.elements(), Draws { seed: 3, stream: stream("weights") }))
    };
    let held = point(&values);
    let mut base: Session<'_, f64> = Session::new(runnable, BATCH, Keep::All);
    base.forward(&held, settings(mode), Tapes::Record);
    let shape = graph.nodes[first].shape.as_ref().expect("a shape");
    let elements = shape.elements();
    let other = form.holding(elements - 1).0.start;
    let mut starts = vec![0, other, other, 0];
    let size = BATCH * form.count;
    let mut changed = standard_normal(4 * size, Draws { seed: 5, stream: stream("changed") });
    let feed = match graph.nodes[first].inputs[0] {
        Source::Feed(feed) => feed.index(),
        Source::Node(_) => panic!("the first node reads an input"),
    };
    if values.feeds[feed].iter().all(|x| (0.0..=1.0).contains(x)) {
        // The input of a loss on probabilities.
        changed.iter_mut().for_each(|x| *x = 0.5 + 0.4 * x.tanh());
    }
    let mut want = Vec::new();
    let mut full: Session<'_, f64> = Session::new(runnable, BATCH, Keep::All);
    full.forward(&held, settings(mode), Tapes::Record);
    for (start, changed) in starts.iter().zip(changed.chunks_exact(size)) {
        // The first node hands its input on, so that changing the input changes its value.
        let mut moved = values.clone();
        form.at(*start).scatter(changed, elements, &mut moved.feeds[feed]);
        let later: Vec<Handle<Node>> = graph.nodes.handles().filter(|node| *node != first).collect();
        full.forward(&held, settings(mode), Tapes::Replay);
        full.rerun(&[first], &point(&moved), settings(mode), Tapes::Replay);
        // What else reads the input must not see the change.
        full.rerun(&later, &held, settings(mode), Tapes::Replay);
        want.push(full.terms(&objective, &held));
    }
    alter(&mut starts, &mut changed);
    let route = Route::new(runnable, first, form, &objective, mode);
    if !route.reaches {
        return Err("the objective does not depend on the first node".to_owned());
    }
    let mut stack = Stack::new(&base, &held, settings(mode));
    let mut verdict = Ok(());
    // Twice, so that what the first run left in the buffers is seen to be overwritten.
    for _ in 0..2 {
        stack.run(&route, &objective, &starts, &changed, |copy, terms| {
            for (sample, (found, want)) in terms.iter().zip(&want[copy]).enumerate() {
                let close = (found - want).abs() <= 1e-11 * (1.0 + want.abs());
                if !close {
                    verdict = Err(format!("copy {copy}, sample {sample}: {found}, not {want}"));
                }
            }
        });
    }
    verdict
}

#[test]
fn stacked_copies_are_what_full_runs_make_of_them() {
    let mut broken = Vec::new();
    let mut count = 0;
    for (row, case) in good_rows() {
        for behind in [false, true] {
            let Some((graph, first)) = between(&row, behind) else { continue };
            let shape = graph.nodes[first].shape.clone().expect("a shape");
            for mode in MODES {
                for form in forms(&shape) {
                    count += 1;
                    if let Err(reason) = stack_law(&graph, first, case.classes, mode, form, |_, _| ()) {
                        broken.push(format!("{} in {mode}, {form:?}, behind {behind}: {reason}", row.name()));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{} of {count} broken:\n{}", broken.len(), broken.join("\n"));
    assert!(count > 500, "{count}");
}

/// The law sees values of one copy that are 1e-6 off, and copies that take each other's place.
#[test]
fn a_wrong_stack_is_seen() {
    let mut seen = 0;
    for (row, case) in
        good_rows().filter(|(row, _)| ["linear", "conv2d", "tanh", "avg_pool", "add"].contains(&row.op.name))
    {
        let Some((graph, first)) = between(&row, true) else { continue };
        for form in forms(graph.nodes[first].shape.as_ref().expect("a shape")) {
            seen += 1;
            let off = |_: &mut Vec<usize>, changed: &mut Vec<f64>| {
                let one = changed.len() / 4;
                changed[..one].iter_mut().for_each(|x| *x *= 1.0 + 1e-6);
            };
            let swapped = |starts: &mut Vec<usize>, changed: &mut Vec<f64>| {
                starts.swap(0, 1);
                let half = changed.len() / 4;
                changed.rotate_left(half);
            };
            for fault in [&off as &dyn Fn(&mut Vec<usize>, &mut Vec<f64>), &swapped] {
                let law = stack_law(&graph, first, case.classes, Mode::Eval, form, fault);
                assert!(law.is_err(), "{} on {form:?} is not seen", row.name());
            }
        }
    }
    assert!(seen > 20);
}

/// What the operators say of themselves decides whether samples are told apart: batch norm couples them in training and nowhere else, and
/// dropout never does.
#[test]
fn a_route_through_a_coupling_of_samples_is_not_independent() {
    let text = "spec 1\nmodel m()\ninput x: f64[B, 4]\nnet {\n  a: linear(5, init=he_normal)\n     dropout(0.5)\n  \
                b: linear(5, init=he_normal)\n     batch_norm\n  c: linear(3, init=he_normal)\n     dropout(0.5)\n}\n";
    let (graph, _, _) = lower_text(text);
    let graph = verify(graph).expect("a graph without violations");
    let runnable = Runnable::new(&graph).expect("a complete graph");
    let objective = Objective::Projection(vec![1.0; 3]);
    let independent = |name: &str, mode: Mode| {
        let found = graph.nodes.iter().find(|(_, node)| node.path.to_string() == name);
        let (handle, _) = found.expect("a node of this name");
        Route::new(runnable, handle, Block::run(0, 1), &objective, mode).independent
    };
    for name in ["a", "b", "c", "b.batch_norm"] {
        let behind = ["c", "b.batch_norm"].contains(&name);
        assert_eq!(independent(name, Mode::Train), behind, "{name} in training");
        assert!(independent(name, Mode::Eval), "{name} in use");
    }
}
