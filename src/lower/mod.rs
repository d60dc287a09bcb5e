//! Syntax tree to graph: names are resolved, blocks and loops expanded, shapes inferred on the way.
//!
//! Contract: [`lower`] returns a graph whatever the tree holds, and a diagnostic for every mistake. What cannot be read is left out and
//! poisons what depends on it, silently, so that one mistake gives one message. Expansion is bounded: by a number of
//! nodes, and by fuel that every statement burns, so that empty loops end, too.

mod body;
mod compound;
mod data;
mod eval;
mod feeds;
mod formula;
mod own;
mod properties;
mod splits;
mod stored;
mod tie;
mod training;
mod words;

use crate::args::{Call, Reader, Value};
use crate::diag::{Diagnostic, Diagnostics, did_you_mean, rules};
use crate::front::ast::{Block, Expr, Lost, ParamDecl, Spec};
use crate::graph::{Arena, Graph, Setting, Source, Training};
use crate::inits::Init;
use crate::ops::OpKind;
use crate::source::{Loader, Span, Spanned};
use eval::{Env, Variables};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The manual page of weights that layers share.
pub const TIE_PAGE: &str = crate::manual::page!("tie.rs");
/// A model may have this many nodes.
pub const MAX_NODES: usize = 100_000;
/// Expansion may take this many steps, each counted as often as it is deep: paths and trails grow with the depth.
const FUEL: usize = 1_000_000;
/// A model may have this many parameters.
const MAX_PARAMETERS: usize = 1_000;
/// Blocks, loops and residuals may be expanded this deep within each other.
const MAX_DEPTH: usize = 64;

/// Lowers a spec. `path` is the spec's file, against whose folder data files are resolved.
pub fn lower(spec: &Spec, path: &Path, loader: &dyn Loader) -> (Graph, Diagnostics) {
    let head = spec.model.as_ref().map_or(Span::new(spec.file, 0..0), |model| model.name.span);
    let graph = Graph {
        name: spec.model.as_ref().map_or(String::new(), |model| model.name.value.clone()),
        settings: Vec::new(),
        feeds: Arena::default(),
        nodes: Arena::default(),
        params: Arena::default(),
        states: Arena::default(),
        output: None,
        loss: None,
        penalties: Vec::new(),
        training: Training::default(),
        data: None,
        facts: Vec::new(),
        properties: Vec::new(),
        partial: false,
        span: head,
    };
    let mut lowering = Lowering {
        spec,
        path,
        loader,
        graph,
        out: Diagnostics::default(),
        globals: Variables::default(),
        blocks: BTreeMap::new(),
        own: BTreeMap::new(),
        defaults: BTreeMap::new(),
        vocabularies: BTreeMap::new(),
        names: BTreeMap::new(),
        order: 0,
        fuel: FUEL,
        depth: 0,
        calls: Vec::new(),
        trail: Vec::new(),
        lost: spec.lost.clone(),
    };
    lowering.run();
    if lowering.fuel == usize::MAX {
        // What a hostile spec has filled so far is worth nothing, and everybody else's time.
        let graph = &mut lowering.graph;
        (graph.nodes, graph.params, graph.states) = (Arena::default(), Arena::default(), Arena::default());
        (graph.output, graph.loss) = (None, None);
    }
    (lowering.graph, lowering.out)
}

/// Everything that lowering knows while it runs.
struct Lowering<'a> {
    spec: &'a Spec,
    path: &'a Path,
    loader: &'a dyn Loader,
    graph: Graph,
    out: Diagnostics,
    /// The model's parameters.
    globals: Variables,
    blocks: BTreeMap<String, &'a Block>,
    /// Activations and losses that the spec declares.
    own: BTreeMap<String, own::Declared<'a>>,
    defaults: BTreeMap<String, Call>,
    /// The words of the categories whose vocabulary the spec does not give.
    vocabularies: BTreeMap<String, Vec<String>>,
    /// What a path of a finished value means, and when it came to be.
    names: BTreeMap<String, (Source, usize)>,
    order: usize,
    fuel: usize,
    /// How deep the current statement is nested in what is being expanded.
    depth: usize,
    /// The blocks that are being expanded.
    calls: Vec<&'a str>,
    /// How blocks and loops led here.
    trail: Vec<String>,
    /// Names whose absence has been explained.
    lost: Lost,
}

impl<'a> Lowering<'a> {
    fn run(&mut self) {
        let spec = self.spec;
        self.head();
        self.params();
        self.declarations();
        for block in &spec.blocks {
            self.block(block);
        }
        self.defaults();
        self.feeds();
        match &spec.net {
            Some(net) => self.net(net),
            None => {
                self.missing("`net`", "net { ... } holds the model's statements");
                self.lost.everything();
            }
        }
        self.words();
        self.training();
        self.properties();
    }

    /// What every spec begins with. A file that could not be read at all has said so already.
    fn head(&mut self) {
        let spec = self.spec;
        match &spec.version {
            Some(version) if version.value != 1 => {
                let message = format!("version {} of the language is not known", version.value);
                self.out.push(
                    Diagnostic::new(&rules::OUT_OF_RANGE, version.span, message).help("write `spec 1`"),
                );
            }
            Some(_) => {}
            None => self.missing("version", "the first line of a spec is `spec 1`"),
        }
        if spec.model.is_none() {
            self.missing("`model`", "model NAME(parameters) names the model");
        }
    }

    fn missing(&mut self, what: &str, help: &str) {
        self.graph.partial = true;
        let place = Span::new(self.spec.file, 0..0);
        self.out.push(Diagnostic::new(&rules::MISSING, place, format!("the spec has no {what}")).help(help));
    }

    /// An environment in which only the model's parameters have a meaning.
    fn env(&self) -> Env {
        Env { variables: self.globals.clone(), input: None, has_input: false, lost: self.lost.clone() }
    }

    fn params(&mut self) {
        let Some(model) = &self.spec.model else { return };
        if let Some(first) = model.params.get(MAX_PARAMETERS) {
            let n = model.params.len();
            let message = format!("{n} parameters; a model has at most {MAX_PARAMETERS}");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, first.name.span, message));
            self.lost.everything();
        }
        let mut names = BTreeSet::new();
        for param in model.params.iter().take(MAX_PARAMETERS) {
            self.check_name(&param.name, "parameter");
            if !names.insert(param.name.value.as_str()) {
                let message = format!("two parameters are called `{}`", param.name.value);
                let first = model.params.iter().find(|other| other.name == param.name);
                let diagnostic = Diagnostic::new(&rules::DUPLICATE_NAME, param.name.span, message);
                self.out.push(match first {
                    Some(first) => diagnostic.label(first.name.span, "first declared here"),
                    None => diagnostic,
                });
                continue;
            }
            match self.param(param) {
                Some(value) => self.globals.push(param.name.value.clone(), value),
                None => self.lost.learn(&param.name.value),
            }
        }
    }

    fn param(&mut self, param: &ParamDecl) -> Option<Value> {
        let value = self.param_value(param)?;
        let range = self.range(param, &value);
        let name = param.name.value.clone();
        self.graph.settings.push(Setting { name, value: value.value.clone(), range });
        Some(value.value)
    }

    /// The default of a parameter, which must have one.
    fn param_value(&mut self, param: &ParamDecl) -> Option<Spanned<Value>> {
        let Some(default) = &param.default else {
            let message = format!("the parameter `{}` has no value", param.name.value);
            self.out
                .push(Diagnostic::new(&rules::MISSING, param.name.span, message).help("write name = value"));
            return None;
        };
        let env = self.env();
        let value = eval::eval(default, &env, &mut self.out)?;
        if let Value::Symbol(name) = &value.value
            && !words().contains(name.as_str())
        {
            // A parameter may hold a word, for instance the name of an initialiser, but not a slip of the hand.
            self.out.push(crate::args::unknown_variable(name, value.span, &env.scope()));
            return None;
        }
        Some(value)
    }

    /// The range of a parameter, which must hold its value.
    fn range(&mut self, param: &ParamDecl, value: &Spanned<Value>) -> Option<(f64, f64)> {
        let (low, high) = param.range.as_ref()?;
        let (lo, hi) = self.ends(low, high)?;
        match crate::args::number(&value.value) {
            Some(x) if x >= lo && x <= hi => {}
            _ => {
                let message = format!("`{}` is {}, outside its range", param.name.value, value.value);
                self.out.push(
                    Diagnostic::new(&rules::OUT_OF_RANGE, value.span, message)
                        .label(low.span.to(high.span), "the range that it declares"),
                );
            }
        }
        Some((lo, hi))
    }

    /// The ends of a range `lo..hi`.
    fn ends(&mut self, low: &Spanned<Expr>, high: &Spanned<Expr>) -> Option<(f64, f64)> {
        let env = self.env();
        let (low, high) = (eval::eval(low, &env, &mut self.out), eval::eval(high, &env, &mut self.out));
        let (low, high) = (low?, high?);
        let ends = crate::args::number(&low.value).zip(crate::args::number(&high.value));
        let ends = ends.filter(|(lo, hi)| lo <= hi);
        if ends.is_none() {
            let message = format!("`{}..{}` is no range", low.value, high.value);
            self.out.push(Diagnostic::new(&rules::OUT_OF_RANGE, low.span.to(high.span), message));
        }
        ends
    }

    /// A name that people choose must not be one that the language uses.
    fn check_name(&mut self, name: &Spanned<String>, what: &str) {
        if words().contains(name.value.as_str()) {
            let message = format!("`{}` is a word of the language and cannot name a {what}", name.value);
            self.out
                .push(Diagnostic::new(&rules::RESERVED_NAME, name.span, message).help("choose another name"));
        }
    }

    fn block(&mut self, block: &'a Block) {
        let name = &block.name;
        if ["id", "from", "body"].contains(&name.value.as_str()) {
            let message =
                format!("`{}` is a key of every statement in YAML and cannot name a block", name.value);
            self.out
                .push(Diagnostic::new(&rules::RESERVED_NAME, name.span, message).help("choose another name"));
        }
        if OpKind::find(&name.value).is_some() {
            let message = format!("`{}` is an op and cannot name a block", name.value);
            self.out.push(
                Diagnostic::new(&rules::DUPLICATE_NAME, name.span, message).help("choose another name"),
            );
            return;
        }
        if let Some(own) = self.own.get(&name.value) {
            let message = format!(
                "`{}` is declared as a function of the spec's own and cannot name a block",
                name.value
            );
            let diagnostic = Diagnostic::new(&rules::DUPLICATE_NAME, name.span, message);
            self.out.push(diagnostic.label(own.own.name.span, "declared here"));
            return;
        }
        if let Some(first) = self.blocks.get(&name.value) {
            let message = format!("two blocks are called `{}`", name.value);
            let diagnostic = Diagnostic::new(&rules::DUPLICATE_NAME, name.span, message);
            self.out.push(diagnostic.label(first.name.span, "first defined here"));
            return;
        }
        for (i, param) in block.params.iter().enumerate() {
            self.check_name(&param.name, "parameter");
            if let Some(first) = block.params[..i].iter().find(|p| p.name == param.name) {
                let message = format!("two parameters of `{}` are called `{}`", name.value, param.name.value);
                let diagnostic = Diagnostic::new(&rules::DUPLICATE_NAME, param.name.span, message);
                self.out.push(diagnostic.label(first.name.span, "first declared here"));
            }
        }
        self.blocks.insert(name.value.clone(), block);
    }

    fn defaults(&mut self) {
        for default in &self.spec.defaults {
            let name = &default.name;
            let Some(op) = OpKind::find(&name.value) else {
                self.unknown_op(name);
                continue;
            };
            let env = self.env();
            let Some(call) = eval::called(default, op.signature, &env, &mut self.out) else { continue };
            self.no_default_tie(default, op.signature);
            if let Some(first) = self.defaults.get(&name.value) {
                let message = format!("`{}` has two defaults", name.value);
                self.out.push(
                    Diagnostic::new(&rules::GIVEN_TWICE, name.span, message)
                        .label(first.span, "first given here"),
                );
                continue;
            }
            // Binding alone reports unknown and doubled arguments, once, where they stand.
            Reader::new(&call, None, op.signature, &env.scope(), &mut self.out);
            self.defaults.insert(name.value.clone(), call);
        }
    }

    /// The finding for a statement whose op or block does not exist.
    fn unknown_op(&mut self, name: &Spanned<String>) {
        if self.lost.explains(&name.value) {
            return;
        }
        let ops = OpKind::ALL.iter().filter(|op| op.group != "loss").map(|op| op.name);
        let own = self.own.iter().filter(|(_, own)| !own.is_loss).map(|(name, _)| name.as_str());
        let known = ops.chain(self.blocks.keys().map(String::as_str)).chain(own);
        let near = did_you_mean(&name.value, known).map(str::to_owned);
        let message = format!("there is no op or block `{}`", name.value);
        let help = near.map_or("`wellposed explain ops` lists the ops".to_owned(), |near| {
            format!("did you mean `{near}`?")
        });
        self.out.push(Diagnostic::new(&rules::UNKNOWN_CALLEE, name.span, message).help(help));
    }

    /// Burns one unit of fuel; `false` when it has run out, which is reported once.
    fn step(&mut self, span: Span) -> bool {
        if self.fuel == usize::MAX {
            return false;
        }
        let message = if self.depth > MAX_DEPTH {
            format!("blocks, loops and residuals expand more than {MAX_DEPTH} deep")
        } else if self.fuel == 0 || self.graph.nodes.len() >= MAX_NODES {
            format!("the model expands to more than {MAX_NODES} nodes or {FUEL} steps")
        } else {
            self.fuel = self.fuel.saturating_sub(self.depth);
            return true;
        };
        // The innermost part of the way suffices.
        let trail = &self.trail[self.trail.len().saturating_sub(8)..];
        self.out.push(Diagnostic::new(&rules::TOO_LARGE, span, message).trail(trail));
        self.graph.partial = true;
        self.lost.everything();
        // A marker: the message is said, and nothing runs any more.
        self.fuel = usize::MAX;
        false
    }
}

/// Words that mean something as an argument: a variable of such a name would change the meaning of that argument everywhere.
fn words() -> &'static BTreeSet<&'static str> {
    static WORDS: std::sync::OnceLock<BTreeSet<&'static str>> = std::sync::OnceLock::new();
    WORDS.get_or_init(|| {
        let mut words: BTreeSet<&'static str> =
            ["B", "same", "weights", "mean", "median", "variance", "correlation"].into();
        words.extend(eval::FUNCTIONS);
        words.extend(Init::ALL.iter().map(|init| init.name));
        let callables = OpKind::ALL.iter().chain(Init::ALL).chain(crate::data::Transform::ALL);
        for param in callables.flat_map(|callable| callable.signature) {
            if let crate::args::Kind::Word(list) = param.kind {
                words.extend(list);
            }
        }
        words
    })
}
