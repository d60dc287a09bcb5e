//! Gives positional arguments their names.
//!
//! The tree knows the signatures of ops, blocks, transforms and optimisers, so that `linear(64)` and `linear: {out: 64}` are one thing. Arguments
//! beyond a signature stay unnamed and are reported where the call is read.

use super::ast::{Action, ArgExpr, Body, CallExpr, Spec};
use super::print::quoted;
use super::{dsl, optimizers};
use crate::data::Transform;
use crate::ops::{Category, OpKind};
use crate::source::Spanned;
use std::collections::BTreeMap;

/// The names under which a loss takes its prediction and its target.
pub const LOSS_INPUTS: [&str; 2] = ["output", "target"];

/// The arguments of a class column.
pub const CLASS_ARGS: [&str; 2] = ["column", "classes"];

/// The arguments of a category column.
pub const CATEGORY_ARGS: [&str; 2] = ["column", "vocabulary"];

/// The numbers that training can be declared to run in.
pub const PRECISIONS: [&str; 3] = ["f16", "bf16", "f32"];

/// The arguments of what copies rows.
pub const OVERSAMPLE_ARGS: [&str; 2] = ["by", "only"];

/// A word of the data as an argument: in quotation marks if it is no name.
#[must_use]
pub fn argument(text: &str) -> String {
    if dsl::is_name(text) { text.to_owned() } else { quoted(text) }
}

/// Names every positional argument whose callee is known.
pub fn resolve(spec: &mut Spec) {
    let own = spec.activations.iter().map(|own| (&own.name.value, own.params.get(1..).unwrap_or_default()));
    let blocks = spec.blocks.iter().map(|block| (&block.name.value, block.params.as_slice()));
    let blocks: BTreeMap<String, Vec<String>> = own
        .chain(blocks)
        .filter(|(name, _)| OpKind::find(name).is_none())
        .map(|(name, params)| (name.clone(), params.iter().map(|param| param.name.value.clone()).collect()))
        .collect();
    for call in &mut spec.defaults {
        invocation(call, &blocks);
    }
    let bodies = spec.blocks.iter_mut().map(|block| &mut block.body).chain(&mut spec.net);
    bodies.for_each(|body| in_body(body, &blocks));
    if let Some(loss) = spec.train.as_mut().and_then(|train| train.loss.as_mut()) {
        let signature = OpKind::find(&loss.name.value).map_or(&[][..], |op| op.signature);
        let own = spec.losses.iter().rev().find(|own| own.name == loss.name && signature.is_empty());
        let own = own.and_then(|own| own.params.get(2..)).unwrap_or_default();
        let names: Vec<&str> = LOSS_INPUTS
            .into_iter()
            .chain(signature.iter().map(|param| param.name))
            .chain(own.iter().map(|param| param.name.value.as_str()))
            .collect();
        assign(&mut loss.args, &names);
    }
    if let Some(call) = spec.train.as_mut().and_then(|train| train.optimizer.as_mut()) {
        let signature = optimizers::find(&call.name.value).map_or(&[][..], |optimizer| optimizer.signature);
        assign(&mut call.args, &signature.iter().map(|param| param.name).collect::<Vec<_>>());
    }
    let data = spec.data.iter_mut();
    let columns = data.flat_map(|data| {
        let columns = data.columns.iter_mut().map(|column| &mut column.chain);
        columns.chain(data.overrides.iter_mut().map(|own| &mut own.chain))
    });
    let declared = spec.inputs.iter_mut().chain(&mut spec.targets).map(|declared| &mut declared.chain);
    for step in columns.chain(declared).flatten() {
        if let Some(transform) = Transform::find(&step.name.value) {
            let names: Vec<&str> = transform.signature.iter().map(|param| param.name).collect();
            assign(&mut step.args, &names);
        }
    }
    if let Some(call) = spec.data.as_mut().and_then(|data| data.generated.as_mut())
        && call.name.value == "oversample"
    {
        assign(&mut call.args, &OVERSAMPLE_ARGS);
    }
    for column in spec.data.iter_mut().flat_map(|data| &mut data.columns) {
        match column.source.name.value.as_str() {
            "class" => assign(&mut column.source.args, &CLASS_ARGS),
            "category" => assign(&mut column.source.args, &CATEGORY_ARGS),
            _ => {}
        }
    }
}

fn in_body(body: &mut Body, blocks: &BTreeMap<String, Vec<String>>) {
    for statement in &mut body.statements {
        match &mut statement.action {
            Action::Unreadable => {}
            Action::Invoke(call) => invocation(call, blocks),
            Action::Repeat { body, .. } | Action::For { body, .. } => in_body(body, blocks),
            Action::Residual { body, shortcut } => {
                in_body(body, blocks);
                if let Some(shortcut) = shortcut {
                    in_body(&mut shortcut.body, blocks);
                }
            }
        }
    }
}

fn invocation(call: &mut CallExpr, blocks: &BTreeMap<String, Vec<String>>) {
    if let Some(params) = blocks.get(&call.name.value) {
        let names: Vec<&str> = params.iter().map(String::as_str).collect();
        assign(&mut call.args, &names);
    } else if let Some(op) = OpKind::find(&call.name.value) {
        let names: Vec<&str> = op.signature.iter().map(|param| param.name).collect();
        assign(&mut call.args, &names);
    }
}

fn assign(args: &mut [ArgExpr], names: &[&str]) {
    for (arg, name) in args.iter_mut().zip(names) {
        if arg.name.is_none() {
            arg.name = Some(Spanned::new((*name).to_owned(), arg.value.span));
        }
    }
}

/// The names of all losses.
pub fn losses() -> impl Iterator<Item = &'static str> {
    OpKind::ALL.iter().filter(|op| op.group == Category::Loss.name()).map(|op| op.name)
}
