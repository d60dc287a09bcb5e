//! Which rows belong to which split: the files of the data section, and the rule that divides one.

use super::{Lowering, eval};
use crate::args::{Arg, Value, word};
use crate::data::{About, File, Rows, Rule, Split};
use crate::diag::{Diagnostic, did_you_mean, rules};
use crate::front::ast::{CallExpr, Data, SplitRule};
use crate::source::{Span, Spanned};
use std::path::{Component, Path, PathBuf};

impl Lowering<'_> {
    pub(super) fn rows(&mut self, section: &Data) -> Option<(Rows, About)> {
        let mut files: Vec<(Split, File, crate::source::Span)> = Vec::new();
        for declared in &section.splits {
            let Some(split) = Split::find(&declared.name.value) else {
                let near = did_you_mean(&declared.name.value, Split::WORDS.iter().copied());
                let message = format!("there is no split `{}`", declared.name.value);
                self.out.push(Diagnostic::new(&rules::UNKNOWN_NAME, declared.name.span, message).help(
                    near.map_or("the splits are train, val, test and all".to_owned(), |near| {
                        format!("did you mean `{near}`?")
                    }),
                ));
                continue;
            };
            if let Some((_, _, first)) = files.iter().find(|(known, ..)| *known == split) {
                let message = format!("the split `{split}` is given twice");
                self.out.push(
                    Diagnostic::new(&rules::GIVEN_TWICE, declared.name.span, message)
                        .label(*first, "first given here"),
                );
                continue;
            }
            if let Some(file) = self.file(&declared.source) {
                files.push((split, file, declared.name.span));
            }
        }
        let whole = files.iter().position(|(split, ..)| *split == Split::All);
        match (whole, &section.rule) {
            (Some(at), Some(rule)) => {
                if let Some((split, _, span)) = files.iter().find(|(split, ..)| *split != Split::All) {
                    let message =
                        format!("`{split}` has a file of its own although `all` is divided by a rule");
                    self.out.push(
                        Diagnostic::new(&rules::GIVEN_TWICE, *span, message)
                            .label(files[at].2, "`all` is given here"),
                    );
                }
                match self.rule(rule)? {
                    (Some(divided), about) => Some((Rows::One(files.swap_remove(at).1, divided), about)),
                    (None, _) => {
                        let message =
                            "`file` divides splits that have files of their own, and `all` has none";
                        self.out.push(
                            Diagnostic::new(&rules::WRONG_TYPE, rule.by.span(), message)
                                .label(files[at].2, "`all` is given here"),
                        );
                        None
                    }
                }
            }
            (Some(at), None) => {
                self.out.push(
                    Diagnostic::new(&rules::MISSING, files[at].2, "`all` needs a rule that divides its rows")
                        .help("write split by hash(key) train 80 val 10 test 10"),
                );
                None
            }
            (None, Some(rule)) => match self.rule(rule)? {
                (None, about) => Some((of_files(files), about)),
                (Some(_), _) => {
                    let message = "a split rule divides the rows of `all`";
                    self.out.push(
                        Diagnostic::new(&rules::UNKNOWN_KEY, rule.by.span(), message)
                            .help("write all csv(\"path\") for the file that it divides"),
                    );
                    None
                }
            },
            (None, None) if files.is_empty() => None,
            (None, None) => Some((of_files(files), About::default())),
        }
    }

    fn file(&mut self, source: &CallExpr) -> Option<File> {
        let env = self.env();
        let args = eval::arguments(&source.args, &env, &mut self.out)?;
        let path = match args.as_slice() {
            [Arg { name: None, value }] => {
                word(&value.value).map(|path| Spanned::new(path.to_owned(), value.span))
            }
            _ => None,
        };
        let Some(path) = path else {
            self.out.push(
                Diagnostic::new(&rules::WRONG_TYPE, source.span(), "`csv` takes the path of a file")
                    .help("write csv(\"path\")"),
            );
            return None;
        };
        let full: PathBuf =
            self.path.parent().map_or_else(|| PathBuf::from(&path.value), |folder| folder.join(&path.value));
        Some(File { shown: plain(&full).display().to_string(), path: full, span: path.span })
    }

    /// What a split rule says of the rows, and how it divides them; `None` for the second where every split has a file.
    fn rule(&mut self, rule: &SplitRule) -> Option<(Option<Rule>, About)> {
        let env = self.env();
        let args = eval::arguments(&rule.by.args, &env, &mut self.out)?;
        let name = rule.by.name.value.as_str();
        if !["hash", "column", "time", "file"].contains(&name) {
            let near = did_you_mean(name, ["hash", "column", "time", "file"]);
            let known = "the rules are hash(key), column(name) and time(column); file() for splits with files of their own";
            let message = format!("there is no split rule `{name}`");
            self.out.push(
                Diagnostic::new(&rules::UNKNOWN_CALLEE, rule.by.name.span, message)
                    .help(near.map_or(known.to_owned(), |near| format!("did you mean `{near}`?"))),
            );
            return None;
        }
        let mut about = About { rule: Some(rule.by.span()), ..About::default() };
        let mut column = None;
        for Arg { name: given, value } in &args {
            let place = match given.as_ref().map(|given| given.value.as_str()) {
                None => &mut column,
                Some("group") => &mut about.group,
                Some("time") if name != "time" => &mut about.time,
                Some(other) => {
                    let near = did_you_mean(other, ["group", "time"]).map(str::to_owned);
                    let message = format!("`{name}` has no argument `{other}`");
                    let span = given.as_ref().map_or(value.span, |given| given.span);
                    self.out.push(
                        Diagnostic::new(&rules::UNKNOWN_KEY, span, message)
                            .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
                    );
                    return None;
                }
            };
            match word(&value.value) {
                Some(text) if place.is_none() => *place = Some(Spanned::new(text.to_owned(), value.span)),
                Some(_) if given.is_some() => {
                    let message = format!("`{name}` is given an argument twice");
                    self.out.push(Diagnostic::new(&rules::GIVEN_TWICE, value.span, message));
                    return None;
                }
                _ => {
                    self.one_column(rule);
                    return None;
                }
            }
        }
        if let ("column" | "file", Some(share)) = (name, rule.shares.first()) {
            let what = if name == "column" { "the column says" } else { "the files say" };
            let message = format!("{what} which split a row belongs to; shares have no meaning");
            self.out.push(Diagnostic::new(&rules::UNKNOWN_KEY, share.name.span, message));
        }
        let Some(column) = column else {
            if name == "file" {
                return Some((None, about));
            }
            self.one_column(rule);
            return None;
        };
        let divided = match name {
            "column" => Rule::Column(column),
            "hash" => Rule::Hash { key: column, shares: self.shares(rule)? },
            "time" => {
                about.time = Some(column.clone());
                Rule::Time { column, shares: self.shares(rule)? }
            }
            _ => {
                let message = "`file` takes no column: every split has its own file";
                self.out.push(Diagnostic::new(&rules::WRONG_TYPE, column.span, message));
                return None;
            }
        };
        Some((Some(divided), about))
    }

    fn one_column(&mut self, rule: &SplitRule) {
        let message = format!("`{}` takes the name of one column", rule.by.name.value);
        self.out.push(Diagnostic::new(&rules::WRONG_TYPE, rule.by.span(), message));
    }

    /// The shares of a rule.
    fn shares(&mut self, rule: &SplitRule) -> Option<Vec<(Split, u64)>> {
        let env = self.env();
        let mut shares: Vec<(Split, u64)> = Vec::new();
        for share in &rule.shares {
            let split = Split::find(&share.name.value).filter(|split| *split != Split::All);
            let value = eval::eval(&share.value, &env, &mut self.out)?;
            match (split, &value.value) {
                (Some(split), Value::Int(n))
                    if *n >= 0 && !shares.iter().any(|(known, _)| *known == split) =>
                {
                    shares.push((split, n.unsigned_abs()));
                }
                (Some(split), Value::Int(n)) if *n >= 0 => {
                    let message = format!("the share of `{split}` is given twice");
                    self.out.push(Diagnostic::new(&rules::GIVEN_TWICE, share.name.span, message));
                }
                (Some(_), other) => {
                    let message = format!("a share of `{other}`");
                    self.out.push(
                        Diagnostic::new(&rules::WRONG_TYPE, value.span, message)
                            .remark("must be an integer of at least 0"),
                    );
                }
                (None, _) => {
                    let message = format!("there is no split `{}`", share.name.value);
                    self.out.push(
                        Diagnostic::new(&rules::UNKNOWN_NAME, share.name.span, message)
                            .help("the splits are train, val and test"),
                    );
                }
            }
        }
        let total = shares.iter().fold(0u64, |total, (_, share)| total.saturating_add(*share));
        if total == 0 || total > 1 << 32 {
            let name = &rule.by.name.value;
            self.out.push(
                Diagnostic::new(
                    &rules::MISSING,
                    rule.by.span(),
                    format!("`{name}` needs the shares of the splits"),
                )
                .help(format!("write split by {name}(column) train 80 val 10 test 10")),
            );
            return None;
        }
        Some(shares)
    }
}

fn of_files(files: Vec<(Split, File, Span)>) -> Rows {
    Rows::Files(files.into_iter().map(|(split, file, _)| (split, file)).collect())
}

/// A path without detours through `..`, as people would write it. It is shown and never opened.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
