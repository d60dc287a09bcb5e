//! A spec with every default written out: nothing that acts is left unsaid.
//!
//! Contract: the expanded spec means the same: it compiles to the same graph. Defaults come from the signatures; the arguments of a
//! `default` statement go into the calls that it applies to, and the statement goes. It stays, and with it the calls that need it,
//! where one of its arguments would mean something else inside a block or loop that has a variable of that name. A parameter
//! whose absence means something of its own stays absent.

use super::ast::{Action, ArgExpr, Body, CallExpr, Expr, Head, ParamDecl, Spec, Unary};
use super::dsl;
use super::names::LOSS_INPUTS;
use super::optimizers;
use crate::args::{Default, Kind, Param, Value, applied, literal};
use crate::data::Transform;
use crate::inits::Init;
use crate::ops::OpKind;
use crate::source::{Span, Spanned};
use std::collections::{BTreeMap, BTreeSet};

/// Writes every default out.
pub fn expand(spec: &mut Spec) {
    let mut defaults: BTreeMap<String, Vec<ArgExpr>> = BTreeMap::new();
    for default in &spec.defaults {
        // Of two defaults of one op the first applies; that there are two is reported.
        defaults.entry(default.name.value.clone()).or_insert_with(|| default.args.clone());
    }
    let mut expander = Expander { defaults, needed: BTreeSet::new() };
    for block in &mut spec.blocks {
        let scope = names(&block.params);
        expander.body(&mut block.body, &scope);
    }
    if let Some(net) = &mut spec.net {
        expander.body(net, &BTreeSet::new());
    }
    let Expander { needed, .. } = expander;
    spec.defaults.retain(|default| {
        needed.contains(&default.name.value) || OpKind::find(&default.name.value).is_none()
    });
    for default in &mut spec.defaults {
        if let Some(op) = OpKind::find(&default.name.value) {
            default.args.iter_mut().for_each(|arg| argument(arg, op.signature));
        }
    }
    let chains = spec.data.iter_mut().flat_map(|data| {
        let columns = data.columns.iter_mut().map(|column| &mut column.chain);
        columns.chain(data.overrides.iter_mut().map(|own| &mut own.chain))
    });
    let declared = spec.inputs.iter_mut().chain(&mut spec.targets).map(|declared| &mut declared.chain);
    for call in chains.chain(declared).flatten() {
        if let Some(transform) = Transform::find(&call.name.value) {
            complete(call, transform.signature, &[]);
        }
    }
    if let Some(train) = &mut spec.train {
        if let Some(call) = &mut train.loss
            && let Some(op) = OpKind::find(&call.name.value)
        {
            complete(call, op.signature, &LOSS_INPUTS);
        }
        if let Some(call) = &mut train.optimizer
            && let Some(optimizer) = optimizers::find(&call.name.value)
        {
            complete(call, optimizer.signature, &[]);
        }
        for penalty in &mut train.penalties {
            let place = penalty.factor.span;
            penalty.on.get_or_insert_with(|| Spanned::new("weights".to_owned(), place));
        }
    }
}

fn names(params: &[ParamDecl]) -> BTreeSet<String> {
    params.iter().map(|param| param.name.value.clone()).collect()
}

struct Expander {
    defaults: BTreeMap<String, Vec<ArgExpr>>,
    /// The ops whose default statement must stay.
    needed: BTreeSet<String>,
}

impl Expander {
    /// `scope` has the variables that the model does not have.
    fn body(&mut self, body: &mut Body, scope: &BTreeSet<String>) {
        for statement in &mut body.statements {
            match &mut statement.action {
                Action::Unreadable => {}
                Action::Invoke(call) => self.call(call, scope),
                Action::Repeat { index, body, .. } => {
                    let mut scope = scope.clone();
                    scope.extend(index.as_ref().map(|index| index.value.clone()));
                    self.body(body, &scope);
                }
                Action::For { variable, body, .. } => {
                    let mut scope = scope.clone();
                    scope.insert(variable.value.clone());
                    self.body(body, &scope);
                }
                Action::Residual { body, shortcut } => {
                    self.body(body, scope);
                    if let Some(shortcut) = shortcut {
                        self.body(&mut shortcut.body, scope);
                    }
                }
            }
        }
    }

    fn call(&mut self, call: &mut CallExpr, scope: &BTreeSet<String>) {
        let name = call.name.value.as_str();
        let Some(op) = OpKind::find(name) else { return };
        let given = |args: &[ArgExpr], wanted: &str| {
            args.iter().any(|arg| arg.name.as_ref().is_some_and(|name| name.value == wanted))
        };
        if let Some(default) = self.defaults.get(name) {
            // A shared weight is drawn where it belongs, whatever the default says.
            let shares = op.signature.iter().any(|p| p.kind == Kind::Node && given(&call.args, p.name));
            let applies = |name: &str| !given(&call.args, name) && (!shares || name != "init");
            let missing: Vec<ArgExpr> = default
                .iter()
                .filter(|arg| arg.name.as_ref().is_some_and(|name| applies(&name.value)))
                .cloned()
                .collect();
            if missing.iter().any(|arg| mentions(&arg.value.value, scope)) {
                // What the statement gives stays with it; what neither gives is written out here.
                self.needed.insert(name.to_owned());
                let rest: Vec<Param> =
                    op.signature.iter().filter(|param| !given(&missing, param.name)).copied().collect();
                complete(call, &rest, &[]);
                sort(call, op.signature, &[]);
                return;
            }
            call.args.extend(missing);
        }
        complete(call, op.signature, &[]);
    }
}

/// Whether an expression uses one of the variables.
fn mentions(expr: &Expr, scope: &BTreeSet<String>) -> bool {
    let any = |args: &[ArgExpr]| args.iter().any(|arg| mentions(&arg.value.value, scope));
    match expr {
        Expr::Name(name) => scope.contains(name),
        Expr::List(items) => items.iter().any(|item| mentions(&item.value, scope)),
        Expr::Call(call) => any(&call.args),
        Expr::Field(object, _) => mentions(&object.value, scope),
        Expr::Unary(_, operand) => mentions(&operand.value, scope),
        Expr::Index(a, b) | Expr::Binary(_, a, b) => mentions(&a.value, scope) || mentions(&b.value, scope),
        Expr::Cond(a, b, c) => [a, b, c].into_iter().any(|part| mentions(&part.value, scope)),
        Expr::Input | Expr::Int(_) | Expr::Float(_) | Expr::Bool(_) | Expr::Str(_) | Expr::Error => false,
    }
}

/// Adds the defaults of what a call leaves out, and orders its arguments like the signature. `lead` names arguments that the
/// signature does not list and that come first.
fn complete(call: &mut CallExpr, signature: &[Param], lead: &[&str]) {
    let place = call.span();
    for param in signature {
        let given =
            call.args.iter().any(|arg| arg.name.as_ref().is_some_and(|name| name.value == param.name));
        if let (false, Default::Is(text)) = (given, param.default) {
            let name = Some(Spanned::new(param.name.to_owned(), place));
            call.args.push(ArgExpr { name, value: Spanned::new(written(text, place), place) });
        }
    }
    call.args.iter_mut().for_each(|arg| argument(arg, signature));
    sort(call, signature, lead);
}

fn sort(call: &mut CallExpr, signature: &[Param], lead: &[&str]) {
    // What has no name is beyond every signature and stays in front: it is counted by its place.
    call.args.sort_by_key(|arg| {
        arg.name.as_ref().map(|name| {
            let names = lead.iter().copied().chain(signature.iter().map(|param| param.name));
            names.into_iter().position(|known| known == name.value).unwrap_or(usize::MAX)
        })
    });
}

/// Writes out the defaults inside an argument.
fn argument(arg: &mut ArgExpr, signature: &[Param]) {
    let name = arg.name.as_ref().map(|name| name.value.as_str());
    if signature.iter().any(|param| Some(param.name) == name && param.kind == Kind::Init) {
        initialiser(&mut arg.value);
    }
}

/// Writes out the arguments of an initialiser. A variable that holds one has been given what it has.
fn initialiser(value: &mut Spanned<Expr>) {
    let place = value.span;
    match &mut value.value {
        Expr::Cond(_, then, otherwise) => {
            initialiser(then);
            initialiser(otherwise);
        }
        Expr::Call(call) => {
            if let Some(init) = Init::find(&call.name.value) {
                let unnamed = call.args.iter().filter(|arg| arg.name.is_none()).count();
                let signature = init.signature.iter().map(|param| param.name);
                let all = || signature.take(unnamed).collect();
                let names: Vec<&str> = Init::positional(init.name, unnamed).map_or_else(all, <[_]>::to_vec);
                for (arg, name) in call.args.iter_mut().filter(|arg| arg.name.is_none()).zip(names) {
                    arg.name = Some(Spanned::new(name.to_owned(), arg.value.span));
                }
                complete(call, init.signature, &[]);
            }
        }
        Expr::Name(name) => {
            let Some(init) = Init::find(name) else { return };
            let name = Spanned::new(name.clone(), place);
            let mut call = CallExpr { name, args: Vec::new(), head: Head(place) };
            complete(&mut call, init.signature, &[]);
            if !call.args.is_empty() {
                value.value = Expr::Call(call);
            }
        }
        _ => {}
    }
}

/// The expression that a default of a signature stands for.
fn written(text: &str, place: Span) -> Expr {
    if let Some((name, inner)) = applied(text) {
        let arg = ArgExpr { name: None, value: Spanned::new(written(inner, place), place) };
        let name = Spanned::new(name.to_owned(), place);
        return Expr::Call(CallExpr { name, args: vec![arg], head: Head(place) });
    }
    match literal(text) {
        Value::Bool(b) => Expr::Bool(b),
        Value::Symbol(word) => Expr::Name(word),
        Value::Int(_) | Value::Float(_) => {
            let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
            let number = dsl::number(digits).unwrap_or_else(|| {
                unreachable!("internal: the default `{text}` of a signature is no number")
            });
            if negative { Expr::Unary(Unary::Neg, Box::new(Spanned::new(number, place))) } else { number }
        }
        other => unreachable!("internal: the default `{text}` of a signature is {other}"),
    }
}
