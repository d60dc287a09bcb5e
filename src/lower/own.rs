//! Activations and losses of the spec's own: declarations to functions.
//!
//! Contract: every declaration is read once with its defaults, whether or not it is used, and its slope checked there; each further
//! set of values that a call gives makes another function, which is checked, too. Names are looked up among the inputs, the
//! parameters of the declaration and the numbers of the model. A formula calls functions of a closed list and no other declaration,
//! so that there is nothing to recurse into.

use super::Lowering;
use super::eval;
use super::formula::Builder;
use crate::args::{Call, Kind, Value, mistyped};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::formula::check::{self, Deviation};
use crate::formula::{Formula, Id, MAX_DECISIONS, MAX_OPERATIONS, Origin};
use crate::front::ast::{self, Slope};
use crate::front::print;
use crate::ops::{OpKind, Own};
use crate::source::{Span, Spanned};
use crate::text::number;
use std::sync::Arc;

/// The names that YAML gives a meaning of its own as keys of a statement.
const KEYS: [&str; 3] = ["id", "from", "body"];
/// A value may have so many operations; its derivative has a few for each.
const MOST: usize = 500;

/// A declaration that has been read.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) own: &'a ast::Own,
    pub(super) is_loss: bool,
    /// The parameters with their defaults.
    settings: Vec<(String, f64)>,
    /// What was made of it, by the values of its parameters.
    made: Vec<(Vec<f64>, Option<Arc<Own>>)>,
}

impl<'a> Lowering<'a> {
    pub(super) fn declarations(&mut self) {
        let spec = self.spec;
        for (is_loss, list) in [(false, &spec.activations), (true, &spec.losses)] {
            for own in list {
                if self.declare(own, is_loss).is_none() {
                    self.lost.learn(&own.name.value);
                }
            }
        }
    }

    fn declare(&mut self, own: &'a ast::Own, is_loss: bool) -> Option<()> {
        let (what, inputs) = if is_loss { ("loss", 2) } else { ("activation", 1) };
        self.own_name(&own.name, what)?;
        if own.params.len() < inputs {
            let (message, help) = if is_loss {
                ("takes a prediction and a target", format!("write loss {}(p, t) = ...", own.name.value))
            } else {
                ("takes an input", format!("write activation {}(x) = ...", own.name.value))
            };
            let message = format!("the {what} `{}` {message}", own.name.value);
            self.out.push(Diagnostic::new(&rules::MISSING, own.name.span, message).help(help));
            return None;
        }
        let (given, further) = own.params.split_at(inputs);
        for (i, param) in own.params.iter().enumerate() {
            self.check_name(&param.name, "parameter");
            if let Some(first) = own.params[..i].iter().find(|other| other.name == param.name) {
                let message =
                    format!("two parameters of `{}` are called `{}`", own.name.value, param.name.value);
                let diagnostic = Diagnostic::new(&rules::DUPLICATE_NAME, param.name.span, message);
                self.out.push(diagnostic.label(first.name.span, "first declared here"));
                return None;
            }
        }
        for input in given {
            if let Some(default) = &input.default {
                let message =
                    format!("`{}` is an input of `{}` and has no default", input.name.value, own.name.value);
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, default.span, message));
                return None;
            }
        }
        let mut settings = Vec::new();
        for param in further {
            let value = self.param_value(param)?;
            let Some(x) = crate::args::number(&value.value) else {
                let scope = self.env().scope();
                self.out.push(mistyped(&format!("`{}`", param.name.value), Kind::Number, &value, &scope));
                return None;
            };
            settings.push((param.name.value.clone(), x));
        }
        let values = settings.iter().map(|(_, x)| *x).collect();
        let declared = Declared { own, is_loss, settings, made: Vec::new() };
        self.own.insert(own.name.value.clone(), declared);
        self.made(&own.name.value, values).map(|_| ())
    }

    /// A name that neither the language nor another part of the spec has given a meaning.
    fn own_name(&mut self, name: &Spanned<String>, what: &str) -> Option<()> {
        let text = name.value.as_str();
        let taken = if OpKind::find(text).is_some() {
            "an operator of the language"
        } else if Builder::is_function(text) {
            "a function of formulas"
        } else if KEYS.contains(&text) {
            "a key of every statement in YAML"
        } else if let Some(first) = self.own.get(text).map(|first| first.own.name.span) {
            let message = format!("`{text}` is declared twice");
            let diagnostic = Diagnostic::new(&rules::DUPLICATE_NAME, name.span, message);
            self.out.push(diagnostic.label(first, "first declared here"));
            return None;
        } else {
            return Some(());
        };
        let message = format!("`{text}` is {taken} and cannot name an {what}").replace("an loss", "a loss");
        let help = "choose another name; the spec's reader would take it for the one that everybody knows";
        self.out.push(Diagnostic::new(&rules::DUPLICATE_NAME, name.span, message).help(help));
        None
    }

    /// The function that a call names, with the values that it gives.
    pub(super) fn call_own(&mut self, call: &Call, env: &eval::Env) -> Option<Arc<Own>> {
        let (params, inputs, place) = {
            let declared = self.own.get(&call.name.value)?;
            let inputs = if declared.is_loss { 2 } else { 1 };
            (&declared.own.params[inputs..], inputs, declared.own.name.span)
        };
        let what = if inputs == 2 { "loss" } else { "activation" };
        let bound = self.bind(call, (what, place), params, env)?;
        let mut values = Vec::new();
        for ((name, value), param) in bound.into_iter().zip(params) {
            let given = call.args.iter().find(|arg| arg.name.as_ref().is_some_and(|arg| arg.value == name));
            let span = given.map_or(param.name.span, |arg| arg.value.span);
            let Some(x) = crate::args::number(&value) else {
                let value = Spanned::new(value, span);
                self.out.push(mistyped(
                    &format!("`{name}` of `{}`", call.name.value),
                    Kind::Number,
                    &value,
                    &env.scope(),
                ));
                return None;
            };
            values.push(x);
        }
        self.made(&call.name.value, values)
    }

    /// The function of a declaration for some values of its parameters.
    fn made(&mut self, name: &str, values: Vec<f64>) -> Option<Arc<Own>> {
        let declared = self.own.get(name)?;
        if let Some((_, made)) = declared.made.iter().find(|(known, _)| *known == values) {
            return made.clone();
        }
        let made = self.make(name, values.clone()).map(Arc::new);
        if let Some(declared) = self.own.get_mut(name) {
            declared.made.push((values, made.clone()));
        }
        made
    }

    fn make(&mut self, name: &str, values: Vec<f64>) -> Option<Own> {
        let declared = self.own.get(name)?;
        let own = declared.own;
        let (inputs, repeated) = (if declared.is_loss { 2 } else { 1 }, !declared.made.is_empty());
        let settings = declared.settings.clone();
        let (given, further) = own.params.split_at(inputs);
        let known = self.own.keys().cloned().collect();
        let mut builder =
            Builder::new([given, further], &values, &self.globals, known, &self.lost, &mut self.out);
        let value = builder.number(&own.value)?;
        let count = builder.list.len();
        let slope = match &own.slope {
            Some(Slope { surrogate, formula }) => {
                let origin = if *surrogate { Origin::Surrogate } else { Origin::Given };
                Some((builder.number(formula)?, origin))
            }
            None => None,
        };
        let Builder { list, spans, .. } = builder;
        let too_large = if list.len() > MOST {
            Some(format!("`{name}` has {} operations; a formula has at most {MOST}", list.len()))
        } else if list.decisions() > MAX_DECISIONS {
            Some(format!(
                "`{name}` takes {} decisions; a formula takes at most {MAX_DECISIONS}",
                list.decisions()
            ))
        } else {
            None
        };
        if let Some(message) = too_large {
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, own.value.span, message));
            return None;
        }
        let formula = Formula::new(list, [count, value], slope, inputs, values);
        if formula.room() > MAX_OPERATIONS {
            let message = format!("the derivative of `{name}` takes more than {MAX_OPERATIONS} operations");
            self.out.push(Diagnostic::new(&rules::TOO_LARGE, own.value.span, message));
            return None;
        }
        if let (Some(slope), Some(deviation)) = (&own.slope, check::slope(&formula)) {
            // What differs for the defaults is said of them; further values seldom add to it.
            let said = repeated && self.out.iter().any(|known| known.span() == Some(slope.formula.span));
            if !said {
                let at = |id: Id| spans.get(id).copied().flatten();
                self.out.push(explained(own, slope, &formula, &deviation, inputs, at));
            }
        }
        let declaration = written(own, inputs, &settings);
        Some(Own { name: name.to_owned(), declaration, settings, formula })
    }
}

/// A declaration as the snapshot prints it: one that has been read, so that there is no hole in it.
fn written(own: &ast::Own, inputs: usize, settings: &[(String, f64)]) -> String {
    let what = if inputs == 2 { "loss" } else { "activation" };
    let names = own.params[..inputs].iter().map(|input| input.name.value.clone());
    let defaults = settings.iter().map(|(name, x)| format!("{name}={}", number(*x)));
    let params: Vec<String> = names.chain(defaults).collect();
    let slope = |slope: &Slope| format!("  {} = {}", slope.word(), print::formula(&slope.formula));
    let slope = own.slope.as_ref().map_or(String::new(), slope);
    format!("{what} {}({}) = {}{slope}", own.name.value, params.join(", "), print::formula(&own.value))
}

/// The finding for a slope that is not the derivative.
fn explained(
    own: &ast::Own,
    slope: &Slope,
    formula: &Formula,
    deviation: &Deviation,
    inputs: usize,
    at: impl Fn(Id) -> Option<Span>,
) -> Diagnostic {
    let Deviation { worst, wrong, compared, diagnosis } = deviation;
    let names: Vec<String> = own.params[..inputs]
        .iter()
        .zip(&worst.at)
        .map(|(param, x)| format!("{} = {}", param.name.value, number(*x)))
        .collect();
    let place = names.join(", ");
    let values = own.params[inputs..].iter().enumerate();
    let values: Vec<String> =
        values.map(|(i, param)| format!("{}={}", param.name.value, number(formula.setting(i)))).collect();
    let with = if values.is_empty() { String::new() } else { format!(" with {}", values.join(", ")) };
    let name = &own.name.value;
    let (given, right) = (number(worst.given), number(worst.right));
    if slope.surrogate {
        let message =
            format!("`{name}` trains on a surrogate: at {place}{with} it is {given}, the derivative {right}");
        return Diagnostic::new(&rules::SURROGATE, slope.formula.span, message)
            .note(
                "where",
                format!("they differ at {wrong} of {compared} inputs; this is the largest difference"),
            )
            .help("gradients before it are those of the chain with the surrogate, and are checked as such");
    }
    let message = format!(
        "`grad` of `{name}` is not its derivative: at {place}{with} it gives {given}, right is {right}"
    );
    let mut diagnostic = Diagnostic::new(&rules::WRONG_DERIVATIVE, slope.formula.span, message).note(
        "how",
        format!(
            "{wrong} of {compared} inputs differ by more than rounding and the digits of literals explain, in double-double arithmetic"
        ),
    );
    if let Some(diagnosis) = diagnosis {
        diagnostic = match diagnosis.at.and_then(at) {
            Some(span) if span != own.value.span || inputs > 0 => {
                diagnostic.label(span, "here").note("why", diagnosis.words.clone())
            }
            _ => diagnostic.note("why", diagnosis.words.clone()),
        };
    }
    diagnostic.help(format!(
        "leave `grad` out, and the derivative is worked out; or write `surrogate` if `{name}` is to train on something else"
    ))
}

/// What a formula may be made of that is near to a name, for a message.
pub(super) fn near(name: &str, known: &[String]) -> Option<String> {
    did_you_mean(name, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"))
}

/// The number that a variable of the model holds.
pub(super) fn global(value: &Value) -> Option<f64> {
    crate::args::number(value).filter(|x| x.is_finite())
}
