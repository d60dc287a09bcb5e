//! Keeps the columns that score highest on the rows of one split.
//!
//! With `select(top=K, by=variance, fit=SPLIT)` the score of a column is its biased variance. With `by=correlation(y)` it is the absolute
//! Pearson correlation r of the column with the numeric target `y` of one column, or, if `y` holds class labels, the correlation ratio
//! eta: the root of the sum of squares between the classes over the whole sum of squares. Both lie in 0..1, and with them grow the statistics of
//! scikit-learn: `f_regression` is F = (n - 2) r^2 / (1 - r^2), `f_classif` is F = (n - k) / (k - 1) eta^2 / (1 - eta^2) for k classes. The target is
//! taken as it stands in the file, before its own transforms; rows in which it is missing have no say.
//!
//! K columns are kept, in their order. Of equal scores the earlier column wins. A column whose variance is rounding scores 0 (the bound of
//! `standardize`). That every column scores 0 is an error: nothing could be chosen. What is chosen is stored with the other statistics:
//! `{"select": {"columns": [...], "scores": [...]}}`.
//!
//! A choice that looks at the target must be made on training rows alone: made on all rows, it finds columns that fit the test labels, too, even
//! random ones.
//!
//! With `columns=[0, 3]` the choice is given by places in the row, counted from 0 and in order, `of=` says how many columns there are to choose from,
//! and `from=` whose choice it is. With `stats="train.nn.stats.json"` it is that of another spec for columns of the same name.
//!
//! Two passes with compensated sums, as in `standardize`.

use super::standardize::{Sum, is_rounding};
use super::{
    FIT, FROM, Fitted, Fitter, Param, Reader, STATS, Shape, Sight, Split, Transformer, read_fit, read_from,
};
use crate::args::{Kind, Value, absent, word};
use crate::diag::{Diagnostic, rules};
use crate::source::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// The transform `select`.
#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    /// The columns that score highest on a split.
    Fitted {
        /// How many are kept.
        top: usize,
        /// What they are judged by.
        by: Score,
        /// The split whose rows decide.
        fit: Split,
    },
    /// Given columns.
    Given {
        /// Their places in the row, in order.
        columns: Vec<usize>,
        /// How many columns there are to choose from, if that is said.
        of: Option<usize>,
        /// Whose choice it is.
        from: Option<String>,
    },
}

/// What columns are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Score {
    /// Their variance.
    Variance,
    /// How well they go with a target.
    Correlation(String),
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variance => f.write_str("variance"),
            Self::Correlation(target) => write!(f, "correlation({target})"),
        }
    }
}

impl Transformer for Select {
    const SIGNATURE: &'static [Param] = &[
        absent("top", Kind::Size, "how many columns are kept"),
        absent("by", Kind::Text, "what they are judged by: `variance`, or `correlation(y)` with a target"),
        FIT,
        absent("columns", Kind::Shape, "given places in the row, counted from 0 and in order"),
        absent("of", Kind::Size, "how many columns `columns` chooses from"),
        FROM,
        STATS,
    ];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        let given = |args: &Reader<'_>, names: &[&str]| names.iter().any(|name| args.span_of(name).is_some());
        match (given(args, &["top", "by", "fit"]), given(args, &["columns", "of", "from"])) {
            (true, false) if ["top", "by", "fit"].iter().all(|name| args.span_of(name).is_some()) => {
                let (top, by, fit) = (args.size("top"), score(args), read_fit(args));
                Some(Self::Fitted { top: top?, by: by?, fit: fit?? })
            }
            (false, true) if args.span_of("columns").is_some() => {
                let columns = places(args);
                let of = args.span_of("of").map(|_| args.size("of"));
                let from = read_from(args);
                Some(Self::Given { columns: columns?, of: of.map_or(Some(None), |of| of.map(Some))?, from })
            }
            _ => {
                let span = args.call_span();
                let message = "`select` needs `top=`, `by=` and `fit=`, or `columns=`";
                args.report(
                    Diagnostic::new(&rules::MISSING, span, message)
                        .help("write select(top=8, by=correlation(y), fit=train), or by=variance"),
                );
                None
            }
        }
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Fitted { top, by, fit } => {
                vec![format!("top={top}"), format!("by={by}"), format!("fit={fit}")]
            }
            Self::Given { columns, of, from } => {
                let places: Vec<String> = columns.iter().map(ToString::to_string).collect();
                let mut list = vec![format!("columns=[{}]", places.join(", "))];
                list.extend(of.map(|of| format!("of={of}")));
                list.extend(from.as_ref().map(|from| format!("from={from:?}")));
                list
            }
        }
    }

    fn fit(&self) -> Option<Split> {
        match self {
            Self::Fitted { fit, .. } => Some(*fit),
            Self::Given { .. } => None,
        }
    }

    fn fitter(&self, sight: &Sight<'_>) -> Option<Box<dyn Fitter>> {
        let Self::Fitted { top, by, .. } = self else { return None };
        let pair = matches!(by, Score::Correlation(_));
        Some(Box::new(Scorer::new(*top, sight.columns.to_vec(), pair, sight.labels)))
    }

    fn target(&self) -> Option<&str> {
        match self {
            Self::Fitted { by: Score::Correlation(target), .. } => Some(target),
            _ => None,
        }
    }

    fn width(&self, before: usize) -> usize {
        match self {
            Self::Fitted { top, .. } => *top.min(&before),
            Self::Given { columns, .. } => columns.iter().filter(|place| **place < before).count(),
        }
    }

    fn apply(&self, _: &Shape, fitted: Option<&Fitted>, row: &mut Vec<f64>) {
        let Self::Given { columns, .. } = self else {
            // A pipeline knows the columns by their places once it knows their names.
            unreachable!("internal: select without its columns, {fitted:?}")
        };
        let mut kept = 0;
        for &place in columns {
            if let Some(&x) = row.get(place) {
                row[kept] = x;
                kept += 1;
            }
        }
        row.truncate(kept);
    }
}

/// Reads `by=`.
fn score(args: &mut Reader<'_>) -> Option<Score> {
    args.with("by", |given: &Spanned<Value>, _, out| {
        let read = match &given.value {
            Value::Call(call) if call.name.value == "correlation" => match call.args.as_slice() {
                [arg] if arg.name.is_none() => {
                    word(&arg.value.value).map(|name| Score::Correlation(name.to_owned()))
                }
                _ => None,
            },
            other => word(other).filter(|word| *word == "variance").map(|_| Score::Variance),
        };
        if read.is_none() {
            out.push(
                Diagnostic::new(
                    &rules::WRONG_TYPE,
                    given.span,
                    format!("`by` of `select` is `{}`", given.value),
                )
                .remark("must be `variance`, or `correlation(y)` with the name of a target"),
            );
        }
        read
    })
}

/// Reads `columns=`.
fn places(args: &mut Reader<'_>) -> Option<Vec<usize>> {
    args.with("columns", |given: &Spanned<Value>, _, out| {
        let read: Option<Vec<usize>> = match &given.value {
            Value::List(items) => items
                .iter()
                .map(|item| match item.value {
                    Value::Int(place) => usize::try_from(place).ok(),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        let read = read.filter(|places| !places.is_empty() && places.is_sorted_by(|a, b| a < b));
        if read.is_none() {
            let message = format!("`columns` of `select` is `{}`", given.value);
            out.push(
                Diagnostic::new(&rules::WRONG_TYPE, given.span, message)
                    .remark("must be a list of places in the row, counted from 0, each once and in order"),
            );
        }
        read
    })
}

/// First pass: means, of each class if there are classes. Second pass: sums of squares and products about them.
struct Scorer {
    top: usize,
    columns: Vec<String>,
    /// Whether rows end with the target.
    pair: bool,
    /// Whether that is the number of a class.
    labels: bool,
    /// How many rows each class has, and the sums of their columns; without classes all rows are of one. Only classes that occur are held.
    parts: BTreeMap<u64, (f64, Vec<Sum>)>,
    target: Sum,
    /// The mean of each column and that of the target, once they are known.
    means: Option<(Vec<f64>, f64)>,
    squares: Vec<Sum>,
    products: Vec<Sum>,
    target_squares: Sum,
}

impl Scorer {
    fn new(top: usize, columns: Vec<String>, pair: bool, labels: bool) -> Self {
        let width = columns.len();
        Self {
            top,
            columns,
            pair,
            labels,
            parts: BTreeMap::new(),
            target: Sum::default(),
            means: None,
            squares: vec![Sum::default(); width],
            products: vec![Sum::default(); width],
            target_squares: Sum::default(),
        }
    }

    fn rows(&self) -> f64 {
        self.parts.values().map(|(count, _)| count).sum()
    }

    /// The score of each column.
    fn scores(&self) -> Vec<f64> {
        let Some((means, target)) = &self.means else { return vec![0.0; self.columns.len()] };
        let rows = self.rows();
        let constant = |mean: f64, squares: f64| is_rounding(mean, squares / rows, rows);
        let against = self.target_squares.value();
        let score = |i: usize| {
            let squares = self.squares[i].value();
            if constant(means[i], squares) {
                return 0.0;
            }
            match (self.pair, self.labels) {
                (false, _) => squares / rows,
                (true, false) if constant(*target, against) => 0.0,
                (true, false) => {
                    (self.products[i].value().abs() / (squares.sqrt() * against.sqrt())).min(1.0)
                }
                (true, true) => {
                    let part = |(count, sums): &(f64, Vec<Sum>)| {
                        count * (sums[i].value() / count - means[i]).powi(2)
                    };
                    let between: f64 = self.parts.values().map(part).sum();
                    // Of one class the mean is that of all rows, up to its rounding.
                    if self.parts.len() < 2 { 0.0 } else { (between / squares).sqrt().min(1.0) }
                }
            }
        };
        (0..self.columns.len()).map(score).collect()
    }
}

impl Fitter for Scorer {
    fn see(&mut self, row: &[f64]) {
        let width = self.columns.len();
        let (row, target) = if self.pair { (&row[..width], row[width]) } else { (row, 0.0) };
        if target.is_nan() {
            return;
        }
        let Some((means, mean)) = &self.means else {
            let class = if self.labels { target.to_bits() } else { 0 };
            let (count, sums) = self.parts.entry(class).or_insert_with(|| (0.0, vec![Sum::default(); width]));
            *count += 1.0;
            sums.iter_mut().zip(row).for_each(|(sum, &x)| sum.add(x));
            self.target.add(target);
            return;
        };
        for (i, (&x, &m)) in row.iter().zip(means).enumerate() {
            self.squares[i].add((x - m) * (x - m));
            self.products[i].add((x - m) * (target - mean));
        }
        self.target_squares.add((target - mean) * (target - mean));
    }

    fn end_pass(&mut self) -> bool {
        if self.means.is_some() {
            return false;
        }
        let rows = self.rows().max(1.0);
        let mean = |i: usize| self.parts.values().map(|(_, sums)| sums[i].value()).sum::<f64>() / rows;
        self.means = Some(((0..self.columns.len()).map(mean).collect(), self.target.value() / rows));
        true
    }

    fn conclude(&self) -> Fitted {
        let scores = self.scores();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // The sort is stable: of equal scores the earlier column stays in front.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order.truncate(self.top);
        order.sort_unstable();
        Fitted::Select {
            columns: order.iter().map(|&i| self.columns[i].clone()).collect(),
            scores: order.iter().map(|&i| scores[i]).collect(),
        }
    }
}
