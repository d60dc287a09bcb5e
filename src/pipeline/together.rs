//! Specs of one model that prepare their inputs differently.
//!
//! ## What it checks
//!
//! Specs that are named one by one in a command (`wellposed check train.nn serve.nn`), have the same model name and the same weights, tensor by
//! tensor: a checkpoint of one loads into the other. Every input, column group and target that both have must then be prepared alike:
//! the same columns in the same order, the same classes in the same order, the same steps, and the same constants. Constants that are written out in one
//! spec are compared with the stored statistics of the other; they agree if means lie within 10^-6 standard deviations and scales within a factor
//! of 1 + 10^-6, extremes within 10^-6 of the range, values for what is missing within a factor of 1 + 10^-6. Words of a category, and columns
//! that `select` keeps, must be the same. Specs that a folder happens to hold are not compared.
//!
//! ## Why it matters
//!
//! Weights answer to the numbers that they were trained on. Another mean, a forgotten logarithm or two columns in another order change every
//! answer, and nothing fails: shapes and types are the same. A target that is scaled in training alone gives predictions in other units.
//!
//! ## Example
//!
//! ```text
//! input x: f64[B, 4] |> standardize(mean=5.8, std=0.8)
//! ```
//!
//! beside a training spec with `x numeric("*_cm") |> standardize(fit=train)`.
//!
//! ## Instead
//!
//! Declare the same chain in both, and give both the statistics that `wellposed stats fit` wrote, or constants with seven digits.
//!
//! ## References
//!
//! Breck et al. 2017, "The ML test score", training/serving skew; research: static.md P06, P10-P12, P14-P16, P26 (Olive#1781: accuracy 0.77 instead
//! of 0.82; vida#14: error 55.8 instead of 49.8).

use super::{Compiled, Examined};
use crate::data::transforms::spread;
use crate::data::units::{place, written};
use crate::data::{
    Content, Fitted, Group, GroupStatistics, Impute, Select, Split, Statistics, Step, Transform,
    statistics_path,
};
use crate::diag::{Diagnostic, Rule, Severity};
use crate::graph::{Feed, FeedKind, Graph, Source};
use crate::manual::page;
use crate::source::{FileId, Loader, MAX_SPEC_BYTES, Sources, Span};
use crate::text::{number, plural};
use std::path::Path;

/// The rule.
pub static RULE: Rule = Rule {
    code: "D006",
    name: "serving-skew",
    severity: Severity::Error,
    doc: page!("together.rs"),
    style: false,
    research: &["P06", "P10", "P11", "P12", "P14", "P15", "P16", "P26"],
};

/// Parity of means in standard deviations, of scales, and of the rest likewise: constants are written with seven digits.
const PARITY: f64 = 1e-6;

/// Compares every two specs of one model.
pub fn check(examined: &mut [&mut Examined], loader: &dyn Loader) {
    for later in 1..examined.len() {
        for earlier in 0..later {
            let (front, back) = examined.split_at_mut(later);
            let (first, second) = (&mut *front[earlier], &mut *back[0]);
            let ((Some(one), _), (Some(other), _)) =
                ((&first.compiled, &first.report), (&second.compiled, &second.report))
            else {
                continue;
            };
            if !same_weights(&one.graph, &other.graph) {
                continue;
            }
            // What is fitted sets the standard; the finding stands in the spec that departs from it.
            let fits = |compiled: &Compiled| compiled.graph.data.is_some();
            let (standard, subject) =
                if fits(other) && !fits(one) { (second, first) } else { (first, second) };
            subject.together = true;
            standard.together = true;
            if let (Some(of), Some(compiled)) = (&standard.compiled, &mut subject.compiled) {
                let of = Side::of(of, &standard.path, loader);
                let own = Side::of(compiled, &subject.path, loader);
                let found = differences(&of, &own);
                report(compiled, of.compiled, found);
            }
        }
    }
}

/// Whether a checkpoint of one model loads into the other.
fn same_weights(one: &Graph, other: &Graph) -> bool {
    let tensors = |graph: &Graph| -> Vec<(String, Vec<usize>)> {
        let all = graph.params.iter().map(|(_, param)| (param.path.clone(), param.spec.dims.clone()));
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    };
    !one.name.is_empty()
        && one.name == other.name
        && !one.partial
        && !other.partial
        && tensors(one) == tensors(other)
}

/// One of two specs.
struct Side<'a> {
    compiled: &'a Compiled,
    /// The file's name.
    name: String,
    stored: Option<Statistics>,
}

impl<'a> Side<'a> {
    fn of(compiled: &'a Compiled, path: &Path, loader: &dyn Loader) -> Self {
        let stored = loader.read(&statistics_path(path), MAX_SPEC_BYTES).ok();
        let stored = stored.and_then(|bytes| Statistics::parse(std::str::from_utf8(&bytes).ok()?).ok());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { compiled, name, stored }
    }

    fn group(&self, feed: &Feed) -> Option<&Group> {
        self.compiled.graph.group(feed)
    }

    /// The steps that rows of serving pass.
    fn chain(&self, feed: &'a Feed) -> Vec<&Step> {
        let steps = self.group(feed).map_or(&feed.chain[..], |group| group.chain_on(Split::Test));
        steps.iter().filter(|step| step.transform.applies_to_evaluation()).collect()
    }

    fn statistics(&self, feed: &Feed) -> Option<&GroupStatistics> {
        self.stored.as_ref()?.of(self.group(feed)?, Split::Test)
    }

    /// The words of a category: given, or stored.
    fn words(&self, feed: &Feed) -> Option<Vec<String>> {
        let Content::Category(vocabulary) = &self.group(feed)?.content else { return None };
        vocabulary.given().or_else(|| match self.statistics(feed)?.steps.first()? {
            Fitted::Category { vocabulary } => Some(vocabulary.clone()),
            _ => None,
        })
    }

    /// The statistics of the fitted steps among those that rows of serving pass, with the columns that their numbers belong to.
    fn fitted(&self, feed: &Feed, steps: &[&Step]) -> Vec<Option<Known>> {
        let statistics = self.statistics(feed);
        let mut at = usize::from(
            statistics.is_some_and(|group| matches!(group.steps.first(), Some(Fitted::Category { .. }))),
        );
        let next = |step: &&Step| {
            step.transform.fit()?;
            at += 1;
            let group = statistics?;
            let fitted = group.steps.get(at - 1)?.clone();
            let (before, columns) = (group.before(at - 1).to_vec(), group.columns_of(at - 1).to_vec());
            Some(Known { fitted, before, columns })
        };
        steps.iter().map(next).collect()
    }
}

/// What is stored of one step.
struct Known {
    fitted: Fitted,
    /// The columns that the step meets.
    before: Vec<String>,
    /// The columns that its numbers belong to.
    columns: Vec<String>,
}

/// A difference: what, where in the spec at fault and with which remark, where in the other with which remark.
struct Difference {
    message: String,
    severity: Severity,
    own: (Span, String),
    other: (Span, String),
}

fn differences(of: &Side<'_>, own: &Side<'_>) -> Vec<Difference> {
    let mut out = Vec::new();
    for (_, feed) in own.compiled.graph.feeds.iter() {
        let Some(standard) = of.compiled.graph.feed(&feed.name) else { continue };
        let standard = &of.compiled.graph.feeds[standard];
        let sides = [classes, columns, words].iter().find_map(|differ| differ(of, standard, own, feed));
        out.extend(sides.or_else(|| {
            let (usual, found) = (of.chain(standard), own.chain(feed));
            steps(of, (standard, &usual), own, (feed, &found))
        }));
    }
    out.extend(answer(of, own));
    out
}

/// What a spec without a loss answers, against what the other one was trained on.
fn answer(of: &Side<'_>, own: &Side<'_>) -> Option<Difference> {
    let (trained, serving) = (&of.compiled.graph, &own.compiled.graph);
    let [value, Source::Feed(target)] = *trained.nodes[trained.loss?].inputs else { return None };
    let predict = &serving.training.predict;
    let answered = predict.as_ref().map(|predict| predict.output).or(serving.output)?;
    if serving.loss.is_some() || trained.name_of(value) != serving.name_of(answered) {
        return None;
    }
    let target = &trained.feeds[target];
    let undone =
        predict.as_ref().and_then(|predict| predict.undone).map(|(feed, _)| &serving.feeds[feed].name);
    let scaled = trained.trained_chain(target).iter().any(|step| !step.transform.keeps_numbers());
    // Without a word about predictions in either spec, whoever takes the output may undo the scaling.
    let said = predict.is_some() || trained.training.predict.is_some();
    if undone == Some(&target.name) || !scaled || !said {
        return None;
    }
    let name = serving.name_of(answered);
    let found = match undone {
        Some(other) => format!("undone with the chain of `{other}`"),
        None => "answered as it is".to_owned(),
    };
    let steps: Vec<String> =
        trained.trained_chain(target).iter().map(|step| written(&step.transform)).collect();
    Some(Difference {
        message: format!("`{name}` is not brought back to the units of `{}` in {}", target.name, of.name),
        severity: Severity::Error,
        own: (predict.as_ref().map_or(serving.span, |predict| predict.span), found),
        other: (place(trained.trained_chain(target)).unwrap_or(target.span), steps.join(" |> ")),
    })
}

fn classes(of: &Side<'_>, standard: &Feed, own: &Side<'_>, feed: &Feed) -> Option<Difference> {
    let (FeedKind::Class(usual, words), FeedKind::Class(found, labels)) = (&standard.kind, &feed.kind) else {
        return None;
    };
    let differ = usual.zip(*found).is_some_and(|(a, b)| a != b)
        || words.as_ref().zip(labels.as_ref()).is_some_and(|(a, b)| a != b);
    let show = |n: &Option<usize>, labels: &Option<Vec<String>>| match labels {
        Some(labels) => labels.join(", "),
        None => format!("{} classes", n.unwrap_or(0)),
    };
    differ.then(|| Difference {
        message: format!("`{}` has other classes than in {}", feed.name, of.name),
        severity: Severity::Error,
        own: (own.group(feed).map_or(feed.span, |group| group.source), show(found, labels)),
        other: (of.group(standard).map_or(standard.span, |group| group.source), show(usual, words)),
    })
}

fn columns(of: &Side<'_>, standard: &Feed, own: &Side<'_>, feed: &Feed) -> Option<Difference> {
    let (usual, found) = (of.group(standard)?, own.group(feed)?);
    // A column of labels may be called otherwise without harm.
    if usual.columns == found.columns || matches!(usual.content, Content::Class(..)) {
        return None;
    }
    let i = usual.columns.iter().zip(&found.columns).position(|(a, b)| a != b);
    let i = i.unwrap_or(usual.columns.len().min(found.columns.len()));
    let at = |group: &Group| match group.columns.get(i) {
        Some(column) => format!("column {} is `{column}`", i + 1),
        None => format!("{} columns", group.columns.len()),
    };
    Some(Difference {
        message: format!("`{}` has other columns than in {}", feed.name, of.name),
        severity: Severity::Error,
        own: (found.source, at(found)),
        other: (usual.source, at(usual)),
    })
}

/// Categories whose words are not those of the other spec, or have another order: codes and indicators mean other words.
fn words(of: &Side<'_>, standard: &Feed, own: &Side<'_>, feed: &Feed) -> Option<Difference> {
    let (usual, found) = (of.words(standard)?, own.words(feed)?);
    let i = (0..usual.len().max(found.len())).find(|&i| usual.get(i) != found.get(i))?;
    let at = |words: &[String]| match words.get(i) {
        Some(word) => format!("word {} of {} is `{word}`", i + 1, words.len()),
        None => plural(words.len(), "word"),
    };
    Some(Difference {
        message: format!("`{}` has other words than in {}", feed.name, of.name),
        severity: Severity::Error,
        own: (own.group(feed)?.source, at(&found)),
        other: (of.group(standard)?.source, at(&usual)),
    })
}

fn steps(
    of: &Side<'_>,
    (standard, usual): (&Feed, &[&Step]),
    own: &Side<'_>,
    (feed, found): (&Feed, &[&Step]),
) -> Option<Difference> {
    let whole = |side: &Side<'_>, feed: &Feed| {
        let chain = side.group(feed).map_or(&feed.chain[..], |group| group.chain_on(Split::Test));
        place(chain).unwrap_or(feed.span)
    };
    let show = |steps: &[&Step]| match steps {
        [] => "as it comes".to_owned(),
        steps => steps.iter().map(|step| written(&step.transform)).collect::<Vec<_>>().join(" |> "),
    };
    let alike = |(a, b): (&&Step, &&Step)| a.transform.name() == b.transform.name();
    if usual.len() != found.len() || !usual.iter().zip(found).all(alike) {
        let consequence =
            if feed.target { "predictions come in other units" } else { "the net sees other numbers" };
        return Some(Difference {
            message: format!("`{}` is prepared otherwise than in {}: {consequence}", feed.name, of.name),
            severity: Severity::Error,
            own: (whole(own, feed), show(found)),
            other: (whole(of, standard), show(usual)),
        });
    }
    let (known, given) = (of.fitted(standard, usual), own.fitted(feed, found));
    for (((a, b), known), given) in usual.iter().zip(found).zip(&known).zip(&given) {
        let apart = step(of, (a, known.as_ref()), own, (b, given.as_ref()));
        if let Some((severity, what, usual, found)) = apart {
            return Some(Difference {
                message: format!("`{}` of `{}` {what} {}", b.transform.name(), feed.name, of.name),
                severity,
                own: (b.span, found),
                other: (a.span, usual),
            });
        }
    }
    None
}

/// What is said of constants that differ.
const OTHER: &str = "has other constants than in";

/// How one step differs from its counterpart: severity, what of it, the usual and the found.
fn step(
    of: &Side<'_>,
    (a, known): (&Step, Option<&Known>),
    own: &Side<'_>,
    (b, given): (&Step, Option<&Known>),
) -> Option<(Severity, &'static str, String, String)> {
    match (a.transform.fit(), b.transform.fit()) {
        // The words of a category have been compared.
        (None, None) if matches!(a.transform, Transform::OneHot(_)) => None,
        (None, None) if a.transform == b.transform => None,
        (None, None) => Some((Severity::Error, OTHER, a.transform.to_string(), b.transform.to_string())),
        (Some(_), Some(_)) => {
            if let (Some(known), Some(given)) = (known, given) {
                return apart(known, given).map(|(usual, found)| (Severity::Error, OTHER, usual, found));
            }
            if a.transform != b.transform {
                let how = "is fitted on other rows than in";
                return Some((Severity::Error, how, a.transform.to_string(), b.transform.to_string()));
            }
            let rows = |side: &Side<'_>, fit: Option<Split>| -> Vec<String> {
                let plan = side.compiled.graph.data.as_ref();
                let files = plan.zip(fit).map_or(Vec::new(), |(plan, fit)| plan.files(fit));
                files.into_iter().map(|file| file.shown.clone()).collect()
            };
            let (usual, found) = (rows(of, a.transform.fit()), rows(own, b.transform.fit()));
            (!usual.is_empty() && !found.is_empty() && usual != found).then(|| {
                (Severity::Error, "is fitted on other rows than in", usual.join(", "), found.join(", "))
            })
        }
        (Some(_), None) => written_out((a, known), &b.transform),
        (None, Some(_)) => written_out((b, given), &a.transform)
            .map(|(severity, what, usual, found)| (severity, what, found, usual)),
    }
}

/// Constants that one spec writes out, against the statistics of the other.
fn written_out(
    (a, known): (&Step, Option<&Known>),
    b: &Transform,
) -> Option<(Severity, &'static str, String, String)> {
    let Some(Known { fitted, before, columns }) = known else {
        let usual = format!("{}: not stored, so that nothing can be compared", a.transform);
        return Some((Severity::Info, "cannot be compared with that of", usual, b.to_string()));
    };
    let n = columns.len();
    let name = |i: usize| columns.get(i).map_or("?", String::as_str);
    let different = |usual: String, found: String| Some((Severity::Error, OTHER, usual, found));
    match (b, fitted) {
        (Transform::Standardize(b), Fitted::Standardize { mean, scale, .. }) => (0..n).find_map(|i| {
            let (m, s) = b.constants_at(None, n, i);
            let close = (m - mean[i]).abs() <= PARITY * scale[i] && (s / scale[i] - 1.0).abs() <= PARITY;
            let show = |m: f64, s: f64| format!("`{}`: mean {m}, std {s}", name(i));
            if close { None } else { different(show(mean[i], scale[i]), show(m, s)) }
        }),
        (Transform::Minmax(b), Fitted::Minmax { min, max }) => (0..n).find_map(|i| {
            let (lo, hi) = b.extremes_at(None, n, i);
            let range = if max[i] > min[i] { max[i] - min[i] } else { 1.0 };
            let close = (lo - min[i]).abs() <= PARITY * range && (hi - max[i]).abs() <= PARITY * range;
            let show = |lo: f64, hi: f64| format!("`{}`: {lo} .. {hi}", name(i));
            if close { None } else { different(show(min[i], max[i]), show(lo, hi)) }
        }),
        (Transform::Impute(Impute::Given(values, _)), Fitted::Impute { value }) => (0..n).find_map(|i| {
            let found = spread(values, n, i);
            let close = (found - value[i]).abs() <= PARITY * value[i].abs();
            let show = |x: f64| format!("`{}`: {x}", name(i));
            if close { None } else { different(show(value[i]), show(found)) }
        }),
        (Transform::Select(Select::Given { columns: places, .. }), Fitted::Select { .. }) => {
            let found: Vec<String> = places.iter().filter_map(|&at| before.get(at).cloned()).collect();
            let (usual, found) = choices(columns, &found)?;
            different(usual, found)
        }
        _ => different(a.transform.to_string(), b.to_string()),
    }
}

/// The first difference of two choices of columns.
fn choices(usual: &[String], found: &[String]) -> Option<(String, String)> {
    let i = (0..usual.len().max(found.len())).find(|&i| usual.get(i) != found.get(i))?;
    let at = |names: &[String]| match names.get(i) {
        Some(name) => format!("keeps `{name}` as column {} of {}", i + 1, names.len()),
        None => format!("keeps {}", plural(names.len(), "column")),
    };
    Some((at(usual), at(found)))
}

/// The first number in which two statistics of one kind differ. Of a choice only what is chosen matters.
fn apart(known: &Known, given: &Known) -> Option<(String, String)> {
    if let (Fitted::Select { columns: usual, .. }, Fitted::Select { columns: found, .. }) =
        (&known.fitted, &given.fitted)
    {
        return choices(usual, found);
    }
    if known.fitted == given.fitted {
        return None;
    }
    for ((what, usual), (_, found)) in known.fitted.numbers().into_iter().zip(given.fitted.numbers()) {
        if let Some(i) = usual.iter().zip(found).position(|(a, b)| a != b) {
            let column = known.columns.get(i).map_or("?", String::as_str);
            let show = |x: f64| format!("{what} of `{column}` {}", number(x));
            let (one, other) = (show(usual[i]), show(found[i]));
            // Four digits may hide the difference.
            return Some(if one == other {
                (format!("{what} of `{column}` {}", usual[i]), format!("{what} of `{column}` {}", found[i]))
            } else {
                (one, other)
            });
        }
    }
    Some(("other statistics".to_owned(), "other statistics".to_owned()))
}

/// Adds the findings to a spec, whose table of sources takes in the text of the other.
fn report(compiled: &mut Compiled, of: &Compiled, found: Vec<Difference>) {
    if found.is_empty() {
        return;
    }
    let file = adopt(&mut compiled.sources, of);
    for Difference { message, severity, own, other } in found {
        compiled.found.push(
            Diagnostic::new(&RULE, own.0, message)
                .severity(severity)
                .remark(own.1)
                .label(Span { file, ..other.0 }, other.1)
                .help("both specs load the same weights: prepare their inputs alike"),
        );
    }
}

fn adopt(sources: &mut Sources, of: &Compiled) -> FileId {
    let other = of.sources.file(of.file);
    sources.add(other.name.clone(), other.text.clone())
}
