//! The members of a family: a spec compiled with other values of its parameters, and rows to run it on.
//!
//! Contract: a member is compiled as the declared model is, from the same tree with other values. Facts in `expect` and properties that name
//! what a member does not have are no faults of it. A member that is expensive to run has no model.

use super::{Draws, Number, Ranged, Structure};
use crate::args::{Value, number};
use crate::data::{self, Split, Statistics};
use crate::diag::{Diagnostic, Diagnostics, Severity, did_you_mean, rules};
use crate::front::ast::{Expr, Spec};
use crate::front::setting;
use crate::graph::{self, Graph, Runnable, Setting, Verified};
use crate::lints;
use crate::lower;
use crate::signal;
use crate::source::{Loader, Span};
use crate::tensor::Mode;
use crate::text;
use crate::valid::properties::Subject;
use crate::valid::{Samples, gradcheck, step_cost};
use std::collections::BTreeSet;
use std::path::Path;

/// What a training step on a few rows of a drawn model may cost, in multiplications and additions, for every 16 cases.
const STEP: f64 = 5e7;
/// What a run of a drawn model may need, in bytes.
const MEMORY: usize = 1 << 28;
/// Rows for which the cost is counted: those of a case of an expensive model.
const ROWS: usize = 3;
/// Nodes of a drawn model at most.
const NODES: usize = 1_000;
/// Nodes of all models that are only compiled, together.
const NODES_COMPILED: usize = 10_000;
/// How often a model that is too expensive is moved towards the lower ends.
const HALVINGS: usize = 12;

/// A spec and the models that it stands for.
pub struct Family<'a> {
    /// The declared model.
    pub declared: Subject<'a>,
    /// The parameters that vary.
    pub ranged: Vec<Ranged>,
    spec: &'a Spec,
    path: &'a Path,
    loader: &'a dyn Loader,
    /// The codes of the errors that the declared model has.
    known: BTreeSet<&'static str>,
}

/// A graph and rows to run it on.
#[derive(Debug)]
pub struct Model {
    graph: Verified<Graph>,
    /// `None` if those of the declared model fit.
    samples: Option<Samples>,
}

/// A member of a family.
#[derive(Debug)]
pub struct Member {
    /// The values of its parameters.
    pub structure: Structure,
    /// Errors that the declared model does not have.
    pub faults: Diagnostics,
    /// What is run; `None` if it cannot be, or costs too much.
    pub model: Option<Model>,
    /// Why a sound member is not run.
    pub cut: Option<String>,
    /// How many nodes it has.
    nodes: usize,
}

/// The members that were drawn.
#[derive(Debug, Default)]
pub struct Drawn {
    /// Those that are run, if they can be.
    pub members: Vec<Member>,
    /// Those that were only compiled.
    pub compiled: Vec<Member>,
}

impl Member {
    /// What laws look at.
    #[must_use]
    pub fn subject<'s>(&'s self, family: &Family<'s>) -> Option<Subject<'s>> {
        let Model { graph, samples } = self.model.as_ref()?;
        let samples = samples.as_ref().unwrap_or(family.declared.samples);
        Some(Subject { graph, runnable: Runnable::new(graph)?, samples })
    }
}

impl<'a> Family<'a> {
    /// The family of a spec. `declared` is its declared model, `found` what is known of that, and `path` the file against whose folder
    /// data files are resolved.
    #[must_use]
    pub fn new(
        spec: &'a Spec,
        path: &'a Path,
        loader: &'a dyn Loader,
        declared: Subject<'a>,
        found: &Diagnostics,
    ) -> Self {
        let errors = found.iter().filter(|d| d.severity == Severity::Error);
        let known = errors.map(|d| d.rule.code).collect();
        Self { declared, ranged: ranged(spec, declared.graph), spec, path, loader, known }
    }

    /// The spec of a member by itself, as text has it: nothing varies.
    #[must_use]
    pub fn alone(&self, structure: &Structure) -> Spec {
        setting::alone(self.spec, &self.values(structure))
    }

    fn values<'s>(&self, structure: &'s Structure) -> Vec<(&'s str, Expr)> {
        let place = Span::new(self.spec.file, 0..0);
        structure.0.iter().map(|(name, value)| (name.as_str(), value.expr(place))).collect()
    }

    /// The values of a structure, all of them; those that it does not name as they are declared.
    #[must_use]
    pub fn whole(&self, structure: &Structure) -> Structure {
        let value = |one: &Ranged| {
            let given = structure.0.iter().find(|(name, _)| *name == one.name);
            (one.name.clone(), given.map_or(one.declared, |(_, value)| *value))
        };
        Structure(self.ranged.iter().map(value).collect())
    }

    /// Why a structure that somebody wrote is none of this family; `Err` if it names what the model does not have.
    ///
    /// # Errors
    /// The name that is no parameter, and the nearest one that is.
    pub fn outside(&self, structure: &Structure) -> Result<Option<String>, String> {
        let settings = &self.declared.graph.settings;
        for (name, value) in &structure.0 {
            let Some(setting) = settings.iter().find(|setting| setting.name == *name) else {
                let near = did_you_mean(name, settings.iter().map(|setting| setting.name.as_str()));
                let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return Err(format!("the model has no parameter `{name}`{near}"));
            };
            match self.ranged.iter().find(|one| one.name == *name) {
                Some(one) if one.holds(*value) => {}
                Some(one) => return Ok(Some(format!("{name} = {value}, and the spec declares {one}"))),
                None if number(&setting.value) == Some(value.real()) => {}
                None => {
                    return Ok(Some(format!("{name} = {value}, and the spec declares {}", setting.value)));
                }
            }
        }
        Ok(None)
    }

    /// Compiles a member. It may cost `budget` times what a drawn model usually may.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of nodes are far below 2^53")]
    pub fn member(&self, structure: &Structure, budget: f64) -> Member {
        let spec = setting::with(self.spec, &self.values(structure));
        let (graph, found) = lower::lower(&spec, self.path, self.loader);
        let graph = match graph::verify(graph) {
            Ok(graph) => graph,
            Err(violations) => panic!("internal: a graph with {structure} is not valid: {violations:?}"),
        };
        let mut faults: Diagnostics = found.into_iter().filter(|d| self.counts(d)).collect();
        let nodes = graph.nodes.len();
        let member = |faults, model, cut| Member { structure: structure.clone(), faults, model, cut, nodes };
        if !faults.is_empty() {
            return member(faults, None, None);
        }
        if nodes as f64 > NODES as f64 * budget {
            return member(faults, None, Some(format!("it has {}", text::plural(nodes, "node"))));
        }
        let signal = signal::analyse(&graph, Mode::Train);
        let context =
            lints::Context { graph: &graph, signal: &signal, notation: self.spec.notation, rows: None };
        let seen = lints::run(context).into_iter();
        faults.extend(seen.filter(|d| self.counts(d) && !self.known.contains(d.rule.code)));
        if Runnable::new(&graph).is_none() {
            return member(faults, None, None);
        }
        if let Some(reason) = expensive(&graph, budget) {
            return member(faults, None, Some(reason));
        }
        match self.samples(&graph) {
            Ok(samples) => member(faults, Some(Model { graph, samples }), None),
            Err(wrong) => {
                faults.extend(wrong.into_iter().filter(|d| self.counts(d)));
                member(faults, None, None)
            }
        }
    }

    /// Whether a finding about a member is an error of it: facts are said of the declared values, and a property may speak of nodes that
    /// only some members have.
    fn counts(&self, d: &Diagnostic) -> bool {
        let within = |span: Span| {
            let holds = |outer: Span| outer.start <= span.start && span.end <= outer.end;
            self.spec.properties.iter().any(|property| holds(property.head.0))
        };
        d.severity == Severity::Error && !d.rule.code.starts_with('X') && !d.span().is_some_and(within)
    }

    /// Rows for a member; `None` if those of the declared model fit.
    fn samples(&self, graph: &Graph) -> Result<Option<Samples>, Diagnostics> {
        let declared = self.declared;
        let same =
            graph.feeds.iter().map(|(_, feed)| feed).eq(declared.graph.feeds.iter().map(|(_, feed)| feed));
        if same && graph.data == declared.graph.data {
            return Ok(None);
        }
        let rows = declared.samples.rows();
        let Some(plan) = graph.data.as_ref().filter(|_| declared.samples.real) else {
            return Ok(Some(Samples::draw(graph, rows, 0)));
        };
        let (statistics, faults): (Statistics, Diagnostics) = data::fit(plan, self.loader);
        if faults.has_errors() {
            return Err(faults);
        }
        debug_assert!(plan.splits().iter().any(|split| matches!(split, Split::Train | Split::All)));
        Samples::load(graph, &statistics, rows, self.loader)
    }

    /// Draws members, and moves those that are expensive to run towards the lower ends.
    #[must_use]
    pub fn draw(&self, seed: u64, cases: u32) -> Drawn {
        if self.ranged.is_empty() {
            return Drawn::default();
        }
        let budget = (f64::from(cases) / 16.0).max(1.0);
        let count = usize::try_from(cases / 4).unwrap_or(usize::MAX).max(2);
        let mut drawn = Drawn::default();
        let Draws { run, compiled } = super::draw(&self.ranged, seed, count);
        for structure in run {
            let member = self.member(&structure, budget);
            let affordable = member.cut.as_ref().and_then(|_| {
                let halves = std::iter::successors(Some(structure), |larger| Some(self.halved(larger)));
                let mut smaller = halves.skip(1).take(HALVINGS).map(|smaller| self.member(&smaller, budget));
                smaller.find(|smaller| smaller.cut.is_none())
            });
            drawn.add(member);
            affordable.into_iter().for_each(|smaller| drawn.add(smaller));
        }
        let mut nodes = 0;
        for structure in compiled {
            // A model that is too large for the compiler is as good as all that it may compile.
            let large = |member: &Member| member.faults.iter().any(|fault| fault.rule == &rules::TOO_LARGE);
            if nodes > NODES_COMPILED || drawn.members.iter().any(large) {
                break;
            }
            let member = self.member(&structure, budget);
            nodes += member.nodes;
            drawn.compiled.push(Member { model: None, ..member });
        }
        drawn
    }

    /// Half the way to the lower ends.
    fn halved(&self, structure: &Structure) -> Structure {
        let value = |(one, (name, value)): (&Ranged, &(String, Number))| {
            (name.clone(), one.value(one.below(*value) / 2))
        };
        Structure(self.ranged.iter().zip(&structure.0).map(value).collect())
    }
}

impl Drawn {
    fn add(&mut self, member: Member) {
        if self.members.iter().all(|known| known.structure != member.structure) {
            self.members.push(member);
        }
    }
}

/// The parameters of a spec that declare a range of more than one value.
fn ranged(spec: &Spec, graph: &Graph) -> Vec<Ranged> {
    let params = spec.model.iter().flat_map(|model| &model.params);
    let one = |setting: &Setting| {
        let (low, high) = setting.range.filter(|(low, high)| low < high)?;
        let (from, to) = params.clone().find(|param| param.name.value == setting.name)?.range.as_ref()?;
        let ends = match setting.value {
            Value::Int(declared) if low.fract() == 0.0 && high.fract() == 0.0 => {
                #[expect(clippy::cast_possible_truncation, reason = "sizes beyond 2^63 saturate")]
                let whole = |x: f64| Number::Whole(x as i64);
                (Number::Whole(declared), whole(low), whole(high))
            }
            _ => (Number::Real(number(&setting.value)?), Number::Real(low), Number::Real(high)),
        };
        let (declared, low, high) = ends;
        Some(Ranged { name: setting.name.clone(), declared, low, high, span: from.span.to(to.span) })
    };
    graph.settings.iter().filter_map(one).collect()
}

/// Why a model is too expensive to be run among others.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn expensive(graph: &Graph, budget: f64) -> Option<String> {
    let (step, bytes) = (step_cost(graph, ROWS), gradcheck::memory(graph, ROWS));
    if bytes as f64 > MEMORY as f64 * budget {
        return Some(format!("a run would need about {} MiB", bytes >> 20));
    }
    (step > STEP * budget)
        .then(|| format!("a training step on {ROWS} rows would cost {} operations", text::number(step)))
}
