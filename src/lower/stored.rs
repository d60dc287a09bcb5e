//! Constants from the statistics file of another spec: `standardize(stats="train.nn.stats.json")`.
//!
//! A spec for serving shares the statistics of the spec that was trained. They are written into the call as given constants, so that every rule
//! about constants sees them and the compiled graph changes with the file. A vocabulary becomes that of the category.

use super::Lowering;
use crate::args::{Arg, Call, Value};
use crate::data::{Fitted, GroupStatistics, Split, Statistics};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::source::{MAX_SPEC_BYTES, Span, Spanned};
use std::sync::Arc;

/// A step that may share statistics.
pub(super) struct Shared {
    /// The step with its constants written out.
    pub call: Call,
    /// The words that it shares.
    pub words: Option<Vec<String>>,
    /// The split that they were fitted on.
    pub fit: Option<Split>,
}

/// Whether an argument names a statistics file.
fn is_stats(arg: &Arg) -> bool {
    arg.name.as_ref().is_some_and(|name| name.value == "stats")
}

impl Lowering<'_> {
    /// Replaces `stats=` of a step for the columns `name`, the `nth` step of its kind that has it; `None` if the file does not give what it
    /// needs, which is reported.
    pub(super) fn with_stored(&mut self, name: &str, nth: usize, call: Call) -> Option<Shared> {
        let kind = call.name.value.clone();
        let shares = ["standardize", "minmax", "impute", "select", "one_hot"].contains(&kind.as_str());
        let Some(at) = call.args.iter().position(is_stats).filter(|_| shares) else {
            return Some(Shared { call, words: None, fit: None });
        };
        let given = &call.args[at].value;
        // What `impute` stands in with is said in any case.
        let says_how =
            |arg: &Arg| kind == "impute" && arg.name.as_ref().is_none_or(|name| name.value == "with");
        if let Some(other) = call.args.iter().find(|arg| !is_stats(arg) && !says_how(arg)) {
            let message = "`stats=` names the file of all constants; nothing else is given";
            self.out.push(
                Diagnostic::new(&rules::GIVEN_TWICE, other.value.span, message).label(given.span, "the file"),
            );
            return None;
        }
        let (file, statistics) = self.statistics_of(given)?;
        let known = statistics.groups.get(name);
        // The words of a category stand before its steps, whatever they are.
        let of = if kind == "one_hot" { "category" } else { kind.as_str() };
        let step = known.and_then(|group| {
            let of_kind = |(_, step): &(usize, &Fitted)| step.of() == of;
            Some((group, group.steps.iter().enumerate().filter(of_kind).nth(nth)?))
        });
        let Some((group, (at, step))) = step else {
            let near = did_you_mean(name, statistics.groups.keys().map(String::as_str));
            let groups: Vec<&str> = statistics.groups.keys().map(String::as_str).collect();
            let message = format!("`{file}` has no statistics of `{kind}` for `{name}`");
            self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, given.span, message).help(match near {
                Some(near) if near != name => {
                    format!("did you mean `{near}`? Columns have the same name in both specs")
                }
                _ => format!("it has those of {}", groups.join(", ")),
            }));
            return None;
        };
        if let Err(fault) = consistent(group, at) {
            let message = format!("`{file}` is damaged: the statistics of `{kind}` for `{name}` {fault}");
            self.out.push(Diagnostic::new(&rules::UNREADABLE_DATA, given.span, message));
            return None;
        }
        let (args, words) = constants(group, at, step, (&file, given.span));
        Some(Shared { call: Call { args, ..call }, words, fit: Split::find(&group.fit) })
    }

    /// The statistics file that a value names, as written and as read.
    fn statistics_of(&mut self, given: &Spanned<Value>) -> Option<(String, Statistics)> {
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
        match text.and_then(|text| Statistics::parse(&text)) {
            Ok(statistics) => Some((file.clone(), statistics)),
            Err(fault) => {
                let message = format!("`{file}` cannot be read as fitted statistics: {fault}");
                self.out.push(
                    Diagnostic::new(&rules::UNREADABLE_DATA, given.span, message)
                        .help("`wellposed stats fit` writes the file beside the spec that is trained"),
                );
                None
            }
        }
    }
}

/// Whether every list of a step has a number for each of its columns.
fn consistent(group: &GroupStatistics, at: usize) -> Result<(), String> {
    let columns = group.columns_of(at);
    let step = &group.steps[at];
    if let Some((name, list)) = step.numbers().iter().find(|(_, list)| list.len() != columns.len()) {
        return Err(format!("have {} numbers in `{name}` for {} columns", list.len(), columns.len()));
    }
    let mut rest = group.before(at).iter();
    match step {
        Fitted::Select { columns, .. } => match columns.iter().find(|name| !rest.any(|known| known == *name))
        {
            Some(name) => Err(format!("keep `{name}`, which is not the next of the columns")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The arguments that say what a step's statistics say, and the words that no argument says.
fn constants(
    group: &GroupStatistics,
    at: usize,
    step: &Fitted,
    (file, span): (&str, Span),
) -> (Vec<Arg>, Option<Vec<String>>) {
    let list = |items: Vec<Value>| {
        Value::List(Arc::new(items.into_iter().map(|item| Spanned::new(item, span)).collect()))
    };
    let numbers = |of: &[f64]| list(of.iter().map(|x| Value::Float(*x)).collect());
    let count = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let (values, words) = match step {
        Fitted::Standardize { mean, var: _, scale } => {
            (vec![("mean", numbers(mean)), ("std", numbers(scale))], None)
        }
        Fitted::Minmax { min, max } => (vec![("min", numbers(min)), ("max", numbers(max))], None),
        Fitted::Impute { value } => (vec![("with", numbers(value))], None),
        Fitted::Category { vocabulary } => return (Vec::new(), Some(vocabulary.clone())),
        Fitted::Select { columns, scores: _ } => {
            let before = group.before(at);
            let places = (0..before.len()).filter(|i| columns.contains(&before[*i]));
            let places = list(places.map(count).collect());
            (vec![("columns", places), ("of", count(before.len()))], None)
        }
    };
    let all = values.into_iter().chain([("from", Value::Str(file.to_owned()))]);
    let args = all.map(|(name, value)| Arg {
        name: Some(Spanned::new(name.to_owned(), span)),
        value: Spanned::new(value, span),
    });
    (args.collect(), words)
}
