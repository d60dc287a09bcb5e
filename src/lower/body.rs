//! Statements: naming, wiring, blocks, loops and residuals.
//!
//! Names: a named node keeps its name; an unnamed one is `<anchor>.<op>`, the anchor being the nearest named node before it in
//! its scope (before any, the input). Loops and named blocks open a scope of their own. No counters anywhere, so an insertion
//! renames nothing else.

use super::Lowering;
use super::eval::{self, Env, Variables};
use crate::args::{Reader, Value};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::front::ast::{Action, Body, CallExpr, Statement};
use crate::graph::builder::Draft;
use crate::graph::{NodeRole, Path, Source};
use crate::ops::{Arity, Category, OpKind, OwnActivation};
use crate::source::{Span, Spanned};

/// An operator with the places of its arguments.
type Read = (OpKind, Vec<(&'static str, Span)>);

/// What flows from one statement into the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// A value.
    Value(Source),
    /// Several inputs, none of which was named.
    Ambiguous,
    /// Something that could not be read; it was reported.
    Poison,
}

/// Where names are looked up and made.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// The path of what encloses the statements.
    pub(super) prefix: Path,
    /// What unnamed nodes are called after.
    pub(super) anchor: String,
    /// References are looked up behind the first so many parts of the prefix, and behind more of them.
    pub(super) floor: usize,
    /// Values older than this belong to the caller of the block.
    pub(super) since: usize,
    /// The variables of the block and its loops.
    pub(super) variables: Variables,
    /// What `in` names.
    pub(super) input: Flow,
}

impl Scope {
    /// The paths behind which references are looked up, innermost last.
    fn visible(&self) -> impl DoubleEndedIterator<Item = Path> {
        (self.floor..=self.prefix.0.len()).map(|parts| Path(self.prefix.0[..parts].to_vec()))
    }
}

impl<'a> Lowering<'a> {
    pub(super) fn net(&mut self, net: &'a Body) {
        if net.statements.is_empty() && self.lost.is_empty() {
            self.out.push(Diagnostic::new(&rules::MISSING, net.head.0, "the net has no statements"));
        }
        let inputs: Vec<Source> = self
            .graph
            .feeds
            .iter()
            .filter(|(_, feed)| !feed.target)
            .map(|(handle, _)| Source::Feed(handle))
            .collect();
        let flow = match inputs.as_slice() {
            [] => Flow::Poison,
            [only] => Flow::Value(*only),
            _ => Flow::Ambiguous,
        };
        let mut scope = Scope {
            prefix: Path::default(),
            anchor: inputs.first().map_or("in".to_owned(), |source| self.graph.name_of(*source)),
            floor: 0,
            since: 0,
            variables: self.globals.clone(),
            input: flow,
        };
        match self.statements(net, flow, &mut scope) {
            Flow::Value(value) => self.graph.output = Some(value),
            Flow::Ambiguous | Flow::Poison => self.graph.partial = true,
        }
    }

    pub(super) fn statements(&mut self, body: &'a Body, flow: Flow, scope: &mut Scope) -> Flow {
        let mut flow = flow;
        self.depth += 1;
        for statement in &body.statements {
            if !self.step(statement.head.0) {
                flow = Flow::Poison;
                break;
            }
            flow = self.statement(statement, flow, scope);
            if flow == Flow::Poison {
                let name = statement.label.as_ref().map_or(&scope.anchor, |label| &label.value);
                self.lost.learn(name);
            }
        }
        self.depth -= 1;
        flow
    }

    fn statement(&mut self, statement: &'a Statement, flow: Flow, scope: &mut Scope) -> Flow {
        if let Some(label) = &statement.label {
            self.check_label(label);
        }
        let inputs: Vec<Flow> = if statement.from.is_empty() {
            vec![flow]
        } else {
            statement.from.iter().map(|name| self.reference(name, scope)).collect()
        };
        match &statement.action {
            Action::Unreadable => self.poisoned(statement, scope),
            Action::Invoke(call) => match self.blocks.get(&call.name.value).copied() {
                Some(block) => {
                    let flow = self.single(&inputs, statement, "a block");
                    self.call_block(statement, call, block, flow, scope)
                }
                None => self.op(statement, call, inputs, scope),
            },
            Action::Repeat { count, index, body } => {
                let flow = self.single(&inputs, statement, "a loop");
                let env = self.env_of(scope);
                let Some(count) = eval::eval(count, &env, &mut self.out) else { return Flow::Poison };
                let Value::Int(n) = count.value else {
                    self.out.push(crate::args::mistyped(
                        "the count",
                        crate::args::Kind::Count,
                        &count,
                        &env.scope(),
                    ));
                    return Flow::Poison;
                };
                let values = Value::Range(0, n);
                self.iterate(statement, index.as_ref(), &Spanned::new(values, count.span), body, flow, scope)
            }
            Action::For { variable, over, body } => {
                let flow = self.single(&inputs, statement, "a loop");
                let env = self.env_of(scope);
                let Some(over) = eval::eval(over, &env, &mut self.out) else { return Flow::Poison };
                self.iterate(statement, Some(variable), &over, body, flow, scope)
            }
            Action::Residual { body, shortcut } => {
                let flow = self.single(&inputs, statement, "a residual");
                self.residual(statement, body, shortcut.as_ref(), flow, scope)
            }
        }
    }

    /// The one input of a compound statement.
    fn single(&mut self, inputs: &[Flow], statement: &Statement, what: &str) -> Flow {
        match inputs {
            [Flow::Ambiguous] => {
                self.ambiguous(statement.head.0);
                Flow::Poison
            }
            [only] => *only,
            _ => {
                let span = statement.from[1].span;
                self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, span, format!("{what} takes one input")));
                Flow::Poison
            }
        }
    }

    fn ambiguous(&mut self, span: Span) {
        let names: Vec<&str> = self
            .graph
            .feeds
            .iter()
            .filter(|(_, feed)| !feed.target)
            .map(|(_, feed)| feed.name.as_str())
            .collect();
        let message = format!("the net has {} inputs; which one flows in here is not said", names.len());
        self.out.push(
            Diagnostic::new(&rules::UNKNOWN_NAME, span, message)
                .help(format!("name it: `<- {}`, or begin with `concat`, which joins all of them", names[0])),
        );
    }

    fn check_label(&mut self, label: &Spanned<String>) {
        if ["in", "add", "shortcut"].contains(&label.value.as_str()) {
            let message = format!("`{}` is a name that the language gives", label.value);
            self.out.push(
                Diagnostic::new(&rules::RESERVED_NAME, label.span, message).help("choose another name"),
            );
        }
    }

    pub(super) fn env_of(&self, scope: &Scope) -> Env {
        let input = match scope.input {
            Flow::Value(source) => self.graph.shape(source).cloned(),
            Flow::Ambiguous | Flow::Poison => None,
        };
        Env {
            variables: scope.variables.clone(),
            input,
            has_input: scope.input != Flow::Ambiguous,
            lost: self.lost.clone(),
        }
    }

    /// Gives a value a name under which later statements find it.
    pub(super) fn name(&mut self, path: &Path, value: Source) {
        self.order += 1;
        self.names.insert(path.to_string(), (value, self.order));
    }

    /// The names that can be seen from a scope, as they are written there.
    fn seen(&self, scope: &Scope) -> Vec<String> {
        let mut seen = Vec::new();
        for prefix in scope.visible() {
            let prefix = if prefix.0.is_empty() { String::new() } else { format!("{prefix}.") };
            let below = self.names.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
            let fresh = below.filter(|(_, (_, made))| *made > scope.since);
            seen.extend(fresh.map(|(name, _)| name[prefix.len()..].to_owned()));
        }
        seen
    }

    /// Resolves a name of `<-`, from the innermost scope outwards, then among the inputs.
    pub(super) fn reference(&mut self, name: &Spanned<String>, scope: &Scope) -> Flow {
        if name.value == "in" {
            return scope.input;
        }
        for prefix in scope.visible().rev() {
            let full =
                if prefix.0.is_empty() { name.value.clone() } else { format!("{prefix}.{}", name.value) };
            if let Some((source, made)) = self.names.get(&full)
                && *made > scope.since
            {
                return Flow::Value(*source);
            }
        }
        if let Some(feed) = self.graph.feed(&name.value) {
            if self.graph.feeds[feed].target {
                let message = format!("`{}` is a target: the net must not see it", name.value);
                self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, name.span, message));
                return Flow::Poison;
            }
            return Flow::Value(Source::Feed(feed));
        }
        if !self.lost.explains(&name.value) {
            let feeds =
                self.graph.feeds.iter().filter(|(_, feed)| !feed.target).map(|(_, feed)| feed.name.clone());
            let known: Vec<String> = self.seen(scope).into_iter().chain(feeds).collect();
            let near = did_you_mean(&name.value, known.iter().map(String::as_str)).map(str::to_owned);
            let help = match near {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None if scope.since > 0 && self.names.contains_key(&name.value) => {
                    Some("a block sees only its own nodes and `in`, the value that flows into it".to_owned())
                }
                None => None,
            };
            let message = format!("there is no value `{}` before this statement", name.value);
            self.out.push(
                Diagnostic::new(&rules::UNKNOWN_NAME, name.span, message).maybe_help(help).trail(&self.trail),
            );
        }
        self.graph.partial = true;
        Flow::Poison
    }

    // ---- ops ------------------------------------------------------------------------------------------------------------

    fn op(
        &mut self,
        statement: &'a Statement,
        call: &'a CallExpr,
        inputs: Vec<Flow>,
        scope: &mut Scope,
    ) -> Flow {
        let read = match self.own.get(&call.name.value).map(|own| own.is_loss) {
            Some(false) => self.read_own(call, scope),
            _ => self.read_op(call, scope),
        };
        let Some((op, arguments)) = read else { return self.poisoned(statement, scope) };
        let Some(inputs) = self.inputs(&op, statement, call, inputs) else {
            return self.poisoned(statement, scope);
        };
        let Some(path) = self.node_path(&op, statement, call, &inputs, scope) else {
            return self.poisoned(statement, scope);
        };
        let Ok(tie) = self.tie(&op, call, &path, &inputs, scope) else {
            return self.poisoned(statement, scope);
        };
        let span = statement.head.0;
        let draft = Draft {
            path: path.clone(),
            op,
            inputs,
            span,
            arguments,
            trail: self.trail.clone(),
            role: NodeRole::Plain,
            tie,
        };
        let node = Source::Node(self.graph.add(draft, &mut self.out));
        self.name(&path, node);
        Flow::Value(node)
    }

    /// An activation that the spec declares.
    fn read_own(&mut self, call: &CallExpr, scope: &Scope) -> Option<Read> {
        let env = self.env_of(scope);
        let call = eval::invocation(call, &env, &mut self.out)?;
        let own = self.call_own(&call, &env)?;
        Some((OpKind::OwnActivation(OwnActivation(own)), Vec::new()))
    }

    /// An operator of the language with the places of its arguments.
    fn read_op(&mut self, call: &CallExpr, scope: &Scope) -> Option<Read> {
        let found = OpKind::find(&call.name.value);
        let own_loss = self.own.contains_key(&call.name.value);
        let Some(entry) = found.filter(|op| op.group != Category::Loss.name()) else {
            if found.is_some() || own_loss {
                let message = format!("`{}` is a loss and belongs in the `train` section", call.name.value);
                self.out.push(
                    Diagnostic::new(&rules::UNKNOWN_CALLEE, call.name.span, message)
                        .help(format!("write: loss {}(output, target)", call.name.value)),
                );
            } else {
                self.unknown_op(&call.name);
            }
            return None;
        };
        let env = self.env_of(scope);
        let call = eval::called(call, entry.signature, &env, &mut self.out)?;
        let default = self.defaults.get(&call.name.value).cloned();
        let names = env.scope();
        let mut reader = Reader::new(&call, default.as_ref(), entry.signature, &names, &mut self.out);
        let arguments = reader.spans();
        OpKind::read(entry.name, &mut reader).map(|op| (op, arguments))
    }

    /// Remembers that a statement gave nothing; what refers to it is silently unknown.
    pub(super) fn poisoned(&mut self, statement: &Statement, scope: &mut Scope) -> Flow {
        self.graph.partial = true;
        if let Some(label) = &statement.label {
            scope.anchor.clone_from(&label.value);
        }
        Flow::Poison
    }

    /// The inputs of an op, as many as it takes; `None` after reporting, or if one is unknown.
    fn inputs(
        &mut self,
        op: &OpKind,
        statement: &Statement,
        call: &CallExpr,
        inputs: Vec<Flow>,
    ) -> Option<Vec<Source>> {
        let feeds: Vec<Flow> = self
            .graph
            .feeds
            .iter()
            .filter(|(_, feed)| !feed.target)
            .map(|(h, _)| Flow::Value(Source::Feed(h)))
            .collect();
        let inputs = match (inputs.as_slice(), op) {
            ([Flow::Ambiguous], _) if op.name() == "concat" => feeds,
            ([Flow::Ambiguous], _) => {
                self.ambiguous(statement.head.0);
                return None;
            }
            _ => inputs,
        };
        let fits = match op.arity() {
            Arity::One => inputs.len() == 1,
            Arity::Many => inputs.len() >= 2,
            Arity::Exactly(wanted) => inputs.len() == wanted,
            Arity::Loss => false,
        };
        if !fits {
            let (name, n) = (op.name(), inputs.len());
            let (wanted, example) = match op.arity() {
                Arity::One => ("one input".to_owned(), "a, b"),
                Arity::Exactly(2) => ("two inputs".to_owned(), "a, b"),
                Arity::Exactly(3) => ("three inputs".to_owned(), "q, k, v"),
                Arity::Exactly(n) => (format!("{n} inputs"), "a, b, ..."),
                Arity::Many | Arity::Loss => ("two or more inputs".to_owned(), "a, b"),
            };
            let place = statement.from.get(1).map_or(call.span(), |name| name.span);
            let message = format!("`{name}` takes {wanted} and gets {n}");
            self.out.push(
                Diagnostic::new(&rules::SHAPE_MISMATCH, place, message)
                    .help(format!("name them: {name} <- {example}")),
            );
            return None;
        }
        inputs
            .into_iter()
            .map(|flow| match flow {
                Flow::Value(source) => Some(source),
                Flow::Ambiguous | Flow::Poison => None,
            })
            .collect()
    }

    /// The path of a node, and the anchor that it leaves.
    fn node_path(
        &mut self,
        op: &OpKind,
        statement: &Statement,
        call: &CallExpr,
        inputs: &[Source],
        scope: &mut Scope,
    ) -> Option<Path> {
        if let Some(label) = &statement.label {
            let path = scope.prefix.join(&label.value, None);
            self.free(&path, label.span)?;
            scope.anchor.clone_from(&label.value);
            return Some(path);
        }
        let shapes: Option<Vec<_>> = inputs.iter().map(|source| self.graph.shape(*source)).collect();
        let weighty = shapes
            .and_then(|shapes| op.infer(&shapes).ok())
            .is_some_and(|inferred| !inferred.params.is_empty());
        let may_be_unnamed = matches!(op.category(), Category::Activation | Category::Norm);
        if (weighty && !may_be_unnamed) || op.category() == Category::Layer {
            let message = format!("`{}` has weights and needs a name", op.name());
            self.out.push(
                Diagnostic::new(&rules::NEEDS_NAME, call.span(), message)
                    .help(format!("write name: {}(...); the name is part of the checkpoint", op.name()))
                    .trail(&self.trail),
            );
            return None;
        }
        let path = scope.prefix.join(&scope.anchor, None).join(op.name(), None);
        if self.names.contains_key(&path.to_string()) {
            let first =
                self.graph.nodes.iter().find(|(_, node)| node.path == path).map(|(_, node)| node.span);
            let message = format!("a second unnamed `{}` behind `{}`", op.name(), scope.anchor);
            let mut diagnostic = Diagnostic::new(&rules::NEEDS_NAME, call.span(), message)
                .help(format!("write name: {}", op.name()))
                .trail(&self.trail);
            if let Some(first) = first.filter(|first| *first != call.span()) {
                diagnostic = diagnostic.label(first, "the first one");
            }
            self.out.push(diagnostic);
            return None;
        }
        Some(path)
    }

    /// Reports a name that is taken.
    pub(super) fn free(&mut self, path: &Path, span: Span) -> Option<()> {
        if !self.names.contains_key(&path.to_string()) {
            return Some(());
        }
        let first = self.graph.nodes.iter().find(|(_, node)| node.path == *path).map(|(_, node)| node.span);
        let diagnostic =
            Diagnostic::new(&rules::DUPLICATE_NAME, span, format!("two nodes are called `{path}`"))
                .trail(&self.trail);
        self.out.push(match first {
            Some(first) => diagnostic.label(first, "first named here"),
            None => diagnostic,
        });
        None
    }
}
