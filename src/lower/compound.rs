//! Blocks, loops and residuals: statements that hold statements.
//!
//! A named compound opens a scope of its own; inside a block only its parameters, those of the model, and `in` can be seen.

use super::body::{Flow, Scope};
use super::eval::{self, Env};
use super::{Lowering, MAX_NODES};
use crate::args::{Call, Reader, Value};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::front::ast::{Body, CallExpr, ParamDecl, Shortcut, Statement};
use crate::graph::builder::Draft;
use crate::graph::{NodeRole, Source};
use crate::ops::OpKind;
use crate::source::{Span, Spanned};

impl<'a> Lowering<'a> {
    /// The scope inside a named compound.
    fn inner(scope: &Scope, name: &str, index: Option<usize>, input: Flow) -> Scope {
        let prefix = scope.prefix.join(name, index);
        Scope {
            prefix,
            anchor: "in".to_owned(),
            floor: scope.floor,
            since: scope.since,
            variables: scope.variables.clone(),
            input,
        }
    }

    pub(super) fn call_block(
        &mut self,
        statement: &'a Statement,
        call: &'a CallExpr,
        block: &'a crate::front::ast::Block,
        flow: Flow,
        scope: &mut Scope,
    ) -> Flow {
        if self.calls.contains(&block.name.value.as_str()) {
            let chain: Vec<&str> = self.calls.iter().copied().chain([block.name.value.as_str()]).collect();
            let message = format!("block `{}` calls itself: {}", block.name.value, chain.join(" > "));
            self.out.push(
                Diagnostic::new(&rules::RECURSIVE_BLOCK, call.span(), message)
                    .label(block.name.span, "defined here")
                    .help("use `repeat n { ... }` for bounded repetition"),
            );
            return self.poisoned(statement, scope);
        }
        let env = self.env_of(scope);
        let Some(call_value) = eval::invocation(call, &env, &mut self.out) else {
            return self.poisoned(statement, scope);
        };
        let owner = ("block", block.name.span);
        let Some(variables) = self.bind(&call_value, owner, &block.params, &env) else {
            return self.poisoned(statement, scope);
        };
        let mut inner = match &statement.label {
            Some(label) => {
                if self.free(&scope.prefix.join(&label.value, None), label.span).is_none() {
                    return self.poisoned(statement, scope);
                }
                Self::inner(scope, &label.value, None, flow)
            }
            None => Scope { input: flow, ..scope.clone() },
        };
        inner.floor = inner.prefix.0.len();
        inner.since = self.order;
        inner.variables = self.globals.clone();
        variables.into_iter().for_each(|(name, value)| inner.variables.push(name, value));
        self.calls.push(&block.name.value);
        self.trail.push(call_value.to_string());
        let result = self.statements(&block.body, flow, &mut inner);
        self.trail.pop();
        self.calls.pop();
        match &statement.label {
            Some(label) => {
                scope.anchor.clone_from(&label.value);
                if let Flow::Value(value) = result {
                    let path = scope.prefix.join(&label.value, None);
                    self.name(&path, value);
                }
            }
            None => scope.anchor = inner.anchor,
        }
        result
    }

    /// The variables of a block or function: its arguments, and the defaults of what is not given, which may use earlier ones.
    pub(super) fn bind(
        &mut self,
        call: &Call,
        (word, declared): (&str, Span),
        params: &[ParamDecl],
        env: &Env,
    ) -> Option<Vec<(String, Value)>> {
        let names: Vec<&str> = params.iter().map(|param| param.name.value.as_str()).collect();
        let mut given: Vec<Option<Spanned<Value>>> = vec![None; names.len()];
        let mut fine = true;
        for (position, arg) in call.args.iter().enumerate() {
            let at = match &arg.name {
                Some(name) => names.iter().position(|known| *known == name.value),
                None => Some(position).filter(|&position| position < names.len()),
            };
            let place = arg.name.as_ref().map_or(arg.value.span, |name| name.span);
            let Some(at) = at else {
                fine = false;
                let what = arg
                    .name
                    .as_ref()
                    .map_or("a further argument".to_owned(), |name| format!("`{}`", name.value));
                let near =
                    arg.name.as_ref().and_then(|name| did_you_mean(&name.value, names.iter().copied()));
                let message = format!("{word} `{}` does not take {what}", call.name.value);
                let known = if names.is_empty() { "no parameters".to_owned() } else { names.join(", ") };
                self.out.push(
                    Diagnostic::new(&rules::UNKNOWN_KEY, place, message)
                        .label(declared, format!("its parameters: {known}"))
                        .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
                );
                continue;
            };
            if let Some(first) = &given[at] {
                fine = false;
                let message = format!("`{}` of {word} `{}` is given twice", names[at], call.name.value);
                self.out.push(
                    Diagnostic::new(&rules::GIVEN_TWICE, place, message)
                        .label(first.span, "first given here"),
                );
                continue;
            }
            if let Value::Symbol(name) = &arg.value.value
                && !super::words().contains(name.as_str())
            {
                fine = false;
                self.out.push(crate::args::unknown_variable(name, arg.value.span, &env.scope()));
                continue;
            }
            given[at] = Some(arg.value.clone());
        }
        let mut variables: Vec<(String, Value)> = Vec::new();
        for (param, given) in params.iter().zip(given) {
            let value = match (given, &param.default) {
                (Some(value), _) => Some(value.value),
                (None, Some(default)) => {
                    let mut env = self.env();
                    variables.iter().cloned().for_each(|(name, value)| env.variables.push(name, value));
                    eval::eval(default, &env, &mut self.out).map(|value| value.value)
                }
                (None, None) => {
                    if fine {
                        let message = format!("{word} `{}` needs `{}`", call.name.value, param.name.value);
                        let diagnostic = Diagnostic::new(&rules::MISSING, call.span, message);
                        self.out.push(diagnostic.label(param.name.span, "declared here without a default"));
                    }
                    None
                }
            };
            fine &= value.is_some();
            variables.extend(value.map(|value| (param.name.value.clone(), value)));
        }
        fine.then_some(variables)
    }

    /// Runs a loop's body for each value.
    pub(super) fn iterate(
        &mut self,
        statement: &'a Statement,
        variable: Option<&'a Spanned<String>>,
        values: &Spanned<Value>,
        body: &'a Body,
        flow: Flow,
        scope: &mut Scope,
    ) -> Flow {
        let Some(label) = &statement.label else {
            self.out.push(
                Diagnostic::new(&rules::NEEDS_NAME, statement.head.0, "a loop needs a name")
                    .help("write name: repeat n { ... }; its nodes are called name[0].id, name[1].id, ..."),
            );
            return self.poisoned(statement, scope);
        };
        let path = scope.prefix.join(&label.value, None);
        if self.free(&path, label.span).is_none() {
            return self.poisoned(statement, scope);
        }
        if let Some(variable) = variable {
            self.check_name(variable, "loop variable");
        }
        let length = match &values.value {
            Value::Range(from, to) => usize::try_from(to.saturating_sub(*from)).unwrap_or(0),
            Value::List(items) => items.len(),
            other => {
                let message = format!("`{other}` is no list to go through");
                self.out.push(
                    Diagnostic::new(&rules::WRONG_TYPE, values.span, message)
                        .help("write range(n) or a list [a, b, c]"),
                );
                return self.poisoned(statement, scope);
            }
        };
        if let Value::Range(from, to) = values.value
            && to < from
        {
            let message = format!("a loop from {from} to {to}");
            self.out.push(Diagnostic::new(&rules::OUT_OF_RANGE, values.span, message));
            return self.poisoned(statement, scope);
        }
        if length > MAX_NODES {
            let message = format!("{length} repetitions; a model has at most {MAX_NODES} nodes");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, values.span, message));
            return self.poisoned(statement, scope);
        }
        let mut flow = flow;
        for i in 0..length {
            if !self.step(statement.head.0) {
                return Flow::Poison;
            }
            let value = match &values.value {
                Value::Range(from, _) => Value::Int(from + i64::try_from(i).unwrap_or(0)),
                Value::List(items) => items[i].value.clone(),
                _ => return Flow::Poison,
            };
            let mut inner = Self::inner(scope, &label.value, Some(i), flow);
            self.trail.push(match variable {
                Some(variable) => format!("{} {}={value}", label.value, variable.value),
                None => format!("{}[{i}]", label.value),
            });
            if let Some(variable) = variable {
                inner.variables.push(variable.value.clone(), value);
            }
            flow = self.statements(body, flow, &mut inner);
            self.trail.pop();
            if let Flow::Value(value) = flow {
                self.name(&scope.prefix.join(&label.value, Some(i)), value);
            }
        }
        scope.anchor.clone_from(&label.value);
        if let Flow::Value(value) = flow {
            self.name(&path, value);
        }
        flow
    }

    pub(super) fn residual(
        &mut self,
        statement: &'a Statement,
        body: &'a Body,
        shortcut: Option<&'a Shortcut>,
        flow: Flow,
        scope: &mut Scope,
    ) -> Flow {
        if body.statements.is_empty() && self.lost.is_empty() {
            self.out.push(Diagnostic::new(&rules::MISSING, statement.head.0, "a residual without a branch"));
            return self.poisoned(statement, scope);
        }
        let name = statement.label.as_ref().map(|label| label.value.as_str());
        if let Some(label) = &statement.label
            && self.free(&scope.prefix.join(&label.value, None), label.span).is_none()
        {
            return self.poisoned(statement, scope);
        }
        let mut inner = match name {
            Some(name) => Self::inner(scope, name, None, flow),
            None => Scope { input: flow, ..scope.clone() },
        };
        let branch = self.statements(body, flow, &mut inner);
        let beside = match shortcut {
            Some(shortcut) => self.shortcut(shortcut, flow, &inner),
            None => flow,
        };
        let anchor = name.map_or("add".to_owned(), |name| format!("{name}.add"));
        let path = match name {
            Some(name) => scope.prefix.join(name, None).join("add", None),
            None => scope.prefix.join("add", None),
        };
        scope.anchor = anchor;
        let (Flow::Value(branch), Flow::Value(beside)) = (branch, beside) else { return Flow::Poison };
        if name.is_none() && self.names.contains_key(&path.to_string()) {
            self.out.push(
                Diagnostic::new(
                    &rules::NEEDS_NAME,
                    statement.head.0,
                    "a second unnamed residual in this body",
                )
                .help("name it: id: residual { ... }; its sum is then called id.add")
                .trail(&self.trail),
            );
            self.graph.partial = true;
            return Flow::Poison;
        }
        let empty = Call {
            name: Spanned::new("add".to_owned(), statement.head.0),
            args: Vec::new(),
            span: statement.head.0,
        };
        let mut reader = Reader::new(&empty, None, &[], &[], &mut self.out);
        let Some(op) = OpKind::read("add", &mut reader) else { return Flow::Poison };
        let draft = Draft {
            path: path.clone(),
            op,
            inputs: vec![branch, beside],
            span: shortcut.and_then(|s| s.when.as_ref()).map_or(statement.head.0, |when| when.span),
            arguments: Vec::new(),
            trail: self.trail.clone(),
            role: NodeRole::ResidualSum,
            tie: None,
        };
        let node = Source::Node(self.graph.add(draft, &mut self.out));
        self.name(&path, node);
        if let Some(name) = name {
            let whole = scope.prefix.join(name, None);
            self.name(&whole, node);
        }
        Flow::Value(node)
    }

    /// The value that is added to a branch: the input, or what the shortcut makes of it.
    fn shortcut(&mut self, shortcut: &'a Shortcut, flow: Flow, scope: &Scope) -> Flow {
        if let Some(when) = &shortcut.when {
            let env = self.env_of(scope);
            let taken = eval::eval(when, &env, &mut self.out)
                .and_then(|value| eval::truth(&value, &env, &mut self.out));
            match taken {
                Some(true) => {}
                Some(false) => return flow,
                None => return Flow::Poison,
            }
        }
        let mut inner = Self::inner(scope, "shortcut", None, flow);
        self.statements(&shortcut.body, flow, &mut inner)
    }
}
