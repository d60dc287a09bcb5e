//! The mutation operators (research: static.md 6): what people get wrong, applied to a spec that is right.
//!
//! Contract: an operator changes the syntax tree, and the tree is printed and compiled like any other text. Which statements an operator
//! concerns follows from the graph alone: hidden layers are those with a layer behind them, an un-normalised one is not followed
//! by a norm before the next activation or layer. No analysis of scales is asked.

use crate::support::parsed;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use wellposed::diag::suppress::Notation;
use wellposed::front::ast::{Action, ArgExpr, Binary, Body, CallExpr, Expr, Head, Spec, Statement};
use wellposed::front::print;
use wellposed::graph::{Graph, Source};
use wellposed::ops::Category;
use wellposed::pipeline::compile;
use wellposed::source::{Sources, Span, Spanned};

/// What an operator is expected to make wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Initialisation, signal and gradient: whether it did is measured.
    Signal,
    /// Data and normalisation: it did, by construction.
    Data,
}

/// A changed spec.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The model that was changed.
    pub model: String,
    /// Where the model is.
    pub path: PathBuf,
    /// The kind of change, for the table.
    pub operator: &'static str,
    /// The change: `variance x4`.
    pub name: String,
    /// What it is expected to make wrong.
    pub family: Family,
    /// The spec.
    pub text: String,
}

/// A spec that operators are applied to.
#[derive(Debug)]
pub struct Model {
    /// The name of the file without its ending, behind that of its folder.
    pub name: String,
    /// Where it is, or would be.
    pub path: PathBuf,
    /// Its text as the printer writes it.
    pub text: String,
    spec: Spec,
    sources: Sources,
    places: Places,
}

/// What the statements of a spec are for, by their first byte.
#[derive(Debug, Default)]
struct Places {
    /// Layers with a layer behind them and no norm before the next activation or layer.
    bare: BTreeSet<u32>,
    /// Layers that hand on a value of the shape that they take.
    square: BTreeSet<u32>,
    /// Anything that is not behind the head.
    hidden: BTreeSet<u32>,
    /// The category of every op that is used.
    categories: BTreeMap<String, Category>,
}

impl Model {
    /// Reads a spec, with some words of its text replaced.
    pub fn read(path: &Path, replaced: &[(&str, &str)]) -> Self {
        let mut text = fs::read_to_string(path).expect("readable");
        for (from, to) in replaced {
            assert!(text.contains(from), "{}: no `{from}`", path.display());
            text = text.replace(from, to);
        }
        let (mut spec, sources, mistakes) = parsed(&text, Notation::Dsl);
        assert!(mistakes.is_empty(), "{}: {mistakes:?}", path.display());
        spec.comments.clear();
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = format!("{folder}/{}", path.file_stem().unwrap_or_default().to_string_lossy());
        let text = print::dsl(&spec, &sources);
        let files = crate::support::Memory::of(&path.display().to_string(), source_text(&sources, &spec));
        let compiled = compile(path, &files).expect("the spec is there");
        let places = Places::of(&mut spec, &compiled.graph);
        Self { name, path: path.to_owned(), text, spec, sources, places }
    }

    /// The spec itself, for comparison.
    pub fn unchanged(&self) -> Mutant {
        let (model, path, text) = (self.name.clone(), self.path.clone(), self.text.clone());
        Mutant { model, path, operator: "none", name: "unchanged".to_owned(), family: Family::Signal, text }
    }

    /// The spec with a change; `None` if that is none.
    pub fn changed(
        &self,
        operator: &'static str,
        name: String,
        family: Family,
        change: &dyn Fn(&Self, &mut Spec),
    ) -> Option<Mutant> {
        let mut spec = self.spec.clone();
        change(self, &mut spec);
        let text = print::dsl(&spec, &self.sources);
        let (model, path) = (self.name.clone(), self.path.clone());
        (text != self.text).then_some(Mutant { model, path, operator, name, family, text })
    }

    /// All mutants that differ from the spec.
    pub fn mutants(&self) -> Vec<Mutant> {
        use Family::{Data, Signal};
        let mut out = Vec::new();
        let mut mutate =
            |operator: &'static str, name: String, family: Family, change: &dyn Fn(&Self, &mut Spec)| {
                out.extend(self.changed(operator, name, family, change));
            };
        for (shown, factor) in [("1/16", 1.0 / 16.0), ("1/4", 0.25), ("4", 4.0), ("16", 16.0)] {
            mutate("variance", format!("variance x{shown}"), Signal, &|m, s| m.scale(s, factor));
        }
        for to in ["relu", "tanh", "sigmoid"] {
            mutate("activation", format!("activation {to}"), Signal, &|m, s| m.activate(s, to));
        }
        mutate("no norms", "no norms".into(), Signal, &Self::drop_norms);
        mutate("no residual scale", "no residual scale".into(), Signal, &|_, s| drop_residual_scale(s));
        mutate("depth", "depth x4".into(), Signal, &Self::deepen);
        for (shown, init) in [
            ("normal(0.02)", ("normal", Some(0.02))),
            ("uniform(0.05)", ("uniform", Some(0.05))),
            ("torch_default", ("torch_default", None)),
        ] {
            mutate("init", format!("init {shown}"), Signal, &|m, s| m.initialise(s, init));
        }
        for split in ["all", "test"] {
            mutate("fit", format!("fit={split}"), Data, &|_, s| refit(s, split));
        }
        mutate("scaled twice", "scale(1/255) again".into(), Data, &|_, s| divide_again(s));
        mutate("scaled twice", "standardize again".into(), Data, &|_, s| standardise_again(s));
        mutate("inverse removed", "predict without unscale".into(), Data, &|_, s| answer_as_it_is(s));
        mutate("only=train removed", "noise always".into(), Data, &|_, s| always(s));
        out
    }

    /// Multiplies the variance of all un-normalised hidden weights.
    fn scale(&self, spec: &mut Spec, factor: f64) {
        let defaults = spec.defaults.clone();
        each_call(spec, &mut |start, call| {
            // A shared weight is drawn where it belongs.
            if !self.places.bare.contains(&start) || get(call, "tie").is_some() {
                return;
            }
            let of_default =
                || defaults.iter().find(|d| d.name.value == call.name.value).and_then(|d| get(d, "init"));
            let init = get(call, "init").or_else(of_default).cloned();
            if let Some(scaled) = init.and_then(|init| scaled(&init, factor, unwritten(call.span()))) {
                set(call, "init", scaled);
            }
        });
    }

    /// Replaces all hidden activations.
    pub fn activate(&self, spec: &mut Spec, to: &str) {
        let mut gone = BTreeSet::new();
        each_call(spec, &mut |start, call| {
            let hidden = self.places.hidden.contains(&start);
            if hidden && self.is(call, Category::Activation) && call.name.value != to {
                gone.insert(std::mem::replace(&mut call.name.value, to.to_owned()));
                call.args.clear();
            }
        });
        each_statement(spec, &mut |statement| {
            for from in &mut statement.from {
                if let Some((anchor, _)) = from.value.rsplit_once('.').filter(|(_, op)| gone.contains(*op)) {
                    from.value = format!("{anchor}.{to}");
                }
            }
        });
    }

    /// Takes out all norms; one that other statements name becomes a dropout of nothing.
    pub fn drop_norms(&self, spec: &mut Spec) {
        each_body(spec, &mut |body| {
            let norm = |statement: &Statement| match &statement.action {
                Action::Invoke(call) => self.is(call, Category::Norm),
                _ => false,
            };
            body.statements.retain(|statement| statement.label.is_some() || !norm(statement));
            for statement in body.statements.iter_mut().filter(|statement| norm(statement)) {
                if let Action::Invoke(call) = &mut statement.action {
                    "dropout".clone_into(&mut call.name.value);
                    call.args.clear();
                    set(call, "p", Expr::Int(0));
                }
            }
        });
    }

    /// Four times the iterations of every `repeat`; without one, every hidden layer that keeps its shape four times over.
    pub fn deepen(&self, spec: &mut Spec) {
        let mut repeats = false;
        each_statement(spec, &mut |statement| {
            if let Action::Repeat { count, .. } = &mut statement.action {
                let old = count.clone();
                count.value = times(Spanned::new(Expr::Int(4), unwritten(count.span)), old);
                repeats = true;
            }
        });
        if repeats {
            return;
        }
        each_body(spec, &mut |body| {
            let mut out: Vec<Statement> = Vec::new();
            let mut open: Option<Vec<Statement>> = None;
            for statement in body.statements.drain(..) {
                let follows = match &statement.action {
                    Action::Invoke(call) => {
                        statement.label.is_none()
                            && statement.from.is_empty()
                            && [Category::Activation, Category::Norm, Category::Noise]
                                .iter()
                                .any(|category| self.is(call, *category))
                    }
                    _ => false,
                };
                if let (true, Some(copied)) = (follows, &mut open) {
                    copied.push(statement.clone());
                } else {
                    out.extend(open.take().map(copies));
                    let square = self.places.square.contains(&statement.head.0.start);
                    open = (square && statement.label.is_some()).then(|| vec![statement.clone()]);
                }
                out.push(statement);
            }
            out.extend(open.take().map(copies));
            body.statements = out;
        });
    }

    /// One initialiser for all weights.
    pub fn initialise(&self, spec: &mut Spec, (name, argument): (&str, Option<f64>)) {
        each_call(spec, &mut |_, call| {
            if !self.is(call, Category::Layer) {
                return;
            }
            let span = unwritten(call.span());
            let init = match argument {
                None => Expr::Name(name.to_owned()),
                Some(x) => invoke(name, vec![positional(Expr::Float(x), span)], span),
            };
            if get(call, "tie").is_none() {
                set(call, "init", init);
            }
            if name == "torch_default" && get(call, "bias") != Some(&Expr::Bool(false)) {
                set(call, "bias_init", Expr::Name(name.to_owned()));
            }
        });
    }

    fn is(&self, call: &CallExpr, category: Category) -> bool {
        self.places.categories.get(call.name.value.as_str()) == Some(&category)
    }
}

impl Places {
    fn of(spec: &mut Spec, graph: &Graph) -> Self {
        let mut statements: Vec<Span> = Vec::new();
        each_statement(spec, &mut |statement| statements.push(statement.head.0));
        let behind = layers_behind(graph);
        let mut places = Self::default();
        let mut changing = BTreeSet::new();
        for (handle, node) in graph.nodes.iter() {
            let category = node.op.category();
            places.categories.insert(node.op.name().to_owned(), category);
            let within = |s: &&Span| s.start <= node.span.start && node.span.end <= s.end;
            let Some(start) = statements.iter().filter(within).map(|s| s.start).max() else { continue };
            if behind[handle.index()] {
                places.hidden.insert(start);
            }
            if category != Category::Layer || !behind[handle.index()] {
                continue;
            }
            if node.inputs.len() != 1 || graph.shape(node.inputs[0]) != node.shape.as_ref() {
                changing.insert(start);
            }
            places.square.insert(start);
            if !meets_norm(graph, Source::Node(handle)) {
                places.bare.insert(start);
            }
        }
        places.square.retain(|start| !changing.contains(start));
        places
    }
}

/// By node: whether a layer takes its value, at once or later.
pub fn layers_behind(graph: &Graph) -> Vec<bool> {
    let mut behind = vec![false; graph.nodes.len()];
    for (handle, node) in graph.nodes.iter().rev() {
        let here = behind[handle.index()] || node.op.category() == Category::Layer;
        for source in &node.inputs {
            if let Source::Node(input) = source {
                behind[input.index()] |= here;
            }
        }
    }
    behind
}

/// Whether a norm is the first thing that a value meets, but for pools, layouts and noise.
fn meets_norm(graph: &Graph, value: Source) -> bool {
    graph.consumers(value).any(|(handle, node)| match node.op.category() {
        Category::Norm => true,
        Category::Pool | Category::Layout | Category::Noise => meets_norm(graph, Source::Node(handle)),
        _ => false,
    })
}

/// Without factors that shrink a residual branch: zeros in its last layer or norm, and a divisor in its scheme.
fn drop_residual_scale(spec: &mut Spec) {
    each_call(spec, &mut |_, call| {
        let Some(Expr::Call(init)) = get(call, "init") else { return };
        let mut init = init.clone();
        if let Some(ArgExpr { value, .. }) = init.args.first_mut()
            && let Expr::Binary(Spanned { value: Binary::Div, .. }, whole, _) = &value.value
        {
            *value = (**whole).clone();
            set(call, "init", Expr::Call(init));
        }
    });
    each_statement(spec, &mut |statement| {
        let Action::Residual { body, .. } = &mut statement.action else { return };
        inside(body, &mut |statement| {
            let Action::Invoke(call) = &mut statement.action else { return };
            let zeros = Expr::Name("zeros".to_owned());
            if get(call, "init") == Some(&zeros) {
                set(call, "init", Expr::Name("he_normal".to_owned()));
            }
            if get(call, "gamma") == Some(&zeros) {
                call.args.retain(|arg| arg.name.as_ref().is_none_or(|name| name.value != "gamma"));
            }
        });
    });
}

/// Statistics of other rows for every fitted transform.
fn refit(spec: &mut Spec, split: &str) {
    for column in spec.data.iter_mut().flat_map(|data| &mut data.columns) {
        for call in column.chain.iter_mut().filter(|call| get(call, "fit").is_some()) {
            set(call, "fit", Expr::Name(split.to_owned()));
        }
    }
}

/// Divides pixels by 255 once more.
pub fn divide_again(spec: &mut Spec) {
    for input in &mut spec.inputs {
        let place = match input.kind.value.name.value.as_str() {
            "u8" => input.chain.iter().position(|call| call.name.value == "scale").map(|at| at + 1),
            "unit" => Some(0),
            _ => None,
        };
        if let Some(place) = place {
            let span = unwritten(input.name.span);
            let number = |n: i64| Box::new(Spanned::new(Expr::Int(n), span));
            let factor = Expr::Binary(Spanned::new(Binary::Div, span), number(1), number(255));
            let call = CallExpr {
                name: Spanned::new("scale".to_owned(), span),
                args: vec![positional(factor, span)],
                head: Head(span),
            };
            input.chain.insert(place, call);
        }
    }
}

/// Repeats the step that brings values to a common scale.
pub fn standardise_again(spec: &mut Spec) {
    let columns = spec.data.iter_mut().flat_map(|data| &mut data.columns).map(|column| &mut column.chain);
    for chain in spec.inputs.iter_mut().map(|input| &mut input.chain).chain(columns) {
        let scales = |call: &CallExpr| ["standardize", "minmax"].contains(&call.name.value.as_str());
        if let Some(at) = chain.iter().position(scales) {
            chain.insert(at + 1, chain[at].clone());
        }
    }
}

/// The prediction in the units of the scaled target.
fn answer_as_it_is(spec: &mut Spec) {
    let settings = spec.train.iter_mut().flat_map(|train| &mut train.settings);
    for value in settings.filter(|setting| setting.name.value == "predict").map(|setting| &mut setting.value)
    {
        let answered = match &value.value {
            Expr::Call(call) if call.name.value == "unscale" => {
                call.args.first().map(|arg| arg.value.value.clone())
            }
            _ => None,
        };
        if let Some(answered) = answered {
            *value = Spanned::new(answered, unwritten(value.span));
        }
    }
}

/// Bytes as they are, before constants for numbers in 0..1.
pub fn keep_bytes(spec: &mut Spec) {
    for input in spec.inputs.iter_mut().filter(|input| input.kind.value.name.value == "u8") {
        input.chain.retain(|call| call.name.value != "scale");
    }
}

/// Noise at the end of the chains of all inputs, on the rows of evaluation, too.
pub fn add_noise(spec: &mut Spec) {
    for input in &mut spec.inputs {
        let span = unwritten(input.name.span);
        let only = ArgExpr {
            name: Some(Spanned::new("only".to_owned(), span)),
            value: Spanned::new(Expr::Name("always".to_owned()), span),
        };
        let args = vec![positional(Expr::Float(0.1), span), only];
        input.chain.push(CallExpr { name: Spanned::new("noise".to_owned(), span), args, head: Head(span) });
    }
}

/// Augmentation on the rows of evaluation, too.
fn always(spec: &mut Spec) {
    let columns = spec.data.iter_mut().flat_map(|data| &mut data.columns).map(|column| &mut column.chain);
    for call in spec.inputs.iter_mut().map(|input| &mut input.chain).chain(columns).flatten() {
        if get(call, "only").is_some() {
            set(call, "only", Expr::Name("always".to_owned()));
        }
    }
}

/// The scheme with its variance multiplied; `None` where it has none.
fn scaled(init: &Expr, factor: f64, span: Span) -> Option<Expr> {
    let (name, args) = match init {
        Expr::Name(name) => (name.clone(), Vec::new()),
        Expr::Call(call) => (call.name.value.clone(), call.args.clone()),
        _ => return None,
    };
    let number = |x: f64| Spanned::new(Expr::Float(x), span);
    let root = factor.sqrt();
    let (family, shape) = name.rsplit_once('_').unwrap_or((&name, ""));
    let of_fan = |scale: f64, fan: &str| {
        let words = [fan, shape].map(|word| positional(Expr::Name(word.to_owned()), span));
        let args = std::iter::once(positional(Expr::Float(scale), span)).chain(words).collect();
        Some(invoke("variance_scaling", args, span))
    };
    match family {
        "he" => {
            let is_out = |arg: &ArgExpr| arg.value.value == Expr::Name("fan_out".to_owned());
            let fan = if args.iter().any(is_out) { "fan_out" } else { "fan_in" };
            let slope = args.iter().find_map(|arg| match arg.value.value {
                Expr::Float(a) => Some(a),
                _ => None,
            });
            of_fan(2.0 * factor / (1.0 + slope.unwrap_or(0.0).powi(2)), fan)
        }
        "lecun" => of_fan(factor, "fan_in"),
        "xavier" | "orthogonal" => {
            let gain = args.first().map_or(number(1.0), |arg| arg.value.clone());
            let arg = ArgExpr {
                name: Some(Spanned::new("gain".to_owned(), span)),
                value: Spanned::new(times(gain, number(root)), span),
            };
            Some(invoke(&name, vec![arg], span))
        }
        "torch" => {
            let words = ["fan_in", "uniform"].map(|word| positional(Expr::Name(word.to_owned()), span));
            let args = std::iter::once(positional(Expr::Float(factor / 3.0), span)).chain(words).collect();
            Some(invoke("variance_scaling", args, span))
        }
        "normal" | "uniform" | "truncated" | "variance" => {
            let by = if family == "variance" { factor } else { root };
            let mut args = args;
            let first = args.first_mut()?;
            first.value = Spanned::new(times(first.value.clone(), number(by)), span);
            Some(invoke(&name, args, span))
        }
        _ => None,
    }
}

/// A span behind the end of its file: the printer finds no text there and writes the value.
fn unwritten(span: Span) -> Span {
    Span { start: u32::MAX, end: u32::MAX, ..span }
}

fn times(a: Spanned<Expr>, b: Spanned<Expr>) -> Expr {
    let span = unwritten(a.span);
    Expr::Binary(Spanned::new(Binary::Mul, span), Box::new(a), Box::new(b))
}

fn positional(value: Expr, span: Span) -> ArgExpr {
    ArgExpr { name: None, value: Spanned::new(value, span) }
}

fn invoke(name: &str, args: Vec<ArgExpr>, span: Span) -> Expr {
    Expr::Call(CallExpr { name: Spanned::new(name.to_owned(), span), args, head: Head(span) })
}

fn get<'a>(call: &'a CallExpr, name: &str) -> Option<&'a Expr> {
    let named = |arg: &&ArgExpr| arg.name.as_ref().is_some_and(|own| own.value == name);
    call.args.iter().find(named).map(|arg| &arg.value.value)
}

fn set(call: &mut CallExpr, name: &str, value: Expr) {
    let span = unwritten(call.span());
    let value = Spanned::new(value, span);
    let named = |arg: &&mut ArgExpr| arg.name.as_ref().is_some_and(|own| own.value == name);
    match call.args.iter_mut().find(named) {
        Some(arg) => arg.value = value,
        None => call.args.push(ArgExpr { name: Some(Spanned::new(name.to_owned(), span)), value }),
    }
}

/// Three more of a layer and what belongs to it.
fn copies(statements: Vec<Statement>) -> Statement {
    let first = &statements[0];
    let span = unwritten(first.head.0);
    let label = first.label.as_ref().map(|label| Spanned::new(format!("{}_more", label.value), span));
    let statements = statements
        .into_iter()
        .enumerate()
        .map(|(i, statement)| Statement {
            from: if i == 0 { Vec::new() } else { statement.from },
            ..statement
        })
        .collect();
    Statement {
        label,
        action: Action::Repeat {
            count: Spanned::new(Expr::Int(3), span),
            index: None,
            body: Body { statements, head: Head(span) },
        },
        from: Vec::new(),
        head: Head(span),
    }
}

/// Every body of a spec, innermost first, so that what is put into one is not met again.
fn each_body(spec: &mut Spec, act: &mut dyn FnMut(&mut Body)) {
    fn below(body: &mut Body, act: &mut dyn FnMut(&mut Body)) {
        for statement in &mut body.statements {
            match &mut statement.action {
                Action::Unreadable | Action::Invoke(_) => {}
                Action::Repeat { body, .. } | Action::For { body, .. } => below(body, act),
                Action::Residual { body, shortcut } => {
                    below(body, act);
                    shortcut.iter_mut().for_each(|shortcut| below(&mut shortcut.body, act));
                }
            }
        }
        act(body);
    }
    spec.blocks.iter_mut().for_each(|block| below(&mut block.body, act));
    spec.net.iter_mut().for_each(|net| below(net, act));
}

/// Every statement of a spec.
fn each_statement(spec: &mut Spec, act: &mut dyn FnMut(&mut Statement)) {
    each_body(spec, &mut |body| body.statements.iter_mut().for_each(&mut *act));
}

/// The statements of a residual branch, those of loops in it included.
fn inside(body: &mut Body, act: &mut dyn FnMut(&mut Statement)) {
    for statement in &mut body.statements {
        act(statement);
        if let Action::Repeat { body, .. } | Action::For { body, .. } = &mut statement.action {
            inside(body, act);
        }
    }
}

/// Every op that is called, with the first byte of its statement.
fn each_call(spec: &mut Spec, act: &mut dyn FnMut(u32, &mut CallExpr)) {
    each_statement(spec, &mut |statement| {
        let start = statement.head.0.start;
        if let Action::Invoke(call) = &mut statement.action {
            act(start, call);
        }
    });
}

fn source_text(sources: &Sources, spec: &Spec) -> String {
    sources.file(spec.file).text.to_string()
}
