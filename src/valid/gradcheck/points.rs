//! The points at which gradients are checked.
//!
//! Contract: every point is deterministic in the options and the rows. The random initialisations and the one after training are *full* points:
//! components are differenced there, and every verdict counts. The others only look for what is wrong: at weights of another scale, where rules saturate or
//! vanish; in training mode with dropout that keeps everything, where nothing hides behind a mask; and in evaluation mode after training, with running
//! statistics that are no longer those of the start.

use super::Options;
use crate::exec::{Keep, Objective, Session, Weights};
use crate::graph::{Graph, Optimizer, Runnable, Verified, verify};
use crate::ops::ModeEffect;
use crate::optim;
use crate::passes::{self, Fate, Pass};
use crate::tensor::{Mode, Tensor};
use crate::text::{number, plural};
use crate::valid::{Samples, step_cost};

/// What the weights of the first initialisation are multiplied with, unless it is said.
pub const SCALES: [f64; 2] = [1e-3, 30.0];
/// What purity, ledger and directions cost, in forward runs.
const RUNS: f64 = 40.0;
/// What they may cost at all full points together, in multiplications and additions; the first one always runs.
const BUDGET: f64 = 1e11;
/// What they may cost at one of the other points.
const PATIENCE: f64 = 2e9;

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub name: String,
    pub mode: Mode,
    /// The seed of everything that is drawn while running.
    pub seed: u64,
    /// Whether components are differenced and every verdict counts.
    pub full: bool,
}

/// Visits every point; says which ones cost too much.
pub(super) fn each(
    graph: Runnable<'_>,
    samples: &Samples,
    options: &Options,
    objective: &Objective,
    mut visit: impl FnMut(Runnable<'_>, &Place, &Weights, &[Tensor]),
) -> Option<String> {
    let batch = options.batch.min(samples.rows()).max(1);
    let forward = step_cost(&graph, batch) / 3.0;
    let each = RUNS * forward;
    #[expect(clippy::cast_precision_loss, reason = "a few points")]
    let affordable = |points: usize, more: f64| points == 0 || points as f64 * each + more <= BUDGET;
    let (mut visited, mut left) = (0, 0);
    let place = |name: String, mode, seed, full| Place { name, mode, seed, full };
    for (i, &seed) in options.seeds.iter().enumerate() {
        if !affordable(visited, each) {
            left += 1;
            continue;
        }
        let mode = if i % 2 == 0 { Mode::Train } else { Mode::Eval };
        let name = format!("seed {seed}");
        visit(
            graph,
            &place(name, mode, seed, true),
            &Weights::draw(&graph, seed),
            &samples.batch(i * batch, batch),
        );
        visited += 1;
    }
    let &seed = options.seeds.first()?;
    let feeds = samples.batch(0, batch);
    if options.steps > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a few steps")]
        let training = 3.0 * forward * options.steps as f64;
        if affordable(visited, each + training) {
            let mut weights = Weights::draw(&graph, seed);
            let optimizer: &Optimizer =
                graph.training.optimizer.as_ref().map_or(&optim::DEFAULT, |optimizer| &optimizer.value);
            let mut session: Session<'_, f64> = Session::new(graph, batch, Keep::All);
            optim::train(&mut session, objective, optimizer, options.steps, seed, &feeds, &mut weights);
            // Training that diverges is reported by the rules of training, not as a wrong gradient.
            if optim::finite(&weights) {
                let name = format!("seed {seed} after {} steps", options.steps);
                visit(graph, &place(name.clone(), Mode::Train, seed, true), &weights, &feeds);
                if each <= PATIENCE {
                    visit(
                        graph,
                        &place(format!("{name}, in use"), Mode::Eval, seed, false),
                        &weights,
                        &feeds,
                    );
                }
            }
        } else {
            left += 1;
        }
    }
    if each <= PATIENCE {
        let drawn = Weights::draw(&graph, seed);
        for &scale in &options.scales {
            let mut weights = drawn.clone();
            weights.params.iter_mut().flat_map(|tensor| &mut tensor.data).for_each(|w| *w *= scale);
            let name = format!("seed {seed}, weights times {}", number(scale));
            visit(graph, &place(name, Mode::Train, seed, false), &weights, &feeds);
        }
        let kept = kept(&graph);
        if let Some(graph) = kept.as_ref().and_then(Runnable::new) {
            let name = format!("seed {seed}, nothing dropped");
            visit(graph, &place(name, Mode::Train, seed, false), &drawn, &feeds);
        }
    }
    (left > 0).then(|| {
        let what = plural(left, "point");
        format!("{what} left out, as each would cost {} operations", number(each))
    })
}

/// The graph without what acts in training only; `None` if it has nothing of that kind.
pub(in crate::valid) fn kept(graph: &Graph) -> Option<Verified<Graph>> {
    const KEPT: Pass = Pass {
        name: "kept",
        page: "Removes what drops or adds noise in training: what is left is training mode with keep probability 1.",
        plan: |graph, _| {
            let of = |effect| if effect == ModeEffect::TrainOnly { Fate::Forwards } else { Fate::Stays };
            graph.nodes.iter().map(|(_, node)| of(node.op.effect())).collect()
        },
    };
    if graph.nodes.iter().all(|(_, node)| node.op.effect() != ModeEffect::TrainOnly) {
        return None;
    }
    Some(passes::apply(&KEPT, verify(graph.clone()).ok()?, Mode::Train))
}
