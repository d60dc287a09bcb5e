//! The data section: column groups over the files that `splits` names.
//!
//! Only the header lines of the files are read here, and the training rows where a vocabulary is neither given nor stored.

use super::feeds::{of_labels, of_target};
use super::{Lowering, eval};
use crate::args::{Arg, Value, word};
use crate::data::{
    self, Content, File, Group, Header, Lag, Oversample, Plan, Rows, Split, Statistics, Step, Transform,
    Vocabulary,
};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::front::ast::{CallExpr, Column, Data};
use crate::source::{MAX_SPEC_BYTES, Span, Spanned};
use crate::tensor::Shape;
use std::collections::BTreeMap;

impl Lowering<'_> {
    pub(super) fn data(&mut self, section: &Data) {
        let before = self.out.iter().count();
        let rows = self.rows(section);
        let Some((rows, about)) = rows else {
            if self.out.iter().count() == before {
                self.out.push(
                    Diagnostic::new(&rules::MISSING, section.head.0, "the data section names no file")
                        .help("write train csv(\"path\"), or all csv(\"path\") with split by hash(key)"),
                );
            }
            self.graph.partial = true;
            section.columns.iter().for_each(|column| self.lost.learn(&column.name.value));
            return;
        };
        let mut plan = Plan { rows, groups: Vec::new(), oversample: None, about, span: section.head.0 };
        let headers = self.headers(&plan);
        if let Rows::One(file, rule) = &plan.rows {
            let column = rule.column();
            if let Some((_, header)) = headers.first()
                && header.find(&column.value).is_none()
            {
                self.out.push(data::missing_column(column.span, &file.shown, &column.value, &header.names));
            }
        }
        let of_rule = |span| matches!(&plan.rows, Rows::One(_, rule) if rule.column().span == span);
        for column in plan.about.group.iter().chain(&plan.about.time).filter(|column| !of_rule(column.span)) {
            for (file, header) in headers.iter().filter(|(_, header)| header.find(&column.value).is_none()) {
                self.out.push(data::missing_column(column.span, &file.shown, &column.value, &header.names));
            }
        }
        for column in &section.columns {
            if let Some(first) = plan.group(&column.name.value) {
                let message = format!("two column groups are called `{}`", column.name.value);
                self.out.push(
                    Diagnostic::new(&rules::DUPLICATE_NAME, column.name.span, message)
                        .label(first.name.span, "first declared here"),
                );
                continue;
            }
            match self.column(column, &headers) {
                Some(group) => plan.groups.push(group),
                None => self.lost.learn(&column.name.value),
            }
        }
        self.overrides(section, &mut plan);
        self.vocabularies(&mut plan);
        plan.oversample = section.generated.as_ref().and_then(|call| self.oversample(call, &plan));
        for group in &plan.groups {
            self.check_group(group, &plan);
        }
        self.graph.data = Some(plan);
    }

    /// The headers of all files that can be read; the others are reported.
    fn headers(&mut self, plan: &Plan) -> Vec<(File, Header)> {
        let mut headers = Vec::new();
        for file in plan.files(Split::All) {
            match data::header(self.loader, file) {
                Ok(header) => headers.push((file.clone(), header)),
                Err(diagnostic) => self.out.push(diagnostic),
            }
        }
        headers
    }

    fn column(&mut self, column: &Column, headers: &[(File, Header)]) -> Option<Group> {
        let env = self.env();
        let kind = &column.source.name;
        let args = eval::arguments(&column.source.args, &env, &mut self.out)?;
        let mut chain = self.chain(&column.name.value, &column.chain);
        let (content, names) = match kind.value.as_str() {
            "numeric" => (Content::Numeric, self.column_names(&args)?),
            "target" => (Content::Target, self.column_names(&args)?),
            "class" | "category" => {
                let mut name = None;
                let mut set = None;
                for arg in &args {
                    match arg.name.as_ref().map(|name| name.value.as_str()) {
                        Some("column") => name = Some(arg.clone()),
                        Some("classes" | "vocabulary") => set = Some(arg.value.clone()),
                        other => {
                            let what =
                                other.map_or("a further argument".to_owned(), |name| format!("`{name}`"));
                            let message = format!("`{}` does not take {what}", kind.value);
                            self.out.push(Diagnostic::new(&rules::UNKNOWN_KEY, arg.value.span, message));
                        }
                    }
                }
                let Some(name) = name else {
                    let message = format!("`{}` needs its column", kind.value);
                    self.out.push(Diagnostic::new(&rules::MISSING, column.source.span(), message));
                    return None;
                };
                let content = match (kind.value.as_str(), set) {
                    ("class", Some(set)) => {
                        let (classes, labels) = self.classes(&set)?;
                        Content::Class(classes, labels)
                    }
                    ("class", None) => {
                        self.out.push(
                            Diagnostic::new(
                                &rules::MISSING,
                                column.source.span(),
                                "`class` needs the number of classes",
                            )
                            .help("write class(column, 10), or class(column, [\"no\", \"yes\"])"),
                        );
                        return None;
                    }
                    (_, Some(set)) => match self.classes(&set)?.1 {
                        Some(words) => {
                            if let Some((_, shared)) = shared_words(&chain) {
                                let message = "the vocabulary is given twice";
                                self.out.push(
                                    Diagnostic::new(&rules::GIVEN_TWICE, shared, message)
                                        .label(set.span, "first given here"),
                                );
                            }
                            Content::Category(Vocabulary::Given(words))
                        }
                        None => {
                            let message = "a vocabulary is a list of words";
                            self.out.push(Diagnostic::new(&rules::WRONG_TYPE, set.span, message));
                            return None;
                        }
                    },
                    (_, None) => Content::Category(
                        shared_words(&chain)
                            .map_or(Vocabulary::Fitted(None), |(words, _)| Vocabulary::Given(words)),
                    ),
                };
                (content, self.column_names(&[name])?)
            }
            other => {
                let near =
                    did_you_mean(other, ["numeric", "category", "class", "target", "csv", "oversample"]);
                let message = format!("there is no kind of column `{other}`");
                let known =
                    "the kinds are numeric, category, class and target; csv names a split's file".to_owned();
                self.out.push(
                    Diagnostic::new(&rules::UNKNOWN_CALLEE, kind.span, message)
                        .help(near.map_or(known, |near| format!("did you mean `{near}`?"))),
                );
                return None;
            }
        };
        let columns = self.expand(&names, headers);
        let lag = self.lag(&content, &mut chain, &columns);
        let columns = lag.as_ref().map_or(columns, Lag::names);
        let width = data::width(&chain, columns.len());
        let reshape = match &column.shape {
            Some(shape) => self.reshape(shape, width),
            None => None,
        };
        let (name, source) = (column.name.clone(), column.source.span());
        let rows = None;
        Some(Group { name, content, columns, lag, rows, source, reshape, chain, overrides: BTreeMap::new() })
    }

    fn column_names(&mut self, args: &[Arg]) -> Option<Vec<Spanned<String>>> {
        let mut names = Vec::new();
        for arg in args {
            match word(&arg.value.value) {
                Some(name) => names.push(Spanned::new(name.to_owned(), arg.value.span)),
                None => {
                    let message = format!("`{}` is no name of a column", arg.value.value);
                    self.out.push(Diagnostic::new(&rules::WRONG_TYPE, arg.value.span, message));
                    return None;
                }
            }
        }
        Some(names)
    }

    /// Names and patterns to columns of the files. Empty if no header could be read.
    fn expand(&mut self, names: &[Spanned<String>], headers: &[(File, Header)]) -> Vec<String> {
        let Some(((first, header), others)) = headers.split_first() else { return Vec::new() };
        let mut columns: Vec<String> = Vec::new();
        for name in names {
            let found = if name.value.contains(['*', '?']) {
                header.matching(&name.value)
            } else {
                header.find(&name.value).map(|_| name.value.clone()).into_iter().collect()
            };
            if found.is_empty() {
                self.out.push(data::missing_column(name.span, &first.shown, &name.value, &header.names));
            }
            for column in found {
                if columns.contains(&column) {
                    let message = format!("the column `{column}` is named twice");
                    self.out.push(Diagnostic::new(&rules::GIVEN_TWICE, name.span, message));
                } else {
                    columns.push(column);
                }
            }
            for (file, other) in others {
                for column in columns.iter().filter(|column| other.find(column).is_none()).take(1) {
                    self.out.push(
                        data::missing_column(name.span, &file.shown, column, &other.names)
                            .label(first.span, "this file has it")
                            .label(file.span, "this one has not"),
                    );
                }
            }
        }
        columns
    }

    fn reshape(&mut self, shape: &Spanned<crate::front::ast::Expr>, columns: usize) -> Option<Shape> {
        let env = self.env();
        let value = eval::eval(shape, &env, &mut self.out)?;
        let sizes = match &value.value {
            Value::List(items) => items
                .iter()
                .map(|item| match item.value {
                    Value::Int(n) if n >= 1 => usize::try_from(n).ok(),
                    _ => None,
                })
                .collect::<Option<Vec<usize>>>(),
            _ => None,
        };
        let Some(sizes) = sizes else {
            let message = format!("`{}` is no shape of a row", value.value);
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, value.span, message)
                    .help("write as [1, 8, 8], without the batch"),
            );
            return None;
        };
        let shape = Shape::new(sizes);
        if columns > 0 && shape.elements() != columns {
            let message = format!(
                "a row of {} columns cannot take the shape {}, which has {} elements",
                columns,
                value.value,
                shape.elements()
            );
            self.out.push(Diagnostic::new(&rules::SHAPE_MISMATCH, value.span, message));
        }
        Some(shape)
    }

    fn overrides(&mut self, section: &Data, plan: &mut Plan) {
        for replacement in &section.overrides {
            let (split, group) = (&replacement.split, &replacement.group);
            let Some(of) = Split::find(&split.value).filter(|split| *split != Split::All) else {
                let message = format!("there is no split `{}`", split.value);
                self.out.push(
                    Diagnostic::new(&rules::UNKNOWN_NAME, split.span, message)
                        .help("the splits are train, val and test"),
                );
                continue;
            };
            let mut chain = self.chain(&group.value, &replacement.chain);
            let near = did_you_mean(&group.value, plan.groups.iter().map(|group| group.name.value.as_str()))
                .map(str::to_owned);
            let Some(target) = plan.groups.iter_mut().find(|known| known.name.value == group.value) else {
                if self.lost.explains(&group.value) {
                    continue;
                }
                let message = format!("there is no column group `{}`", group.value);
                self.out.push(
                    Diagnostic::new(&rules::UNKNOWN_NAME, group.span, message)
                        .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
                );
                continue;
            };
            let place = chain.iter().fold(group.span, |place, step| place.to(step.span));
            if let Some(lag) = &target.lag {
                if chain.first().is_none_or(|step| step.transform != lag.step()) {
                    let message = format!("`{}` takes other rows on `{of}`", group.value);
                    self.out.push(
                        Diagnostic::new(&rules::SHAPE_MISMATCH, place, message)
                            .label(lag.span, "on the other splits")
                            .help(format!("begin with {}", lag.step())),
                    );
                }
                chain.retain(|step| !matches!(step.transform, Transform::Back(_)));
            }
            if let Some((first, _)) = target.overrides.insert(of, (place, chain)) {
                let message = format!("`{}` is replaced twice on `{of}`", group.value);
                self.out.push(
                    Diagnostic::new(&rules::GIVEN_TWICE, group.span, message)
                        .label(first, "first given here"),
                );
            }
        }
    }

    /// `oversample(y, only=train)`.
    fn oversample(&mut self, call: &CallExpr, plan: &Plan) -> Option<Oversample> {
        let how = "write rows oversample(y, only=train), y being a group of class labels";
        if call.name.value != "oversample" {
            let message = format!("there is no way to make rows called `{}`", call.name.value);
            self.out.push(Diagnostic::new(&rules::UNKNOWN_CALLEE, call.name.span, message).help(how));
            return None;
        }
        let env = self.env();
        let args = eval::arguments(&call.args, &env, &mut self.out)?;
        let (mut by, mut only) = (None, None);
        for arg in &args {
            match (arg.name.as_ref().map(|name| name.value.as_str()), word(&arg.value.value)) {
                (Some("by"), Some(name)) => by = Some(Spanned::new(name.to_owned(), arg.value.span)),
                (Some("only"), Some(rows @ ("train" | "always"))) => {
                    only = Some(Spanned::new(rows == "always", arg.value.span));
                }
                (Some(name @ ("by" | "only")), _) => {
                    let wanted = if name == "by" { "the name of a group" } else { "`train`, or `always`" };
                    let message = format!("`{name}` of `oversample` is `{}`", arg.value.value);
                    self.out.push(
                        Diagnostic::new(&rules::WRONG_TYPE, arg.value.span, message)
                            .remark(format!("must be {wanted}"))
                            .help(how),
                    );
                    return None;
                }
                (name, _) => {
                    let what = name.map_or("a further argument".to_owned(), |name| format!("`{name}`"));
                    let message = format!("`oversample` does not take {what}");
                    self.out.push(Diagnostic::new(&rules::UNKNOWN_KEY, arg.value.span, message).help(how));
                    return None;
                }
            }
        }
        let (Some(by), Some(always)) = (by.clone(), only) else {
            let missing = if by.is_none() { "`by`, the classes that it balances" } else { "`only=train`" };
            let message = format!("`oversample` needs {missing}");
            self.out.push(Diagnostic::new(&rules::MISSING, call.span(), message).help(how));
            return None;
        };
        let Some(group) = plan.group(&by.value) else {
            if !self.lost.explains(&by.value) {
                let near = did_you_mean(&by.value, plan.groups.iter().map(|group| group.name.value.as_str()));
                let message = format!("there is no column group `{}`", by.value);
                self.out.push(
                    Diagnostic::new(&rules::UNKNOWN_NAME, by.span, message)
                        .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
                );
            }
            return None;
        };
        if !matches!(group.content, Content::Class(..)) {
            let message = format!("`{}` holds no class labels, which `oversample` balances", by.value);
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, by.span, message).label(group.source, "declared here"),
            );
            return None;
        }
        Some(Oversample { by, always, span: call.span() })
    }

    /// Looks up vocabularies that the spec does not give: in the stored statistics, else in the training rows.
    fn vocabularies(&mut self, plan: &mut Plan) {
        let open = |group: &Group| {
            group.content == Content::Category(Vocabulary::Fitted(None)) && !group.columns.is_empty()
        };
        if !plan.groups.iter().any(open) {
            return;
        }
        let stored = self.stored_statistics();
        let open: Vec<usize> = (0..plan.groups.len()).filter(|&i| open(&plan.groups[i])).collect();
        for i in open {
            let group = &plan.groups[i];
            let known = stored.as_ref().and_then(|stored| stored.of(group, Split::Train)).and_then(|group| {
                group.steps.iter().find_map(|step| match step {
                    data::Fitted::Category { vocabulary } => Some(vocabulary.clone()),
                    _ => None,
                })
            });
            let vocabulary = match known {
                Some(vocabulary) => vocabulary,
                None => {
                    let mut words = std::collections::BTreeSet::new();
                    if let Err(diagnostic) =
                        data::Reading::new(plan, group, data::vocabulary_fit(&group.chain), self.loader)
                            .words(&mut words)
                    {
                        self.out.push(*diagnostic);
                        continue;
                    }
                    words.into_iter().collect()
                }
            };
            let name = group.name.value.clone();
            plan.groups[i].content = Content::Category(Vocabulary::Fitted(Some(vocabulary.len())));
            self.vocabularies.insert(name, vocabulary);
        }
    }

    /// The statistics file beside the spec, if there is one that can be read.
    fn stored_statistics(&self) -> Option<Statistics> {
        let bytes = self.loader.read(&data::statistics_path(self.path), MAX_SPEC_BYTES).ok()?;
        Statistics::parse(std::str::from_utf8(&bytes).ok()?).ok()
    }

    fn check_group(&mut self, group: &Group, plan: &Plan) {
        self.check_widths(group);
        self.check_lag(group, plan);
        let category = matches!(group.content, Content::Category(_));
        let chains = std::iter::once(&group.chain).chain(group.overrides.values().map(|(_, chain)| chain));
        for (i, step) in chains.flat_map(|chain| chain.iter().enumerate()) {
            let one_hot = matches!(step.transform, Transform::OneHot(_));
            if one_hot != category || (category && i > 0) {
                let (name, transform) = (&group.name.value, step.transform.name());
                let message = if category {
                    format!("`{name}` is a category: `{transform}` needs numbers")
                } else {
                    format!("`{name}` holds numbers: `one_hot` needs a category")
                };
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, step.span, message));
            }
            if let (Content::Category(Vocabulary::Given(_)), Some(fit)) = (&group.content, &step.fit) {
                let message =
                    format!("the vocabulary of `{}` is given: there is nothing to fit", group.name.value);
                self.out.push(Diagnostic::new(&rules::UNKNOWN_KEY, fit.span, message));
            }
            if matches!(group.content, Content::Class(..)) {
                self.out.push(of_labels(&group.name.value, step));
            }
            if group.content == Content::Target && matches!(step.transform, Transform::Select(_)) {
                self.out.push(of_target(&group.name.value, step));
            }
            if let Some(target) = step.transform.target() {
                self.check_looked_at(target, step, plan);
            }
        }
    }

    /// Takes the step that looks back from the front of a chain.
    fn lag(&mut self, content: &Content, chain: &mut Vec<Step>, columns: &[String]) -> Option<Lag> {
        let first = match chain.first() {
            Some(Step { transform: Transform::Back(back), span, .. }) if *content == Content::Numeric => {
                (back.rows.clone(), *span)
            }
            _ => return None,
        };
        chain.remove(0);
        let (rows, span) = first;
        if let Some(ahead) = rows.iter().find(|rows| **rows < 0) {
            let message = format!("`lag` by {ahead} takes later rows: they are not known when the row is");
            let finding = Diagnostic::new(&rules::FUTURE_VALUES, span, message);
            let rule = self.spec.data.as_ref().and_then(|data| data.rule.as_ref());
            self.out.push(
                match rule {
                    Some(rule) => finding.label(rule.by.span(), "rows have this order in time"),
                    None => finding,
                }
                .help(format!("earlier rows have positive numbers: {}", ahead.abs())),
            );
            self.graph.partial = true;
            return None;
        }
        let rows = rows.into_iter().filter_map(|rows| usize::try_from(rows).ok()).collect();
        Some(Lag { rows, columns: columns.to_vec(), span })
    }

    /// Whether rows have an order to look back in, and nothing that is looked at is the answer.
    fn check_lag(&mut self, group: &Group, plan: &Plan) {
        let chains = std::iter::once(&group.chain).chain(group.overrides.values().map(|(_, chain)| chain));
        for step in chains.flatten().filter(|step| matches!(step.transform, Transform::Back(_))) {
            let message = "`lag` stands first in a chain of numeric columns";
            self.out.push(Diagnostic::new(&rules::WRONG_TYPE, step.span, message));
        }
        let Some(lag) = &group.lag else { return };
        if !plan.by_time() {
            let message = "`lag` needs one file whose rows have an order in time";
            self.out.push(
                Diagnostic::new(&rules::MISSING, lag.span, message)
                    .help("write all csv(\"path\") and split by time(column) train 80 val 10 test 10"),
            );
        }
        let targets = plan.groups.iter().filter(|group| group.content.is_target());
        for target in targets.filter(|_| lag.rows.contains(&0)) {
            if let Some(column) = lag.columns.iter().find(|column| target.columns.contains(column)) {
                let message = format!("`{}` holds the answer: `lag` by 0 of `{column}`", group.name.value);
                self.out.push(
                    Diagnostic::new(&rules::FUTURE_VALUES, lag.span, message)
                        .label(target.source, "to be predicted")
                        .help("leave 0 out: the earlier values of a target are known, its own is not"),
                );
            }
        }
    }

    /// Whether every step of every chain fits the row that it meets, and all splits have rows of one width.
    fn check_widths(&mut self, group: &Group) {
        let columns = group.columns.len();
        if columns == 0 {
            return;
        }
        let declared = group.reshape.as_ref();
        let raw = declared.filter(|shape| shape.elements() == columns).cloned();
        let raw = raw.unwrap_or_else(|| Shape::new([columns]));
        let usual = self.check_chain(&group.chain, &raw, declared).elements();
        let name = &group.name.value;
        let encoded =
            |chain: &[Step]| chain.iter().any(|step| matches!(step.transform, Transform::OneHot(_)));
        for (split, (place, chain)) in &group.overrides {
            let own = self.check_chain(chain, &raw, declared).elements();
            if own != usual {
                let message = format!("rows of `{split}` have {own} columns of `{name}`, all others {usual}");
                self.out.push(
                    Diagnostic::new(&rules::SHAPE_MISMATCH, *place, message)
                        .label(group.name.span, "the other splits pass through this chain"),
                );
            } else if encoded(chain) != encoded(&group.chain) {
                let message = format!("`{name}` is encoded in another way on `{split}`");
                self.out.push(Diagnostic::new(&rules::SHAPE_MISMATCH, *place, message).label(
                    group.name.span,
                    "`one_hot` makes a column of each word, and codes are one column",
                ));
            }
        }
    }

    /// Whether the target that a step looks at is one.
    fn check_looked_at(&mut self, name: &str, step: &Step, plan: &Plan) {
        let Some(target) = plan.group(name) else {
            if !self.lost.explains(name) {
                let targets = plan.groups.iter().filter(|group| group.content.is_target());
                let near = did_you_mean(name, targets.map(|group| group.name.value.as_str()));
                let message =
                    format!("`{}` looks at `{name}`, and no column group is called so", step.transform);
                self.out.push(
                    Diagnostic::new(&rules::UNKNOWN_NAME, step.span, message)
                        .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
                );
            }
            return;
        };
        if plan.target(name).is_none() && !target.columns.is_empty() {
            let wrong = if target.content.is_target() {
                format!("it has {} columns", target.columns.len())
            } else {
                "it is an input".to_owned()
            };
            let message = format!("`{}` needs a target of one column, and `{name}` is none", step.transform);
            self.out
                .push(Diagnostic::new(&rules::WRONG_TYPE, step.span, message).label(target.source, wrong));
        }
    }
}

/// The words that a chain shares with another spec, and where.
fn shared_words(chain: &[Step]) -> Option<(Vec<String>, Span)> {
    chain.iter().find_map(|step| match &step.transform {
        Transform::OneHot(encoding) => Some((encoding.shared.clone()?, step.span)),
        _ => None,
    })
}
