//! Numbers of earlier rows: `lag([1, 24])` makes of a column `load` what it held one row and 24 rows before.
//!
//! It stands first in a chain of numeric columns, and needs rows in the order of time: one file with `split by time(column)`, sorted by that column.
//! With `group=` in the split rule the rows of each group are a series of their own. The columns are called `load[-1]` and `load[-24]`, and whatever follows,
//! statistics included, is applied to them. Earlier rows may belong to an earlier split: they are the past, which is known when the row is judged. The
//! first rows of a series, as many as the largest lag, have no whole past and are left out, for every group of the spec.
//!
//! A negative lag takes later rows, which nobody has when the row is to be predicted: an error, as is `lag` by 0 of a column that is the target.

use super::{Fitted, Param, Reader, Shape, Transformer};
use crate::args::{Kind, Value, required};
use crate::diag::{Diagnostic, rules};

/// The transform `lag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// How many rows earlier; below 0 they are later.
    pub rows: Vec<i64>,
}

/// The most rows that may be kept of a series.
const MOST: i64 = 1 << 16;

impl Transformer for Back {
    const SIGNATURE: &'static [Param] =
        &[required("rows", Kind::Numbers, "how many rows earlier, one number or a list")];

    fn read(args: &mut Reader<'_>) -> Option<Self> {
        args.with("rows", |given, _, out| {
            let row = |value: &Value| match value {
                Value::Int(row) if row.abs() <= MOST => Some(*row),
                _ => None,
            };
            let rows: Option<Vec<i64>> = match &given.value {
                Value::List(items) => items.iter().map(|item| row(&item.value)).collect(),
                single => row(single).map(|row| vec![row]),
            };
            let distinct = |rows: &Vec<i64>| (1..rows.len()).all(|i| !rows[..i].contains(&rows[i]));
            let rows = rows.filter(|rows| !rows.is_empty() && distinct(rows));
            if rows.is_none() {
                let message = format!("`rows` of `lag` is `{}`", given.value);
                let must = format!("must be whole numbers of at most {MOST}, each once");
                out.push(Diagnostic::new(&rules::WRONG_TYPE, given.span, message).remark(must));
            }
            Some(Self { rows: rows? })
        })
    }

    fn arguments(&self) -> Vec<String> {
        let rows: Vec<String> = self.rows.iter().map(ToString::to_string).collect();
        vec![if rows.len() == 1 { rows.concat() } else { format!("[{}]", rows.join(", ")) }]
    }

    fn apply(&self, _: &Shape, _: Option<&Fitted>, _: &mut Vec<f64>) {
        // Whoever reads the rows has taken the earlier ones.
    }
}
