//! Every pass keeps prediction, loss and gradients.

use crate::support::Memory;
use wellposed::exec::{Gradients, Keep, Registry, Session, Settings, Tapes, Weights};
use wellposed::graph::{Graph, Runnable, Source, Verified};
use wellposed::passes;
use wellposed::pipeline::compile;
use wellposed::tensor::Mode;
use wellposed::valid::Samples;
use wellposed::valid::gradcheck::objective;

const NET: &str = "spec 1
model m()
input x: f64[B, 6]
target y: class(3)
net {
  a: linear(8, init=he_normal)
     relu
  unused: linear(5, init=he_normal)
  also: relu
  b: linear(8, init=he_normal)  <- a.relu
     relu
  c: linear(3, init=xavier_normal)
}
train { loss cross_entropy(c, y)  l2 1e-2 on weights }
";

fn graph() -> Verified<Graph> {
    compile("m.nn".as_ref(), &Memory::of("m.nn", NET)).expect("the spec is there").graph
}

/// Prediction, loss and gradients of one batch.
fn results(graph: &Verified<Graph>, mode: Mode) -> (Vec<f64>, f64, Gradients) {
    let runnable = Runnable::new(graph).expect("a complete graph");
    let feeds = Samples::draw(graph, 5, 3).batch(0, 5);
    let weights = Weights::draw(graph, 7);
    let settings = Settings { mode, seed: 7, penalties: true };
    let mut session: Session<'_, f64> = Session::new(runnable, 5, Keep::All);
    let mut gradients = Gradients::zeros::<f64>(graph, 5);
    let objective = objective(runnable, 0);
    let point = weights.at(&feeds);
    session.forward(&point, settings, Tapes::Live);
    session.backward(&objective, &point, settings, &Registry, &mut gradients);
    let Some(Source::Node(output)) = runnable.prediction() else { panic!("a prediction") };
    (session.value(output).iter().collect(), session.loss(&objective, &point, settings), gradients)
}

#[test]
fn every_pass_keeps_what_the_graph_computes() {
    for mode in [Mode::Train, Mode::Eval] {
        let before = results(&graph(), mode);
        for pass in passes::ALL {
            assert_eq!(
                results(&passes::apply(pass, graph(), mode), mode),
                before,
                "{} in {mode} mode",
                pass.name
            );
            assert!(pass.page.starts_with("//! "), "{} has a page", pass.name);
        }
        assert_eq!(results(&passes::run(graph(), mode), mode), before, "all of them in {mode} mode");
    }
}

#[test]
fn unused_nodes_go_and_their_weights_keep_their_place() {
    let before = graph();
    let names = |graph: &Graph| graph.params.iter().map(|(_, param)| param.path.clone()).collect::<Vec<_>>();
    let after = passes::run(before.clone(), Mode::Train);
    assert_eq!(names(&after), names(&before));
    let nodes: Vec<String> = after.nodes.iter().map(|(_, node)| node.path.to_string()).collect();
    assert_eq!(nodes, ["a", "a.relu", "b", "b.relu", "c", "loss"]);
}
