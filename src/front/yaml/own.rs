//! Functions of the spec's own in YAML: `mish2: {of: x, value: "x * tanh(softplus(x))", grad: "..."}`.
//!
//! Contract: the formulas are text without `=`: they are functions of the inputs that `of` names, and not numbers of the spec.

use super::super::ast::{Expr, Own, ParamDecl, Slope};
use super::tree::{Node, Value};
use super::{Decoder, uncut};
use crate::diag::{Diagnostic, rules};
use crate::source::Spanned;

impl Decoder<'_> {
    pub(super) fn own(&mut self, name: &Spanned<String>, node: &Node) -> Option<Own> {
        self.name(name);
        let pairs = uncut(self.map(&name.value, node));
        let mut params = Vec::new();
        let mut further = Vec::new();
        let mut value = None;
        let mut slope: Option<(Spanned<String>, Slope)> = None;
        for (key, part, cut) in pairs {
            let formula = |this: &mut Self| match cut {
                Some(span) => this.was_split(span),
                None => this.formula(&key.value, part),
            };
            match key.value.as_str() {
                "of" => params = self.inputs(part),
                "params" => further = self.params(part),
                "value" => value = Some(formula(self)),
                "grad" | "surrogate" => {
                    let formula = formula(self);
                    if let Some((first, _)) = &slope {
                        let message =
                            format!("`{}` has both `{}` and `{}`", name.value, first.value, key.value);
                        self.push(
                            Diagnostic::new(&rules::GIVEN_TWICE, key.span, message)
                                .label(first.span, "first given here"),
                        );
                        continue;
                    }
                    slope = Some((key.clone(), Slope { surrogate: key.value == "surrogate", formula }));
                }
                _ => {
                    let one = [(key.clone(), part.clone())];
                    self.unknown(&name.value, &one, &["of", "params", "value", "grad", "surrogate"]);
                }
            }
        }
        params.append(&mut further);
        let Some(value) = value else {
            let message = format!("`{}` has no `value`", name.value);
            self.push(
                Diagnostic::new(&rules::MISSING, name.span, message).help("write value: \"max(x, 0)\""),
            );
            return None;
        };
        Some(Own { name: name.clone(), params, value, slope: slope.map(|(_, slope)| slope) })
    }

    /// `x`, or `[p, t]`.
    fn inputs(&mut self, node: &Node) -> Vec<ParamDecl> {
        let names: Vec<Spanned<String>> = match &node.value {
            Value::Seq(items) => items.iter().filter_map(|item| self.named("of", item)).collect(),
            _ => self.named("of", node).into_iter().collect(),
        };
        names.into_iter().map(|name| ParamDecl { name, default: None, range: None }).collect()
    }

    /// A formula as text.
    fn formula(&mut self, what: &str, node: &Node) -> Spanned<Expr> {
        match &node.value {
            Value::Text(text, _) if text.starts_with('=') => {
                let message = format!("`{what}` is a formula of the input, not a number of the spec");
                self.push(
                    Diagnostic::new(&rules::SYNTAX, node.span, message).help("write it without the `=`"),
                );
                Spanned::new(Expr::Error, node.span)
            }
            Value::Text(text, _) => self.parsed(self.text_base(node), text, node),
            _ => self.expr(node),
        }
    }
}
