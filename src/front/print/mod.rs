//! The way back: a syntax tree as text, in either notation.
//!
//! Contract: parsing the text gives an equal tree, printing that tree gives the same text, and every comment of the source comes
//! back, once, at the place that it belongs to. The layout depends on the tree, on the digits of numbers, and on the blank lines
//! between statements. A tree with an unreadable part is refused by the caller: it would lose that part.

mod comments;
mod document;
mod dsl;
mod expr;
mod layout;
mod units;
mod yaml;

pub use dsl::dsl;
pub(super) use expr::quoted;
pub use yaml::yaml;

use super::ast::{CallExpr, Expr, Spec};
use super::dsl::{is_name, is_reference};
use super::names::{CATEGORY_ARGS, CLASS_ARGS, LOSS_INPUTS, OVERSAMPLE_ARGS};
use crate::args::{Default, Kind, Param};
use crate::data::Transform;
use crate::ops::OpKind;
use crate::source::Spanned;

/// A formula as the language writes it, numbers the shortest way.
#[must_use]
pub fn formula(formula: &Spanned<Expr>) -> String {
    expr::Writer { sources: None }.expr(formula)
}

/// What a property is about: `rms(fc2.tanh)`, `loss_at_init`, `invariant flip_horizontal(image)`.
#[must_use]
pub fn subject(kind: &str, of: &[Spanned<String>]) -> String {
    let name = |name: &Spanned<String>| {
        if is_reference(&name.value) { name.value.clone() } else { quoted(&name.value) }
    };
    let listed = |of: &[Spanned<String>]| match of {
        [] => String::new(),
        _ => format!("({})", of.iter().map(name).collect::<Vec<_>>().join(", ")),
    };
    match of {
        [symmetry, rest @ ..] if kind == "invariant" && is_name(&symmetry.value) => {
            format!("{kind} {}{}", symmetry.value, listed(rest))
        }
        _ => format!("{kind}{}", listed(of)),
    }
}

/// What a call calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callee {
    /// An op or a block.
    Op,
    /// A loss.
    Loss,
    /// A transform.
    Transform,
    /// An optimiser.
    Optimizer,
    /// What a split or a column is read from, or rows are made of.
    Source,
}

/// How many arguments are written without their names: those that lead the signature and speak for themselves.
fn positional(spec: &Spec, call: &CallExpr, callee: Callee) -> usize {
    let name = call.name.value.as_str();
    let given = |param: &&Param| param.default == Default::Required;
    let names: Vec<&str> = match callee {
        Callee::Op => match OpKind::find(name) {
            Some(op) => {
                let alone = op.signature.len() == 1;
                let plain = |param: &&Param| {
                    given(param) || (alone && matches!(param.kind, Kind::Number | Kind::Size))
                };
                op.signature.first().filter(plain).map(|param| param.name).into_iter().collect()
            }
            None => {
                let block = spec.blocks.iter().rev().find(|block| block.name.value == name);
                let first = block.and_then(|block| block.params.first());
                let first = first.filter(|param| param.default.is_none());
                first.map(|param| param.name.value.as_str()).into_iter().collect()
            }
        },
        Callee::Loss => LOSS_INPUTS.to_vec(),
        Callee::Transform => {
            let signature = Transform::find(name).map_or(&[][..], |transform| transform.signature);
            let plain = |param: &&Param| given(param) && !matches!(param.kind, Kind::Word(_));
            signature.iter().take_while(plain).map(|param| param.name).collect()
        }
        Callee::Optimizer => Vec::new(),
        Callee::Source => match name {
            "class" => CLASS_ARGS.to_vec(),
            "category" => CATEGORY_ARGS.to_vec(),
            "oversample" => OVERSAMPLE_ARGS[..1].to_vec(),
            _ => Vec::new(),
        },
    };
    let led = call.args.iter().zip(names);
    led.take_while(|(arg, name)| arg.name.as_ref().is_none_or(|given| given.value == *name)).count()
}
