//! Constants from the statistics file of another spec: `standardize(stats="train.nn.stats.json")`.
//!
//! A spec for serving shares the statistics of the spec that was trained. They are written into the call as given constants, so that every rule
//! about constants sees them and the compiled graph changes with the file.

use super::Lowering;
use crate::args::{Arg, Call, Value};
use crate::data::{Fitted, Statistics};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::source::{MAX_SPEC_BYTES, Spanned};
use std::sync::Arc;

impl Lowering<'_> {
    /// Replaces `stats=` of the `nth` step of its kind for the columns `name`; `None` if the file does not give them, which is reported.
    pub(super) fn with_stored(&mut self, name: &str, nth: usize, call: Call) -> Option<Call> {
        let is_stats = |arg: &Arg| arg.name.as_ref().is_some_and(|name| name.value == "stats");
        let Some(at) = call.args.iter().position(is_stats).filter(|_| call.name.value == "standardize")
        else {
            return Some(call);
        };
        let given = &call.args[at].value;
        if let Some(other) = call.args.iter().find(|arg| !is_stats(arg)) {
            let message = "`stats=` names the file of all constants; nothing else is given";
            self.out.push(
                Diagnostic::new(&rules::GIVEN_TWICE, other.value.span, message).label(given.span, "the file"),
            );
            return None;
        }
        let Value::Str(file) = &given.value else {
            let message = format!("`{}` is no path of a statistics file", given.value);
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, given.span, message)
                    .help("write stats=\"train.nn.stats.json\""),
            );
            return None;
        };
        let path = self.path.parent().map_or_else(|| file.into(), |folder| folder.join(file));
        let read = self.loader.read(&path, MAX_SPEC_BYTES).map_err(|error| error.to_string());
        let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
        let statistics = match text.and_then(|text| Statistics::parse(&text)) {
            Ok(statistics) => statistics,
            Err(fault) => {
                let message = format!("`{file}` cannot be read as fitted statistics: {fault}");
                self.out.push(
                    Diagnostic::new(&rules::UNREADABLE_DATA, given.span, message)
                        .help("`wellposed stats fit` writes the file beside the spec that is trained"),
                );
                return None;
            }
        };
        let known = statistics.groups.get(name).map(|group| &group.steps);
        let mut of_kind = known.into_iter().flatten().filter_map(|step| match step {
            Fitted::Standardize { mean, scale, .. } => Some((mean, scale)),
            _ => None,
        });
        let Some((mean, scale)) = of_kind.nth(nth) else {
            let near = did_you_mean(name, statistics.groups.keys().map(String::as_str));
            let groups: Vec<&str> = statistics.groups.keys().map(String::as_str).collect();
            let message = format!("`{file}` has no statistics of `standardize` for `{name}`");
            self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, given.span, message).help(match near {
                Some(near) => format!("did you mean `{near}`? Columns have the same name in both specs"),
                None => format!("it has those of {}", groups.join(", ")),
            }));
            return None;
        };
        let span = given.span;
        let numbers = |list: &[f64]| {
            let items = list.iter().map(|x| Spanned::new(Value::Float(*x), span)).collect();
            Value::List(Arc::new(items))
        };
        let values = [("mean", numbers(mean)), ("std", numbers(scale)), ("from", Value::Str(file.clone()))];
        let args = values.map(|(name, value)| Arg {
            name: Some(Spanned::new(name.to_owned(), span)),
            value: Spanned::new(value, span),
        });
        Some(Call { args: args.into(), ..call })
    }
}
